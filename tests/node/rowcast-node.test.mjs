// rowcast-node.test.mjs - rowcast.js without a browser: in node itself, behind a real lighttpd, and where a page
// is rendered on a server.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Rowcast } from '../../web/rowcast.js';
import { Site, top, until } from './harness.mjs';

let site;
before(async () => { site = await Site.start('--heartbeat', '1', '--retry', '200'); });
after(() => site?.close());

test('node: each row comes once, to listeners of its type and of any; after close() none does', async () => {
  const rows = new Rowcast(site.events(), { channels: 'a', timeouts: { retry: 100 } });
  const got = [];
  rows.on('paid', (event) => got.push(`paid ${event.data}`));
  rows.on('*', (event) => got.push(`* ${event.type} ${event.data}`));
  await until('it is open', () => rows.state === 'open');
  site.insert({ channel: 'a', event: 'paid', data: '1' });
  site.insert({ channel: 'a', data: '2' });
  await until('all are there', () => got.length >= 3);
  assert.equal(await site.rowcast.stop(), 0);
  site.insert({ channel: 'a', event: 'paid', data: '3' });
  await site.startRowcast();
  await until('it has come back', () => got.length >= 5);
  rows.close();
  site.insert({ channel: 'a', data: '4' });
  await until('it has let go', async () => await site.streams() === 0);
  assert.deepEqual(got, ['paid 1', '* paid 1', '* message 2', 'paid 3', '* paid 3']);
});

test('node: without a page a relative address is refused in words', () => {
  assert.throws(() => new Rowcast('/events'), /url: \/events is no address, and there is no page/);
});

// As in node 18, which has no CustomEvent, and in the workers of those who render pages.
test('node: the modules load where browsers\' objects are missing, and a program that has closed ends', () => {
  const program = `
    for (const name of ['CustomEvent', 'BroadcastChannel', 'navigator', 'crypto', 'document'])
      delete globalThis[name];
    const { Rowcast } = await import(${JSON.stringify(path.join(top, 'web/rowcast.js'))});
    await import(${JSON.stringify(path.join(top, 'web/alerts.js'))});
    const rows = new Rowcast(${JSON.stringify(site.events())}, { last: 1 });
    rows.onstate = ({ detail }) => {
      if (detail.state !== 'open')
        return;
      console.log(detail.state, detail.transport);
      rows.close();
    };`;
  assert.equal(execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', timeout: 20000 }),
    'open fetch\n');
});

test('node: rowcast is alive at the end, has let go of all readers and ends cleanly', async () => {
  await site.endsWell();
});
