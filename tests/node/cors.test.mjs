// cors.test.mjs - pages of one origin that read the events of another, in a real Chromium, through
// real web servers with the shipped configurations and their logins.
//
// "here" is the origin of the page, "there" are sites that it reads from: two ports of one address
// are two origins, but one site, so that cookies go along when they are asked for. What is promised
// is the Fetch standard's CORS protocol (3.2), judged by the browser.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Daemon, Site, launchChromium, top, until } from './harness.mjs';

const NGINX = process.env.NGINX ?? '/usr/sbin/nginx';

// --- sites ----------------------------------------------------------------------------------

// Nobody is an administrator here, unlike in the harness.
class PlainSite extends Site {
  env = { ROWCAST_ADMIN: '' };
}

// lighttpd's own login: the shipped lines, uncommented.
class BasicSite extends PlainSite {
  writeLighttpdConf() {
    const command = super.writeLighttpdConf();
    const conf = path.join(this.dir, 'rowcast.conf');
    const password = execFileSync('openssl', ['passwd', '-6', 'pass-ann'], { encoding: 'utf8' });
    fs.writeFileSync(path.join(this.dir, 'htpasswd'), `ann:${password}`);
    fs.writeFileSync(path.join(this.dir, 'login.conf'),
      fs.readFileSync(path.join(top, 'lighttpd/login.conf'), 'utf8')
        .replaceAll('/etc/lighttpd/rowcast.htpasswd', `${this.dir}/htpasswd`));
    fs.writeFileSync(conf, fs.readFileSync(conf, 'utf8')
      .replace('#include "/etc/lighttpd/rowcast/login.conf"', `include "${this.dir}/login.conf"`));
    return command;
  }
}

// nginx, which asks the application (tests/clients/login.py) whose session a cookie is.
class CookieSite extends PlainSite {
  async startServer() {
    if (this.login === undefined) {
      const portFile = path.join(this.dir, 'login.port');
      this.login = new Daemon('python3', [path.join(top, 'tests/clients/login.py'), portFile],
        path.join(this.dir, 'login.log'));
      await until('the login has a port', () => fs.existsSync(portFile));
      this.loginPort = fs.readFileSync(portFile, 'utf8');
    }
    await super.startServer();
  }

  serverCommand() {
    this.writeNginxConf();
    return [NGINX, '-p', this.dir, '-e', 'stderr', '-c', path.join(this.dir, 'nginx.conf')];
  }

  writeNginxConf() {
    const shipped = fs.readFileSync(path.join(top, 'nginx/rowcast.conf'), 'utf8');
    fs.writeFileSync(path.join(this.dir, 'rowcast.conf'), shipped
      .replaceAll('/run/rowcast/rowcast.sock', this.socket)
      .replace('#include /etc/nginx/rowcast/session.conf;', `include ${this.dir}/session.conf;`));
    fs.writeFileSync(path.join(this.dir, 'session.conf'),
      fs.readFileSync(path.join(top, 'nginx/session.conf'), 'utf8')
        .replaceAll('127.0.0.1:8080', `127.0.0.1:${this.loginPort}`));
    const user = process.getuid() === 0 ? 'user root;' : '';
    fs.writeFileSync(path.join(this.dir, 'nginx.conf'), `
      daemon off; ${user} worker_processes 1; pid ${this.dir}/nginx.pid; error_log stderr;
      events { worker_connections 256; }
      http {
        access_log off;
        client_body_temp_path ${this.dir}/t1; fastcgi_temp_path ${this.dir}/t2;
        proxy_temp_path ${this.dir}/t3; scgi_temp_path ${this.dir}/t4; uwsgi_temp_path ${this.dir}/t5;
        server { listen 127.0.0.1:${this.port}; root ${this.pages}; include ${this.dir}/rowcast.conf; }
      }`);
  }

  async close() {
    if (this.login?.alive)
      await this.login.stop();
    await super.close();
  }
}

let here;       // where the page is from
let elsewhere;  // another origin, on nobody's list
let there;      // sites by what they allow
let browser;
let context;

before(async () => {
  here = await PlainSite.start();
  elsewhere = await PlainSite.start();
  const quick = ['--heartbeat', '1', '--retry', '100'];
  there = {
    nobody: await PlainSite.start(...quick),
    anybody: await PlainSite.start(...quick, '--cors-origin', '*'),
    basic: await BasicSite.start(...quick, '--cors-origin', here.url, '--cors-origin', 'https://example.org'),
    cookie: await CookieSite.start(...quick, '--cors-origin', here.url),
    aging: await PlainSite.start('--retry', '100', '--max-age', '1', '--cors-origin', '*'),
    both: await PlainSite.start(...quick, '--cors-origin', '*', '--cors-origin', here.url),
  };
  for (const site of Object.values(there)) {
    site.sql(`INSERT INTO notification(recipient, data) VALUES
      (NULL, 'for all'), ('ann', 'for ann'), ('bob', 'for bob')`);
  }
  browser = await launchChromium();
});

after(async () => {
  await browser?.close();
  try {
    for (const site of Object.values(there ?? {}))
      await site.endsWell();
  } finally {
    for (const site of [here, elsewhere, ...Object.values(there ?? {})])
      await site?.close();
  }
});

beforeEach(async () => { context = await browser.newContext(); });
afterEach(async () => { await context.close(); });

// A page without a word of its own, from an origin.
async function pageOf(site) {
  const page = await context.newPage();
  await page.goto(`${site.url}/demo-config.json`);
  return page;
}

// --- reading ------------------------------------------------------------------------------------

// Opens an EventSource in the page; window.got has its data, window.state how it goes.
async function listen(page, url, withCredentials) {
  await page.evaluate(([from, credentials]) => {
    window.got = [];
    window.opens = 0;
    window.state = 'connecting';
    window.source?.close();
    const source = new EventSource(from, { withCredentials: credentials });
    source.addEventListener('rowcast:open', () => {
      window.state = 'open';
      window.opens += 1;
    });
    source.onmessage = (event) => window.got.push(event.data);
    source.onerror = () => { window.state = source.readyState === 2 ? 'refused' : 'waiting'; };
    window.source = source;
  }, [url, withCredentials]);
  await page.waitForFunction(() => ['open', 'refused'].includes(window.state));
  return page.evaluate(() => window.state);
}

async function got(page, last) {
  await page.waitForFunction((data) => window.got.includes(data), last);
  return page.evaluate(() => window.got);
}

// What the page's script learns of an answer: status and text, or that it may not read it.
function read(page, url, options = {}) {
  return page.evaluate(async ([from, how]) => {
    try {
      const answer = await fetch(from, how);
      return { status: answer.status, text: await answer.text() };
    } catch (error) {
      return { error: error.name };
    }
  }, [url, options]);
}
const BLOCKED = { error: 'TypeError' };
const JSON_FORM = { Accept: 'application/json' };

async function readRows(page, url, options = {}) {
  const answer = await read(page, url, { ...options, headers: { ...JSON_FORM, ...options.headers } });
  return answer.status === 200 ? JSON.parse(answer.text).events.map((event) => event.data) : answer;
}

// The headers of an answer, asked for without a browser.
function headersOf(url, headers = {}, method = 'GET') {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers, agent: false }, (answer) => {
      answer.destroy();
      resolve({ ...answer.headers, status: answer.statusCode });
    });
    request.once('error', reject);
    request.end();
  });
}

// --- who may read ---------------------------------------------------------------------------------

test('cors: without --cors-origin no other origin reads a word', async () => {
  const page = await pageOf(here);
  for (const credentials of [false, true])
    assert.equal(await listen(page, there.nobody.events('since=all'), credentials), 'refused');
  assert.deepEqual(await read(page, there.nobody.events('since=all'), { headers: JSON_FORM }), BLOCKED);
  assert.deepEqual(await read(page, `${there.nobody.url}/events/health`), BLOCKED);
  assert.deepEqual(await page.evaluate(() => window.got), []);
});

test('cors: * lets anybody read, but without credentials', async () => {
  for (const site of [here, elsewhere]) {
    const page = await pageOf(site);
    assert.equal(await listen(page, there.anybody.events('since=all'), false), 'open');
    assert.deepEqual(await got(page, 'for all'), ['for all']);
    assert.equal(await listen(page, there.anybody.events('since=all'), true), 'refused');
    assert.deepEqual(await readRows(page, there.anybody.events('since=all'), { credentials: 'include' }), BLOCKED);
    assert.deepEqual(await readRows(page, there.anybody.events('since=all')), ['for all']);
  }
});

test('cors: an origin on the list beside * reads with credentials, others without', async () => {
  let page = await pageOf(here);
  assert.equal(await listen(page, there.both.events('since=all'), true), 'open');
  assert.equal(await listen(page, there.both.events('since=all'), false), 'open');
  page = await pageOf(elsewhere);
  assert.equal(await listen(page, there.both.events('since=all'), true), 'refused');
  assert.equal(await listen(page, there.both.events('since=all'), false), 'open');
});

test('cors: a password of the other origin goes along, and its user gets their rows', async () => {
  await context.close();
  context = await browser.newContext({ httpCredentials: { username: 'ann', password: 'pass-ann' } });
  const page = await pageOf(here);
  assert.equal(await listen(page, there.basic.events('since=all'), true), 'open');
  assert.deepEqual(await got(page, 'for ann'), ['for all', 'for ann']);
  const foreign = await pageOf(elsewhere);
  assert.equal(await listen(foreign, there.basic.events('since=all'), true), 'refused');
  assert.deepEqual(await foreign.evaluate(() => window.got), []);
  assert.deepEqual(await readRows(foreign, there.basic.events('since=all'), { credentials: 'include' }), BLOCKED);
});

test('cors: without its password nothing comes of the other origin', async () => {
  assert.equal(await listen(await pageOf(here), there.basic.events('since=all'), false), 'refused');
  await context.close();
  context = await browser.newContext({ httpCredentials: { username: 'ann', password: 'pass-bob' } });
  const page = await pageOf(here);
  assert.equal(await listen(page, there.basic.events('since=all'), true), 'refused');
  assert.deepEqual(await readRows(page, there.basic.events('since=all'), { credentials: 'include' }), BLOCKED);
});

test('cors: a cookie goes along with credentials only, and from the origin on the list only', async () => {
  await context.addCookies([{ name: 'session', value: 's3cret-ann', url: there.cookie.url, httpOnly: true }]);
  const page = await pageOf(here);
  assert.equal(await listen(page, there.cookie.events('since=all'), true), 'open');
  assert.deepEqual(await got(page, 'for ann'), ['for all', 'for ann']);
  assert.deepEqual(await readRows(page, there.cookie.events('since=all'), { credentials: 'include' }),
    ['for all', 'for ann']);
  assert.equal(await listen(page, there.cookie.events('since=all'), false), 'refused');
  const foreign = await pageOf(elsewhere);
  assert.equal(await listen(foreign, there.cookie.events('since=all'), true), 'refused');
  assert.deepEqual(await readRows(foreign, there.cookie.events('since=all'), { credentials: 'include' }), BLOCKED);
  // Over the same connection and cache, one after the other, the answer is each origin's own.
  assert.deepEqual(await readRows(page, there.cookie.events('since=all'), { credentials: 'include' }),
    ['for all', 'for ann']);
});

// --- preflights ---------------------------------------------------------------------------------------

test('cors: fetch with Last-Event-ID is let through by a preflight', async () => {
  const id = there.anybody.rows()[0].id - 1;
  const page = await pageOf(here);
  const headers = { 'Last-Event-ID': `${id}` };
  assert.deepEqual(await readRows(page, there.anybody.events(), { headers }), ['for all']);
  await context.addCookies([{ name: 'session', value: 's3cret-ann', url: there.cookie.url }]);
  const own = { 'Last-Event-ID': `${there.cookie.rows()[0].id - 1}`, 'Cache-Control': 'no-cache' };
  assert.deepEqual(await readRows(page, there.cookie.events(), { headers: own, credentials: 'include' }),
    ['for all', 'for ann']);
  assert.deepEqual(await readRows(await pageOf(elsewhere), there.cookie.events(),
    { headers: own, credentials: 'include' }), BLOCKED);
  assert.deepEqual(await readRows(page, there.nobody.events(), { headers }), BLOCKED);
});

test('cors: a long Last-Event-ID comes through and is a gap, not a refusal', async () => {
  const page = await pageOf(here);
  for (const text of ['x'.repeat(300), '9'.repeat(300), 'a b;c="d"', '(<>)']) {
    const answer = await read(page, there.anybody.events(), { headers: { ...JSON_FORM, 'Last-Event-ID': text } });
    assert.equal(answer.status, 200);
    assert.match(JSON.parse(answer.text).gap.reason, /^(bad-id|reset)$/);
  }
});

test('cors: a header or a method that is not ours is stopped by the browser', async () => {
  const page = await pageOf(here);
  const url = there.anybody.events('since=all');
  assert.deepEqual(await readRows(page, url, { headers: { 'Remote-User': 'ann' } }), BLOCKED);
  assert.deepEqual(await readRows(page, url, { headers: { 'Rowcast-Channels': '*' } }), BLOCKED);
  assert.deepEqual(await readRows(page, url, { method: 'DELETE' }), BLOCKED);
});

test('cors: an EventSource comes back across origins with its Last-Event-ID', async () => {
  const site = there.aging; // its streams end after a second
  const page = await pageOf(here);
  assert.equal(await listen(page, site.events('since=all'), false), 'open');
  for (const data of ['one', 'two', 'three']) {
    const opens = await page.evaluate(() => window.opens);
    site.insert({ data });
    await page.waitForFunction((before) => window.opens > before, opens);
  }
  // since=all would bring them again, were it not for the id.
  assert.deepEqual(await got(page, 'three'), ['for all', 'one', 'two', 'three']);
});

// --- what the answers say -------------------------------------------------------------------------------

test('cors: refusals can be read by those who may read', async () => {
  const page = await pageOf(here);
  const base = there.anybody.url;
  for (const [url, status, pattern, headers] of [
    [`${base}/events?last=x`, 400, /bad parameter last/],
    [`${base}/events/status`, 403, /ROWCAST_ADMIN/],
    [`${base}/events/nonsense`, 404, /unknown resource/],
    [`${base}/events`, 406, /not acceptable/, { Accept: 'image/png' }],
    [`${base}/events/health`, 200, /^ok$/m],
  ]) {
    const answer = await read(page, url, { headers });
    assert.equal(answer.status, status, url);
    assert.match(answer.text, pattern);
  }
});

test('cors: Vary is on every answer of a site with a list, for every origin', async () => {
  const asks = [['/events', 'GET', 200], ['/events?last=x', 'GET', 400], ['/events/nonsense', 'GET', 404],
    ['/events/health', 'GET', 200], ['/events', 'HEAD', 200], ['/events', 'OPTIONS', 204]];
  for (const [target, method, status] of asks) {
    for (const origin of [undefined, here.url, elsewhere.url, 'null', 'x'.repeat(4000)]) {
      const headers = await headersOf(there.both.url + target, origin ? { Origin: origin } : {}, method);
      const what = `${method} ${target} of ${origin?.slice(0, 40)}`;
      assert.equal(headers.status, status, what);
      assert.match(headers.vary ?? '', /\bOrigin\b/i, what);
      assert.equal(headers['access-control-allow-origin'], origin === here.url ? here.url : '*', what);
      assert.equal(headers['access-control-allow-credentials'], origin === here.url ? 'true' : undefined, what);
    }
  }
});

test('cors: an origin that only resembles one on the list is not on it', async () => {
  const { url } = there.cookie;
  const port = Number(here.port);
  const resembling = [`${here.url}/`, `${here.url}.evil.example`, `${here.url}0`, here.url.replace('http', 'https'),
    here.url.replace('http', 'HTTP'), here.url.replace('127.0.0.1', 'localhost'), `http://127.0.0.1:${port + 1}`,
    'http://127.0.0.1', `http://x@127.0.0.1:${port}`, `${here.url} `.concat('x'), `${here.url}, ${elsewhere.url}`,
    `*`, 'null', '', `evil ${here.url}`, here.url.slice(0, -1)];
  for (const origin of resembling) {
    const headers = await headersOf(`${url}/events`, { Origin: origin, Cookie: 'session=s3cret-ann' });
    assert.equal(headers.status, 200, origin);
    assert.equal(headers['access-control-allow-origin'], undefined, origin);
    assert.equal(headers['access-control-allow-credentials'], undefined, origin);
  }
  const right = await headersOf(`${url}/events`, { Origin: here.url, Cookie: 'session=s3cret-ann' });
  assert.equal(right['access-control-allow-origin'], here.url);
});
