// share.js - which tab leads. The tabs of a name elect one, and talk on a BroadcastChannel.
//
// A Web Lock elects it, and goes to the next tab when the leader's is closed. A frozen tab keeps
// its lock, so the others listen for signs of life, ask when they hear none, and steal the lock
// when no answer comes. Answers are messages, which hidden tabs send at once; their timers may run
// once a minute only. tabs: lead(), stepDown(), heard(message), ask().

export class Share {
  leading = false;
  #name;
  #channel = null;
  #request = null;        // the AbortController of the request for the lock that counts
  #release = null;        // gives the lock back
  #timer = 0;

  constructor(name, tabs) {
    this.#name = name;
    this.tabs = tabs;
  }

  static isPossible() {
    return typeof BroadcastChannel === 'function' && Boolean(globalThis.navigator?.locks);
  }

  join() {
    try {
      this.#channel = new BroadcastChannel(this.#name);
    } catch {               // forbidden, as storage is
      this.tabs.lead();
      return;
    }
    this.#channel.onmessage = ({ data }) => this.tabs.heard(data);
    this.#requestLock({});
    this.look();
  }

  leave() {
    this.leading = false;
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

  // Asks whether there is a leader, and takes its place if no answer comes.
  look() {
    if (this.leading || this.#channel === null)
      return;
    this.tabs.ask();
    this.#after('answer', () => {
      this.#requestLock({ steal: true });
      this.alive();
    });
  }

  // Spread, so that one tab asks or takes over and the others hear of it.
  #after(name, fn) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(fn, this.tabs.settings.timeouts[name] * (1 + Math.random() / 2));
  }

  #requestLock({ steal = false }) {
    this.#request?.abort();
    const request = new AbortController();
    this.#request = request;
    const options = steal ? { steal } : { signal: request.signal };
    navigator.locks.request(this.#name, options, () => (this.#request === request ? this.#hold() : undefined))
      .catch(() => this.#request === request && this.#lost());
  }

  // The lock is held until the promise is resolved.
  #hold() {
    this.leading = true;
    clearTimeout(this.#timer);
    const held = new Promise((release) => { this.#release = release; });
    this.tabs.lead();
    return held;
  }

  #lost() {
    if (!this.leading) {       // a browser that has locks and does not give them
      this.leave();
      this.tabs.lead();
      return;
    }
    this.leading = false;      // stolen while this tab was frozen
    this.#release = null;
    this.tabs.stepDown();
    this.#requestLock({});
    this.look();
  }
}
