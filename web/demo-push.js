// demo-push.js - an alert that comes when this page is closed.
//
// alerts.subscribe() makes the browser's subscription and gives it to rowcast; the demo's application
// (demo-later.py) inserts a row ten seconds later, and `rowcast push` sends it. Where the browser
// gets no subscription the page says why.
import { $, say } from './demo-page.js';
import { Heard } from './demo-streams.js';

const NAME = 'rowcast-demo-channel';

let left = 0;                  // seconds
let timer = 0;

// A channel of this browser's own, as there need not be a login.
function channelOf() {
  let name = localStorage.getItem(NAME);
  if (!/^demo\.you\.[a-z0-9]{8,32}$/.test(name)) {
    name = `demo.you.${crypto.randomUUID().replaceAll('-', '')}`;
    localStorage.setItem(NAME, name);
  }
  return name;
}

export function setUpPush(streams, config, makeAlerts) {
  if (config.later === null)
    return;
  const channel = channelOf();
  $('push-card').hidden = false;
  const heard = new Heard();
  const alerts = makeAlerts(heard, ['alert']);
  heard.on('alert', () => tell('The alert has come.'));
  streams.open('you', config.events, { channels: [channel], storage: null }, (rows) => heard.follow(rows));
  $('push').addEventListener('click', () => begin(alerts, config, channel));
}

// Why no row can be pushed to this browser; null: one can.
async function obstacle(alerts, { events }, channel) {
  const state = await alerts.ask();
  if (state === 'unsupported')
    return window.isSecureContext ? 'This browser has no notifications for pages. On an iPhone or iPad, add the page to the home screen first.'
      : 'Browsers have Web Push only for pages from https or localhost, and this is neither.';
  if (state !== 'granted')
    return 'Notifications are not allowed for this page. The browser’s settings for this site can allow them.';
  try {
    await alerts.subscribe({ url: events, channels: [channel] });
    return null;
  } catch (error) {
    return /^[45]/.test(error.message) ? `rowcast says: ${error.message}.`
      : `The browser got no subscription from its vendor’s push service, which needs a network: ${error.message}.`;
  }
}

async function begin(alerts, config, channel) {
  $('push').disabled = true;
  tell('Asking the browser …');
  try {
    const why = await obstacle(alerts, config, channel);
    const answer = await fetch(config.later, { method: 'POST', body: new URLSearchParams({ channel }) });
    if (!answer.ok)
      tell(answer.status === 429 ? 'Some alerts are on their way already: wait for them.' : `The application says: ${answer.status}.`);
    else if (why === null)
      countDown(config, (seconds) => `Close this page now. The alert comes in ${seconds} s, page or no page.`);
    else
      countDown(config, (seconds) => `${why} So leave the page open: the alert comes here in ${seconds} s.`);
  } catch {
    tell('The application does not answer.');
  }
  $('push').disabled = false;
  $('push').focus();
}

// A screen reader hears the first sentence and not each second.
function countDown({ laterSeconds = 10 }, words) {
  left = laterSeconds;
  tell(words(left));
  timer = setInterval(() => {
    left -= 1;
    if (left > 0)
      $('push-note').textContent = words(left);
    else
      clearInterval(timer);
  }, 1000);
}

function tell(text) {
  clearInterval(timer);
  $('push-note').textContent = text;
  say(text);
}
