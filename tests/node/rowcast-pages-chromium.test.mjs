// rowcast-pages-chromium.test.mjs - pages as people have them, in Chromium, behind lighttpd.
import { lastCase, stage } from './rowcast-cases.mjs';
import { leavingCases, plainCases, positionCases } from './rowcast-pages.mjs';

const it = stage('chromium', 'lighttpd');
leavingCases('chromium pages', it);
positionCases('chromium pages', it);
plainCases('chromium pages', it);
lastCase('chromium pages', it);
