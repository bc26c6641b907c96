"""tricks.py - what befalls the files of the soak's database while rowcast runs. None of these takes a row
away: whatever is missing afterwards, rowcast has lost. tests/tricks/ has all of them, one at a time.

The writers are away meanwhile (soak.py), and nothing is left for retention to delete: no program can
guard a transaction that is under way when its files are moved."""

import os
import sqlite3
import subprocess
import time

import truth

SUFFIXES = ("", "-wal", "-shm")
AWAY_S = 1.5        # longer than rowcast takes to notice
REST_S = 0.3
COLUMNS = "id, channel, recipient, event, data, collapse_key, created_at, expires_at"


def at_rest(path):
    """Waits until the number of rows stays what it is; False: it does not."""
    counts = []
    for _ in range(20):
        connection = sqlite3.connect(path, timeout=30)
        counts.append(connection.execute("SELECT count(*) FROM notification").fetchone()[0])
        connection.close()
        if counts[-2:-1] == counts[-1:]:
            return True
        time.sleep(REST_S)
    return False


def execute(path, sql):
    """By SQLite's own program: a process of its own, as an administrator's."""
    subprocess.run(["sqlite3", "-bail", "-cmd", ".timeout 30000", path, sql], check=True,
                   stdout=subprocess.DEVNULL)


def move(source, target):
    for suffix in SUFFIXES:
        if os.path.exists(source + suffix):
            os.rename(source + suffix, target + suffix)


def remove(path, *suffixes):
    for suffix in suffixes:
        if os.path.exists(path + suffix):
            os.remove(path + suffix)


def shm_removed(site):
    remove(site.db, "-shm")


def wal_and_shm_removed(site):
    execute(site.db, "PRAGMA wal_checkpoint(TRUNCATE)")
    remove(site.db, "-wal", "-shm")


def renamed_away_and_back(site):
    move(site.db, f"{site.folder}/away.db")
    time.sleep(AWAY_S)
    move(f"{site.folder}/away.db", site.db)


def replaced_by_its_copy(site):
    execute(site.db, "PRAGMA wal_checkpoint(TRUNCATE)")
    subprocess.run(["cp", "-p", site.db, f"{site.db}.copy"], check=True)
    remove(site.db, "-wal", "-shm")
    os.rename(f"{site.db}.copy", site.db)


def vacuumed(site):
    execute(site.db, "VACUUM")


def migrated(site):
    """The table is made anew as object mappers do, and then what rowcast's log says is done. The trigger
    that keeps the truth goes with the table."""
    execute(site.db, f"""BEGIN IMMEDIATE;
CREATE TABLE "new__notification"(id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL
DEFAULT 'default', recipient TEXT, event TEXT, data TEXT NOT NULL, collapse_key TEXT,
created_at INTEGER NOT NULL DEFAULT 0, expires_at INTEGER);
INSERT INTO "new__notification"({COLUMNS}) SELECT {COLUMNS} FROM notification;
DROP TABLE notification;
ALTER TABLE "new__notification" RENAME TO notification;
{truth.TRIGGER}
COMMIT""")
    subprocess.run([site.options.rowcast, "init", "--db", site.db], check=True, stdout=site.log,
                   stderr=site.log)


TRICKS = (shm_removed, wal_and_shm_removed, renamed_away_and_back, replaced_by_its_copy, vacuumed, migrated)
NAMES = tuple(trick.__name__ for trick in TRICKS)
