#!/usr/bin/env python3
"""demo-people.py - the demo's application: its members, who of them is here, and who may log in.

A CGI program beside the page. GET answers a JSON object: the members, joined with rowcast's table
rowcast_presence, and how many streams have no name. POST out=NAME throws a member out: the login is
taken out of the web server's file, and a row in rowcast_revocation ends what is open. POST in=NAME
gives the login back. The paths are those of demo-config.json."""

import json
import os
import sqlite3
import sys
import tempfile
import urllib.parse

# The application's own table, and the presence of its people: one statement.
MEMBERS = """
    SELECT m.login, m.name, coalesce(sum(p.streams), 0)
    FROM member AS m LEFT JOIN rowcast_presence AS p ON p.user = m.login
    GROUP BY m.login ORDER BY m.login"""
NAMELESS = "SELECT coalesce(sum(streams), 0) FROM rowcast_presence WHERE user IS NULL"
# The row tells the member's pages; rowcast itself ends the streams, of whatever client.
THROW_OUT = ("INSERT INTO rowcast_revocation(user) VALUES (?1)",
             "INSERT INTO notification(channel, event, data)"
             " VALUES ('demo.who', 'out', json_object('user', ?1))")
LET_IN = ("INSERT INTO notification(channel, event, data)"
          " VALUES ('demo.who', 'in', json_object('user', ?1))",)


def answer(status, text=None):
    kind = "text/plain" if text is None else "application/json"
    print(f"Status: {status}", f"Content-Type: {kind}", "Cache-Control: no-store", "",
          text or status, sep="\r\n")
    sys.exit()


def logins(path):
    with open(path, encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":", 1) for line in file if ":" in line)


def write_logins(path, users):
    """The web server reads the file at each request, so it is there whole at any time."""
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(path), delete=False) as file:
        file.writelines(f"{name}:{password}\n" for name, password in users.items())
    os.chmod(file.name, 0o600)
    os.replace(file.name, path)


def overview(database, config):
    users = logins(config["users"])
    members = [{"login": login, "name": name, "streams": streams, "out": login not in users}
               for login, name, streams in database.execute(MEMBERS)]
    return {"members": members, "nameless": database.execute(NAMELESS).fetchone()[0]}


def change(database, config, form):
    (verb, name), = form.items()
    if verb not in ("in", "out") or \
            not database.execute("SELECT 1 FROM member WHERE login = ?", (name,)).fetchone():
        raise ValueError(name)
    users = logins(config["users"])
    users.pop(name, None)
    if verb == "in":
        users[name] = config["password"]
    # The login goes first: a page whose stream has ended must not find it still there.
    write_logins(config["users"], users)
    for statement in THROW_OUT if verb == "out" else LET_IN:
        database.execute(statement, (name,))


def main():
    method = os.environ["REQUEST_METHOD"]
    if method not in ("GET", "POST"):
        answer("405 Method Not Allowed")
    # A browser sends forms of any other site as well.
    if os.environ.get("HTTP_SEC_FETCH_SITE") not in ("same-origin", "none", None):
        answer("403 Forbidden")
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "demo-config.json"), encoding="utf-8") as file:
        config = json.load(file)
    body = sys.stdin.read(min(int(os.environ.get("CONTENT_LENGTH") or 0), 4096))
    try:
        with sqlite3.connect(config["db"], timeout=10) as database:
            if method == "POST":
                change(database, config, dict(urllib.parse.parse_qsl(body, strict_parsing=True)))
            result = json.dumps(overview(database, config))
    except (KeyError, ValueError):
        answer("400 Bad Request")
    answer("200 OK", result)


main()
