// rowcast.test.mjs - the pure parts of web/rowcast.js: GLOB against SQLite's own, lines, delays,
// what covers what, and the cursor against a model of a log, its leaders and its tabs.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Cursor, RowEvent, Rowcast, backoff, checkPage, covers, fitting, glob, linesOf, pagesOf,
  union } from '../../../web/rowcast/index.js';
import { dice } from './dice.mjs';

function words(letters, longest) {
  let level = [''];
  const all = [''];
  for (let n = 0; n < longest; n++) {
    level = level.flatMap((word) => letters.map((letter) => word + letter));
    all.push(...level);
  }
  return all;
}

// All pairs, asked of the sqlite3 shell in one query.
function compareGlob(patterns, texts) {
  const quoted = (list) => list.map((item) => `('${item.replaceAll("'", "''")}')`).join(',');
  const answer = execFileSync('sqlite3', [':memory:'], { encoding: 'utf8', maxBuffer: 64 << 20, input: `
    CREATE TABLE p(v); CREATE TABLE t(v);
    INSERT INTO p VALUES ${quoted(patterns)};
    INSERT INTO t VALUES ${quoted(texts)};
    SELECT group_concat(t.v GLOB p.v, '') FROM (SELECT rowid r, v FROM p ORDER BY rowid) p,
      (SELECT rowid r, v FROM t ORDER BY rowid) t GROUP BY p.r ORDER BY p.r;` }).trim().split('\n');
  assert.equal(answer.length, patterns.length);
  for (const [n, pattern] of patterns.entries()) {
    const compiled = glob(pattern);
    assert.equal(texts.map((text) => (compiled.test(text) ? 1 : 0)).join(''), answer[n], `pattern ${pattern}`);
  }
}

test('glob: as SQLite, for all short patterns', () => {
  compareGlob(words(['a', 'b', '*', '?'], 5), words(['a', 'b'], 4));
  compareGlob(words(['[', 'a', 'c', '-', ']', '^', '*'], 4), words(['a', 'b', '-', ']', '^'], 2));
});

test('glob: as SQLite, for patterns with sets, beyond ASCII, and thrown by dice', () => {
  const letters = ['a', 'b', 'c', '*', '?', '[', ']', '^', '-', 'é', '😀', '.', "'"];
  const roll = dice(7);
  const thrown = (n) => Array.from({ length: n }, () => Array.from({ length: 1 + roll(9) },
    () => letters[roll(letters.length)]).join(''));
  compareGlob([...thrown(3000), '[a-c-e]', '[]a]x', '[^]a]', '[a-', '*[a-c]*[x', 'orders.*', '[é-😀]'],
    [...thrown(60), 'orders.1', 'orders', ']x', 'é', '😀']);
});

test('glob: a pattern of many stars ends soon', () => {
  assert.equal(glob(`${'*a'.repeat(100)}b`).test('a'.repeat(2000)), false);
});

test('lines: however the bytes are cut, the lines are the same', async () => {
  const bytes = new TextEncoder().encode('{"last_event_id":"1"}\n\n{"id":"2","data":"é\\n😀"}\n\n\nrest');
  const expected = ['{"last_event_id":"1"}', '', '{"id":"2","data":"é\\n😀"}', '', ''];
  for (let size = 1; size <= bytes.length; size++) {
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) },
      (_, n) => bytes.subarray(n * size, (n + 1) * size));
    const body = new ReadableStream({ // ReadableStream.from: not in node 18, which Debian has
      start(controller) {
        pieces.forEach((piece) => controller.enqueue(piece));
        controller.close();
      },
    });
    const got = [];
    for await (const lines of linesOf(body))
      got.push(...lines);
    assert.deepEqual(got, expected, `pieces of ${size}`);
  }
});

test('lines: rows that came together are one page; what stands between stays between', () => {
  const row = (id) => ({ id, channel: 'c', event: 'message', data: '' });
  const gap = { reason: 'pruned', after: '2', resumed_at: '5' };
  const lines = [{ last_event_id: '1' }, row('2'), { gap }, row('6'), row('7')].map((item) => JSON.stringify(item));
  assert.deepEqual(pagesOf([...lines, '', JSON.stringify(row('8'))]),
    [{ last_event_id: '1' }, { events: [row('2')] }, { gap },
    { events: [row('6'), row('7')] }, {}, { events: [row('8')] }]);
  for (const line of ['null', '7', '{"id":7}', '{', '{"last_event_id":7}'])
    assert.throws(() => pagesOf([line]), undefined, line);
});

test('backoff: doubles from the first delay to the limit, a quarter either way', () => {
  assert.deepEqual([1, 2, 3, 4, 5, 50].map((n) => backoff(n, 1000, 8000, () => 0.5)),
    [1000, 2000, 4000, 8000, 8000, 8000]);
  assert.equal(backoff(1, 1000, 8000, () => 0), 750);
  assert.ok(backoff(2000, 1000, 8000, () => 0.999999) < 10000);
});

test('covers: channels by name or pattern; none is all', () => {
  const has = (...channels) => covers(['a', 'b.*'], channels);
  assert.ok(has('a'));
  assert.ok(has('b.1', 'b.*'));
  assert.ok(!has());
  assert.ok(!has('b.[12]'));                // may be so, but is not decided
  assert.ok(!has('a', 'c'));
  assert.ok(covers([], []));
  assert.ok(covers([], ['q']));
});

test('union: covers each, leaves out what a pattern has, and is never more than one request holds', () => {
  const lists = [['b', 'a'], ['c.*', 'c.1']];
  assert.deepEqual(union(lists), ['a', 'b', 'c.*']);
  assert.deepEqual(union([...lists, []]), []);
  const many = Array.from({ length: 65 }, (_, n) => [`n${n}`]);
  assert.equal(union(many.slice(1)).length, 64);
  assert.deepEqual(union(many), []);
  for (const list of many)
    assert.ok(covers(union(many), list));
});

test('fitting: names that are too many or too long for one request are not named', () => {
  const fits = (channels) => fitting(channels).length > 0;
  const several = (n, name) => Array.from({ length: n }, (_, i) => name + i);
  assert.ok(fits(several(64, 'orders.')));
  assert.ok(!fits(several(65, 'orders.')));
  assert.ok(fits(several(16, '*')) && !fits(several(17, '*')));
  assert.ok(fits(['*'.repeat(512)]) && !fits([`${'*'.repeat(511)}é`]));
  assert.ok(fits(several(20, 'é'.repeat(45))) && !fits(several(64, 'é'.repeat(29))));
});

const row = (id) => ({ id: String(id) });
const feed = (from, to, ids = [],
  more = {}) => ({ era: 0, from: String(from), to: String(to), rows: ids.map(row), gap: null, ...more });

test('cursor: takes what is above it, drops what it has, and sees what is missing', () => {
  const cursor = new Cursor();
  assert.deepEqual(cursor.take(feed(10, 12, [11, 12])).rows, [row(11), row(12)]);
  assert.deepEqual(cursor.take(feed(10, 13, [11, 12, 13])).rows, [row(13)]);
  assert.deepEqual(cursor.take(feed(5, 6, [6])).rows, []);
  assert.equal(cursor.id, '13');
  assert.deepEqual(cursor.take(feed(15, 16, [16])), { missed: 'rows' });
  assert.equal(cursor.id, '13');
  assert.deepEqual(cursor.take(feed(9, 100)), { rows: [], gap: null });
  assert.equal(cursor.id, '100');           // numbers, not text
});

test('cursor: a gap is taken once, and a reset leads to lower ids', () => {
  const cursor = new Cursor('20');
  const pruned = { reason: 'pruned', after: '20', resumed_at: '25' };
  assert.deepEqual(cursor.take(feed(20, 25, [], { gap: pruned })).gap, pruned);
  assert.equal(cursor.take(feed(20, 25, [], { gap: pruned })).gap, null);
  const reset = { reason: 'reset', after: '25', resumed_at: '3' };
  assert.deepEqual(cursor.take(feed(25, 3, [], { gap: reset, era: 1 })).gap, reset);
  assert.equal(cursor.id, '3');
  assert.deepEqual(cursor.take(feed(25, 26, [26])), { missed: 'nothing' });   // of before the reset
  assert.deepEqual(cursor.take(feed(3, 4, [4], { era: 1 })).rows, [row(4)]);
  assert.deepEqual(cursor.take(feed(1, 2, [2], { era: 2 })), { missed: 'reset' });
});

test('cursor: two leaders, lost and late feeds, tabs that sleep: each row once, in order', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const roll = dice(seed);
    const log = [];
    let next = 1000;
    const after = (id) => log.filter((one) => Number(one.id) > Number(id));
    const leaders = [{ cursor: '1000' }, { cursor: '1000' }];
    const tabs = Array.from({ length: 3 }, () => ({ cursor: new Cursor('1000'), inbox: [], got: [] }));
    const takeOne = (tab) => {
      const one = tab.inbox.shift();
      let taken = tab.cursor.take(one);
      if (taken.missed) {                   // what the JSON request brings
        const rows = after(tab.cursor.id);
        tab.got.push(...tab.cursor.take({ ...one, from: tab.cursor.id, to: rows.at(-1)?.id ?? tab.cursor.id,
          rows }).rows);
        taken = tab.cursor.take(one);
      }
      tab.got.push(...taken.rows);
    };
    for (let step = 0; step < 200; step++) {
      const leader = leaders[roll(2)];
      const tab = tabs[roll(3)];
      switch (roll(5)) {
      case 0:
        next += 1 + roll(3);
        log.push(row(next));
        break;
      case 1: {                             // a leader tells of some rows; some tabs do not hear
        const rows = after(leader.cursor).slice(0, 1 + roll(4));
        const to = rows.at(-1)?.id ?? leader.cursor;
        for (const one of tabs.filter(() => roll(4) > 0))
          one.inbox.push({ era: 0, from: leader.cursor, to, rows, gap: null });
        leader.cursor = to;
        break;
      }
      case 2:
        leader.cursor = tab.cursor.id;      // a tab takes the lead
        break;
      default:
        if (tab.inbox.length > 0)
          takeOne(tab);
      }
    }
    const end = log.at(-1)?.id ?? '1000';
    for (const tab of tabs) {
      while (tab.inbox.length > 0)
        takeOne(tab);
      tab.inbox.push(feed(end, end));
      takeOne(tab);
      assert.deepEqual(tab.got, log, `seed ${seed}`);
    }
  }
});

test('event: has the row in it', () => {
  const event = new RowEvent({ id: '7', channel: 'orders', event: 'paid', data: '{"id":7}', created_at: 1 });
  assert.ok(event instanceof MessageEvent);
  assert.deepEqual([event.type, event.lastEventId, event.data, event.channel, event.createdAt, event.json()],
    ['paid', '7', '{"id":7}', 'orders', 1, { id: 7 }]);
});

test('options: what makes no sense is refused at once, in words', () => {
  const refuses = (options, words) => assert.throws(() => new Rowcast('http://localhost/events', options), words);
  refuses({ transports: ['carrier pigeon'] }, /transports: carrier pigeon is none of fetch, poll/);
  refuses({ transports: [] }, /transports/);
  refuses({ ticket: 7 }, /ticket/);
  refuses({ channels: ['a', ''] }, /channels/);
  refuses({ channels: Array.from({ length: 65 }, (_, n) => `n${n}`) }, /64/);
  refuses({ lastEventId: 'x' }, /lastEventId: not a decimal number/);
  refuses({ since: 'all', last: 3 }, /since and last/);
  assert.throws(() => new Rowcast('http://'), TypeError);
});

test('answers: what is not what rowcast sends is seen as such', () => {
  const one = { id: '7', channel: 'orders', event: 'paid', data: '', created_at: 1 };
  const good = [{}, { last_event_id: '0' }, { last_event_id: null, gap: null, events: [] }, { events: [one] },
    { events: [{ ...one, channel: null }] }, { gap: { reason: 'pruned', after: 'x', resumed_at: '9' } }];
  for (const page of good)
    assert.equal(checkPage(page), page);
  const bad = [null, undefined, { last_event_id: 7 }, { last_event_id: '-1' }, { last_event_id: '1e3' },
    { last_event_id: '9'.repeat(17) },
    { gap: 'pruned' }, { gap: { reason: 'pruned', resumed_at: 9 } }, { events: {} }, { events: [null] },
      { events: ['7'] },
    { events: [{ ...one, id: 7 }] }, { events: [{ ...one, id: 'x' }] }, { events: [{ ...one, data: {} }] },
    { events: [{ ...one, event: undefined }] }, { events: [{ ...one, channel: ['orders'] }] }];
  for (const page of bad)
    assert.throws(() => checkPage(page), undefined, JSON.stringify(page));
});

test('cursor: a reset that another leader has sent already is not taken twice', () => {
  const cursor = new Cursor('20');
  const reset = { reason: 'reset', after: '20', resumed_at: '3' };
  assert.deepEqual(cursor.take(feed(20, 5, [4, 5], { gap: reset, era: 1 })), { rows: [row(4), row(5)], gap: reset });
  assert.deepEqual(cursor.take(feed(3, 6, [4, 5, 6], { era: 1 })).rows, [row(6)]);
  assert.deepEqual(cursor.take(feed(5, 5, [4, 5], { gap: reset, era: 1 })), { rows: [], gap: null });
  assert.equal(cursor.id, '6');
});

test('cursor: a reset that a tab has seen by itself takes its leader\'s rows no further back', () => {
  const reset = { reason: 'reset', after: '1000', resumed_at: '3' };
  const [leader, tab] = [new Cursor('1000'), new Cursor('1000')];
  tab.take(tab.feed({ last_event_id: '5', gap: reset, events: [4, 5].map(row) }));
  const told = leader.feed({ last_event_id: '5', gap: reset, events: [4, 5].map(row) });
  assert.deepEqual(tab.take({ ...told, ...leader.take(told) }), { rows: [], gap: null });
  assert.deepEqual(tab.take(leader.feed({ last_event_id: '6', events: [row(6)] })).rows, [row(6)]);
});

test('cursor: what the server answers is a feed from here; after a reset of a newer era', () => {
  const page = (last, ids, gap = null) => ({ last_event_id: last, gap, events: ids.map(row) });
  const cursor = new Cursor('20', 2);
  assert.deepEqual(cursor.feed(page('25', [22])), feed(20, 25, [22], { era: 2 }));
  assert.deepEqual(cursor.feed({ events: [row(22)] }), feed(20, 22, [22], { era: 2 }));
  assert.deepEqual(cursor.feed({ last_event_id: '9' }), feed(20, 20, [], { era: 2 }));   // never back
  const reset = { reason: 'reset', after: '20', resumed_at: '3' };
  assert.deepEqual(cursor.feed(page('5', [4], reset)), feed(3, 5, [4], { era: 3, gap: reset }));
  assert.deepEqual(new Cursor().feed(page('9', [8])), feed(0, 9, [8]));
});

test('bundle: web/rowcast.js and web/alerts.js are what the modules make, and export the same', async () => {
  const top = new URL('../../../', import.meta.url);
  execFileSync(fileURLToPath(new URL('tools/bundle-js', top)), ['--check'], { stdio: 'pipe' });
  for (const name of ['rowcast', 'alerts']) {
    const [bundle, modules] = await Promise.all([`web/${name}.js`,
      `web/${name}/index.js`].map((file) => import(new URL(file, top))));
    assert.deepEqual(Object.keys(bundle), Object.keys(modules));
  }
});
