#!/usr/bin/env bats
# hostile-tickets.bats - clients/hostile-tickets.txt, a table of bad tickets: see hostile.bats.
#
# shellcheck shell=bash

load helper

@test "hostile: tickets, straight over FastCGI" {
	init_db
	sql "$(python3 "$CLIENTS/hostile.py" --rows)"
	openssl rand -hex 32 >"$T/key"
	chmod 600 "$T/key"
	start_rowcast --ticket-key-file "$T/key"
	run python3 "$CLIENTS/hostile.py" --ticket-key "$T/key" "$CLIENTS/hostile-tickets.txt" fcgi "unix:$SOCKET"
	assert_success
	assert_output --regexp '^[0-9]+ requests, 0 faults$'
	assert_healthy
}
