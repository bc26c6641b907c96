// push-service.mjs - a push service for tests: subscriptions, messages, and every fault that one may have.
//
//   node push-service.mjs FOLDER [--port N] [--key FILE --cert FILE]
//                             writes FOLDER/port; with a key: HTTP/2 over TLS. Subscriptions are kept in
//                             FOLDER/keys.json, so that it can be killed and started again
//
//   POST /new/NAME            makes a subscription and answers the PushSubscription
//   POST /mode/NAME?m=A,B,C   how it answers: first A, then B, then C for ever; * is all names
//   GET  /got                 what has come, a JSON object a line
//   POST /push/NAME           the endpoint
//
// Messages are decrypted by npm's http_ece, which knows nothing of rowcast, and the VAPID token is
// verified with node's crypto (RFC 8292).
import { createECDH, createPublicKey, randomBytes, verify } from 'node:crypto';
import { createServer } from 'node:http';
import { createSecureServer } from 'node:http2';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import ece from 'http_ece';

const [folder, ...options] = process.argv.slice(2);
const fileOf = (name) => (options.includes(name) ? readFileSync(options[options.indexOf(name) + 1]) : null);
const store = `${folder}/keys.json`;
const subscriptions = new Map();
const modes = new Map([['*', ['201']]]);
const got = [];
let connections = 0;
let origin = '';

function subscribe(name) {
  const ecdh = createECDH('prime256v1');
  ecdh.generateKeys();
  const auth = randomBytes(16);
  subscriptions.set(name, { ecdh, auth });
  writeFileSync(store, JSON.stringify([...subscriptions].map(([one, { ecdh: key, auth: secret }]) =>
    [one, key.getPrivateKey('hex'), secret.toString('hex')])));
  return {
    endpoint: `${origin}/push/${name}`,
    expirationTime: null,
    keys: { p256dh: ecdh.getPublicKey('base64url'), auth: auth.toString('base64url') },
  };
}

if (existsSync(store)) {
  for (const [name, key, auth] of JSON.parse(readFileSync(store))) {
    const ecdh = createECDH('prime256v1');
    ecdh.setPrivateKey(key, 'hex');
    subscriptions.set(name, { ecdh, auth: Buffer.from(auth, 'hex') });
  }
}

function modeOf(name) {
  const list = modes.get(name) ?? modes.get('*');
  return list.length > 1 ? list.shift() : list[0];
}

// '' or what is wrong with the header Authorization.
function judgeVapid(header) {
  const [, token, key] = /^vapid t=([\w.-]+), ?k=([\w-]+)$/.exec(header ?? '') ?? [];
  if (token === undefined)
    return 'no vapid';
  const [head, claims, signature] = token.split('.');
  const point = Buffer.from(key, 'base64url');
  const jwk = { kty: 'EC', crv: 'P-256', x: point.subarray(1, 33).toString('base64url'),
    y: point.subarray(33).toString('base64url') };
  const good = verify('sha256', Buffer.from(`${head}.${claims}`),
    { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'));
  const { aud, exp, sub } = JSON.parse(Buffer.from(claims, 'base64url'));
  const left = exp - Date.now() / 1000;
  if (!good)
    return 'bad signature';
  if (aud !== origin)
    return `aud ${aud}`;
  if (!(left > 0 && left <= 86400))
    return `exp in ${left} s`;
  return /^(mailto:.+@|https:)/.test(sub) ? '' : `sub ${sub}`;
}

function decrypt(name, body) {
  const subscription = subscriptions.get(name);
  if (subscription === undefined || body.length === 0)
    return null;
  try {
    return ece.decrypt(body, { version: 'aes128gcm', privateKey: subscription.ecdh,
      authSecret: subscription.auth.toString('base64url') }).toString();
  } catch (error) {
    return `! ${error.message}`;
  }
}

// What goes over the wire where it is no answer of HTTP's own.
const RAW = {
  garbage: '\u0001\u0002 this is no HTTP\r\n\r\n',
  half: 'HTTP/1.1 201 Crea',
  half410: 'HTTP/1.1 410 Gone\r\nContent-Le',
  close: '',
};

function reply(request, response, mode) {
  const [kind, value] = mode.split(':');
  if (kind in RAW) {
    request.socket.end(RAW[kind]);
    return;
  }
  if (kind === 'nothing')
    return;
  const huge = kind.startsWith('huge');
  const status = Number(kind.replace(/\D/g, ''));
  const headers = {};
  if (value !== undefined)
    headers['Retry-After'] = kind.endsWith('date') ? new Date(Date.now() + Number(value) * 1000).toUTCString() : value;
  if (status >= 300 && status < 400)
    headers.Location = `${origin}/push/elsewhere`;
  response.writeHead(status, headers);
  response.end(huge ? Buffer.alloc(1e6, 'x') : '');
}

function take(request, response, name, body) {
  const mode = modeOf(name);
  const headers = request.headers;
  request.socket.number ??= ++connections;
  got.push({
    name, mode, at: Date.now(), connection: request.socket.number, http: request.httpVersion,
    ttl: Number(headers.ttl), urgency: headers.urgency, topic: headers.topic ?? null,
    encoding: headers['content-encoding'], bytes: body.length,
    vapid: judgeVapid(headers.authorization), text: decrypt(name, body),
  });
  reply(request, response, mode);
}

function handle(request, response) {
  const url = new URL(request.url, origin);
  const [, what, name = ''] = url.pathname.split('/');
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('error', () => {});
  response.on('error', () => {});
  request.on('end', () => {
    const body = Buffer.concat(parts);
    if (what === 'push')
      take(request, response, name, body);
    else if (what === 'new')
      response.end(JSON.stringify(subscribe(name)));
    else if (what === 'mode')
      response.end(String(modes.set(name, url.searchParams.get('m').split(',')).size));
    else
      response.end(got.map((one) => `${JSON.stringify(one)}\n`).join(''));
  });
}

const key = fileOf('--key');
const server = key === null ? createServer(handle)
  : createSecureServer({ key, cert: fileOf('--cert'), allowHTTP1: true }, handle);
const port = options.includes('--port') ? Number(options[options.indexOf('--port') + 1]) : 0;
server.listen(port, '127.0.0.1', () => {
  origin = `${key === null ? 'http://127.0.0.1' : 'https://localhost'}:${server.address().port}`;
  writeFileSync(`${folder}/port.new`, String(server.address().port));
  renameSync(`${folder}/port.new`, `${folder}/port`);
});
