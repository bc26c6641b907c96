#!/usr/bin/env python3
"""soak.py - rowcast for a while under everything that befalls it, and then the books are compared.

    soak.py --rowcast PROGRAM [--minutes 10] [--streams 2000] [--rate 20] [--waves 4]
            [--keep-rows 1000] [--workers 1] [--seed N] [--keep] [-- OPTION OF SERVE...]

Behind a real lighttpd: readers that come and go (crowd.py) with private rows and patterns, one that
is stuck; attackers (tests/clients/attacks.py) who ask for all that is dear, or read nothing, one of
them directly at rowcast's socket; a writer (writer.py) that is killed with -9 now and then, and one
that posts (poster.py); rowcast, ended by SIGKILL and SIGTERM in turn and started again, and
reopened by SIGHUP; its workers, if it has several, killed one at a time; lighttpd, killed as well;
pruning, by serve (--keep-rows) and by command; what happens to a database's files (tricks.py); and
once another database in the place of the old one. Then all readers come back and catch up, and the
record of each is compared with what was committed (truth.py): no row is missing unless a gap said so,
none came twice, none was another user's. The table has every row that a POST was answered for, and
SQLite finds the file whole. At last the readers leave and come again in waves: rowcast must have as
many descriptors as before, and its memory must have stopped growing.

Exit 0 when all of that held; prints what did not."""

import argparse
import asyncio
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True     # the sources may be read-only
import tricks  # noqa: E402
import truth  # noqa: E402
from crowd import Crowd  # noqa: E402
from rules import USERS  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
LIGHTTPD = shutil.which("lighttpd", path=os.environ["PATH"] + ":/usr/sbin")
FAULTS_SHOWN = 20
CATCH_UP_S = 120
WAVE_S = 8
SETTLE_S = 15
GROWTH_KIB = 4096       # of a worker's resident set from one wave to the next, after the first
ATTACK_S = 2            # of each attack, before the next one
ATTACKS = {             # through lighttpd, and straight at the FastCGI socket
    "attacker": "patterns-replayed,patterns-held,patterns-live,stars,rare-last,names-churned,streams-churned,polls-unread,"
                "streams-unread,polls,health,nothing-there,refused,tickets-guessed,throttled,replays",
    "intruder": "half-requests,answers-unread,polls-unread,names-churned,refused"}
PUBLISHER_FILES = 4     # that a worker keeps open after its first POST: database, WAL, -shm

CONF = """
server.modules += ( "mod_auth", "mod_authn_file", "mod_setenv", "mod_fastcgi" )
setenv.set-environment = ( "ROWCAST_PUBLISH" => "*" )
server.document-root = "{folder}"
server.bind = "127.0.0.1"
server.port = {port}
server.max-fds = {descriptors}
server.max-connections = {connections}
auth.backend = "plain"
auth.backend.plain.userfile = "{folder}/users"
auth.require = ( "/events" => ( "method" => "basic", "realm" => "soak", "require" => "valid-user" ) )
fastcgi.server = ( "/events" => ( "rowcast" => (
    "socket" => "{folder}/rowcast.sock", "check-local" => "disable",
    "tcp-fin-propagate" => "enable", "disable-time" => 0 ) ) )
server.stream-response-body = 2
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Site:
    """The processes: lighttpd, rowcast, the writer."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.db = f"{folder}/soak.db"
        self.port = free_port()
        self.log = open(f"{folder}/soak.log", "ab")
        self.processes = {}
        self.truth = truth.Truth()
        with open(f"{folder}/users", "w") as users:
            users.writelines(f"u{i}:pw\n" for i in range(USERS))
            users.write("eve:pw\n")
        with open(f"{folder}/lighttpd.conf", "w") as conf:
            conf.write(CONF.format(folder=folder, port=self.port, descriptors=4 * options.streams + 500,
                                   connections=2 * options.streams + 100))
        self.make_database(self.db)

    def make_database(self, path):
        subprocess.run([self.options.rowcast, "init", "--db", path], check=True, stdout=self.log,
                       stderr=self.log)
        truth.install(path)

    def command(self, name):
        if name == "lighttpd":
            return [LIGHTTPD, "-D", "-f", f"{self.folder}/lighttpd.conf"]
        if name == "writer":
            return [sys.executable, f"{HERE}/writer.py", self.db, str(self.options.rate)]
        if name == "poster":
            return [sys.executable, f"{HERE}/poster.py", str(self.port), str(self.options.rate / 10),
                    f"{self.folder}/acknowledged"]
        if name in ATTACKS:
            address = f"http:{self.port}" if name == "attacker" else f"unix:{self.folder}/rowcast.sock"
            return ["nice", sys.executable, f"{HERE}/../clients/attacks.py", address, ATTACKS[name], "inf",
                    "--turn", str(ATTACK_S), "--scale", str(self.options.streams / 4000), "--login", "eve:pw"]
        return [self.options.rowcast, "serve", "--db", self.db, "--listen",
                f"unix:{self.folder}/rowcast.sock", "--heartbeat", "5", "--stall-timeout", "20",
                "--retry", "500", "--drain", "3", "--allow-publish",
                "--keep-rows", str(self.options.keep_rows), "--workers", str(self.options.workers),
                *self.options.serve_options]

    def start(self, name):
        self.processes[name] = subprocess.Popen(self.command(name), stdin=subprocess.DEVNULL,
                                                stdout=self.log, stderr=self.log)

    def end(self, name, signum):
        process = self.processes[name]
        process.send_signal(signum)
        return process.wait()

    def stop(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()

    def died(self):
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def left(self):
        """rowcast has ended itself with a failure, and not by a signal."""
        return (self.processes["rowcast"].poll() or 0) > 0

    def acknowledged(self):
        """The ids of what POST was told was taken."""
        try:
            with open(f"{self.folder}/acknowledged", encoding="ascii") as lines:
                return [int(line) for line in lines]
        except FileNotFoundError:
            return []

    def prune(self, keep):
        subprocess.run([self.options.rowcast, "prune", "--db", self.db, "--keep-rows", str(keep)],
                       stdout=self.log, stderr=self.log, check=False)

    def without_writers(self, play):
        """The writers are away meanwhile: what they wrote into a file that has lost its name would be
        gone. False: retention did not come to rest, and nothing was played."""
        self.end("poster", signal.SIGTERM)
        self.end("writer", signal.SIGKILL)
        is_at_rest = tricks.at_rest(self.db)
        if is_at_rest:
            play()
        self.start("writer")
        self.start("poster")
        return is_at_rest

    def replace_database(self):
        """A new database takes the place of the old one, while streams are open."""
        self.make_database(f"{self.folder}/new.db")
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(self.db + suffix):
                os.rename(self.db + suffix, f"{self.folder}/old.db{suffix}")
        for suffix in ("-wal", "-shm", ""):
            if os.path.exists(f"{self.folder}/new.db{suffix}"):
                os.rename(f"{self.folder}/new.db{suffix}", self.db + suffix)
        self.truth.load(f"{self.folder}/old.db")


def workers_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [int(child) for child in children.read().split()]


def rowcast_figures(pid):
    """Open descriptors and KiB of resident memory, of the workers too."""
    descriptors = resident = 0
    for process in [pid, *workers_of(pid)]:
        with open(f"/proc/{process}/status") as status:
            resident += next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        descriptors += len(os.listdir(f"/proc/{process}/fd"))
    return descriptors, resident


async def takes_signals(process):
    """It has come so far that SIGHUP and SIGTERM do not just end it: it catches them, or has workers,
    before which it began to wait for them."""
    wanted = 1 << signal.SIGHUP - 1 | 1 << signal.SIGTERM - 1
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status") as status:
            caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
        if caught & wanted == wanted or workers_of(process.pid):
            return
        await asyncio.sleep(0.01)


async def chaos(site, chance, seconds):
    """What befalls them. Returns the names of processes that died without being told to."""
    counts = {}
    dead = []
    end = time.monotonic() + seconds
    replace_at = time.monotonic() + seconds / 2
    event = None

    def tally(what):
        counts[what] = counts.get(what, 0) + 1

    while time.monotonic() < end:
        await asyncio.sleep(chance.expovariate(1 / 4))
        if event in tricks.NAMES and site.left():   # to be started again, as a web server or systemd does
            site.start("rowcast")
            tally("left")
        dead += site.died()
        if dead:
            break
        if replace_at is not None and time.monotonic() > replace_at:
            if await asyncio.to_thread(site.without_writers, site.replace_database):
                replace_at = None
                tally("database replaced")
            continue
        event = chance.choices(["prune", "writer", "kill", "term", "lighttpd", "hangup", "trick", "worker"],
                               weights=[6, 4, 3, 2, 1, 3, 6, 3 if site.options.workers > 1 else 0])[0]
        if event == "prune":
            await asyncio.to_thread(site.prune, chance.choice([100, 500, 2000]))
        elif event == "writer":
            site.end("writer", signal.SIGKILL)
            site.start("writer")
        elif event == "kill":
            site.end("rowcast", signal.SIGKILL)
            await asyncio.sleep(chance.random())
            site.start("rowcast")
        elif event == "term":
            process = site.processes["rowcast"]
            await takes_signals(process)
            process.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(process.wait)
            if code != 0:
                dead.append(f"rowcast (exit code {code} after SIGTERM)")
            site.start("rowcast")
        elif event == "hangup":
            await takes_signals(site.processes["rowcast"])
            site.processes["rowcast"].send_signal(signal.SIGHUP)
        elif event == "worker":
            workers = workers_of(site.processes["rowcast"].pid)
            if not workers:
                continue
            os.kill(chance.choice(workers), signal.SIGKILL)
        elif event == "trick":
            trick = chance.choice(tricks.TRICKS)
            if not await asyncio.to_thread(site.without_writers, lambda played=trick: played(site)):
                continue
            event = trick.__name__
        else:
            site.end("lighttpd", signal.SIGKILL)
            site.start("lighttpd")
        tally(event)
    print("befell them:", ", ".join(f"{n} x {what}" for what, n in sorted(counts.items())), flush=True)
    return dead


async def all_caught_up(site, crowd):
    """Waits until everybody that is here has what there is for him. Returns the tail."""
    site.truth.load(site.db)
    tail = max(site.truth.rows)
    deadline = time.monotonic() + CATCH_UP_S
    waiting = list(crowd.current)
    while waiting and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        still = []
        for session in waiting:
            ids = site.truth.ids_for(session.patterns, session.user)
            if ids and session.seen_to < ids[-1]:
                still.append(session)
        waiting = still
    return tail, len(waiting)


async def waves(site, options, rest):
    """Everybody comes, gets rows, and leaves; again and again. rest: descriptors of a rowcast that
    has nothing to do, and has published nothing. Returns faults."""
    pid = site.processes["rowcast"].pid
    rest = range(rest, rest + PUBLISHER_FILES * options.workers + 1)
    await settled(pid, rest)
    sizes = []
    for wave in range(options.waves):
        crowd = Crowd(site.port, options.streams, options.seed + wave)
        crowd.staying.set()
        crowd.start()
        await asyncio.sleep(WAVE_S)
        await crowd.stop()
        descriptors, resident = await settled(pid, rest)
        sizes.append(resident)
        if descriptors not in rest:
            return [f"rowcast has {descriptors} descriptors open, {rest} before the wave"]
    print(f"after each of {options.waves} waves: {descriptors} descriptors,", "KiB resident:", sizes)
    if sizes[-1] > sizes[len(sizes) // 2 - 1] + GROWTH_KIB * options.workers:
        return [f"rowcast's memory grows from wave to wave: {sizes} KiB"]
    return []


async def settled(pid, descriptors):
    """The figures once so many descriptors, a range, are open, or at the end of patience."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        figures = rowcast_figures(pid)
        if figures[0] in descriptors or time.monotonic() > deadline:
            return figures
        await asyncio.sleep(0.1)


async def at_rest(site):
    """The descriptors of a rowcast that listens and has had no request."""
    while not os.path.exists(f"{site.folder}/rowcast.sock"):
        await asyncio.sleep(0.05)
    last = None
    while last != (last := rowcast_figures(site.processes["rowcast"].pid)[0]):
        await asyncio.sleep(0.5)
    return last


async def run(site, options):
    chance = random.Random(options.seed)
    crowd = Crowd(site.port, options.streams, options.seed)
    site.start("rowcast")
    rest = await at_rest(site)
    site.start("lighttpd")
    site.start("writer")
    site.start("poster")
    for name in ATTACKS:
        site.start(name)
    crowd.start()
    faults = [f"{name} died" for name in await chaos(site, chance, options.minutes * 60)]
    for name in ATTACKS:
        if name not in site.died():
            site.end(name, signal.SIGTERM)
        del site.processes[name]
    if not faults:
        crowd.staying.set()
        await asyncio.sleep(5)
        await asyncio.to_thread(site.end, "poster", signal.SIGTERM)
        site.end("writer", signal.SIGKILL)
        tail, behind = await all_caught_up(site, crowd)
        if behind:
            faults.append(f"{behind} readers have not caught up after {CATCH_UP_S} s")
        for session in crowd.sessions:
            is_here = session in crowd.current
            for fault in session.faults + truth.compare(site.truth, session, tail if is_here else None):
                faults.append(f"{session.user} on {session.patterns}: {fault}")
        taken = site.acknowledged()
        lost = [row_id for row_id in taken if row_id not in site.truth.rows]
        if lost:
            faults.append(f"{len(lost)} of {len(taken)} rows that POST was told were taken are not there,"
                          f" the first {lost[0]}")
        print(f"{len(taken)} rows by POST")
        answer = truth.is_whole(site.db)
        if answer != "ok":
            faults.append(f"the database is damaged: {answer}")
    await crowd.stop()
    print(f"{len(site.truth.rows)} rows, {crowd.deliveries} deliveries in {crowd.connects} connections of"
          f" {len(crowd.sessions)} visitors, {crowd.gaps} gaps told, refused: {crowd.refused}")
    for row_id, check in crowd.checks.items():
        if row_id in site.truth.rows and site.truth.rows[row_id][3] != check:
            faults.append(f"row {row_id} came with other data than was committed")
    if not faults:
        site.start("writer")
        site.start("poster")
        faults = await waves(site, options, rest)
    await asyncio.to_thread(site.end, "poster", signal.SIGTERM)
    site.end("writer", signal.SIGKILL)
    if not site.died() == ["writer", "poster"]:
        faults.append(f"dead at the end: {site.died()}")
    elif site.end("rowcast", signal.SIGTERM) != 0:
        faults.append("rowcast did not end well")
    return faults


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rowcast", required=True, type=os.path.abspath)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=20, help="rows a second")
    parser.add_argument("--waves", type=int, default=4)
    parser.add_argument("--keep-rows", type=int, default=1000, help="what serve keeps; 0: all")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    parser.add_argument("serve_options", nargs="*", help="after --: more options of rowcast serve")
    options = parser.parse_args()
    # What was freed, a sanitizer keeps for a while: 256 MB of it would look like a leak.
    os.environ["ASAN_OPTIONS"] = "quarantine_size_mb=1:thread_local_quarantine_size_kb=64:" \
        + os.environ.get("ASAN_OPTIONS", "")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix="rowcast-soak.")
    print(f"seed {options.seed}, folder {folder}", flush=True)
    site = Site(options, folder)
    try:
        faults = asyncio.run(run(site, options))
        with open(f"{folder}/soak.log", "rb") as log:
            reports = [line for line in log
                       if b"Sanitizer" in line or b"runtime error" in line or b"FAULT" in line]
        faults += [f"the log has: {line.decode(errors='replace').strip()}" for line in reports]
    finally:
        site.stop()
    for fault in faults[:FAULTS_SHOWN]:
        print(f"FAULT: {fault}")
    print(f"{len(faults)} faults" if faults else "all records agree")
    if options.keep or faults:
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder)
    sys.exit(1 if faults else 0)


main()
