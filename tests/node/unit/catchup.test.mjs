// catchup.test.mjs - asking the server for what a reader lacks: attempts, pauses, and the feeds that
// wait meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CatchUp } from '../../../web/rowcast/catchup.js';
import { Failure } from '../../../web/rowcast/request.js';

const HOUR = 3600_000;
const refusal = () => Object.assign(new Failure('no'), { refused: true });

// A reader whose attempts end as its list says: an error rejects, anything else resolves. It writes
// down all calls.
function reader(outcomes, timeouts = {}) {
  const calls = [];
  const host = {
    ask: async () => {
      calls.push('ask');
      const outcome = outcomes.shift();
      if (outcome instanceof Error)
        throw outcome;
      await outcome;
    },
    failed: ({ detail }) => calls.push(`failed: ${detail.message}`),
    caughtUp: () => calls.push('caughtUp'),
    receive: (feed) => calls.push(feed),
  };
  return { host, calls, catchUp: new CatchUp({ retry: 1, retryMax: 1, refused: HOUR, ...timeouts }, host) };
}

test('catchup: it asks again after a failure; feeds wait, and come in their order at the end', async () => {
  const { calls, catchUp } = reader([new Failure('lost'), null]);
  const run = catchUp.run('first');
  catchUp.keep('second');
  assert.ok(catchUp.isRunning);
  await run;
  assert.deepEqual(calls, ['ask', 'failed: lost', 'ask', 'caughtUp', 'first', 'second']);
  assert.ok(!catchUp.isRunning);
});

test('catchup: a feed that needs another run makes the later ones wait for that', async () => {
  const { host, calls, catchUp } = reader([null, null]);
  let second = null;
  host.receive = (feed) => {
    calls.push(feed);
    if (catchUp.isRunning)
      catchUp.keep(`${feed} again`);
    else if (second === null)
      second = catchUp.run(null);
  };
  const run = catchUp.run('a');
  catchUp.keep('b');
  await run;
  await second;
  assert.deepEqual(calls, ['ask', 'caughtUp', 'a', 'ask', 'b', 'caughtUp', 'b again']);
});

test('catchup: too many feeds are dropped, the server is not forgotten', async () => {
  const { calls, catchUp } = reader([null]);
  const run = catchUp.run(null);
  for (let n = 0; n < 1001; n++)
    catchUp.keep(n);
  await run;
  assert.deepEqual(calls, ['ask', 'caughtUp']);
});

test('catchup: after a refusal it waits long, until it is woken', async () => {
  const { host, calls, catchUp } = reader([refusal(), null]);
  const failed = new Promise((resolve) => { host.failed = (failure, delay) => resolve(delay); });
  const run = catchUp.run(null);
  assert.equal(await failed, HOUR);
  catchUp.wake();
  await run;
  assert.deepEqual(calls, ['ask', 'ask', 'caughtUp']);
});

test('catchup: a refusal whose reason may be gone is asked about soon', async () => {
  let refuse;
  const { host, catchUp } = reader([new Promise((_, reject) => { refuse = () => reject(refusal()); }), null]);
  const delays = [];
  host.failed = (failure, delay) => delays.push(delay);
  const run = catchUp.run(null);
  catchUp.askAgain();
  refuse();
  await run;
  assert.equal(delays.length, 1);
  assert.ok(delays[0] < 10);
});

test('catchup: what is stopped, in an attempt, a pause or by the failure\'s listener, says no more', async () => {
  for (const where of ['ask', 'pause', 'failed']) {
    const { host, calls, catchUp } = reader(where === 'ask' ? [null] : [refusal(), null]);
    const failed = new Promise((resolve) => {
      host.failed = () => {
        if (where === 'failed')
          catchUp.stop();
        resolve();
      };
    });
    const run = catchUp.run('feed');
    if (where === 'pause')
      await failed;
    catchUp.stop();
    await run;
    assert.deepEqual(calls, ['ask'], where);
    assert.ok(!catchUp.isRunning);
  }
});
