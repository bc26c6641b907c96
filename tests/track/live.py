#!/usr/bin/env python3
"""live.py - copies of a tracked table at the readers, compared with the table at the end.

    live.py --socket unix:PATH --db FILE --rowcast PROGRAM [--serve] [--http URL]... [--seconds 8] [--joins N]
            [--readers 24] [--seed N]

Writers in three languages (the sqlite3 shell, Python, PHP) change the table `items` by the statements of
statements.py, and are killed in the middle of them. Readers, anonymous and of two users, over FastCGI and (with
--http) through web servers, begin with state=items, stop reading for a while, drop and come back with the id that
they have, or without; old events are pruned meanwhile. With --serve the responder is one of this program's
own, which is ended and killed now and then, and the database is replaced by a copy. At quiet each reader's copy is what
SELECT gives that reader, to the byte. With --joins the writers rest after each round in which every reader has joined
state and stream anew, and every copy is compared then, until that many are. Beside them stand pages that fetch the
rows first and then subscribe: it says how many of their rows were wrong. Ends after that many seconds at the latest."""

import argparse
import fcntl
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "clients"))
from streams import Crowd, Stream  # noqa: E402

USERS = [None, "ann", "bob"]
QUIET_S = 90
F_SETPIPE_SZ = 1031      # fcntl(2); in Python's fcntl since 3.10
NAIVE_PAGES = 20
PAUSE_S, CALM_PAUSE_S = 0.01, 0.08     # of each writer; calm, so that the time goes to joins
ROUND_TURNS = 8     # of reading and disturbing, between two comparisons
PYTHON = """import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for line in sys.stdin:
    try: db.execute(line)
    except sqlite3.Error: pass
"""
PHP = """$db = new PDO("sqlite:" . $argv[1], null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_TIMEOUT => 30]);
while (($line = fgets(STDIN)) !== false) { try { $db->exec($line); } catch (PDOException $e) {} }"""


class Calm(Crowd):
    """A responder that is killed may leave half a record."""

    def fail(self, why, stream=None):
        if not why.startswith("closed within a record"):
            super().fail(why, stream)


class HttpStream(Stream):
    """The same through a web server: HTTP/1.0, so that the body comes as it is."""

    def __init__(self, crowd, url, target, settings):
        at = urllib.parse.urlsplit(url)
        wanted = settings.get("HTTP_LAST_EVENT_ID")
        self.crowd, self.target, self.settings = crowd, target, settings
        self.opened_at = time.monotonic()
        self.socket = socket.create_connection((at.hostname, at.port))
        self.socket.sendall((f"GET {at.path}{target} HTTP/1.0\r\nHost: {at.netloc}\r\nAccept: text/event-stream\r\n"
                             + (f"Last-Event-ID: {wanted}\r\n" if wanted else "") + "\r\n").encode())
        self.socket.setblocking(False)
        self.header, self.body, self.records = None, bytearray(), []
        self.ended = self.closed = self.paused = False
        self.parsed, self.last_id, self.searched = 0, None, {}
        self.events, self.retries, self.comments = [], [], []

    def read(self, most=1 << 20):
        try:
            data = self.socket.recv(most)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            data = b""
        self.closed = not data
        if data:
            self.take(data)
        return not self.closed


class Writers:
    def __init__(self, db, chance, pause_s):
        self.db, self.chance, self.pause_s, self.running = db, chance, pause_s, []

    def start(self):
        for command in (["sqlite3", "-batch", "-cmd", ".timeout 30000", self.db],
                        [sys.executable, "-c", PYTHON, self.db], ["php", "-r", PHP, "--", self.db]):
            self.start_one(command)

    def start_one(self, command):
        source = subprocess.Popen([sys.executable, os.path.join(HERE, "statements.py"),
                                   str(self.chance.randrange(1 << 30)), str(self.pause_s)], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
        fcntl.fcntl(source.stdout, F_SETPIPE_SZ, 4096)  # soon empty, when the writers are to rest
        writer = subprocess.Popen(command, stdin=source.stdout, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        source.stdout.close()
        self.running.append((command, source, writer))

    def kill_one(self):
        command, source, writer = self.running.pop(self.chance.randrange(len(self.running)))
        self.end(source, writer)
        self.start_one(command)

    @staticmethod
    def end(*processes):
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()

    def stop(self):
        for _, source, writer in self.running:
            self.end(source, writer)
        self.running = []

    def rest(self):
        """No new statements. A transaction may stay open: its rows are seen by nobody, SELECT included."""
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)

    def signal(self, which):
        for _, source, _ in self.running:
            source.send_signal(which)


class Responder:
    def __init__(self, options):
        self.options, self.process = options, None

    def start(self):
        self.process = subprocess.Popen(
            [self.options.rowcast, "serve", "--db", self.options.db, "--listen", self.options.socket, "--listen-mode",
             "0666", "--heartbeat", "0.4", "--workers", "2", "--log-level", "error"], stdin=subprocess.DEVNULL,
            start_new_session=True)

    def stop(self, how):
        if how == signal.SIGKILL:   # the workers, too
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        self.process.wait()


class Reader:
    """One page: its copy and its cursor, over all its connections. A naive one fetches the rows first."""

    def __init__(self, crowd, user, url=None, naive=None):
        self.crowd, self.user, self.url = crowd, user, url
        self.target = "?channel=items&ping=1" + ("" if naive is not None else "&state=items")
        self.rows, self.at, self.cursor = dict(naive or {}), {}, None
        self.stream, self.joins = None, 0
        self.connect()

    def connect(self):
        settings = {"REMOTE_USER": self.user} if self.user else {}
        if self.cursor is not None:
            settings["HTTP_LAST_EVENT_ID"] = str(self.cursor)
        self.seen, self.is_in_state = 0, False
        try:
            if self.url is None:
                self.stream = self.crowd.open(self.target, **settings)
                self.crowd.streams.clear()      # it would keep all that ever were
            else:
                self.stream = HttpStream(self.crowd, self.url, self.target, settings)
                self.crowd.selector.register(self.stream.socket, 1, self.stream)
            self.joins += 1
        except OSError:     # the responder is just being started anew
            self.stream = None

    def is_gone(self):
        return self.stream is None or self.stream.closed or self.stream.ended

    def take(self):
        if self.stream is None:
            return
        events = self.stream.parse()
        for row_id, event, data in events[self.seen:]:
            if event == "rowcast:state":
                self.take_part(json.loads(data))
            elif event == "change":
                self.take_change(row_id, json.loads(data))
            elif event == "rowcast:gap":
                self.is_in_state = False    # the state follows
            if row_id is not None:
                self.cursor = row_id
        self.seen = len(events)

    def take_part(self, part):
        if not self.is_in_state:
            self.rows, self.at = {}, {}
        for row in part["rows"]:
            self.rows[row["id"]], self.at[row["id"]] = row, int(part["at"])
        self.is_in_state = part["more"]

    def take_change(self, row_id, change):
        if change["op"] == "reset":
            return
        key = change["key"]["id"]
        if row_id <= self.at.get(key, 0):
            return
        if change["op"] == "delete":
            self.rows.pop(key, None)
        else:
            self.rows[key] = change["row"]

    def drop(self, forget):
        self.take()
        if self.stream is not None:
            self.stream.close()
        if forget:
            self.cursor, self.rows, self.at = None, {}, {}
        self.connect()

    def come_back(self):
        if self.is_gone():
            self.take()
            if self.stream is not None and not self.stream.closed:
                self.stream.close()
            self.connect()


def expected(db, user):
    rows = db.execute("SELECT id, owner, v, t FROM items WHERE owner IS NULL OR owner = ?", (user,))
    return {row[0]: dict(zip(("id", "owner", "v", "t"), row)) for row in rows}


def connect(path):
    return sqlite3.connect(path, isolation_level=None, timeout=30)


class Play:
    def __init__(self, options):
        self.options, self.chance = options, random.Random(options.seed)
        self.crowd = Calm(options.socket, seconds=options.seconds + 2 * QUIET_S)
        self.writers = Writers(options.db, self.chance, PAUSE_S if options.joins == 0 else CALM_PAUSE_S)
        self.responder = Responder(options)
        self.kills = self.restarts = self.replaced = self.prunes = self.compared = self.wrong = 0
        if options.serve:
            self.responder.start()
            self.wait_for_responder()
        urls = [None] + options.http
        self.readers = [Reader(self.crowd, None if (url := urls[i % len(urls)]) else USERS[i % 3], url)
                        for i in range(options.readers)]

    def joins(self):
        return sum(reader.joins for reader in self.readers)

    def wait_for_responder(self):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                self.crowd.connect().close()
                return
            except OSError:
                time.sleep(0.02)
        raise SystemExit("the responder did not start")

    def restart(self):
        self.responder.stop(self.chance.choice([signal.SIGTERM, signal.SIGKILL]))
        self.responder.start()
        self.wait_for_responder()
        self.restarts += 1

    def replace(self):
        """As after a backup was restored: nobody writes meanwhile."""
        self.writers.stop()
        db, new = self.options.db, self.options.db + ".new"
        old, copy = connect(db), connect(new)
        old.backup(copy)
        copy.execute("DELETE FROM items WHERE id % 3 = 0")
        old.close()
        copy.close()
        subprocess.run([self.options.rowcast, "rebase", "--db", new], check=True, stdout=subprocess.DEVNULL)
        for suffix in ("-wal", "-shm"):
            for name in (db + suffix, new + suffix):
                if os.path.exists(name):
                    os.unlink(name)
        os.chmod(new, 0o666)
        os.replace(new, db)
        self.replaced += 1
        self.writers.start()

    def read(self, seconds=0.0):
        for key, _ in self.crowd.selector.select(seconds):
            if not key.data.read():
                self.crowd.selector.unregister(key.data.socket)

    def disturb(self, turn):
        chance, options = self.chance, self.options
        if options.joins == 0:
            chance.choice(self.readers).drop(forget=chance.random() < 0.5)
        reader = chance.choice(self.readers)
        if reader.stream is not None:
            reader.stream.go_on() if reader.stream.paused else reader.stream.pause()
        if turn % 30 == 20:
            self.writers.kill_one()
            self.kills += 1
        if turn % 40 == 30:
            done = subprocess.run([options.rowcast, "prune", "--db", options.db, "--keep-rows", "100"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.prunes += done.returncode == 0     # the writers may be in its way
        if options.serve and turn % 100 == 50:
            self.restart()
        if options.serve and turn % 300 == 80:
            self.replace()

    def run(self):
        end = time.monotonic() + self.options.seconds
        self.writers.start()
        turn = 0
        while time.monotonic() < end and (self.options.joins == 0 or self.compared < self.options.joins):
            self.read(0.002)
            for reader in self.readers:
                reader.come_back()
            self.disturb(turn)
            if self.options.joins > 0 and turn % ROUND_TURNS == 0:
                self.join_all()
                self.writers.rest()
                self.compare()
                self.writers.go_on()
            turn += 1
        naive = [self.open_naive() for _ in range(NAIVE_PAGES)]
        self.writers.stop()
        self.compare()
        self.report(naive)
        return self.wrong

    def join_all(self):
        """Each of the readers, a few at a time, while the writers write."""
        order = self.chance.sample(self.readers, len(self.readers))
        for at, reader in enumerate(order):
            reader.drop(forget=self.chance.random() < 0.5)
            if at % 16 == 0:
                self.read(0.002)

    def open_naive(self):
        db = connect(self.options.db)
        rows = expected(db, None)
        db.close()
        self.read(0.02)     # what a page takes between its two requests
        return Reader(self.crowd, None, naive=rows)

    def look(self):
        """Of one snapshot: the tail, and what each user may see."""
        db = connect(self.options.db)
        db.execute("BEGIN")
        tail = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'notification'").fetchone()[0]
        truths = {user: expected(db, user) for user in USERS}
        db.close()
        return tail, truths

    def compare(self):
        """At rest. The writers still take what is in their pipes: so again, until nothing came meanwhile."""
        for reader in self.readers:
            if reader.stream is not None:
                reader.stream.go_on()
        tail, truths = self.look()
        while True:
            self.wait_for_all(tail)
            before = tail
            tail, truths = self.look()
            if tail == before:
                break
        for reader in self.readers:
            self.judge(reader, truths[reader.user])

    def wait_for_all(self, tail):
        def lacks_something(reader):
            reader.come_back()
            reader.take()
            return reader.is_in_state or (reader.cursor or 0) < tail

        pending, deadline = self.readers, time.monotonic() + QUIET_S
        while pending := [reader for reader in pending if lacks_something(reader)]:
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {QUIET_S} s: the tail at {len(pending)} readers")
            self.read(0.02)
        # One that was up to date may have dropped since, and be in the middle of the state.
        if any([lacks_something(reader) for reader in self.readers]):
            self.wait_for_all(tail)

    def judge(self, reader, truth):
        self.compared += 1
        if reader.rows == truth:
            return
        self.wrong += 1
        keys = {k for k in truth.keys() | reader.rows.keys() if truth.get(k) != reader.rows.get(k)}
        print(f"{reader.user} {reader.url}: {len(keys)} rows differ, one is {min(keys)}:"
              f" {reader.rows.get(min(keys))} for {truth.get(min(keys))}", flush=True)

    def report(self, naive):
        db = connect(self.options.db)
        truth, lost, pages = expected(db, None), 0, 0
        for page in naive:
            page.take()
            keys = [k for k in truth.keys() | page.rows.keys() if truth.get(k) != page.rows.get(k)]
            lost, pages = lost + len(keys), pages + (len(keys) > 0)
        events = db.execute("SELECT max(id) - min(id) + 1 FROM notification").fetchone()[0]
        print(f"{self.joins()} joins, {self.compared} copies compared, {self.wrong} copies differ; "
              f"{self.kills} writers killed, {self.prunes} prunes, "
              f"{self.restarts} restarts, {self.replaced} databases replaced, {events} events kept; "
              f"fetched and then subscribed: {lost} rows of {pages} of {len(naive)} pages differ")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--db", required=True)
    parser.add_argument("--rowcast", required=True)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--http", action="append", default=[])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--joins", type=int, default=0)
    parser.add_argument("--readers", type=int, default=24)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print("seed", options.seed, flush=True)
    play = Play(options)
    try:
        wrong = play.run()
    finally:
        play.writers.stop()
        if options.serve:
            play.responder.stop(signal.SIGTERM)
    sys.exit(1 if wrong else 0)


main()
