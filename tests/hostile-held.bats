#!/usr/bin/env bats
# hostile-held.bats - what a reader may hold by not reading: descriptors, memory, places among the
# streams. Each kind of answer has its case; the next kind goes here.
#
# shellcheck shell=bash

load helper

metric() { fcgi --get /metrics ROWCAST_ADMIN=1 | awk -v key="$1" '$1 == key { print $2 + 0 }'; }
metric_is() { [[ $(metric "$1") == "$2" ]]; }
memory_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$ROWCAST_PID/status"; }
# Readers that do not read, until let_read: hold CONNECTIONS REQUESTS [NAME=VALUE...]
hold() {
	mkfifo "$T/hold"
	python3 -SE "$CLIENTS/unread.py" "unix:$SOCKET" "$@" <"$T/hold" >"$T/held" 2>&1 3>&- &
	HOLDER=$!
	exec 8>"$T/hold"
	wait_for grep -q sent "$T/held"
}
let_read() {
	exec 8>&-
	wait_for grep -q whole= "$T/held"
	wait "$HOLDER"
}
# What they hold is a stream, which has no end: they go.
let_go() {
	kill "$HOLDER"
	wait "$HOLDER" || true
	exec 8>&-
}
# A tracked table of one row as large as an event may be. large_table
large_table() {
	sql "CREATE TABLE big(id INTEGER PRIMARY KEY, $(seq -s, -f 'c%g TEXT' 1 17))"
	"$ROWCAST" track --db "$DB" big >/dev/null
	sql "INSERT INTO big SELECT 1, $(seq -s, -f "printf('%%.*c', 60000 + %g, 'x')" 1 17)"
}
large_row() { sql "INSERT INTO notification(data) VALUES (printf('%.*c', 900000, 'x'))"; }

@test "held: polls that are not read count as streams, for the limits and for the stall timeout" {
	local before
	init_db
	large_row
	start_rowcast --max-streams 4 --stall-timeout 2
	before=$(memory_kb)
	hold 200 1 QUERY_STRING=since=all HTTP_ACCEPT=application/json
	wait_for streams_are 4
	[[ $(metric 'rowcast_refused_total{reason="streams"}') == 196 ]]
	(($(memory_kb) - before < 30000))
	wait_for metric_is 'rowcast_closed_total{why="stalled"}' 4
	wait_for streams_are 0
	let_read
	run cat "$T/held"
	assert_output --partial 'cut=4 whole=196'
	assert_healthy
}

@test "held: a poll that is read late comes whole" {
	init_db
	large_row
	start_rowcast --max-streams 4
	hold 3 1 QUERY_STRING=since=all HTTP_ACCEPT=application/json
	wait_for metric_is 'rowcast_streams{format="json"}' 3
	let_read
	run cat "$T/held"
	assert_output --partial 'cut=0 whole=3'
	assert_healthy
}

@test "held: answers of other kinds are counted, bounded and cut" {
	init_db
	start_rowcast --max-streams 4 --stall-timeout 2
	hold 30 100 PATH_INFO=/metrics ROWCAST_ADMIN=1
	wait_for metric_is rowcast_answers_waiting 4
	wait_for streams_are 4
	run fcgi --get /
	assert_output --partial 'too many streams'
	wait_for metric_is rowcast_answers_waiting 0
	wait_for streams_are 0
	let_read
	listen_direct a
	row x
	expect_data a x
	assert_healthy
}

@test "held: answers of other kinds count to the limits of their address and user" {
	init_db
	start_rowcast --max-streams-per-address 3 --max-streams-per-user 2 --stall-timeout 4
	hold 10 100 PATH_INFO=/metrics ROWCAST_ADMIN=1 REMOTE_ADDR=192.0.2.7
	wait_for streams_are 3
	run fcgi --get / REMOTE_ADDR=192.0.2.7
	assert_output --partial 'too many streams from this address'
	listen_direct other '' REMOTE_ADDR=192.0.2.8
	close_stream other
	wait_for streams_are 0
	listen_direct mine '' REMOTE_ADDR=192.0.2.7
	close_stream mine
	let_read
	rm "$T/hold"
	hold 10 100 PATH_INFO=/metrics ROWCAST_ADMIN=1 REMOTE_USER=ann REMOTE_ADDR=
	wait_for streams_are 2
	run fcgi --get / REMOTE_USER=ann
	assert_output --partial 'too many streams of this user'
	wait_for streams_are 0
	let_read
	assert_healthy
}

@test "held: refusals that are not read are cut, and later requests are answered" {
	init_db
	start_rowcast --max-streams 4 --stall-timeout 2
	hold 10 4000 QUERY_STRING=last=x
	wait_for metric_is rowcast_answers_waiting 4
	wait_for metric_is rowcast_answers_waiting 0
	wait_for streams_are 0
	let_read
	listen_direct a
	row x
	expect_data a x
	assert_healthy
}

# Runs rowcast.cgi with a full pipe for its output, and waits for its end. unread_cgi [NAME=VALUE...]
unread_cgi() {
	ln -sf "$ROWCAST" "$T/bin/rowcast.cgi"
	[[ -p $T/pipe ]] || mkfifo "$T/pipe"
	exec 9<>"$T/pipe"
	dd if=/dev/zero bs=4096 count=1024 oflag=nonblock >&9 2>/dev/null || true # till it is full
	background env GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET ROWCAST_DB="$DB" \
		ROWCAST_STALL_TIMEOUT=1 "$@" "$T/bin/rowcast.cgi" >"$T/pipe" 2>>"$T/rowcast.err"
	wait_for group_is_gone "$PID"
	exec 9<&-
}

@test "held: an answer under CGI that is not taken ends with the stall timeout" {
	init_db
	unread_cgi PATH_INFO=/health
	unread_cgi QUERY_STRING=last=x
	unread_cgi HTTP_ACCEPT=application/json
	unread_cgi HTTP_ACCEPT=text/event-stream
	assert_no_report
}

@test "held: parts of a table's state that are not read are bounded in sum, and a reader that reads gets its own" {
	local before
	init_db
	large_table
	start_rowcast --stall-timeout 60
	before=$(memory_kb)
	hold 120 1 QUERY_STRING=state=big
	wait_for some_are_cut
	(($(memory_kb) - before < 90000))
	listen_direct a '/?channel=news&state=big'
	wait_for grep -q '"more":false' "$T/a.out"
	let_go
	assert_healthy
}
most_are_answered() { (($(metric 'rowcast_closed_total{why="answered"}') >= 40)); }
some_are_cut() { (($(metric 'rowcast_closed_total{why="no-memory"}') >= 20)); }

@test "held: documents with a state that are being made are bounded in sum" {
	local before
	init_db
	sql "CREATE TABLE big(id INTEGER PRIMARY KEY, t TEXT)"
	"$ROWCAST" track --db "$DB" big >/dev/null
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70)
	     INSERT INTO big SELECT i, printf('%.*c', 55000, 'x') FROM n"
	start_rowcast --stall-timeout 60
	before=$(memory_kb)
	hold 60 1 QUERY_STRING=state=big HTTP_ACCEPT=application/json
	wait_for most_are_answered
	(($(memory_kb) - before < 150000))
	let_read
	assert_healthy
}
