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
// from `from` when something is missing; then it asks the server for the part between (JSON). It
// begins with such a question as well: so a tab that may not read is refused by itself.
//
//   transport → Link → Source ──feed──▶ Rowcast of this tab: Cursor → listeners
//    one attempt │  one tab leads │
//                │                └──BroadcastChannel──▶ Rowcast of the other tabs
//
// That is why two leaders at once (one was frozen, and wakes) do no harm: a feed that was had
// already adds nothing. The Web Lock keeps connections few; the cursors keep rows right.
//
// Reading order: the pure parts, Cursor, requests, transports, Link (one attempt), Source (attempt
// after attempt), Share (which tab leads), Rowcast (what a page sees, and what tabs say to each other).

const TIMEOUTS = {   // milliseconds
  open: 8000,        // for the opening to arrive, else the next transport is tried
  request: 20000,    // for a JSON answer, and for a ticket
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
const CHANNELS_MAX = 64;      // the server's limit for one request
const QUERY_MAX = 6000;       // characters; the server's is 8192, with the other parameters
const QUEUE_MAX = 1000;       // feeds kept while a tab asks for what it missed
const TALK = 1;               // version of what tabs say to each other; others are not listened to

// --- pure parts -------------------------------------------------------------------------------

const literal = (character) => `\\u{${character.codePointAt(0).toString(16)}}`;

// A set of GLOB as one of regular expressions. A `]` at its beginning stands for itself, and a range
// backwards holds its first end.
function setOf(not, inside) {
  const [, first, rest] = /^(\]?)([^]*)$/.exec(inside);
  const items = Array.from(rest.matchAll(/([^])-([^])|[^]/gu), ([item, from, to]) => (from === undefined
    ? literal(item) : literal(from) + (from.codePointAt(0) <= to.codePointAt(0) ? `-${literal(to)}` : '')));
  return `[${not ? '^' : ''}${first && literal(first)}${items.join('')}]`;
}

// SQLite's GLOB as a regular expression. Only the last star is ever tried again, so a pattern of many
// stars ends soon: what stands between two is taken where it is found first, by (?=(...))\1.
export function glob(pattern) {
  const parts = [''];
  for (const [token, not, inside] of pattern.matchAll(/\[(?:(\^)|(?!\^))([^][^\]]*)\]|[^]/gu)) {
    if (token === '*')
      parts.push('');
    else if (token === '?')
      parts[parts.length - 1] += '[^]';
    else   // a set without its `]` holds nothing
      parts[parts.length - 1] += inside !== undefined ? setOf(not, inside) : token === '[' ? '[]' : literal(token);
  }
  const [first, ...more] = parts;
  const last = more.length > 0 ? `[^]*${more.pop()}` : '';
  return new RegExp(`^${first}${more.map((part, n) => `(?=([^]*?${part}))\\${n + 1}`).join('')}${last}$`, 'u');
}

const isExact = (pattern) => !/[*?[]/.test(pattern);
const includes = (patterns, one) => patterns.includes(one)
  || (isExact(one) && patterns.some((pattern) => !isExact(pattern) && glob(pattern).test(one)));

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

// The nth delay in a row: doubles from first to max, and is spread by a quarter either way.
export function backoff(n, first, max, random = Math.random) {
  return Math.min(first * 2 ** Math.max(0, n - 1), max) * (0.75 + random() / 2);
}

// The lines of a stream of bytes, as many at a time as have come.
export async function* linesOf(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  for (let rest = ''; ;) {
    const { done, value } = await reader.read();
    if (done)
      return;
    const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
    rest = lines.pop();
    yield lines;
  }
}

function sleep(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    if (signal.aborted)
      end();
  });
}

// --- Cursor -----------------------------------------------------------------------------------

const isReset = (gap) => gap !== null && gap.reason !== 'pruned';

// What a tab or a connection has: every row up to `id` (null: not known yet). After a `reset` gap
// ids start anew, perhaps lower; `era` counts those, so that a feed of the time before is known as such.
export class Cursor {
  constructor(id = null, era = 0) {
    this.id = id;
    this.era = era;
  }

  // The feed that a page of the server's is for one who asked from here.
  feed({ last_event_id: id = null, gap = null, events = [] }) {
    const reset = isReset(gap);
    const ends = [reset ? null : this.id, gap?.resumed_at, events.at(-1)?.id, id];
    return {
      era: this.era + (reset ? 1 : 0),
      from: this.id ?? '0',
      to: ends.reduce((most, end) => (Number(end ?? -1) > Number(most ?? -1) ? end : most)),
      rows: events,
      gap,
    };
  }

  // Moves over a feed. Returns { rows, gap } that are new; or, without moving, { missed } with
  // why not: 'rows' (some between here and its start), 'reset' (one), 'nothing' (the feed is old).
  take(feed) {
    const reset = isReset(feed.gap) && feed.era > this.era;
    if (feed.era < this.era)
      return { missed: 'nothing' };
    if (this.id === null)
      this.id = feed.from;
    else if (!reset && feed.era > this.era)
      return { missed: 'reset' };
    else if (!reset && Number(feed.from) > Number(this.id))
      return { missed: 'rows' };
    const start = Number(reset ? feed.gap.resumed_at : this.id);
    this.era = feed.era;
    if (reset || Number(feed.to) > start)
      this.id = feed.to;
    return {
      rows: feed.rows.filter((row) => Number(row.id) > start),
      gap: feed.gap !== null && (reset || Number(feed.gap.resumed_at) > start) ? feed.gap : null,
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

// Runs fn(signal), for so long at most, and not when `outer` is aborted.
async function within(ms, what, outer, fn) {
  outer.throwIfAborted();
  const abort = new AbortController();
  const stop = () => abort.abort(outer.reason);
  const timer = setTimeout(() => abort.abort(new Failure(`${what}: no answer in ${ms} ms`)), ms);
  outer.addEventListener('abort', stop);
  try {
    const cut = new Promise((_, reject) => {
      abort.signal.addEventListener('abort', () => reject(abort.signal.reason));
    });
    return await Promise.race([fn(abort.signal), cut]);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener('abort', stop);
  }
}

// The parameter `ticket`, null for none. The function is the page's own: it may throw, or hang.
async function ticketOf({ ticket, timeouts }, signal) {
  if (typeof ticket !== 'function')
    return ticket;
  const got = await within(timeouts.request, 'ticket', signal, async () => ticket()).catch((error) => {
    throw new Failure(`no ticket: ${error?.message ?? error}`);
  });
  if (got !== null && typeof got !== 'string')
    throw new Failure(`no ticket: the function gave ${typeof got}, not a string`);
  return got;
}

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

const isId = (id) => typeof id === 'string' && /^[0-9]{1,16}$/.test(id);
const isRow = (row) => isId(row?.id) && typeof row.event === 'string' && typeof row.data === 'string'
  && (typeof row.channel === 'string' || row.channel === null);

// All that comes from outside has the form of a JSON answer, or of a part of one:
// { last_event_id, gap, events }. Returns it if it is what rowcast sends.
export function checkPage(page) {
  const { last_event_id: id = null, gap = null, events = [] } = page;
  if (!(id === null || isId(id)) || !(gap === null || (isId(gap.resumed_at) && typeof gap.reason === 'string'))
      || !Array.isArray(events) || !events.every(isRow))
    throw new Failure('the answer is not what rowcast sends');
  return page;
}

async function fetchPage(settings, url, signal) {
  const page = checkPage(await (await request(settings, url, 'application/json', signal)).json());
  if (!isId(page.last_event_id) || !Array.isArray(page.events))
    throw new Failure('the server has no room for this reader just now');
  return page;
}

const fetchPageSoon = (settings, url, signal) => within(settings.timeouts.request, new URL(url).pathname, signal,
  (inner) => fetchPage(settings, url, inner));

// --- transports: each opens its way for a Link and lets it hear pages, until the link is ended ------

const TRANSPORTS = {
  // EventSource calls listeners by type and has none for all types: those that nobody wants pass
  // unheard. envelope=1 brings channel and time, ping=1 heartbeats that a page can see.
  eventsource(link) {
    const source = new EventSource(link.url({ envelope: 1, ping: 1 }),
      { withCredentials: link.settings.withCredentials });
    link.signal.addEventListener('abort', () => source.close());
    const hear = (type, asPage) => source.addEventListener(type, (event) => {
      if (event instanceof MessageEvent)
        link.hear(() => asPage(JSON.parse(event.data), event.data));
    });
    // Another program's table may have rows of such types: those are envelopes, and no news.
    const hearOwn = (type, asPage) => hear(`rowcast:${type}`, (item, text) => ('event' in item ? {} : asPage(item, text)));
    hearOwn('open', (opening) => opening);
    hearOwn('ping', (ping) => ({ ...ping, beat: true }));
    hearOwn('gap', (gap) => ({ gap }));
    for (const type of [...link.covers.types, 'rowcast:too-large'])
      hear(type, (row) => ({ events: [row] }));
    source.addEventListener('error', (event) => {
      // A row may be of the type `error`. After a stream that was open the browser comes back by
      // itself, at the time that the server asked for (retry:); once, and not with an old ticket.
      if (event instanceof MessageEvent)
        return;
      if (source.readyState === EventSource.CONNECTING && link.open && link.ticket === null)
        link.drop();
      else
        link.end(new Failure('the event stream failed'));
    });
  },

  async fetch(link) {
    const response = await request(link.settings, link.url(), 'application/x-ndjson', link.signal);
    for await (const lines of linesOf(response.body)) {
      for (const line of lines) {
        const item = line === '' ? { beat: true } : JSON.parse(line);
        link.hear(() => ('id' in item ? { events: [item] } : item));
      }
    }
    throw new Failure('the stream ended');
  },

  longpoll: (link) => pollFor(link, { wait: Math.round(link.settings.timeouts.wait / 1000) }),
  poll: (link) => pollFor(link, null),
};

const isStream = (transport) => transport === 'eventsource' || transport === 'fetch';

// The first request never waits: its answer shows that this way works. An answer is a page of
// rows, and there may be more until one is empty.
async function pollFor(link, waiting) {
  let params = {};
  while (!link.signal.aborted) {
    const page = await fetchPage(link.settings, link.url(params), link.signal);
    link.hear(() => page);
    const idle = page.events.length === 0;
    if (idle && waiting === null)
      await sleep(link.settings.timeouts.poll, link.signal);
    params = idle ? waiting : {};
  }
}

// --- Link: one attempt with one transport, from the ticket to its end ----------------------------------

const AGAIN = new Failure('not a failure: what is wanted has changed');

// `over` tells why it has ended. From then on it is deaf: a late event of an old connection changes nothing.
class Link {
  open = false;           // its opening has come
  pages = 0;              // heard
  ticket;                 // undefined: the page has not given it yet
  heardAt = Date.now();
  patience = Infinity;    // milliseconds from then on to its end
  #timer = 0;
  #abort = new AbortController();
  #tell;

  constructor(source, transport) {
    const { channels, types } = source.host.want();
    this.source = source;
    this.settings = source.settings;
    this.transport = transport;
    this.covers = { channels, types: transport === 'eventsource' ? types : null };
    this.over = new Promise((resolve) => { this.#tell = resolve; });
    this.#run().catch((error) => this.end(error));
  }

  get signal() { return this.#abort.signal; }

  async #run() {
    this.ticket = await ticketOf(this.settings, this.signal);
    this.signal.throwIfAborted();
    this.#expect(this.settings.timeouts.open);
    await TRANSPORTS[this.transport](this);
  }

  end(why) {
    clearTimeout(this.#timer);
    this.#abort.abort();
    this.#tell(asFailure(why));
  }

  url(params) {
    return address(this.settings, this.covers.channels, { last_event_id: this.source.cursor.id,
      throttle: isStream(this.transport) ? this.settings.throttle : null, ticket: this.ticket, ...params });
  }

  // What is wrong with a page ends the link.
  hear(read) {
    if (this.signal.aborted)
      return;
    try {
      const page = checkPage(read());
      if (!this.open && !isId(page.last_event_id))
        throw new Failure('the stream does not begin as rowcast\'s do');
      const since = Date.now() - this.heardAt;
      this.heardAt = Date.now();
      this.pages++;
      this.source.heard(this, page, since);
      if (!this.signal.aborted)
        this.#expect(this.source.patience(this.transport));
    } catch (error) {
      this.end(error);
    }
  }

  // The transport comes back by itself.
  drop() {
    this.open = false;
    this.source.say('retrying');
  }

  #expect(ms) {
    clearTimeout(this.#timer);
    this.patience = ms;
    this.#timer = setTimeout(() => {
      const failure = new Failure(this.pages > 0 ? 'the connection went silent'
        : `no answer in ${ms} ms by ${this.transport}`);
      failure.late = this.pages === 0;
      this.end(failure);
    }, ms);
  }
}

// --- Source: a connection that lasts --------------------------------------------------------------

// Link after link from a cursor: picks the transport, comes back after failures. host.feed(part) gets
// what comes; host.want() says what to read; host.refused() lets all tabs ask whether they may.
class Source {
  #status = { state: 'connecting', error: null, delay: null };
  #strikes = new Map();   // how often a transport did not do where another did; two, and it is left
  #failures = 0;
  #upgrades = 0;
  #beatMs = 0;            // the server's heartbeat; 0: not known yet
  #link = null;
  #trial = null;          // beside a polling link, the stream that shall replace it
  #rest = new AbortController();   // ends the time between two links
  #stopped = false;

  constructor(host, cursor) {
    this.host = host;
    this.settings = host.settings;
    this.cursor = new Cursor(cursor.id, cursor.era);
  }

  get covers() { return this.#link?.open ? this.#link.covers : null; }

  async run() {
    while (!this.#stopped) {
      const link = this.#link ??= this.#start();
      const failure = await link?.over;
      if (link === null)
        return;
      if (link !== this.#link)
        continue;         // the trial has taken its place
      this.#trial?.end(AGAIN);
      this.#link = this.#trial = null;
      if (failure !== AGAIN && !this.#stopped)
        await this.#recover(link, failure);
    }
  }

  stop() {
    this.#stopped = true;
    this.#link?.end(AGAIN);
    this.#trial?.end(AGAIN);
    this.#rest.abort();
  }

  // Perhaps more is wanted now. Rows of it may have passed unheard: start again from the cursor.
  // Returns whether what is open serves all. (What is not open yet looks again when it is.)
  want() {
    if (this.covers === null || covers(this.covers, this.host.want()))
      return true;
    const link = this.#link;
    setTimeout(() => link.end(AGAIN), 20);   // more may be wanted in this turn
    return false;
  }

  // Something happened that makes it likely that the connection is gone, or can be had now.
  wake(sure) {
    if (sure)
      this.#strikes.clear();
    if (this.#link === null)
      this.#rest.abort();
    else if (sure || Date.now() - this.#link.heardAt > this.#link.patience)
      this.#link.end(AGAIN);
  }

  // The present state, for all tabs.
  say(state, error = null, delay = null) {
    const offline = state === 'retrying' && globalThis.navigator?.onLine === false;
    this.#status = { state: offline ? 'offline' : state, error, delay };
    this.tell();
  }

  tell() {
    const { id, era } = this.cursor;
    this.#feed({ era, from: id, to: id, rows: [], gap: null });
  }

  #feed(part) {
    const transport = this.#link?.open ? this.#link.transport : null;
    this.host.feed({ ...part, covers: this.covers, status: { ...this.#status, transport } });
  }

  // --- what links tell

  heard(link, page, since) {
    // The server sends a heartbeat when nothing else was sent for an interval: that is how long it is.
    if (page.beat)
      this.#beatMs = Math.max(this.#beatMs, Math.min(since, 60000));
    if (!link.open)
      this.#opened(link);
    this.#status = { state: isStream(link.transport) ? 'open' : 'fallback', error: null, delay: null };
    const feed = this.cursor.feed(page);
    this.#feed({ ...feed, ...this.cursor.take(feed) });
  }

  #opened(link) {
    link.open = true;
    if (link === this.#trial) {
      const polling = this.#link;
      this.#link = link;
      this.#trial = null;
      polling.end(AGAIN);
    }
    this.#failures = 0;
    if (isStream(link.transport)) {
      this.#upgrades = 0;
      this.#strikes.delete(link.transport);
    } else {
      this.#upgrade(link);
    }
    this.want();
  }

  // How long a link may be silent.
  patience(transport) {
    const { silence, wait, poll, request: limit } = this.settings.timeouts;
    if (!isStream(transport))
      return limit + Math.max(wait, poll);
    return this.#beatMs > 0 ? Math.max(2.5 * this.#beatMs, 1000) : silence;
  }

  // --- from link to link

  #usable() {
    const all = this.host.want().types === null;
    return this.settings.transports.filter((name) => name !== 'eventsource' || (typeof EventSource === 'function' && !all));
  }

  #good = (name) => (this.#strikes.get(name) ?? 0) < 2;

  #start() {
    const usable = this.#usable();
    if (!usable.some(this.#good))
      this.#strikes.clear();
    if (usable.length === 0)
      this.say('retrying', new Failure('this browser has none of the transports').detail);
    else if (!['retrying', 'offline'].includes(this.#status.state))
      this.say('connecting');
    return usable.length === 0 || this.#stopped ? null : new Link(this, usable.find(this.#good));
  }

  // Tries to stream, again and again, beside a link that polls.
  async #upgrade(link) {
    const { upgrade, upgradeMax } = this.settings.timeouts;
    const target = this.#usable().find(isStream);
    while (target !== undefined) {
      await sleep(backoff(++this.#upgrades, upgrade, upgradeMax), link.signal);
      if (link.signal.aborted)
        return;
      this.#trial = new Link(this, target);
      await this.#trial.over;
    }
  }

  // What a failed link teaches, and the time until the next.
  async #recover(link, failure) {
    const { signal } = this.#rest = new AbortController();
    const why = failure.late ? null : await this.#why(link, failure, signal);
    if (this.#stopped)
      return;
    const strikes = failure.late ? 2 : why === null ? 1 : 0;
    this.#strikes.set(link.transport, strikes && strikes + (this.#strikes.get(link.transport) ?? 0));
    // Connected or not, no word has come: a proxy or a virus scanner holds it back, or the server is
    // stuck. The next way down is tried at once; behind the last one it is the server.
    if (failure.late && this.#usable().some(this.#good))
      return;
    if (why?.status === 401 && link.open && typeof this.settings.ticket === 'function')
      return;              // the ticket has expired while it was used
    const { retry, retryMax } = this.settings.timeouts;
    const delay = backoff(++this.#failures, retry, retryMax);
    this.say('retrying', (why ?? failure).detail, Math.round(delay));
    await sleep(delay, signal);
    if (why?.refused && !this.#stopped)
      this.host.refused();
  }

  // Why it failed; null: because of its transport.
  async #why(link, failure, signal) {
    if (link.transport === 'longpoll' && link.pages === 1)
      return null;         // something between ends requests that wait
    if (!isStream(link.transport) || link.open || link.ticket === undefined)
      return failure;
    // EventSource does not tell. A JSON request for the same does, and may do where a stream does not.
    return fetchPageSoon(this.settings, link.url(), signal).then(() => null, asFailure);
  }
}

// --- Share: which tab leads ------------------------------------------------------------------------

// A Web Lock elects the leader, and goes to the next tab when the leader's is closed. A frozen tab
// keeps its lock, so the others listen for signs of life on the channel, ask when they hear none,
// and steal the lock when no answer comes. Answers are messages, which hidden tabs send at once;
// their timers may run once a minute. host: lead(), stepDown(), heard(message), ask().
class Share {
  leading = false;
  #name;
  #channel = null;
  #lock = null;           // the AbortController of our request; also tells which one counts
  #release = null;
  #timer = 0;

  constructor(name, host) {
    this.#name = name;
    this.host = host;
  }

  static get possible() {
    return typeof BroadcastChannel === 'function' && Boolean(globalThis.navigator?.locks);
  }

  join() {
    try {
      this.#channel = new BroadcastChannel(this.#name);
    } catch {               // forbidden, as storage is
      this.host.lead();
      return;
    }
    this.#channel.onmessage = ({ data }) => this.host.heard(data);
    this.#request(false);
    this.look();
  }

  leave() {
    this.leading = false;
    clearTimeout(this.#timer);
    this.#lock = (this.#lock?.abort(), null);
    this.#release = (this.#release?.(), null);
    this.#channel = (this.#channel?.close(), null);
  }

  post(message) {
    this.#channel?.postMessage(message);
  }

  // The leader gave a sign of life.
  alive() {
    this.#after('life', () => this.look());
  }

  // Does anybody lead?
  look() {
    if (this.leading || this.#channel === null)
      return;
    this.host.ask();
    this.#after('answer', () => {
      this.#request(true);
      this.alive();
    });
  }

  // Spread, so that one asks or steals, and the others hear of it.
  #after(name, fn) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(fn, this.host.settings.timeouts[name] * (1 + Math.random() / 2));
  }

  #request(steal) {
    this.#lock?.abort();
    const lock = this.#lock = new AbortController();
    const counts = () => this.#lock === lock;
    navigator.locks.request(this.#name, steal ? { steal } : { signal: lock.signal }, () => {
      if (!counts())
        return undefined;
      this.leading = true;
      clearTimeout(this.#timer);
      const held = new Promise((release) => { this.#release = release; });
      this.host.lead();
      return held;
    }).catch(() => {
      if (!counts())
        return;
      if (this.leading) {           // stolen while this tab was frozen
        this.leading = false;
        this.#release = null;
        this.host.stepDown();
        this.#request(false);
        this.look();
      } else {                      // a browser that has locks and does not give them
        this.leave();
        this.host.lead();
      }
    });
  }
}

// --- Rowcast: what a page sees ------------------------------------------------------------------------

export class RowEvent extends MessageEvent {
  constructor(row, type = row.event) {
    super(type, { data: row.data, lastEventId: row.id });
    // For listeners of '*' the type is the row's all the same.
    Object.defineProperty(this, 'type', { value: row.event, enumerable: true });
    this.channel = row.channel;
    this.createdAt = row.created_at ?? null;
  }

  json() {
    return JSON.parse(this.data);
  }
}

function settingsOf(url, options) {
  const { ticket = null, share = true, throttle = null, transports = Object.keys(TRANSPORTS) } = options;
  const channels = options.channels === undefined ? [] : [].concat(options.channels);
  if (channels.some((one) => typeof one !== 'string' || one === '') || channels.length > CHANNELS_MAX)
    throw new TypeError(`channels: up to ${CHANNELS_MAX} strings that are not empty`);
  const unknown = transports.find((name) => !Object.hasOwn(TRANSPORTS, name));
  if (unknown !== undefined || transports.length === 0)
    throw new TypeError(`transports: ${unknown ?? 'an empty list'} is none of ${Object.keys(TRANSPORTS).join(', ')}`);
  if (options.lastEventId !== undefined && !isId(String(options.lastEventId)))
    throw new TypeError('lastEventId: not a decimal number');
  if (options.since !== undefined && options.last !== undefined)
    throw new TypeError('since and last exclude each other');
  if (ticket !== null && typeof ticket !== 'string' && typeof ticket !== 'function')
    throw new TypeError('ticket: neither a string nor a function');
  return {
    url: new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href,
    channels: [...new Set(channels)].sort(),
    transports,
    ticket,
    // A function's tickets cannot be compared: such tabs share only under a name they agree on.
    share: typeof ticket === 'function' && share === true ? false : share,
    withCredentials: Boolean(options.withCredentials),
    throttle,
    timeouts: { ...TIMEOUTS, ...options.timeouts },
  };
}

// Storage may be forbidden, or full: then a reload starts with what is new.
function quietly(fn) {
  try {
    return fn();
  } catch {
    return null;
  }
}

export class Rowcast extends EventTarget {
  static #keys = new Set();     // in storage: each object in a page has its own
  #settings;
  #id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  #types = new Set(['message']);
  #matchers;                    // of the channels
  #cursor;                      // what has come to this tab,
  #delivered;                   // and up to where the listeners have had it
  #storage;
  #key;
  #first;                       // where a first connection starts: { since, last }
  #share = null;
  #source = null;               // leading
  #wants = new Map();           // leading: what each other tab wants
  #leader = null;               // following: who leads
  #queue = null;                // feeds that wait while what was missed is being fetched; null: live
  #active = false;
  #catching = new AbortController();
  #alarm = new AbortController();    // ends pauses
  #closed = new AbortController();
  #status = { state: 'connecting', error: null, delay: null, transport: null };
  #handlers = {};

  constructor(url, options = {}) {
    super();
    const { url: href, channels, share } = this.#settings = settingsOf(url, options);
    this.#matchers = channels.map(glob);
    this.#storage = options.storage === undefined ? quietly(() => globalThis.sessionStorage) : options.storage;
    const key = JSON.stringify([href, channels, typeof share === 'string' ? share : '']);
    for (let n = 1; Rowcast.#keys.has(this.#key = `rowcast:${key}#${n}`); n++)
      ;
    Rowcast.#keys.add(this.#key);
    const stored = quietly(() => this.#storage.getItem(this.#key));
    this.#delivered = options.lastEventId?.toString() ?? (isId(stored) ? stored : null);
    this.#cursor = new Cursor(this.#delivered);
    this.#first = { since: options.since, last: options.last };
    this.#hearBrowser();
    // A moment later, so that the listeners that come next count from the start.
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

  addEventListener(type, ...rest) {
    super.addEventListener(type, ...rest);
    if (this.#types.has(String(type)) || String(type).startsWith('rowcast:'))
      return;
    this.#types.add(String(type));
    if (this.#source)
      this.#source.want();
    else
      this.#ask();
  }

  close() {
    this.#suspend();
    this.#closed.abort();
    Rowcast.#keys.delete(this.#key);
    this.#setStatus({ state: 'closed', error: null, delay: null, transport: null });
  }

  // --- for the listeners: each may close this Rowcast at any time; #active tells

  #handle(type, fn) {
    this.removeEventListener(type, this.#handlers[type] ?? null);
    this.#handlers[type] = typeof fn === 'function' ? fn : null;
    this.addEventListener(type, this.#handlers[type]);
  }

  #setStatus(status) {
    if (this.#status.state === 'closed' || JSON.stringify(status) === JSON.stringify(this.#status))
      return;
    this.#status = status;
    this.dispatchEvent(new CustomEvent('rowcast:state', { detail: status }));
  }

  // What a cursor says is new.
  #deliver({ rows, gap }) {
    if (gap) {
      this.#delivered = gap.resumed_at;
      this.dispatchEvent(Object.assign(new MessageEvent('rowcast:gap',
        { data: JSON.stringify(gap), lastEventId: gap.resumed_at }), { detail: gap }));
    }
    for (const row of rows.filter((one) => this.#isMine(one))) {
      if (!this.#active)
        break;
      this.#delivered = row.id;
      this.dispatchEvent(new RowEvent(row));
      if (row.event !== '*')
        this.dispatchEvent(new RowEvent(row, '*'));
    }
    if (this.#active)
      this.#delivered = this.#cursor.id;
    quietly(() => this.#storage?.setItem(this.#key, this.#delivered));
  }

  #isMine({ channel, event }) {
    return (this.#matchers.length === 0 || this.#matchers.some((one) => typeof channel === 'string' && one.test(channel)))
      && (event === 'rowcast:too-large' || !event.startsWith('rowcast:'));
  }

  // --- coming and going

  #hearBrowser() {
    const { window, document } = globalThis;
    const hear = (target, type, fn) => target?.addEventListener(type, fn, { signal: this.#closed.signal });
    const wake = (sure) => {
      this.#wake();
      this.#source?.wake(sure);
      this.#share?.look();
    };
    hear(window, 'online', () => wake(true));
    hear(window, 'offline', () => this.#source?.say('offline'));
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
    this.#share = (this.#share?.leave(), null);
    this.#catching.abort();
    this.#queue = null;
    this.#wake();
  }

  #resume() {
    if (this.#active || this.#status.state === 'closed')
      return;
    this.#active = true;
    this.#setStatus({ state: 'connecting', error: null, delay: null, transport: null });
    if (this.#active)
      this.#catchUp();
  }

  #restart() {
    this.#suspend();
    this.#resume();
  }

  #wake() {
    this.#alarm.abort();
    this.#alarm = new AbortController();
  }

  #join() {
    const { url, withCredentials, throttle, ticket, transports, share } = this.#settings;
    if (share === false || !Share.possible) {
      this.#lead();
      return;
    }
    const name = JSON.stringify([TALK, url, withCredentials, throttle, ticket, transports, share]);
    this.#share = new Share(`rowcast:${name}`, this.#host());
    this.#share.join();
  }

  // What Source and Share call.
  #host() {
    return {
      settings: this.#settings,
      want: () => union([this.#want(), ...this.#wants.values()]),
      feed: (part) => this.#feed(part),
      refused: () => this.#refused(),
      lead: () => this.#lead(),
      stepDown: () => this.#stepDown(),
      ask: () => this.#ask(),
      heard: (message) => this.#heard(message),
    };
  }

  // --- leading

  #lead() {
    this.#wants.clear();
    this.#source = new Source(this.#host(), this.#cursor);
    this.#source.run();
  }

  #stepDown() {
    this.#source?.stop();
    this.#source = this.#leader = null;
  }

  #feed(part) {
    const feed = { kind: 'feed', lead: this.#id, ...part };
    this.#share?.post(feed);
    this.#receive(feed);
  }

  // The server refuses what is asked for together. Whoever may not read is told when it asks for itself.
  #refused() {
    this.#share?.post({ kind: 'recheck' });
    this.#restart();
  }

  // --- messages of other tabs

  #want() {
    const { channels, transports } = this.#settings;
    const all = this.#types.has('*') && transports.some((name) => name !== 'eventsource');
    return { channels, types: all ? null : [...this.#types] };
  }

  // For a sign of life, and for what this tab wants.
  #ask() {
    this.#share?.post({ kind: 'hello', tab: this.#id, era: this.#cursor.era, want: this.#want() });
  }

  #heard(message) {
    const { kind, tab } = message;
    if (kind === 'recheck')
      this.#restart();
    else if (kind === 'bye')
      this.#wants.delete(tab);
    else if (kind === 'hello' && this.#source)
      this.#serve(message);
    else if (kind === 'feed' && !this.#source)
      this.#follow(message);
  }

  #serve({ tab, want, era }) {
    const { cursor } = this.#source;
    cursor.era = Math.max(cursor.era, era);
    this.#wants.set(tab, want);
    if (this.#source.want())
      this.#source.tell();
  }

  #follow(feed) {
    this.#share.alive();
    const isNew = feed.lead !== this.#leader;
    this.#leader = feed.lead;
    if (feed.covers !== null && covers(feed.covers, this.#want())) {
      this.#receive(feed);
      return;
    }
    this.#setStatus({ ...feed.status, state: feed.covers === null ? feed.status.state : 'connecting', transport: null });
    if (isNew)
      this.#ask();
  }

  // --- taking feeds in

  #receive(feed) {
    if (this.#queue !== null) {
      if (this.#queue.push(feed) > QUEUE_MAX)
        this.#queue.length = 0;   // then the next feed shows what is missing
      return;
    }
    this.#setStatus(feed.status);
    if (!this.#active)
      return;
    const taken = this.#cursor.take(feed);
    if (taken.missed === 'nothing')
      this.#ask();                // tells the leader of the newer era
    else if (taken.missed)
      this.#catchUp(feed);
    else
      this.#deliver(taken);
  }

  // Asks the server for what lies between the cursor and a feed (null: and now), page by page, while
  // feeds wait in the queue. Then they are taken.
  async #catchUp(feed = null) {
    this.#queue = feed === null ? [] : [feed];
    const { signal } = this.#catching = new AbortController();
    for (let failures = 0, done = false; !done; ) {
      try {
        await this.#pages(feed, signal);
        done = true;
      } catch (error) {
        const { refused, detail } = asFailure(error);
        const { retry, retryMax, refused: long } = this.#settings.timeouts;
        const delay = refused ? long : backoff(++failures, retry, retryMax);
        if (!signal.aborted)
          this.#setStatus({ state: 'retrying', error: detail, delay: Math.round(delay), transport: null });
        if (!signal.aborted)
          await sleep(delay, this.#alarm.signal);
      }
      if (signal.aborted)
        return;
    }
    const queue = this.#queue;
    this.#queue = null;
    if (this.#share === null && this.#source === null)
      this.#join();
    queue.forEach((waiting) => this.#receive(waiting));   // into the next queue, if one begins
  }

  async #pages(feed, signal) {
    const cursor = this.#cursor;
    const { era } = cursor;
    for (let page = null; page?.events.length !== 0; ) {
      if (page !== null && feed !== null && Number(cursor.id) >= Number(feed.from))
        break;
      const start = cursor.id === null ? this.#first : { last_event_id: cursor.id };
      const params = { ...start, ticket: await ticketOf(this.#settings, signal) };
      page = await fetchPageSoon(this.#settings, address(this.#settings, this.#settings.channels, params), signal);
      signal.throwIfAborted();
      this.#deliver(cursor.take(cursor.feed(page)));
      signal.throwIfAborted();     // a listener may have closed
    }
    if (feed === null)
      return;
    if (era === cursor.era && Number(cursor.id) < Number(feed.from))
      cursor.id = feed.from;
    cursor.era = Math.max(cursor.era, feed.era);
  }
}

export default Rowcast;
