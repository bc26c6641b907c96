"""cell.py - one cell of the matrix: a trick played on a database under a running rowcast.

A cell has a folder of its own, a writer, pages that listen (responder.py), and in some modes somebody
who publishes or retention. Rows come and reach the pages; the trick is played (tricks.py), in steps;
after each step rows are written and the rule is asked for (oracle.py). Then SIGHUP, SIGTERM and a new
start, with rows after each; at last the file itself is checked.

matrix.py runs many cells at a time, each in a process of its own. In it no descriptor of the database is
opened but by SQLite, as closing one would drop SQLite's locks: files are copied by programs."""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import oracle
from patience import patient
from responder import CgiPoll, CgiStream, Poster, Reader, SocketStream, Supervisor, ask, cgi_ask

WAL, ROLLBACK = "WAL", "rollback"
JOURNALS = (WAL, ROLLBACK)

KEEP_ROWS = 20
BEFORE_S = patient(20.0)    # for rows to come before the trick, and for what only has to happen sometime
MODES = {
    "plain": [],
    "publishing": ["--allow-publish"],
    "retention": ["--keep-rows", str(KEEP_ROWS), "--keep-age", "1d"],
    "workers": ["--workers", "2", "--allow-publish"],
    "CGI": None,
}
# Lines of the log that show nothing in the evidence.
EVERYDAY = re.compile(r"info: (publish user|open stream|close stream|database readable again|.* locked: repeat)")
PAGES = {"workers": 3}
PUBLISHES = ("publishing", "workers")
STARTED_ANEW = ("plain", "publishing")      # at the end, and told by SIGHUP before: the others read as these do


class Fault(Exception):
    """The cell ends here: what it says is wrong."""


class Step:
    """What a trick yields: what is to be done and asked for now."""

    def __init__(self, rows=3, must_tell=False, doctor=False, must_be_well=False):
        self.rows = rows            # that the writer writes
        self.must_tell = must_tell  # health is not ok and the log says what to do, rows or none
        self.doctor = doctor        # the state lasts: doctor finds it
        self.must_be_well = must_be_well    # what was to be done was done: rows come, health is ok


ROWS = Step()                                       # rows come or are told of
LASTS = Step(doctor=True)                           # the same in a state that lasts
TELLS = Step(rows=0, must_tell=True, doctor=True)   # no rows can be written, and it is told
MENDED = Step(must_be_well=True)                    # it was put right
QUIET = Step(rows=0)                                # nothing is asked for but what was


class Cell:
    def __init__(self, trick, mode, journal, options, folder):
        self.trick, self.mode, self.journal = trick, mode, journal
        self.options = options
        self.root = folder              # of the cell, with the socket and the log
        self.folder = f"{folder}/data"  # of the database
        self.db = self.writer_db = f"{self.folder}/rowcast.db"
        self.prefix = []                # what stands before the program's command: a namespace's
        self.address = f"{folder}/s"
        self.cgi = f"{folder}/rowcast.cgi"
        self.log_path = f"{folder}/log"
        self.log = open(self.log_path, "ab")
        self.log_from = 0
        self.ledger = oracle.Ledger()
        self.trick_at = 0.0             # when the last trick began
        self.keep_rows = KEEP_ROWS if mode == "retention" else None
        self.pages = []
        self.visitors = []
        self.numbers = itertools.count(1)
        self.poster = None
        self.supervisor = None
        self.health_s = 0.5 if mode == "CGI" else 0.1   # how often it is asked for
        self.pragmas = "PRAGMA synchronous = OFF;"
        self.held = None
        self.health = []
        self.faults = []
        self.doctor_fault = None
        self.doctor_seen = False
        self.doctor_before = set()
        self.steps = 0

    # --- files

    def run(self, *command, check=True):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, check=False)
        if check and done.returncode != 0:
            raise Fault(f"harness: {command}: {done.stdout.decode(errors='replace')}")
        return done

    def sqlite(self, path, sql, check=True):
        """As an administrator would, with SQLite's own program."""
        return self.run("sqlite3", "-bail", "-cmd", f".timeout {patient(5000):.0f}", path, sql, check=check)

    def init(self, path):
        keep = ["--keep-journal"] if self.journal == ROLLBACK else []
        self.run(self.options.rowcast, "init", "--db", path, *keep)

    def names(self, path=None, suffixes=("", "-wal", "-shm", "-journal")):
        path = path or self.db
        return [path + suffix for suffix in suffixes if os.path.exists(path + suffix)]

    def remove(self, *suffixes, path=None):
        for name in self.names(path, suffixes):
            os.remove(name)

    def move(self, source, target):
        """The database and what is beside it."""
        for name in self.names(source):
            os.rename(name, target + name[len(source):])

    def checkpoint(self):
        """All rows into the file itself."""
        if self.journal == WAL:
            self.sqlite(self.writer_db, "PRAGMA wal_checkpoint(TRUNCATE)")

    # --- writing

    def connect(self):
        connection = sqlite3.connect(self.writer_db, isolation_level=None, timeout=patient(5))
        connection.executescript(self.pragmas)
        return connection

    def write(self, count):
        """Rows of the application, each a transaction of a connection of its own, as those of many
        web applications are; or, while one is held, of that one."""
        for _ in range(count):
            row = self.ledger.begin("app")
            connection = self.held
            try:
                connection = connection or self.connect()
                row_id = connection.execute("INSERT INTO notification(channel, data, created_at)"
                                            " VALUES ('default', ?, ?) RETURNING id",
                                            (row.data, int(time.time() * 1000))).fetchall()[0][0]
                self.ledger.commit(row, row_id)
            except sqlite3.Error as error:
                self.note(f"the writer was refused {row.data}: {error}")
            finally:
                if connection is not None and connection is not self.held:
                    connection.close()

    def delete_rows(self):
        """The application deletes all rows that there are."""
        began = time.monotonic()
        connection = self.connect()
        for data, in connection.execute("DELETE FROM notification RETURNING data"):
            self.ledger.rows[data].gone = began
        connection.close()

    def visit(self):
        """A page that has been here, and will come back: it has the cursor of now."""
        visitor = Visitor(f"visitor {next(self.numbers)}", self)
        visitor.poll()
        return visitor

    @contextlib.contextmanager
    def quiet(self):
        """No write of ours or of a POST is under way: no program can guard a commit that is. They
        go on right after it."""
        with self.poster.turn if self.poster is not None else contextlib.nullcontext():
            self.trick_at = time.monotonic()
            yield

    @contextlib.contextmanager
    def taking(self, since=0.0):
        """The actions within take the rows away that were written since then."""
        with self.quiet():
            yield
            self.take(since)

    def take(self, since=0.0):
        """What was written since then, up to now, is gone."""
        self.ledger.take(since, self.trick_at)

    @contextlib.contextmanager
    def frozen(self):
        """The responder does not get to see what is between two looks. It is not stopped while it
        looks, with a lock in its hand."""
        held_up = [self.supervisor] if self.supervisor else \
            [page for page in self.pages if isinstance(page, CgiStream)]
        for _ in range(100):
            for process in held_up:
                process.signal(signal.SIGSTOP)
            if self.journal == WAL or self.is_free():
                break
            for process in held_up:
                process.signal(signal.SIGCONT)
            time.sleep(0.02)
        try:
            yield
        finally:
            for process in held_up:
                process.signal(signal.SIGCONT)

    def is_free(self):
        """Nobody has a lock on the database."""
        connection = sqlite3.connect(self.writer_db, isolation_level=None, timeout=0)
        try:
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
            return True
        except sqlite3.OperationalError:
            return False
        finally:
            connection.close()

    # --- the program

    def command(self):
        return [*self.prefix, self.options.rowcast, "serve", "--db", self.db, "--heartbeat", "1",
                "--retry", "100", "--drain", "1", *MODES[self.mode]]

    def start(self):
        if MODES[self.mode] is not None:
            self.supervisor = Supervisor(self.command(), self.address, self.log)
            self.supervisor.start()
            self.pages = [SocketStream(f"page {i}", self.address)
                          for i in range(PAGES.get(self.mode, 1))]
        else:
            os.symlink(self.options.rowcast, self.cgi)
            self.pages = [CgiStream("open page", self), CgiPoll("polling page", self)]
        for page in self.pages:
            page.start()

    def start_poster(self):
        if self.mode in PUBLISHES:
            self.poster = Poster(self)
            self.poster.start()

    def stop_poster(self):
        if self.poster is not None:
            self.poster.leaving.set()
            self.poster.join()
            self.poster = None

    def ask_health(self):
        answer = ask(self.address, "/health") if self.supervisor else cgi_ask(self, "/health")
        if not self.health or self.health[-1] != answer:
            self.health.append(answer)
        return answer

    def is_unwell(self):
        """No `ok`; where several workers answer, none of them."""
        if self.supervisor and not self.supervisor.is_up():
            return True
        for _ in range(4 if self.mode == "workers" else 1):
            answer = self.ask_health()
            if answer is not None and answer[0] == 200:
                return False
            if answer is None and self.supervisor and self.supervisor.is_up() \
                    and time.monotonic() - self.supervisor.started_at > 3:
                self.note("hangs: it runs, but does not answer /health")
        return True

    def log_text(self):
        with open(self.log_path, "rb") as log:
            log.seek(self.log_from)
            return log.read().decode(errors="replace")

    def note(self, text):
        """Something for the evidence."""
        with open(self.log_path, "a", encoding="utf-8") as log:
            log.write(f"(harness: {text})\n")

    def doctor(self):
        """The faults that doctor finds now: a set of (check, seen), and its answer."""
        done = self.run(*self.prefix, self.options.rowcast, "doctor", "--json", "--db", self.db,
                        check=False)
        text = done.stdout.decode(errors="replace")
        try:
            return {(f["check"], f["level"]) for f in json.loads(text)
                    if f["level"] in self.trick.found_as}, text
        except ValueError:
            return set(), f"exit code {done.returncode}, {text}"

    # --- the story

    def wait_until(self, condition, what, seconds=BEFORE_S):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Fault(f"not within {seconds:.0f} s: {what}")
            time.sleep(0.05)

    def before(self):
        """Rows come, as they do every day."""
        self.wait_until(lambda: all(page.reader.opened.is_set() for page in self.pages),
                        "the pages are open")
        self.start_poster()
        self.write(5 if self.keep_rows is None else 2 * KEEP_ROWS)
        rows = self.ledger.committed()
        self.wait_until(lambda: not any(oracle.unaccounted(page.reader, rows)
                                        for page in self.pages), "the rows before the trick")
        self.wait_for_retention()

    def wait_for_retention(self):
        """Until it has nothing to delete, and so no transaction under way; in vain is no fault."""
        if self.keep_rows is None:
            return
        with contextlib.suppress(Fault, sqlite3.Error):
            connection = self.connect()
            try:
                self.wait_until(lambda: connection.execute(
                    "SELECT count(*) FROM notification").fetchone()[0] <= KEEP_ROWS, "retention", 3)
            finally:
                connection.close()

    def take_step(self, step, name):
        self.write(step.rows)
        rows = self.ledger.committed()
        for visitor in self.visitors:
            if oracle.unaccounted(visitor.reader, rows):
                visitor.poll()
        verdict = oracle.settle(self, rows, step.must_tell, step.must_be_well)
        self.verdict = verdict
        self.note(f"{name}: {verdict.kind}")
        if verdict.kind == "broken":
            what = f"lost untold: {verdict.left}" if verdict.left else \
                "not well again" if step.must_be_well else "nothing tells the fault"
            self.faults.append(f"{name}: {what}; health: {self.ask_health()}")
        if step.doctor and self.mode == "plain":
            self.examine()
        return verdict

    def examine(self):
        """doctor is to find what lasts."""
        found, text = self.doctor()
        self.doctor_seen = True
        if not found - self.doctor_before:
            self.doctor_fault = f"doctor found nothing new:\n{text}"
        else:
            self.note(f"doctor: {sorted(found - self.doctor_before)}")

    def tell(self):
        """The whole of it. Raises Fault where it cannot go on."""
        trick = self.trick
        if trick.lasts and self.mode == "plain":
            self.doctor_before = self.doctor()[0]
        if trick.arrange is not None:
            trick.arrange(self)
        if not trick.is_arranged_only:
            self.start()
            self.before()
        else:
            self.start()
            self.start_poster()
        self.log_from = os.path.getsize(self.log_path)
        for step in trick.play(self) or ():
            self.steps += 1
            self.take_step(step, f"step {self.steps}")
        self.end_of_trick()
        self.after()
        self.check_at_rest()

    def end_of_trick(self):
        if self.trick.is_arranged_only:
            self.log_from = 0

    def after(self):
        """What administrators do then: SIGHUP, and a new start."""
        last = Step(rows=2)
        if self.supervisor is None:
            return
        if self.supervisor.never_rests():
            self.faults.append("it never rests: 100 % CPU")
        if self.mode not in STARTED_ANEW:
            return
        self.supervisor.signal(signal.SIGHUP)
        if self.supervisor.is_up():
            self.take_step(last, "after SIGHUP")
        self.restart()
        self.take_step(last, "after a new start")
        self.wait_for_retention()

    def were_told(self):
        """What was lost up to now was told to those who run it, in the last step; and now they act."""
        if self.verdict.kind == "told":
            for reader in (page.reader for page in self.pages + self.visitors):
                reader.told.update(row.data for row in self.verdict.left.get(reader.name, ()))

    def restart(self):
        if self.supervisor is None:
            return
        self.end_supervisor()
        exits = len(self.supervisor.exits)
        self.supervisor.start()
        # The five seconds are those of a program that runs, or that has said why it does not.
        self.wait_until(lambda: self.ask_health() is not None or len(self.supervisor.exits) > exits,
                        "an answer after a new start")

    def end_supervisor(self):
        fault = self.supervisor.stop()
        if fault is not None:
            self.faults.append(f"SIGTERM: {fault}")

    def check_at_rest(self):
        """Nobody has it open any more: what is in the file?"""
        self.stop_poster()
        if self.supervisor is not None:
            self.take_step(QUIET, "at the end")
            self.end_supervisor()
        self.leave()
        if self.held is not None:
            self.held.close()
        for page in self.pages:
            self.faults += oracle.strangers(page.reader, self.ledger)
        if not self.trick.destroys:
            connection = sqlite3.connect(self.writer_db, timeout=patient(5))
            integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
            there = connection.execute("SELECT id, data FROM notification").fetchall()
            connection.close()
            self.faults += oracle.check_file(self, there, integrity)

    # --- the end

    def leave(self):
        for page in self.pages:
            page.leaving.set()
        for page in self.pages:
            if isinstance(page, CgiStream):
                page.end()
            if page.ident is not None:
                page.join(5)

    def clean_up(self):
        with contextlib.suppress(Exception):
            self.stop_poster()
        if self.supervisor is not None:
            self.supervisor.kill()
        with contextlib.suppress(Exception):
            self.leave()

    def evidence(self):
        """All that one needs to see why, as text."""
        lines = [f"folder {self.root}"] if self.options.keep else []
        committed = self.ledger.committed()
        lines.append(f"committed: {committed[-40:]}")
        if self.ledger.refused:
            lines.append(f"refused: {list(self.ledger.refused)[-20:]}")
        for page in self.pages + self.visitors:
            reader = page.reader
            got = [f"{data}={times[-1][1]}" for data, times in reader.data.items()][-30:]
            lines += [f"{reader.name}: {reader.connections} connections, last id {reader.last_id}",
                      f"  got {got}", f"  gaps {[gap for _, gap in reader.gaps]}",
                      f"  refused {[status for _, status in reader.refusals][-8:]}"]
            lacks = oracle.unaccounted(reader, committed)
            lines.append(f"  lacks {lacks}")
        if self.supervisor is not None:
            lines.append(f"exits: {[code for _, code in self.supervisor.exits]}")
        lines.append(f"health: {self.health[-6:]}")
        self.log_from = 0
        lines += ["log:", *("  " + line for line in self.log_text().splitlines()
                            if not EVERYDAY.search(line))][-45:]
        return "\n".join(lines)


class Visitor:
    """A page that polls once, goes away, and comes back once."""

    def __init__(self, name, cell):
        self.cell = cell
        self.reader = Reader(name)

    def poll(self):
        after = self.reader.last_id
        target = "" if after is None else f"?last_event_id={after}"
        answer = ask(self.cell.address, target, ["HTTP_ACCEPT=application/json"]) \
            if self.cell.supervisor else cgi_ask(self.cell, target, HTTP_ACCEPT="application/json")
        if after is None:
            self.reader.since = time.monotonic()
        self.reader.connections += 1
        if answer is not None and answer[0] == 200 and self.reader.take_document(answer[1]):
            self.poll()     # there may be more until an answer comes without rows

    def come_back(self):
        """From now on the rule is asked for this page too, for what was written while it was away."""
        self.reader.until = time.monotonic()
        self.poll()
        self.cell.visitors.append(self)


def run_cell(trick, mode, journal, options, folder):
    """Plays one cell. Returns what matrix.py shows of it."""
    began = time.monotonic()
    shutil.copytree(f"{options.work}/{journal}", f"{folder}/data")
    cell = Cell(trick, mode, journal, options, folder)
    try:
        cell.tell()
    except Fault as fault:
        cell.faults.append(str(fault))
    except Exception as error:      # the evidence of a mistake of ours is wanted as well
        import traceback
        cell.faults.append(f"{error!r}\n{traceback.format_exc()}")
    finally:
        cell.clean_up()
    return {"trick": trick.name, "mode": mode, "journal": journal, "faults": cell.faults,
            "doctor": cell.doctor_fault, "doctor_seen": cell.doctor_seen,
            "evidence": cell.evidence() if cell.faults or cell.doctor_fault or options.verbose else "",
            "seconds": round(time.monotonic() - began, 1)}
