// tabs.js - the tabs that share one stream, and what they say to each other.
//
// The tab that leads has a Source, and passes all that comes on to the others as feeds; each takes
// its own. reader is this tab's Rowcast: { settings, cursor, want(), receive(feed),
// setStatus(status), restart() }.
//
//   { kind: 'hello', tab, era, want }               is anyone leading? I want these channels
//   { kind: 'feed', lead, channels, status, ... }   a feed (cursor.js), and a sign of life
//   { kind: 'bye', tab }                            I want nothing any more
//   { kind: 'recheck' }                             the server refuses what we ask for together
import { covers, union } from './glob.js';
import { Share } from './share.js';
import { Source } from './source.js';

const TALK = 2;                 // version of the messages; tabs of other versions are not heard

const randomId = () => Array.from({ length: 4 }, () => Math.random().toString(36).slice(2, 10)).join('-');

export class Tabs {
  id = randomId();              // also the server's, to know this page again by
  #share = null;
  #source = null;               // this tab leads
  #wants = new Map();           // leading: the channels that each other tab wants
  #leader = null;               // following: who leads

  constructor(reader) {
    this.reader = reader;
    this.settings = reader.settings;
  }

  get hasJoined() { return this.#share !== null || this.#source !== null; }

  join() {
    const { url, withCredentials, throttle, ticket, transports, share } = this.settings;
    if (share === false || !Share.isPossible()) {
      this.lead();
      return;
    }
    const name = JSON.stringify([TALK, url, withCredentials, throttle, ticket, transports, share]);
    this.#share = new Share(`rowcast:${name}`, this);
    this.#share.join();
  }

  leave() {
    this.#share?.post({ kind: 'bye', tab: this.id });
    this.stepDown();
    this.#share?.leave();
    this.#share = null;
  }

  wake(why) {
    this.#source?.wake(why);
    this.#share?.look();
  }

  // The browser says that there is no network.
  offline() {
    this.#source?.say('offline');
  }

  // This tab wants other channels than before.
  wants() {
    if (this.#source !== null)
      this.#source.want();
    else if (this.hasJoined)
      this.ask();
  }

  // --- called by Share

  lead() {
    this.#wants.clear();
    this.#source = new Source(this, this.reader.cursor);
    this.#source.run();
  }

  stepDown() {
    this.#source?.stop();
    this.#source = null;
    this.#leader = null;
  }

  ask() {
    this.#share?.post({ kind: 'hello', tab: this.id, era: this.reader.cursor.era, want: this.reader.want() });
  }

  heard(message) {
    if (message.kind === 'recheck')
      this.reader.restart();
    else if (message.kind === 'bye')
      this.#left(message);
    else if (message.kind === 'hello' && this.#source !== null)
      this.#serve(message);
    else if (message.kind === 'feed' && this.#source === null)
      this.#follow(message);
    else if (message.kind === 'feed')
      this.#settle(message);
  }

  // --- called by Source

  want() {
    return union([this.reader.want(), ...this.#wants.values()]);
  }

  feed(part) {
    const feed = { kind: 'feed', lead: this.id, ...part };
    this.#share?.post(feed);
    this.reader.receive(feed);
  }

  // Each tab asks for itself now, so that those alone are refused that may not read.
  refused() {
    this.#share?.post({ kind: 'recheck' });
    this.reader.restart();
  }

  // --- leading and following

  #left({ tab }) {
    this.#wants.delete(tab);
    if (tab === this.#leader)
      this.#share.leaderLeft();
  }

  // Another tab leads as well: the one with the lower id goes on, and the other hears of it.
  #settle(feed) {
    if (feed.lead > this.id)
      this.#source.tell();
    else if (this.#share.yields())
      this.#follow(feed);
  }

  #serve({ tab, want, era }) {
    const { cursor } = this.#source;
    cursor.era = Math.max(cursor.era, era);
    this.#wants.set(tab, want);
    if (this.#source.want())
      this.#source.tell();
  }

  #follow(feed) {
    this.#share.alive();
    const isNewLeader = feed.lead !== this.#leader;
    this.#leader = feed.lead;
    if (feed.channels !== null && covers(feed.channels, this.reader.want())) {
      this.reader.receive(feed);
      return;
    }
    const state = feed.channels === null ? feed.status.state : 'connecting';
    this.reader.setStatus({ ...feed.status, state, transport: null });
    if (isNewLeader)
      this.ask();
  }
}
