#!/usr/bin/env bats
# filters.bats - which rows a stream gets: channels, patterns, recipients, superseded and expired rows;
# with many streams and many rows, live and in a replay.
#
# shellcheck shell=bash

load helper
load crowd

begin() {
	init_db
	start_rowcast "$@"
}

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
