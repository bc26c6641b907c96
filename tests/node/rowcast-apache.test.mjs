// rowcast-apache.test.mjs - rowcast.js behind Apache, where the web server matters.
import { lastCase, longListCase, serverCases, stage } from './rowcast-cases.mjs';

const it = stage('chromium', 'apache');
serverCases('apache', it);
longListCase('apache', it);
lastCase('apache', it);
