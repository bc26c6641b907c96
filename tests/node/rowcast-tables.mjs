// rowcast-tables.mjs - tables on pages, in a real browser behind lighttpd: rowcast-table*.test.mjs name
// the cases for each browser.
//
// A case ends when each page's Map is what SELECT gives; then the Map that the page has made of the
// `change` events alone is compared too. A writer may have changed the table all the time.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import { goBack } from './browsers.mjs';
import { ROWCAST, until } from './harness.mjs';
import { stage } from './rowcast-cases.mjs';

const COLUMNS = ['id', 'owner', 'v', 't'];

// A stage whose cases have tables of their own.
export function tableStage(...args) {
  const it = stage(...args);
  let count = 0;

  it.track = (table, ...options) => execFileSync(ROWCAST, ['track', '--db', it.site.db, table, ...options], { encoding: 'utf8' });

  // A new tracked table with rows 1 to `rows`; returns its name.
  it.table = (rows, ...options) => {
    const name = `items${++count}`;
    it.site.sql(`CREATE TABLE ${name}(id INTEGER PRIMARY KEY, owner TEXT, v INTEGER, t TEXT);
      WITH RECURSIVE n(i) AS (SELECT 1 WHERE ${rows} > 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
      INSERT INTO ${name} SELECT i, NULL, i, 'text ' || i FROM n;`);
    it.track(name, ...options);
    return name;
  };

  // A page with these tables. options: of Rowcast; its channels are those of the tables, if not given.
  it.openTables = async (names, options = {}, more = {}) => {
    const address = new URL(it.addressOf({ channels: names, ...options }, ['message'], more));
    for (const name of names)
      address.searchParams.append('table', name);
    const page = await it.context.newPage(address.href);
    it.pages.push(page);
    return page;
  };

  it.select = (table, where = '1', columns = COLUMNS) => JSON.parse(it.site.sql(`SELECT coalesce(json_group_array(json_object(
    ${columns.map((name) => `'${name}', ${name}`)})), '[]') FROM (SELECT * FROM ${table} WHERE ${where} ORDER BY ${columns[0]});`));

  // Each of the pages has these rows, by the Map and by its events.
  it.same = async (pages, table, { where = '1', as = table, columns = COLUMNS } = {}) => {
    for (const [n, page] of pages.entries()) {
      const read = (member) => page.evaluate(([kind, name, first]) => [...window[kind][name]?.values() ?? []]
        .sort((a, b) => (a[first] < b[first] ? -1 : 1)), [member, as, columns[0]]);
      let expected, have;
      await until(() => `page ${n} has the table: ${JSON.stringify(have).slice(0, 300)}, not ${JSON.stringify(expected).slice(0, 300)}`,
        async () => {
          expected = it.select(table, where, columns);
          have = await read('tables');
          return JSON.stringify(have) === JSON.stringify(expected);
        });
      assert.deepEqual(await read('mirrors'), expected, `the events of page ${n}`);
    }
  };

  it.tableState = (page, name, state) => until(
    async () => `${name} is ${state}: ${JSON.stringify(await page.evaluate(() => window.tableStates))}`,
    () => page.evaluate(([one, wanted]) => window.tables[one]?.state === wanted, [name, state]));

  // Changes the table all the time, until stop(): by a shell of its own, as another program would.
  it.writer = (table) => {
    const shell = spawn('sqlite3', ['-batch', '-cmd', '.timeout 10000', it.site.db], { stdio: ['pipe', 'ignore', 'inherit'] });
    const id = () => Math.floor(Math.random() * 300);
    const kinds = [() => `INSERT OR REPLACE INTO ${table} VALUES (${id()}, NULL, ${id()}, 'text ' || random());`,
      () => `UPDATE ${table} SET v = v + 1 WHERE id BETWEEN ${id()} AND ${id()};`,
      () => `DELETE FROM ${table} WHERE id = ${id()};`,
      () => `UPDATE OR IGNORE ${table} SET id = ${id()} WHERE id = ${id()};`,
      () => `BEGIN; DELETE FROM ${table}; ROLLBACK;`];
    const timer = setInterval(() => shell.stdin.write(`${kinds[Math.floor(Math.random() * kinds.length)]()}\n`), 8);
    return {
      stop: () => new Promise((resolve) => {
        clearInterval(timer);
        shell.once('exit', resolve);
        shell.stdin.end();
      }),
    };
  };

  return it;
}

// --- for each browser ---------------------------------------------------------------------------

export function tableCases(name, it) {
  test(`${name}: a writer writes all the time; each tab, also a late one, ends with what SELECT gives, by one connection`, async () => {
    const table = it.table(200);
    const writer = it.writer(table);
    try {
      await Promise.all([it.openTables([table]), it.openTables([table])]);
      for (let n = 0; n < 3; n++) {
        const page = await it.openTables([table]);
        await it.tableState(page, table, 'ready');
      }
      await it.pages[1].reload();
      await it.pages[2].goto(`${it.site.url}/blank.html`);
      await goBack(it.pages[2], '/client.html');
      for (const page of it.pages)
        await it.tableState(page, table, 'ready');
    } finally {
      await writer.stop();
    }
    await it.same(it.pages, table);
    await it.streams(1);
  });

  test(`${name}: the leading tab is closed, and rowcast killed, while a writer writes`, async () => {
    const table = it.table(100);
    await Promise.all(Array.from({ length: 4 }, () => it.openTables([table])));
    for (const page of it.pages)
      await it.tableState(page, table, 'ready');
    const writer = it.writer(table);
    try {
      for (let round = 0; round < 2; round++) {
        const leader = await it.leader(it.pages);
        await leader.close();
        it.pages.splice(it.pages.indexOf(leader), 1);
      }
      await it.leader(it.pages);
      await it.site.rowcast.stop('SIGKILL');
      await it.site.startRowcast();
      await it.state(it.pages[0], 'open');
    } finally {
      await writer.stop();
    }
    await it.same(it.pages, table);
    await it.streams(1);
  });

  test(`${name}: ready is a promise; subscribers get a snapshot at once and another one after each change`, async () => {
    const table = it.table(3);
    const page = await it.openTables([]);
    const got = await page.evaluate(async ([one]) => {
      const orders = window.rows.table(one);
      window.seen = [];
      window.off = orders.subscribe((now) => window.seen.push(now));
      const before = orders.getSnapshot();
      const ready = await orders.ready;
      const now = orders.getSnapshot();
      return [window.rows.table(one) === orders, ready === orders, window.seen.length, window.seen[0] === before,
        before.size, before !== now, now === orders.getSnapshot(), window.seen[1] === now, now.size, orders.get(2).v,
        orders.has(9), [...orders.keys()], [...orders].length];
    }, [table]);
    assert.deepEqual(got, [true, true, 2, true, 0, true, true, true, 3, 2, false, [1, 2, 3], 3]);
    it.site.sql(`UPDATE ${table} SET v = 7 WHERE id = 2`);
    await until('the change is told', () => page.evaluate(() => window.seen.length === 3));
    assert.deepEqual(await page.evaluate(() => [window.seen[1].get(2).v, window.seen[2].get(2).v,
      window.seen[1].get(1) === window.seen[2].get(1)]), [2, 7, true]);
    await page.evaluate(([one]) => {
      window.off();
      window.rows.table(one).on('change', () => { window.told = true; });
    }, [table]);
    it.site.sql(`DELETE FROM ${table} WHERE id = 2`);
    await until('the next one is told', () => page.evaluate(() => window.told));
    assert.equal(await page.evaluate(() => window.seen.length), 3);
  });

  test(`${name}: over plain http the tabs share one stream too`, async () => {
    const table = it.table(5);
    const origin = it.site.url.replace('127.0.0.1', 'plain.test');
    for (let n = 0; n < 3; n++)
      await it.tableState(await it.openTables([table], {}, { origin }), table, 'ready');
    it.site.sql(`UPDATE ${table} SET v = v + 1; DELETE FROM ${table} WHERE id = 2`);
    await it.same(it.pages, table);
    await it.streams(1);
  });
}
