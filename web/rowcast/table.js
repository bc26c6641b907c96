// table.js - Table: a tracked table on the page, complete and current, as a live Map of key to row.
//
// A table is a reader like the page itself: its copy is right up to an id, its cursor, and the feeds
// that come to this tab take it on (cursor.js). Where it has nothing, or a feed shows that something is
// missing, it asks the server with state=: that brings the rows between, or the whole table.
//
// Each tab asks for itself, with a request of its own: an answer of bounded size, of which the server
// makes one for many readers. A large copy through a BroadcastChannel would stop all tabs; and a name
// that is not tracked, or not allowed, is refused to this table and disturbs no rows. A part of the state
// says on which channel the changes come. So the shared stream is asked for that channel as for any
// other, and never carries a state: the changes of all tables reach all tabs by one connection.
//
// host is the Rowcast: { settings, wants(), forget(table) }.
import { CatchUp } from './catchup.js';
import { Copy, changeOf } from './copy.js';
import { Cursor } from './cursor.js';
import { DetailEvent } from './events.js';
import { covers, fitting, glob } from './glob.js';
import { Failure, address, fetchTable, ticketOf } from './request.js';
import { backoff, sleep } from './time.js';

const BEHIND_MS = 50;           // first delay where the server that answers is behind the stream,
const BEHIND_TIMES = 8;         // and so often; it doubles: more than 10 seconds
const NOT_TRACKED = 400;        // HTTP's status for a name that is none of a tracked table

export class Table extends EventTarget {
  #name;
  #host;
  #channels;                    // those of the page,
  #matchers;                    // and as expressions
  #copy = new Copy();           // as the page sees it
  #next = null;                 // one that is not complete yet, and takes its place then
  #cursor = null;               // of #next, or else of #copy; null: there is nothing to go on from
  #catchUp;                     // asks the server
  #isActive = false;
  #isAllowed = false;           // the server has answered since the start
  #wanted = null;               // the channel that the tabs know
  #state = 'loading';
  #error = null;
  #snapshot = null;             // of the rows as they are; null: to be made
  #promise = null;              // of ready, once the page reads it: { ready, resolve, reject }

  constructor(name, host) {
    super();
    this.#name = name;
    this.#host = host;
    this.#channels = host.settings.channels;
    this.#matchers = this.#channels.map(glob);
    this.#catchUp = new CatchUp(host.settings.timeouts, {
      ask: (feed, signal) => this.#takePages(feed, signal),
      failed: (failure, delay) => this.#fail(failure, delay),
      caughtUp: () => this.#tellChannel(),
      receive: (feed) => this.receive(feed),
    });
  }

  // --- what a page sees: the Map,

  get size() { return this.#copy.rows.size; }
  get(key) { return this.#copy.rows.get(key); }
  has(key) { return this.#copy.rows.has(key); }
  keys() { return this.#copy.rows.keys(); }
  values() { return this.#copy.rows.values(); }
  entries() { return this.#copy.rows.entries(); }
  [Symbol.iterator]() { return this.#copy.rows.entries(); }
  forEach(fn, self) { this.#copy.rows.forEach((row, key) => fn.call(self, row, key, this)); }

  // and what it is, and what has changed.

  get name() { return this.#name; }
  get state() { return this.#state; }
  get error() { return this.#error; }

  // Resolved with this table when it is complete, rejected when the server refuses it. Made for those
  // who ask for it only: a refusal is no error of the page's if the page does not wait.
  get ready() {
    if (this.#promise !== null)
      return this.#promise.ready;
    const promise = {};
    promise.ready = new Promise((resolve, reject) => Object.assign(promise, { resolve, reject }));
    this.#promise = promise;
    this.#settle();
    return promise.ready;
  }

  // A Map that does not change: the same one until the table has changed, then another one. So two of
  // them can be compared by identity, as React's useSyncExternalStore does. (Functions of the object,
  // as they are handed over by name.)
  getSnapshot = () => {
    this.#snapshot ??= new Map(this.#copy.rows);
    return this.#snapshot;
  };

  // The contract of Svelte's stores: calls fn with the snapshot at once and after each change. Returns a
  // function that ends that.
  subscribe = (fn) => {
    const off = this.on('change', () => fn(this.getSnapshot()));
    fn(this.getSnapshot());
    return off;
  };

  on(type, fn) {
    this.addEventListener(type, fn);
    return () => this.removeEventListener(type, fn);
  }

  close() {
    this.stop();
    this.#host.forget(this);
  }

  // --- called by Rowcast

  // The channel to ask the shared stream for; null: none but the page's own, or none yet.
  get channel() { return this.#isAllowed ? this.#known.channel : null; }

  start() {
    if (this.#isActive)
      return;
    this.#isActive = true;
    this.#catchUp.run(null);
  }

  stop() {
    this.#isActive = false;
    this.#isAllowed = false;
    this.#wanted = null;
    this.#catchUp.stop();
  }

  wake() {
    this.#catchUp.wake();
  }

  receive(feed) {
    if (!this.#isActive)
      return;
    if (this.#catchUp.isRunning)
      this.#keep(feed);
    else
      this.#take(feed);
  }

  // A migration untracks a table and tracks it again: a refusal of the time between is old then.
  #keep(feed) {
    if (feed.rows.some((row) => this.#isReset(row)))
      this.#catchUp.askAgain();
    this.#catchUp.keep(feed);
  }

  #isReset(row) {
    const change = row.event === 'change' ? changeOf(row) : null;
    return change?.op === 'reset' && String(change.table).toLowerCase() === this.#name.toLowerCase();
  }

  // --- taking changes

  get #known() { return this.#next ?? this.#copy; }

  // Whether a stream of these channels (null: there is none) has all changes of the table.
  #isIn(channels) {
    const { channel } = this.#known;
    return channels !== null && covers(channels, channel === null ? this.#channels : [channel]);
  }

  #isMine(row) {
    const { channel } = this.#known;
    if (channel !== null)
      return row.channel === channel;
    return this.#matchers.length === 0 || this.#matchers.some((one) => one.test(row.channel ?? ''));
  }

  #take(feed) {
    if (!this.#isIn(feed.channels))
      return;
    this.#cursor.era ??= feed.era;
    const { missed = null, rows = [], gap = null } = this.#cursor.take(feed);
    // Of another era, before or after: who is right will show.
    const isLost = gap !== null || missed === 'reset' || missed === 'nothing' || !this.#apply(rows);
    if (isLost)
      this.#cursor = null;
    if (isLost || missed === 'rows')
      this.#catchUp.run(feed);
    else
      this.#tell();
  }

  // Returns false where the copy is of no use any more.
  #apply(rows) {
    const copy = this.#known;
    for (const row of rows.filter((one) => this.#isMine(one))) {
      if (row.event === 'rowcast:too-large')
        return false;             // the event does not say which row it is about
      const change = row.event === 'change' ? changeOf(row) : null;
      if (change?.table === copy.name && !copy.apply(row.id, change))
        return false;
    }
    return true;
  }

  // Reports what has changed, once the copy is complete.
  #tell() {
    let changes = [];
    if (this.#next === null) {
      changes = this.#copy.changes();
    } else if (Number(this.#cursor.id) >= Number(this.#next.until)) {
      changes = this.#next.changesFrom(this.#copy);
      this.#copy = this.#next;
      this.#next = null;
      this.#setState('ready', null);
    }
    if (changes.length === 0)
      return;
    this.#snapshot = null;
    this.dispatchEvent(new DetailEvent('change', { detail: { changes } }));
  }

  #setState(state, error, delay = null) {
    const isSame = this.#state === state && this.#error?.message === error?.message;
    this.#state = state;
    this.#error = error;
    this.#settle();
    if (!isSame)
      this.dispatchEvent(new DetailEvent('state', { detail: { state, error, delay } }));
  }

  // After a refusal a new promise replaces `ready`.
  #settle() {
    if (this.#state === 'ready')
      this.#promise?.resolve(this);
    if (this.#state !== 'failed' || !this.#error.refused)
      return;
    const { message, status, refused } = this.#error;
    this.#promise?.reject(Object.assign(new Error(`table ${this.#name}: ${message}`), { status, refused }));
    this.#promise = null;
  }

  // --- asking the server

  // A table that is not tracked any more (400) may be again: its channel is still read.
  #fail({ refused, detail }, delay) {
    this.#isAllowed &&= !refused || detail.status === NOT_TRACKED;
    this.#setState('failed', detail, delay);
  }

  #tellChannel() {
    if (this.channel === this.#wanted)
      return;
    this.#wanted = this.channel;
    this.#host.wants();
  }

  async #takePages(feed, signal) {
    for (let behind = 0; ;) {
      const { page, copy } = await this.#fetch(signal);
      signal.throwIfAborted();
      this.#takePage(page, copy);
      signal.throwIfAborted();     // a listener may have closed
      const goal = Math.max(feed?.from ?? 0, this.#next?.until ?? 0);
      if (this.#cursor !== null && Number(this.#cursor.id) >= goal)
        return;
      if (page.events.length > 0 && this.#cursor !== null)
        continue;
      if (++behind > BEHIND_TIMES && this.#cursor !== null) {
        this.#cursor.id = String(goal);   // it is of another database's ids: the next gap says so
        this.#tell();
        return;
      }
      await sleep(backoff(behind, BEHIND_MS, Infinity), signal);   // another worker may be a moment behind
    }
  }

  async #fetch(signal) {
    const { settings } = this.#host;
    const ticket = await ticketOf(settings, signal);
    const channel = this.#cursor === null ? null : this.#known.channel;
    const channels = channel === null ? fitting(this.#channels) : [channel];
    const url = address(settings, channels, { state: this.#name, last_event_id: this.#cursor?.id });
    const copy = new Copy();
    const page = await fetchTable(settings, { url, ticket }, signal, (part) => copy.add(part));
    page.state?.forEach((part) => copy.add(part));
    return { page, copy: page.state === undefined ? null : copy };
  }

  #takePage({ last_event_id: id, events, gap }, copy) {
    if (copy !== null) {
      this.#next = copy;
      this.#cursor = new Cursor(id, null);    // of the era that the next feed is of
      this.#checkChannels();
    } else if (gap !== null || this.#cursor === null) {
      throw new Failure('the server has left the state of the table out');
    } else if (Number(id) > Number(this.#cursor.id)) {
      this.#cursor.id = id;
    }
    this.#isAllowed = true;
    if (this.#apply(events))
      this.#tell();
    else
      this.#cursor = null;
  }

  #checkChannels() {
    const isCut = fitting(this.#channels).length < this.#channels.length;
    if (this.#next.channel === null && isCut)
      throw Object.assign(new Failure('its rows have channels, and one request cannot name all of the page\'s'),
        { refused: true });
  }
}
