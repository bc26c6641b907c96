// table.test.mjs - the pure part of tables: a copy against a model of a table, its log and its state; keys,
// changes, and what is not what rowcast sends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Copy, Rowcast, changeOf, checkPage, keyOf } from '../../../web/rowcast/index.js';
import { dice } from './dice.mjs';

const part = (at, rows, more = {}) => ({ table: 't', at: String(at), key: ['id'], channel: 't', rows, more: false,
  ...more });
const change = (op, id, row = null) => ({ table: 't', op, key: { id }, row, old: null });

test('keys: of one column its value, of several, or of a BLOB, JSON that is the same each time', () => {
  assert.deepEqual([[7], ['7'], [null], [1.5], [true]].map(keyOf), [7, '7', null, 1.5, true]);
  assert.equal(keyOf(['north', 7]), '["north",7]');
  assert.notEqual(keyOf(['a', 'b,c']), keyOf(['a,b', 'c']));
  assert.equal(keyOf([{ hex: '00FF' }]), '{"hex":"00FF"}');
});

test('copy: changes up to a row\'s at are older; those behind it count, insert and update alike', () => {
  const copy = new Copy();
  copy.add(part(10, [{ id: 1, v: 'a' }, { id: 2, v: 'b' }], { more: true }));
  copy.add(part(15, [{ id: 8, v: 'c' }]));
  assert.equal(copy.until, '15');
  assert.ok(copy.apply('9', change('delete', 1)));
  assert.ok(copy.apply('12', change('update', 1, { id: 1, v: 'A' })));
  assert.ok(copy.apply('12', change('delete', 8)));
  assert.ok(copy.apply('13', change('delete', 99)));
  assert.ok(copy.apply('14', change('update', 3, { id: 3, v: 'new' })));
  assert.ok(copy.apply('16', change('insert', 8, { id: 8, v: 'C' })));
  assert.deepEqual([...copy.rows.values()].map(({ v }) => v).sort(), ['A', 'C', 'b', 'new']);
  assert.deepEqual(copy.changes(), [{ key: 1, old: { id: 1, v: 'a' }, row: { id: 1, v: 'A' } },
    { key: 3, old: null, row: { id: 3, v: 'new' } }, { key: 8, old: { id: 8, v: 'c' }, row: { id: 8, v: 'C' } }]);
  assert.deepEqual(copy.changes(), []);
  assert.ok(copy.apply('17', change('insert', 4, { id: 4 })));
  assert.ok(copy.apply('18', change('delete', 4)));
  assert.deepEqual(copy.changes(), [], 'who looks later has never seen it');
});

test('copy: what says that the table has another form now makes it useless', () => {
  const copy = new Copy();
  copy.add(part(10, [{ id: 1 }]));
  assert.equal(copy.apply('11', { op: 'reset', key: null, row: null, old: null }), false);
  assert.equal(copy.apply('12', { op: 'update', key: { number: 1 }, row: {}, old: null }), false);
  assert.equal(copy.apply('13', { op: 'delete', key: 'toString', row: null, old: null }), false);
});

test('copy: another one takes its place; what is gone is a change, what is the same stays the same object', () => {
  const [before, now] = [new Copy(), new Copy()];
  before.add(part(1, [{ id: 1, v: 1 }, { id: 2, v: 2 }, { id: 3, v: 3 }]));
  now.add(part(9, [{ id: 2, v: 2 }, { id: 3, v: 33 }, { id: 4, v: 4 }]));
  assert.deepEqual(now.changesFrom(before), [{ key: 1, row: null, old: { id: 1, v: 1 } },
    { key: 3, row: { id: 3, v: 33 }, old: { id: 3, v: 3 } }, { key: 4, row: { id: 4, v: 4 }, old: null }]);
  assert.equal(now.rows.get(2), before.rows.get(2));
});

// Writers change the table between the parts and after them; the reader gets the log behind the first
// part, of which older versions of a row may have been left out (collapse_key).
test('copy: however the table changes while its parts are read, at `until` and after it the copy is the table', () => {
  for (let seed = 1; seed <= 400; seed++) {
    const roll = dice(seed);
    const table = new Map();
    const log = [];
    const tables = new Map();             // as it was after each id
    let id = 100;
    const write = () => {
      id += 1 + roll(3);
      const key = roll(30);
      const isGone = roll(3) === 0;
      if (isGone)
        table.delete(key);
      else
        table.set(key, { id: key, v: id });
      log.push({ id, change: change(isGone ? 'delete' : 'update', key, isGone ? null : { id: key, v: id }) });
      tables.set(id, new Map(table));
    };
    for (let n = 0; n < 40; n++)
      write();
    const copy = new Copy();
    const from = id;
    for (let first = 0; first < 30; first += 10) {
      const rows = [...table.values()].filter((row) => row.id >= first && row.id < first + 10);
      copy.add(part(id, rows));
      for (let n = roll(6); n > 0; n--)
        write();
    }
    for (let n = 0; n < 20; n++)
      write();
    const isOld = (one) => log.some((other) => other.id > one.id && other.change.key.id === one.change.key.id);
    const isCollapsed = roll(2) === 0;
    for (const one of log.filter((entry) => entry.id > from)) {
      if (isCollapsed && one.id <= Number(copy.until) && isOld(one))
        continue;
      copy.apply(String(one.id), one.change);
      if (!isCollapsed && one.id >= Number(copy.until))
        assert.deepEqual(new Map([...copy.rows].sort(([a], [b]) => a - b)),
          new Map([...tables.get(one.id)].sort(([a], [b]) => a - b)), `seed ${seed}, id ${one.id}`);
    }
    assert.deepEqual(new Map([...copy.rows].sort(([a], [b]) => a - b)), new Map([...table].sort(([a], [b]) => a - b)),
      `seed ${seed}`);
  }
});

test('changes: what another program writes as one is seen as none', () => {
  const of = (data) => changeOf({ data: typeof data === 'string' ? data : JSON.stringify(data) });
  const good = { table: 't', op: 'update', key: { id: 1 }, row: { id: 1 }, old: null };
  assert.deepEqual(of(good), good);
  assert.equal(of({ ...good, op: 'reset', key: null, row: null }).op, 'reset');
  for (const bad of ['', '7', 'null', '[]', '{', { ...good, op: 'drop' }, { ...good, row: null }, { ...good, row: [1] },
    { ...good, row: 7 }])
    assert.equal(of(bad), null, JSON.stringify(bad));
});

test('answers: a state that is not what rowcast sends is seen as such', () => {
  const good = part(7, [{ id: 1 }]);
  for (const state of [null, [], [good], [{ ...good, channel: null }]])
    assert.equal(checkPage({ state }).state, state);
  for (const bad of [{}, null, { ...good, at: 7 }, { ...good, key: [] }, { ...good, key: 'id' },
    { ...good, rows: null },
    { ...good, channel: 7 }, { ...good, table: null }])
    assert.throws(() => checkPage({ state: [bad] }), undefined, JSON.stringify(bad));
  assert.throws(() => checkPage({ state: {} }));
});

test('options: a table without a name is refused in words', () => {
  const rows = new Rowcast('http://localhost/events', { storage: null });
  for (const name of [undefined, '', 7])
    assert.throws(() => rows.table(name), /table: its name/);
  rows.close();
});
