#!/usr/bin/env bats
# engine.bats - fan-out, catch-up, filters, limits and faults of the streaming engine: many
# streams and many rows over FastCGI, without a web server (clients/streams.py).
#
# shellcheck shell=bash

load helper

begin() {
	init_db
	start_rowcast "$@"
}

# Runs a scenario in Python, from stdin. At hand are crowd, db, pid (of rowcast), commit(db, ...),
# check, expect of clients/streams.py, and the arguments in args. play [ARGUMENT...]
play() {
	{
		cat <<-'PY'
			import json, os, random, signal, subprocess, sys, time
			import sqlite3
			from streams import Crowd, Stream, check, commit, expect
			crowd = Crowd("unix:" + sys.argv[1], seconds=float(os.environ["WAIT"]))
			db = sqlite3.connect(sys.argv[2], isolation_level=None, timeout=30)
			pid, args = int(sys.argv[3]), sys.argv[4:]
		PY
		cat
	} >"$T/play.py"
	WAIT=$((WAIT * 2)) PYTHONPATH=$CLIENTS python3 "$T/play.py" "$SOCKET" "$DB" "$ROWCAST_PID" \
		"$@" 3>&- || return 1
}

# As many descriptors as this machine allows; how many streams that is good for, at most $1.
streams_possible() {
	local hard
	hard=$(ulimit -Hn)
	ulimit -Sn "$hard"
	[[ $hard != unlimited && $hard -lt $(($1 + 300)) ]] || hard=$(($1 + 300))
	STREAMS=$((hard - 300))
}

# --- batches --------------------------------------------------------------------------------

@test "batches: the rows of one commit come in one record" {
	begin
	play <<-'PY'
		a, b = crowd.listen(), crowd.listen("?channel=default")
		for commits in 1, 2, 3:
		    commit(db, *(f"{commits}.{i}" for i in range(1, 151)))
		    crowd.each(lambda s: s.has(f"{commits}.150"))
		for s in a, b:
		    expect("rows", s.data, [f"{c}.{i}" for c in (1, 2, 3) for i in range(1, 151)])
		    expect("rows in a record", [c.count(b"data:") for _, c in s.writes], [150] * 3)
	PY
	assert_healthy
}

@test "batches: a large commit comes in records that are full and end where an event ends" {
	begin
	play <<-'PY'
		a = crowd.listen()
		commit(db, *(f"{i:060}" for i in range(3000)))
		crowd.until(lambda: a.has(f"{2999:060}"), "3,000 rows")
		expect("rows", a.data, [f"{i:060}" for i in range(3000)])
		sizes = [len(content) for _, content in a.writes]
		check("a record ends within an event", all(c.endswith(b"\n\n") for _, c in a.writes))
		# One is short for each page of the feed and of catch-up.
		check(f"records of {sizes}", sum(size < 7500 for size in sizes) <= 8)
	PY
	assert_healthy
}

# --- fairness -------------------------------------------------------------------------------

@test "fairness: replays of 200,000 rows hold up no live stream" {
	begin --heartbeat 60
	rows 1 200000
	play "$DB" <<-'PY'
		live = crowd.listen("?channel=live")
		replays = [crowd.open("?since=all&channel=default") for _ in range(3)]
		crowd.until(lambda: all(len(s.body) > 1000 for s in replays), "the replays' beginning")
		# Beside us, so that nobody stops reading meanwhile.
		writer = subprocess.Popen(["sqlite3", "-cmd", ".timeout 10000", args[0],
		    "INSERT INTO notification(channel, data) VALUES ('live', 'x')"])
		crowd.until(lambda: live.has("x"), "the live row")
		check("the replays were over before it", not any(s.has("200000") for s in replays))
		check("the writer", writer.wait() == 0)
		commit(db, "end")
		crowd.each(lambda s: s.has("end"), streams=replays)
		first = db.execute("SELECT min(id) FROM notification").fetchone()[0]
		wanted = "".join(f"id: {first + i}\ndata: {i + 1}\n\n" for i in range(200000))
		wanted += f"id: {first + 200001}\ndata: end\n\n"
		for s in replays:
		    body = s.body.decode()
		    check("the rows of a replay", body[body.index("}\n\n") + 3:] == wanted)
	PY
	assert_healthy
}

@test "fairness: streams that search 200,000 rows for the few that they may read hold up nobody" {
	begin --heartbeat 60
	rows 1 200000
	play <<-'PY'
		commit(db, *(dict(data="found", channel=f"no{i}.x") for i in range(10)))
		live = crowd.listen("?channel=live")
		seekers = [crowd.open(f"?since=all&channel=no{i}*") for i in range(10)]
		crowd.each(lambda s: s.is_open)
		commit(db, dict(data="x", channel="live"))
		crowd.until(lambda: live.has("x"), "the live row")
		check("they were all done before it", not all(s.has("found") for s in seekers))
		crowd.each(lambda s: s.has("found"), streams=seekers)
		check("rows", all(s.data == ["found"] for s in seekers))
	PY
	assert_healthy
}

# --- filters --------------------------------------------------------------------------------

@test "filters: 5,000 streams, each on its own channel or its own user, get their own row only" {
	streams_possible 5000
	begin --heartbeat 60
	play "$STREAMS" <<-'PY'
		n = int(args[0])
		def place(i):
		    return dict(channel=f"c{i}") if i % 2 else dict(channel="mail", recipient=f"u{i}")
		def ask(i, how=""):
		    where = place(i)
		    user = {"REMOTE_USER": where["recipient"]} if "recipient" in where else {}
		    return crowd.open(f"?channel={where['channel']}{how}", **user)
		for i in range(n):
		    ask(i)
		crowd.each(lambda s: s.is_open, "the opening block")
		commit(db, *(dict(data=f"row {i}", **place(i)) for i in range(n)))
		own = {s: f"row {i}" for i, s in enumerate(crowd.streams)}
		crowd.each(lambda s: s.has(own[s]), "its own row")
		commit(db, dict(data="other", channel="other"), *(dict(data="again", **place(i))
		                                                  for i in (0, 1, n - 2, n - 1)))
		for i in 0, 1, n - 2, n - 1:
		    crowd.until(lambda: crowd.streams[i].has("again"), "a second row")
		for i, s in enumerate(crowd.streams):
		    expect(s.target, s.data, [f"row {i}"] + ["again"] * (i in (0, 1, n - 2, n - 1)))
		    s.close()
		# The same in replay.
		crowd.streams.clear()
		some = {ask(i, "&since=all"): i for i in range(2, n - 2, 25)}
		commit(db, *(dict(data="end", **place(i)) for i in some.values()))
		crowd.each(lambda s: s.has("end"), "its own row again")
		for s, i in some.items():
		    expect(s.target, s.data, [f"row {i}", "end"])
	PY
	assert_healthy
}

@test "filters: in replay private rows reach only their user, by channel, by pattern and without" {
	begin
	play <<-'PY'
		users, channels = [None, "ann", "bob"], ["a", "a.b", "b"]
		rows = [dict(data=str(i), channel=channels[i % 3], recipient=users[i // 3 % 3])
		        for i in range(5000)]
		commit(db, *rows)
		asked = {"": channels, "&channel=a": ["a"], "&channel=a*": ["a", "a.b"],
		         "&channel=b&channel=a": ["a", "b"], "&channel=a&channel=a*": ["a", "a.b"]}
		streams = []
		for how in "?since=all", "?since=all&throttle=1":
		    for query, wanted in asked.items():
		        for user in users:
		            settings = {"REMOTE_USER": user} if user else {}
		            streams.append((crowd.open(how + query, **settings), wanted, user))
		commit(db, *(dict(data="end", channel=c) for c in ("a", "b")))
		for s, wanted, user in streams:
		    crowd.until(lambda: s.has("end") and len(s.data) and s.data.count("end")
		                == len([c for c in wanted if c != "a.b"]), "the end")
		    expect(f"{s.target} of {user}", [d for d in s.data if d != "end"],
		           [r["data"] for r in rows if r["channel"] in wanted
		            and r["recipient"] in (None, user)])
	PY
	assert_healthy
}

@test "filters: a row that matches in more than one way comes once, live too" {
	begin
	play <<-'PY'
		targets = ["?channel=a&channel=a", "?channel=a&channel=a*&channel=*", "", "?channel=a"]
		for target in targets:
		    crowd.open(target, REMOTE_USER="ann")
		    crowd.open(target + ("&" if target else "?") + "since=all", REMOTE_USER="ann")
		crowd.each(lambda s: s.is_open)
		commit(db, dict(data="1", channel="a"), dict(data="2", channel="a", recipient="ann"))
		commit(db, dict(data="3", channel="a", recipient="bob"), dict(data="4", channel="a"))
		crowd.each(lambda s: s.has("4"))
		for s in crowd.streams:
		    expect(s.target, s.data, ["1", "2", "4"])
	PY
	assert_healthy
}

# --- collapse and throttle --------------------------------------------------------------------

@test "collapse: a catch-up leaves out superseded rows only, and of each key never the newest" {
	begin
	play <<-'PY'
		rows = []
		for i in range(6000):
		    key = None if i % 3 == 0 else f"k{random.randrange(20)}"
		    rows.append(dict(data=f"{i}", channel=random.choice("ab"), collapse_key=key,
		                     recipient=random.choice([None, "ann", "bob"])))
		for at in range(0, len(rows), 500):
		    commit(db, *rows[at:at + 500])
		streams = {}
		for how in "", "&throttle=1":
		    for user in None, "ann", "bob":
		        for query in "", "&channel=a", "&channel=[b]":
		            settings = {"REMOTE_USER": user} if user else {}
		            streams[crowd.open("?since=all" + how + query, **settings)] = (user, query)
		commit(db, *(dict(data="end", channel=c) for c in "ba"), dict(data="end", channel="b"))
		ends = {"": 3, "&channel=a": 1, "&channel=[b]": 2}
		for s, (user, query) in streams.items():
		    crowd.until(lambda: s.has("end") and s.data.count("end") == ends[query], "the end")
		    mine = [r for r in rows if r["recipient"] in (None, user)
		            and (not query or r["channel"] in query[8:])]
		    newest = {(r["channel"], r["recipient"], r["collapse_key"]): r["data"] for r in mine}
		    must = [r["data"] for r in mine if r["collapse_key"] is None or r["data"]
		            == newest[r["channel"], r["recipient"], r["collapse_key"]]]
		    got = [d for d in s.data if d != "end"]
		    check("not in order, or twice", got == sorted(set(got), key=int))
		    check("not its own", set(got) <= {r["data"] for r in mine})
		    expect(f"{s.target} of {user}: what may not be left out",
		           [d for d in got if d in set(must)], must)
	PY
	assert_healthy
}

@test "throttle: a ticker of 20 keys costs few writes and ends on the newest of each" {
	begin
	play <<-'PY'
		slow = crowd.listen("?channel=tick&throttle=300")
		mixed, fast = crowd.listen("?throttle=300"), crowd.listen("?channel=tick")
		plain = []
		for i in range(400):
		    ticks = [dict(data=f"{k}={i}", channel="tick", collapse_key=f"{k}") for k in range(20)]
		    plain.append(f"plain {i}")
		    commit(db, *ticks, dict(data=plain[-1], channel="other"))
		newest = [f"{k}=399" for k in range(20)]
		crowd.each(lambda s: s.has(newest[-1]) and
		           [d for d in s.data if d[0] != "p"][-20:] == newest,
		           "the newest of each key")
		# One record is one write here: it would hold 200 rows.
		last = slow.writes[-1][0]
		check(f"{len(slow.writes)} writes in {last} s", len(slow.writes) <= last / 0.3 + 1)
		# Keys whose hashes meet may lose each other's trail, hence some more.
		check(f"{len(slow.data)} of 8,000 rows", len(slow.data) <= 20 * len(slow.writes) + 400)
		expect("rows without a key", [d for d in mixed.data if d[0] == "p"], plain)
		check("not in order", all(s.ids == sorted(set(s.ids)) for s in crowd.streams))
	PY
	assert_healthy
}

@test "throttle: no write comes earlier than that after the one before" {
	begin --heartbeat 60
	play <<-'PY'
		# From before the first write, so that our own lateness makes nothing look early.
		started = time.monotonic()
		a = crowd.listen("?throttle=400")
		for i in range(1, 5):
		    commit(db, f"a{i}", f"b{i}")
		    crowd.until(lambda: a.has(f"b{i}"), "a row")
		    passed = time.monotonic() - started
		    check(f"write {i} after {passed} s", passed >= 0.4 * i - 0.03)
		expect("rows", a.data, [f"{c}{i}" for i in range(1, 5) for c in "ab"])
		expect("writes", [c.count(b"data:") for _, c in a.writes], [2] * 4)
	PY
	assert_healthy
}

@test "throttle: a long history comes in few large writes, as far apart" {
	begin --heartbeat 60
	play <<-'PY'
		wanted = [f"{i} {'x' * 1000}" for i in range(3500)]
		commit(db, *wanted)
		started = time.monotonic()
		a = crowd.open("?since=all&throttle=400")
		crowd.until(lambda: a.has(wanted[-1]), "the history")
		# 3.5 MB are four pages, the first of them an interval behind the opening.
		passed = time.monotonic() - started
		check(f"all of it after {passed} s", passed >= 4 * 0.4 - 0.05)
		expect("rows", a.data, wanted)
	PY
	assert_healthy
}

@test "expired: a row whose time ran out while its reader was away is not delivered" {
	begin --window-bytes 64K
	play <<-'PY'
		a, live = crowd.listen(), crowd.listen()
		commit(db, "first")
		crowd.each(lambda s: s.has("first"))
		away = crowd.streams.pop(0)
		away.pause()
		for i in range(40):
		    commit(db, f"{i}" + "x" * 20000)
		soon = int(time.time() * 1000) + 300
		commit(db, dict(data="stale", expires_at=soon), dict(data="lasting", expires_at=soon + 10 ** 7))
		commit(db, "last")
		crowd.each(lambda s: s.has("last"))
		while time.time() * 1000 <= soon + 50:
		    time.sleep(0.02)
		away.go_on()
		crowd.until(lambda: away.has("last"), "the last row")
		expect("rows", [d.rstrip("x") for d in away.data],
		       ["first"] + [f"{i}" for i in range(40)] + ["lasting", "last"])
		back = crowd.listen(f"?last_event_id={away.ids[0]}")
		crowd.until(lambda: back.has("last"), "the last row")
		expect("rows", back.data, away.data[1:])
	PY
	assert_healthy
}

# --- limits ---------------------------------------------------------------------------------

@test "limits: over --max-streams-per-user or -per-address the newest goes, a place is free again" {
	begin --max-streams-per-user 3 --max-streams-per-address 5 --retry 1000
	play <<-'PY'
		def refused(why, **settings):
		    s = crowd.open("?since=all", **settings)
		    crowd.until(lambda: s.closed, "the end of one too many")
		    s.parse()
		    check(f"{s.header!r}: not 200", "Status:" not in s.header)
		    check(f"{s.comments}", any(why in c for c in s.comments))
		    check(f"retry: {s.retries}", len(s.retries) == 1 and 1000 <= s.retries[0] <= 3000)
		    expect("rows", s.data, [])
		    check("not ended properly", s.ended)
		    crowd.streams.remove(s)
		    return s.retries[0]
		ann = dict(REMOTE_USER="ann", REMOTE_ADDR="10.0.0.1")
		old = [crowd.listen(**ann) for _ in range(3)]
		retries = {refused("user", **ann) for _ in range(20)}
		check(f"no jitter: {retries}", len(retries) > 1)
		refused("user", REMOTE_USER="ann", REMOTE_ADDR="10.0.0.2")
		old += [crowd.listen(REMOTE_USER="bob", REMOTE_ADDR="10.0.0.1"),
		        crowd.listen(REMOTE_ADDR="10.0.0.1")]
		refused("address", REMOTE_USER="eve", REMOTE_ADDR="10.0.0.1")
		refused("address", REMOTE_ADDR="10.0.0.1")
		# Those without a user are not one user.
		old += [crowd.listen(REMOTE_ADDR="10.0.0.3") for _ in range(4)]
		commit(db, "1")
		crowd.each(lambda s: s.has("1"), "a row on the old ones")
		# One of them goes: there is a place again, for one.
		old[0].close()
		crowd.streams.remove(old[0])
		def comes_in(**settings):
		    s = crowd.open(**settings)
		    crowd.until(lambda: s.is_open or s.closed, "an answer")
		    if s.closed:
		        crowd.streams.remove(s)
		    return s.is_open
		crowd.until(lambda: comes_in(**ann), "the place of the closed one")
		refused("user", **ann)
		commit(db, "2")
		crowd.each(lambda s: s.has("2"), "a row on all")
		expect("an old stream", old[1].data, ["1", "2"])
	PY
	assert_healthy
}

@test "limits: --max-streams: whoever goes makes room for one, and nobody is put out" {
	begin --max-streams 20
	play <<-'PY'
		for _ in range(20):
		    crowd.open()
		crowd.each(lambda s: s.is_open)
		for turn in range(20):
		    extra = crowd.open()
		    crowd.until(lambda: extra.closed, "the end of one too many")
		    crowd.streams.remove(extra)
		    crowd.streams.pop(0).close()
		    def comes_in():
		        s = crowd.open()
		        crowd.until(lambda: s.is_open or s.closed, "an answer")
		        if s.closed:
		            crowd.streams.remove(s)
		        return s.is_open
		    crowd.until(comes_in, "the place of the closed one")
		commit(db, "row")
		crowd.each(lambda s: s.has("row"))
		expect("streams", len(crowd.streams), 20)
	PY
	assert_healthy
}

@test "limits: --max-age: a reader that is sent away and comes back loses nothing" {
	begin --max-age 0.5 --retry 100
	play <<-'PY'
		seen, number, lives = {}, 0, 0
		crowd.open(), crowd.open("?throttle=50"), crowd.open("?channel=default")
		crowd.each(lambda s: s.is_open)
		seen = {s.target: [] for s in crowd.streams}
		while lives < 9:
		    commit(db, *range(number, number + 7))
		    number += 7
		    crowd.turn()
		    for s in [s for s in crowd.streams if s.closed]:
		        s.parse()
		        check("not ended properly", s.ended)
		        age = time.monotonic() - s.opened_at
		        check(f"ended after {age} s", age >= 0.44)
		        check(f"retry: {s.retries}", len(s.retries) == 2 and 100 <= s.retries[1] <= 200)
		        check(f"{s.comments}", any("max age" in c for c in s.comments))
		        seen[s.target] += s.data
		        crowd.streams.remove(s)
		        s.resume()
		        lives += 1
		commit(db, "end")
		for target, data in seen.items():
		    while data[-1:] != ["end"]:
		        s = next(s for s in crowd.streams if s.target == target)
		        crowd.until(lambda: s.closed or s.has("end"), "the last row")
		        data += s.data
		        crowd.streams.remove(s)
		        data[-1:] == ["end"] or s.resume()
		    expect(target, data, [str(i) for i in range(number)] + ["end"])
	PY
	assert_healthy
}

@test "limits: --stall-timeout closes who takes nothing, not who is slow, and neither loses a row" {
	begin --stall-timeout 2 --heartbeat 60
	play <<-'PY'
		stuck, slow = crowd.listen(), crowd.listen()
		stuck.pause(), slow.pause()
		sizes = [random.choice([10, 3000, 20000]) for _ in range(150)]
		commit(db, *(f"{i} {'x' * size}" for i, size in enumerate(sizes)))
		commit(db, "end")
		# Some bytes now and then, for two timeouts.
		until = time.monotonic() + 4.2
		while time.monotonic() < until:
		    slow.read(20000)
		    time.sleep(0.05)
		check("the slow reader was closed", not slow.closed)
		slow.go_on()
		crowd.until(lambda: slow.has("end"), "the end")
		wanted = [f"{i} {'x' * size}" for i, size in enumerate(sizes)] + ["end"]
		expect("the slow reader's rows", slow.data, wanted)
		# It was cut off within a record: what it has of it is no event.
		stuck.socket.setblocking(True)
		while data := stuck.socket.recv(1 << 20):
		    stuck.unread += data
		raw, at = bytes(stuck.unread), 0
		while at + 8 <= len(raw):
		    size = int.from_bytes(raw[at + 4:at + 6], "big")
		    stuck.take(raw[at + 8:at + 8 + size])
		    at += 8 + size
		rows = stuck.data
		check("the stuck reader was not closed early", 0 < len(rows) < len(wanted))
		back = stuck.resume()
		crowd.until(lambda: back.has("end"), "the end")
		expect("the stuck reader's rows", rows + back.data, wanted)
	PY
	assert_healthy
}

@test "limits: the soft limit of descriptors is raised to the hard one" {
	init_db
	ulimit -Sn 128
	start_rowcast
	run awk '/^Max open files/ { print $4, $5 }' "/proc/$ROWCAST_PID/limits"
	assert_output "$(ulimit -Hn) $(ulimit -Hn)"
	ulimit -Sn "$(ulimit -Hn)"
	play <<-'PY'
		for _ in range(300):
		    crowd.open()
		crowd.each(lambda s: s.is_open)
		commit(db, "row")
		crowd.each(lambda s: s.has("row"))
	PY
	assert_healthy
}

# --- storms -----------------------------------------------------------------------------------

@test "storm: 1,000 connects at once all become streams" {
	streams_possible 1000
	begin --heartbeat 60
	play "$STREAMS" <<-'PY'
		import socket
		# All of them connect while rowcast cannot accept, then all ask, then all read.
		os.kill(pid, signal.SIGSTOP)
		for _ in range(int(args[0])):
		    crowd.open()
		os.kill(pid, signal.SIGCONT)
		crowd.each(lambda s: s.is_open)
		commit(db, "row")
		crowd.each(lambda s: s.has("row"))
		check("once", all(s.data == ["row"] for s in crowd.streams))
	PY
	assert_healthy
}

# What a process has read by read(2) and the like, in bytes: sockets are read by recv(2).
@test "storm: 500 streams that resume after a restart, 200 rows behind, read the table once" {
	streams_possible 500
	begin
	stop_rowcast
	play "$STREAMS" <<-'PY'
		commit(db, *(f"{i} " + "x" * 3000 for i in range(1, 301)))
	PY
	start_rowcast --heartbeat 60
	play "$STREAMS" <<-'PY'
		def bytes_read():
		    return int(open(f"/proc/{pid}/io").read().split()[1])
		last = db.execute("SELECT id FROM notification ORDER BY id LIMIT 1 OFFSET 99").fetchone()[0]
		before = bytes_read()
		for _ in range(int(args[0])):
		    crowd.open("?since=all", HTTP_LAST_EVENT_ID=last)
		crowd.each(lambda s: s.has("300 " + "x" * 3000))
		wanted = [f"{i} " for i in range(101, 301)]
		for s in crowd.streams:
		    expect("rows", [line[6:-3000].decode() for line in s.body.split(b"\n")
		                    if line.startswith(b"data: ") and b"x" in line], wanted)
		commit(db, "live")
		crowd.each(lambda s: s.has("live"))
		mib = (bytes_read() - before) / 2 ** 20
		check(f"{mib} MiB read of a table of 1", mib < 8)
	PY
	assert_healthy
}

@test "storm: a writer as fast as it can, single commits, each row once in order, and later ones" {
	begin
	cat >"$T/writer.py" <<-'PY'
		import os, sqlite3, sys
		db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
		db.execute("PRAGMA synchronous = OFF")
		number = db.execute("SELECT count(*) FROM notification").fetchone()[0]
		least = number + 700
		while number < least or not os.path.exists(sys.argv[2]):
		    number += 1
		    db.execute("INSERT INTO notification(data) VALUES (?)", (number,))
		print(number)
	PY
	listen_direct a
	local total writer
	for _ in 1 2 3 4 5; do
		background python3 "$T/writer.py" "$DB" "$T/enough" >"$T/total" 2>"$T/writer.err"
		writer=$PID
		# File events are off while there is always something new (watch.c), and then on again.
		wait_for events_are_off
		touch "$T/enough"
		wait_for group_is_gone "$writer"
		total=$(cat "$T/total")
		expect_data a "$total"
		wait_for events_are_on
		row $((total + 1))
		expect_data a $((total + 1))
		rm "$T/enough"
	done
	assert_equal "$(data_of a | sha256sum)" "$(seq $((total + 1)) | sha256sum)"
	assert_equal "$(ids_of a | sha256sum)" \
		"$(sql 'SELECT id FROM notification ORDER BY id' | sha256sum)"
	assert_healthy
}
events_are_on() { grep -qs '^inotify wd:.*mask:' "/proc/$ROWCAST_PID/fdinfo/"*; }
events_are_off() { ! events_are_on; }

# --- faults -----------------------------------------------------------------------------------

@test "fault: rows deleted while they are replayed: the gap is told, and nothing else is missing" {
	begin --window-bytes 64K
	play <<-'PY'
		for size in 100, 30000:
		    db.execute("DELETE FROM notification")
		    commit(db, *(f"{i} " + "x" * size for i in range(1, 20001 if size == 100 else 201)))
		    ids = [row[0] for row in db.execute("SELECT id FROM notification ORDER BY id")]
		    a = crowd.listen(f"?channel=default&last_event_id={ids[0] - 1}", HTTP_X="a")
		    a.pause()
		    # Behind a full socket now. What goes is before, at and behind the place where it is.
		    deleted = ids[-20]
		    db.execute("DELETE FROM notification WHERE id <= ?", (deleted,))
		    commit(db, "end")
		    a.go_on()
		    crowd.until(lambda: a.closed or a.has("end"), "the end")
		    rows, gaps, last = a.rows, a.gaps, a.last_id
		    if a.closed:
		        # The event that was half out is no longer there.
		        check("closed between two events", not a.body.endswith(b"\n\n"))
		        expect("gaps", gaps, [])
		        crowd.streams.remove(a)
		        a = crowd.open(f"?last_event_id={last}")
		        crowd.until(lambda: a.has("end"), "the end")
		        rows, gaps = rows + a.rows, a.gaps
		    got = [row[0] for row in rows]
		    before = [i for i in got if i <= deleted]
		    expect("rows before the gap", before, ids[:len(before)])
		    check("the replay was over before the rows were deleted", len(before) < len(ids) - 20)
		    expect("gap", gaps, [{"reason": "pruned", "after": str(before[-1]),
		                          "resumed_at": str(deleted)}])
		    expect("rows behind it", got[len(before):], ids[-19:] + [ids[-1] + 1])
		    crowd.streams.remove(a)
		    a.close()
	PY
	assert_healthy
}

@test "fault: streams that are closed while they wait in the catch-up queue" {
	begin --heartbeat 60
	rows 1 20000
	play <<-'PY'
		stays = crowd.listen()
		for turn in range(6):
		    # Of one audience, of audiences of their own, throttled ones, and ones that seek.
		    for i in range(80):
		        crowd.open(["?since=all", f"?since=all&channel=default&channel=x{i}",
		                    "?since=all&throttle=1", "?last=1000&channel=nothing",
		                    f"?channel=nothing{i}&since=all"][i % 5])
		    some = random.sample(crowd.streams[1:], 79)
		    crowd.until(lambda: any(s.header for s in some), "the first answer")
		    for s in some:
		        s.close()
		    left = next(s for s in crowd.streams[1:] if not s.closed)
		    commit(db, f"turn {turn}")
		    crowd.until(lambda: stays.has(f"turn {turn}"), "a live row")
		    if "nothing" not in left.target:
		        crowd.until(lambda: left.has(f"turn {turn}"), "the end of a replay")
		        expect("rows", left.data, [str(i) for i in range(1, 20001)]
		               + [f"turn {i}" for i in range(turn + 1)])
		    left.close()
		    crowd.streams = [stays]
	PY
	assert_healthy
}

@test "fault: a socket that fills up within a record or an event: whole records, each row once" {
	begin --window-bytes 64K --heartbeat 0.05
	play <<-'PY'
		readers = [crowd.listen(), crowd.listen("?throttle=20"), crowd.listen("?since=all"),
		           crowd.listen("", HTTP_ACCEPT="text/event-stream", HTTP_X="1")]
		number, wanted = 0, []
		for turn in range(60):
		    for s in random.sample(readers, 3):
		        s.go_on() if s.paused else s.pause()
		    size = random.choice([0, 100, 5003, 8150, 8192, 9001, 40000, 250000])
		    batch = [f"{number + i} {'y' * size}" for i in range(random.choice([1, 1, 2, 9]))]
		    number += len(batch)
		    wanted += batch
		    commit(db, *batch)
		    for s in readers:
		        s.paused or s.read(random.choice([1, 1000, 100000]))
		commit(db, "end")
		for s in readers:
		    s.go_on()
		crowd.each(lambda s: s.has("end"))
		for s in readers:
		    expect(s.target, s.data, wanted + ["end"])
		    expect("gaps", s.gaps, [])
	PY
	assert_healthy
}

@test "fault: a web server that stops reading holds up nobody else, and misses nothing" {
	# AddressSanitizer would keep 256 MB of freed memory.
	export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1
	begin
	start_lighttpd
	local i before after
	for i in 1 2 3 4 5; do
		listen "web$i" "$(url)"
	done
	listen_direct direct
	before=$(awk '/^VmRSS/ { print $2 }' "/proc/$ROWCAST_PID/status")
	kill -STOP "$SERVER_PID"
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
	     INSERT INTO notification(data) SELECT i || hex(zeroblob(25000)) FROM n"
	row end
	expect_data direct end
	after=$(awk '/^VmRSS/ { print $2 }' "/proc/$ROWCAST_PID/status")
	# 20 MB wait for each of five; the window is 4 MiB.
	((after - before < 25000)) || fail "rowcast grew by $((after - before)) KiB"
	kill -CONT "$SERVER_PID"
	for i in 1 2 3 4 5; do
		expect_data "web$i" end
		assert_equal "$(data_of "web$i" | cut -c1-40 | sed 's/0\{30,\}$//' | md5sum)" \
			"$(data_of direct | cut -c1-40 | sed 's/0\{30,\}$//' | md5sum)"
		assert_equal "$(ids_of "web$i")" "$(sql 'SELECT id FROM notification ORDER BY id')"
	done
	assert_healthy
}

@test "fault: rowcast killed in the middle of 50 replays: all of them go on behind it" {
	begin --window-bytes 256K
	rows 1 20000
	play "$T/resume.json" <<-'PY'
		for i in range(50):
		    crowd.open("?since=all" + ["", "&channel=default", "&throttle=5"][i % 3])
		crowd.until(lambda: len(crowd.streams[0].body) > 20000, "the beginning")
		os.kill(pid, signal.SIGKILL)
		crowd.fail = lambda why, stream=None: None  # a record may well be cut short
		crowd.each(lambda s: s.closed)
		json.dump([(s.target, s.ids) for s in crowd.streams], open(args[0], "w"))
	PY
	start_rowcast --window-bytes 256K
	play "$T/resume.json" <<-'PY'
		before = json.load(open(args[0]))
		for target, ids in before:
		    settings = {"HTTP_LAST_EVENT_ID": ids[-1]} if ids else {}
		    crowd.open(target, **settings)
		commit(db, "end")
		crowd.each(lambda s: s.has("end"))
		wanted = [row[0] for row in db.execute("SELECT id FROM notification ORDER BY id")]
		for s, (target, ids) in zip(crowd.streams, before):
		    expect(target, ids + s.ids, wanted)
	PY
	assert_healthy
}
