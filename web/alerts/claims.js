// claims.js - which tab shows a row.
//
// With several tabs each row is claimed by a Web Lock of its name, which one tab gets and keeps while
// it lives; so one shows it, and a tab that is late, or was frozen, shows nothing twice. (A leading
// tab that shows all would be fewer locks, but is silent while frozen, and the tabs' rows may differ.
// localStorage is not in step between processes.) Without Web Locks every tab gets every claim.

const CLAIMS_MAX = 1000;      // rows whose locks are kept, so that no tab shows them again
const ALONE_MS = 5000;        // for another tab to have shown what is its

const lockManager = () => globalThis.navigator?.locks ?? null;

// Each row's lock is held until CLAIMS_MAX newer ones are, or the page goes.
export class Claims {
  #held = [];

  constructor(name) {
    this.name = name;
  }

  // Whether this tab is the one to show the row. A tag is claimed with it: see isSuperseded.
  async claim(id, tag) {
    const mine = await this.#hold(`rowcast-alert:${this.name}:${id}`);
    if (mine && tag !== '')
      await this.#hold(this.#tagLock(tag) + id);
    return mine;
  }

  #tagLock(tag) {
    return `rowcast-tag:${JSON.stringify([this.name, tag])}:`;
  }

  #hold(lockName) {
    if (lockManager() === null)
      return Promise.resolve(true);
    return new Promise((resolve) => {
      lockManager().request(lockName, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock === null ? undefined : new Promise((release) => {
          this.#held.push(release);
          while (this.#held.length > CLAIMS_MAX)
            this.#held.shift()();
        });
      }).catch(() => resolve(true));   // a browser that has locks and does not give them
    });
  }

  release() {
    for (const release of this.#held.splice(0))
      release();
  }

  // Whether a newer row of the tag has been claimed by any tab: then it has been shown, or will be.
  // (Not by getNotifications(): in Chromium that forgets one that is just being put on the screen.)
  async isSuperseded(id, tag) {
    const start = this.#tagLock(tag);
    const { held } = await lockManager()?.query() ?? { held: [] };
    return held.some(({ name }) => name.startsWith(start) && Number(name.slice(start.length)) > Number(id));
  }

  // Runs fn while no other tab does: an older row must not replace a newer one of its tag. A tab
  // that hangs in there holds the others up for ALONE_MS only.
  async alone(fn) {
    if (lockManager() === null)
      return fn();
    const wait = new AbortController();
    const timer = setTimeout(() => wait.abort(), ALONE_MS);
    const begin = () => {
      clearTimeout(timer);
      return fn();
    };
    try {
      return await lockManager().request(`rowcast-alerts:${this.name}`, { signal: wait.signal }, begin);
    } catch (error) {
      if (!wait.signal.aborted)
        throw error;
      return fn();
    }
  }
}
