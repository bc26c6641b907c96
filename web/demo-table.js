// demo-table.js - a table that every tab edits and every tab sees.
//
// The form sends what it has to demo-table.py, an application that writes its own table and knows nothing of
// rowcast. `rowcast track` was called once for that table; rows.table() is the table on this page.
import { $, element, say } from './demo-page.js';

let address = '';            // of the application
const lines = new Map();     // key → the row's element, so that one keeps the focus when it changes

export function setUpTable(streams, config) {
  if (config.table === null)
    return;
  address = config.table;
  $('table-card').hidden = false;
  $('table-form').addEventListener('submit', add);
  streams.open('table', config.events, { channels: ['demo.table'], storage: null }, (rows) => {
    const table = rows.table('shopping');
    return table.subscribe((now) => table.state !== 'loading' && show(now));
  });
}

async function add(event) {
  event.preventDefault();
  const form = event.target;
  if (await send(new FormData(form)))
    form.reset();
}

async function send(fields) {
  $('table-error').textContent = '';
  try {
    const answer = await fetch(address, { method: 'POST', body: new URLSearchParams([...fields]) });
    if (answer.ok)
      return true;
    $('table-error').textContent = `The application says: ${answer.status}.`;
  } catch {
    $('table-error').textContent = 'The application does not answer.';
  }
  return false;
}

function show(rows) {
  for (const [key, line] of lines) {
    if (!rows.has(key)) {
      line.remove();
      lines.delete(key);
    }
  }
  const sorted = [...rows.values()].sort((a, b) => a.id - b.id);
  for (const row of sorted) {
    const line = lines.get(row.id) ?? newLine(row.id);
    line.querySelector('input').checked = row.done === 1;
    line.querySelector('label span').textContent = String(row.text);
    line.querySelector('button').setAttribute('aria-label', `Remove ${row.text}`);
  }
  const open = sorted.filter((row) => row.done !== 1).length;
  $('table-empty').hidden = sorted.length > 0;
  say(`Shopping list: ${open} of ${sorted.length} to buy.`);
}

function newLine(id) {
  const line = element('li', '');
  const label = element('label', '');
  const box = element('input', '');
  const button = element('button', '', 'Remove');
  box.type = 'checkbox';
  button.type = 'button';
  box.addEventListener('change', () => send([['id', id], ['done', box.checked ? 1 : 0]]));
  button.addEventListener('click', () => send([['id', id], ['remove', 1]]));
  label.append(box, element('span', ''));
  line.append(label, button);
  $('table-list').append(line);
  lines.set(id, line);
  return line;
}
