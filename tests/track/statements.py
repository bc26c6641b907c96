#!/usr/bin/env python3
"""statements.py - random changes of the table `items`, one statement a line, without an end: for a writer in
any language.

    statements.py SEED [PAUSE_S]"""

import random
import sys
import time

KEYS = 400


def owner(chance):
    return chance.choice(["NULL", "NULL", "'ann'", "'bob'"])


def change(chance):
    key, other, v = chance.randrange(KEYS), chance.randrange(KEYS), chance.randrange(50)
    text = "printf('%%.*c', %d, 'x')" % chance.choice([0, 10, 300])
    return chance.choice([
        f"INSERT OR REPLACE INTO items VALUES ({key}, {owner(chance)}, {v}, {text})",
        f"INSERT OR IGNORE INTO items VALUES ({key}, {owner(chance)}, {v}, {text})",
        f"INSERT INTO items VALUES ({key}, {owner(chance)}, {v}, {text}) ON CONFLICT(id) DO UPDATE SET v = excluded.v",
        f"INSERT INTO items(owner, v) SELECT owner, v FROM items WHERE id IN ({key}, {other})",
        f"UPDATE OR REPLACE items SET v = {v} WHERE id = {key}",
        f"UPDATE items SET owner = {owner(chance)} WHERE id BETWEEN {key} AND {key + 3}",
        f"UPDATE OR IGNORE items SET id = {other} WHERE id = {key}",
        f"UPDATE OR REPLACE items SET id = {other}, v = {v} WHERE id = {key}",
        f"DELETE FROM items WHERE id BETWEEN {key} AND {key + chance.randrange(4)}",
        f"DELETE FROM items WHERE id >= {KEYS}",
    ] + (["DELETE FROM items"] if chance.random() < 0.005 else []))


def transaction(chance):
    yield "BEGIN IMMEDIATE"
    for _ in range(chance.choice([1, 1, 2, 20])):
        kind = chance.randrange(12)
        if kind == 0:
            yield "SAVEPOINT part"
        yield change(chance)
        if kind == 0:
            yield chance.choice(["ROLLBACK TO part", "RELEASE part"])
    yield "ROLLBACK" if chance.random() < 0.1 else "COMMIT"


def main():
    chance = random.Random(sys.argv[1])
    pause_s = float(sys.argv[2]) if len(sys.argv) > 2 else 0.01
    try:
        while True:
            for statement in transaction(chance):
                print(statement + ";")
            sys.stdout.flush()
            time.sleep(pause_s)
    except BrokenPipeError:
        sys.stderr.close()


if __name__ == "__main__":
    main()
