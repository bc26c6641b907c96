// demo.js - the demo page: what reads what. Begin here; each part of the page is a file of its own.
//
//   demo-list.js     the live list and its channels      demo-job.js      a progress bar
//   demo-ticker.js   a chart of throttled rows           demo-answer.js   a text, row by row
//   demo-private.js  rows for one person, after a login  demo-cut.js      cut and resume
//   demo-try.js      lines for a terminal                demo-streams.js  all the page's readers
//   demo-table.js    a table that all tabs edit          demo-people.js   who is here; throwing out
//   demo-push.js     an alert with the page closed       demo-page.js     what they all need
//
// The connection is rowcast.js, notifications are alerts.js; a page of your own needs no more.
import { Alerts } from './alerts.js';
import { setUpAnswer } from './demo-answer.js';
import { cutSaw, setUpCut } from './demo-cut.js';
import { setUpJob } from './demo-job.js';
import { channelsOfAddress, setUpChannels, setUpList, wireList } from './demo-list.js';
import { $, readConfig, say } from './demo-page.js';
import { setUpPeople } from './demo-people.js';
import { setUpPush } from './demo-push.js';
import { setUpPrivate } from './demo-private.js';
import { Streams } from './demo-streams.js';
import { setUpTable } from './demo-table.js';
import { setUpTicker } from './demo-ticker.js';
import { setUpCopying, showLines } from './demo-try.js';

const ALERT_TYPES = ['alert', 'message'];

const config = await readConfig();
const streams = new Streams(config.timeouts);
let channels = channelsOfAddress();
const alerts = new Set();      // those of the streams that are open
let enabled = true;            // the person's own switch

// --- the connection's state -----------------------------------------------------------------------

// The word, and a note beside it, for each state.
const STATES = {
  connecting: ['connecting', 'to the server'],
  open: ['connected', 'rows come at once'],
  fallback: ['connected', 'this page asks every few seconds'],
  retrying: ['connecting again', 'nothing will be missed'],
  offline: ['offline', 'nothing will be missed'],
  cut: ['cut', 'by your button'],
  idle: ['not connected', 'no channel is ticked'],
};

function showState(state, error = null) {
  const [word, usual] = STATES[state];
  const note = error === null ? usual : error.message;
  if ($('state').dataset.state === state && $('state-note').textContent === note)
    return;
  if ($('state').dataset.state !== state)
    say(`Connection: ${word}.`);
  $('state').dataset.state = state;
  $('state-word').textContent = word;
  $('state-note').textContent = note;
}

streams.addEventListener('state', ({ detail }) => {
  if (detail.name !== 'list' || detail.state === 'closed')
    return;
  showState(detail.state, detail.error);
  setTimeout(showLastId);      // the reader learns its start after it has reported its state
});
streams.addEventListener('cut', () => showState('cut'));
streams.addEventListener('resume', () => { if (channels.length === 0) showState('idle'); });

function showLastId() {
  $('last-id').textContent = streams.lastEventId('list') || '–';
}

// --- alerts -----------------------------------------------------------------------------------------

// Raises alerts for rows of these types, until endAlerts.
function makeAlerts(rows, types) {
  const one = new Alerts(rows, { types, toasts: $('toasts') });
  one.enabled = enabled;
  one.addEventListener('change', showAlerts);
  alerts.add(one);
  return one;
}

function endAlerts(one) {
  alerts.delete(one);
  one.close();
}

// What the browser thinks of notifications, whatever is connected.
const idle = new Alerts({ on: () => () => {} });
idle.addEventListener('change', showAlerts);

function showAlerts() {
  const texts = {
    unsupported: [window.isSecureContext
      ? 'This browser has no notifications for pages. A note in the page’s corner stands in for them.'
      : 'Browsers raise notifications only for pages from https or localhost, and this is neither. A note in the page’s corner stands in for them.'],
    denied: ['Notifications are blocked for this page. Allow them in the browser’s settings for this site; until then a note in the page’s corner stands in for them.'],
    default: ['An alert or a message can raise a notification, also while this tab is in the background. The browser will ask you once.', 'Allow notifications'],
    granted: enabled ? ['On: each alert raises a notification.', 'Turn off']
      : ['Notifications are allowed, and turned off here. A note in the page’s corner stands in for them.', 'Turn on'],
  };
  const [text, action] = texts[idle.state];
  $('alerts-note').textContent = text;
  $('alerts-button').hidden = action === undefined;
  $('alerts-button').textContent = action ?? '';
  $('alerts-button').className = action === 'Turn off' ? '' : 'primary';
}

async function onAlertsButton() {
  if (idle.state === 'granted')
    enabled = !enabled;
  else
    await idle.ask();
  for (const one of alerts)
    one.enabled = enabled;
  showAlerts();
}

// --- the list ---------------------------------------------------------------------------------------

function listen() {
  showLines(config, channels);
  if (channels.length === 0) {
    streams.close('list');
    showState('idle');
    return;
  }
  streams.open('list', config.events, { channels }, (rows) => {
    wireList(rows, (id) => {
      $('last-id').textContent = id;
      cutSaw(id);
    });
    const raised = makeAlerts(rows, ALERT_TYPES);
    return () => endAlerts(raised);
  });
}

// The list's rows after an id, as JSON.
function listUrl(from) {
  const url = new URL(config.events, location.href);
  for (const channel of channels)
    url.searchParams.append('channel', channel);
  url.searchParams.set('last_event_id', from);
  return url.href;
}

setUpList();
setUpChannels(channels, (joined) => {
  channels = joined;
  listen();
});
setUpCopying();
$('alerts-button').addEventListener('click', onAlertsButton);
showAlerts();
listen();
setUpTicker(streams, config.events);
setUpAnswer(streams, config.events);
setUpJob(streams, config.events);
setUpTable(streams, config);
const leave = setUpPrivate(streams, config, { make: makeAlerts, end: endAlerts });
setUpPeople(streams, config, leave);
setUpPush(streams, config, makeAlerts);
setUpCut(streams, listUrl);
