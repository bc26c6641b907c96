// rowcast.js - Rowcast: what a page sees. It has a cursor, and delivers what moves it.
//
// It begins by asking the server for itself (JSON): so it gets what it missed, and is refused by
// itself where it may not read. Then it joins the tabs, from which feeds come (cursor.js). When a
// feed shows that something is missing it asks the server again, for the part between.
import { CatchUp } from './catchup.js';
import { Cursor } from './cursor.js';
import { DetailEvent, RowEvent } from './events.js';
import { fitting, glob } from './glob.js';
import { Position } from './position.js';
import { address, fetchPageSoon, isId, sendRead, ticketOf } from './request.js';
import { settingsOf } from './settings.js';
import { Table } from './table.js';
import { Tabs } from './tabs.js';

const OUR_ROWS = ['rowcast:too-large', 'rowcast:read'];   // events that are rows of the log

export class Rowcast extends EventTarget {
  #settings;
  #matchers;                    // of the channels
  #cursor;                      // what has come to this tab,
  #delivered;                   // and up to where the listeners have had it
  #position;
  #predecessor;                 // how far the document was whose place this one has taken; null: none
  #isBeginning;                 // the rows of since or last are coming
  #tabs;
  #tables = new Map();          // by name
  #catchUp;                     // asks the server for what this tab has missed
  #isActive = false;            // false: closed, or put aside by the browser
  #closed = new AbortController();
  #status = { state: 'connecting', error: null, delay: null, transport: null };
  #handlers = {};
  #every = new EventTarget();          // for listeners of '*'
  #everyListeners = new WeakMap();

  constructor(url, options = {}) {
    super();
    this.#settings = settingsOf(url, options);
    this.#matchers = this.#settings.channels.map(glob);
    this.#position = new Position(options.storage, this.#settings);
    this.#predecessor = this.#position.read();
    const { lastEventId, first } = this.#settings;
    const hasFirst = first.since !== undefined || first.last !== undefined;
    this.#delivered = lastEventId ?? (hasFirst ? null : this.#predecessor);
    this.#isBeginning = hasFirst && lastEventId === null;
    this.#cursor = new Cursor(this.#delivered);
    this.#tabs = new Tabs({
      settings: this.#settings,
      cursor: this.#cursor,
      want: () => this.#want(),
      receive: (feed) => this.#receive(feed),
      setStatus: (status) => this.#setStatus(status),
      restart: () => this.#restart(),
    });
    this.#catchUp = new CatchUp(this.#settings.timeouts, {
      ask: (feed, signal) => this.#takePages(feed, signal),
      failed: ({ detail }, delay) => this.#setStatus({ state: 'retrying', error: detail, delay, transport: null }),
      caughtUp: () => this.#join(),
      receive: (feed) => this.#receive(feed),
    });
    this.#hearBrowser();
    // A moment later, so that the listeners that come next hear everything from the start.
    queueMicrotask(() => this.#resume());
  }

  get state() { return this.#status.state; }
  get transport() { return this.#status.transport; }
  get lastEventId() { return this.#delivered ?? ''; }
  get onstate() { return this.#handlers['rowcast:state'] ?? null; }
  set onstate(fn) { this.#handle('rowcast:state', fn); }
  get ongap() { return this.#handlers['rowcast:gap'] ?? null; }
  set ongap(fn) { this.#handle('rowcast:gap', fn); }

  // Returns a function that takes the listener off again.
  on(type, fn) {
    this.addEventListener(type, fn);
    return () => this.removeEventListener(type, fn);
  }

  addEventListener(type, fn, options) {
    if (String(type) === '*')
      this.#every.addEventListener('row', this.#everyListener(fn), options);
    else
      super.addEventListener(type, fn, options);
  }

  removeEventListener(type, fn, options) {
    if (String(type) === '*')
      this.#every.removeEventListener('row', this.#everyListener(fn), options);
    else
      super.removeEventListener(type, fn, options);
  }

  // The table of that name as a live Map (table.js); the same object each time, until it is closed.
  table(name) {
    if (typeof name !== 'string' || name === '')
      throw new TypeError('table: its name, a string, as `rowcast track` got it');
    if (!this.#tables.has(name)) {
      const settings = this.#settings;
      const forget = (table) => this.#tables.get(name) === table && this.#tables.delete(name);
      this.#tables.set(name, new Table(name, { settings, forget, wants: () => this.#tabs.wants() }));
      if (this.#isActive)
        this.#tables.get(name).start();
    }
    return this.#tables.get(name);
  }

  // The user has read the channel (null: that of the row) up to this id. Resolves to { channel, id }:
  // where the mark stands now. Only where the server knows the user by a name.
  async read(id, channel = null) {
    if (!isId(String(id)))
      throw new TypeError('id: not that of a row');
    const ticket = await ticketOf(this.#settings, this.#closed.signal);
    return sendRead(this.#settings, ticket, { id: String(id), ...(channel === null ? {} : { channel }) });
  }

  close() {
    if (this.#isActive)           // not while the page is left: a reload may follow
      this.#position.forget();
    this.#position.release();
    this.#suspend();
    this.#closed.abort();
    this.#setStatus({ state: 'closed', error: null, delay: null, transport: null });
  }

  // --- for the listeners: each may close this Rowcast at any time; #isActive says so

  #handle(type, fn) {
    this.removeEventListener(type, this.#handlers[type] ?? null);
    this.#handlers[type] = typeof fn === 'function' ? fn : null;
    this.addEventListener(type, this.#handlers[type]);
  }

  // A listener of '*' gets the row's own event, with the row's type, out of the one that it hears.
  #everyListener(fn) {
    if (!fn)
      return null;
    if (!this.#everyListeners.has(fn)) {
      const call = typeof fn === 'function' ? fn.bind(this) : (event) => fn.handleEvent(event);
      this.#everyListeners.set(fn, ({ row }) => call(row));
    }
    return this.#everyListeners.get(fn);
  }

  #setStatus(status) {
    if (this.#status.state === 'closed' || JSON.stringify(status) === JSON.stringify(this.#status))
      return;
    this.#status = status;
    this.dispatchEvent(new DetailEvent('rowcast:state', { detail: status }));
  }

  // Passes on the rows that are new to the cursor.
  #deliver({ rows, gap }) {
    if (gap !== null) {
      this.#delivered = gap.resumed_at;
      const init = { data: JSON.stringify(gap), lastEventId: gap.resumed_at };
      this.dispatchEvent(Object.assign(new MessageEvent('rowcast:gap', init), { detail: gap }));
    }
    for (const row of rows.filter((one) => this.#isMine(one))) {
      if (!this.#isActive)
        break;
      this.#delivered = row.id;
      const event = new RowEvent(row, this.#isHistory(row));
      this.dispatchEvent(event);
      if (row.event === 'rowcast:read')   // no row of the application's
        continue;
      this.#every.dispatchEvent(Object.assign(new Event('row'), { row: event }));
    }
    if (this.#isActive) {
      this.#delivered = this.#cursor.id;
      this.#position.write(this.#delivered);
    }
  }

  // A predecessor has had the rows up to where it was; the others are news.
  #isHistory({ id }) {
    return this.#isBeginning && (this.#predecessor === null || Number(id) <= Number(this.#predecessor));
  }

  // The channels to ask the shared stream for: those of the page and of its tables.
  #want() {
    const { channels } = this.#settings;
    const more = Array.from(this.#tables.values(), (table) => table.channel).filter((channel) => channel !== null);
    return channels.length === 0 ? [] : fitting([...new Set([...channels, ...more])]);
  }

  #isMine({ channel, event }) {
    if (event.startsWith('rowcast:') && !OUR_ROWS.includes(event))
      return false;
    return this.#matchers.length === 0 || (channel !== null && this.#matchers.some((one) => one.test(channel)));
  }

  // --- coming and going

  #hearBrowser() {
    const { window, document } = globalThis;
    const hear = (target, type, fn) => target?.addEventListener(type, fn, { signal: this.#closed.signal });
    hear(window, 'online', () => this.#wake({ isNewNetwork: true }));
    hear(window, 'offline', () => this.#tabs.offline());
    hear(document, 'visibilitychange', () => {
      if (document.visibilityState === 'visible')
        this.#wake({ isNewNetwork: false });
    });
    // A page that is put aside (back/forward cache, frozen) lets go of everything, so that another
    // tab leads at once and the browser may keep the page.
    hear(window, 'pagehide', () => this.#suspend());
    hear(document, 'freeze', () => this.#suspend());
    hear(window, 'pageshow', (event) => event.persisted && this.#resume());
    hear(document, 'resume', () => this.#resume());
  }

  #wake(why) {
    this.#catchUp.wake();
    this.#tables.forEach((table) => table.wake());
    this.#tabs.wake(why);
  }

  #suspend() {
    this.#isActive = false;
    this.#tables.forEach((table) => table.stop());
    this.#tabs.leave();
    this.#catchUp.stop();
  }

  #resume() {
    if (this.#isActive || this.#status.state === 'closed')
      return;
    this.#isActive = true;
    this.#setStatus({ state: 'connecting', error: null, delay: null, transport: null });
    if (!this.#isActive)
      return;
    this.#tables.forEach((table) => table.start());
    this.#catchUp.run(null);
  }

  #restart() {
    this.#suspend();
    this.#resume();
  }

  // --- taking feeds in

  #receive(feed) {
    this.#tables.forEach((table) => table.receive(feed));
    if (this.#catchUp.isRunning) {
      this.#catchUp.keep(feed);
      return;
    }
    this.#setStatus(feed.status);
    if (!this.#isActive)
      return;
    const taken = this.#cursor.take(feed);
    if (taken.missed === undefined)
      this.#deliver(taken);
    else if (taken.missed === 'nothing')
      this.#tabs.ask();           // so the leader learns of the newer era
    else
      this.#catchUp.run(feed);
  }

  #join() {
    this.#isBeginning = false;
    if (!this.#tabs.hasJoined)
      this.#tabs.join();
  }

  async #takePages(feed, signal) {
    const cursor = this.#cursor;
    const { era } = cursor;
    const hasAll = () => feed !== null && Number(cursor.id) >= Number(feed.from);
    let page;
    do {
      page = await this.#fetchPage(signal);
      signal.throwIfAborted();
      this.#deliver(cursor.take(cursor.feed(page)));
      signal.throwIfAborted();     // a listener may have closed
    } while (page.events.length > 0 && !hasAll());
    if (feed === null)
      return;
    if (era === cursor.era && !hasAll())
      cursor.id = feed.from;
    cursor.era = Math.max(cursor.era, feed.era);
  }

  async #fetchPage(signal) {
    const { id } = this.#cursor;
    const start = id === null ? this.#settings.first : { last_event_id: id };
    const ticket = await ticketOf(this.#settings, signal);
    const url = address(this.#settings, fitting(this.#settings.channels), start);
    return fetchPageSoon(this.#settings, { url, ticket }, signal);
  }
}
