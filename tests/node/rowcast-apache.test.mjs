// rowcast-apache.test.mjs - rowcast.js behind Apache, where the web server matters, in Firefox.
// (Chromium and Firefox differ in what they make of a stopped server; lighttpd has both.)
import { lastCase, serverCases, stage } from './rowcast-cases.mjs';

const it = stage(process.env.ROWCAST_TEST_BROWSER ?? 'firefox', 'apache');
serverCases('apache', it);
lastCase('apache', it);
