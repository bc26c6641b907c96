#!/usr/bin/env bats
# hostile.bats - clients/hostile.txt, a table of bad requests, straight over FastCGI and through each
# web server: each is refused or answered as the table says, and no row comes that is not granted.
#
# shellcheck shell=bash

load helper

begin() {
	init_db
	sql "$(python3 "$CLIENTS/hostile.py" --rows)"
	start_rowcast
}

run_table() {
	run python3 "$CLIENTS/hostile.py" "$CLIENTS/hostile.txt" "$@"
	assert_success
	assert_output --regexp '^[0-9]+ requests, 0 faults$'
}

behind() {
	printf 'ann:%s\n' "$(openssl passwd -6 pass-ann)" >"$T/htpasswd"
	chmod 644 "$T/htpasswd"
	with_login ROWCAST_CHANNELS
	begin
	"start_$1"
	run_table http "127.0.0.1:$PORT"
	assert_healthy
}

@test "hostile: straight over FastCGI" {
	begin
	run_table fcgi "unix:$SOCKET"
	assert_healthy
}

@test "hostile: through Apache" { behind apache; }
@test "hostile: through lighttpd" { behind lighttpd; }
@test "hostile: through nginx" { behind nginx; }
