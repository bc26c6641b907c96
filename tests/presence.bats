#!/usr/bin/env bats
# presence.bats - `serve --presence`: the view rowcast_presence says who is connected, over workers,
# restarts, kills and connections that are half open; rows join and leave; through lighttpd, nginx and
# Apache. oracle.py (tests/presence/) opens and closes at random; `make check-presence` runs it longer.
#
# shellcheck shell=bash

load helper

# user|streams of all who are there, in order.
there() { sql "SELECT coalesce(user, '-'), sum(streams) FROM rowcast_presence GROUP BY 1 ORDER BY 1" | paste -sd' '; }
are_there() { [[ $(there) == "$1" ]]; }
expect_there() { wait_for are_there "$1" || fail "there are: $(there), not: $1"; }
told() { sql "SELECT event || ' ' || (data ->> 'user') FROM notification WHERE channel = '${1:-who}' ORDER BY id" | paste -sd,; }
is_told() { [[ $(told) == "$1" ]]; }
expect_told() { wait_for is_told "$1" || fail "told: $(told), not: $1"; }

newest_lease() { sql 'SELECT max(until) FROM rowcast_presence_worker'; }
now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

@test "presence: a row for each user and worker, with channels, address and the time of the first stream" {
	init_db
	start_rowcast --presence
	local before
	before=$(now_ms)
	listen_direct one '?channel=orders&channel=news.*' REMOTE_USER=ann REMOTE_ADDR=192.0.2.7
	expect_there 'ann|1'
	listen_direct two '' REMOTE_USER=ann REMOTE_ADDR=2001:db8:0:1:2::3
	expect_there 'ann|2'
	run sql "SELECT channels, address, since >= $before AND since <= $(now_ms) FROM rowcast_presence"
	assert_output '["*","news.*","orders"]|2001:db8:0:1::/64|1'
	local since
	since=$(sql 'SELECT since FROM rowcast_presence')
	close_stream one
	expect_there 'ann|1'
	run sql 'SELECT channels, since FROM rowcast_presence'
	assert_output "[\"*\"]|$since"
	close_stream two
	expect_there ''
	assert_equal "$(sql 'SELECT count(*) FROM rowcast_presence_entry')" 0
	assert_healthy
}

@test "presence: readers without a name have a row each, polls have none" {
	init_db
	start_rowcast --presence
	listen_direct one
	listen_direct two '?channel=a'
	open_direct poll '?wait=30' HTTP_ACCEPT=application/json REMOTE_USER=ann
	wait_for streams_are 3
	expect_there '-|2'
	run sql 'SELECT user IS NULL, channels, streams FROM rowcast_presence ORDER BY channels'
	assert_output $'1|["*"]|1\n1|["a"]|1'
	assert_healthy
}

@test "presence: a user in several workers has a row in each, and leaves all of them" {
	init_db
	start_rowcast --workers 3 --presence
	for n in {1..9}; do
		listen_direct "s$n" '' REMOTE_USER=ann
	done
	expect_there 'ann|9'
	(($(sql 'SELECT count(*) FROM rowcast_presence') <= 3)) || fail 'more rows than workers'
	close_all
	expect_there ''
	stop_rowcast
}

@test "presence: a drain, and a restart, leave no row behind" {
	init_db
	start_rowcast --presence
	listen_direct ann '' REMOTE_USER=ann
	expect_there 'ann|1'
	stop_rowcast
	assert_equal "$(there)" ''
	assert_equal "$(sql 'SELECT count(*) FROM rowcast_presence_worker')" 0
	start_rowcast --presence
	listen_direct again '' REMOTE_USER=ann
	expect_there 'ann|1'
	assert_healthy
}

@test "presence: rows of a process that was killed are out of the view within 10 s" {
	init_db
	start_rowcast --presence
	listen_direct ann '' REMOTE_USER=ann
	expect_there 'ann|1'
	kill_rowcast
	(($(newest_lease) <= $(now_ms) + 10000)) || fail "the lease ends in $(($(newest_lease) - $(now_ms))) ms"
	expect_there ''
	# The next start tidies up.
	start_rowcast --presence
	wait_for eval '[[ $(sql "SELECT count(*) FROM rowcast_presence_entry") == 0 ]]'
	assert_healthy
}

@test "presence: a worker that was killed leaves no row behind once another has taken its place" {
	init_db
	start_rowcast --workers 2 --presence
	for n in {1..6}; do
		listen_direct "s$n" '' "REMOTE_USER=u$n"
	done
	wait_for eval '[[ $(sql "SELECT count(*) FROM rowcast_presence") == 6 ]]'
	local worker
	worker=$(pgrep -P "$ROWCAST_PID" | head -n 1)
	kill -KILL "$worker"
	wait_for log_died
	only_open_ones() {
		local n open=0
		for n in {1..6}; do
			stream_ended "s$n" || ((++open))
		done
		[[ $(sql 'SELECT count(*) FROM rowcast_presence') == "$open" ]]
	}
	wait_for only_open_ones
	stop_rowcast
}
log_died() { grep -q 'died: signal' "$T/rowcast.err"; }

@test "presence: SIGHUP, and a database that is replaced, lose no reader" {
	init_db
	start_rowcast --presence
	listen_direct ann '' REMOTE_USER=ann
	expect_there 'ann|1'
	kill -HUP "$ROWCAST_PID"
	wait_for eval 'grep -q "database reopened" "$T/rowcast.err"'
	expect_there 'ann|1'
	"$ROWCAST" init --db "$T/new.db" >/dev/null
	chmod a+rw "$T/new.db"*
	rm -f "$DB"-wal "$DB"-shm
	mv "$T/new.db" "$DB"
	rm -f "$T/new.db"*
	expect_there 'ann|1'
	assert_healthy
}

@test "presence: a process that was stopped for long is back in the view when it goes on" {
	init_db
	start_rowcast --presence
	listen_direct ann '' REMOTE_USER=ann
	expect_there 'ann|1'
	kill -STOP "$ROWCAST_PID"
	expect_there ''
	kill -CONT "$ROWCAST_PID"
	expect_there 'ann|1'
	assert_healthy
}

@test "presence: join and leave come once, for a user's first and last stream" {
	init_db
	start_rowcast --workers 2 --presence-channel who
	listen_direct see '?channel=who'
	for n in {1..4}; do
		listen_direct "ann$n" '' REMOTE_USER=ann
	done
	expect_told 'join ann' # of two workers either may write first
	listen_direct bob '' REMOTE_USER=bob
	expect_told 'join ann,join bob'
	expect_data see '{"user":"ann"}'
	for n in {1..3}; do
		close_stream "ann$n"
	done
	local closed
	closed=$(now_ms)
	close_stream ann4
	expect_told 'join ann,join bob,leave ann'
	run sql "SELECT created_at - $closed FROM notification WHERE event = 'leave'"
	((output >= 5000)) || fail "leave came after $output ms"
	wait_for eval 'events see | grep -q "|leave|{\"user\":\"ann\"}"'
	close_all
	stop_rowcast
}

@test "presence: a page that is reloaded makes no rows" {
	init_db
	start_rowcast --presence-channel who
	listen_direct ann '' REMOTE_USER=ann
	expect_told 'join ann'
	close_stream ann
	expect_there ''
	listen_direct again '' REMOTE_USER=ann
	expect_there 'ann|1'
	listen_direct bob '' REMOTE_USER=bob
	expect_told 'join ann,join bob'
	close_stream bob
	expect_told 'join ann,join bob,leave bob'
	assert_healthy
}

@test "presence: the leave of users whose worker was killed comes from another one, or the next start" {
	init_db
	start_rowcast --presence-channel who
	listen_direct ann '' REMOTE_USER=ann
	expect_told 'join ann'
	listen_direct bob '' REMOTE_USER=bob
	expect_told 'join ann,join bob'
	kill_rowcast
	start_rowcast --presence-channel who
	listen_direct back '' REMOTE_USER=bob
	expect_told 'join ann,join bob,leave ann'
	expect_there 'bob|1'
	assert_healthy
}

@test "presence: a drain at the end, and the leave comes with the next start" {
	init_db
	start_rowcast --presence-channel who
	listen_direct ann '' REMOTE_USER=ann
	expect_told 'join ann'
	stop_rowcast
	assert_equal "$(told)" 'join ann'
	start_rowcast --presence-channel who
	expect_told 'join ann,leave ann'
	assert_healthy
}

@test "presence: under CGI each process is a worker, and leaves when its page is gone" {
	init_db
	make_program "ROWCAST_DB=$DB" ROWCAST_HEARTBEAT=0.4 ROWCAST_PRESENCE=1
	start_apache rowcast-cgi
	listen one "$(url)"
	listen two "$(url '?channel=a')"
	expect_there '-|2'
	close_all
	expect_there ''
}

@test "presence: at most five transactions a second, and none when nothing changes" {
	init_db
	start_rowcast --presence
	run /usr/bin/python3 "$SRC/tests/presence/commits.py" "$DB" "$SOCKET" "$FCGI_GET"
	assert_success
	assert_healthy
}

@test "presence: a database without the tables is refused at the start, in words" {
	init_db
	sql 'DROP TABLE rowcast_presence_user'
	run -1 timeout 20 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --presence
	assert_output --partial 'rowcast init'
	run -1 timeout 20 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --presence --workers 2
	assert_output --partial 'rowcast init'
}

through_a_web_server() {
	init_db
	make_user ann secret
	with_login
	start_rowcast --presence
	"start_$1"
	listen one "$(url)" -u ann:secret
	listen two "$(url)" -u ann:secret
	expect_there 'ann|2'
	close_all
	expect_there ''
	assert_healthy
}
@test "presence: through lighttpd" { through_a_web_server lighttpd; }
@test "presence: through nginx" { through_a_web_server nginx; }
@test "presence: through Apache" { through_a_web_server apache; }

# --- connections that are half open: neither side has closed, and nothing arrives any more

# A network of its own, with lighttpd in it and a reader whose connection then loses all packets.
# What follows "ip" is done there.
start_lighttpd_apart() {
	local apart=(unshare -n)
	INSIDE=(nsenter -n)
	[[ $EUID -eq 0 ]] || { apart=(unshare -rn) INSIDE=(nsenter -U --preserve-credentials -n); }
	PORT=8080
	lighttpd_main rowcast
	background "${apart[@]}" sh -ec 'ip link set lo up; exec "$@"' - "${SERVER_COMMAND[@]}" >>"$T/server.err" 2>&1
	INSIDE+=(-t "$PID")
	wait_for_start "$PID" "${INSIDE[@]}" curl -sf "http://127.0.0.1:$PORT/alive"
}
cut_off() { "${INSIDE[@]}" ip link set lo down; }
listen_apart() {
	background "${INSIDE[@]}" curl -sN -u ann:secret -o "$T/$1.out" "http://127.0.0.1:$PORT/events$2" >/dev/null 2>&1
	READER[$1]=$PID
	wait_for is_open "$1"
}
# The lease that held when the function began is over, and was renewed.
outlive_a_lease() {
	local lease
	lease=$(newest_lease)
	is_outlived() { (($(now_ms) > lease && $(newest_lease) > lease)); }
	wait_for is_outlived
}
half_open() {
	init_db
	make_user ann secret
	with_login
	start_rowcast --presence --heartbeat 1 "$@"
	start_lighttpd_apart
	listen_apart phone '?client=phone'
	expect_there 'ann|1'
	cut_off
}

@test "presence: a half-open stream counts beyond the lease, and not twice when its page comes back" {
	half_open
	outlive_a_lease
	assert_equal "$(there)" 'ann|1'
	listen_direct back '?client=phone' REMOTE_USER=ann
	wait_for streams_are 1
	expect_there 'ann|1'
	close_stream back
	expect_there ''
	assert_healthy
}

@test "presence: a half-open stream whose page never comes back goes with --max-age" {
	half_open --max-age 4 --presence-channel who
	wait_for streams_are 0
	expect_there ''
	expect_told 'join ann,leave ann'
	assert_healthy
}

# Not wrong for long: how long is measured by `make check-presence`, on a machine that does nothing else.
@test "presence: the table becomes right again and again, with kills, through three web servers" {
	init_db
	local user server urls=()
	for user in ann bob cat dan; do
		make_user "$user" secret
	done
	with_login
	for server in lighttpd nginx apache; do
		"start_$server"
		urls+=(--url "$(url)")
	done
	run /usr/bin/python3 "$SRC/tests/presence/oracle.py" --rowcast "$ROWCAST" --seconds 25 --limit 60 --workers 2 \
		--db "$DB" --socket "$SOCKET" --folder "$T" "${urls[@]}"
	assert_success
}
