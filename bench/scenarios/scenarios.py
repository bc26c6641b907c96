"""The scenarios that need no web server: the responder against the floors.

Each is a generator of Figures. The thing and its baseline run side by side in chunks, turn by
turn, and the ratio is the median of the ratios of the pairs: what the machine's other tenants do
then hits both."""

import glob
import json
import os
import select
import sqlite3
import statistics
import subprocess
import time

from harness import BUILD, Failed, Place, cpu_ns, pss_bytes, wake_ups

SCENARIOS = {}
KIB = 1024


def scenario(name):
    def register(function):
        SCENARIOS[name] = function
        return function
    return register


class Figure:
    """One line of the table. `value` (and `baseline`, in the same unit) are for people; `judged`
    is what `limit` is about: "<=" or ">=" and a number. `peers`: what others took, in the unit."""

    def __init__(self, name, unit, value, *, target, sense=None, limit=None, judged=None,
                 baseline=None, against="", wall="", note="", peers=None):
        self.name, self.unit, self.value = name, unit, value
        self.target, self.sense, self.limit = target, sense, limit
        self.judged = value if judged is None else judged
        self.baseline, self.against, self.wall, self.note = baseline, against, wall, note
        self.peers = peers or {}
        self.data = {}

    def verdict(self):
        if self.sense is None:
            return ""
        good = self.judged <= self.limit if self.sense == "<=" else self.judged >= self.limit
        return "pass" if good else "MISS"

    def peers_ahead(self):
        """Names of the peers that did better."""
        sign = -1 if self.sense == ">=" else 1
        return [name for name, value in self.peers.items() if sign * value < sign * self.value]

    def ratio(self):
        if self.baseline in (None, 0):
            return None
        return self.judged if self.data.get("paired") else self.value / self.baseline


class Settings:
    quick = False


def median(values):
    return statistics.median(values)


class Probe:
    """CPU of some processes, and the load's answer, for one command."""

    def __init__(self, load, *daemons):
        self.load, self.daemons = load, daemons

    def __call__(self, command):
        pids = [pid for daemon in self.daemons for pid in daemon.pids()]
        before = cpu_ns(pids)
        answer = self.load(command)
        answer["cpu_ns"] = cpu_ns(pids) - before
        return answer


def in_turn(rounds, *chunks):
    """Runs the chunks turn by turn; returns one list of answers for each."""
    answers = [[] for _ in chunks]
    for turn in range(rounds):
        order = list(enumerate(chunks))
        for i, (probe, command) in (order if turn % 2 == 0 else reversed(order)):
            answers[i].append(probe(command))
    return answers


def each_ns(answers, count):
    return [answer["cpu_ns"] / count for answer in answers]


def paired(figure, values, baselines):
    """Judges the median of the ratios of the pairs."""
    figure.judged = median([a / b for a, b in zip(values, baselines)])
    figure.data.update(paired=True, values=values, baselines=baselines)
    return figure


def gap_us(streams):
    """Enough for everybody to be asleep again before the next row."""
    return 2000 + 4 * streams


class Direct:
    """rowcast and the floor, each with so many streams straight at their sockets."""

    def __init__(self, place, streams, query="channel=bench"):
        self.rowcast = place.rowcast(place.new_db(), "--heartbeat", "0")
        self.floor = place.trivial()
        self.load = place.load("--fcgi", self.rowcast.sock, "--db", place.path("bench.db"))
        self.floor_load = place.load("--fcgi", self.floor.sock, "--trivial", self.floor.control)
        self.probe = Probe(self.load, self.rowcast)
        self.floor_probe = Probe(self.floor_load, self.floor)
        for load in (self.load, self.floor_load):
            load(f"open {streams} {query}")
            load(f"rows 10 1 {gap_us(streams)}")  # not counted: page faults, caches


def one_by_one(streams, rows, rounds):
    with Place() as place:
        direct = Direct(place, streams)
        command = f"rows {rows} 1 {gap_us(streams)}"
        ours, floor = in_turn(rounds, (direct.probe, command), (direct.floor_probe, command))
    return each_ns(ours, rows * streams), each_ns(floor, rows * streams)


@scenario("one-by-one")
def rows_one_by_one():
    for streams, rows in ((1000, 60), (5000, 20)):
        ours, floor = one_by_one(streams, rows, 5 if Settings.quick else 11)
        yield paired(Figure(f"one by one, {streams} streams", "ns/delivery", median(ours),
                            target="<= 1.25 x bare send (aim 1.1)", sense="<=", limit=1.25,
                            baseline=median(floor), against="bare send"), ours, floor)


@scenario("one-commit")
def rows_in_one_commit():
    for streams in (1000, 5000):
        with Place() as place:
            direct = Direct(place, streams)
            ours, floor = in_turn(
                3 if Settings.quick else 7, (direct.probe, "rows 500 500 0"),
                (direct.floor_probe, f"rows {20000 // streams} 1 {gap_us(streams)}"))
        ours_ns = each_ns(ours, 500 * streams)
        yield paired(Figure(f"500 rows in one commit, {streams} streams", "ns/delivery",
                            median(ours_ns), target="<= 0.15 x bare send", sense="<=",
                            limit=0.15, baseline=median(each_ns(floor, 20000)),
                            against="bare send, one by one",
                            wall=f"{median([a['wall_us'] for a in ours]) / 1000:.0f} ms"),
                     ours_ns, each_ns(floor, 20000))


@scenario("idle-memory")
def idle_memory():
    streams = 10000
    with Place() as place:
        rowcast = place.rowcast(place.new_db(), "--heartbeat", "0")
        load = place.load("--fcgi", rowcast.sock, "--db", place.path("bench.db"))
        load("open 1 channel=bench")
        before = pss_bytes(rowcast.pid)
        opened = load(f"open {streams} channel=bench")
        time.sleep(1)
        grown = pss_bytes(rowcast.pid) - before
        load("rows 20 1 100000")
        after_rows = pss_bytes(rowcast.pid) - before
    yield Figure(f"idle memory, {streams} streams", "bytes/stream", grown / streams,
                 target="<= 1024 (aim 600)", sense="<=", limit=KIB,
                 wall=f"opened in {opened['wall_us'] / 1000:.0f} ms",
                 note=f"{after_rows / streams:.0f} after 20 rows; Nchan 10 KiB, lighttpd 4.6, "
                      "nginx with FastCGI 17.7 (issue)")


@scenario("at-rest")
def at_rest():
    seconds = 5
    with Place() as place:
        rowcast = place.rowcast(place.new_db(), "--heartbeat", "0")
        load = place.load("--fcgi", rowcast.sock, "--db", place.path("bench.db"))
        load("open 10000 channel=bench")
        load("rows 1 1 1")
        time.sleep(3)  # the retries after the row end
        wakes, cpu = wake_ups(rowcast.pid), cpu_ns([rowcast.pid])
        time.sleep(seconds)
        wakes, cpu = wake_ups(rowcast.pid) - wakes, cpu_ns([rowcast.pid]) - cpu
    yield Figure("wake-ups at rest, 10000 streams, heartbeat off", "a second", wakes / seconds,
                 target="<= 2", sense="<=", limit=2)
    yield Figure("CPU at rest, the same", "us a second", cpu / seconds / 1000,
                 target="not measurable (<= 1000)", sense="<=", limit=1000)


# --- replay -----------------------------------------------------------------------------------

def fill(place, db, rows, sock="none", size=100):
    """Rows into a table before rowcast sees it."""
    load = place.load("--fcgi", sock, "--db", db)
    load(f"size {size}")
    load(f"rows {rows} {rows} 0")
    load("sql PRAGMA wal_checkpoint(TRUNCATE)")
    place.stop(load)


def scan(db):
    out = subprocess.run([os.path.join(BUILD, "bench/clients/scan"), db], check=True,
                         capture_output=True).stdout
    return json.loads(out)


@scenario("replay-one")
def replay_to_one():
    rows = 100000
    queries = {"all channels": "since=all", "one exact channel": "channel=bench&since=all"}
    ours, floor = {name: [] for name in queries}, []
    with Place() as place:
        db = place.new_db()
        fill(place, db, rows)
        rowcast = place.rowcast(db, "--heartbeat", "0")
        load = place.load("--fcgi", rowcast.sock, "--db", db)
        load(f"next {rows}")
        probe = Probe(load, rowcast)
        scan(db)
        for _ in range(5 if Settings.quick else 15):
            floor.append(scan(db))
            for name, query in queries.items():
                ours[name].append(probe(f"replay 1 {rows} {query}"))
                load("close")
    bare = [rows / answer["wall_us"] for answer in floor]
    bare_ms = median([answer["cpu_us"] for answer in floor]) / 1000
    for name, answers in ours.items():
        rates = [rows / answer["wall_us"] for answer in answers]
        cpu_ms = median([answer["cpu_ns"] for answer in answers]) / 1e6
        yield paired(Figure(
            f"replay of 100000 rows to one stream, {name}", "million rows/s", median(rates),
            target=">= 0.5 x sqlite3_step and encode", sense=">=", limit=0.5,
            baseline=median(bare), against="bare sqlite3_step and encode",
            wall=f"{rows / median(rates) / 1000:.0f} ms",
            note=f"by CPU {bare_ms / cpu_ms:.2f}: {cpu_ms:.0f} ms, bare {bare_ms:.0f} ms"),
            rates, bare)


@scenario("exact-channels")
def exact_channels():
    rows, gap = 200, 2000
    with Place() as crowded, Place() as alone:
        probes = []
        for place, streams in ((crowded, 5000), (alone, 1)):
            db = place.new_db()
            rowcast = place.rowcast(db, "--heartbeat", "0")
            load = place.load("--fcgi", rowcast.sock, "--db", db)
            load(f"open {streams} channel=c%d")
            load("receivers 1")
            load("channel c0")
            load(f"rows 20 1 {gap}")
            probes.append(Probe(load, rowcast))
        many, one = in_turn(3 if Settings.quick else 7,
                            *[(probe, f"rows {rows} 1 {gap}") for probe in probes])
    many_us = [value / 1000 for value in each_ns(many, rows)]
    one_us = [value / 1000 for value in each_ns(one, rows)]
    yield paired(Figure("a row for one of 5000 exact channels", "us/row", median(many_us),
                        target="<= 3 x one stream in all", sense="<=", limit=3,
                        baseline=median(one_us), against="one stream in all"), many_us, one_us)


def big_table(rows):
    """Made once and kept in bench/out: by one transaction without a journal."""
    os.makedirs(os.path.join(BUILD, "bench/out"), exist_ok=True)
    db = os.path.join(BUILD, f"bench/out/rows-{rows}.db")
    if os.path.exists(db):
        return db
    with Place() as place:
        made = place.new_db()
        load = place.load("--fcgi", "none", "--db", made)
        load("sql PRAGMA locking_mode = EXCLUSIVE")
        load("sql PRAGMA journal_mode = OFF")
        load("sql PRAGMA synchronous = OFF")
        load("sql PRAGMA cache_size = -500000")
        load("size 40")
        load(f"rows {rows} {rows} 0")
        load("sql PRAGMA journal_mode = WAL")
        place.stop(load)
        os.replace(made, db) if os.stat(made).st_dev == os.stat(os.path.dirname(db)).st_dev \
            else subprocess.run(["mv", made, db], check=True)
    return db


@scenario("resume-deep")
def resume_deep():
    rows, streams, missed = 500000 if Settings.quick else 5000000, 100, 10
    with Place() as place:
        small = place.new_db()
        fill(place, small, 1000, size=40)
        probes = []
        for name, db in (("deep", big_table(rows)), ("shallow", small)):
            with sqlite3.connect(db) as connection:
                tail, count = connection.execute(
                    "SELECT max(id), count(*) FROM notification").fetchone()
            connection.close()
            rowcast = place.rowcast(db, "--heartbeat", "0", name=name)
            load = place.load("--fcgi", rowcast.sock, "--db", db)
            load(f"next {count}")
            probes.append((Probe(load, rowcast), tail - missed))
        answers = ([], [])
        for _ in range(5 if Settings.quick else 15):
            for i, (probe, after) in enumerate(probes):
                answers[i].append(probe(
                    f"replay {streams} {missed} channel=bench&last_event_id={after}"))
                probe.load("close")
    deep, shallow = ([value / 1000 for value in each_ns(some, streams)] for some in answers)
    yield paired(Figure(f"resume at the end of {rows} rows", "us CPU/stream", median(deep),
                        target="as with 1000 rows, within noise (<= 1.2)", sense="<=",
                        limit=1.2, baseline=median(shallow), against="1000 rows"),
                 deep, shallow)
    for path in glob.glob(os.path.join(BUILD, "bench/out/rows-*.db-*")):
        os.unlink(path)


# --- writers, stuck readers ---------------------------------------------------------------------

@scenario("insert-rate")
def insert_rate():
    """Short chunks in turn: the time of a commit depends on the disk and on who else runs."""
    rows, rounds = 1500, 9 if Settings.quick else 31
    with Place() as place, Place() as free:
        db = place.new_db()
        rowcast = place.rowcast(db, "--heartbeat", "0")
        load = place.load("--fcgi", rowcast.sock, "--db", db)
        with_it = Probe(load, load)
        load = free.load("--fcgi", "none", "--db", free.new_db())
        without = Probe(load, load)
        for streams in (0, 1):
            if streams:
                with_it.load(f"open {streams} channel=bench")
            command = f"rows {rows} 1 0"
            ours, bare = in_turn(rounds, (with_it, command), (without, command))
            rates, alone = ([rows / answer["write_us"] * 1000 for answer in some]
                            for some in (ours, bare))
            cpu = [median(each_ns(some, rows)) / 1000 for some in (ours, bare)]
            yield paired(Figure(
                f"INSERT rate, responder with {streams} streams", "thousand/s", median(rates),
                target=">= 0.9 of the rate without", sense=">=", limit=0.9,
                baseline=median(alone), against="no responder",
                note=f"one commit each, NORMAL; {os.cpu_count()} cores for writer, responder and "
                     f"reader; the writer's CPU for an INSERT {cpu[0]:.0f} us, without "
                     f"responder {cpu[1]:.0f} us" + (" (the reader's is in it)" if streams
                                                      else "")), rates, alone)


def grow_behind(place, streams, rows):
    """Streams stop reading, then the rows come. Returns the readers, the responder, its Pss
    before, and how much that grew at most."""
    db = place.new_db()
    rowcast = place.rowcast(db, "--heartbeat", "0", "--stall-timeout", "600")
    readers = place.load("--fcgi", rowcast.sock, "--db", db)
    writer = place.load("--fcgi", rowcast.sock, "--db", db)
    if streams:
        readers(f"open {streams} channel=bench")
    writer("size 1000")
    readers("mute")
    before = peak = pss_bytes(rowcast.pid)
    for done in range(0, rows, 100):
        writer("rows 100 100 0")
        if done % 1000 == 0:
            peak = max(peak, pss_bytes(rowcast.pid))
    time.sleep(1)
    return readers, rowcast, before, max(peak, pss_bytes(rowcast.pid)) - before


@scenario("stuck-readers")
def stuck_readers():
    streams, rows, mib = 50, 40000, 1 << 20
    with Place() as place:
        nobody = grow_behind(place, 0, rows)[3]
    with Place() as place:
        readers, rowcast, before, grown = grow_behind(place, streams, rows)
        readers("unmute")
        readers.start(f"await {streams * rows}")
        start = time.monotonic()
        peak = 0
        while readers_are_behind(readers):
            peak = max(peak, pss_bytes(rowcast.pid))
        answer = readers.answer()
        took = time.monotonic() - start
        if not answer["whole"] or answer["faults"]:
            raise Failed(f"stuck readers did not get every row: {answer}")
    yield Figure(f"{streams} stuck readers, 40 MB waiting for each: growth", "MiB", grown / mib,
                 target="< window (4) + 1", sense="<=", limit=5, baseline=nobody / mib,
                 against="the same rows and no stream at all",
                 note=f"peak while they read on {(peak - before) / mib:.1f} MiB; each got all "
                      f"{rows} rows", wall=f"read on in {took:.1f} s")


def readers_are_behind(load):
    """True until the load has written its answer."""
    return not select.select([load.process.stdout], [], [], 0.05)[0]


@scenario("latency-one")
def latency_one():
    out = subprocess.run([os.path.join(BUILD, "bench/clients/latency"), "--rowcast",
                          os.path.join(BUILD, "rowcast"), "--rows",
                          "200" if Settings.quick else "500", "--json"],
                         check=True, capture_output=True).stdout
    for run in json.loads(out)["runs"]:
        added = run["event_us"]["median"] - run["insert_us"]["median"]
        yield Figure(f"INSERT to receipt, one stream, {run['synchronous']}", "us",
                     run["event_us"]["median"], judged=added,
                     target="<= 1 ms above the INSERT", sense="<=", limit=1000,
                     baseline=run["insert_us"]["median"], against="the INSERT itself",
                     note=f"added {added:.0f} us; p99 {run['event_us']['p99']:.0f} us")


@scenario("streams")
def cost_against_streams():
    points = []
    for streams in (100, 300, 1000, 3000, 5000, 10000, 15000):
        rows = max(5, 20000 // streams)
        ours, floor = one_by_one(streams, rows, 3 if Settings.quick else 5)
        points.append({"streams": streams, "rowcast": median(ours), "floor": median(floor),
                       "ratio": median([a / b for a, b in zip(ours, floor)])})
    ratios = [point["ratio"] for point in points]
    # Two unknowns: what a row costs once, and what it costs for each stream.
    a, b = points[0], points[2]
    once = (a["rowcast"] - b["rowcast"]) / (1 / a["streams"] - 1 / b["streams"]) / 1000
    figure = Figure("cost against streams, 100 to 15000: dearest / cheapest ratio", "x",
                    max(ratios) / min(ratios), target="flat (<= 1.3)", sense="<=", limit=1.3,
                    note=f"a row costs about {once:.0f} us once, whatever the streams; "
                         + ", ".join(f"{p['streams']}: {p['rowcast']:.0f} ns = "
                                     f"{p['ratio']:.2f} x bare send" for p in points))
    figure.data["points"] = points
    yield figure
