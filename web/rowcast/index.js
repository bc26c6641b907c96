// rowcast.js - reads rowcast's event stream in a page: one connection for all tabs, nothing lost.
//
//   import { Rowcast } from './rowcast.js';
//   const rows = new Rowcast('/events', { channels: ['orders.*'] });
//   rows.on('paid', (event) => console.log(event.channel, event.json()));
//
// The manual is doc/JAVASCRIPT.md, the protocol doc/PROTOCOL.md. No dependencies.
//
// How it works. The server's table is a log with growing ids, and a reader that has every row up to
// an id needs nothing but that id to go on. So everything here passes *feeds* along: "these are all
// rows above `from` up to `to`". Each tab has a Cursor, takes from a feed what is above it, and sees
// from `from` when something is missing; then it asks the server for the part between.
//
//    Link  →  Source ──feed──▶ Tabs of this tab ──▶ Rowcast: Cursor → listeners
//    one attempt │                 │
//                │                 └──Share (BroadcastChannel)──▶ Tabs of the other tabs ──▶ Rowcast
//                └ one tab leads
//
// That is why two leaders at once (one was frozen, and wakes) do no harm: a feed that was had already
// adds nothing. The Web Lock keeps connections few; the cursors keep rows right.
//
// Reading order: glob.js, cursor.js, time.js, request.js; then link.js (one attempt), source.js
// (attempt after attempt), share.js (which tab leads), tabs.js (what tabs say to each other);
// catchup.js (asking for what is missing); copy.js and table.js (a table on the page); settings.js,
// position.js, events.js and rowcast.js (what a page sees).
export { backoff } from './time.js';
export { Copy, changeOf, keyOf } from './copy.js';
export { Cursor } from './cursor.js';
export { RowEvent } from './events.js';
export { covers, fitting, glob, union } from './glob.js';
export { checkPage, linesOf, pagesOf } from './request.js';
export { Rowcast, Rowcast as default } from './rowcast.js';
export { Table } from './table.js';
