// unread.js - which rows the person has not read yet, and up to where each channel is read. Pure.
//
// Marks come from the log, as the event rowcast:read, to all pages of a user; so all count the same.

const UNREAD_MAX = 1000;      // rows that are remembered

export class Unread {
  #rows = new Map();          // id → channel, of those not read
  #known = new Map();         // id → channel, of those that came
  #marks = new Map();         // channel → id

  get size() {
    return this.#rows.size;
  }

  // A row that raises an alert has come. Whether the count has changed.
  add(id, channel) {
    this.#keep(this.#known, id, channel);
    if (this.isRead(id, channel) || this.#rows.has(id))
      return false;
    this.#keep(this.#rows, id, channel);
    return true;
  }

  // The channel is read up to that id. Whether that is news.
  mark(channel, id) {
    if (!(Number(id) > Number(this.#marks.get(channel) ?? 0)))
      return false;
    this.#marks.set(channel, id);
    for (const [row, of] of this.#rows) {
      if (of === channel && Number(row) <= Number(id))
        this.#rows.delete(row);
    }
    return true;
  }

  isRead(id, channel) {
    return Number(id) <= Number(this.#marks.get(channel) ?? 0);
  }

  channelOf(id) {
    return this.#known.get(id);
  }

  // The newest row that is not read, of each channel: [id, channel].
  newest() {
    const newest = new Map();
    for (const [id, channel] of this.#rows) {
      if (Number(id) > Number(newest.get(channel) ?? 0))
        newest.set(channel, id);
    }
    return Array.from(newest, ([channel, id]) => [id, channel]);
  }

  #keep(map, id, channel) {
    map.set(id, channel);
    while (map.size > UNREAD_MAX)
      map.delete(map.keys().next().value);
  }
}

// What a row rowcast:read says; null: nothing that can be understood.
export function markIn(text) {
  try {
    const { channel, id } = JSON.parse(text);
    return typeof channel === 'string' && /^[0-9]{1,16}$/.test(id) ? { channel, id } : null;
  } catch {
    return null;
  }
}
