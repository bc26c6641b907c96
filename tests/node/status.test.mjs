// status.test.mjs - the status page, as an administrator has it: what it shows, on a phone too, and that what
// strangers choose (channels, users) stays text. In Chromium, behind lighttpd.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { lowContrasts } from './browsers.mjs';
import { Site, fetchAlone, launchChromium, until } from './harness.mjs';

const PHONE = { width: 390, height: 844 };
const EVIL = '<img src=x onerror=alert(1)>';

let site;
let browser;
let context;
let readers;
let answers;      // kept: node closes the connection of an answer that nothing refers to

before(async () => {
  site = await Site.start('--heartbeat', '1', '--retry', '200');
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await site?.close();
});
afterEach(async () => {
  readers?.abort();
  await context?.close();
});

// Opens the page while these streams are open; each is a query string.
async function open(queries, options = {}) {
  readers = new AbortController();
  answers = [];
  for (const query of queries)
    answers.push(await fetchAlone(site.events(query), { signal: readers.signal }));
  context = await browser.newContext(options);
  const page = await context.newPage();
  page.on('pageerror', (error) => assert.fail(error.message));
  await page.goto(`${site.url}/events/status`);
  await until('it is live', async () => await text(page, '#link') === 'Live.');
  return page;
}

const text = (page, selector) => page.locator(selector).textContent();
const channelsOn = (page) =>
  page.$$eval('#channels tr', (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));

test('status page: the database, how long it runs, and the channels with most streams first', async () => {
  const page = await open(['channel=orders', 'channel=orders&channel=news.*', '',
    `channel=${encodeURIComponent(EVIL)}`]);
  await until('the channels are there', async () => (await channelsOn(page)).length === 4);
  assert.deepEqual(await channelsOn(page), [['orders', '2'], ['*', '1'], [EVIL, '1'], ['news.*', '1']]);
  assert.equal(await page.locator('img').count(), 0);
  assert.equal(await text(page, '#database'), 'ok');
  assert.equal(await text(page, '#file'), site.db);
  assert.match(await text(page, '#uptime'), /^\d+ (s|min)$/);
  assert.equal(await page.locator('#list tr').count(), 4);
});

test('status page: numbers have separators, but for ids; charts have a scale', async () => {
  const page = await open(['channel=many']);
  site.sql(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2345)
    INSERT INTO notification(channel, data) SELECT 'many', i FROM n;`);
  await page.locator('[data-key=rows]', { hasText: '2,345' }).waitFor();
  assert.equal(await text(page, '[data-key=tail]'), site.sql('SELECT max(id) FROM notification;').trim());
  await until('the rate is drawn', async () => Number((await text(page, '#events .high')).replaceAll(',', '')) >= 50);
  assert.match(await page.getAttribute('#events svg', 'aria-label'),
    /^now .*, at most [\d,.]+ in the last two minutes$/);
  // Its words, for an administrator who has met none of them.
  for (const part of await page.$$eval('#counters dt',
    (all) => all.map((one) => one.querySelector('small').textContent)))
    assert.match(part, /^[A-Za-z].*\.$/);
});

for (const colorScheme of ['light', 'dark']) {
  test(`status page: on a phone nothing is cut off, and every text has enough contrast, ${colorScheme}`, async () => {
    const page = await open([`channel=${'x'.repeat(200)}`, 'channel=orders'], { viewport: PHONE, colorScheme });
    await until('the streams are there', async () => await page.locator('#list tr').count() === 2);
    await page.click('summary');
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), PHONE.width);
    for (const box of ['.scroll', '#counters', '#now']) {
      assert.equal(await page.locator(box).evaluateAll((all) => all.some((one) => one.scrollWidth > one.clientWidth)),
        false, box);
    }
    assert.deepEqual(await page.evaluate(lowContrasts), []);
  });
}

test('status page: its parts have names and roles', async () => {
  const page = await open(['channel=orders']);
  for (const [role, name] of [['main'], ['heading', 'rowcast status'], ['region', 'Channels'],
    ['region', 'Open streams'],
    ['region', 'Counters'], ['status'], ['columnheader', 'Channel or pattern'], ['rowheader', 'orders']])
    assert.ok(await page.getByRole(role, { name }).count() > 0, `${role} ${name}`);
  assert.equal(await page.getByRole('img', { name: /at most/ }).count(), 3);
});

test('status page: rowcast is alive at the end, has let go of all readers and ends cleanly', async () => {
  await site.endsWell();
});
