#!/usr/bin/env python3
"""paused.py - readers of a table's state who stop in the middle of it, and what they have in the end.

    paused.py --socket unix:PATH [--readers 1] [--target '?state=items'] [--user NAME] -- COMMAND...

Each reader takes the first part and no more until the command has ended; then they read on, until the
state is complete or the stream is over, and connect again as a page would: with their id, or without. Prints
for the first reader how often it connected, how often the state began anew, what ended its streams, and the
keys (the first column) of the rows that it has in the end; for all readers together which values each column
has; and whether all have the same rows. Changes are left aside, so where there are any, readers who stopped
at different parts need not have the same."""

import argparse
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
from streams import Crowd  # noqa: E402

CONNECTS_MAX = 5


class Page:
    def __init__(self, crowd, target, settings):
        self.crowd, self.target, self.settings = crowd, target, settings
        self.connects, self.begun, self.said, self.rows, self.cursor = 0, 0, [], {}, None
        self.connect()

    def connect(self):
        self.connects += 1
        self.seen, self.is_whole, self.is_new = 0, False, True
        self.stream = self.crowd.open(self.target, **self.settings,
                                      **({"HTTP_LAST_EVENT_ID": str(self.cursor)} if self.cursor else {}))

    def take(self):
        events = self.stream.parse()
        for row_id, event, data in events[self.seen:]:
            self.cursor = row_id or self.cursor
            if event == "rowcast:gap":
                self.said.append(json.loads(data)["reason"])
                self.is_new = True
            if event != "rowcast:state":
                continue
            part = json.loads(data)
            if self.is_new:
                self.rows, self.begun = {}, self.begun + 1
            for row in part["rows"]:
                self.rows[str(next(iter(row.values())))] = row
            self.is_new = self.is_whole = not part["more"]
        self.seen = len(events)
        return events

    def is_done(self):
        self.take()
        if self.is_whole or self.connects == CONNECTS_MAX:
            return True
        if self.stream.closed or self.stream.ended:
            status = (self.stream.header or "").partition("Status: ")[2][:3]
            if status:
                self.said.append(status)
                return True
            self.said += [c for c in self.stream.comments if c != "connected"] or ["cut"]
            self.connect()
        return False


def values_of(pages):
    values = {}
    for page in pages:
        for row in page.rows.values():
            for column, value in row.items():
                values.setdefault(column, {})[value] = True
    return {column: list(seen) for column, seen in values.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--readers", type=int, default=1)
    parser.add_argument("--target", default="?state=items")
    parser.add_argument("--user")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    crowd = Crowd(options.socket, seconds=120)
    settings = {"REMOTE_USER": options.user} if options.user else {}
    pages = [Page(crowd, options.target, settings) for _ in range(options.readers)]

    def has_part(page):
        return any(event == "rowcast:state" for _, event, _ in page.take()) or page.stream.closed

    waiting = list(pages)
    while waiting:          # one read of each, and then none
        crowd.until(lambda: any([has_part(page) for page in waiting]), "a first part")
        for page in [p for p in waiting if has_part(p)]:
            if not page.stream.closed:
                crowd.selector.unregister(page.stream.socket)
            waiting.remove(page)
    done = subprocess.run(options.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, end="")
    for page in pages:
        if not page.stream.closed:
            crowd.selector.register(page.stream.socket, 1, page.stream)
    crowd.until(lambda: all([page.is_done() for page in pages]), "the end of the state")
    first = pages[0]
    print(json.dumps({"connects": first.connects, "begun": first.begun, "said": first.said,
                      "keys": list(first.rows), "rows": list(first.rows.values()),
                      "same": all(page.rows == first.rows for page in pages),
                      "values": values_of(pages)}))


main()
