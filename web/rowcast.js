// rowcast.js - reads rowcast's event stream in a page: one connection for all tabs, nothing lost.
//
//   import { Rowcast } from './rowcast.js';
//   const rows = new Rowcast('/events', { channels: ['orders.*'] });
//   rows.on('paid', (event) => console.log(event.channel, event.json()));
//
// The manual is doc/JAVASCRIPT.md, the protocol doc/PROTOCOL.md. No dependencies.
//
// How it works. The server's table is a log with growing ids, and a reader that has every row up to
// an id needs nothing but that id to go on. So everything here passes *feeds* along: "these are all
// rows above `from` up to `to`". Each tab has a Cursor, takes from a feed what is above it, and sees
// from `from` when something is missing; then it asks the server for the part between.
//
//    Link  →  Source ──feed──▶ Tabs of this tab ──▶ Rowcast: Cursor → listeners
//    one attempt │                 │
//                │                 └──Share (BroadcastChannel)──▶ Tabs of the other tabs ──▶ Rowcast
//                └ one tab leads
//
// That is why two leaders at once (one was frozen, and wakes) do no harm: a feed that was had already
// adds nothing. The Web Lock keeps connections few; the cursors keep rows right.
//
// Reading order: glob.js, cursor.js, time.js, request.js; then link.js (one attempt), source.js
// (attempt after attempt), share.js (which tab leads), tabs.js (what tabs say to each other);
// catchup.js (asking for what is missing); copy.js and table.js (a table on the page); settings.js,
// position.js, events.js and rowcast.js (what a page sees).
//
// Made from the modules in web/rowcast/ by tools/bundle-js: change those, not this file.

// --- glob.js - channels and patterns: what a pattern matches, what a list of them covers.
//
// Patterns follow SQLite's GLOB, as on the server: `*`, `?`, `[a-z]`, `[^a-z]`. A page needs them
// because one stream serves many tabs, and each takes its own out of it.

const CHANNELS_MAX = 64;      // the server's limits for one request: names,
const CHANNEL_BYTES_MAX = 256;   // each of them,
const PATTERNS_MAX = 16;             // patterns among them,
const PATTERN_BYTES_MAX = 512;       // and these together
const QUERY_MAX = 6000;              // characters; web servers take some 8000 for a request's first line

const TOKEN = /\[(?:(\^)|(?!\^))([^][^\]]*)\]|[^]/gu;      // a set, or one character
const SET_ITEM = /^\]|([^])-([^])|[^]/gu;                  // of a set: a range, or one character

const literal = (character) => `\\u{${character.codePointAt(0).toString(16)}}`;

// A set as one of a regular expression. A range that runs backwards holds its first end only.
function setOf(negation, inside) {
  const items = Array.from(inside.matchAll(SET_ITEM), ([item, from, to]) => {
    if (from === undefined)
      return literal(item);
    return from.codePointAt(0) <= to.codePointAt(0) ? `${literal(from)}-${literal(to)}` : literal(from);
  });
  return `[${negation ?? ''}${items.join('')}]`;
}

function partOf([token, negation, inside]) {
  if (token === '?')
    return '[^]';
  if (inside !== undefined)
    return setOf(negation, inside);
  return token === '[' ? '[]' : literal(token);            // a set without its `]` matches nothing
}

// A pattern as a regular expression. What stands between two stars is taken where it is found
// first, by (?=(...))\1, and only the last star is tried again: a pattern of many stars ends soon.
function glob(pattern) {
  const parts = [''];
  for (const match of pattern.matchAll(TOKEN)) {
    if (match[0] === '*')
      parts.push('');
    else
      parts.push(parts.pop() + partOf(match));
  }
  const [first, ...more] = parts;
  const last = more.length > 0 ? `[^]*${more.pop()}` : '';
  const middle = more.map((part, n) => `(?=([^]*?${part}))\\${n + 1}`);
  return new RegExp(`^${first}${middle.join('')}${last}$`, 'u');
}

const isExact = (channel) => !/[*?[]/.test(channel);
const includes = (channels, one) => channels.includes(one)
  || (isExact(one) && channels.some((channel) => !isExact(channel) && glob(channel).test(one)));

// Whether a reader of `have` gets all that one of `want` wants. No channel stands for all channels.
function covers(have, want) {
  return have.length === 0 || (want.length > 0 && want.every((one) => includes(have, one)));
}

// The channels to name in a request: these, or none if they are too many for one. Then all come, and
// the page takes its own.
function fitting(channels) {
  const patterns = channels.filter((one) => !isExact(one));
  const fits = channels.length <= CHANNELS_MAX && patterns.length <= PATTERNS_MAX
    && new TextEncoder().encode(patterns.join('')).length <= PATTERN_BYTES_MAX
    && channels.map((one) => `&channel=${encodeURIComponent(one)}`).join('').length <= QUERY_MAX;
  return fits ? channels : [];
}

// The least that covers all of these lists.
function union(lists) {
  if (lists.some((list) => list.length === 0))
    return [];
  const all = [...new Set(lists.flat())].sort();
  return fitting(all.filter((one) => !all.some((other) => other !== one && includes([other], one))));
}

// --- cursor.js - which rows a reader has: every row up to an id. All that keeps rows right is here.
//
// Rows travel as feeds: "these are all rows above `from` up to `to`", { era, from, to, rows, gap }.
// A cursor takes from a feed what is above it, and sees from `from` when something is missing
// between. So a feed that comes twice, late, or from two leaders at once does no harm. Ids are
// decimal numbers up to 2^53 - 1, as text.

const isReset = (gap) => gap !== null && gap.reason !== 'pruned';
const later = (id, other) => (Number(other ?? -1) > Number(id ?? -1) ? other : id);

// `id` null: not known yet. After a gap that is a reset ids begin again, perhaps lower; `era` counts
// those gaps, so that a feed of the time before is recognised.
class Cursor {
  constructor(id = null, era = 0) {
    this.id = id;
    this.era = era;
  }

  // The feed that the server's page is for a reader that asked from here.
  feed({ last_event_id: id = null, gap = null, events = [] }) {
    const reset = isReset(gap);
    return {
      era: this.era + (reset ? 1 : 0),
      from: reset ? gap.resumed_at : this.id ?? '0',   // of the same ids as `to`
      to: [reset ? null : this.id, gap?.resumed_at, events.at(-1)?.id, id].reduce(later),
      rows: events,
      gap,
    };
  }

  // Moves over a feed; returns what of it is new, { rows, gap }. Or stays, and returns { missed }:
  // 'rows' (some before the feed's start), 'reset' (a gap), 'nothing' (the feed is old).
  take(feed) {
    const reset = isReset(feed.gap) && feed.era > this.era;
    if (feed.era < this.era)
      return { missed: 'nothing' };
    this.id ??= feed.from;
    if (!reset && feed.era > this.era)
      return { missed: 'reset' };
    if (!reset && Number(feed.from) > Number(this.id))
      return { missed: 'rows' };
    const start = Number(reset ? feed.gap.resumed_at : this.id);
    this.era = feed.era;
    if (reset || Number(feed.to) > start)
      this.id = feed.to;
    const hasNewGap = feed.gap !== null && (reset || Number(feed.gap.resumed_at) > start);
    return { rows: feed.rows.filter((row) => Number(row.id) > start), gap: hasNewGap ? feed.gap : null };
  }
}

// --- time.js - durations, in milliseconds, by a clock that no one sets (performance.now).

// Ends early when the signal is aborted.
function sleep(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(end, signal.aborted ? 0 : ms);
    signal.addEventListener('abort', end);
    function end() {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    }
  });
}

// The nth delay in a row: doubles from first to max, and is spread by a quarter either way.
function backoff(n, first, max, random = Math.random) {
  return Math.min(first * 2 ** Math.max(0, n - 1), max) * (0.75 + random() / 2);
}

// --- request.js - requests to rowcast, and the form of its answers.
//
// All that comes from outside is checked here: the status, the type, and the form of what is read.
// An answer, or a part of a stream, is a page: { last_event_id, gap, events }, each optional.

class Failure extends Error {
  isLate = false;              // of a link: it has not brought a word

  // status: HTTP's; 0: there was no answer.
  constructor(message, status = 0) {
    super(message);
    this.status = status;
    // Refused: the request itself is wrong, and asking again soon will not help.
    this.refused = status >= 400 && status < 500 && ![408, 425, 429].includes(status);
  }

  get detail() {
    return { message: this.message, status: this.status, refused: this.refused };
  }
}

function asFailure(error) {
  return error instanceof Failure ? error : new Failure(String(error?.message ?? error));
}

// Runs fn(signal, alive) for at most so many milliseconds since the last alive(), which may say what it means
// when no other follows, and not beyond the end of `outer`.
async function within(ms, what, outer, fn) {
  outer.throwIfAborted();
  const abort = new AbortController();
  const stop = () => abort.abort(outer.reason);
  let timer;
  let why = 'no answer';
  const alive = (words = why) => {
    why = words;
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(new Failure(`${what}: ${why} in ${ms} ms`)), ms);
  };
  alive();
  outer.addEventListener('abort', stop);
  const cut = new Promise((_, reject) => {
    abort.signal.addEventListener('abort', () => reject(abort.signal.reason));
  });
  try {
    return await Promise.race([fn(abort.signal, alive), cut]);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener('abort', stop);
  }
}

// The page's ticket; null for none. A function is the page's own code: it may throw, or hang.
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

// A parameter that is null or undefined is left out.
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

async function refuseUnlessOk(response) {
  if (response.ok)
    return;
  const text = (await response.text().catch(() => '')).trim();
  const reason = /^[^<\n]{1,300}$/.test(text) ? text : response.statusText;
  throw new Failure(`${response.status} ${reason}`.trim(), response.status);
}

// The answer for { url, ticket }, if status and type are right: a login page or a hotel's portal
// answers 200 as well.
async function request(settings, { url, ticket }, type, signal) {
  const response = await fetch(url, {
    headers: ticket === null ? { Accept: type } : { Accept: type, Authorization: `Bearer ${ticket}` },
    credentials: settings.withCredentials ? 'include' : 'same-origin',
    cache: 'no-store',
    signal,
  });
  await refuseUnlessOk(response);
  if (!(response.headers.get('Content-Type') ?? '').startsWith(type))
    throw new Failure(`the answer is not ${type}: is ${new URL(url).pathname} rowcast's address?`);
  return response;
}

const isId = (id) => typeof id === 'string' && /^[0-9]{1,16}$/.test(id);
const isGap = (gap) => isId(gap.resumed_at) && typeof gap.reason === 'string';
const isRow = (row) => isId(row?.id) && typeof row.event === 'string' && typeof row.data === 'string'
  && (typeof row.channel === 'string' || row.channel === null);
const isPart = (part) => typeof part?.table === 'string' && isId(part.at) && Array.isArray(part.rows)
  && Array.isArray(part.key) && part.key.length > 0 && (typeof part.channel === 'string' || part.channel === null);
const areAll = (list, isOne) => Array.isArray(list) && list.every(isOne);

// Returns the page if it has the form that rowcast sends. state: parts of a table, null: too much.
function checkPage(page) {
  const { last_event_id: id = null, gap = null, events = [], state = null } = page;
  if (!(id === null || isId(id)) || !(gap === null || isGap(gap)) || !areAll(events, isRow)
    || !(state === null || areAll(state, isPart)))
    throw new Failure('the answer is not what rowcast sends');
  return page;
}

function checkRoom(page) {
  if (!isId(page.last_event_id) || !Array.isArray(page.events))
    throw new Failure('the server has no room for this reader just now');
  return page;
}

async function fetchPage(settings, target, signal) {
  return checkRoom(checkPage(await (await request(settings, target, 'application/json', signal)).json()));
}

function fetchPageSoon(settings, target, signal) {
  return within(settings.timeouts.request, new URL(target.url).pathname, signal,
    (inner) => fetchPage(settings, target, inner));
}

// The lines of a stream of bytes, as many at a time as have come.
async function* linesOf(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done)
        return;
      const text = decoder.decode(value, { stream: true });
      const end = text.lastIndexOf('\n');    // a line may come in very many pieces
      const lines = end < 0 ? [] : (rest + text.slice(0, end)).split('\n');
      rest = end < 0 ? rest + text : text.slice(end + 1);
      yield lines;
    }
  } finally {
    reader.cancel().catch(() => {});          // who has had enough leaves no connection behind
  }
}

// A page that has the state of a table, if it was asked for. It may be large, so each piece of it counts
// as a sign of life. What one document does not hold comes as a stream, of which this is the beginning;
// takePart gets its parts (a document's are in the page).
function fetchTable(settings, target, signal, takePart) {
  return within(settings.timeouts.request, new URL(target.url).pathname, signal, async (inner, alive) => {
    const { body } = await request(settings, target, 'application/json', inner);
    const lines = [];
    for await (const more of linesOf(body)) {
      alive();
      lines.push(...more);
    }
    const page = checkPage(JSON.parse(lines.join('')));
    if (page.state !== null)
      return checkRoom(page);
    return streamTable(settings, target, { signal: inner, alive, takePart });
  });
}

async function streamTable(settings, target, { signal, alive, takePart }) {
  alive('the table is too large for one answer, and streams do not come through');
  const { body } = await request(settings, target, 'application/x-ndjson', signal);
  for await (const lines of linesOf(body)) {
    alive();
    for (const item of lines.filter((line) => line !== '').map((line) => JSON.parse(line))) {
      if (item.state !== undefined)
        takePart(checkPage({ state: [item.state] }).state[0]);
      if (item.state !== undefined && isId(item.id))
        return { last_event_id: item.id, gap: null, events: [], state: [] };
    }
  }
  throw new Failure('the stream ended before the table was complete');
}

// The pages that such lines are (NDJSON). Rows that came together are one page; an empty line, the
// server's heartbeat, is an empty page.
function pagesOf(lines) {
  const pages = [];
  for (const line of lines) {
    const item = line === '' ? {} : JSON.parse(line);
    if (!('id' in item))
      pages.push(item);
    else if (pages.at(-1)?.events !== undefined)
      pages.at(-1).events.push(item);
    else
      pages.push({ events: [item] });
  }
  return pages.map(checkPage);
}

// Sends the server what was read: mark is { id, channel }, without a channel that of the row. keepalive,
// as a page often says so with the click that leaves it.
async function sendRead(settings, ticket, mark) {
  const url = new URL(settings.url);
  url.pathname = `${url.pathname.replace(/\/$/, '')}/read`;
  url.search = '';
  const response = await fetch(url.href, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...(ticket === null ? {} : { Authorization: `Bearer ${ticket}` }) },
    credentials: settings.withCredentials ? 'include' : 'same-origin',
    body: JSON.stringify(mark),
    keepalive: true,
  });
  await refuseUnlessOk(response);
  const { id, channel } = await response.json();
  if (!isId(id) || typeof channel !== 'string')
    throw new Failure('the answer is not what rowcast sends');
  return { channel, id };
}

// --- link.js - one attempt to read: from the ticket to the end of one stream, or of a row of polls.
//
// A Source makes links, one after the other. A link passes each page that comes to
// source.heard(link, page, quietMs), and `over` says how it ended. From then on it passes on
// nothing: a late byte of an old connection changes nothing.

// Not a failure: something else is wanted now, or the page has closed.
const AGAIN = new Failure('another connection takes its place');

class Link {
  isOpen = false;          // its opening has come
  pages = 0;               // heard so far
  ticket;                  // undefined: not known yet
  startedAt = performance.now();
  heardAt = performance.now();
  patience = Infinity;     // milliseconds from then on; then it is given up
  #timer = 0;
  #abort = new AbortController();
  #resolve;

  // transport: 'fetch' is a stream (NDJSON), 'poll' one JSON answer after the other.
  constructor(source, transport) {
    this.source = source;
    this.settings = source.settings;
    this.isStream = transport === 'fetch';
    this.transport = transport;
    this.channels = source.host.want();
    this.over = new Promise((resolve) => { this.#resolve = resolve; });
    this.#run().catch((error) => this.end(error));
  }

  get signal() { return this.#abort.signal; }

  end(why) {
    clearTimeout(this.#timer);
    this.#abort.abort();
    this.#resolve(asFailure(why));
  }

  async #run() {
    this.ticket = await ticketOf(this.settings, this.signal);
    this.signal.throwIfAborted();
    this.#giveUpAfter(this.settings.timeouts.open);
    await (this.isStream ? this.#stream() : this.#poll());
  }

  #target(params) {
    const from = { last_event_id: this.source.cursor.id };
    return { url: address(this.settings, this.channels, { ...from, ...params }), ticket: this.ticket };
  }

  async #stream() {
    // ping: heartbeats with the cursor. client: the server ends an older stream of this page, which
    // may be half open after a change of the network.
    const target = this.#target({ throttle: this.settings.throttle, ping: 1, client: this.source.host.id });
    const response = await request(this.settings, target, 'application/x-ndjson', this.signal);
    for await (const lines of linesOf(response.body))
      pagesOf(lines).forEach((page) => this.#hear(page));
    throw new Failure('the stream ended');
  }

  // The first request does not wait, as its answer shows that this way works; nor does one after
  // an answer with rows, as there may be more. The others wait for a row: at the server, or here
  // if something between cuts requests that wait.
  async #poll() {
    const { wait, poll } = this.settings.timeouts;
    let params = {};
    while (!this.signal.aborted) {
      const page = await fetchPage(this.settings, this.#target(params), this.signal);
      this.#hear(page);
      const mayWait = page.events.length === 0 && this.source.mayWait;
      params = mayWait ? { wait: Math.round(wait / 1000) } : {};
      if (page.events.length === 0 && !mayWait)
        await sleep(poll, this.signal);
    }
  }

  #hear(page) {
    if (this.signal.aborted)
      return;
    if (!this.isOpen && !isId(page.last_event_id))
      throw new Failure('the stream does not begin as rowcast\'s do');
    const quietMs = performance.now() - this.heardAt;
    this.heardAt += quietMs;
    this.pages++;
    this.source.heard(this, page, quietMs);
    if (!this.signal.aborted)
      this.#giveUpAfter(this.source.patience(this));
  }

  #giveUpAfter(ms) {
    clearTimeout(this.#timer);
    this.patience = ms;
    this.#timer = setTimeout(() => {
      const isLate = this.pages === 0;
      const failure = new Failure(isLate ? `no answer in ${ms} ms by ${this.transport}` : 'the connection went silent');
      this.end(Object.assign(failure, { isLate }));
    }, ms);
  }
}

// --- source.js - a connection that lasts: link after link, from a cursor on.
//
// The tab that leads has one, for all tabs. It streams where it can. Where streams do not come
// through (a proxy or a virus scanner collects the answer, or cuts it soon) it polls, and tries to
// stream again now and then. host: want() says which channels to read, feed(part) takes what
// comes, refused() is called when the server has refused the request itself.

const STRIKES = 2;             // so many streams in a row that do not do, and polls take their place
const MORE_MS = 20;            // what is wanted within one turn is asked for together
const BEATS = 3;               // heartbeats from which their interval is estimated
const BEAT_MIN_MS = 500;       // what comes sooner had waited for this page to run
const BEAT_MAX_MS = 60000;

class Source {
  mayWait = true;              // polls may wait at the server
  #transport;                  // of the next link
  #status = { state: 'connecting', error: null, delay: null };
  #strikes = 0;                // streams in a row that did not do
  #failures = 0;               // links in a row that failed
  #upgrades = 0;               // times that streaming was tried again
  #beats = [];                 // the last intervals between two heartbeats
  #link = null;
  #pause = new AbortController();   // ends the time between two links
  #stopped = false;

  constructor(host, cursor) {
    this.host = host;
    this.settings = host.settings;
    this.cursor = new Cursor(cursor.id, cursor.era);
    this.#transport = this.settings.transports[0];
  }

  // The channels of which every row comes; null: not connected.
  get channels() { return this.#link?.isOpen ? this.#link.channels : null; }

  async run() {
    while (!this.#stopped) {
      if (this.#status.state === 'open')
        this.say('connecting');
      else
        this.tell();
      if (this.#stopped)       // by a listener of the state
        return;
      const link = new Link(this, this.#transport);
      this.#link = link;
      const failure = await link.over;
      this.#link = null;
      if (failure !== AGAIN && !this.#stopped)
        await this.#recover(link, failure);
    }
  }

  stop() {
    this.#stopped = true;
    this.#link?.end(AGAIN);
    this.#pause.abort();
  }

  // Perhaps other channels are wanted now. Rows of them may have passed unread, so a new link begins
  // from the cursor. Returns whether the open one serves all; one that is not open looks again then.
  want() {
    const link = this.#link;
    if (this.channels === null || covers(this.channels, this.host.want()))
      return true;
    setTimeout(() => link.end(AGAIN), MORE_MS);
    return false;
  }

  // Something has happened after which the connection is likely to be gone, or to be had again:
  // another network, with which everything is tried again; or the user is back and should not wait for a pause.
  wake({ isNewNetwork }) {
    if (isNewNetwork) {
      this.#transport = this.settings.transports[0];
      this.#strikes = 0;
      this.#upgrades = 0;
      this.mayWait = true;
    }
    const link = this.#link;
    if (link === null)
      this.#pause.abort();
    else if (isNewNetwork || performance.now() - link.heardAt > link.patience)
      link.end(AGAIN);
  }

  // Sends the present state to all tabs.
  say(state, error = null, delay = null) {
    const isOffline = state === 'retrying' && globalThis.navigator?.onLine === false;
    this.#status = { state: isOffline ? 'offline' : state, error, delay };
    this.tell();
  }

  tell() {
    const { id, era } = this.cursor;
    this.#feed({ era, from: id, to: id, rows: [], gap: null });
  }

  #feed(part) {
    const transport = this.#link?.isOpen ? this.#link.transport : null;
    this.host.feed({ ...part, channels: this.channels, status: { ...this.#status, transport } });
  }

  // --- what links tell

  heard(link, page, quietMs) {
    if (!link.isOpen)
      this.#opened(link);
    else if (link.isStream && page.events === undefined && page.gap === undefined)
      this.#learnBeat(quietMs);
    this.#status = { state: link.isStream ? 'open' : 'fallback', error: null, delay: null };
    const feed = this.cursor.feed(page);
    this.#feed({ ...feed, ...this.cursor.take(feed) });
  }

  #opened(link) {
    link.isOpen = true;
    this.#failures = 0;
    if (!link.isStream && this.settings.transports.includes('fetch'))
      this.#streamLater(link);
    this.want();
  }

  // Ends a link that polls after a while, for a stream; one that does not do leads back to polls.
  async #streamLater(link) {
    const { retry, upgrade, upgradeMax } = this.settings.timeouts;
    const delay = this.#upgrades === 0 ? retry : backoff(this.#upgrades, upgrade, upgradeMax);
    await sleep(delay, link.signal);
    if (link.signal.aborted)
      return;
    this.#upgrades++;
    this.#strikes = STRIKES - 1;
    this.#transport = 'fetch';
    link.end(AGAIN);
  }

  // The server sends a heartbeat when it has sent nothing else for an interval.
  #learnBeat(quietMs) {
    if (quietMs >= BEAT_MIN_MS)
      this.#beats = [...this.#beats, Math.min(quietMs, BEAT_MAX_MS)].slice(-BEATS);
  }

  // For how long a link may be silent.
  patience(link) {
    const { silence, wait, poll, request } = this.settings.timeouts;
    if (!link.isStream)
      return request + Math.max(wait, poll);
    return this.#beats.length > 0 ? 2.5 * Math.max(...this.#beats) : silence;
  }

  // --- from link to link

  async #recover(link, failure) {
    this.#transport = link.isStream ? this.#afterStream(link, failure) : this.#afterPoll(link, failure);
    if (failure.isLate && this.#transport !== link.transport)
      return;                  // a poll shows whether it is the stream or the server
    if (failure.status === 401 && link.isOpen && typeof this.settings.ticket === 'function')
      return;                  // the ticket has expired while it was in use
    const { retry, retryMax } = this.settings.timeouts;
    this.#failures++;
    const delay = backoff(this.#failures, retry, retryMax);
    this.#pause = new AbortController();
    const { signal } = this.#pause;
    this.say('retrying', failure.detail, Math.round(delay));
    await sleep(delay, signal);
    if (failure.refused && !this.#stopped)
      this.host.refused();
  }

  // A stream does not do if it brings nothing, cannot be had, or soon ends, and the server does not
  // say why. Returns the next link's transport.
  #afterStream(link, failure) {
    if (link.isOpen && performance.now() - link.startedAt >= this.settings.timeouts.steady) {
      this.#strikes = 0;
      this.#upgrades = 0;
    } else if (failure.isLate) {
      this.#strikes = STRIKES;
    } else if (failure.status === 0 && link.ticket !== undefined) {
      this.#strikes++;
      if (link.isOpen)         // that it opens again will prove nothing
        this.#upgrades = Math.max(this.#upgrades, 1);
    }
    return this.#strikes >= STRIKES && this.settings.transports.includes('poll') ? 'poll' : 'fetch';
  }

  #afterPoll(link, failure) {
    if (!link.isOpen) {        // polls do no better: it is the server
      this.#strikes = 0;
      return this.settings.transports[0];
    }
    if (link.pages === 1 && !failure.refused)
      this.mayWait = false;    // the first request that waited was cut
    return 'poll';
  }
}

// --- share.js - which tab leads. The tabs of a name elect one, and talk on a BroadcastChannel.
//
// A Web Lock elects it, and goes to the next tab when the leader's is closed. A frozen tab keeps
// its lock, so the others listen for signs of life, ask when they hear none, and steal the lock
// when no answer comes. Answers are messages, which hidden tabs send at once; their timers may run
// once a minute only. Over plain http there are no locks: a tab that gets no answer leads, and
// where two do, one of them yields (see tabs.js). For a moment two may lead, which does no harm
// (see cursor.js). tabs: lead(), stepDown(), heard(message), ask().

const locks = () => globalThis.navigator?.locks ?? null;

class Share {
  #name;
  #channel = null;
  #isLeading = false;
  #request = null;        // the AbortController of the request for the lock that counts
  #release = null;        // gives the lock back
  #timer = 0;

  constructor(name, tabs) {
    this.#name = name;
    this.tabs = tabs;
  }

  static isPossible() {
    return typeof BroadcastChannel === 'function' && (locks() !== null || globalThis.document !== undefined);
  }

  join() {
    try {
      this.#channel = new BroadcastChannel(this.#name);
    } catch {               // forbidden, as storage is
      this.tabs.lead();
      return;
    }
    this.#channel.onmessage = ({ data }) => this.tabs.heard(data);
    if (locks() !== null)
      this.#requestLock({});
    this.#askFor(locks() !== null ? 'answer' : 'claim');
  }

  leave() {
    this.#isLeading = false;
    clearTimeout(this.#timer);
    this.#request?.abort();
    this.#request = null;
    this.#release?.();
    this.#release = null;
    this.#channel?.close();
    this.#channel = null;
  }

  post(message) {
    this.#channel?.postMessage(message);
  }

  // The leader has given a sign of life.
  alive() {
    this.#after('life', () => this.look());
  }

  look() {
    this.#askFor('answer');
  }

  // The leader has closed. A lock goes on to the next tab by itself.
  leaderLeft() {
    if (locks() === null)
      this.#askFor('claim');
  }

  // Another tab leads as well. Returns whether this one has stepped down; a lock decides by itself.
  yields() {
    if (locks() !== null)
      return false;
    this.#isLeading = false;
    this.tabs.stepDown();
    return true;
  }

  // Asks whether there is a leader, and takes its place if no answer comes in this time.
  #askFor(name) {
    if (this.#isLeading || this.#channel === null)
      return;
    this.tabs.ask();
    this.#after(name, () => this.#takeOver());
  }

  // Spread, so that one tab asks or takes over and the others hear of it.
  #after(name, fn) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(fn, this.tabs.settings.timeouts[name] * (1 + Math.random() / 2));
  }

  #takeOver() {
    if (locks() === null) {
      this.#lead();
    } else {
      this.#requestLock({ steal: true });
      this.alive();
    }
  }

  #lead() {
    this.#isLeading = true;
    clearTimeout(this.#timer);
    this.tabs.lead();
  }

  #requestLock({ steal = false }) {
    this.#request?.abort();
    const request = new AbortController();
    this.#request = request;
    const options = steal ? { steal } : { signal: request.signal };
    locks().request(this.#name, options, () => (this.#request === request ? this.#hold() : undefined))
      .catch(() => this.#request === request && this.#lost());
  }

  // The lock is held until the promise is resolved.
  #hold() {
    const held = new Promise((release) => { this.#release = release; });
    this.#lead();
    return held;
  }

  #lost() {
    if (!this.#isLeading) {    // a browser that has locks and does not give them
      this.leave();
      this.tabs.lead();
      return;
    }
    this.#isLeading = false;   // stolen while this tab was frozen
    this.#release = null;
    this.tabs.stepDown();
    this.#requestLock({});
    this.look();
  }
}

// --- tabs.js - the tabs that share one stream, and what they say to each other.
//
// The tab that leads has a Source, and passes all that comes on to the others as feeds; each takes
// its own. reader is this tab's Rowcast: { settings, cursor, want(), receive(feed),
// setStatus(status), restart() }.
//
//   { kind: 'hello', tab, era, want }               is anyone leading? I want these channels
//   { kind: 'feed', lead, channels, status, ... }   a feed (cursor.js), and a sign of life
//   { kind: 'bye', tab }                            I want nothing any more
//   { kind: 'recheck' }                             the server refuses what we ask for together

const TALK = 2;                 // version of the messages; tabs of other versions are not heard

const randomId = () => Array.from({ length: 4 }, () => Math.random().toString(36).slice(2, 10)).join('-');

class Tabs {
  id = randomId();              // also the server's, to know this page again by
  #share = null;
  #source = null;               // this tab leads
  #wants = new Map();           // leading: the channels that each other tab wants
  #leader = null;               // following: who leads

  constructor(reader) {
    this.reader = reader;
    this.settings = reader.settings;
  }

  get hasJoined() { return this.#share !== null || this.#source !== null; }

  join() {
    const { url, withCredentials, throttle, ticket, transports, share } = this.settings;
    if (share === false || !Share.isPossible()) {
      this.lead();
      return;
    }
    const name = JSON.stringify([TALK, url, withCredentials, throttle, ticket, transports, share]);
    this.#share = new Share(`rowcast:${name}`, this);
    this.#share.join();
  }

  leave() {
    this.#share?.post({ kind: 'bye', tab: this.id });
    this.stepDown();
    this.#share?.leave();
    this.#share = null;
  }

  wake(why) {
    this.#source?.wake(why);
    this.#share?.look();
  }

  // The browser says that there is no network.
  offline() {
    this.#source?.say('offline');
  }

  // This tab wants other channels than before.
  wants() {
    if (this.#source !== null)
      this.#source.want();
    else if (this.hasJoined)
      this.ask();
  }

  // --- called by Share

  lead() {
    this.#wants.clear();
    this.#source = new Source(this, this.reader.cursor);
    this.#source.run();
  }

  stepDown() {
    this.#source?.stop();
    this.#source = null;
    this.#leader = null;
  }

  ask() {
    this.#share?.post({ kind: 'hello', tab: this.id, era: this.reader.cursor.era, want: this.reader.want() });
  }

  heard(message) {
    if (message.kind === 'recheck')
      this.reader.restart();
    else if (message.kind === 'bye')
      this.#left(message);
    else if (message.kind === 'hello' && this.#source !== null)
      this.#serve(message);
    else if (message.kind === 'feed' && this.#source === null)
      this.#follow(message);
    else if (message.kind === 'feed')
      this.#settle(message);
  }

  // --- called by Source

  want() {
    return union([this.reader.want(), ...this.#wants.values()]);
  }

  feed(part) {
    const feed = { kind: 'feed', lead: this.id, ...part };
    this.#share?.post(feed);
    this.reader.receive(feed);
  }

  // Each tab asks for itself now, so that those alone are refused that may not read.
  refused() {
    this.#share?.post({ kind: 'recheck' });
    this.reader.restart();
  }

  // --- leading and following

  #left({ tab }) {
    this.#wants.delete(tab);
    if (tab === this.#leader)
      this.#share.leaderLeft();
  }

  // Another tab leads as well: the one with the lower id goes on, and the other hears of it.
  #settle(feed) {
    if (feed.lead > this.id)
      this.#source.tell();
    else if (this.#share.yields())
      this.#follow(feed);
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
    const isNewLeader = feed.lead !== this.#leader;
    this.#leader = feed.lead;
    if (feed.channels !== null && covers(feed.channels, this.reader.want())) {
      this.reader.receive(feed);
      return;
    }
    const state = feed.channels === null ? feed.status.state : 'connecting';
    this.reader.setStatus({ ...feed.status, state, transport: null });
    if (isNewLeader)
      this.ask();
  }
}

// --- copy.js - a copy of a tracked table: made from the parts of its state, kept right by its changes.
//
// Each part is as new as its `at`, and the changes begin behind the first part. So a change may be
// older than a row that a later part has brought, and is left out. From the id `until` on the copy
// is what the table was at that id.

// What a Map has a row under: the value of a key of one column, else JSON of the values in the key's
// order, such as '["north",7]'. (A BLOB's value is an object, and stands as its JSON.)
function keyOf(values) {
  const [first] = values;
  const isPlain = values.length === 1 && (first === null || typeof first !== 'object');
  return isPlain ? first : JSON.stringify(values.length === 1 ? first : values);
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const OPS = ['insert', 'update', 'delete', 'reset'];

// The change in a row of the type `change`; null: it is none. Other programs may write
// rows of that type as well.
function changeOf(row) {
  try {
    const change = JSON.parse(row.data);
    const hasRow = !['insert', 'update'].includes(change?.op) || isObject(change.row);
    return isObject(change) && OPS.includes(change.op) && hasRow ? change : null;
  } catch {
    return null;
  }
}

class Copy {
  rows = new Map();
  name = null;             // as the schema spells it; null: no part has come
  key = [];                // the names of the key's columns
  channel = null;          // of all changes; null: each row has its own
  until = '0';
  #from = null;            // at of the first part
  #newer = new Map();      // keys of rows that are newer than that: their at
  #before = new Map();     // what has changed: the rows as they were, null for none

  add({ table, at, key, channel, rows }) {
    this.name = table;
    this.key = key;
    this.channel = channel;
    this.#from ??= at;
    this.until = Number(at) > Number(this.until) ? at : this.until;
    for (const row of rows) {
      const name = keyOf(key.map((column) => row[column]));
      this.rows.set(name, row);
      if (at !== this.#from)
        this.#newer.set(name, at);
    }
  }

  // Takes a change over, unless it is older than the row. Returns false where the copy is of no use
  // any more: the table has another form now.
  apply(id, { op, key, row }) {
    if (op === 'reset' || !isObject(key) || !this.key.every((column) => Object.hasOwn(key, column)))
      return false;
    const name = keyOf(this.key.map((column) => key[column]));
    if (Number(id) <= Number(this.#newer.get(name) ?? this.#from))
      return true;
    if (!this.#before.has(name))
      this.#before.set(name, this.rows.get(name) ?? null);
    if (op === 'delete')
      this.rows.delete(name);
    else
      this.rows.set(name, row);
    return true;
  }

  // What has changed since the last call: a list of { key, row, old }; row null: gone, old null: new.
  changes() {
    const changes = Array.from(this.#before, ([key, old]) => ({ key, row: this.rows.get(key) ?? null, old }));
    this.#before.clear();
    return changes.filter(({ row, old }) => row !== null || old !== null);
  }

  // The same for a copy that takes the place of another one. Rows that are as they were stay the same
  // objects.
  changesFrom({ rows: before }) {
    this.#before.clear();
    const changes = Array.from(before).filter(([key]) => !this.rows.has(key))
      .map(([key, old]) => ({ key, row: null, old }));
    for (const [key, row] of this.rows) {
      const old = before.get(key) ?? null;
      if (JSON.stringify(old) === JSON.stringify(row))
        this.rows.set(key, old);
      else
        changes.push({ key, row, old });
    }
    return changes;
  }
}

// --- events.js - the events that a page hears.

// node 18 has no CustomEvent.
const DetailEvent = globalThis.CustomEvent ?? class extends Event {
  constructor(type, { detail }) {
    super(type);
    this.detail = detail;
  }
};

// A row, as an event of its type. isHistory: it was there before the page (since, last).
class RowEvent extends MessageEvent {
  constructor(row, isHistory = false) {
    super(row.event, { data: row.data, lastEventId: row.id });
    this.channel = row.channel;
    this.createdAt = row.created_at ?? null;
    this.isHistory = isHistory;
  }

  json() {
    return JSON.parse(this.data);
  }
}

// --- catchup.js - CatchUp: a reader asks the server for what it lacks, attempt after attempt.
//
// Rowcast (for the page's rows) and each Table (for its copy) have one. While it runs, the feeds that
// come to the reader wait in a queue, and the reader gets them at the end. What the reader asks the
// server, and what it does with the answer, is the reader's business. host is that reader:
//
//    ask(feed, signal)    asks for what lies between its cursor and the feed (null: and now); rejects
//                         when that attempt has failed
//    failed(failure, ms)  hears of such an attempt, and in how many ms the next one begins
//    caughtUp()           is called once ask() has succeeded; then receive(feed) for each waiting feed

const FEEDS_MAX = 1000;         // feeds that wait

class CatchUp {
  #timeouts;
  #host;
  #waiting = null;                     // the queue; null: not running
  #asking = new AbortController();     // ends the run,
  #pause = new AbortController();      // and the time between two attempts
  #isRefusalOld = false;               // see askAgain

  constructor(timeouts, host) {
    this.#timeouts = timeouts;
    this.#host = host;
  }

  get isRunning() { return this.#waiting !== null; }

  // Runs until an attempt has succeeded, or stop() is called.
  async run(feed) {
    this.#waiting = feed === null ? [] : [feed];
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    for (let attempt = 1, isDone = false; !isDone; attempt++) {
      isDone = await this.#attempt(feed, attempt, signal);
      if (signal.aborted)
        return;
    }
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#host.caughtUp();
    waiting.forEach((one) => this.#host.receive(one));   // into the next queue, if a run begins
  }

  // While it runs: a feed that the reader is to get at the end.
  keep(feed) {
    if (this.#waiting.push(feed) > FEEDS_MAX)
      this.#waiting.length = 0;   // then the next feed shows what is missing
  }

  stop() {
    this.#asking.abort();
    this.#pause.abort();
    this.#waiting = null;
  }

  // Ends the pause.
  wake() {
    this.#pause.abort();
  }

  // The reason of a refusal may be gone: the next attempt begins at once, or after a short pause if
  // this attempt fails.
  askAgain() {
    this.#isRefusalOld = true;
    this.#pause.abort();
  }

  // Resolves to whether the attempt has succeeded: if not, after the pause.
  async #attempt(feed, attempt, signal) {
    this.#isRefusalOld = false;
    try {
      await this.#host.ask(feed, signal);
      return true;
    } catch (error) {
      if (!signal.aborted)
        await this.#pauseAfter(asFailure(error), attempt);
      return false;
    }
  }

  async #pauseAfter(failure, attempt) {
    const { retry, retryMax, refused } = this.#timeouts;
    const isLong = failure.refused && !this.#isRefusalOld;
    const delay = isLong ? refused : backoff(attempt, retry, retryMax);
    this.#pause = new AbortController();
    const { signal } = this.#pause;
    this.#host.failed(failure, Math.round(delay));   // which may stop this
    await sleep(delay, signal);
  }
}

// --- table.js - Table: a tracked table on the page, complete and current, as a live Map of key to row.
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

const BEHIND_MS = 50;           // first delay where the server that answers is behind the stream,
const BEHIND_TIMES = 8;         // and so often; it doubles: more than 10 seconds
const NOT_TRACKED = 400;        // HTTP's status for a name that is none of a tracked table

class Table extends EventTarget {
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

// --- settings.js - from a page's options to settings: each has a value, or is refused in words.

const TIMEOUTS = {   // milliseconds
  open: 8000,        // for the opening of a stream, else it is polled
  request: 20000,    // for a JSON answer, and for a ticket
  retry: 3000,       // first delay after a failure; doubles up to
  retryMax: 30000,
  refused: 300000,   // delay after a refusal (401, 403, 400 ...), which time seldom mends
  silence: 150000,   // without a byte, while the server's heartbeat is not known yet
  steady: 60000,     // a stream that ends sooner, twice in a row, is left for polls
  wait: 25000,       // of a poll, at the server
  poll: 5000,        // between two polls where none may wait
  upgrade: 60000,    // while polling: a delay before streaming is tried again; doubles, up to
  upgradeMax: 600000,
  life: 5000,        // a leading tab that was silent for so long is asked for a sign of life,
  answer: 2000,      // and replaced when none comes in this time,
  claim: 300,        // or in this one, where there are no Web Locks, if it has closed or none is known
};
const TRANSPORTS = ['fetch', 'poll'];
const OLD_TRANSPORTS = { eventsource: 'fetch', longpoll: 'poll' };   // what has taken their place

function refuseIf(isWrong, words) {
  if (isWrong)
    throw new TypeError(words);
}

// A page may be rendered on a server: there the modules load, but a relative URL means nothing.
function absolute(url) {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  try {
    return new URL(url, base).href;
  } catch {
    throw new TypeError(`url: ${url} is no address${base === undefined ? ', and there is no page that it is relative to'
      : ''}`);
  }
}

const isChannel = (one) => typeof one === 'string' && one !== ''
  && new TextEncoder().encode(one).length <= CHANNEL_BYTES_MAX;

function settingsOf(url, options) {
  const { lastEventId = null, since, last, ticket = null, share = true, throttle = null } = options;
  const channels = [].concat(options.channels ?? []);
  const transports = (options.transports ?? TRANSPORTS).map((name) => OLD_TRANSPORTS[name] ?? name);
  const unknown = transports.find((name) => !TRANSPORTS.includes(name));
  refuseIf(channels.length > CHANNELS_MAX || !channels.every(isChannel),
    `channels: up to ${CHANNELS_MAX} strings, each of 1 to ${CHANNEL_BYTES_MAX} bytes`);
  refuseIf(unknown !== undefined || transports.length === 0,
    `transports: ${unknown ?? 'an empty list'} is none of ${TRANSPORTS.join(', ')}`);
  refuseIf(lastEventId !== null && !isId(String(lastEventId)), 'lastEventId: not a decimal number');
  refuseIf(since !== undefined && last !== undefined, 'since and last exclude each other');
  refuseIf(last !== undefined && fitting(channels).length < channels.length,
    'last: not with so many channels that one request cannot name them');
  refuseIf(ticket !== null && typeof ticket !== 'string' && typeof ticket !== 'function',
    'ticket: neither a string nor a function');
  return {
    url: absolute(url),
    channels: [...new Set(channels)].sort(),
    transports: TRANSPORTS.filter((name) => transports.includes(name)),
    lastEventId: lastEventId === null ? null : String(lastEventId),
    first: { since, last },      // where a first connection starts
    ticket,
    // A function's tickets cannot be compared: such tabs share only under a name they agree on.
    share: typeof ticket === 'function' && share === true ? false : share,
    withCredentials: Boolean(options.withCredentials),
    throttle,
    timeouts: { ...TIMEOUTS, ...options.timeouts },
  };
}

// --- position.js - how far a page is, kept in storage so that a reload goes on from there.
//
// A position belongs to the document that had the rows. Another document goes on from it only if it
// takes that one's place: by a reload, by going back to it, or in the same frame. Another page, a
// pop-up (which gets a copy of the storage) or a second object has had none of the rows.

const taken = new Set();      // keys: each object in a page has its own

// Storage may be forbidden, or full: then a reload starts with what is new.
function quietly(fn) {
  try {
    return fn();
  } catch {
    return null;
  }
}

// Where the frame of this document is: its number in each window above it.
function framePath() {
  const path = [];
  for (let frame = globalThis.window; frame !== undefined && frame !== frame.parent; frame = frame.parent) {
    const siblings = Array.from({ length: frame.parent.length }, (_, n) => frame.parent[n]);
    path.unshift(siblings.indexOf(frame));
  }
  return path;
}

// Whether this document may be another one's successor. Loads in frames are all of the type
// `navigate`, also when the page around is reloaded.
function mayGoOn() {
  const [load] = performance.getEntriesByType('navigation');
  return load?.type === 'reload' || load?.type === 'back_forward' || framePath().length > 0;
}

class Position {
  #storage;
  #key;

  constructor(storage, { url, channels, share }) {
    this.#storage = storage === undefined ? quietly(() => globalThis.sessionStorage) : storage;
    const [page] = (globalThis.location?.href ?? '').split('#');
    const name = JSON.stringify([url, channels, typeof share === 'string' ? share : '', page, framePath()]);
    let n = 1;
    while (taken.has(`rowcast:${name}#${n}`))
      n++;
    this.#key = `rowcast:${name}#${n}`;
    taken.add(this.#key);
  }

  // That of the document whose place this one has taken; null: there is none.
  read() {
    const id = quietly(() => this.#storage.getItem(this.#key));
    return isId(id) && mayGoOn() ? id : null;
  }

  write(id) {
    quietly(() => this.#storage?.setItem(this.#key, id));
  }

  // The key is free for another object.
  release() {
    taken.delete(this.#key);
  }

  forget() {
    quietly(() => this.#storage?.removeItem?.(this.#key));
  }
}

// --- rowcast.js - Rowcast: what a page sees. It has a cursor, and delivers what moves it.
//
// It begins by asking the server for itself (JSON): so it gets what it missed, and is refused by
// itself where it may not read. Then it joins the tabs, from which feeds come (cursor.js). When a
// feed shows that something is missing it asks the server again, for the part between.

const OUR_ROWS = ['rowcast:too-large', 'rowcast:read'];   // events that are rows of the log

class Rowcast extends EventTarget {
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

export { backoff };
export { Copy, changeOf, keyOf };
export { Cursor };
export { RowEvent };
export { covers, fitting, glob, union };
export { checkPage, linesOf, pagesOf };
export { Rowcast, Rowcast as default };
export { Table };
