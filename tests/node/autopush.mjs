// autopush.mjs - the part of Mozilla's push service that Firefox needs: a WebSocket (hello, register,
// notification, ack) and HTTP endpoints; and a stock Firefox that uses it, without a network.
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { FIREFOX, WAIT_MS, need } from './harness.mjs';

const { WebSocketServer } = need('ws');

export class Autopush {
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

  // As after a loss of its database: it knows no browser any more, and Firefox makes its subscriptions anew.
  forget() {
    this.#channels.clear();
    for (const socket of this.#sockets)
      socket.terminate();
    this.#sockets.clear();
  }

  close() {
    this.forget();
    this.server.closeAllConnections();
    this.server.close();
  }

  #hear(socket, message) {
    const { messageType, channelID } = message;
    if (messageType === 'hello') {
      socket.send(JSON.stringify({ messageType, uaid: randomUUID().replaceAll('-', ''), status: 200, use_webpush: true,
        broadcasts: {} }));
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

// A new page waits as long as all else in the tests.
export async function launchFirefox({ port }) {
  const browser = await need('puppeteer-core').launch({ browser: 'firefox', executablePath: FIREFOX, headless: true,
    extraPrefsFirefox: {
      'network.proxy.type': 0,
      'dom.push.serverURL': `ws://127.0.0.1:${port}/`,
      'dom.push.testing.allowInsecureServerURL': true,
      'dom.push.connection.enabled': true,
      'dom.push.enabled': true,
      'dom.push.alwaysConnect': true,
      'dom.push.retryBaseInterval': 200,
      'permissions.default.desktop-notification': 1,
      'alerts.useSystemBackend': false,
    } });
  const newPage = browser.newPage.bind(browser);
  browser.newPage = async () => {
    const page = await newPage();
    page.setDefaultTimeout(WAIT_MS);
    return page;
  };
  return browser;
}
