// demo-list.js - the live list: every row of the channels that are ticked, newest first.
import { alertOf, clean } from './alerts.js';
import { $, duration, element, objectOf, say, talk, timeOf } from './demo-page.js';

const LIST_MAX = 200;          // entries kept in the page
const DATA_MAX = 4000;         // characters of one row's data that are shown
const LATE_MS = 3000;          // a row that took so long is marked
const CHANNELS = ['default', 'orders', 'news', 'chat'];

let count = 0;
let clockSkew = Infinity;      // the smallest (our clock - createdAt) seen

// A name may hold spaces, so commas part them.
const split = (text) => text.split(',').map((item) => item.trim()).filter(Boolean);

// --- channels ------------------------------------------------------------------------------------

export function channelsOfAddress() {
  const channels = new URL(location.href).searchParams.getAll('channel').filter(Boolean);
  return channels.length > 0 ? channels : CHANNELS;
}

// join(channels) is called with what the person has ticked and written.
export function setUpChannels(channels, join) {
  for (const name of CHANNELS) {
    const label = element('label', 'tick');
    const box = element('input', '');
    box.type = 'checkbox';
    box.value = name;
    box.checked = channels.includes(name);
    label.append(box, element('span', '', name));
    $('ticks').append(label);
  }
  $('others').value = channels.filter((name) => !CHANNELS.includes(name)).join(', ');
  const changed = (event) => {
    event.preventDefault();
    const ticked = [...$('ticks').querySelectorAll('input:checked')].map((box) => box.value);
    const all = [...ticked, ...split($('others').value)];
    $('none-ticked').hidden = all.length > 0;
    const url = new URL(location.href);
    url.searchParams.delete('channel');
    for (const channel of all)
      url.searchParams.append('channel', channel);
    history.replaceState(null, '', url);
    join(all);
  };
  $('ticks').addEventListener('change', changed);
  $('channels-form').addEventListener('submit', changed);
}

// --- entries -------------------------------------------------------------------------------------

// The listeners of the list's stream; each row's id also goes to onrow.
export function wireList(rows, onrow) {
  rows.on('*', (row) => {
    showRow(row);
    onrow(row.lastEventId);
  });
  rows.on('rowcast:gap', ({ detail }) => showGap(detail));
}

function showRow(row) {
  count += 1;
  $('count').textContent = count.toLocaleString();
  if (document.hidden)
    document.title = `(${count.toLocaleString()}) rowcast demo`;
  if (row.type === 'rowcast:too-large') {
    const { bytes, limit } = objectOf(row);
    addNotice(row.lastEventId, 'too large', `Row ${row.lastEventId} has ${Number(bytes).toLocaleString()} bytes `
      + `of data; the server sends at most ${Number(limit).toLocaleString()} (--max-event-bytes).`);
    return;
  }
  addEntry(row.lastEventId, '', [metaOf(row), dataOf(row.data)]);
  talk(`${row.channel}: ${clean(alertOf(row), document.baseURI).body.slice(0, 120)}`);
}

function metaOf(row) {
  const meta = element('div', 'meta');
  const at = new Date(row.createdAt > 0 ? row.createdAt : Date.now());
  meta.append(timeOf(at), element('span', 'chip', row.channel ?? 'default'), element('span', 'type', row.type));
  if (row.createdAt > 0) {
    // The two clocks may differ: what the quickest row took counts as no time at all.
    const tookMs = Date.now() - row.createdAt;
    clockSkew = Math.min(clockSkew, tookMs);
    if (tookMs - clockSkew > LATE_MS)
      meta.append(element('span', 'late', `caught up after ${duration(tookMs - clockSkew)}`));
  }
  meta.append(element('span', 'id', row.lastEventId));
  return meta;
}

// Data that is an alert is shown as one; all else as it is.
function dataOf(data) {
  if (data === '')
    return element('p', 'data none', 'no data');
  const alert = clean(alertOf({ channel: '', type: 'message', data }), document.baseURI);
  if (alert.title !== '') {
    const text = element('p', 'data');
    const head = element(alert.url === '' ? 'b' : 'a', '', alert.title);
    if (alert.url !== '')
      Object.assign(head, { href: alert.url, rel: 'noopener noreferrer', target: '_blank' });
    text.append(head, alert.body === '' ? '' : ` ${alert.body}`);
    return text;
  }
  const cut = data.length > DATA_MAX;
  return element('pre', /^\s*[[{<]/.test(data) ? 'data code' : 'data', cut
    ? `${data.slice(0, DATA_MAX)}… (${data.length.toLocaleString()} characters in all)` : data);
}

function showGap(gap) {
  const why = {
    pruned: `Rows after ${gap.after} had been deleted before they could be sent. The stream went on after ${gap.resumed_at}.`,
    reset: `This database does not know the id ${gap.after}: it was created again or restored. The stream continued after ${gap.resumed_at}.`,
  }[gap.reason] ?? `Reason: ${gap.reason}. The stream went on after ${gap.resumed_at}.`;
  addNotice(gap.resumed_at, 'gap', why);
  say(`Gap in the events. ${why}`);
}

function addNotice(id, type, text) {
  const meta = element('div', 'meta');
  meta.append(timeOf(new Date()), element('span', 'type', type), element('span', 'id', id));
  addEntry(id, 'notice', [meta, element('p', '', text)]);
}

function addEntry(id, className, parts) {
  const list = $('list');
  const item = element('li', `new ${className}`);
  item.dataset.id = id;
  item.append(...parts);
  // A user who has scrolled down keeps the text in place: browsers anchor it. (To
  // do so by hand asks for a layout with each row.)
  list.prepend(item);
  while (list.childElementCount > LIST_MAX) {
    list.lastElementChild.remove();
    $('bound').hidden = false;
  }
  showEmpty(false);
}

function showEmpty(empty) {
  $('empty').hidden = !empty;
  $('list-box').hidden = empty;
  $('clear').hidden = empty;
}

export function setUpList() {
  $('bound').textContent = `The list keeps the newest ${LIST_MAX}.`;
  showEmpty(true);
  $('clear').addEventListener('click', () => {
    $('list').replaceChildren();
    showEmpty(true);
    $('bound').hidden = true;
    count = 0;
    $('count').textContent = '0';
    $('h-events').focus();
  });
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden)
      document.title = 'rowcast demo';
  });
}
