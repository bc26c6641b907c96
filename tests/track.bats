#!/usr/bin/env bats
# track.bats - `rowcast track`: tables of an application whose changes become notifications, whoever
# writes them; and the readers' copies in the end.
#
# shellcheck shell=bash

load helper

setup() {
	rowcast_setup
	init_db
}

orders() {
	sql "CREATE TABLE orders(id INTEGER PRIMARY KEY, state TEXT, total REAL, customer TEXT, pic BLOB)"
}
track() { "$ROWCAST" track --db "$DB" "$@"; }
events() { sql "SELECT coalesce(recipient, '-'), data FROM notification WHERE event = 'change' AND data NOT LIKE '%reset%' ORDER BY id"; }
forget() { sql 'DELETE FROM notification'; }
python() { /usr/bin/python3 -c "import sqlite3, sys; db = sqlite3.connect('$DB', isolation_level=None); $1"; }

# --- what comes of a change ------------------------------------------------------------------

@test "track: insert, update and delete make events, each with key, row and old" {
	orders
	run track orders --columns id,state,total
	assert_success
	assert_output 'orders: is tracked now: key id; columns id, state, total; channel orders'
	sql "INSERT INTO orders(id, state, total) VALUES (7, 'new', 12.5);
	     UPDATE orders SET state = 'paid'; UPDATE orders SET pic = x'00', state = 'paid'; DELETE FROM orders"
	run events
	local new='{"id":7,"state":"new","total":12.5}' paid='{"id":7,"state":"paid","total":12.5}'
	assert_output '-|{"table":"orders","op":"insert","key":{"id":7},"row":'"$new"',"old":null}
-|{"table":"orders","op":"update","key":{"id":7},"row":'"$paid"',"old":'"$new"'}
-|{"table":"orders","op":"delete","key":{"id":7},"row":null,"old":'"$paid"'}'
	run sql "SELECT DISTINCT channel, event, collapse_key FROM notification WHERE id > (SELECT min(id) FROM notification)"
	assert_output 'orders|change|orders:{"id":7}'
}

@test "track: a reader gets them as events" {
	orders
	track orders
	start_rowcast
	sql "INSERT INTO orders(id, state, customer) VALUES (1, 'new', 'ann')"
	run -0 fcgi --get '/?channel=orders&since=all' HTTP_ACCEPT=application/json
	assert_output --partial '"event":"change","data":"{\"table\":\"orders\",\"op\":\"insert\",\"key\":{\"id\":1}'
}

@test "track: a row that changes hands is a delete for one reader and an insert for the other" {
	orders
	track orders --columns state --recipient customer --where "state <> 'draft'"
	sql "INSERT INTO orders(id, state, customer) VALUES (1, 'new', 'ann');
	     UPDATE orders SET customer = 'bob'; UPDATE orders SET state = 'draft'; UPDATE orders SET state = 'new';
	     UPDATE orders SET id = 2"
	run events
	assert_output 'ann|{"table":"orders","op":"insert","key":{"id":1},"row":{"id":1,"state":"new"},"old":null}
ann|{"table":"orders","op":"delete","key":{"id":1},"row":null,"old":null}
bob|{"table":"orders","op":"insert","key":{"id":1},"row":{"id":1,"state":"new"},"old":null}
bob|{"table":"orders","op":"delete","key":{"id":1},"row":null,"old":null}
bob|{"table":"orders","op":"insert","key":{"id":1},"row":{"id":1,"state":"new"},"old":null}
bob|{"table":"orders","op":"delete","key":{"id":1},"row":null,"old":{"id":1,"state":"new"}}
bob|{"table":"orders","op":"insert","key":{"id":2},"row":{"id":2,"state":"new"},"old":null}'
}

@test "track: REPLACE makes an event for each other row that it removes" {
	sql "CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT UNIQUE, mail TEXT)"
	sql "CREATE UNIQUE INDEX mails ON people(lower(mail)) WHERE mail IS NOT NULL"
	track people
	sql "INSERT INTO people VALUES (1, 'ann', 'A@x'), (2, 'bob', 'b@x'); DELETE FROM notification WHERE event = 'change'"
	sql "REPLACE INTO people VALUES (3, 'ann', 'B@X')"
	run sql "SELECT data ->> 'op', data ->> 'key' FROM notification ORDER BY 1, 2"
	assert_output 'delete|{"id":1}
delete|{"id":2}
insert|{"id":3}'
}

@test "track: values that JSON has no form for have the documented one" {
	sql "CREATE TABLE v(id INTEGER PRIMARY KEY, x)"
	track v
	sql "INSERT INTO v(x) VALUES (9007199254740991), (9007199254740992), (-9223372036854775808), (1e999), (-1e999),
	     (x'00ff'), (NULL), (zeroblob(65537)), (json('{\"a\":1}')), (CAST(x'610062' AS TEXT))"
	run sql "SELECT json_extract(data, '$.row') FROM notification WHERE data LIKE '%insert%' ORDER BY id"
	assert_output '{"id":1,"x":9007199254740991}
{"id":2,"x":"9007199254740992"}
{"id":3,"x":"-9223372036854775808"}
{"id":4,"x":"Infinity"}
{"id":5,"x":"-Infinity"}
{"id":6,"x":{"hex":"00FF"}}
{"id":7,"x":null}
{"id":8,"x":{"length":65537}}
{"id":9,"x":"{\"a\":1}"}
{"id":10,"x":"a\u0000b"}'
}

@test "track: Python and PHP write, and nothing is asked of them" {
	orders
	track orders --columns state
	python "db.execute('INSERT INTO orders(id, state) VALUES (?, ?)', (1, 'from Python'))"
	python "db.executemany('INSERT INTO orders(id, state) VALUES (?, ?) ON CONFLICT(id) DO UPDATE SET state = excluded.state', [(1, 'again')])"
	php -r "\$db = new PDO('sqlite:$DB'); \$db->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
		\$db->beginTransaction(); \$db->prepare('INSERT INTO orders(id, state) VALUES (?, ?)')->execute([2, 'from PHP']); \$db->commit();
		\$db->beginTransaction(); \$db->exec('DELETE FROM orders'); \$db->rollBack();"
	run sql "SELECT data ->> 'op', json_extract(data, '$.row.state') FROM notification WHERE data NOT LIKE '%reset%' ORDER BY id"
	assert_output 'insert|from Python
update|again
insert|from PHP'
}

@test "track: readers end up with what SELECT gives them, whatever statements there were" {
	run /usr/bin/python3 "$SRC/tests/track/oracle.py" --rowcast "$ROWCAST" --seconds "${ORACLE_SECONDS:-5}" --transactions 25
	assert_success
}

# --- the command -----------------------------------------------------------------------------

@test "track: a second time it changes nothing, and the schema stays as it is" {
	orders
	track orders --recipient customer
	local before
	before=$(sql 'PRAGMA schema_version'; sql 'SELECT count(*) FROM notification')
	run track ORDERS
	assert_success
	assert_output --partial 'is up to date: key id; columns id, state, total, customer; channel orders; recipient from customer'
	[[ $(sql 'PRAGMA schema_version'; sql 'SELECT count(*) FROM notification') == "$before" ]]
}

@test "track: options that are not given stay; readers get an event when the triggers are made again" {
	orders
	track orders --recipient customer --columns state
	forget
	run track orders --where 'total > 1'
	assert_output 'orders: is up to date again: key id; columns id, state; channel orders; recipient from customer; where total > 1'
	run sql 'SELECT channel, data FROM notification'
	assert_output 'orders|{"table":"orders","op":"reset","key":null,"row":null,"old":null}'
}

@test "track: --print changes nothing, and its SQL does what track does" {
	orders
	run track orders --print --recipient customer
	assert_success
	assert_line 'BEGIN IMMEDIATE;'
	echo "$output" >"$T/track.sql"
	run track --list
	assert_output ''
	sqlite3 -bail "$DB" <"$T/track.sql"
	run track --list
	assert_success
	assert_output 'orders: key id; columns id, state, total, customer; channel orders; recipient from customer'
}

@test "track: what cannot be tracked is refused with the reason" {
	orders
	sql "CREATE VIEW looks AS SELECT * FROM orders; CREATE TABLE heap(a, b); CREATE VIRTUAL TABLE words USING fts5(w);
	     CREATE TABLE wide($(seq -s, -f 'c%g' 1 61), PRIMARY KEY(c1));
	     CREATE TABLE nine($(seq -s, -f 'c%g' 1 9), PRIMARY KEY($(seq -s, -f 'c%g' 1 9)))"
	refused() {
		run track "${@:2}"
		assert_failure 1
		assert_output --partial "$1"
	}
	refused 'it is a view' looks
	refused 'it is a virtual table' words
	refused 'it belongs to a virtual table' words_data
	refused 'no primary key' heap
	refused 'no UNIQUE index is on just the columns of --key' heap --key a
	refused 'it is the table of notifications itself' notification
	refused 'not a table of the application' rowcast_meta
	refused 'has no table nowhere' nowhere
	refused 'no column price' orders --columns id,price
	refused 'no column who' orders --recipient who
	refused 'more than 60 columns' wide
	refused 'eight columns at the most' nine
	refused 'cannot be a channel' orders --channel $'a\nb'
	refused 'no such column: paid' orders --where 'state = "paid"'
	refused 'cannot look at other rows' orders --where 'id IN (SELECT 1)'
	refused 'use GLOB' orders --where "state LIKE 'x'"
	refused 'never fail' orders --where "json_extract(state, '\$.a')"
	refused 'never fail' orders --where 'random() > 0'
	refused 'must be a text' orders --where 'state GLOB customer'
	refused 'do not match' orders --where '1) OR (1'
	refused 'leave comments out' orders --where '1 -- x'
	run track orders --channel a --channel-column state
	assert_failure 2
	run track --list orders
	assert_failure 2
	run sql "SELECT count(*) FROM sqlite_master WHERE name LIKE 'rowcast_track%'"
	assert_output 0
}

@test "untrack: triggers and definition go, also when the table is gone" {
	orders
	track orders
	"$ROWCAST" untrack --db "$DB" orders
	run sql "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'rowcast_track%'"
	assert_output ''
	run "$ROWCAST" untrack --db "$DB" orders
	assert_output 'orders: was not tracked'
	track orders
	sql 'DROP TABLE orders'
	run track --list
	assert_failure 1
	assert_output --partial 'there is no such table any more'
	"$ROWCAST" untrack --db "$DB" orders
	run sql "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'rowcast_track%'"
	assert_output ''
}

@test "untrack: readers get a reset event, on each channel on which they may have rows" {
	resets() { sql "SELECT group_concat(channel, ' ') FROM (SELECT channel FROM notification WHERE data LIKE '%\"op\":\"reset\"%' ORDER BY channel)"; }
	orders
	track orders --channel all
	forget
	"$ROWCAST" untrack --db "$DB" orders
	run sql 'SELECT channel, recipient IS NULL, event, collapse_key, data FROM notification'
	assert_output 'all|1|change|orders:|{"table":"orders","op":"reset","key":null,"row":null,"old":null}'
	sql "INSERT INTO orders(state) VALUES ('new'), ('paid'), (NULL), ('paid')"
	track orders --channel-column state
	forget
	"$ROWCAST" untrack --db "$DB" orders
	run resets
	assert_output 'new paid'
	# The rows cannot be asked any more: the channels of their changes.
	track orders --channel-column state
	sql "DELETE FROM orders WHERE state = 'new'; INSERT INTO orders(state) VALUES ('sent'); DROP TABLE orders"
	sql "DELETE FROM notification WHERE data LIKE '%reset%'; INSERT INTO notification(channel, event, collapse_key, data) VALUES ('other', 'change', 'orders2:', 'x')"
	"$ROWCAST" untrack --db "$DB" orders
	run resets
	assert_output 'new sent'
}

@test "track: readers of the channels that rows no longer have get events, too" {
	orders
	sql "INSERT INTO orders(state) VALUES ('new'), ('paid')"
	track orders --channel-column state
	forget
	track orders --channel all
	run sql "SELECT channel FROM notification WHERE data LIKE '%reset%' ORDER BY channel"
	assert_output 'all
new
paid'
	forget
	track orders --channel-column state
	run sql "SELECT channel FROM notification WHERE data LIKE '%reset%' ORDER BY channel"
	assert_output 'all
new
paid'
}

@test "untrack: without the table of notifications it changes nothing, and says what makes it again" {
	orders
	track orders
	sql 'DROP TABLE notification'
	run "$ROWCAST" untrack --db "$DB" orders
	assert_failure 1
	assert_output --partial "has no table notification: create it with \`rowcast init --db"
	[[ $(sql 'SELECT count(*) FROM rowcast_track') == 1 ]]
	"$ROWCAST" init --db "$DB"
	run "$ROWCAST" untrack --db "$DB" orders
	assert_success
	sql "INSERT INTO orders(state) VALUES ('new')"
}

# --- migrations ------------------------------------------------------------------------------

# As Django, Rails and Laravel do where ALTER TABLE is not enough.
rebuild() {
	sql "BEGIN; CREATE TABLE new__orders(id INTEGER PRIMARY KEY, state TEXT, total REAL, customer TEXT, pic BLOB$1);
	     INSERT INTO new__orders(id, state, total, customer, pic) SELECT id, state, total, customer, pic FROM orders;
	     DROP TABLE orders; ALTER TABLE new__orders RENAME TO orders; COMMIT"
}

@test "track: a table that a migration has rebuilt is found by --list and doctor, and in the log of serve" {
	orders
	sql 'CREATE TABLE other(id INTEGER PRIMARY KEY, name TEXT UNIQUE)'
	track orders --recipient customer
	track other
	start_rowcast --log-level info
	rebuild ''
	run track --list
	assert_failure 1
	assert_line --partial 'orders: does not fit: its triggers are gone'
	assert_line 'other: key id; columns id, name; channel other'
	run "$ROWCAST" doctor --db "$DB"
	assert_failure 1
	assert_output --partial 'orders: its triggers are gone'
	sql "INSERT INTO notification(data) VALUES ('x')"
	wait_for grep -q 'tracked table orders: its triggers are gone' "$T/rowcast.err"
	is_healthy
	track orders
	run track --list
	assert_success
	forget
	sql "INSERT INTO orders(state, customer) VALUES ('new', 'ann')"
	run sql "SELECT recipient, data ->> 'op' FROM notification"
	assert_output 'ann|insert'
}

@test "track: columns that are added, renamed and dropped are reported, and no ALTER TABLE goes wrong" {
	orders
	track orders
	sql 'ALTER TABLE orders ADD COLUMN note TEXT'
	run track --list
	assert_failure 1
	assert_output --partial 'column note was added since'
	run track orders
	assert_output --partial 'columns id, state, total, customer, note;'
	sql 'ALTER TABLE orders RENAME COLUMN note TO remark'
	sql "INSERT INTO orders(remark) VALUES ('still told')"
	run sql "SELECT json_extract(data, '$.row.note') FROM notification ORDER BY id DESC LIMIT 1"
	assert_output 'still told'
	run track --list
	assert_failure 1
	track orders
	run sql 'ALTER TABLE orders DROP COLUMN remark'
	assert_failure
	assert_output --partial 'rowcast_track_orders'
	sql 'ALTER TABLE orders DROP COLUMN pic'
	"$ROWCAST" untrack --db "$DB" orders
	sql 'ALTER TABLE orders DROP COLUMN remark'
	track orders
	sql 'ALTER TABLE orders RENAME TO sales'
	run track --list
	assert_failure 1
	"$ROWCAST" untrack --db "$DB" orders
	run track sales
	assert_success
}

@test "track: an index on a JSON expression is no obstacle, and the database can be read" {
	sql "CREATE TABLE docs(id INTEGER PRIMARY KEY, j TEXT)"
	sql "CREATE UNIQUE INDEX docs_a ON docs(json_extract(j, '$.a')) WHERE json_valid(j)"
	track docs
	sql "INSERT INTO docs(j) VALUES ('broken'), ('{\"a\":1}'); REPLACE INTO docs(j) VALUES ('{\"a\":1}')"
	run sql "SELECT data ->> 'op' FROM notification WHERE data NOT LIKE '%reset%' ORDER BY id"
	assert_output 'insert
insert
delete
insert'
	run track --list
	assert_success
	start_rowcast
}
