"""Tracked tables: what the triggers of `rowcast track` cost the application's writer."""

import os
import sqlite3
import subprocess
import time

from harness import BUILD, Place
from scenarios import Figure, Settings, median, scenario

TABLE = "CREATE TABLE orders(id INTEGER PRIMARY KEY, state TEXT, total REAL, customer TEXT{})"
INSERT = "INSERT INTO orders(state, total, customer{}) VALUES (?, ?, ?{})"


class Writer:
    """An application's connection to a database with the table."""

    def __init__(self, place, name, unique, track):
        db = place.new_db(name)
        self.connection = sqlite3.connect(db, isolation_level=None, timeout=30)
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.execute(TABLE.format(", mail TEXT UNIQUE" if unique else ""))
        self.insert = INSERT.format(*((", mail", ", ?") if unique else ("", "")))
        self.unique, self.next = unique, 0
        if track:
            subprocess.run([os.path.join(BUILD, "rowcast"), "track", "--db", db, "orders", *track],
                           check=True, stdout=subprocess.DEVNULL)

    def rows(self, count):
        for i in range(self.next, self.next + count):
            row = ("new", i / 4, f"user{i % 100}")
            yield (*row, f"{i * 7919 % 1000003}@example.org") if self.unique else row
        self.next += count

    def write(self, count, per_commit):
        """Rows a second."""
        rows = list(self.rows(count))
        began = time.monotonic()
        for at in range(0, count, per_commit):
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany(self.insert, rows[at:at + per_commit])
            self.connection.execute("COMMIT")
        return count / (time.monotonic() - began)


class Notifier(Writer):
    """The same, where the application inserts the notification itself, in the same transaction."""

    def write(self, count, per_commit):
        rows = list(self.rows(count))
        told = [("orders:{\"id\":%d}" % i,
                 '{"table":"orders","op":"insert","key":{"id":%d},"row":{"id":%d,'
                 '"state":"%s","total":%s,"customer":"%s"},"old":null}' % (i, i, *row[:3]))
                for i, row in enumerate(rows, self.next - count + 1)]
        began = time.monotonic()
        for at in range(0, count, per_commit):
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany(self.insert, rows[at:at + per_commit])
            self.connection.executemany(
                "INSERT INTO notification(channel, event, collapse_key, data) "
                "VALUES ('orders', 'change', ?, ?)", told[at:at + per_commit])
            self.connection.execute("COMMIT")
        return count / (time.monotonic() - began)


def compare(name, ours, bare, per_commit, limit, against):
    count, rounds = 2000, 9 if Settings.quick else 31
    ours.write(count, per_commit)
    bare.write(count, per_commit)
    rates = [(ours.write(count, per_commit), bare.write(count, per_commit)) for _ in range(rounds)]
    figure = Figure(name, "thousand/s", median([a for a, _ in rates]) / 1000,
                    target=f">= {limit} of the rate without", sense=">=", limit=limit,
                    judged=median([a / b for a, b in rates]),
                    baseline=median([b for _, b in rates]) / 1000, against=against)
    figure.data["paired"] = True
    return figure


@scenario("track")
def track():
    kinds = [("4 columns", False, []),
             ("a UNIQUE index, recipients", True, ["--recipient", "customer"])]
    with Place() as place:
        for per_commit in (1, 100):
            for number, (what, unique, options) in enumerate(kinds):
                ours = Writer(place, f"tracked{number}-{per_commit}", unique,
                              options or ["--channel", "orders"])
                bare = Writer(place, f"bare{number}-{per_commit}", unique, None)
                yield compare(f"INSERT, {what}, {per_commit} a commit", ours, bare, per_commit, 0.6,
                              "no triggers")
            ours = Writer(place, f"tracked-again-{per_commit}", False, ["--channel", "orders"])
            bare = Notifier(place, f"told-{per_commit}", False, None)
            yield compare(f"INSERT, 4 columns, {per_commit} a commit", ours, bare, per_commit, 0.8,
                          "the application inserts the same notification itself")
