// alerts.test.mjs - web/alerts.js in a real Chromium behind a real lighttpd, and its pure parts.
//
// Notifications are the browser's own, read back from the service worker's registration. A click
// on one cannot be made without a desktop: an event that a script makes may neither open nor focus
// a window. So the worker's handler alone is run here with windows that are made up.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import vm from 'node:vm';
import { alertOf, clean, Flood, safeUrl } from '../../web/alerts.js';
import { Site, launchChromium, top, until } from './harness.mjs';

const MANY = { flood: { most: 1000, ms: 1000 } };

let site;
let browser;
let context;
let faults;

before(async () => {
  site = await Site.start('--heartbeat', '1', '--retry', '200');
  browser = await launchChromium();
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
async function openPage(permissions, options, init = null) {
  if (permissions !== null)
    await context.grantPermissions(permissions, { origin: site.url });
  const page = await context.newPage();
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('dialog', (dialog) => { faults.push(dialog.message()); dialog.dismiss(); });
  if (init !== null)
    await page.addInitScript(init);
  await page.goto(`${site.url}/alerts.html`);
  await page.waitForFunction(() => window.ready);
  if (options !== undefined)
    await page.evaluate((given) => window.begin(given), options);
  return page;
}

const alertRow = (data, more = {}) => site.insert({ channel: 'a', event: 'alert',
  data: typeof data === 'string' ? data : JSON.stringify(data), ...more });

function raised(page) {
  return page.evaluate(async () => {
    const registration = await navigator.serviceWorker.getRegistration();
    return (await registration?.getNotifications() ?? [])
      .map(({ title, body, tag, icon, data }) => ({ title, body, tag, icon, url: data.url, id: data.id }));
  });
}

// What these pages have raised by themselves, when it is so many. To ask the browser again and again
// will not do: Chromium forgets a notification that is asked for while it is being put on the screen.
async function shownUntil(pages, length) {
  let all;
  await until(() => `${length} are shown, have ${JSON.stringify(all)}`, async () => {
    all = (await Promise.all(pages.map((page) => page.evaluate(() => window.shown)))).flat();
    return all.length >= length;
  });
  return all;
}

async function raisedUntil(page, length) {
  await shownUntil([page], length);
  return raised(page);
}

const toasts = (page) => page.$$eval('.toast', (all) => all.map((toast) => ({
  title: toast.querySelector('.toast-title').textContent,
  body: toast.querySelector('.toast-body').textContent,
  href: toast.querySelector('a')?.href,
})));

// --- pure parts -----------------------------------------------------------------------------------

test('alerts: JSON with a title or a body is an alert, all else is text', () => {
  const of = (data, type = 'alert', channel = 'c') => alertOf({ channel, type, data });
  assert.deepEqual(of('plain'), { title: 'c · alert', body: 'plain' });
  assert.deepEqual(of('plain', 'message', null), { title: 'default', body: 'plain' });
  assert.deepEqual(of('{"title":"T","url":"/x"}'), { title: 'T', url: '/x' });
  assert.deepEqual(of('{"body":"B"}'), { title: 'c · alert', body: 'B' });
  for (const data of ['{"id":7}', '[1]', 'null', '7', '"t"', '{"title"', ''])
    assert.deepEqual(of(data), { title: 'c · alert', body: data });
});

test('alerts: only http and https addresses are followed', () => {
  const base = 'https://here.example/app/';
  for (const url of ['javascript:alert(1)', ' java\nscript:alert(1)', 'data:text/html,x', 'file:///etc/passwd',
    'blob:https://here.example/1', 'vbscript:x', 'https://', '', null, 7, {}, ['https://x.example/']])
    assert.equal(safeUrl(url, base), '', String(url));
  assert.equal(safeUrl('order/7', base), 'https://here.example/app/order/7');
  assert.equal(safeUrl('//other.example', base), 'https://other.example/');
});

test('alerts: what is shown is text of bounded length', () => {
  const alert = clean({ title: { toString: 1 }, body: 'x'.repeat(5000), tag: 7, quiet: 'yes',
    icon: 'data:text/html,x' },
    'https://here.example/');
  assert.deepEqual([alert.title, alert.body.length, alert.tag, alert.quiet, alert.icon], ['', 1000, '7', false, '']);
});

test('alerts: an icon is of the page\'s own origin, or data: that is an image', () => {
  const iconOf = (icon) => clean({ title: 't', icon }, 'https://here.example/app/').icon;
  assert.equal(iconOf('i.png'), 'https://here.example/app/i.png');
  assert.equal(iconOf('data:image/png;base64,AA'), 'data:image/png;base64,AA');
  for (const icon of ['https://elsewhere.example/seen.png', '//elsewhere.example/seen.png', 'http://here.example/i.png',
    'data:text/html,x', 'javascript:alert(1)', 7, null])
    assert.equal(iconOf(icon), '', String(icon));
});

test('alerts: a flood lets some through and then others when time has passed', () => {
  const flood = new Flood({ most: 2, ms: 100 });
  assert.deepEqual([0, 1, 2, 99, 100, 101, 102].map((now) => flood.lets(now)),
    [true, true, false, false, true, true, false]);
});

// --- the worker's handler --------------------------------------------------------------------------

// Runs alerts-sw.js with these windows; returns what a click does.
async function click(data, urls = []) {
  const did = [];
  const windows = urls.map((url) => ({
    url,
    focus: async () => { did.push(`focus ${url}`); },
    postMessage: (message) => did.push(`tell ${url} ${message.id}`),
  }));
  const handlers = {};
  const self = {
    location: new URL('https://here.example/alerts-sw.js'),
    addEventListener: (type, fn) => { handlers[type] = fn; },
    clients: {
      matchAll: async (what) => (what.type === 'window' && what.includeUncontrolled ? windows : []),
      openWindow: async (url) => { did.push(`open ${url}`); },
    },
  };
  vm.runInNewContext(fs.readFileSync(path.join(top, 'web/alerts-sw.js'), 'utf8'), { self, URL });
  let done;
  handlers.notificationclick({
    notification: { data, close: () => did.push('close') },
    waitUntil: (promise) => { done = promise; },
  });
  await done;
  return did;
}

const PAGE = 'https://here.example/orders';
const row = { rowcast: true, name: '', id: '7', url: '', page: PAGE };

test('alerts: a click focuses the page that raised it, or another one, or opens it', async () => {
  assert.deepEqual(await click(row, ['https://here.example/', PAGE]), ['close', `tell ${PAGE} 7`, `focus ${PAGE}`]);
  assert.deepEqual(await click(row, ['https://here.example/']),
    ['close', 'tell https://here.example/ 7', 'focus https://here.example/']);
  assert.deepEqual(await click(row), ['close', `open ${PAGE}`]);
});

test('alerts: a click on one with an address goes there', async () => {
  const url = 'https://here.example/order/7';
  assert.deepEqual(await click({ ...row, url }, [PAGE]), ['close', `open ${url}`]);
  assert.deepEqual(await click({ ...row, url }, [PAGE, url]), ['close', `tell ${url} 7`, `focus ${url}`]);
});

test('alerts: a click never follows an address that is none, and leaves foreign notifications alone', async () => {
  for (const url of ['javascript:alert(1)', 'data:text/html,x', 'file:///etc/passwd'])
    assert.deepEqual(await click({ ...row, url, page: url }), ['close']);
  for (const data of [null, undefined, 'x', { id: 7 }, { rowcast: 'yes' }])
    assert.deepEqual(await click(data, [PAGE]), []);
});

// --- in the browser ---------------------------------------------------------------------------------

test('alerts: a row raises a notification through the service worker', async () => {
  const page = await openPage(['notifications'], {});
  const id = alertRow({ title: 'Order 7', body: 'is paid', url: 'order/7', icon: 'data:image/png;base64,AA' });
  const [one] = await raisedUntil(page, 1);
  assert.deepEqual(one, { title: 'Order 7', body: 'is paid', tag: `rowcast--${id}`, icon: 'data:image/png;base64,AA',
    url: `${site.url}/order/7`, id });
  assert.deepEqual(await page.evaluate(() => window.shown.map(({ by }) => by)), ['worker']);
  assert.deepEqual(await toasts(page), []);
});

test('alerts: a newer row of the same tag replaces the older notification; others stand', async () => {
  const page = await openPage(['notifications'], {});
  for (const title of ['one', 'two']) {
    alertRow({ title, tag: 't' });
    await page.waitForFunction((name) => window.shown.some((note) => note.title === name), title);
  }
  alertRow('by itself');
  alertRow('by itself');
  await page.waitForFunction(() => window.shown.length === 4);
  assert.deepEqual((await raised(page)).map(({ title }) => title).sort(), ['a · alert', 'a · alert', 'two']);
});

test('alerts: a tab that comes late with an older row of a tag does not replace the newer one', async () => {
  const first = await openPage(['notifications'], MANY);
  const older = site.insert({ channel: 'b', event: 'alert', data: '{"title":"older","tag":"t"}' });
  alertRow({ title: 'newer', tag: 't' });
  await first.waitForFunction(() => window.shown.length === 1);
  const late = await openLate(older, ['b']);
  await late.waitForFunction(() => window.heard.length === 1);
  site.insert({ channel: 'b', event: 'alert', data: '{"title":"another"}' });
  await late.waitForFunction(() => window.shown.length > 0);
  assert.deepEqual(await late.evaluate(() => window.shown.map(({ title }) => title)), ['another']);
  assert.deepEqual((await raised(first)).map(({ title }) => title).sort(), ['another', 'newer']);
});

// A tab that has everything up to before this row.
async function openLate(id, channels) {
  const page = await openPage(['notifications']);
  await page.evaluate(([options, reading]) => window.begin(options, reading),
    [MANY, { channels, lastEventId: String(Number(id) - 1) }]);
  return page;
}

test('alerts: a hostile row is text in a notification, and its address is dropped', async () => {
  const page = await openPage(['notifications'], {});
  alertRow({ title: '<img src=x onerror=alert(1)>', body: '<script>alert(2)</script>', url: 'javascript:alert(3)',
    icon: 'javascript:alert(4)', tag: { a: 1 }, data: { rowcast: false } });
  const [one] = await raisedUntil(page, 1);
  assert.deepEqual([one.title, one.body, one.url, one.icon],
    ['<img src=x onerror=alert(1)>', '<script>alert(2)</script>', '', '']);
});

test('alerts: denied, a row is a toast; markup in it is text, and only http addresses are links', async () => {
  const page = await openPage([], {});
  assert.equal(await page.evaluate(() => window.alerts.state), 'denied');
  alertRow({ title: '<b onclick=alert(1)>x</b>', body: '<img src=x onerror=alert(2)>', url: 'javascript:alert(3)' });
  alertRow({ title: 'seven', url: '/order/7' });
  await page.locator('.toast', { hasText: 'seven' }).waitFor();
  assert.deepEqual(await toasts(page), [
    { title: '<b onclick=alert(1)>x</b>', body: '<img src=x onerror=alert(2)>', href: undefined },
    { title: 'seven', body: '', href: `${site.url}/order/7` },
  ]);
  assert.equal(await page.locator('#toasts :is(img, script, [onclick])').count(), 0);
  assert.equal(await page.getAttribute('#toasts', 'role'), 'status');
  await page.getByRole('button', { name: 'Close: seven' }).press('Enter');
  await page.locator('.toast-title', { hasText: '<b' }).waitFor();
  assert.equal((await toasts(page)).length, 1);
});

test('alerts: a browser without notifications has the state unsupported, and toasts', async () => {
  const page = await openPage(null, {}, () => { delete window.Notification; });
  assert.equal(await page.evaluate(() => window.alerts.state), 'unsupported');
  alertRow('look');
  await page.locator('.toast', { hasText: 'look' }).waitFor();
});

test('alerts: permission is asked for on a click, and not without', async () => {
  const page = await openPage(null, {});
  assert.equal(await page.evaluate(() => window.alerts.state), 'default');
  assert.match(await page.evaluate(() => window.askedAtOnce), /from a click/);
  // Headless Chromium shows no question; the answer to it comes through the driver.
  await page.exposeFunction('personAllows', () => context.grantPermissions(['notifications'], { origin: site.url }));
  await page.click('#ask');
  await page.waitForFunction(() => window.asked === 'granted' && window.changes.includes('granted'));
  alertRow('now outside');
  assert.equal((await raisedUntil(page, 1))[0].body, 'now outside');
});

test('alerts: two tabs raise one notification for each row', async () => {
  const pages = [await openPage(['notifications'], MANY), await openPage(['notifications'], MANY)];
  const ids = Array.from({ length: 20 }, (_, n) => alertRow(`row ${n}`));
  await Promise.all(pages.map((page) => page.waitForFunction((all) => window.heard.length === all, ids.length)));
  await shownUntil(pages, ids.length);
  // Whatever was still to come has come before this one.
  ids.push(alertRow('the end'));
  assert.deepEqual((await shownUntil(pages, ids.length)).map(({ id }) => id).sort(), ids);
  const before = await pages[1].evaluate(() => window.shown.length);
  // The tab that is left shows what comes, and nothing of before again.
  await pages[0].close();
  const last = alertRow('alone');
  assert.equal((await shownUntil([pages[1]], before + 1)).at(-1).id, last);
  assert.equal((await raised(pages[1])).length, ids.length + 1);
});

test('alerts: a tab that comes late with the same rows raises none of them again', async () => {
  const first = await openPage(['notifications'], MANY);
  const ids = [alertRow('one'), alertRow('two')];
  await raisedUntil(first, 2);
  const late = await openLate(ids[0], ['a']);
  await late.waitForFunction(() => window.heard.length === 2);
  const next = alertRow('three');
  assert.deepEqual((await shownUntil([first, late], 3)).map(({ id }) => id).sort(), [...ids, next]);
});

test('alerts: of a flood five are raised, and one that counts the others', async () => {
  const page = await openPage(['notifications'], {});
  site.sql(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
    INSERT INTO notification(channel, event, data) SELECT 'a', 'alert', 'row ' || i FROM n;`);
  await page.waitForFunction(() => window.shown.at(-1)?.title === '295 more');
  assert.deepEqual((await raised(page)).map(({ title, body }) => body || title).sort(),
    ['295 more', 'row 1', 'row 2', 'row 3', 'row 4', 'row 5']);
});

test('alerts: map changes an alert or drops it; other types raise none', async () => {
  const page = await openPage(['notifications']);
  await page.evaluate(() => window.begin({ types: ['alert', 'paid'],
    map: (event, alert) => (event.data === 'drop' ? null
      : { ...alert, title: `${event.type} on ${event.channel}` }) }));
  alertRow('drop');
  alertRow('no', { event: 'info' });
  alertRow('yes', { event: 'paid' });
  assert.deepEqual((await raisedUntil(page, 1)).map(({ title, body }) => [title, body]), [['paid on a', 'yes']]);
});

test('alerts: rows that were there before the page raise none; with maxAge those raise one that are no older',
  async () => {
  alertRow('old', { created_at: String(Date.now() - 3600000) });
  alertRow('a moment ago');
  const page = await openPage([]);
  const toasted = async () => (await toasts(page)).map(({ body }) => body);
  await page.evaluate(() => window.begin({}, { last: 2 }));
  alertRow('now');
  await page.waitForFunction(() => window.heard.length === 3);
  assert.deepEqual(await toasted(), ['now']);
  await page.evaluate(() => window.begin({ maxAge: 600000 }, { last: 3 }));
  await page.waitForFunction(() => window.heard.length === 3);
  assert.deepEqual(await toasted(), ['now', 'a moment ago', 'now']);
});

test('alerts: toasts have a style of their own, under the page\'s policy; any rule of the page goes before it',
  async () => {
  const page = await openPage([], {});
  alertRow({ title: 'T', body: 'B' });
  await page.locator('.toast').waitFor();
  const styles = () => page.evaluate(() => {
    const of = (selector, name) => getComputedStyle(document.querySelector(selector))[name];
    return [of('#toasts', 'position'), of('.toast', 'borderStyle'), of('.toast-close', 'position')];
  });
  assert.deepEqual(await styles(), ['fixed', 'solid', 'absolute']);
  await page.evaluate(() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync('div { position: static; border-style: dotted; }');
    document.adoptedStyleSheets.unshift(sheet);
  });
  assert.deepEqual(await styles(), ['static', 'dotted', 'absolute']);
});

test('alerts: without a service worker the page raises it by itself', async () => {
  const page = await openPage(['notifications'], { worker: 'no-such-file.js' });
  alertRow('by the page');
  await page.waitForFunction(() => window.shown.some(({ by }) => by === 'page'));
  assert.deepEqual(await toasts(page), []);
});

test('alerts: where neither can raise it, it is a toast', async () => {
  const page = await openPage(['notifications'], { worker: 'no-such-file.js' }, () => {
    // As Chrome on Android: the constructor is there, and throws.
    window.Notification = class { static permission = 'granted'; constructor() { throw new TypeError('Illegal constructor'); } };
  });
  alertRow('in the page');
  await page.locator('.toast', { hasText: 'in the page' }).waitFor();
});

test('alerts: turned off they are toasts, and after close() nothing', async () => {
  const page = await openPage(['notifications'], {});
  await page.evaluate(() => { window.alerts.enabled = false; });
  alertRow('inside');
  await page.locator('.toast', { hasText: 'inside' }).waitFor();
  await page.evaluate(() => { window.alerts.enabled = true; window.alerts.close(); });
  alertRow('never');
  await page.waitForFunction(() => window.heard.length === 2);
  assert.deepEqual([await raised(page), (await toasts(page)).length], [[], 1]);
});

test('alerts: an option that makes no sense is refused by name', async () => {
  const page = await openPage(['notifications']);
  const messages = await page.evaluate(async () => {
    const tried = [{ typs: [] }, { types: [] }, { map: 'x' }, { toasts: 'toasts' }, { more: 3 }, { maxAge: 'day' }];
    return Promise.all(tried.map((options) => window.begin(options).then(() => 'taken', (error) => error.message)));
  });
  assert.deepEqual(messages.map((text) => text.split(':')[0]), ['typs', 'types', 'map', 'toasts', 'more', 'maxAge']);
});

test('alerts: rowcast is alive at the end, has let go of all readers and ends cleanly', async () => {
  await site.endsWell();
});
