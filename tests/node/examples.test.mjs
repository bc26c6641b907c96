// examples.test.mjs - each example, started by its one command, does in a real Chromium what it says.
//
// `examples/NAME/run` starts the real servers; the page is used as a person would. Afterwards
// nothing is left of it: no process, no folder.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ROWCAST, fetchAlone, launchChromium, until } from './harness.mjs';

const top = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

let browser;
let folder;

before(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rowcast-examples-'));
  fs.chmodSync(folder, 0o755);
  browser = await launchChromium();
});

after(async () => {
  await browser?.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

// All files below the folder. Not by `recursive`: node 18 fails at sockets.
const filesBelow = (top) => fs.readdirSync(top, { withFileTypes: true }).flatMap((entry) => {
  const name = path.join(top, entry.name);
  return entry.isDirectory() ? filesBelow(name) : [name];
});

// rowcast takes all who may connect to such a socket for the web server.
function checkSockets() {
  const sockets = filesBelow(folder).map((name) => fs.statSync(name)).filter((file) => file.isSocket());
  assert.ok(sockets.length > 0);
  for (const socket of sockets) assert.equal(socket.mode & 0o006, 0, 'others may connect');
}

// The status of an answer. headers: also those that fetch() does not let set.
function statusOf(url, headers) {
  return new Promise((resolve, reject) => {
    http.get(url, { headers }, (answer) => { resolve(answer.statusCode); answer.destroy(); }).on('error', reject);
  });
}

// Starts the example, gives its address, its words and a way to new pages to `use`, ends it.
async function withExample(name, env, use) {
  const child = spawn(path.join(top, 'examples', name, 'run'), [], {
    env: { ...process.env, ROWCAST, TMPDIR: folder, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let words = '';
  child.stdout.on('data', (data) => { words += data; });
  child.stderr.on('data', (data) => { words += data; });
  const ended = new Promise((resolve) => { child.once('exit', resolve); });
  const context = await browser.newContext();
  const faults = [];
  try {
    await until(() => `the example starts: ${words}`, () => words.includes('Ctrl-C') || child.exitCode !== null);
    const url = /Open +(\S+)/.exec(words)?.[1];
    assert.ok(url, words);
    const open = async (name = '') => {
      const page = await context.newPage();
      page.on('pageerror', (error) => faults.push(error.message));
      await page.goto(url + name);
      return page;
    };
    checkSockets();
    await use({ url, words, open });
    assert.deepEqual(faults, []);
  } finally {
    await context.close();
    child.kill('SIGTERM');
    child.kill('SIGINT');       // an impatient person's second one disturbs nothing
    await ended;
  }
  assert.deepEqual(fs.readdirSync(folder), [], 'nothing is left in the temporary folder');
}

const isOpen = (page) => page.waitForSelector('#state[data-state="open"]');

// What `examples/NAME/run --port PORT` leaves: its status and its words.
function runOn(name, port) {
  return spawnSync(path.join(top, 'examples', name, 'run'), ['--port', String(port)], {
    env: { ...process.env, ROWCAST, TMPDIR: folder }, encoding: 'utf8', timeout: 30000,
  });
}

test('a port that another program has, or that does not exist, is refused with a message', async () => {
  const server = http.createServer();      // it never answers, as spawnSync keeps this process waiting
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address();
  try {
    for (const name of ['php-orders', 'flask-jobs', 'log-stream', 'dashboard', 'live-orders', 'django-orders',
      'eloquent-orders']) {
      const taken = runOn(name, port);
      assert.equal(taken.status, 1, taken.stderr);
      assert.match(taken.stderr, new RegExp(`port ${port} is taken; --port takes another one`));
      assert.doesNotMatch(taken.stdout, /Open/);
    }
    for (const none of [0, 70000]) assert.equal(runOn('dashboard', none).status, 2);
  } finally {
    server.close();
  }
  assert.deepEqual(fs.readdirSync(folder), [], 'nothing is left in the temporary folder');
});

test('php-orders: an order appears in the other page, once, and the page starts where it was rendered', async () => {
  await withExample('php-orders', {}, async ({ words, open }) => {
    const one = await open();
    const two = await open();
    await Promise.all([isOpen(one), isOpen(two)]);
    for (const article of ['Tea', '<b>Cake</b>']) {
      await one.fill('[name=article]', article);
      await one.click('button');
      await two.waitForFunction((text) => [...document.querySelectorAll('#orders tr')]
        .some((row) => row.cells[1].textContent === text), article);
    }
    // The page that ordered was rendered anew each time; neither shows an order twice.
    for (const page of [one, two]) {
      await page.waitForFunction(() => document.querySelectorAll('#orders tr').length === 2);
      assert.deepEqual(await page.$$eval('#orders tr', (rows) => rows.map((row) => row.cells[1].textContent)),
        ['<b>Cake</b>', 'Tea']);
    }
    const sql = /"(INSERT INTO orders[^"]*)"/.exec(words)[1];
    execFileSync('sqlite3', [/sqlite3 (\S+)/.exec(words)[1], sql]);
    await two.waitForFunction(() => document.querySelectorAll('#orders tr').length === 3);
  });
});

test('flask-jobs: the bar reaches its end, for each page its own', async () => {
  await withExample('flask-jobs', { JOBS_STEPS: '10', JOBS_STEP_S: '0.02' }, async ({ open }) => {
    const pages = [await open(), await open()];
    await Promise.all(pages.map((page) => page.click('#start')));
    for (const page of pages) {
      await page.waitForFunction(() => document.getElementById('words').textContent === 'Finished: 55');
      assert.deepEqual(await page.$eval('#bar', (bar) => [bar.value, bar.max]), [10, 10]);
      assert.equal(await page.isEnabled('#start'), true);
    }
  });
});

test('flask-jobs: a job is its visitor\'s alone', async () => {
  await withExample('flask-jobs', { JOBS_STEPS: '2', JOBS_STEP_S: '0.01' }, async ({ url }) => {
    const read = async (ticket) => {
      const answer = await fetchAlone(`${url}events?since=all`, { headers: { accept: 'application/json',
        authorization: `Bearer ${ticket}` } });
      return (await answer.json()).events;
    };
    const start = async () => (await (await fetchAlone(`${url}jobs`, { method: 'POST' })).json()).ticket;
    const [mine, other] = [await start(), await start()];
    await until(() => 'the job ends', async () => (await read(mine)).some(({ event }) => event === 'finished'));
    await until(() => 'the other one ends', async () => (await read(other)).some(({ event }) => event === 'finished'));
    const ids = new Set((await read(mine)).map(({ id }) => id));
    assert.ok((await read(other)).every(({ id }) => !ids.has(id)));
    assert.equal(await statusOf(`${url}events`, { accept: 'text/event-stream' }), 401);
    assert.equal(await statusOf(url, { host: 'elsewhere.example' }), 403);
    assert.equal(await statusOf(`${url}events/health`, { host: 'elsewhere.example' }), 403);
  });
});

test('log-stream: shows the lines that there are and those that come', async () => {
  const log = path.join(folder, 'some.log');
  fs.writeFileSync(log, 'first <line>\nsecond\n');
  try {
    await withExample('log-stream', { LOG: log }, async ({ open }) => {
      const page = await open();
      const shows = (text) => page.waitForFunction(
        (wanted) => document.getElementById('log').textContent === wanted, text);
      await shows('first <line>\nsecond\n');
      fs.appendFileSync(log, 'third\n');
      await shows('first <line>\nsecond\nthird\n');
      fs.rmSync(log);     // the folder is looked at afterwards
    });
  } finally {
    fs.rmSync(log, { force: true });
  }
});

test('dashboard: three measures, with numbers that come in', async () => {
  await withExample('dashboard', {}, async ({ open }) => {
    const page = await open();
    await page.waitForFunction(() => document.querySelectorAll('.card').length === 3);
    await page.waitForFunction(() => [...document.querySelectorAll('polyline')]
      .every((line) => line.getAttribute('points').split(' ').length >= 2));
    assert.deepEqual(await page.$$eval('.card',
      (cards) => cards.map((card) => card.querySelector('h2').textContent).sort()),
      ['load', 'memory', 'processes']);
  });
});

// Waits until each page shows these orders, as a line of text each.
async function showOrders(pages, lines) {
  for (const page of pages) {
    let have;
    await until(() => `${page.url()} shows ${lines}, has ${have}`, async () => {
      have = await page.$$eval('#orders tr',
        (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim()).join(' ')));
      return have.join() === lines.join();
    });
  }
}

test('live-orders: a table that a form and the sqlite3 shell edit is the same on each page, with each framework',
  async () => {
  await withExample('live-orders', {}, async ({ words, open }) => {
    const pages = [];
    for (const name of ['', 'react.html', 'svelte.html', 'vue.html', 'htmx.html'])
      pages.push(await open(name));
    const show = (...lines) => showOrders(pages, lines);
    await show('3 Coffee new 3.20', '2 Cake new 6.00', '1 Tea new 4.50');
    const form = await open('form.html');
    await form.fill('[name=article]', '<b>Pie</b>');
    await form.click('button:has-text("Order")');
    await show('4 <b>Pie</b> new 5.00', '3 Coffee new 3.20', '2 Cake new 6.00', '1 Tea new 4.50');
    const change = async (id, state) => {
      await form.fill('[name=id]', String(id));
      await form.selectOption('[name=state]', state);
      await form.click('button:has-text("Change")');
    };
    await change(2, 'paid');
    await change(3, 'cancelled');
    await show('4 <b>Pie</b> new 5.00', '2 Cake paid 6.00', '1 Tea new 4.50');
    const [, db, sql] = /sqlite3 (\S+) "(UPDATE orders[^"]*)"/.exec(words);
    execFileSync('sqlite3', [db, sql]);
    await show('4 <b>Pie</b> new 5.00', '2 Cake paid 6.00', '1 Tea paid 4.50');
    assert.equal(await pages[0].textContent('#sum'), '15.50');
  });
});

for (const name of ['django-orders', 'eloquent-orders'])
  test(`${name}: what the framework's form changes is on each page`, async () => {
    await withExample(name, {}, async ({ open }) => {
      const pages = [await open(), await open()];
      await showOrders(pages, ['3 Coffee new 3.20', '2 Cake new 6.00', '1 Tea new 4.50']);
      const form = await open('edit');
      await form.fill('[name=article]', '<b>Pie</b>');
      await form.fill('[name=total]', '5');
      await form.click('button:has-text("Order")');
      await showOrders(pages, ['4 <b>Pie</b> new 5.00', '3 Coffee new 3.20', '2 Cake new 6.00', '1 Tea new 4.50']);
      for (const [id, state] of [[2, 'paid'], [3, 'cancelled']]) {
        await form.fill('[name=id]', String(id));
        await form.selectOption('[name=state]', state);
        await form.click('button:has-text("Change")');
      }
      await showOrders(pages, ['4 <b>Pie</b> new 5.00', '2 Cake paid 6.00', '1 Tea new 4.50']);
    });
  });
