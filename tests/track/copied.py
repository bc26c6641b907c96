#!/usr/bin/env python3
"""copied.py - whether the copy that a stream has made of a table is the table.

    copied.py STREAM DB TABLE

STREAM is what one stream with state=TABLE has brought so far, as curl has written it. Exits with 0 when the
state is complete and its rows, changed by the events behind it, are those of the table; else says what differs."""

import json
import sqlite3
import sys

path, db, table = sys.argv[1:]
rows, newer, is_whole, names = {}, {}, False, []


def key_of(row, names):
    return json.dumps([row[name] for name in names])


def take(row_id, event, data):
    global is_whole, names
    if event == "rowcast:state":
        names, is_whole = data["key"], not data["more"]
        for row in data["rows"]:
            rows[key_of(row, names)], newer[key_of(row, names)] = row, int(data["at"])
    elif event == "change" and data["table"] == table:
        if data["op"] == "reset":       # what is here is of no use any more
            is_whole = False
        elif row_id > newer.get(key_of(data["key"], names), 0):
            rows[key_of(data["key"], names)] = data["row"]


with open(path, encoding="utf-8", newline="\n") as stream:
    for block in stream.read().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and line[0] != ":")
        if fields.get("event") in ("rowcast:state", "change"):
            take(int(fields.get("id", 0)), fields["event"], json.loads(fields["data"]))
connection = sqlite3.connect(db, timeout=30)
connection.row_factory = sqlite3.Row
have = [row for row in rows.values() if row is not None]
want = [dict(row) for row in connection.execute(f'SELECT * FROM "{table}"')]
if not is_whole or sorted(map(repr, have)) != sorted(map(repr, want)):
    sys.exit(f"complete: {is_whole}\nthe copy:  {have}\nthe table: {want}")
