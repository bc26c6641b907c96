// demo-cut.js - cuts the page's connections, and shows what happens to the rows of meanwhile.
//
// On the way back the page first asks the table (JSON) which rows it has missed, and then lets the
// stream bring them: so it can check what it promises, each once and in order.
import { $, duration, plural, say } from './demo-page.js';

let cutAt = 0;
let cutId = '';
let expected = null;           // ids, while they are being waited for
let came = [];

// The list's rows; called for each as it comes.
export function cutSaw(id) {
  if (expected === null)
    return;
  came.push(id);
  report();
}

export function setUpCut(streams, urlOf) {
  $('cut').addEventListener('click', async () => {
    if (!streams.isCut) {
      cutAt = Date.now();
      cutId = streams.lastEventId('list');
      expected = null;
      streams.cut();
      tell('Cut. Rows are inserted all the same; none of them comes here.', 'cut');
    } else {
      $('cut').disabled = true;
      expected = cutId === '' ? [] : await missed(urlOf).catch(() => null);
      came = [];
      $('cut').disabled = false;
      $('cut').focus();
      streams.resume();
      report();
    }
    $('cut').textContent = streams.isCut ? 'Connect again' : 'Cut the connection';
  });
}

async function missed(urlOf) {
  const ids = [];
  for (let from = cutId; ;) {
    const answer = await fetch(urlOf(from), { headers: { Accept: 'application/json' }, cache: 'no-store' });
    const page = await answer.json();
    if (page.events.length === 0)
      return ids;
    ids.push(...page.events.map((row) => row.id));
    from = page.last_event_id;
  }
}

function tell(text, state) {
  $('cut-note').textContent = text;
  $('cut-note').dataset.state = state;
  say(text);
}

function report() {
  if (expected === null) {
    tell('Connected again.', 'none');
    return;
  }
  const was = `The connection was cut for ${duration(Date.now() - cutAt)}.`;
  if (expected.length === 0) {
    tell(`${was} Nothing was inserted meanwhile.`, 'none');
    expected = null;
  } else if (came.length < expected.length) {
    $('cut-note').textContent = `${was} ${plural(came.length, 'row')} of ${expected.length} …`;
    $('cut-note').dataset.state = 'coming';
  } else {
    const right = expected.every((id, n) => came[n] === id);
    tell(right ? `${was} ${plural(expected.length, 'row')} came after: ${expected.length > 1 ? 'each once, in order' : 'once'}.`
      : `${was} What came is not what was missed. That is a fault: please report it.`, right ? 'right' : 'wrong');
    expected = null;
  }
}
