// cluster.test.mjs - tools/demo --cluster in a real Chromium: PostgreSQL, three nodes behind HAProxy. Each
// node is killed by the page's button while the page reads from it, and the page misses nothing.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import path from 'node:path';
import { launch } from './demo-site.mjs';
import { ROWCAST, freePort, top, until } from './harness.mjs';

let demo;
let said = '';
let browser;
let page;
const faults = [];

before(async () => {
  const port = await freePort();
  demo = spawn('/usr/bin/python3', [path.join(top, 'tools/demo-cluster'), '--rowcast', ROWCAST, '--port', String(port)],
    { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [demo.stdout, demo.stderr])
    stream.on('data', (text) => { said += text; });
  await until(() => `the demo's address; it said: ${said}`, () => said.includes(`http://127.0.0.1:${port}/ until`));
  browser = await launch();
  page = await browser.newPage();
  page.on('pageerror', (error) => faults.push(error.message));
  await page.goto(`http://127.0.0.1:${port}/`);
});
after(async () => {
  await browser?.close();
  demo?.kill('SIGTERM');
  await until('the end of the demo', () => demo.exitCode !== null || demo.signalCode !== null);
  // A node that was just about to start again ends, too.
  const folder = /-h (\/tmp\/rowcast-demo\.[^/]+)/.exec(said)[1];
  assert.deepEqual(commands().filter((command) => command.includes(folder)), []);
});

// The command lines of all processes.
const commands = () => fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map((pid) => {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';   // it has ended
  }
});

const output = (id) => page.locator(`#${id}`).textContent();
const number = async (id) => Number(await output(id));

// The page reads from a node, and has got this many rows more.
async function reading(more) {
  const count = await number('count');
  let node;
  await until(() => `${more} rows more; the page has ${node}`, async () => {
    node = `${await output('node')}, ${await output('count')} rows`;
    return await number('count') >= count + more && await page.isEnabled('#kill');
  });
  return output('node');
}

async function killed(node) {
  await page.click('#kill');
  await until(`another node than ${node}`, async () => !['none', node].includes(await output('node')));
  return reading(2);
}

test('cluster: the page goes on at another node when its node is killed, without a lost or doubled row', async () => {
  const seen = [await reading(2)];
  for (let round = 0; round < 9 && (round < 4 || new Set(seen).size < 3); round++)
    seen.push(await killed(seen.at(-1)));
  assert.deepEqual([...new Set(seen)].sort(), ['apache', 'lighttpd', 'nginx'], `it was at ${seen}`);
  assert.equal(await number('missing'), 0);
  assert.equal(await number('twice'), 0);
  const gaps = await page.locator('li', { hasText: 'a gap was told' }).count();
  assert.equal(gaps, 0);
  assert.deepEqual(faults, []);
});
