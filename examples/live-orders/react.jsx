// react.jsx - the table of orders with React: a table can be used directly as React's "external store".
import { useSyncExternalStore } from 'react';
import { createRoot } from 'react-dom/client';
import { Rowcast } from './rowcast.js';

// One for the whole page, outside of all components.
const orders = new Rowcast('/events', { channels: 'orders' }).table('orders');

function Orders() {
  const rows = useSyncExternalStore(orders.subscribe, orders.getSnapshot);
  const newest = [...rows.values()].sort((a, b) => b.id - a.id);
  return (
    <table>
      <thead><tr><th>Order</th><th>Article</th><th>State</th><th className="number">Total</th></tr></thead>
      <tbody id="orders">
        {newest.map((row) => (
          <tr key={row.id}>
            <td>{row.id}</td><td>{row.article}</td><td>{row.state}</td>
            <td className="number">{row.total.toFixed(2)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

createRoot(document.getElementById('app')).render(<Orders />);
