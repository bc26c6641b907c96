#!/usr/bin/env bats
# metrics.bats - what an administrator and his monitor see: /health, /metrics, /status.
#
# shellcheck shell=bash

load helper
load ticket

body() { sed '1,/^\r$/d'; }
# metrics [--grown FILE]: the samples, checked by Prometheus' own parser. It is a Debian package, so
# with Debian's Python, whatever other stands first in the PATH.
metrics() { fcgi --get /metrics ROWCAST_ADMIN=1 | body | /usr/bin/python3 "$CLIENTS/metrics.py" "$@"; }
# sample NAME{LABELS}
sample() { metrics | awk -v key="$1" 'index($0, key " ") == 1 { print $NF }'; }
sample_is() { [[ $(sample "$1") == "$2" ]]; }
status() { fcgi --get /status ROWCAST_ADMIN=1 | body; }
is_gone() { sample_is 'rowcast_streams{format="sse"}' 0; }
watch_status() { open_direct "$1" /status ROWCAST_ADMIN=1 HTTP_ACCEPT=text/event-stream; }
snapshots() { grep -c '^data: {' "$T/$1.out"; }
has_snapshots() { [[ $(snapshots "$1") -ge $2 ]]; }

@test "/metrics: Prometheus' parser takes it, counters only grow, sums are what clients got" {
	local bytes
	init_db
	start_rowcast --max-streams 4 --heartbeat 0
	metrics >"$T/m0"
	listen_direct a
	listen_direct b '?envelope=1'
	open_direct c '' HTTP_ACCEPT=application/x-ndjson
	wait_for sample_is 'rowcast_streams{format="ndjson"}' 1
	assert_equal "$(sample 'rowcast_streams{format="sse"}')" 1
	assert_equal "$(sample 'rowcast_streams{format="envelope"}')" 1
	rows 1 50
	expect_data a 50
	wait_for sample_is rowcast_events_total 150
	metrics --grown "$T/m0" >"$T/m1"
	assert_equal "$(sample rowcast_rows_total)" 50
	assert_equal "$(sample rowcast_lag_seconds_count)" 50
	assert_equal "$(sample 'rowcast_lag_seconds_bucket{le="+Inf"}')" 50
	assert_equal "$(sample rowcast_tail_id)" "$(tail_id)"
	assert_equal "$(sample rowcast_database_up)" 1
	assert_equal "$(sample rowcast_database_errors_total)" 0
	assert_equal "$(sample 'rowcast_build_info{version="'"$("$ROWCAST" --version | awk 'NR == 1 { print $2 }')"'"}')" 1
	# A poll takes the fourth place for a moment; then one stream too many.
	run fcgi --get / HTTP_ACCEPT=application/json
	listen_direct d
	run fcgi --get /
	assert_output --partial 'too many streams'
	assert_equal "$(sample 'rowcast_refused_total{reason="streams"}')" 1
	close_all
	wait_for is_gone
	metrics --grown "$T/m1" >/dev/null
	assert_equal "$(sample rowcast_opened_total)" 5
	assert_equal "$(sample 'rowcast_closed_total{why="answered"}')" 1
	assert_equal "$(sample 'rowcast_closed_total{why="gone"}')" 4
	assert_healthy
}

@test "/metrics: rows that were written long ago are late, ones of the future are not early" {
	init_db
	start_rowcast
	listen_direct a
	sql "INSERT INTO notification(data, created_at) VALUES ('old', 1000);
	     INSERT INTO notification(data, created_at) VALUES ('future', 99999999999999)"
	expect_data a future
	assert_equal "$(sample 'rowcast_lag_seconds_bucket{le="10"}')" 1
	assert_equal "$(sample rowcast_lag_seconds_count)" 2
	assert_healthy
}

@test "/metrics: what --keep-rows deletes is counted, of one worker of several" {
	init_db
	start_rowcast --keep-rows 10 --workers 2
	rows 1 100
	wait_for sample_is rowcast_pruned_rows_total 90
	[[ $(sample rowcast_prunes_total) -ge 1 ]]
	kill -TERM "$ROWCAST_PID"
	wait "$ROWCAST_PID"
}

@test "/health: ok, and how far the feed is behind in a header" {
	init_db
	start_rowcast
	run -0 fcgi --get /health
	assert_output --partial 'X-Rowcast-Lag-Ms: 0'
	assert_equal "$(tail -n 1 <<<"$output")" ok
	assert_healthy
}

@test "/health: it reads the table, so a file that was destroyed under it is found" {
	init_db
	rows 1 5000
	sql 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
	start_rowcast
	# Nothing is committed, so that nobody is told.
	dd if=/dev/urandom of="$DB" bs=4096 seek=1 count=60 conv=notrunc status=none
	is_ill() { fcgi --get /health | grep -q '^Status: 503'; }
	wait_for is_ill
	[[ $(sample rowcast_database_errors_total) -ge 1 ]]
	assert_equal "$(sample rowcast_database_up)" 0
}

@test "/status: the open streams, whatever their users and channels are called" {
	init_db
	start_rowcast
	listen_direct a '?channel=%3Cscript%3E&channel=b' REMOTE_USER='<b>"x"' REMOTE_ADDR=192.0.2.1
	row x b
	expect_data a x
	status >"$T/status.json"
	assert_equal "$(jq -c '[.streams, .open_more, (.open | length)]' "$T/status.json")" '[1,0,1]'
	assert_equal "$(jq -c '.open[0] | [.user, .address, .channels, .format, .state, .distance, .events]' "$T/status.json")" \
		'["<b>\"x\"","192.0.2.1",["<script>","b"],"sse","live",0,1]'
	assert_equal "$(jq -r '.open[0].cursor' "$T/status.json")" "$(tail_id)"
	assert_equal "$(jq -c '.formats.sse' "$T/status.json")" 1
	# The page has no words from outside at all; its script puts them in as text.
	run -0 fcgi --get /status ROWCAST_ADMIN=1 HTTP_ACCEPT=text/html
	refute_output --partial 'x"'
	assert_output --partial "Content-Security-Policy: default-src 'none'"
	refute_output --partial '@NONCE@'
	assert_healthy
}

@test "/status: how many streams ask for each channel, the most first, and no list without end" {
	local i
	init_db
	start_rowcast
	listen_direct a '?channel=b&channel=a'
	listen_direct b '?channel=a&channel=n.*' REMOTE_USER=ann
	listen_direct c
	status >"$T/status.json"
	assert_equal "$(jq -c '[.channels[] | [.channel, .streams]]' "$T/status.json")" \
		'[["a",2],["*",1],["b",1],["n.*",1]]'
	assert_equal "$(jq -r '[.channels_more, .file] | join(" ")' "$T/status.json")" "0 $DB"
	# 64 channels each: more than one event of the live status lists.
	for i in 1 2; do
		listen_direct "m$i" "$(printf "?%s" "$(printf "channel=m$i.%d&" {1..64})")"
	done
	watch_status s
	wait_for has_snapshots s 1
	assert_equal "$(grep -m1 '^data: ' "$T/s.out" | cut -c7- \
		| jq -c '[(.channels | length), .channels_more]')" '[100,32]'
	close_all
	wait_for is_gone
	assert_equal "$(status | jq -c '.channels')" '[]'
	assert_healthy
}

@test "/status: as a stream it brings a snapshot each second, and is no stream of rows" {
	init_db
	start_rowcast
	watch_status s
	wait_for has_snapshots s 1
	listen_direct a
	row x
	expect_data a x
	wait_for grep -q '"streams":1.*"open":\[{"stream":1' "$T/s.out"
	wait_for has_snapshots s 3
	grep '^data: ' "$T/s.out" | cut -c7- | jq -es 'all(.workers == 1)' >/dev/null
	assert_equal "$(sample rowcast_opened_total)" 1
	run -0 fcgi --get /status HTTP_ACCEPT=text/event-stream
	assert_output --partial 'Status: 403'
	assert_healthy
}

@test "/status: a few may look at once, the next one comes back later" {
	local i
	init_db
	start_rowcast
	for i in {1..8}; do
		watch_status "s$i"
		wait_for has_snapshots "s$i" 1
	done
	run -0 fcgi --get /status ROWCAST_ADMIN=1 HTTP_ACCEPT=text/event-stream
	assert_output --partial ': too many viewers'
	assert_output --partial 'retry: '
	close_stream s3
	wait_for streams_are 7
	watch_status s9
	wait_for has_snapshots s9 1
	assert_healthy
}

@test "/status: those who look are sent home in an orderly way at the end" {
	init_db
	start_rowcast
	watch_status s
	wait_for has_snapshots s 1
	stop_rowcast
	wait "${READER[s]}" # 0: END_REQUEST came
	assert_no_report
}

@test "stop: a live status ends with the streams, properly" {
	make_ticket_keys
	init_db
	start_rowcast --allow-publish --log-level debug --ticket-key-file "$T/keys"
	listen_direct a '' HTTP_COOKIE="rowcast_ticket=$(mint --sub ann)"
	open_direct status /status HTTP_ACCEPT=text/event-stream ROWCAST_ADMIN=1
	wait_for grep -q '"user":"ann"' "$T/status.out"
	kill -TERM "$ROWCAST_PID"
	wait_for stream_ended status
	wait_for stream_ended a
	wait "${READER[status]}"
	wait "${READER[a]}"
	wait_for group_is_gone "$ROWCAST_PID"
	log_has 'close stream=1 user=ann .* why=drained'
	assert_no_report
	refute grep -F "$(cat "$T/minted")" "$T/status.out"
	assert_no_ticket_logged
}
