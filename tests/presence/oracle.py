#!/usr/bin/python3
"""oracle.py - is the table of presence ever wrong for longer than 10 s?

Opens and closes streams at random, of a few users and of readers without a name, through the FastCGI
socket and through web servers (--url, repeatable; users log in there), and kills what there is to
kill: readers, rowcast's workers, all of rowcast (which is started again). It knows at each moment who
should be there (streams whose client has read the opening, and whose connection is whole), and looks
several times a second at the view. For each user (and for those without a name) it measures for how
long the view has differed: --limit seconds are a fault. In a rest after some of the acts, and at the
end, the view must become right. An INSERT once in a while is measured with presence and without by
--insert-rate.

usage: oracle.py --rowcast PROGRAM --seconds N [--limit N] [--workers N] [--seed N] [--url URL]...
Exit 1 with a line for each fault. Part of `make check-presence`, with the ten seconds that rowcast
promises; a short one is in presence.bats, which gives a loaded machine more time.
"""
import argparse
import base64
import collections
import os
import random
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

LOOK_S = 0.1
START_S = 60
USERS = ['ann', 'bob', 'cat', 'dan', None]


def fcgi_request(params):
    """The bytes of a request over FastCGI: begin, params, an empty stdin (specification, section 3)."""
    def record(kind, body):
        return struct.pack('>BBHHBB', 1, kind, 1, len(body), 0, 0) + body

    def pair(name, value):
        name, value = name.encode(), value.encode()
        return bytes([len(name), len(value)]) + name + value

    text = b''.join(pair(name, value) for name, value in params.items())
    return record(1, struct.pack('>HB5x', 1, 0)) + record(4, text) + record(4, b'') + record(5, b'')


class Reader:
    """One stream: `is_open` from the opening to the end of the connection."""

    def __init__(self, user, connect):
        self.user = user
        self.is_open = False
        self.is_over = False
        self.socket = None
        self.thread = threading.Thread(target=self.run, args=(connect,), daemon=True)
        self.thread.start()

    def run(self, connect):
        try:
            self.socket = connect(self.user)
            seen = b''
            while not self.is_over:
                bytes_ = self.socket.recv(65536)
                if not bytes_:
                    break
                seen = (seen + bytes_)[-4096:]
                if b'rowcast:open' in seen:
                    self.is_open = True
                if b': restarting' in seen:
                    break
        except OSError:
            pass
        self.is_open = False
        self.is_over = True

    def close(self):
        self.is_open = False
        self.is_over = True
        if self.socket is not None:
            try:
                self.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.socket.close()


def connect_directly(path):
    def connect(user):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(60)
        sock.connect(path)
        params = {'REQUEST_METHOD': 'GET', 'QUERY_STRING': '', 'PATH_INFO': '/', 'REMOTE_ADDR': '127.0.0.1'}
        if user is not None:
            params['REMOTE_USER'] = user
        sock.sendall(fcgi_request(params))
        return sock
    return connect


def connect_by_http(url):
    """For streams through a web server. Connection: close, as a connection that is kept outlives its stream."""
    parts = urllib.parse.urlsplit(url)

    def connect(user):
        sock = socket.create_connection((parts.hostname, parts.port))
        sock.settimeout(60)
        head = f'GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n'
        if user is not None:
            head += f'Authorization: Basic {base64.b64encode(f"{user}:secret".encode()).decode()}\r\n'
        sock.sendall(f'{head}\r\n'.encode())
        return sock
    return connect


class Oracle:
    def __init__(self, args):
        self.args = args
        self.random = random.Random(args.seed)
        self.folder = args.folder or tempfile.mkdtemp(prefix='rowcast-presence-')
        self.database = args.db or os.path.join(self.folder, 'presence.db')
        self.socket = args.socket or os.path.join(self.folder, 'rowcast.sock')
        self.readers = []
        self.worst = collections.Counter()
        self.since = {}
        self.faults = []
        self.events = collections.Counter()
        self.ways = [connect_directly(self.socket)] + [connect_by_http(url) for url in args.url]
        # Without a login a server's page has no user's name: those readers come straight.
        if not os.path.exists(self.database):
            subprocess.run([args.rowcast, 'init', '--db', self.database], check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        self.db = sqlite3.connect(self.database, isolation_level=None, timeout=10)
        self.start()

    def start(self):
        self.log = open(os.path.join(self.folder, 'rowcast.log'), 'a')
        self.process = subprocess.Popen(
            [self.args.rowcast, 'serve', '--db', self.database, '--listen', f'unix:{self.socket}', '--listen-mode', '0666',
             '--heartbeat', '1', '--workers', str(self.args.workers),
             *(['--presence'] if self.args.no_channel else ['--presence-channel', 'who'])],
            stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(self.socket)
                return
            except OSError:
                time.sleep(0.05)
        sys.exit('rowcast does not start')

    def workers(self):
        out = subprocess.run(['pgrep', '-P', str(self.process.pid)], capture_output=True, text=True).stdout
        return [int(pid) for pid in out.split()]

    # --- what happens

    def open_some(self):
        for _ in range(self.random.randint(1, 4)):
            user = self.random.choice(USERS)
            way = self.random.choice(self.ways) if user is not None else self.ways[0]
            self.readers.append(Reader(user, way))

    def close_some(self):
        for reader in self.random.sample(self.readers, min(len(self.readers), self.random.randint(1, 4))):
            reader.close()

    def kill_worker(self):
        pids = self.workers()
        if pids:
            os.kill(self.random.choice(pids), signal.SIGKILL)

    def kill_all(self):
        for pid in self.workers() + [self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.start()

    def restart(self):
        self.process.terminate()
        self.process.wait()
        self.start()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def act(self):
        acts = [('open', self.open_some, 40), ('close', self.close_some, 34), ('reload', self.reload, 1),
                ('kill worker', self.kill_worker, 2 if self.args.workers > 1 else 0),
                ('kill all', self.kill_all, 1), ('restart', self.restart, 1)]
        names, fns, weights = zip(*acts)
        which = self.random.choices(range(len(acts)), weights)[0]
        self.events[names[which]] += 1
        fns[which]()
        self.readers = [reader for reader in self.readers if not reader.is_over]

    # --- what should be, and what is

    def truth(self):
        return collections.Counter(reader.user for reader in self.readers if reader.is_open)

    def table(self):
        rows = self.db.execute('SELECT user, sum(streams) FROM rowcast_presence GROUP BY user').fetchall()
        return collections.Counter(dict(rows))

    def look(self):
        truth, table, now = self.truth(), self.table(), time.monotonic()
        for user in USERS:
            if truth[user] == table[user]:
                self.since.pop(user, None)
                continue
            began = self.since.setdefault(user, now)
            self.worst[user] = max(self.worst[user], now - began)
            if now - began > self.args.limit and (user, began) not in self.faults:
                self.faults.append((user, began))
                print(f'{user}: {table[user]} in the table, {truth[user]} are there, for {now - began:.1f} s')

    def rest(self):
        """Nothing happens until the table is right, or has been wrong for too long."""
        deadline = time.monotonic() + self.args.limit + 1
        while True:
            self.look()
            if not self.since or time.monotonic() > deadline:
                return
            time.sleep(LOOK_S)

    def run(self):
        end = time.monotonic() + self.args.seconds
        next_act = 0
        while time.monotonic() < end:
            if time.monotonic() >= next_act:
                self.act()
                if self.random.random() < 0.07:
                    self.rest()
                next_act = time.monotonic() + self.random.uniform(0.02, 0.4)
            self.look()
            time.sleep(LOOK_S)
        self.rest()
        for reader in self.readers:
            reader.close()
        self.readers = []
        self.rest()
        if sum(self.table().values()) > 0:
            self.faults.append(('all', 0))
            print(f'still there after {self.args.limit} s: {self.table()}')
        self.check_told()
        self.process.terminate()
        self.process.wait()
        return not self.faults

    # join and leave of a user take turns, and the last word is leave.
    def check_told(self):
        deadline = time.monotonic() + 30
        while self.db.execute('SELECT count(*) FROM rowcast_presence_user').fetchone()[0] > 0:
            if time.monotonic() > deadline:
                self.faults.append(('told', 0))
                print('somebody has left and it was not told')
                return
            time.sleep(LOOK_S)
        for user in USERS[:-1]:
            told = [event for event, in self.db.execute(
                "SELECT event FROM notification WHERE channel = 'who' AND data ->> 'user' = ? ORDER BY id", (user,))]
            if told != ['join', 'leave'] * (len(told) // 2):
                self.faults.append((user, 0))
                print(f'{user}: {told}')


def insert_rate(args):
    """INSERTs a second of an application's writer, with presence under load and without, in turns."""
    rates = {True: [], False: []}
    for with_presence in [False, True] * 3:
        oracle_args = argparse.Namespace(**vars(args))
        oracle_args.folder = tempfile.mkdtemp(prefix='rowcast-presence-')
        oracle_args.db = oracle_args.socket = None
        oracle = Oracle(oracle_args)
        if not with_presence:
            oracle.process.terminate()
            oracle.process.wait()
            oracle.process = subprocess.Popen(
                [args.rowcast, 'serve', '--db', oracle.database, '--listen', f'unix:{oracle.socket}', '--heartbeat', '1'],
                stdout=oracle.log, stderr=oracle.log)
            time.sleep(1)
        db = sqlite3.connect(oracle.database, isolation_level=None, timeout=10)
        db.execute('PRAGMA synchronous = NORMAL')
        count, end, next_act = 0, time.monotonic() + args.seconds / 6, 0
        while time.monotonic() < end:
            db.execute("INSERT INTO notification(data) VALUES ('x')")
            count += 1
            if time.monotonic() >= next_act:
                (oracle.open_some if oracle.random.random() < 0.5 else oracle.close_some)()
                oracle.readers = [reader for reader in oracle.readers if not reader.is_over]
                next_act = time.monotonic() + 0.05
        rates[with_presence].append(count / (args.seconds / 6))
        for reader in oracle.readers:
            reader.close()
        oracle.process.terminate()
        oracle.process.wait()
    print(rates)
    median = {key: sorted(values)[1] for key, values in rates.items()}
    ratio = median[True] / median[False]
    print(f'INSERTs a second: {median[False]:.0f} without presence, {median[True]:.0f} with it: {ratio:.2f}')
    return ratio >= 0.9


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--rowcast', required=True)
    parser.add_argument('--seconds', type=float, default=60)
    parser.add_argument('--limit', type=float, default=10)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('--url', action='append', default=[])
    parser.add_argument('--db')
    parser.add_argument('--socket')
    parser.add_argument('--folder')
    parser.add_argument('--insert-rate', action='store_true')
    parser.add_argument('--no-channel', action='store_true')
    args = parser.parse_args()
    if args.insert_rate:
        sys.exit(0 if insert_rate(args) else 1)
    print(f'seed {args.seed}, {args.workers} workers')
    oracle = Oracle(args)
    is_right = oracle.run()
    print(', '.join(f'{count} {name}' for name, count in sorted(oracle.events.items())))
    print('longest wrong: ' + ', '.join(f'{user or "-"} {oracle.worst[user]:.1f} s' for user in USERS))
    sys.exit(0 if is_right else 1)


main()
