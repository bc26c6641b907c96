// demo.test.mjs - the demo page's parts in a real Chromium through a real lighttpd: ticker, job, answer,
// rows for one person, cut and resume; and that it can be used on a phone, by keyboard and by ear.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { lowContrasts } from './browsers.mjs';
import { DemoSite, insertNumbered, launch, listed, listedUntil, openDemo, settled, state } from './demo-site.mjs';
import { until, fetchAlone } from './harness.mjs';

const PHONE = { width: 390, height: 844 };

let site;
let browser;
let context;
let faults;

before(async () => {
  site = await DemoSite.start('--heartbeat', '1', '--retry', '200');
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await site?.close();
});
beforeEach(() => { faults = []; });
afterEach(async () => {
  await context.close();
  // The page starts with the newest rows of these.
  site.sql("DELETE FROM notification WHERE channel GLOB 'demo.*' OR channel = 'private';");
  assert.deepEqual(faults, []);
});

async function openPage(query, options = {}) {
  context = await browser.newContext(options);
  return openDemo(context, site, faults, query);
}

const insert = (channel, event, data, more = {}) =>
  site.insert({ channel, event, data: JSON.stringify(data), ...more });
const text = (page, selector) => page.locator(selector).textContent();

// --- the widgets -----------------------------------------------------------------------------------

const tick = (symbol, price, n) => insert('demo.ticker', 'tick', { symbol, price, n }, { collapse_key: symbol });

test('demo: the ticker draws prices, and the chart moves', async () => {
  const page = await openPage();
  assert.equal(await page.isVisible('#ticker-empty'), true);
  await page.getByRole('radio', { name: 'every price' }).check();
  const points = () => page.$$eval('#chart-lines polyline', (lines) => lines.map((line) => line.getAttribute('points')));
  tick('Apples', 100, 1);
  tick('Pears', 101, 1);
  await until('two lines', async () => (await points()).length === 2);
  const first = await points();
  tick('Apples', 103.5, 2);
  await page.locator('#legend li', { hasText: 'Apples' }).locator('.price', { hasText: '103.50' }).waitFor();
  await until('the chart has moved', async () => (await points())[0] !== first[0]);
  assert.equal(await text(page, '#legend li:first-child .change'), '▲ 3.5 %');
  assert.match(await text(page, '#ticks-count'), /^3 prices inserted, 3 received, 0 left out/);
});

test('demo: throttled, prices for which newer ones are there are left out, and the page counts them', async () => {
  const page = await openPage();
  assert.equal(await page.getByRole('radio', { name: 'every 1 s' }).isChecked(), true);
  tick('Apples', 100, 1);
  await page.locator('#legend li').waitFor();
  site.sql(`BEGIN; WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
    INSERT INTO notification(channel, event, data, collapse_key) SELECT 'demo.ticker', 'tick',
    json_object('symbol', 'Apples', 'price', 100 + i, 'n', i), 'Apples' FROM n; COMMIT;`);
  await page.locator('#legend .price', { hasText: '140.00' }).waitFor();
  await until('the count', async () => (await text(page, '#ticks-count')).startsWith('40 prices inserted'));
  const [, received, leftOut] = /(\d+) received, (\d+) left out/.exec(await text(page, '#ticks-count'));
  assert.ok(Number(leftOut) > 0 && Number(received) + Number(leftOut) === 40, `${received} ${leftOut}`);
});

test('demo: a table that two tabs edit is the same in both, and as another program has left it', async () => {
  const pages = [await openPage('?channel=numbers'), await openDemo(context, site, faults, '?channel=numbers')];
  const shows = async (...lines) => {
    for (const page of pages) {
      await until(() => `the list is ${lines}`, async () => (await page.$$eval('#table-list li', (items) => items.map(
        (item) => (item.querySelector('input').checked ? '+' : '-')
          + item.querySelector('span').textContent))).join() === lines.join());
    }
  };
  const enter = async (page, words) => {
    await page.getByLabel('To buy').fill(words);
    await page.getByLabel('To buy').press('Enter');
  };
  await enter(pages[0], '<b>Milk</b>');
  await shows('-<b>Milk</b>');
  await enter(pages[1], 'Tea');
  await shows('-<b>Milk</b>', '-Tea');
  await pages[1].getByRole('checkbox', { name: 'Milk' }).check();
  await shows('+<b>Milk</b>', '-Tea');
  site.sql("UPDATE shopping SET text = 'Green tea' WHERE text = 'Tea'");
  await shows('+<b>Milk</b>', '-Green tea');
  await pages[0].click('#cut');
  site.sql("INSERT INTO shopping(text) VALUES ('Rice')");
  await pages[0].click('#cut');
  await shows('+<b>Milk</b>', '-Green tea', '-Rice');
  await pages[0].getByRole('button', { name: 'Remove <b>Milk</b>' }).click();
  await shows('-Green tea', '-Rice');
  site.sql('DELETE FROM shopping');
  await shows();
  const foreign = await fetchAlone(`${site.url}/demo-table.py`, { method: 'POST', body: 'text=x', headers: { 'Sec-Fetch-Site': 'cross-site' } });
  assert.equal(foreign.status, 403);
});

test('demo: rows that make no sense to the widgets do them no harm', async () => {
  const page = await openPage();
  for (const data of ['', 'x', 'null', '[]', '7', '{"symbol":7}', '{"job":{},"done":"x","of":-1}', '{"answer":{"a":1},"n":"x","text":{}}']) {
    for (const [channel, event] of [['demo.ticker', 'tick'], ['demo.job', 'progress'], ['demo.job', 'done'],
      ['demo.answer', 'question'], ['demo.answer', 'token'], ['demo.answer', 'end']])
      site.insert({ channel, event, data });
  }
  insert('demo.job', 'progress', { job: '<b>Import</b>', done: 1, of: 4, step: '<img src=x onerror=alert(1)>' });
  await page.locator('#job-count', { hasText: '1 of 4' }).waitFor();
  assert.equal(await text(page, '#job-name'), '<b>Import</b>');
  assert.equal(await page.locator(':is(#job-name, #job-step) *').count(), 0);
});

test('demo: the progress bar goes on and reaches its end', async () => {
  const page = await openPage();
  const bar = page.getByRole('progressbar', { name: 'Import 7' });
  const part = () => bar.evaluate((one) => one.value / one.max);
  for (const done of [30, 60, 120]) {
    insert('demo.job', 'progress', { job: 'Import 7', done, of: 120, step: 'Reading' }, { collapse_key: 'Import 7' });
    await page.locator('#job-count', { hasText: `${done} of 120` }).waitFor();
    assert.equal(await part(), done / 120);
  }
  insert('demo.job', 'done', { job: 'Import 7' });
  await page.locator('#job[data-done="true"]').waitFor();
  assert.equal(await part(), 1);
  await page.locator('#announce', { hasText: 'Import 7: done.' }).waitFor();
});

function answerRows(id, words) {
  const rows = [['question', { answer: id, text: 'Why?' }],
    ...words.map((word, n) => ['token', { answer: id, n: n + 1, text: `${word} ` }]),
    ['end', { answer: id, words: words.length }]];
  const values = rows.map(([event, data]) => `('demo.answer', '${event}', '${JSON.stringify(data)}')`);
  site.sql(`INSERT INTO notification(channel, event, data) VALUES ${values.join(', ')};`);
}

test('demo: an answer comes word by word, whole and in order, and is read out once at its end', async () => {
  const page = await openPage();
  const words = Array.from({ length: 60 }, (_, n) => `word${n + 1}`);
  answerRows('a', words);
  await page.locator('#answer[data-done="true"]').waitFor();
  assert.equal((await text(page, '#answer-text')).trim(), words.join(' '));
  assert.equal(await text(page, '#answer-note'), '60 rows, all there, in order');
  await page.locator('#announce', { hasText: 'word1 word2' }).waitFor();
  insert('demo.answer', 'question', { answer: 'b', text: 'And <i>then</i>?' });
  await page.locator('#question', { hasText: 'And <i>then</i>?' }).waitFor();
  assert.equal(await text(page, '#answer-text'), '');
});

test('demo: a page that is opened after an answer has it', async () => {
  answerRows('a', ['all', 'of', 'it']);
  const page = await openPage();
  await page.locator('#answer-note', { hasText: '3 rows, all there, in order' }).waitFor();
});

// --- for one person --------------------------------------------------------------------------------

async function logIn(page, user, password) {
  await page.fill('#user', user);
  await page.fill('#password', password);
  await page.press('#password', 'Enter');
}

test('demo: private rows come only after the login, and only one\'s own', async () => {
  const page = await openPage();
  insert('private', 'note', { title: 'Ann', body: 'before' }, { recipient: 'ann' });
  await settled(page, site);
  await logIn(page, 'ann', 'wrong');
  await page.locator('#private-error', { hasText: 'not the name and the password' }).waitFor();
  assert.equal(await page.isVisible('#private'), false);
  await logIn(page, 'ann', 'sesame');
  await page.locator('#private-user', { hasText: 'ann' }).waitFor();
  assert.equal(await page.inputValue('#password'), '');
  await until('ann is there', () => /open .*user=ann/.test(fs.readFileSync(site.rowcast.log, 'utf8')));
  insert('private', 'note', { title: 'Bob', body: 'not for ann' }, { recipient: 'bob' });
  insert('private', 'note', { title: 'Ann', body: 'for ann' }, { recipient: 'ann' });
  await page.locator('#private-list li', { hasText: 'for ann' }).waitFor();
  await page.locator('.toast', { hasText: 'for ann' }).waitFor();
  assert.deepEqual(await page.locator('#private-list li span').allTextContents(), ['for ann', 'before']);
  await settled(page, site);
  assert.doesNotMatch(JSON.stringify(await listed(page)), /for ann|before/);
  await page.getByRole('button', { name: 'Leave' }).click();
  assert.equal(await page.isVisible('#private-form'), true);
  assert.equal(await page.locator('#private-list li').count(), 0);
});

const bell = (page, count) => page.locator('#bell:not([hidden]) #bell-count', { hasText: new RegExp(`^${count}$`) }).waitFor();

test('demo: the bell counts what a person has not read, over a cut, and one click reads it on all pages', async () => {
  insert('private', 'note', { title: 'Ann', body: 'before the login' }, { recipient: 'ann' });
  const pages = [await openPage('?channel=numbers'), await openDemo(context, site, faults, '?channel=numbers')];
  assert.equal(await pages[0].isVisible('#bell'), false);
  for (const page of pages) {
    await logIn(page, 'ann', 'sesame');
    await bell(page, 1);
  }
  insert('private', 'note', { title: 'Ann', body: 'two' }, { recipient: 'ann' });
  await bell(pages[0], 2);
  await pages[0].click('#cut');
  insert('private', 'note', { title: 'Ann', body: 'three' }, { recipient: 'ann' });
  await pages[0].click('#cut');
  await bell(pages[0], 3);
  await pages[1].getByRole('button', { name: 'alerts for you' }).click();
  for (const page of pages)
    await bell(page, 0);
  assert.match(site.sql('SELECT user, channel FROM rowcast_read'), /ann\|private/);
  insert('private', 'note', { title: 'Ann', body: 'four' }, { recipient: 'ann' });
  await bell(pages[0], 1);
});

// --- who is here -----------------------------------------------------------------------------------

const member = (page, name) => page.locator('#people li', { hasText: name });
const isSaid = (page, name, words) => member(page, name).locator('small', { hasText: words }).waitFor();

test('demo: who is here is said; thrown out, a member has no stream and no login until let in again', async () => {
  const ann = await openPage('?channel=numbers');
  const other = await openDemo(await browser.newContext(), site, faults, '?channel=numbers');
  try {
    await isSaid(other, 'Ann Archer', 'not here');
    await logIn(ann, 'ann', 'sesame');
    await isSaid(other, 'Ann Archer', /^here/);
    await isSaid(other, 'Bob Baker', 'not here');
    assert.match(await other.locator('#people-nameless').textContent(), /^Without a login: [1-9]/);
    await other.getByRole('button', { name: 'Throw ann out' }).click();
    await ann.locator('#private-error', { hasText: 'thrown out' }).waitFor();
    await isSaid(other, 'Ann Archer', 'not here; the login is blocked');
    await logIn(ann, 'ann', 'sesame');
    await ann.locator('#private-error', { hasText: 'not the name and the password' }).waitFor();
    await other.getByRole('button', { name: 'Let ann in' }).click();
    await other.getByRole('button', { name: 'Throw ann out' }).waitFor();
    await logIn(ann, 'ann', 'sesame');
    await isSaid(other, 'Ann Archer', 'here');
    await ann.getByRole('button', { name: 'Leave' }).click();
    await isSaid(other, 'Ann Archer', 'not here');      // after the grace
  } finally {
    await other.context().close();
  }
});

test('demo: a stream that another program has open ends when its user is thrown out', async () => {
  const page = await openPage('?channel=numbers');
  const stream = await fetchAlone(`${site.url}/private/events`, { headers: { Authorization: `Basic ${btoa('bob:sesame')}` } });
  assert.equal(stream.status, 200);
  await isSaid(page, 'Bob Baker', 'here');
  await page.getByRole('button', { name: 'Throw bob out' }).click();
  assert.match(await stream.text(), /: revoked/);
  await page.getByRole('button', { name: 'Let bob in' }).click();
  await page.getByRole('button', { name: 'Throw bob out' }).waitFor();
});

test('demo: the application takes forms of its own page only, and of its members', async () => {
  await openPage();
  const post = async (name, body, headers = {}) => (await fetchAlone(`${site.url}/${name}`, { method: 'POST', body, headers })).status;
  assert.equal(await post('demo-people.py', 'out=ann', { 'Sec-Fetch-Site': 'cross-site' }), 403);
  assert.equal(await post('demo-people.py', 'out=root'), 400);
  assert.equal(await post('demo-people.py', 'off=ann'), 400);
  assert.equal(await post('demo-people.py', 'out=ann&in=ann'), 400);
  assert.equal(await post('demo-later.py', 'channel=demo.you.abcdefgh', { 'Sec-Fetch-Site': 'cross-site' }), 403);
  assert.equal(await post('demo-later.py', 'channel=orders'), 400);
  assert.deepEqual(fs.readFileSync(`${site.dir}/users`, 'utf8').split('\n').sort(), ['', 'ann:sesame', 'bob:sesame']);
});

// --- with the page closed --------------------------------------------------------------------------

test('demo: an alert in some seconds: without a push service the page says why, and the alert comes to it', async () => {
  const page = await openPage('?channel=numbers');
  await context.grantPermissions(['notifications'], { origin: site.url });
  await page.evaluate(() => {
    window.shown = [];
    const { showNotification } = ServiceWorkerRegistration.prototype;
    ServiceWorkerRegistration.prototype.showNotification = async function (title, options) {
      await showNotification.call(this, title, options);
      window.shown.push(options.body);
    };
  });
  await page.getByRole('button', { name: 'Close this page' }).click();
  await page.locator('#push-note', { hasText: /needs a network: .*leave the page open: the alert comes here in \d s/ }).waitFor();
  await page.locator('#push-note', { hasText: 'The alert has come.' }).waitFor();
  await page.waitForFunction(() => window.shown.some((body) => /the alert of 2 seconds ago/.test(body)));
});

test('demo: an alert in some seconds: where notifications are blocked the page says so', async () => {
  const page = await openPage('?channel=numbers');
  await page.getByRole('button', { name: 'Close this page' }).click();
  await page.locator('#push-note', { hasText: 'Notifications are not allowed' }).waitFor();
  await page.locator('.toast', { hasText: 'the alert of 2 seconds ago' }).waitFor();
});

// --- cut and resume ---------------------------------------------------------------------------------

test('demo: cut and connected again, what was inserted meanwhile comes once, in order', async () => {
  const page = await openPage();
  const ids = insertNumbered(site, 1, 3);
  await listedUntil(page, 3);
  await page.getByRole('button', { name: 'Cut the connection' }).click();
  await state(page, 'cut');
  await until('no reader is left', () => site.connections() === 0);
  ids.push(...insertNumbered(site, 4, 25));
  assert.equal((await listed(page)).length, 3);
  await page.getByRole('button', { name: 'Connect again' }).click();
  await page.locator('#cut-note', { hasText: '22 rows came after: each once, in order.' }).waitFor();
  const last = await settled(page, site);
  assert.deepEqual((await listed(page)).map((item) => item.id), [...ids, last]);
  await page.getByRole('button', { name: 'Cut the connection' }).waitFor();
});

test('demo: the widgets go on where they were when it was cut', async () => {
  const page = await openPage();
  insert('demo.answer', 'question', { answer: 'a', text: 'Cut?' });
  insert('demo.answer', 'token', { answer: 'a', n: 1, text: 'one ' });
  await page.locator('#answer-note', { hasText: '1 row' }).waitFor();
  await page.click('#cut');
  insert('demo.answer', 'token', { answer: 'a', n: 2, text: 'two' });
  insert('demo.answer', 'end', { answer: 'a', words: 2 });
  await page.click('#cut');
  await page.locator('#answer-note', { hasText: '2 rows, all there, in order' }).waitFor();
  assert.equal(await text(page, '#answer-text'), 'one two');
  await page.locator('#cut-note', { hasText: '2 rows came after: each once, in order.' }).waitFor();
});

// --- for everybody ------------------------------------------------------------------------------------

// Fills every part, so that all of it is there to look at.
async function fill(page, rows = 3) {
  tick('Apples', 100, 1);
  tick('Pears', 99, 1);
  tick('Pears', 98, 2);
  insert('demo.job', 'progress', { job: 'Import 7', done: 30, of: 120, step: 'Reading' });
  answerRows('a', ['whole', 'answer']);
  site.insert({ channel: 'x'.repeat(200), event: 'y'.repeat(100), data: 'z'.repeat(500) });
  site.insert({ channel: 'orders', event: 'alert', data: '' });
  insert('orders', 'order', { title: 'Order 7', body: 'is paid', url: '/order/7' });
  await listedUntil(page, rows);
  await page.locator('#job').waitFor();
  await page.locator('#answer-note', { hasText: 'all there' }).waitFor();
  await page.locator('#legend li', { hasText: '98.00' }).waitFor();
  await page.locator('.toast').first().waitFor();
}

test('demo: at a phone\'s width nothing scrolls sideways, and what is pressed is large enough', async () => {
  const page = await openPage('', { viewport: PHONE });
  await page.fill('#others', '*');
  await page.press('#others', 'Enter');
  await state(page, 'open');
  await fill(page);
  for (const width of [390, 320]) {
    await page.setViewportSize({ width, height: 844 });
    const wide = await page.evaluate(() => [document.documentElement.scrollWidth,
      [...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1
        && !one.closest('svg')).map((one) => one.outerHTML.slice(0, 80))]);
    assert.deepEqual(wide, [width, []]);
  }
  // WCAG 2.2, 2.5.8: 24 by 24 pixels.
  const small = await page.$$eval('button, .choice label, input:not([type=checkbox]):not([type=radio])', (all) => all
    .filter((one) => one.offsetParent !== null).map((one) => [one.textContent || one.id, one.getBoundingClientRect()])
    .filter(([, box]) => box.width < 24 || box.height < 24).map(([name]) => name));
  assert.deepEqual(small, []);
});

for (const colorScheme of ['light', 'dark']) {
  test(`demo: every text has enough contrast, ${colorScheme}; nothing moves where that is wished`, async () => {
    const page = await openPage('', { colorScheme, reducedMotion: 'reduce' });
    await page.fill('#others', '*');
    await page.press('#others', 'Enter');
    await state(page, 'open');
    await fill(page);
    assert.deepEqual(await page.evaluate(lowContrasts), []);
    assert.deepEqual(await page.evaluate(() => document.getAnimations().length), 0);
    await page.click('#cut');
    await state(page, 'cut');
    assert.deepEqual(await page.evaluate(lowContrasts), []);
  });
}

test('demo: every part has a name and a role, and nothing that changes fast is read out', async () => {
  const page = await openPage();
  await fill(page);
  for (const name of ['Prices', /^Events/, 'Try it', 'Cut and resume', 'Alerts', 'Word by word', 'A long job', 'For one person',
    'Who is here', 'With the page closed'])
    assert.equal(await page.getByRole('region', { name, exact: true }).count() > 0, true, String(name));
  for (const [role, name] of [['progressbar', 'Import 7'], ['group', 'Channels'], ['group', 'Send to this page'],
    ['textbox', 'Others'], ['textbox', 'Name'], ['textbox', 'Password'], ['checkbox', 'orders'], ['list', 'Prices'],
    ['img', 'Prices of the last minute'], ['button', 'Copy the sqlite3 line'], ['heading', 'rowcast']])
    assert.equal(await page.getByRole(role, { name }).count() > 0, true, `${role} ${name}`);
  const nameless = await page.$$eval('button, input, a', (all) => all.filter((one) => !(one.textContent.trim()
    || one.getAttribute('aria-label') || one.labels?.length)).map((one) => one.outerHTML));
  assert.deepEqual(nameless, []);
  const live = await page.$$eval('[aria-live], [role=status], [role=alert]', (all) => all.map((one) => one.id).sort());
  assert.deepEqual(live, ['alerts-note', 'announce', 'none-ticked', 'people-error', 'private-error', 'table-error', 'toasts']);
});

test('demo: a thousand rows are a few sentences for a screen reader, not a thousand', async () => {
  const page = await openPage();
  await page.evaluate(() => {
    window.said = [];
    new MutationObserver(() => window.said.push(document.getElementById('announce').textContent))
      .observe(document.getElementById('announce'), { childList: true, characterData: true, subtree: true });
  });
  insertNumbered(site, 1, 1000);
  await page.locator('#count', { hasText: '1,000' }).waitFor();
  await page.click('#cut');
  await page.waitForFunction(() => window.said.some((text) => /Connection: cut/.test(text)));
  const said = await page.evaluate(() => window.said);
  assert.ok(said.length <= 4, said.join('\n'));
  assert.match(said.join('\n'), /numbers: number 1\b/);
});

test('demo: all of it can be reached and used by keyboard, and focus is seen', async () => {
  const page = await openPage('');
  await fill(page, 2);
  const reached = [];
  for (let n = 0; n < 70; n++) {
    await page.keyboard.press('Tab');
    const one = await page.evaluate(() => {
      const it = document.activeElement;
      const ring = it.closest('.choice label') ?? it;
      return { name: it === document.body ? '' : it.id || it.value || it.textContent || it.className,
        seen: getComputedStyle(ring).outlineStyle !== 'none' };
    });
    if (one.name === '')
      break;
    assert.equal(one.seen, true, `the focus on ${one.name} is not seen`);
    reached.push(one.name);
  }
  for (const name of ['Skip to the events', '1000', 'default', 'others', 'Join', 'list-box', 'clear', 'cut', 'alerts-button', 'push',
    'Throw ann out',
    'user', 'password', 'Log in', 'Copy'])
    assert.ok(reached.includes(name), `${name} is not among ${reached.join(', ')}`);
  // One turn through what the page does, without a pointer.
  await page.focus('#cut');
  await page.keyboard.press('Enter');
  await state(page, 'cut');
  const id = site.insert({ channel: 'orders', data: 'by keyboard' });
  await page.keyboard.press('Space');
  await page.locator(`#list li[data-id="${id}"]`).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'cut');
  await page.focus('#user');
  await page.keyboard.type('bob');
  await page.keyboard.press('Tab');
  await page.keyboard.type('sesame');
  await page.keyboard.press('Enter');
  await page.locator('#private-user', { hasText: 'bob' }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'private-leave');
});

test('demo: rowcast is alive at the end, has let go of all readers and ends cleanly', async () => {
  await site.endsWell();
});
