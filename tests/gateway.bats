#!/usr/bin/env bats
# gateway.bats - rowcast as a FastCGI peer: what web servers do, what they might do, and what
# nobody should (FastCGI specification; clients/fcgi.py says it byte by byte).
#
# shellcheck shell=bash

load helper

begin() {
	init_db
	start_rowcast "$@"
}

# Runs a conversation in the background, its lines in $T/NAME.talk. talk NAME STEP...
talk() {
	local name=$1
	shift
	background python3 -SE "$CLIENTS/fcgi.py" "unix:$SOCKET" --seconds "$WAIT" "$@" \
		>"$T/$name.talk" 2>&1
	TALK=$PID
	READER[$name]=$PID
}
# It has said this. said NAME PATTERN
said() { grep -q -- "$2" "$T/$1.talk"; }
# It has ended, and well.
talked() { wait "$TALK" || fail "$(cat "$T/$1.talk")"; }

is_well() { fcgi --get /health; }

@test "GET_VALUES is answered, before a request and beside one" {
	begin
	run fcgi values until:GET_VALUES_RESULT request:1,PATH=/health until-end:1 \
		values:FCGI_MPXS_CONNS,OTHER until:GET_VALUES_RESULT
	assert_success
	assert_line --index 0 --regexp 'FCGI_MAX_CONNS=[1-9][0-9]*'
	assert_line --index 0 --regexp 'FCGI_MAX_REQS=[1-9][0-9]*'
	assert_line --index 0 --regexp 'FCGI_MPXS_CONNS=0'
	assert_line 'END id=1 REQUEST_COMPLETE status=0'
	assert_line 'GET_VALUES_RESULT id=0 FCGI_MPXS_CONNS=0'

	run fcgi request:1 until-data:rowcast:open values until:GET_VALUES_RESULT
	assert_success
	assert_healthy
}

@test "an unknown management record gets FCGI_UNKNOWN_TYPE" {
	begin
	run fcgi manage:77 until:UNKNOWN_TYPE request:1,PATH=/health until-end
	assert_success
	assert_line 'UNKNOWN_TYPE id=0 type=77'
	assert_line 'END id=1 REQUEST_COMPLETE status=0'
	assert_healthy
}

@test "roles other than responder get FCGI_UNKNOWN_ROLE" {
	local role
	begin
	for role in 2 3 9; do
		run fcgi "begin:1,$role" until-end:1
		assert_success
		assert_line --regexp '^END id=1 UNKNOWN_ROLE'
	done
	assert_healthy
}

@test "a second request on a busy connection is refused, the first goes on" {
	begin
	talk a request:1 until-data:rowcast:open request:2,PATH=/health until-end:2 \
		until-data:'data: later'
	wait_for said a '^END id=2'
	said a '^END id=2 CANT_MPX_CONN'
	row later
	talked a
	refute said a '^END id=1'
	assert_healthy
}

@test "ABORT_REQUEST ends the stream, and the connection takes the next request" {
	begin
	run fcgi request:1 until-data:rowcast:open abort:1 until-end:1 forget \
		request:1,PATH=/health until-data:ok until-end:1
	assert_success
	assert_healthy
}

@test "an ABORT_REQUEST for another request ends nothing" {
	begin
	talk a request:1 until-data:rowcast:open abort:7 values until:GET_VALUES_RESULT \
		until-data:'data: later'
	wait_for said a GET_VALUES_RESULT
	row later
	talked a
	refute said a '^END'
	assert_healthy
}

@test "FCGI_KEEP_CONN: short answers share a connection; without it each is closed" {
	begin
	run fcgi request:1,PATH=/health until-end forget \
		request:7,PATH=/nonsense until-end:7 forget request:1,PATH=/health until-end
	assert_success
	assert_equal "$(grep -c '^END' <<<"$output")" 3
	run fcgi begin:1,1,0 params:1,PATH=/health stdin:1 until-end until-close
	assert_success
	assert_healthy
}

@test "requests that come in one write are answered in order" {
	begin
	run fcgi raw:"$(python3 - "$CLIENTS" <<-'PY'
		import sys
		sys.path.insert(0, sys.argv[1])
		import fcgi
		print((fcgi.whole_request(1, 1, ["PATH=/health"])
		       + fcgi.whole_request(2, 1, ["PATH=/nonsense"])).hex())
	PY
	)" until-end:1 until-end:2
	# The second may also be refused as a second request on a busy connection.
	assert_line 'END id=1 REQUEST_COMPLETE status=0'
	assert_line --regexp '^END id=2 (REQUEST_COMPLETE|CANT_MPX_CONN)'
	assert_healthy
}

@test "a request in many tiny writes is read like any other" {
	begin
	run fcgi split:1 request:1,PATH=/health,HTTP_ACCEPT=*/* until-data:ok until-end
	assert_success
	run fcgi split:7 request:1 until-data:rowcast:open
	assert_success
	assert_healthy
}

@test "64 KiB of parameters are read; more are refused and harm no other request" {
	begin
	run fcgi big:65536 until-data:ok until-end
	assert_success
	run fcgi big:200000 until-close
	assert_success
	# In pieces, so that the refusal comes while the client still writes.
	run fcgi split:3000 big:200000 until-close
	assert_success
	is_well
	assert_healthy
}

@test "a malformed start is closed, and no other connection notices" {
	local bytes
	begin
	talk_stream a
	# In turn: HTTP; version 2; BEGIN_REQUEST of 4 bytes; PARAMS first; STDIN first; a name
	# longer than the rest; a length cut short; STDOUT from a web server; request id 0.
	for bytes in \
		474554202f20485454502f312e300d0a0d0a \
		0201000100080000000101000000000000 \
		010100010004000000010100 \
		0104000100000000 \
		0105000100000000 \
		01010001000800000001010000000000010400010004000041026161'0104000100000000' \
		01010001000800000001010000000000'0104000100020000ff00''0104000100000000' \
		01010001000800000001010000000000'0106000100000000' \
		01010000000800000001010000000000'0104000000000000''0105000000000000'; do
		run fcgi "raw:$bytes" half-close until-close
		assert_success
		refute_output --partial STDOUT
	done
	is_well
	row 1
	wait_for said a 'data: 1'
	assert_healthy
}
# A stream whose records are in $T/NAME.talk.
talk_stream() {
	talk "$1" request:1 until-close
	wait_for said "$1" rowcast:open
}

@test "a partial request delays no other and is closed at its deadline" {
	local start
	begin --request-timeout 1
	start=${EPOCHREALTIME/./}
	talk a begin params-part:1,50 until-close
	talk b raw:01 until-close
	is_well
	row 1
	talk_stream c
	wait_for said c rowcast:open
	close_stream c
	wait_for streams_are 0
	((${EPOCHREALTIME/./} - start > 900000))
	((${EPOCHREALTIME/./} - start < WAIT * 1000000))
	! said a STDOUT
	assert_healthy
}

@test "half a close means gone: the stream is ended and freed" {
	begin --heartbeat 60
	run fcgi request:1 until-data:rowcast:open half-close until-close
	assert_success
	wait_for streams_are 0
	assert_healthy
}

@test "no descriptors left: accept waits, without spinning, and goes on later" {
	local before lines start=$SECONDS
	init_db
	spawn_rowcast --listen "unix:$SOCKET" --listen-mode 0666
	prlimit --pid "$ROWCAST_PID" --nofile=48:48
	wait_for_start "$ROWCAST_PID" is_well
	note_rest
	talk_stream a
	background python3 "$CLIENTS/crowd.py" "unix:$SOCKET" 100 idle >"$T/crowd.talk"
	local crowd=$PID
	wait_for said crowd connected=100
	# All that it may have are taken.
	wait_for descriptors_at_least 44
	before=$(ticks_of "$ROWCAST_PID")
	row 1
	wait_for said a 'data: 1'
	wait_for said_beats a 4
	(($(ticks_of "$ROWCAST_PID") - before < 40)) || fail 'rowcast spins'
	# The log does not grow either: a line each ten seconds.
	lines=$(grep -c 'out of file descriptors' "$T/rowcast.err")
	((lines >= 1 && lines <= 1 + (SECONDS - start) / 10)) || fail "$lines lines"
	end_group KILL "$crowd"
	wait_for is_well
	row 2
	wait_for said a 'data: 2'
	assert_healthy
}
descriptors_at_least() { [[ $(find "/proc/$ROWCAST_PID/fd" -mindepth 1 | wc -l) -ge $1 ]]; }
# User and system time of a process in hundredths of a second.
ticks_of() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
said_beats() { [[ $(grep -o ':\\n' "$T/$1.talk" | wc -l) -ge $2 ]]; }

@test "more streams than --max-streams: sent away politely, with a time to come back" {
	begin --max-streams 10
	background python3 "$CLIENTS/crowd.py" "unix:$SOCKET" 25 streams >"$T/crowd.talk"
	local crowd=$PID
	wait_for said crowd 'open=10 sent-away=15 closed=15'
	run fcgi --get ''
	assert_success
	refute_output --partial Status: # which means 200
	assert_output --partial 'text/event-stream'
	assert_output --regexp 'retry: [0-9]+'
	assert_line --regexp '^: '
	refute_output --partial rowcast:open
	row 1
	wait_for said crowd rows=10
	end_group KILL "$crowd"
	wait_for streams_are 0
	assert_healthy
}

@test "500 streams get every row" {
	begin
	background python3 "$CLIENTS/crowd.py" "unix:$SOCKET" 500 streams >"$T/crowd.talk"
	local crowd=$PID
	wait_for said crowd open=500
	rows 1 20
	wait_for said crowd rows=10000
	end_group KILL "$crowd"
	wait_for streams_are 0
	assert_healthy
}

@test "a reader that does not read delays no other and misses nothing" {
	local before after
	# AddressSanitizer would keep 256 MB of freed memory.
	export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1
	begin --stall-timeout 60
	talk slow quiet request:1 until-data:rowcast:open wait-file:"$T/go" \
		until-data:'data: end' save:"$T/slow.out"
	local slow=$TALK
	talk fast quiet request:1 until-data:rowcast:open until-data:'data: end'
	local fast=$TALK
	wait_for streams_are 2
	before=$(memory_of "$ROWCAST_PID")
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
	     INSERT INTO notification(data) SELECT hex(randomblob(250000)) || '-' || i FROM n"
	row end
	wait "$fast" || fail "$(cat "$T/fast.talk")"
	after=$(memory_of "$ROWCAST_PID")
	# 50 MB went by; the window is 4.
	((after - before < 30000)) || fail "rowcast grew by $((after - before)) KiB"
	touch "$T/go"
	wait "$slow" || fail "$(cat "$T/slow.talk")"
	assert_equal "$(data_of slow | grep -o -- '-[0-9]*$\|end')" "$(seq -f -%g 100; echo end)"
	assert_equal "$(ids_of slow)" "$(sql 'SELECT id FROM notification ORDER BY id')"
	assert_healthy
}
memory_of() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

@test "a reader that takes nothing for --stall-timeout is closed" {
	begin --stall-timeout 1
	talk slow quiet request:1 until-data:rowcast:open wait-file:"$T/go" until-close
	local slow=$TALK
	wait_for said_open
	sql "INSERT INTO notification(data) VALUES (hex(randomblob(500000)))"
	wait_for streams_are 0
	touch "$T/go"
	wait "$slow"
	assert_healthy
}
said_open() { streams_are 1; }
