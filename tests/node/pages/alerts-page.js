// alerts-page.js - what alerts.test.mjs drives in its page.
import { Alerts } from './alerts.js';
import { Rowcast } from './rowcast.js';

window.shown = [];     // each notification that this page has raised, by either way
const { showNotification } = ServiceWorkerRegistration.prototype;
ServiceWorkerRegistration.prototype.showNotification = async function (title, options) {
  await showNotification.call(this, title, options);
  window.shown.push({ by: 'worker', title, id: options.data.id });
};
if (window.Notification) {
  window.Notification = class extends window.Notification {
    constructor(title, options) {
      super(title, options);
      window.shown.push({ by: 'page', title, id: options.data.id });
    }
  };
}

window.begin = async (options = {}, reading = {}) => {
  window.rows = new Rowcast('/events', { channels: ['a'], timeouts: { retry: 200, retryMax: 400 }, ...reading });
  window.heard = [];
  window.rows.on('alert', (event) => window.heard.push(event.lastEventId));
  window.alerts = new Alerts(window.rows, { toasts: document.getElementById('toasts'), ...options });
  window.changes = [];
  window.alerts.addEventListener('change', () => window.changes.push(window.alerts.state));
  window.clicks = [];
  window.alerts.addEventListener('click', (event) => window.clicks.push(event.detail));
  if (window.rows.state !== 'open')
    await new Promise((resolve) => window.rows.on('rowcast:state', () => window.rows.state === 'open' && resolve()));
};
document.getElementById('ask').addEventListener('click', async () => {
  await window.personAllows?.();
  window.asked = await window.alerts.ask().catch((error) => error.message);
});
// Nobody has clicked.
window.askedAtOnce = await new Alerts({ on: () => () => {} }).ask().catch((error) => error.message);
window.ready = true;
