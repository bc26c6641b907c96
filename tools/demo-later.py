#!/usr/bin/env python3
"""demo-later.py - the demo's application: an alert in some seconds, when the page may be closed.

A CGI program beside the page. POST channel=NAME answers at once; then it inserts a row into that
channel, which is one of `demo.you.` and the page's own word. The time and the database are those of
demo-config.json."""

import json
import os
import re
import sqlite3
import sys
import time
import urllib.parse

WAITING_MAX = 5      # of these programs at once
INSERT = ("INSERT INTO notification(channel, event, data, expires_at)"
          " VALUES (?, 'alert', json_object('title', 'rowcast', 'body', ?, 'url', 'demo.html'),"
          " CAST(unixepoch('now') + 600 AS INTEGER) * 1000)")


def answer(status):
    print(f"Status: {status}", "Content-Type: text/plain", "", status, sep="\r\n", flush=True)


def leave():
    """The web server waits for the end of the output: the child closes it."""
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    for number in (0, 1, 2):
        os.close(number)
        os.open(os.devnull, os.O_RDWR)


def place(folder):
    """A file that stands for one waiting alert; None if there are as many as may be."""
    for number in range(WAITING_MAX):
        path = os.path.join(folder, f"later-{number}")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            return path
        except FileExistsError:
            if time.time() - os.stat(path).st_mtime > 60:
                os.unlink(path)     # of one that was killed
    return None


def main():
    if os.environ["REQUEST_METHOD"] != "POST":
        return answer("405 Method Not Allowed")
    # A browser sends forms of any other site as well.
    if os.environ.get("HTTP_SEC_FETCH_SITE") not in ("same-origin", "none", None):
        return answer("403 Forbidden")
    body = sys.stdin.read(min(int(os.environ.get("CONTENT_LENGTH") or 0), 4096))
    channel = dict(urllib.parse.parse_qsl(body)).get("channel", "")
    if not re.fullmatch(r"demo\.you\.[a-z0-9]{8,32}", channel):
        return answer("400 Bad Request")
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "demo-config.json"), encoding="utf-8") as file:
        config = json.load(file)
    mine = place(os.path.dirname(config["db"]))
    if mine is None:
        return answer("429 Too Many Requests")
    answer("202 Accepted")
    leave()
    seconds = config.get("laterSeconds", 10)
    try:
        time.sleep(seconds)
        if os.path.exists(config["db"]):       # the demo has not ended
            with sqlite3.connect(config["db"], timeout=10) as database:
                database.execute(INSERT, (channel, f"This is the alert of {seconds} seconds ago."))
    finally:
        if os.path.exists(mine):
            os.unlink(mine)
    return None


main()
