// copy.js - a copy of a tracked table: made from the parts of its state, kept right by its changes.
//
// Each part is as new as its `at`, and the changes begin behind the first part. So a change may be
// older than a row that a later part has brought, and is left out. From the id `until` on the copy
// is what the table was at that id.

// What a Map has a row under: the value of a key of one column, else JSON of the values in the key's
// order, such as '["north",7]'. (A BLOB's value is an object, and stands as its JSON.)
export function keyOf(values) {
  const [first] = values;
  const isPlain = values.length === 1 && (first === null || typeof first !== 'object');
  return isPlain ? first : JSON.stringify(values.length === 1 ? first : values);
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const OPS = ['insert', 'update', 'delete', 'reset'];

// The change in a row of the type `change`; null: it is none. Other programs may write
// rows of that type as well.
export function changeOf(row) {
  try {
    const change = JSON.parse(row.data);
    const hasRow = !['insert', 'update'].includes(change?.op) || isObject(change.row);
    return isObject(change) && OPS.includes(change.op) && hasRow ? change : null;
  } catch {
    return null;
  }
}

export class Copy {
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
