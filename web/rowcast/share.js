// share.js - which tab leads. The tabs of a name elect one, and talk on a BroadcastChannel.
//
// A Web Lock elects it, and goes to the next tab when the leader's is closed. A frozen tab keeps
// its lock, so the others listen for signs of life, ask when they hear none, and steal the lock
// when no answer comes. Answers are messages, which hidden tabs send at once; their timers may run
// once a minute only. Over plain http there are no locks: a tab that gets no answer leads, and
// where two do, one of them yields (see tabs.js). For a moment two may lead, which does no harm
// (see cursor.js). tabs: lead(), stepDown(), heard(message), ask().

const locks = () => globalThis.navigator?.locks ?? null;

export class Share {
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
