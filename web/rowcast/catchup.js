// catchup.js - CatchUp: a reader asks the server for what it lacks, attempt after attempt.
//
// Rowcast (for the page's rows) and each Table (for its copy) have one. While it runs, the feeds that
// come to the reader wait in a queue, and the reader gets them at the end. What the reader asks the
// server, and what it does with the answer, is the reader's business. host is that reader:
//
//    ask(feed, signal)    asks for what lies between its cursor and the feed (null: and now); rejects
//                         when that attempt has failed
//    failed(failure, ms)  hears of such an attempt, and in how many ms the next one begins
//    caughtUp()           is called once ask() has succeeded; then receive(feed) for each waiting feed
import { asFailure } from './request.js';
import { backoff, sleep } from './time.js';

const FEEDS_MAX = 1000;         // feeds that wait

export class CatchUp {
  #timeouts;
  #host;
  #waiting = null;                     // the queue; null: not running
  #asking = new AbortController();     // ends the run,
  #pause = new AbortController();      // and the time between two attempts
  #isRefusalOld = false;               // see askAgain

  constructor(timeouts, host) {
    this.#timeouts = timeouts;
    this.#host = host;
  }

  get isRunning() { return this.#waiting !== null; }

  // Runs until an attempt has succeeded, or stop() is called.
  async run(feed) {
    this.#waiting = feed === null ? [] : [feed];
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    for (let attempt = 1, isDone = false; !isDone; attempt++) {
      isDone = await this.#attempt(feed, attempt, signal);
      if (signal.aborted)
        return;
    }
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#host.caughtUp();
    waiting.forEach((one) => this.#host.receive(one));   // into the next queue, if a run begins
  }

  // While it runs: a feed that the reader is to get at the end.
  keep(feed) {
    if (this.#waiting.push(feed) > FEEDS_MAX)
      this.#waiting.length = 0;   // then the next feed shows what is missing
  }

  stop() {
    this.#asking.abort();
    this.#pause.abort();
    this.#waiting = null;
  }

  // Ends the pause.
  wake() {
    this.#pause.abort();
  }

  // The reason of a refusal may be gone: the next attempt begins at once, or after a short pause if
  // this attempt fails.
  askAgain() {
    this.#isRefusalOld = true;
    this.#pause.abort();
  }

  // Resolves to whether the attempt has succeeded: if not, after the pause.
  async #attempt(feed, attempt, signal) {
    this.#isRefusalOld = false;
    try {
      await this.#host.ask(feed, signal);
      return true;
    } catch (error) {
      if (!signal.aborted)
        await this.#pauseAfter(asFailure(error), attempt);
      return false;
    }
  }

  async #pauseAfter(failure, attempt) {
    const { retry, retryMax, refused } = this.#timeouts;
    const isLong = failure.refused && !this.#isRefusalOld;
    const delay = isLong ? refused : backoff(attempt, retry, retryMax);
    this.#pause = new AbortController();
    const { signal } = this.#pause;
    this.#host.failed(failure, Math.round(delay));   // which may stop this
    await sleep(delay, signal);
  }
}
