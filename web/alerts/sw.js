// alerts-sw.js - the service worker of alerts.js: what comes by push, and what happens on a click on
// a notification.
//
// A classic script, so that a site that has a service worker already takes it in by
// importScripts('alerts-sw.js'). It answers no fetch, touches no notification but ours (data.rowcast),
// and no push but those that alerts.subscribe() has asked for. The manual is doc/ALERTS.md.
import { alertOf, clean } from './alert.js';
import { readConfig, takeRow, writeConfig } from './ledger.js';
import { askPush, keyBytes } from './push.js';

const configOrNull = () => readConfig().then((config) => config ?? null).catch(() => null);

// --- clicks

self.addEventListener('notificationclick', (event) => {
  const { data } = event.notification;
  if (data === null || typeof data !== 'object' || data.rowcast !== true)
    return;
  event.notification.close();
  event.waitUntil(openPage(data));
});

// The page looked at the address before; here it is looked at again, as what is stored with a
// notification lives longer than a page's code.
function followable(url) {
  try {
    const parsed = new URL(url, self.location.href);
    return parsed.protocol === 'https:' || parsed.protocol === 'http:' ? parsed.href : null;
  } catch {
    return null;
  }
}

// Without an address of its own: the page that raised it, or another one of ours. With one: the
// tab that shows it already, or a new one.
async function openPage(data) {
  const windows = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  const page = followable(data.page);
  const url = data.url ? followable(data.url) : null;
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

// --- what comes by push

self.addEventListener('push', (event) => event.waitUntil(takePush(event)));

function rowIn(data) {
  try {
    const row = data.json();
    return row !== null && typeof row === 'object' && typeof row.id === 'string' ? row : null;
  } catch {
    return null;
  }
}

// A row that was too long for a message. Where it cannot be had its channel is shown.
async function fetchRow({ url }, { id, channel = null }) {
  const bare = { id, channel, event: 'message', data: '' };
  try {
    const query = new URLSearchParams({ last_event_id: String(BigInt(id) - 1n) });
    if (channel !== null)
      query.set('channel', channel);
    const response = await fetch(`${url}?${query}`, { headers: { Accept: 'application/json' }, credentials: 'include' });
    const { events } = await response.json();
    return events.find((one) => one.id === id) ?? bare;
  } catch {
    return bare;
  }
}

async function takePush(event) {
  const config = await configOrNull();
  const short = config === null || event.data === null ? null : rowIn(event.data);
  if (short === null)
    return;
  const row = short.too_long === true ? await fetchRow(config, short) : short;
  const given = alertOf({ channel: row.channel, type: row.event, data: row.data });
  const alert = clean(given, config.base);
  const tag = alert.tag || `rowcast-${config.name}-${row.id}`;
  const [there] = await self.registration.getNotifications({ tag });
  const isOlder = Number(there?.data?.id) > Number(row.id);
  // '0' is the test message of `rowcast push --test`, which may come any number of times.
  const isMine = row.id === '0' || await takeRow(config.name, row.id);
  if (isMine && !isOlder)
    await show(config, row, alert, tag);
}

// As the page shows it.
function show({ name, page }, { id, channel }, { title, body, url, icon, tag: own, quiet }, tag) {
  const data = { rowcast: true, name, id, channel, url, page };
  const options = { body, tag, renotify: own !== '' && !quiet, data };
  if (icon !== '')
    options.icon = icon;
  if (quiet)
    options.silent = true;
  return self.registration.showNotification(title, options);
}

// --- another subscription in place of the old one

self.addEventListener('pushsubscriptionchange', (event) => event.waitUntil(subscribeAgain(event)));

async function subscribeAgain(event) {
  const config = await configOrNull();
  if (config === null)
    return;
  const { public_key: key } = await askPush(config.url, 'GET');
  const subscription = event.newSubscription ?? await self.registration.pushManager.subscribe(
    { userVisibleOnly: true, applicationServerKey: keyBytes(key) });
  await askPush(config.url, 'POST', { body: { ...subscription.toJSON(), ...config.wish } });
  await writeConfig({ ...config, key });
  const old = event.oldSubscription?.endpoint;
  if (old && old !== subscription.endpoint)
    await askPush(config.url, 'DELETE', { body: { endpoint: old } }).catch(() => {});
}
