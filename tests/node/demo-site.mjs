// demo-site.mjs - the demo page on a site of its own, with the login that tools/demo gives it.
//
// As tools/demo does it, but for the harness's ways: ports, sockets, servers that stop and start.
// (tests/demo.bats runs tools/demo itself.)
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { ROWCAST, Site, launchChromium, top, until } from './harness.mjs';


export const launch = () => launchChromium();

export class DemoSite extends Site {
  makePages() {
    super.makePages();
    fs.writeFileSync(path.join(this.dir, 'users'), 'ann:sesame\nbob:sesame\n');
    fs.writeFileSync(path.join(this.pages, 'demo-config.json'), JSON.stringify({ db: this.db, rowcast: ROWCAST,
      private: '/private/events', table: 'demo-table.py', people: 'demo-people.py', later: 'demo-later.py', laterSeconds: 2,
      users: path.join(this.dir, 'users'), user: 'ann', password: 'sesame', timeouts: { retry: 200, retryMax: 400 } }));
    for (const name of ['demo-table.py', 'demo-people.py', 'demo-later.py'])
      fs.copyFileSync(path.join(top, 'tools', name), path.join(this.pages, name));
    this.sql("CREATE TABLE member(login TEXT PRIMARY KEY, name TEXT NOT NULL);"
      + "INSERT INTO member VALUES ('ann', 'Ann Archer'), ('bob', 'Bob Baker')");
    this.sql("CREATE TABLE shopping(id INTEGER PRIMARY KEY, text TEXT NOT NULL CHECK (text <> ''), done INTEGER NOT NULL DEFAULT 0)");
    const key = path.join(this.dir, 'vapid.key');
    execFileSync(ROWCAST, ['push', '--new-key', key]);
    this.options = [...this.options, '--presence', '--presence-channel', 'demo.who', '--vapid-key-file', key];
    execFileSync(ROWCAST, ['track', '--db', this.db, 'shopping', '--channel', 'demo.table'], { stdio: 'pipe' });
  }

  writeLighttpdConf() {
    const command = super.writeLighttpdConf();
    const conf = command.at(-1);
    fs.writeFileSync(conf, `server.modules += ( "mod_auth", "mod_authn_file" )
auth.backend = "plain"
auth.backend.plain.userfile = "${this.dir}/users"
${fs.readFileSync(conf, 'utf8')}
$HTTP["url"] =~ "^/private/events(?:/|$)" {
  auth.require = ( "" => ( "method" => "basic", "realm" => "demo", "require" => "valid-user" ) )
  fastcgi.server = ( "/private/events" => ( ( "socket" => "${this.socket}", "check-local" => "disable",
    "tcp-fin-propagate" => "enable", "disable-time" => 0 ) ) )
  server.stream-response-body = 2
}
server.modules += ( "mod_cgi" )
$HTTP["url"] =~ "^/demo-(table|people|later)\\.py$" { cgi.assign = ( ".py" => "/usr/bin/python3" ) }
`);
    return command;
  }
}

// Opens the demo; what the page itself reports as wrong goes to faults.
export async function openDemo(context, site, faults, query = '?channel=*') {
  const page = await context.newPage();
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => {
    if (/Content Security Policy/.test(message.text()))
      faults.push(message.text());
  });
  page.on('dialog', async (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    await dialog.dismiss();
  });
  await page.goto(`${site.url}/demo.html${query}`);
  await state(page, 'open');
  return page;
}

export function state(page, name) {
  return page.locator(`#state[data-state="${name}"]`).waitFor();
}

// The list as the person reads it, from the oldest to the newest.
export function listed(page) {
  return page.$$eval('#list li', (items) => items.map((item) => ({
    id: item.dataset.id,
    channel: item.querySelector('.chip')?.textContent,
    type: item.querySelector('.type').textContent,
    text: (item.querySelector('.data') ?? item.querySelector('p')).textContent,
  })).reverse());
}

export async function listedUntil(page, length) {
  let items;
  await until(() => `${length} entries, have ${JSON.stringify(items)?.slice(0, 2000)}`, async () => {
    items = await listed(page);
    return items.length >= length;
  });
  return items;
}

// After a row that comes later whatever was to come before it, or twice, has come.
export async function settled(page, site) {
  const id = site.insert({ channel: 'last', event: 'last', data: '' });
  await page.locator(`#list li[data-id="${id}"]`).waitFor();
  return id;
}

export function insertNumbered(site, first, last, event = 'number') {
  return site.sql(`WITH RECURSIVE n(i) AS (SELECT ${first} UNION ALL SELECT i + 1 FROM n WHERE i < ${last})
    INSERT INTO notification(channel, event, data) SELECT 'numbers', '${event}', 'number ' || i FROM n
    RETURNING id;`).trim().split('\n');
}
