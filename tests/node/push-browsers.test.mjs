// push-browsers.test.mjs - Web Push with real browsers, rowcast and `rowcast push`, without a network.
//
// Stock Firefox gets messages from a push service that is made here (autopush.mjs), and decrypts what
// rowcast has encrypted. Chromium has no such way, so its service worker gets messages by DevTools
// (ServiceWorker.deliverPushMessage).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Autopush, launchFirefox } from './autopush.mjs';
import { DemoSite } from './demo-site.mjs';
import { ROWCAST, Daemon, Site, launchChromium, until } from './harness.mjs';

let service;
let site;
let folder;
let push;

before(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rowcast-push-'));
  const key = path.join(folder, 'vapid.key');
  execFileSync(ROWCAST, ['push', '--new-key', key]);
  service = await new Autopush().start();
  site = await Site.start('--heartbeat', '1', '--retry', '200', '--vapid-key-file', key, '--push-host', service.origin);
  push = new Daemon(ROWCAST, ['push', '--db', site.db, '--vapid-key-file', key, '--subject', 'mailto:a@example.org',
    '--push-host', service.origin], path.join(folder, 'push.log'));
});
after(async () => {
  await push?.stop();
  await site?.close();
  service?.close();
  fs.rmSync(folder, { recursive: true, force: true });
});

const alertRow = (data) => site.insert({ channel: 'a', event: 'alert', data: JSON.stringify(data) });

// The notifications that are shown, from a page that is neither the subscriber's nor shows any itself.
async function shown(page) {
  return page.evaluate(async () => {
    const registration = await navigator.serviceWorker.getRegistration('/');
    const notifications = await registration.getNotifications();
    return notifications.map(({ title, body, tag, data }) => ({ title, body, tag, id: data.id }));
  });
}

// Not waitForFunction: in Firefox 140 it uses eval(), which the page's policy refuses.
test('push, Firefox: a row reaches a browser whose page is closed, once, and comes decrypted', async () => {
  const browser = await launchFirefox(service);
  try {
    // A subscribe() before the first hello hangs.
    await until('Firefox says hello', () => service.hellos > 0);
    const page = await browser.newPage();
    await page.goto(`${site.url}/alerts.html`);
    await until('the page is ready', () => page.evaluate(() => window.ready));
    await page.evaluate(() => window.begin());
    const endpoint = await page.evaluate(async () => (await window.alerts.subscribe({ channels: ['a'] })).endpoint);
    assert.match(endpoint, /^http:\/\/127\.0\.0\.1:\d+\/wpush\//);

    // The page is open: by stream and by push, and shown once.
    const first = alertRow({ title: 'Page open', tag: 'open' });
    await until('the page has it', () => page.evaluate((id) => window.heard.includes(id), String(first)));
    await until('the worker has it too', () => service.acks.length === 1);
    await until('it is shown', async () => (await shown(page)).length === 1);

    // The page is closed.
    await page.goto(`${site.url}/blank.html`);
    const second = alertRow({ title: 'Page closed', body: 'ünïcode ✓' });
    await until('Firefox has taken it', () => service.acks.length === 2);
    assert.equal(service.acks[1].code, 100);   // decrypted, and handed to the worker
    await until('it is shown', async () => (await shown(page)).length === 2);
    const closed = (await shown(page)).find(({ id }) => id === String(second));
    assert.deepEqual(closed, { title: 'Page closed', body: 'ünïcode ✓', tag: `rowcast--${second}`, id: String(second) });

    // Too long for a message: the worker fetches it.
    const third = alertRow({ title: 'Long', body: 'x'.repeat(900), more: 'y'.repeat(5000) });
    await until('the long one is shown', async () => (await shown(page)).some(({ id, title }) => id === String(third) && title === 'Long'));

    // The push service forgets the browser, which makes another subscription (pushsubscriptionchange): the
    // worker hands it over, and the old one ends when the service does not know it.
    service.forget();
    await until('Firefox has subscribed again', () => site.sql(`SELECT count(*) FROM rowcast_push WHERE endpoint <> '${endpoint}'`).trim() === '1');
    const fourth = alertRow({ title: 'After the change' });
    await until('it is shown', async () => (await shown(page)).some(({ id }) => id === String(fourth)));
    await until('the old one has ended', () => site.sql('SELECT count(*) FROM rowcast_push').trim() === '1');
    assert.equal(site.sql('SELECT channels FROM rowcast_push').trim(), '["a"]');

    // Ended: nothing more comes.
    await page.goto(`${site.url}/alerts.html`);
    await until('the page is ready', () => page.evaluate(() => window.ready));
    await page.evaluate(() => window.begin());
    assert.equal(await page.evaluate(() => window.alerts.unsubscribe()), true);
    assert.equal(site.sql('SELECT count(*) FROM rowcast_push').trim(), '0');
  } finally {
    await browser.close();
  }
});

// What subscribe() leaves behind, which Chromium cannot do without Google.
const rememberSubscription = (page) => page.evaluate(() => new Promise((resolve, reject) => {
  const request = indexedDB.open('rowcast-alerts', 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore('config');
    request.result.createObjectStore('shown', { keyPath: 'key' }).createIndex('at', 'at');
  };
  request.onerror = reject;
  request.onsuccess = () => {
    const { transaction } = request.result.transaction('config', 'readwrite').objectStore('config')
      .put({ name: '', url: `${location.origin}/events`, key: '', wish: {}, page: location.href, base: location.href }, 'push');
    transaction.oncomplete = () => { request.result.close(); resolve(); };
  };
}));

async function openAlerts(context) {
  const page = await context.newPage();
  await page.goto(`${site.url}/alerts.html`);
  await page.waitForFunction(() => window.ready);
  await page.evaluate(() => window.begin({ flood: { most: 1000, ms: 1000 } }));
  return page;
}

// Runs fn({ context, page, deliver, deliverText }) in a Chromium whose worker gets pushes by DevTools.
async function withChromium(fn) {
  const browser = await launchChromium();
  try {
    const context = await browser.newContext();
    await context.grantPermissions(['notifications'], { origin: site.url });
    const page = await openAlerts(context);
    const devtools = await context.newCDPSession(page);
    let registrationId;
    devtools.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => { registrationId = registrations.at(-1)?.registrationId ?? registrationId; });
    await devtools.send('ServiceWorker.enable');
    await until('there is a worker', () => registrationId !== undefined);
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => true)); // else it is dropped
    const deliverText = (data) => devtools.send('ServiceWorker.deliverPushMessage', { origin: site.url, registrationId, data });
    await fn({ context, page, deliverText, deliver: (row) => deliverText(JSON.stringify(row)) });
  } finally {
    await browser.close();
  }
}

test('push, Chromium: the worker shows what is pushed as the page does, and each row once', () => withChromium(async ({ page, deliver, deliverText }) => {
  await rememberSubscription(page);
  await page.goto(`${site.url}/blank.html`);
  const row = { id: '5', channel: 'a', event: 'alert', data: '{"title":"T","body":"B","tag":"t"}', created_at: 1 };
  await deliver(row);
  await until('it is shown', async () => (await shown(page)).length === 1);
  assert.deepEqual(await shown(page), [{ title: 'T', body: 'B', tag: 't', id: '5' }]);
  // A second time: closed by the person, it stays closed.
  await page.evaluate(async () => {
    const registration = await navigator.serviceWorker.getRegistration('/');
    (await registration.getNotifications()).forEach((one) => one.close());
  });
  await until('the closed one is gone', async () => (await shown(page)).length === 0);
  await deliver(row);
  await deliver({ ...row, id: '6', data: 'plain', event: 'message' });
  await until('the next is shown', async () => (await shown(page)).length > 0);
  assert.deepEqual(await shown(page), [{ title: 'a', body: 'plain', tag: 'rowcast--6', id: '6' }]);
  // What is no row is passed over.
  await deliverText('no JSON');
  await deliver({ ...row, id: '7', data: 'last', event: 'message' });
  await until('the last is shown', async () => (await shown(page)).length === 2);
}));

const pushed = (id, title) => (
  { id: String(id), channel: 'a', event: 'alert', data: JSON.stringify({ title }), created_at: 1 });

test('push, Chromium: two tabs are open while rows are pushed: each row is shown once in all', () => withChromium(async ({ context, page, deliver }) => {
  const pages = [page, await openAlerts(context)];
  const [worker] = context.serviceWorkers();
  await worker.evaluate(() => {
    self.shown = [];
    const { showNotification } = ServiceWorkerRegistration.prototype;
    ServiceWorkerRegistration.prototype.showNotification = function (title, options) {
      self.shown.push(options.data.id);
      return showNotification.call(this, title, options);
    };
  });
  const heard = (id) => until('both pages have it', async () => (await Promise.all(pages.map((one) => one.evaluate(
    (row) => window.heard.includes(row), String(id))))).every(Boolean));
  // Both learn that this browser has not subscribed; then another tab subscribes.
  const before = alertRow({ title: 'before' });
  await heard(before);
  await until('it is shown', async () => (await shown(page)).some(({ id }) => id === String(before)));
  await rememberSubscription(page);
  const ids = [String(before)];
  for (let n = 0; n < 12; n++) {
    const id = alertRow({ title: `row ${n}` });
    ids.push(String(id));
    if (n % 3 === 0)
      await heard(id);                // the push is late
    await deliver(pushed(id, `row ${n}`));
  }
  await heard(ids.at(-1));
  let all;
  await until(() => `every row is shown: ${all} of ${ids}`, async () => {
    const parts = [...await Promise.all(pages.map((one) => one.evaluate(() => window.shown.map(({ id }) => id)))),
      await worker.evaluate(() => self.shown)];
    all = parts.flat().sort((a, b) => a - b);
    return new Set(all).size === ids.length;
  });
  assert.deepEqual(all, ids);
}));

test('push, Chromium: a notification that came by push closes when its row is read elsewhere', () => withChromium(async ({ page, deliver }) => {
  await rememberSubscription(page);
  await page.goto(`${site.url}/blank.html`);
  const id = alertRow({ title: 'pushed' });
  await deliver(pushed(id, 'pushed'));
  await until('it is shown', async () => (await shown(page)).length === 1);
  await page.goto(`${site.url}/alerts.html`);
  await page.waitForFunction(() => window.ready);
  await page.evaluate(() => window.begin({}, { last: 5 }));
  site.insert({ channel: 'a', event: 'rowcast:read', data: JSON.stringify({ channel: 'a', id: String(id) }) });
  await until('it is closed', async () => (await shown(page)).length === 0);
}));

test('push, Firefox: the demo sends an alert to a browser whose page is closed', async () => {
  const demo = await DemoSite.start('--heartbeat', '1', '--push-host', service.origin);
  const sender = new Daemon(ROWCAST, ['push', '--db', demo.db, '--vapid-key-file', path.join(demo.dir, 'vapid.key'),
    '--subject', 'mailto:a@example.org', '--push-host', service.origin], path.join(folder, 'demo-push.log'));
  const hellos = service.hellos;
  const browser = await launchFirefox(service);
  try {
    await until('Firefox says hello', () => service.hellos > hellos);
    const page = await browser.newPage();
    await page.goto(`${demo.url}/demo.html?channel=numbers`);
    await page.waitForSelector('#state[data-state="open"]');
    await page.click('#push');
    await until('the demo is subscribed', () => page.evaluate(
      () => /^Close this page now/.test(document.getElementById('push-note').textContent)));
    await page.goto(`${demo.url}/blank.html`);
    await until('it is shown', async () => (await shown(page)).some(({ body }) => /the alert of 2 seconds ago/.test(body)));
    assert.match(demo.sql('SELECT channels, last_status FROM rowcast_push'), /^\["demo\.you\.[a-z0-9]+"\]\|201/);
  } finally {
    await browser.close();
    await sender.stop();
    await demo.close();
  }
});
