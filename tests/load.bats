#!/usr/bin/env bats
# load.bats - many connects, many commits, and readers that take less than there is: how many writes
# that costs, who is closed, and that each row comes once.
#
# shellcheck shell=bash

load helper
load crowd

begin() {
	init_db
	start_rowcast "$@"
}

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

events_are_on() { grep -qs '^inotify wd:.*mask:' "/proc/$ROWCAST_PID/fdinfo/"*; }
events_are_off() { ! events_are_on; }

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

@test "fault: a web server that stops reading delays no other reader, and misses nothing" {
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
