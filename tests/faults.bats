#!/usr/bin/env bats
# faults.bats - what goes wrong around rowcast: databases that are not there, locked, replaced,
# damaged or out of reach, and writers that die. At start: one line with the remedy, exit 1. While
# serving: streams stay open and go on.
#
# shellcheck shell=bash

load helper

is_well() { fcgi --get /health; }
is_ill() { fcgi --get /health | grep -q '^Status: 503'; }

# `serve` fails at once: exit 1 and one line, which is then in $output.
refuses_to_serve() {
	run -1 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" "$@"
	assert_equal "${#lines[@]}" 1
}

@test "rights: a read-only mount is reported with a remedy of its own, not chmod" {
	needs_root
	init_db
	cat >"$T/inside" <<-'SH'
		mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"
		shift
		exec "$@"
	SH
	mkdir "$T/data"
	mv "$DB" "$T/data/"
	DB=$T/data/rowcast.db
	local command
	for command in "serve --listen unix:$SOCKET" 'send x' tail doctor; do
		# shellcheck disable=SC2086
		run unshare -m sh "$T/inside" "$T/data" "$ROWCAST" $command --db "$DB"
		assert_failure
		assert_output --partial "$T/data is mounted read-only here"
		assert_output --partial "ReadWritePaths=$T/data"
		refute_output --regexp 'chmod|chgrp'
	done
}

@test "rights: a hot journal is reported as one, not as -wal and -shm" {
	needs_root
	"$ROWCAST" init --keep-journal --db "$DB" >/dev/null
	coproc sqlite3 "$DB"
	printf '%s\n' 'PRAGMA cache_size = 1; BEGIN;' \
		'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)' \
		'INSERT INTO notification(data) SELECT hex(randomblob(200)) FROM n;' \
		"SELECT 'done';" >&"${COPROC[1]}"
	until read -r line <&"${COPROC[0]}" && [[ $line == done ]]; do :; done
	kill -KILL "$COPROC_PID"
	wait "$COPROC_PID" 2>/dev/null || true
	cp "$ROWCAST" "$T/program"
	run -1 setpriv --reuid=games --regid=games --clear-groups "$T/program" tail --db "$DB"
	assert_output --partial "left $DB-journal"
	assert_output --partial "sqlite3 $DB .tables"
	refute_output --partial -- -shm
	sqlite3 "$DB" .tables
	run -0 setpriv --reuid=games --regid=games --clear-groups "$T/program" tail --db "$DB"
}
needs_root() { [[ $EUID -eq 0 ]] || skip 'needs root, to mount and to be another user'; }

@test "locked: leaving WAL mode fails while rowcast is connected, as the documents and doctor say" {
	init_db
	start_rowcast
	run sqlite3 "$DB" 'PRAGMA journal_mode = DELETE'
	assert_output --partial 'locked'
	grep -q 'PRAGMA journal_mode = DELETE' "$SRC/doc/TROUBLESHOOTING.md"
	run "$ROWCAST" doctor --db "$DB"
	assert_output --partial 'sets another journal_mode while rowcast has it open'
	assert_healthy
}

# --- at start -----------------------------------------------------------------------------

@test "start: a database that is not there is said, with rowcast init" {
	refuses_to_serve
	assert_output --partial "$DB"
	assert_output --partial 'rowcast init'
	[[ ! -e $DB ]]
	DB=$T/no/such/folder/rowcast.db
	refuses_to_serve
	assert_output --partial "$T/no/such/folder"
}

@test "start: a database without our table is said, with rowcast init" {
	sql 'CREATE TABLE orders(id)'
	refuses_to_serve
	assert_output --partial notification
	assert_output --partial 'rowcast init'
	refuses_to_serve --table stock
	assert_output --partial stock
}

@test "start: a newer version of the table is refused, not guessed at" {
	init_db
	sql 'UPDATE rowcast_meta SET schema_version = 99'
	refuses_to_serve
	assert_output --partial 99
}

@test "start: a file that is no database, and a damaged one" {
	echo 'this is a letter to my aunt, not a database' >"$DB"
	refuses_to_serve
	assert_output --partial "$DB"
	rm "$DB"
	init_db
	sql 'PRAGMA wal_checkpoint(TRUNCATE)'
	rm -f "$DB-wal" "$DB-shm"
	dd if=/dev/urandom of="$DB" bs=1 seek=100 count=3000 conv=notrunc status=none
	refuses_to_serve
	assert_output --partial "$DB"
}

@test "start: with descriptors 0 to 2 closed no file of ours gets their numbers" {
	local closed code fd
	init_db
	for closed in '0<&-' '2>&-' '0<&- 1>&- 2>&-'; do
		# shellcheck disable=SC2016 # for the inner shell
		background bash -c 'exec "$@" '"$closed" - "$ROWCAST" serve --db "$DB" \
			--listen "unix:$SOCKET" --log-level debug >/dev/null 2>&1
		ROWCAST_PID=$PID
		wait_for_start "$ROWCAST_PID" is_well
		for fd in 0 1 2; do
			assert_equal "$(readlink "/proc/$ROWCAST_PID/fd/$fd")" /dev/null
		done
		# Each of these writes a line, and an answer that must be just that.
		run fcgi --get '?last=x'
		assert_line --index 0 --partial 'Status: 400'
		refute_output --partial refused
		assert_equal "$(wc -c <"$SOCKET.lock")" 0
		kill -TERM "$ROWCAST_PID"
		code=0
		wait "$ROWCAST_PID" || code=$?
		assert_equal "$code" 0
	done
	assert_equal "$(sql 'PRAGMA integrity_check')" ok
}

@test "start: commands with descriptors 0 to 2 closed leave the database whole" {
	init_db
	bash -c '"$@" 0<&- 1>&- 2>&-' - "$ROWCAST" send --db "$DB" one || true
	bash -c '"$@" 0<&- 1>&- 2>&-' - "$ROWCAST" send --db "$DB" --no-such-option || true
	bash -c '"$@" 0<&- 1>&- 2>&-' - "$ROWCAST" init --db "$DB" || true
	assert_equal "$(sql 'PRAGMA integrity_check')" ok
	assert_equal "$(sql 'SELECT data FROM notification')" one
	# What cannot be written is still told by the exit code.
	run bash -c '"$@" 1>&-' - "$ROWCAST" send --db "$DB" two
	assert_failure
}

@test "start: a folder in place of the file" {
	mkdir "$DB"
	refuses_to_serve
	assert_output --partial "$DB"
}

# Runs a command as somebody who may do no more than the file modes say.
unprivileged() {
	if [[ $EUID -eq 0 ]]; then
		setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
	else
		"$@"
	fi
}
# The program where everybody may run it.
plain_program() {
	mkdir -p "$T/plain"
	cp "$ROWCAST" "$T/plain/rowcast"
	chmod 755 "$T/plain" "$T/plain/rowcast"
}

@test "rights: a folder that may not be written in is named, with the right that is missing" {
	plain_program
	mkdir "$T/closed"
	DB=$T/closed/rowcast.db
	"$ROWCAST" init --db "$DB" >/dev/null 2>&1
	rm -f "$DB-wal" "$DB-shm"
	chmod 644 "$DB"
	chmod 555 "$T/closed"
	chmod a+rwx "$T"
	run -1 unprivileged "$T/plain/rowcast" serve --db "$DB" --listen "unix:$SOCKET"
	chmod 755 "$T/closed"
	assert_equal "${#lines[@]}" 1
	assert_output --partial "$T/closed"
	assert_output --partial writ
}

@test "rights: a file that may not be read is named" {
	plain_program
	init_db
	chmod 600 "$DB"*
	[[ $EUID -eq 0 ]] || chmod 000 "$DB"*
	chmod a+rwx "$T"
	run -1 unprivileged "$T/plain/rowcast" serve --db "$DB" --listen "unix:$SOCKET"
	chmod 600 "$DB"*
	assert_equal "${#lines[@]}" 1
	assert_output --partial "$DB"
	assert_output --partial read
}

@test "rights: a folder that may not be entered is named" {
	plain_program
	mkdir "$T/closed"
	DB=$T/closed/rowcast.db
	"$ROWCAST" init --db "$DB" >/dev/null 2>&1
	chmod 700 "$T/closed"
	[[ $EUID -eq 0 ]] || chmod 000 "$T/closed"
	chmod a+rwx "$T"
	run -1 unprivileged "$T/plain/rowcast" serve --db "$DB" --listen "unix:$SOCKET"
	chmod 755 "$T/closed"
	assert_equal "${#lines[@]}" 1
	assert_output --partial "$T/closed"
}

@test "usage: bad values are refused with what would be accepted" {
	local -a bad=(
		'--heartbeat x' '--heartbeat -1' '--retry 0' '--retry 1e3' '--max-streams many'
		'--listen-mode 999' '--max-event-bytes 10Q' '--stall-timeout soon'
		'--log-level loud' '--no-such-option' '--heartbeat' 'operand'
	)
	local option
	init_db
	for option in "${bad[@]}"; do
		# shellcheck disable=SC2086
		run -2 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" $option
		assert_output --partial "${option%% *}"
	done
	run -2 "$ROWCAST"
	run -2 "$ROWCAST" no-such-command
	assert_output --partial no-such-command
	ROWCAST_HEARTBEAT=x run -2 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET"
	assert_output --partial ROWCAST_HEARTBEAT
}

# --- while serving ----------------------------------------------------------------------------

@test "locked: a stream stays open with heartbeats, and goes on afterwards" {
	init_db --keep-journal
	start_rowcast
	listen_direct a
	row 1
	expect_data a 1
	lock_db 'BEGIN EXCLUSIVE' "INSERT INTO notification(data) VALUES ('2')"
	local before
	before=$(beats_of a)
	wait_for has_beats a $((before + 4))
	assert_equal "$(data_of a)" 1
	release_db
	expect_data a 2
	row 3
	expect_data a 3
	assert_equal "$(data_of a)" "$(seq 3)"
	refute has_gap a
	assert_healthy
}

@test "locked: a page that comes meanwhile gets its rows when the lock is gone" {
	local id
	init_db --keep-journal
	start_rowcast
	id=$(row 1)
	row 2
	lock_db 'BEGIN EXCLUSIVE' "INSERT INTO notification(data) VALUES ('3')"
	open_direct a '' HTTP_LAST_EVENT_ID="$id"
	wait_for streams_are 1
	release_db
	expect_data a 3
	assert_equal "$(data_of a)" $'2\n3'
	refute has_gap a
	assert_healthy
}

@test "locked: a long transaction in WAL mode hides its rows and delays no reader" {
	init_db
	start_rowcast
	listen_direct a
	lock_db 'BEGIN IMMEDIATE' "INSERT INTO notification(data) VALUES ('1')"
	wait_for has_beats a 3
	assert_equal "$(data_of a)" ''
	is_well
	listen_direct b
	release_db
	expect_data a 1
	expect_data b 1
	assert_healthy
}

@test "locked at start: it waits for its turn, as do all workers" {
	local workers
	init_db --keep-journal
	for workers in 1 3; do
		lock_db 'BEGIN EXCLUSIVE'
		spawn_rowcast --listen "unix:$SOCKET" --workers "$workers"
		wait_for started_or_gone "$ROWCAST_PID" is_open_to_connections
		kill -0 "$ROWCAST_PID"
		release_db
		wait_for is_well
		refute grep -e error -e warn "$T/rowcast.err"
		stop_rowcast
		assert_no_report
	done
}
@test "locked at start for long: one line" {
	init_db --keep-journal
	lock_db 'BEGIN EXCLUSIVE'
	spawn_rowcast --listen "unix:$SOCKET"
	wait_for has_ended "$ROWCAST_PID"
	release_db
	assert_equal "$(grep -c . "$T/rowcast.err")" 1
	grep -q "$DB.*locked" "$T/rowcast.err"
}
has_ended() { ! kill -0 "$1" 2>/dev/null; }
is_open_to_connections() { socat -u OPEN:/dev/null "UNIX-CONNECT:$SOCKET"; }

@test "rollback journal: rows arrive as they do with WAL" {
	init_db --keep-journal
	assert_equal "$(sql 'PRAGMA journal_mode')" delete
	start_rowcast
	listen_direct a
	rows 1 50
	rows 51 100
	expect_data a 100
	row 101
	expect_data a 101
	assert_equal "$(data_of a)" "$(seq 101)"
	assert_healthy
}

@test "writer killed in mid-transaction: none of its rows is ever shown" {
	init_db
	start_rowcast
	listen_direct a
	run python3 - "$DB" <<-'PY'
		import os, signal, sqlite3, sys
		connection = sqlite3.connect(sys.argv[1], isolation_level=None)
		connection.execute("PRAGMA cache_size = 10")
		connection.execute("BEGIN")
		for i in range(500):
		    connection.execute("INSERT INTO notification(data) VALUES (?)", ("lost" * 500,))
		os.kill(os.getpid(), signal.SIGKILL)
	PY
	assert_failure 137
	wait_for has_beats a 2
	row 1
	expect_data a 1
	assert_equal "$(data_of a)" 1
	assert_healthy
}

@test "rolled back: a writer that changes its mind shows nothing" {
	init_db
	start_rowcast
	listen_direct a
	sql "BEGIN; INSERT INTO notification(data) VALUES ('no'); ROLLBACK"
	sql "BEGIN; INSERT INTO notification(data) VALUES ('yes'); SAVEPOINT s;
	     INSERT INTO notification(data) VALUES ('no'); ROLLBACK TO s; COMMIT"
	expect_data a yes
	assert_equal "$(data_of a)" yes
	assert_healthy
}

@test "replaced: a new database in the file's place is a gap, and its rows follow" {
	local base
	init_db
	start_rowcast
	listen_direct a
	row old
	expect_data a old
	"$ROWCAST" init --db "$T/new.db" >/dev/null 2>&1
	base=$(sqlite3 "$T/new.db" 'SELECT base FROM rowcast_meta')
	sqlite3 "$T/new.db" "INSERT INTO notification(data) VALUES ('new'); PRAGMA wal_checkpoint(TRUNCATE)"
	rm -f "$DB-wal" "$DB-shm" "$T/new.db-wal" "$T/new.db-shm"
	mv "$T/new.db" "$DB"
	wait_for has_gap a
	run gap_of a
	assert_output --partial '"reason":"reset"'
	assert_output --partial "\"resumed_at\":\"$base\""
	expect_data a new
	row newer
	expect_data a newer
	assert_equal "$(data_of a)" $'old\nnew\nnewer'
	assert_healthy
}

@test "replaced: noticed while a writer never pauses, too" {
	init_db
	start_rowcast
	listen_direct a
	row old
	expect_data a old
	rm -f "$DB" "$DB-wal" "$DB-shm"
	"$ROWCAST" init --db "$DB" >/dev/null 2>&1
	written=0
	writes_and_is_told() {
		row "new $((++written))"
		has_gap a
	}
	wait_for writes_and_is_told
	row last
	expect_data a last
	assert_healthy
}

@test "restored: an older copy in the file's place is a gap, and rebase makes ids grow" {
	local tail
	init_db
	row 1
	sql "VACUUM INTO '$T/backup.db'"
	start_rowcast
	listen_direct a
	rows 2 5
	expect_data a 5
	tail=$(tail_id)
	rm -f "$DB-wal" "$DB-shm"
	mv "$T/backup.db" "$DB"
	wait_for has_gap a
	run gap_of a
	assert_output --partial "\"reason\":\"reset\",\"after\":\"$tail\""
	run "$ROWCAST" rebase --db "$DB"
	assert_success
	[[ $(row 6) -gt $tail ]]
	expect_data a 6
	# Its cursor is below the new base: told once more, and given all that there is.
	assert_equal "$(gap_of a | grep -c reset)" 2
	assert_equal "$(data_of a)" $'2\n3\n4\n5\n1\n6'
	assert_healthy
}

@test "restored: the sqlite3 shell's .restore into the same file is a gap too" {
	local tail
	init_db
	row 1
	sqlite3 "$DB" ".backup '$T/backup.db'"
	start_rowcast
	listen_direct a
	rows 2 5
	expect_data a 5
	tail=$(tail_id)
	sqlite3 "$DB" ".restore '$T/backup.db'"
	wait_for has_gap a
	run gap_of a
	assert_output --partial "\"reason\":\"reset\",\"after\":\"$tail\""
	"$ROWCAST" rebase --db "$DB"
	row 6
	expect_data a 6
	assert_equal "$(data_of a)" $'2\n3\n4\n5\n1\n6'
	assert_healthy
}

@test "health: a stranger learns the reason, but no folder; the administrator both" {
	mkdir "$T/the-folder"
	DB=$T/the-folder/rowcast.db
	init_db
	start_rowcast
	mv "$DB" "$DB.away"
	wait_for is_ill
	run fcgi --get /health
	assert_output --partial 'rowcast.db'
	refute_output --partial the-folder
	run fcgi --get /health ROWCAST_ADMIN=1
	assert_output --partial "$DB"
	mv "$DB.away" "$DB"
	wait_for is_well
	fcgi --get /health | grep -qx ok
	note_rest
	assert_healthy
}

@test "restored: a copy that has more rows by now than it lacks is a gap, by the row seen last" {
	local round
	init_db
	row 1
	start_rowcast
	listen_direct a
	for round in backup restore; do
		sqlite3 "$DB" ".backup '$T/backup.db'"
		rows 2 4
		expect_data a 4
		kill -STOP "$ROWCAST_PID"
		if [[ $round == restore ]]; then
			sqlite3 "$DB" ".restore '$T/backup.db'"
		else
			rm -f "$DB-wal" "$DB-shm"
			mv "$T/backup.db" "$DB"
		fi
		rows 11 20
		kill -CONT "$ROWCAST_PID"
		wait_for has_gap a
		assert_equal "$(gap_of a | jq -r .reason)" reset
		row "last of $round"
		expect_data a "last of $round"
		close_stream a
		listen_direct a
	done
	assert_healthy
}

@test "taken away: the stream stays, health says 503, and it goes on when the file is back" {
	init_db
	start_rowcast
	listen_direct a
	row 1
	expect_data a 1
	sql 'PRAGMA wal_checkpoint(TRUNCATE)'
	mkdir "$T/away"
	mv "$DB"* "$T/away"
	wait_for is_ill
	local before
	before=$(beats_of a)
	wait_for has_beats a $((before + 3))
	mv "$T/away"/* "$T"
	wait_for is_well
	row 2
	expect_data a 2
	assert_equal "$(data_of a)" $'1\n2'
	assert_healthy
}

@test "moved in pieces: a WAL that comes after the database is found too" {
	init_db
	start_rowcast
	listen_direct a
	row 1
	expect_data a 1
	sql 'PRAGMA wal_checkpoint(TRUNCATE)'
	mkdir "$T/away"
	mv "$DB"* "$T/away"
	wait_for is_ill
	mv "$T/away/${DB##*/}" "$T"
	wait_for is_well # rowcast has made a WAL of its own by now
	mv "$T/away"/* "$T"
	row 2
	row 3
	expect_data a 3
	assert_equal "$(data_of a)" $'1\n2\n3'
	assert_healthy
}

@test "dropped: the table goes and comes back under the running process" {
	init_db
	start_rowcast
	listen_direct a
	row 1
	expect_data a 1
	sql 'DROP TABLE notification'
	wait_for is_ill
	"$ROWCAST" init --db "$DB" >/dev/null 2>&1
	wait_for is_well
	wait_for has_gap a
	row 2
	expect_data a 2
	assert_equal "$(data_of a)" $'1\n2'
	assert_healthy
}

@test "pruned: rows deleted under a running stream do not disturb it" {
	init_db
	start_rowcast
	listen_direct a
	rows 1 100
	expect_data a 100
	sql 'DELETE FROM notification'
	sql 'VACUUM'
	row 101
	expect_data a 101
	assert_equal "$(data_of a)" "$(seq 101)"
	refute has_gap a
	assert_healthy
}

@test "checkpoints: a stream that is open for long does not keep the WAL from shrinking" {
	local i
	init_db
	start_rowcast
	listen_direct a
	for i in 1 1001 2001 3001; do
		rows "$i" $((i + 999))
	done
	expect_data a 4000
	# 0|... : the checkpoint was not blocked.
	assert_equal "$(sql 'PRAGMA wal_checkpoint(TRUNCATE)')" '0|0|0'
	assert_equal "$(stat -c %s "$DB-wal")" 0
	row 4001
	expect_data a 4001
	assert_healthy
}
