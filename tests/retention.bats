#!/usr/bin/env bats
# retention.bats - `rowcast serve --keep-age`, `--keep-rows`: old rows go in the background, the
# files stay small, and neither the writer nor a reader is any the worse for it.
#
# shellcheck shell=bash

load helper

count() { sql 'SELECT count(*) FROM notification'; }
count_is() { [[ $(count) -eq $1 ]]; }
low_water() { sql 'SELECT low_water FROM rowcast_meta'; }
size_of() { stat -c %s "$1" 2>/dev/null || echo 0; }
is_smaller() { [[ $(size_of "$1") -lt $2 ]]; }
says() { grep -q -- "$1" "$T/rowcast.err"; }
# At most N rows, and as many more as are borne before they are counted again.
is_kept() { [[ $(count) -le $(($1 + $1 / 1000)) ]]; }

# A sqlite3 that stays; it runs what is written to descriptor 7.
open_shell() {
	mkfifo "$T/in"
	background sh -c 'exec sqlite3 "$1" <"$2"' - "$DB" "$T/in" >"$T/shell.log" 2>&1
	exec 7>"$T/in"
}

@test "retention: --keep-rows keeps the newest, and streams at the tail get no gap" {
	init_db
	start_rowcast --keep-rows 10
	listen_direct a
	listen_direct b '?channel=default'
	rows 1 500
	expect_data a 500
	wait_for count_is 10
	assert_equal "$(sql 'SELECT min(CAST(data AS INTEGER)) FROM notification')" 491
	assert_equal "$(low_water)" "$(sql 'SELECT min(id) - 1 FROM notification')"
	rows 501 520
	expect_data a 520
	expect_data b 520
	wait_for count_is 10
	row last
	expect_data a last
	assert_equal "$(data_of a | wc -l)" 521
	assert_equal "$(data_of b | wc -l)" 521
	run ! has_gap a
	run ! has_gap b
	assert_healthy
}

@test "retention: a reader that comes back for deleted rows gets a gap" {
	local before
	init_db
	start_rowcast --keep-rows 5
	before=$(tail_id)
	rows 1 50
	wait_for count_is 5
	listen_direct a '' HTTP_LAST_EVENT_ID="$before"
	wait_for has_gap a
	assert_equal "$(gap_of a | jq -r .reason)" pruned
	expect_data a 50
	assert_equal "$(data_of a | head -n 1)" 46
	assert_healthy
}

@test "retention: --keep-age deletes what is older, from the oldest up" {
	init_db
	rows 1 20
	sql "UPDATE notification SET created_at = created_at - 3600000 WHERE CAST(data AS INTEGER) <= 15"
	start_rowcast --keep-age 10m
	wait_for count_is 5
	assert_equal "$(sql 'SELECT min(CAST(data AS INTEGER)) FROM notification')" 16
	assert_healthy
}

@test "retention: a row that is dated in the future keeps no other row for ever" {
	init_db
	sql "INSERT INTO notification(data, created_at) VALUES
		('far', 4102444800000), ('micro', 1795000000000000), ('old', 1000), ('older', 500)"
	row young >/dev/null
	start_rowcast --keep-age 1h
	only_young() { [[ $(sql "SELECT group_concat(data) FROM notification") == young ]]; }
	wait_for only_young
	# By hand likewise.
	sql "INSERT INTO notification(data, created_at) VALUES ('micro', 1795000000000000)"
	run "$ROWCAST" doctor --db "$DB"
	assert_output --partial "dated in the future"
	sql "INSERT INTO notification(data, created_at) VALUES ('old', 1000)"
	assert_equal "$("$ROWCAST" prune --db "$DB" --keep-age 1h)" 0
}

@test "retention: expired rows go when nothing older is left, so that no reader loses what is between" {
	local keep
	init_db
	rows 1 30
	sql "UPDATE notification SET expires_at = 1000
	     WHERE CAST(data AS INTEGER) <= 10 OR CAST(data AS INTEGER) = 20"
	keep=$(sql 'SELECT min(id) - 1 FROM notification WHERE expires_at IS NULL')
	start_rowcast --keep-age 30d
	wait_for count_is 20
	assert_equal "$(low_water)" "$keep"
	assert_equal "$(sql 'SELECT count(*) FROM notification WHERE expires_at = 1000')" 1
	assert_healthy
}

@test "retention: without the options nothing is deleted" {
	init_db
	rows 1 50
	sql 'UPDATE notification SET created_at = 1, expires_at = 1'
	start_rowcast
	listen_direct a
	row new
	expect_data a new
	assert_equal "$(count)" 51
	assert_healthy
}

@test "retention: refused for a table that rowcast has not made" {
	local workers
	init_db
	sql 'CREATE TABLE other(id INTEGER PRIMARY KEY, data); INSERT INTO other VALUES (1, 1), (2, 2)'
	for workers in 1 2; do
		run -1 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --table other --keep-rows 1 \
			--workers "$workers"
		assert_output --partial 'table other of'
		assert_output --partial 'was not made by rowcast'
		assert_output --partial 'leave these options out'
	done
	assert_equal "$(sql 'SELECT count(*) FROM other')" 2
	run -2 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --keep-rows -1
	run -2 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --keep-age soon
}

@test "retention: 300000 inserts, a stuck reader and --keep-rows 2000 leave small files of a stable size" {
	local round file wal=0 early=0
	init_db
	start_rowcast --keep-rows 2000 --stall-timeout 300
	listen_direct a
	# A reader that takes nothing: rows are deleted under it, and it must hold nothing up.
	background python3 -SE "$CLIENTS/fcgi.py" "unix:$SOCKET" --seconds 240 request \
		wait-file:"$T/never" >"$T/stuck.log" 2>&1
	READER[stuck]=$PID
	for round in {1..30}; do
		rows $((round * 10000 - 9999)) $((round * 10000))
		expect_data a $((round * 10000))
		wait_for is_kept 2000
		file=$(size_of "$DB-wal")
		((file <= wal)) || wal=$file
		[[ $round -ne 3 ]] || early=$(size_of "$DB")
	done
	echo "WAL at most $wal, file $early then $(size_of "$DB")"
	[[ $wal -lt $((16 << 20)) ]]
	[[ $(size_of "$DB") -le $((early + early / 4)) ]]
	assert_equal "$(data_of a | wc -l)" 300000
	run ! has_gap a
	assert_equal "$(sql 'PRAGMA integrity_check')" ok
	assert_healthy
}

@test "retention: the WAL that a great transaction leaves is emptied, with streams open" {
	init_db
	start_rowcast --keep-rows 100
	listen_direct a
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
	     INSERT INTO notification(data) SELECT i || ' ' || hex(zeroblob(400)) FROM n"
	wait_for is_kept 100
	# Somebody has the database open, or SQLite would remove the WAL by itself.
	wait_for is_smaller "$DB-wal" $((16 << 20))
	row last
	expect_data a last
	assert_healthy
}

@test "retention: free pages are given back where the database is one that does so, else reused" {
	local full
	sqlite3 "$DB" 'PRAGMA auto_vacuum = INCREMENTAL; CREATE TABLE theirs(x)'
	init_db
	# Few rows, many pages: to delete rows takes turns of its own, and is not what is looked at here.
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
	     INSERT INTO notification(data) SELECT hex(zeroblob(1000)) FROM n"
	sql 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
	full=$(size_of "$DB")
	start_rowcast --keep-rows 100
	wait_for is_kept 100
	wait_for eval "sql 'PRAGMA wal_checkpoint(PASSIVE)'; is_smaller '$DB' $((full / 4))"
	assert_equal "$(sql 'PRAGMA auto_vacuum')" 2
	assert_equal "$(sql 'PRAGMA integrity_check')" ok
	assert_healthy
}

@test "retention: auto_vacuum is never changed" {
	init_db
	rows 1 5000
	start_rowcast --keep-rows 10
	wait_for is_kept 10
	assert_equal "$(sql 'PRAGMA auto_vacuum')" 0
	assert_healthy
}

@test "retention: a database that is locked is left alone, and tidied up afterwards" {
	init_db
	rows 1 100
	open_shell
	echo "BEGIN IMMEDIATE; SELECT 'locked';" >&7
	wait_for grep -q locked "$T/shell.log"
	start_rowcast --keep-rows 10
	listen_direct a '?since=all'
	expect_data a 100
	assert_equal "$(count)" 100
	echo "INSERT INTO notification(data) VALUES ('mine'); COMMIT;" >&7
	expect_data a mine
	wait_for count_is 10
	exec 7>&-
	run ! says 'cannot delete'
	run ! has_gap a
	assert_healthy
}

# Root may write anything, so then rowcast runs as somebody else.
@test "retention: a database that may not be written is a warning, and serving goes on" {
	local as=()
	[[ $EUID -ne 0 ]] || as=(setpriv --reuid=www-data --regid=www-data --clear-groups)
	init_db
	rows 1 20
	cp "$ROWCAST" "$T/program"
	open_shell # so that -wal and -shm are there
	echo 'SELECT count(*) FROM notification;' >&7
	wait_for test -s "$T/shell.log"
	chmod a-w "$DB"
	chmod a+rw "$DB-wal" "$DB-shm"
	background "${as[@]}" "$T/program" serve --db "$DB" --heartbeat "$BEAT" --keep-rows 5 \
		--listen "unix:$SOCKET" --listen-mode 0666 >>"$T/rowcast.err" 2>&1
	ROWCAST_PID=$PID
	wait_for_start "$ROWCAST_PID" fcgi --get /health
	note_rest
	wait_for says 'cannot delete old rows, serving goes on'
	listen_direct a '?since=all'
	expect_data a 20
	assert_equal "$(count)" 20
	chmod a+w "$DB"* # SQLite gives an empty WAL the rights of the database
	wait_for says 'old rows are deleted again'
	[[ $(find "/proc/$ROWCAST_PID/fd" -lname "$DB" | wc -l) -le 3 ]] # not one for each attempt
	close_all
	note_rest
	wait_for count_is 5
	exec 7>&-
	assert_equal "$(grep 'cannot delete' "$T/rowcast.err" | sort | uniq -d)" '' # said once
	assert_healthy
}

@test "retention: of several workers one does it, and after its death another" {
	local worker
	init_db
	start_rowcast --keep-rows 10 --workers 3
	rows 1 200
	wait_for count_is 10
	for worker in $(pgrep -P "$ROWCAST_PID"); do
		kill -KILL "$worker"
	done
	rows 201 400
	wait_for count_is 10
	kill -TERM "$ROWCAST_PID"
	wait "$ROWCAST_PID"
	assert_no_report
}
