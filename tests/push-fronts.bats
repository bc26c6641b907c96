#!/usr/bin/env bats
# push-fronts.bats - /events/push and /events/read as a page reaches them: through lighttpd, nginx and
# Apache with a login, and as a CGI program; and presence of CGI programs.
#
# shellcheck shell=bash

load helper
load push

ann() { curl -s -m "$WAIT" -u ann:secret "$@"; }
# Ann's POST or DELETE: the status; the answer in $T/answer. ann_sends METHOD PATH BODY [curl's options]
ann_sends() {
	ann -o "$T/answer" -w '%{http_code}' -X "$1" -H "Content-Type: ${TYPE:-application/json}" \
		--data-binary "$3" "${@:4}" "$(url "$2")"
}
answer_is() { grep -qF "$1" "$T/answer" || fail "$(<"$T/answer")"; }

make_members() {
	make_user ann secret
	make_user bob secret
	with_login "$@"
}

# What a logged-in page does with /push and /read; the same behind all.
assert_page_subscribes() {
	local id
	assert_equal "$(curl -s -o /dev/null -w '%{http_code}' "$(url /push)")" 401
	assert_equal "$(ann "$(url /push)" | jq -r .public_key)" "$(<"$T/public")"
	assert_equal "$(ann_sends POST /push "$(subscription a '["orders"]')")" 201
	answer_is '{"subscribed":true,"channels":["orders"]}'
	assert_equal "$(sql 'SELECT user, channels, address FROM rowcast_push')" 'ann|["orders"]|127.0.0.1'
	start_push
	sql "INSERT INTO notification(channel, recipient, data) VALUES ('orders', 'bob', 'his'), ('orders', 'ann', 'hers')"
	wait_for has_texts a '"hers"'

	# The mark, by a form and by JSON; nobody without a login moves one.
	id=$(order 2)
	assert_equal "$(TYPE=application/x-www-form-urlencoded ann_sends POST /read "id=$id")" 200
	assert_equal "$(sql 'SELECT user, channel, id FROM rowcast_read')" "ann|orders|$id"
	id=$(order 3)
	assert_equal "$(ann_sends POST /read "{\"id\":\"$id\",\"channel\":\"orders\"}")" 200
	answer_is "{\"channel\":\"orders\",\"id\":\"$id\"}"
	assert_equal "$(curl -s -o /dev/null -w '%{http_code}' -d "id=$id" "$(url /read)")" 401

	# What is refused, whole with its reason; a page of another site.
	assert_equal "$(ann_sends POST /push '{"endpoint":1}')" 400
	answer_is endpoint
	assert_equal "$(ann_sends POST /push "$(subscription b '["orders"]')" -H 'Sec-Fetch-Site: cross-site')" 403
	assert_equal "$(ann_sends PUT /push x)" 405
	assert_equal "$(ann_sends POST /read 'id=x' -H 'Origin: https://evil.example')" 403
	assert_equal "$(ann_sends DELETE /read '{}')" 405

	# The end of the subscription: rows come no more.
	assert_equal "$(ann_sends DELETE /push "{\"endpoint\":\"$SERVICE/push/a\"}")" 200
	answer_is '{"subscribed":false}'
	assert_equal "$(sql 'SELECT count(*) FROM rowcast_push')" 0
}

through_a_web_server() {
	init_db
	"$ROWCAST" push --new-key "$KEYS/vapid.key" >"$T/public"
	start_service
	make_members
	start_rowcast --vapid-key-file "$KEYS/vapid.key" --push-host "$SERVICE"
	"start_$1"
	assert_page_subscribes
	end_group TERM "$PUSH_PID"
	assert_no_report
	is_healthy
}
@test "push: a page with a login subscribes, reads and ends it: through lighttpd" { through_a_web_server lighttpd; }
@test "push: a page with a login subscribes, reads and ends it: through nginx" { through_a_web_server nginx; }
@test "push: a page with a login subscribes, reads and ends it: through Apache" { through_a_web_server apache; }

# Each request is a process of its own, so the bounds in memory are those of one request.
as_cgi() {
	init_db
	"$ROWCAST" push --new-key "$KEYS/vapid.key" >"$T/public"
	chmod 755 "$KEYS" && chmod 644 "$KEYS/vapid.key" # the web server's user reads it
	start_service
	make_members
	make_program ROWCAST_DB="$DB" ROWCAST_VAPID_KEY_FILE="$KEYS/vapid.key" ROWCAST_PUSH_HOST="$SERVICE" \
		ROWCAST_HEARTBEAT=0.4 ROWCAST_PRESENCE_CHANNEL=who
	"start_$1" rowcast-cgi
	assert_page_subscribes
}
there() { sql "SELECT coalesce(user, '-'), sum(streams) FROM rowcast_presence GROUP BY 1 ORDER BY 1" | paste -sd' '; }
are_there() { [[ $(there) == "$1" ]]; }
told() { sql "SELECT event || ' ' || (data ->> 'user') FROM notification WHERE channel = 'who' ORDER BY id" | paste -sd,; }
is_told() { [[ $(told) == "$1" ]]; }

# A process is a worker, also for join and leave; requests that are no streams write nothing.
assert_presence_of_processes() {
	assert_equal "$(sql 'SELECT count(*) FROM rowcast_presence_worker')" 0
	listen one "$(url '?channel=orders')" -u ann:secret
	listen two "$(url '?channel=orders')" -u ann:secret
	wait_for is_told 'join ann'
	listen bob "$(url '?channel=orders')" -u bob:secret
	wait_for are_there 'ann|2 bob|1'
	wait_for is_told 'join ann,join bob'
	close_stream one
	wait_for are_there 'ann|1 bob|1'
	close_stream two
	wait_for are_there 'bob|1'
	wait_for is_told 'join ann,join bob,leave ann'
	close_all
	wait_for are_there ''
	assert_equal "$(sql 'SELECT count(*) FROM rowcast_presence_worker')" 0
}
@test "push: as a CGI program of lighttpd, and presence of its processes" {
	as_cgi lighttpd
	assert_presence_of_processes
	assert_no_report
}
@test "push: as a CGI program of Apache, and presence of its processes" {
	as_cgi apache
	assert_presence_of_processes
	assert_no_report
}
