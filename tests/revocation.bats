#!/usr/bin/env bats
# revocation.bats - somebody is thrown out, by `rowcast revoke` or by a row of the application's:
# streams end on all workers, tickets from before are refused, and so after a restart; with
# lighttpd, nginx and Apache.
#
# shellcheck shell=bash

load helper
load ticket

# How soon is judged by `make check-presence`, on a machine that does nothing else.
ENDS_WITHIN_MS=${ENDS_WITHIN_MS:-$((WAIT * 1000))}

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

revoke() { "$ROWCAST" revoke --db "$DB" "$@"; }

# The stream NAME has ended with the word. assert_revoked NAME
assert_revoked() {
	wait_for stream_ended "$1"
	assert_equal "$(grep -a '^: ' "$T/$1.out" | tail -n 1)" ': revoked'
}

# All that were revoked were closed in time: by the log, from the revocation's own time on, since this
# shell looks later when the machine is busy.
assert_in_time() {
	local revoked closed
	revoked=$(sql 'SELECT max(before) FROM rowcast_revocation')
	closed=$(date -d "$(sed -n 's/ rowcast.*close .*why=revoked.*//p' "$T/rowcast.err" | sort | tail -n 1)" +%s%3N)
	((closed - revoked <= ENDS_WITHIN_MS)) || fail "it took $((closed - revoked)) ms"
}

# The same on a server's page. start_with SERVER [OPTION...]
start_with() {
	init_db
	make_user ann secret
	make_user bob secret
	with_login
	start_rowcast "${@:2}"
	"start_$1"
}

@test "revocation: her streams end on all workers with a word, the streams of others go on" {
	init_db
	start_rowcast --workers 3
	for n in {1..6}; do
		listen_direct "ann$n" '' REMOTE_USER=ann
	done
	listen_direct bob '' REMOTE_USER=bob
	listen_direct nobody
	run revoke --user ann
	assert_success
	for n in {1..6}; do
		assert_revoked "ann$n"
	done
	assert_in_time
	row after >/dev/null
	expect_data bob after
	expect_data nobody after
	assert_equal "$(grep -c 'close .*why=revoked' "$T/rowcast.err")" 6
	assert_healthy
}

@test "revocation: a row of the application's does the same, and so does NDJSON" {
	init_db
	start_rowcast
	listen_direct ann '' REMOTE_USER=ann
	open_direct lines '' REMOTE_USER=ann HTTP_ACCEPT=application/x-ndjson
	wait_for streams_are 2
	sql "INSERT INTO rowcast_revocation(user) VALUES ('ann')"
	assert_revoked ann
	wait_for stream_ended lines
	assert_healthy
}

@test "revocation: a user who logs in again through the web server may read again" {
	init_db
	start_rowcast
	listen_direct ann '' REMOTE_USER=ann
	revoke --user ann
	assert_revoked ann
	listen_direct again '' REMOTE_USER=ann
	# A revocation of somebody else ends no stream that began after hers.
	revoke --user bob
	row still >/dev/null
	expect_data again still
	assert_healthy
}

@test "revocation: a time to come ends the logins of now, and keeps tickets out until then" {
	init_db
	make_ticket_keys
	start_rowcast --ticket-key-file "$T/keys"
	listen_direct ann '' REMOTE_USER=ann
	revoke --user ann --before $(($(now_ms) + 3600000))
	assert_revoked ann
	listen_direct again '' REMOTE_USER=ann
	assert_equal "$(status_code "/whoami?ticket=$(mint --sub ann)")" 401
	revoke --user bob
	row still >/dev/null
	expect_data again still
	assert_healthy
}

@test "revocation: tickets from before are refused in all workers, newer ones are taken" {
	init_db
	make_ticket_keys
	start_rowcast --ticket-key-file "$T/keys" --workers 3
	local old new
	old=$(mint --sub ann)
	listen_direct ann "?ticket=$old"
	revoke --user ann
	assert_revoked ann
	new=$(mint --sub ann)
	for _ in {1..9}; do
		assert_equal "$(status_code "/?ticket=$old")" 401
	done
	run fcgi --get "/whoami?ticket=$old"
	assert_output --partial 'the ticket is revoked: its user was thrown out after it was issued'
	assert_output --partial 'error="invalid_token"'
	listen_direct new "?ticket=$new"
	assert_equal "$(status_code "/whoami?ticket=$(mint --sub bob)")" 200
	assert_equal "$(status_code "/whoami?ticket=$(mint)")" 200
	assert_healthy
	assert_no_ticket_logged
}

@test "revocation: a ticket without iat is refused once its user was thrown out" {
	init_db
	make_ticket_keys
	start_rowcast --ticket-key-file "$T/keys"
	local ticket claims
	for claims in '{"sub":"ann"}' '{"sub":"ann","iat":"today"}' '{"sub":"ann","iat":1795315156389}'; do
		ticket=$(/usr/bin/python3 -c 'import json, jwt, sys; print(jwt.api_jws.encode(sys.argv[2].encode(), open(sys.argv[1]).read().strip(), "HS256"))' "$T/keys" "$claims")
		assert_equal "$(status_code "/whoami?ticket=$ticket")" 200
		echo "$ticket" >>"$T/without"
	done
	revoke --user ann
	while read -r ticket; do
		wait_for eval '[[ $(status_code "/whoami?ticket='"$ticket"'") == 401 ]]'
		run fcgi --get "/whoami?ticket=$ticket"
		assert_output --partial 'has no iat'
	done <"$T/without"
	assert_healthy
}

@test "revocation: a restart forgets nothing, nor do SIGHUP and a database that is opened again" {
	init_db
	make_ticket_keys
	local old
	old=$(mint --sub ann)
	revoke --user ann
	start_rowcast --ticket-key-file "$T/keys" --workers 2
	assert_equal "$(status_code "/?ticket=$old")" 401
	kill -HUP "$ROWCAST_PID"
	wait_for log_has 'database reopened'
	assert_equal "$(status_code "/?ticket=$old")" 401
	listen_direct ann '' REMOTE_USER=ann
	revoke --user ann
	assert_revoked ann
	assert_healthy
}

@test "revocation: polls that wait are answered, and POST is refused" {
	init_db
	make_ticket_keys
	start_rowcast --ticket-key-file "$T/keys" --allow-publish
	local old
	old=$(mint --sub ann --publish '*')
	open_direct poll "?wait=50&ticket=$old" HTTP_ACCEPT=application/json
	wait_for streams_are 1
	revoke --user ann
	wait_for stream_ended poll
	run cat "$T/poll.out"
	assert_output --partial '"events":[]'
	TARGET="/?ticket=$old" run post 'data=x'
	assert_output 401
	assert_equal "$(count)" 0
	assert_healthy
}

@test "revocation: off, rows of the table mean nothing" {
	init_db
	make_ticket_keys
	start_rowcast --ticket-key-file "$T/keys" --revocation off
	local old
	old=$(mint --sub ann)
	listen_direct ann "?ticket=$old"
	revoke --user ann
	row still >/dev/null
	expect_data ann still
	assert_equal "$(status_code "/whoami?ticket=$old")" 200
	assert_healthy
}

@test "revocation: a stream that takes nothing ends, too" {
	init_db
	start_rowcast --stall-timeout 0
	listen_direct ann '' REMOTE_USER=ann
	kill -STOP "${READER[ann]}"
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
	     INSERT INTO notification(data) SELECT hex(zeroblob(100000)) FROM n"
	blocked() { fcgi --get /status ROWCAST_ADMIN=1 | grep -q '"state":"blocked"'; }
	wait_for blocked
	revoke --user ann
	wait_for log_has 'close .*why=revoked'
	kill -CONT "${READER[ann]}"
	wait_for stream_ended ann
	assert_healthy
}

@test "revocation: her subscriptions to Web Push are deleted in the same transaction" {
	init_db
	sql "INSERT INTO rowcast_push(endpoint, user, channels, p256dh, auth, vapid_key, cursor, created_at)
		VALUES ('https://push.example/1', 'ann', '[]', 'p', 'a', 'v', 0, 1760000000000),
		       ('https://push.example/2', 'bob', '[]', 'p', 'a', 'v', 0, 1760000000000)"
	revoke --user ann
	assert_equal "$(sql 'SELECT user FROM rowcast_push')" bob
}

@test "revocation: one row a user is kept, and --forget deletes old ones" {
	init_db
	revoke --user ann --before 2025-01-01T00:00:00Z
	assert_equal "$(sql 'SELECT before FROM rowcast_revocation')" 1735689600000
	revoke --user ann --before 30d
	revoke --user bob
	# An earlier time takes nothing back.
	revoke --user bob --before 1d
	assert_equal "$(sql 'SELECT user, count(*) FROM rowcast_revocation GROUP BY 1')" $'ann|1\nbob|2'
	run revoke --forget 7d
	assert_output 1
	assert_equal "$(sql 'SELECT DISTINCT user FROM rowcast_revocation')" bob
}

@test "revocation: what cannot be meant is refused in words" {
	init_db
	run -2 revoke
	assert_output --partial 'whom? Give --user NAME, or --forget AGE'
	run -2 revoke --user ann --forget 1d
	run -2 revoke --user ann --before yesterday
	assert_output --partial '"yesterday" is none of 2026-11-28T20:00:00Z'
	run -2 revoke --user ann --before 1795315156
	assert_output --partial 'milliseconds, not seconds'
	run -2 revoke --user ann --before 2026-13-01T00:00:00Z
	sql 'DROP TABLE rowcast_revocation'
	run -1 revoke --user ann
	assert_output --partial 'rowcast init'
}

through_a_web_server() {
	start_with "$1"
	listen ann "$(url)" -u ann:secret
	listen bob "$(url)" -u bob:secret
	revoke --user ann
	assert_revoked ann
	assert_in_time
	row after >/dev/null
	expect_data bob after
	listen again "$(url)" -u ann:secret
	assert_healthy
}
@test "revocation: through lighttpd" { through_a_web_server lighttpd; }
@test "revocation: through nginx" { through_a_web_server nginx; }
@test "revocation: through Apache" { through_a_web_server apache; }
