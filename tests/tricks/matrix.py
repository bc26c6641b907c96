#!/usr/bin/env python3
"""matrix.py - every trick x mode x journal, many cells at a time.

    matrix.py --rowcast PROGRAM [--thin] [--results FOLDER] [--jobs 24] [--keep] [--verbose]
              [PATTERN...]
    matrix.py --list

PATTERN is a regular expression for "TRICK/MODE/JOURNAL"; a cell is played when one of them is found
there. --thin plays one cell of each trick, of all modes and journals in turn. With --results
FOLDER each trick's outcome ("ok", or what failed) is written to FOLDER/TRICK as soon as its last
cell has ended, doctor's to FOLDER/TRICK.doctor: tricks.bats reads them there.
Exit 0 when all held.

It runs in a mount and a process namespace of its own (as an ordinary user also in a user namespace):
its mounts are nobody else's, and all that it started ends with it."""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from cell import JOURNALS, WAL, Fault, run_cell  # noqa: E402
from patience import patient  # noqa: E402
from tricks import TRICKS  # noqa: E402

CELL_S = patient(90)    # after which a cell counts as hanging


def own_namespace():
    """Goes on in namespaces of our own."""
    if os.environ.pop("ROWCAST_TRICKS_NAMESPACE", None) is not None:
        return
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        unshare.append("--map-root-user")
    os.environ["ROWCAST_TRICKS_NAMESPACE"] = "own"
    os.execvp("unshare", [*unshare, sys.executable, *sys.argv])


def thin(trick, used):
    """One of its cells: of the mode, then the journal, that was used least; doctor is asked in `plain`."""
    cells = trick.cells
    if trick.lasts:
        cells = [cell for cell in cells if cell[0] == "plain" and trick.lasts in (True, cell[1])]
    mode, journal = min(cells, key=lambda cell: (used.get(cell[0], 0), used.get(cell, 0)))
    for key in (mode, (mode, journal)):
        used[key] = used.get(key, 0) + 1
    return [(mode, journal)]


def cells_of(options):
    used = {}
    for trick in TRICKS:
        for mode, journal in thin(trick, used) if options.thin else trick.cells:
            name = f"{trick.name}/{mode}/{journal}"
            if not options.patterns or any(re.search(p, name) for p in options.patterns):
                yield trick, mode, journal


def make_templates(options):
    """A database of each journal, to be copied: `init` for each cell would take longer."""
    for journal in JOURNALS:
        path = f"{options.work}/{journal}/rowcast.db"
        os.mkdir(os.path.dirname(path))
        subprocess.run([options.rowcast, "init", "--db", path], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        mode = "WAL" if journal == WAL else "DELETE"
        subprocess.run(["sqlite3", path, f"PRAGMA journal_mode = {mode}"], check=True,
                       stdout=subprocess.DEVNULL)


def too_late(_signal, _frame):
    raise Fault(f"not at its end after {CELL_S:.0f} s")


def play(number, trick, mode, journal, options):
    """In a child. Its outcome is a file."""
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(int(CELL_S))
    folder = f"{options.work}/{number}"
    os.mkdir(folder)
    outcome = run_cell(trick, mode, journal, options, folder)
    with open(f"{options.work}/{number}.json.new", "w", encoding="utf-8") as out:
        json.dump(outcome, out)
    os.rename(f"{options.work}/{number}.json.new", f"{options.work}/{number}.json")
    os._exit(0)


def outcome_of(number, trick, mode, journal, options):
    try:
        with open(f"{options.work}/{number}.json", encoding="utf-8") as file:
            return json.load(file)
    except OSError:
        log = f"{options.work}/{number}/log"
        text = open(log, encoding="utf-8", errors="replace").read()[-3000:] if os.path.exists(log) else ""
        return {"trick": trick.name, "mode": mode, "journal": journal, "seconds": CELL_S,
                "faults": ["harness: the cell did not come to its end"], "doctor": None,
                "doctor_seen": False, "evidence": text}


class Report:
    def __init__(self, options, cells):
        self.options = options
        self.left = {}
        self.failed = {}
        self.examined = {}
        self.count = self.faults = 0
        for trick, _, _ in cells:
            self.left[trick.name] = self.left.get(trick.name, 0) + 1

    def take(self, outcome):
        name = outcome["trick"]
        title = f"{name}/{outcome['mode']}/{outcome['journal']}"
        self.count += 1
        if outcome["doctor_seen"]:
            self.examined.setdefault(name, [])
        if outcome["doctor"]:
            self.examined[name].append(f"# {title}: {outcome['doctor']}\n{outcome['evidence']}")
            print(f"DOCTOR {title}: {outcome['doctor'].splitlines()[0]}", flush=True)
        if outcome["faults"]:
            self.faults += 1
            text = "\n".join(outcome["faults"])
            self.failed.setdefault(name, []).append(f"### {title}\n{text}\n{outcome['evidence']}\n")
            print(f"FAIL {title} ({outcome['seconds']} s): {text[:300]}", flush=True)
            if self.options.verbose:
                print(outcome["evidence"], flush=True)
        elif self.options.verbose:
            print(f"ok {title} ({outcome['seconds']} s)\n{outcome['evidence']}", flush=True)
        self.left[name] -= 1
        if self.left[name] == 0:
            self.write(name)

    def write(self, name):
        if self.options.results is None:
            return
        for suffix, faults in ((".doctor", self.examined.get(name)), ("", self.failed.get(name, []))):
            if faults is None:
                continue
            path = f"{self.options.results}/{name}{suffix}"
            with open(path + ".new", "w", encoding="utf-8") as out:
                out.write("\n".join(faults) if faults else "ok\n")
            os.rename(path + ".new", path)


def run(options):
    cells = list(enumerate(cells_of(options)))
    report = Report(options, [cell for _, cell in cells])
    running = {}    # pid: (number, cell, when it is too late)
    while cells or running:
        while cells and len(running) < options.jobs:
            number, cell = cells.pop(0)
            pid = os.fork()
            if pid == 0:
                play(number, *cell, options)
            running[pid] = (number, cell, time.monotonic() + CELL_S + 20)
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            for late in [pid for pid, entry in running.items() if time.monotonic() > entry[2]]:
                os.kill(late, signal.SIGKILL)
            time.sleep(0.02)
            continue
        if pid not in running:
            continue    # what a cell left behind: we are its namespace's first process
        number, cell, _ = running.pop(pid)
        report.take(outcome_of(number, *cell, options))
        if not options.keep:
            subprocess.run(["umount", "-lR", f"{options.work}/{number}/data"], check=False,
                           stderr=subprocess.DEVNULL)
            shutil.rmtree(f"{options.work}/{number}", ignore_errors=True)
    return report


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rowcast", type=os.path.abspath)
    parser.add_argument("--results", type=os.path.abspath)
    parser.add_argument("--jobs", type=int, default=24)
    parser.add_argument("--thin", action="store_true", help="one cell of each trick")
    parser.add_argument("--keep", action="store_true", help="keep the cells' folders")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--list", action="store_true", help="print the tricks")
    parser.add_argument("patterns", nargs="*")
    options = parser.parse_args()
    if options.list:
        for trick in TRICKS:
            print(trick.name, "doctor" if trick.lasts else "-", len(trick.cells), trick.says, sep="\t")
        return
    own_namespace()
    os.umask(0o022)
    options.work = tempfile.mkdtemp(prefix="rowcast-tricks.")
    began = time.monotonic()
    # A copy: the original may be built anew meanwhile.
    options.rowcast = shutil.copy(options.rowcast, f"{options.work}/rowcast")
    make_templates(options)
    try:
        report = run(options)
    finally:
        if options.keep:
            print(f"kept: {options.work}")
        else:
            shutil.rmtree(options.work, ignore_errors=True)
    doctor = sum(1 for faults in report.examined.values() if faults)
    print(f"{report.count} cells, {report.faults} failed, doctor missed {doctor} of"
          f" {len(report.examined)}, {time.monotonic() - began:.0f} s")
    sys.exit(1 if report.faults or doctor or not report.count else 0)


main()
