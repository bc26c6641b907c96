// rowcast.js - reads rowcast's event stream in a page: one connection for all tabs, nothing lost.
//
//   import { Rowcast } from './rowcast.js';
//   const rows = new Rowcast('/events', { channels: ['orders.*'] });
//   rows.on('paid', (event) => console.log(event.channel, event.json()));
//
// The manual is doc/JAVASCRIPT.md, the protocol doc/PROTOCOL.md. No dependencies; copy this file.
//
// How it works. The server's table is a log with growing ids, and whoever has every row up to an
// id needs nothing but that id to go on. So everything here passes *feeds* along: "these are all
// rows above `from` up to `to`". Each tab has a Cursor, takes of a feed what is above it, and sees
// from `from` when something is missing; then it asks the server for the part between (JSON).
//
//   transports (EventSource, NDJSON, long poll, poll) → Link → Source ──feed──▶ Rowcast of this tab
//                                            one tab leads │                    Cursor → listeners
//                                                          └─BroadcastChannel─▶ Rowcast of the others
//
// That is why two leaders at once (one was frozen, and wakes) do no harm: a feed that was had
// already adds nothing. The Web Lock keeps connections few; the cursors keep rows right.

const TIMEOUTS = {   // milliseconds
  open: 8000,        // for the opening to arrive, else the next transport is tried
  request: 20000,    // for a JSON answer
  retry: 3000,       // first delay after a failure; doubles up to
  retryMax: 30000,
  refused: 300000,   // delay after a refusal (401, 403, 400 ...), which time seldom mends
  silence: 150000,   // without a byte, while the server's heartbeat is not known yet
  wait: 25000,       // of a long poll
  poll: 5000,        // between two polls
  upgrade: 60000,    // while polling: first delay before streaming is tried again; doubles, up to
  upgradeMax: 600000,
  life: 5000,        // a leading tab that was silent for so long is asked for a sign of life,
  answer: 2000,      // and replaced when none comes in this time
};
const TRANSPORTS = ['eventsource', 'fetch', 'longpoll', 'poll'];
const CHANNELS_MAX = 64;      // the server's limit for one request
const QUERY_MAX = 6000;       // characters; the server's is 8192, with the other parameters
const QUEUE_MAX = 1000;       // feeds kept while a tab asks for what it missed

// --- pure parts (also for the unit tests) ---------------------------------------------------

const code = (character) => character.codePointAt(0);

// Reads the set behind `[` at want[at]. Returns where it ends, 0 if it does not hold `character`.
function matchSet(want, at, character) {
  const c = code(character);
  let seen = false;
  let prior = -1;
  const inverted = want[at] === '^';
  if (inverted)
    at++;
  if (want[at] === ']') {   // first in the set, it stands for itself
    seen = c === code(']');
    at++;
  }
  for (; at < want.length; at++) {
    if (want[at] === ']')
      return seen !== inverted ? at + 1 : 0;
    if (want[at] === '-' && prior >= 0 && at + 1 < want.length && want[at + 1] !== ']') {
      at++;
      seen ||= prior <= c && c <= code(want[at]);
      prior = -1;
    } else {
      prior = code(want[at]);
      seen ||= c === prior;
    }
  }
  return 0;                 // a set without its `]` holds nothing
}

// SQLite's GLOB, as the server does it (filter.c): only the last star is ever tried again.
export function glob(pattern, text) {
  const want = Array.from(pattern);
  const have = Array.from(text);
  let [w, h, starW, starH] = [0, 0, -1, 0];
  for (;;) {
    if (want[w] === '*') {
      starW = ++w;
      starH = h;
      continue;
    }
    if (w === want.length && h === have.length)
      return true;
    if (w < want.length && h < have.length) {
      const literal = want[w] === '?' || (want[w] !== '[' && want[w] === have[h]);
      const next = want[w] === '[' ? matchSet(want, w + 1, have[h]) : literal && w + 1;
      if (next) {
        w = next;
        h++;
        continue;
      }
    }
    if (starW < 0 || starH === have.length)
      return false;
    h = ++starH;
    w = starW;
  }
}

const isExact = (pattern) => !/[*?[]/.test(pattern);
const includes = (patterns, one) => patterns.includes(one)
  || (isExact(one) && patterns.some((pattern) => glob(pattern, one)));

// Whether a reader of the channels and types `have` gets all that one of `want` wants. No channel
// is every channel; types null is every type.
export function covers(have, want) {
  const channels = have.channels.length === 0
    || (want.channels.length > 0 && want.channels.every((one) => includes(have.channels, one)));
  const types = have.types === null
    || (want.types !== null && want.types.every((type) => have.types.includes(type)));
  return channels && types;
}

// The least that covers all of `wants`. Too many channels for one request: all, and tabs choose.
export function union(wants) {
  let channels = wants.some((want) => want.channels.length === 0) ? []
    : [...new Set(wants.flatMap((want) => want.channels))].sort();
  channels = channels.filter((one) => !channels.some((other) => other !== one && includes([other], one)));
  if (channels.length > CHANNELS_MAX
      || channels.reduce((sum, one) => sum + encodeURIComponent(one).length + 9, 0) > QUERY_MAX)
    channels = [];
  const types = wants.some((want) => want.types === null) ? null
    : [...new Set(wants.flatMap((want) => want.types))].sort();
  return { channels, types };
}

// Cuts a stream of text pieces into lines.
export class Lines {
  #rest = '';

  push(piece) {
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop();
    return lines;
  }
}

// The nth delay in a row: doubles from first to max, and is spread by a quarter either way.
export function backoff(n, first, max, random = Math.random) {
  return Math.min(first * 2 ** Math.max(0, n - 1), max) * (0.75 + random() / 2);
}

const isReset = (gap) => gap !== null && gap.reason !== 'pruned';

// What one tab has: every row up to `id` (null: not known yet). After a `reset` gap ids start
// anew, perhaps lower; `era` counts those, so that a feed of the time before is known as such.
export class Cursor {
  constructor(id = null, era = 0) {
    this.id = id;
    this.era = era;
  }

  // Moves over a feed. Returns { rows, gap } that are new; or, without moving, { missed } with
  // why not: 'rows' (some between here and its start), 'reset' (one), 'nothing' (the feed is old).
  take(feed) {
    if (feed.era < this.era)
      return { missed: 'nothing' };
    if (this.id === null)
      this.id = feed.from;
    else if (!isReset(feed.gap) && feed.era > this.era)
      return { missed: 'reset' };
    else if (!isReset(feed.gap) && Number(feed.from) > Number(this.id))
      return { missed: 'rows' };
    const old = Number(this.id);
    const reset = isReset(feed.gap);
    this.era = feed.era;
    if (reset || Number(feed.to) > old)
      this.id = feed.to;
    return {
      rows: feed.rows.filter((row) => reset || Number(row.id) > old),
      gap: reset || (feed.gap !== null && Number(feed.to) > old) ? feed.gap : null,
    };
  }
}

// --- requests ---------------------------------------------------------------------------------

class Failure extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
    // A status that comes of the request itself: asking again soon will not help.
    this.refused = status >= 400 && status < 500 && ![408, 425, 429].includes(status);
  }

  get detail() {
    return { message: this.message, status: this.status, refused: this.refused };
  }
}

const asFailure = (error) => (error instanceof Failure ? error : new Failure(String(error?.message ?? error)));

function address(settings, channels, params) {
  const url = new URL(settings.url);
  for (const channel of channels)
    url.searchParams.append('channel', channel);
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined)
      url.searchParams.set(name, value);
  }
  return url.href;
}

// A fetch that is sure of status and type: a login page or a portal also answers 200.
async function request(settings, url, type, signal) {
  const response = await fetch(url, {
    headers: { Accept: type },
    credentials: settings.withCredentials ? 'include' : 'same-origin',
    cache: 'no-store',
    signal,
  });
  if (!response.ok) {
    const text = (await response.text().catch(() => '')).trim();
    const reason = /^[^<\n]{1,300}$/.test(text) ? text : response.statusText;
    throw new Failure(`${response.status} ${reason}`.trim(), response.status);
  }
  if (!(response.headers.get('Content-Type') ?? '').startsWith(type))
    throw new Failure(`the answer is not ${type}: is ${new URL(url).pathname} rowcast's address?`);
  return response;
}

// One JSON document: { last_event_id, gap, events }.
async function fetchPage(settings, channels, params, signal) {
  const response = await request(settings, address(settings, channels, params), 'application/json', signal);
  const page = await response.json();
  if (typeof page?.last_event_id !== 'string' || !Array.isArray(page.events))
    throw new Failure('the server has no room for this reader just now');
  return page;
}

// The same with a limit of time, for when nothing else watches it.
async function fetchPageSoon(settings, channels, params, signal) {
  const abort = new AbortController();
  const stop = () => abort.abort();
  const timer = setTimeout(stop, settings.timeouts.request);
  signal.addEventListener('abort', stop);
  try {
    signal.throwIfAborted?.();
    return await fetchPage(settings, channels, params, abort.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

// --- transports: each opens its way for a Link, tells it what comes, and ends when aborted -----

const sleep = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); });
});

const OPEN_WITH = {
  // EventSource calls listeners by type and has none for all types: those that nobody wants pass
  // unheard. envelope=1 brings channel and time, ping=1 heartbeats that a page can see.
  eventsource(link) {
    const source = new EventSource(link.address({ envelope: 1, ping: 1 }),
      { withCredentials: link.settings.withCredentials });
    const hear = (type, fn) => source.addEventListener(type, (event) => {
      if (typeof event.data === 'string')
        link.parsed(() => fn(JSON.parse(event.data), event.data));
    });
    hear('rowcast:open', (data) => link.opened(data.last_event_id));
    hear('rowcast:ping', (data) => link.beat(data.last_event_id));
    hear('rowcast:gap', (data) => link.gap(data));
    hear('rowcast:too-large', (data, text) => link.rows([{ id: data.id, channel: null,
      event: 'rowcast:too-large', data: text, created_at: null }]));
    for (const type of link.covers.types)
      hear(type, (row) => link.rows([row]));
    source.addEventListener('error', () => {
      // After a stream that was open the browser comes back by itself, at the time that the
      // server asked for (retry:). Once; and not with a ticket, which would be the old one.
      if (source.readyState === EventSource.CONNECTING && link.open && !link.params.ticket)
        link.dropped();
      else
        link.ended(new Failure('the event stream failed'));
    });
    link.signal.addEventListener('abort', () => source.close());
  },

  async fetch(link) {
    const response = await request(link.settings, link.address({}), 'application/x-ndjson', link.signal);
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    const lines = new Lines();
    for (;;) {
      const { done, value } = await reader.read();
      if (done)
        throw new Failure('the stream ended');
      link.parsed(() => link.lines(lines.push(decoder.decode(value, { stream: true }))));
    }
  },

  longpoll: (link) => pollFor(link, { wait: Math.round(link.settings.timeouts.wait / 1000) }),
  poll: (link) => pollFor(link, null),
};

// The first request never waits: its answer shows that this way works. An answer is a page of
// rows, and there may be more until one is empty.
async function pollFor(link, waiting) {
  let params = {};
  while (!link.signal.aborted) {
    const page = await fetchPage(link.settings, link.covers.channels,
      { ...link.params, last_event_id: link.source.cursor, ...params }, link.signal);
    link.page(page);
    if (page.events.length === 0 && waiting === null)
      await sleep(link.settings.timeouts.poll, link.signal);
    params = page.events.length === 0 && waiting !== null ? waiting : {};
  }
}

const isStream = (transport) => transport === 'eventsource' || transport === 'fetch';

// One attempt with one transport. After close() it is deaf: a late event of an old connection
// changes nothing.
class Link {
  open = false;
  heardAt = Date.now();
  answers = 0;            // JSON documents
  #abort = new AbortController();

  constructor(source, transport, want, params) {
    this.source = source;
    this.settings = source.settings;
    this.transport = transport;
    this.covers = { channels: want.channels, types: transport === 'eventsource' ? want.types : null };
    this.params = params;
    this.signal = this.#abort.signal;
  }

  start() {
    this.parsed(async () => OPEN_WITH[this.transport](this));
  }

  close() {
    this.#abort.abort();
  }

  address(extra) {
    return address(this.settings, this.covers.channels, { last_event_id: this.source.cursor,
      throttle: this.settings.throttle, ...this.params, ...extra });
  }

  // Runs what reads from outside: whatever is wrong there ends this link.
  parsed(fn) {
    const fail = (error) => this.ended(error);
    try {
      Promise.resolve(fn()).catch(fail);
    } catch (error) {
      fail(error);
    }
  }

  opened(id) { this.#hear(() => this.source.opened(this, id)); }
  rows(rows) { this.#hear(() => this.source.rows(rows)); }
  gap(gap) { this.#hear(() => this.source.gap(gap)); }
  beat(id) { this.#hear((since) => this.source.beat(this, id, since)); }
  dropped() { this.#hear(() => this.source.dropped(this)); }
  ended(error) { this.#hear(() => this.source.ended(this, asFailure(error))); }

  lines(lines) {
    const rows = [];
    const flush = () => rows.length && this.rows(rows.splice(0));
    for (const line of lines) {
      const item = line === '' ? null : JSON.parse(line);
      if (item?.id !== undefined) {
        rows.push(item);
        continue;
      }
      flush();
      if (item === null)
        this.beat(null);
      else if (item.gap)
        this.gap(item.gap);
      else if (item.last_event_id !== undefined)
        this.opened(item.last_event_id);
    }
    flush();
  }

  page(page) {
    this.answers++;
    if (!this.open)
      this.opened(page.last_event_id);
    if (page.gap)
      this.gap(page.gap);
    this.rows(page.events);
    this.beat(page.last_event_id);
  }

  #hear(fn) {
    if (this.signal.aborted)
      return;
    const since = Date.now() - this.heardAt;
    this.heardAt = Date.now();
    fn(since);
  }
}

// --- Source: a connection that lasts --------------------------------------------------------------

// Keeps one Link going from a cursor: picks the transport, comes back after failures, watches for
// silence. host.feed(part) gets what comes; host.want() says what to read; host.refused(failure)
// returns true if it is worth another try at once.
class Source {
  state = 'connecting';
  #bad = new Set();       // transports that did not work here
  #failures = 0;
  #oddities = 0;          // times that EventSource failed where JSON did not
  #cuts = 0;              // times that a long poll's first request that waits was cut
  #upgrades = 0;
  #beatMs = 0;            // the server's heartbeat; 0: not known yet
  #ticketRenewed = false;
  #link = null;
  #trial = null;          // beside a polling link, the stream that shall replace it
  #timers = {};
  #stopped = false;

  constructor(host, cursor) {
    this.host = host;
    this.settings = host.settings;
    this.cursor = cursor.id;
    this.era = cursor.era;
    this.#connect();
  }

  get transport() { return this.#link?.open ? this.#link.transport : null; }
  get covers() { return this.#link?.open ? this.#link.covers : null; }

  stop() {
    this.#stopped = true;
    this.#drop();
  }

  // Perhaps more is wanted now. Rows of it may have passed unheard: start again from the cursor.
  // Returns whether what is open serves all. (What is not open yet looks again when it is.)
  want() {
    if (this.covers === null || covers(this.covers, this.host.want()))
      return true;
    this.#timer('retry', 20, () => this.#connect());
    return false;
  }

  // Something happened that makes it likely that the connection is gone, or can be had now.
  wake(sure = false) {
    if (this.#stopped || (this.#link === null && !this.#timers.retry))
      return;
    if (sure)
      this.#bad.clear();
    if (this.#link === null || sure || Date.now() - this.#link.heardAt > this.#silenceMs())
      this.#connect();
  }

  offline() {
    this.#say('offline');
  }

  // --- what links tell

  opened(link, id) {
    if (link === this.#trial) {
      this.#link.close();
      this.#link = link;
      this.#trial = null;
      this.#bad.delete(link.transport);
    }
    link.open = true;
    this.cursor ??= id;
    this.#failures = this.#oddities = 0;
    this.#ticketRenewed = false;
    this.#timer('open');
    this.#timer('upgrade');
    if (isStream(link.transport))
      this.#upgrades = 0;
    else
      this.#planUpgrade();
    this.#say(isStream(link.transport) ? 'open' : 'fallback');
    this.#watch();
    this.want();
  }

  rows(rows) {
    const fresh = rows.filter((row) => Number(row.id) > Number(this.cursor));
    if (fresh.length > 0)
      this.#feed({ rows: fresh, to: fresh.at(-1).id });
  }

  gap(gap) {
    if (isReset(gap))
      this.era++;
    else if (Number(gap.resumed_at) <= Number(this.cursor))
      return;
    this.#feed({ gap, to: gap.resumed_at });
  }

  // A heartbeat, `since` milliseconds after whatever came before it. The server sends one when
  // nothing else was sent for an interval, so that is the interval; never learn a short one fast.
  beat(link, id, since) {
    if (link.open && isStream(link.transport) && since > 100) {
      this.#beatMs = Math.min(60000, since > this.#beatMs ? since : (this.#beatMs + since) / 2);
      this.#watch();
    }
    const to = id !== null && Number(id) > Number(this.cursor) ? id : this.cursor;
    this.#feed({ to });
  }

  dropped(link) {
    link.open = false;
    this.#say('retrying');
  }

  async ended(link, failure) {
    if (link === this.#trial) {
      this.#dropTrial();
      return;
    }
    const wasOpen = link.open;
    this.#drop();
    if (link.transport === 'longpoll' && wasOpen) {
      this.#cuts = link.answers === 1 ? this.#cuts + 1 : 0;
      if (this.#cuts > 1)
        this.#bad.add('longpoll');   // something between ends requests that wait
    }
    if (link.transport === 'eventsource' && !wasOpen)
      failure = await this.#ask(link, failure);
    if (!this.#stopped && this.#link === null)
      this.#fail(failure);
  }

  // --- its own doings

  // EventSource does not tell why it failed; a JSON request for the same does.
  async #ask(link, failure) {
    const abort = this.#timers.asking = new AbortController();
    try {
      await fetchPageSoon(this.settings, link.covers.channels,
        { ...link.params, last_event_id: this.cursor }, abort.signal);
      if (++this.#oddities > 1)
        this.#bad.add('eventsource');
      return failure;
    } catch (error) {
      return asFailure(error);
    }
  }

  #fail(failure) {
    if (failure.status === 401 && typeof this.settings.ticket === 'function' && !this.#ticketRenewed) {
      this.#ticketRenewed = true;
      this.#connect();
      return;
    }
    if (failure.refused && this.host.refused(failure)) {
      this.#connect();
      return;
    }
    const { retry, retryMax, refused } = this.settings.timeouts;
    const delay = failure.refused ? refused : backoff(++this.#failures, retry, retryMax);
    this.#timer('retry', delay, () => this.#connect());
    this.#say('retrying', failure.detail, Math.round(delay));
  }

  #usable() {
    const all = this.host.want().types === null;
    return this.settings.transports.filter((name) => (name === 'eventsource'
      ? typeof EventSource === 'function' && !all : typeof fetch === 'function'));
  }

  async #connect() {
    this.#drop();
    const usable = this.#usable();
    if (usable.every((name) => this.#bad.has(name)))
      this.#bad.clear();
    if (usable.length === 0) {
      this.#say('retrying', new Failure('this browser has none of the transports', 0).detail);
      return;
    }
    if (!['retrying', 'offline'].includes(this.state))
      this.#say('connecting');
    const link = await this.#open(usable.find((name) => !this.#bad.has(name)), (made) => { this.#link = made; });
    // It may have failed at once, and another may be on its way.
    if (link !== null && link === this.#link && !link.open)
      this.#timer('open', this.settings.timeouts.open, () => this.#unanswered(link));
  }

  async #open(transport, keep) {
    const link = new Link(this, transport, this.host.want(), {});
    keep(link);
    try {
      const ticket = await this.settings.getTicket();
      if (link.signal.aborted)
        return null;
      if (ticket !== null)
        link.params.ticket = ticket;
    } catch (error) {
      link.ended(new Failure(`no ticket: ${error?.message ?? error}`));
      return null;
    }
    link.start();
    return link;
  }

  // Connected or not, no word has come: a proxy or a virus scanner holds it back, or the server is
  // stuck. The next way down is tried at once; behind the last one it is the server.
  #unanswered(link) {
    this.#bad.add(link.transport);
    const failure = new Failure(`no answer in ${this.settings.timeouts.open} ms by ${link.transport}`);
    const more = this.#usable().some((name) => !this.#bad.has(name));
    this.#drop();
    if (more)
      this.#connect();
    else
      this.#fail(failure);
  }

  #planUpgrade() {
    const target = this.#usable().find(isStream);
    if (target === undefined)
      return;
    const { upgrade, upgradeMax, open } = this.settings.timeouts;
    this.#timer('upgrade', backoff(++this.#upgrades, upgrade, upgradeMax), async () => {
      const trial = await this.#open(target, (made) => { this.#trial = made; });
      if (trial !== null && trial === this.#trial)
        this.#timer('upgrade', open, () => this.#dropTrial());
    });
  }

  #dropTrial() {
    this.#trial?.close();
    this.#trial = null;
    this.#planUpgrade();
  }

  // By the clock, as timers stand still while a laptop sleeps.
  #watch() {
    const link = this.#link;
    const left = link.heardAt + this.#silenceMs() - Date.now();
    this.#timer('silence', Math.max(left, 50), () => {
      if (Date.now() - link.heardAt >= this.#silenceMs()) {
        this.#say('retrying', new Failure('the connection went silent').detail);
        this.#connect();
      } else {
        this.#watch();
      }
    });
  }

  #silenceMs() {
    const { silence, wait, poll, request: limit } = this.settings.timeouts;
    if (!isStream(this.#link?.transport))
      return limit + Math.max(wait, poll);
    return this.#beatMs > 0 ? Math.max(2.5 * this.#beatMs, 1000) : silence;
  }

  #feed(part) {
    // Whatever the browser thinks of the network: it works.
    const state = this.#link?.open ? (isStream(this.#link.transport) ? 'open' : 'fallback') : this.state;
    if (state !== this.state)
      this.#say(state);
    const from = this.cursor;
    this.cursor = part.to;
    this.host.feed({ era: this.era, from, rows: [], gap: null, ...part });
  }

  #say(state, error = null, delay = null) {
    this.state = state === 'retrying' && globalThis.navigator?.onLine === false ? 'offline' : state;
    this.error = error;
    this.delay = delay;
    this.host.feed({ era: this.era, from: this.cursor, to: this.cursor, rows: [], gap: null });
  }

  #drop() {
    this.#link?.close();
    this.#trial?.close();
    this.#link = this.#trial = null;
    this.#timers.asking?.abort();
    for (const name of ['retry', 'open', 'silence', 'upgrade'])
      this.#timer(name);
  }

  #timer(name, ms = null, fn = null) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = fn === null ? 0 : setTimeout(() => { this.#timers[name] = 0; fn(); }, ms);
  }
}

// --- Share: which tab leads ------------------------------------------------------------------------

// A Web Lock elects the leader, and goes to the next tab when the leader's is closed. A frozen tab
// keeps its lock, so the others listen for signs of life on the channel, ask when they hear none,
// and steal the lock when no answer comes. Answers are messages, which hidden tabs send at once;
// their timers may run once a minute. host: lead(), stepDown(), heard(message), ask(), alone().
class Share {
  leading = false;
  #name;
  #channel = null;
  #lock = null;           // the AbortController of our request; also tells which one counts
  #release = null;
  #heardAt = Date.now();
  #askedAt = 0;
  #timer = 0;

  constructor(name, host) {
    this.#name = name;
    this.host = host;
  }

  static get possible() {
    return typeof BroadcastChannel === 'function' && Boolean(globalThis.navigator?.locks);
  }

  join() {
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.host.heard(data);
    this.#request(false);
    this.#heardAt = 0;
    this.#check();
  }

  leave() {
    this.#lock = (this.#lock?.abort(), null);
    clearTimeout(this.#timer);
    this.#release?.();
    this.#release = null;
    this.leading = false;
    this.#channel?.close();
    this.#channel = null;
  }

  post(message) {
    this.#channel?.postMessage(message);
  }

  // The leader gave a sign of life.
  alive() {
    this.#heardAt = Date.now();
    this.#askedAt = 0;
  }

  look() {
    if (this.#channel !== null)
      this.#check();
  }

  #check() {
    clearTimeout(this.#timer);
    const { life, answer } = this.host.settings.timeouts;
    const spread = 1 + Math.random() / 2;   // one asks or steals, the others hear of it
    let next = life * spread;
    if (!this.leading && Date.now() - this.#heardAt >= life) {
      if (this.#askedAt === 0) {
        this.#askedAt = Date.now();
        this.host.ask();
        next = answer * spread;
      } else if (Date.now() - this.#askedAt >= answer) {
        this.#askedAt = 0;
        this.#heardAt = Date.now();
        this.#request(true);
      }
    }
    this.#timer = setTimeout(() => this.#check(), next);
  }

  #request(steal) {
    const lock = new AbortController();
    const before = this.#lock;
    this.#lock = lock;
    before?.abort();
    const options = steal ? { steal: true } : { signal: lock.signal };
    navigator.locks.request(this.#name, options, () => {
      if (this.#lock !== lock)
        return undefined;
      this.leading = true;
      const held = new Promise((release) => { this.#release = release; });
      this.host.lead();
      return held;
    }).catch(() => {
      if (this.#lock !== lock)
        return;
      if (this.leading) {           // stolen while this tab was frozen
        this.leading = false;
        this.#release = null;
        this.alive();
        this.host.stepDown();
        this.#request(false);
        this.host.ask();
      } else {
        this.leave();
        this.host.alone();          // a browser that has locks and does not give them
      }
    });
  }
}

// --- what a page sees ------------------------------------------------------------------------------

export class RowEvent extends MessageEvent {
  constructor(row, type = row.event) {
    super(type, { data: row.data, lastEventId: row.id });
    // For listeners of '*' the type is the row's all the same.
    Object.defineProperty(this, 'type', { value: row.event, enumerable: true });
    this.channel = row.channel;
    this.createdAt = row.created_at;
  }

  json() {
    return JSON.parse(this.data);
  }
}

function settingsOf(url, options) {
  const channels = options.channels === undefined ? [] : [].concat(options.channels);
  if (channels.some((one) => typeof one !== 'string' || one === '') || channels.length > CHANNELS_MAX)
    throw new TypeError(`channels: up to ${CHANNELS_MAX} strings that are not empty`);
  const transports = options.transports ?? TRANSPORTS;
  const unknown = transports.find((name) => !TRANSPORTS.includes(name));
  if (unknown !== undefined || transports.length === 0)
    throw new TypeError(`transports: ${unknown ?? 'an empty list'} is none of ${TRANSPORTS.join(', ')}`);
  if (options.lastEventId !== undefined && !/^[0-9]+$/.test(options.lastEventId))
    throw new TypeError('lastEventId: not a decimal number');
  if (options.since !== undefined && options.last !== undefined)
    throw new TypeError('since and last exclude each other');
  const { ticket = null, share = true } = options;
  return {
    url: new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href,
    channels: [...new Set(channels)].sort(),
    transports,
    ticket,
    getTicket: async () => (typeof ticket === 'function' ? await ticket() : ticket),
    // A function's tickets cannot be compared: such tabs share only under a name they agree on.
    share: typeof ticket === 'function' && share === true ? false : share,
    withCredentials: Boolean(options.withCredentials),
    throttle: options.throttle ?? null,
    timeouts: { ...TIMEOUTS, ...options.timeouts },
  };
}

function defaultStorage() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;   // the browser forbids it
  }
}

export class Rowcast extends EventTarget {
  #settings;
  #id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  #types = new Set(['message']);
  #cursor;
  #first;                  // where a first connection starts: { since } or { last }, once
  #storage;
  #storageKey;
  #share = null;
  #source = null;
  #wants = new Map();      // leading: what each other tab wants
  #leader = null;          // following: who leads
  #checked = false;        // the server has said that this tab may read its channels
  #queue = null;           // feeds that wait while what was missed is being fetched; null: live
  #catching = new AbortController();
  #alarm = new AbortController();   // ends a pause between two attempts
  #active = false;
  #status = { state: 'connecting', transport: null, error: null, delay: null };
  #handlers = {};
  #listening = [];

  constructor(url, options = {}) {
    super();
    this.#settings = settingsOf(url, options);
    const { url: href, channels, share } = this.#settings;
    this.#storage = options.storage === undefined ? defaultStorage() : options.storage;
    this.#storageKey = `rowcast:${JSON.stringify([href, channels, typeof share === 'string' ? share : ''])}`;
    this.#cursor = new Cursor(options.lastEventId === undefined ? this.#load() : String(options.lastEventId));
    this.#first = options.since === undefined && options.last === undefined ? null
      : { since: options.since, last: options.last };
    this.#hearBrowser();
    // A moment later, so that the listeners that come next count from the start.
    queueMicrotask(() => this.#resume());
  }

  get state() { return this.#status.state; }
  get transport() { return this.#status.transport; }
  get lastEventId() { return this.#cursor.id ?? ''; }
  get onstate() { return this.#handlers['rowcast:state'] ?? null; }
  set onstate(fn) { this.#handle('rowcast:state', fn); }
  get ongap() { return this.#handlers['rowcast:gap'] ?? null; }
  set ongap(fn) { this.#handle('rowcast:gap', fn); }

  // Returns a function that takes the listener off again.
  on(type, fn) {
    this.addEventListener(type, fn);
    return () => this.removeEventListener(type, fn);
  }

  addEventListener(type, ...rest) {
    super.addEventListener(type, ...rest);
    if (this.#types.has(type) || String(type).startsWith('rowcast:'))
      return;
    this.#types.add(String(type));
    if (this.#active)
      this.#wantMore();
  }

  close() {
    this.#suspend();
    for (const [target, type, fn] of this.#listening.splice(0))
      target.removeEventListener(type, fn);
    this.#setStatus({ state: 'closed', transport: null, error: null, delay: null });
  }

  // --- for the listeners

  #handle(type, fn) {
    if (this.#handlers[type])
      this.removeEventListener(type, this.#handlers[type]);
    this.#handlers[type] = typeof fn === 'function' ? fn : null;
    if (this.#handlers[type])
      this.addEventListener(type, fn);
  }

  #setStatus(status) {
    if (this.#status.state === 'closed' || JSON.stringify(status) === JSON.stringify(this.#status))
      return;
    this.#status = status;
    this.dispatchEvent(new CustomEvent('rowcast:state', { detail: status }));
  }

  #isMine(row) {
    const { channels } = this.#settings;
    return channels.length === 0 || (row.channel !== null && channels.some((one) => glob(one, row.channel)));
  }

  // What a cursor says is new.
  #deliver({ rows, gap }) {
    if (gap) {
      this.dispatchEvent(Object.assign(new MessageEvent('rowcast:gap',
        { data: JSON.stringify(gap), lastEventId: gap.resumed_at }), { detail: gap }));
    }
    for (const row of rows) {
      if (!this.#active)
        return;   // a listener has closed it
      this.dispatchEvent(new RowEvent(row));
      if (row.event !== '*')
        this.dispatchEvent(new RowEvent(row, '*'));
    }
    this.#save();
  }

  // --- the last id, over a reload

  #load() {
    try {
      const id = this.#storage?.getItem(this.#storageKey) ?? '';
      return /^[0-9]{1,16}$/.test(id) ? id : null;
    } catch {
      return null;
    }
  }

  #save() {
    try {
      this.#storage?.setItem(this.#storageKey, this.#cursor.id);
    } catch {
      // Full, or forbidden: then a reload starts with what is new.
    }
  }

  // --- coming and going

  #hearBrowser() {
    const hear = (target, type, fn) => {
      target?.addEventListener?.(type, fn);
      this.#listening.push([target ?? globalThis, type, fn]);
    };
    const { window, document } = globalThis;
    const wake = (sure) => {
      this.#alarm.abort();
      this.#source?.wake(sure);
      this.#share?.look();
    };
    hear(window, 'online', () => wake(true));
    hear(window, 'offline', () => this.#source?.offline());
    hear(document, 'visibilitychange', () => document.visibilityState === 'visible' && wake(false));
    // A page that is put aside (back/forward cache, frozen) lets go of everything, so that another
    // tab leads at once and the browser may keep the page.
    hear(window, 'pagehide', () => this.#suspend());
    hear(document, 'freeze', () => this.#suspend());
    hear(window, 'pageshow', (event) => event.persisted && this.#resume());
    hear(document, 'resume', () => this.#resume());
  }

  #suspend() {
    this.#active = false;
    this.#share?.post({ kind: 'bye', tab: this.#id });
    this.#stepDown();
    this.#share?.leave();
    this.#share = null;
    this.#catching.abort();
    this.#alarm.abort();
    this.#queue = null;
  }

  #resume() {
    if (this.#active || this.#status.state === 'closed')
      return;
    this.#active = true;
    this.#setStatus({ state: 'connecting', transport: null, error: null, delay: null });
    if (this.#cursor.id === null && this.#first !== null)
      this.#catchUp(null, () => this.#join());
    else
      this.#join();
  }

  #join() {
    const { url, withCredentials, throttle, ticket, transports, share } = this.#settings;
    if (share === false || !Share.possible) {
      this.#lead();
      return;
    }
    const name = `rowcast:${JSON.stringify([url, withCredentials, throttle, transports,
      typeof ticket === 'string' ? ticket : null, share])}`;
    this.#share = new Share(name, this.#host());
    try {
      this.#share.join();
    } catch {
      this.#alone();
    }
  }

  // --- leading

  // What Source and Share call.
  #host() {
    return {
      settings: this.#settings,
      want: () => union([this.#mine(), ...this.#wants.values()]),
      feed: (part) => this.#feed(part),
      refused: (failure) => this.#refused(failure),
      lead: () => this.#lead(),
      alone: () => this.#alone(),
      stepDown: () => this.#stepDown(),
      ask: () => this.#ask(),
      heard: (message) => this.#heard(message),
    };
  }

  #lead() {
    this.#leader = this.#id;
    this.#wants.clear();
    this.#source = new Source(this.#host(), this.#cursor);
  }

  #alone() {
    this.#share?.leave();
    this.#share = null;
    this.#lead();
  }

  #stepDown() {
    this.#source?.stop();
    this.#source = null;
    this.#leader = null;
  }

  #feed(part) {
    const source = this.#source;
    const feed = { kind: 'feed', lead: this.#id, ...part };
    // While Source's constructor runs there is no source yet: it is connecting.
    feed.status = { state: source?.state ?? 'connecting', transport: source?.transport ?? null,
      error: source?.error ?? null, delay: source?.delay ?? null };
    feed.covers = source?.covers ?? null;
    this.#share?.post(feed);
    this.#receive(feed);
  }

  // The server refuses what is asked for together. Perhaps another tab's channel is to blame: all
  // others check theirs by themselves, and this one goes on with its own.
  #refused(failure) {
    if (this.#wants.size > 0) {
      this.#wants.clear();
      this.#share.post({ kind: 'recheck' });
      return true;
    }
    if (this.#share !== null) {
      queueMicrotask(() => this.#standAside(failure));
    }
    return false;
  }

  // This tab may not read: another one may, so it does not keep the lock.
  async #standAside(failure) {
    if (!this.#active)
      return;
    const delay = this.#settings.timeouts.refused;
    this.#stepDown();
    this.#share?.leave();
    this.#share = null;
    this.#setStatus({ state: 'retrying', transport: null, error: failure.detail, delay });
    await this.#pause(delay);
    if (this.#active && this.#share === null)
      this.#join();
  }

  #pause(ms) {
    this.#alarm = new AbortController();
    return sleep(ms, this.#alarm.signal);
  }

  // --- following

  #mine() {
    const { channels, transports } = this.#settings;
    const all = this.#types.has('*') && transports.some((name) => name !== 'eventsource');
    return { channels, types: all ? null : [...this.#types] };
  }

  // A listener for another type has come.
  #wantMore() {
    if (this.#source)
      this.#source.want();
    else if (this.#share && this.#checked)
      this.#ask();
  }

  #ask() {
    this.#share?.post({ kind: 'hello', tab: this.#id, era: this.#cursor.era,
      want: this.#checked ? this.#mine() : null });
  }

  #heard(message) {
    if (this.#source !== null)
      this.#heardLeading(message);
    else if (message.kind === 'feed')
      this.#heardFollowing(message);
    else if (message.kind === 'recheck')
      this.#checked = false;
  }

  #heardLeading({ kind, tab, want, era }) {
    if (kind === 'bye')
      this.#wants.delete(tab);
    if (kind !== 'hello')
      return;
    this.#source.era = Math.max(this.#source.era, era);
    if (want !== null)
      this.#wants.set(tab, want);
    if (this.#source.want())
      this.#feed({ era: this.#source.era, from: this.#source.cursor, to: this.#source.cursor, rows: [], gap: null });
  }

  #heardFollowing(feed) {
    this.#share.alive();
    const isNew = feed.lead !== this.#leader;
    this.#leader = feed.lead;
    if (feed.covers !== null && covers(feed.covers, this.#mine())) {
      this.#checked = true;
      this.#receive(feed);
      return;
    }
    if (this.#queue === null && feed.covers === null)
      this.#setStatus({ ...feed.status, transport: null });
    if (isNew)
      this.#ask();
    if (feed.covers !== null && !this.#checked && this.#queue === null)
      this.#catchUp(null, () => { this.#checked = true; this.#ask(); });
  }

  // --- taking feeds in

  #receive(feed) {
    if (this.#queue !== null) {
      if (this.#queue.push(feed) > QUEUE_MAX)
        this.#queue.length = 0;   // then the next feed shows what is missing
      return;
    }
    this.#setStatus(feed.status);
    if (feed.from === null || !this.#active)
      return;
    // What EventSource says of a row that is too large does not name its channel; JSON does.
    const unclear = feed.rows.some((row) => row.event === 'rowcast:too-large' && row.channel === null)
      && this.#settings.channels.length > 0 && (this.#source === null || this.#wants.size > 0)
      && Number(feed.to) > Number(this.#cursor.id);
    const taken = unclear ? { missed: 'rows' } : this.#cursor.take(feed);
    if (taken.missed === 'nothing')
      this.#ask();                 // tells the leader of the newer era
    else if (taken.missed)
      this.#catchUp(unclear ? { ...feed, from: feed.to } : feed, () => {});
    else
      this.#deliver({ gap: taken.gap, rows: taken.rows.filter((row) => row.channel === null || this.#isMine(row)) });
  }

  // Asks the server for what lies between the cursor and a feed (null: and now), page by page, while
  // feeds wait in the queue. Then `then`, and they are taken.
  async #catchUp(feed, then) {
    this.#queue = feed === null ? [] : [feed];
    this.#catching.abort();
    const { signal } = this.#catching = new AbortController();
    for (let failures = 0; ;) {
      try {
        await this.#pages(feed, signal);
        break;
      } catch (error) {
        if (signal.aborted)
          return;
        const failure = asFailure(error);
        const { retry, retryMax, refused } = this.#settings.timeouts;
        const delay = failure.refused ? refused : backoff(++failures, retry, retryMax);
        this.#setStatus({ state: 'retrying', transport: null, error: failure.detail, delay: Math.round(delay) });
        await this.#pause(delay);
      }
      if (signal.aborted)
        return;
    }
    const queue = this.#queue;
    this.#queue = null;
    then();
    for (const [n, waiting] of queue.entries()) {
      this.#receive(waiting);
      if (this.#queue !== null) {   // another catch-up has begun
        this.#queue.push(...queue.slice(n + 1));
        return;
      }
    }
  }

  async #pages(feed, signal) {
    const cursor = this.#cursor;
    let reset = false;
    for (;;) {
      const start = cursor.id === null ? this.#first : { last_event_id: cursor.id };
      const page = await fetchPageSoon(this.#settings, this.#settings.channels,
        { ...start, ticket: await this.#settings.getTicket() }, signal);
      if (signal.aborted)
        return;
      const part = { era: cursor.era, from: cursor.id ?? '0', rows: [], gap: null };
      if (page.gap) {
        reset ||= isReset(page.gap);
        this.#deliver(cursor.take({ ...part, gap: page.gap, to: page.gap.resumed_at }));
      }
      this.#deliver(cursor.take({ ...part, from: cursor.id ?? '0', rows: page.events, to: page.last_event_id }));
      if (page.events.length === 0 || (feed !== null && Number(cursor.id) >= Number(feed.from)))
        break;
    }
    if (feed === null)
      return;
    cursor.era = Math.max(cursor.era, feed.era);
    if (!reset && Number(cursor.id) < Number(feed.from))
      cursor.id = feed.from;
  }
}

export default Rowcast;
