// demo-page.js - what every part of the demo page needs: elements, times, and one quiet voice.
//
// Everything that a row holds goes through textContent: markup in it stays text.

const SAY_MS = 1000;
const TALK_MS = 15000;     // between two sentences without a click

export const $ = (id) => document.getElementById(id);

export function element(name, className, text) {
  const node = document.createElement(name);
  node.className = className;
  if (text !== undefined)
    node.textContent = text;
  return node;
}

export function timeOf(at) {
  const time = element('time', '', at.toLocaleTimeString());
  time.dateTime = at.toISOString();
  time.title = at.toLocaleString();
  return time;
}

export function duration(ms) {
  const s = Math.round(ms / 1000);
  return s < 120 ? `${s} s` : s < 7200 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}

export const plural = (n, what) => `${n.toLocaleString()} ${what}${n === 1 ? '' : 's'}`;

// A row's data as an object; {} for what is none.
export function objectOf(row) {
  try {
    const value = JSON.parse(row.data);
    return value !== null && typeof value === 'object' ? value : {};
  } catch {
    return {};
  }
}

// For a screen reader. What is said within a second becomes one sentence after the other, so that
// none is lost.
const waiting = [];
export function say(text) {
  if (waiting.push(text) > 1)
    return;
  setTimeout(() => { $('announce').textContent = waiting.splice(0).join(' '); }, SAY_MS);
}

// For what goes on and on: the first is said, then one sentence about all that came in TALK_MS.
let talkTimer = 0;
let unsaid = 0;
let lastTalk = '';
export function talk(text) {
  if (talkTimer !== 0) {
    unsaid += 1;
    lastTalk = text;
    return;
  }
  say(text);
  talkTimer = setTimeout(() => {
    talkTimer = 0;
    if (unsaid > 0)
      talk(unsaid > 1 ? `${plural(unsaid, 'new event')}. The last: ${lastTalk}` : lastTalk);
    unsaid = 0;
  }, TALK_MS);
}

// demo-config.json beside this file (optional, written by tools/demo). Not read from the page's
// address: a link must not choose what a person pastes in a shell.
export async function readConfig() {
  const config = { events: '/events', private: null, table: null, people: null, later: null, db: 'your.db', rowcast: 'rowcast',
    user: '', password: '', timeouts: {} };
  try {
    const answer = await fetch('demo-config.json', { cache: 'no-store' });
    if (answer.ok)
      Object.assign(config, await answer.json());
  } catch {
    // None there: the page works with the placeholders.
  }
  return config;
}
