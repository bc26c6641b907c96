// rowcast-node.test.mjs - rowcast.js without a browser: in node itself, behind a real lighttpd, and where a page
// is rendered on a server.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { Rowcast } from '../../web/rowcast.js';
import { ROWCAST, Site, top, until } from './harness.mjs';

let site;
before(async () => { site = await Site.start('--heartbeat', '1', '--retry', '200'); });
after(() => site?.close());

test('node: each row comes once, to listeners of its type and of any; after close() none does', async () => {
  const rows = new Rowcast(site.events(), { channels: 'a', timeouts: { retry: 100 } });
  const got = [];
  rows.on('paid', (event) => got.push(`paid ${event.data}`));
  rows.on('*', (event) => got.push(`* ${event.type} ${event.data}`));
  await until('it is open', () => rows.state === 'open');
  site.insert({ channel: 'a', event: 'paid', data: '1' });
  site.insert({ channel: 'a', data: '2' });
  await until('all are there', () => got.length >= 3);
  assert.equal(await site.rowcast.stop(), 0);
  site.insert({ channel: 'a', event: 'paid', data: '3' });
  await site.startRowcast();
  await until('it has come back', () => got.length >= 5);
  rows.close();
  site.insert({ channel: 'a', data: '4' });
  await until('it has let go', async () => await site.streams() === 0);
  assert.deepEqual(got, ['paid 1', '* paid 1', '* message 2', 'paid 3', '* paid 3']);
});

// The writer goes on until every reader has begun.
const WRITER = `
import os, random, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute("PRAGMA synchronous = OFF")
while not os.path.exists(sys.argv[2]):
    db.execute(random.choice(["INSERT OR REPLACE INTO items VALUES (:id, :v)", "UPDATE items SET v = :v WHERE id = :id",
                              "DELETE FROM items WHERE id = :id"]), {"id": random.randrange(5000), "v": random.random()})
`;

test('node: tables that begin while thousands of changes a second are made end as the table, with two workers', async () => {
  const busy = await Site.start('--workers', '2');
  try {
    busy.sql(`CREATE TABLE items(id INTEGER PRIMARY KEY, v);
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
        INSERT INTO items SELECT i, i FROM n;`);
    execFileSync(ROWCAST, ['track', '--db', busy.db, 'items']);
    const enough = path.join(busy.dir, 'enough');
    const writer = spawn('/usr/bin/python3', ['-c', WRITER, busy.db, enough], { stdio: 'inherit' });
    const ended = new Promise((resolve) => { writer.once('exit', resolve); });
    const all = [];
    for (let n = 0; n < 6; n++) {
      const rows = new Rowcast(busy.events(), { channels: 'items', share: false, timeouts: { retry: 100 } });
      all.push(rows);
      await rows.table('items').ready;
    }
    fs.writeFileSync(enough, '');
    assert.equal(await ended, 0);
    const expected = busy.sql('SELECT json_array(id, v) FROM items ORDER BY id;').trim().split('\n').map((line) => JSON.parse(line));
    const have = (rows) => [...rows.table('items')].map(([id, row]) => [id, row.v]).sort(([a], [b]) => a - b);
    for (const rows of all) {
      await until(() => `${expected.length} rows, has ${have(rows).length}`, () => isDeepStrictEqual(have(rows), expected));
      rows.close();
    }
  } finally {
    await busy.close();
  }
});

test('node: without a page a relative address is refused in words', () => {
  assert.throws(() => new Rowcast('/events'), /url: \/events is no address, and there is no page/);
});

// As in node 18, which has no CustomEvent, and in the workers of those who render pages.
test('node: the modules load where browsers\' objects are missing, and a program that has closed ends', () => {
  const program = `
    for (const name of ['CustomEvent', 'BroadcastChannel', 'navigator', 'crypto', 'document'])
      delete globalThis[name];
    const { Rowcast } = await import(${JSON.stringify(path.join(top, 'web/rowcast.js'))});
    await import(${JSON.stringify(path.join(top, 'web/alerts.js'))});
    const rows = new Rowcast(${JSON.stringify(site.events())}, { last: 1 });
    rows.onstate = ({ detail }) => {
      if (detail.state !== 'open')
        return;
      console.log(detail.state, detail.transport);
      rows.close();
    };`;
  assert.equal(execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', timeout: 120000 }),
    'open fetch\n');
});

test('node: rowcast is alive at the end, has let go of all readers and ends cleanly', async () => {
  await site.endsWell();
});
