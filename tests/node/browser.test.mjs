// browser.test.mjs - the demo page in a real Chromium, through a real lighttpd.
//
// Every case goes the whole way: sqlite3 shell, table, rowcast, lighttpd, EventSource, list and
// notification. The site and the browser are shared by the cases; each has a page of its own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { CHROMIUM, Site, need, until } from './harness.mjs';

const { chromium } = need('playwright-core');

// playwright gives each browser a new, empty user-data-dir and removes it.
const FLAGS = ['--no-sandbox', '--headless', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];

let site;
let browser;
let context;
let faults;  // what the page itself reported as wrong

before(async () => {
  site = await Site.start('--heartbeat', '1', '--retry', '200', '--max-event-bytes', '64K');
  browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
});

after(async () => {
  await browser?.close();
  await site?.close();
});

beforeEach(async () => {
  context = await browser.newContext();
  faults = [];
});

afterEach(async () => {
  await context.close();
  assert.deepEqual(faults, []);
});

// permissions null: nobody has been asked yet; []: all are denied.
async function openPage(query = '', permissions = ['notifications']) {
  if (permissions !== null)
    await context.grantPermissions(permissions, { origin: site.url });
  const page = await context.newPage();
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => {
    if (/Content Security Policy/.test(message.text()))
      faults.push(message.text());
  });
  page.on('dialog', async (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    await dialog.dismiss();
  });
  // Notifications are raised as ever, and written down; heartbeats are counted.
  await page.addInitScript(() => {
    window.beats = 0;
    window.EventSource = class extends window.EventSource {
      constructor(url) {
        super(url);
        this.addEventListener('rowcast:ping', () => { window.beats += 1; });
      }
    };
    window.raised = [];
    window.asked = 0;
    if (!window.Notification)
      return;
    window.Notification = class extends window.Notification {
      static async requestPermission() {
        window.asked += 1;
        await window.personAllows?.();
        return super.requestPermission();
      }
      constructor(title, options) {
        super(title, options);
        const note = { title, body: options.body, shown: false };
        window.raised.push(note);
        this.addEventListener('show', () => { note.shown = true; });
      }
    };
  });
  await page.goto(`${site.url}/demo.html${query}`);
  await state(page, 'open');
  return page;
}

async function state(page, name) {
  await page.locator(`#state[data-state="${name}"]`).waitFor();
}

// The list as the person reads it, from the oldest to the newest.
function listed(page) {
  return page.$$eval('#list li', (items) => items.map((item) => ({
    id: item.dataset.id,
    channel: item.querySelector('.chip')?.textContent,
    type: item.querySelector('.type').textContent,
    text: (item.querySelector('.data') ?? item.querySelector('p')).textContent,
  })).reverse());
}

async function listedUntil(page, length) {
  let items;
  await until(() => `${length} entries, have ${JSON.stringify(items)?.slice(0, 2000)}`, async () => {
    items = await listed(page);
    return items.length >= length;
  });
  return items;
}

// After two heartbeats whatever was to come a second time, or late, has come: the page compares
// its list with the table on each.
async function afterHeartbeat(page) {
  const beats = await page.evaluate(() => window.beats);
  await page.waitForFunction((enough) => window.beats >= enough, beats + 2);
}

function insertNumbered(first, last, event = 'alert') {
  return site.sql(`WITH RECURSIVE n(i) AS (SELECT ${first} UNION ALL SELECT i + 1 FROM n WHERE i < ${last})
    INSERT INTO notification(channel, event, data) SELECT 'numbers', '${event}', 'number ' || i FROM n
    RETURNING id;`).trim().split('\n');
}

test('browser: the page opens through lighttpd and shows the id it starts from', async () => {
  const id = site.insert({ data: 'before the page was there' });
  const page = await openPage();
  await until('the last id is shown', async () => await page.textContent('#last-id') === id);
  assert.deepEqual(await listed(page), []);
  assert.match(await page.textContent('#try-sql'), new RegExp(`^sqlite3 ${site.db} "INSERT INTO notification`));
});

test('browser: the lines that the page offers bring their rows to the page', async () => {
  const page = await openPage();
  for (const id of ['try-sql', 'try-send', 'try-lines'])
    execFileSync('sh', ['-c', await page.textContent(`#${id}`)], { stdio: 'pipe' });
  const items = await listedUntil(page, 22);
  assert.deepEqual(items.map(({ channel, type, text }) => [channel, type, text]), [
    ['orders', 'paid', 'Order 7 is paid'],
    ['orders', 'paid', 'Order 8 is paid'],
    ...Array.from({ length: 20 }, (_, i) => ['orders', 'message', String(i + 1)]),
  ]);
});

test('browser: an inserted row is in the list and raises a notification', async () => {
  const page = await openPage();
  const id = site.insert({ channel: 'orders', event: 'paid', data: '{"id":7}' });
  assert.deepEqual(await listedUntil(page, 1), [{ id, channel: 'orders', type: 'paid', text: '{"id":7}' }]);
  await page.waitForFunction(() => window.raised[0]?.shown);
  assert.deepEqual(await page.evaluate(() => window.raised),
    [{ title: 'orders · paid', body: '{"id":7}', shown: true }]);
});

test('browser: the web server stops and starts; rows of meanwhile come once each, in order', async () => {
  const page = await openPage();
  const ids = [site.insert({ data: 'before' })];
  await listedUntil(page, 1);
  await site.lighttpd.stop();
  await state(page, 'retrying');
  ids.push(...insertNumbered(1, 50));
  await site.startLighttpd();
  await state(page, 'open');
  ids.push(site.insert({ data: 'after' }));
  await listedUntil(page, ids.length);
  await afterHeartbeat(page);
  assert.deepEqual((await listed(page)).map((item) => item.id), ids);
  assert.deepEqual(await page.evaluate(() => window.raised.map((note) => note.body)),
    ['before', ...Array.from({ length: 50 }, (_, i) => `number ${i + 1}`), 'after']);
});

test('browser: rowcast stops (503, so EventSource gives up) and starts; nothing is missed', async () => {
  const page = await openPage();
  await site.rowcast.stop();
  await page.locator('#state-note', { hasText: 'refused' }).waitFor();
  const ids = insertNumbered(1, 20);
  await site.startRowcast();
  await state(page, 'open');
  ids.push(site.insert({ data: 'after' }));
  await listedUntil(page, ids.length);
  await afterHeartbeat(page);
  assert.deepEqual((await listed(page)).map((item) => item.id), ids);
});

test('browser: rowcast is killed in mid-stream and started; nothing is missed', async () => {
  const page = await openPage();
  const ids = insertNumbered(1, 5);
  await listedUntil(page, 5);
  await site.rowcast.stop('SIGKILL');
  ids.push(...insertNumbered(6, 10));
  await site.startRowcast();
  await listedUntil(page, ids.length);
  await afterHeartbeat(page);
  assert.deepEqual((await listed(page)).map((item) => item.id), ids);
});

test('browser: a connection that went silent is replaced; nothing is missed or doubled', async () => {
  const page = await openPage();
  const ids = insertNumbered(1, 5);
  await listedUntil(page, 5);
  await afterHeartbeat(page); // so the page knows how long silence may last
  site.lighttpd.child.kill('SIGSTOP');
  ids.push(...insertNumbered(6, 10));
  await state(page, 'connecting');
  site.lighttpd.child.kill('SIGCONT');
  await state(page, 'open');
  await listedUntil(page, ids.length);
  await afterHeartbeat(page);
  assert.deepEqual((await listed(page)).map((item) => item.id), ids);
});

test('browser: a hostile row is shown as text and does nothing', async () => {
  const page = await openPage();
  const hostile = '<img src=x onerror="alert(1)"><script>alert(2)</script>\n\nevent: rowcast:gap\ndata: {}\n\n'
    + '</pre><svg onload=alert(3)>';
  site.insert({ channel: '<b onclick=alert(4)>c</b>', event: 'alert', data: hostile });
  const [item] = await listedUntil(page, 1);
  assert.equal(item.text, hostile);
  assert.equal(item.channel, '<b onclick=alert(4)>c</b>');
  assert.equal(await page.locator('#list :is(img, script, svg, b)').count(), 0);
  await afterHeartbeat(page);
  assert.equal((await listed(page)).length, 1);
});

test('browser: a row of a type nobody listens for comes at the next heartbeat, later ones at once', async () => {
  const page = await openPage();
  const ids = [site.insert({ event: 'unheard-of', data: 'one' })];
  assert.equal((await listedUntil(page, 1))[0].type, 'unheard-of');
  assert.match(await page.inputValue('#types'), /, unheard-of$/);
  // Requests for JSON are refused from now on: what comes, comes by EventSource.
  await page.route(/last_event_id/, (route) => route.abort());
  ids.push(site.insert({ event: 'unheard-of', data: 'two' }));
  assert.deepEqual((await listedUntil(page, 2)).map((item) => item.id), ids);
});

test('browser: 1,500 rows of a type nobody listens for, in one transaction, come once each', async () => {
  const page = await openPage();
  const ids = insertNumbered(1, 1500, 'unheard-of');
  await page.locator('#count', { hasText: '1,500' }).waitFor();
  await afterHeartbeat(page);
  assert.equal(await page.textContent('#count'), '1,500');
  assert.deepEqual((await listed(page)).map((item) => item.id), ids.slice(-200));
});

test('browser: rows that were deleted before they were sent are shown as a gap', async () => {
  const page = await openPage();
  site.insert({ data: 'first' });
  await listedUntil(page, 1);
  await site.lighttpd.stop();
  await state(page, 'retrying');
  site.insert({ data: 'never seen' });
  site.sql("DELETE FROM notification WHERE data = 'never seen';");
  site.insert({ data: 'last' });
  await site.startLighttpd();
  const items = await listedUntil(page, 3);
  assert.deepEqual(items.map((item) => item.type), ['message', 'gap', 'message']);
  assert.match(items[1].text, /had been deleted/);
});

test('browser: a row that is too large is announced in the list', async () => {
  const page = await openPage();
  const id = site.insert({ data: 'x'.repeat(65537) });
  const [item] = await listedUntil(page, 1);
  assert.deepEqual([item.id, item.type], [id, 'too large']);
  assert.match(item.text, /65,537 bytes.*at most 65,536/);
});

test('browser: the channel in the page\'s address filters, and the field changes it', async () => {
  const page = await openPage('?channel=news.*');
  site.insert({ channel: 'orders', data: 'not for this page' });
  site.insert({ channel: 'news.local', data: 'one' });
  await listedUntil(page, 1);
  await page.fill('#channels', 'orders, chat');
  await page.press('#channels', 'Enter');
  await state(page, 'open');
  assert.equal(new URL(page.url()).search, '?channel=orders&channel=chat');
  site.insert({ channel: 'news.local', data: 'not for this page' });
  site.insert({ channel: 'chat', data: 'two' });
  await listedUntil(page, 2);
  await afterHeartbeat(page);
  assert.deepEqual((await listed(page)).map((item) => item.text), ['one', 'two']);
});

test('browser: permission is asked for on a click only; without it a note in the page', async () => {
  const page = await openPage('', null);
  assert.equal(await page.evaluate(() => Notification.permission), 'default');
  site.insert({ channel: 'orders', event: 'alert', data: 'look here' });
  await page.locator('.toast', { hasText: 'look here' }).waitFor();
  assert.deepEqual(await page.evaluate(() => [window.raised.length, window.asked]), [0, 0]);
  // Headless Chromium shows no question; the answer to it comes through the driver.
  await page.exposeFunction('personAllows',
    () => context.grantPermissions(['notifications'], { origin: site.url }));
  await page.click('#alerts-button');
  await page.locator('#alerts-note', { hasText: 'each event raises a notification' }).waitFor();
  site.insert({ channel: 'orders', event: 'alert', data: 'now outside' });
  await page.waitForFunction(() => window.raised.some((note) => note.body === 'now outside' && note.shown));
});

test('browser: blocked notifications are said plainly, and there is no button', async () => {
  const page = await openPage('', []);
  await page.locator('#alerts-note', { hasText: 'Notifications are blocked' }).waitFor();
  assert.equal(await page.isVisible('#alerts-button'), false);
  site.insert({ event: 'alert', data: 'look here' });
  await page.locator('.toast', { hasText: 'look here' }).waitFor();
});

test('browser: a browser without notifications is told so, and shows notes', async () => {
  await context.addInitScript(() => { delete window.Notification; });
  const page = await openPage('', null);
  await page.locator('#alerts-note', { hasText: 'has no notifications' }).waitFor();
  site.insert({ event: 'alert', data: 'look here' });
  await page.locator('.toast', { hasText: 'look here' }).waitFor();
});

test('browser: 2,000 rows in a burst; the list keeps the newest 200, each row raised one notification', async () => {
  const page = await openPage();
  const ids = insertNumbered(1, 2000);
  await page.locator('#count', { hasText: '2,000' }).waitFor();
  await afterHeartbeat(page);
  assert.deepEqual((await listed(page)).map((item) => item.id), ids.slice(-200));
  assert.deepEqual(await page.evaluate(() => window.raised.map((note) => note.body)),
    Array.from({ length: 2000 }, (_, i) => `number ${i + 1}`));
});

test('browser: rowcast is alive at the end, has let go of all readers and ends cleanly', async () => {
  await site.endsWell();
});
