#!/usr/bin/env bats
# schema.bats - what the table promises to any program in any language: seen from the sqlite3
# shell, on a database made by sql/schema.sql alone, and on applications' databases that
# `rowcast init` was let loose on.

load helper

setup() {
	rowcast_setup
	DB=$BATS_TEST_TMPDIR/test.db
	[[ $BATS_TEST_DESCRIPTION == init:* ]] || sqlite3 "$DB" <"$SRC/sql/schema.sql" >/dev/null
}

# refused MESSAGE SQL: the statement fails with the message and leaves the table as it was.
refused() {
	local before after
	before=$(sql "SELECT * FROM notification; SELECT * FROM sqlite_sequence; SELECT * FROM rowcast_meta")
	run sql "$2"
	assert_failure
	assert_output --partial "$1"
	after=$(sql "SELECT * FROM notification; SELECT * FROM sqlite_sequence; SELECT * FROM rowcast_meta")
	assert_equal "$after" "$before"
}

# --- rows that are taken -------------------------------------------------------------------

@test "schema: data alone makes a row, with an id from the clock and the time in ms" {
	run sql "INSERT INTO notification(data) VALUES ('hi');
		SELECT channel, recipient IS NULL, event IS NULL, data, collapse_key IS NULL, expires_at IS NULL,
		id BETWEEN created_at - 60000 AND created_at,
		abs(created_at - strftime('%s', 'now') * 1000) < 60000 FROM notification"
	assert_success
	assert_output "default|1|1|hi|1|1|1|1"
}

@test "schema: ids grow by one, in one statement too" {
	run sql "INSERT INTO notification(data) VALUES (1), (2), (3);
		INSERT INTO notification(data) VALUES (4);
		SELECT id - (SELECT base FROM rowcast_meta) FROM notification"
	assert_output $'1\n2\n3\n4'
}

@test "schema: a higher explicit id is taken, and the next one is above it" {
	run sql "INSERT INTO notification(id, data) SELECT base + 100, 1 FROM rowcast_meta;
		INSERT INTO notification(data) VALUES (2);
		SELECT id - (SELECT base FROM rowcast_meta) FROM notification"
	assert_output $'100\n101'
}

@test "schema: RETURNING and last_insert_rowid give the id" {
	run sql "INSERT INTO notification(data) VALUES (1) RETURNING id = (SELECT base + 1 FROM rowcast_meta);
		SELECT last_insert_rowid() = id FROM notification"
	assert_output $'1\n1'
}

@test "schema: an insert from a trigger on another table works" {
	run sql "CREATE TABLE t(a); CREATE TRIGGER tt AFTER INSERT ON t BEGIN
		INSERT INTO notification(data) VALUES (NEW.a); INSERT INTO notification(data) VALUES (NEW.a + 10); END;
		INSERT INTO t VALUES (1), (2); SELECT group_concat(data) FROM notification"
	assert_output "1,11,2,12"
}

@test "schema: text of any kind, of any size, is data" {
	sql "INSERT INTO notification(data) VALUES (''), ('a' || char(0) || char(10) || 'b'), (printf('%.*c', 3000000, 'x'))"
	run sql "SELECT length(CAST(data AS BLOB)) FROM notification"
	assert_output $'0\n4\n3000000'
}

# --- rows that are refused -----------------------------------------------------------------

@test "schema: a channel with CR, LF or NUL is refused, wherever it stands" {
	local code
	for code in 0 10 13; do
		refused "channel must be text" "INSERT INTO notification(channel, data) VALUES (char($code), 1)"
		refused "channel must be text" "INSERT INTO notification(channel, data) VALUES ('a' || char($code), 1)"
		refused "channel must be text" "INSERT INTO notification(channel, data) VALUES ('a' || char(0) || 'b' || char($code), 1)"
	done
}

@test "schema: an event with CR, LF or NUL is refused, wherever it stands" {
	local code
	for code in 0 10 13; do
		refused "event must be NULL or text" "INSERT INTO notification(event, data) VALUES (char($code), 1)"
		refused "event must be NULL or text" "INSERT INTO notification(event, data) VALUES ('a' || char($code) || 'b', 1)"
		refused "event must be NULL or text" "INSERT INTO notification(event, data) VALUES ('a' || char(0) || 'b' || char($code), 1)"
	done
}

@test "schema: an empty channel and an empty event are refused" {
	refused "channel must be" "INSERT INTO notification(channel, data) VALUES ('', 1)"
	refused "event must be" "INSERT INTO notification(event, data) VALUES ('', 1)"
}

@test "schema: a NULL channel, NULL data and a NULL time are refused" {
	refused "NOT NULL constraint failed: notification.channel" "INSERT INTO notification(channel, data) VALUES (NULL, 1)"
	refused "NOT NULL constraint failed: notification.data" "INSERT INTO notification(data) VALUES (NULL)"
	refused "NOT NULL constraint failed: notification.created_at" "INSERT INTO notification(data, created_at) VALUES (1, NULL)"
}

@test "schema: a blob is no channel, event or recipient" {
	refused "channel must be" "INSERT INTO notification(channel, data) VALUES (x'61', 1)"
	refused "event must be" "INSERT INTO notification(event, data) VALUES (x'61', 1)"
	refused "recipient must be" "INSERT INTO notification(recipient, data) VALUES (x'61', 1)"
}

@test "schema: EventSource's own event types and rowcast's are refused" {
	refused "must not be open or error" "INSERT INTO notification(event, data) VALUES ('open', 1)"
	refused "must not be open or error" "INSERT INTO notification(event, data) VALUES ('error', 1)"
	refused "nor begin with rowcast:" "INSERT INTO notification(event, data) VALUES ('rowcast:gap', 1)"
	refused "nor begin with rowcast:" "INSERT INTO notification(event, data) VALUES ('rowcast:', 1)"
	sql "INSERT INTO notification(event, data) VALUES ('opened', 1), ('Error', 1), ('rowcast', 1), ('message', 1)"
}

@test "schema: an UPDATE to what an INSERT may not is refused" {
	sql "INSERT INTO notification(data) VALUES (1)"
	refused "event must" "UPDATE notification SET event = 'open'"
	refused "channel must" "UPDATE notification SET channel = ''"
}

@test "schema: times that are no numbers are refused" {
	refused "created_at must be a number" "INSERT INTO notification(data, created_at) VALUES (1, datetime('now'))"
	refused "expires_at must be NULL or a number" "INSERT INTO notification(data, expires_at) VALUES (1, 'tomorrow')"
	sql "INSERT INTO notification(data, created_at, expires_at) VALUES (1, 1.5, '17')"
}

@test "schema: an id below 1 or above 2^53-1 is refused" {
	refused "id must" "INSERT INTO notification(id, data) VALUES (0, 1)"
	refused "id must" "INSERT INTO notification(id, data) VALUES (-1, 1)"
	refused "id must lie between" "INSERT INTO notification(id, data) VALUES (9007199254740992, 1)"
	refused "id must lie between" "INSERT INTO notification(id, data) VALUES (9223372036854775807, 1)"
	sql "INSERT INTO notification(id, data) VALUES (9007199254740991, 1)"
}

@test "schema: INSERT OR IGNORE of an impossible id does not stop the sequence" {
	refused "id must lie between" "INSERT OR IGNORE INTO notification(id, data) VALUES (9223372036854775807, 1)"
	refused "id must be above" "INSERT OR IGNORE INTO notification(id, data) VALUES (-3, 1)"
	run sql "INSERT INTO notification(data) VALUES ('x'); SELECT id - base, data FROM notification, rowcast_meta"
	assert_output "1|x"
}

@test "schema: no conflict clause drops or moves a notification that breaks a rule" {
	run python3 - "$DB" <<-'PY'
		import sqlite3, sys
		db = sqlite3.connect(sys.argv[1], isolation_level=None)
		db.executescript("""
		CREATE TABLE orders(id INTEGER PRIMARY KEY, channel, data, event, recipient);
		CREATE TRIGGER orders_insert AFTER INSERT ON orders BEGIN
		    INSERT INTO notification(channel, data, event, recipient)
		    VALUES (NEW.channel, NEW.data, NEW.event, NEW.recipient); END;
		CREATE TRIGGER orders_update AFTER UPDATE ON orders BEGIN
		    INSERT INTO notification(channel, data, event, recipient)
		    VALUES (NEW.channel, NEW.data, NEW.event, NEW.recipient); END;
		INSERT INTO orders VALUES (1, 'good', 'x', NULL, NULL);
		INSERT INTO notification(data) VALUES ('old')""")
		def state():
		    return [db.execute(f"SELECT * FROM {table}").fetchall()
		            for table in ("orders", "notification", "sqlite_sequence", "rowcast_meta")]
		def refused(words, statement):
		    before = state()
		    try:
		        db.execute(statement)
		        print("taken:", statement)
		    except sqlite3.IntegrityError as error:
		        if words not in str(error) or state() != before:
		            print(statement, error)
		for clause in ("", "OR ABORT", "OR FAIL", "OR IGNORE", "OR REPLACE", "OR ROLLBACK"):
		    into = f"INSERT {clause} INTO orders VALUES"
		    refused("NOT NULL constraint failed: notification.channel", f"{into} (2, NULL, 'x', NULL, NULL)")
		    refused("NOT NULL constraint failed: notification.data", f"{into} (2, 'a', NULL, NULL, NULL)")
		    refused("channel must be text", f"{into} (2, '', 'x', NULL, NULL)")
		    refused("event must not be open", f"{into} (2, 'a', 'x', 'open', NULL)")
		    refused("recipient must be text", f"{into} (2, 'a', 'x', NULL, x'61')")
		    refused("NOT NULL constraint failed: notification.channel", f"UPDATE {clause} orders SET channel = NULL")
		    refused("event must be NULL or text", f"UPDATE {clause} orders SET event = ''")
		    # And without a trigger in between.
		    into = f"INSERT {clause} INTO notification"
		    refused("NOT NULL constraint failed: notification.created_at", f"{into}(data, created_at) VALUES (1, NULL)")
		    refused("created_at must be a number", f"{into}(data, created_at) VALUES (1, 'today')")
		    refused("expires_at must be NULL", f"{into}(data, expires_at) VALUES (1, 'today')")
		    refused("collapse_key must be text", f"{into}(data, collapse_key) VALUES (1, x'61')")
		    refused("id must lie between", f"{into}(id, data) VALUES (9007199254740992, 1)")
		    refused("id must be above", f"{into}(id, data) VALUES (0, 1)")
		    refused("NOT NULL constraint failed: notification.data", f"UPDATE {clause} notification SET data = NULL")
		    refused("id of a row must not change", f"UPDATE {clause} notification SET id = id + 1")
		db.execute("INSERT OR IGNORE INTO orders VALUES (2, 'good', 'y', NULL, NULL)")
		db.execute("INSERT OR REPLACE INTO orders VALUES (2, 'good', 'z', NULL, 7)")
		print(db.execute("SELECT group_concat(channel || data, ' ') FROM notification").fetchone()[0])
	PY
	assert_success
	assert_output "goodx defaultold goody goodz"
}

@test "schema: an UPDATE obeys the same rules as an INSERT" {
	local of='s/^.*BEFORE \(INSERT\|UPDATE\).*$/BEFORE/; /^WHEN NEW.id/d
		/OLD.id/,+1d; /9007199254740991/d'
	assert_equal "$(sql "SELECT sql FROM sqlite_master WHERE name = 'notification_update'" | sed "$of")" \
		"$(sql "SELECT sql FROM sqlite_master WHERE name = 'notification_insert'" | sed "$of")"
}

# The WHEN clause of a rule's trigger is a quick test: it must stop all that the trigger refuses. The
# judge is the trigger without the clause, over values of all kinds in every column.
@test "schema: the quick test of a row lets nothing pass that the rules refuse" {
	run python3 - "$DB" "$SRC/sql/schema.sql" <<-'PY'
		import itertools, random, re, sqlite3, sys
		schema = open(sys.argv[2]).read()
		slow = re.sub(r"(BEFORE (?:INSERT|UPDATE) ON \S+\n)WHEN.*?\nBEGIN", r"\1BEGIN", schema, flags=re.S)
		assert slow != schema
		names = "channel recipient event collapse_key created_at expires_at data".split()
		texts = ["a", "", "a b", "x.y", "2.0", "1e+300", "a+b", "\n", "a\r", "a\0b", "\0", "\x1f", "\x7f", "é",
		         "]", "[", "^", "-", "~",
		         "/", "*", "rowcast:read", "rowcast:gap", "rowcast:", "ROWCAST:x", "open", "error", "Open",
		         b"a", b"", b"2.0", None, 7, 7.0, 7.5, -1]
		times = [1, 1.5, None, "x", "5", b"1", 2**60]
		random.seed(5)
		rows = [[t if i == c else ("a" if i != 4 and i != 5 else 1) for i in range(7)]
		        for c in range(7) for t in (times if c in (4, 5) else texts)]
		rows += [[random.choice(times if i in (4, 5) else texts) for i in range(7)] for _ in range(3000)]
		def outcomes(script):
		    db = sqlite3.connect(":memory:", isolation_level=None)
		    db.executescript(script)
		    db.execute("INSERT INTO notification(channel, data) VALUES ('c', 'd')")
		    for row in rows:
		        for sql in (f"INSERT INTO notification({', '.join(names)}) VALUES (?, ?, ?, ?, ?, ?, ?)",
		                    "UPDATE notification SET " + ", ".join(f"{n} = ?" for n in names) + " WHERE data = 'd'"):
		            db.execute("SAVEPOINT one")
		            try:
		                db.execute(sql, row)
		                yield row, "ok"
		            except sqlite3.Error as e:
		                yield row, str(e)
		            db.execute("ROLLBACK TO one")
		refused = 0
		for quick, judge in zip(outcomes(schema), outcomes(slow)):
		    assert quick == judge, (quick, judge)
		    refused += quick[1] != "ok"
		print("refused", refused > 1000)
	PY
	assert_success
	assert_output "refused True"
}

# --- numbers where a text is wanted: bound as programs bind them ------------------------------

@test "numbers: an integer is stored as its digits, a floating-point number that is whole is refused" {
	run python3 - "$DB" <<-'PY'
		import sqlite3, sys
		db = sqlite3.connect(sys.argv[1], isolation_level=None)
		def stored(column, value):
		    try:
		        return db.execute(f"INSERT INTO notification({column}, data) VALUES (?, 'x') "
		                          f"RETURNING {column}", (value,)).fetchone()[0]
		    except sqlite3.IntegrityError as error:
		        return str(error)
		def expect(column, value, wanted):
		    if stored(column, value) != wanted:
		        print(column, repr(value), stored(column, value))
		refusal = ("rowcast: channel, recipient, event and collapse_key must be text or integer, "
		           "not a floating-point number (in JavaScript: String(id))")
		for column in "channel", "recipient", "event", "collapse_key":
		    for number in 7.0, -3.0, 0.0, 1e15, 123456789012345678.0, 1e300:
		        expect(column, number, refusal)   # so bind JavaScript's programs all numbers
		    expect(column, 7, "7")
		    expect(column, True, "1")
		    expect(column, 7.5, "7.5")            # as JavaScript writes it
		    for text in "7 007 7.00 1.0.0 v1.0 .0 +7.0 07.0 -7 1e+5".split() + ["7.0 "]:
		        expect(column, text, text)
		for column in "created_at", "expires_at":
		    expect(column, 1795000000000.0, 1795000000000)
	PY
	assert_success
	assert_output ""
	refused "not a floating-point number" "UPDATE notification SET recipient = 7.0"
}

@test "numbers: PDO's, SQLite3's and the shell's integers are texts" {
	php -r '$db = new PDO("sqlite:" . $argv[1]);
		$db->prepare("INSERT INTO notification(recipient, data) VALUES (?, ?)")->execute([7, "pdo"]);
		$insert = $db->prepare("INSERT INTO notification(recipient, data) VALUES (?, ?)");
		$insert->bindValue(1, 8, PDO::PARAM_INT); $insert->bindValue(2, "int"); $insert->execute();
		$db = new SQLite3($argv[1]);
		$insert = $db->prepare("INSERT INTO notification(recipient, data) VALUES (?, ?)");
		$insert->bindValue(1, 9); $insert->bindValue(2, "sqlite3"); $insert->execute();' "$DB"
	sql "INSERT INTO notification(recipient, data) VALUES (10, 'shell')"
	run sql "SELECT group_concat(recipient) FROM
		(SELECT quote(recipient) AS recipient FROM notification ORDER BY id)"
	assert_output \
		"'7','8','9','10'"
}

# --- the order of ids ----------------------------------------------------------------------

@test "id order: an explicit lower id is refused" {
	sql "INSERT INTO notification(data) VALUES (1), (2), (3); DELETE FROM notification WHERE data = '2'"
	refused "id must be above all ids" "INSERT INTO notification(id, data) SELECT base + 2, 'again' FROM rowcast_meta"
	refused "id must be above all ids" "INSERT INTO notification(id, data) SELECT base, 'base' FROM rowcast_meta"
	refused "id must be above all ids" "INSERT INTO notification(id, data) VALUES (1, 'first')"
}

@test "id order: a lower id later in the same INSERT is refused" {
	refused "id must be above all ids" \
		"INSERT INTO notification(id, data) SELECT base + 10, 'a' FROM rowcast_meta UNION ALL SELECT base + 5, 'b' FROM rowcast_meta"
	refused "id must be above all ids" \
		"INSERT INTO notification(id, data) SELECT base + 10, 'a' FROM rowcast_meta UNION ALL SELECT 5, 'b'"
	sql "INSERT INTO notification(id, data) SELECT base + 5, 'a' FROM rowcast_meta UNION ALL SELECT base + 10, 'b' FROM rowcast_meta"
}

@test "id order: INSERT OR REPLACE and REPLACE cannot bring an id back" {
	sql "INSERT INTO notification(data) VALUES (1), (2)"
	refused "id must be above all ids" "INSERT OR REPLACE INTO notification(id, data) SELECT max(id), 'new' FROM notification"
	refused "id must be above all ids" "REPLACE INTO notification(id, data) SELECT min(id), 'new' FROM notification"
	refused "id must be above all ids" \
		"PRAGMA recursive_triggers = 1; REPLACE INTO notification(id, data) SELECT max(id), 'new' FROM notification"
}

@test "id order: INSERT OR IGNORE of a lower id fails aloud" {
	sql "INSERT INTO notification(data) VALUES (1), (2); DELETE FROM notification WHERE data = '1'"
	refused "id must be above all ids" "INSERT OR IGNORE INTO notification(id, data) SELECT max(id) - 1, 'x' FROM notification"
}

@test "id order: the id of a row does not change, by any of its names" {
	local name
	sql "INSERT INTO notification(data) VALUES (1), (2)"
	for name in id rowid oid _rowid_; do
		refused "id of a row must not change" "UPDATE notification SET $name = $name + 100"
		refused "id of a row must not change" "UPDATE OR REPLACE notification SET $name = $name + 1 WHERE data = '1'"
	done
	sql "UPDATE notification SET id = id, data = 'same'"
}

@test "id order: an upsert keeps the id" {
	run sql "INSERT INTO notification(data) VALUES (1);
		INSERT INTO notification(id, data) SELECT id, 2 FROM notification WHERE 1
			ON CONFLICT(id) DO UPDATE SET data = excluded.data;
		SELECT data FROM notification"
	assert_output 2
}

@test "id order: a sequence that was reset is reported, and rebase mends it" {
	sql "INSERT INTO notification(data) VALUES (1); DELETE FROM notification; DELETE FROM sqlite_sequence"
	refused "run rowcast rebase" "INSERT INTO notification(data) VALUES (2)"
	"$ROWCAST" rebase --db "$DB"
	sql "INSERT INTO notification(data) VALUES (2)"
}

# --- what was deleted ----------------------------------------------------------------------

@test "low water: every DELETE raises it to the highest id deleted, and none lowers it" {
	local low="SELECT low_water - base FROM rowcast_meta"
	sql "INSERT INTO notification(data) VALUES (1), (2), (3), (4), (5)"
	assert_equal "$(sql "$low")" 0
	sql "DELETE FROM notification WHERE data = '2'"
	assert_equal "$(sql "$low")" 2
	sql "DELETE FROM notification WHERE data = '1'"
	assert_equal "$(sql "$low")" 2
	sql "DELETE FROM notification WHERE data IN ('5', '3')"
	assert_equal "$(sql "$low")" 5
	sql "BEGIN; DELETE FROM notification; ROLLBACK"
	assert_equal "$(sql "SELECT count(*) FROM notification")" 1
}

@test "low water: DELETE without WHERE counts, and the ids are not given again" {
	sql "INSERT INTO notification(data) VALUES (1), (2), (3); DELETE FROM notification; VACUUM"
	run sql "SELECT low_water - base FROM rowcast_meta; INSERT INTO notification(data) VALUES (4);
		SELECT id - base FROM notification, rowcast_meta"
	assert_output $'3\n4'
}

@test "low water: an application's trigger may delete the row that was just inserted" {
	run sql "CREATE TRIGGER spam AFTER INSERT ON notification WHEN NEW.channel = 'spam'
		BEGIN DELETE FROM notification WHERE id = NEW.id; END;
		INSERT INTO notification(channel, data) VALUES ('a', 1), ('spam', 2), ('a', 3);
		SELECT group_concat(data) FROM notification; SELECT low_water - base FROM rowcast_meta"
	assert_output $'1,3\n2'
}

@test "schema: a file that was deleted and created again gives no old id" {
	local last
	last=$(sql "INSERT INTO notification(data) VALUES (1), (2) RETURNING id" | tail -n 1)
	rm "$DB"*
	sleep 0.01 # more than the two ids that were used: ids begin at the clock's milliseconds
	sqlite3 "$DB" <"$SRC/sql/schema.sql" >/dev/null
	run sql "INSERT INTO notification(data) VALUES (1) RETURNING id > $last"
	assert_output 1
}

@test "schema: a dump makes the same database again" {
	sql "INSERT INTO notification(data) VALUES (1), (2), (3); DELETE FROM notification WHERE data = '3'"
	sql .dump | sqlite3 "$BATS_TEST_TMPDIR/copy.db"
	assert_equal "$(sqlite3 "$BATS_TEST_TMPDIR/copy.db" .dump)" "$(sql .dump)"
	run "$ROWCAST" send --db "$BATS_TEST_TMPDIR/copy.db" four
	assert_success
	assert_output "$(($(sql "SELECT max(seq) FROM sqlite_sequence") + 1))"
}

@test "schema: the SQL file is as good as init, and harmless when it runs twice" {
	local before
	before=$(sql .dump)
	sqlite3 "$DB" <"$SRC/sql/schema.sql" &>/dev/null || true
	assert_equal "$(sql .dump)" "$before"
	"$ROWCAST" init --db "$BATS_TEST_TMPDIR/init.db" >/dev/null
	assert_equal "$(sqlite3 "$BATS_TEST_TMPDIR/init.db" .schema)" "$(sql .schema)"
	assert_equal "$(sql "PRAGMA journal_mode")" wal
}

@test "schema: all of it holds in an UTF-16 database" {
	rm -f "$DB"*
	{ echo "PRAGMA encoding = 'UTF-16be';" && cat "$SRC/sql/schema.sql"; } | sqlite3 "$DB"
	refused "channel must be" "INSERT INTO notification(channel, data) VALUES ('a' || char(0) || 'b', 1)"
	refused "event must be" "INSERT INTO notification(event, data) VALUES ('a' || char(10), 1)"
	# U+0A0D has the bytes of LF and CR, which it must not be taken for.
	sql "INSERT INTO notification(channel, event, data) VALUES (char(2573), char(2560, 256), 'grüß')"
	run "$ROWCAST" tail --db "$DB"
	assert_output --partial "data: grüß"
}

# --- init on an application's database -----------------------------------------------------

# A database with something of everything that init must leave alone.
application() {
	sql "PRAGMA page_size = 8192; PRAGMA auto_vacuum = FULL; PRAGMA application_id = 77; PRAGMA user_version = 5;
		CREATE TABLE orders(id INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT);
		CREATE INDEX orders_state ON orders(state);
		CREATE VIEW paid AS SELECT * FROM orders WHERE state = 'paid';
		CREATE TABLE log(line);
		CREATE TRIGGER orders_log AFTER INSERT ON orders BEGIN INSERT INTO log VALUES (NEW.id); END;
		INSERT INTO orders(state) VALUES ('new'), ('paid')"
}

# The dump without what is ours.
foreign_dump() {
	sql "SELECT type, name, sql FROM sqlite_master WHERE tbl_name <> 'notification' AND tbl_name NOT LIKE 'rowcast%' ORDER BY name;
		SELECT * FROM orders; SELECT * FROM log; SELECT * FROM sqlite_sequence WHERE name = 'orders';
		PRAGMA user_version; PRAGMA application_id; PRAGMA auto_vacuum; PRAGMA page_size; PRAGMA encoding;
		PRAGMA integrity_check"
}

@test "init: leaves everything of the application as it was" {
	local before
	application
	before=$(foreign_dump)
	run "$ROWCAST" init --db "$DB"
	assert_success
	assert_line --partial "created table notification"
	assert_line --partial "switched the journal to WAL"
	assert_equal "$(foreign_dump)" "$before"
	assert_equal "$(sql "PRAGMA journal_mode")" wal
	sql "BEGIN; UPDATE orders SET state = 'sent'; INSERT INTO notification(data) VALUES ('sent'); COMMIT"
}

@test "init: --keep-journal leaves the journal" {
	application
	run "$ROWCAST" init --db "$DB" --keep-journal
	assert_success
	refute_output --partial "WAL"
	assert_equal "$(sql "PRAGMA journal_mode")" delete
	run "$ROWCAST" send --db "$DB" works
	assert_success
	run "$ROWCAST" tail --db "$DB"
	assert_line "data: works"
}

@test "init: a foreign table or view of that name is refused and nothing is changed" {
	application
	sql "CREATE TABLE notification(id INTEGER PRIMARY KEY, data TEXT); INSERT INTO notification VALUES (1, 'mine')"
	local before
	before=$(sql .dump)
	run "$ROWCAST" init --db "$DB"
	assert_failure 1
	assert_output --regexp '^rowcast init: .* that rowcast did not make: choose another name with --table$'
	assert_equal "$(sql .dump)" "$before"
	assert_equal "$(sql "PRAGMA journal_mode")" delete
	run "$ROWCAST" init --db "$DB" --table PAID
	assert_failure 1
	run "$ROWCAST" init --db "$DB" --table events
	assert_success
	"$ROWCAST" send --db "$DB" --table events hi
	run "$ROWCAST" tail --db "$DB" --table events
	assert_line "data: hi"
}

@test "init: a conflict half-way leaves no trace" {
	application
	sql "CREATE INDEX notification_by_channel ON orders(id)"
	local before
	before=$(sql .dump)
	run "$ROWCAST" init --db "$DB"
	assert_failure 1
	assert_output --partial "notification_by_channel"
	assert_equal "$(sql .dump)" "$before"
}

@test "init: again changes nothing" {
	"$ROWCAST" init --db "$DB"
	"$ROWCAST" send --db "$DB" one
	local before
	before=$(sql .dump)
	run "$ROWCAST" init --db "$DB"
	assert_success
	assert_output --partial "is up to date"
	assert_equal "$(sql .dump)" "$before"
}

@test "init: a newer version is left alone, and every subcommand says so" {
	local command
	"$ROWCAST" init --db "$DB"
	sql "UPDATE rowcast_meta SET schema_version = 99"
	for command in init "send x" tail "prune --keep-rows 1" rebase; do
		# shellcheck disable=SC2086
		run "$ROWCAST" $command --db "$DB"
		assert_failure 1
		assert_output --partial "schema version 99, made by a newer rowcast"
		assert_equal "${#lines[@]}" 1
	done
}

@test "init: two tables in one database keep their own ids" {
	"$ROWCAST" init --db "$DB"
	"$ROWCAST" init --db "$DB" --table second
	sql "INSERT INTO second(data) VALUES (1), (2); DELETE FROM second;
		INSERT INTO notification(data) VALUES (3)"
	run sql "SELECT table_name, low_water - base FROM rowcast_meta ORDER BY 1"
	assert_output $'notification|0\nsecond|2'
}

# --- the examples --------------------------------------------------------------------------

@test "examples: order-state notifies the office and the customer, once for each change" {
	sql <"$SRC/sql/examples/order-state.sql"
	sql "UPDATE orders SET state = 'paid' WHERE id = 1; UPDATE orders SET state = 'paid'"
	run sql "SELECT channel, recipient, event, data, collapse_key FROM notification"
	assert_output 'orders||order-state|{"id":1,"customer":"alice","from":"new","to":"paid"}|order-1
my-orders|alice|order-state|{"id":1,"to":"paid"}|order-1'
	sql "BEGIN; UPDATE orders SET state = 'sent'; ROLLBACK"
	assert_equal "$(sql "SELECT count(*) FROM notification")" 2
}

@test "examples: new-comment gives each article its channel" {
	sql <"$SRC/sql/examples/new-comment.sql"
	sql "INSERT INTO comments(article, author, body) VALUES (7, 'bob', 'say \"hi\"' || char(10) || 'there'), (8, 'eve', 'x');
		INSERT INTO comments(article, author, body, hidden) VALUES (7, 'spam', 'x', 1);
		UPDATE comments SET hidden = 1 WHERE author = 'eve'"
	run sql "SELECT channel, event, data FROM notification"
	assert_output 'article.7|comment|{"id":1,"author":"bob","body":"say \"hi\"\nthere"}
article.8|comment|{"id":2,"author":"eve","body":"x"}
article.8|comment-hidden|{"id":2}'
}

@test "examples: sensor-limit notifies of a crossing, and of values that expire" {
	sql <"$SRC/sql/examples/sensor-limit.sql"
	sql "INSERT INTO readings(sensor, value) VALUES ('boiler', 80), ('boiler', 91.5), ('boiler', 95), ('boiler', 70)"
	run sql "SELECT data FROM notification WHERE channel = 'alarms'"
	assert_output '{"sensor":"boiler","max":90.0,"state":"above"}
{"sensor":"boiler","max":90.0,"state":"normal"}'
	run sql "SELECT count(*), count(DISTINCT collapse_key), min(expires_at > created_at) FROM notification WHERE event = 'value'"
	assert_output "4|1|1"
}
