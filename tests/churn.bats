#!/usr/bin/env bats
# churn.bats - readers that drop at random and resume while rows are written: every row reaches
# every reader once, in order, whatever web server is between, and though rowcast is killed.
#
# shellcheck shell=bash

load helper

churn() { python3 "$CLIENTS/churn.py" "$(url)" "$DB" --seconds $((WAIT * 4)) "$@"; }

# 3,000 rows for 8 readers behind a web server.
assert_survives_churn() {
	init_db
	start_rowcast
	"start_$1"
	run churn
	assert_success
	assert_healthy
}

@test "churn: 8 readers that drop and resume see 3,000 rows once each, behind lighttpd" {
	assert_survives_churn lighttpd
}

@test "churn: 8 readers that drop and resume see 3,000 rows once each, behind nginx" {
	assert_survives_churn nginx
}

@test "churn: 8 readers that drop and resume see 3,000 rows once each, behind Apache" {
	assert_survives_churn apache
}

@test "churn: the same with a window too small for one transaction" {
	init_db
	start_rowcast --window-bytes 16K
	start_lighttpd
	run churn --rows 1500
	assert_success
	assert_healthy
}

# Kills and restarts rowcast until $T/enough is there.
unruly() {
	local pid=
	while [[ ! -e $T/enough ]]; do
		"$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --listen-mode 0666 \
			--heartbeat "$BEAT" </dev/null >>"$T/rowcast.err" 2>&1 3>&- 4>&- &
		pid=$!
		sleep 0.7
		kill -KILL "$pid"
		wait "$pid" 2>/dev/null
	done
}

@test "churn: the same while rowcast is killed every 0.7 s" {
	init_db
	start_rowcast
	kill_rowcast
	start_lighttpd
	export -f unruly
	export T ROWCAST DB SOCKET BEAT
	background bash -c unruly >"$T/unruly.log" 2>&1
	local unruly=$PID
	run churn --rows 1500
	touch "$T/enough"
	wait_for group_is_gone "$unruly"
	assert_success
	assert_no_report
}
