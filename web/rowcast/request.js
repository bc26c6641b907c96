// request.js - requests to rowcast, and the form of its answers.
//
// All that comes from outside is checked here: the status, the type, and the form of what is read.
// An answer, or a part of a stream, is a page: { last_event_id, gap, events }, each optional.

export class Failure extends Error {
  isLate = false;              // of a link: it has not brought a word

  // status: HTTP's; 0: there was no answer.
  constructor(message, status = 0) {
    super(message);
    this.status = status;
    // Refused: the request itself is wrong, and asking again soon will not help.
    this.refused = status >= 400 && status < 500 && ![408, 425, 429].includes(status);
  }

  get detail() {
    return { message: this.message, status: this.status, refused: this.refused };
  }
}

export function asFailure(error) {
  return error instanceof Failure ? error : new Failure(String(error?.message ?? error));
}

// Runs fn(signal, alive) for at most so many milliseconds since the last alive(), which may say what it means
// when no other follows, and not beyond the end of `outer`.
async function within(ms, what, outer, fn) {
  outer.throwIfAborted();
  const abort = new AbortController();
  const stop = () => abort.abort(outer.reason);
  let timer;
  let why = 'no answer';
  const alive = (words = why) => {
    why = words;
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(new Failure(`${what}: ${why} in ${ms} ms`)), ms);
  };
  alive();
  outer.addEventListener('abort', stop);
  const cut = new Promise((_, reject) => {
    abort.signal.addEventListener('abort', () => reject(abort.signal.reason));
  });
  try {
    return await Promise.race([fn(abort.signal, alive), cut]);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener('abort', stop);
  }
}

// The page's ticket; null for none. A function is the page's own code: it may throw, or hang.
export async function ticketOf({ ticket, timeouts }, signal) {
  if (typeof ticket !== 'function')
    return ticket;
  const got = await within(timeouts.request, 'ticket', signal, async () => ticket()).catch((error) => {
    throw new Failure(`no ticket: ${error?.message ?? error}`);
  });
  if (got !== null && typeof got !== 'string')
    throw new Failure(`no ticket: the function gave ${typeof got}, not a string`);
  return got;
}

// A parameter that is null or undefined is left out.
export function address(settings, channels, params) {
  const url = new URL(settings.url);
  for (const channel of channels)
    url.searchParams.append('channel', channel);
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined)
      url.searchParams.set(name, value);
  }
  return url.href;
}

async function refuseUnlessOk(response) {
  if (response.ok)
    return;
  const text = (await response.text().catch(() => '')).trim();
  const reason = /^[^<\n]{1,300}$/.test(text) ? text : response.statusText;
  throw new Failure(`${response.status} ${reason}`.trim(), response.status);
}

// The answer for { url, ticket }, if status and type are right: a login page or a hotel's portal
// answers 200 as well.
export async function request(settings, { url, ticket }, type, signal) {
  const response = await fetch(url, {
    headers: ticket === null ? { Accept: type } : { Accept: type, Authorization: `Bearer ${ticket}` },
    credentials: settings.withCredentials ? 'include' : 'same-origin',
    cache: 'no-store',
    signal,
  });
  await refuseUnlessOk(response);
  if (!(response.headers.get('Content-Type') ?? '').startsWith(type))
    throw new Failure(`the answer is not ${type}: is ${new URL(url).pathname} rowcast's address?`);
  return response;
}

export const isId = (id) => typeof id === 'string' && /^[0-9]{1,16}$/.test(id);
const isGap = (gap) => isId(gap.resumed_at) && typeof gap.reason === 'string';
const isRow = (row) => isId(row?.id) && typeof row.event === 'string' && typeof row.data === 'string'
  && (typeof row.channel === 'string' || row.channel === null);
const isPart = (part) => typeof part?.table === 'string' && isId(part.at) && Array.isArray(part.rows)
  && Array.isArray(part.key) && part.key.length > 0 && (typeof part.channel === 'string' || part.channel === null);
const areAll = (list, isOne) => Array.isArray(list) && list.every(isOne);

// Returns the page if it has the form that rowcast sends. state: parts of a table, null: too much.
export function checkPage(page) {
  const { last_event_id: id = null, gap = null, events = [], state = null } = page;
  if (!(id === null || isId(id)) || !(gap === null || isGap(gap)) || !areAll(events, isRow)
    || !(state === null || areAll(state, isPart)))
    throw new Failure('the answer is not what rowcast sends');
  return page;
}

function checkRoom(page) {
  if (!isId(page.last_event_id) || !Array.isArray(page.events))
    throw new Failure('the server has no room for this reader just now');
  return page;
}

export async function fetchPage(settings, target, signal) {
  return checkRoom(checkPage(await (await request(settings, target, 'application/json', signal)).json()));
}

export function fetchPageSoon(settings, target, signal) {
  return within(settings.timeouts.request, new URL(target.url).pathname, signal,
    (inner) => fetchPage(settings, target, inner));
}

// The lines of a stream of bytes, as many at a time as have come.
export async function* linesOf(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done)
        return;
      const text = decoder.decode(value, { stream: true });
      const end = text.lastIndexOf('\n');    // a line may come in very many pieces
      const lines = end < 0 ? [] : (rest + text.slice(0, end)).split('\n');
      rest = end < 0 ? rest + text : text.slice(end + 1);
      yield lines;
    }
  } finally {
    reader.cancel().catch(() => {});          // who has had enough leaves no connection behind
  }
}

// A page that has the state of a table, if it was asked for. It may be large, so each piece of it counts
// as a sign of life. What one document does not hold comes as a stream, of which this is the beginning;
// takePart gets its parts (a document's are in the page).
export function fetchTable(settings, target, signal, takePart) {
  return within(settings.timeouts.request, new URL(target.url).pathname, signal, async (inner, alive) => {
    const { body } = await request(settings, target, 'application/json', inner);
    const lines = [];
    for await (const more of linesOf(body)) {
      alive();
      lines.push(...more);
    }
    const page = checkPage(JSON.parse(lines.join('')));
    if (page.state !== null)
      return checkRoom(page);
    return streamTable(settings, target, { signal: inner, alive, takePart });
  });
}

async function streamTable(settings, target, { signal, alive, takePart }) {
  alive('the table is too large for one answer, and streams do not come through');
  const { body } = await request(settings, target, 'application/x-ndjson', signal);
  for await (const lines of linesOf(body)) {
    alive();
    for (const item of lines.filter((line) => line !== '').map((line) => JSON.parse(line))) {
      if (item.state !== undefined)
        takePart(checkPage({ state: [item.state] }).state[0]);
      if (item.state !== undefined && isId(item.id))
        return { last_event_id: item.id, gap: null, events: [], state: [] };
    }
  }
  throw new Failure('the stream ended before the table was complete');
}

// The pages that such lines are (NDJSON). Rows that came together are one page; an empty line, the
// server's heartbeat, is an empty page.
export function pagesOf(lines) {
  const pages = [];
  for (const line of lines) {
    const item = line === '' ? {} : JSON.parse(line);
    if (!('id' in item))
      pages.push(item);
    else if (pages.at(-1)?.events !== undefined)
      pages.at(-1).events.push(item);
    else
      pages.push({ events: [item] });
  }
  return pages.map(checkPage);
}

// Sends the server what was read: mark is { id, channel }, without a channel that of the row. keepalive,
// as a page often says so with the click that leaves it.
export async function sendRead(settings, ticket, mark) {
  const url = new URL(settings.url);
  url.pathname = `${url.pathname.replace(/\/$/, '')}/read`;
  url.search = '';
  const response = await fetch(url.href, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...(ticket === null ? {} : { Authorization: `Bearer ${ticket}` }) },
    credentials: settings.withCredentials ? 'include' : 'same-origin',
    body: JSON.stringify(mark),
    keepalive: true,
  });
  await refuseUnlessOk(response);
  const { id, channel } = await response.json();
  if (!isId(id) || typeof channel !== 'string')
    throw new Failure('the answer is not what rowcast sends');
  return { channel, id };
}
