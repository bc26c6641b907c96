// link.js - one attempt to read: from the ticket to the end of one stream, or of a row of polls.
//
// A Source makes links, one after the other. A link passes each page that comes to
// source.heard(link, page, quietMs), and `over` says how it ended. From then on it passes on
// nothing: a late byte of an old connection changes nothing.
import { Failure, address, asFailure, fetchPage, isId, linesOf, pagesOf, request, ticketOf } from './request.js';
import { sleep } from './time.js';

// Not a failure: something else is wanted now, or the page has closed.
export const AGAIN = new Failure('another connection takes its place');

export class Link {
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
