// rowcast-pages-firefox.test.mjs - pages as people have them, in Firefox, behind lighttpd.
import { lastCase, stage } from './rowcast-cases.mjs';
import { leavingCases, plainCases, positionCases } from './rowcast-pages.mjs';

const it = stage('firefox', 'lighttpd');
leavingCases('firefox pages', it);
positionCases('firefox pages', it);
plainCases('firefox pages', it);
lastCase('firefox pages', it);
