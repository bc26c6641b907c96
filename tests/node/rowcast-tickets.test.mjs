// rowcast-tickets.test.mjs - rowcast.js with signed tickets: each transport, as they expire; by
// function, string and cookie.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { ROWCAST, until } from './harness.mjs';
import { QUICK, lastCase, stage } from './rowcast-cases.mjs';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'rowcast-key-'));
const key = path.join(dir, 'key');
fs.writeFileSync(key, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
after(() => fs.rmSync(dir, { recursive: true }));

const it = stage('chromium', 'lighttpd', '--ticket-key-file', key, '--require-ticket',
  '--cors-origin', '*');

const sign = (...args) => execFileSync(ROWCAST, ['ticket', '--key-file', key, ...args], { encoding: 'utf8' }).trim();
// What the page's function gets, the next time that it asks.
const offer = (text) => fs.writeFileSync(path.join(it.site.pages, 'ticket.txt'), text);
const asked = (page) => page.evaluate(() => window.asked);
const openWithFunction = (options) => it.open(options, ['message'], { prelude: { ticket: '/ticket.txt' } });
const inCookie = (page, ticket) => page.evaluate((value) => { document.cookie = `rowcast_ticket=${value}`; }, ticket);
const errors = (page) => page.evaluate(() => window.states.map((state) => state.error).filter(Boolean));

// A ticket that expires soon, and yet not before a page on this machine has opened with it. opening: how
// long one has just taken, in milliseconds.
const signBrief = (opening, times = 1) =>
  sign('--sub', 'ann', '--expires', `${times * (5 + Math.ceil(opening / 300))}s`);

// Rows for ann only: they show that the ticket has reached the server.
const insertForAnn = (first, last) => it.site.sql(`WITH RECURSIVE n(i) AS (SELECT ${first} UNION ALL SELECT i + 1 FROM n
  WHERE i < ${last}) INSERT INTO notification(channel, recipient, data) SELECT '${it.channel}', 'ann', 'number ' || i FROM n;`);

test('tickets: when one expires the function is asked again, by each transport; nothing is missed or doubled',
  async () => {
  for (const transport of ['fetch', 'poll']) {
    offer(sign('--sub', 'ann', '--expires', '3s'));
    // A machine that is slow may use the ticket too late: a refusal, after which it asks again.
    await openWithFunction({ transports: [transport], share: transport, since: 'all', timeouts: { refused: 300 } });
    await until('the function is asked', async () => await asked(it.pages.at(-1)) > 0);
  }
  offer(sign('--sub', 'ann'));
  insertForAnn(1, 5);
  await it.complete(it.pages);
  // Each has had a short one first.
  for (const page of it.pages)
    await until('the function is asked again', async () => await asked(page) > 1);
  insertForAnn(6, 9);
  await it.complete(it.pages);
  for (const page of it.pages)
    await it.state(page, 'open', 'fallback');
});

test('tickets: tabs with a function share under a name; the next leader asks its own', async () => {
  offer(sign('--sub', 'ann'));
  for (let n = 0; n < 3; n++)
    await openWithFunction({ share: 'ann' });
  for (const page of it.pages)
    await it.state(page, 'open');
  await it.streams(1);
  insertForAnn(1, 5);
  await it.complete(it.pages);
  const leader = await it.leader(it.pages);
  await leader.close();
  it.pages.splice(it.pages.indexOf(leader), 1);
  insertForAnn(6, 9);
  await it.complete(it.pages);
  // Without a name a function's tabs share nothing.
  await it.state(await openWithFunction(), 'open');
  await it.streams(2);
});

test('tickets: a function that throws, hangs or gives nothing is an error, and is called again', async () => {
  const page = await it.open({ storage: null }, ['message'], { prelude: { listen: '' } });
  await page.evaluate(([channels, timeouts]) => {
    const calls = [
      () => { throw new Error('no session'); },
      () => Promise.reject(new Error('not yet')),
      () => new Promise(() => {}),
      () => undefined,
    ];
    const ticket = () => (calls.length > 0 ? calls.shift()() : fetch('/ticket.txt').then((answer) => answer.text()));
    window.listen({ channels, timeouts, ticket });
  }, [[it.channel], { retry: 50, retryMax: 50, request: 1000 }]);
  await it.state(page, 'open');
  const texts = (await errors(page)).map((error) => error.message);
  assert.deepEqual(texts, ['no ticket: no session', 'no ticket: not yet', 'no ticket: ticket: no answer in 1000 ms',
    'no ticket: the function gave undefined, not a string']);
  insertForAnn(1, 3);
  await it.complete([page]);
});

test('tickets: tabs share with the same string only; one that expires is a refusal', async () => {
  const brief = [await it.open({}, [], { prelude: { listen: '' } }),
    await it.open({}, [], { prelude: { listen: '' } })];
  const started = performance.now();
  const long = await it.opened({ ticket: sign('--sub', 'ann') });
  const ticket = signBrief(performance.now() - started);
  const options = { channels: [it.channel], ticket, timeouts: QUICK };
  await Promise.all(brief.map((page) => page.evaluate((given) => window.listen(given), options)));
  for (const page of brief)
    await it.state(page, 'open');
  await it.streams(2);
  insertForAnn(1, 3);
  await it.complete(it.pages);
  for (const page of brief) {
    await until('it is refused', async () => (await errors(page)).at(-1)?.refused);
    const error = (await errors(page)).at(-1);
    assert.equal(error.status, 401);
    assert.match(error.message, /expired/);
  }
  await it.complete([long]);
  await it.streams(1);
});

test('tickets: in a cookie, with one stream for all tabs; renewed in time the page does not notice, else 401',
  async () => {
  const started = performance.now();
  const blank = await it.context.newPage(`${it.site.url}/blank.html`);
  const pages = [await it.open({}, [], { prelude: { listen: '' } }),
    await it.open({}, [], { prelude: { listen: '' } })];
  const opening = performance.now() - started;
  await inCookie(blank, signBrief(opening));
  const options = { channels: [it.channel], share: 'ann', timeouts: QUICK };
  await Promise.all(pages.map((page) => page.evaluate((given) => window.listen(given), options)));
  for (const page of pages)
    await it.state(page, 'open');
  insertForAnn(1, 3);
  await it.complete(pages);
  await inCookie(blank, signBrief(opening, 2));   // the first one's time, and then as long again
  await until('the first stream has ended', async () => (await Promise.all(pages.map((page) => page.evaluate(
    () => window.states.some((state) => state.state === 'retrying'))))).every(Boolean));
  insertForAnn(4, 9);
  await it.complete(pages);
  await it.streams(1);
  for (const page of pages)
    await until('401 is told', async () => (await errors(page)).some((error) => error.refused && error.status === 401));
  insertForAnn(10, 12);
  // A person logs in anew and comes back to the tab.
  await inCookie(blank, sign('--sub', 'ann'));
  for (const page of pages)
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await it.complete(pages);
  await it.streams(1);
});

test('tickets: a page of another origin reads with one; no address has it', async () => {
  const page = await it.open({}, ['message'],
    { origin: it.site.url.replace('127.0.0.1', 'plain.test'), prelude: { listen: '' } });
  await page.evaluate(([channels, ticket, url, timeouts]) =>
    window.listen({ channels, ticket, timeouts }, ['message'], url),
    [[it.channel], sign('--sub', 'ann'), it.site.events(), QUICK]);
  await it.state(page, 'open');
  insertForAnn(1, 3);
  await it.complete([page]);
  const addresses = await page.evaluate(() => performance.getEntriesByType('resource').map((one) => one.name));
  assert.ok(addresses.some((one) => one.startsWith(it.site.events())));
  assert.deepEqual(addresses.filter((one) => /ticket=/.test(one)), []);
});

lastCase('tickets', it);
