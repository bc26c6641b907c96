// glob.js - channels and patterns: what a pattern matches, what a list of them covers.
//
// Patterns follow SQLite's GLOB, as on the server: `*`, `?`, `[a-z]`, `[^a-z]`. A page needs them
// because one stream serves many tabs, and each takes its own out of it.

export const CHANNELS_MAX = 64;      // the server's limits for one request: names,
export const CHANNEL_BYTES_MAX = 256;   // each of them,
const PATTERNS_MAX = 16;             // patterns among them,
const PATTERN_BYTES_MAX = 512;       // and these together
const QUERY_MAX = 6000;              // characters; web servers take some 8000 for a request's first line

const TOKEN = /\[(?:(\^)|(?!\^))([^][^\]]*)\]|[^]/gu;      // a set, or one character
const SET_ITEM = /^\]|([^])-([^])|[^]/gu;                  // of a set: a range, or one character

const literal = (character) => `\\u{${character.codePointAt(0).toString(16)}}`;

// A set as one of a regular expression. A range that runs backwards holds its first end only.
function setOf(negation, inside) {
  const items = Array.from(inside.matchAll(SET_ITEM), ([item, from, to]) => {
    if (from === undefined)
      return literal(item);
    return from.codePointAt(0) <= to.codePointAt(0) ? `${literal(from)}-${literal(to)}` : literal(from);
  });
  return `[${negation ?? ''}${items.join('')}]`;
}

function partOf([token, negation, inside]) {
  if (token === '?')
    return '[^]';
  if (inside !== undefined)
    return setOf(negation, inside);
  return token === '[' ? '[]' : literal(token);            // a set without its `]` matches nothing
}

// A pattern as a regular expression. What stands between two stars is taken where it is found
// first, by (?=(...))\1, and only the last star is tried again: a pattern of many stars ends soon.
export function glob(pattern) {
  const parts = [''];
  for (const match of pattern.matchAll(TOKEN)) {
    if (match[0] === '*')
      parts.push('');
    else
      parts.push(parts.pop() + partOf(match));
  }
  const [first, ...more] = parts;
  const last = more.length > 0 ? `[^]*${more.pop()}` : '';
  const middle = more.map((part, n) => `(?=([^]*?${part}))\\${n + 1}`);
  return new RegExp(`^${first}${middle.join('')}${last}$`, 'u');
}

const isExact = (channel) => !/[*?[]/.test(channel);
const includes = (channels, one) => channels.includes(one)
  || (isExact(one) && channels.some((channel) => !isExact(channel) && glob(channel).test(one)));

// Whether a reader of `have` gets all that one of `want` wants. No channel stands for all channels.
export function covers(have, want) {
  return have.length === 0 || (want.length > 0 && want.every((one) => includes(have, one)));
}

// The channels to name in a request: these, or none if they are too many for one. Then all come, and
// the page takes its own.
export function fitting(channels) {
  const patterns = channels.filter((one) => !isExact(one));
  const fits = channels.length <= CHANNELS_MAX && patterns.length <= PATTERNS_MAX
    && new TextEncoder().encode(patterns.join('')).length <= PATTERN_BYTES_MAX
    && channels.map((one) => `&channel=${encodeURIComponent(one)}`).join('').length <= QUERY_MAX;
  return fits ? channels : [];
}

// The least that covers all of these lists.
export function union(lists) {
  if (lists.some((list) => list.length === 0))
    return [];
  const all = [...new Set(lists.flat())].sort();
  return fitting(all.filter((one) => !all.some((other) => other !== one && includes([other], one))));
}
