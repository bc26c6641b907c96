#!/usr/bin/env bats
# push-faults.bats - what no answer of a push service is: names that lead nowhere, connections that
# hang, an hour without the service, a clock that jumps. No subscription ends and no row is lost.
# Answers of all kinds are in push.bats.
#
# shellcheck shell=bash

load helper
load push

# Another clock for the sender alone (libfaketime). What it runs with stands before the program.
FAKETIME_LIB=$(echo /usr/lib/*/faketime/libfaketime.so.1)
with_clock() {
	local ROWCAST_REAL=$ROWCAST
	ROWCAST=$T/with-clock
	{
		echo '#!/bin/sh'
		printf 'export LD_PRELOAD=%q ASAN_OPTIONS=%q\n' "$FAKETIME_LIB" \
			"${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0"
		printf 'export %q\n' "$@"
		printf 'exec %q "$@"\n' "$ROWCAST_REAL"
	} >"$ROWCAST"
	chmod 755 "$ROWCAST"
	start_push
	ROWCAST=$ROWCAST_REAL
}
# The subscription of NAME leads elsewhere, or back.
leads_to() { sql "UPDATE rowcast_push SET endpoint = '$2' WHERE endpoint = '$1'"; }

@test "push faults: a name that does not resolve costs no row, and no other subscription waits" {
	begin
	local there=$SERVICE/push/a nowhere=https://nowhere.invalid/push/a
	subscribe a '["orders"]'
	subscribe b '["orders"]'
	leads_to "$there" "$nowhere"
	start_push --push-host nowhere.invalid
	order 1
	wait_for has_texts b '"1"'
	wait_for column_is a "failures > 0 AND last_error LIKE '%resolve%'" 1
	order 2
	wait_for has_texts b '"1" "2"'
	leads_to "$nowhere" "$there"
	wait_for has_texts a '"1" "2"'
	refute grep -q "/push/" "$T/push.err"
}

# A socket whose queue is full takes no connection and refuses none. Writes its port.
stuck_listener() {
	background /usr/bin/python3 -c '
import socket, sys, time
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(0)
port = listener.getsockname()[1]
full = []
for _ in range(8):
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(("127.0.0.1", port))
    full.append(one)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(port))
import os
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)' "$T/stuck"
	STUCK_PID=$PID
	wait_for_start "$PID" test -s "$T/stuck"
	STUCK=http://127.0.0.1:$(<"$T/stuck")
}

@test "push faults: connects that hang, and answers that never come, end in time and are tried again" {
	begin
	local there=$SERVICE/push/a
	stuck_listener
	subscribe a '["orders"]'
	subscribe b '["orders"]'
	subscribe c '["orders"]'
	leads_to "$there" "$STUCK/push/a"
	mode b nothing,201
	start_push --push-host "$STUCK"
	order 1
	wait_for has_texts c '"1"'
	# After 10 s without a connection, 30 s without an answer.
	WAIT=50 wait_for column_is a "failures > 0 AND last_error LIKE '%time%out%'" 1
	WAIT=90 wait_for has_texts b '"1" "1"'
	wait_for column_is b last_status 201 # noted a moment after it was sent
	leads_to "$STUCK/push/a" "$there"
	wait_for has_texts a '"1"'
	assert_equal "$(sql 'SELECT count(*) FROM rowcast_push')" 3
}

@test "push faults: a push service that hangs does not hold up the others" {
	begin --max-push-per-address 0
	local name
	stuck_listener
	# Those that hang come first, and are more than may be under way at once.
	for name in h1 h2 h3 h4 h5 h6 h7 h8 h9 a b; do
		subscribe "$name" '["orders"]'
	done
	sql "UPDATE rowcast_push SET endpoint = replace(endpoint, '$SERVICE', '$STUCK') WHERE endpoint LIKE '%/push/h_'"
	start_push --push-host "$STUCK" --max-requests 4
	order 1
	wait_for has_texts a '"1"'
	order 2
	wait_for has_texts b '"1" "2"'
	wait_for has_texts a '"1" "2"'
	# One after the other at most three have given up; without turns seven would have, before them.
	(($(sql 'SELECT count(*) FROM rowcast_push WHERE failures > 0') < 7))
}

@test "push faults: an hour without the push service: what has expired is not sent, the rest is" {
	begin
	local row expired gone
	subscribe a '["orders"]'
	subscribe b '["orders"]'
	# A minute in a second. So half a second is the limit of an answer: on a busy machine one comes
	# too late, and the row again.
	with_clock FAKETIME='+0 x60' FAKETIME_NO_CACHE=1
	has_rows() { [[ $(texts "$1" | uniq) == "$2" ]]; }
	row=$(order 1)
	wait_for has_rows a '"1"'
	wait_for has_rows b '"1"'
	end_group KILL "$SERVICE_PID"
	gone=$(date +%s)
	expired=$(($(date +%s) + 600 + 20 * 60)) # in the sender's time before the hour is over
	sql "INSERT INTO notification(channel, data, expires_at) VALUES ('orders', 'old', ${expired}000)"
	order 2
	hour_is_over() { (($(date +%s) - gone >= 61)); }
	WAIT=120 wait_for hour_is_over
	wait_for column_is a 'failures > 5' 1
	assert_equal "$(sql 'SELECT count(*) FROM rowcast_push')" 2
	start_push_service_again
	WAIT=90 wait_for has_rows a '"2"'
	WAIT=90 wait_for has_rows b '"2"'
	WAIT=90 wait_for column_is a "cursor || '-' || failures" "$(tail_id)-0"
	grep -q 'does not work' "$T/push.err"
	grep -q 'works again' "$T/push.err"
	((row < $(tail_id)))
}

@test "push faults: the clock jumps two days on and back: every row comes, signed for the right time" {
	begin
	subscribe a '["orders"]'
	clock() { date -d "$1" '+%Y-%m-%d %H:%M:%S' >"$T/clock.new" && mv "$T/clock.new" "$T/clock"; }
	clock now
	with_clock FAKETIME_TIMESTAMP_FILE="$T/clock" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
	# What the service has taken, and whether the token was good then.
	taken() { got a 'select(.mode == "201") | [(.text | fromjson | .data), .vapid == ""]' | paste -sd' '; }
	has_taken() { [[ $(taken) == "$1" ]]; }
	order 1
	wait_for has_taken '["1",true]'
	# A push service refuses tokens of a time to come.
	mode a 403
	clock '2 days'
	order 2
	wait_for column_is a 'failures > 0' 1
	clock now
	mode a 201
	wait_for has_taken '["1",true] ["2",true]'
	# One of a time long ago has expired.
	mode a 403
	clock '2 days ago'
	order 3
	wait_for column_is a 'failures > 0' 1
	clock now
	mode a 201
	wait_for has_taken '["1",true] ["2",true] ["3",true]'
	# A wait that was noted in a wrong time does not outlast the next start.
	end_group TERM "$PUSH_PID"
	sql "UPDATE rowcast_push SET retry_at = $(date -d '2 days' +%s)000, failures = 3"
	order 4
	start_push
	wait_for has_taken '["1",true] ["2",true] ["3",true] ["4",true]'
}
