// clients.test.mjs - what pages and programs really use, npm's eventsource and
// eventsource-parser, read through lighttpd all that a table can hold; each row is compared with
// the table's own bytes.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Site, need, until, fetchAlone } from './harness.mjs';

const { EventSource } = need('eventsource');
const { createParser } = need('eventsource-parser');

const MAX_EVENT = 1 << 20;  // --max-event-bytes, its default
let site;
const open = new Set();     // readers to close when a case ends

before(async () => {
  site = await Site.start('--heartbeat', '0.5', '--retry', '100');
});
after(() => site?.close());
afterEach(() => {
  for (const reader of open)
    reader.close();
  open.clear();
});

// --- readers ------------------------------------------------------------------------------

// npm's eventsource. It has no listener for "any type" either, so the types are named.
function eventSource(query, types = []) {
  const source = new EventSource(site.events(query));
  const reader = { source, events: [], opens: [], gaps: [], pings: [], close: () => source.close() };
  const keep = (list) => (event) => list.push({ id: event.lastEventId, event: event.type, data: event.data });
  for (const type of new Set(['message', 'rowcast:too-large', ...types]))
    source.addEventListener(type, keep(reader.events));
  source.addEventListener('rowcast:open', keep(reader.opens));
  source.addEventListener('rowcast:gap', keep(reader.gaps));
  source.addEventListener('rowcast:ping', keep(reader.pings));
  open.add(reader);
  return until('eventsource is open', () => reader.opens.length > 0).then(() => reader);
}

// fetch and npm's eventsource-parser: every event, whatever its type, and the comments.
async function parser(query, headers = {}) {
  const abort = new AbortController();
  const reader = { all: [], comments: [], ended: false, close: () => abort.abort() };
  const parse = createParser({
    onEvent: ({ id, event = 'message', data }) => reader.all.push({ id, event, data }),
    onComment: (text) => reader.comments.push(text),
    onRetry: (ms) => { reader.retry = ms; },
    onError: (error) => { reader.error = error; },
  });
  const answer = await fetchAlone(site.events(query), { headers, signal: abort.signal });
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-type'), /^text\/event-stream/);
  reader.finished = (async () => {
    try {
      for await (const text of answer.body.pipeThrough(new TextDecoderStream()))
        parse.feed(text);
    } catch {
      // the connection was cut, by us or by the server
    }
    reader.ended = true;
  })();
  Object.defineProperty(reader, 'events', { get: () => reader.all.filter(({ event }) => !ours(event)) });
  open.add(reader);
  await until('the stream has begun', () => reader.all.some(({ event }) => event === 'rowcast:open'));
  return reader;
}

function ours(type) {
  return ['rowcast:open', 'rowcast:gap', 'rowcast:ping'].includes(type);
}

async function has(reader, length) {
  await until(() => `${length} events, have ${reader.events.length}`, () => reader.events.length >= length);
  return reader.events;
}

async function twoHeartbeats(reader) {
  const beats = () => reader.comments.filter((text) => text.trim() === '').length;
  const enough = beats() + 2;
  await until('two heartbeats', () => beats() >= enough);
}

// --- the expectation, from the table's bytes by the words of the HTML standard -----------------

function text(bytes) {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

function expected(row) {
  return { id: row.id, event: row.event ?? 'message', data: text(row.data).split(/\r\n|\r|\n/).join('\n') };
}

// Which of the two differs first, without a megabyte in the message.
function assertSame(got, want) {
  const brief = ({ id, event, data }) => ({ id, event,
    data: data.length > 200 ? `${data.slice(0, 80)}… ${data.length}` : data });
  for (let i = 0; i < Math.max(got.length, want.length); i++) {
    if (JSON.stringify(got[i]) !== JSON.stringify(want[i]))
      assert.deepEqual(got[i] && brief(got[i]), want[i] && brief(want[i]), `event ${i + 1} of ${want.length} differs`);
  }
}

const bytes = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
const KINDS = {
  'plain text': ['hello'],
  'empty data': [''],
  'lines that end in LF, CRLF and CR': ['a\nb', 'a\r\nb', 'a\rb', 'a\r\n\r\nb', 'a\n\rb', 'a\r\r\nb', '\n', '\r\n',
    '\r', '\na', 'a\n', 'a\r\n', 'a\r'],
  'spaces and colons': [' a', '  a ', ':', ': a', 'a: b', ' ', '\t'],
  'what looks like the protocol': ['data: x', 'x\n\nid: 1\nevent: rowcast:gap\ndata: {}\n\n', 'a\ndata: b', ':\n\n',
    'id: 9\n', 'retry: 1\r\rdata: x\r\r'],
  'a byte order mark': ['\ufeff', '\ufeffa', 'a\ufeffb', '\ufeffdata: x\n\ufeff'],
  'bytes that are not UTF-8': [bytes([0xff]), bytes('a', [0x80], 'b'), bytes([0xc3]), bytes([0xe2, 0x82]),
    bytes([0xe2, 0x82], 'x'),
    bytes([0xf0, 0x9f, 0x98], '\n', [0x80]), bytes([0xed, 0xa0, 0x80]), bytes([0xc0, 0xaf]),
      bytes([0xf4, 0x90, 0x80, 0x80]), bytes([0xf8, 0x88, 0x80, 0x80, 0x80])],
  'NUL': ['\0', 'a\0b', '\0\n\0'],
  'many languages and planes': ['Grüße, 世界, שלום, 🦀🇩🇪, e\u0301, \u2028\u2029, \u{10ffff}, \u0085'],
  'control characters': ['\x01\x1b[31m\x7f\x0b\x0c'],
  'a row of 1 MiB': ['x'.repeat(MAX_EVENT), `${'0123456789abcde\n'.repeat(MAX_EVENT / 16 - 1)}0123456789abcdef`,
    '€'.repeat(Math.floor(MAX_EVENT / 3))],
  '1 MiB of line ends': ['\n'.repeat(MAX_EVENT)],
};

for (const [kind, list] of Object.entries(KINDS)) {
  test(`clients: ${kind}: both packages read what the table holds`, async () => {
    const readers = [await eventSource(), await parser()];
    const ids = list.map((data) => site.insert({ data }));
    const want = site.rows(`id >= ${ids[0]}`).map(expected);
    for (const reader of readers)
      assertSame(await has(reader, list.length), want);
    assert.deepEqual(want.map(({ id }) => id), ids);
    // The same once more out of the table, instead of live.
    const replay = await parser(`since=${BigInt(ids[0]) - 1n}`);
    assertSame(await has(replay, list.length), want);
  });
}

test('clients: event names, odd ones too', async () => {
  const names = ['paid', 'order.paid', 'with space', ' leading', 'a:b', ':', 'data', 'id', 'Ünïcode 🦀', 'x'.repeat(200),
    'message', 'constructor', '__proto__'];
  const readers = [await eventSource('', names), await parser()];
  const ids = names.map((event) => site.insert({ event, data: event }));
  const want = site.rows(`id >= ${ids[0]}`).map(expected);
  for (const reader of readers)
    assertSame(await has(reader, names.length), want);
});

test('clients: channels and patterns choose the rows', async () => {
  const readers = [await eventSource('channel=orders&channel=news.*'), await parser('channel=orders&channel=news.%2A')];
  const ids = ['orders', 'orders.eu', 'news.local', 'newsletter', 'Orders', 'news.', 'default', 'orders']
    .map((channel) => ({ channel, id: site.insert({ channel, data: channel }) }));
  const want = ids.filter(({ channel }) => channel === 'orders' || channel.startsWith('news.'))
    .map(({ id, channel }) => ({ id, event: 'message', data: channel }));
  for (const reader of readers)
    assertSame(await has(reader, want.length), want);
});

test('clients: envelope=1 gives the whole row as JSON', async () => {
  const readers = [await eventSource('envelope=1', ['paid']), await parser('envelope=1')];
  const ids = [site.insert({ channel: 'a "quoted" \\ channel', event: 'paid', data: 'two\r\nlines "\\\u2028\x01' }),
    site.insert({ data: bytes('bad ', [0xff]) }), site.insert({ data: 'a\0b' })];
  const want = site.rows(`id >= ${ids[0]}`);
  for (const reader of readers) {
    const events = await has(reader, ids.length);
    assert.deepEqual(events.map(({ data }) => JSON.parse(data)), want.map((row) => ({
      id: row.id, channel: row.channel, event: row.event ?? 'message', data: text(row.data), created_at: row.created_at,
    })));
    assert.deepEqual(events.map(({ event }) => event), ['paid', 'message', 'message']);
  }
});

test('clients: the opening says where the stream starts, and retry', async () => {
  const id = site.insert({ data: 'the last one' });
  const source = await eventSource();
  assert.deepEqual(source.opens, [{ id, event: 'rowcast:open', data: JSON.stringify({ last_event_id: id }) }]);
  const reader = await parser();
  assert.deepEqual(reader.all[0], source.opens[0]);
  assert.deepEqual([reader.comments[0], reader.retry], ['connected', 100]);
});

test('clients: heartbeats pass unseen', async () => {
  const reader = await parser();
  const source = await eventSource();
  await twoHeartbeats(reader);
  assert.deepEqual([source.events, source.pings, source.opens.length], [[], [], 1]);
  assert.deepEqual(reader.events, []);
});

test('clients: ping=1 makes heartbeats visible, and they carry no id', async () => {
  const id = site.insert({ data: 'x' });
  const reader = await parser('ping=1');
  const source = await eventSource('ping=1');
  await until('two pings each', () => source.pings.length >= 2
    && reader.all.filter(({ event }) => event === 'rowcast:ping').length >= 2);
  // A browser's lastEventId would be the id of the event before; npm's gives only an event's own.
  assert.deepEqual(source.pings[0], { id: '', event: 'rowcast:ping', data: JSON.stringify({ last_event_id: id }) });
  assert.equal(reader.all.find(({ event }) => event === 'rowcast:ping').id, undefined);
});

test('clients: a heartbeat moves the cursor over rows that were not for the stream', async () => {
  const source = await eventSource('channel=quiet&ping=1');
  const id = site.insert({ channel: 'loud', data: 'x' });
  await until('a ping with the new cursor',
    () => source.pings.some(({ data }) => JSON.parse(data).last_event_id === id));
  assert.deepEqual(source.events, []);
});

test('clients: eventsource comes back by itself after the web server was away; each row once', async () => {
  const source = await eventSource('', ['alert']);
  const ids = [site.insert({ event: 'alert', data: 'before' })];
  await has(source, 1);
  await site.lighttpd.stop();
  for (let i = 0; i < 5; i++)
    ids.push(site.insert({ event: 'alert', data: `away ${i}` }));
  await site.startLighttpd();
  await until('opened again', () => source.opens.length === 2);
  ids.push(site.insert({ event: 'alert', data: 'after' }));
  await has(source, ids.length);
  await twoHeartbeats(await parser());
  assert.deepEqual(source.events.map(({ id }) => id), ids);
  assert.equal(source.opens[1].id, ids[0]);
});

test('clients: eventsource that saw no event yet resumes from the opening\'s id', async () => {
  const source = await eventSource();
  await site.lighttpd.stop();
  const ids = [site.insert({ data: 'one' }), site.insert({ data: 'two' })];
  await site.startLighttpd();
  await has(source, 2);
  assert.deepEqual(source.events.map(({ id }) => id), ids);
});

test('clients: rowcast killed in mid-stream; Last-Event-ID gives each row once, in order', async () => {
  const start = site.insert({ data: 'start' });
  const ids = [];
  const got = [];
  let last = start;
  for (let round = 0; round < 4; round++) {
    const reader = await parser('', { 'Last-Event-ID': last });
    for (let i = 0; i < 10; i++)
      ids.push(site.insert({ data: `${round} ${i}` }));
    await has(reader, 3);
    await site.rowcast.stop('SIGKILL');
    await reader.finished;
    got.push(...reader.events.map(({ id }) => id));
    last = got.at(-1);
    await site.startRowcast();
  }
  const reader = await parser(`last_event_id=${last}`);
  await until('the rest', () => got.length + reader.events.length >= ids.length);
  assert.deepEqual([...got, ...reader.events.map(({ id }) => id)], ids);
});

test('clients: a draining rowcast ends the stream properly, and with a retry', async () => {
  const reader = await parser();
  delete reader.retry;
  const how = await site.rowcast.stop('SIGTERM');
  await reader.finished;
  await site.startRowcast();
  assert.equal(how, 0);
  assert.ok(reader.retry > 0, `retry is ${reader.retry}`);
});

test('clients: a gap is an event: pruned', async () => {
  const first = site.insert({ data: 'read' });
  const gone = site.insert({ data: 'gone' });
  const kept = site.insert({ data: 'kept' });
  site.sql(`DELETE FROM notification WHERE id <= ${gone};`);
  const reader = await parser('', { 'Last-Event-ID': first });
  assert.deepEqual((await has(reader, 1)).map(({ id }) => id), [kept]);
  const gap = reader.all.find(({ event }) => event === 'rowcast:gap');
  assert.deepEqual([gap.id, JSON.parse(gap.data)], [gone, { reason: 'pruned', after: first, resumed_at: gone }]);
  assert.ok(reader.all.indexOf(gap) < reader.all.findIndex(({ id }) => id === kept));
});

test('clients: a gap is an event: reset, from below the base and from above every id', async () => {
  const tail = site.insert({ data: 'newest' });
  const low = await parser('', { 'Last-Event-ID': '17' });
  await until('the newest row', () => low.events.some(({ id }) => id === tail));
  assert.deepEqual(gapOf(low).reason, 'reset');
  assertSame(low.events, site.rows().map(tooLargeOr(expected)));
  const high = await parser('', { 'Last-Event-ID': '9007199254740000' });
  await until('the gap', () => gapOf(high));
  assert.deepEqual(gapOf(high), { reason: 'reset', after: '9007199254740000', resumed_at: tail });
  assert.deepEqual(high.events, []);
});

test('clients: a gap is an event: an id that is no number', async () => {
  const tail = site.insert({ data: 'newest' });
  const reader = await parser('', { 'Last-Event-ID': 'not "a" number' });
  await until('the gap', () => gapOf(reader));
  assert.deepEqual(gapOf(reader), { reason: 'bad-id', after: 'not "a" number', resumed_at: tail });
  const source = await eventSource('last_event_id=12x');
  await until('the gap', () => source.gaps.length > 0);
  assert.equal(JSON.parse(source.gaps[0].data).reason, 'bad-id');
});

test('clients: a row above --max-event-bytes is announced with its size', async () => {
  const readers = [await eventSource(), await parser()];
  const id = site.insert({ data: 'x'.repeat(MAX_EVENT + 1) });
  const after = site.insert({ data: 'after' });
  for (const reader of readers) {
    const [large, next] = await has(reader, 2);
    assert.deepEqual([large.id, large.event, JSON.parse(large.data)],
      [id, 'rowcast:too-large', { id, bytes: MAX_EVENT + 1, limit: MAX_EVENT }]);
    assert.equal(next.id, after);
  }
  site.sql(`DELETE FROM notification WHERE id = ${id};`);
});

test('clients: from a JSON poll on to a stream, nothing is lost or doubled', async () => {
  const start = site.insert({ data: 'start' });
  const ids = [site.insert({ data: 'polled' }), site.insert({ event: 'paid', data: 'polled too' })];
  const answer = await fetchAlone(site.events(`last_event_id=${start}`), { headers: { Accept: 'application/json' } });
  assert.match(answer.headers.get('content-type'), /^application\/json/);
  const page = await answer.json();
  assert.deepEqual([page.last_event_id, page.gap, page.events.map(({ id }) => id)], [ids[1], null, ids]);
  const reader = await parser(`last_event_id=${page.last_event_id}`);
  const next = site.insert({ data: 'streamed' });
  await has(reader, 1);
  assert.deepEqual(reader.events.map(({ id }) => id), [next]);
});

test('clients: NDJSON has the same rows with the same ids', async () => {
  const start = site.insert({ data: 'start' });
  const ids = [site.insert({ channel: 'orders', event: 'paid', data: 'a\nb' }), site.insert({ data: '' })];
  const abort = new AbortController();
  open.add({ close: () => abort.abort() });
  const answer = await fetchAlone(site.events(`last_event_id=${start}`),
    { headers: { Accept: 'application/x-ndjson' }, signal: abort.signal });
  assert.match(answer.headers.get('content-type'), /^application\/x-ndjson/);
  let body = '';
  const lines = () => body.split('\n').slice(0, -1).filter(Boolean).map((line) => JSON.parse(line));
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    body += piece;
    if (lines().length >= 3)
      break;
  }
  assert.deepEqual(lines(), [{ last_event_id: start }, ...site.rows(`id >= ${ids[0]}`).map((row) => ({
    id: row.id, channel: row.channel, event: row.event ?? 'message', data: text(row.data), created_at: row.created_at,
  }))]);
});

test('clients: rowcast is alive at the end, has let go of all readers and ends cleanly', async () => {
  await site.endsWell();
});

function gapOf(reader) {
  const gap = reader.all.find(({ event }) => event === 'rowcast:gap');
  return gap && JSON.parse(gap.data);
}

// Rows just at the limit by bytes are sent, above it announced.
function tooLargeOr(make) {
  return (row) => row.data.length <= MAX_EVENT ? make(row) : {
    id: row.id, event: 'rowcast:too-large',
      data: JSON.stringify({ id: row.id, bytes: row.data.length, limit: MAX_EVENT }),
  };
}
