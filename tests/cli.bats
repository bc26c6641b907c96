#!/usr/bin/env bats
# cli.bats - init, send, tail, prune and rebase as a person or a script uses them: what they print,
# what they return, and that an error is one line that says what to do.

# shellcheck shell=bash

load helper

setup() {
	rowcast_setup
	mkdir "$T/data"
	DB=$T/data/test.db
	"$ROWCAST" init --db "$DB" >/dev/null
	PIDS=()
}

teardown() {
	local pid
	exec 8>&-
	for pid in "${PIDS[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rowcast_teardown
}

# one_line NAME PATTERN: the last run failed with 1 and one line of that kind on stderr.
one_line() {
	assert_failure 1
	assert_equal "${#lines[@]}" 1
	assert_output --regexp "^rowcast $1: .*$2"
}

has_line() { grep -qxF -- "$2" "$1"; }
row_count_is() { [[ $(sql "SELECT count(*) FROM notification") == "$1" ]]; }

# follow OPTION...: `tail -f` in the background, into $T/out; PID is its process.
follow() {
	"$ROWCAST" tail -f --db "$DB" "$@" >"$T/out" 2>"$T/err" 3>&- &
	PID=$!
	PIDS+=("$PID")
}

# session SQL: a sqlite3 that stays open on the database, with PID, after it has run the SQL.
session() {
	mkfifo "$T/session"
	sqlite3 -cmd ".timeout 5000" "$DB" <"$T/session" >"$T/session.out" 3>&- &
	PID=$!
	PIDS+=("$PID")
	exec 8>"$T/session"
	echo "$1; SELECT 'ready';" >&8
	wait_for has_line "$T/session.out" ready
}

# --- send ----------------------------------------------------------------------------------

@test "send: prints the id of the row, and every option ends up in its column" {
	local id
	id=$("$ROWCAST" send --db "$DB" --channel orders --event paid --to ann --collapse-key k7 --ttl 1h '{"id":7}')
	run sql "SELECT id, channel, event, recipient, collapse_key, data, (expires_at - created_at + 1000) / 10000 FROM notification"
	assert_output "$id|orders|paid|ann|k7|{\"id\":7}|360"
}

@test "send: without options it is a row for everyone on the default channel" {
	"$ROWCAST" send --db "$DB" hi
	run sql "SELECT channel, event IS NULL, recipient IS NULL, collapse_key IS NULL, expires_at IS NULL, data FROM notification"
	assert_output "default|1|1|1|1|hi"
}

@test "send: an empty DATA and one that looks like an option are data" {
	"$ROWCAST" send --db "$DB" ""
	"$ROWCAST" send --db "$DB" -- --data
	run sql "SELECT '[' || data || ']' FROM notification"
	assert_output $'[]\n[--data]'
}

@test "send: - takes all of stdin but one line end" {
	printf 'a\n\nb\n\n' | "$ROWCAST" send --db "$DB" -
	printf 'a\0\377b' | "$ROWCAST" send --db "$DB" -
	"$ROWCAST" send --db "$DB" - </dev/null
	run sql "SELECT hex(data) FROM notification"
	assert_output $'610A0A620A\n6100FF62'
	assert_equal "$(sql "SELECT count(*) FROM notification WHERE data = ''")" 1
}

@test "send: --lines makes each line a row and prints the last id" {
	local id
	id=$(printf 'one\n\nthree \r\nlast' | "$ROWCAST" send --db "$DB" --lines --channel log)
	run sql "SELECT hex(data) || ' ' || channel FROM notification"
	assert_output $'6F6E65 log\n log\n7468726565200D log\n6C617374 log'
	assert_equal "$id" "$(sql "SELECT max(id) FROM notification")"
	run "$ROWCAST" send --db "$DB" --lines </dev/null
	assert_success
	assert_output ""
}

@test "send: --lines commits as soon as the input pauses, and holds no lock while it waits" {
	mkfifo "$T/fifo"
	"$ROWCAST" send --db "$DB" --lines <"$T/fifo" >"$T/out" 3>&- &
	PIDS+=($!)
	exec 9>"$T/fifo"
	echo one >&9
	wait_for row_count_is 1
	printf 'tw' >&9
	sql "BEGIN IMMEDIATE; INSERT INTO notification(data) VALUES ('other'); COMMIT"
	echo o >&9
	wait_for row_count_is 3
	printf 'three' >&9
	exec 9>&-
	wait "${PIDS[0]}"
	run sql "SELECT data FROM notification"
	assert_output $'one\nother\ntwo\nthree'
}

@test "send: --lines takes lines longer than any buffer, and thousands of them" {
	{
		printf '%0200000d\n' 7
		seq 2000
	} | "$ROWCAST" send --db "$DB" --lines
	run sql "SELECT count(*), max(length(data)), sum(data) FROM notification"
	assert_output "2001|200000|2001007"
}

@test "send: a row that the table refuses is explained" {
	run "$ROWCAST" send --db "$DB" --event open x
	one_line send "event must not be open or error"
	run "$ROWCAST" send --db "$DB" --channel $'a\nb' x
	one_line send "channel must be text, not empty, without CR, LF and NUL"
}

@test "send: --lines says how much of it is done when it fails" {
	seq 3 | "$ROWCAST" send --db "$DB" --lines
	run bash -c "seq 3 | '$ROWCAST' send --db '$DB' --lines --event error"
	one_line send "the first 0 lines are sent"
}

@test "send: wrong usage is 2" {
	local arguments
	for arguments in "" "a b" "--lines a" "--ttl soon x" "--nonsense x" "--channel= x"; do
		# shellcheck disable=SC2086
		run "$ROWCAST" send --db "$DB" $arguments
		assert_failure 2
		assert_equal "${#lines[@]}" 1
	done
	run "$ROWCAST" send x
	assert_failure 2
	assert_output --partial "--db FILE or set ROWCAST_DB"
	assert_equal "$(sql "SELECT count(*) FROM notification")" 0
}

@test "send: waits for another writer instead of failing" {
	session "BEGIN IMMEDIATE; INSERT INTO notification(data) VALUES ('first')"
	"$ROWCAST" send --db "$DB" second >"$T/out" 3>&- 8>&- &
	PIDS+=($!)
	sleep 0.5
	assert_equal "$(cat "$T/out")" ""
	echo "COMMIT;" >&8
	wait "${PIDS[1]}"
	run sql "SELECT data FROM notification"
	assert_output $'first\nsecond'
}

# --- tail ----------------------------------------------------------------------------------

@test "tail: prints the newest ten as events" {
	seq 15 | "$ROWCAST" send --db "$DB" --lines --event tick
	run "$ROWCAST" tail --db "$DB"
	assert_success
	assert_line --index 0 --regexp '^id: [0-9]+$'
	assert_line --index 1 "event: tick"
	assert_line --index 2 "data: 6"
	assert_line "data: 15"
	refute_line "data: 5"
}

@test "tail: --last, --since all, --since ID and --since AGE" {
	local id
	"$ROWCAST" send --db "$DB" one
	id=$("$ROWCAST" send --db "$DB" two)
	seq 3 14 | "$ROWCAST" send --db "$DB" --lines
	sql "UPDATE notification SET created_at = created_at - 3600000 WHERE id <= $id"
	numbers() { "$ROWCAST" tail --db "$DB" "$@" | sed -n 's/^data: //p' | tr '\n' ' '; }
	assert_equal "$(numbers --last 2)" "13 14 "
	assert_equal "$(numbers --last 100)" "one two 3 4 5 6 7 8 9 10 11 12 13 14 "
	assert_equal "$(numbers --since all)" "one two 3 4 5 6 7 8 9 10 11 12 13 14 "
	assert_equal "$(numbers --since "$((id - 1))")" "two 3 4 5 6 7 8 9 10 11 12 13 14 "
	assert_equal "$(numbers --since 30m)" "3 4 5 6 7 8 9 10 11 12 13 14 "
	assert_equal "$(numbers --since 2h)" "one two 3 4 5 6 7 8 9 10 11 12 13 14 "
	run "$ROWCAST" tail --db "$DB" --since yesterday
	assert_failure 2
	run "$ROWCAST" tail --db "$DB" --since all --last 1
	assert_failure 2
}

@test "tail: --channel picks, and --last counts what it picks" {
	local i
	for i in 1 2 3; do
		"$ROWCAST" send --db "$DB" --channel "orders.$i" "o$i"
		"$ROWCAST" send --db "$DB" --channel other "x$i"
	done
	run "$ROWCAST" tail --db "$DB" --channel 'orders.*' --last 2
	assert_equal "$(grep -c data <<<"$output")" 2
	assert_line "data: o2"
	assert_line "data: o3"
	run "$ROWCAST" tail --db "$DB" --channel orders.1 --channel 'o?her'
	assert_equal "$(grep -c data <<<"$output")" 4
}

@test "tail: --json prints an object a line" {
	"$ROWCAST" send --db "$DB" --channel orders $'two\nlines "quoted"'
	run "$ROWCAST" tail --db "$DB" --json
	assert_equal "${#lines[@]}" 1
	assert_output --regexp '^\{"id":"[0-9]+","channel":"orders","event":"message","data":"two\\nlines \\"quoted\\"","created_at":[0-9]+\}$'
}

@test "tail: private rows are shown, expired ones are not" {
	"$ROWCAST" send --db "$DB" --to ann private
	sql "INSERT INTO notification(data, expires_at) VALUES ('expired', 1)"
	run "$ROWCAST" tail --db "$DB"
	assert_line "data: private"
	refute_output --partial "expired"
}

@test "tail: a gap after an id is an event" {
	local first last
	first=$("$ROWCAST" send --db "$DB" one)
	last=$(seq 5 | "$ROWCAST" send --db "$DB" --lines)
	sql "DELETE FROM notification WHERE id < $last"
	run "$ROWCAST" tail --db "$DB" --since "$first"
	assert_line "event: rowcast:gap"
	assert_line "data: {\"reason\":\"pruned\",\"after\":\"$first\",\"resumed_at\":\"$((last - 1))\"}"
	assert_line "data: 5"
	run "$ROWCAST" tail --db "$DB" --since "$((last + 1))"
	assert_line --partial '"reason":"reset"'
	run "$ROWCAST" tail --db "$DB" --since "$last"
	assert_output ""
	run "$ROWCAST" tail --db "$DB" --since all
	refute_line --partial "gap"
}

@test "tail: -f prints rows as they are committed, until SIGINT" {
	"$ROWCAST" send --db "$DB" before
	follow
	wait_for has_line "$T/out" "data: before"
	sql "BEGIN; INSERT INTO notification(data) VALUES ('after'); INSERT INTO notification(data) VALUES ('later'); COMMIT"
	wait_for has_line "$T/out" "data: later"
	assert_equal "$(grep -c ^id: "$T/out")" 3
	kill -INT "$PID"
	wait "$PID"
	assert_equal "$(cat "$T/err")" ""
}

@test "tail: -f ends quietly when its output has no reader" {
	"$ROWCAST" send --db "$DB" one
	bash -c "set -o pipefail; '$ROWCAST' tail -f --db '$DB' 2>'$T/err' | head -n 1" >"$T/out" 3>&- &
	wait $!
	assert_equal "$(cat "$T/err")" ""
	seq 5000 | "$ROWCAST" send --db "$DB" --lines
	run bash -c "set -o pipefail; '$ROWCAST' tail --since all --db '$DB' | head -n 1"
	assert_success
	assert_equal "${#lines[@]}" 1
}

@test "tail: -f goes on in a file that was replaced, and says so" {
	follow
	"$ROWCAST" send --db "$DB" old
	wait_for has_line "$T/out" "data: old"
	"$ROWCAST" init --db "$T/data/new.db" >/dev/null
	"$ROWCAST" send --db "$T/data/new.db" new
	rm -f "$DB-wal" "$DB-shm"
	mv "$T/data/new.db" "$DB"
	wait_for has_line "$T/out" "data: new"
	# Once more where it looked between the two: without its WAL the old file had lost a row.
	grep -q '"reason":"reset"' "$T/out"
}

@test "tail: -f goes on when -shm was removed" {
	follow
	"$ROWCAST" send --db "$DB" before
	wait_for has_line "$T/out" "data: before"
	rm -f "$DB-shm"
	"$ROWCAST" send --db "$DB" after
	wait_for has_line "$T/out" "data: after"
}

@test "tail: -f at rest looks at most a few times a second" {
	local before after
	follow
	"$ROWCAST" send --db "$DB" row
	wait_for has_line "$T/out" "data: row"
	sleep 2     # the looks that follow on a row
	before=$(awk '/^voluntary/ { print $2 }' "/proc/$PID/status")
	sleep 3
	after=$(awk '/^voluntary/ { print $2 }' "/proc/$PID/status")
	((after - before <= 15)) || fail "$((after - before)) wake-ups in three seconds"
}

@test "tail: -f goes on when -shm was removed, and says when the database is away and back" {
	"$ROWCAST" send --db "$DB" before
	follow
	wait_for has_line "$T/out" "data: before"
	rm "$DB-shm"
	sql "INSERT INTO notification(data) VALUES ('without')"
	wait_for has_line "$T/out" "data: without"
	mkdir "$T/away"
	mv "$DB"* "$T/away"
	wait_for grep -q 'waits until it can be opened' "$T/err"
	# The database last: without its WAL it is an older state, and tail may look at any moment.
	mv "$T/away/"*-wal "$T/data"
	mv "$T/away/"* "$T/data"
	sql "INSERT INTO notification(data) VALUES ('back')"
	wait_for has_line "$T/out" "data: back"
	assert_equal "$(grep -c ^id: "$T/out")" 3
	assert_equal "$(grep -c "^rowcast tail: $DB is open again" "$T/err")" 1
	assert_equal "$(wc -l <"$T/err")" 2
}

@test "tail: rows that are pruned while its output is blocked are a gap event" {
	"$ROWCAST" init --db "$DB"
	sqlite3 "$DB" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
		INSERT INTO notification(data) SELECT printf('%.*c', 100, 'x') FROM n"
	run python3 - "$ROWCAST" "$DB" <<-'PY'
		import json, sqlite3, subprocess, sys
		tail = subprocess.Popen([sys.argv[1], "tail", "--db", sys.argv[2], "--since", "all", "--json"],
		                        stdout=subprocess.PIPE)
		lines = [json.loads(tail.stdout.readline())]      # and the pipe is full soon
		db = sqlite3.connect(sys.argv[2])
		db.execute("DELETE FROM notification WHERE id < (SELECT max(id) - 10 FROM notification)")
		db.commit()
		lines += [json.loads(line) for line in tail.stdout]
		ids = [int(line["id"]) for line in lines if "id" in line]
		holes = [[a, b - 1] for a, b in zip(ids, ids[1:]) if b != a + 1]
		told = [line["gap"] for line in lines if "gap" in line]
		told = [[int(gap["after"]), int(gap["resumed_at"])] for gap in told]
		print(tail.wait(), len(ids) < 5000, holes == told, len(told), ids[-1] - ids[0])
	PY
	assert_success
	assert_output "0 True True 1 4999"
}

@test "tail: --table takes a table or view that has only id and data" {
	sql "CREATE TABLE t(id INTEGER PRIMARY KEY, data); INSERT INTO t VALUES (3, 'three'), (4, NULL);
		CREATE VIEW v AS SELECT id * 10 AS id, 'v' || data AS data FROM t"
	run "$ROWCAST" tail --db "$DB" --table t
	assert_line "id: 3"
	assert_line "data: three"
	assert_line "id: 4"
	run "$ROWCAST" tail --db "$DB" --table v --json
	assert_line --index 0 --partial '{"id":"30","channel":'
	run "$ROWCAST" send --db "$DB" --table t x
	one_line send "not made by rowcast"
	run "$ROWCAST" prune --db "$DB" --table t --keep-rows 1
	one_line prune "not made by rowcast"
	sql "CREATE TABLE no_data(id INTEGER PRIMARY KEY)"
	run "$ROWCAST" tail --db "$DB" --table no_data
	one_line tail "has no column data"
}

@test "tail: a writer killed inside its transaction leaves no row" {
	follow --since all
	session "BEGIN IMMEDIATE; INSERT INTO notification(data) VALUES ('half')"
	kill -KILL "$PID"
	wait "$PID" || true
	"$ROWCAST" send --db "$DB" whole
	wait_for has_line "$T/out" "data: whole"
	refute has_line "$T/out" "data: half"
	assert_equal "$(grep -c ^id: "$T/out")" 1
}

# --- prune and rebase ----------------------------------------------------------------------

@test "prune: --keep-rows keeps the newest and prints how many went" {
	seq 1200 | "$ROWCAST" send --db "$DB" --lines
	run "$ROWCAST" prune --db "$DB" --keep-rows 100
	assert_success
	assert_output 1100
	run sql "SELECT min(CAST(data AS INTEGER)), count(*), (SELECT low_water - base FROM rowcast_meta) FROM notification"
	assert_output "1101|100|1100"
	run "$ROWCAST" prune --db "$DB" --keep-rows 100
	assert_output 0
}

@test "prune: --keep-age goes by created_at, --expired by expires_at" {
	sql "INSERT INTO notification(data, created_at) SELECT 'old', created_at - 7200000 FROM
		(SELECT strftime('%s', 'now') * 1000 AS created_at) UNION ALL SELECT 'older', 5;
		INSERT INTO notification(data, expires_at) VALUES ('expired', 5), ('not yet', 9000000000000), ('never', NULL)"
	run "$ROWCAST" prune --db "$DB" --keep-age 1h
	assert_output 2
	run "$ROWCAST" prune --db "$DB" --expired
	assert_output 1
	run sql "SELECT data FROM notification"
	assert_output $'not yet\nnever'
}

@test "prune: with nothing to go by it is wrong usage, and deletes nothing" {
	"$ROWCAST" send --db "$DB" x
	run "$ROWCAST" prune --db "$DB"
	assert_failure 2
	run "$ROWCAST" prune --db "$DB" --keep-age 0 --keep-rows 0
	assert_failure 2
	assert_equal "$(sql "SELECT count(*) FROM notification")" 1
}

@test "prune: writers get their turn while it runs" {
	local i
	seq 20000 | "$ROWCAST" send --db "$DB" --lines
	"$ROWCAST" prune --db "$DB" --keep-rows 100 >"$T/out" 3>&- &
	PIDS+=($!)
	for i in 1 2 3 4 5; do
		sqlite3 -cmd ".timeout 1000" "$DB" "INSERT INTO notification(data) VALUES ('between')"
	done
	wait "${PIDS[0]}"
	assert_equal "$(sql "SELECT count(*) FROM notification WHERE data = 'between'")" 5
}

@test "rebase: after a restored backup no id is given twice" {
	local before base next
	"$ROWCAST" send --db "$DB" one
	sql ".backup '$T/backup.db'"
	before=$(seq 50 | "$ROWCAST" send --db "$DB" --lines)
	# Ids start at the clock's milliseconds: fifty rows in less than fifty of them run ahead.
	until (($(date +%s%3N) > before)); do :; done
	rm -f "$DB-wal" "$DB-shm"
	cp "$T/backup.db" "$DB"
	base=$("$ROWCAST" rebase --db "$DB")
	((base > before))
	next=$("$ROWCAST" send --db "$DB" two)
	assert_equal "$next" "$((base + 1))"
	run "$ROWCAST" tail --db "$DB" --since "$before"
	assert_line --partial '"reason":"reset"'
	assert_line "data: one"
	run "$ROWCAST" rebase --db "$DB" --above 8000000000000
	assert_output 8000000000001
}

@test "tail: on a terminal a row cannot give orders to it, in a pipe every byte is as it is" {
	printf 'a\033]0;title\007b' | "$ROWCAST" send --db "$DB" -
	script -qec "'$ROWCAST' tail --db '$DB'" /dev/null </dev/null | tr -d '\r' >"$T/shown"
	grep -qxF 'data: a\x1b]0;title\x07b' "$T/shown"
	"$ROWCAST" tail --db "$DB" >"$T/raw"
	grep -qxF $'data: a\e]0;title\ab' "$T/raw"
}

# The commands of a document between two lines: shown FILE FROM TO
shown() { sed -n "/$2/,/$3/p" "$BATS_TEST_DIRNAME/../$1" | sed '1d;$d'; }

# What each document says for a backup and its restoration, run as it stands but for the paths. A WAL of
# the database is left behind, as by a responder that ended.
restored_by() {
	local lines
	"$ROWCAST" send --db "$DB" one
	lines=$(cat)
	mkdir -p "$T/backup"
	bash -ec "$(grep -F '.backup' <<<"$lines")"
	"$ROWCAST" send --db "$DB" two
	leave_wal three
	bash -ec "$(grep -vF '.backup' <<<"$lines")" >"$T/base"
	assert_equal "$(sql 'SELECT group_concat(data) FROM notification')" one
	assert_equal "$(sql 'PRAGMA integrity_check')" ok
	[[ $("$ROWCAST" send --db "$DB" four) -gt $(cat "$T/base") ]]
}
# A commit that stays in the WAL, since its writer is killed.
leave_wal() {
	coproc sqlite3 "$DB"
	echo "INSERT INTO notification(data) VALUES ('$1'); SELECT 'done';" >&"${COPROC[1]}"
	until read -r line <&"${COPROC[0]}" && [[ $line == done ]]; do :; done
	kill -KILL "$COPROC_PID"
	wait "$COPROC_PID" 2>/dev/null || true
	[[ -s $DB-wal ]]
}

@test "restore: the lines of rowcast(1)" {
	shown man/rowcast.1 'Make a backup, with' '^\.Ed' | grep '^\$ ' | sed 's/^\$ //' |
		sed "s#backup\.db#$T/backup/b.db#g; s#\bshop\.db#$DB#g; s#^rowcast#$ROWCAST#" | restored_by
}

@test "restore: the lines of OPERATIONS" {
	shown doc/OPERATIONS.md '^## Backup' '^## Upgrade' | grep '^    ' | grep -v systemctl |
		sed "s#/backup/#$T/backup/#; s#/var/lib/rowcast/rowcast\.db#$DB#g; s#^ *rowcast#$ROWCAST#
		     s#-o rowcast -g www-data##" | restored_by
}

@test "rebase: refuses while a WAL lies there that no process has open, and says what to remove" {
	"$ROWCAST" send --db "$DB" one
	sql ".backup '$T/backup.db'"
	leave_wal two
	cp "$T/backup.db" "$DB"
	run "$ROWCAST" rebase --db "$DB"
	one_line rebase "$DB-wal would be played into the database.*rm -f $DB-wal $DB-shm"
	cmp "$T/backup.db" "$DB"
	# As it says.
	rm -f "$DB-wal" "$DB-shm"
	"$ROWCAST" rebase --db "$DB"
	assert_equal "$(sql 'SELECT group_concat(data) FROM notification')" one
	# One that is its own: into the file with it.
	leave_wal three
	run "$ROWCAST" rebase --db "$DB"
	assert_failure
	sqlite3 "$DB" 'PRAGMA wal_checkpoint(TRUNCATE)'
	"$ROWCAST" rebase --db "$DB"
	assert_equal "$(sql 'SELECT group_concat(data) FROM notification')" one,three
	# Empty, cut or of zeros: SQLite plays nothing in.
	: >"$DB-wal"
	"$ROWCAST" rebase --db "$DB"
	head -c 5000 /dev/zero >"$DB-wal"
	"$ROWCAST" rebase --db "$DB"
	assert_equal "$(sql 'PRAGMA integrity_check')" ok
}

@test "rebase: a WAL that a program has open is that database's own" {
	coproc sqlite3 "$DB"
	echo "INSERT INTO notification(data) VALUES ('one'); SELECT 'done';" >&"${COPROC[1]}"
	until read -r line <&"${COPROC[0]}" && [[ $line == done ]]; do :; done
	[[ -s $DB-wal ]]
	"$ROWCAST" rebase --db "$DB"
	kill "$COPROC_PID"
	wait "$COPROC_PID" || true
	assert_equal "$(sql 'SELECT group_concat(data) FROM notification')" one
}

@test "rebase: refuses while a hot journal lies there" {
	sql 'PRAGMA journal_mode = DELETE' >/dev/null
	"$ROWCAST" send --db "$DB" one
	cp "$DB" "$T/backup.db"
	coproc sqlite3 "$DB"
	printf '%s\n' 'PRAGMA cache_size = 1; BEGIN;' \
		'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)' \
		'INSERT INTO notification(data) SELECT hex(randomblob(200)) FROM n;' \
		"SELECT 'done';" >&"${COPROC[1]}"
	until read -r line <&"${COPROC[0]}" && [[ $line == done ]]; do :; done
	kill -KILL "$COPROC_PID"
	wait "$COPROC_PID" 2>/dev/null || true
	[[ -s $DB-journal ]]
	run "$ROWCAST" rebase --db "$DB"
	one_line rebase "$DB-journal would be rolled back.*rm -f $DB-journal"
	rm "$DB-journal"
	cp "$T/backup.db" "$DB"
	"$ROWCAST" rebase --db "$DB"
	assert_equal "$(sql 'SELECT group_concat(data) FROM notification')" one
	# Kept by journal_mode=PERSIST, with nothing to roll back.
	head -c 1000 /dev/zero >"$DB-journal"
	"$ROWCAST" rebase --db "$DB"
}

@test "prune: nothing goes while the table lacks its triggers, until init has made them again" {
	"$ROWCAST" send --db "$DB" one
	sql "DROP TRIGGER $(sql "SELECT name FROM sqlite_master WHERE type = 'trigger' LIMIT 1")"
	run "$ROWCAST" prune --db "$DB" --keep-rows 0 --keep-age 1s --expired
	one_line prune 'nothing is deleted: .*lacks what rowcast had made.*`rowcast init`'
	"$ROWCAST" init --db "$DB"
	run "$ROWCAST" prune --db "$DB" --expired
	assert_success
}

# --- what goes wrong -----------------------------------------------------------------------

@test "errors: no file, no folder, no table: what to run" {
	run "$ROWCAST" tail --db "$T/none.db"
	one_line tail "does not exist: create it with .rowcast init --db $T/none.db."
	refute test -e "$T/none.db"
	run "$ROWCAST" init --db "$T/no/none.db"
	one_line init "its folder $T/no does not exist"
	sqlite3 "$T/app.db" "CREATE TABLE a(b)"
	run "$ROWCAST" send --db "$T/app.db" x
	one_line send "has no table notification: create it with .rowcast init"
}

@test "errors: a file that is not a database" {
	head -c 5000 /dev/urandom >"$T/noise.db"
	local command
	for command in tail "send x" init rebase; do
		# shellcheck disable=SC2086
		run "$ROWCAST" $command --db "$T/noise.db"
		one_line "${command%% *}" "is not an SQLite database"
	done
}

@test "errors: a damaged database, and how to save it" {
	seq 2000 | "$ROWCAST" send --db "$DB" --lines
	sql "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE"
	local size
	size=$(stat -c %s "$DB")
	dd if=/dev/urandom of="$DB" bs=4096 seek=1 count=$((size / 4096 - 1)) conv=notrunc status=none
	run "$ROWCAST" tail --db "$DB" --since all
	one_line tail "is damaged .* restore a backup, or save what can be read: sqlite3 .* .recover"
}

@test "errors: a lock that stays is named after the time-out" {
	session "BEGIN IMMEDIATE"
	run "$ROWCAST" send --db "$DB" x
	one_line send "another process has it locked"
	"$ROWCAST" tail --db "$DB" # a reader does not wait for it
}

# The program where any user may run it, wherever it was built.
program_for_all() {
	cp "$ROWCAST" "$T/rowcast"
	ROWCAST=$T/rowcast
}

# As a user without any right that root did not leave in the permissions.
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

@test "errors: the missing right is named with its file" {
	needs_root
	program_for_all
	"$ROWCAST" send --db "$DB" x >/dev/null
	sql "PRAGMA wal_checkpoint(TRUNCATE)"

	chmod 700 "$T/data"
	run as_nobody "$ROWCAST" tail --db "$DB"
	one_line tail "user 65534.* may not enter the folder $T/data:"
	chmod 755 "$T/data"
	run as_nobody "$ROWCAST" tail --db "$DB"
	one_line tail "user 65534.* may not write the folder $T/data, where SQLite makes test.db-wal"
	run as_nobody "$ROWCAST" send --db "$DB" x
	one_line send "user 65534.* may not write $DB:"
	chmod 600 "$DB"
	run as_nobody "$ROWCAST" tail --db "$DB"
	one_line tail "user 65534.* may not read $DB:"
	chmod 666 "$DB"
	chmod 777 "$T/data"
	as_nobody "$ROWCAST" tail --db "$DB"

	# A writer that stays has made -wal and -shm.
	session "SELECT count(*) FROM notification"
	chmod 600 "$DB-shm"
	run as_nobody "$ROWCAST" tail --db "$DB"
	one_line tail "user 65534.* may not read $DB-shm:"
	chmod 666 "$DB-shm"
	chmod 600 "$DB-wal"
	run as_nobody "$ROWCAST" tail --db "$DB"
	one_line tail "user 65534.* may not read $DB-wal:"
	chmod 644 "$DB-wal"
	run as_nobody "$ROWCAST" send --db "$DB" x
	one_line send "user 65534.* may not write $DB-wal:"
}

@test "errors: a reader without the right to write reads while the database is in use" {
	needs_root
	program_for_all
	"$ROWCAST" send --db "$DB" x >/dev/null
	session "SELECT count(*) FROM notification"
	run as_nobody "$ROWCAST" tail --db "$DB"
	assert_success
	assert_line "data: x"
}

# The limit counts as EFBIG, for which SQLite has no code of its own.
@test "errors: a file size limit is a full disk, and nothing is half written" {
	seq 500 | "$ROWCAST" send --db "$DB" --lines
	run bash -c "trap '' XFSZ; ulimit -f 200; seq 100000 200000 | '$ROWCAST' send --db '$DB' --lines"
	one_line send "the disk is full .* the first [0-9]+ lines are sent"
	[[ $output =~ first\ ([0-9]+)\ lines ]]
	row_count_is "$((500 + BASH_REMATCH[1]))"
	((BASH_REMATCH[1] % 500 == 0))
	assert_equal "$(sql "PRAGMA integrity_check")" ok
	"$ROWCAST" send --db "$DB" "and it goes on"
}

# In a mount namespace of its own, which wants no right and leaves no mount behind.
@test "errors: a full disk" {
	mkdir "$T/full"
	# shellcheck disable=SC2016
	unshare --map-root-user --mount sh -ec '
		mount -t tmpfs -o size=512k tmpfs "$1/full"
		"$2" init --db "$1/full/test.db"
		seq 100000 200000 | "$2" send --db "$1/full/test.db" --lines 2>"$1/said" || echo $? >"$1/code"
		sqlite3 "$1/full/test.db" "SELECT count(*) FROM notification" >"$1/count"
	' - "$T" "$ROWCAST" >/dev/null
	run sh -c 'cat "$1/said"; exit "$(cat "$1/code")"' - "$T"
	one_line send "the disk is full"
	[[ $output =~ first\ ([0-9]+)\ lines ]]
	assert_equal "$(cat "$T/count")" "${BASH_REMATCH[1]}"
}

@test "options: the environment sets what the command line does not" {
	ROWCAST_DB=$DB ROWCAST_CHANNEL=env run "$ROWCAST" send hi
	assert_success
	ROWCAST_DB=$DB ROWCAST_CHANNEL=env run "$ROWCAST" send --channel line hi
	run sql "SELECT channel FROM notification"
	assert_output $'env\nline'
}

@test "options: --help and --version are answered on stdout" {
	local command
	for command in serve init send tail channels prune rebase ticket doctor; do
		run --separate-stderr "$ROWCAST" "$command" --help
		assert_success
		[[ $command == ticket ]] || assert_output --partial "--db FILE"
		assert_equal "$stderr" ""
		run "$ROWCAST" "$command" --version
		assert_success
	done
}

@test "send: a time to live of nothing is refused, not taken for none" {
	"$ROWCAST" init --db "$DB" || true
	run "$ROWCAST" send --db "$DB" --ttl 0s x
	assert_equal "$status" 2
	assert_output --partial 'from 1s'
}

@test "rebase: --above cannot leave the table without ids" {
	"$ROWCAST" init --db "$DB" || true
	run "$ROWCAST" rebase --db "$DB" --above 9007199254740990
	assert_equal "$status" 2
	"$ROWCAST" send --db "$DB" x
}

# --- small comforts -----------------------------------------------------------------------------

@test "program: -h, -V and help COMMAND are what the long forms are" {
	assert_equal "$("$ROWCAST" -h)" "$("$ROWCAST" --help)"
	assert_equal "$("$ROWCAST" help)" "$("$ROWCAST" --help)"
	assert_equal "$("$ROWCAST" -V)" "$("$ROWCAST" --version)"
	assert_equal "$("$ROWCAST" help send)" "$("$ROWCAST" send --help)"
	assert_equal "$("$ROWCAST" send -V)" "$("$ROWCAST" send --version)"
	run -2 "$ROWCAST" help sned
	assert_output --partial 'did you mean send?'
}

@test "program: --version lists its libraries and what it was built with" {
	run "$ROWCAST" --version
	assert_line --index 0 --regexp '^rowcast [0-9]+\.[0-9]+'
	assert_line --index 1 --regexp '^SQLite 3\.[0-9.]+, libuv 1\.[0-9.]+, OpenSSL 3\.[0-9.]+, libjwt 1\.[0-9.]+, HTTP client for doctor: (libcurl|no), PostgreSQL: (libpq|no), systemd: (yes|no)$'
}

@test "program: a command and an option that are nearly right are named" {
	run -2 "$ROWCAST" docter
	assert_output 'rowcast: unknown command "docter": did you mean doctor? (see rowcast --help)'
	run -2 "$ROWCAST" nonsense
	assert_output 'rowcast: unknown command "nonsense" (see rowcast --help)'
	run -2 "$ROWCAST" send --chanel=x y
	assert_output --partial 'unknown option "--chanel=x": did you mean --channel?'
}

@test "program: a misspelt variable is named, and those of tests and other programs are not" {
	"$ROWCAST" init --db "$DB" >/dev/null 2>&1 || true
	ROWCAST_HEARTBAET=3 ROWCAST_TEST_X=1 ROWCASTLE=1 ROWCAST_TTL=90s ROWCAST_CHANNELS=x \
		run --separate-stderr "$ROWCAST" channels --db "$DB"
	assert_success
	assert_equal "$stderr" 'rowcast: nothing reads the variable ROWCAST_HEARTBAET: did you mean ROWCAST_HEARTBEAT?'
}

@test "send: --recipient is --to" {
	"$ROWCAST" init --db "$DB" >/dev/null 2>&1 || true
	"$ROWCAST" send --db "$DB" --recipient bob x
	assert_equal "$(sql 'SELECT recipient FROM notification ORDER BY id DESC LIMIT 1')" bob
	"$ROWCAST" send --db "$DB" --recipient bob --to bob x
	run -2 "$ROWCAST" send --db "$DB" --recipient bob --to ann x
	assert_output --partial 'name two users'
}

@test "send: a channel that no bound could name is refused" {
	local channel
	"$ROWCAST" init --db "$DB" >/dev/null 2>&1 || true
	for channel in '*' 'a b' 'orders.*' 'x?' 'a[b' $'a\tb' ' '; do
		run -2 "$ROWCAST" send --db "$DB" --channel "$channel" x
		assert_output --partial 'no bound could name it'
	done
	"$ROWCAST" send --db "$DB" --channel 'a]b-c.d/ü' x
}

@test "channels: a line for each, with its rows, harmless for a terminal, and as JSON" {
	"$ROWCAST" init --db "$DB" >/dev/null 2>&1 || true
	sql "DELETE FROM notification"
	run "$ROWCAST" channels --db "$DB"
	assert_output ''
	sql "INSERT INTO notification(channel, data) VALUES ('b', 1), ('a', 2), ('b', 3), (char(27) || 'c', 4)"
	run "$ROWCAST" channels --db "$DB"
	assert_line --index 0 --regexp '^ +1 +[0-9]+  \\x1bc$'
	assert_line --index 1 --regexp '^ +1 +[0-9]+  a$'
	assert_line --index 2 --regexp "^ +2 +$(sql "SELECT max(id) FROM notification WHERE channel = 'b'")  b\$"
	run "$ROWCAST" channels --db "$DB" --json
	assert_equal "$(jq -c '[.channel, .rows]' <<<"${lines[2]}")" '["b",2]'
	sql 'CREATE TABLE log(id INTEGER PRIMARY KEY, data); INSERT INTO log(data) VALUES (1)'
	run "$ROWCAST" channels --db "$DB" --table log
	assert_output --regexp '^ +1 +1  default$'
	run -1 "$ROWCAST" channels --db "$DB" --table none
}

@test "serve: --check looks at options, keys and table, and serves nothing" {
	"$ROWCAST" init --db "$DB" >/dev/null 2>&1 || true
	run "$ROWCAST" serve --check --db "$DB" --listen "unix:$T/s.sock"
	assert_success
	[[ ! -e $T/s.sock ]]
	# In the environment of a service it would end the service at once.
	ROWCAST_CHECK=1 run -1 "$ROWCAST" serve --db "$T/none.db" --listen "unix:$T/s.sock"
	assert_output --partial 'nothing reads the variable ROWCAST_CHECK'
	run -1 "$ROWCAST" serve --check --db "$T/none.db"
	run -1 "$ROWCAST" serve --check --db "$DB" --table none
	run -1 "$ROWCAST" serve --check --db "$DB" --ticket-key-file "$T/none"
	run -2 "$ROWCAST" serve --check --db "$DB" --heartbeat soon
	sql 'CREATE TABLE kept AS SELECT name FROM sqlite_schema WHERE type = '"'trigger'"
	sql "$(sql "SELECT 'DROP TRIGGER ' || name || ';' FROM kept LIMIT 1")"
	run -1 "$ROWCAST" serve --check --db "$DB"
}
