#!/usr/bin/env python3
"""Many POSTs over FastCGI at once, each on a connection of its own.

    posts.py ADDRESS COUNT FILE    sends them all, then reads the answers as they come

Appends a line "STATUS data" (the answer's body) to FILE for each answer, at once. The n-th
request publishes the data n."""

import select
import sys

from fcgi import Peer, begin, params, record


def request(number):
    body = f"data={number}".encode()
    settings = ["REQUEST_METHOD=POST", f"CONTENT_LENGTH={len(body)}", "ROWCAST_PUBLISH=*",
                "CONTENT_TYPE=application/x-www-form-urlencoded"]
    return begin(1, 1, 0) + params(1, settings) + record(5, 1, body) + record(5, 1)


def answer_of(peer):
    while peer.next_record() is not None:
        pass
    head, _, body = bytes(peer.stdout).partition(b"\r\n\r\n")
    return f"{head.split()[1].decode()} {body.decode().strip()}\n"


def main():
    address, count, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    peers = [Peer(address, 60) for _ in range(count)]
    for number, peer in enumerate(peers):
        peer.send(request(number))
    waiting = {peer.socket: peer for peer in peers}
    while waiting:
        for ready in select.select(list(waiting), [], [], 60)[0]:
            with open(path, "a", encoding="utf-8") as file:
                file.write(answer_of(waiting.pop(ready)))


if __name__ == "__main__":
    main()
