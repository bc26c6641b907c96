// rowcast-firefox.test.mjs - rowcast.js in Firefox, behind lighttpd.
import { browserCases, lastCase, longListCase, serverCases, stage } from './rowcast-cases.mjs';

const it = stage('firefox', 'lighttpd');
serverCases('firefox', it);
longListCase('firefox', it);
browserCases('firefox', it);
lastCase('firefox', it);
