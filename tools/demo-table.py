#!/usr/bin/env python3
"""demo-table.py - the demo's application: a shopping list, as a CGI program beside the page.

It writes its own table, `shopping`, and knows nothing of rowcast. POST text=WORDS adds a line,
id=N and done=0|1 ticks it, id=N and remove=1 takes it away. tools/demo puts it there; the database
is the one that demo-config.json names."""

import json
import os
import sqlite3
import sys
import urllib.parse

LINES_MAX = 50


def answer(status):
    print(f"Status: {status}", "Content-Type: text/plain", "", status, sep="\r\n")
    sys.exit()


def write(db, form):
    if "text" in form:
        db.execute("INSERT INTO shopping(text) SELECT ? "
                   "WHERE (SELECT count(*) FROM shopping) < ?",
                   (form["text"].strip()[:60], LINES_MAX))
    elif "remove" in form:
        db.execute("DELETE FROM shopping WHERE id = ?", (int(form["id"]),))
    else:
        done = int(form["done"] == "1")
        db.execute("UPDATE shopping SET done = ? WHERE id = ?", (done, int(form["id"])))


if os.environ["REQUEST_METHOD"] != "POST":
    answer("405 Method Not Allowed")
# A browser sends forms of any other site as well.
if os.environ.get("HTTP_SEC_FETCH_SITE") not in ("same-origin", "none", None):
    answer("403 Forbidden")
body = sys.stdin.read(min(int(os.environ.get("CONTENT_LENGTH") or 0), 4096))
folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "demo-config.json"), encoding="utf-8") as file:
    path = json.load(file)["db"]
try:
    with sqlite3.connect(path, timeout=10) as database:
        write(database, dict(urllib.parse.parse_qsl(body, strict_parsing=True)))
except (KeyError, ValueError, sqlite3.IntegrityError):
    answer("400 Bad Request")
answer("200 OK")
