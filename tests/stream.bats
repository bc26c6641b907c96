#!/usr/bin/env bats
# stream.bats - what a stream brings, asked over FastCGI without a web server: parameters,
# options and columns that matrix.bats does not go through behind each server.
#
# shellcheck shell=bash

load helper

begin() {
	init_db
	start_rowcast "$@"
}

get() { fcgi --get "$@"; }

@test "envelope=1: data is the row as JSON" {
	begin
	listen_direct a '?envelope=1'
	row '{"id":7}' orders paid
	wait_for has_rows a 1
	assert_equal "$(data_of a | jq -c '[.id, .channel, .event, .data, (.created_at | type)]')" \
		"[\"$(tail_id)\",\"orders\",\"paid\",\"{\\\"id\\\":7}\",\"number\"]"
	assert_healthy
}
has_rows() { [[ $(row_events "$1" | wc -l) -ge $2 ]]; }

@test "columns: an expired row is not delivered, one that will expire is" {
	begin
	listen_direct a
	sql "INSERT INTO notification(data, expires_at) VALUES
	     ('stale', 1000), ('fresh', (SELECT max(created_at) + 3600000 FROM
	      (SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) AS created_at)))"
	row last
	expect_data a last
	assert_equal "$(data_of a)" $'fresh\nlast'
	listen_direct b '?since=all'
	expect_data b last
	assert_equal "$(data_of b)" $'fresh\nlast'
	assert_healthy
}

@test "recipient: a row for one user reaches that user's streams only" {
	begin
	listen_direct bob '' REMOTE_USER=bob
	listen_direct ann '' REMOTE_USER=ann
	listen_direct nobody
	sql "INSERT INTO notification(data, recipient) VALUES ('b', 'bob'), ('a', 'ann')"
	row all
	expect_data bob all
	expect_data ann all
	expect_data nobody all
	assert_equal "$(data_of bob)" $'b\nall'
	assert_equal "$(data_of ann)" $'a\nall'
	assert_equal "$(data_of nobody)" all
	assert_healthy
}

@test "recipient: no header from the client makes a user, a bound or an administrator" {
	begin
	sql "INSERT INTO notification(data, recipient) VALUES ('b', 'bob')"
	listen_direct a '?since=all&_REMOTE_USER=bob' HTTP_REMOTE_USER=bob HTTP_ROWCAST_CHANNELS='*' \
		HTTP_AUTHORIZATION='Basic Ym9iOmJvYg=='
	row all
	expect_data a all
	assert_equal "$(data_of a)" all
	local resource
	for resource in metrics status; do
		run get "/$resource" HTTP_ROWCAST_ADMIN=1
		assert_line --regexp '^Status: 40[34]'
	done
	assert_healthy
}

@test "heartbeat: its id moves on over rows that were not for this stream" {
	local id
	begin
	listen_direct a '?channel=rare'
	rows 1 50
	id=$(tail_id)
	# Now everything that was read is thrown away: a narrow reader has still missed nothing.
	wait_for has_last_id a "$id"
	sql 'DELETE FROM notification'
	close_stream a
	listen_direct b '?channel=rare' HTTP_LAST_EVENT_ID="$id"
	row 51 rare
	expect_data b 51
	refute has_gap b
	assert_healthy
}
has_last_id() { [[ $(last_id "$1") == "$2" ]]; }

@test "--heartbeat 0: no signs of life, and rows all the same" {
	begin --heartbeat 0
	listen_direct a
	row 1
	expect_data a 1
	assert_equal "$(beats_of a)" 0
	assert_healthy
}

@test "--retry: the opening block says it" {
	begin --retry 1234
	listen_direct a
	run grep -c '^retry: 1234$' "$T/a.out"
	assert_output 1
	assert_healthy
}

@test "--max-event-bytes: a larger row is announced with its id and size, the next one comes" {
	local id
	begin --max-event-bytes 1000
	listen_direct a
	sql "INSERT INTO notification(data) VALUES (printf('%.1000c', 'x'))"
	sql "INSERT INTO notification(data) VALUES (printf('%.1001c', 'y'))"
	id=$(tail_id)
	row 3
	expect_data a 3
	run events a
	assert_line "$id|rowcast:too-large|{\"id\":\"$id\",\"bytes\":1001,\"limit\":1000}"
	assert_equal "$(row_events a | wc -l)" 2
	assert_healthy
}

@test "--max-age: streams end at that age, and come back without a loss" {
	begin --max-age 1
	listen_direct a
	row 1
	expect_data a 1
	wait_for stream_ended a
	run grep -c '^retry: ' "$T/a.out"
	assert_output 2
	row 2
	listen_direct b '' HTTP_LAST_EVENT_ID="$(last_id a)"
	expect_data b 2
	assert_equal "$(data_of b)" 2
	assert_healthy
}

@test "throttle=: writes come that far apart, superseded rows are left out, the others not" {
	local i
	begin
	listen_direct a '?throttle=1500'
	row first
	expect_data a first
	for i in 1 2 3 4 5; do
		sql "INSERT INTO notification(data, collapse_key) VALUES ('k$i', 'k'), ('n$i', NULL)"
	done
	row end
	expect_data a end
	run data_of a
	assert_equal "$(grep '^n' <<<"$output")" $'n1\nn2\nn3\nn4\nn5'
	assert_line k5
	# Which of the others came depends on when the interval ended: not all of them, at least.
	[[ $(grep -c '^k' <<<"$output") -lt 5 ]]
	assert_healthy
}

@test "collapse_key: a catch-up may leave out what was replaced, and never the newest" {
	begin
	sql "INSERT INTO notification(channel, recipient, data, collapse_key) VALUES
	     ('a', NULL, 'a1', 'k'), ('b', NULL, 'b1', 'k'), ('a', NULL, 'a2', 'k'),
	     ('a', 'bob', 'bob1', 'k'), ('a', NULL, 'other', 'l'), ('a', NULL, 'none', NULL)"
	listen_direct a '?since=all' REMOTE_USER=bob
	row end
	expect_data a end
	run data_of a
	assert_line b1
	assert_line a2
	assert_line bob1
	assert_line other
	assert_line none
	assert_healthy
}

@test "last=: from 1 to 1000, of the rows that match" {
	local bad
	begin
	rows 1 1200
	row x other
	listen_direct a '?last=1000&channel=default'
	row end
	expect_data a end
	assert_equal "$(data_of a)" "$(seq 201 1200; echo end)"
	for bad in 0 1001 -1 x '' 1.5; do
		run get "?last=$bad"
		assert_line --regexp '^Status: 400'
		assert_output --partial last
	done
	assert_healthy
}

@test "a long history is replayed while new rows come, each once" {
	begin
	rows 1 20000
	listen_direct a '?since=all'
	rows 20001 20500
	rows 20501 21000
	expect_data a 21000
	assert_equal "$(data_of a | sha256sum)" "$(seq 21000 | sha256sum)"
	assert_healthy
}

@test "last=: rows that are replaced by one found earlier in the search are not counted" {
	begin
	sql "INSERT INTO notification(channel, data, collapse_key)
		VALUES ('a', 'zero', NULL), ('a', 'old', 'k'), ('a', 'one', NULL);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
		INSERT INTO notification(channel, data) SELECT 'b', i FROM n;
		INSERT INTO notification(channel, data, collapse_key) VALUES ('a', 'new', 'k')"
	listen_direct a '?channel=a*&last=3'
	expect_data a new
	assert_equal "$(data_of a)" $'zero\none\nnew'
}

# Refused at the start, with the reason. refused_table WORDS
refused_table() {
	run -1 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --table t
	assert_output --partial "$1"
	run -1 "$ROWCAST" tail --db "$DB" --table t
	assert_output --partial "$1"
	run -1 "$ROWCAST" doctor --db "$DB" --table t
	assert_output --partial "$1"
}

@test "--table: ids that are no integers are refused at the start, in a table and in a view" {
	init_db
	sql "CREATE TABLE t(id TEXT PRIMARY KEY, data)"
	refused_table "is declared TEXT"
	sql "DROP TABLE t; CREATE TABLE t(id PRIMARY KEY, data); INSERT INTO t VALUES (1, 'x'), ('0b6c-uuid', 'y')"
	refused_table "an id that is no integer (text)"
	sql "DROP TABLE t; CREATE TABLE u(a INTEGER, data); INSERT INTO u VALUES (NULL, 'x'), (2, 'y');
		CREATE VIEW t AS SELECT a AS id, data FROM u"
	refused_table "an id that is no integer (null)"
	sql "DROP VIEW t; CREATE VIEW t AS SELECT data FROM u"
	refused_table "no column id"
}

@test "--table: a text id that comes later is reported by the log and /health" {
	init_db
	sql "CREATE TABLE t(id PRIMARY KEY, data); INSERT INTO t VALUES (1, 'x')"
	start_rowcast --table t
	fcgi --get /health
	sql "INSERT INTO t VALUES ('0b6c-uuid', 'y')"
	is_ill() { fcgi --get /health | grep -q '^Status: 503'; }
	wait_for is_ill
	grep -q 'error: .*no integer' "$T/rowcast.err"
}

@test "--table: created_at as text is a time in UTC: since= and the envelope go by it" {
	init_db
	sql "CREATE TABLE t(id INTEGER PRIMARY KEY, data, created_at DEFAULT CURRENT_TIMESTAMP);
		INSERT INTO t(data, created_at) VALUES ('old', datetime('now', '-1 hour')); INSERT INTO t(data) VALUES ('new')"
	start_rowcast --table t
	listen_direct a '?since=10m&envelope=1'
	wait_for has_rows a 1
	assert_equal "$(data_of a | jq -r '.data')" new
	assert_equal "$(data_of a | jq '.created_at - now * 1000 | fabs < 60000')" true
}

@test "--table: a collapse_key without an index is not looked for, and doctor says so" {
	init_db
	sql "CREATE TABLE t(id INTEGER PRIMARY KEY, data, collapse_key);
		INSERT INTO t VALUES (1, 'old', 'k'), (2, 'new', 'k')"
	run -1 "$ROWCAST" doctor --db "$DB" --table t
	assert_output --partial "no index covers collapse_key"
	sql "CREATE INDEX t_key ON t(collapse_key)"
	run "$ROWCAST" doctor --db "$DB" --table t
	refute_output --partial "collapse_key"
	# 5,000 keys looked for among all rows after them were seconds (the window is too small for them).
	sql "DROP INDEX t_key; WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
		INSERT INTO t SELECT i, 'x', i FROM n"
	start_rowcast --table t --window-bytes 65536
	listen_direct a '?since=all'
	listen_direct b
	sql "INSERT INTO t VALUES (20001, 'at once', NULL)"
	expect_data b 'at once'
	expect_data a 'at once'
	(($(awk '{ print $14 + $15 }' "/proc/$ROWCAST_PID/stat") < 500)) # hundredths of a second in the CPU
}

@test "--table: a table and a view that have only id and data" {
	sql "CREATE TABLE log(id INTEGER PRIMARY KEY, data TEXT);
	     CREATE TABLE measure(n INTEGER PRIMARY KEY, v);
	     CREATE VIEW measures AS SELECT n AS id, 'v=' || v AS data FROM measure;
	     INSERT INTO log(data) VALUES ('one'); PRAGMA journal_mode = WAL"
	start_rowcast --table log
	listen_direct a '?since=all'
	expect_data a one
	sql "INSERT INTO log(data) VALUES ('two')"
	expect_data a two
	assert_healthy
	start_rowcast --table measures
	listen_direct b
	sql 'INSERT INTO measure(v) VALUES (17)'
	expect_data b v=17
	assert_healthy
}

@test "cors: none by itself, exact origins with credentials, preflight answered" {
	begin
	run get /health HTTP_ORIGIN=https://page.example
	refute_output --partial Access-Control
	assert_healthy
	start_rowcast --cors-origin https://page.example --cors-origin https://other.example
	run get /health HTTP_ORIGIN=https://page.example
	assert_line --partial 'Access-Control-Allow-Origin: https://page.example'
	assert_line --partial 'Access-Control-Allow-Credentials: true'
	assert_line --regexp '^Vary: .*Origin'
	run get /health HTTP_ORIGIN=https://page.example.evil.example
	refute_output --partial Access-Control-Allow-Origin
	assert_line --regexp '^Vary: .*Origin'
	run get '' REQUEST_METHOD=OPTIONS HTTP_ORIGIN=https://other.example \
		HTTP_ACCESS_CONTROL_REQUEST_METHOD=GET HTTP_ACCESS_CONTROL_REQUEST_HEADERS=last-event-id
	assert_line --partial 'Access-Control-Allow-Origin: https://other.example'
	assert_line --regexp '^Access-Control-Allow-Headers:.*[Ll]ast-[Ee]vent-[Ii][Dd]'
	assert_healthy
	start_rowcast --cors-origin '*'
	listen_direct a '' HTTP_ORIGIN=https://any.example
	grep -q 'Access-Control-Allow-Origin: \*' "$T/a.out"
	refute grep -q Access-Control-Allow-Credentials "$T/a.out"
	assert_healthy
}

@test "database text of any kind cannot forge a line of the stream" {
	begin
	listen_direct a
	python3 - "$DB" <<-'PY'
		import sqlite3, sys
		connection = sqlite3.connect(sys.argv[1])
		insert = "INSERT INTO notification(data) VALUES (CAST(? AS TEXT))"
		for data in (b"x\n\nid: 9\nevent: forged\ndata: y", b"\r\n\r\ndata: z\r", b"bad \xff\xc0 utf-8",
		             b"nul \x00 inside", b"\xef\xbb\xbfbom"):
		    connection.execute(insert, (data,))
		connection.commit()
	PY
	row end
	expect_data a end
	[[ $(events a | grep -ac '|forged|') -eq 0 ]]
	assert_equal "$(row_events a | wc -l)" 6
	assert_equal "$(data_of a | sed -n 1p)" 'x\n\nid: 9\nevent: forged\ndata: y'
	assert_equal "$(data_of a | sed -n 2p)" '\n\ndata: z\n'
	assert_equal "$(data_of a | sed -n 3p)" $'bad \xef\xbf\xbd\xef\xbf\xbd utf-8'
	assert_equal "$(data_of a | sed -n 5p)" $'\xef\xbb\xbfbom'
	assert_equal "$(ids_of a)" "$(sql 'SELECT id FROM notification ORDER BY id')"
	assert_healthy
}

@test "since=AGE: a row with an odd time hides none of the fresh ones" {
	begin
	sql "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19)
	     INSERT INTO notification(data, created_at)
	     SELECT i, (strftime('%s', 'now') - CASE i WHEN 10 THEN 86400 ELSE 0 END) * 1000 FROM n"
	run -0 fcgi --get '/?since=1h' HTTP_ACCEPT=application/json
	assert_equal "$(tail -n 1 <<<"$output" | jq '.events | length')" 20
}

@test "wait=: a gap is news, and ends a long poll at once" {
	begin
	# Far beyond the client's own patience of ten seconds.
	run -0 fcgi --get '/?wait=60&last_event_id=abc' HTTP_ACCEPT=application/json
	assert_equal "$(tail -n 1 <<<"$output" | jq -r .gap.reason)" bad-id
}

@test "HEAD: no body, not even with a refusal" {
	begin
	run -0 fcgi --get /nonsense REQUEST_METHOD=HEAD
	assert_output --partial 'Status: 404'
	refute_output --partial 'unknown resource'
}

@test "--cors-origin: what no browser sends is a usage error" {
	local origin
	init_db
	for origin in https://a.example/ a.example 'https://a b' https://a.example/x HTTPS://A.example \
		https://a.example:443 http://a.example:80 'https://*.a.example' https://ann@a.example; do
		run -2 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --cors-origin "$origin"
		assert_output --partial 'is not an origin'
	done
}

@test "/status: JSON for programs, a page for browsers, neither without ROWCAST_ADMIN" {
	begin
	run -0 fcgi --get /status ROWCAST_ADMIN=1
	assert_equal "$(tail -n 1 <<<"$output" | jq .streams)" 0
	run -0 fcgi --get /status ROWCAST_ADMIN=1 HTTP_ACCEPT='text/html,*/*;q=0.8'
	assert_output --partial 'Content-Type: text/html'
	assert_output --partial '<dt>open streams'
	run -0 fcgi --get /status HTTP_ROWCAST_ADMIN=1
	assert_output --partial 'Status: 403'
}

@test "--table: the first row of a view that was empty is no gap" {
	init_db
	sql "CREATE TABLE src(id INTEGER PRIMARY KEY, data, pub);
	     INSERT INTO src VALUES (1, 'a', 0), (2, 'b', 0);
	     CREATE VIEW pubv AS SELECT id, data FROM src WHERE pub"
	start_rowcast --table pubv
	listen_direct a
	sql "INSERT INTO src VALUES (3, 'first', 1)"
	expect_data a first
	run ! has_gap a
	assert_healthy
}
