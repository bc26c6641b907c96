// alerts.js - raises a notification for rows of rowcast, or a toast in the page where it may not.
//
//   import { Rowcast } from './rowcast.js';
//   import { Alerts } from './alerts.js';
//   const alerts = new Alerts(new Rowcast('/events'), { types: ['alert'], toasts: element });
//   button.onclick = () => alerts.ask();
//
// The manual is doc/ALERTS.md. No dependencies but the worker beside it, alerts-sw.js.
//
// What a row holds is hostile until shown otherwise: it becomes text, and a URL only where it is
// http(s). With several tabs each row is claimed by a Web Lock of its name, which one tab gets and
// keeps while it lives; so one shows it, and a tab that is late, or was frozen, shows nothing twice.
// (A leading tab that shows all would be fewer locks, but is silent while frozen, and the tabs'
// rows may differ. localStorage is not in step between processes.)

const TITLE_MAX = 200;        // characters
const BODY_MAX = 1000;
const CLAIMS_MAX = 1000;      // rows whose locks are kept, so that no tab shows them again
const TOASTS_MAX = 4;
const FLOOD = { most: 5, ms: 10000 };
const TOAST_MS = 8000;
const WORKER_MS = 10000;      // for a service worker to start
const ALONE_MS = 5000;        // for another tab to have shown what is its
const MORE_TAG = 'rowcast-more';

// --- from a row to an alert (pure; also for the unit tests) ----------------------------------

// The address if it may be followed, else ''. base: what a relative one is relative to.
export function safeUrl(url, base) {
  if (typeof url !== 'string' || url === '')
    return '';
  try {
    const parsed = new URL(url, base);
    return parsed.protocol === 'https:' || parsed.protocol === 'http:' ? parsed.href : '';
  } catch {
    return '';
  }
}

function cut(value, max) {
  const text = typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
  return text.length > max ? `${text.slice(0, max - 1)}…` : text;
}

// What a page or a row gives, as text of bounded length and addresses that may be followed. An
// icon is an image: it may be data: as well, which runs nothing.
export function clean(alert, base) {
  return {
    title: cut(alert.title, TITLE_MAX),
    body: cut(alert.body, BODY_MAX),
    url: safeUrl(alert.url, base),
    icon: /^data:image\//.test(alert.icon) ? alert.icon : safeUrl(alert.icon, base),
    tag: cut(alert.tag, TITLE_MAX),
    quiet: alert.quiet === true,
  };
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    const said = value !== null && typeof value === 'object' && ('title' in value || 'body' in value);
    return said ? value : null;
  } catch {
    return null;
  }
}

// The documented mapping: JSON with a title or a body is an alert; all else is text.
export function alertOf(row) {
  const channel = row.channel ?? 'default';
  const title = row.type === 'message' ? channel : `${channel} · ${row.type}`;
  const data = parsed(row.data);
  return data === null ? { title, body: row.data } : { ...data, title: data.title ?? title };
}

// Lets `most` through in `ms`, so that whoever comes back to two thousand rows is not buried.
export class Flood {
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

// --- the browser's parts ------------------------------------------------------------------------

const locks = () => globalThis.navigator?.locks ?? null;

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
    if (locks() === null)
      return Promise.resolve(true);
    return new Promise((resolve) => {
      locks().request(lockName, { ifAvailable: true }, (lock) => {
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
    const { held } = await locks()?.query() ?? { held: [] };
    return held.some(({ name }) => name.startsWith(start) && Number(name.slice(start.length)) > Number(id));
  }

  // Runs fn while no other tab does: an older row must not replace a newer one of its tag. A tab
  // that hangs in there holds the others up for ALONE_MS only.
  async alone(fn) {
    if (locks() === null)
      return fn();
    const wait = new AbortController();
    const timer = setTimeout(() => wait.abort(), ALONE_MS);
    const begin = () => { clearTimeout(timer); return fn(); };
    try {
      return await locks().request(`rowcast-alerts:${this.name}`, { signal: wait.signal }, begin);
    } catch (error) {
      if (!wait.signal.aborted)
        throw error;
      return fn();
    }
  }
}

function activated(registration) {
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  if (worker?.state === 'activated')
    return Promise.resolve(registration);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the service worker does not start')), WORKER_MS);
    worker?.addEventListener('statechange', () => {
      if (worker.state === 'activated' || worker.state === 'redundant')
        clearTimeout(timer);
      if (worker.state === 'activated')
        resolve(registration);
      else if (worker.state === 'redundant')
        reject(new Error('the service worker did not install'));
    });
  });
}

async function register(worker) {
  if (typeof worker !== 'string' && !(worker instanceof URL))
    return activated(worker);
  return activated(await navigator.serviceWorker.register(worker));
}

// --- toasts ---------------------------------------------------------------------------------------

function element(name, className, text) {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  return node;
}

// Notes in an element of the page. They stay while the pointer or the focus is on them.
class Toasts {
  constructor(box, onclick) {
    this.box = box;
    this.onclick = onclick;
    this.more = null;
    if (!box.hasAttribute('role') && !box.hasAttribute('aria-live'))
      box.setAttribute('role', 'status');
  }

  show(alert, detail) {
    const toast = this.#make(alert, detail);
    this.#replaced(alert.tag)?.remove();
    if (alert.tag !== '')
      toast.dataset.tag = alert.tag;
    this.box.append(toast);
    while (this.box.childElementCount > TOASTS_MAX)
      this.box.firstElementChild.remove();
    this.#expire(toast);
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

// --- what a page sees -------------------------------------------------------------------------------

const DEFAULTS = {
  types: ['alert'],
  map: (event, alert) => alert,
  worker: 'alerts-sw.js',
  toasts: null,
  name: '',
  flood: FLOOD,
  more: (count) => ({ title: `${count} more`, body: '' }),
};

function settingsOf(options) {
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
  if (settings.toasts !== null && !(settings.toasts instanceof Element))
    throw new TypeError('toasts: not an element');
  return settings;
}

export class Alerts extends EventTarget {
  enabled = true;          // the person's own switch: false makes toasts of all
  #settings;
  #claims;
  #flood;
  #toasts;
  #registration = null;    // a promise of it
  #queue = [];
  #busy = false;
  #more = 0;               // in the toast that counts the others
  #closed = false;
  #undo = [];

  constructor(rows, options = {}) {
    super();
    this.#settings = settingsOf(options);
    this.#claims = new Claims(this.#settings.name);
    this.#flood = new Flood(this.#settings.flood);
    this.#toasts = this.#settings.toasts && new Toasts(this.#settings.toasts, (detail) => this.#clicked(detail));
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

  // 'granted', 'denied', 'default' (nobody has been asked) or 'unsupported'.
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
    this.#registration ??= register(this.#settings.worker);
    this.#registration.catch(() => { this.#registration = null; });   // the next row tries again
    return this.#registration;
  }

  // --- from rows to what is shown

  #take(event) {
    const given = this.#settings.map(event, alertOf(event));
    if (given === null || given === undefined)
      return;
    this.#queue.push({ id: event.lastEventId, alert: clean(given, document.baseURI) });
    this.#show();
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
    const claimed = notes.filter((_, n) => mine[n]);
    if (claimed.length > 0)
      await this.#claims.alone(() => this.#notifyClaimed(claimed));
  }

  async #notifyClaimed(notes) {
    const registration = await this.#worker().catch(() => null);
    let others = 0;
    for (const note of notes) {
      if (note.alert.tag !== '' && await this.#claims.isSuperseded(note.id, note.alert.tag))
        continue;
      if (this.#flood.lets(Date.now()))
        await this.#notify(registration, note);
      else
        others++;
    }
    if (others > 0)
      await this.#notifyMore(registration, others);
  }

  // By the service worker: Android has no other way, and only so is a click heard when the page
  // is gone. Where there is none (private windows of some browsers), by the page; else a toast.
  async #notify(registration, { id, alert }) {
    const { title, body, url, icon, tag, quiet } = alert;
    const { name } = this.#settings;
    const options = {
      body,
      // Without a tag of its own each stands by itself; the id's tag makes a second one harmless.
      tag: tag || `rowcast-${name}-${id}`,
      renotify: tag !== '' && !quiet,
      data: { rowcast: true, name, id, url, page: location.href },
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
      this.#toasts?.show(alert, { id, url });
    }
  }

  #construct(title, options) {
    const note = new Notification(title, options);
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

  // A toast is for whoever looks at this page, so no tab claims it.
  #toastAll(notes) {
    const few = notes.filter(() => this.#flood.lets(Date.now()));
    for (const { id, alert } of few)
      this.#toasts?.show(alert, { id, url: alert.url });
    if (notes.length > few.length)
      this.#toastMore(notes.length - few.length);
  }

  #toastMore(others) {
    if (this.#toasts === null)
      return;
    const there = [...this.#settings.toasts.children].some((one) => one.dataset.tag === MORE_TAG);
    this.#more = others + (there ? this.#more : 0);
    this.#toasts.show({ ...clean(this.#settings.more(this.#more), document.baseURI), tag: MORE_TAG }, { id: '', url: '' });
  }
}

export default Alerts;
