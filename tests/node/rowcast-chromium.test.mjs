// rowcast-chromium.test.mjs - rowcast.js in Chromium, behind lighttpd.
import { browserCases, lastCase, serverCases, stage } from './rowcast-cases.mjs';

const it = stage('chromium', 'lighttpd');
serverCases('chromium', it);
browserCases('chromium', it);
lastCase('chromium', it);
