// position.js - how far a page is, kept in storage so that a reload goes on from there.
import { isId } from './request.js';

const taken = new Set();      // keys: each object in a page has its own

// Storage may be forbidden, or full: then a reload starts with what is new.
function quietly(fn) {
  try {
    return fn();
  } catch {
    return null;
  }
}

export class Position {
  #storage;
  #key;

  constructor(storage, { url, channels, share }) {
    this.#storage = storage === undefined ? quietly(() => globalThis.sessionStorage) : storage;
    const name = JSON.stringify([url, channels, typeof share === 'string' ? share : '']);
    let n = 1;
    while (taken.has(`rowcast:${name}#${n}`))
      n++;
    this.#key = `rowcast:${name}#${n}`;
    taken.add(this.#key);
  }

  // null: none.
  read() {
    const id = quietly(() => this.#storage.getItem(this.#key));
    return isId(id) ? id : null;
  }

  write(id) {
    quietly(() => this.#storage?.setItem(this.#key, id));
  }

  close() {
    taken.delete(this.#key);
  }
}
