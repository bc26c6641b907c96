// rowcast-table.test.mjs - tables on pages, in Chromium, behind lighttpd.
import { lastCase } from './rowcast-cases.mjs';
import { tableCases, tableStage } from './rowcast-tables.mjs';

const it = tableStage('chromium', 'lighttpd');
tableCases('table', it);
lastCase('table', it);
