#!/usr/bin/python3
"""oracle.py - random statements on tracked tables, and whether readers end up with what is there.

    tests/track/oracle.py [--seconds N] [--seed N] [--rowcast FILE]

Each round makes a database with one table of a kind that has its own trouble (several UNIQUE
indexes, keys that are equal in other bytes, cascades, triggers of the application's ...), tracks it
by the program, and keeps a twin without triggers. Every statement runs in both: result, error and
contents must be the same. After a transaction copies of the table, made of the events alone,
are compared with what the query of the state gives each reader, byte for byte: by readers who get
every event, and by some who were away and get only the newest of each collapse_key. Prints "not ok"
with the seed of the round and its statements at the first difference, and exits 1.
"""
import argparse
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time

READERS = [(None, None), (None, "ann"), (None, "bob"), ({"a"}, "ann")]

TEXTS = ["ann", "bob", "Ann", "", "x", "ß\u2028", 'q"\\\n', "a\0b", "7", "7.0", "Infinity"]
NUMBERS = [0, 1, 2, 3, -1, 7, 2**53 - 1, 2**53, -(2**53) - 1, 2**62, -(2**63), 1.0, 2.5, 0.1 + 0.2,
           float("inf"), float("-inf"), -0.0, 1e300, 7.0]
BLOBS = [b"", b"\0\xff", b"ann"]
ODD = ["CAST(x'ff61' AS TEXT)", "CAST(x'e282' AS TEXT)", "json('[1,2]')", "json('{\"a\":1}')",
       "json_quote('x')", "zeroblob(70000)", "replace(hex(zeroblob(33000)), '0', 'z')", "1e999", "-1e999"]
LOOSE = TEXTS + NUMBERS + BLOBS + [None]


class Kind:
    """A table: statements that make it, and for each column the values to choose from."""

    def __init__(self, name, sql, columns, options=(), table="t", uniques=()):
        self.name, self.sql, self.columns = name, sql, columns
        self.options, self.table, self.uniques = options, table, uniques


SMALL = [1, 2, 3, 4, 5]
USERS = ["ann", "bob", None]
NAMES = ["ann", "ANN", "bob", "Bob", "zoe"]
KINDS = [
    Kind("plain", "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b INTEGER, c REAL, x)",
         {"id": SMALL, "a": LOOSE, "b": LOOSE, "c": LOOSE, "x": LOOSE}, uniques=["id"]),
    Kind("unique", "CREATE TABLE t(id INTEGER PRIMARY KEY, email TEXT UNIQUE, n INTEGER, u TEXT, x, "
         "UNIQUE(n, u))",
         {"id": SMALL, "email": NAMES + [None], "n": SMALL, "u": USERS, "x": LOOSE},
         uniques=["id", "email", "n, u"]),
    Kind("recipient", "CREATE TABLE t(id INTEGER PRIMARY KEY, email TEXT UNIQUE, u, x)",
         {"id": SMALL, "email": NAMES, "u": USERS + ["7.0", 7, 7.0, b"ann", ""], "x": SMALL},
         ["--recipient", "u"], uniques=["id", "email"]),
    Kind("where", "CREATE TABLE t(id INTEGER PRIMARY KEY, state TEXT, n INTEGER UNIQUE, u TEXT)",
         {"id": SMALL, "state": ["new", "gone", None, "x"], "n": SMALL, "u": USERS},
         ["--where", "state <> 'gone' AND t.n > 1", "--recipient", "u"], uniques=["id", "n"]),
    Kind("channel", "CREATE TABLE t(id INTEGER PRIMARY KEY, ch, u TEXT, n UNIQUE)",
         {"id": SMALL, "ch": ["a", "b", None, "", "7.0", 5, 5.0, "x\ny", "x\0", b"a", 1e300],
          "u": USERS, "n": SMALL + ["1", 1.0]},
         ["--channel-column", "ch", "--recipient", "u"], uniques=["id", "n"]),
    Kind("without rowid", "CREATE TABLE t(shop INTEGER, name TEXT COLLATE NOCASE, code TEXT UNIQUE, u TEXT, "
         "PRIMARY KEY(shop, name)) WITHOUT ROWID",
         {"shop": [1, 2], "name": NAMES, "code": SMALL + [None], "u": USERS},
         ["--recipient", "u"], uniques=["shop, name", "code"]),
    Kind("nocase", "CREATE TABLE t(name TEXT PRIMARY KEY COLLATE NOCASE, n INTEGER, x)",
         {"name": NAMES + [None], "n": SMALL, "x": LOOSE}, uniques=["name"]),
    Kind("index collation", "CREATE TABLE t(name TEXT, n INTEGER, x, PRIMARY KEY(name COLLATE NOCASE)); "
         "CREATE UNIQUE INDEX t_n ON t(n DESC)",
         {"name": NAMES, "n": SMALL, "x": SMALL}, uniques=["n"]),
    Kind("loose key", "CREATE TABLE t(k PRIMARY KEY, x, u TEXT)",
         {"k": [1, 1.0, "1", 2, 2.0, b"1", 0.0, -0.0, None], "x": LOOSE, "u": USERS},
         ["--recipient", "u"], uniques=["k"]),
    Kind("partial", "CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT, active INTEGER, j TEXT); "
         "CREATE UNIQUE INDEX t_one ON t(u) WHERE active > 0; "
         "CREATE UNIQUE INDEX \"t , (x\" ON t(lower(u) /* , ( */ COLLATE NOCASE DESC, coalesce(j, 'a,)') ASC)"
         " WHERE active IS NOT 2",
         {"id": SMALL, "u": NAMES + [None], "active": [0, 1, 2], "j": ["a", "b", None]}, uniques=["id"]),
    Kind("failing expression", "CREATE TABLE t(id INTEGER PRIMARY KEY, kind TEXT, j TEXT, x INTEGER); "
         "CREATE UNIQUE INDEX t_j ON t(json_extract(j, '$.a')) WHERE json_valid(j)",
         {"id": SMALL, "kind": USERS, "j": ['{"a":1}', '{"a":2}', "broken", None], "x": SMALL}, uniques=["id"]),
    Kind("generated", "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, low TEXT AS (lower(a)) STORED UNIQUE, "
         "twice INTEGER AS (n * 2) VIRTUAL, n INTEGER)",
         {"id": SMALL, "a": NAMES + [None], "n": NUMBERS}, uniques=["id", "low"]),
    Kind("cascade", "CREATE TABLE t(id INTEGER PRIMARY KEY, up INTEGER REFERENCES t(id) ON DELETE CASCADE "
         "ON UPDATE CASCADE, side INTEGER REFERENCES t(id) ON DELETE SET NULL ON UPDATE SET NULL, n INTEGER UNIQUE)",
         {"id": SMALL, "up": SMALL + [None], "side": SMALL + [None], "n": SMALL}, uniques=["id", "n"]),
    Kind("strict", "CREATE TABLE t(id INT NOT NULL PRIMARY KEY, a TEXT, r REAL, b BLOB, any ANY UNIQUE) STRICT",
         {"id": SMALL + [2**60], "a": TEXTS + [None], "r": [1, 2.5, float("inf"), -0.0, None], "b": BLOBS,
          "any": LOOSE}, ["--columns", "a,r,any,b"], uniques=["id", "any"]),
    Kind("default", "CREATE TABLE t(id INTEGER PRIMARY KEY, s TEXT NOT NULL DEFAULT 'd' UNIQUE, "
         "n INTEGER NOT NULL DEFAULT (1 + 1) UNIQUE)",
         {"id": SMALL, "s": ["d", "e", None], "n": [1, 2, 3, None]}, uniques=["id", "s", "n"]),
    Kind("on conflict", "CREATE TABLE t(id INTEGER PRIMARY KEY ON CONFLICT REPLACE, "
         "s TEXT UNIQUE ON CONFLICT REPLACE, n INTEGER UNIQUE ON CONFLICT IGNORE, u TEXT)",
         {"id": SMALL, "s": NAMES, "n": SMALL, "u": USERS}, ["--recipient", "u"], uniques=["id", "s", "n"]),
    Kind("other key", "CREATE TABLE t(id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, n INTEGER UNIQUE)",
         {"id": SMALL, "code": NAMES, "n": SMALL}, ["--key", "code", "--columns", "n"],
         uniques=["id", "code", "n"]),
    Kind("hidden rowid", "CREATE TABLE t(code TEXT PRIMARY KEY NOT NULL, n INTEGER)",
         {"_rowid_": SMALL, "code": NAMES, "n": SMALL}, uniques=["code"]),
    Kind("triggers", "CREATE TABLE t(id INTEGER PRIMARY KEY, place INTEGER, s TEXT UNIQUE, u TEXT, stamp INTEGER);"
         "CREATE TRIGGER app1 AFTER UPDATE OF s ON t BEGIN UPDATE t SET stamp = coalesce(stamp, 0) + 1 "
         "WHERE id = NEW.id; END;"
         "CREATE TRIGGER app2 BEFORE INSERT ON t WHEN NEW.place < 3 BEGIN "
         "UPDATE t SET place = place + 1 WHERE place >= NEW.place AND place < 9; END;"
         "CREATE TRIGGER app3 AFTER INSERT ON t WHEN NEW.u = 'bob' BEGIN UPDATE t SET u = 'ann' "
         "WHERE id = NEW.id; DELETE FROM t WHERE id = NEW.id AND place = 4; END;"
         "CREATE TRIGGER app4 AFTER DELETE ON t WHEN OLD.place = 5 BEGIN INSERT INTO t(id, place, u, s) "
         "VALUES (OLD.id, 6, 'ann', OLD.s); END;"
         "CREATE TRIGGER app5 BEFORE DELETE ON t WHEN OLD.place = 7 BEGIN SELECT RAISE(IGNORE); END;",
         {"id": SMALL, "place": [1, 2, 3, 4, 5, 6, 7], "s": NAMES, "u": USERS, "stamp": [1]},
         ["--recipient", "u"], uniques=["id", "s"]),
    Kind("odd names", 'CREATE TABLE "sel ""ect\'s"("key" INTEGER PRIMARY KEY, "a b" TEXT UNIQUE, "row""x" TEXT, '
         '"channel" TEXT, "k1" INTEGER UNIQUE, "select" TEXT)',
         {'"key"': SMALL, '"a b"': NAMES, '"row""x"': TEXTS, '"channel"': ["a", "b"], '"k1"': SMALL,
          '"select"': USERS},
         ["--channel-column", "channel", "--recipient", "select", "--where", '"k1" <> 2'],
         table='"sel ""ect\'s"', uniques=['"key"', '"a b"', '"k1"']),
]


def literal(rng, value):
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return "x'" + value.hex() + "'"
    if isinstance(value, float):
        return {float("inf"): "9e999", float("-inf"): "-9e999"}.get(value, repr(value))
    if isinstance(value, int):
        return str(value) if value != -(2**63) else "-9223372036854775808"
    if "\0" in value:
        return "CAST(x'" + value.encode().hex() + "' AS TEXT)"
    return "'" + value.replace("'", "''") + "'"


class Statements:
    def __init__(self, rng, kind):
        self.rng, self.kind, self.table = rng, kind, kind.table
        self.columns = list(kind.columns)

    def value(self, column):
        if self.rng.random() < 0.04 and "STRICT" not in self.kind.sql:
            return self.rng.choice(ODD)
        return literal(self.rng, self.rng.choice(self.kind.columns[column]))

    def some(self):
        chosen = [c for c in self.columns if self.rng.random() < 0.8]
        return chosen or [self.rng.choice(self.columns)]

    def clause(self):
        return self.rng.choice(["", "", "", "OR REPLACE", "OR REPLACE", "OR IGNORE", "OR FAIL", "OR ROLLBACK",
                                "OR ABORT"])

    def insert(self):
        columns = self.some()
        rows = ", ".join("(" + ", ".join(self.value(c) for c in columns) + ")"
                         for _ in range(self.rng.choice([1, 1, 1, 2, 4])))
        return f"INSERT {self.clause()} INTO {self.table}({', '.join(columns)}) VALUES {rows}"

    def upsert(self):
        columns = self.some()
        values = ", ".join(self.value(c) for c in columns)
        target = self.rng.choice(list(self.kind.uniques))
        action = "NOTHING" if self.rng.random() < 0.3 else "UPDATE SET " + self.settings()
        target = f"({target})" if self.rng.random() < 0.9 or action != "NOTHING" else ""
        return (f"INSERT INTO {self.table}({', '.join(columns)}) VALUES ({values}) "
                f"ON CONFLICT{target} DO {action}")

    def copy(self):
        columns = self.some()
        values = ", ".join(c if self.rng.random() < 0.6 else self.value(c) for c in columns)
        return (f"INSERT {self.clause()} INTO {self.table}({', '.join(columns)}) SELECT {values} "
                f"FROM {self.table} {self.where()}")

    def settings(self):
        chosen = self.rng.sample(self.columns, self.rng.choice([1, 1, min(2, len(self.columns))]))
        return ", ".join(f"{c} = " + self.rng.choice([self.value(c), self.value(c), self.value(c), f"{c} + 1",
                                                      f"-{c}", c, f"upper({c})"]) for c in chosen)

    def where(self):
        column = self.rng.choice(self.columns)
        return self.rng.choice([f"WHERE {column} IS {self.value(column)}", f"WHERE {column} > {self.value(column)}",
                                f"WHERE {column} = {self.value(column)}", ""])

    def update(self):
        return f"UPDATE {self.clause()} {self.table} SET {self.settings()} {self.where()}"

    def update_from(self):
        first, second = self.rng.choice(self.columns), self.rng.choice(self.columns)
        # One row, as SQLite takes any of several.
        return (f"UPDATE {self.clause()} {self.table} SET {first} = o.v FROM (SELECT max({second}) AS v FROM "
                f"{self.table}) AS o WHERE {self.table}.{second} IS NOT o.v")

    def delete(self):
        if self.rng.random() < 0.1:
            return f"DELETE FROM {self.table}"
        return f"DELETE FROM {self.table} {self.where()}" if self.rng.random() < 0.5 else (
            f"DELETE FROM {self.table} WHERE {self.rng.choice(self.columns)} IS "
            f"{self.value(self.rng.choice(self.columns))}")

    def savepoint(self):
        return self.rng.choice(["SAVEPOINT s", "ROLLBACK TO s", "RELEASE s"])

    def any(self):
        # With ON CONFLICT REPLACE in the table UPSERT damages an index, in SQLite 3.40 without triggers too.
        upsert = self.insert if "ON CONFLICT REPLACE" in self.kind.sql else self.upsert
        return self.rng.choice([self.insert] * 6 + [upsert] * 3 + [self.copy, self.update_from] +
                               [self.update] * 5 + [self.delete] * 2 + [self.savepoint])()


class Copy:
    """What a reader has, by the events alone."""

    def __init__(self, reader, collapsing):
        self.channels, self.user = reader
        self.collapsing = collapsing
        self.rows, self.at = {}, 0

    def may_see(self, channel, recipient):
        return (self.channels is None or channel in self.channels) and recipient in (None, self.user)

    def take(self, events):
        newest = {}
        for number, channel, recipient, key, _ in events:
            newest[channel, recipient, key] = number
        for number, channel, recipient, key, data in events:
            if number <= self.at or not self.may_see(channel, recipient):
                continue
            self.at = number
            if self.collapsing and newest[channel, recipient, key] != number:
                continue
            self.apply(data)

    def apply(self, data):
        key = between(data, b'"key":', b',"row":')
        row = between(data, b'"row":', b',"old":')
        if data.find(b'"op":"delete"') >= 0 and row == b"null":
            self.rows.pop(key, None)
        else:
            assert row.startswith(b"{"), data
            self.rows[key] = row


def between(data, start, end):
    """The piece between the first start and the last end that leaves valid JSON."""
    begin = data.index(start) + len(start)
    stop = begin
    while True:
        stop = data.index(end, stop)
        piece = data[begin:stop]
        try:
            json.loads(piece.decode("utf-8", "replace"), strict=False)
            return piece
        except ValueError:
            stop += 1


def expected_json(value):
    """The documented form of a value."""
    if isinstance(value, bytes):
        return {"hex": value.hex().upper()} if len(value) <= 65536 else {"length": len(value)}
    if isinstance(value, tuple):  # a text, as bytes
        raw = value[0]
        return raw.decode("utf-8", "replace") if len(raw) <= 65536 else {"length": len(raw)}
    if isinstance(value, int) and abs(value) > 2**53 - 1:
        return str(value)
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def word(text):
    return text if text is None else text.decode("utf-8", "surrogateescape")


class Round:
    def __init__(self, rowcast, folder, seed):
        self.rng = random.Random(seed)
        self.kind = KINDS[seed % len(KINDS)]
        self.log = []
        self.rowcast = rowcast
        self.path = os.path.join(folder, f"{seed}.db")
        self.make(os.path.join(folder, f"{seed}.twin.db"))

    def run(self, *arguments):
        done = subprocess.run([self.rowcast, *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"rowcast {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def make(self, twin):
        self.run("init", "--db", self.path)
        recursive = self.rng.randrange(2)
        pragmas = ["PRAGMA synchronous = OFF", f"PRAGMA recursive_triggers = {recursive}",
                   f"PRAGMA foreign_keys = {self.rng.randrange(2)}"]
        self.tracked, self.twin = (sqlite3.connect(p, isolation_level=None) for p in (self.path, twin))
        for connection in (self.tracked, self.twin):
            connection.text_factory = bytes
            for sql in pragmas:
                connection.execute(sql)
            connection.executescript(self.kind.sql)
        # With any trigger SQLite may visit the rows of an UPDATE in another order, and which of two rows
        # OR IGNORE leaves alone is then another one.
        self.twin.execute(f"CREATE TRIGGER empty_two AFTER UPDATE ON {self.kind.table} BEGIN SELECT 1; END")
        if recursive:
            # With any delete trigger at all UPDATE OR REPLACE looks for conflicts once more then, and
            # fails where it would not without (seen in SQLite 3.40, with this empty one too).
            self.twin.execute(f"CREATE TRIGGER empty_one AFTER DELETE ON {self.kind.table} BEGIN SELECT 1; END")
        self.log += pragmas
        name = self.kind.table.replace('""', "\0").strip('"').replace("\0", '"')
        self.run("track", "--db", self.path, name, *self.kind.options)
        printed = self.run("track", "--db", self.path, name, "--print")
        self.state = "\n".join(line[3:] for line in printed[printed.index("\n-- SELECT"):].split("\n")
                               if line.startswith("-- "))
        self.copies = [Copy(reader, collapsing) for reader in READERS for collapsing in (False, True)]
        self.seen = self.tracked.execute("SELECT coalesce(max(id), 0) FROM notification").fetchone()[0]
        for copy in self.copies:
            copy.at = self.seen

    def execute(self, sql):
        self.log.append(sql)
        results = []
        for connection in (self.tracked, self.twin):
            try:
                cursor = connection.execute(sql)
                row, count = connection.execute("SELECT last_insert_rowid(), changes()").fetchone()
                # A statement that failed has set the first or not; only what inserted is asked.
                results.append((cursor.fetchall(), cursor.rowcount, count,
                                row if sql.startswith("INSERT") and count > 0 and " DO " not in sql else None))
            except sqlite3.Error as error:
                results.append((type(error).__name__, str(error), connection.in_transaction))
        assert results[0] == results[1], f"with triggers {results[0]}, without {results[1]}"
        if results[0][1] == "datatype mismatch" and self.tracked.in_transaction:
            # For this error SQLite takes a statement back only where it has kept a journal of it, as for
            # triggers, so that OR IGNORE and OR FAIL leave different rows.
            for connection in (self.tracked, self.twin):
                connection.execute("ROLLBACK")

    def contents(self, connection):
        columns = ", ".join(f"typeof({c}), CAST({c} AS BLOB)" for c in self.kind.columns)
        return sorted(connection.execute(f"SELECT {columns} FROM {self.kind.table}").fetchall(), key=repr)

    def check(self):
        ours, twins = self.contents(self.tracked), self.contents(self.twin)
        assert ours == twins, (f"the tables differ: {[r for r in ours if r not in twins]} "
                               f"and without triggers {[r for r in twins if r not in ours]}")
        events = [(i, word(c), word(r), k, d) for i, c, r, k, d in self.tracked.execute(
            "SELECT id, channel, recipient, collapse_key, CAST(data AS BLOB) FROM notification ORDER BY id")]
        rows = [row for row in self.tracked.execute(self.state, (-1,)) if row[-1] is not None]
        for copy in self.copies:
            if copy.collapsing and self.rng.random() < 0.6:
                continue  # still away
            copy.take(events)
            want = {row[-2]: row[-1] for row in rows
                    if copy.may_see(word(row[-4]), word(row[-3]))}
            assert copy.rows == want, (f"reader {copy.channels}, {copy.user}, collapsing {copy.collapsing}: "
                                       f"has {copy.rows}, should have {want}")
        left = self.tracked.execute("SELECT count(*) FROM rowcast_track_replaced").fetchone()[0]
        assert left <= 30, f"{left} notes are left"

    def check_values(self):
        """The forms of values, against the rows as Python gets them."""
        raw = self.tracked.execute(f"SELECT * FROM {self.kind.table} LIMIT 1").description
        names = [d[0] for d in raw]
        types = ", ".join(f'typeof("{n.replace(chr(34), chr(34) * 2)}")' for n in names)
        stars = ", ".join('"' + n.replace('"', '""') + '"' for n in names)
        have = []
        for row in self.tracked.execute(f"SELECT {stars}, {types} FROM {self.kind.table}"):
            half = len(names)
            values = {}
            for n, v, t in zip(names, row[:half], row[half:]):
                values[n] = expected_json((v,) if t == b"text" else v)
            have.append(values)
        for row in self.tracked.execute(self.state, (-1,)).fetchall():
            if row[-1] is None:
                continue
            data = json.loads(row[-1].decode("utf-8", "replace"), strict=False)
            assert any(all(same(data[k], v[k]) for k in data) for v in have), f"{data} is no row of {have}"

    def play(self, transactions):
        statements = Statements(self.rng, self.kind)
        for _ in range(transactions):
            self.execute("BEGIN")
            for _ in range(self.rng.choice([1, 1, 2, 3, 6])):
                self.execute(statements.any())
                if not self.tracked.in_transaction:
                    break
            if self.tracked.in_transaction:
                self.execute("ROLLBACK" if self.rng.random() < 0.1 else "COMMIT")
            if self.tracked.in_transaction:  # a COMMIT that was refused
                self.execute("ROLLBACK")
            self.check()
        self.check_values()

    def close(self):
        for connection in (self.tracked, self.twin):
            path = connection.execute("PRAGMA database_list").fetchone()[2]
            connection.close()
            for suffix in (b"", b"-wal", b"-shm", b"-journal"):
                if os.path.exists(path + suffix):
                    os.unlink(path + suffix)


def same(given, wanted):
    if isinstance(wanted, float) and isinstance(given, (int, float)):
        return abs(given - wanted) <= abs(wanted) * 1e-14
    return given == wanted and isinstance(given, bool) == isinstance(wanted, bool)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, help="play one round alone")
    parser.add_argument("--transactions", type=int, default=60)
    parser.add_argument("--rowcast", default=os.environ.get("ROWCAST", "./rowcast"))
    asked = parser.parse_args()
    end = time.monotonic() + asked.seconds
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6) * len(KINDS)
    rounds = statements = 0
    with tempfile.TemporaryDirectory(prefix="rowcast-oracle.") as folder:
        while rounds == 0 or asked.seed is None and (time.monotonic() < end or rounds < len(KINDS)):
            played = Round(asked.rowcast, folder, seed)
            try:
                played.play(asked.transactions)
            except AssertionError as error:
                said = re.sub(r"z{9,}|0{99,}", "(long)", str(error))
                print(f"not ok: {played.kind.name}, --seed {seed} --transactions {asked.transactions}: {said}")
                print(";\n".join(played.log[-12:]))
                return 1
            statements += len(played.log)
            played.close()
            rounds, seed = rounds + 1, seed + 1
    print(f"ok: {rounds} rounds, {statements} statements")
    return 0


if __name__ == "__main__":
    sys.exit(main())
