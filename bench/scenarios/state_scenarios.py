"""The state of tracked tables: what it costs to give it to many pages at once, what a change to all
of their copies costs, and whether a table of a million rows holds up those who listen.

    bench/run state
    BENCH_STATE_ROWS=100000 bench/run state       a smaller large table

Only the responder's own processor time is counted, so the readers may be in Python. Pages that come
at once: the responder stands still while they connect."""

import os
import resource
import select
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time

from attack_scenarios import Turns, delays_ms, quantile
from harness import BUILD, Failed, Place, SOURCE, cpu_ns
from scenarios import Figure, Settings, median, scenario

sys.path.insert(0, os.path.join(SOURCE, "tests/clients"))
import fcgi  # noqa: E402

PAGES = 1000
ROWS = 1000
CHANGES = 20                # in one go
END = b'"more":false'
BOUND_MS = 20               # of a turn
WAIT_S = 120
RECORD = 16384              # with its header, in the baseline
HEADER, STDOUT = 8, 6       # FastCGI specification, 3.3 and 8
KIB = 1024
NEWEST = "SELECT data FROM notification WHERE channel = 'orders' ORDER BY id DESC LIMIT 1"
INSERT = "INSERT INTO notification(channel, event, data) VALUES ('plain', 'change', ?)"


class Page:
    """A reader that keeps of its stream only what is needed to find a mark in it."""

    def __init__(self, sock, request):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(sock)
        self.socket.sendall(request)
        self.socket.setblocking(False)
        self.rest = b""         # of a record
        self.tail = b""         # of the stream

    def take(self, mark):
        """Reads once; returns the bytes, and whether the mark has come."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise Failed("a page's stream was closed")
        records, at, stream = self.rest + data, 0, [self.tail]
        while at + HEADER <= len(records):
            length, padding = struct.unpack_from(">HB", records, at + 4)
            end = at + HEADER + length + padding
            if end > len(records):
                break
            stream.append(records[at + HEADER:at + HEADER + length])
            at = end
        seen = b"".join(stream)
        self.rest, self.tail = records[at:], seen[-len(mark):]
        return len(data), mark in seen


class Pages:
    """Many of them."""

    def __init__(self, sock):
        self.sock, self.pages, self.bytes = sock, {}, 0
        self.poll = select.epoll()

    def open(self, count, target):
        request = fcgi.whole_request(1, 0, ["PATH=" + target])
        for _ in range(count):
            page = Page(self.sock, request)
            self.poll.register(page.socket, select.EPOLLIN)
            self.pages[page.socket.fileno()] = page

    def until(self, mark):
        """Until each has the mark; what has come before this call does not count."""
        waiting, end = set(self.pages), time.monotonic() + WAIT_S
        while waiting:
            if time.monotonic() > end:
                raise Failed(f"{len(waiting)} pages do not get {mark}")
            for number, _ in self.poll.poll(1):
                size, is_there = self.pages[number].take(mark)
                self.bytes += size
                if is_there:
                    waiting.discard(number)
        for page in self.pages.values():
            page.tail = b""

    def close(self):
        for page in self.pages.values():
            page.socket.close()
        self.pages = {}


def framed(size):
    """Records of that many bytes, which end in END."""
    records = bytearray()
    while size - len(records) > 2 * RECORD:
        records += fcgi.record(STDOUT, 1, b"x" * (RECORD - HEADER))
    body = size - len(records) - HEADER
    return bytes(records + fcgi.record(STDOUT, 1, b"x" * (body - len(END)) + END))


def make_table(db, name, rows):
    connection = sqlite3.connect(db, isolation_level=None, timeout=30)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"CREATE TABLE {name}(id INTEGER PRIMARY KEY, state TEXT, total REAL,"
                       " customer TEXT)")
    connection.execute(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        f" INSERT INTO {name} SELECT i, 'new', i / 4.0, 'user' || i % 100 FROM n", (rows,))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    subprocess.run([os.path.join(BUILD, "rowcast"), "track", "--db", db, name], check=True,
                   stdout=subprocess.DEVNULL)
    return connection


def cost_of_opening(daemon, target, mark):
    """ns of the responder for PAGES pages that come at once, and the bytes of each."""
    pages = Pages(daemon.sock)
    before = cpu_ns([daemon.pid])
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        pages.open(PAGES, target)
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    pages.until(mark)
    took = cpu_ns([daemon.pid]) - before
    pages.close()
    return took, pages.bytes // PAGES


def cost_of_sending(trivial, size):
    """ns of a bare loop of send() for as many bytes to each."""
    pages = Pages(trivial.sock)
    pages.open(PAGES, "/")
    pages.until(b"rowcast:open")
    before = cpu_ns([trivial.pid])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as control:
        control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * size)
        control.sendto(framed(size), trivial.control)
    pages.until(END)
    took = cpu_ns([trivial.pid]) - before
    pages.close()
    return took


def cost_of_select(db, name):
    """ns of the query that makes the rows as JSON, once."""
    printed = subprocess.run([os.path.join(BUILD, "rowcast"), "track", "--db", db, name, "--print"],
                             check=True, capture_output=True, text=True).stdout
    query = "\n".join(line[3:] for line in printed[printed.index("\n-- SELECT"):].split("\n")
                      if line.startswith("-- "))
    connection = sqlite3.connect(db)
    before = time.process_time_ns()
    connection.execute(query, (-1,)).fetchall()
    return time.process_time_ns() - before


def state_to_many(place, daemon, db):
    trivial, runs = place.trivial(), []
    for _ in range(5 if Settings.quick else 15):
        ours, size = cost_of_opening(daemon, "/?state=orders", END)
        plain, small = cost_of_opening(daemon, "/?channel=orders", b"rowcast:open")
        sent, once = cost_of_sending(trivial, size - small), cost_of_select(db, "orders")
        runs.append((ours, plain + sent + once, plain, sent, once))
    columns = [median(values) / 1000 for values in zip(*runs)]
    figure = Figure(f"state of {ROWS:,} rows to {PAGES:,} pages at once", "us CPU/page",
                    columns[0] / PAGES, sense="<=", limit=1.5,
                    target="<= 1.5 x the streams opened, SELECT once, bare send",
                    judged=median([run[0] / run[1] for run in runs]), baseline=columns[1] / PAGES,
                    against="the streams opened, SELECT once, bare send",
                    note=f"{size // KIB} KiB a page; opened {columns[2] / PAGES:.1f} us, sent "
                         f"{columns[3] / PAGES:.1f} us, SELECT {columns[4]:.0f} us for all")
    figure.data["paired"] = True
    return figure


def cost_of_changes(daemon, pages, change, number):
    before = cpu_ns([daemon.pid])
    for i in range(number, number + CHANGES):
        change(i)
        pages.until(b'"state":"v%d"' % i)
    return (cpu_ns([daemon.pid]) - before) / CHANGES / PAGES / 1000


def change_to_copies(daemon, connection):
    copies, plain = Pages(daemon.sock), Pages(daemon.sock)
    copies.open(PAGES, "/?state=orders")
    copies.until(END)
    plain.open(PAGES, "/?channel=plain")
    plain.until(b"rowcast:open")

    def update(i):
        connection.execute("UPDATE orders SET state = ? WHERE id = 1", (f"v{i}",))

    runs = []
    for turn in range(5 if Settings.quick else 15):
        number = 1000 + 2 * CHANGES * turn
        ours = cost_of_changes(daemon, copies, update, number)
        data = connection.execute(NEWEST).fetchone()[0].replace(f"v{number + CHANGES - 1}", "v%d")
        runs.append((ours, cost_of_changes(
            daemon, plain, lambda i: connection.execute(INSERT, (data % i,)), number)))
    copies.close()
    plain.close()
    return Figure(f"a change to {PAGES:,} copies", "us CPU/delivery",
                  median([run[0] for run in runs]), target="",
                  note="a row of the same size to as many streams "
                  f"{median([run[1] for run in runs]):.1f} us")


def high_water_kib(daemon):
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmHWM:")))


class Reader:
    """A process that reads a state to its end."""

    CODE = ("import sys; sys.path[:0] = sys.argv[1:3]; import state_scenarios as s\n"
            "pages = s.Pages(sys.argv[3]); pages.open(1, '/?state=large'); print(flush=True)\n"
            "pages.until(s.END); print(pages.bytes)")

    def __init__(self, sock):
        here = os.path.dirname(os.path.abspath(__file__))
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.CODE, here, os.path.join(SOURCE, "tests/clients"), sock],
            stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        self.began = time.monotonic()

    def is_reading(self):
        return not select.select([self.process.stdout], [], [], 0)[0]

    def finish(self):
        size = int(self.process.stdout.readline())
        self.process.wait()
        return size, time.monotonic() - self.began


def large_state(place, rows):
    db, turns = place.new_db("large"), Turns(place)
    make_table(db, "orders", ROWS).close()
    make_table(db, "large", rows).close()
    daemon = place.rowcast(db, name="large", env=turns.env)
    cost_of_opening(daemon, "/?state=orders", END)
    load = place.load("--fcgi", daemon.sock, "--db", db)
    for command in ("size 40", "open 1 channel=bench", "delays 1", "rows 30 1 2000"):
        load(command)
    before, rest, beside = high_water_kib(daemon), [], []
    turns.forget()
    for _ in range(1 if Settings.quick else 3):
        rest += delays_ms(load)
        reader = Reader(daemon.sock)
        while reader.is_reading():
            beside += delays_ms(load)
        size, took = reader.finish()
    longest = turns.read()[0]
    yield Figure(f"beside a state of {rows:,} rows: a row on another channel, p99", "ms",
                 quantile(beside, 0.99), sense="<=", limit=BOUND_MS, judged=longest,
                 target=f"no turn above {BOUND_MS} ms",
                 baseline=quantile(rest, 0.99), against="at rest",
                 note=f"median {median(rest):.2f} then {median(beside):.2f} ms; "
                      f"longest turn {longest:.1f} ms; {size / KIB / KIB:.0f} MiB in {took:.1f} s")
    yield Figure(f"a state of {rows:,} rows: growth of VmHWM", "KiB",
                 high_water_kib(daemon) - before, sense="<=", limit=1024,
                 target=f"flat (<= 1024), after {PAGES:,} pages with a small one",
                 note=f"VmHWM {before} KiB before")


@scenario("state")
def state():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Place() as place:
        db = place.new_db()
        connection = make_table(db, "orders", ROWS)
        daemon = place.rowcast(db, "--heartbeat", "0")
        yield state_to_many(place, daemon, db)
        yield change_to_copies(daemon, connection)
        connection.close()
        yield from large_state(place, int(os.environ.get("BENCH_STATE_ROWS", 1_000_000)))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
