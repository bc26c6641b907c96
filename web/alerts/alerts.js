// alerts.js - Alerts: what a page sees. From rows to notifications, or to toasts.
import { Flood, alertOf, clean } from './alert.js';
import { Claims } from './claims.js';
import { PushLedger, subscribePush, unsubscribePush } from './push.js';
import { Toasts } from './toasts.js';
import { Unread, markIn } from './unread.js';
import { workerOf } from './worker.js';

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

export class Alerts extends EventTarget {
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
