#!/usr/bin/env python3
"""An application's own login, for nginx's auth_request: a session cookie names a user.

    login.py PORT-FILE

Listens on a free port of 127.0.0.1 and writes its number into PORT-FILE. GET /login answers 204
and the header X-User for a session that it knows, 401 for any other. The session
`nameless` is let in without a name, and so is OPTIONS."""

import http.server
import os
import sys
from http.cookies import CookieError, SimpleCookie

SESSIONS = {"s3cret-ann": "ann", "s3cret-bob": "bob", "nameless": ""}


class Login(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        try:
            cookie = SimpleCookie("; ".join(self.headers.get_all("Cookie", []))).get("session")
        except CookieError:
            cookie = None
        user = SESSIONS.get(cookie.value) if cookie else None
        if user is None and self.headers.get("X-Original-Method") == "OPTIONS":
            user = ""  # a browser's preflight, which has no cookie and brings no row
        self.send_response(401 if user is None else 204)
        if user:
            self.send_header("X-User", user)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Login)
with open(sys.argv[1] + ".new", "w", encoding="ascii") as file:
    file.write(str(server.server_port))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
