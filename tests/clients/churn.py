#!/usr/bin/env python3
"""Readers that drop at random and resume, while a writer inserts: who misses or repeats a row?

    churn.py URL DB [--clients 8] [--rows 3000] [--seed N] [--seconds 90]

Every reader follows URL as an EventSource does: it takes an event when its empty line is there,
remembers the id of the last complete block, drops the connection in the middle of whatever
comes after a random number of events, and comes back with Last-Event-ID (now and then with
last_event_id= instead). An answer that is no stream (the web server while rowcast is away) is
tried again. The writer inserts the numbers 1 to ROWS in transactions of 1 to 40 rows, with data
of 1 byte to 20 kB around them. Exit 0 when each reader has seen each number once, in order, with
ids that grow, and was never told of a gap; else 1, with what went wrong."""

import argparse
import http.client
import random
import sqlite3
import sys
import threading
import time
import urllib.parse

FAULTS_SHOWN = 5


class Reader(threading.Thread):
    def __init__(self, url, rows, seed, deadline):
        super().__init__(daemon=True)
        self.url = urllib.parse.urlsplit(url)
        self.rows = rows
        self.random = random.Random(seed)
        self.deadline = deadline
        self.last_id = None
        self.seen = []
        self.ids = []
        self.faults = []
        self.connections = 0

    def run(self):
        while len(self.seen) < self.rows and time.monotonic() < self.deadline:
            try:
                self.read_for_a_while(self.random.randint(1, 250))
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)

    def open(self):
        path, headers = self.url.path, {"Accept": "text/event-stream"}
        if self.last_id is None:
            path += "?since=all"
        elif self.random.random() < 0.3:
            path += f"?last_event_id={self.last_id}"
        else:
            headers["Last-Event-ID"] = self.last_id
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=10)
        connection.request("GET", path, headers=headers)
        return connection, connection.getresponse()

    def read_for_a_while(self, events):
        connection, response = self.open()
        try:
            if response.status != 200:
                time.sleep(0.05)
                return
            self.connections += 1
            event, data, block_id = "", None, self.last_id
            while events > 0 and len(self.seen) < self.rows:
                if time.monotonic() > self.deadline:
                    return
                line = response.readline()
                if not line.endswith(b"\n"):
                    return
                field, _, value = line[:-1].decode().partition(":")
                value = value.removeprefix(" ")
                if not line[:-1]:
                    self.last_id = block_id
                    if data is not None and self.take(event, data):
                        events -= 1
                    event, data = "", None
                elif field == "id":
                    block_id = value
                elif field == "event":
                    event = value
                elif field == "data":
                    data = value if data is None else data + "\n" + value
        finally:
            connection.close()

    def take(self, event, data):
        """True for a row; notes what should not be."""
        if event.startswith("rowcast:"):
            if event != "rowcast:open":
                self.faults.append(f"{event} {data}")
            return False
        number, _, filling = data.partition("\n")
        number = int(number)
        if number != len(self.seen) + 1:
            self.faults.append(f"row {number} after {self.seen[-1:]}, id {self.last_id}")
        if filling.strip("x"):
            self.faults.append(f"row {number} is damaged")
        if self.ids and int(self.last_id) <= self.ids[-1]:
            self.faults.append(f"id {self.last_id} after {self.ids[-1]}")
        self.seen.append(number)
        self.ids.append(int(self.last_id))
        return True


def write(path, rows, seed, deadline):
    chance = random.Random(seed)
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    number = 1
    while number <= rows and time.monotonic() < deadline:
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(min(chance.randint(1, 40), rows - number + 1)):
            size = chance.choice([0, 0, 10, 200, 20000])
            connection.execute("INSERT INTO notification(data) VALUES (?)",
                               (f"{number}\n" + "x" * size,))
            number += 1
        connection.execute("COMMIT")
        time.sleep(chance.random() * 0.04)
    connection.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("db")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--seconds", type=float, default=90)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    deadline = time.monotonic() + options.seconds
    readers = [Reader(options.url, options.rows, options.seed + i, deadline)
               for i in range(options.clients)]
    for reader in readers:
        reader.start()
    write(options.db, options.rows, options.seed - 1, deadline)
    for reader in readers:
        reader.join()
    bad = False
    for i, reader in enumerate(readers):
        print(f"reader {i}: {len(reader.seen)} rows in {reader.connections} connections")
        if reader.seen != list(range(1, options.rows + 1)) or reader.faults:
            bad = True
            for fault in reader.faults[:FAULTS_SHOWN]:
                print(f"  {fault}")
    sys.exit(1 if bad else 0)


main()
