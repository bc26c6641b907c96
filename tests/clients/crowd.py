#!/usr/bin/env python3
"""Many connections at once to a FastCGI responder, from one process.

    crowd.py ADDRESS N idle      connects N times and says nothing
    crowd.py ADDRESS N streams   opens a stream on each

ADDRESS is unix:PATH or HOST:PORT. Prints a line whenever its counts change:

    connected=N open=N sent-away=N closed=N rows=N

open counts streams that got their opening block, sent-away those that were answered with
retry: and ended at once, rows the data: lines with a row in them. Stays until it is killed or
the peer has closed everything."""

import os
import re
import selectors
import socket
import sys

sys.path.insert(0, os.path.dirname(__file__))
import fcgi  # noqa: E402


def connect(address):
    if address.startswith("unix:"):
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(address[5:])
    else:
        host, _, port = address.rpartition(":")
        peer = socket.create_connection((host.strip("[]"), int(port)))
    return peer


def main():
    address, number, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    selector = selectors.DefaultSelector()
    count = dict.fromkeys(["connected", "open", "sent-away", "closed", "rows"], 0)
    for _ in range(number):
        peer = connect(address)
        if kind == "streams":
            peer.sendall(fcgi.whole_request(1, 0, []))
        peer.setblocking(False)
        selector.register(peer, selectors.EVENT_READ, [b"", False])
        count["connected"] += 1
    said = None
    while selector.get_map():
        line = " ".join(f"{name}={value}" for name, value in count.items())
        if line != said:
            print(line, flush=True)
            said = line
        for key, _ in selector.select():
            try:
                data = key.fileobj.recv(65536)
            except ConnectionResetError:
                data = b""
            state = key.data
            if not data:
                count["closed"] += 1
                count["sent-away"] += b"retry:" in state[0] and not state[1]
                selector.unregister(key.fileobj)
                key.fileobj.close()
                continue
            state[0] = (state[0] + data)[-4096:]
            if not state[1] and b"rowcast:open" in state[0]:
                state[1] = True
                count["open"] += 1
            count["rows"] += len(re.findall(rb"^data: [^{\n]", data, re.M))
    print(" ".join(f"{name}={value}" for name, value in count.items()), flush=True)


if __name__ == "__main__":
    main()
