#!/usr/bin/env bats
# publish.bats - POST inserts rows: through the web servers with the lines that their
# configurations ship, under CGI, and over FastCGI where it matters who says what.
#
# shellcheck shell=bash

load helper

# rowcast takes POST, and the server has the shipped example: ROWCAST_PUBLISH "orders orders.*".
# begin SERVER [OPTION OF SERVE...]
begin() {
	local server=$1
	shift
	init_db
	start_rowcast --allow-publish "$@"
	with_examples ROWCAST_PUBLISH
	"start_$server"
}
# The same without a web server.
begin_direct() {
	init_db
	start_rowcast --allow-publish "$@"
}

# Answer to $T/answer, its header to $T/answer.head, status on stdout. post [curl's options]
post() { curl -s -m "$WAIT" -D "$T/answer.head" -o "$T/answer" -w '%{http_code}' "$@" "$(url)"; }
json() { post -H 'Content-Type: application/json' --data-binary "$1" "${@:2}"; }
ids_answered() { jq -r '.ids[]' "$T/answer"; }

# A POST over FastCGI; the status on stdout, all of the answer in $T/answer. Unless it is said
# otherwise a form that may be published everywhere. direct BODY [NAME=VALUE...]
direct() {
	printf %s "$1" >"$T/body"
	direct_file "$T/body" "${@:2}"
}
direct_file() {
	local right=${RIGHT-ROWCAST_PUBLISH=*}
	fcgi --seconds "$WAIT" --get / --body "$1" "${@:2}" \
		CONTENT_TYPE="${TYPE:-application/x-www-form-urlencoded}" \
		${right:+"$right"} >"$T/answer" || echo "fcgi.py: $?"
	sed -n 's/^Status: \([0-9]*\).*/\1/p' "$T/answer"
}

table() { sql "SELECT channel || '|' || coalesce(event, '-') || '|' || coalesce(recipient, '-') || '|' ||
	coalesce(collapse_key, '-') || '|' || data FROM notification ORDER BY id"; }
count() { sql 'SELECT count(*) FROM notification'; }
count_is() { [[ $(count) == "$1" ]]; }

# Holds the database's write lock until $T/unlock is there, then writes a row 'unlocked' of its own.
lock_db() {
	rm -f "$T/unlock" "$T/locked"
	background python3 -c '
import os, sqlite3, sys, time
db, folder = sys.argv[1:]
con = sqlite3.connect(db, isolation_level=None, timeout=10)
con.execute("BEGIN IMMEDIATE")
open(folder + "/locked", "w").close()
while not os.path.exists(folder + "/unlock"):
    time.sleep(0.02)
con.execute("INSERT INTO notification(data) VALUES (?)", ("unlocked",))
con.execute("COMMIT")' "$DB" "$T" >"$T/lock.log" 2>&1
	LOCK_PID=$PID
	wait_for test -e "$T/locked"
}
unlock_db() {
	touch "$T/unlock"
	wait "$LOCK_PID"
}

# --- through the web servers ------------------------------------------------------------------

assert_publishes() {
	listen a "$(url '?channel=orders*&channel=orders')"
	assert_equal "$(post -d 'channel=orders' -d 'event=paid' --data-urlencode 'data={"id": 7, "ü": "+&%"}')" 201
	assert_equal "$(header_of "$T/answer.head" content-type)" application/json
	assert_equal "$(header_of "$T/answer.head" cache-control)" no-store
	assert_equal "$(json '{"channel":"orders.eu","data":{"id":8},"collapse_key":"k"}')" 201
	assert_equal "$(json '[{"channel":"orders","data":"one"},{"channel":"orders.x","data":"two\nlines"}]')" 201
	assert_equal "$(ids_answered)" "$(sql 'SELECT id FROM notification ORDER BY id DESC LIMIT 2' | sort)"
	expect_data a 'two\nlines'
	assert_equal "$(data_of a)" '{"id": 7, "ü": "+&%"}
{"id":8}
one
two\nlines'
	assert_equal "$(table)" 'orders|paid|-|-|{"id": 7, "ü": "+&%"}
orders.eu|-|-|k|{"id":8}
orders|-|-|-|one
orders.x|-|-|-|two
lines'
	# What the location does not name.
	assert_equal "$(post -d 'data=x')" 403
	assert_equal "$(post -d 'channel=order' -d 'data=x')" 403
	assert_equal "$(json '[{"channel":"orders","data":"x"},{"channel":"stock","data":"x"}]')" 403
	count_is 4
}

# A body of exactly so many bytes, as a form. form_of BYTES
form_of() {
	printf 'channel=orders&data='
	head -c $(($1 - 20)) /dev/zero | tr '\0' x
}

assert_limits_the_body() {
	form_of 65536 >"$T/fits"
	form_of 65537 >"$T/long"
	form_of 3000000 >"$T/huge"
	assert_equal "$(wc -c <"$T/fits")" 65536
	assert_equal "$(post --data-binary "@$T/fits")" 201
	assert_equal "$(sql 'SELECT length(data) FROM notification')" 65516
	assert_equal "$(post --data-binary "@$T/long")" 413
	grep -q 'at most 65536' "$T/answer"
	# nginx refuses this one by itself (client_max_body_size 1m).
	assert_equal "$(post --data-binary "@$T/huge")" 413
	assert_equal "$(post --data-binary "@$T/fits" -H 'Expect: 100-continue' --expect100-timeout 20)" 201
	count_is 2
	assert_equal "$(post -d 'channel=orders' -d 'data=after')" 201
}

# All three count a chunked body before they hand it on.
assert_reads_chunks() {
	assert_equal "$(post -d 'channel=orders' -d 'data=chunks' -H 'Transfer-Encoding: chunked')" 201
	assert_equal "$(post -d 'channel=orders' -d 'data=after')" 201
}

@test "lighttpd: form, JSON object and array are stored and streamed" {
	begin lighttpd
	assert_publishes
	assert_healthy
}
@test "nginx: form, JSON object and array are stored and streamed" {
	begin nginx
	assert_publishes
	assert_healthy
}
@test "apache: form, JSON object and array are stored and streamed" {
	begin apache
	assert_publishes
	assert_healthy
}

@test "lighttpd: 64 KiB and not a byte more; chunks; Expect" {
	begin lighttpd
	assert_limits_the_body
	assert_reads_chunks
	assert_healthy
}
@test "nginx: 64 KiB and not a byte more; chunks; Expect" {
	begin nginx
	assert_limits_the_body
	assert_reads_chunks
	assert_healthy
}
@test "apache: 64 KiB and not a byte more; chunks; Expect" {
	begin apache
	assert_limits_the_body
	assert_reads_chunks
	assert_healthy
}

# The web server's own limit, as shipped: it answers before it has read the body.
assert_server_limits_the_body() {
	form_of 65536 >"$T/fits"
	form_of 3000000 >"$T/huge"
	assert_equal "$(post --data-binary "@$T/fits")" 201
	assert_equal "$(post --data-binary "@$T/huge")" 413
	run ! grep -q 'at most 65536' "$T/answer"
	count_is 1
}
@test "the shipped limits of lighttpd and nginx let 64 KiB through, and refuse more themselves" {
	local server
	init_db
	start_rowcast --allow-publish
	with_examples '(ROWCAST_PUBLISH|client_max_body_size|max-request-size)'
	for server in lighttpd nginx; do
		"start_$server"
		sql 'DELETE FROM notification'
		assert_server_limits_the_body
		stop_server
	done
	assert_healthy
}

@test "a hundred at once: each id once, each row streamed once" {
	begin nginx --workers 2
	listen a "$(url '?channel=orders')"
	seq 100 | xargs -P 20 -I{} curl -s -m "$WAIT" -d 'channel=orders' -d 'data={}' "$(url)" >"$T/answers"
	assert_equal "$(jq -r '.ids[]' "$T/answers" | sort -u | wc -l)" 100
	wait_for has_rows a 100
	assert_equal "$(data_of a | sort -n)" "$(seq 100)"
	assert_equal "$(ids_of a)" "$(jq -r '.ids[]' "$T/answers" | sort -n)"
	close_all
	stop_rowcast
	assert_no_report
}
has_rows() { [[ $(row_events "$1" | wc -l) -ge $2 ]]; }

# --- CGI ----------------------------------------------------------------------------------------

assert_cgi_publishes() {
	listen a "$(url '?channel=orders')"
	form_of 65536 >"$T/fits"
	form_of 65537 >"$T/long"
	assert_equal "$(post -d 'channel=orders' -d 'data=hello')" 201
	assert_equal "$(ids_answered)" "$(tail_id)"
	assert_equal "$(json '[{"channel":"orders","data":1},{"channel":"orders","data":2}]')" 201
	expect_data a 2
	assert_equal "$(post --data-binary "@$T/fits")" 201
	assert_equal "$(post --data-binary "@$T/long")" 413
	assert_equal "$(post -d 'data=x')" 403
	count_is 4
	close_all
	stop_server
	assert_no_report
}
@test "cgi: lighttpd's mod_cgi" {
	init_db
	make_program ROWCAST_HEARTBEAT="$BEAT"
	with_examples '(ROWCAST_PUBLISH)'
	start_lighttpd rowcast-cgi
	assert_cgi_publishes
}
@test "cgi: Apache's mod_cgid" {
	init_db
	make_program ROWCAST_HEARTBEAT="$BEAT"
	with_examples '(ROWCAST_PUBLISH|ROWCAST_ALLOW_PUBLISH)'
	start_apache rowcast-cgi
	assert_cgi_publishes
}

# The program as a web server would start it, its standard input from a file. cgi_post LENGTH
cgi_post() {
	env -i PATH="$PATH" GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=POST CONTENT_LENGTH="$1" \
		CONTENT_TYPE=application/x-www-form-urlencoded ROWCAST_DB="$DB" ROWCAST_PUBLISH='*' \
		ROWCAST_ALLOW_PUBLISH=1 ROWCAST_REQUEST_TIMEOUT=0.3 "$ROWCAST" serve 2>"$T/cgi.err"
}
@test "cgi: a body that ends early, or never comes, is refused and not waited for" {
	init_db
	run cgi_post 6 <<<'data=ignored'
	assert_line --regexp '^Status: 201'
	assert_equal "$(sql 'SELECT data FROM notification')" i
	run cgi_post 20 <<<'data=short'
	assert_line --regexp '^Status: 400'
	assert_output --partial 'the body has 11 bytes, Content-Length says 20'
	mkfifo "$T/silent"
	exec 9<>"$T/silent"
	run cgi_post 20 <"$T/silent"
	exec 9>&-
	assert_line --regexp '^Status: 400'
	run cgi_post 99999999999999999999 </dev/null
	assert_line --regexp '^Status: 413'
	count_is 1
}

# --- who, and from where ------------------------------------------------------------------------

# preflight METHOD [NAME=VALUE...]: the answer in $T/answer
preflight() {
	fcgi --get / REQUEST_METHOD=OPTIONS HTTP_ORIGIN=https://shop.example \
		HTTP_ACCESS_CONTROL_REQUEST_METHOD="$1" "${@:2}" >"$T/answer"
}

@test "off by default: POST is no method, and no right changes that" {
	init_db
	start_rowcast --cors-origin https://shop.example
	assert_equal "$(direct 'data=x')" 405
	grep -q '^Allow: GET, HEAD, OPTIONS.$' "$T/answer"
	preflight GET
	grep -q '^Access-Control-Allow-Methods: GET, HEAD, OPTIONS.$' "$T/answer"
	preflight POST
	refute grep -q '^Access-Control' "$T/answer"
	count_is 0
	assert_healthy
}

@test "allowed: Allow and the preflight name POST, other resources do not take it" {
	begin_direct --cors-origin https://shop.example
	preflight POST HTTP_ACCESS_CONTROL_REQUEST_HEADERS=content-type
	grep -q '^Allow: GET, HEAD, OPTIONS, POST.$' "$T/answer"
	grep -q '^Access-Control-Allow-Methods: GET, HEAD, OPTIONS, POST.$' "$T/answer"
	grep -q '^Access-Control-Allow-Credentials: true.$' "$T/answer"
	preflight POST PATH_INFO=/health
	grep -q '^Allow: GET, HEAD, OPTIONS.$' "$T/answer"
	refute grep -q '^Access-Control' "$T/answer"
	fcgi --get / REQUEST_METHOD=PUT >"$T/answer"
	grep -q '^Allow: GET, HEAD, OPTIONS, POST.$' "$T/answer"
	assert_equal "$(direct 'data=x' PATH_INFO=/health)" 405
	grep -q '^Allow: GET, HEAD, OPTIONS.$' "$T/answer"
	assert_equal "$(direct 'data=x' PATH_INFO=/nowhere)" 404
	count_is 0
	assert_healthy
}

# right EXPECTED PATTERNS BODY
right() {
	local got
	got=$(RIGHT="ROWCAST_PUBLISH=$2" direct "$3")
	assert_equal "$2 $3: $got" "$2 $3: $1"
}
@test "rights: ROWCAST_PUBLISH alone decides, by the row's own channel" {
	begin_direct
	assert_equal "$(RIGHT='' direct 'data=x')" 403
	assert_equal "$(RIGHT='' direct 'data=x' ROWCAST_CHANNELS='*' ROWCAST_ADMIN=1 HTTP_ROWCAST_PUBLISH='*')" 403
	right 403 '' 'data=x'
	right 201 default 'data=x'
	right 403 other 'data=x'
	right 201 'a* default' 'data=x'
	right 201 'orders.*' 'channel=orders.eu&data=x'
	right 403 'orders.*' 'channel=orders&data=x'
	# A name that looks like a pattern is refused, whatever the right: no bound could name it.
	right 400 'orders.eu' 'channel=orders.*&data=x'
	right 400 'orders.eu' 'channel=*&data=x'
	right 400 'orders.*' 'channel=orders.*&data=x'
	right 400 '*' 'channel=a+b&data=x'
	# Nobody needs to read where he publishes, and may address anybody.
	assert_equal "$(direct 'channel=private&data=x&to=bob' ROWCAST_CHANNELS= REMOTE_USER=alice)" 201
	assert_equal "$(sql "SELECT recipient FROM notification WHERE channel = 'private'")" bob
	# What cannot be understood grants nothing.
	right 500 "$(printf 'x%.0s' {1..257})" 'data=x'
	count_is 4
	assert_healthy
}

@test "rights: ROWCAST_PUBLISH from rowcast's own environment, which a request's own overrides" {
	init_db
	export ROWCAST_PUBLISH=orders
	start_rowcast --allow-publish
	unset ROWCAST_PUBLISH
	assert_equal "$(RIGHT='' direct 'channel=orders&data=x')" 201
	assert_equal "$(RIGHT='' direct 'data=x')" 403
	assert_equal "$(RIGHT=ROWCAST_PUBLISH=default direct 'data=x')" 201
	assert_equal "$(RIGHT=ROWCAST_PUBLISH=default direct 'channel=orders&data=x')" 403
	assert_healthy
}

# origin EXPECTED NAME=VALUE...
origin() {
	local got
	got=$(direct 'data=x' "${@:2}")
	assert_equal "${*:2}: $got" "${*:2}: $1"
}
@test "cross-site: only pages of this host and of --cors-origin may publish" {
	begin_direct --cors-origin https://shop.example --cors-origin '*' --cors-origin null
	origin 201 HTTP_ORIGIN=https://shop.example HTTP_HOST=here.example
	grep -q '^Access-Control-Allow-Origin: https://shop.example.$' "$T/answer"
	origin 201 HTTP_ORIGIN=https://shop.example HTTP_HOST=here.example HTTP_SEC_FETCH_SITE=cross-site
	origin 201 HTTP_ORIGIN=https://here.example HTTP_HOST=here.example HTTPS=on
	origin 201 HTTP_ORIGIN=http://here.example:8080 HTTP_HOST=here.example:8080
	origin 201 HTTP_ORIGIN=https://here.example HTTP_HOST=here.example # a proxy speaks TLS
	origin 403 HTTP_ORIGIN=http://here.example HTTP_HOST=here.example HTTPS=on
	origin 403 HTTP_ORIGIN=http://here.example:81 HTTP_HOST=here.example
	origin 403 HTTP_ORIGIN=http://here.example
	origin 403 HTTP_ORIGIN=https://shop.example.evil.example HTTP_HOST=here.example
	origin 403 HTTP_ORIGIN=https://evil.example HTTP_HOST=here.example
	origin 403 HTTP_ORIGIN=null HTTP_HOST=here.example
	origin 403 HTTP_ORIGIN='*' HTTP_HOST=here.example
	origin 403 HTTP_ORIGIN=ftp://here.example HTTP_HOST=here.example
	origin 403 HTTP_SEC_FETCH_SITE=cross-site
	origin 403 HTTP_SEC_FETCH_SITE=same-site
	origin 403 HTTP_SEC_FETCH_SITE=nonsense
	origin 201 HTTP_SEC_FETCH_SITE=same-origin
	origin 201 HTTP_SEC_FETCH_SITE=none
	origin 201 HTTP_X_HTTP_METHOD_OVERRIDE=GET
	assert_healthy
}

@test "cross-site: a method that is only claimed does not publish" {
	begin_direct
	local get=(fcgi --get / REQUEST_METHOD=GET HTTP_X_HTTP_METHOD_OVERRIDE=POST
		HTTP_ACCEPT=application/json 'ROWCAST_PUBLISH=*')
	"${get[@]}" 'QUERY_STRING=_method=POST' >"$T/answer"
	grep -q '"events":\[\]' "$T/answer"
	"${get[@]}" 'QUERY_STRING=_method=POST&data=x' >"$T/answer"
	grep -q '^Status: 400' "$T/answer"
	count_is 0
	assert_healthy
}

# --- what is refused ------------------------------------------------------------------------------

# refused STATUS WORDS BODY [NAME=VALUE...]
refused() {
	local got
	got=$(direct "$3" "${@:4}")
	assert_equal "$3: $got" "$3: $1"
	run cat "$T/answer"
	assert_output --partial "$2"
	assert_equal "$(sed '1,/^.$/d' "$T/answer" | wc -l)" 1
	count_is 0 || fail "stored: $(table)"
}
@test "refusals: forms, each with a word on what to do" {
	begin_direct
	refused 400 'field data: is missing' ''
	refused 400 'field data: is missing' 'channel=x'
	refused 400 'unknown field "dat"' 'dat=x'
	refused 400 'field data: is given twice' 'data=x&data=y'
	refused 400 'field channel: is empty' 'channel=&data=x'
	refused 400 'field to: is empty' 'to=&data=x'
	refused 400 'CR or LF' 'channel=a%0ab&data=x'
	refused 400 'CR or LF' 'event=a%0d&data=x'
	refused 400 'choose another name' 'event=open&data=x'
	refused 400 'choose another name' 'event=error&data=x'
	refused 400 'choose another name' 'event=rowcast:gap&data=x'
	refused 400 'NUL' 'data=a%00b'
	refused 400 'escape' 'data=%zz'
	refused 400 'not UTF-8' 'data=%ff'
	refused 400 'not an age' 'data=x&ttl=90'
	refused 400 'not an age' 'data=x&ttl=-1s'
	refused 400 'belongs into the body' 'data=x' 'QUERY_STRING=channel=orders'
	assert_healthy
}

@test "refusals: JSON" {
	begin_direct
	export TYPE=application/json
	refused 400 'not JSON' ''
	refused 400 'not JSON' '{"data":"x"'
	refused 400 'not JSON' '{"data":"x"} {}'
	refused 400 'duplicate' '{"data":"x","data":"y"}'
	refused 400 'not a JSON object' '["x"]'
	refused 400 'nothing to publish' '[]'
	refused 400 'unknown field "id"' '{"data":"x","id":7}'
	refused 400 'channel: is not a string' '{"data":"x","channel":7}'
	refused 400 'channel: is not a string' '{"data":"x","channel":null}'
	refused 400 'ttl: is not a string such as' '{"data":"x","ttl":90}'
	refused 400 'not JSON' '{"data":"a\u0000b"}'
	refused 400 'not JSON' '{"data":"\ud800"}'
	refused 400 'row 2: bad field data: is missing' '[{"data":"x"},{"channel":"y"}]'
	refused 400 'not UTF-8' $'{"data":"\xff"}'
	refused 400 'more than 1000 rows' "$(jq -nc '[range(1001) | {data: "x"}]')"
	assert_equal "$(direct "$(jq -nc '[range(1000) | {data: "x"}]')")" 201
	count_is 1000
	assert_healthy
}

@test "refusals: type, charset and length" {
	begin_direct
	TYPE=text/plain refused 415 'application/json' 'data=x'
	TYPE='multipart/form-data; boundary=x' refused 415 'application/json' 'data=x'
	TYPE='application/json; charset=latin1' refused 415 'charset=utf-8' '{"data":"x"}'
	refused 411 'Content-Length' 'data=x' CONTENT_LENGTH=
	refused 400 'not a number' 'data=x' CONTENT_LENGTH=+6
	refused 400 'Content-Length says 5' 'data=x' CONTENT_LENGTH=5
	refused 400 'Content-Length says 7' 'data=x' CONTENT_LENGTH=7
	refused 413 'at most 65536' 'data=x' CONTENT_LENGTH=65537
	refused 413 'at most 65536' 'data=x' CONTENT_LENGTH=99999999999999999999
	assert_equal "$(TYPE='Application/JSON ; charset="UTF-8"' direct '{"data":"x"}')" 201
	assert_healthy
}

@test "json: data of every kind is kept as its compact text; null is what is not there" {
	begin_direct
	export TYPE=application/json
	assert_equal "$(direct '[{"data": "text"}, {"data": {"b": [1, 0.1, -2.5e-300, true, null], "a": "\u00fc\n"} }, {"data": [ ]}, {"data": 7},
		{"data": null, "to": null, "event": null, "collapse_key": null, "ttl": null}]')" 201
	assert_equal "$(table)" 'default|-|-|-|text
default|-|-|-|{"b":[1,0.1,-2.5e-300,true,null],"a":"ü\n"}
default|-|-|-|[]
default|-|-|-|7
default|-|-|-|null'
	assert_healthy
}

@test "ttl: becomes the time from which a row is not delivered" {
	begin_direct
	assert_equal "$(direct 'data=x&ttl=90s')" 201
	assert_equal "$(sql 'SELECT abs(expires_at - created_at - 90000) < 10000 FROM notification')" 1
	assert_healthy
}

# --- all or nothing --------------------------------------------------------------------------------

@test "atomic: what a trigger of the application refuses leaves nothing of its request" {
	begin_direct
	sql "CREATE TRIGGER no_seven BEFORE INSERT ON notification WHEN NEW.data = '7'
	     BEGIN SELECT RAISE(ABORT, 'seven is not allowed'); END"
	export TYPE=application/json
	assert_equal "$(direct '[{"data":6},{"data":7},{"data":8}]')" 400
	run tail -n 1 "$T/answer"
	assert_output --partial 'the table refuses the row: seven is not allowed'
	refute_output --partial "$DB"
	count_is 0
	assert_equal "$(direct '[{"data":6},{"data":8}]')" 201
	count_is 2
	assert_healthy
}

@test "atomic: one that is refused spoils nothing for those that waited with it" {
	begin_direct
	sql "CREATE TRIGGER no_seven BEFORE INSERT ON notification WHEN NEW.data = '7'
	     BEGIN SELECT RAISE(ABORT, 'seven is not allowed'); END"
	lock_db
	background python3 "$CLIENTS/posts.py" "unix:$SOCKET" 10 "$T/answers" >"$T/posts.log" 2>&1
	local pid=$PID
	wait_for streams_are 10
	unlock_db
	wait "$pid" || fail "$(cat "$T/posts.log")"
	assert_equal "$(grep -c '^201 ' "$T/answers")" 9
	assert_equal "$(grep -c '^400 the table refuses the row: seven is not allowed$' "$T/answers")" 1
	assert_equal "$(sql 'SELECT data FROM notification ORDER BY data')" \
		$'0\n1\n2\n3\n4\n5\n6\n8\n9\nunlocked'
	assert_healthy
}

# --- the loop goes on -------------------------------------------------------------------------------

@test "locked: a publish waits, streams do not; 201 once the lock is gone" {
	begin lighttpd
	listen a "$(url)"
	lock_db
	background curl -s -o "$T/answer" -w '%{http_code}' -d 'channel=orders&data=waited' "$(url)" >"$T/status" 2>&1
	local pid=$PID beats
	wait_for streams_are 2
	beats=$(beats_of a)
	wait_for has_beats a $((beats + 2))
	listen b "$(url)"
	assert_equal "$(cat "$T/status")" ''
	unlock_db
	wait "$pid"
	assert_equal "$(cat "$T/status")" 201
	expect_data a waited
	expect_data b waited
	assert_equal "$(data_of a)" $'unlocked\nwaited'
	assert_healthy
}

@test "locked for longer than some seconds: 503 with Retry-After, nothing stored" {
	begin nginx
	lock_db
	assert_equal "$(post -d 'channel=orders' -d 'data=late')" 503
	assert_equal "$(header_of "$T/answer.head" retry-after)" 2
	grep -q 'try again' "$T/answer"
	unlock_db
	count_is 1
	assert_equal "$(post -d 'channel=orders' -d 'data=again')" 201
	assert_healthy
}

@test "more than 64 that wait: 503 at once for the rest, the others are stored together" {
	begin_direct
	lock_db
	background python3 "$CLIENTS/posts.py" "unix:$SOCKET" 70 "$T/answers" >"$T/posts.log" 2>&1
	local pid=$PID
	# These are answered while the lock is held and the first 64 wait.
	wait_for answers_are 6
	unlock_db
	wait "$pid" || fail "$(cat "$T/posts.log")"
	assert_equal "$(grep -c '^503 too many requests' "$T/answers")" 6
	assert_equal "$(grep -c '^201 ' "$T/answers")" 64
	count_is 65 # and the lock's own
	assert_equal "$(sed -n 's/^201 //p' "$T/answers" | jq -r '.ids[]' | sort -u | wc -l)" 64
	assert_healthy
}
answers_are() { [[ $(wc -l <"$T/answers") -eq $1 ]]; }

@test "gone: a client that leaves while its row waits changes nothing for the row" {
	begin nginx
	lock_db
	background curl -s -d 'channel=orders&data=orphan' "$(url)" >/dev/null 2>&1
	wait_for streams_are 1
	end_group KILL "$PID"
	wait_for streams_are 0
	unlock_db
	wait_for count_is 2
	assert_equal "$(sql 'SELECT data FROM notification ORDER BY id')" $'unlocked\norphan'
	assert_healthy
}

@test "aborted: the request is ended, its row is stored, the connection takes the next" {
	begin_direct
	lock_db
	printf 'data=abandoned' >"$T/body"
	background python3 -SE "$CLIENTS/fcgi.py" "unix:$SOCKET" --seconds "$WAIT" begin:1 \
		"params:1,REQUEST_METHOD=POST,CONTENT_LENGTH=14,CONTENT_TYPE=application/x-www-form-urlencoded,ROWCAST_PUBLISH=*" \
		"body:$T/body" stdin:1 begin:2 until:END abort:1 until-end:1 \
		request:1,PATH=/health until-data:ok >"$T/talk" 2>&1
	wait "$PID" || fail "$(cat "$T/talk")"
	unlock_db
	wait_for count_is 2
	assert_healthy
}

@test "stop: SIGTERM waits for what is being stored" {
	begin_direct --drain 20
	lock_db
	printf 'data=last' >"$T/body"
	background "$FCGI_GET" "unix:$SOCKET" --seconds "$WAIT" --get / --body "$T/body" \
		CONTENT_TYPE=application/x-www-form-urlencoded 'ROWCAST_PUBLISH=*' >"$T/reply" 2>&1
	local pid=$PID
	wait_for streams_are 1
	kill -TERM "$ROWCAST_PID"
	wait_for grep -q draining "$T/rowcast.err"
	unlock_db
	wait "$pid"
	grep -q '^Status: 201' "$T/reply"
	wait "$ROWCAST_PID"
	assert_equal "$(sql 'SELECT data FROM notification ORDER BY id')" $'unlocked\nlast'
	assert_no_report
}

@test "stop: a lock that stays is not waited for beyond --drain" {
	begin_direct --drain 0.2
	lock_db
	printf 'data=never' >"$T/body"
	background "$FCGI_GET" "unix:$SOCKET" --seconds "$WAIT" --get / --body "$T/body" \
		CONTENT_TYPE=application/x-www-form-urlencoded 'ROWCAST_PUBLISH=*' >"$T/reply" 2>&1
	local pid=$PID
	wait_for streams_are 1
	kill -TERM "$ROWCAST_PID"
	wait "$ROWCAST_PID"
	wait "$pid"
	grep -q '^Status: 503' "$T/reply"
	unlock_db
	count_is 1
	assert_no_report
}

@test "database replaced: what comes after goes into the new file" {
	begin_direct
	listen_direct a
	assert_equal "$(direct 'data=old')" 201
	expect_data a old
	mkdir "$T/away"
	mv "$DB"* "$T/away"
	"$ROWCAST" init --db "$DB" >"$T/init.log" 2>&1
	assert_equal "$(direct 'data=new')" 201
	assert_equal "$(sql 'SELECT data FROM notification')" new
	expect_data a new
	assert_healthy
}

# --- the start, the log, the counters --------------------------------------------------------------

@test "start: a table that rowcast did not make, or may not write, is refused" {
	init_db
	sql 'CREATE TABLE other(id INTEGER PRIMARY KEY, data TEXT)'
	run -1 "$ROWCAST" serve --db "$DB" --table other --listen "unix:$SOCKET" --allow-publish
	assert_output --partial '--allow-publish'
	assert_output --partial 'not made by rowcast'
	assert_equal "${#lines[@]}" 1
	run -1 "$ROWCAST" serve --db "$DB" --table other --listen "unix:$SOCKET" --allow-publish --workers 2
	assert_output --partial 'not made by rowcast'
	spawn_rowcast --table other --listen "unix:$SOCKET"
	wait_for_start "$ROWCAST_PID" fcgi --get /health
	note_rest
	assert_healthy
}

@test "log and metrics: who, from where, which ids; never the data" {
	begin_direct
	assert_equal "$(TYPE=application/json direct '[{"data":"secret"},{"data":"secret"}]' REMOTE_USER=alice \
		REMOTE_ADDR=192.0.2.7)" 201
	wait_for grep -q 'publish user=alice address=192.0.2.7 rows=2 first=' "$T/rowcast.err"
	run ! grep -q secret "$T/rowcast.err"
	fcgi --get /metrics ROWCAST_ADMIN=1 >"$T/answer"
	grep -qx 'rowcast_published_total 2' "$T/answer"
	grep -qx 'rowcast_publish_requests_total 1' "$T/answer"
	assert_healthy
}
