#!/usr/bin/env python3
"""writer.py DB RATE - inserts about RATE rows a second until it is killed; some transactions are
rolled back. It knows nothing of what becomes of them: see truth.py."""

import os
import random
import sqlite3
import sys
import time

from rules import CHANNELS, USERS

BIG = 60000


def row(chance):
    channel = f"c{chance.randrange(CHANNELS)}"
    recipient = f"u{chance.randrange(USERS)}" if chance.random() < 0.3 else None
    key = f"k{chance.randrange(3)}" if chance.random() < 0.1 else None
    size = BIG if chance.random() < 0.01 else chance.choice([0, 10, 100, 1000])
    event = chance.choice([None, "paid", "log"])
    return channel, recipient, event, f"{chance.getrandbits(60)}\n" + "x" * size, key


def main():
    path, rate = sys.argv[1], float(sys.argv[2])
    chance = random.Random(os.getpid())
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    while True:
        count = chance.choice([1, 1, 1, 2, 5, 40])
        try:
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(count):
                connection.execute("INSERT INTO notification(channel, recipient, event, data,"
                                   " collapse_key) VALUES (?, ?, ?, ?, ?)", row(chance))
            connection.execute("ROLLBACK" if chance.random() < 0.05 else "COMMIT")
        except sqlite3.OperationalError as error:   # the database is being replaced
            print(f"writer: {error}", file=sys.stderr)
            connection.close()
            connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        time.sleep(chance.random() * 2 * count / rate)


main()
