// browsers.mjs - Chromium (playwright-core) and stock Firefox (puppeteer-core, WebDriver BiDi)
// under one interface, as far as the tests of rowcast.js need it.
//
//   const browser = await launch('firefox');
//   const context = await browser.newContext();          // storage, locks and channels of its own
//   const page = await context.newPage(url);
//   await page.evaluate(fn, argument);  page.reload();  page.close();  page.faults
import { CHROMIUM, FIREFOX, need, until } from './harness.mjs';

const CHROMIUM_FLAGS = ['--no-sandbox', '--headless', '--disable-gpu', '--disable-quic', '--no-first-run',
  // A name that is not localhost: over http its pages are no secure context.
  '--host-resolver-rules=MAP plain.test 127.0.0.1', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  // Hidden tabs are as quick as others, so that the tests need not wait for minutes.
  '--disable-background-timer-throttling', '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows'];

const FIREFOX_PREFS = {
  'dom.min_background_timeout_value': 4,
  'dom.timeout.enable_budget_timer_throttling': false,
  'dom.ipc.processCount.webIsolated': 8,    // a tab that hangs hangs alone
  'network.dns.localDomains': 'plain.test',   // as in Chromium's flags
  'dom.serviceWorkers.idle_timeout': 3000,    // as people's 30 s, in short
  'browser.shell.checkDefaultBrowser': false,
  'network.http.max-persistent-connections-per-server': 6,   // its default, as the tests rely on it
};

export async function launch(name) {
  return name === 'chromium' ? launchChromium() : launchFirefox();
}

// Goes back to another page. (A driver's own goBack waits for a load, which a page that comes out of the
// back/forward cache does not do.)
export async function goBack(page, pathname) {
  await page.evaluate(() => { history.back(); });
  await until(`back at ${pathname}`, () => page.evaluate((name) => location.pathname === name, pathname).catch(() => false));
}

// Firefox reports connections that fail as errors of the page, which here they are not.
function watched(page) {
  page.faults = [];
  page.on('pageerror', (error) => {
    if (!/establish a connection|was interrupted while|ServiceWorker intercepted the request/.test(error.message))
      page.faults.push(error.message);
  });
  return page;
}

async function launchChromium() {
  const browser = await need('playwright-core').chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_FLAGS,
    // People's browsers have the back/forward cache.
    ignoreDefaultArgs: ['--disable-back-forward-cache'] });
  return {
    name: 'chromium',
    close: () => browser.close(),
    async newContext() {
      const context = await browser.newContext();
      return {
        close: () => context.close(),
        devtools: (page) => context.newCDPSession(page),
        offline: (on) => context.setOffline(on),
        hang: hangChromium,
        async newPage(url) {
          const page = watched(await context.newPage());
          await page.goto(url);
          return page;
        },
      };
    },
  };
}

async function launchFirefox() {
  const browser = await need('puppeteer-core').launch({ browser: 'firefox', executablePath: FIREFOX, headless: true,
    extraPrefsFirefox: FIREFOX_PREFS });
  return {
    name: 'firefox',
    close: () => browser.close(),
    async newContext() {
      const context = await browser.createBrowserContext();
      return {
        close: () => context.close(),
        hang: hangFirefox,
        async newPage(url) {
          const page = watched(await context.newPage());
          await page.goto(url);
          return page;
        },
      };
    },
  };
}

// hang(page, site, latch) makes a page's thread stand still; `wake()` of what it returns ends that,
// and resolves when the page runs again.

// Until a row of the channel `latch` comes.
async function hangChromium(page, site, latch) {
  const asleep = page.evaluate((url) => {
    const ask = new XMLHttpRequest();
    ask.open('GET', url, false);
    ask.setRequestHeader('Accept', 'application/json');
    ask.send();
  }, site.events(`channel=${latch}&wait=60`));
  return {
    wake() {
      site.insert({ channel: latch, data: 'wake' });
      return asleep;
    },
  };
}

// For some seconds: Firefox goes on with a page's other events during a synchronous request, and
// nothing else that blocks can be ended from outside.
async function hangFirefox(page) {
  const asleep = page.evaluate(() => {
    const end = Date.now() + 3500;
    while (Date.now() < end)
      ;
  });
  return { wake: () => asleep };
}
