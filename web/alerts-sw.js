// alerts-sw.js - the service worker of alerts.js: what happens on a click on a notification.
//
// A classic script, so that a site that has a service worker already takes it in by
// importScripts('alerts-sw.js'). It keeps no state, answers no fetch, and touches no notification
// but ours (data.rowcast). The manual is doc/ALERTS.md.
'use strict';

self.addEventListener('notificationclick', (event) => {
  const { data } = event.notification;
  if (data === null || typeof data !== 'object' || data.rowcast !== true)
    return;
  event.notification.close();
  event.waitUntil(rowcastOpen(data));
});

// The page looked at the address before; here it is looked at again, as what is stored with a
// notification lives longer than a page's code.
function rowcastUrl(url) {
  try {
    const parsed = new URL(url, self.location.href);
    return parsed.protocol === 'https:' || parsed.protocol === 'http:' ? parsed.href : null;
  } catch {
    return null;
  }
}

// Without an address of its own: the page that raised it, or another one of ours. With one: the
// tab that shows it already, or a new one.
async function rowcastOpen(data) {
  const windows = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  const page = rowcastUrl(data.page);
  const url = data.url ? rowcastUrl(data.url) : null;
  const there = windows.find((client) => client.url === (url ?? page))
    ?? (url === null ? windows[0] : undefined);
  if (there !== undefined) {
    there.postMessage({ kind: 'rowcast-alert', name: data.name, id: data.id, url: url ?? '' });
    try {
      return await there.focus();
    } catch {
      // It has just been closed.
    }
  }
  const target = url ?? page;
  return target === null ? undefined : self.clients.openWindow(target);
}
