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

const NOTES_MAX = 6;

export function setUpPrivate(streams, config, alertsOf) {
  if (config.private === null) {
    $('private-none').hidden = false;
    return;
  }
  const form = $('private-form');
  form.hidden = false;
  $('private-hint').textContent = config.user === '' ? '' : `For this demo: ${config.user}, password ${config.password}.`;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const [user, password] = [$('user').value, $('password').value];
    const refused = await login(config.private, user, password);
    $('private-error').textContent = refused;
    if (refused === '')
      enter(streams, config, user, alertsOf);
    else
      $('user').focus();
  });
  $('private-leave').addEventListener('click', () => leave(streams));
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

function enter(streams, config, user, alertsOf) {
  $('password').value = '';
  $('private-form').hidden = true;
  $('private').hidden = false;
  $('private-user').textContent = user;
  $('private-empty').hidden = false;
  $('private-leave').focus();
  say(`Logged in as ${user}.`);
  // share: tabs of two persons must not share a connection.
  streams.open('private', config.private, { channels: ['private'], share: `user-${user}`, storage: null }, (rows) => {
    rows.on('*', show);
    return alertsOf(rows, ['note']);
  });
}

function leave(streams) {
  streams.close('private');
  $('private-list').replaceChildren();
  $('private').hidden = true;
  $('private-form').hidden = false;
  $('user').focus();
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
