#!/usr/bin/env python3
"""orders.py - the application: it writes its own table, and knows nothing about rowcast.

GET: the orders as lines of a table, for htmx. POST: a new order (article, total), or a new state for an order
(id, state); "cancelled" deletes it. A CGI program that needs only Python's standard library."""

import html
import os
import sqlite3
import sys
import urllib.parse

DB = os.path.join(os.path.dirname(os.environ["DOCUMENT_ROOT"]), "live-orders.db")


def answer(status, body="", *headers):
    print(f"Status: {status}", "Content-Type: text/html; charset=utf-8", *headers, "", body, sep="\r\n")
    sys.exit()


def line(row):
    number, article, state, total = row
    return f'<tr><td>{number}<td>{html.escape(article)}<td>{html.escape(state)}<td class="number">{total:.2f}'


def write(db, form):
    if "article" in form:
        db.execute("INSERT INTO orders(article, total) VALUES (?, ?)", (form["article"][:60], float(form["total"])))
    elif form["state"] == "cancelled":
        db.execute("DELETE FROM orders WHERE id = ?", (form["id"],))
    else:
        db.execute("UPDATE orders SET state = ? WHERE id = ?", (form["state"][:20], form["id"]))


with sqlite3.connect(DB, timeout=10) as database:
    if os.environ["REQUEST_METHOD"] != "POST":
        rows = database.execute("SELECT id, article, state, total FROM orders ORDER BY id DESC")
        answer(200, "".join(map(line, rows)))
    # A browser would also send a form from another site.
    if os.environ.get("HTTP_SEC_FETCH_SITE") not in ("same-origin", "none", None):
        answer(403, "not from this page")
    body = sys.stdin.read(min(int(os.environ.get("CONTENT_LENGTH") or 0), 4096))
    try:
        write(database, dict(urllib.parse.parse_qsl(body, strict_parsing=True)))
    except (KeyError, ValueError, sqlite3.IntegrityError):
        answer(400, "not an order")
answer(303, "", "Location: form.html")
