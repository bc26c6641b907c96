// position.js - how far a page is, kept in storage so that a reload goes on from there.
//
// A position belongs to the document that had the rows. Another document goes on from it only if it
// takes that one's place: by a reload, by going back to it, or in the same frame. Another page, a
// pop-up (which gets a copy of the storage) or a second object has had none of the rows.
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

export class Position {
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
