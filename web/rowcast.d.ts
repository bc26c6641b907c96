// Types of rowcast.js; what things mean is in doc/JAVASCRIPT.md.

export type Transport = 'fetch' | 'poll';
export type State = 'connecting' | 'open' | 'retrying' | 'offline' | 'fallback' | 'closed';

export interface Timeouts {
  open: number;
  request: number;
  retry: number;
  retryMax: number;
  refused: number;
  silence: number;
  steady: number;
  wait: number;
  poll: number;
  upgrade: number;
  upgradeMax: number;
  life: number;
  answer: number;
  claim: number;
}

export interface RowcastOptions {
  /** Channels or GLOB patterns; none: all that the server lets this page read. */
  channels?: string | string[];
  /** Where each document starts: 'all', an id, or an age such as '10m'. */
  since?: string;
  /** Likewise: the newest 1 to 1000 rows. Not together with since. */
  last?: number;
  /** Start after this id; goes before since, last and storage. */
  lastEventId?: string | number;
  /** Milliseconds between two writes of the server to this stream, at least. */
  throttle?: number;
  /** A signed ticket, or a function that gets one; it is called for each connection. */
  ticket?: string | null | (() => string | null | Promise<string | null>);
  withCredentials?: boolean;
  /** false: a connection of its own. A string: share only with tabs that give the same one. */
  share?: boolean | string;
  /** Where the last id is kept over a reload; default sessionStorage; null: nowhere. */
  storage?: (Pick<Storage, 'getItem' | 'setItem'> & Partial<Pick<Storage, 'removeItem'>>) | null;
  /** Which may be used. The names of the first version, 'eventsource' and 'longpoll', stand for these. */
  transports?: (Transport | 'eventsource' | 'longpoll')[];
  /** In milliseconds. */
  timeouts?: Partial<Timeouts>;
}

export interface Gap {
  reason: 'pruned' | 'reset' | 'bad-id';
  after: string;
  resumed_at: string;
}

export interface StateDetail {
  state: State;
  transport: Transport | null;
  /** Why it is not open. status 0: no HTTP answer. refused: the request itself was turned down. */
  error: { message: string; status: number; refused: boolean } | null;
  /** Milliseconds to the next attempt. */
  delay: number | null;
}

export class RowEvent extends MessageEvent<string> {
  /** The row's event type, also for listeners of '*'. */
  readonly type: string;
  readonly channel: string | null;
  /** Unix time in milliseconds. */
  readonly createdAt: number | null;
  /** Whether the row was there before the page: one that since or last has brought. */
  readonly isHistory: boolean;
  json<T = unknown>(): T;
}

export type StateEvent = CustomEvent<StateDetail>;
export type GapEvent = MessageEvent<string> & { readonly detail: Gap };

/** A change of a table as this page saw it: row null: gone, old null: new. */
export interface TableChange<Row, Key> {
  readonly key: Key;
  readonly row: Row | null;
  readonly old: Row | null;
}

export type TableState = 'loading' | 'ready' | 'failed';

export interface TableStateDetail {
  state: TableState;
  /** Why it could not be had. status 0: no HTTP answer. refused: the server turned it down. */
  error: { message: string; status: number; refused: boolean } | null;
  /** Milliseconds to the next attempt. */
  delay: number | null;
}

export type TableStateEvent = CustomEvent<TableStateDetail>;
export type TableChangeEvent<Row, Key> = CustomEvent<{ changes: TableChange<Row, Key>[] }>;

/** A tracked table: a live Map of key to row. Key: of one column its value, of several a JSON text. */
export class Table<Row = Record<string, unknown>, Key = string | number> extends EventTarget
  implements ReadonlyMap<Key, Row> {
  private constructor();
  readonly name: string;
  readonly state: TableState;
  readonly error: TableStateDetail['error'];
  /** Resolved when the table is complete, rejected when the server refuses it. */
  readonly ready: Promise<this>;
  readonly size: number;
  get(key: Key): Row | undefined;
  has(key: Key): boolean;
  keys(): ReturnType<ReadonlyMap<Key, Row>['keys']>;
  values(): ReturnType<ReadonlyMap<Key, Row>['values']>;
  entries(): ReturnType<ReadonlyMap<Key, Row>['entries']>;
  [Symbol.iterator](): ReturnType<ReadonlyMap<Key, Row>['entries']>;
  forEach(fn: (row: Row, key: Key, table: ReadonlyMap<Key, Row>) => void, self?: unknown): void;
  /** The rows as they are, in a Map that stays as it is; another one after each change. */
  getSnapshot: () => ReadonlyMap<Key, Row>;
  /** Calls fn with the snapshot at once and after each change; returns a function that ends that. */
  subscribe: (fn: (rows: ReadonlyMap<Key, Row>) => void) => () => void;
  on(type: 'change', fn: (event: TableChangeEvent<Row, Key>) => void): () => void;
  on(type: 'state', fn: (event: TableStateEvent) => void): () => void;
  close(): void;
}

export class Rowcast extends EventTarget {
  constructor(url: string | URL, options?: RowcastOptions);
  readonly state: State;
  readonly transport: Transport | null;
  /** Every row of this page's channels up to this id has been delivered; '' before the first. */
  readonly lastEventId: string;
  onstate: ((event: StateEvent) => void) | null;
  ongap: ((event: GapEvent) => void) | null;
  /** Each returns a function that takes the listener off again. */
  on(type: 'rowcast:state', fn: (event: StateEvent) => void): () => void;
  on(type: 'rowcast:gap', fn: (event: GapEvent) => void): () => void;
  on(type: string, fn: (event: RowEvent) => void): () => void;
  /** A table that `rowcast track` tracks; the same object for the same name. */
  table<Row = Record<string, unknown>, Key = string | number>(name: string): Table<Row, Key>;
  /** The user has read the channel (without one: that of the row) up to this id. */
  read(id: string | number, channel?: string | null): Promise<{ channel: string; id: string }>;
  close(): void;
}

export default Rowcast;
