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
//
// Made from the modules in web/alerts/ by tools/bundle-js: change those, not this file.

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

// --- claims.js - which tab shows a row.
//
// With several tabs each row is claimed by a Web Lock of its name, which one tab gets and keeps while
// it lives; so one shows it, and a tab that is late, or was frozen, shows nothing twice. (A leading
// tab that shows all would be fewer locks, but is silent while frozen, and the tabs' rows may differ.
// localStorage is not in step between processes.) Without Web Locks every tab gets every claim.

const CLAIMS_MAX = 1000;      // rows whose locks are kept, so that no tab shows them again
const ALONE_MS = 5000;        // for another tab to have shown what is its

const lockManager = () => globalThis.navigator?.locks ?? null;

// Each row's lock is held until CLAIMS_MAX newer ones are, or the page goes.
class Claims {
  #held = [];

  constructor(name) {
    this.name = name;
  }

  // Whether this tab is the one to show the row. A tag is claimed with it: see isSuperseded.
  async claim(id, tag) {
    const mine = await this.#hold(`rowcast-alert:${this.name}:${id}`);
    if (mine && tag !== '')
      await this.#hold(this.#tagLock(tag) + id);
    return mine;
  }

  #tagLock(tag) {
    return `rowcast-tag:${JSON.stringify([this.name, tag])}:`;
  }

  #hold(lockName) {
    if (lockManager() === null)
      return Promise.resolve(true);
    return new Promise((resolve) => {
      lockManager().request(lockName, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock === null ? undefined : new Promise((release) => {
          this.#held.push(release);
          while (this.#held.length > CLAIMS_MAX)
            this.#held.shift()();
        });
      }).catch(() => resolve(true));   // a browser that has locks and does not give them
    });
  }

  release() {
    for (const release of this.#held.splice(0))
      release();
  }

  // Whether a newer row of the tag has been claimed by any tab: then it has been shown, or will be.
  // (Not by getNotifications(): in Chromium that forgets one that is just being put on the screen.)
  async isSuperseded(id, tag) {
    const start = this.#tagLock(tag);
    const { held } = await lockManager()?.query() ?? { held: [] };
    return held.some(({ name }) => name.startsWith(start) && Number(name.slice(start.length)) > Number(id));
  }

  // Runs fn while no other tab does: an older row must not replace a newer one of its tag. A tab
  // that hangs in there holds the others up for ALONE_MS only.
  async alone(fn) {
    if (lockManager() === null)
      return fn();
    const wait = new AbortController();
    const timer = setTimeout(() => wait.abort(), ALONE_MS);
    const begin = () => {
      clearTimeout(timer);
      return fn();
    };
    try {
      return await lockManager().request(`rowcast-alerts:${this.name}`, { signal: wait.signal }, begin);
    } catch (error) {
      if (!wait.signal.aborted)
        throw error;
      return fn();
    }
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

// --- worker.js - the service worker, once it can show notifications.

const WORKER_MS = 10000;      // for it to start

// Resolves to its registration. worker: a file's address, or the registration of the site's own.
async function workerOf(worker) {
  const isFile = typeof worker === 'string' || worker instanceof URL;
  return activated(isFile ? await navigator.serviceWorker.register(worker) : worker);
}

function activated(registration) {
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  if (worker?.state === 'activated')
    return registration;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the service worker does not start')), WORKER_MS);
    worker?.addEventListener('statechange', () => {
      if (worker.state !== 'activated' && worker.state !== 'redundant')
        return;
      clearTimeout(timer);
      if (worker.state === 'activated')
        resolve(registration);
      else
        reject(new Error('the service worker did not install'));
    });
  });
}

// --- toasts.js - notes in an element of the page, for the person who looks at it.

const TOASTS_MAX = 4;
const TOAST_MS = 8000;
// :where() has no weight: any rule of the page's own style sheet goes before these.
const STYLE = `
:where(.rowcast-toasts) { position: fixed; right: 1rem; bottom: 1rem; z-index: 1; display: grid; gap: .5rem;
  width: min(22rem, calc(100vw - 2rem)); }
:where(.rowcast-toasts .toast) { position: relative; padding: .7rem 2.6rem .7rem 1rem; border: 1px solid GrayText;
  border-radius: .5rem; background: Canvas; color: CanvasText; box-shadow: 0 .4rem 1.5rem #0004;
  overflow-wrap: anywhere; }
:where(.rowcast-toasts .toast-title) { display: block; font-weight: 600; }
:where(.rowcast-toasts .toast-body) { white-space: pre-line; }
:where(.rowcast-toasts .toast-close) { position: absolute; top: .35rem; right: .35rem; width: 1.9rem; height: 1.9rem;
  padding: 0; border: 0; background: none; color: inherit; font-size: 1.1rem; line-height: 1; cursor: pointer; }`;

let styleSheet = null;

// A style sheet made by script, which a Content-Security-Policy without inline styles allows. A browser
// that cannot make one (Safari before 16.4) shows the toasts as the page styles them.
function addStyle(document) {
  if (styleSheet !== null || !('adoptedStyleSheets' in document))
    return;
  styleSheet = new CSSStyleSheet();
  styleSheet.replaceSync(STYLE);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, styleSheet];
}

function element(name, className, text) {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  return node;
}

// Toasts stay while the pointer or the focus is on them.
class Toasts {
  #rowOf = new WeakMap();   // toast → { id, channel }

  constructor(box, onclick) {
    this.box = box;
    this.onclick = onclick;
    box.classList.add('rowcast-toasts');
    addStyle(box.ownerDocument);
    if (!box.hasAttribute('role') && !box.hasAttribute('aria-live'))
      box.setAttribute('role', 'status');
  }

  // channel: of the row detail.id; the toast goes when that is read.
  show(alert, detail, channel = null) {
    const toast = this.#make(alert, detail);
    this.#rowOf.set(toast, { id: detail.id, channel });
    this.#replaced(alert.tag)?.remove();
    if (alert.tag !== '')
      toast.dataset.tag = alert.tag;
    this.box.append(toast);
    while (this.box.childElementCount > TOASTS_MAX)
      this.box.firstElementChild.remove();
    this.#expire(toast);
  }

  removeRead(isRead) {
    for (const toast of [...this.box.children]) {
      const { id, channel = null } = this.#rowOf.get(toast) ?? {};
      if (channel !== null && isRead(id, channel))
        toast.remove();
    }
  }

  #replaced(tag) {
    return tag === '' ? null : [...this.box.children].find((one) => one.dataset.tag === tag);
  }

  #make({ title, body, url }, detail) {
    const toast = element('div', 'toast', '');
    const head = url === '' ? element('b', 'toast-title', title) : element('a', 'toast-title', title);
    if (url !== '') {
      head.href = url;
      head.rel = 'noopener noreferrer';
      head.addEventListener('click', () => this.onclick(detail));
    }
    const close = element('button', 'toast-close', '×');
    close.type = 'button';
    close.setAttribute('aria-label', `Close: ${title}`);
    close.addEventListener('click', () => toast.remove());
    toast.addEventListener('keydown', (event) => event.key === 'Escape' && toast.remove());
    toast.append(head, element('span', 'toast-body', body), close);
    return toast;
  }

  #expire(toast) {
    setTimeout(() => {
      if (toast.matches(':hover, :focus-within'))
        this.#expire(toast);
      else
        toast.remove();
    }, TOAST_MS);
  }
}

// --- unread.js - which rows the person has not read yet, and up to where each channel is read. Pure.
//
// Marks come from the log, as the event rowcast:read, to all pages of a user; so all count the same.

const UNREAD_MAX = 1000;      // rows that are remembered

class Unread {
  #rows = new Map();          // id → channel, of those not read
  #known = new Map();         // id → channel, of those that came
  #marks = new Map();         // channel → id

  get size() {
    return this.#rows.size;
  }

  // A row that raises an alert has come. Whether the count has changed.
  add(id, channel) {
    this.#keep(this.#known, id, channel);
    if (this.isRead(id, channel) || this.#rows.has(id))
      return false;
    this.#keep(this.#rows, id, channel);
    return true;
  }

  // The channel is read up to that id. Whether that is news.
  mark(channel, id) {
    if (!(Number(id) > Number(this.#marks.get(channel) ?? 0)))
      return false;
    this.#marks.set(channel, id);
    for (const [row, of] of this.#rows) {
      if (of === channel && Number(row) <= Number(id))
        this.#rows.delete(row);
    }
    return true;
  }

  isRead(id, channel) {
    return Number(id) <= Number(this.#marks.get(channel) ?? 0);
  }

  channelOf(id) {
    return this.#known.get(id);
  }

  // The newest row that is not read, of each channel: [id, channel].
  newest() {
    const newest = new Map();
    for (const [id, channel] of this.#rows) {
      if (Number(id) > Number(newest.get(channel) ?? 0))
        newest.set(channel, id);
    }
    return Array.from(newest, ([channel, id]) => [id, channel]);
  }

  #keep(map, id, channel) {
    map.set(id, channel);
    while (map.size > UNREAD_MAX)
      map.delete(map.keys().next().value);
  }
}

// What a row rowcast:read says; null: nothing that can be understood.
function markIn(text) {
  try {
    const { channel, id } = JSON.parse(text);
    return typeof channel === 'string' && /^[0-9]{1,16}$/.test(id) ? { channel, id } : null;
  } catch {
    return null;
  }
}

// --- alerts.js - Alerts: what a page sees. From rows to notifications, or to toasts.

const MORE_TAG = 'rowcast-more';
const DEFAULTS = {
  types: ['alert'],
  map: (event, alert) => alert,
  worker: 'alerts-sw.js',
  toasts: null,
  name: '',
  flood: { most: 5, ms: 10000 },
  maxAge: null,
  more: (count) => ({ title: `${count} more`, body: '' }),
};

function alertSettings(options) {
  const settings = { ...DEFAULTS, ...options };
  const unknown = Object.keys(settings).find((name) => !(name in DEFAULTS));
  if (unknown !== undefined)
    throw new TypeError(`${unknown}: there is no such option`);
  for (const name of ['map', 'more']) {
    if (typeof settings[name] !== 'function')
      throw new TypeError(`${name}: not a function`);
  }
  settings.types = [].concat(settings.types);
  if (settings.types.length === 0 || settings.types.some((type) => typeof type !== 'string' || type === ''))
    throw new TypeError('types: event types, or \'*\'');
  if (settings.maxAge !== null && !(settings.maxAge >= 0))
    throw new TypeError('maxAge: milliseconds');
  if (settings.toasts !== null && !(settings.toasts instanceof Element))
    throw new TypeError('toasts: not an element');
  return settings;
}

class Alerts extends EventTarget {
  enabled = true;          // the person's own switch: false makes toasts of all
  #settings;
  #claims;
  #flood;
  #toasts;
  #registration = null;    // a promise of it
  #rows;
  #unread = new Unread();
  #constructed = new Map();   // id → what the page raised without a worker
  #queue = [];
  #busy = false;
  #more = 0;               // in the toast that counts the others
  #closed = false;
  #undo = [];
  #pushed;                 // rows that may come by push too

  constructor(rows, options = {}) {
    super();
    this.#settings = alertSettings(options);
    this.#claims = new Claims(this.#settings.name);
    this.#pushed = new PushLedger(this.#settings.name);
    this.#flood = new Flood(this.#settings.flood);
    this.#toasts = this.#settings.toasts && new Toasts(this.#settings.toasts, (detail) => this.#clicked(detail));
    this.#rows = rows;
    this.#undo.push(rows.on('rowcast:read', ({ data }) => this.#hearMark(markIn(data))));
    for (const type of this.#settings.types)
      this.#undo.push(rows.on(type, (event) => this.#take(event)));
    this.#listen(globalThis, 'pagehide', () => this.#claims.release());
    this.#listen(navigator.serviceWorker, 'message', ({ data }) => {
      if (data?.kind === 'rowcast-alert' && data.name === this.#settings.name)
        this.#clicked({ id: data.id, url: data.url });
    });
    navigator.serviceWorker?.startMessages?.();
    this.#watchPermission();
    if (this.state === 'granted')
      this.#worker().catch(() => {});
  }

  // 'granted', 'denied', 'default' (the user has not been asked) or 'unsupported'.
  get state() {
    if (!globalThis.isSecureContext || !('Notification' in globalThis))
      return 'unsupported';
    return Notification.permission;
  }

  // Asks the person; returns the state. Only from a click: a page that asks by itself is denied by
  // many for good, and by some browsers at once.
  async ask() {
    if (navigator.userActivation && !navigator.userActivation.isActive)
      throw new Error('ask() may only be called from a click or a key press');
    if (this.state === 'default')
      await Notification.requestPermission();
    this.#changed();
    return this.state;
  }

  // Has the rows of these channels pushed to this browser, also while no page is open. Permission
  // must have been given: see ask().
  async subscribe(options = {}) {
    if (this.state !== 'granted')
      throw new Error('subscribe() needs permission: call ask() first');
    const registration = await this.#worker();
    if (!registration.pushManager)
      throw new Error('this browser has no push here (on iOS: add the site to the home screen first)');
    const subscription = await subscribePush(registration, this.#settings.name, options);
    this.#pushed.reset();
    return subscription;
  }

  // Resolves to whether there was a subscription.
  async unsubscribe(options = {}) {
    const ended = await unsubscribePush(await this.#worker(), options);
    this.#pushed.reset();
    return ended;
  }

  // How many alerts of this page the person has not read, on whatever device.
  get unread() {
    return this.#unread.size;
  }

  // The row and those before it in its channel are read, on all pages and devices of the person.
  // Without an id: all rows that this page has got.
  async read(id) {
    const marks = id === undefined ? this.#unread.newest() : [[String(id), this.#unread.channelOf(String(id))]];
    for (const [row, channel] of marks) {
      const mark = await this.#rows.read(row, channel);
      this.#hearMark(mark);      // as the row in the log will say again
    }
  }

  close() {
    this.#closed = true;
    for (const undo of this.#undo.splice(0))
      undo();
    this.#queue.length = 0;
    this.#claims.release();
  }

  #listen(target, type, fn) {
    target?.addEventListener(type, fn);
    this.#undo.push(() => target?.removeEventListener(type, fn));
  }

  #watchPermission() {
    navigator.permissions?.query({ name: 'notifications' })
      .then((status) => !this.#closed && this.#listen(status, 'change', () => this.#changed()))
      .catch(() => {});   // a browser that does not tell
  }

  #changed() {
    if (this.#closed)
      return;
    if (this.state === 'granted')
      this.#worker().catch(() => {});
    this.dispatchEvent(new Event('change'));
  }

  #clicked(detail) {
    this.dispatchEvent(new CustomEvent('click', { detail }));
  }

  #worker() {
    this.#registration ??= workerOf(this.#settings.worker);
    this.#registration.catch(() => { this.#registration = null; });   // the next row tries again
    return this.#registration;
  }

  // --- from rows to what is shown

  #take(event) {
    const given = this.#settings.map(event, alertOf(event));
    if (given === null || given === undefined)
      return;
    const { lastEventId: id, channel } = event;
    if (this.#unread.add(id, channel))
      this.#tellUnread();
    if (this.#isOld(event) || this.#unread.isRead(id, channel))
      return;
    this.#queue.push({ id, channel, alert: clean(given, document.baseURI) });
    this.#show();
  }

  #tellUnread() {
    this.dispatchEvent(new Event('unread'));
  }

  // Read on this page or elsewhere: what is still shown of it goes.
  #hearMark(mark) {
    if (mark === null || this.#closed)
      return;
    const before = this.#unread.size;
    if (!this.#unread.mark(mark.channel, mark.id))
      return;
    this.#toasts?.removeRead((id, channel) => this.#unread.isRead(id, channel));
    this.#closeRead().catch(() => {});
    if (this.#unread.size !== before)
      this.#tellUnread();
  }

  async #closeRead() {
    const isRead = ({ id, channel }) => typeof channel === 'string' && this.#unread.isRead(id, channel);
    for (const [id, note] of this.#constructed) {
      if (isRead(note.data)) {
        note.close();
        this.#constructed.delete(id);
      }
    }
    const registration = this.state === 'granted' ? await this.#worker() : null;
    for (const note of await registration?.getNotifications() ?? []) {
      const { data, tag } = note;
      if (data?.rowcast !== true || data.name !== this.#settings.name)
        continue;
      if (isRead(data) || (this.#unread.size === 0 && tag.startsWith(MORE_TAG)))
        note.close();
    }
  }

  // Without maxAge: whether the row was there before the page.
  #isOld({ isHistory = false, createdAt = null }) {
    const { maxAge } = this.#settings;
    if (maxAge === null)
      return isHistory;
    return createdAt !== null && Date.now() - createdAt > maxAge;
  }

  async #show() {
    if (this.#busy)
      return;
    this.#busy = true;
    try {
      while (this.#queue.length > 0) {
        const notes = this.#queue.splice(0);
        if (this.state === 'granted' && this.enabled)
          await this.#notifyAll(notes);
        else
          this.#toastAll(notes);
      }
    } finally {
      this.#busy = false;
    }
  }

  async #notifyAll(notes) {
    const mine = await Promise.all(notes.map((note) => this.#claims.claim(note.id, note.alert.tag)));
    const first = await Promise.all(notes.map((note, n) => mine[n] && this.#pushed.take(note.id)));
    const claimed = notes.filter((_, n) => first[n]);
    if (claimed.length > 0)
      await this.#claims.alone(() => this.#notifyClaimed(claimed));
  }

  async #notifyClaimed(notes) {
    const registration = await this.#worker().catch(() => null);
    let others = 0;
    for (const note of notes) {
      if (this.#unread.isRead(note.id, note.channel))
        continue;
      if (note.alert.tag !== '' && await this.#claims.isSuperseded(note.id, note.alert.tag))
        continue;
      if (this.#flood.lets(performance.now()))
        await this.#notify(registration, note);
      else
        others++;
    }
    if (others > 0)
      await this.#notifyMore(registration, others);
  }

  // By the service worker: Android has no other way, and only so is a click heard when the page
  // is gone. Where there is none (private windows of some browsers), by the page; else a toast.
  async #notify(registration, { id, channel, alert }) {
    const { title, body, url, icon, tag, quiet } = alert;
    const { name } = this.#settings;
    const options = {
      body,
      // Without a tag of its own each stands by itself; the id's tag makes a second one harmless.
      tag: tag || `rowcast-${name}-${id}`,
      renotify: tag !== '' && !quiet,
      data: { rowcast: true, name, id, channel, url, page: location.href },
    };
    if (icon !== '')
      options.icon = icon;
    if (quiet)
      options.silent = true;
    try {
      if (registration === null) {
        this.#construct(title, options);
        return;
      }
      await registration.showNotification(title, options);
    } catch {
      this.#toasts?.show(alert, { id, url }, channel);
    }
  }

  #construct(title, options) {
    const note = new Notification(title, options);
    this.#constructed.set(options.data.id, note);
    note.addEventListener('close', () => this.#constructed.delete(options.data.id));
    note.addEventListener('click', () => {
      const { id, url } = options.data;
      note.close();
      window.focus();
      if (url !== '' && url !== location.href)
        window.open(url, '_blank', 'noopener,noreferrer');
      this.#clicked({ id, url });
    });
  }

  // One notification counts all that were too many, until the person takes it away. The count is
  // in itself, so that tabs add to the same one.
  async #notifyMore(registration, others) {
    const { name, more } = this.#settings;
    const tag = `${MORE_TAG}${name && `-${name}`}`;
    const [shown] = await registration?.getNotifications({ tag }).catch(() => []) ?? [];
    const count = others + (Number(shown?.data?.count) || 0);
    const { title, body } = clean(more(count), document.baseURI);
    const data = { rowcast: true, name, id: '', url: '', page: location.href, count };
    const options = { body, tag, silent: true, data };
    try {
      if (registration === null)
        this.#construct(title, options);
      else
        await registration.showNotification(title, options);
    } catch {
      this.#toastMore(others);
    }
  }

  // A toast is for the user of this page, so no tab claims it.
  #toastAll(notes) {
    const few = notes.filter(() => this.#flood.lets(performance.now()));
    for (const { id, channel, alert } of few)
      this.#toasts?.show(alert, { id, url: alert.url }, channel);
    if (notes.length > few.length)
      this.#toastMore(notes.length - few.length);
  }

  #toastMore(others) {
    if (this.#toasts === null)
      return;
    const there = [...this.#settings.toasts.children].some((one) => one.dataset.tag === MORE_TAG);
    this.#more = others + (there ? this.#more : 0);
    this.#toasts.show({ ...clean(this.#settings.more(this.#more), document.baseURI), tag: MORE_TAG },
      { id: '', url: '' });
  }
}

export { Flood, alertOf, clean, safeUrl };
export { Unread, markIn };
export { Alerts, Alerts as default };
