#!/usr/bin/env bats
# publish-rights.bats - who may POST: a ticket's claim with the location's list, pages of other sites,
# CORS of every answer; through the web servers and under CGI. And no ticket in any log.
#
# shellcheck shell=bash

load helper
load ticket

setup() {
	rowcast_setup
	make_ticket_keys
}

begin() {
	init_db
	start_rowcast --log-level debug --ticket-key-file "$T/keys" "$@"
}

finish() {
	assert_no_ticket_logged
	assert_healthy
	assert_no_ticket_logged
}

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
	log_has 'info: refused status=403 user=- address=192.0.2.8 why="publishing is not allowed here'
	log_has 'info: refused status=403 user=- address=192.0.2.9 why="pages of .*elsewhere.example'
	log_has 'info: refused status=400 user=- address=192.0.2.10 why="unknown field'
	refute log_has secret
	assert_healthy
}

# --- CORS of every answer -------------------------------------------------------------------

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

# --- tickets in odd places ------------------------------------------------------------------

@test "a ticket is in no log, wherever a client puts it" {
	local small large ticket long
	begin --allow-publish
	small=$(mint)
	large=$(mint --sub ann --channel 'news.*' --channel orders --publish '*')
	long=$large$(printf 'A%.0s' {1..8000})
	for ticket in "$small" "$large"; do
		status_code "?ticket=$ticket&ticket=$ticket"
		status_code "?ticket=%00$ticket"
		status_code "?ticket=$ticket%"
		status_code "?ticket=$ticket&channel=$ticket" ROWCAST_CHANNELS=a
		status_code "?channel=$ticket" HTTP_ACCEPT=application/json
		status_code "?channel=a&channel=$ticket&channel=z,$ticket" HTTP_ACCEPT=application/json
		for name in last since ping throttle wait envelope last_event_id; do
			status_code "?$name=$ticket" HTTP_ACCEPT=application/json
		done
		status_code "/$ticket"
		status_code "/status/$ticket"
		status_code '' REQUEST_METHOD="$ticket"
		status_code '' HTTP_ORIGIN="https://$ticket" HTTP_LAST_EVENT_ID="$ticket" HTTP_ACCEPT="$ticket"
		status_code '' HTTP_AUTHORIZATION="Bearer $ticket $ticket"
		status_code '' HTTP_AUTHORIZATION="Bearer \"$ticket\""
		status_code '' HTTP_COOKIE="rowcast_ticket=$ticket; rowcast_ticket=${ticket}x"
		post "data=x&ticket=$ticket" ROWCAST_PUBLISH='*'
		post "$ticket=x" ROWCAST_PUBLISH='*'
		post "channel=$ticket&data=x" ROWCAST_PUBLISH='a'
		post "data=x&ttl=$ticket" ROWCAST_PUBLISH='*'
		post "data=x" ROWCAST_PUBLISH='*' HTTP_ORIGIN="$ticket"
		post "data=x" ROWCAST_PUBLISH='*' HTTP_SEC_FETCH_SITE="$ticket"
		TYPE=$ticket post "data=x" ROWCAST_PUBLISH='*'
		TARGET="/?data=$ticket" post "data=x" ROWCAST_PUBLISH='*'
	done
	status_code "?ticket=$long"
	status_code '' HTTP_COOKIE="rowcast_ticket=$long"
	# The lines of polls and refusals are few for an address: each kind that quotes, by another.
	status_code "?channel=$small" HTTP_ACCEPT=application/json REMOTE_ADDR=192.0.2.50
	log_has 'close stream=.* address=192.0.2.50 channels=.*\[ticket\]'
	local number=1
	for target in "?last=$small" "?since=$small" "?channel=$small&wait=1" "/$small" "?wait=$small"; do
		status_code "$target" ROWCAST_CHANNELS=a REMOTE_ADDR="192.0.2.$((number++))"
	done
	post "$small=x" ROWCAST_PUBLISH='*' REMOTE_ADDR=192.0.2.77
	log_has 'refused status=400 .* address=192.0.2.1 why="bad parameter last: .*\[ticket\]'
	log_has 'refused status=404 .* address=192.0.2.4 why="unknown resource .*\[ticket\]'
	log_has 'refused status=400 .* address=192.0.2.77 why="unknown field .*\[ticket\]'
	finish
}

# --- through the web servers, and under CGI ---------------------------------------------------

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
