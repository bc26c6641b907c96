// use.ts - rowcast.js and its types as a page in TypeScript uses them; types.test.mjs compiles it. The line
// after each "@ts-expect-error" must be an error.
import { Rowcast, RowEvent, Table } from '../../../web/rowcast.js';

interface Order { id: number; state: 'new' | 'paid'; total: number }

const rows = new Rowcast('/events', { channels: ['orders'], timeouts: { retry: 100 } });
rows.on('paid', (event: RowEvent) => event.json<Order>().total);
rows.on('rowcast:state', ({ detail }) => detail.error?.status);

const orders = rows.table<Order, number>('orders');
const paid: Order[] = [...orders.values()].filter((order) => order.state === 'paid');
const total: number | undefined = orders.get(7)?.total;
const map: ReadonlyMap<number, Order> = orders;
for (const [key, order] of orders)
  console.log(key.toFixed(), order.state);
orders.on('change', ({ detail }) => detail.changes.map(({ key, row, old }) => [key + 1, row?.total, old?.state]));
orders.on('state', ({ detail }) => detail.error?.message);
const whole: Promise<Table<Order, number>> = orders.ready;
const off: () => void = orders.subscribe((now) => now.get(7)?.total);

// The contracts of a Svelte store and of React's useSyncExternalStore.
declare function store<T>(one: { subscribe(fn: (value: T) => void): () => void }): T;
declare function useSyncExternalStore<T>(subscribe: (fn: () => void) => () => void, get: () => T): T;
const fromStore: ReadonlyMap<number, Order> = store(orders);
const fromReact: ReadonlyMap<number, Order> = useSyncExternalStore(orders.subscribe, orders.getSnapshot);

const any = rows.table('anything').get('north')?.['column'];
// @ts-expect-error a key is a number here
orders.get('7');
// @ts-expect-error there is no such state
orders.get(7)!.state = 'lost';
// @ts-expect-error a page does not change the table
orders.set(7, { id: 7, state: 'new', total: 1 });
// @ts-expect-error tables are made by a Rowcast
new Table('orders');
// @ts-expect-error no such option
new Rowcast('/events', { channel: 'orders' });

export { paid, total, map, whole, off, fromStore, fromReact, any };
