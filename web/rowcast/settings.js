// settings.js - from a page's options to settings: each has a value, or is refused in words.
import { CHANNELS_MAX, CHANNEL_BYTES_MAX, fitting } from './glob.js';
import { isId } from './request.js';

const TIMEOUTS = {   // milliseconds
  open: 8000,        // for the opening of a stream, else it is polled
  request: 20000,    // for a JSON answer, and for a ticket
  retry: 3000,       // first delay after a failure; doubles up to
  retryMax: 30000,
  refused: 300000,   // delay after a refusal (401, 403, 400 ...), which time seldom mends
  silence: 150000,   // without a byte, while the server's heartbeat is not known yet
  steady: 60000,     // a stream that ends sooner, twice in a row, is left for polls
  wait: 25000,       // of a poll, at the server
  poll: 5000,        // between two polls where none may wait
  upgrade: 60000,    // while polling: a delay before streaming is tried again; doubles, up to
  upgradeMax: 600000,
  life: 5000,        // a leading tab that was silent for so long is asked for a sign of life,
  answer: 2000,      // and replaced when none comes in this time,
  claim: 300,        // or in this one, where there are no Web Locks, if it has closed or none is known
};
const TRANSPORTS = ['fetch', 'poll'];
const OLD_TRANSPORTS = { eventsource: 'fetch', longpoll: 'poll' };   // what has taken their place

function refuseIf(isWrong, words) {
  if (isWrong)
    throw new TypeError(words);
}

// A page may be rendered on a server: there the modules load, but a relative URL means nothing.
function absolute(url) {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  try {
    return new URL(url, base).href;
  } catch {
    throw new TypeError(`url: ${url} is no address${base === undefined ? ', and there is no page that it is relative to'
      : ''}`);
  }
}

const isChannel = (one) => typeof one === 'string' && one !== ''
  && new TextEncoder().encode(one).length <= CHANNEL_BYTES_MAX;

export function settingsOf(url, options) {
  const { lastEventId = null, since, last, ticket = null, share = true, throttle = null } = options;
  const channels = [].concat(options.channels ?? []);
  const transports = (options.transports ?? TRANSPORTS).map((name) => OLD_TRANSPORTS[name] ?? name);
  const unknown = transports.find((name) => !TRANSPORTS.includes(name));
  refuseIf(channels.length > CHANNELS_MAX || !channels.every(isChannel),
    `channels: up to ${CHANNELS_MAX} strings, each of 1 to ${CHANNEL_BYTES_MAX} bytes`);
  refuseIf(unknown !== undefined || transports.length === 0,
    `transports: ${unknown ?? 'an empty list'} is none of ${TRANSPORTS.join(', ')}`);
  refuseIf(lastEventId !== null && !isId(String(lastEventId)), 'lastEventId: not a decimal number');
  refuseIf(since !== undefined && last !== undefined, 'since and last exclude each other');
  refuseIf(last !== undefined && fitting(channels).length < channels.length,
    'last: not with so many channels that one request cannot name them');
  refuseIf(ticket !== null && typeof ticket !== 'string' && typeof ticket !== 'function',
    'ticket: neither a string nor a function');
  return {
    url: absolute(url),
    channels: [...new Set(channels)].sort(),
    transports: TRANSPORTS.filter((name) => transports.includes(name)),
    lastEventId: lastEventId === null ? null : String(lastEventId),
    first: { since, last },      // where a first connection starts
    ticket,
    // A function's tickets cannot be compared: such tabs share only under a name they agree on.
    share: typeof ticket === 'function' && share === true ? false : share,
    withCredentials: Boolean(options.withCredentials),
    throttle,
    timeouts: { ...TIMEOUTS, ...options.timeouts },
  };
}
