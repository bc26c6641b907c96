// demo-streams.js - the page's readers, so that the demo can cut and resume them all at once.
//
// Each is a Rowcast of its own: rowcast.js makes one connection of those that can share it, within
// a page as among tabs. A page that cuts nothing has no need of this file.
import { Rowcast } from './rowcast.js';

export class Streams extends EventTarget {
  isCut = false;
  #all = new Map();      // name → { url, options, wire, rows, unwire, from }

  constructor(timeouts) {
    super();
    this.timeouts = timeouts;
  }

  // wire(rows) adds the listeners, and may return what takes them off again.
  open(name, url, options, wire) {
    this.close(name);
    const stream = { name, url, options, wire, rows: null, unwire: null, from: null };
    this.#all.set(name, stream);
    if (!this.isCut)
      this.#start(stream);
  }

  close(name) {
    const stream = this.#all.get(name);
    if (stream !== undefined)
      this.#stop(stream);
    this.#all.delete(name);
  }

  rows(name) {
    return this.#all.get(name)?.rows ?? null;
  }

  // How far a reader is; '' if it has not begun.
  lastEventId(name) {
    const stream = this.#all.get(name);
    return stream?.rows?.lastEventId || stream?.from || '';
  }

  cut() {
    this.isCut = true;
    for (const stream of this.#all.values()) {
      stream.from = this.lastEventId(stream.name) || null;
      this.#stop(stream);
    }
    this.dispatchEvent(new Event('cut'));
  }

  resume() {
    this.isCut = false;
    for (const stream of this.#all.values())
      this.#start(stream);
    this.dispatchEvent(new Event('resume'));
  }

  #start(stream) {
    const from = stream.from === null ? {} : { lastEventId: stream.from };
    stream.rows = new Rowcast(stream.url, { timeouts: this.timeouts, ...stream.options, ...from });
    stream.rows.addEventListener('rowcast:state', ({ detail }) => {
      this.dispatchEvent(new CustomEvent('state', { detail: { name: stream.name, ...detail } }));
    });
    stream.unwire = stream.wire(stream.rows) ?? null;
  }

  #stop(stream) {
    stream.unwire?.();
    stream.rows?.close();
    stream.rows = stream.unwire = null;
  }
}

// What alerts hear: whichever reader there is. So they, and the bell's count, outlive a cut.
export class Heard {
  rows = null;
  #listeners = [];

  on(type, fn) {
    this.#listeners.push([type, fn]);
    return () => { this.#listeners = this.#listeners.filter((one) => one[1] !== fn); };
  }

  follow(rows) {
    this.rows = rows;
    for (const [type, fn] of this.#listeners)
      rows.on(type, fn);
  }

  read(id, channel) {
    return this.rows.read(id, channel);
  }
}
