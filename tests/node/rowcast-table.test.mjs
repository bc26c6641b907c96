// rowcast-table.test.mjs - tables on pages, in Chromium, behind lighttpd.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { ROWCAST } from './harness.mjs';
import { lastCase } from './rowcast-cases.mjs';
import { formCases, lossCases, tableCases, tableStage, wayCases, whoCases } from './rowcast-tables.mjs';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'rowcast-key-'));
const key = path.join(dir, 'key');
fs.writeFileSync(key, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
after(() => fs.rmSync(dir, { recursive: true }));

const it = tableStage('chromium', 'lighttpd', '--ticket-key-file', key);
it.sign = (...args) => execFileSync(ROWCAST, ['ticket', '--key-file', key, ...args], { encoding: 'utf8' }).trim();
tableCases('table', it);
lossCases('table', it);
formCases('table', it);
whoCases('table', it);
wayCases('table', it);
lastCase('table', it);
