// rowcast-pages.mjs - pages as people have them: left and come back to, reloaded, in frames and pop-ups,
// with downloads, behind a service worker, over plain http. For each browser, behind lighttpd.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { goBack } from './browsers.mjs';
import { until } from './harness.mjs';

const BLANK = '/blank.html';
const datasOf = (page) => page.evaluate(() => window.got.map((text) => text.split(' ').slice(3).join(' ')));
const numbers = (...all) => all.map((n) => `number ${n}`);

// A page has got exactly these rows: whatever was to come twice or late comes before the marker.
async function hasExactly(it, page, expected) {
  it.insert(0, 0, { text: 'marker' });
  const wanted = [...expected, 'marker 0'];
  await until(async () => `${JSON.stringify(wanted)}, have ${JSON.stringify(await datasOf(page))}`,
    async () => (await datasOf(page)).at(-1) === 'marker 0' && (await datasOf(page)).length >= wanted.length);
  assert.deepEqual(await datasOf(page), wanted);
  it.site.sql(`DELETE FROM notification WHERE data = 'marker 0';`);
}

// --- left, and come back to -----------------------------------------------------------------------

export function leavingCases(name, it) {
  test(`${name}: a page in the back/forward cache has no stream, and gets what it missed when it comes back`,
    async () => {
    const page = await it.opened();
    await page.evaluate(() => addEventListener('pageshow', (event) => { window.persisted = event.persisted; }));
    it.insert(1, 2);
    await until('the rows are there', async () => (await datasOf(page)).length === 2);
    await page.goto(it.site.url + BLANK);
    await it.streams(0);
    it.insert(3, 4);
    await goBack(page, '/client.html');
    await it.state(page, 'open');
    // Firefox keeps no page with a request under way; the document is made anew, and goes on.
    const isKept = await page.evaluate(() => window.persisted) === true;
    assert.equal(isKept, it.browser.name === 'chromium');
    await hasExactly(it, page, isKept ? numbers(1, 2, 3, 4) : numbers(3, 4));
    await it.streams(1);
  });

  test(`${name}: two pages that link to each other, again and again: each loads, with one stream`, async () => {
    const page = await it.opened();
    for (let n = 1; n <= 8; n++) {
      const url = await page.evaluate((step) => {
        const next = new URL(location.href);
        next.searchParams.set('step', step);
        return next.href;
      }, n);
      await page.goto(url);
      await it.state(page, 'open');
    }
    await it.streams(1);
  });

  test(`${name}: the stream that a click on a download ends is there again soon`, async () => {
    fs.writeFileSync(path.join(it.site.pages, 'download.bin'), 'x');
    const page = await it.opened();
    const lost = () => page.evaluate(() => window.states.some(({ state }) => state === 'retrying'));
    await page.evaluate(() => {
      const link = document.createElement('a');
      link.href = 'download.bin';
      document.body.append(link);
      link.click();
    });
    if (it.browser.name === 'firefox')         // Chromium's goes on
      await until('the stream has ended', lost);
    it.insert(1, 2);
    await hasExactly(it, page, numbers(1, 2));
    await it.state(page, 'open');
  });

  test(`${name}: behind a service worker that passes requests on, rows come; where it cuts streams it polls`,
    async () => {
    fs.writeFileSync(path.join(it.site.pages, 'pass.js'), `
      addEventListener('install', () => skipWaiting());
      addEventListener('activate', (event) => event.waitUntil(clients.claim()));
      addEventListener('fetch', (event) => event.respondWith(fetch(event.request)));`);
    const page = await it.open({ timeouts: { upgrade: 600000, wait: 2000 } }, ['message'], { prelude: { listen: '' } });
    await page.evaluate(async () => {
      navigator.serviceWorker.register('pass.js');
      while (!navigator.serviceWorker.controller)
        await new Promise((resolve) => setTimeout(resolve, 10));
    });
    await page.evaluate(([channel, timeouts]) => window.listen({ channels: [channel], timeouts }),
      [it.channel, { retry: 100, retryMax: 400, upgrade: 600000, wait: 2000 }]);
    await it.state(page, 'open');
    if (it.browser.name === 'firefox')         // Chromium's driver keeps the worker alive
      await it.state(page, 'fallback');
    for (let n = 1; n <= 3; n++)
      it.insert(n);
    await hasExactly(it, page, numbers(1, 2, 3));
  });
}

// --- positions ------------------------------------------------------------------------------------

export function positionCases(name, it) {
  test(`${name}: a page with last: 3 shows three on reload, in another page, a pop-up, a frame and a second object`,
    async () => {
    it.insert(1, 5);
    const three = numbers(3, 4, 5);
    const shows = (page) => until(async () => `three rows, have ${JSON.stringify(await datasOf(page))}`,
      async () => (await datasOf(page)).length >= 3).then(async () => assert.deepEqual(await datasOf(page), three));
    const page = await it.opened({ last: 3 });
    await shows(page);
    await page.reload();
    await shows(page);
    await page.goto(`${await page.evaluate(() => location.href)}&other`);
    await shows(page);
    const inside = (open) => page.evaluate(async (how) => {
      const other = how === 'frame' ? document.body.appendChild(document.createElement('iframe'))
        : window.open('about:blank');
      other.src = location.href;
      const view = other.contentWindow ?? other;
      if (how === 'popup')
        view.location.href = location.href;
      while (!(view.got?.length >= 3))
        await new Promise((resolve) => setTimeout(resolve, 10));
      return view.got.map((text) => text.split(' ').slice(3).join(' '));
    }, open);
    assert.deepEqual(await inside('frame'), three);
    assert.deepEqual(await inside('popup'), three);
    await page.evaluate(() => {
      window.rows.close();
      window.got = [];
      const [options, types] = JSON.parse(new URLSearchParams(location.search).get('listen'));
      window.listen(options, types);
    });
    await shows(page);
  });

  test(`${name}: without last or since another page, and a second object, begin with what is new`, async () => {
    const page = await it.opened();
    it.insert(1, 2);
    await hasExactly(it, page, numbers(1, 2));
    await page.goto(it.site.url + BLANK);
    it.insert(3, 4);
    await page.goto(it.addressOf());
    await it.state(page, 'open');
    it.insert(5);
    await hasExactly(it, page, numbers(5));
  });

  test(`${name}: a frame that was away for two rows, and its page, have each row once`, async () => {
    const page = await it.open({}, ['message'], { prelude: { frame: '' } });
    await it.state(page, 'open');
    const frame = (fn) => page.evaluate(fn);
    const frameHas = (expected) => until('the frame has all', async () => {
      const have = await frame(() => window.frames[0].got?.map((text) => text.split(' ').slice(3).join(' ')) ?? []);
      if (have.length >= expected.length)
        assert.deepEqual(have, expected);
      return have.length >= expected.length;
    });
    await until('the frame is open', () => frame(() => window.frames[0].rows?.state === 'open'));
    it.insert(1, 2);
    await frameHas(numbers(1, 2));
    await frame(() => { document.querySelector('iframe').contentWindow.location.href = 'blank.html'; });
    await until('the frame is away', () => frame(() => window.frames[0].location.pathname === '/blank.html'));
    it.insert(3, 4);
    await until('the page has all', async () => (await datasOf(page)).length === 4);
    await frame(() => { document.querySelector('iframe').contentWindow.history.back(); });
    await until('the frame is back', () => frame(() => window.frames[0].rows?.state === 'open'));
    it.insert(5);
    // Firefox or Chromium may have kept the frame's document, or made it anew.
    await until('the frame has the last row', () => frame(() => window.frames[0].got?.at(-1)?.endsWith('number 5')));
    const have = await frame(() => window.frames[0].got.map((text) => text.split(' ').slice(3).join(' ')));
    assert.deepEqual(have.slice(-3), numbers(3, 4, 5));
    await hasExactly(it, page, numbers(1, 2, 3, 4, 5));
  });
}

// --- many channels, plain http ----------------------------------------------------------------------

export function plainCases(name, it) {
  test(`${name}: over plain http eight tabs share a stream; the leader may go, and no tab hangs`, async () => {
    const origin = it.site.url.replace('127.0.0.1', 'plain.test');
    const pages = [];
    for (let n = 0; n < 8; n++)
      pages.push(await it.opened({}, ['message'], { origin }));
    assert.equal(await pages[0].evaluate(() => window.isSecureContext || 'locks' in navigator), false);
    await it.streams(1);
    it.insert(1, 3);
    await it.complete(pages);
    // Of eight, so that the one that leads is among them.
    for (let n = 0; n < 7; n++) {
      it.insert(10 * n, 10 * n + 1);
      await pages.shift().close();
      it.insert(10 * n + 2, 10 * n + 3);
    }
    await it.complete(pages);
    await it.streams(1);
  });
}
