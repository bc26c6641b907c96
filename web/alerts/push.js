// push.js - the subscription to Web Push: made with the browser, stored by the server, ended.
import { readConfig, takeRow, writeConfig } from './ledger.js';

const PUSH_DEFAULTS = { url: '/events', channels: [], ticket: null, absent: false, declarative: false };

function pushSettings(options) {
  const settings = { ...PUSH_DEFAULTS, ...options };
  const unknown = Object.keys(settings).find((name) => !(name in PUSH_DEFAULTS));
  if (unknown !== undefined)
    throw new TypeError(`${unknown}: there is no such option`);
  settings.channels = [].concat(settings.channels);
  if (settings.channels.length === 0 || settings.channels.some((one) => typeof one !== 'string' || one === ''))
    throw new TypeError('channels: which rows are to be pushed?');
  settings.url = new URL(settings.url, document.baseURI).href.replace(/\/$/, '');
  return settings;
}

// The key as the browser wants it.
export function keyBytes(text) {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

// Asks the server; resolves to what it answers, and rejects with its reason.
export async function askPush(url, method, { body, ticket } = {}) {
  const headers = {};
  if (body !== undefined)
    headers['Content-Type'] = 'application/json';
  if (ticket)
    headers.Authorization = `Bearer ${ticket}`;
  const response = await fetch(`${url}/push`, { method, headers, credentials: 'include', body: body && JSON.stringify(body) });
  if (!response.ok)
    throw new Error(`${response.status}: ${(await response.text()).trim()}`);
  return response.json();
}

const keyOf = ({ options }) => {
  const key = options?.applicationServerKey;
  return key ? String(new Uint8Array(key)) : '';
};

// The browser's subscription with that key: the one that is there, or a new one. The server's key may
// be another one by now; then the old subscription is of no use.
async function browserSubscription(registration, key) {
  const bytes = keyBytes(key);
  const old = await registration.pushManager.getSubscription();
  if (old !== null && keyOf(old) === String(bytes))
    return { subscription: old, ended: null };
  await old?.unsubscribe();
  const subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes });
  return { subscription, ended: old?.endpoint ?? null };
}

const ticketOf = (ticket) => (typeof ticket === 'function' ? ticket() : ticket);

export async function subscribePush(registration, name, options) {
  const { url, channels, ticket, absent, declarative } = pushSettings(options);
  const signed = await ticketOf(ticket);
  const { public_key: key } = await askPush(url, 'GET', { ticket: signed });
  const { subscription, ended } = await browserSubscription(registration, key);
  const wish = { channels, absent };
  if (declarative && 'pushManager' in window)   // browsers that understand declarative messages
    wish.declarative = location.href;
  await askPush(url, 'POST', { body: { ...subscription.toJSON(), ...wish }, ticket: signed });
  await writeConfig({ name, url, key, wish, page: location.href, base: document.baseURI });
  if (ended !== null)
    await askPush(url, 'DELETE', { body: { endpoint: ended }, ticket: signed }).catch(() => {});
  return subscription;
}

// The browser's part is ended in any case; a server that is out of reach learns it from the push
// service.
export async function unsubscribePush(registration, options = {}) {
  const config = await readConfig().catch(() => undefined);
  const subscription = await registration.pushManager.getSubscription();
  await writeConfig(null);
  if (subscription === null)
    return false;
  await subscription.unsubscribe();
  const url = options.url ? new URL(options.url, document.baseURI).href.replace(/\/$/, '') : config?.url;
  if (url !== undefined) {
    const ticket = await ticketOf(options.ticket);
    await askPush(url, 'DELETE', { body: { endpoint: subscription.endpoint }, ticket }).catch(() => {});
  }
  return true;
}

// Rows that come by stream, in a browser that gets them by push too: whether the page is to show it.
export class PushLedger {
  #isSubscribed = false;

  constructor(name) {
    this.name = name;
  }

  reset() {
    this.#isSubscribed = false;
  }

  // Another tab may subscribe at any time, so a "no" is looked up again for each row.
  async take(id) {
    this.#isSubscribed ||= await readConfig().then((config) => config !== undefined).catch(() => false);
    return !this.#isSubscribed || takeRow(this.name, id);
  }
}
