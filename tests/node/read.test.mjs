// read.test.mjs - read marks in a real Chromium behind a real lighttpd: alerts.unread for a bell,
// notifications and toasts that go when the row was read elsewhere, and the pure part.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Unread, markIn } from '../../web/alerts.js';
import { ROWCAST, Site, launchChromium, until } from './harness.mjs';

const MANY = { flood: { most: 1000, ms: 1000 } };

let dir;
let key;
let site;
let browser;

before(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'rowcast-key-'));
  key = path.join(dir, 'key');
  fs.writeFileSync(key, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
  site = await Site.start('--heartbeat', '1', '--retry', '200', '--ticket-key-file', key);
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await site?.close();
  fs.rmSync(dir, { recursive: true });
});

const sign = (user) => execFileSync(ROWCAST, ['ticket', '--key-file', key, '--sub', user], { encoding: 'utf8' }).trim();

// A page of the user's, in a browser of its own as on another device.
async function openFor(user, permissions, reading = {}) {
  const context = await browser.newContext();
  await context.grantPermissions(permissions, { origin: site.url });
  const page = await context.newPage();
  await page.goto(`${site.url}/alerts.html`);
  await page.waitForFunction(() => window.ready);
  await page.evaluate(([options, given]) => window.begin(options, given), [MANY, { ticket: sign(user), ...reading }]);
  return page;
}

const alertRow = (title, channel = 'a') => site.insert({ channel, event: 'alert', data: JSON.stringify({ title }) });
const unread = (page) => page.evaluate(() => window.alerts.unread);
const unreadUntil = (page, count) => until(`${count} are not read`, async () => await unread(page) === count);
const raised = (page) => page.evaluate(async () => {
  const registration = await navigator.serviceWorker.getRegistration();
  return (await registration?.getNotifications() ?? []).map(({ title }) => title).sort();
});

test('read: marks count what came after them in their channel, once', () => {
  const rows = new Unread();
  assert.deepEqual([rows.add('5', 'a'), rows.add('5', 'a'), rows.add('6', 'a'), rows.add('7', 'b')],
    [true, false, true, true]);
  assert.equal(rows.size, 3);
  assert.deepEqual(rows.newest(), [['6', 'a'], ['7', 'b']]);
  assert.equal(rows.mark('a', '5'), true);
  assert.equal(rows.mark('a', '5'), false);
  assert.equal(rows.mark('a', '4'), false);
  assert.deepEqual([rows.size, rows.isRead('5', 'a'), rows.isRead('6', 'a'), rows.isRead('5', 'b')],
    [2, true, false, false]);
  assert.equal(rows.add('4', 'a'), false);
  assert.equal(rows.channelOf('4'), 'a');
  for (let id = 10; id < 2000; id++)
    rows.add(String(id), 'c');
  assert.equal(rows.size, 1000);
});

test('read: only what a mark looks like is one', () => {
  assert.deepEqual(markIn('{"channel":"a","id":"7"}'), { channel: 'a', id: '7' });
  for (const bad of ['', 'null', '7', '{"channel":"a"}', '{"id":"7"}', '{"channel":1,"id":"7"}',
    '{"channel":"a","id":"x"}'])
    assert.equal(markIn(bad), null);
});

test('read: what is read on one device is read on the other: the bell, and the notification', async () => {
  const desk = await openFor('ann', ['notifications']);
  const phone = await openFor('ann', ['notifications']);
  const other = await openFor('bob', ['notifications']);
  const first = alertRow('one');
  alertRow('two');
  for (const page of [desk, phone, other]) {
    await unreadUntil(page, 2);
    await page.waitForFunction(() => window.shown.length === 2);
  }
  await desk.evaluate((id) => window.alerts.read(id), first);
  for (const page of [desk, phone]) {
    await unreadUntil(page, 1);
    await until('the notification of what was read is closed', async () => (await raised(page)).join() === 'two');
  }
  assert.equal(await unread(other), 2);
  assert.deepEqual(await raised(other), ['one', 'two']);
  await phone.evaluate(() => window.alerts.read());
  for (const page of [desk, phone]) {
    await unreadUntil(page, 0);
    await until('no notification is left', async () => (await raised(page)).length === 0);
  }
});

test('read: a toast goes, too, and a listener hears of each change', async () => {
  const page = await openFor('cat', []);
  await page.evaluate(() => {
    window.counts = [];
    window.alerts.addEventListener('unread', () => window.counts.push(window.alerts.unread));
  });
  alertRow('toast');
  await page.waitForSelector('#toasts .toast');
  await page.evaluate(() => window.alerts.read());
  await page.waitForFunction(() => document.querySelector('#toasts .toast') === null);
  assert.deepEqual(await page.evaluate(() => window.counts), [1, 0]);
});

test('read: a page that comes later counts what history has brought, without what was read', async () => {
  const first = await openFor('dan', []);
  const read = alertRow('read');
  await unreadUntil(first, 1);
  await first.evaluate(() => window.alerts.read());
  alertRow('news');
  const late = await openFor('dan', [], { since: String(Number(read) - 1) });
  await unreadUntil(late, 1);
  assert.deepEqual(await late.evaluate(() => window.shown), []);
});

test('read: listeners of * do not get marks, and a reader without a name gets a 403', async () => {
  const page = await openFor('eve', []);
  await page.evaluate(() => {
    window.all = [];
    window.rows.on('*', (event) => window.all.push(event.type));
    window.marks = [];
    window.rows.on('rowcast:read', (event) => window.marks.push(event.json()));
  });
  const id = alertRow('one');
  await unreadUntil(page, 1);
  assert.deepEqual(await page.evaluate((row) => window.rows.read(row), id), { channel: 'a', id });
  await page.waitForFunction(() => window.marks.length === 1);
  assert.deepEqual(await page.evaluate(() => [window.all, window.marks]), [['alert'], [{ channel: 'a', id }]]);
  const nobody = await openFor('nobody', [], { ticket: null });
  assert.match(await nobody.evaluate((row) => window.rows.read(row).catch((error) => error.message), id),
    /^403 only a user with a name/);
});
