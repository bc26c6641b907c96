// demo.js - one EventSource, a list, and a notification for each row.
//
// How it hears: EventSource with envelope=1 (the data of each event is the whole row as JSON,
// so channel and time are there) and ping=1 (heartbeats as events, so that silence is noticed).
// EventSource calls listeners by event type and has none for "any type", so a row of a type
// nobody asked for passes unheard. This page asks for the types in its field, and on each
// heartbeat it compares the stream's cursor with what it has shown: where they differ it asks
// the same address for JSON, shows what was unheard and asks for those types from then on.
// A page of your own knows its types and needs none of that.
//
// demo-config.json beside this file (optional, written by tools/demo):
//   {"events": "/events", "db": "/path/demo.db", "rowcast": "/path/rowcast"}
// Not read from the page's address: a link must not choose what a person pastes in a shell.

const LIST_MAX = 200;          // entries kept in the page
const DATA_MAX = 4000;         // characters of one row's data that are shown
const UNCHECKED_MAX = 1000;    // rows shown since the last check for unheard ones
const RETRY_FIRST_MS = 1000;
const RETRY_MAX_MS = 30000;
const BEAT_MAX_MS = 60000;     // of the heartbeat interval, as far as we believe it
const SAY_MS = 2000;
const LATE_MS = 3000;          // a row that took so long is marked
const TYPES = ['message', 'alert', 'info', 'warning', 'notice', 'paid', 'created', 'updated', 'deleted',
  'comment', 'chat', 'log', 'progress', 'done'];

const $ = (id) => document.getElementById(id);
const config = { events: '/events', db: 'your.db', rowcast: 'rowcast' };

let source = null;             // the EventSource
let channels = [];             // as applied, not as being typed
let types = new Set(TYPES);
let lastId = '';               // where a new EventSource goes on from
let checked = null;            // every row up to this id has been shown, whatever its type
let shown = new Set();         // ids above `checked` that have been shown
let checking = false;
let retryMs = RETRY_FIRST_MS;
let retryTimer = 0;
let silenceTimer = 0;
let heardAt = 0;
let beatMs = 0;                // the server's heartbeat as measured; 0: not known yet
let clockSkew = Infinity;      // the smallest (our clock - created_at) seen
let count = 0;
let alertsOff = false;         // the person's own switch, where permission is there

// --- the connection -----------------------------------------------------------------------

// The items of a field; a name may hold spaces, so commas part them.
function items(id) {
  return $(id).value.split(',').map((item) => item.trim()).filter(Boolean);
}

function streamUrl(extra) {
  const url = new URL(config.events, location.href);
  for (const channel of channels)
    url.searchParams.append('channel', channel);
  for (const [name, value] of Object.entries(extra))
    url.searchParams.set(name, value);
  return url.href;
}

function connect() {
  disconnect();
  setState(navigator.onLine ? 'connecting' : 'offline');
  const from = lastId === '' ? {} : { last_event_id: lastId };
  source = new EventSource(streamUrl({ envelope: 1, ping: 1, ...from }));
  source.addEventListener('rowcast:open', heard(onOpen));
  source.addEventListener('rowcast:ping', heard(onPing));
  source.addEventListener('rowcast:gap', heard(onGap));
  source.addEventListener('rowcast:too-large', heard(onTooLarge));
  for (const type of types)
    source.addEventListener(type, heard(onRow));
  source.addEventListener('error', onError);
}

function disconnect() {
  clearTimeout(retryTimer);
  clearTimeout(silenceTimer);
  if (source !== null)
    source.close();
  source = null;
}

// Wraps a handler: every event proves that the stream lives, and carries the last id. Events
// of a stream that has been replaced are dropped.
function heard(handler) {
  return (event) => {
    if (event.target !== source)
      return;
    const quietMs = performance.now() - heardAt;
    heardAt = performance.now();
    if (event.lastEventId !== '')
      lastId = event.lastEventId;
    $('last-id').textContent = lastId || '–';
    if ($('state').dataset.state !== 'open')
      setState('open');
    handler(event, quietMs);
    watchSilence();
  };
}

// A half-open connection (a laptop that slept, a router that forgot) raises no error: after two
// and a half heartbeats of silence the stream counts as dead.
function watchSilence() {
  clearTimeout(silenceTimer);
  if (beatMs > 0)
    silenceTimer = setTimeout(connect, 2.5 * beatMs + 1000);
}

// EventSource comes back by itself, with Last-Event-ID, from a cut connection (readyState
// CONNECTING). From any answer but 200 it does not: it is CLOSED for good, and we start anew.
function onError(event) {
  if (event.target !== source)
    return;
  clearTimeout(silenceTimer);
  if (source.readyState !== EventSource.CLOSED) {
    setState(navigator.onLine ? 'retrying' : 'offline');
    return;
  }
  const waitMs = retryMs * (0.75 + Math.random() / 2);
  retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
  setState(navigator.onLine ? 'retrying' : 'offline',
    `refused; next try in ${Math.ceil(waitMs / 1000)} s`);
  retryTimer = setTimeout(connect, waitMs);
}

function onOpen(event) {
  retryMs = RETRY_FIRST_MS;
  if (checked === null)
    checked = Number(parse(event.data).last_event_id);
}

function onPing(event, quietMs) {
  // A heartbeat comes after one interval without any other word, so that is its length. The
  // longest counts: after a pause of the page several come at once. A sleep of hours does not.
  beatMs = Math.min(Math.max(beatMs, quietMs), BEAT_MAX_MS);
  showUnheard(Number(parse(event.data).last_event_id));
}

function onRow(event) {
  const row = parse(event.data);
  showRow({ ...row, id: event.lastEventId });
  if (shown.size > UNCHECKED_MAX)
    showUnheard(Number(row.id));
}

function onTooLarge(event) {
  showRow({ ...parse(event.data), id: event.lastEventId, event: 'rowcast:too-large' });
}

function onGap(event) {
  const gap = parse(event.data);
  checked = Number(gap.resumed_at);
  shown.clear();
  const why = {
    pruned: `Rows after ${gap.after} had been deleted before they could be sent. The stream went on after ${gap.resumed_at}.`,
    reset: `This database does not know the id ${gap.after}: it was made anew or restored. The stream went on after ${gap.resumed_at}.`,
    'bad-id': `The last event id was not a number. The stream starts at ${gap.resumed_at}.`,
  }[gap.reason] ?? `Reason: ${gap.reason}. The stream went on after ${gap.resumed_at}.`;
  addNotice(gap.resumed_at, 'gap', why);
  say(`Gap in the events. ${why}`);
}

// Asks for all rows since the last check up to an id, of whatever type. The answer comes in
// pages. Duplicates are dropped by id.
async function showUnheard(upTo) {
  if (checking || checked === null)
    return;
  checking = true;
  const of = source;
  try {
    while (checked < upTo) {
      const page = await getJson(streamUrl({ last_event_id: checked }));
      if (source !== of || Number(page.last_event_id) <= checked)
        return;
      for (const row of page.events) {
        if (showRow(row))
          listenFor(row.event);
      }
      checked = Number(page.last_event_id);
      shown = new Set([...shown].filter((id) => id > checked));
    }
  } catch {
    // The stream itself says whether the server can be reached; the next heartbeat asks again.
  } finally {
    checking = false;
  }
}

async function getJson(url) {
  const answer = await fetch(url, { headers: { Accept: 'application/json' }, cache: 'no-store' });
  if (!answer.ok)
    throw new Error(answer.statusText);
  return answer.json();
}

// EventSource's own types and rowcast's are no types of rows.
function isRowType(type) {
  return type !== 'open' && type !== 'error' && !type.startsWith('rowcast:');
}

function listenFor(type) {
  if (types.has(type) || !isRowType(type))
    return;
  types.add(type);
  $('types').value = [...types].join(', ');
  source.addEventListener(type, heard(onRow));
}

function parse(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === 'object' ? value : { data: text };
  } catch {
    return { data: text };
  }
}

// --- what is seen -------------------------------------------------------------------------

const STATES = {
  connecting: 'to the stream',
  open: 'listening',
  retrying: 'nothing will be missed',
  offline: 'nothing will be missed',
};

function setState(state, note = STATES[state]) {
  $('state').dataset.state = state;
  $('state-word').textContent = state;
  $('state-note').textContent = note;
}

// Everything a row holds goes through textContent: markup in it stays text.
function element(name, className, text) {
  const node = document.createElement(name);
  node.className = className;
  if (text !== undefined)
    node.textContent = text;
  return node;
}

// Returns false for a row that has been shown before.
function showRow(row) {
  const id = Number(row.id);
  if ((checked !== null && id <= checked) || shown.has(id))
    return false;
  shown.add(id);
  count += 1;
  $('count').textContent = count.toLocaleString();
  if (document.hidden)
    document.title = `(${count.toLocaleString()}) rowcast demo`;

  if (row.event === 'rowcast:too-large') {
    const size = 'bytes' in row ? row : parse(row.data);
    addNotice(row.id, 'too large', `Row ${row.id} has ${Number(size.bytes).toLocaleString()} bytes of data; `
      + `the server sends at most ${Number(size.limit).toLocaleString()} (--max-event-bytes).`);
    alertPerson(row.id, 'rowcast', `Row ${row.id} is too large to be sent`);
    return true;
  }

  const data = String(row.data ?? '');
  addEntry(row.id, '', [metaOf(row), dataOf(data)]);
  const title = row.event === 'message' || !row.event ? String(row.channel ?? 'rowcast')
    : `${row.channel ?? 'rowcast'} · ${row.event}`;
  alertPerson(row.id, title, data === '' ? '(no data)' : data.slice(0, 240));
  return true;
}

function metaOf(row) {
  const meta = element('div', 'meta');
  const at = new Date(row.created_at > 0 ? row.created_at : Date.now());
  meta.append(timeOf(at), element('span', 'chip', row.channel ?? 'default'),
    element('span', 'type', row.event ?? 'message'));
  if (row.created_at > 0) {
    // The two clocks may differ: what the quickest row took counts as no time at all.
    const tookMs = Date.now() - row.created_at;
    clockSkew = Math.min(clockSkew, tookMs);
    if (tookMs - clockSkew > LATE_MS)
      meta.append(element('span', 'late', `caught up after ${duration(tookMs - clockSkew)}`));
  }
  meta.append(element('span', 'id', row.id));
  return meta;
}

function timeOf(at) {
  const time = element('time', '', at.toLocaleTimeString());
  time.dateTime = at.toISOString();
  time.title = at.toLocaleString();
  return time;
}

function dataOf(data) {
  if (data === '')
    return element('p', 'data none', 'no data');
  const cut = data.length > DATA_MAX;
  return element('pre', 'data', cut
    ? `${data.slice(0, DATA_MAX)}… (${data.length.toLocaleString()} characters in all)` : data);
}

function duration(ms) {
  const s = Math.round(ms / 1000);
  return s < 120 ? `${s} s` : s < 7200 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}

function addNotice(id, type, text) {
  const meta = element('div', 'meta');
  meta.append(timeOf(new Date()), element('span', 'type', type), element('span', 'id', id));
  addEntry(id, 'notice', [meta, element('p', '', text)]);
}

// Newest first. Rows found late go to their place by id, so a walk from the top is short.
function addEntry(id, className, parts) {
  const list = $('list');
  const item = element('li', `new ${className}`);
  item.dataset.id = id;
  item.append(...parts);
  let before = list.firstElementChild;
  while (before !== null && Number(before.dataset.id) > Number(id))
    before = before.nextElementSibling;
  list.insertBefore(item, before);
  while (list.childElementCount > LIST_MAX) {
    list.lastElementChild.remove();
    $('bound').hidden = false;
  }
  $('empty').hidden = true;
  $('clear').hidden = false;
}

// One polite sentence for a screen reader every two seconds, however many rows came meanwhile.
let sayTimer = 0;
let unsaid = 0;
let lastSaid = '';
function say(text) {
  unsaid += 1;
  lastSaid = text;
  if (sayTimer !== 0)
    return;
  sayTimer = setTimeout(() => {
    $('announce').textContent = unsaid > 1 ? `${unsaid} new events. Last: ${lastSaid}` : lastSaid;
    unsaid = 0;
    sayTimer = 0;
  }, SAY_MS);
}

// --- alerts -------------------------------------------------------------------------------

// 'unsupported', 'insecure', 'default', 'granted', 'denied'
function permission() {
  if (!('Notification' in window))
    return window.isSecureContext ? 'unsupported' : 'insecure';
  return window.isSecureContext ? Notification.permission : 'insecure';
}

function alertPerson(id, title, body) {
  say(`${title}: ${body.slice(0, 120)}`);
  if (permission() === 'granted' && !alertsOff) {
    try {
      const note = new Notification(title, { body, tag: `rowcast-${id}` });
      note.onclick = () => { window.focus(); note.close(); };
      return;
    } catch {
      // Android's Chrome has the constructor and refuses it (a service worker must do it).
    }
  }
  toast(title, body);
}

function toast(title, body) {
  const note = element('div', 'toast');
  note.append(element('b', '', title), element('span', '', body));
  $('toasts').append(note);
  while ($('toasts').childElementCount > 3)
    $('toasts').firstElementChild.remove();
  setTimeout(() => note.remove(), 6000);
}

function showAlerts() {
  const texts = {
    unsupported: ['This browser has no notifications for pages. A note in the page’s corner stands in for them.'],
    insecure: ['Browsers raise notifications only for pages from https or localhost, and this is neither. A note in the page’s corner stands in for them.'],
    denied: ['Notifications are blocked for this page. Allow them in the browser’s settings for this site; until then a note in the page’s corner stands in for them.'],
    default: ['The browser can raise a notification for each event, also while this tab is in the background. It will ask you once.', 'Allow notifications'],
    granted: alertsOff
      ? ['Notifications are allowed, and turned off here. A note in the page’s corner stands in for them.', 'Turn on']
      : ['On: each event raises a notification.', 'Turn off'],
  };
  const [text, action] = texts[permission()];
  $('alerts-note').textContent = text;
  $('alerts-button').hidden = action === undefined;
  $('alerts-button').textContent = action ?? '';
  $('alerts-button').className = action === 'Turn off' ? '' : 'primary';
}

// Browsers let a page ask only from a person's click, and rightly so.
async function onAlertsButton() {
  if (permission() === 'granted')
    alertsOff = !alertsOff;
  else
    await Notification.requestPermission();
  showAlerts();
}

// --- the lines to try, the form -------------------------------------------------------------

// For a POSIX shell: bare where that is safe, else in single quotes.
function quote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

// A channel that the page hears, to put into the lines: only plain names, as it comes from the
// page's address and goes into a shell.
function exampleChannel() {
  const [first] = channels;
  const name = (first ?? 'orders').replaceAll('*', '1');
  return /^[\w.-]+$/.test(name) ? name : 'orders';
}

function showLines() {
  const channel = exampleChannel();
  const db = quote(config.db);
  const send = `${quote(config.rowcast)} send --db ${db} --channel ${channel}`;
  showLine('try-sql', `sqlite3 ${db} "INSERT INTO notification(channel, event, data) VALUES ('${channel}', 'paid', 'Order 7 is paid')"`);
  showLine('try-send', `${send} --event paid 'Order 8 is paid'`);
  showLine('try-lines', `seq 20 | ${send} --lines`);
}

// Options are kept whole: browsers would break a line after the hyphens of `--db`.
function showLine(id, text) {
  $(id).replaceChildren(...text.split(/( --\w+)/).map((part, i) => {
    return i % 2 === 1 ? element('span', '', part) : part;
  }));
}

async function onCopy(event) {
  const button = event.currentTarget;
  const line = $(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(line.textContent);
    button.textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(line); // no clipboard without https: the person copies
    button.textContent = 'Selected';
  }
  setTimeout(() => { button.textContent = 'Copy'; }, 1500);
}

// Other channels are another stream: it starts with what is new, and the list stays.
function onListen(event) {
  event.preventDefault();
  channels = items('channels');
  const url = new URL(location.href);
  url.searchParams.delete('channel');
  for (const channel of channels)
    url.searchParams.append('channel', channel);
  history.replaceState(null, '', url);
  types = new Set(['message', ...items('types').filter(isRowType)]);
  $('types').value = [...types].join(', ');
  lastId = '';
  checked = null;
  shown.clear();
  showLines();
  connect();
}

async function readConfig() {
  try {
    Object.assign(config, await getJson('demo-config.json'));
  } catch {
    // None there: the page works with the placeholders.
  }
}

async function start() {
  channels = new URL(location.href).searchParams.getAll('channel').filter(Boolean);
  $('channels').value = channels.join(', ');
  $('types').value = [...types].join(', ');
  $('bound').textContent = `The list keeps the newest ${LIST_MAX}.`;
  $('listen-form').addEventListener('submit', onListen);
  $('alerts-button').addEventListener('click', onAlertsButton);
  $('clear').addEventListener('click', () => {
    $('list').replaceChildren();
    $('empty').hidden = false;
    $('clear').hidden = true;
    $('bound').hidden = true;
    count = 0;
    $('count').textContent = '0';
    $('list').focus();
  });
  for (const button of document.querySelectorAll('[data-copy]')) {
    button.hidden = false;
    button.addEventListener('click', onCopy);
  }
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden)
      document.title = 'rowcast demo';
  });
  window.addEventListener('offline', () => setState('offline'));
  window.addEventListener('online', connect);
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) // back from the back-forward cache, where the connection was cut
      connect();
  });
  navigator.permissions?.query({ name: 'notifications' })
    .then((status) => { status.onchange = showAlerts; }).catch(() => {});
  showAlerts();
  await readConfig();
  showLines();
  connect();
}

start();
