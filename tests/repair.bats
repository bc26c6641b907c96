#!/usr/bin/env bats
# repair.bats - a table that another program has rebuilt, as migrations do it: rows copied to a new table,
# the old one dropped, the new one renamed. Its triggers and indexes are then gone: serve, doctor
# and send notice it, `rowcast init` makes all of it whole.
#
# shellcheck shell=bash

load helper

# What Django, Rails, EF, gorm, atlas and sqlite-utils do, in one transaction. rebuild [ID_TYPE [COLUMNS]]
rebuild() {
	local columns=${2:-id, channel, recipient, event, data, collapse_key, created_at, expires_at}
	sql "PRAGMA legacy_alter_table = 1; BEGIN;
		CREATE TABLE new__notification(id ${1:-INTEGER PRIMARY KEY AUTOINCREMENT},
			channel TEXT NOT NULL DEFAULT 'default', recipient TEXT, event TEXT, data TEXT NOT NULL,
			${COLUMNS_LEFT_OUT:-collapse_key TEXT,} created_at INTEGER NOT NULL ${CREATED_DEFAULT-DEFAULT 0},
			expires_at INTEGER);
		INSERT INTO new__notification($columns) SELECT $columns FROM notification;
		DROP TABLE notification; ALTER TABLE new__notification RENAME TO notification; COMMIT"
}

contents() {
	sql "SELECT id, channel, data FROM notification; SELECT * FROM sqlite_sequence;
		SELECT * FROM rowcast_meta"
}

is_well() { fcgi --get /health; }
is_ill() { fcgi --get /health | grep -q '^Status: 503'; }

# What doctor says of the schema and the marks, and its exit code.
examine() { "$ROWCAST" doctor --db "$DB" --json >"$T/doctor.json"; }
sees() { jq -e --arg check "$1" --arg level "$2" 'any(.[]; .check == $check and .level == $level)' "$T/doctor.json"; }

objects() { sqlite3 "$1" "SELECT type, name FROM sqlite_master ORDER BY 1, 2"; }
is_like_new() {
	rm -f "$T/new.db"*
	"$ROWCAST" init --db "$T/new.db" >/dev/null
	assert_equal "$(objects "$DB")" "$(objects "$T/new.db")"
	examine || fail "$(cat "$T/doctor.json")"
	assert_equal "$(sql "PRAGMA integrity_check")" ok
}

@test "rebuilt: doctor names what is missing, and init makes it again" {
	init_db
	rows 1 3
	local before
	before=$(contents)
	rebuild
	run -1 examine
	sees schema problem
	jq -e 'any(.[]; .seen | contains("trigger notification_low_water"))' "$T/doctor.json"
	run "$ROWCAST" init --db "$DB"
	assert_success
	assert_output --partial "made again what it had lost"
	assert_equal "$(contents)" "$before"
	is_like_new
	run "$ROWCAST" init --db "$DB"
	assert_output --partial "is up to date"
}

@test "rebuilt: each single index or trigger that is missing, or is another, is found" {
	local type name sql
	init_db
	while IFS='|' read -r type name; do
		sql=$(sql "SELECT sql FROM sqlite_master WHERE name = '$name'")
		sql "DROP $type $name"
		run -1 examine
		sees schema problem
		# Another tool's spelling of the same index is the same.
		if [[ $type == index ]]; then
			sql "$(tr -d '"' <<<"$sql" | tr -s ' \n' ' ' | sed 's/CREATE INDEX/create  index/')"
			examine
			sql "DROP INDEX $name; CREATE INDEX $name ON notification(data)"
			run -1 examine
		fi
		"$ROWCAST" init --db "$DB"
		examine
	done < <(sql "SELECT type, name FROM sqlite_master WHERE tbl_name = 'notification' AND type <> 'table'")
}

@test "rebuilt: rows that were deleted meanwhile are a gap" {
	init_db
	rows 1 5
	local base
	base=$(sql "SELECT base FROM rowcast_meta")
	rebuild
	sql "DELETE FROM notification WHERE data = '3'"
	"$ROWCAST" init --db "$DB"
	assert_equal "$(sql "SELECT low_water - base FROM rowcast_meta")" 3
	rebuild
	sql "DELETE FROM notification WHERE data = '5'"
	"$ROWCAST" init --db "$DB"
	assert_equal "$(sql "SELECT low_water - base FROM rowcast_meta")" 5
	assert_equal "$(sql "SELECT base FROM rowcast_meta")" "$base"
	assert_equal "$(sql "INSERT INTO notification(data) VALUES (6) RETURNING id - $base")" 6
}

@test "rebuilt while empty: send refuses an id that no reader would see, and init moves the ids on" {
	init_db
	rows 1 3
	local seen
	seen=$(tail_id)
	sql "DELETE FROM notification"
	rebuild
	run -1 "$ROWCAST" send --db "$DB" lost
	assert_output --partial "rowcast init"
	run -1 "$ROWCAST" send --db "$DB" --lines <<<"lost"
	assert_equal "$(sql "SELECT count(*) FROM notification")" 0
	run -1 examine
	sees marks problem
	run "$ROWCAST" init --db "$DB"
	assert_success
	assert_output --partial "its ids had gone back"
	is_like_new
	(($("$ROWCAST" send --db "$DB" seen) > seen))
}

@test "rebuilt: AUTOINCREMENT, a column and a default come back, and what the application has added stays" {
	init_db
	rows 1 3
	local before
	before=$(sql "SELECT id, data FROM notification; SELECT * FROM sqlite_sequence")
	COLUMNS_LEFT_OUT=" " CREATED_DEFAULT="" rebuild "INTEGER PRIMARY KEY" "id, channel, data, created_at"
	sql "ALTER TABLE notification ADD COLUMN seen_by TEXT NOT NULL DEFAULT 'no''body';
		CREATE INDEX mine ON notification(seen_by);
		CREATE TABLE log(id);
		CREATE TRIGGER my_log AFTER INSERT ON notification BEGIN INSERT INTO log VALUES (NEW.id); END;
		CREATE VIEW mine_too AS SELECT id FROM notification"
	run -1 examine
	"$ROWCAST" init --db "$DB"
	examine
	assert_equal "$(sql "SELECT id, data FROM notification; SELECT * FROM sqlite_sequence")" "$before"
	sql "INSERT INTO notification(data, collapse_key) VALUES (4, 'k')"
	assert_equal "$(sql "SELECT count(*), min(seen_by), max(created_at) > 1e12, (SELECT count(*) FROM log),
		(SELECT count(*) FROM mine_too), (SELECT name FROM sqlite_master WHERE name = 'mine') FROM notification")" \
		"4|no'body|1|1|4|mine"
}

@test "rebuilt under serve: the log and /health say so within the second look, and init ends it" {
	init_db
	start_rowcast
	listen_direct one
	row before >/dev/null
	expect_data one before
	rebuild
	wait_for is_ill
	wait_for grep -q 'error: .*lacks what rowcast had made.*rowcast init' "$T/rowcast.err"
	# Rows are handed out as ever.
	row meanwhile >/dev/null
	expect_data one meanwhile
	"$ROWCAST" init --db "$DB"
	wait_for is_well
	grep -q 'info: the table is whole again' "$T/rowcast.err"
	row after >/dev/null
	expect_data one after
	assert_equal "$(grep -c 'lacks what' "$T/rowcast.err")" 1
	refute has_gap one
	assert_healthy
}

@test "rebuilt under serve while empty: nothing is missed untold" {
	init_db
	start_rowcast
	listen_direct one
	row before >/dev/null
	expect_data one before
	sql "DELETE FROM notification"
	rebuild
	wait_for is_ill
	sql "INSERT INTO notification(data) VALUES ('invisible')"
	"$ROWCAST" init --db "$DB"
	wait_for is_well
	wait_for has_gap one
	assert_regex "$(gap_of one)" reset
	row after >/dev/null
	expect_data one after
	assert_healthy
}

@test "serve starts on a rebuilt table, and says what is wrong with it" {
	init_db
	rebuild
	open_rights
	start_rowcast
	wait_for is_ill
	grep -q 'error: .*rowcast init' "$T/rowcast.err"
	fcgi --get /health | grep -q 'rowcast init'
	assert_healthy
}
