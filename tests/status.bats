#!/usr/bin/env bats
# status.bats - `rowcast status`: of a running server and of a database, as a table and as JSON; counts
# of streams by channel in metrics.
#
# shellcheck shell=bash

load helper

line_of() { sed -n "s/^$1  *//p" <<<"$output"; }

@test "status: of a running server, the numbers of its status page and the channels" {
	init_db
	with_admin
	start_rowcast --presence
	start_lighttpd
	listen one "$(url '?channel=orders')"
	listen two "$(url '?channel=orders&channel=news.*')"
	row x orders >/dev/null
	expect_data one x
	run "$ROWCAST" status --url "$(url /status)"
	assert_success
	assert_equal "$(line_of 'open streams')" 2
	assert_equal "$(line_of 'events sent')" 2
	assert_equal "$(line_of 'highest id')" "$(tail_id)"
	assert_equal "$(line_of 'behind the database, ms')" 0
	assert_line --regexp '^ *2  orders$'
	assert_line --regexp '^ *1  news\.\*$'
	run "$ROWCAST" status --url "$(url /status)" --json
	run jq -r '.streams, .channels[0].channel' <<<"$output"
	assert_output $'2\norders'
	assert_healthy
}

@test "status: of a database, who is there by presence, marks, revocations and subscriptions" {
	init_db
	start_rowcast --presence
	listen_direct ann '?channel=orders' REMOTE_USER=ann
	listen_direct bob '?channel=orders' REMOTE_USER=bob
	listen_direct nobody
	wait_for eval '[[ $(sql "SELECT count(*) FROM rowcast_presence") == 3 ]]'
	row x >/dev/null
	sql "INSERT INTO rowcast_read VALUES ('ann', 'orders', 1); INSERT INTO rowcast_revocation(user) VALUES ('eve')"
	run "$ROWCAST" status --db "$DB"
	assert_success
	assert_equal "$(line_of 'open streams')" 3
	assert_line --regexp '^users +2$'
	assert_equal "$(line_of 'rows kept')" 1
	assert_equal "$(line_of 'read marks')" 1
	assert_equal "$(line_of 'users thrown out')" 1
	assert_equal "$(line_of 'push subscriptions')" 0
	assert_line --regexp '^ *2  orders$'
	run "$ROWCAST" status --db "$DB" --json
	run jq -r '.users, .channels[0].readers, .tail' <<<"$output"
	assert_output $'2\n2\n'"$(tail_id)"
	assert_healthy
}

@test "status: --watch prints it again each second" {
	init_db
	background "$ROWCAST" status --db "$DB" --json --watch >"$T/watch.out" 2>&1
	twice() { (($(wc -l <"$T/watch.out") >= 2)); }
	wait_for twice
	end_group TERM "$PID"
}

@test "status: what goes wrong is said in one line" {
	run -2 "$ROWCAST" status
	assert_output --partial 'Give --url URL, --db FILE'
	run -1 "$ROWCAST" status --db "$T/none.db"
	assert_output --partial 'does not exist'
	run -1 "$ROWCAST" status --url http://127.0.0.1:1/events/status
	assert_output --partial '127.0.0.1:1'
	init_db
	start_rowcast
	start_lighttpd
	run -1 "$ROWCAST" status --url "$(url /status)"
	assert_output --partial 'ROWCAST_ADMIN=1'
	run -1 "$ROWCAST" status --url "$(url /health)"
	assert_output --partial 'is it the address'
	assert_healthy
}

@test "status: metrics count streams by channel, with few names, escaped" {
	init_db
	start_rowcast
	local n
	listen_direct quote '?channel=%22%5C&channel=orders'
	listen_direct other '?channel=orders'
	listen_direct all
	for n in 1 2; do
		listen_direct "many$n" "?$(for c in {1..60}; do printf '&channel=c%s' "$n$c"; done)"
	done
	run fcgi --get /metrics ROWCAST_ADMIN=1
	assert_line 'rowcast_channel_streams{channel="orders"} 2'
	assert_line 'rowcast_channel_streams{channel="\"\\"} 1'
	assert_line 'rowcast_channel_streams{channel="*"} 1'
	assert_equal "$(grep -c '^rowcast_channel_streams{' <<<"$output")" 100
	run "$SRC/tests/clients/metrics.py" <<<"$output"
	assert_healthy
}
