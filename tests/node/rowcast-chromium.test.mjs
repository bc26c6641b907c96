// rowcast-chromium.test.mjs - rowcast.js in Chromium, behind lighttpd.
import { browserCases, chromiumCases, lastCase, longListCase, moreCases, serverCases,
  stage } from './rowcast-cases.mjs';

const it = stage('chromium', 'lighttpd');
serverCases('chromium', it);
longListCase('chromium', it);
browserCases('chromium', it);
moreCases('chromium', it);
chromiumCases('chromium', it);
lastCase('chromium', it);
