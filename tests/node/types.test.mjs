// types.test.mjs - the types of rowcast.js and alerts.js, by TypeScript's own compiler: a page that uses them
// compiles, and what it must not do is an error.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { needFile, top } from './harness.mjs';

test('types: a page in TypeScript compiles, and what makes no sense is an error', () => {
  const { stdout, status } = spawnSync(process.execPath,
    [needFile('typescript/bin/tsc'), '-p', path.join(top, 'tests/node/types')], { encoding: 'utf8' });
  assert.equal(stdout, '');
  assert.equal(status, 0);
});
