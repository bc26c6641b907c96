// plain-pages.test.mjs - pages as the documents teach them, most with the browser's own EventSource: those
// of README.md, doc/PROTOCOL.md (also the one with htmx) and doc/JAVASCRIPT.md, taken from there, and
// rowcast's status page. In a Chromium with its back/forward cache and in Firefox, behind lighttpd.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { goBack, launch } from './browsers.mjs';
import { ROWCAST, Site, needFile, top, until } from './harness.mjs';

const PAGES = ['/readme.html', '/protocol.html', '/htmx.html'];

let site;
const browsers = {};
let context;

// The nth page in HTML of a document.
function pageIn(document, n = 1) {
  return [...fs.readFileSync(path.join(top, document), 'utf8').matchAll(/^```html\n([^]*?)^```$/mg)][n - 1][1];
}

// htmx is a script for pages, so it is not loaded here, but found.
function copyHtmx() {
  fs.copyFileSync(needFile('htmx.org/dist/htmx.min.js'), path.join(site.pages, 'htmx.min.js'));
  fs.copyFileSync(needFile('htmx-ext-sse/sse.js'), path.join(site.pages, 'sse.js'));
}

before(async () => {
  site = await Site.start('--heartbeat', '1', '--retry', '200');
  fs.writeFileSync(path.join(site.pages, 'readme.html'), pageIn('README.md'));
  fs.writeFileSync(path.join(site.pages, 'protocol.html'), pageIn('doc/PROTOCOL.md'));
  fs.writeFileSync(path.join(site.pages, 'htmx.html'), pageIn('doc/PROTOCOL.md', 2));
  copyHtmx();
  fs.writeFileSync(path.join(site.pages, 'download.bin'), 'x');
  for (const name of ['chromium', 'firefox'])
    browsers[name] = await launch(name);
});
after(async () => {
  for (const browser of Object.values(browsers))
    await browser.close();
  await site?.close();
});
beforeEach(() => { context = null; });
afterEach(() => context?.close());

async function open(name, page) {
  context = await browsers[name].newContext();
  const opened = await context.newPage(site.url + page);
  await streams(1);
  return opened;
}

const streams = (count) => until(() => `${count} streams`, async () => await site.streams() === count);
const insert = (n) => site.insert({ channel: 'orders', event: 'paid', data: `{"id":${n}}` });
// README's page shows `paid: 7`, PROTOCOL.md's the data as it is.
const rowsOn = (page) => page.evaluate(() =>
  [...document.body.innerText.matchAll(/(?:paid: |"id":)(\d+)/g)].map(([, id]) => id));
const shows = (page, ...numbers) => until(async () => `rows ${numbers}, has ${await rowsOn(page)}`,
  async () => (await rowsOn(page)).join() === numbers.join());

// Pages that are left with their stream open use up the browser's six connections to a host.
test('plain pages: those of the documents and the status page are left and come back to, and each loads', async () => {
  for (const name of ['chromium', 'firefox']) {
    const page = await open(name, '/readme.html');
    for (let n = 0; n < 12; n++)
      await page.goto(site.url + [...PAGES, '/events/status'][n % 4]);
    await page.goto(site.url + PAGES[0]);
    await streams(1);
    await context.close();
    context = null;
    await streams(0);
  }
});

test('plain pages: rows that come while the page is away are there once when it is back', async () => {
  for (const [n, pathname] of PAGES.entries()) {
    const page = await open('chromium', pathname);
    const [one, two, three] = [1, 2, 3].map((i) => 10 * n + i);
    insert(one);
    await shows(page, one);
    await page.goto(`${site.url}/blank.html`);
    await streams(0);
    insert(two);
    await goBack(page, pathname);
    await shows(page, one, two);
    insert(three);
    await shows(page, one, two, three);
    await context.close();
    context = null;
    await streams(0);
  }
});

test('plain pages: one that the browser has given up on, or Firefox on a download, goes on with what it missed',
  async () => {
  for (const [n, pathname] of PAGES.entries()) {
    const page = await open('firefox', pathname);
    const [one, two, three] = [1, 2, 3].map((i) => 100 + 10 * n + i);
    insert(one);
    await shows(page, one);
    await page.evaluate(() => {
      const link = document.createElement('a');
      link.href = 'download.bin';
      document.body.append(link);
      link.click();
    });
    await streams(0);
    insert(two);
    await shows(page, one, two);
    await site.rowcast.stop();
    insert(three);
    await until('the browser has given up', () => page.evaluate(() => source.readyState === EventSource.CLOSED));
    await site.startRowcast();
    await shows(page, one, two, three);
    await context.close();
    context = null;
    await streams(0);
  }
});

test('plain pages: the dashboard of doc/JAVASCRIPT.md shows the table, and each change of it', async () => {
  site.sql("CREATE TABLE orders(id INTEGER PRIMARY KEY, state TEXT, total REAL); INSERT INTO orders VALUES (7, 'new', 12.5), (8, 'new', 3)");
  execFileSync(ROWCAST, ['track', '--db', site.db, 'orders']);
  fs.writeFileSync(path.join(site.pages, 'table.html'), pageIn('doc/JAVASCRIPT.md', 2));
  for (const [n, name] of ['chromium', 'firefox'].entries()) {
    const page = await open(name, '/table.html');
    const shows = (text) => until(() => `${name} shows ${text}`, () => page.evaluate(
      (wanted) => document.body.innerText.split(/\s+/).join(' ').trim() === wanted, text));
    site.sql(`UPDATE orders SET state = 'paid' WHERE id = 7; INSERT INTO orders VALUES (${9 + n}, 'new', 1)`);
    await shows(`Orders, ${(16.5 + n).toFixed(2)} in all ${n === 0 ? ''
      : '10 new 1.00 '}9 new 1.00 8 new 3.00 7 paid 12.50`);
    await context.close();
    context = null;
    await streams(0);
  }
});

test('plain pages: the status page is live again when it is come back to', async () => {
  context = await browsers.chromium.newContext();
  const page = await context.newPage(`${site.url}/events/status`);
  const isLive = () => page.evaluate(() => document.getElementById('link').textContent === 'Live.');
  await until('it is live', isLive);
  await page.evaluate(() => {
    addEventListener('pagehide', () => { document.getElementById('link').textContent = 'left'; });
  });
  await page.goto(`${site.url}/blank.html`);
  /* Kept by the browser or loaded anew: the page is no-store, so either is right. */
  await goBack(page, '/events/status');
  await until('it is live again', isLive);
});

test('plain pages: rowcast is alive at the end, has let go of all readers and ends cleanly', async () => {
  await site.endsWell();
});
