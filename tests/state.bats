#!/usr/bin/env bats
# state.bats - state=: a stream begins with the rows of a tracked table, and then has every change.
#
# shellcheck shell=bash

load helper

setup() {
	rowcast_setup
	init_db
}

# A tracked table: items COUNT
items() {
	sql "CREATE TABLE items(id INTEGER PRIMARY KEY, owner TEXT, v INTEGER, t TEXT)"
	sql "WITH RECURSIVE n(i) AS (SELECT 1 WHERE $1 > 0 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
	     INSERT INTO items SELECT i, CASE i % 3 WHEN 1 THEN 'ann' WHEN 2 THEN 'bob' END, i, printf('%.*c', 100, 'x') FROM n"
	"$ROWCAST" track --db "$DB" items --recipient owner >/dev/null
}
poll() { fcgi --get "/$1" HTTP_ACCEPT=application/json "${@:2}" | tail -n 1; }
# A Python condition on the document `d`: holds DOCUMENT CONDITION
holds() { /usr/bin/python3 -c "import json, sys; d = json.load(sys.stdin); assert $2, str(d)[:2000]" <<<"$1"; }

@test "state: the rows that the reader may see, and the cursor as the id of the last part" {
	items 6
	start_rowcast
	listen_direct ann '/?state=items' REMOTE_USER=ann
	wait_for grep -q '"more":false' "$T/ann.out"
	run grep -A1 -B1 'event: rowcast:state' "$T/ann.out"
	assert_output --regexp $'id: [0-9]+\nevent: rowcast:state\ndata: [{]"table":"items","at":"'
	assert_output --partial '"key":["id"],"channel":"items","rows":[{"id":1,"owner":"ann"'
	assert_output --partial '{"id":3,"owner":null'
	refute_output --partial '"bob"'
	assert_output --partial '],"more":false}'
	run grep -A3 'rowcast:open' "$T/ann.out"
	assert_line --index 1 'data: {"last_event_id":null}'
	sql "UPDATE items SET v = 99 WHERE id = 3; UPDATE items SET v = 98 WHERE id = 2"
	wait_for grep -q '"op":"update","key":{"id":3}' "$T/ann.out"
	refute grep -q '"v":98' "$T/ann.out"
	assert_healthy
}
refute() { ! "$@"; }

@test "state: many rows come in parts below 64 KiB, and no id is sent before the last" {
	items 6000
	start_rowcast
	listen_direct all '/?state=items'
	wait_for grep -q '"more":false' "$T/all.out"
	run /usr/bin/python3 - "$T/all.out" <<-'PY'
		import json, re, sys
		body = open(sys.argv[1]).read()
		blocks = [b for b in body.split("\n\n") if "event: rowcast:state" in b]
		parts = [json.loads(b.split("data: ", 1)[1]) for b in blocks]
		print(len(parts) > 3, [p["more"] for p in parts].count(False), parts[-1]["more"],
		      all(len(b) < 65536 for b in blocks), [("id: " in b) for b in blocks].count(True),
		      "id: " in blocks[-1], "id: " in body[:body.index("rowcast:state")])
		rows = [row["id"] for p in parts for row in p["rows"]]
		print(rows == [i for i in range(1, 6001) if i % 3 == 0], blocks[-1].startswith("id: " + parts[0]["at"]))
	PY
	assert_line --index 0 'True 1 False True 1 True False'
	assert_line --index 1 'True True'
	assert_healthy
}

@test "state: the same in NDJSON and JSON" {
	items 3
	start_rowcast
	run poll '?state=items' REMOTE_USER=bob
	holds "$output" '[r["id"] for p in d["state"] for r in p["rows"]] == [2, 3] and d["events"] == [] and d["last_event_id"] == d["state"][0]["at"]'
	open_direct lines '/?state=items' HTTP_ACCEPT=application/x-ndjson
	wait_for grep -q '"state":{"table":"items"' "$T/lines.out"
	sql "DELETE FROM items WHERE id = 3"
	wait_for grep -q 'delete' "$T/lines.out"
	assert_healthy
}

@test "state: with an id it is left out, after a gap it comes again" {
	items 3
	start_rowcast
	local document id
	document=$(poll '?state=items')
	id=$(grep -oP '"last_event_id":"\K[0-9]+' <<<"$document")
	sql "UPDATE items SET v = 5 WHERE id = 3"
	run poll "?state=items&last_event_id=$id"
	holds "$output" '"state" not in d and d["gap"] is None and len(d["events"]) == 1'
	sql "UPDATE items SET v = 6 WHERE id = 3"
	"$ROWCAST" prune --db "$DB" --keep-rows 1 >/dev/null
	run poll "?state=items&last_event_id=$id"
	holds "$output" 'd["gap"]["reason"] == "pruned" and d["state"][0]["rows"][0]["v"] == 6'
	listen_direct late "/?state=items&last_event_id=$id"
	wait_for grep -q '"more":false' "$T/late.out"
	run grep -B1 -A1 'event: rowcast:gap' "$T/late.out"
	refute_output --partial 'id: '
	assert_output --partial '"resumed_at":null'
	assert_healthy
}

@test "state: a table that is not tracked, or out of bounds, is refused with the reason" {
	items 1
	start_rowcast
	run fcgi --get '/?state=nothing'
	assert_output --partial 'Status: 400'
	assert_output --partial 'no table of that name is tracked'
	run fcgi --get '/?state=items' ROWCAST_CHANNELS=news
	assert_output --partial 'Status: 403'
	run fcgi --get '/?state=items&last=3'
	assert_output --partial 'Status: 400'
	run fcgi --get '/?state='
	assert_output --partial 'Status: 400'
	assert_healthy
}

@test "state: readers of a table that is untracked get an event, and the table is refused from then on" {
	items 3
	start_rowcast
	listen_direct a '/?state=items'
	wait_for grep -q '"more":false' "$T/a.out"
	"$ROWCAST" untrack --db "$DB" items
	wait_for grep -q '"op":"reset"' "$T/a.out"
	run fcgi --get '/?state=items'
	assert_output --partial 'no table of that name is tracked'
	assert_healthy
}

@test "state: a channel of its own is added to those that are asked for" {
	items 3
	start_rowcast
	listen_direct a '/?channel=news&state=items'
	wait_for grep -q '"more":false' "$T/a.out"
	sql "UPDATE items SET v = 7 WHERE id = 3"
	row hello news
	row other other
	wait_for grep -q 'data: hello' "$T/a.out"
	grep -q '"op":"update"' "$T/a.out"
	refute grep -q 'data: other' "$T/a.out"
	assert_healthy
}

@test "state: rows that no reader may see are stepped over in parts, and those behind them come" {
	sql "CREATE TABLE items(id INTEGER PRIMARY KEY, v INTEGER)"
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
	     INSERT INTO items SELECT i, i > 19998 FROM n"
	run "$ROWCAST" track --db "$DB" items --where 'v = 1' --print
	# In the WHERE of the state's query the condition would make one step of all 20,000.
	run sed -n '/^-- SELECT/,$p' <<<"$output"
	assert_output --partial 'CASE WHEN'
	refute grep -q 'WHERE.*v = 1' <<<"$output"
	"$ROWCAST" track --db "$DB" items --where 'v = 1' >/dev/null
	start_rowcast
	run poll '?state=items'
	holds "$output" '[r["id"] for p in d["state"] for r in p["rows"]] == [19999, 20000]'
	assert_healthy
}

@test "state: a part names the columns of the key and the channel, null where each row has its own" {
	sql "CREATE TABLE lots(shop TEXT, n INTEGER, room TEXT, v, PRIMARY KEY (shop, n)) WITHOUT ROWID;
	     INSERT INTO lots VALUES ('a', 1, 'red', 'x')"
	"$ROWCAST" track --db "$DB" lots --channel-column room >/dev/null
	items 0
	start_rowcast
	run poll '?state=lots&state=items&channel=red'
	holds "$output" '[(p["key"], p["channel"], len(p["rows"])) for p in d["state"]] == [(["shop", "n"], None, 1), (["id"], "items", 0)]'
	assert_healthy
}

# Through the web server that was started: rows of a state in many parts, and a change behind them.
through_server() {
	listen a "$(url '?state=items')"
	wait_for grep -q '"more":false' "$T/a.out"
	sql "INSERT INTO items VALUES (9999, NULL, 1, 'new')"
	wait_for grep -q '"op":"insert","key":{"id":9999}' "$T/a.out"
	run /usr/bin/python3 - "$T/a.out" <<-'PY'
		import json, sys
		parts = [json.loads(line[6:]) for line in open(sys.argv[1]) if line.startswith('data: {"table":"items","at"')]
		assert [r["id"] for p in parts for r in p["rows"]] == list(range(3, 3001, 3)), parts
	PY
	assert_success
}

@test "state: through lighttpd" {
	items 3000
	start_rowcast
	start_lighttpd
	through_server
	assert_healthy
}

@test "state: through nginx, and two workers" {
	items 3000
	start_rowcast --workers 2
	start_nginx
	through_server
	assert_healthy
}

@test "state: through Apache" {
	items 3000
	start_rowcast
	start_apache
	through_server
	assert_healthy
}

@test "state: under CGI" {
	items 3000
	ln -sf "$ROWCAST" "$T/bin/rowcast.cgi"
	local cgi=(env GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET QUERY_STRING=state=items ROWCAST_DB="$DB")
	"${cgi[@]}" HTTP_ACCEPT=application/json "$T/bin/rowcast.cgi" >"$T/document" 2>>"$T/rowcast.err"
	holds "$(tail -n 1 "$T/document")" 'len([r for p in d["state"] for r in p["rows"]]) == 1000'
	background "${cgi[@]}" HTTP_ACCEPT=text/event-stream "$T/bin/rowcast.cgi" >"$T/a.out" 2>>"$T/rowcast.err"
	wait_for grep -q '"more":false' "$T/a.out"
	sql "DELETE FROM items WHERE id = 3"
	wait_for grep -q '"op":"delete","key":{"id":3}' "$T/a.out"
	end_group TERM "$PID"
	assert_no_report
}

# The responder is live.py's own, behind the web server that was started: live SERVER [OPTION...]
live() {
	items 50
	start_rowcast
	"start_$1"
	stop_rowcast
	run -0 /usr/bin/python3 "$SRC/tests/track/live.py" --serve --socket "unix:$SOCKET" --db "$DB" --rowcast "$ROWCAST" \
		--http "$(url)" --seconds "${LIVE_SECONDS:-6}" --joins "${LIVE_JOINS:-0}" --readers "${LIVE_READERS:-24}" "${@:2}"
	assert_output --partial ' 0 copies differ'
	echo "# $1: ${lines[-1]}" >&3
}

@test "state: copies are the table's in the end, whatever was killed, pruned, replaced; behind lighttpd" { live lighttpd; }

@test "state: copies are the table's in the end, whatever was killed, pruned, replaced; behind nginx" { live nginx; }

@test "state: copies are the table's in the end, whatever was killed, pruned, replaced; behind Apache" { live apache; }
