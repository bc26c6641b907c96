// alerts-sw.js - the service worker of alerts.js: what comes by push, and what happens on a click on
// a notification.
//
// A classic script, so that a site that has a service worker already takes it in by
// importScripts('alerts-sw.js'). It answers no fetch, touches no notification but ours (data.rowcast),
// and no push but those that alerts.subscribe() has asked for. The manual is doc/ALERTS.md.
//
// Made from the modules in web/alerts/ by tools/bundle-js: change those, not this file.
'use strict';

(() => {

// --- alert.js - from a row to an alert: what is shown, and how much of it. Pure.
//
// What a row holds is hostile until shown otherwise: it becomes text, a URL only where it is http(s),
// and an icon only of the page's own origin, so that no row makes the browser call elsewhere.

const TITLE_MAX = 200;        // characters
const BODY_MAX = 1000;

// The address if it may be followed, else ''. base: what a relative one is relative to.
function safeUrl(url, base) {
  if (typeof url !== 'string' || url === '')
    return '';
  try {
    const parsed = new URL(url, base);
    return parsed.protocol === 'https:' || parsed.protocol === 'http:' ? parsed.href : '';
  } catch {
    return '';
  }
}

// An image of the page's own origin, or data: that is one, which calls no one and runs nothing.
function safeIcon(icon, base) {
  if (/^data:image\//.test(icon))
    return icon;
  const url = safeUrl(icon, base);
  return url !== '' && new URL(url).origin === new URL(base).origin ? url : '';
}

function shortText(value, max) {
  const text = typeof value === 'string' || typeof value === 'number' ? String(value) : '';
  return text.length > max ? `${text.slice(0, max - 1)}…` : text;
}

// What a page or a row gives, as text of bounded length and addresses that may be followed.
function clean(alert, base) {
  return {
    title: shortText(alert.title, TITLE_MAX),
    body: shortText(alert.body, BODY_MAX),
    url: safeUrl(alert.url, base),
    icon: safeIcon(alert.icon, base),
    tag: shortText(alert.tag, TITLE_MAX),
    quiet: alert.quiet === true,
  };
}

// The object that a row's data is, if it is an alert; else null.
function alertIn(text) {
  try {
    const value = JSON.parse(text);
    const isAlert = value !== null && typeof value === 'object' && ('title' in value || 'body' in value);
    return isAlert ? value : null;
  } catch {
    return null;
  }
}

// The documented mapping: JSON with a title or a body is an alert; all else is text.
function alertOf({ channel, type, data }) {
  const name = channel ?? 'default';
  const title = type === 'message' ? name : `${name} · ${type}`;
  const alert = alertIn(data);
  return alert === null ? { title, body: data } : { ...alert, title: alert.title ?? title };
}

// Lets `most` through in `ms`, so that a person who comes back to two thousand rows can still see.
class Flood {
  #times = [];

  constructor({ most, ms }) {
    this.most = most;
    this.ms = ms;
  }

  lets(now) {
    this.#times = this.#times.filter((time) => now - time < this.ms);
    if (this.#times.length >= this.most)
      return false;
    this.#times.push(now);
    return true;
  }
}

// --- ledger.js - what the page and its service worker share: how it has subscribed to Web Push, and
// which rows were shown. In IndexedDB, as the worker has no other store.
//
// A row that comes by stream and by push is taken by one of the two: an entry can be added once.

const LEDGER = 'rowcast-alerts';
const SHOWN_MAX = 1000;       // rows that are remembered

function openLedger() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(LEDGER, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('config');
      request.result.createObjectStore('shown', { keyPath: 'key' }).createIndex('at', 'at');
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

// Runs fn on a store, in one transaction; resolves to the result of the request that fn returns.
async function inLedger(store, mode, fn) {
  const database = await openLedger();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(store, mode);
      const request = fn(transaction.objectStore(store));
      transaction.oncomplete = () => resolve(request?.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

const readConfig = () => inLedger('config', 'readonly', (store) => store.get('push'));
const writeConfig = (config) => inLedger('config', 'readwrite',
  (store) => (config === null ? store.delete('push') : store.put(config, 'push')));

function forgetOldest(store) {
  store.count().onsuccess = ({ target }) => {
    let others = target.result - SHOWN_MAX;
    if (others <= 0)
      return;
    store.index('at').openCursor().onsuccess = ({ target: { result: cursor } }) => {
      if (cursor === null || others-- <= 0)
        return;
      cursor.delete();
      cursor.continue();
    };
  };
}

// Whether the caller is the one to show the row. Without a working store everyone is: the tags
// make a second notification replace the first.
async function takeRow(name, id) {
  try {
    await inLedger('shown', 'readwrite', (store) => {
      store.add({ key: `${name}:${id}`, at: Date.now() });
      forgetOldest(store);
    });
    return true;
  } catch (error) {
    return error?.name !== 'ConstraintError';
  }
}

// --- push.js - the subscription to Web Push: made with the browser, stored by the server, ended.

const PUSH_DEFAULTS = { url: '/events', channels: [], ticket: null, absent: false, declarative: false };

function pushSettings(options) {
  const settings = { ...PUSH_DEFAULTS, ...options };
  const unknown = Object.keys(settings).find((name) => !(name in PUSH_DEFAULTS));
  if (unknown !== undefined)
    throw new TypeError(`${unknown}: there is no such option`);
  settings.channels = [].concat(settings.channels);
  if (settings.channels.length === 0 || settings.channels.some((one) => typeof one !== 'string' || one === ''))
    throw new TypeError('channels: which rows are to be pushed?');
  settings.url = new URL(settings.url, document.baseURI).href.replace(/\/$/, '');
  return settings;
}

// The key as the browser wants it.
function keyBytes(text) {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

// Asks the server; resolves to what it answers, and rejects with its reason.
async function askPush(url, method, { body, ticket } = {}) {
  const headers = {};
  if (body !== undefined)
    headers['Content-Type'] = 'application/json';
  if (ticket)
    headers.Authorization = `Bearer ${ticket}`;
  const response = await fetch(`${url}/push`, { method, headers, credentials: 'include', body: body && JSON.stringify(body) });
  if (!response.ok)
    throw new Error(`${response.status}: ${(await response.text()).trim()}`);
  return response.json();
}

const keyOf = ({ options }) => {
  const key = options?.applicationServerKey;
  return key ? String(new Uint8Array(key)) : '';
};

// The browser's subscription with that key: the one that is there, or a new one. The server's key may
// be another one by now; then the old subscription is of no use.
async function browserSubscription(registration, key) {
  const bytes = keyBytes(key);
  const old = await registration.pushManager.getSubscription();
  if (old !== null && keyOf(old) === String(bytes))
    return { subscription: old, ended: null };
  await old?.unsubscribe();
  const subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes });
  return { subscription, ended: old?.endpoint ?? null };
}

const ticketOf = (ticket) => (typeof ticket === 'function' ? ticket() : ticket);

async function subscribePush(registration, name, options) {
  const { url, channels, ticket, absent, declarative } = pushSettings(options);
  const signed = await ticketOf(ticket);
  const { public_key: key } = await askPush(url, 'GET', { ticket: signed });
  const { subscription, ended } = await browserSubscription(registration, key);
  const wish = { channels, absent };
  if (declarative && 'pushManager' in window)   // browsers that understand declarative messages
    wish.declarative = location.href;
  await askPush(url, 'POST', { body: { ...subscription.toJSON(), ...wish }, ticket: signed });
  await writeConfig({ name, url, key, wish, page: location.href, base: document.baseURI });
  if (ended !== null)
    await askPush(url, 'DELETE', { body: { endpoint: ended }, ticket: signed }).catch(() => {});
  return subscription;
}

// The browser's part is ended in any case; a server that is out of reach learns it from the push
// service.
async function unsubscribePush(registration, options = {}) {
  const config = await readConfig().catch(() => undefined);
  const subscription = await registration.pushManager.getSubscription();
  await writeConfig(null);
  if (subscription === null)
    return false;
  await subscription.unsubscribe();
  const url = options.url ? new URL(options.url, document.baseURI).href.replace(/\/$/, '') : config?.url;
  if (url !== undefined) {
    const ticket = await ticketOf(options.ticket);
    await askPush(url, 'DELETE', { body: { endpoint: subscription.endpoint }, ticket }).catch(() => {});
  }
  return true;
}

// Rows that come by stream, in a browser that gets them by push too: whether the page is to show it.
class PushLedger {
  #isSubscribed = false;

  constructor(name) {
    this.name = name;
  }

  reset() {
    this.#isSubscribed = false;
  }

  // Another tab may subscribe at any time, so a "no" is looked up again for each row.
  async take(id) {
    this.#isSubscribed ||= await readConfig().then((config) => config !== undefined).catch(() => false);
    return !this.#isSubscribed || takeRow(this.name, id);
  }
}

// --- alerts-sw.js - the service worker of alerts.js: what comes by push, and what happens on a click on
// a notification.
//
// A classic script, so that a site that has a service worker already takes it in by
// importScripts('alerts-sw.js'). It answers no fetch, touches no notification but ours (data.rowcast),
// and no push but those that alerts.subscribe() has asked for. The manual is doc/ALERTS.md.

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

})();
