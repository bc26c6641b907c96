// rowcast-table-firefox.test.mjs - tables on pages, in Firefox, behind lighttpd.
import { lastCase } from './rowcast-cases.mjs';
import { tableCases, tableStage } from './rowcast-tables.mjs';

const it = tableStage('firefox', 'lighttpd');
tableCases('table firefox', it);
lastCase('table firefox', it);
