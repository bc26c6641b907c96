// rowcast-cases.mjs - web/rowcast.js in a real browser, behind a real web server. The cases are the
// same for each browser and server; rowcast-*.test.mjs name them.
//
// A case ends with a marker row: when a page has got it, whatever was to come twice, or late, has
// come, and all that the page has got is compared with the table.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { goBack, launch } from './browsers.mjs';
import { ROWCAST, Site, until } from './harness.mjs';

// The page's patience, scaled to tests.
export const QUICK = { open: 2000, retry: 100, retryMax: 400, life: 600, answer: 900, upgrade: 300, wait: 3000,
  poll: 100, refused: 600000 };

export function stage(browserName, server, ...options) {
  const it = { site: null, browser: null, context: null, pages: [] };

  before(async () => {
    it.site = await Site.behind(server, '--heartbeat', '1', '--retry', '200', '--max-event-bytes', '64K',
      ...options);
    it.browser = await launch(browserName);
  });

  after(async () => {
    await it.browser?.close();
    await it.site?.close();
  });

  beforeEach(async () => {
    it.context = await it.browser.newContext();
    it.pages = [];
    it.channel = `c${Math.random().toString(36).slice(2)}`;
  });

  afterEach(async () => {
    await it.context.close();
    const faults = it.pages.flatMap((page) => page.faults);
    assert.deepEqual(faults, []);
  });

  // A page that listens at once, and again after a reload. options: of Rowcast.
  it.addressOf = (options = {}, types = ['message'], { origin = it.site.url, prelude = null } = {}) => {
    const settings = [{ channels: [it.channel], ...options, timeouts: { ...QUICK, ...options.timeouts } }, types];
    return `${origin}/client.html?${new URLSearchParams({ listen: JSON.stringify(settings), ...prelude })}`;
  };

  it.open = async (options, types, more) => {
    const page = await it.context.newPage(it.addressOf(options, types, more));
    it.pages.push(page);
    return page;
  };

  it.opened = async (options, types, more) => {
    const page = await it.open(options, types, more);
    await it.state(page, 'open');
    return page;
  };

  it.state = (page, ...names) => until(
    async () => `the state is ${names}: ${JSON.stringify(await page.evaluate(() => window.states))}`,
    async () => names.includes(await page.evaluate(() => window.rows?.state)));

  it.met503 = (page) => until('the page has met a 503', () => page.evaluate(
    () => window.states.some((state) => state.error?.status === 503)));

  // Rows in one transaction; returns nothing: what pages shall have is read from the table.
  it.insert = (first, last = first, { channel = it.channel, type = null, text = 'number' } = {}) => {
    it.site.sql(`WITH RECURSIVE n(i) AS (SELECT ${first} UNION ALL SELECT i + 1 FROM n WHERE i < ${last})
      INSERT INTO notification(channel, event, data)
      SELECT '${channel}', ${type === null ? 'NULL' : `'${type}'`}, '${text} ' || i FROM n;`);
  };

  // Each of the pages has got all rows of the table (that match `where`), each once and in order.
  it.complete = async (pages, { where = `channel = '${it.channel}'`, skip = 0, marker = true } = {}) => {
    if (marker)
      it.insert(0, 0, { text: 'marker' });
    const expected = it.site.rows(where).slice(skip)
      .map((row) => [row.id, row.channel, row.event ?? 'message', row.data].join(' '));
    assert.ok(expected.length > 0);
    for (const [n, page] of pages.entries()) {
      let length;
      await until(() => `page ${n} has ${expected.length} rows, has ${length}`, async () => {
        length = await page.evaluate(() => window.got.length);
        return length >= expected.length;
      });
      assert.deepEqual(await page.evaluate(() => window.got), expected, `page ${n}`);
    }
  };

  // rowcast's own account; the web server may take a heartbeat to tell it of a page that has gone.
  it.streams = (count) => {
    let have;
    return until(() => `${count} streams, have ${have}`, async () => {
      have = await it.site.streams();
      return have === count;
    });
  };

  // The page that holds the lock, of these.
  it.leader = (pages) => until('one of the pages leads', async () => {
    for (const page of pages) {
      const leads = await page.evaluate(() => new Promise((resolve) => {
        navigator.locks.request(`who-${Math.random()}`, async (lock) => {
          const { held } = await navigator.locks.query();
          const own = held.find((one) => one.name === lock.name).clientId;
          resolve(held.some((one) => one.name.startsWith('rowcast:') && one.clientId === own));
        });
      }));
      if (leads)
        return page;
    }
    return null;
  });

  return it;
}

// --- the web server matters ---------------------------------------------------------------------

export function serverCases(name, it) {
  test(`${name}: ten tabs, one connection; each tab gets each row once, in order`, async () => {
    await Promise.all(Array.from({ length: 10 }, () => it.opened({}, ['message', 'paid'])));
    await it.streams(1);
    it.insert(1, 50);
    it.insert(51, 60, { type: 'paid' });
    await it.complete(it.pages);
    assert.equal(await it.site.streams(), 1);
  });

  test(`${name}: the web server stops and starts again; nothing is missed or doubled`, async () => {
    const pages = await Promise.all([it.opened(), it.opened()]);
    it.insert(1, 3);
    await it.complete(pages);
    await it.site.stopServer();
    await it.state(pages[0], 'retrying');
    it.insert(4, 20);
    await it.site.startServer();
    await it.complete(pages);
    await it.state(pages[1], 'open');
    await it.streams(1);
  });

  test(`${name}: rowcast is away for a while (503) and comes back; nothing is missed or doubled`, async () => {
    const pages = await Promise.all([it.opened(), it.opened()]);
    it.insert(1, 3);
    await it.complete(pages);
    assert.equal(await it.site.rowcast.stop(), 0);
    await it.met503(pages[0]);
    it.insert(4, 20);
    await it.site.startRowcast();
    await it.complete(pages);
    await it.state(pages[0], 'open');
    assert.equal(await pages[0].evaluate(() => window.rows.transport), 'fetch');
  });

  test(`${name}: rowcast is killed while rows stream; nothing is missed or doubled`, async () => {
    const pages = await Promise.all([it.opened(), it.opened()]);
    it.insert(1, 500);
    await it.site.rowcast.stop('SIGKILL');
    it.insert(501, 600);
    await it.site.startRowcast();
    await it.complete(pages);
  });
}

// Web servers refuse long URLs, each at another length.
export function longListCase(name, it) {
  test(`${name}: more channels than a URL holds, or than the server takes patterns, are read all the same`,
    async () => {
    const c = it.channel;
    const names = Array.from({ length: 64 }, (_, n) => `${c}-${n}-`.padEnd(20, '.') + 'é'.repeat(19));
    const patterns = Array.from({ length: 17 }, (_, n) => `${c}-${n}-*`);
    assert.equal(Buffer.byteLength(names[63]), 58);
    const pages = [];
    for (const channels of [names, patterns]) {
      const page = await it.open({}, [], { prelude: { listen: '' } });   // as its own address would be too long
      await page.evaluate((options) => window.listen(options), { channels, timeouts: QUICK });
      await it.state(page, 'open');
      pages.push(page);
    }
    for (const n of [0, 16, 63])
      it.insert(n, n, { channel: names[n] });
    it.insert(1, 1, { channel: `${c}-other` });
    it.insert(1, 1, { channel: names[1] });
    await it.complete([pages[0]], { where: `channel GLOB '${c}-*' AND channel <> '${c}-other'`, marker: false });
    await it.complete([pages[1]],
      { where: `channel IN ('${names[0]}', '${names[16]}', '${names[1]}')`, marker: false });
    await it.streams(1);
    assert.deepEqual(await pages[0].evaluate(() => window.states.filter(({ error }) => error !== null)), []);
  });
}

// --- the browser matters ---------------------------------------------------------------------------

export function browserCases(name, it) {
  test(`${name}: the leading tab is closed while rows come; another takes over`, async () => {
    await Promise.all(Array.from({ length: 4 }, () => it.opened()));
    for (let round = 0; round < 3; round++) {
      const leader = await it.leader(it.pages);
      it.insert(round * 10, round * 10 + 4);
      await leader.close();
      it.pages.splice(it.pages.indexOf(leader), 1);
      it.insert(round * 10 + 5, round * 10 + 9);
    }
    await it.complete(it.pages);
    await it.streams(1);
  });

  test(`${name}: the leading tab hangs; another takes over, and after it wakes no tab has a row twice`, async () => {
    await Promise.all(Array.from({ length: 3 }, () => it.opened()));
    const leader = await it.leader(it.pages);
    const others = it.pages.filter((page) => page !== leader);
    it.insert(1, 5);
    await it.complete(it.pages);
    const sleeper = await it.context.hang(leader, it.site, `latch-${it.channel}`);
    try {
      it.insert(6, 20);
      await it.complete(others);
      await it.leader(others);
    } finally {
      await sleeper.wake();
    }
    it.insert(21, 30);
    await it.complete(it.pages);
    await it.streams(1);
  });

  test(`${name}: a reload goes on where the page was`, async () => {
    const pages = await Promise.all([it.opened(), it.opened()]);
    it.insert(1, 5);
    await it.complete(pages);
    const before = it.site.rows(`channel = '${it.channel}'`).length;
    for (const page of pages) {
      await page.goto(`${it.site.url}/blank.html`);
      it.insert(6, 8);
    }
    await Promise.all(pages.map((page) => goBack(page, '/client.html')));
    for (const page of pages) {
      await page.reload();
      await it.state(page, 'open');
    }
    it.insert(9, 12);
    // What came between reload and reload, the first page got before its second load.
    await until('the last row is there', () => pages[1].evaluate(() => window.got.at(-1)?.endsWith('number 12')));
    assert.ok(before > 0);
    for (const page of pages) {
      await page.reload();
      await it.state(page, 'open');
    }
    const skip = it.site.rows(`channel = '${it.channel}'`).length;
    await it.complete(pages, { skip });
  });

  test(`${name}: rows while a page reloads come once, to the page of before or after`, async () => {
    const page = await it.opened({ storage: undefined });
    await page.evaluate(() => { window.name = '[]'; });
    await page.evaluate(() => window.addEventListener('pagehide', () => {
      window.name = JSON.stringify([...JSON.parse(window.name), ...window.got]);
    }));
    it.insert(1, 200);
    const loaded = page.reload();
    it.insert(201, 400);
    await loaded;
    it.insert(0, 0, { text: 'marker' });
    const expected = it.site.rows(`channel = '${it.channel}'`).map((row) =>
      `${row.id} ${row.channel} message ${row.data}`);
    await until('the marker is there', () => page.evaluate(() => window.got.at(-1)?.endsWith('marker 0')));
    assert.deepEqual(await page.evaluate(() => [...JSON.parse(window.name), ...window.got]), expected);
  });

  test(`${name}: 5,000 rows in a burst come once each, in order, to two tabs`, async () => {
    const pages = await Promise.all([it.opened(), it.opened()]);
    for (let n = 0; n < 5; n++)
      it.insert(n * 1000 + 1, n * 1000 + 1000);
    await it.complete(pages);
  });

  test(`${name}: behind a proxy that keeps everything back it polls, and streams when that is gone`, async () => {
    const origin = await it.site.proxy(true);
    const page = await it.open({ timeouts: { open: 700 } }, ['message'], { origin });
    await it.state(page, 'fallback');
    it.insert(1, 5);
    await it.complete([page]);
    // By now it may be trying a stream again.
    assert.ok(await page.evaluate(() =>
      window.states.some(({ state, transport }) => state === 'fallback' && transport === 'poll')));
    await it.site.proxy(false);
    await it.state(page, 'open');
    assert.equal(await page.evaluate(() => window.rows.transport), 'fetch');
    it.insert(6, 9);
    await it.complete([page]);
  });

  test(`${name}: rows of types without a listener come too, to listeners of '*'`, async () => {
    const page = await it.opened({}, ['*']);
    it.insert(1, 5);
    it.insert(6, 9, { type: 'something' });
    await it.complete([page]);
    await it.site.rowcast.stop();
    await it.site.startRowcast();
    it.insert(10, 12);
    await it.complete([page]);
  });
}

// --- one browser is enough ----------------------------------------------------------------------------

export function moreCases(name, it) {
  test(`${name}: tabs of different channels and types share one connection, and each gets its own`, async () => {
    const c = it.channel;
    const [all, one, two] = [await it.opened({ channels: [`${c}.*`] }, ['a', 'b']),
      await it.opened({ channels: [`${c}.one`] }, ['a', 'c']),
      await it.opened({ channels: [`${c}.two`, `${c}.[x-z]`] }, ['a'])];
    const other = await it.opened({ channels: [`other-${c}`] }, ['d']);
    await it.streams(1);
    for (let n = 1; n <= 5; n++) {
      for (const [channel, type] of [['one', 'a'], ['two', 'a'], ['y', 'a'], ['one', 'b'], ['one', 'c']])
        it.insert(n, n, { channel: `${c}.${channel}`, type });
      it.insert(n, n, { channel: `other-${c}`, type: 'd' });
    }
    const check = (page, where) => it.complete([page], { where, marker: false });
    await check(all, `channel GLOB '${c}.*' AND event IN ('a', 'b')`);
    await check(one, `channel = '${c}.one' AND event IN ('a', 'c')`);
    await check(two, `channel IN ('${c}.two', '${c}.y') AND event = 'a'`);
    await check(other, `channel = 'other-${c}'`);
    assert.equal(await it.site.streams(), 1);
  });

  test(`${name}: a listener of '*' that comes later gets every row from there on, of any type`, async () => {
    const pages = await Promise.all([it.opened(), it.opened()]);
    it.insert(1, 2, { type: 'late' });
    it.insert(1, 2);
    await it.complete([pages[0]], { where: `channel = '${it.channel}' AND event IS NULL` });
    await pages[0].evaluate(() => {
      window.every = [];
      window.rows.on('*', (event) => window.every.push(`${event.type} ${event.data} ${event.json === undefined}`));
    });
    for (let n = 1; n <= 20; n++)
      it.insert(n, n, { type: `type${n}` });
    const expected = Array.from({ length: 20 }, (_, n) => `type${n + 1} number ${n + 1} false`);
    await until('all types are there', () => pages[0].evaluate(() => window.every.length >= 20));
    assert.deepEqual(await pages[0].evaluate(() => window.every), expected);
    await it.streams(1);
  });

  test(`${name}: listeners of '*' are taken off, called once, and get objects as ever`, async () => {
    const page = await it.opened();
    await page.evaluate(() => {
      window.calls = [];
      const note = (name) => (event) => window.calls.push(`${name} ${event.data}`);
      const stop = new AbortController();
      const off = window.rows.on('*', note('off'));
      window.rows.addEventListener('*', note('once'), { once: true });
      window.rows.addEventListener('*', note('stopped'), { signal: stop.signal });
      window.rows.addEventListener('*', { handleEvent: note('object') });
      const twice = note('twice');
      window.rows.addEventListener('*', twice);
      window.rows.addEventListener('*', twice);
      window.rows.on('message', (event) => {
        if (event.data === 'number 2') {
          off();
          stop.abort();
          window.rows.removeEventListener('*', twice);
        }
      });
    });
    it.insert(1, 3);
    await it.complete([page]);
    assert.deepEqual(await page.evaluate(() => window.calls), ['off number 1', 'once number 1', 'stopped number 1',
      'object number 1', 'twice number 1', 'object number 2', 'object number 3', 'object marker 0']);
  });

  test(`${name}: a tab with an older id gets what it missed once, then what is new`, async () => {
    const first = await it.opened();
    it.insert(1, 10);
    await it.complete([first]);
    const since = it.site.rows(`channel = '${it.channel}'`)[3].id;
    const late = await it.open({ lastEventId: since });
    it.insert(11, 15);
    await it.complete([late], { skip: 4 });
    await it.complete([first]);
    await it.streams(1);
    const [last, all] = [await it.open({ last: 3 }), await it.open({ since: 'all' })];
    const count = it.site.rows(`channel = '${it.channel}'`).length;
    await until('the newest three are there', () => last.evaluate(() => window.got.length === 3));
    await it.complete([all]);
    await it.complete([last], { skip: count - 3 });
    await it.streams(1);
  });

  test(`${name}: rows that were deleted are a gap, once, to each tab`, async () => {
    const pages = await Promise.all([it.opened(), it.opened()]);
    it.insert(1, 2);
    await it.complete(pages);
    await it.site.rowcast.stop();
    it.insert(3, 10);
    it.site.sql(`DELETE FROM notification WHERE data IN ('number 3', 'number 4') AND channel = '${it.channel}';`);
    await it.site.startRowcast();
    await it.complete(pages);
    for (const page of pages)
      assert.deepEqual(await page.evaluate(() => window.gaps.map((gap) => gap.reason)), ['pruned']);
  });

  test(`${name}: another database is a gap, also with lower ids, and goes on`, async () => {
    const pages = await Promise.all([it.opened(), it.opened()]);
    it.insert(1, 3);
    await it.complete(pages);
    const skip = await pages[0].evaluate(() => window.got.length);
    const old = await pages[0].evaluate(() => window.rows.lastEventId);
    await it.site.rowcast.stop();
    for (const end of ['', '-wal', '-shm'])
      fs.rmSync(it.site.db + end, { force: true });
    it.site.init();
    // An older state of a database: its ids are below what the pages have.
    it.site.sql(`UPDATE sqlite_sequence SET seq = 1000000 WHERE name = 'notification';
                 UPDATE rowcast_meta SET base = 1000000, low_water = 1000000;`);
    await it.site.startRowcast();
    await it.state(pages[0], 'open');
    await until('the gap is told', async () => (await Promise.all(pages.map((page) => page.evaluate(
      () => window.gaps.length > 0)))).every(Boolean));
    it.insert(1, 5);
    it.insert(0, 0, { text: 'marker' });
    const expected = it.site.rows(`channel = '${it.channel}'`).map((row) =>
      `${row.id} ${row.channel} message ${row.data}`);
    assert.equal(expected.length, 6);
    assert.ok(Number(expected[0].split(' ')[0]) < Number(old));
    for (const page of pages) {
      await until('the marker is there',
        () => page.evaluate((n) => window.got.slice(n).at(-1)?.endsWith('marker 0'), skip));
      assert.deepEqual(await page.evaluate((n) => window.got.slice(n), skip), expected);
      assert.deepEqual(await page.evaluate(() => window.gaps.map((gap) => gap.reason)), ['reset']);
    }
  });

  test(`${name}: where requests that wait are cut it polls`, async () => {
    const origin = await it.site.proxy(true, 1);
    const page = await it.open({ transports: ['poll'], timeouts: { poll: 100 } }, ['message'], { origin });
    // Three that are listed, so that the page has begun.
    await until('it asks without waiting', () => page.evaluate(() => {
      const last = performance.getEntriesByType('resource').filter(({ name }) => /\/events\?/.test(name)).slice(-3);
      return last.length === 3 && last.every(({ name }) => !/wait=/.test(name));
    }));
    it.insert(1, 5);
    await it.complete([page]);
  });

  test(`${name}: a row that is too large is announced to the tabs of its channel only`, async () => {
    const c = it.channel;
    const types = ['message', 'rowcast:too-large'];
    const [one, two] = [await it.opened({ channels: [`${c}.one`] }, types),
      await it.opened({ channels: [`${c}.two`] }, types)];
    const alone = await it.opened({ channels: [`${c}.one`], share: false }, types);
    for (const channel of ['one', 'two'])
      it.insert(1, 3, { channel: `${c}.${channel}` });
    const id = it.site.insert({ channel: `${c}.one`, data: 'x'.repeat(70000) });
    for (const channel of ['one', 'two'])
      it.insert(4, 5, { channel: `${c}.${channel}` });
    await it.complete([two], { where: `channel = '${c}.two'`, marker: false });
    await until('the last row is there', () => one.evaluate(() => window.got.at(-1)?.endsWith('number 5')));
    const got = await one.evaluate(() => window.got);
    assert.equal(got.length, 6);
    assert.match(got[3], new RegExp(`^${id} .* rowcast:too-large \\{"id":"${id}","bytes":70000,`));
    await until('the last row is there', () => alone.evaluate(() => window.got.at(-1)?.endsWith('number 5')));
    assert.deepEqual(await alone.evaluate(() => window.got), got);
    await it.streams(2);
  });

  test(`${name}: a channel that one tab may not read is refused to that tab only`, async () => {
    await it.site.rowcast.stop();
    it.site.env = { ROWCAST_CHANNELS: `${it.channel}*` };
    await it.site.startRowcast();
    try {
      const good = await it.opened();
      const bad = await it.open({ channels: [it.channel, 'secret'] });
      await it.state(bad, 'retrying');
      assert.equal((await bad.evaluate(() => window.states.at(-1).error)).status, 403);
      const more = await it.opened({ channels: [`${it.channel}.more`] });
      it.insert(1, 5);
      await it.complete([good]);
      it.insert(1, 5, { channel: `${it.channel}.more` });
      await it.complete([more], { where: `channel = '${it.channel}.more'`, marker: false });
      await it.streams(1);
      // The other way round: the tab that may not read is the first, and must not keep the lead.
      for (const page of [good, more])
        await page.evaluate(() => window.rows.close());
      const last = await it.opened();
      it.insert(6, 9);
      await it.complete([last], { skip: 6 });
    } finally {
      it.site.env = {};
      await it.site.rowcast.stop();
      await it.site.startRowcast();
    }
  });

  test(`${name}: each transport alone has every row once, over a restart of rowcast`, async () => {
    for (const transport of ['fetch', 'poll'])
      await it.open({ transports: [transport], share: transport, since: 'all' });
    for (const page of it.pages)
      await it.state(page, 'open', 'fallback');
    it.insert(1, 5);
    await it.complete(it.pages);
    await it.site.rowcast.stop();
    it.insert(6, 9);
    await it.site.startRowcast();
    await it.complete(it.pages);
  });

  test(`${name}: a connection that went silent is replaced`, async () => {
    const page = await it.opened();
    // A heartbeat moves the id over another channel's row, and teaches the page the interval.
    const id = it.site.insert({ channel: 'elsewhere', data: 'not for the page' });
    await until('a heartbeat has come', async () => await page.evaluate(() => window.rows.lastEventId) === id);
    it.site.web.child.kill('SIGSTOP');
    try {
      await it.state(page, 'retrying', 'connecting');
    } finally {
      it.site.web.child.kill('SIGCONT');
    }
    it.insert(1, 3);
    await it.complete([page]);
    await it.state(page, 'open');
  });

  test(`${name}: neither a step of the clock nor a page that stood still makes it patient with a dead connection`,
    async () => {
    const page = await it.opened();
    const beat = async () => {
      const id = it.site.insert({ channel: 'elsewhere', data: 'not for the page' });
      await until('a heartbeat has come', async () => await page.evaluate(() => window.rows.lastEventId) === id);
    };
    await beat();
    await page.evaluate(() => {
      const { now } = Date;
      Date.now = () => now() + 3600000;
    });
    await beat();
    await page.evaluate(() => {
      const end = performance.now() + 8000;
      while (performance.now() < end)
        ;
    });
    for (let n = 0; n < 4; n++)
      await beat();
    it.site.web.child.kill('SIGSTOP');
    try {
      await until('it is seen to be dead', () => page.evaluate(() => window.rows.state !== 'open'), 15000);
    } finally {
      it.site.web.child.kill('SIGCONT');
    }
    await it.state(page, 'open');
  });

  test(`${name}: a page names itself to the server, by the same word for each of its streams`, async () => {
    const pages = [await it.opened({ share: false }), await it.opened({ share: false })];
    await it.site.rowcast.stop();
    // A request is listed when it has ended: the first stream, and one that meets a 503.
    for (const page of pages)
      await it.met503(page);
    await it.site.startRowcast();
    const clients = (page) => page.evaluate(() => performance.getEntriesByType('resource')
      .map(({ name: url }) => new URL(url).searchParams.get('client')).filter(Boolean));
    const names = new Set();
    for (const page of pages) {
      await until('both are listed', async () => (await clients(page)).length >= 2);
      const all = new Set(await clients(page));
      assert.equal(all.size, 1);
      names.add(...all);
    }
    assert.equal(names.size, 2);
    for (const one of names)
      assert.match(one, /^[\x21-\x7e]{8,64}$/);
  });

  test(`${name}: a refusal has its status, and is not repeated all the time`, async () => {
    for (let n = 0; n < 2; n++) {
      const page = await it.open({ last: 0 });
      // The web server may say 503 first, as the case before has started rowcast anew.
      await until('it is refused', () => page.evaluate(() => window.states.at(-1)?.error?.status === 400));
      const { error, delay } = await page.evaluate(() => window.states.at(-1));
      assert.equal(error.status, 400);
      assert.equal(error.refused, true);
      assert.match(error.message, /last/);
      assert.ok(delay >= QUICK.refused);
    }
  });

  test(`${name}: close() ends it, and its tab's part in sharing`, async () => {
    const pages = await Promise.all([it.opened(), it.opened()]);
    const leader = await it.leader(pages);
    assert.equal(await leader.evaluate(() => { window.rows.close(); return window.rows.state; }), 'closed');
    const other = pages.find((page) => page !== leader);
    await it.leader([other]);
    it.insert(1, 3);
    await it.complete([other]);
    assert.deepEqual(await leader.evaluate(() => window.got), []);
    await other.evaluate(() => window.rows.close());
    await it.streams(0);
  });

  test(`${name}: without common credentials or name, nothing is shared`, async () => {
    // At most five streams before the last page loads: a browser has six connections to a host.
    for (const options of [{ withCredentials: true }, { share: 'user 7' }, { share: 'user 7' }, {}, {},
      { share: false }])
      await it.opened(options);
    await it.streams(4);
    it.insert(1, 3);
    await it.complete(it.pages);
  });

  test(`${name}: close() in a listener ends it at once; the id is that of the last row that was heard`, async () => {
    // Polling brings many rows at a time.
    const page = await it.open({ transports: ['poll'] });
    await it.state(page, 'fallback');
    await page.evaluate(() => window.rows.on('message', (event) => event.data === 'number 5' && window.rows.close()));
    it.insert(1, 10);
    await it.state(page, 'closed');
    const fifth = it.site.rows(`channel = '${it.channel}'`)[4].id;
    assert.equal(await page.evaluate(() => window.rows.lastEventId), fifth);
    assert.equal(await page.evaluate(() => window.got.length), 5);
    await it.streams(0);
    // In a listener of the state, and before the first connection.
    for (const more of [{}, { share: false }, { last: 0 }]) {
      assert.equal(await page.evaluate((options) => new Promise((resolve) => {
        const rows = new window.Rowcast('/events', options);
        rows.onstate = () => {
          const { state } = rows;
          rows.onstate = null;
          rows.close();
          resolve(`${state} ${rows.state}`);
        };
      }), { channels: [it.channel], storage: null, ...more }), more.last === 0 ? 'retrying closed' : 'open closed');
    }
    await page.evaluate(() => new window.Rowcast('/events').close());
    // One that opens after them all shows that none of those is left.
    const last = await it.opened({ lastEventId: fifth });
    await it.complete([last], { skip: 5 });
    await it.streams(1);
    assert.equal(await page.evaluate(async () => (await navigator.locks.query()).held.length), 1);
  });

  test(`${name}: several in one page, each with all rows and an id of its own over a reload`, async () => {
    const page = await it.opened();
    const start = async () => {
      await page.evaluate((channel) => {
        window.objects = [0, 1, 2].map(() => new window.Rowcast('/events', { channels: [channel] }));
        window.lists = window.objects.map((object) => {
          const list = [];
          object.on('message', (event) => list.push(event.data));
          return list;
        });
      }, it.channel);
      // What comes before an object is there is none of its rows.
      await until('all are open', () => page.evaluate(() => window.objects.every(({ state }) => state === 'open')));
    };
    const lists = (expected) => until('all have all', async () => {
      const have = await page.evaluate(() => window.lists);
      if (have.some((list) => list.length < expected.length))
        return false;
      assert.deepEqual(have, [expected, expected, expected]);
      return true;
    });
    const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => `number ${from + n}`);
    await start();
    it.insert(1, 100);
    await it.complete([page], { marker: false });
    await lists(numbers(1, 100));
    await it.streams(1);
    await page.reload();
    it.insert(101, 110);   // the first object in the page may have them before the others are there
    await start();
    await lists(numbers(101, 110));
  });

  test(`${name}: rows of strange types and channels pass as rows, or not at all, and break nothing`, async () => {
    const types = ['message', '__proto__', 'constructor', 'open', 'error'];
    const pages = [await it.opened({}, types), await it.open({ transports: ['poll'] }, types)];
    const evil = await it.opened({ channels: ['__proto__', 'toString'] });
    await it.state(pages[1], 'fallback');
    // Tables of other programs have no such constraint as ours.
    const insert = (channel, type) => it.site.sql(`.dbconfig enable_trigger off
      INSERT INTO notification(channel, event, data) VALUES ('${channel}', '${type}', '{"id":null}');`);
    for (const type of [...types, 'rowcast:open', 'rowcast:ping', 'rowcast:gap', 'rowcast:state', '*'])
      insert(it.channel, type);
    insert('__proto__', 'message');
    const where = `channel = '${it.channel}' AND event NOT LIKE 'rowcast:%' AND event <> '*'`;
    it.insert(1, 1, { type: 'message' });
    await it.complete(pages, { where, marker: false });
    await it.complete([evil], { where: "channel = '__proto__'", marker: false });
    for (const page of pages)
      assert.deepEqual(await page.evaluate(() => window.gaps), []);
  });
}

// What only Chromium's DevTools can do to a tab.
export function chromiumCases(name, it) {
  test(`${name}: the leading tab is frozen; another takes over, and after it thaws no tab has a row twice`,
    async () => {
    await Promise.all(Array.from({ length: 3 }, () => it.opened()));
    const leader = await it.leader(it.pages);
    const others = it.pages.filter((page) => page !== leader);
    const devtools = await it.context.devtools(leader);
    it.insert(1, 5);
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
    it.insert(6, 20);
    await it.complete(others);
    await devtools.send('Page.setWebLifecycleState', { state: 'active' });
    it.insert(21, 30);
    await it.complete(it.pages);
    await it.streams(1);
  });

  test(`${name}: the leading tab crashes; another takes over`, async () => {
    await Promise.all(Array.from({ length: 3 }, () => it.opened()));
    const leader = await it.leader(it.pages);
    const others = it.pages.filter((page) => page !== leader);
    it.insert(1, 5);
    const crashed = new Promise((resolve) => { leader.once('crash', resolve); });
    (await it.context.devtools(leader)).send('Page.crash').catch(() => {});
    await crashed;
    it.insert(6, 20);
    await it.complete(others);
    await it.streams(1);
  });

  test(`${name}: a tab that was offline says so, and goes on`, async () => {
    const page = await it.opened();
    it.insert(1, 3);
    await it.complete([page]);
    await it.context.offline(true);
    await it.state(page, 'offline');
    it.insert(4, 9);
    await it.context.offline(false);
    await it.state(page, 'open');
    await it.complete([page]);
  });
}

export function lastCase(name, it) {
  test(`${name}: rowcast is alive at the end, has let go of all readers and ends cleanly`, async () => {
    assert.ok(ROWCAST);
    await it.site.endsWell();
  });
}
