#!/usr/bin/env bats
# matrix.bats - the same promises behind each web server. apache.bats, lighttpd.bats, nginx.bats and
# haproxy, caddy and h2o.bats are links to this file: the name says which server to start.
#
# shellcheck shell=bash

load helper

SERVER=$(basename "$BATS_TEST_FILENAME" .bats)

# A new database, rowcast and the web server before it. begin [OPTION OF SERVE...]
begin() {
	init_db
	start_rowcast "${MOUNT[@]}" "$@"
	"start_$SERVER"
}
SERVER_IS_CADDY=$([[ $SERVER != caddy ]]; echo $?)
MOUNT=()
[[ $SERVER != h2o ]] || MOUNT=(--mount /events) # it does not split the path

get() { curl -s -m "$WAIT" "$@"; }

@test "headers: exactly what the contract says, and no length" {
	begin
	listen a "$(url)" -H 'Accept-Encoding: gzip, br'
	run head -n 1 "$T/a.head"
	assert_output --regexp '^HTTP/1.1 200'
	assert_equal "$(header_of "$T/a.head" content-type)" 'text/event-stream; charset=utf-8'
	assert_equal "$(header_of "$T/a.head" cache-control)" 'no-cache, no-store, no-transform'
	assert_equal "$(header_of "$T/a.head" x-content-type-options)" nosniff
	assert_equal "$(header_of "$T/a.head" content-length)" ''
	assert_equal "$(header_of "$T/a.head" content-encoding)" ''
	# nginx obeys this one and keeps it to itself.
	[[ $SERVER == nginx ]] || assert_equal "$(header_of "$T/a.head" x-accel-buffering)" no
	assert_healthy
}

@test "opening: the block comes at once, before any row" {
	local tail
	begin --heartbeat 30
	tail=$(tail_id)
	listen a "$(url)"
	assert_equal "$(cat "$T/a.out")" ": connected
retry: 3000
event: rowcast:open
id: $tail
data: {\"last_event_id\":\"$tail\"}"
	close_stream a
	wait_for write_and_see_it_freed
	assert_healthy
}
# Apache notices a page's end at the second write; the heartbeats are too far off here.
write_and_see_it_freed() { row 1 && streams_are 0; }

@test "order: rows of many transactions come in id order, each once" {
	local i
	begin
	listen a "$(url)"
	listen b "$(url)"
	for i in 1 101 201 301; do
		rows "$i" $((i + 99))
	done
	expect_data a 400
	expect_data b 400
	assert_equal "$(data_of a)" "$(seq 400)"
	assert_equal "$(ids_of a)" "$(sql 'SELECT id FROM notification ORDER BY id')"
	assert_equal "$(row_events b)" "$(row_events a)"
	assert_healthy
}

@test "event: type, several lines and every character arrive" {
	begin
	listen a "$(url)"
	sql "INSERT INTO notification(event, data) VALUES ('paid', '{\"id\":7}')"
	sql "INSERT INTO notification(data) VALUES
	     ('one' || char(10) || char(10) || 'three' || char(13) || 'four' || char(13, 10)),
	     (' grün: 🙂 id: 7'), (''), ('end')"
	expect_data a end
	run events a
	assert_line --index 1 --regexp '^[0-9]+\|paid\|\{"id":7\}$'
	assert_line --index 2 --regexp '^[0-9]+\|message\|one\\n\\nthree\\nfour\\n$'
	assert_line --index 3 --regexp '^[0-9]+\|message\| grün: 🙂 id: 7$'
	assert_line --index 4 --regexp '^[0-9]+\|message\|$'
	assert_healthy
}

@test "channel: names, several of them, and GLOB patterns choose" {
	begin
	listen one "$(url '?channel=orders')"
	listen two "$(url '?channel=orders&channel=a%20b')"
	listen glob "$(url '?channel=orders.*')"
	listen all "$(url)"
	row 1 orders
	row 2 orders.eu
	row 3 'a b'
	row 4 stock
	row 5 orders.us
	row 6 orders
	row 7 orders.x
	expect_data all 7
	expect_data one 6
	expect_data two 6
	expect_data glob 7
	assert_equal "$(data_of one)" $'1\n6'
	assert_equal "$(data_of two)" $'1\n3\n6'
	assert_equal "$(data_of glob)" $'2\n5\n7'
	assert_equal "$(data_of all)" "$(seq 7)"
	assert_healthy
}

@test "heartbeat: comes when nothing else does, and keeps the stream open" {
	begin
	listen a "$(url)"
	wait_for has_beats a 3
	row 1
	expect_data a 1
	assert_healthy
}

@test "heartbeat: ping=1 makes it an event without an id" {
	begin
	listen a "$(url '?ping=1')"
	# shellcheck disable=SC2016
	wait_for bash -c 'grep -A 1 "^event: rowcast:ping$" "$1" | grep -q "^data: "' _ "$T/a.out"
	assert_equal "$(beats_of a)" 0
	assert_healthy
}

@test "resume: of two headers Last-Event-ID, or a list of ids, the highest counts" {
	local first second
	begin
	first=$(row one)
	second=$(row two)
	row three
	for header in "$first, $second" "$second, $first" "$second,x"; do
		run get -H 'Accept: application/json' -H "Last-Event-ID: $header" "$(url)"
		assert_equal "$(jq -r '[.events[].data] | join(" ")' <<<"$output")" three
	done
	run get -H 'Accept: application/json' -H "Last-Event-ID: $first" -H "Last-Event-ID: $second" "$(url)"
	assert_equal "$(jq -r '[.events[].data] | join(" ")' <<<"$output")" three
	run get -H 'Accept: application/json' -H "Last-Event-ID: $second" -H "Last-Event-ID: $first" "$(url)"
	assert_equal "$(jq -r '[.events[].data] | join(" ")' <<<"$output")" three
	assert_healthy
}

@test "resume: Last-Event-ID brings exactly the rows after it, then live" {
	local id
	begin
	rows 1 10
	id=$(row 11)
	rows 12 40
	listen a "$(url)" -H "Last-Event-ID: $id"
	expect_data a 40
	row 41
	expect_data a 41
	assert_equal "$(data_of a)" "$(seq 12 41)"
	refute has_gap a
	assert_healthy
}

@test "resume: last_event_id= and lastEventId= do the same, the header wins" {
	local first second
	begin
	first=$(row 1)
	second=$(row 2)
	row 3
	listen a "$(url "?last_event_id=$first")"
	listen b "$(url "?lastEventId=$first")"
	listen c "$(url "?last_event_id=$first")" -H "Last-Event-ID: $second"
	row 4
	expect_data a 4
	expect_data b 4
	expect_data c 4
	assert_equal "$(data_of a)" $'2\n3\n4'
	assert_equal "$(data_of b)" $'2\n3\n4'
	assert_equal "$(data_of c)" $'3\n4'
	assert_healthy
}

@test "start: since=all, since=ID and last=N" {
	local id
	begin
	row 1 >/dev/null
	id=$(row 2)
	row 3 other
	row 4
	listen all "$(url '?since=all')"
	listen id "$(url "?since=$id")"
	listen age "$(url '?since=1h')"
	listen last "$(url '?last=2&channel=default')"
	row 5
	for name in all id age last; do
		expect_data "$name" 5
	done
	assert_equal "$(data_of all)" "$(seq 5)"
	assert_equal "$(data_of id)" "$(seq 3 5)"
	assert_equal "$(data_of age)" "$(seq 5)"
	assert_equal "$(data_of last)" $'2\n4\n5'
	assert_healthy
}

@test "gap: pruned rows are a gap event, then the remaining rows follow" {
	local first third
	begin
	first=$(row 1)
	row 2
	third=$(row 3)
	rows 4 5
	sql "DELETE FROM notification WHERE id <= $third"
	listen a "$(url)" -H "Last-Event-ID: $first"
	expect_data a 5
	assert_equal "$(gap_of a)" \
		"{\"reason\":\"pruned\",\"after\":\"$first\",\"resumed_at\":\"$third\"}"
	run events a
	assert_line --index 1 --regexp "^$third\|rowcast:gap\|"
	assert_equal "$(data_of a)" $'4\n5'
	assert_healthy
}

@test "gap: an id of another database, below or above, and one that is no id" {
	local base tail
	begin
	base=$(tail_id)
	rows 1 3
	tail=$(tail_id)
	listen below "$(url)" -H 'Last-Event-ID: 7'
	listen above "$(url)" -H "Last-Event-ID: $((tail + 1))"
	listen bad "$(url)" -H 'Last-Event-ID: 12x'
	row 4
	expect_data below 4
	expect_data above 4
	expect_data bad 4
	assert_equal "$(gap_of below)" "{\"reason\":\"reset\",\"after\":\"7\",\"resumed_at\":\"$base\"}"
	assert_equal "$(gap_of above)" \
		"{\"reason\":\"reset\",\"after\":\"$((tail + 1))\",\"resumed_at\":\"$tail\"}"
	assert_equal "$(gap_of bad)" \
		"{\"reason\":\"bad-id\",\"after\":\"12x\",\"resumed_at\":\"$tail\"}"
	assert_equal "$(data_of below)" "$(seq 4)"
	assert_equal "$(data_of above)" 4
	assert_equal "$(data_of bad)" 4
	assert_healthy
}

@test "whoami: says which user the reader is, and what bounds it" {
	make_user bob builder
	begin
	run get "$(url /whoami)"
	assert_output '{"user":null,"bounds":[],"publish":false}'
	run get -u bob:x -H 'Remote-User: bob' "$(url /whoami)"
	assert_output --partial '"user":null'
	stop_server
	with_bound
	with_login ROWCAST_CHANNELS
	[[ $SERVER != h2o ]] || { stop_rowcast && start_rowcast "${MOUNT[@]}"; }
	"start_$SERVER"
	run get -o /dev/null -w '%{http_code}' -u bob:x "$(url /whoami)"
	assert_output 401
	run get -u bob:builder "$(url /whoami)"
	assert_output '{"user":"bob","bounds":["location"],"publish":false}'
	run get -o /dev/null -w '%{http_code}' -u bob:builder "$(url '/whoami?channel=orders')"
	assert_output 403
	assert_healthy
}

@test "paths: what follows the mount point picks the resource" {
	begin
	run get -w ' %{http_code}' "$(url /health)"
	assert_output $'ok\n 200'
	run get -o "$T/answer" -w '%{http_code} %{content_type}' "$(url /nonsense)"
	assert_output --regexp '^404 text/plain'
	run wc -l <"$T/answer"
	assert_output 1
	run get -o "$T/answer" -w '%{http_code}' "$(url /health/more)"
	assert_output 404
	listen slash "$(url /)"
	# The name only begins like ours: the web server's own business.
	run get -w '%{http_code}' "$(url more)"
	assert_output --partial 404
	[[ $SERVER == h2o ]] || assert_output --partial '<html'
	assert_healthy
}

@test "methods: HEAD and OPTIONS are answered, others refused with Allow" {
	begin
	run get -I "$(url)"
	assert_line --regexp '^HTTP/1.1 200'
	assert_line --regexp '^[Cc]ontent-[Tt]ype: text/event-stream'
	run get -X OPTIONS -o /dev/null -w '%{http_code}' "$(url)"
	assert_output --regexp '^20[04]$'
	local method
	for method in POST DELETE PUT; do
		run get -X "$method" -d 'x=1' -D "$T/refused.head" -w ' %{http_code} %{content_type}' "$(url)"
		assert_output --regexp '^[^<]+ 405 text/plain'
		assert_equal "$(header_of "$T/refused.head" allow)" 'GET, HEAD, OPTIONS'
	done
	assert_healthy
}

@test "refusals: a status and one line that names what is wrong" {
	local query
	begin
	for query in last=0 last=x since=never throttle=-1 wait=5 channel= ping=2; do
		run get -o "$T/answer" -w '%{http_code} %{content_type}' "$(url "?$query")"
		assert_output --regexp '^400 text/plain'
		run cat "$T/answer"
		assert_output --partial "${query%%=*}"
		assert_equal "${#lines[@]}" 1
	done
	run get -H 'Accept: image/png' -o "$T/answer" -w '%{http_code} %{content_type}' "$(url)"
	assert_output --regexp '^406 text/plain'
	run cat "$T/answer"
	assert_equal "${#lines[@]}" 1
	assert_healthy
}

@test "ndjson: one object a line, a gap and heartbeats too" {
	local base id
	begin
	base=$(tail_id)
	id=$(row '{"id":7}' orders paid)
	open_stream a "$(url)" -H 'Accept: application/x-ndjson' -H 'Last-Event-ID: 7'
	wait_for grep -q '"channel":"orders"' "$T/a.out"
	assert_equal "$(header_of "$T/a.head" content-type)" application/x-ndjson
	run cat "$T/a.out"
	assert_line --index 0 --regexp '^\{"last_event_id":"[0-9]+"\}$'
	assert_line --index 1 \
		"{\"gap\":{\"reason\":\"reset\",\"after\":\"7\",\"resumed_at\":\"$base\"}}"
	assert_line --index 2 --regexp "^\{\"id\":\"$id\",\"channel\":\"orders\",\"event\":\"paid\",\"data\":\"\{\\\\\"id\\\\\":7\}\",\"created_at\":[0-9]+\}$"
	wait_for grep -q '^$' "$T/a.out"
	assert_healthy
}

@test "json: a poll answers at once, with the rows after the id" {
	local first last
	begin
	first=$(row 1)
	row 2 orders paid
	last=$(row 3)
	run get -H 'Accept: application/json' "$(url "?last_event_id=$first")"
	assert_equal "$(jq -c '[.last_event_id, .gap, [.events[] | [.channel, .event, .data]]]' <<<"$output")" \
		"[\"$last\",null,[[\"orders\",\"paid\",\"2\"],[\"default\",\"message\",\"3\"]]]"
	run get -H 'Accept: application/json' "$(url)"
	assert_output "{\"last_event_id\":\"$last\",\"gap\":null,\"events\":[]}"
	run get -H 'Accept: application/json' -H 'Last-Event-ID: 5' "$(url)"
	assert_equal "$(jq -r .gap.reason <<<"$output")" reset
	assert_healthy
}

@test "json: a long poll waits for the first row, at most as long as asked" {
	local id
	begin
	id=$(tail_id)
	open_stream a "$(url "?wait=$WAIT&last_event_id=$id")" -H 'Accept: application/json'
	wait_for streams_are 1
	row 1
	wait_for stream_ended a
	assert_equal "$(jq -c '[.events[].data]' "$T/a.out")" '["1"]'
	run get -H 'Accept: application/json' "$(url '?wait=1')"
	assert_equal "$(jq -c .events <<<"$output")" '[]'
	assert_healthy
}

@test "size: a row of 1 MiB arrives whole, as do the rows around it" {
	begin
	listen a "$(url)"
	row before
	sql "INSERT INTO notification(data) VALUES (hex(randomblob(524288)))"
	row after
	expect_data a after
	assert_equal "$(data_of a | sed -n 2p | sha256sum)" \
		"$(sql 'SELECT data FROM notification ORDER BY id LIMIT 1 OFFSET 1' | sha256sum)"
	assert_healthy
}

@test "closed page: its stream is freed within two heartbeats" {
	local before
	begin --heartbeat 1
	listen a "$(url)"
	listen b "$(url)"
	streams_are 2
	close_stream a
	before=$(beats_of b)
	wait_for streams_are 1
	# By the other page's heartbeats, however busy this machine is; one may be on its way.
	# Caddy 2.6 needs a write more than Apache.
	(($(beats_of b) - before <= (SERVER_IS_CADDY ? 5 : 3)))
	row 1
	expect_data b 1
	assert_healthy
}

@test "closed page: is nothing that the web server's log complains of" {
	local before
	begin
	listen a "$(url)"
	before=$(wc -l <"$T/server.err")
	close_stream a
	wait_for streams_are 0
	# The server has answered another request since: it is done with the first.
	get "$(url /health)"
	# Caddy 2.6 logs each page that has gone, as its file says.
	assert_equal "$(tail -n "+$((before + 1))" "$T/server.err" | grep -v '"aborting with incomplete response"')" ''
	assert_healthy
}

@test "web server killed: every stream is freed, and it may come back" {
	begin
	listen a "$(url)"
	listen b "$(url)" -H 'Accept: text/event-stream'
	listen c "$(url)" -H 'Last-Event-ID: 1'
	streams_are 3
	kill_server
	wait_for streams_are 0
	"start_$SERVER"
	listen a "$(url)"
	row 1
	expect_data a 1
	assert_healthy
}

# Inserts 1, 2, 3 and so on, each in a transaction of its own, until $T/enough is there.
writer() {
	local number=0
	until [[ -e $T/enough ]]; do
		echo "INSERT INTO notification(data) VALUES ($((++number)));"
		pause 0.003
	done | sqlite3 -cmd '.timeout 10000' "$DB"
}

@test "rowcast killed in mid-stream and restarted: each row once" {
	local id writer last
	begin
	listen a "$(url)"
	writer 3>&- 4>&- &
	writer=$!
	expect_data a 50
	kill_rowcast
	wait_for stream_ended a
	id=$(last_id a)
	cp "$T/a.out" "$T/before.out"
	start_rowcast "${MOUNT[@]}"
	# A server that saw the refused connection may need a moment.
	wait_for get -f "$(url /health)"
	listen a "$(url)" -H "Last-Event-ID: $id"
	touch "$T/enough"
	wait "$writer"
	last=$(sql 'SELECT count(*) FROM notification')
	expect_data a "$last"
	assert_equal "$(data_of before; data_of a)" "$(seq "$last")"
	refute has_gap a
	assert_healthy
}

@test "rowcast away and back: the server asks it again without a penalty" {
	begin
	listen a "$(url)"
	kill_rowcast
	wait_for stream_ended a
	run get -o /dev/null -w '%{http_code}' "$(url)"
	assert_output --regexp '^50[023]$'
	start_rowcast "${MOUNT[@]}"
	# lighttpd looks once a second; the others ask rowcast at the first try.
	[[ $SERVER != lighttpd ]] || wait_for get -f "$(url /health)"
	get -f "$(url /health)"
	listen a "$(url)"
	assert_healthy
}

@test "stop: streams are ended properly, with a time to come back" {
	begin
	listen a "$(url)"
	kill -TERM "$ROWCAST_PID"
	wait_for stream_ended a
	# 18 would be: the transfer was cut off.
	wait "${READER[a]}"
	assert_equal "$(grep -c '^retry: [0-9]*$' "$T/a.out")" 2
	wait_for group_is_gone "$ROWCAST_PID"
	wait "$ROWCAST_PID"
	assert_no_report
}

@test "private rows: what a browser claims about its user grants nothing" {
	begin
	sql "INSERT INTO notification(data, recipient) VALUES ('secret', 'bob')"
	listen a "$(url '?since=all')" -u bob:x -H 'Remote-User: bob' -H 'Remote_User: bob' \
		-H 'Rowcast-Channels: *'
	sql "INSERT INTO notification(data, recipient) VALUES ('secret', 'bob')"
	row public
	expect_data a public
	assert_equal "$(data_of a)" public
	assert_healthy
}

@test "private rows: reach the user whom the web server has checked" {
	make_user bob builder
	with_login
	begin
	run get -o /dev/null -w '%{http_code}' "$(url)"
	assert_output 401
	sql "INSERT INTO notification(data, recipient) VALUES ('yours', 'bob'), ('hers', 'ann')"
	listen a "$(url '?since=all')" -u bob:builder
	row public
	expect_data a public
	assert_equal "$(data_of a)" $'yours\npublic'
	assert_healthy
}

@test "bounds: ROWCAST_CHANNELS in the configuration limits what a page may read" {
	with_bound
	begin
	listen a "$(url)"
	listen b "$(url '?channel=*')" -H 'ROWCAST_CHANNELS: *'
	row 1 orders
	row 2 news.eu
	row 3 public
	expect_data a 3
	expect_data b 3
	assert_equal "$(data_of a)" $'2\n3'
	assert_equal "$(data_of b)" $'2\n3'
	run get -o "$T/answer" -w '%{http_code} %{content_type}' "$(url '?channel=orders')"
	assert_output --regexp '^403 text/plain'
	assert_healthy
}
