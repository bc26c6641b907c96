// browsers.mjs - Chromium (playwright-core) and stock Firefox (puppeteer-core, WebDriver BiDi)
// under one interface, as far as the tests of rowcast.js need it.
//
//   const browser = await launch('firefox');
//   const context = await browser.newContext();          // storage, locks and channels of its own
//   const page = await context.newPage(url);
//   await page.evaluate(fn, argument);  page.reload();  page.close();  page.faults
import { FIREFOX, WAIT_MS, launchChromium, need, until } from './harness.mjs';

const CHROMIUM_FLAGS = [
  // A name that is not localhost: over http its pages are no secure context.
  '--host-resolver-rules=MAP plain.test 127.0.0.1',
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
  return name === 'chromium' ? launchPlaywright() : launchFirefox();
}

// Goes back to another page, and waits until that has run its scripts. (A driver's own goBack waits for a
// load. A page from the back/forward cache does not load again, but one that the browser did not keep does.)
export async function goBack(page, pathname) {
  await page.evaluate(() => { history.back(); });
  await until(`back at ${pathname}`,
    () => page.evaluate((name) => location.pathname === name && document.readyState === 'complete', pathname)
      .catch(() => false));
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

async function launchPlaywright() {
  const browser = await launchChromium(CHROMIUM_FLAGS);
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
          page.setDefaultTimeout(WAIT_MS);
          // Of pages that open at the same time the driver misses the end of some loads (Firefox 140).
          page.goto(url).catch(() => {});
          await until(`${url} is loaded`, () => page.evaluate((href) => document.readyState === 'complete' && location.href === href,
            new URL(url).href).catch(() => false));
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

// The contrast of each text with what lies behind it (WCAG 2.2, 1.4.3), as the browser has painted
// it: where an ancestor's background is clear, the next one's counts. To be run in the page; returns the faint ones.
export function lowContrasts() {
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, n) => sum + value * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (one) => {
    for (let node = one; node !== null; node = node.parentElement) {
      const color = channels(getComputedStyle(node).backgroundColor);
      if (color.length === 3 || color[3] > 0)
        return color;
    }
    return [255, 255, 255];
  };
  const ratio = (one, color) => {
    const [a, b] = [light(channels(color)), light(behind(one))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const faint = [];
  for (const one of document.querySelectorAll('input:not([type=checkbox]):not([type=radio])')) {
    if (ratio(one, getComputedStyle(one, '::placeholder').color) < 4.5)
      faint.push(`placeholder of ${one.id}`);
    if (ratio(one.parentElement, getComputedStyle(one).borderTopColor) < 3)   // 1.4.11
      faint.push(`edge of ${one.id}`);
  }
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node !== null; node = walk.nextNode()) {
    const one = node.parentElement;
    if (node.data.trim() === '' || !one.checkVisibility() || one.closest('.unseen, .skip, noscript'))
      continue;
    const style = getComputedStyle(one);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio(one, style.color) < (large ? 3 : 4.5))
      faint.push(`${node.data.trim().slice(0, 30)} ${ratio(one, style.color).toFixed(2)}`);
  }
  return faint;
}
