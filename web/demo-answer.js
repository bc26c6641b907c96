// demo-answer.js - an answer that comes word by word, one row for each, as a language model gives it.
//
// Rows: channel demo.answer. Event question: data {"answer":"7","text":"..."}; event token:
// {"answer":"7","n":1,"text":"Each "}; event end: {"answer":"7","words":31}. They have no
// collapse_key, so none is left out. A screen reader hears the whole answer, once, at its end.
import { $, objectOf, plural, say } from './demo-page.js';

const LAST = 80;               // rows to begin with: more than an answer has

let answer = null;
let words = 0;
let inOrder = true;

export function setUpAnswer(streams, url) {
  streams.open('answer', url, { channels: ['demo.answer'], storage: null, last: LAST }, (rows) => {
    rows.on('question', (row) => begin(objectOf(row)));
    rows.on('token', (row) => word(objectOf(row)));
    rows.on('end', (row) => end(objectOf(row)));
  });
}

function begin({ answer: id, text = '' }) {
  answer = id;
  words = 0;
  inOrder = true;
  $('answer-empty').hidden = true;
  $('answer').hidden = false;
  $('answer').dataset.done = 'false';
  $('question').textContent = String(text);
  $('answer-text').textContent = '';
  $('answer-note').textContent = 'being written';
}

function word({ answer: id, n, text }) {
  if (id !== answer) {          // the page came in the middle: what was before is not there
    begin({ answer: id });
    $('answer-text').textContent = n > 1 ? '… ' : '';
    words = n - 1;
  }
  words += 1;
  inOrder &&= n === words;
  $('answer-text').append(String(text ?? ''));
  $('answer-note').textContent = plural(words, 'row');
}

function end({ answer: id, words: all }) {
  if (id !== answer)
    return;
  const whole = inOrder && words === all;
  $('answer').dataset.done = 'true';
  $('answer-note').textContent = whole ? `${plural(words, 'row')}, all there, in order` : `${words} of ${all} rows`;
  say(`Answer: ${$('answer-text').textContent}`);
}
