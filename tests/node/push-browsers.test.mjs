// push-browsers.test.mjs - Web Push with real browsers, rowcast and `rowcast push`, without a network.
//
// Stock Firefox gets messages from a push service that is made here: a WebSocket as autopush has it
// (hello, register, notification, ack) and HTTP endpoints. Firefox decrypts what rowcast has encrypted. Chromium
// has no such way, so its service worker gets messages by DevTools (ServiceWorker.deliverPushMessage).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { CHROMIUM, Daemon, FIREFOX, ROWCAST, Site, need, until } from './harness.mjs';

const { WebSocketServer } = need('ws');
let service;
let site;
let folder;
let push;

// The part of autopush that Firefox needs.
class PushService {
  acks = [];
  hellos = 0;
  #sockets = new Set();
  #channels = new Map();      // by id: its socket

  async start() {
    this.server = http.createServer((request, response) => this.#take(request, response));
    new WebSocketServer({ server: this.server }).on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('message', (text) => this.#hear(socket, JSON.parse(text)));
    });
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.port = this.server.address().port;
    this.origin = `http://127.0.0.1:${this.port}`;
    return this;
  }

  close() {
    for (const socket of this.#sockets)
      socket.terminate();
    this.server.closeAllConnections();
    this.server.close();
  }

  #hear(socket, message) {
    const { messageType, channelID } = message;
    if (messageType === 'hello') {
      socket.send(JSON.stringify({ messageType, uaid: randomUUID().replaceAll('-', ''), status: 200, use_webpush: true, broadcasts: {} }));
      this.hellos++;
    } else if (messageType === 'register') {
      this.#channels.set(channelID, socket);
      socket.send(JSON.stringify({ messageType, channelID, status: 200, pushEndpoint: `${this.origin}/wpush/${channelID}` }));
    } else if (messageType === 'unregister') {
      this.#channels.delete(channelID);
      socket.send(JSON.stringify({ messageType, channelID, status: 200 }));
    } else if (messageType === 'ack') {
      this.acks.push(...message.updates);
    }
  }

  #take(request, response) {
    const channelID = request.url.split('/').at(-1);
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      const socket = this.#channels.get(channelID);
      socket?.send(JSON.stringify({ messageType: 'notification', channelID, version: randomUUID(), ttl: 60,
        data: Buffer.concat(parts).toString('base64url'), headers: { encoding: request.headers['content-encoding'] } }));
      response.writeHead(socket === undefined ? 410 : 201).end();
    });
  }
}

before(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rowcast-push-'));
  const key = path.join(folder, 'vapid.key');
  execFileSync(ROWCAST, ['push', '--new-key', key]);
  service = await new PushService().start();
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
    return (await registration.getNotifications()).map(({ title, body, tag, data }) => ({ title, body, tag, id: data.id }));
  });
}

test('push, Firefox: a row reaches a browser whose page is closed, once, and comes decrypted', async () => {
  const browser = await need('puppeteer-core').launch({ browser: 'firefox', executablePath: FIREFOX, headless: true,
    extraPrefsFirefox: {
      'network.proxy.type': 0,
      'dom.push.serverURL': `ws://127.0.0.1:${service.port}/`,
      'dom.push.testing.allowInsecureServerURL': true,
      'dom.push.connection.enabled': true,
      'dom.push.enabled': true,
      'dom.push.alwaysConnect': true,
      'permissions.default.desktop-notification': 1,
      'alerts.useSystemBackend': false,
    } });
  try {
    // A subscribe() before the first hello hangs.
    await until('Firefox says hello', () => service.hellos > 0);
    const page = await browser.newPage();
    await page.goto(`${site.url}/alerts.html`);
    await page.waitForFunction(() => window.ready);
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

    // Ended: nothing more comes.
    await page.goto(`${site.url}/alerts.html`);
    await page.waitForFunction(() => window.ready);
    await page.evaluate(() => window.begin());
    assert.equal(await page.evaluate(() => window.alerts.unsubscribe()), true);
    assert.equal(site.sql('SELECT count(*) FROM rowcast_push').trim(), '0');
  } finally {
    await browser.close();
  }
});

test('push, Chromium: the worker shows what is pushed as the page does, and each row once', async () => {
  const browser = await need('playwright-core').chromium.launch({ executablePath: CHROMIUM,
    args: ['--no-sandbox', '--headless', '--disable-gpu', '--no-first-run', '--disable-background-networking'] });
  try {
    const context = await browser.newContext();
    await context.grantPermissions(['notifications'], { origin: site.url });
    const page = await context.newPage();
    await page.goto(`${site.url}/alerts.html`);
    await page.waitForFunction(() => window.ready);
    await page.evaluate(() => window.begin());
    const devtools = await context.newCDPSession(page);
    let registrationId;
    devtools.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => { registrationId = registrations.at(-1)?.registrationId ?? registrationId; });
    await devtools.send('ServiceWorker.enable');
    await until('there is a worker', () => registrationId !== undefined);
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => true)); // else the message is dropped
    // What subscribe() leaves behind, which Chromium cannot do without Google.
    await page.evaluate(() => new Promise((resolve, reject) => {
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
    const deliver = (row) => devtools.send('ServiceWorker.deliverPushMessage', { origin: site.url, registrationId, data: JSON.stringify(row) });
    await page.goto(`${site.url}/blank.html`);
    const row = { id: '5', channel: 'a', event: 'alert', data: '{"title":"T","body":"B","tag":"t"}', created_at: 1 };
    await deliver(row);
    await until('it is shown', async () => (await shown(page)).length === 1);
    assert.deepEqual(await shown(page), [{ title: 'T', body: 'B', tag: 't', id: '5' }]);
    // A second time: closed by the person, it stays closed.
    await page.evaluate(async () => (await (await navigator.serviceWorker.getRegistration('/')).getNotifications()).forEach((one) => one.close()));
    await until('the closed one is gone', async () => (await shown(page)).length === 0);
    await deliver(row);
    await deliver({ ...row, id: '6', data: 'plain', event: 'message' });
    await until('the next is shown', async () => (await shown(page)).length > 0);
    assert.deepEqual(await shown(page), [{ title: 'a', body: 'plain', tag: 'rowcast--6', id: '6' }]);
    // What is no row is passed over.
    await devtools.send('ServiceWorker.deliverPushMessage', { origin: site.url, registrationId, data: 'no JSON' });
    await deliver({ ...row, id: '7', data: 'last', event: 'message' });
    await until('the last is shown', async () => (await shown(page)).length === 2);
  } finally {
    await browser.close();
  }
});
