// demo-try.js - lines for a terminal that insert rows, ready to copy.
import { $, element } from './demo-page.js';

// For a POSIX shell: bare where that is safe, else in single quotes.
function quote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

// A channel that the page hears, to put into the lines: only plain names, as it comes from the
// page's address and goes into a shell.
function exampleChannel(channels) {
  const name = (channels.includes('orders') ? 'orders' : channels[0] ?? 'orders').replaceAll('*', '1');
  return /^[\w.-]+$/.test(name) ? name : 'orders';
}

export function showLines(config, channels) {
  const channel = exampleChannel(channels);
  const db = quote(config.db);
  const send = `${quote(config.rowcast)} send --db ${db} --channel ${channel}`;
  showLine('try-sql', `sqlite3 ${db} "INSERT INTO notification(channel, event, data) VALUES ('${channel}', 'alert', 'Order 7 is paid')"`);
  showLine('try-send', `${send} --event alert '{"title":"Order 8","body":"is paid","tag":"order-8"}'`);
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

export function setUpCopying() {
  for (const button of document.querySelectorAll('[data-copy]')) {
    button.hidden = false;
    button.addEventListener('click', onCopy);
  }
}
