#!/usr/bin/env bats
# replay.bats - streams that are behind, many at once: their replays hold up no live stream, and they
# lose no row when rows are deleted, their connection ends, or rowcast is killed meanwhile.
#
# shellcheck shell=bash

load helper
load crowd

begin() {
	init_db
	start_rowcast "$@"
}

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

@test "fairness: streams that search 200,000 rows for the few that they may read delay no other stream" {
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

@test "fault: rows deleted while they are replayed: there is a gap event, and nothing else is missing" {
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
