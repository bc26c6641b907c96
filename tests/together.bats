#!/usr/bin/env bats
# together.bats - what the other files try by itself, at once: tickets with publishing, both in a
# confined process with workers and retention, keys that change under open streams, a live status
# at the end, and no ticket in any log wherever somebody puts it.
#
# SC2153: SOCKET is set by helper.bash.
# shellcheck shell=bash disable=SC2153

load helper

setup() {
	rowcast_setup
	(umask 027 && openssl rand -hex 32 >"$T/keys" && openssl rand -hex 32 >"$T/other")
}

begin() {
	init_db
	start_rowcast --log-level debug --ticket-key-file "$T/keys" "$@"
}

# A ticket by `rowcast ticket`: mint [OPTION...], signed with $T/${KEY:-keys}
mint() { "$ROWCAST" ticket --key-file "$T/${KEY:-keys}" "$@" | tee -a "$T/minted"; }

log_has() { grep -qE -- "$1" "$T/rowcast.err"; }
status_of() { fcgi --seconds "$WAIT" --get "$@" | sed -n 's/^Status: \([0-9]*\).*/\1/p'; }

# The status of a POST over FastCGI; the answer in $T/answer. post BODY [NAME=VALUE...]
post() {
	printf %s "$1" >"$T/body"
	fcgi --seconds "$WAIT" --get "${TARGET:-/}" --body "$T/body" "${@:2}" \
		CONTENT_TYPE="${TYPE:-application/x-www-form-urlencoded}" >"$T/answer" || echo "fcgi.py: $?"
	sed -n 's/^Status: \([0-9]*\).*/\1/p' "$T/answer"
}
count() { sql 'SELECT count(*) FROM notification'; }

# No ticket that was minted, nor the signature that is what counts of it, is in the log.
assert_no_ticket_logged() {
	local ticket
	while read -r ticket; do
		refute grep -aF -e "$ticket" -e "${ticket##*.}" "$T/rowcast.err"
	done <"$T/minted"
}
finish() {
	assert_no_ticket_logged
	assert_healthy
	assert_no_ticket_logged
}

# --- tickets and publishing ----------------------------------------------------------------------

@test "publish: a ticket's claim alone, and with the location's list" {
	local may read
	begin --allow-publish --require-ticket
	may=$(mint --sub ann --publish 'orders*' --channel news)
	read=$(mint --sub ann --channel 'orders')
	assert_equal "$(post 'channel=orders&data=1' HTTP_AUTHORIZATION="Bearer $may")" 201
	assert_equal "$(TARGET="/?ticket=$may" post 'channel=orders&data=2')" 201
	assert_equal "$(post 'channel=orders.x&data=3' HTTP_COOKIE="rowcast_ticket=$may" ROWCAST_PUBLISH='*.x')" 201
	# What may be read is not what may be written, and neither list widens the other.
	assert_equal "$(post 'channel=news&data=x' HTTP_AUTHORIZATION="Bearer $may")" 403
	assert_equal "$(post 'channel=orders&data=x' HTTP_AUTHORIZATION="Bearer $may" ROWCAST_PUBLISH='*.x')" 403
	assert_equal "$(post 'channel=stock.x&data=x' HTTP_AUTHORIZATION="Bearer $may" ROWCAST_PUBLISH='*.x')" 403
	assert_equal "$(post 'channel=orders&data=x' HTTP_AUTHORIZATION="Bearer $may" ROWCAST_PUBLISH=)" 403
	assert_equal "$(post 'channel=orders&data=x' HTTP_AUTHORIZATION="Bearer $read")" 403
	# The location's right does without a claim, but not without the ticket that is required.
	assert_equal "$(post 'channel=orders&data=4' HTTP_AUTHORIZATION="Bearer $read" ROWCAST_PUBLISH=orders)" 201
	assert_equal "$(post 'channel=orders&data=x' ROWCAST_PUBLISH='*')" 401
	# One that is bad, or somebody else's, is no way round.
	assert_equal "$(post 'channel=orders&data=x' HTTP_AUTHORIZATION="Bearer ${may%?????}" ROWCAST_PUBLISH='*')" 401
	assert_equal "$(post 'channel=orders&data=x' HTTP_COOKIE="rowcast_ticket=$may" REMOTE_USER=bob)" 403
	assert_equal "$(KEY=other mint --publish '*' | { read -r forged; post 'channel=orders&data=x' HTTP_COOKIE="rowcast_ticket=$forged"; })" 401
	assert_equal "$(count)" 4
	finish
}

@test "publish: a page of another site cannot use the cookie's ticket" {
	local may cookie
	begin --allow-publish --cors-origin https://shop.example --cors-origin '*'
	may=$(mint --sub ann --publish orders)
	cookie="HTTP_COOKIE=rowcast_ticket=$may"
	assert_equal "$(post 'channel=orders&data=x' "$cookie" HTTP_HOST=here HTTP_ORIGIN=https://elsewhere.example)" 403
	assert_equal "$(post 'channel=orders&data=x' "$cookie" HTTP_HOST=here HTTP_ORIGIN=null)" 403
	assert_equal "$(post 'channel=orders&data=x' "$cookie" HTTP_HOST=here HTTP_SEC_FETCH_SITE=cross-site)" 403
	assert_equal "$(post 'channel=orders&data=1' "$cookie" HTTP_HOST=here HTTP_ORIGIN=https://shop.example)" 201
	grep -q '^Access-Control-Allow-Origin: https://shop.example.$' "$T/answer"
	assert_equal "$(post 'channel=orders&data=2' "$cookie" HTTP_HOST=here HTTP_ORIGIN=https://here)" 201
	assert_equal "$(count)" 2
	finish
}

@test "publish: who is refused has a line in the log" {
	begin --allow-publish
	assert_equal "$(post 'channel=b&data=secret' ROWCAST_PUBLISH=a REMOTE_USER=ann REMOTE_ADDR=192.0.2.7)" 403
	assert_equal "$(post 'data=secret' REMOTE_ADDR=192.0.2.8)" 403
	assert_equal "$(post 'data=secret' ROWCAST_PUBLISH='*' HTTP_ORIGIN=https://elsewhere.example REMOTE_ADDR=192.0.2.9)" 403
	assert_equal "$(post 'dada=secret' ROWCAST_PUBLISH='*' REMOTE_ADDR=192.0.2.10)" 400
	log_has 'info: refused status=403 user=ann address=192.0.2.7 why="channel .* may not be published on'
	log_has 'info: refused status=403 user=- address=192.0.2.8 why="nobody may publish here'
	log_has 'info: refused status=403 user=- address=192.0.2.9 why="pages of .*elsewhere.example'
	log_has 'info: refused status=400 user=- address=192.0.2.10 why="unknown field'
	refute log_has secret
	assert_healthy
}

# --- CORS of every answer ----------------------------------------------------------------------

# An answer in $T/answer has that status and, for the origin asked, these headers.
# assert_cors STATUS ORIGIN WHAT
assert_cors() {
	assert_equal "$3: $(sed -n 's/^Status: \([0-9]*\).*/\1/p' "$T/answer")" "$3: $1"
	assert_equal "$(grep -c '^Vary: Origin.$' "$T/answer")" 1
	if [[ $2 == https://shop.example ]]; then
		assert_equal "$(grep -c '^Access-Control-Allow-Origin: https://shop.example.$' "$T/answer")" 1
		assert_equal "$(grep -c '^Access-Control-Allow-Credentials: true.$' "$T/answer")" 1
	else
		refute grep '^Access-Control' "$T/answer"
	fi
}

@test "cors: each answer, refusals and 201 too, says whose pages may read it" {
	local may origin status target
	begin --allow-publish --require-ticket --cors-origin https://shop.example --max-streams-per-user 1
	may=$(mint --sub ann --channel a --publish a)
	head -c 70000 /dev/zero | tr '\0' x >"$T/large"
	for origin in https://shop.example https://shop.example.evil HTTPS://shop.example null; do
		while IFS='|' read -r status target settings; do
			# shellcheck disable=SC2086
			fcgi --get "$target" HTTP_ORIGIN="$origin" $settings \
				HTTP_COOKIE="rowcast_ticket=$may" >"$T/answer"
			assert_cors "$status" "$origin" "$origin $target $settings"
		done <<-'CASES'
			200|/health|
			200|/status|ROWCAST_ADMIN=1
			200|/metrics|ROWCAST_ADMIN=1
			403|/status|
			403|/metrics|
			404|/nowhere|
			405||REQUEST_METHOD=PUT
			405|/status|REQUEST_METHOD=POST
			400|?last=x|
			403|?channel=b|
			403||REMOTE_USER=bob
			406||HTTP_ACCEPT=image/png
			401||HTTP_AUTHORIZATION=Bearer
			400|?channel=a|REQUEST_METHOD=POST
		CASES
		fcgi --get '' HTTP_ORIGIN="$origin" >"$T/answer"
		assert_cors 401 "$origin" 'no ticket'
		fcgi --get '' HTTP_ORIGIN="$origin" ROWCAST_CHANNELS="$(printf 'x%.0s' {1..300})" >"$T/answer"
		assert_cors 500 "$origin" 'a bad bound'
		# What is let through has no Status line: 200.
		fcgi --get '' HTTP_ORIGIN="$origin" HTTP_ACCEPT=application/json HTTP_COOKIE="rowcast_ticket=$may" >"$T/answer"
		assert_cors '' "$origin" poll
	done
	origin=https://shop.example
	post 'channel=a&data=1' HTTP_ORIGIN=$origin HTTP_COOKIE="rowcast_ticket=$may"
	assert_cors 201 $origin post
	post 'channel=b&data=1' HTTP_ORIGIN=$origin HTTP_COOKIE="rowcast_ticket=$may"
	assert_cors 403 $origin post
	TYPE=text/plain post '' HTTP_ORIGIN=$origin HTTP_COOKIE="rowcast_ticket=$may"
	assert_cors 415 $origin post
	post "$(cat "$T/large")" HTTP_ORIGIN=$origin HTTP_COOKIE="rowcast_ticket=$may"
	assert_cors 413 $origin post
	# A limit: 200, a reason, the end.
	listen_direct a '' HTTP_COOKIE="rowcast_ticket=$may"
	fcgi --get '' HTTP_ORIGIN=$origin HTTP_COOKIE="rowcast_ticket=$may" >"$T/answer"
	grep -q '^: too many streams of this user$' "$T/answer"
	assert_cors '' $origin limit
	finish
}

# --- all at once, confined --------------------------------------------------------------------------

rows_are() { [[ $(count) -le $1 ]]; }
publishes() { [[ $(post "$@") == 201 ]]; }

@test "confined workers publish, prune and stream, also after the database was replaced" {
	local may data
	begin --allow-publish --require-ticket --workers 3 --keep-rows 100
	may=$(mint --sub ann --publish '*')
	listen_direct a '' HTTP_COOKIE="rowcast_ticket=$may"
	rows 1 1000
	wait_for rows_are 110
	for data in a b c d e f; do
		assert_equal "$(post "data=$data" HTTP_COOKIE="rowcast_ticket=$may")" 201
	done
	expect_data a f
	mkdir "$T/away"
	mv "$DB"* "$T/away"
	"$ROWCAST" init --db "$DB" >"$T/init.log" 2>&1
	for data in g h i j k l; do
		assert_equal "$(post "data=$data" HTTP_COOKIE="rowcast_ticket=$may")" 201
	done
	assert_equal "$(sql 'SELECT group_concat(data, "") FROM notification')" ghijkl
	expect_data a l
	assert_equal "$(row_events a | cut -d'|' -f3 | grep -c '^[g-l]$')" 6
	rows 1 1000
	wait_for rows_are 110
	close_all
	stop_rowcast
	assert_no_report
	assert_no_ticket_logged
}

# --- keys that change under open streams --------------------------------------------------------------

refused() { [[ $(status_of '' HTTP_ACCEPT=application/json HTTP_COOKIE="rowcast_ticket=$1") == 401 ]]; }
told_by_all() { [[ $(grep -c "$1" "$T/rowcast.err") -eq $2 ]]; }

@test "SIGHUP: new keys in all workers; old tickets open nothing, their streams go on" {
	local old new try
	begin --workers 3
	old=$(mint --sub ann)
	new=$(KEY=other mint --sub ann)
	listen_direct a '' HTTP_COOKIE="rowcast_ticket=$old"
	assert_equal "$(status_of '' HTTP_COOKIE="rowcast_ticket=$new")" 401
	# A new file under the old name, as editors and configuration management make it.
	mv "$T/other" "$T/keys"
	kill -HUP "$ROWCAST_PID"
	wait_for told_by_all 'SIGHUP: reopening' 3
	# Whichever worker takes the request.
	wait_for refused "$old"
	for try in 1 2 3 4 5 6 7 8 9 10; do
		refused "$old" || fail "try $try: an old ticket was taken"
		if refused "$new"; then fail "try $try: a new ticket was refused"; fi
	done
	sql "INSERT INTO notification(recipient, data) VALUES ('ann', 'still hers')"
	expect_data a 'still hers'
	# A file that cannot be read changes nothing.
	echo 'kid:' >"$T/keys"
	kill -HUP "$ROWCAST_PID"
	wait_for told_by_all "the tickets' keys stay as they are: $T/keys: line 1" 3
	rm "$T/keys"
	kill -HUP "$ROWCAST_PID"
	wait_for told_by_all "the tickets' keys stay as they are: $T/keys: cannot read" 3
	for try in 1 2 3 4 5 6; do
		refused "$old" || fail "try $try: an old ticket was taken"
		if refused "$new"; then fail "try $try: a new ticket was refused"; fi
	done
	close_all
	stop_rowcast
	assert_no_report
	assert_no_ticket_logged
}

# --- limits ---------------------------------------------------------------------------------------------

@test "limits: a user is one, by a ticket or by the web server; who is refused takes no place, but counts to the rate" {
	local ann
	begin --max-streams-per-user 1 --connect-rate 3
	ann=$(mint --sub ann)
	listen_direct a '' REMOTE_ADDR= HTTP_COOKIE="rowcast_ticket=$ann"
	fcgi --get '' REMOTE_ADDR= REMOTE_USER=ann | grep -q '^: too many streams of this user$'
	fcgi --get '' REMOTE_ADDR= HTTP_COOKIE="rowcast_ticket=$ann" | grep -q '^: too many streams of this user$'
	close_stream a
	wait_for streams_are 0
	for _ in 1 2 3; do
		assert_equal "$(status_of '' REMOTE_ADDR=192.0.2.7 HTTP_COOKIE=rowcast_ticket=x.y.z)" 401
	done
	fcgi --get '' REMOTE_ADDR=192.0.2.7 | grep -q '^: too many connects from this address$'
	# Three polls, also long ones, and the fourth is sent away with an empty document.
	for _ in 1 2 3; do
		fcgi --get '?wait=1' REMOTE_ADDR=192.0.2.8 HTTP_ACCEPT=application/json | grep -q '"last_event_id":"'
	done
	fcgi --get '?wait=1' REMOTE_ADDR=192.0.2.8 HTTP_ACCEPT=application/json | grep -q '"last_event_id":null'
	finish
}

# --- the end ----------------------------------------------------------------------------------------------

@test "stop: a live status ends with the streams, properly" {
	begin --allow-publish
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

# --- tickets in odd places -----------------------------------------------------------------------------------

@test "a ticket is in no log, wherever somebody puts it" {
	local small large ticket long
	begin --allow-publish
	small=$(mint)
	large=$(mint --sub ann --channel 'news.*' --channel orders --publish '*')
	long=$large$(printf 'A%.0s' {1..8000})
	for ticket in "$small" "$large"; do
		status_of "?ticket=$ticket&ticket=$ticket"
		status_of "?ticket=%00$ticket"
		status_of "?ticket=$ticket%"
		status_of "?ticket=$ticket&channel=$ticket" ROWCAST_CHANNELS=a
		status_of "?channel=$ticket" HTTP_ACCEPT=application/json
		status_of "?channel=a&channel=$ticket&channel=z,$ticket" HTTP_ACCEPT=application/json
		for name in last since ping throttle wait envelope last_event_id; do
			status_of "?$name=$ticket" HTTP_ACCEPT=application/json
		done
		status_of "/$ticket"
		status_of "/status/$ticket"
		status_of '' REQUEST_METHOD="$ticket"
		status_of '' HTTP_ORIGIN="https://$ticket" HTTP_LAST_EVENT_ID="$ticket" HTTP_ACCEPT="$ticket"
		status_of '' HTTP_AUTHORIZATION="Bearer $ticket $ticket"
		status_of '' HTTP_AUTHORIZATION="Bearer \"$ticket\""
		status_of '' HTTP_COOKIE="rowcast_ticket=$ticket; rowcast_ticket=${ticket}x"
		post "data=x&ticket=$ticket" ROWCAST_PUBLISH='*'
		post "$ticket=x" ROWCAST_PUBLISH='*'
		post "channel=$ticket&data=x" ROWCAST_PUBLISH='a'
		post "data=x&ttl=$ticket" ROWCAST_PUBLISH='*'
		post "data=x" ROWCAST_PUBLISH='*' HTTP_ORIGIN="$ticket"
		post "data=x" ROWCAST_PUBLISH='*' HTTP_SEC_FETCH_SITE="$ticket"
		TYPE=$ticket post "data=x" ROWCAST_PUBLISH='*'
		TARGET="/?data=$ticket" post "data=x" ROWCAST_PUBLISH='*'
	done
	status_of "?ticket=$long"
	status_of '' HTTP_COOKIE="rowcast_ticket=$long"
	# The lines of polls and refusals are few for an address: each kind that quotes, by another.
	status_of "?channel=$small" HTTP_ACCEPT=application/json REMOTE_ADDR=192.0.2.50
	log_has 'close stream=.* address=192.0.2.50 channels=.*\[ticket\]'
	local number=1
	for target in "?last=$small" "?since=$small" "?channel=$small&wait=1" "/$small" "?wait=$small"; do
		status_of "$target" ROWCAST_CHANNELS=a REMOTE_ADDR="192.0.2.$((number++))"
	done
	post "$small=x" ROWCAST_PUBLISH='*' REMOTE_ADDR=192.0.2.77
	log_has 'refused status=400 .* address=192.0.2.1 why="bad parameter last: .*\[ticket\]'
	log_has 'refused status=404 .* address=192.0.2.4 why="unknown resource .*\[ticket\]'
	log_has 'refused status=400 .* address=192.0.2.77 why="unknown field .*\[ticket\]'
	finish
}

# --- under CGI, and through the web servers ------------------------------------------------------------------

# curl's status, the answer in $T/answer: ask [curl's options]
ask() { curl -s -m "$WAIT" -o "$T/answer" -w '%{http_code}' "$@"; }

assert_ticket_publishes() {
	local may
	may=$(mint --sub ann --channel orders --publish orders)
	assert_equal "$(ask -d channel=orders -d data=1 -d to=ann -H "Authorization: Bearer $may" "$(url)")" 201
	assert_equal "$(ask -d channel=orders -d data=2 -d to=bob --cookie "rowcast_ticket=$may" "$(url)")" 201
	assert_equal "$(ask -d channel=orders -d data=x --cookie "rowcast_ticket=$may" -H 'Origin: https://elsewhere.example' "$(url)")" 403
	assert_equal "$(ask -d channel=stock -d data=x --cookie "rowcast_ticket=$may" "$(url)")" 403
	assert_equal "$(ask -d channel=orders -d data=x -d "ticket=$may" "$(url)")" 401
	assert_equal "$(ask -d channel=orders -d data=x "$(url)")" 401
	assert_equal "$(ask -d channel=orders -d data=x -H 'Rowcast-Publish: *' -H 'Remote-User: ann' "$(url)")" 401
	assert_equal "$(count)" 2
	# Her own row and not bob's, whoever she says to be.
	assert_equal "$(ask -H 'Accept: application/json' -H 'Remote-User: bob' --cookie "rowcast_ticket=$may" "$(url '?since=all&user=bob')")" 400
	assert_equal "$(ask -H 'Accept: application/json' -H 'Remote-User: bob' --cookie "rowcast_ticket=$may" "$(url '?since=all&_user=bob')")" 200
	assert_equal "$(jq -c '[.events[].data]' "$T/answer")" '["1"]'
	assert_equal "$(ask "$(url "/$may")")" 404
	assert_equal "$(ask "$(url "?channel=$may")")" 401
}

through() {
	begin --allow-publish --require-ticket --workers 2
	"start_$1"
	assert_ticket_publishes
	stop_server
	stop_rowcast
	assert_no_report
	assert_no_ticket_logged
}
@test "tickets publish and read behind lighttpd" { through lighttpd; }
@test "tickets publish and read behind nginx" { through nginx; }
@test "tickets publish and read behind Apache" { through apache; }

@test "tickets publish and read under CGI, confined" {
	init_db
	chmod 644 "$T/keys"
	make_program ROWCAST_DB="$DB" ROWCAST_LOG_LEVEL=debug ROWCAST_TICKET_KEY_FILE="$T/keys" \
		ROWCAST_REQUIRE_TICKET=1 ROWCAST_ALLOW_PUBLISH=1
	start_lighttpd rowcast-cgi
	assert_ticket_publishes
	log_has 'debug: (not )?confined'
	assert_no_report
	assert_no_ticket_logged
}
