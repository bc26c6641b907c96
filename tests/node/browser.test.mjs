// browser.test.mjs - the demo page's list, connection and alerts in a real Chromium, through a real
// lighttpd. demo.test.mjs has the page's other parts.
//
// Every case goes the whole way: sqlite3 shell, table, rowcast, lighttpd, rowcast.js, the page. The
// site and the browser are shared by the cases; each has a page of its own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { DemoSite, insertNumbered, launch, listed, listedUntil, openDemo, settled, state } from './demo-site.mjs';
import { until } from './harness.mjs';

let site;
let browser;
let context;
let faults;

before(async () => {
  site = await DemoSite.start('--heartbeat', '1', '--retry', '200', '--max-event-bytes', '64K');
  browser = await launch();
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
async function openPage(query, permissions = []) {
  if (permissions !== null)
    await context.grantPermissions(permissions, { origin: site.url });
  return openDemo(context, site, faults, query);
}

// That the list has these rows and no other, also after what comes next.
async function hasExactly(page, ids) {
  await listedUntil(page, ids.length);
  const last = await settled(page, site);
  assert.deepEqual((await listed(page)).map((item) => item.id), [...ids, last]);
}

test('browser: the page opens through lighttpd and shows the id it starts from', async () => {
  const id = site.insert({ data: 'before the page was there' });
  const page = await openPage();
  await until('the last id is shown', async () => await page.textContent('#last-id') === id);
  assert.deepEqual(await listed(page), []);
  assert.match(await page.textContent('#try-sql'), new RegExp(`^sqlite3 ${site.db} "INSERT INTO notification`));
});

test('browser: the lines that the page offers bring their rows to the page', async () => {
  const page = await openPage('');
  for (const id of ['try-sql', 'try-send', 'try-lines'])
    execFileSync('sh', ['-c', await page.textContent(`#${id}`)], { stdio: 'pipe' });
  const items = await listedUntil(page, 22);
  assert.deepEqual(items.map(({ channel, type, text }) => [channel, type, text]), [
    ['orders', 'alert', 'Order 7 is paid'],
    ['orders', 'alert', 'Order 8 is paid'],
    ...Array.from({ length: 20 }, (_, i) => ['orders', 'message', String(i + 1)]),
  ]);
});

test('browser: an inserted row is in the list and raises a notification', async () => {
  // Asked for while it is being put on the screen, Chromium forgets it: so ask when it is there.
  await context.addInitScript(() => {
    const { showNotification } = ServiceWorkerRegistration.prototype;
    ServiceWorkerRegistration.prototype.showNotification = async function (...given) {
      await showNotification.apply(this, given);
      window.raised = true;
    };
  });
  const page = await openPage('', ['notifications']);
  const id = site.insert({ channel: 'orders', event: 'alert', data: '{"id":7}' });
  assert.deepEqual(await listedUntil(page, 1), [{ id, channel: 'orders', type: 'alert', text: '{"id":7}' }]);
  await page.waitForFunction(() => window.raised);
  const notes = await page.evaluate(
    async () => (await (await navigator.serviceWorker.getRegistration()).getNotifications())
    .map(({ title, body }) => ({ title, body })));
  assert.deepEqual(notes, [{ title: 'orders · alert', body: '{"id":7}' }]);
});

test('browser: the web server stops and starts; rows of meanwhile come once each, in order', async () => {
  const page = await openPage();
  const ids = [site.insert({ data: 'before' })];
  await listedUntil(page, 1);
  await site.stopServer();
  await state(page, 'retrying');
  ids.push(...insertNumbered(site, 1, 50));
  await site.startServer();
  /* The rows tell that it is back: a page whose stream soon ended may poll for a while first. */
  ids.push(site.insert({ data: 'after' }));
  await hasExactly(page, ids);
});

test('browser: rowcast stops (503), the page says so, and comes back; nothing is missed', async () => {
  const page = await openPage();
  await site.rowcast.stop();
  await page.locator('#state-note', { hasText: '503' }).waitFor();
  const ids = insertNumbered(site, 1, 20);
  await site.startRowcast();
  await state(page, 'open');
  await hasExactly(page, ids);
});

test('browser: rowcast is killed in mid-stream and started; nothing is missed', async () => {
  const page = await openPage();
  const ids = insertNumbered(site, 1, 5);
  await listedUntil(page, 5);
  await site.rowcast.stop('SIGKILL');
  ids.push(...insertNumbered(site, 6, 10));
  await site.startRowcast();
  await hasExactly(page, ids);
});

test('browser: a hostile row is shown as text and does nothing', async () => {
  const page = await openPage();
  const hostile = '<img src=x onerror="alert(1)"><script>alert(2)</script>\n\nevent: rowcast:gap\ndata: {}\n\n'
    + '</pre><svg onload=alert(3)>';
  site.insert({ channel: '<b onclick=alert(4)>c</b>', event: 'alert', data: hostile });
  site.insert({ channel: 'c', event: 'alert', data: '{"title":"<i>t</i>","url":"javascript:alert(5)"}' });
  const [item, second] = await listedUntil(page, 2);
  assert.equal(item.text, hostile);
  assert.equal(item.channel, '<b onclick=alert(4)>c</b>');
  assert.equal(second.text.trim(), '<i>t</i>');
  assert.equal(await page.locator(':is(#list, #toasts) :is(img, script, svg, i, a)').count(), 0);
  await settled(page, site);
  assert.equal((await listed(page)).length, 3);
});

test('browser: an alert with an address is a link in the list', async () => {
  const page = await openPage();
  site.insert({ channel: 'c', event: 'alert', data: '{"title":"Order 7","body":"is paid","url":"/order/7"}' });
  const [item] = await listedUntil(page, 1);
  assert.equal(item.text, 'Order 7 is paid');
  assert.equal(await page.getByRole('region', { name: /^Events/ }).getByRole('link', { name: 'Order 7' })
    .evaluate((link) => link.href), `${site.url}/order/7`);
});

test('browser: 1,500 rows of any type, in one transaction, come once each; the list keeps 200', async () => {
  const page = await openPage();
  const ids = insertNumbered(site, 1, 1500, 'unheard-of');
  await page.locator('#count', { hasText: '1,500' }).waitFor();
  const last = await settled(page, site);
  assert.equal(await page.textContent('#count'), '1,501');
  assert.deepEqual((await listed(page)).map((item) => item.id), [...ids.slice(-199), last]);
});

test('browser: rows that were deleted before they were sent are shown as a gap', async () => {
  const page = await openPage();
  site.insert({ data: 'first' });
  await listedUntil(page, 1);
  await site.stopServer();
  await state(page, 'retrying');
  site.insert({ data: 'never seen' });
  site.sql("DELETE FROM notification WHERE data = 'never seen';");
  site.insert({ data: 'last' });
  await site.startServer();
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

test('browser: channels are those of the address; ticks and the field change them', async () => {
  const page = await openPage('?channel=news.*');
  site.insert({ channel: 'orders', data: 'not for this page' });
  site.insert({ channel: 'news.local', data: 'one' });
  await listedUntil(page, 1);
  await page.fill('#others', 'sports');
  await page.press('#others', 'Enter');
  await page.getByRole('checkbox', { name: 'orders' }).check();
  await state(page, 'open');
  assert.equal(new URL(page.url()).search, '?channel=orders&channel=sports');
  site.insert({ channel: 'news.local', data: 'not for this page' });
  site.insert({ channel: 'sports', data: 'two' });
  site.insert({ channel: 'orders', data: 'three' });
  await listedUntil(page, 3);
  assert.deepEqual((await listed(page)).map((item) => item.text), ['one', 'two', 'three']);
});

test('browser: with no channel ticked the page says so, and listens to none', async () => {
  const page = await openPage('?channel=orders');
  await page.getByRole('checkbox', { name: 'orders' }).uncheck();
  await state(page, 'idle');
  assert.equal(await page.isVisible('#none-ticked'), true);
  await page.getByRole('checkbox', { name: 'chat' }).check();
  await state(page, 'open');
  site.insert({ channel: 'orders', data: 'no' });
  site.insert({ channel: 'chat', data: 'yes' });
  assert.deepEqual((await listedUntil(page, 1)).map((item) => item.text), ['yes']);
});

test('browser: permission is asked for on the button; without it a note in the page', async () => {
  const page = await openPage('', null);
  assert.equal(await page.evaluate(() => Notification.permission), 'default');
  site.insert({ channel: 'orders', event: 'alert', data: 'look here' });
  await page.locator('.toast', { hasText: 'look here' }).waitFor();
  // Headless Chromium shows no question; the answer to it comes through the driver.
  await page.exposeFunction('personAllows', () => context.grantPermissions(['notifications'], { origin: site.url }));
  await page.evaluate(() => {
    const { requestPermission } = Notification;
    Notification.requestPermission = async () => { await window.personAllows(); return requestPermission(); };
  });
  await page.click('#alerts-button');
  await page.locator('#alerts-note', { hasText: 'each alert raises a notification' }).waitFor();
  assert.equal(await page.textContent('#alerts-button'), 'Turn off');
  await page.click('#alerts-button');
  site.insert({ channel: 'orders', event: 'alert', data: 'turned off' });
  await page.locator('.toast', { hasText: 'turned off' }).waitFor();
});

test('browser: blocked notifications are said plainly, and there is no button', async () => {
  const page = await openPage('');
  await page.locator('#alerts-note', { hasText: 'Notifications are blocked' }).waitFor();
  assert.equal(await page.isVisible('#alerts-button'), false);
});

test('browser: a browser without notifications shows a sentence', async () => {
  await context.addInitScript(() => { delete window.Notification; });
  const page = await openPage('', null);
  await page.locator('#alerts-note', { hasText: 'has no notifications' }).waitFor();
});

test('browser: rowcast is alive at the end, has let go of all readers and ends cleanly', async () => {
  await site.endsWell();
});
