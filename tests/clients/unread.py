#!/usr/bin/env python3
"""Requests whose answers are never read.

    unread.py ADDRESS CONNECTIONS REQUESTS [NAME=VALUE...]

Sends REQUESTS requests on each of CONNECTIONS connections (kept open where there are several),
with the parameters given, and reads nothing. Prints "sent", then a line "cut=N whole=N" once
standard input has ended: how many connections brought all of their answers after all.
ADDRESS is unix:PATH."""

import os
import selectors
import socket
import sys

sys.path.insert(0, os.path.dirname(__file__))
import fcgi  # noqa: E402


def connect(address):
    peer = socket.socket(socket.AF_UNIX)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.connect(address[5:])
    return peer


def count_ends(got):
    """END_REQUEST records among the bytes of an answer."""
    count = at = 0
    while at + 8 <= len(got):
        count += got[at + 1] == 3
        at += 8 + int.from_bytes(got[at + 4:at + 6], "big") + got[at + 6]
    return count


def read_all(peers):
    """What there is to be read of all, at the same time: up to their ends, or until nothing comes for 10 s."""
    got = {peer: bytearray() for peer in peers}
    with selectors.DefaultSelector() as selector:
        for peer in peers:
            selector.register(peer, selectors.EVENT_READ)
        while selector.get_map() and (ready := selector.select(10)):
            for key, _ in ready:
                try:
                    more = key.fileobj.recv(65536)
                except OSError:
                    more = b""
                got[key.fileobj] += more
                if not more:
                    selector.unregister(key.fileobj)
    return got


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
    whole = sum(count_ends(got) >= requests for got in read_all(peers).values())
    print(f"cut={len(peers) - whole} whole={whole}", flush=True)


if __name__ == "__main__":
    main()
