-- order-state.sql: notify the back office and the customer when the state of an order changes.
--
--     rowcast init --db shop.db
--     sqlite3 shop.db < sql/examples/order-state.sql
--     sqlite3 shop.db "UPDATE orders SET state = 'paid' WHERE id = 1"
--
-- The back office listens to everything in the channel `orders`:
--     new EventSource('/events?channel=orders').addEventListener('order-state', show)
-- (limit the public location with ROWCAST_CHANNELS=my-orders, or customers could read it too).
-- The customer is logged in (REMOTE_USER) and gets only his own orders on `my-orders`.
--
-- The trigger runs inside the transaction that changes the order, so either both are committed or
-- neither is, in every program and language. Replace the table by yours.

CREATE TABLE IF NOT EXISTS orders(
    id       INTEGER PRIMARY KEY,
    customer TEXT NOT NULL,
    state    TEXT NOT NULL DEFAULT 'new'
);

-- WHEN: an UPDATE that does not change the state makes no notification.
-- collapse_key: a page that was away for paid and packed gets only shipped.
CREATE TRIGGER IF NOT EXISTS orders_state_notify AFTER UPDATE OF state ON orders
WHEN NEW.state IS NOT OLD.state
BEGIN
    INSERT INTO notification(channel, event, data, collapse_key)
    VALUES ('orders', 'order-state',
            json_object('id', NEW.id, 'customer', NEW.customer,
                        'from', OLD.state, 'to', NEW.state),
            'order-' || NEW.id);
    INSERT INTO notification(channel, recipient, event, data, collapse_key)
    VALUES ('my-orders', NEW.customer, 'order-state',
            json_object('id', NEW.id, 'to', NEW.state), 'order-' || NEW.id);
END;

INSERT OR IGNORE INTO orders(id, customer) VALUES (1, 'alice');
