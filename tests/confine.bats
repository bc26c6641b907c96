#!/usr/bin/env bats
# confine.bats - rowcast serve takes from itself what it does not need (Landlock), and still does
# all of its work: databases that are replaced, links, workers, CGI, its socket at the end. What a
# confined process cannot do is in tests/unit/serve/test_sandbox.c; here, that serve is one.
#
# shellcheck shell=bash

load helper
load ticket

begin() {
	init_db
	start_rowcast --log-level debug "$@"
}

workers_of() { pgrep -P "$ROWCAST_PID" || true; }
is_well() { fcgi --get /health | grep -qx ok; }
is_unwell() { ! is_well; }
# What the kernel says of a process.
no_new_privs() { sed -n 's/^NoNewPrivs:\t//p' "/proc/$1/status"; }

# Whether this kernel has Landlock, asked without rowcast: its three calls are 444 to 446 everywhere.
kernel_has_landlock() {
	python3 -c 'import ctypes; exit(ctypes.CDLL(None).syscall(444, None, 0, 1) <= 0)'
}
confined_where_it_can_be() {
	if kernel_has_landlock; then
		grep -q 'debug: confined by Landlock' "$T/rowcast.err"
	else
		grep -q 'debug: not confined: the kernel has no Landlock' "$T/rowcast.err"
	fi
}

# Another database, where rowcast was not told of one.
elsewhere() {
	FAR=$(mktemp -d "${TMPDIR:-/tmp}/rowcast.XXXXXX")
	"$ROWCAST" init --db "$FAR/rowcast.db" >/dev/null
}

@test "confined: a link that is turned to another folder is not followed, with --no-confine it is" {
	elsewhere
	begin
	confined_where_it_can_be
	assert_equal "$(no_new_privs "$ROWCAST_PID")" 1
	mv "$DB" "$DB.old"
	ln -s "$FAR/rowcast.db" "$DB"
	if kernel_has_landlock; then # it leaves, to be started again
		run wait "$ROWCAST_PID"
		assert_failure 1
		grep -q 'the sandbox allows only the one' "$T/rowcast.err"
		assert_no_report
	else
		wait_for is_well
		assert_healthy
	fi

	rm "$DB"*
	"$ROWCAST" init --db "$DB" >/dev/null
	start_rowcast --no-confine
	assert_equal "$(no_new_privs "$ROWCAST_PID")" 0
	listen_direct b
	mv "$DB" "$DB.old"
	ln -s "$FAR/rowcast.db" "$DB"
	wait_for has_gap b
	is_well
	assert_healthy
	rm -r "$FAR"
}

@test "confined: a database that is replaced, moved away and put back is served again" {
	begin
	listen_direct a
	row 1
	expect_data a 1
	mv "$DB" "$DB.away"
	wait_for is_unwell
	mv "$DB.away" "$DB"
	wait_for is_well
	row 2
	expect_data a 2
	rm -f "$DB"*
	"$ROWCAST" init --db "$DB" >/dev/null
	wait_for has_gap a
	row new
	expect_data a new
	confined_where_it_can_be
	assert_healthy
}

@test "confined: a database behind links, of the file and of its folder" {
	mkdir "$T/real.d" "$T/other"
	ln -s real.d "$T/by-folder"
	ln -s ../real.d/rowcast.db "$T/other/link.db"
	DB=$T/real.d/rowcast.db
	init_db
	local path
	for path in "$T/by-folder/rowcast.db" "$T/other/link.db"; do
		background "$ROWCAST" serve --db "$path" --listen "unix:$SOCKET" --heartbeat "$BEAT" \
			--log-level debug >>"$T/rowcast.err" 2>&1
		ROWCAST_PID=$PID
		wait_for_start "$ROWCAST_PID" is_well
		note_rest
		listen_direct a
		row "$path"
		expect_data a "$path"
		rm -f "$DB"*
		"$ROWCAST" init --db "$DB" >/dev/null
		wait_for has_gap a
		row again
		expect_data a again
		confined_where_it_can_be
		assert_healthy
	done
}

@test "confined: a view that sorts needs no temporary file" {
	init_db
	sql "CREATE TABLE foo(id INTEGER PRIMARY KEY, data TEXT);
	     CREATE VIEW sorted AS SELECT max(id) AS id, data FROM foo GROUP BY data ORDER BY data;
	     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
	     INSERT INTO foo(data) SELECT i || hex(randomblob(700)) FROM n"
	start_rowcast --table sorted --log-level debug
	open_direct a '?since=all'
	wait_for has_rows a 2000
	refute grep -E 'cannot|reopened' "$T/rowcast.err"
	confined_where_it_can_be
	assert_healthy
}
has_rows() { [[ $(grep -c '^data: [0-9]' "$T/$1.out") -ge $2 ]]; }

@test "confined: the workers, those that replace dead ones too; the socket goes at the end" {
	local pid
	begin --workers 2
	wait_for test -n "$(workers_of)"
	pid=$(workers_of | head -n 1)
	assert_equal "$(no_new_privs "$pid")" 1
	kill -KILL "$pid"
	wait_for two_new_workers "$pid"
	for pid in $(workers_of); do
		wait_for is_confined "$pid"
	done
	listen_direct a
	row 1
	expect_data a 1
	stop_rowcast
	[[ ! -e $SOCKET && ! -e $SOCKET.lock ]]
	start_rowcast
	stop_rowcast
	[[ ! -e $SOCKET && ! -e $SOCKET.lock ]]
	assert_no_report
}
two_new_workers() { [[ $(workers_of | grep -vcx "$1") -eq 2 ]]; }
is_confined() { [[ $(no_new_privs "$1") -eq 1 ]]; }

@test "confined: a CGI program as well, behind a web server" {
	init_db
	make_program ROWCAST_DB="$DB" ROWCAST_LOG_LEVEL=debug
	start_lighttpd rowcast-cgi
	row 1
	run curl -s -H 'Accept: application/json' "$(url '?since=all')"
	assert_output --partial '"data":"1"'
	confined_where_it_can_be
}

@test "confined: ROWCAST_NO_CONFINE=1 is the same as the option" {
	init_db
	ROWCAST_NO_CONFINE=1 start_rowcast --log-level debug
	refute grep -q 'confined' "$T/rowcast.err"
	assert_equal "$(no_new_privs "$ROWCAST_PID")" 0
	assert_healthy
}

# --- rowcast init --group ---------------------------------------------------------------------------

# As a user who is in no group but those given: as USER GROUP COMMAND...
as() {
	local user=$1 group=$2
	shift 2
	setpriv --reuid="$user" --regid="$user" --groups "$group" -- "$@"
}
# Users and groups of Debian's base system: games and mail share, man is a stranger.
mode_of() { stat -c '%G %a' "$1"; }

@test "init --group: its members write and serve, others cannot even read" {
	needs_root
	install -d -o games -g games -m 755 "$T/shared"
	DB=$T/shared/rowcast.db
	as games users "$ROWCAST" init --db "$DB" --group users >"$T/init.log"
	grep -q "$T/shared: group 100, mode 2775" "$T/init.log"
	grep -q "$DB: group 100, mode 0660" "$T/init.log"
	assert_equal "$(mode_of "$DB")" 'users 660'
	# A member who is not the owner serves, and so makes -wal and -shm.
	chmod 777 "$T"
	background setpriv --reuid=mail --regid=mail --groups=users -- "$ROWCAST" serve --db "$DB" \
		--listen "unix:$SOCKET" --listen-mode 0666 --heartbeat "$BEAT" >>"$T/rowcast.err" 2>&1
	ROWCAST_PID=$PID
	wait_for_start "$ROWCAST_PID" fcgi --get /health
	note_rest
	listen_direct a
	as games users "$ROWCAST" send --db "$DB" from-the-owner
	expect_data a from-the-owner
	as mail users "$ROWCAST" send --db "$DB" from-a-member
	expect_data a from-a-member
	assert_equal "$(mode_of "$DB-wal")" 'users 660'
	assert_equal "$(mode_of "$DB-shm")" 'users 660'
	run -1 as man man "$ROWCAST" send --db "$DB" from-a-stranger
	run as man man cat "$DB"
	assert_failure
	run -1 as man man "$ROWCAST" tail --db "$DB"
	assert_healthy
	# The other way round: the member makes them, the owner goes on.
	rm -f "$DB-wal" "$DB-shm"
	as mail users "$ROWCAST" send --db "$DB" again
	as games users "$ROWCAST" send --db "$DB" again
}

@test "init --group: on an application's database no user loses a right, and a second run changes nothing" {
	needs_root
	install -d -o games -g games -m 755 "$T/shared"
	DB=$T/shared/app.db
	as games games sqlite3 "$DB" 'CREATE TABLE foo(bar)'
	assert_equal "$(mode_of "$DB")" 'games 644'
	"$ROWCAST" init --db "$DB" --group users >"$T/init.log"
	assert_equal "$(mode_of "$DB")" 'users 664'
	assert_equal "$(mode_of "$T/shared")" 'users 2775'
	run "$ROWCAST" init --db "$DB" --group users
	assert_success
	assert_equal "$output" "$DB: table notification is up to date"
}

@test "init --group: root follows no link and no second name that an application has planted" {
	needs_root
	install -d -m 700 "$T/secret"
	install -m 600 /dev/null "$T/secret/file"
	install -d -o games -g games -m 755 "$T/app" "$T/app/data" "$T/app/other"
	local untouched planted
	untouched=$(stat -c '%n %U %G %a' "$T/secret" "$T/secret/file")
	DB=$T/app/data/app.db
	as games games sqlite3 "$DB" 'CREATE TABLE foo(bar)'
	for planted in -wal -shm -journal; do
		as games games ln -s "$T/secret/file" "$DB$planted"
		run -1 "$ROWCAST" init --db "$DB" --group users
		assert_output --partial "$DB$planted is a link"
		rm "$DB$planted"
		ln "$T/secret/file" "$DB$planted"
		run -1 "$ROWCAST" init --db "$DB" --group users
		assert_output --partial 'has another name elsewhere'
		rm "$DB$planted"
		mkfifo "$DB$planted"
		run -1 timeout 20 "$ROWCAST" init --db "$DB" --group users
		assert_output --partial 'is not a regular file'
		rm "$DB$planted"
	done
	as games games ln -s "$T/secret/file" "$T/app/data/link.db"
	run -1 "$ROWCAST" init --db "$T/app/data/link.db" --group users
	as games games ln -s "$T/secret" "$T/app/link"
	run -1 "$ROWCAST" init --db "$T/app/link/new.db" --group users
	assert_output --partial 'a link on the way belongs to another user'
	[[ ! -e $T/secret/new.db ]]
	assert_equal "$(stat -c '%n %U %G %a' "$T/secret" "$T/secret/file")" "$untouched"
	assert_equal "$(mode_of "$T/app/data")" 'games 755'
	# A link of root's own is as good as the path.
	ln -s app/data "$T/mine"
	"$ROWCAST" init --db "$T/mine/app.db" --group users
	assert_equal "$(mode_of "$DB")" 'users 664'
	assert_equal "$(mode_of "$T/app/data")" 'users 2775'
}

@test "init --group: what another group has, and folders for everybody, are refused untouched" {
	needs_root
	install -d -o games -g mail -m 750 "$T/shared"
	run -1 "$ROWCAST" init --db "$T/shared/new.db" --group users
	assert_output --partial "$T/shared belongs to group"
	[[ ! -e $T/shared/new.db ]]
	assert_equal "$(mode_of "$T/shared")" 'mail 750'
	install -d -m 1777 "$T/tmp"
	run -1 "$ROWCAST" init --db "$T/tmp/new.db" --group users
	assert_output --partial 'a folder for all users'
	[[ ! -e $T/tmp/new.db ]]
	install -d -o games -g games -m 755 "$T/mine"
	install -o games -g mail -m 640 /dev/null "$T/mine/app.db"
	run -1 "$ROWCAST" init --db "$T/mine/app.db" --group users
	assert_output --partial "$T/mine/app.db belongs to group"
	assert_equal "$(mode_of "$T/mine")" 'games 755'
	run -1 "$ROWCAST" init --db "$T/mine/new.db" --group no-such-group
	assert_output --partial 'no such group'
	# Who is not in the group cannot give it away.
	run -1 as games games "$ROWCAST" init --db "$T/mine/new.db" --group users
	assert_output --partial 'only its owner'
}

rows_are() { [[ $(count) -le $1 ]]; }

@test "confined workers publish, prune and stream, also after the database was replaced" {
	local may data
	make_ticket_keys
	begin --ticket-key-file "$T/keys" --allow-publish --require-ticket --workers 3 --keep-rows 100
	may=$(mint --sub ann --publish '*')
	listen_direct a '' HTTP_COOKIE="rowcast_ticket=$may"
	rows 1 1000
	wait_for rows_are 110
	for data in a b c d e f; do
		assert_equal "$(post "data=$data" HTTP_COOKIE="rowcast_ticket=$may")" 201
	done
	expect_data a f
	mkdir "$T/away"
	mv "$DB"* "$T/away"
	"$ROWCAST" init --db "$DB" >"$T/init.log" 2>&1
	for data in g h i j k l; do
		assert_equal "$(post "data=$data" HTTP_COOKIE="rowcast_ticket=$may")" 201
	done
	assert_equal "$(sql 'SELECT group_concat(data, "") FROM notification')" ghijkl
	expect_data a l
	assert_equal "$(row_events a | cut -d'|' -f3 | grep -c '^[g-l]$')" 6
	rows 1 1000
	wait_for rows_are 110
	close_all
	stop_rowcast
	assert_no_report
	assert_no_ticket_logged
}
