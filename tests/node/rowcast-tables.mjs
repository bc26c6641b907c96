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

  it.track = (table, ...options) =>
    execFileSync(ROWCAST, ['track', '--db', it.site.db, table, ...options], { encoding: 'utf8' });

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

  it.select = (table, where = '1', columns = COLUMNS) => JSON.parse(it.site.sql(`
    SELECT coalesce(json_group_array(json_object(
    ${columns.map((name) => `'${name}', ${name}`)})), '[]') FROM (SELECT * FROM ${table} WHERE ${where} ORDER BY ${columns[0]});`));

  // Each of the pages has these rows, by the Map and by its events.
  it.same = async (pages, table, { where = '1', as = table, columns = COLUMNS } = {}) => {
    for (const [n, page] of pages.entries()) {
      const read = (member) => page.evaluate(([kind, name, first]) => [...window[kind][name]?.values() ?? []]
        .sort((a, b) => (a[first] < b[first] ? -1 : 1)), [member, as, columns[0]]);
      let expected = [], have = [];
      const wrong = () => [...have.filter((row) =>
        !expected.some((one) => JSON.stringify(one) === JSON.stringify(row))),
        '; not', ...expected.filter((row) => !have.some((one) => JSON.stringify(one) === JSON.stringify(row)))].slice(0,
          8);
      const told = () => page.evaluate(() =>
        [window.rows.state, window.rows.lastEventId, window.states.slice(-3), window.tableStates.slice(-3)]);
      await until(async () => `page ${n} has the table, has ${JSON.stringify([wrong(), await told()])}`, async () => {
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
    const shell = spawn('sqlite3', ['-batch', '-cmd', '.timeout 10000', '-cmd', 'PRAGMA synchronous = OFF', it.site.db],
      { stdio: ['pipe', 'ignore', 'inherit'] });
    const id = () => Math.floor(Math.random() * 300);
    const kinds = [() => `INSERT OR REPLACE INTO ${table} VALUES (${id()}, NULL, ${id()}, 'text ' || random());`,
      () => `UPDATE ${table} SET v = v + 1 WHERE id / 8 = ${id()} / 8;`,
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

  test(`${name}: ready is a promise; subscribers get a snapshot at once and another one after each change`,
    async () => {
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

// --- one browser is enough: what is lost, and told ---------------------------------------------------

export function lossCases(name, it) {
  const beQuiet = async (page, table) => {
    await it.tableState(page, table, 'ready');
    await it.state(page, 'open');
  };

  test(`${name}: after a gap the table comes again, and deleted rows are a change`, async () => {
    const table = it.table(50);
    for (let n = 0; n < 2; n++)
      await beQuiet(await it.openTables([table]), table);
    await it.site.rowcast.stop();
    it.site.sql(`DELETE FROM ${table} WHERE id < 20; UPDATE ${table} SET v = -v; INSERT INTO ${table} VALUES (99, NULL, 1, 'x')`);
    execFileSync(ROWCAST, ['prune', '--db', it.site.db, '--keep-rows', '1']);
    await it.site.startRowcast();
    await it.same(it.pages, table);
    for (const page of it.pages)
      assert.deepEqual(await page.evaluate(() => window.gaps.map((gap) => gap.reason)), ['pruned']);
    await it.streams(1);
  });

  test(`${name}: another database, with lower ids, has another table; pages that sleep meanwhile too`, async () => {
    const table = it.table(5);
    for (let n = 0; n < 2; n++)
      await beQuiet(await it.openTables([table]), table);
    await it.pages[1].evaluate(() => { window.isKept = true; });
    await it.pages[1].goto(`${it.site.url}/blank.html`);
    await it.site.rowcast.stop();
    for (const end of ['', '-wal', '-shm'])
      fs.rmSync(it.site.db + end, { force: true });
    it.site.init();
    it.site.sql(`UPDATE sqlite_sequence SET seq = 1000000 WHERE name = 'notification';
      UPDATE rowcast_meta SET base = 1000000, low_water = 1000000;
      CREATE TABLE ${table}(id INTEGER PRIMARY KEY, owner TEXT, v INTEGER, t TEXT);
      INSERT INTO ${table} VALUES (3, NULL, 33, 'other'), (7, NULL, 7, 'new');`);
    it.track(table);
    await it.site.startRowcast();
    await it.same([it.pages[0]], table);
    it.site.sql(`UPDATE ${table} SET v = 34 WHERE id = 3`);
    await it.same([it.pages[0]], table);
    await goBack(it.pages[1], '/client.html');
    assert.ok(await it.pages[1].evaluate(() => window.isKept));
    await it.same(it.pages, table);
    it.site.sql(`DELETE FROM ${table} WHERE id = 3`);
    await it.same(it.pages, table);
    await it.streams(1);
  });

  test(`${name}: the leading tab is frozen, and thaws, and one crashes; the others' tables go on`, async () => {
    const table = it.table(20);
    for (let n = 0; n < 4; n++)
      await beQuiet(await it.openTables([table]), table);
    const frozen = await it.leader(it.pages);
    const devtools = await it.context.devtools(frozen);
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
    it.site.sql(`UPDATE ${table} SET v = v + 1 WHERE id > 3; DELETE FROM ${table} WHERE id = 5`);
    await it.same(it.pages.filter((page) => page !== frozen), table);
    await devtools.send('Page.setWebLifecycleState', { state: 'active' });
    await it.same(it.pages, table);
    const crashing = await it.leader(it.pages);
    const crashed = new Promise((resolve) => { crashing.once('crash', resolve); });
    (await it.context.devtools(crashing)).send('Page.crash').catch(() => {});
    await crashed;
    it.site.sql(`UPDATE ${table} SET v = v + 1 WHERE id > 9; DELETE FROM ${table} WHERE id = 15`);
    await it.same(it.pages.filter((page) => page !== crashing), table);
    await it.streams(1);
  });

  test(`${name}: a change that is too large for an event brings the table again`, async () => {
    const table = it.table(3);
    const page = await it.openTables([table]);
    await beQuiet(page, table);
    // The row fits, the event with the row before and after does not.
    for (const letter of ['x', 'y']) {
      it.site.sql(`UPDATE ${table} SET t = '${letter.repeat(40000)}' WHERE id = 2`);
      await it.same([page], table);
    }
    // A row that does not fit either is its key.
    it.site.sql(`UPDATE ${table} SET t = '${'z'.repeat(60000)}', owner = '${'z'.repeat(60000)}' WHERE id = 2`);
    const second = () => page.evaluate((name) => window.tables[name].get(2), table);
    await until(async () => `the row is its key: ${JSON.stringify(await second()).slice(0, 200)}`, async () => {
      const row = await second();
      return row.t === undefined && row['rowcast:too-large'].bytes > 120000;
    });
    it.site.sql(`UPDATE ${table} SET t = 'short' WHERE id = 2`);
    await it.same([page], table);
  });
}

// --- the table's form ------------------------------------------------------------------------------------

export function formCases(name, it) {
  test(`${name}: tracked again with other columns, key and channel; the page has the table as it is now`, async () => {
    const table = it.table(9);
    for (let n = 0; n < 2; n++)
      await it.tableState(await it.openTables([table]), table, 'ready');
    it.track(table, '--columns', 'id,v');
    await it.same(it.pages, table, { columns: ['id', 'v'] });
    it.track(table, '--channel', `${table}.more`, '--columns', 'id,v,t');
    const columns = ['id', 'v', 't'];
    await it.same(it.pages, table, { columns });
    it.site.sql(`UPDATE ${table} SET v = v * 2; DELETE FROM ${table} WHERE id = 4`);
    await it.same(it.pages, table, { columns });
    it.site.sql(`CREATE UNIQUE INDEX ${table}_t ON ${table}(t, v)`);
    it.site.sql(`CREATE TABLE ${table}_new(t TEXT NOT NULL, v INTEGER NOT NULL, id INTEGER, PRIMARY KEY (t, v));
      INSERT INTO ${table}_new SELECT t, v, id FROM ${table}; DROP TABLE ${table};
      ALTER TABLE ${table}_new RENAME TO ${table};`);
    execFileSync(ROWCAST, ['untrack', '--db', it.site.db, table]);
    it.track(table, '--channel', `${table}.more`);
    await it.same(it.pages, table, { columns: ['t', 'v', 'id'] });
    assert.equal(await it.pages[0].evaluate(([one]) => window.tables[one].get('["text 1",2]').id, [table]), 1);
    it.site.sql(`UPDATE ${table} SET v = 5 WHERE id = 1`);
    await it.same(it.pages, table, { columns: ['t', 'v', 'id'] });
    await it.streams(1);
  });

  test(`${name}: a table that is untracked is failed at once, its rows stay; tracked again it is the table again`,
    async () => {
    const table = it.table(4);
    for (let n = 0; n < 2; n++)
      await it.openTables([table], { channels: [it.channel, table] });
    await it.same(it.pages, table);
    execFileSync(ROWCAST, ['untrack', '--db', it.site.db, table]);
    for (const page of it.pages) {
      await it.tableState(page, table, 'failed');
      assert.deepEqual(await page.evaluate(([one]) => [window.tables[one].error.status, window.tables[one].size],
        [table]), [400, 4]);
    }
    it.insert(1, 3);
    await it.complete(it.pages);
    it.site.sql(`UPDATE ${table} SET v = 7; DELETE FROM ${table} WHERE id = 2`);
    it.track(table);
    await it.same(it.pages, table);
    await it.streams(1);
  });

  test(`${name}: several tables in an object, and several objects in a page, of other channels; one connection`,
    async () => {
    const [one, two] = [it.table(4), it.table(5, '--channel', `${it.channel}.two`)];
    const page = await it.openTables([one], { channels: [it.channel] });
    await page.evaluate(([channel, a, b]) => {
      window.watch(b);
      const other = new window.Rowcast('/events', { channels: [`${channel}.*`], storage: null });
      window.watch(a, other, 'again');
    }, [it.channel, one, two]);
    const late = await it.openTables([two], { channels: ['nothing'] });
    const all = await it.openTables([one, two], { channels: [] });
    for (const [where, names] of [[page, [one, two, 'again']], [late, [two]], [all, [one, two]]]) {
      for (const each of names)
        await it.tableState(where, each, 'ready');
    }
    await it.state(late, 'open');
    await it.streams(1);
    it.site.sql(`UPDATE ${one} SET v = v + 1; DELETE FROM ${two} WHERE id = 2; INSERT INTO ${two}(v) VALUES (5)`);
    it.insert(1, 3);
    await it.same([page, all], one);
    await it.same([page], one, { as: 'again' });
    await it.same(it.pages, two);
    // The rows of the page's own channels come as ever, and no others.
    await it.complete([page]);
    assert.equal(await it.site.streams(), 1);
  });

  test(`${name}: a channel for each row; each page has the rows of its channels, whatever other tabs read`,
    async () => {
    const table = it.table(6);
    it.site.sql(`UPDATE ${table} SET owner = CASE WHEN id > 3 THEN '${it.channel}.a' ELSE '${it.channel}.b' END`);
    it.track(table, '--channel-column', 'owner');
    const pages = {};
    for (const end of ['a', 'b', '*'])
      pages[end] = await it.openTables([table], { channels: [`${it.channel}.${end}`] });
    const check = async () => {
      for (const end of ['a', 'b', '*'])
        await it.same([pages[end]], table, { where: `owner GLOB '${it.channel}.${end}'` });
    };
    await check();
    await it.streams(1);
    it.site.sql(`UPDATE ${table} SET owner = '${it.channel}.a' WHERE id IN (1, 2); UPDATE ${table} SET v = 99 WHERE id = 6;
      UPDATE ${table} SET owner = '${it.channel}.b' WHERE id = 5; DELETE FROM ${table} WHERE id = 3`);
    await check();
    assert.equal(await it.site.streams(), 1);
  });
}

// --- who may, and what is refused --------------------------------------------------------------------------

export function whoCases(name, it) {
  test(`${name}: private rows; each user has her own, as they change hands`, async () => {
    const table = it.table(9, '--recipient', 'owner');
    it.site.sql(`UPDATE ${table} SET owner = CASE id % 3 WHEN 1 THEN 'ann' WHEN 2 THEN 'bob' END`);
    const users = { ann: it.sign('--sub', 'ann'), bob: it.sign('--sub', 'bob'), nobody: null };
    const pages = {};
    for (const [user, ticket] of Object.entries(users))
      pages[user] = await it.openTables([table], { ticket });
    const check = async () => {
      for (const user of Object.keys(users))
        await it.same([pages[user]], table, { where: `owner IS NULL OR owner = '${user}'` });
    };
    await check();
    it.site.sql(`UPDATE ${table} SET owner = 'bob' WHERE id IN (1, 4, 6); UPDATE ${table} SET owner = NULL WHERE id = 2;
      UPDATE ${table} SET owner = 'ann', v = 7 WHERE id = 3; DELETE FROM ${table} WHERE id = 7`);
    await check();
    await it.site.rowcast.stop();
    it.site.sql(`UPDATE ${table} SET owner = 'ann' WHERE owner = 'bob'`);
    await it.site.startRowcast();
    await check();
  });

  test(`${name}: a table that is not tracked is refused with a word to it alone, and comes when it is tracked`,
    async () => {
    const table = it.table(4);
    const page = await it.openTables([table], { channels: [it.channel, table], timeouts: { refused: 300 } });
    await page.evaluate(() => window.watch('unheard'));
    await it.tableState(page, 'unheard', 'failed');
    const got = await page.evaluate(async () => {
      const told = await window.rows.table('unheard').ready.catch((error) =>
        [error instanceof Error, error.message, error.status]);
      return [told, window.tables.unheard.error.status, window.tables.unheard.size];
    });
    assert.deepEqual(got, [[true, 'table unheard: 400 bad parameter state: no table of that name is tracked', 400], 400,
      0]);
    await it.state(page, 'open');
    it.insert(1, 3);
    await it.complete([page]);
    await it.same([page], table);
    assert.deepEqual(await page.evaluate(() => window.states.filter(({ error }) => error !== null)), []);
    it.site.sql("CREATE TABLE unheard(id INTEGER PRIMARY KEY, owner TEXT, v INTEGER, t TEXT); INSERT INTO unheard VALUES (1, NULL, 2, 'x')");
    it.track('unheard');
    await it.same([page], 'unheard');
    await it.same([page], table);
    it.site.sql('UPDATE unheard SET v = 3');
    await it.same([page], 'unheard');
    assert.equal(await page.evaluate(() => window.tables.unheard.error), null);
  });

  test(`${name}: a table out of bounds is refused to it alone; one that is untracked and dropped, too`, async () => {
    const [good, bad] = [it.table(3), it.table(3, '--channel', 'secret')];
    await it.site.rowcast.stop();
    it.site.env = { ROWCAST_CHANNELS: `${it.channel} ${good}` };
    await it.site.startRowcast();
    try {
      const page = await it.openTables([good, bad], { channels: [it.channel] });
      const other = await it.openTables([good], { channels: [it.channel] });
      await it.tableState(page, bad, 'failed');
      assert.equal(await page.evaluate(([one]) => window.tables[one].error.status, [bad]), 403);
      for (const each of [page, other])
        await it.tableState(each, good, 'ready');
      it.site.sql(`UPDATE ${good} SET v = 9; UPDATE ${bad} SET v = 9`);
      await it.same([page, other], good);
      it.insert(1, 3);
      await it.complete([page, other]);
      await it.streams(1);
      execFileSync(ROWCAST, ['untrack', '--db', it.site.db, good]);
      it.site.sql(`DROP TABLE ${good}`);
      await it.tableState(other, good, 'failed');
      await page.reload();
      await it.tableState(page, good, 'failed');
      await it.state(page, 'open');
      it.insert(4, 5);
      await it.complete([other]);
    } finally {
      it.site.env = {};
      await it.site.rowcast.stop();
      await it.site.startRowcast();
    }
  });

  test(`${name}: close() of a table or of all ends it; a new one begins again`, async () => {
    const table = it.table(3);
    const page = await it.openTables([table]);
    await it.tableState(page, table, 'ready');
    await page.evaluate(([one]) => {
      window.old = window.tables[one];
      window.old.close();
      window.watch(one);
      window.old.close();       // once more does no harm to the new one
    }, [table]);
    it.site.sql(`UPDATE ${table} SET v = 5 WHERE id = 1`);
    await it.same([page], table);
    assert.deepEqual(await page.evaluate(([one]) => [window.old.get(1).v, window.old !== window.tables[one],
      window.rows.table(one) === window.tables[one]], [table]), [1, true, true]);
    await page.evaluate(() => window.rows.close());
    await it.streams(0);
  });
}

// --- by which way ---------------------------------------------------------------------------------------------

export function wayCases(name, it) {
  test(`${name}: by polls, over a restart, while a writer writes`, async () => {
    const table = it.table(300);
    await it.openTables([table], { transports: ['poll'] });
    await it.tableState(it.pages[0], table, 'ready');
    const writer = it.writer(table);
    try {
      await it.site.rowcast.stop();
      await it.site.startRowcast();
      await it.state(it.pages[0], 'fallback');
    } finally {
      await writer.stop();
    }
    await it.same(it.pages, table);
  });

  // What is written is little: much of it would fill the proxy's buffers, and come.
  test(`${name}: behind a proxy that keeps everything back`, async () => {
    const table = it.table(30);
    const page = await it.openTables([table], { timeouts: { open: 700 } }, { origin: await it.site.proxy(true) });
    await it.tableState(page, table, 'ready');
    await it.state(page, 'fallback');
    it.site.sql(`UPDATE ${table} SET v = v + 1 WHERE id < 9; DELETE FROM ${table} WHERE id = 5`);
    await it.same([page], table);
    await it.site.proxy(false);
    await it.state(page, 'open');
    it.site.sql(`UPDATE ${table} SET v = v + 1 WHERE id < 4`);
    await it.same([page], table);
  });

  test(`${name}: a table too large for one document comes as a stream of its own, that ends then; else it is said`,
    async () => {
    const table = it.table(12000);
    it.site.sql(`UPDATE ${table} SET t = printf('%.*c', 500, 'x') || id`);
    const page = await it.openTables([table]);
    await it.tableState(page, table, 'ready');
    it.site.sql(`UPDATE ${table} SET v = 0 WHERE id = 7; DELETE FROM ${table} WHERE id = 11999`);
    const have = () => page.evaluate(([one]) =>
      [window.tables[one].size, window.tables[one].get(7).v, window.mirrors[one].size], [table]);
    await until(async () => `all are there: ${await have()}`, async () => (await have()).join(' ') === '11999 0 11999');
    await it.streams(1);
    const origin = await it.site.proxy(true);
    const poor = await it.openTables([table], { timeouts: { request: 4000, open: 700 } }, { origin });
    await until(async () => `it is said: ${JSON.stringify(await poor.evaluate(() => window.tableStates))}`,
      () => poor.evaluate(([one]) => /too large for one answer, and streams do not come through/
      .test(window.tables[one]?.error?.message), [table]));
    await it.state(poor, 'fallback', 'open', 'connecting');
  });
}
