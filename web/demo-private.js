// demo-private.js - rows for one person: the same rowcast at a second address, where the web server
// asks who it is.
//
// The web server's login is HTTP's own (Basic), so that it needs no program. A page with a form for
// it tries name and password first without the browser's help (else a wrong one opens the
// browser's own question), then lets the browser learn them; after that every request to that
// address has them, the stream's too. rowcast sees REMOTE_USER, and sends rows whose recipient
// that is. An application would rather use its own session, or tickets.
import { alertOf, clean } from './alerts.js';
import { $, element, say, timeOf } from './demo-page.js';
import { Heard } from './demo-streams.js';

const NOTES_MAX = 6;
const NOTES_FIRST = 20;        // rows of before the login that the bell counts too

let user = '';                 // who is logged in
let bell = null;               // the alerts whose unread it counts

// alerts: { make(rows, types), end(one) }. Returns what leaves, if that user is logged in.
export function setUpPrivate(streams, config, alerts) {
  if (config.private === null) {
    $('private-none').hidden = false;
    return () => {};
  }
  const form = $('private-form');
  form.hidden = false;
  $('private-hint').textContent = config.user === '' ? '' : `For this demo: ${config.user}, password ${config.password}.`;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const [name, password] = [$('user').value, $('password').value];
    const refused = await login(config.private, name, password);
    $('private-error').textContent = refused;
    if (refused === '')
      enter(streams, config, name, alerts);
    else
      $('user').focus();
  });
  $('bell').addEventListener('click', readAll);
  $('private-leave').addEventListener('click', () => leave(streams, alerts));
  return (name, why) => {
    if (name !== user)
      return;
    leave(streams, alerts);
    $('private-error').textContent = why;
  };
}

// btoa wants bytes; HTTP's Basic login is UTF-8 (RFC 7617).
const basic = (user, password) => `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`${user}:${password}`)))}`;

// Returns '' or what is wrong.
async function login(url, user, password) {
  const health = `${url}/health`;
  try {
    const answer = await fetch(health, { credentials: 'omit', cache: 'no-store',
      headers: { Authorization: basic(user, password) } });
    if (answer.status === 401)
      return 'That is not the name and the password.';
    if (!answer.ok)
      return `The server says ${answer.status}.`;
    return await teach(health, user, password) ? '' : 'The browser did not keep the login.';
  } catch {
    return 'The server cannot be reached.';
  }
}

// fetch cannot hand a login to the browser for later requests; this can.
function teach(url, user, password) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open('GET', url, true, user, password);
    request.addEventListener('loadend', () => resolve(request.status === 200));
    request.send();
  });
}

function enter(streams, config, name, alerts) {
  user = name;
  $('password').value = '';
  $('private-form').hidden = true;
  $('private').hidden = false;
  $('private-user').textContent = user;
  $('private-empty').hidden = false;
  $('private-leave').focus();
  say(`Logged in as ${user}.`);
  const heard = new Heard();
  bell = alerts.make(heard, ['note']);
  bell.addEventListener('unread', showBell);
  showBell();
  // share: tabs of two persons must not share a connection.
  const options = { channels: ['private'], last: NOTES_FIRST, share: `user-${user}`, storage: null };
  streams.open('private', config.private, options, (rows) => {
    rows.on('note', show);
    heard.follow(rows);
  });
}

function leave(streams, alerts) {
  streams.close('private');
  alerts.end(bell);
  bell = null;
  user = '';
  showBell();
  $('private-list').replaceChildren();
  $('private').hidden = true;
  $('private-form').hidden = false;
  $('user').focus();
}

function showBell() {
  const unread = bell?.unread ?? 0;
  $('bell').hidden = bell === null;
  $('bell').dataset.unread = String(unread > 0);
  $('bell-count').textContent = unread.toLocaleString();
}

// On this page, and by the server on all other pages of the user.
async function readAll() {
  try {
    await bell.read();
    say('All read.');
  } catch (error) {
    $('private-error').textContent = `The server says: ${error.message}`;
  }
}

function show(row) {
  const { title, body } = clean(alertOf(row), document.baseURI);
  const item = element('li', 'new');
  item.append(timeOf(new Date(row.createdAt)), element('b', '', title), element('span', '', body));
  $('private-list').prepend(item);
  while ($('private-list').childElementCount > NOTES_MAX)
    $('private-list').lastElementChild.remove();
  $('private-empty').hidden = true;
}
