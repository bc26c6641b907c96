#!/usr/bin/env python3
"""live.py - copies of a tracked table at the readers, compared with the table at the end.

    live.py --socket unix:PATH --db FILE [--rowcast PROGRAM] [--seconds 8] [--readers 24] [--seed N]

A writer changes the table `items` (inserts, updates, deletes, REPLACE, rows that change hands, rolled
back transactions); readers, anonymous and of two users, begin with state=items, drop and come back with
the id that they have, or without; old events are pruned meanwhile. At quiet each reader's copy is what
SELECT gives that reader. Beside them stands a page that fetches the rows first and then subscribes: it
says how many of its rows were wrong."""

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
from streams import Crowd  # noqa: E402

USERS = [None, "ann", "bob"]
KEYS = 400
QUIET_S = 60


class Reader:
    """One page: its copy and its cursor, over all its connections."""

    def __init__(self, crowd, user):
        self.crowd, self.user = crowd, user
        self.rows, self.at = {}, {}
        self.cursor = None
        self.connect()

    def connect(self):
        settings = {"REMOTE_USER": self.user} if self.user else {}
        if self.cursor is not None:
            settings["HTTP_LAST_EVENT_ID"] = self.cursor
        self.seen, self.is_in_state = 0, False
        self.stream = self.crowd.open("?state=items&channel=items&ping=1", **settings)

    def take(self):
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
        self.stream.close()
        if forget:
            self.cursor, self.rows, self.at = None, {}, {}
        self.connect()


def change(db, chance):
    key, owner = chance.randrange(KEYS), chance.choice([None, None, "ann", "bob"])
    kind = chance.randrange(8)
    if kind < 3:
        db.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)",
                   (key, owner, chance.randrange(50), "x" * chance.choice([0, 10, 300])))
    elif kind < 5:
        db.execute("UPDATE OR REPLACE items SET v = ? WHERE id = ?", (chance.randrange(50), key))
    elif kind == 5:
        db.execute("UPDATE items SET owner = ? WHERE id BETWEEN ? AND ?", (owner, key, key + 3))
    elif kind == 6:
        db.execute("DELETE FROM items WHERE id BETWEEN ? AND ?", (key, key + chance.randrange(3)))
    else:
        db.execute("UPDATE OR IGNORE items SET id = ? WHERE id = ?", (chance.randrange(KEYS), key))


def write(db, chance):
    db.execute("BEGIN IMMEDIATE")
    for _ in range(chance.choice([1, 1, 2, 20])):
        change(db, chance)
    db.execute("ROLLBACK" if chance.random() < 0.1 else "COMMIT")


def expected(db, user):
    rows = db.execute("SELECT id, owner, v, t FROM items WHERE owner IS NULL OR owner = ?", (user,))
    return {row[0]: dict(zip(("id", "owner", "v", "t"), row)) for row in rows}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--db", required=True)
    parser.add_argument("--rowcast", required=True)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--readers", type=int, default=24)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print("seed", options.seed, flush=True)
    chance = random.Random(options.seed)
    db = sqlite3.connect(options.db, isolation_level=None, timeout=30)
    crowd = Crowd(options.socket, seconds=options.seconds + 2 * QUIET_S)
    readers = [Reader(crowd, USERS[i % 3]) for i in range(options.readers)]
    joins = len(readers)
    naive = expected(db, None)      # fetches first, and listens from a moment later on
    time.sleep(0.05)
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        write(db, chance)
        if chance.random() < 0.3:
            chance.choice(readers).drop(forget=chance.random() < 0.5)
            joins += 1
        if chance.random() < 0.02:
            subprocess.run([options.rowcast, "prune", "--db", options.db, "--keep-rows", "30"],
                           check=True, stdout=subprocess.DEVNULL)
        for key, _ in crowd.selector.select(0):
            if not key.data.read():
                crowd.selector.unregister(key.data.socket)
    tail = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'notification'").fetchone()[0]

    def is_up_to_date(reader):
        reader.take()
        if reader.stream.closed:
            reader.connect()
        return not reader.is_in_state and (reader.cursor or 0) >= tail
    crowd.until(lambda: all([is_up_to_date(reader) for reader in readers]), "the tail at each reader")
    wrong = 0
    for reader in readers:
        truth = expected(db, reader.user)
        if reader.rows != truth:
            wrong += 1
            keys = {k for k in truth.keys() | reader.rows.keys() if truth.get(k) != reader.rows.get(k)}
            print(f"{reader.user}: {len(keys)} rows differ, one is {min(keys)}:"
                  f" {reader.rows.get(min(keys))} for {truth.get(min(keys))}")
    truth = expected(db, None)
    lost = sum(1 for k in truth.keys() | naive.keys() if truth.get(k) != naive.get(k))
    print(f"{joins} joins, {wrong} copies differ; fetched once and left alone: {lost} rows differ")
    sys.exit(1 if wrong else 0)


main()
