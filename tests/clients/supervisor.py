#!/usr/bin/env python3
"""Holds a listening Unix socket and keeps one responder on it, as systemd or a web server does.

    supervisor.py SOCKET COMMAND...

The command gets the socket as descriptor 0. A line "restart" on stdin ends the responder with
SIGTERM and starts the next one when it has exited; prints "up N" each time one was started. The
socket is never closed in between: who connects meanwhile waits in its backlog. "end", or the end
of stdin, ends all."""

import os
import signal
import socket
import subprocess
import sys


def main():
    path, command = sys.argv[1], sys.argv[2:]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.listen(4096)

    count = 0
    responder = None
    for order in iter(sys.stdin.readline, ""):
        if order == "end\n":
            break
        if responder is not None:
            responder.send_signal(signal.SIGTERM)
            responder.wait()
        responder = subprocess.Popen(command, stdin=listener)
        count += 1
        print("up", count, responder.pid, flush=True)
    if responder is not None:
        responder.send_signal(signal.SIGTERM)
        responder.wait()


if __name__ == "__main__":
    main()
