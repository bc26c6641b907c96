#!/usr/bin/env bats
# database.bats - the files of the database under a running responder: removed, moved, replaced,
# reached by a second name. It knows whether what it has open is what lies at its path; if it cannot
# know, it says so in log and health, and writes nothing.
#
# What a cause is and what was seen is in files.h, gate.h and writer.h. The matrix of all tricks is
# in another file; here each has its own case.
#
# shellcheck shell=bash

load helper

says() { grep -q -- "$1" "$T/rowcast.err"; }
# As the administrator sees it: strangers learn no folder.
health() { fcgi --get /health ROWCAST_ADMIN=1 | tr -d '\r' | sed -n '1p;/^$/,$p'; }
is_well() { fcgi --get /health | grep -qx ok; }
is_unwell() { fcgi --get /health | grep -q '^Status: 503'; }
health_says() { health | grep -q -- "$1"; }
has_ended() { ! kill -0 "$1" 2>/dev/null; }
check_integrity() { assert_equal "$(sql 'PRAGMA integrity_check')" ok; }
all_data() { sql 'SELECT data FROM notification ORDER BY id'; }

# A POST of one row to every channel; the status on stdout.
post() {
	printf 'channel=default&data=%s' "$1" >"$T/body"
	fcgi --seconds "$WAIT" --get / --body "$T/body" ROWCAST_PUBLISH='*' \
		CONTENT_TYPE=application/x-www-form-urlencoded >"$T/answer" || true
	sed -n 's/^Status: \([0-9]*\).*/\1/p' "$T/answer"
}
posts() { [[ $(post "$1") -eq 201 ]]; }

# An application that keeps its connection: each line is SQL, "ok" comes back. application NAME
application() {
	mkfifo "$T/$1.in"
	background python3 -uc '
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
for line in open(sys.argv[2]):
    try:
        db.execute(line).fetchall()
        print("ok", flush=True)
    except sqlite3.Error as error:
        print(error, flush=True)' "$DB" "$T/$1.in" >"$T/$1.log" 2>&1
	APPLICATION=$PID
	exec 8>"$T/$1.in"
	tell 'PRAGMA synchronous = OFF' "$1"
}
# Runs SQL there. tell SQL [NAME]
tell() {
	local name=${2:-app} before
	before=$(wc -l <"$T/$name.log")
	echo "$1" >&8
	wait_for has_lines "$T/$name.log" $((before + 1))
	assert_equal "$(tail -n 1 "$T/$name.log")" ok
}
has_lines() { [[ $(wc -l <"$1") -ge $2 ]]; }
leave() {
	exec 8>&-
	wait_for group_is_gone "$APPLICATION"
}

# --- removed under the program ---------------------------------------------------------------

@test "removed: -shm alone: the next rows arrive, and what is published overwrites no row" {
	init_db
	start_rowcast --allow-publish --keep-rows 1000
	listen_direct a
	row one
	expect_data a one
	assert_equal "$(post two)" 201
	expect_data a two
	rm "$DB-shm"
	row three # makes a -shm of its own
	row four
	assert_equal "$(post five)" 201
	row six
	assert_equal "$(post seven)" 201
	for data in three four five six seven; do
		expect_data a "$data"
	done
	assert_equal "$(all_data)" $'one\ntwo\nthree\nfour\nfive\nsix\nseven'
	check_integrity
	wait_for is_well
	close_all
	stop_rowcast
	check_integrity
	assert_equal "$(all_data | wc -l)" 7
	assert_no_report
}

@test "removed: -wal and -shm: the database is reopened, with publishing and several workers" {
	local i
	init_db
	start_rowcast --allow-publish --workers 2
	for i in {1..4}; do
		listen_direct "r$i"
	done
	row one
	assert_equal "$(post two)" 201
	sql 'PRAGMA wal_checkpoint(TRUNCATE)'
	rm "$DB-wal" "$DB-shm"
	row three
	assert_equal "$(post four)" 201
	for i in {1..4}; do
		expect_data "r$i" three
		expect_data "r$i" four
	done
	assert_equal "$(all_data)" $'one\ntwo\nthree\nfour'
	check_integrity
	close_all
	stop_rowcast
	assert_no_report
}

@test "removed: -wal, and -shm while it is being reopened: no worker stays with the removed one" {
	local round
	init_db
	start_rowcast --workers 3
	for round in {1..8}; do
		row "$round"
		rm -f "$DB-wal"
		pause 0.00$round
		rm -f "$DB-shm"
		row "$round"
		wait_for none_deleted
	done
	stop_rowcast
	assert_no_report
}
none_deleted() {
	local worker
	for worker in $(pgrep -P "$ROWCAST_PID"); do
		[[ -z $(find "/proc/$worker/fd" -lname "$DB*(deleted)") ]] || return 1
	done
}

@test "removed: SIGHUP afterwards helps, and no descriptor of the old file stays" {
	init_db
	start_rowcast --allow-publish
	listen_direct a
	assert_equal "$(post one)" 201
	rm "$DB-shm"
	kill -HUP "$ROWCAST_PID"
	wait_for says 'database reopened'
	row two
	expect_data a two
	wait_for no_deleted_file
	assert_equal "$(post three)" 201
	wait_for no_deleted_file
	expect_data a three
	close_all
	stop_rowcast
	assert_no_report
}
no_deleted_file() { [[ -z $(find "/proc/$ROWCAST_PID/fd" -lname "$T/*(deleted)") ]]; }

@test "removed: an application that goes on with the old -shm is named, and nothing is written" {
	init_db
	start_rowcast --allow-publish
	listen_direct a
	application app
	tell "INSERT INTO notification(data) VALUES ('one')"
	expect_data a one
	rm "$DB-shm"
	wait_for health_says "process $APPLICATION has $DB open with another -shm"
	wait_for says "error: process $APPLICATION has $DB open"
	run -1 "$ROWCAST" doctor --db "$DB"
	assert_output --partial "process $APPLICATION has $DB open with another -shm"
	tell "INSERT INTO notification(data) VALUES ('two')"
	[[ $(post three) == 50[03] ]]
	leave
	expect_data a two
	wait_for is_well
	wait_for posts four
	expect_data a four
	check_integrity
	assert_equal "$(all_data)" $'one\ntwo\nfour'
	assert_healthy
}

@test "removed: what is in -wal is cut off: what is published next is not lost with a 201" {
	local status
	init_db
	start_rowcast --allow-publish
	listen_direct a
	assert_equal "$(post one)" 201
	: >"$DB-wal"
	status=$(post two)
	[[ $status != 201 ]] || assert_equal "$(all_data | grep -x two)" two
	wait_for posts three
	expect_data a three
	has_gap a # one was lost, and said to be
	check_integrity
	assert_equal "$(all_data | tail -n 1)" three
	wait_for is_well
	assert_healthy
}

# --- two names ---------------------------------------------------------------------------------

@test "two names: a hard link is reported at start, by health and doctor, and nothing is written" {
	init_db
	ln "$DB" "$T/other.db"
	start_rowcast_unwell --allow-publish
	wait_for says "error: $DB has 2 names"
	health_says "$DB has 2 names"
	assert_equal "$(post no)" 500
	run -1 "$ROWCAST" send --db "$DB" no
	assert_output --partial 'has 2 names'
	run "$ROWCAST" doctor --db "$DB"
	assert_output --partial 'has 2 names'
	rm "$T/other.db"
	wait_for is_well
	wait_for posts yes
	assert_equal "$(all_data)" yes
	note_rest # it has not written before
	assert_healthy
}
# It answers, but 503. start_rowcast_unwell [OPTION...]
start_rowcast_unwell() {
	spawn_rowcast --listen "unix:$SOCKET" --listen-mode 0666 "$@"
	wait_for_start "$ROWCAST_PID" is_unwell || rowcast_did_not_start
	note_rest
}

# Runs a command in a mount namespace of its own, after the mounts of $T/mounts (sh; $1 is $T).
in_namespace() {
	local unshare=(unshare -m)
	[[ $EUID -eq 0 ]] || unshare=(unshare -rm)
	# shellcheck disable=SC2016
	"${unshare[@]}" sh -ec '. "$1/mounts"; shift; exec "$@"' - "$T" "$@"
}
spawn_in_namespace() {
	background bash -c "$(declare -f in_namespace); T=$T in_namespace \"\$@\"" - "$ROWCAST" \
		serve --db "$DB" --heartbeat "$BEAT" --listen "unix:$SOCKET" --listen-mode 0666 "$@" \
		>>"$T/rowcast.err" 2>&1 8>&-
	ROWCAST_PID=$PID
	wait_for_start "$ROWCAST_PID" socat -u OPEN:/dev/null "UNIX-CONNECT:$SOCKET" || rowcast_did_not_start
}

@test "two names: only the file is mounted, as into a container: health and doctor say so" {
	mkdir "$T/host" "$T/container"
	DB=$T/host/rowcast.db init_db
	echo 'touch "$1/container/rowcast.db"; mount --bind "$1/host/rowcast.db" "$1/container/rowcast.db"' \
		>"$T/mounts"
	DB=$T/container/rowcast.db
	spawn_in_namespace --allow-publish
	wait_for is_unwell
	health_says 'is mounted by itself, without its folder'
	health_says 'mount the folder'
	says 'error: .* mount the folder'
	assert_equal "$(post no)" 500
	run in_namespace "$ROWCAST" doctor --db "$DB"
	assert_output --partial 'mount the folder'
	assert_equal "$(sqlite3 "$T/host/rowcast.db" 'SELECT count(*) FROM notification')" 0
	stop_rowcast
	assert_no_report
}

@test "two names: a process that has the file by another one is seen by who has the right name" {
	[[ $EUID -eq 0 ]] || skip 'mounts are root'"'"'s'
	mkdir "$T/container"
	init_db
	start_rowcast --allow-publish
	# shellcheck disable=SC2016
	echo 'touch "$1/container/app.db"; mount --bind "$1/rowcast.db" "$1/container/app.db"' >"$T/mounts"
	mkfifo "$T/app.in"
	background bash -c "$(declare -f in_namespace); T=$T in_namespace \"\$@\"" - \
		sh -c "exec sqlite3 $T/container/app.db <$T/app.in" >"$T/app.log" 2>&1
	APPLICATION=$PID
	exec 8>"$T/app.in"
	echo "SELECT count(*) FROM notification;" >&8
	wait_for test -s "$T/app.log"
	wait_for health_says 'with the file under another name'
	assert_equal "$(post no)" 500
	run -1 "$ROWCAST" send --db "$DB" no
	assert_output --partial "has $DB open with another -shm"
	run -1 "$ROWCAST" prune --db "$DB" --keep-rows 1
	assert_output --partial "has $DB open with another -shm"
	leave
	wait_for is_well
	wait_for posts yes
	check_integrity
	assert_healthy
}

@test "two names: where /proc/locks is hidden the log says at the start what is not noticed then" {
	[[ $EUID -eq 0 ]] || skip 'mounts are root'"'"'s'
	init_db
	echo 'mount -t proc -o subset=pid proc /proc' >"$T/mounts"
	spawn_in_namespace --allow-publish
	wait_for says 'warn: cannot read /proc/locks: '
	run in_namespace "$ROWCAST" doctor --db "$DB"
	assert_output --partial 'whether a process uses another -shm than the one beside the database cannot be seen'
	is_well
	wait_for posts yes
	check_integrity
	note_rest
	assert_healthy
}

@test "overlay: a lower layer that others write to is reported, as their rows cannot be seen" {
	[[ $EUID -eq 0 ]] || skip 'mounts are root'"'"'s'
	mkdir "$T/lower" "$T/empty" "$T/merged"
	DB=$T/lower/rowcast.db init_db
	DB=$T/lower/rowcast.db application app # -wal and -shm are there
	tell "INSERT INTO notification(data) VALUES ('one')"
	# shellcheck disable=SC2016
	echo 'mount -t overlay overlay -o "lowerdir=$1/lower:$1/empty" "$1/merged"' >"$T/mounts"
	DB=$T/merged/rowcast.db
	spawn_in_namespace
	wait_for is_unwell
	health_says 'is on a read-only overlay'
	says 'error: .* mount the folder itself'
	run in_namespace "$ROWCAST" doctor --db "$DB"
	assert_output --partial 'is on a read-only overlay'
	leave
	stop_rowcast
	assert_no_report
}

# --- the watch follows the path ------------------------------------------------------------------

# Whether inotify is on that folder: its inode in hexadecimal stands in fdinfo (proc(5)).
watches() { grep -qs "^inotify .*ino:$(printf %x "$(stat -c %i "$1")") " "/proc/$ROWCAST_PID/fdinfo/"*; }

@test "watch: a link that is turned elsewhere takes the file events along" {
	mkdir "$T/one" "$T/two"
	DB=$T/one/rowcast.db init_db
	DB=$T/two/rowcast.db init_db
	DB=$T/rowcast.db
	ln -s one/rowcast.db "$DB"
	start_rowcast --no-confine
	wait_for watches "$T/one"
	listen_direct a
	ln -sfn two/rowcast.db "$DB"
	wait_for has_gap a
	wait_for watches "$T/two"
	row new
	expect_data a new
	assert_healthy
}

@test "watch: a folder that was replaced takes the file events along, after SIGHUP too" {
	mkdir "$T/data"
	DB=$T/data/rowcast.db
	init_db
	start_rowcast --no-confine
	listen_direct a
	wait_for watches "$T/data"
	mv "$T/data" "$T/old"
	mkdir "$T/data"
	"$ROWCAST" init --db "$DB" >/dev/null 2>&1
	kill -HUP "$ROWCAST_PID"
	wait_for has_gap a
	wait_for watches "$T/data"
	row new
	expect_data a new
	assert_healthy
}

kernel_has_landlock() {
	python3 -c 'import ctypes; exit(ctypes.CDLL(None).syscall(444, None, 0, 1) <= 0)'
}
replace_folder() {
	mv "$T/data" "$T/old"
	mkdir "$T/data"
	chmod 777 "$T/data"
	"$ROWCAST" init --db "$DB" >/dev/null 2>&1
}

@test "sandbox: a folder that was replaced: it leaves, so that the supervisor starts it again" {
	mkdir "$T/data"
	DB=$T/data/rowcast.db
	init_db
	start_rowcast
	listen_direct a
	replace_folder
	if ! kernel_has_landlock; then
		wait_for has_gap a
		return
	fi
	wait_for has_ended "$ROWCAST_PID"
	run wait "$ROWCAST_PID"
	assert_failure 1
	wait_for stream_ended a
	grep -q '^: restarting$' "$T/a.out"
	says 'rowcast serve: the folder of .* was replaced, and the sandbox .* started again'
	run ! says 'give it the right'
	start_rowcast
	listen_direct b
	row new
	expect_data b new
	assert_healthy
}

both_listen() { [[ $(grep -c 'listens on' "$T/rowcast.err") -eq 2 ]]; }

@test "sandbox: with --workers the parent starts them again, and goes on by itself" {
	mkdir "$T/data"
	DB=$T/data/rowcast.db
	init_db
	start_rowcast --workers 2
	wait_for both_listen # and are confined: before, the new folder is as good as the old
	replace_folder
	if kernel_has_landlock; then
		wait_for says 'worker 0 .* died: exit code 1'
		wait_for says 'worker 1 .* died: exit code 1'
	fi
	wait_for is_well
	wait_for hears_again
	stop_rowcast
	assert_no_report
}
hears_again() {
	listen_direct again
	row news >/dev/null
	WAIT=3 expect_data again news
}

# --- rollback journals ---------------------------------------------------------------------------

@test "rollback journal: with PERSIST, as root, an event of our own is no news: it answers and ends" {
	init_db --keep-journal
	start_rowcast
	listen_direct a
	application app
	tell 'PRAGMA journal_mode = PERSIST'
	tell "INSERT INTO notification(data) VALUES ('one')"
	expect_data a one
	tell "INSERT INTO notification(data) VALUES ('two')"
	expect_data a two
	wait_for is_well
	# At rest it does nothing: so few looks that their time in the CPU does not grow.
	wait_for rests
	leave
	assert_healthy
}
ticks() { awk '{ print $14 + $15 }' "/proc/$ROWCAST_PID/stat"; }
rests() {
	local before
	before=$(ticks)
	sleep 1
	[[ $(($(ticks) - before)) -le 5 ]]
}

@test "rollback journal: a commit that is under way is no news for the log" {
	local i
	init_db --keep-journal
	start_rowcast
	listen_direct a
	for i in {1..20}; do
		row "$i" >/dev/null
	done
	expect_data a 20
	wait_for is_well
	run ! says 'locked'
	run ! says 'readable again'
	assert_healthy
}

# --- the thread that writes -----------------------------------------------------------------------

@test "writer: a broken database is not answered with what an earlier row was refused for" {
	init_db
	sql "CREATE TRIGGER no_orders BEFORE INSERT ON notification WHEN NEW.data = 'bad'
	     BEGIN SELECT RAISE(ABORT, 'not on a Sunday'); END"
	start_rowcast --allow-publish
	assert_equal "$(post bad)" 400
	grep -q 'not on a Sunday' "$T/answer"
	sql 'ALTER TABLE notification RENAME TO other'
	assert_equal "$(post good)" 500
	run ! grep -q Sunday "$T/answer"
	sql 'ALTER TABLE other RENAME TO notification'
	wait_for posts good # it was opened anew
	assert_healthy
}

@test "writer: publishing and retention do not hold each other up" {
	local i
	init_db
	rows 1 60000
	start_rowcast --allow-publish --keep-rows 100
	for i in {1..20}; do
		assert_equal "$(post "p$i")" 201
	done
	wait_for eval '(($(sql "SELECT count(*) FROM notification") <= 110))'
	assert_equal "$(all_data | grep -c '^p')" 20
	check_integrity
	assert_healthy
}

@test "writer: health reports what it cannot do, and it continues by itself" {
	init_db
	start_rowcast --allow-publish --keep-rows 5
	assert_equal "$(post one)" 201
	sql "CREATE TRIGGER broken BEFORE DELETE ON notification BEGIN SELECT RAISE(ABORT, 'no'); END"
	rows 1 50
	wait_for says 'cannot delete old rows, serving goes on'
	health_says '^ok, but: cannot delete old rows'
	assert_equal "$(post two)" 201
	sql 'DROP TRIGGER broken'
	wait_for says 'old rows are deleted again'
	wait_for is_well
	assert_healthy
}
