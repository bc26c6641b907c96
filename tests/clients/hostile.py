#!/usr/bin/env python3
"""Runs a table of bad requests: each must be answered as the table says, and no row may come that
was not granted.

    hostile.py TABLE fcgi unix:PATH|HOST:PORT      straight over FastCGI, as a web server would
    hostile.py TABLE http HOST:PORT                through a web server, byte for byte
    hostile.py --rows                              prints the SQL of the rows that all this is about

Options: --ticket-key FILE for tables with tickets; --only TEXT for the lines with that text.

A line of a table:     name | request | expected [| expected through a web server]

Parts of a request are parted by two spaces or more:
    ?query or /path?query     what follows /events
    !METHOD                   other than GET
    Name: value               a header (over FastCGI HTTP_NAME)
    NAME=value                a FastCGI parameter, so not for http; as often as it stands there
In all of them \\xNN is a byte, {x*9000} repeats, {each 65 &c=#} counts from 1 to 65, {jwt JSON} is a
ticket signed with the key, {jwt/none JSON}, {jwt/wrong JSON}, {jwt/sha512 JSON} and
{jwt/broken JSON} are others, {basic a:b} is base64; NOW+60 in JSON is a time.

By itself a request has `Accept: application/json`, and is ann's: REMOTE_USER=ann and
ROWCAST_CHANNELS=public news.* over FastCGI, her password over http, where the configuration has
the same bound. A part with that name takes the place of it; `NAME=` alone is an empty one.

Expected is a status (403, 4xx, 400,405) and the names of the rows that come (those behind `may` can
be missing), or `none`: the connection is closed without an answer. `4xx` through a web server is
also 501, 505 and a closed connection: it may refuse by itself, in its own way. What is to be
refused in the table it may refuse in any such way.

Prints a line for each difference; exit 1 if there was one."""

import argparse
import base64
import hashlib
import hmac
import json
import re
import socket
import struct
import sys
import time

# name: channel, recipient. Those with x are for nobody who reads here, unless a line says so.
ROWS = {
    "p": ("public", None), "pa": ("public", "ann"),
    "n": ("news.eu", None), "na": ("news.eu", "ann"),
    "nfc": ("news.caf\u00e9", None), "nfd": ("news.cafe\u0301", None),
    "xbob": ("public", "bob"), "xAnn": ("public", "Ann"), "xANN": ("public", "ANN"),
    "xspace": ("public", "ann "), "xtab": ("public", "ann\t"), "xempty": ("public", ""),
    "xlook": ("public", "\u0430nn"), "xzero": ("public", "ann\u200b"), "xwide": ("public", "\uff41nn"),
    "xstar": ("public", "*"), "xnobody": ("public", "nobody"), "xnull": ("public", "null"),
    "xorders": ("orders", None), "xoa": ("orders", "ann"), "xPublic": ("Public", None),
    "xPUBLIC": ("PUBLIC", None), "xpspace": ("public ", None), "xspacep": (" public", None),
    "xcyr": ("publi\u0441", None), "xnews": ("news", None), "xnewsx": ("newsxeu", None),
    "xdot": ("news\uff0eeu", None), "xboth": ("public news.eu", None), "xglob": ("*", None),
    "xpre": ("xpublic", None), "xpost": ("publicx", None), "xline": ("public\u2028", None),
}
ALL = {"p", "pa", "n", "na", "nfc", "nfd"}
SETS = {"all": ALL, "open": {"p", "n", "nfc", "nfd"}}
SECONDS = 20


def rows_sql():
    def text(value):
        return "NULL" if value is None else f"CAST(X'{value.encode().hex()}' AS TEXT)"

    values = ", ".join(f"({text(c)}, {text(r)}, 'row<{name}>')" for name, (c, r) in ROWS.items())
    return f"INSERT INTO notification(channel, recipient, data) VALUES {values};"


# --- reading the table ------------------------------------------------------------------------

def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def ticket(flavour, claims, key):
    claims = re.sub(r"NOW([+-]\d+)", lambda m: str(int(time.time()) + int(m[1])), claims)
    head = {"alg": {"none": "none", "sha512": "HS512"}.get(flavour, "HS256"), "typ": "JWT"}
    text = b64(json.dumps(head).encode()) + "." + b64(claims.encode())
    if flavour == "none":
        return text + "."
    digest = hashlib.sha512 if flavour == "sha512" else hashlib.sha256
    secret = b"another key, as long as one should be" if flavour == "wrong" else key
    signature = b64(hmac.new(secret, text.encode(), digest).digest())
    if flavour == "broken":
        signature = ("B" if signature[0] == "A" else "A") + signature[1:]
    return text + "." + signature


class Case:
    def __init__(self, line, key):
        cells = [cell.strip() for cell in re.split(r"\s\|\s", line)]
        self.name, self.expected = cells[0], cells[2]
        self.expected_http = cells[3] if len(cells) > 3 else cells[2]
        self.method, self.target, self.headers, self.params = b"GET", b"", [], []
        for part in re.split(r"\s{2,}", cells[1]):
            if part:
                self.take(part, lambda text: self.unescape(text, key))

    @staticmethod
    def unescape(text, key):
        text = re.sub(r"\{jwt(?:/(\w+))? (\{.*?\})\}", lambda m: ticket(m[1], m[2], key), text)
        text = re.sub(r"\{basic ([^}]*)\}",
                      lambda m: base64.b64encode(m[1].encode()).decode(), text)
        text = re.sub(r"\{each (\d+) (.*?)\}", lambda m: "".join(
            m[2].replace("#", str(i)) for i in range(1, int(m[1]) + 1)), text)
        text = re.sub(r"\{([^{}]+?)\*(\d+)\}", lambda m: m[1] * int(m[2]), text)
        return re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda m: bytes([int(m[1], 16)]), text.encode())

    def take(self, part, unescape):
        if part[0] in "?/":
            self.target = unescape(part)
        elif part[0] == "!":
            self.method = unescape(part[1:])
        elif re.match(r"[^=:]*:", part):
            name, _, value = part.partition(":")
            self.headers.append((unescape(name), unescape(value.removeprefix(" "))))
        else:
            name, _, value = part.partition("=")
            self.params.append((unescape(name), unescape(value)))

    def has_header(self, name):
        return any(n.lower().strip() == name for n, _ in self.headers)


# --- asking ---------------------------------------------------------------------------------------

def pair(name, value):
    def size(data):
        return bytes([len(data)]) if len(data) < 128 else struct.pack(">I", len(data) | 0x80000000)

    return size(name) + size(value) + name + value


def record(kind, content=b""):
    return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def fcgi_request(case):
    path, _, query = case.target.partition(b"?")
    own = {name for name, _ in case.params}
    params = [(b"REQUEST_METHOD", case.method), (b"SCRIPT_NAME", b"/events"), (b"PATH_INFO", path),
              (b"QUERY_STRING", query), (b"REMOTE_ADDR", b"127.0.0.1"), (b"REMOTE_USER", b"ann"),
              (b"ROWCAST_CHANNELS", b"public news.*")]
    params = [(name, value) for name, value in params if name not in own]
    if not case.has_header(b"accept"):
        params.append((b"HTTP_ACCEPT", b"application/json"))
    for name, value in case.headers:
        params.append((b"HTTP_" + name.upper().replace(b"-", b"_"), value))
    block = b"".join(pair(name, value) for name, value in params + case.params)
    out = record(1, struct.pack(">HB5x", 1, 0))
    for at in range(0, len(block), 65528):
        out += record(4, block[at:at + 65528])
    return out + record(4) + record(5)


def http_request(case):
    lines = [case.method + b" /events" + case.target + b" HTTP/1.1", b"Host: 127.0.0.1",
             b"Connection: close"]
    if not case.has_header(b"accept"):
        lines.append(b"Accept: application/json")
    if not case.has_header(b"authorization"):
        lines.append(b"Authorization: Basic " + base64.b64encode(b"ann:pass-ann"))
    lines += [name + b": " + value for name, value in case.headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def connect(address):
    if address.startswith("unix:"):
        peer = socket.socket(socket.AF_UNIX)
        address = address[5:]
    else:
        peer = socket.socket()
        host, _, port = address.rpartition(":")
        address = (host, int(port))
    peer.settimeout(SECONDS)
    peer.connect(address)
    return peer


def stdout_of(got):
    """The STDOUT of what has come of a FastCGI answer."""
    out = b""
    while len(got) >= 8:
        _, kind, _, length, padding = struct.unpack(">BBHHB", got[:7])
        if kind == 6:
            out += got[8:8 + length]
        got = got[8 + length + padding:]
    return out


def without_chunks(got):
    """An HTTP answer with its body in one piece."""
    head, end, rest = got.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return got
    body = b""
    while True:
        size, found, rest = rest.partition(b"\r\n")
        if not found or int(size, 16) == 0:
            return head + end + body
        body += rest[:int(size, 16)]
        rest = rest[int(size, 16) + 2:]


def is_over(text):
    """A stream has no end: one that has come to a heartbeat has nothing more to say."""
    head, _, body = text.partition(b"\r\n\r\n")
    if b"text/event-stream" in head.lower():
        return re.search(rb"(?m)^:\r?$", body) is not None
    return b"application/x-ndjson" in head.lower() and re.search(rb"\n\r?\n", body) is not None


def ask(case, kind, address):
    """All that came until the end, or until a stream's first heartbeat."""
    got = b""
    text_of = stdout_of if kind == "fcgi" else without_chunks
    with connect(address) as peer:
        try:
            peer.sendall(fcgi_request(case) if kind == "fcgi" else http_request(case))
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused in mid-request; it may have said why
        while not is_over(text_of(got)):
            try:
                more = peer.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                break
            except TimeoutError:
                return b"", "no answer in time"
            if not more:
                break
            got += more
    return text_of(got), None


# --- judging ------------------------------------------------------------------------------------------

def status_of(text, kind):
    if not text:
        return "none"
    line = re.search(rb"(?m)^Status: (\d+)", text) if kind == "fcgi" else re.match(rb"HTTP/1.. (\d+)", text)
    return line[1].decode() if line else "200"


def rows_named(names):
    return set().union(*(SETS.get(name, {name}) for name in names))


def is_status(status, wanted, kind):
    refused = status in ("none", "501", "505") or status[0] == "4"
    if kind == "http" and refused and re.search("4|5|none", wanted):
        return True
    return any(re.fullmatch(one.replace("x", r"\d"), status) for one in wanted.split(","))


def judge(case, kind, address):
    text, fault = ask(case, kind, address)
    if fault:
        return fault
    sure, _, possible = (case.expected if kind == "fcgi" else case.expected_http).partition(" may ")
    wanted, *names = sure.split()
    expected, allowed = rows_named(names), rows_named(names + possible.split())
    rows = {name.decode() for name in re.findall(rb"row<(\w+)>", text)}
    status = status_of(text, kind)
    if rows - allowed:
        return f"LEAK: status {status}, rows {' '.join(sorted(rows - allowed))} that are not granted"
    if not is_status(status, wanted, kind):
        return f"status {status}, wanted {wanted}: {text[-200:]!r}"
    if status == "200" and expected - rows:
        return f"rows {' '.join(sorted(rows))}, wanted {' '.join(sorted(expected))}"
    if kind == "fcgi" and status[0] in "45" and not re.search(rb"\r\n\r\n[^\r\n]+\n\Z", text) and case.method != b"HEAD":
        return f"status {status} without one line that says why: {text!r}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", action="store_true")
    parser.add_argument("--ticket-key")
    parser.add_argument("--only", default="")
    parser.add_argument("where", nargs="*", metavar="TABLE fcgi|http ADDRESS")
    options = parser.parse_args()
    if options.rows:
        print(rows_sql())
        return
    table, kind, address = options.where
    key = b""
    if options.ticket_key:
        with open(options.ticket_key, "rb") as file:
            key = file.read().rstrip(b"\n")
    with open(table, encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file]
    cases = [Case(line, key) for line in lines
             if line and not line.startswith("#") and options.only in line]
    if kind == "http":
        cases = [case for case in cases if not case.params]
    faults = 0
    for case in cases:
        fault = judge(case, kind, address)
        if fault:
            faults += 1
            print(f"{case.name}: {fault}")
    print(f"{len(cases)} requests, {faults} faults")
    sys.exit(1 if faults or not cases else 0)


if __name__ == "__main__":
    main()
