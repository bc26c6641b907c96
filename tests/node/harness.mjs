// harness.mjs - a rowcast and a web server of one's own, for the tests with real JavaScript clients.
//
// Each site has a folder, a database, a Unix socket and a free port of its own, and lighttpd (or
// Apache) runs the shipped rowcast.conf with nothing but the socket's path replaced. Waiting is
// for a condition, never for a time. Only processes that were started here are ended.
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
export const top = path.resolve(here, '../..');
export const WAIT_MS = 60000;
const CHROMIUM_FLAGS = ['--no-sandbox', '--headless', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export const ROWCAST = path.resolve(process.env.ROWCAST ?? path.join(top, 'rowcast'));
export const LIGHTTPD = process.env.LIGHTTPD ?? '/usr/sbin/lighttpd';
export const APACHE = process.env.APACHE ?? '/usr/sbin/apache2';
export const NGINX = process.env.NGINX ?? '/usr/sbin/nginx';
export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const FIREFOX = process.env.FIREFOX ?? '/usr/bin/firefox-esr';
const IS_ROOT = process.getuid() === 0;   // then Apache and nginx want another user to work as

// A package from node_modules here, or from ROWCAST_NODE_MODULES (a build from a read-only or
// unpacked tree, as make distcheck does). A missing one is a failure, not a skip.
export function need(name) {
  const folder = process.env.ROWCAST_NODE_MODULES ?? path.join(here, 'node_modules');
  try {
    return createRequire(path.join(folder, 'from-here.js'))(path.join(folder, name));
  } catch (error) {
    throw new Error(`${name} is not in ${folder}: run npm ci in tests/node, `
      + `or set ROWCAST_NODE_MODULES (${error.code})`);
  }
}

// A file of such a package.
export function needFile(name) {
  const folder = process.env.ROWCAST_NODE_MODULES ?? path.join(here, 'node_modules');
  const file = path.join(folder, name);
  if (!fs.existsSync(file))
    throw new Error(`${name} is not in ${folder}: run npm ci in tests/node, or set ROWCAST_NODE_MODULES`);
  return file;
}

// --- asking, and waiting --------------------------------------------------------------------

// fetch by a connection of its own: node keeps one for the next request, and a web server may end it
// at that very moment, after some seconds without one.
export function fetchAlone(url, options = {}) {
  return fetch(url, { ...options, headers: { ...options.headers, connection: 'close' } });
}

// Playwright's Chromium as people have it: with its back/forward cache. Its waits are as long as all
// others: 30 s are not enough on a loaded machine.
export async function launchChromium(flags = []) {
  const browser = await need('playwright-core').chromium.launch({ executablePath: CHROMIUM,
    args: [...CHROMIUM_FLAGS, ...flags], ignoreDefaultArgs: ['--disable-back-forward-cache'] });
  const newContext = browser.newContext.bind(browser);
  browser.newContext = async (options) => {
    const context = await newContext(options);
    context.setDefaultTimeout(WAIT_MS);
    return context;
  };
  return browser;
}

export async function until(what, condition, ms = WAIT_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value)
      return value;
    if (Date.now() > end)
      throw new Error(`waited ${ms} ms in vain: ${typeof what === 'function' ? await what() : what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function accepts(address) {
  return new Promise((resolve) => {
    const socket = net.connect(address);
    socket.once('connect', () => { socket.destroy(); resolve(true); });
    socket.once('error', () => resolve(false));
  });
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// --- processes ----------------------------------------------------------------------------

const running = new Set();
process.on('exit', () => {
  for (const child of running)
    child.kill('SIGKILL');
});

export class Daemon {
  constructor(program, args, logFile, env = {}) {
    this.log = logFile;
    const fd = fs.openSync(logFile, 'a');
    this.child = spawn(program, args, { stdio: ['ignore', fd, fd], env: { ...process.env, ...env } });
    fs.closeSync(fd);
    this.ended = new Promise((resolve) => {
      this.child.once('error', (error) => resolve(`cannot start: ${error.message}`));
      this.child.once('exit', (code, signal) => resolve(signal ?? code));
    });
    this.alive = true;
    running.add(this.child);
    this.ended.then(() => {
      this.alive = false;
      running.delete(this.child);
    });
  }

  // Waits until it accepts on the address; throws with its log when it ends before.
  async ready(address) {
    await until(`${this.child.spawnfile} accepts on ${JSON.stringify(address)}`, async () => {
      if (!this.alive)
        throw new Error(`${this.child.spawnfile} ended (${await this.ended}): ${fs.readFileSync(this.log, 'utf8')}`);
      return accepts(address);
    });
  }

  // Returns how it ended: an exit code or a signal's name.
  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), WAIT_MS);
    const how = await this.ended;
    clearTimeout(timer);
    return how;
  }
}

// --- a site -------------------------------------------------------------------------------

export class Site {
  // options: arguments for `rowcast serve` besides --db and --listen.
  static start(...options) {
    return this.behind('lighttpd', ...options);
  }

  // server: 'lighttpd' or 'apache'.
  static async behind(server, ...options) {
    const site = new this();
    site.server = server;
    site.options = options;
    site.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'rowcast-node-'));
    fs.chmodSync(site.dir, 0o755);
    site.db = path.join(site.dir, 'test.db');
    site.socket = path.join(site.dir, 'rowcast.sock');
    try {
      site.init();
      site.makePages();
      await site.startRowcast();
      await site.startServer();
    } catch (error) {
      await site.close();
      throw error;
    }
    return site;
  }

  init() {
    execFileSync(ROWCAST, ['init', '--db', this.db], { stdio: 'pipe' });
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  events(query = '') {
    return `${this.url}/events${query === '' ? '' : `?${query}`}`;
  }

  makePages() {
    this.pages = path.join(this.dir, 'www');
    fs.mkdirSync(this.pages);
    // Each by itself: a folder copied whole would be as read-only as make distcheck's sources.
    for (const folder of [path.join(top, 'web'), path.join(here, 'pages')]) {
      for (const name of fs.readdirSync(folder).filter((file) => /\.(html|css|js|svg)$/.test(file)))
        fs.copyFileSync(path.join(folder, name), path.join(this.pages, name));
    }
    fs.writeFileSync(path.join(this.pages, 'demo-config.json'), JSON.stringify({ db: this.db, rowcast: ROWCAST }));
  }

  async startRowcast() {
    this.rowcast = new Daemon(ROWCAST, ['serve', '--db', this.db, '--listen', `unix:${this.socket}`,
      '--listen-mode', '0666', ...this.options], path.join(this.dir, 'rowcast.log'),
      { ROWCAST_ADMIN: '1', ...this.env });
    await this.rowcast.ready(this.socket);
  }

  // Connections on rowcast's socket, as unix(7)'s /proc/net/unix has them: all that carry its
  // path but the listening one (flag __SO_ACCEPTCON).
  connections() {
    return fs.readFileSync('/proc/net/unix', 'utf8').split('\n').filter((line) => {
      const fields = line.trim().split(/\s+/);
      return fields[7] === this.socket && fields[3] !== '00010000';
    }).length;
  }

  // What each file of tests ends with: rowcast is alive, has let go of every reader, ends as told
  // and without a word from a sanitizer.
  async endsWell() {
    if (!this.rowcast.alive)
      throw new Error(`rowcast has ended: ${await this.rowcast.ended}`);
    await this.stopServer();
    await until(() => `no connection is left, have ${this.connections()}`, () => this.connections() === 0);
    const how = await this.rowcast.stop();
    const log = fs.readFileSync(this.rowcast.log, 'utf8');
    if (how !== 0 || /Sanitizer|runtime error/.test(log))
      throw new Error(`rowcast ended with ${how}: ${log}`);
  }

  // The first start finds a port (again, if another process was quicker); later ones keep it, as
  // the clients come back to it.
  async startServer() {
    const known = this.port !== undefined;
    for (let tries = 1; ; tries++) {
      this.port ??= await freePort();
      const [program, ...args] = this.serverCommand();
      this.web = new Daemon(program, args, path.join(this.dir, `${this.server}.log`));
      try {
        await this.web.ready({ port: this.port, host: '127.0.0.1' });
        return;
      } catch (error) {
        if (known || tries === 5)
          throw error;
        this.port = undefined;
      }
    }
  }

  // Writes the server's configuration; returns the command that starts it.
  serverCommand() {
    return this.server === 'apache' ? this.writeApacheConf() : this.writeLighttpdConf();
  }

  stopServer() {
    return this.web.stop();
  }

  // The names of before there was a choice.
  get lighttpd() {
    return this.web;
  }

  startLighttpd() {
    return this.startServer();
  }

  // The shipped configuration with this site's socket, as a file to include.
  shipped(name) {
    const shipped = fs.readFileSync(path.join(top, name), 'utf8');
    const used = shipped.replaceAll('/run/rowcast/rowcast.sock', this.socket);
    if (used === shipped)
      throw new Error(`${name} does not have the socket /run/rowcast/rowcast.sock`);
    const file = path.join(this.dir, 'rowcast.conf');
    fs.writeFileSync(file, used);
    return file;
  }

  writeLighttpdConf() {
    const conf = path.join(this.dir, 'lighttpd.conf');
    fs.writeFileSync(conf, `
server.document-root = "${this.pages}"
server.bind = "127.0.0.1"
server.port = ${this.port}
mimetype.assign = ( ".html" => "text/html; charset=utf-8", ".css" => "text/css",
                    ".js" => "text/javascript", ".json" => "application/json" )
include "${this.shipped('lighttpd/rowcast.conf')}"
`);
    return [LIGHTTPD, '-D', '-f', conf];
  }

  writeApacheConf() {
    const conf = path.join(this.dir, 'apache.conf');
    const modules = ['mpm_event', 'authn_core', 'authz_core', 'mime', 'env', 'setenvif', 'proxy', 'proxy_fcgi'];
    fs.writeFileSync(conf, `
ServerRoot ${this.dir}
ServerName localhost
DefaultRuntimeDir ${this.dir}
PidFile ${this.dir}/apache.pid
Mutex file:${this.dir}
ErrorLog /dev/stderr
Listen 127.0.0.1:${this.port}
${IS_ROOT ? 'User www-data\nGroup www-data' : ''}
DocumentRoot ${this.pages}
${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
TypesConfig /dev/null
AddType text/html .html
AddType text/javascript .js
<Directory ${this.pages}>
  Require all granted
</Directory>
Include ${this.shipped('apache/rowcast.conf')}
`);
    return [APACHE, '-D', 'FOREGROUND', '-f', conf];
  }

  // How many streams rowcast has open, by its own account.
  async streams() {
    const response = await fetchAlone(`${this.url}/events/status`, { headers: { Accept: 'application/json' } });
    return (await response.json()).streams;
  }

  // A proxy before the web server that keeps every answer back until it is complete, whatever
  // headers say (buffering false: one that does not), and ends what is silent for `seconds`.
  // Called again it changes the running one.
  async proxy(buffering, seconds = 60) {
    const first = this.front === undefined;
    this.frontPort ??= await freePort();
    const conf = path.join(this.dir, 'nginx.conf');
    fs.writeFileSync(conf, `
daemon off;
${IS_ROOT ? 'user www-data;' : ''}
worker_processes 1;
pid ${this.dir}/nginx.pid;
error_log stderr;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path ${this.dir}/nginx-body;
  fastcgi_temp_path ${this.dir}/nginx-fastcgi;
  proxy_temp_path ${this.dir}/nginx-proxy;
  scgi_temp_path ${this.dir}/nginx-scgi;
  uwsgi_temp_path ${this.dir}/nginx-uwsgi;
  server {
    listen 127.0.0.1:${this.frontPort};
    location / {
      proxy_pass http://127.0.0.1:${this.port};
      proxy_read_timeout ${seconds}s;
      proxy_buffering ${buffering ? 'on' : 'off'};
      ${buffering ? 'proxy_ignore_headers X-Accel-Buffering;' : ''}
    }
  }
}
`);
    if (first) {
      this.front = new Daemon(NGINX, ['-c', conf, '-e', 'stderr'], path.join(this.dir, 'nginx.log'));
      await this.front.ready({ port: this.frontPort, host: '127.0.0.1' });
    } else {
      this.front.child.kill('SIGHUP');
    }
    return `http://127.0.0.1:${this.frontPort}`;
  }

  // Runs SQL in the sqlite3 shell, as a user does; returns what it prints.
  sql(text) {
    return execFileSync('sqlite3', ['-bail', '-batch', '-cmd', '.timeout 5000', this.db],
      { input: text, encoding: 'utf8', maxBuffer: 64 << 20 });
  }

  // Inserts one row; columns as JavaScript text, null or Buffer (bytes that are not UTF-8). The
  // id is returned as text, as clients see it.
  insert(columns) {
    const names = Object.keys(columns);
    return this.sql(`INSERT INTO notification(${names.join(', ')})
      VALUES (${names.map((name) => literal(columns[name])).join(', ')}) RETURNING id;`).trim();
  }

  // All rows as the table has them: data as bytes.
  rows(where = '1') {
    const text = this.sql(`SELECT id, hex(channel), CASE WHEN event IS NULL THEN 'null' ELSE hex(event) END,
      hex(data), created_at FROM notification WHERE ${where} ORDER BY id;`);
    return text.split('\n').filter(Boolean).map((line) => {
      const [id, channel, event, data, createdAt] = line.split('|');
      return {
        id,
        channel: Buffer.from(channel, 'hex').toString(),
        event: event === 'null' ? null : Buffer.from(event, 'hex').toString(),
        data: Buffer.from(data, 'hex'),
        created_at: Number(createdAt),
      };
    });
  }

  async close() {
    for (const daemon of [this.front, this.web, this.rowcast]) {
      if (daemon?.alive)
        await daemon.stop();
    }
    fs.rmSync(this.dir, { recursive: true, force: true });
  }
}

function literal(value) {
  if (value === null)
    return 'NULL';
  // As bytes: the shell's own quoting knows neither NUL nor bytes that are not UTF-8.
  return `CAST(X'${Buffer.from(value).toString('hex')}' AS TEXT)`;
}
