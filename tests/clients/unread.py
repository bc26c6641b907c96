#!/usr/bin/env python3
"""Requests whose answers are never read.

    unread.py ADDRESS CONNECTIONS REQUESTS [NAME=VALUE...]

Sends REQUESTS requests on each of CONNECTIONS connections (kept open where there are several),
with the parameters given, and reads nothing. Prints "sent", then a line "cut=N whole=N" once
standard input has ended: how many connections brought all of their answers after all.
ADDRESS is unix:PATH."""

import os
import socket
import sys

sys.path.insert(0, os.path.dirname(__file__))
import fcgi  # noqa: E402


def connect(address):
    peer = socket.socket(socket.AF_UNIX)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.connect(address[5:])
    return peer


def ends(peer):
    """END_REQUEST records that are there to be read; the peer closes in the end."""
    got = bytearray()
    peer.settimeout(10)
    try:
        while more := peer.recv(65536):
            got += more
    except OSError:
        pass
    count = at = 0
    while at + 8 <= len(got):
        count += got[at + 1] == 3
        at += 8 + int.from_bytes(got[at + 4:at + 6], "big") + got[at + 6]
    return count


def main():
    address, connections, requests = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    keep = 1 if requests > 1 else 0
    request = fcgi.whole_request(1, keep, sys.argv[4:]) * requests
    peers = []
    for _ in range(connections):
        peers.append(connect(address))
        try:
            peers[-1].sendall(request)
        except OSError:
            pass  # it was cut already
    print("sent", flush=True)
    sys.stdin.read()
    whole = sum(ends(peer) >= requests for peer in peers)
    print(f"cut={len(peers) - whole} whole={whole}", flush=True)


if __name__ == "__main__":
    main()
