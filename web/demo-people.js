// demo-people.js - who is here, and a button that throws a member out.
//
// The page asks the demo's application (demo-people.py), which joins its own table of members with
// rowcast_presence. When to ask, the rows of `rowcast serve --presence-channel demo.who` say: join
// and leave. The application adds rows of its own: out and in.
import { $, element, say } from './demo-page.js';

let address = '';              // of the application
const lines = new Map();       // login → the member's element, so that its button keeps the focus

// leave(name, why): the login of that member has ended.
export function setUpPeople(streams, config, leave) {
  if (config.people === null)
    return;
  address = config.people;
  $('people-card').hidden = false;
  streams.open('people', config.events, { channels: ['demo.who'], storage: null }, (rows) => {
    for (const type of ['join', 'leave', 'in', 'out', 'rowcast:gap'])
      rows.on(type, () => ask());
    rows.on('out', (row) => leave(userOf(row), 'You have been thrown out: the login is blocked.'));
    rows.addEventListener('rowcast:state', ({ detail }) => detail.state === 'open' && ask());
  });
}

function userOf(row) {
  try {
    return String(JSON.parse(row.data).user);
  } catch {
    return '';
  }
}

// The last answer that was asked for counts.
let asked = 0;
async function ask(form = null) {
  const mine = ++asked;
  $('people-error').textContent = '';
  try {
    const options = form === null ? { cache: 'no-store' } : { method: 'POST', body: new URLSearchParams(form) };
    const answer = await fetch(address, options);
    if (!answer.ok)
      throw new Error(`The application says: ${answer.status}.`);
    const overview = await answer.json();
    if (mine === asked)
      show(overview);
  } catch (error) {
    $('people-error').textContent = error instanceof TypeError ? 'The application does not answer.' : error.message;
  }
}

function wordOf({ streams, out }) {
  const here = streams === 0 ? 'not here' : streams === 1 ? 'here' : `here, with ${streams} streams`;
  return out ? `${here}; the login is blocked` : here;
}

function show({ members, nameless }) {
  for (const member of members) {
    const line = lines.get(member.login) ?? newLine(member);
    const word = wordOf(member);
    const note = line.querySelector('small');
    if (note.textContent !== word && note.textContent !== '')
      say(`${member.name}: ${word}.`);
    note.textContent = word;
    line.dataset.here = String(member.streams > 0);
    line.dataset.out = String(member.out);
    line.querySelector('button').textContent = member.out ? `Let ${member.login} in` : `Throw ${member.login} out`;
  }
  $('people-nameless').textContent = `Without a login: ${nameless.toLocaleString()} ${nameless === 1 ? 'stream' : 'streams'}.`;
}

function newLine({ login, name }) {
  const line = element('li', '');
  const who = element('span', 'who');
  const button = element('button', '');
  button.type = 'button';
  button.addEventListener('click', () => ask([[line.dataset.out === 'true' ? 'in' : 'out', login]]));
  who.append(element('b', '', name), element('small', ''));
  line.append(who, button);
  $('people').append(line);
  lines.set(login, line);
  return line;
}
