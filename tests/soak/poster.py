#!/usr/bin/env python3
"""poster.py PORT RATE ACKNOWLEDGED - publishes about RATE rows a second by POST, as a user, until
SIGTERM, when it ends with the answer to its last request. The ids that it was told were taken go to
the file ACKNOWLEDGED: those must be in the table whatever befell rowcast since."""

import base64
import http.client
import json
import os
import random
import signal
import sys
import time

from rules import CHANNELS, USERS

PATIENCE_S = 10


def rows(chance):
    some = []
    for _ in range(chance.choice([1, 1, 1, 5])):
        row = {"channel": f"c{chance.randrange(CHANNELS)}",
               "data": f"{chance.getrandbits(60)}\nposted" + "y" * chance.choice([0, 10, 5000])}
        if chance.random() < 0.3:
            row["to"] = f"u{chance.randrange(USERS)}"
        if chance.random() < 0.1:
            row["collapse_key"] = f"k{chance.randrange(3)}"
        some.append(row)
    return some


def post(port, body):
    """The ids, none when it was not taken."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    login = base64.b64encode(b"u0:pw").decode()
    try:
        connection.request("POST", "/events", json.dumps(body),
                           {"Authorization": f"Basic {login}", "Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status == 201:
            return json.loads(text)["ids"]
        if answer.status < 500:     # not one of those that restarts and locks bring about
            print(f"poster: FAULT {answer.status} {text[:200]!r}", file=sys.stderr, flush=True)
    except (OSError, http.client.HTTPException) as error:
        print(f"poster: {error!r}", file=sys.stderr, flush=True)
    finally:
        connection.close()
    return []


def main():
    port, rate = int(sys.argv[1]), float(sys.argv[2])
    chance = random.Random(os.getpid())
    ending = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    with open(sys.argv[3], "a", encoding="ascii") as acknowledged:
        while not ending:
            for row_id in post(port, rows(chance)):
                print(row_id, file=acknowledged, flush=True)
            time.sleep(chance.random() * 4 / rate)


main()
