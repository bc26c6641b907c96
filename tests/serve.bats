#!/usr/bin/env bats
# serve.bats - the ways in which `rowcast serve` is started: a Unix socket or TCP port of its
# own, an inherited listening socket (lighttpd, spawn-fcgi, systemd), and plain CGI.
#
# shellcheck shell=bash

load helper

is_well() { fcgi --get /health; }

# A stream gets a row, through FCGI_ADDRESS or $SOCKET.
assert_streams() {
	background python3 -SE "$CLIENTS/fcgi.py" "${FCGI_ADDRESS:-unix:$SOCKET}" --seconds "$WAIT" \
		request:1 until-data:rowcast:open until-data:'data: hello' >"$T/talk" 2>&1
	local talk=$PID
	wait_for grep -q rowcast:open "$T/talk"
	row hello
	wait "$talk" || fail "$(cat "$T/talk")"
}

# --- a Unix socket of its own ---------------------------------------------------------------

@test "unix: the socket has the mode asked for, 0660 by itself, and goes at the end" {
	init_db
	spawn_rowcast --listen "unix:$SOCKET"
	wait_for_start "$ROWCAST_PID" is_well
	assert_equal "$(stat -c %a "$SOCKET")" 660
	assert_streams
	stop_rowcast
	[[ ! -e $SOCKET ]]
	spawn_rowcast --listen "unix:$SOCKET" --listen-mode 0600
	wait_for_start "$ROWCAST_PID" is_well
	note_rest
	assert_equal "$(stat -c %a "$SOCKET")" 600
	assert_healthy
}

@test "unix: a socket file that a killed rowcast left is replaced" {
	init_db
	start_rowcast
	kill_rowcast
	[[ -S $SOCKET ]]
	start_rowcast
	assert_streams
	assert_healthy
}

@test "unix: a socket on which another process answers is refused" {
	init_db
	start_rowcast
	run -1 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET"
	assert_output --partial "$SOCKET"
	assert_equal "${#lines[@]}" 1
	is_well
	assert_streams
	assert_healthy
}

@test "unix: a live socket of another program is refused too" {
	init_db
	background socat "UNIX-LISTEN:$SOCKET,fork" /dev/null >/dev/null 2>&1
	wait_for test -S "$SOCKET"
	run -1 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET"
	assert_output --partial "$SOCKET"
	[[ -S $SOCKET ]]
	assert_no_report
}

@test "unix: a file that is no socket is refused and kept" {
	init_db
	echo precious >"$SOCKET"
	run -1 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET"
	assert_output --partial "$SOCKET"
	assert_equal "$(cat "$SOCKET")" precious
}

@test "unix: a folder that is not there, and a path that is too long, are said" {
	init_db
	run -1 "$ROWCAST" serve --db "$DB" --listen "unix:$T/no/such/socket"
	assert_output --partial "$T/no/such"
	run "$ROWCAST" serve --db "$DB" --listen "unix:$T/$(printf 'x%.0s' {1..200})"
	assert_failure
	assert_equal "${#lines[@]}" 1
}

@test "unix: web servers find the backlog deep enough for a rush" {
	init_db
	start_rowcast
	kill -STOP "$ROWCAST_PID"
	# Nobody accepts now: all of these wait in the backlog.
	background python3 "$CLIENTS/crowd.py" "unix:$SOCKET" 600 streams >"$T/crowd" 2>&1
	local crowd=$PID
	wait_for grep -q connected=600 "$T/crowd"
	kill -CONT "$ROWCAST_PID"
	wait_for grep -q open=600 "$T/crowd"
	end_group KILL "$crowd"
	assert_healthy
}

# --- TCP --------------------------------------------------------------------------------------

# Starts on a port that is free now; another process may be faster, so try again.
start_on_port() {
	local port
	for _ in 1 2 3 4 5; do
		port=$(free_port)
		spawn_rowcast --listen "$1:$port"
		FCGI_ADDRESS=$1:$port
		if wait_for_start "$ROWCAST_PID" is_well; then
			note_rest
			return 0
		fi
		grep -qi 'in use' "$T/rowcast.err" || return 1
	done
	return 1
}

@test "tcp: HOST:PORT over IPv4" {
	init_db
	start_on_port 127.0.0.1
	assert_streams
	assert_healthy
}

@test "tcp: [V6]:PORT over IPv6" {
	init_db
	start_on_port '[::1]'
	assert_streams
	assert_healthy
}

@test "tcp: a port that is taken is refused with its name" {
	init_db
	start_on_port 127.0.0.1
	run -1 "$ROWCAST" serve --db "$DB" --listen "$FCGI_ADDRESS"
	assert_output --partial "$FCGI_ADDRESS"
	assert_equal "${#lines[@]}" 1
	is_well
	assert_healthy
}

@test "tcp: addresses that make no sense are usage errors" {
	local address
	init_db
	for address in nonsense 127.0.0.1 127.0.0.1:99999 127.0.0.1:x unix: '[::1]'; do
		run "$ROWCAST" serve --db "$DB" --listen "$address"
		assert_failure
		assert_output --partial listen
	done
}

# --- inherited listening sockets --------------------------------------------------------------

@test "fd 0: lighttpd starts rowcast by bin-path, and ends it" {
	init_db
	make_program ROWCAST_HEARTBEAT="$BEAT"
	start_lighttpd rowcast-spawn
	wait_for program_runs rowcast 1
	listen a "$(url)"
	row 1
	expect_data a 1
	wait_for has_beats a 2
	listen b "$(url)" -H "Last-Event-ID: $(last_id a)"
	row 2
	expect_data a 2
	expect_data b 2
	assert_equal "$(data_of b)" 2
	close_all
	stop_server
	wait_for program_runs rowcast 0
	assert_no_report
}

@test "fd 0: lighttpd starts rowcast again when it was killed" {
	init_db
	make_program ROWCAST_HEARTBEAT="$BEAT"
	start_lighttpd rowcast-spawn
	listen a "$(url)"
	row 1
	expect_data a 1
	kill -KILL "$(pids_of rowcast)"
	wait_for stream_ended a
	row 2
	wait_for curl -sf "$(url /health)"
	listen b "$(url)" -H "Last-Event-ID: $(last_id a)"
	expect_data b 2
	close_all
	stop_server
	wait_for program_runs rowcast 0
}

# Processes of this test's copy of the program. pids_of NAME, program_runs NAME COUNT
pids_of() { pgrep -f "^$T/real/$1( |\$)"; }
program_runs() { [[ $(pids_of "$1" | wc -l) -eq $2 ]]; }

@test "fd 0: spawn-fcgi passes the socket" {
	init_db
	ROWCAST_DB=$DB ROWCAST_HEARTBEAT=$BEAT \
		background spawn-fcgi -n -s "$SOCKET" -M 0666 -- "$ROWCAST" serve >>"$T/rowcast.err" 2>&1
	ROWCAST_PID=$PID
	wait_for_start "$ROWCAST_PID" is_well
	note_rest
	assert_streams
	assert_healthy
	# Not ours to remove.
	[[ -S $SOCKET ]]
}

@test "LISTEN_FDS: systemd passes the socket" {
	init_db
	background systemd-socket-activate -l "$SOCKET" \
		-E ASAN_OPTIONS="${ASAN_OPTIONS:-}" -E ROWCAST_DB="$DB" \
		"$ROWCAST" serve --heartbeat "$BEAT" >>"$T/rowcast.err" 2>&1
	ROWCAST_PID=$PID
	wait_for_start "$ROWCAST_PID" is_well
	note_rest
	assert_streams
	assert_healthy
	[[ -S $SOCKET ]]
}

@test "LISTEN_FDS: several sockets at once" {
	init_db
	background systemd-socket-activate -l "$SOCKET" -l "$T/second.sock" \
		"$ROWCAST" serve --db "$DB" --heartbeat "$BEAT" >>"$T/rowcast.err" 2>&1
	ROWCAST_PID=$PID
	wait_for_start "$ROWCAST_PID" is_well
	note_rest
	FCGI_ADDRESS=unix:$T/second.sock assert_streams
	assert_streams
	assert_healthy
}

@test "no socket, no request: a usage error that says what to do" {
	init_db
	run -2 "$ROWCAST" serve --db "$DB" </dev/null
	assert_output --partial --listen
	run -2 "$ROWCAST" serve </dev/null
	assert_output --partial --db
}

# --- plain CGI --------------------------------------------------------------------------------

# The whole life of a stream under a web server's CGI module.
assert_cgi_works() {
	listen a "$(url)"
	assert_equal "$(header_of "$T/a.head" content-type)" 'text/event-stream; charset=utf-8'
	assert_equal "$(header_of "$T/a.head" cache-control)" 'no-cache, no-store, no-transform'
	wait_for program_runs rowcast.cgi 1
	row 1
	expect_data a 1
	wait_for has_beats a 2
	listen b "$(url '?channel=default')" -H "Last-Event-ID: $(last_id a)"
	sql "INSERT INTO notification(data) VALUES (hex(randomblob(300000)))"
	row 3
	expect_data a 3
	expect_data b 3
	assert_equal "$(ids_of b)" "$(sql 'SELECT id FROM notification WHERE id > 0 ORDER BY id LIMIT 2 OFFSET 1')"
	assert_equal "$(data_of a | sha256sum)" "$(sql 'SELECT data FROM notification ORDER BY id' | sha256sum)"

	assert_equal "$(curl -s "$(url /health)")" ok
	run curl -s -o "$T/answer" -w '%{http_code} %{content_type}' "$(url /nonsense)"
	assert_output --regexp '^404 text/plain'
	run curl -s -o "$T/answer" -w '%{http_code} %{content_type}' "$(url '?last=x')"
	assert_output --regexp '^400 text/plain'
	run curl -s -H 'Accept: application/json' "$(url '?last=1')"
	assert_equal "$(jq -c '[.events[].data]' <<<"$output")" '["3"]'

	# A page that goes takes its process with it; the other one's stays.
	close_stream b
	wait_for program_runs rowcast.cgi 1
	row 4
	expect_data a 4
	close_stream a
	wait_for program_runs rowcast.cgi 0
	stop_server
	assert_no_report
}

@test "cgi: rowcast.cgi under lighttpd's mod_cgi" {
	init_db
	make_program ROWCAST_HEARTBEAT="$BEAT"
	start_lighttpd rowcast-cgi
	assert_cgi_works
}

@test "cgi: rowcast.cgi under Apache's mod_cgid" {
	init_db
	make_program ROWCAST_HEARTBEAT="$BEAT"
	start_apache rowcast-cgi
	assert_cgi_works
}

@test "cgi: the web server is stopped, the processes end" {
	init_db
	make_program ROWCAST_HEARTBEAT="$BEAT"
	start_lighttpd rowcast-cgi
	listen a "$(url)"
	listen b "$(url)"
	wait_for program_runs rowcast.cgi 2
	kill -KILL "$SERVER_PID"
	wait_for program_runs rowcast.cgi 0
	assert_no_report
}

@test "cgi: a database that is not there is an error 500 that hides its path" {
	make_program
	start_lighttpd rowcast-cgi
	run curl -s -w ' %{http_code}' "$(url)"
	assert_output --regexp ' 500$'
	refute_output --partial "$T"
	wait_for grep -q 'rowcast init' "$T/rowcast.err"
	stop_server
}

# --- the end ----------------------------------------------------------------------------------

@test "stop: SIGTERM, SIGINT, SIGQUIT and SIGUSR1 end every stream properly, exit code 0" {
	local signal
	init_db
	for signal in TERM INT QUIT USR1; do
		start_rowcast
		background python3 -SE "$CLIENTS/fcgi.py" "unix:$SOCKET" --seconds "$WAIT" request:1 \
			until-data:rowcast:open until-end >"$T/talk" 2>&1
		local talk=$PID
		wait_for grep -q rowcast:open "$T/talk"
		kill "-$signal" "$ROWCAST_PID"
		wait "$talk" || fail "$(cat "$T/talk")"
		grep -q '^END id=1 REQUEST_COMPLETE status=0' "$T/talk"
		wait "$ROWCAST_PID"
	done
	assert_no_report
}

# A reader that reads the opening and no more. read_no_more NAME
read_no_more() {
	background python3 -SE "$CLIENTS/fcgi.py" "unix:$SOCKET" --seconds 240 request:1 \
		until-data:rowcast:open wait-file:"$T/never" >"$T/$1" 2>&1
	wait_for streams_are 1
}

@test "stop: a reader that does not read is waited for --drain seconds, no longer" {
	local long
	init_db
	start_rowcast --drain 240
	read_no_more one
	long=$ROWCAST_PID
	SOCKET=$T/short.sock
	start_rowcast --drain 0.5
	read_no_more two
	sql "INSERT INTO notification(data) VALUES (hex(randomblob(500000)))"
	wait_for grep -q rowcast:open "$T/one"
	wait_for grep -q rowcast:open "$T/two"
	kill -TERM "$long" "$ROWCAST_PID"
	wait_for group_is_gone "$ROWCAST_PID"
	kill -0 "$long"
	end_group KILL "$long"
	assert_no_report
}

@test "cgi: bad settings are an error 500 too, and ROWCAST_LISTEN does not make it listen" {
	init_db
	make_program
	local cgi=(env -i GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET PATH_INFO=/health)
	run -2 "${cgi[@]}" "$ROWCAST" serve </dev/null
	assert_output --partial 'Status: 500'
	run -2 "${cgi[@]}" ROWCAST_DB="$DB" ROWCAST_HEARTBEAT=x "$ROWCAST" serve </dev/null
	assert_output --partial 'Status: 500'
	run -0 "${cgi[@]}" ROWCAST_DB="$DB" ROWCAST_LISTEN="unix:$SOCKET" "$ROWCAST" serve </dev/null
	assert_line ok
	[[ ! -e $SOCKET ]]
}
