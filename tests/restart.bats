#!/usr/bin/env bats
# restart.bats - the program is stopped, started and told to reopen while pages listen: nobody is
# refused, nothing is lost.
#
# shellcheck shell=bash

load helper

says() { grep -q -- "$1" "$T/rowcast.err"; }
said_times() { [[ $(grep -c -- "$1" "$T/rowcast.err") -ge $2 ]]; }

# A supervisor with the socket; restart starts the next responder on it.
supervise() {
	mkfifo "$T/orders"
	background sh -c 'exec python3 "$1" "$2" "$3" serve --db "$4" --heartbeat 0.4 "$5" "$6" <"$7"' - \
		"$CLIENTS/supervisor.py" "$SOCKET" "$ROWCAST" "$DB" "${1:---drain}" "${2:-5}" "$T/orders" \
		>"$T/up.log" 2>>"$T/rowcast.err"
	SUPERVISOR=$PID
	exec 7>"$T/orders"
	restart 1
}
restart() {
	echo restart >&7
	wait_for grep -q "^up $1 " "$T/up.log"
}
end_supervisor() {
	echo end >&7
	exec 7>&-
	wait "$SUPERVISOR"
	assert_no_report
}

# Requests one after the other until $T/enough is there; a line of status for each.
# ask_all_the_time URL FILE
ask_all_the_time() {
	background bash -c 'until [[ -e $1/enough ]]; do
		curl -s -m 30 -o /dev/null -w "%{http_code}\n" -H "Accept: application/json" "$2"; done' - \
		"$T" "$1" >"$2" 2>&1
}
asked() { [[ $(wc -l <"$1") -ge $2 ]]; }

restart_behind() {
	local round before pids=()
	init_db
	supervise
	"start_$1"
	wait_for curl -sf "$(url /health)"
	ask_all_the_time "$(url /health)" "$T/health.codes"
	pids+=("$PID")
	ask_all_the_time "$(url)" "$T/poll.codes"
	pids+=("$PID")
	for round in {2..11}; do
		before=$(wc -l <"$T/health.codes")
		restart "$round"
		wait_for asked "$T/health.codes" $((before + 3))
	done
	touch "$T/enough"
	wait "${pids[@]}"
	assert_equal "$(sort -u "$T/health.codes")" 200
	assert_equal "$(sort -u "$T/poll.codes")" 200
	end_supervisor
}

@test "restart: ten of them behind lighttpd, and every request is answered with 200" {
	restart_behind lighttpd
}

@test "restart: ten of them behind nginx, and every request is answered with 200" {
	restart_behind nginx
}

@test "restart: a page that comes back gets what it missed, each row once" {
	local round last
	init_db
	supervise
	start_lighttpd
	wait_for curl -sf "$(url /health)"
	: >"$T/all"
	last=$(tail_id)
	for round in {2..6}; do
		listen a "$(url)" -H "Last-Event-ID: $last"
		row "open $round" >/dev/null
		expect_data a "open $round"
		restart "$round"
		wait_for stream_ended a
		grep -q '^: restarting$' "$T/a.out"
		data_of a >>"$T/all"
		last=$(last_id a)
		close_stream a
		row "away $round" >/dev/null
	done
	listen a "$(url)" -H "Last-Event-ID: $last"
	expect_data a 'away 6'
	data_of a >>"$T/all"
	assert_equal "$(cat "$T/all")" "$(for i in {2..6}; do printf 'open %s\naway %s\n' "$i" "$i"; done)"
	run ! has_gap a
	close_all
	end_supervisor
}

@test "restart: readers are sent away with retry times that spread their return" {
	local i
	init_db
	supervise
	for i in {1..20}; do
		listen_direct "r$i"
	done
	restart 2
	for i in {1..20}; do
		wait_for stream_ended "r$i"
		grep '^retry: ' "$T/r$i.out" | tail -n 1
	done >"$T/retries"
	# Of twenty numbers from thousands more than half are different, and none is below the usual.
	[[ $(sort -u "$T/retries" | wc -l) -gt 10 ]]
	awk '$2 < 3000 { exit 1 }' "$T/retries"
	close_all
	end_supervisor
}

# A connection that is opened on the same file before the old one is closed makes SQLite keep one
# spare descriptor (closing it would drop the file's POSIX locks), not one for each time. SIGHUP
# does that, unless the tick that sees a moved file comes first, so it belongs to the rest.
note_rest_with_spare() {
	kill -HUP "$ROWCAST_PID"
	wait_for says 'SIGHUP: reopening'
	fcgi --get /health >/dev/null # the signal has been dealt with
	note_rest
}

@test "SIGHUP: streams stay open, and no row is lost or doubled" {
	local round
	init_db
	start_rowcast
	note_rest_with_spare
	listen_direct a
	listen_direct b '?throttle=50'
	for round in {1..10}; do
		rows $((round * 100 - 99)) $((round * 100 - 50))
		kill -HUP "$ROWCAST_PID"
		rows $((round * 100 - 49)) $((round * 100))
	done
	for reader in a b; do
		expect_data $reader 1000
		assert_equal "$(data_of $reader | wc -l)" 1000
		assert_equal "$(ids_of $reader | sort -cn 2>&1)" ''
		run ! has_gap $reader
	done
	assert_healthy
}

@test "SIGHUP: a database that was put in place of the old one is read from then on" {
	init_db
	start_rowcast
	note_rest_with_spare
	listen_direct a
	row old
	expect_data a old
	cp "$DB" "$T/copy.db"
	mv "$DB" "$T/away.db"
	rm -f "$DB-wal" "$DB-shm"
	kill -HUP "$ROWCAST_PID"
	wait_for says 'error: .* does not exist'
	kill -0 "$ROWCAST_PID"
	init_db
	kill -HUP "$ROWCAST_PID"
	wait_for has_gap a
	row new
	expect_data a new
	assert_healthy
}

@test "SIGHUP: with --workers each of them gets it" {
	local i
	init_db
	start_rowcast --workers 3
	for i in {1..6}; do
		listen_direct "r$i"
	done
	kill -HUP "$ROWCAST_PID"
	wait_for said_times 'SIGHUP: reopening' 3
	row after
	for i in {1..6}; do
		expect_data "r$i" after
	done
	assert_equal "$(pgrep -P "$ROWCAST_PID" | wc -l)" 3
	run ! says died
	close_all
	kill -TERM "$ROWCAST_PID"
	wait "$ROWCAST_PID"
	assert_no_report
}
