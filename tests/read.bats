#!/usr/bin/env bats
# read.bats - read marks: POST /events/read moves the user's mark, her other pages, other workers and
# pages that come back learn it from the log; who may, from where, how often; through lighttpd, nginx
# and Apache.
#
# shellcheck shell=bash

load helper
load ticket

# The thread that writes opens the database with the first mark: three more descriptors.
start_reading() {
	start_rowcast "$@"
	((FILES_AT_REST += 3))
}

# The status of a POST to /read; the answer in $T/answer. read_post BODY [NAME=VALUE...]
read_post() { TARGET=${TARGET:-/read} post "$@"; }
json_post() { TYPE=application/json read_post "$@"; }
marks() { sql 'SELECT user, channel, id FROM rowcast_read ORDER BY 1, 2' | paste -sd' '; }
reads_of() { events "$1" | sed -n 's/^[0-9]*|rowcast:read|//p' | paste -sd' '; }
has_reads() { [[ $(reads_of "$1") == "$2" ]]; }

@test "read: a mark moves, and the user's other pages on all workers get rowcast:read" {
	init_db
	local id
	row one orders >/dev/null
	id=$(row two orders)
	start_reading --workers 3
	for n in {1..5}; do
		listen_direct "ann$n" '?channel=orders' REMOTE_USER=ann
	done
	listen_direct bob '?channel=orders' REMOTE_USER=bob
	assert_equal "$(read_post "id=$id&channel=orders" REMOTE_USER=ann)" 200
	run tail -n 1 "$T/answer"
	assert_output "{\"channel\":\"orders\",\"id\":\"$id\"}"
	for n in {1..5}; do
		wait_for has_reads "ann$n" "{\"channel\":\"orders\",\"id\":\"$id\"}"
	done
	assert_equal "$(marks)" "ann|orders|$id"
	row three orders >/dev/null
	expect_data bob three
	assert_equal "$(reads_of bob)" ''
	assert_healthy
}

@test "read: JSON as forms, a channel or none, ids as strings or numbers" {
	init_db
	local id
	id=$(row one orders)
	start_reading
	assert_equal "$(json_post "{\"id\":\"$id\"}" REMOTE_USER=ann)" 200
	assert_equal "$(json_post "{\"id\":$id,\"channel\":\"news\"}" REMOTE_USER=ann)" 200
	assert_equal "$(read_post "id=$id" REMOTE_USER=bob)" 200
	assert_equal "$(marks)" "ann|news|$id ann|orders|$id bob|orders|$id"
	assert_healthy
}

@test "read: a mark never moves back, and one that does not move is no row" {
	init_db
	local old id tail
	old=$(row one orders)
	id=$(row two orders)
	start_reading
	assert_equal "$(read_post "id=$id" REMOTE_USER=ann)" 200
	tail=$(tail_id)
	assert_equal "$(read_post "id=$old" REMOTE_USER=ann)" 200
	run tail -n 1 "$T/answer"
	assert_output "{\"channel\":\"orders\",\"id\":\"$id\"}"
	assert_equal "$(read_post "id=$id" REMOTE_USER=ann)" 200
	assert_equal "$(tail_id)" "$tail"
	assert_equal "$(marks)" "ann|orders|$id"
	assert_healthy
}

@test "read: a page that comes back gets the newest mark only, and the application may move it" {
	init_db
	local first id
	first=$(row one orders)
	id=$(row two orders)
	start_reading
	assert_equal "$(read_post "id=$first" REMOTE_USER=ann)" 200
	sql "INSERT INTO rowcast_read VALUES ('ann', 'orders', $id)
		ON CONFLICT DO UPDATE SET id = max(id, excluded.id);
		INSERT INTO notification(channel, recipient, event, collapse_key, data)
		VALUES ('orders', 'ann', 'rowcast:read', 'rowcast:read', json_object('channel', 'orders', 'id', '$id'))"
	listen_direct ann "?since=$first" REMOTE_USER=ann
	wait_for has_reads ann "{\"channel\":\"orders\",\"id\":\"$id\"}"
	# And the table says it in SQL.
	run sql "SELECT count(*) FROM notification AS n LEFT JOIN rowcast_read AS r
		ON r.user = 'ann' AND r.channel = n.channel
		WHERE n.channel = 'orders' AND n.event IS NOT 'rowcast:read' AND n.id > coalesce(r.id, 0)"
	assert_output 0
	assert_healthy
}

@test "read: only a user with a name, and only what she may read" {
	init_db
	make_ticket_keys
	local id hers
	id=$(row one orders)
	hers=$(sql "INSERT INTO notification(channel, recipient, data) VALUES ('orders', 'bob', 'x') RETURNING id")
	start_reading --ticket-key-file "$T/keys"
	assert_equal "$(read_post "id=$id")" 403
	assert_equal "$(read_post "id=$id&channel=orders" REMOTE_USER=ann ROWCAST_CHANNELS=news)" 403
	assert_equal "$(read_post "id=$id" REMOTE_USER=ann ROWCAST_CHANNELS=news)" 404
	assert_equal "$(read_post "id=$hers" REMOTE_USER=ann)" 404
	assert_equal "$(read_post "id=$hers" REMOTE_USER=bob)" 200
	TARGET="/read?ticket=$(mint --sub cat --channel 'news*')" run read_post "id=$id&channel=orders"
	assert_output 403
	TARGET="/read?ticket=$(mint --sub cat --channel 'ord*')" run read_post "id=$id&channel=orders"
	assert_output 200
	TARGET="/read?ticket=bad" run read_post "id=$id"
	assert_output 401
	assert_equal "$(marks)" "bob|orders|$hers cat|orders|$id"
	assert_healthy
}

@test "read: pages of other sites are refused, those of --cors-origin are not" {
	init_db
	local id
	id=$(row one orders)
	start_reading --cors-origin https://app.example
	assert_equal "$(read_post "id=$id" REMOTE_USER=ann HTTP_ORIGIN=https://evil.example HTTP_HOST=here)" 403
	assert_equal "$(read_post "id=$id" REMOTE_USER=ann HTTP_SEC_FETCH_SITE=cross-site)" 403
	assert_equal "$(read_post "id=$id" REMOTE_USER=ann HTTP_ORIGIN=https://app.example)" 200
	run fcgi --get /read REQUEST_METHOD=OPTIONS HTTP_ORIGIN=https://app.example \
		HTTP_ACCESS_CONTROL_REQUEST_METHOD=POST
	assert_output --partial 'Access-Control-Allow-Methods: OPTIONS, POST'
	assert_healthy
}

@test "read: what cannot be meant is refused with a reason, and nothing is written" {
	init_db
	local id
	id=$(row one orders)
	start_reading
	refused() {
		local status=$1 words=$2
		shift 2
		assert_equal "$("$@" REMOTE_USER=ann)" "$status"
		run tail -n 1 "$T/answer"
		assert_output --partial "$words"
	}
	refused 400 'bad field id: is missing' read_post 'channel=orders'
	refused 400 'bad field id: is not the id' read_post 'id=x'
	refused 400 'bad field id: is not the id' read_post 'id=0'
	refused 400 'bad field id: is not the id' read_post 'id=-7'
	refused 400 'no row has had so high an id' read_post "id=$((id + 1))&channel=orders"
	refused 400 'bad field id: is given twice' read_post "id=$id&id=$id"
	refused 400 'unknown field "to"' read_post "id=$id&to=bob"
	refused 400 'bad field channel' read_post "id=$id&channel="
	refused 400 'bad field channel' read_post "id=$id&channel=a%0Ab"
	refused 400 'broken % escape' read_post "id=%zz"
	refused 400 'not a JSON object' json_post '[]'
	refused 400 'not a JSON object' json_post '{'
	refused 400 'is not a string' json_post '{"id":1.5}'
	refused 404 'can read no row with that id' read_post 'id=1'
	refused 413 'at most 4096' read_post "id=$id&channel=$(printf '%04200d' 0)"
	TYPE=text/plain refused 415 'is not understood' read_post "id=$id"
	assert_equal "$(status_code /read REMOTE_USER=ann)" 405
	run fcgi --get /read REMOTE_USER=ann
	assert_output --partial 'Allow: OPTIONS, POST'
	assert_equal "$(marks)" ''
	assert_healthy
}

@test "read: a user who sends very many gets 429, others do not" {
	init_db
	rows 1 400
	local first
	first=$(sql 'SELECT min(id) FROM notification')
	start_reading
	run /usr/bin/python3 "$CLIENTS/marks.py" "$SOCKET" ann "$first" 400
	assert_line --regexp '^200 1[2-9][0-9]$'
	assert_line --regexp '^429 [0-9]+$'
	assert_equal "$(read_post "id=$first" REMOTE_USER=bob)" 200
	assert_healthy
}

@test "read: off, and a database without the table" {
	init_db
	local id
	id=$(row one orders)
	start_reading --read-marks off
	assert_equal "$(read_post "id=$id" REMOTE_USER=ann)" 404
	stop_rowcast
	sql 'DROP TABLE rowcast_read'
	start_reading
	assert_equal "$(read_post "id=$id" REMOTE_USER=ann)" 404
	run tail -n 1 "$T/answer"
	assert_output --partial 'rowcast init'
	assert_healthy
}

@test "read: a database that may not be written says so, and serving goes on" {
	needs_root
	init_db
	local id
	id=$(row one orders)
	chmod 644 "$DB"*
	cp "$ROWCAST" "$T/rowcast" && chmod 755 "$T/rowcast"
	background setpriv --reuid nobody --regid nogroup --clear-groups "$T/rowcast" serve --db "$DB" \
		--heartbeat "$BEAT" --listen "unix:$SOCKET" --listen-mode 0666 >>"$T/rowcast.err" 2>&1
	ROWCAST_PID=$PID
	wait_for_start "$ROWCAST_PID" is_healthy
	refute grep -q 'cannot store' "$T/rowcast.err"
	assert_equal "$(read_post "id=$id" REMOTE_USER=ann)" 500
	wait_for grep -q 'cannot store read marks' "$T/rowcast.err"
	listen_direct ann '' REMOTE_USER=ann
	close_all
}

@test "read: the writer is not opened before the first mark" {
	init_db
	local before id
	id=$(row one orders)
	start_reading
	files() { count_descriptors "$ROWCAST_PID"; echo "$FILES"; }
	databases() { ls -l "/proc/$ROWCAST_PID/fd" | grep -c 'rowcast.db$'; }
	before=$(databases)
	assert_equal "$(read_post "id=$id" REMOTE_USER=ann)" 200
	(($(databases) > before)) || fail 'there was a connection before'
	stop_rowcast
}

@test "read: under CGI" {
	init_db
	local id
	id=$(row one orders)
	make_program "ROWCAST_DB=$DB"
	start_apache rowcast-cgi
	run curl -s -o /dev/null -w '%{http_code}' -d "id=$id" "$(url /read)"
	assert_output 403
}

through_a_web_server() {
	init_db
	make_user ann secret
	with_login
	local id
	id=$(row one orders)
	start_reading
	"start_$1"
	listen ann "$(url '?channel=orders')" -u ann:secret
	run curl -s -u ann:secret -d "id=$id&channel=orders" "$(url /read)"
	assert_output "{\"channel\":\"orders\",\"id\":\"$id\"}"
	wait_for has_reads ann "{\"channel\":\"orders\",\"id\":\"$id\"}"
	assert_healthy
}
@test "read: through lighttpd" { through_a_web_server lighttpd; }
@test "read: through nginx" { through_a_web_server nginx; }
@test "read: through Apache" { through_a_web_server apache; }
