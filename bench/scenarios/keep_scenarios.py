"""Retention: what `serve --keep-rows` costs the writer, and whether the files stay small.

    bench/run retention               5 million rows (--quick: one)
    BENCH_KEEP_ROWS=100000000 bench/run retention
"""

import os
import sqlite3
import time

from harness import Failed, Place
from scenarios import Figure, Settings, median, scenario

KEEP = 100_000
PER_COMMIT = 100
DATA = "x" * 100


class Writer:
    """An application's connection; SQLite's own busy handler, as most have it."""

    def __init__(self, db):
        self.db = db
        self.connection = sqlite3.connect(db, isolation_level=None, timeout=30)
        self.connection.execute("PRAGMA synchronous = NORMAL")

    def write(self, rows, per_commit, gap_s=0.0):
        """Returns rows a second and the time of each commit in ms."""
        took = []
        began = time.monotonic()
        for _ in range(0, rows, per_commit):
            start = time.monotonic()
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany("INSERT INTO notification(data) VALUES (?)",
                                        [(DATA,)] * per_commit)
            self.connection.execute("COMMIT")
            took.append((time.monotonic() - start) * 1000)
            if gap_s:
                time.sleep(gap_s)
        return rows / (time.monotonic() - began), sorted(took)

    def sizes(self):
        return [os.stat(self.db + end).st_size / 2**20 for end in ("", "-wal")]


def p99(took):
    return took[len(took) * 99 // 100]


@scenario("retention")
def retention():
    total = int(os.environ.get("BENCH_KEEP_ROWS", 1_000_000 if Settings.quick else 5_000_000))
    with Place() as place:
        kept_db, free_db = place.new_db("kept"), place.new_db("free")
        place.rowcast(kept_db, "--heartbeat", "0", "--keep-rows", str(KEEP))
        place.rowcast(free_db, "--heartbeat", "0")
        kept, free = Writer(kept_db), Writer(free_db)
        kept.write(KEEP, 1000)
        free.write(KEEP, 1000)

        ours, bare = [], []
        for _ in range(9 if Settings.quick else 21):  # 10 rows each 2 ms: an application's pace
            ours.append(p99(kept.write(5000, 10, 0.002)[1]))
            bare.append(p99(free.write(5000, 10, 0.002)[1]))
        ratios = [a / b for a, b in zip(ours, bare)]
        figure = Figure("10 rows each 2 ms beside pruning: a commit, p99", "ms", median(ours),
                        target="not held up: <= 2 x without", sense="<=", limit=2,
                        judged=median(ratios), baseline=median(bare), against="no pruning")
        figure.data["paired"] = True
        yield figure

        rates = [[writer.write(20_000, PER_COMMIT)[0] for writer in (kept, free)]
                 for _ in range(5)]
        figure = Figure("rows written as fast as can be beside pruning", "thousand/s",
                        median([a for a, _ in rates]) / 1000,
                        target=">= 0.5 x without: each row is written and deleted", sense=">=",
                        limit=0.5, judged=median([a / b for a, b in rates]),
                        baseline=median([b for _, b in rates]) / 1000, against="no pruning")
        figure.data["paired"] = True
        yield figure

        files, wals = [], []
        rate = 0
        for _ in range(20):
            rate, _ = kept.write(total // 20, PER_COMMIT)
            file, wal = kept.sizes()
            files.append(file)
            wals.append(wal)
        rows = kept.connection.execute("SELECT count(*) FROM notification").fetchone()[0]
        if kept.connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            raise Failed("the database is damaged")
        yield Figure(f"{total:,} rows as fast as can be, --keep-rows {KEEP:,}: growth of the file "
                     "over the last half", "x", files[-1] / files[9],
                     target="stable (<= 1.1)", sense="<=", limit=1.1,
                     note=f"file {files[9]:.0f} then {files[-1]:.0f} MiB, WAL at most "
                          f"{max(wals):.0f} MiB, {rows:,} rows at the last insert, "
                          f"{rate / 1000:.0f} thousand/s")
