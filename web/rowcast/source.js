// source.js - a connection that lasts: link after link, from a cursor on.
//
// The tab that leads has one, for all tabs. It streams where it can. Where streams do not come
// through (a proxy or a virus scanner collects the answer, or cuts it soon) it polls, and tries to
// stream again now and then. host: want() says which channels to read, feed(part) takes what
// comes, refused() is called when the server has refused the request itself.
import { Cursor } from './cursor.js';
import { covers } from './glob.js';
import { AGAIN, Link } from './link.js';
import { backoff, sleep } from './time.js';

const STRIKES = 2;             // so many streams in a row that do not do, and polls take their place
const MORE_MS = 20;            // what is wanted within one turn is asked for together
const BEATS = 3;               // heartbeats from which their interval is estimated
const BEAT_MIN_MS = 500;       // what comes sooner had waited for this page to run
const BEAT_MAX_MS = 60000;

export class Source {
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
