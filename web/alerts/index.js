// alerts.js - raises a notification for rows of rowcast, or a toast in the page where it may not.
//
//   import { Rowcast } from './rowcast.js';
//   import { Alerts } from './alerts.js';
//   const alerts = new Alerts(new Rowcast('/events'), { types: ['alert'], toasts: element });
//   button.onclick = () => alerts.ask();
//
// The manual is doc/ALERTS.md. No dependencies but the worker beside it, alerts-sw.js.
//
// Reading order: alert.js (from a row to an alert), claims.js (which tab shows it), ledger.js and push.js
// (what comes by push too), worker.js and toasts.js (by what), unread.js (what is read), alerts.js (what a
// page sees). sw.js is the worker.
export { Flood, alertOf, clean, safeUrl } from './alert.js';
export { Unread, markIn } from './unread.js';
export { Alerts, Alerts as default } from './alerts.js';
