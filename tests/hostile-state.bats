#!/usr/bin/env bats
# hostile-state.bats - state= against clients, tables, rows and definitions that mean no good, and against
# changes of the table in the middle of a state. What a state is to be is in state.bats.
#
# shellcheck shell=bash

load helper

setup() {
	rowcast_setup
	init_db
}

# A tracked table: items COUNT [OPTION...]
items() {
	sql "CREATE TABLE items(id INTEGER PRIMARY KEY, owner TEXT, v INTEGER, t TEXT)"
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
	     INSERT INTO items SELECT i, CASE i % 2 WHEN 1 THEN 'ann' END, i, printf('%.*c', 100, 'x') FROM n"
	"$ROWCAST" track --db "$DB" items --recipient owner "${@:2}" >/dev/null
}
track() { "$ROWCAST" track --db "$DB" "$@" >/dev/null; }
poll() { fcgi --get "/$1" HTTP_ACCEPT=application/json "${@:2}" | tail -n 1; }
# A Python condition on the document `d`, and `rows`, those of each table: holds DOCUMENT CONDITION
holds() {
	/usr/bin/python3 -c "if True:
		import json, sys
		d, rows = json.load(sys.stdin), {}
		for p in d.get('state') or []:
			rows.setdefault(p['table'], []).extend(p['rows'])
		assert $2, str(d)[:2000]" <<<"$1"
}
refute() { ! "$@"; }
# Readers in the middle of a state while the command runs; its last line is a document. paused [OPTION...] -- COMMAND...
paused() { run -0 /usr/bin/python3 "$SRC/tests/track/paused.py" --socket "unix:$SOCKET" "$@"; }
last_line() { echo "${lines[-1]}"; }

# --- clients --------------------------------------------------------------------------------------

@test "hostile state: a table is sent once, in whatever letters and how often it is asked for" {
	items 3
	start_rowcast
	run poll '?state=items&state=ITEMS&state=items&state=Items'
	holds "$output" 'list(rows) == ["items"] and [r["id"] for r in rows["items"]] == [2]'
	run fcgi --get '/?state=1&state=2&state=3&state=4&state=5&state=6&state=7&state=8&state=9'
	assert_output --partial 'more than 8 times'
	run fcgi --get '/?state=items%00x'
	assert_output --partial 'Status: 400'
	run fcgi --get "/?state=items';DROP%20TABLE%20items;--"
	assert_output --partial 'no table of that name is tracked'
	run fcgi --get "/?state=rowcast_track"
	assert_output --partial 'no table of that name is tracked'
	run fcgi --get "/?state=items&limit=3"
	assert_output --partial 'unknown parameter'
	run fcgi --get "/?state=items&since=all"
	assert_output --partial 'Status: 400'
	assert_healthy
}

@test "hostile state: HEAD says what GET would" {
	items 3
	start_rowcast
	run fcgi --get '/?state=nothing' REQUEST_METHOD=HEAD
	assert_output --partial 'Status: 400'
	run fcgi --get '/?state=items' REQUEST_METHOD=HEAD ROWCAST_CHANNELS=news
	assert_output --partial 'Status: 403'
	run fcgi --get '/?state=items' REQUEST_METHOD=HEAD
	refute_output --partial 'Status: 4'
	refute_output --partial 'rowcast:state'
	assert_healthy
}

@test "hostile state: a thousand readers that open a state and go leave nothing behind" {
	items 3000
	start_rowcast
	run -0 /usr/bin/python3 - "$SOCKET" "$CLIENTS" "${DROPS:-1000}" <<-'PY'
		import socket, sys
		sys.path.insert(0, sys.argv[2])
		import fcgi
		for i in range(int(sys.argv[3])):
		    peer = socket.socket(socket.AF_UNIX)
		    peer.connect(sys.argv[1])
		    peer.sendall(fcgi.whole_request(1, 0, ["PATH=?state=items", f"REMOTE_ADDR=192.0.2.{i % 200}"]))
		    if i % 3:
		        peer.recv(1 if i % 3 == 1 else 65536)
		    peer.close()
	PY
	wait_for streams_are 0
	run poll '?state=items'
	holds "$output" 'len(rows["items"]) == 1500'
	assert_healthy
}

@test "hostile state: a large table to a reader takes no memory, and others hear what is new meanwhile" {
	local before
	# AddressSanitizer would keep 256 MB of freed memory.
	export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1
	items "${LARGE_ROWS:-150000}"
	start_rowcast
	listen_direct other '/?channel=news'
	before=$(peak_kb)
	paused --readers 2 --user ann -- sqlite3 "$DB" \
		"INSERT INTO notification(channel, data) VALUES ('news', 'meanwhile')"
	holds "$(last_line)" "d['same'] and d['begun'] == 1 and len(d['keys']) == ${LARGE_ROWS:-150000}"
	wait_for grep -q 'data: meanwhile' "$T/other.out"
	echo "# peak before $before KiB, after $(peak_kb) KiB" >&3
	(($(peak_kb) - before < 8000))
	assert_healthy
}
peak_kb() { awk '/^VmHWM/ { print $2 }' "/proc/$ROWCAST_PID/status"; }

# --- rows -----------------------------------------------------------------------------------------

@test "hostile state: a row has the same bytes in the state and in its event, whatever it holds" {
	sql 'CREATE TABLE odd(k PRIMARY KEY, x)'
	track odd
	sql "INSERT INTO odd VALUES (CAST(x'ff61' AS TEXT), CAST(x'e282' AS TEXT)), ('a' || char(0) || 'b', x'00ff'),
	     (x'0102', char(13) || char(10) || '\"'), (0.5, 1e999), (9223372036854775807, -0.0), ('', json('[1]')),
	     (' a', '</script>' || char(8232)), (1e300, 0.1 + 0.2)"
	start_rowcast
	run poll '?state=odd'
	echo "$output" >"$T/state"
	run poll '?since=all&channel=odd'
	echo "$output" >"$T/events"
	run -0 /usr/bin/python3 - "$T/state" "$T/events" <<-'PY'
		import json, sys
		read = lambda name: json.loads(open(name, "rb").read().decode())     # strictly UTF-8
		key = lambda row: json.dumps(row, sort_keys=True)
		state = sorted((r for p in read(sys.argv[1])["state"] for r in p["rows"]), key=key)
		events = [json.loads(e["data"]) for e in read(sys.argv[2])["events"]]
		rows = sorted((e["row"] for e in events if e["op"] == "insert"), key=key)
		assert state == rows and len(rows) == 8, (state, rows)
	PY
	open_direct lines '/?state=odd' HTTP_ACCEPT=application/x-ndjson
	wait_for grep -q '"more":false' "$T/lines.out"
	run -0 iconv -f UTF-8 -t UTF-8 "$T/lines.out"
	assert_healthy
}

@test "hostile state: rows whose keys would be one key in JSON are seen by no reader" {
	sql 'CREATE TABLE r(k REAL PRIMARY KEY, x)'
	sql 'CREATE TABLE long(k TEXT PRIMARY KEY, x)'
	track r
	track long
	sql "INSERT INTO r VALUES (0.3, 1), (0.1 + 0.2, 2), (2.5, 3);
	     INSERT INTO long VALUES (printf('%.*c', 4096, 'a'), 1), (printf('%.*c', 4097, 'a'), 2),
	     (printf('%.*c', 70000, 'b'), 3)"
	run sql "SELECT json_extract(data, '$.row.x') FROM notification WHERE data LIKE '%insert%' ORDER BY id"
	assert_output '1
3
1'
	start_rowcast
	run poll '?state=r&state=long'
	holds "$output" '[[r["x"] for r in rows[t]] for t in ("r", "long")] == [[1, 3], [1]]'
	assert_healthy
}

@test "hostile state: a row larger than a part comes in one, one larger than events may be as its key" {
	sql "CREATE TABLE big(id INTEGER PRIMARY KEY, $(seq -s, -f 'c%g TEXT' 1 30))"
	track big
	sql "INSERT INTO big(id, c1) VALUES (1, 'a'), (2, printf('%.*c', 60000, 'b')), (4, 'd');
	     INSERT INTO big(id, $(seq -s, -f 'c%g' 1 30)) SELECT 3, $(seq -s, -f "printf('%%.*c', 60000 + %g, 'c')" 1 30)"
	start_rowcast
	run poll '?state=big'
	echo "$output" >"$T/document"
	run -0 /usr/bin/python3 - "$T/document" <<-'PY'
		import json, sys
		rows = {r["id"]: r for p in json.load(open(sys.argv[1]))["state"] for r in p["rows"]}
		assert len(rows[2]["c1"]) == 60000 and rows[4]["c1"] == "d", rows
		assert sorted(rows[3]) == ["id", "rowcast:too-large"], rows[3]
		assert rows[3]["rowcast:too-large"]["limit"] == 1048576 < rows[3]["rowcast:too-large"]["bytes"]
	PY
	assert_healthy
}

@test "hostile state: a recipient is who it is to the byte, and of no other type" {
	sql "CREATE TABLE items(id INTEGER PRIMARY KEY, owner)"
	track items --recipient owner
	sql "INSERT INTO items VALUES (1, 'ann'), (2, 'ann' || char(0)), (3, 'ann' || char(0) || 'x'), (4, x'616e6e'), (5, 'Ann'),
	     (6, ' ann'), (7, ''), (8, 7), (9, 7.5), (10, '7.0'), (11, NULL), (12, CAST(x'616e6eff' AS TEXT))"
	start_rowcast
	local user
	for user in ann Ann 7 7.5 7.0 ''; do
		run poll '?state=items' REMOTE_USER="$user"
		echo "$user: $(/usr/bin/python3 -c 'import json, sys; print([r["id"] for p in json.loads(sys.argv[1])["state"] for r in p["rows"]])' "$output")" >>"$T/seen"
	done
	run cat "$T/seen"
	assert_output 'ann: [1, 11]
Ann: [5, 11]
7: [8, 11]
7.5: [11]
7.0: [11]
: [11]'
	assert_healthy
}

# --- tables and definitions -----------------------------------------------------------------------

@test "hostile state: a name with the characters of patterns is one channel, not a pattern" {
	sql 'CREATE TABLE "o*[x]?"(id INTEGER PRIMARY KEY, v)'
	track 'o*[x]?'
	sql 'INSERT INTO "o*[x]?" VALUES (1, 1)'
	start_rowcast
	listen_direct a '/?channel=news&state=o*%5Bx%5D%3F'
	wait_for grep -q '"rows":\[{"id":1,"v":1}\],"more":false' "$T/a.out"
	row no 'ooox?'
	row no 'o*x?'
	sql 'UPDATE "o*[x]?" SET v = 2'
	wait_for grep -q '"op":"update"' "$T/a.out"
	refute grep -q 'data: no' "$T/a.out"
	assert_healthy
}

@test "hostile state: whatever the order of the key's index, no part sorts the table" {
	sql 'CREATE TABLE a(x, y, v, PRIMARY KEY(x, y DESC)) WITHOUT ROWID;
	     CREATE TABLE b(x NOT NULL, y NOT NULL, v, UNIQUE(x, y));
	     CREATE TABLE c(x TEXT, y COLLATE NOCASE, v, PRIMARY KEY(y DESC, x COLLATE RTRIM)); CREATE TABLE d(x UNIQUE, v)'
	track a
	track b --key y,x
	track c
	track d --key x
	local table
	for table in a b c d; do
		run "$ROWCAST" track --db "$DB" "$table" --print
		sed -n 's/^-- //p' <<<"$output" | sed -n '/^SELECT/,$p' | sed 's/LIMIT ?1/LIMIT 5/' >"$T/query"
		run sql "EXPLAIN QUERY PLAN $(<"$T/query")"
		refute_output --partial 'TEMP B-TREE'
		[[ $table != d ]] || assert_output --partial '(x>?)' # behind the NULLs
	done
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO a SELECT i % 7, i, i FROM n"
	sql 'INSERT INTO b SELECT x, y, v FROM a; INSERT INTO c SELECT x, y, v FROM a; INSERT INTO d SELECT v, v FROM a; INSERT INTO d(v) SELECT v FROM a'
	start_rowcast
	for table in a b c d; do
		run poll "?state=$table"
		holds "$output" 'len(d["state"]) > 1 and sorted(r["v"] for r in rows["'$table'"]) == list(range(1, 3001))'
	done
	assert_healthy
}

@test "hostile state: a long run of rows without a key ends the state, and delays no other reader" {
	sql 'CREATE TABLE gaps(x NOT NULL, y, v, UNIQUE(x, y))'
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) INSERT INTO gaps(x, v) SELECT i, i FROM n"
	track gaps --key x,y
	start_rowcast
	open_direct a '/?state=gaps'
	wait_for grep -q 'is not tracked any more' "$T/a.out"
	is_healthy
	assert_healthy
}

@test "hostile state: a table that has changed is an error to its reader and in the log, and no fault of the database" {
	items 3
	sql "ALTER TABLE items RENAME COLUMN owner TO keeper"
	start_rowcast
	run fcgi --get '/?state=items'
	assert_output --partial 'Status: 500'
	refute_output --partial 'owner'
	grep -q 'status=500' "$T/rowcast.err"
	sql "INSERT INTO notification(data) VALUES ('x')"
	wait_for grep -q 'tracked table items: .*no column owner' "$T/rowcast.err"
	run fcgi --get /health
	assert_output --partial 'Status: 200'
	assert_healthy
}

@test "hostile state: a definition that was changed by hand does no more than be refused" {
	items 3
	start_rowcast
	refused() {
		sql "SAVEPOINT one; UPDATE rowcast_track SET $1; RELEASE one"
		run fcgi --get '/?state=items' HTTP_ACCEPT=application/json
		assert_output --partial 'Status: 500'
		run "$ROWCAST" track --db "$DB" --list
		assert_failure 1
		assert_output --partial 'does not fit'
		sql "DELETE FROM rowcast_track"
		track items --recipient owner
	}
	refused "columns = '[\"id\\\"; DROP TABLE items; --\"]'"
	refused "columns = '[]'"
	refused "columns = 'no JSON'"
	refused "columns = (SELECT json_group_array('v') FROM (SELECT 1 FROM items a, items b, items c, items d, items e))"
	refused "\"key\" = '[null, 1, {}]'"
	refused "\"key\" = '[\"v\"]'"
	refused "recipient_column = '1) OR (1'"
	refused "channel = 'a' || char(10) || 'data: b'"
	refused "channel = ''"
	refused "channel_column = 'v'"
	refused "\"where\" = 'id IN (SELECT rowid FROM notification)'"
	refused "\"where\" = 'id IN notification'"
	refused "\"where\" = 'load_extension(t)'"
	refused "\"where\" = '1) UNION SELECT 1, 2, 3, 4, 5 FROM notification WHERE (1'"
	refused "\"where\" = 'randomblob(v)'"
	refused "\"where\" = '1; DROP TABLE items'"
	refused "version = 99"
	run poll '?state=items'
	holds "$output" 'len(rows["items"]) == 1'
	run sql "SELECT count(*) FROM items"
	assert_output 3
	is_healthy
	assert_healthy
}

@test "hostile state: more tables than are remembered are read all the same" {
	local i
	for i in $(seq 70); do echo "CREATE TABLE t$i(id INTEGER PRIMARY KEY); INSERT INTO t$i VALUES ($i);"; done \
		| sqlite3 "$DB"
	for i in $(seq 70); do track "t$i"; done
	run -0 "$ROWCAST" track --db "$DB" --list
	assert_equal "${#lines[@]}" 70
	start_rowcast
	for i in $(seq 36) 1 2; do
		run poll "?state=t$i&state=t$((71 - i))"
		holds "$output" "rows == {'t$i': [{'id': $i}], 't$((71 - i))': [{'id': $((71 - i))}]}"
	done
	assert_healthy
}

# --- in the middle of a state ---------------------------------------------------------------------

@test "hostile state: the table is dropped in the middle" {
	items 20000
	start_rowcast
	paused -- sqlite3 "$DB" 'DROP TABLE items'
	holds "$(last_line)" '"the table is not tracked any more" in d["said"] and "500" in d["said"]'
	is_healthy
	assert_healthy
}

@test "hostile state: the table is untracked in the middle" {
	items 20000
	start_rowcast
	paused -- "$ROWCAST" untrack --db "$DB" items
	holds "$(last_line)" 'd["said"] == ["the table is not tracked any more", "400"]'
	assert_healthy
}

@test "hostile state: the table is rebuilt in the middle, and the copy is the new table's" {
	items 20000
	start_rowcast
	paused --user ann -- sqlite3 "$DB" "BEGIN; CREATE TABLE n(id INTEGER PRIMARY KEY, owner TEXT, v INTEGER, t TEXT);
		INSERT INTO n SELECT id, owner, v, t FROM items; DROP TABLE items; ALTER TABLE n RENAME TO items; COMMIT"
	holds "$(last_line)" 'd["said"] == [] and len(d["keys"]) == 20000'
	assert_healthy
}

@test "hostile state: it is tracked again in the middle, with other columns" {
	items 20000
	start_rowcast
	paused --user ann -- "$ROWCAST" track --db "$DB" items --columns id,v
	# Parts of both forms; that they do not go together is what the reset says, which follows.
	holds "$(last_line)" 'd["begun"] == 1 and len(d["keys"]) == 20000 and "t" not in d["rows"][-1]'
	listen_direct a '/?since=all'
	wait_for grep -q '"op":"reset"' "$T/a.out"
	assert_healthy
}

@test "hostile state: another database in the middle is a gap, and the state begins again" {
	items 20000
	start_rowcast
	cp "$DB" "$T/other.db"
	sqlite3 "$T/other.db" "DELETE FROM items WHERE id > 10"
	"$ROWCAST" rebase --db "$T/other.db" >/dev/null
	paused --user ann -- sh -c \
		"mv '$T/other.db' '$T/new' && rm -f '$DB-wal' '$DB-shm' && mv '$T/new' '$DB' && chmod a+rw '$DB'"
	holds "$(last_line)" '"reset" in d["said"] and len(d["keys"]) == 10 and d["begun"] == 2'
	assert_healthy
}

@test "hostile state: a prune in the middle is a gap, and the state begins again" {
	items 20000
	start_rowcast
	sql "UPDATE items SET v = -1 WHERE id < 100"
	paused --user ann -- sh -c "sqlite3 '$DB' 'UPDATE items SET v = -2 WHERE id < 100; DELETE FROM items WHERE id = 2' && '$ROWCAST' prune --db '$DB' --keep-rows 1"
	holds "$(last_line)" 'd["said"] == ["pruned"] and d["begun"] == 2 and len(d["keys"]) == 19999'
	assert_healthy
}

@test "hostile state: a row that changes hands in the middle is in no other reader's copy" {
	items 20000
	start_rowcast
	listen_direct bob '/?channel=items' REMOTE_USER=bob
	paused --readers 4 --user ann -- sqlite3 "$DB" "UPDATE items SET owner = 'bob', t = 'secret' WHERE id > 100"
	holds "$(last_line)" '"secret" not in d["values"]["t"] and set(d["values"]["owner"]) == {"ann", None}'
	wait_for grep -q '"op":"insert","key":{"id":20000}' "$T/bob.out"
	refute grep -q '"old":{' "$T/bob.out"
	run poll '?channel=items&since=all' REMOTE_USER=ann
	refute grep -q secret <<<"$output"
	assert_healthy
}
