"""What the benches start and measure: processes, their CPU time, memory and wake-ups; the load.

Nothing here knows a scenario. CPU time is read from each process' own clock (as precise as
/proc/PID/schedstat, and it counts threads that have ended)."""

import atexit
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # bench/
SOURCE = os.path.dirname(HERE)
BUILD = os.environ.get("BENCH_BUILD", os.getcwd())


class Failed(Exception):
    """A stream lost or doubled a row, or something did not start."""


class Skipped(Exception):
    """Something optional is not installed."""


def cpu_ns(pids):
    """CPU time of whole processes, user and system (clock ids as in clock_getcpuclockid(3))."""
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)


def pss_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return int(re.search(r"^Pss:\s+(\d+) kB", rollup.read(), re.M).group(1)) * 1024


def wake_ups(pid):
    """Voluntary context switches of all threads: how often they went to sleep."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as status:
            total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read(), re.M)
                         .group(1))
    return total


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(is_so, what, seconds=20):
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def accepts(address):
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


class Daemon:
    """A process group that is ended when the scenario is."""

    def __init__(self, folder, name, command, env=None):
        self.name = name
        self.log = os.path.join(folder, name + ".log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
                start_new_session=True, env={**os.environ, **(env or {})})
        self.pid = self.process.pid

    def wait_for(self, is_so):
        try:
            wait_until(lambda: self.process.poll() is not None or is_so(), self.name)
        except Failed:
            raise Failed(f"{self.name} does not answer: {self.last_words()}") from None
        if self.process.poll() is not None:
            raise Failed(f"{self.name} did not start: {self.last_words()}")

    def last_words(self):
        with open(self.log, errors="replace") as log:
            return log.read()[-600:]

    def pids(self):
        """The process and what it started (nginx: the master and its workers)."""
        return [self.pid] + [grandchild for child in children(self.pid)
                             for grandchild in [child] + children(child)]

    def stop(self):
        for sign, patience in ((signal.SIGTERM, 8), (signal.SIGKILL, 2)):
            try:
                os.killpg(self.pid, sign)
                self.process.wait(patience)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
            return


class Load:
    """bench/clients/load: one line of JSON for each command; see the head of load.c."""

    def __init__(self, arguments):
        self.process = subprocess.Popen([os.path.join(BUILD, "bench/clients/load"), *arguments],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, start_new_session=True)
        self.pid = self.process.pid

    def pids(self):
        return [self.pid]

    def __call__(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line == "":
            raise Failed(f"the load ended at: {command}")
        answer = json.loads(line)
        if answer["faults"] or not answer["whole"]:
            raise Failed(f"{command}: lost or doubled events, or not in time: {line[:200]}")
        return answer

    def start(self, command):
        """For a command that takes long: answer() reads what it says."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def stop(self):
        try:
            self.process.stdin.close()
            self.process.wait(10)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


class Place:
    """One scenario's folder, with all that runs in it; a context manager."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="rowcast-bench-")
        os.chmod(self.folder, 0o777)
        self.started = []
        self.count = 0
        atexit.register(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for one in reversed(self.started):
            one.stop()
        self.started = []
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def daemon(self, name, command, is_up, env=None):
        self.count += 1
        daemon = Daemon(self.folder, f"{name}-{self.count}", command, env)
        self.started.append(daemon)
        daemon.wait_for(is_up)
        return daemon

    def load(self, *arguments):
        load = Load([str(argument) for argument in arguments])
        self.started.append(load)
        return load

    def stop(self, one):
        one.stop()
        self.started.remove(one)

    # --- responders -----------------------------------------------------------------------------

    def new_db(self, name="bench"):
        db = self.path(name + ".db")
        subprocess.run([os.path.join(BUILD, "rowcast"), "init", "--db", db], check=True,
                       stdout=subprocess.DEVNULL)
        os.chmod(db, 0o666)
        return db

    def rowcast(self, db, *options, name="rowcast", env=None):
        """rowcast serve on NAME.sock of the folder, listening when this returns."""
        sock = self.path(name + ".sock")
        daemon = self.daemon(name, [
            os.path.join(BUILD, "rowcast"), "serve", "--db", db, "--listen", "unix:" + sock,
            "--listen-mode", "0666", "--log-level", "warn", *options], lambda: accepts(sock), env)
        daemon.sock = sock
        return daemon

    def trivial(self, name="trivial"):
        sock, control = self.path(name + ".sock"), self.path(name + ".ctl")
        daemon = self.daemon(name, [os.path.join(BUILD, "bench/clients/trivial"), sock, control],
                             lambda: accepts(sock))
        daemon.sock, daemon.control = sock, control
        return daemon
