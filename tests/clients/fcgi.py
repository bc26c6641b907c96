#!/usr/bin/env python3
"""A raw FastCGI client for tests: says exactly what it is told to, well-formed or not.

    fcgi.py ADDRESS STEP...                              a conversation, step by step

ADDRESS is unix:PATH or HOST:PORT. For one request and its answer there is fcgi_get.c. Steps, in
order:

    begin[:ID[,ROLE[,FLAGS]]]  BEGIN_REQUEST (id 1, role 1 responder, flags 1 keep-conn)
    params[:ID[,NAME=VALUE]...]  the request's parameters and their empty record: GET / with
                               what is given; PATH=/health?x splits into PATH_INFO, QUERY_STRING
    params-part:ID,N           one PARAMS record with N bytes of a longer value, not the end
    stdin[:ID]                 the empty STDIN record
    body:FILE                  the file's bytes as STDIN records of request 1, not the end
    request[:ID[,NAME=VALUE]...]  begin, params, stdin
    big:BYTES                  a request for /health whose parameters have that many bytes
    split:N                    from here on send in pieces of N bytes, each a write of its own
    values[:NAME,...]          GET_VALUES
    manage:TYPE                a management record of that type, 8 bytes
    abort[:ID]                 ABORT_REQUEST
    raw:HEX                    bytes
    until-data:TEXT            read until STDOUT holds TEXT
    until-end[:ID]             read until END_REQUEST of that id
    until:TYPE                 read until a record of that type
    until-close                read until the peer closes; a reset counts as close
    wait-file:PATH             read nothing until that file is there
    half-close                 shut down our writing side
    forget                     forget what was read
    quiet                      print no more records
    save:FILE                  write what STDOUT has brought, without the CGI header

Each record that is read is printed as one line: TYPE id=N text. Exit 1 and a line on stderr if
a step's wait fails or takes longer than --seconds."""

import os
import socket
import struct
import sys
import time

NAMES = {1: "BEGIN", 2: "ABORT", 3: "END", 4: "PARAMS", 5: "STDIN", 6: "STDOUT", 7: "STDERR",
         8: "DATA", 9: "GET_VALUES", 10: "GET_VALUES_RESULT", 11: "UNKNOWN_TYPE"}
PROTOCOL_STATUS = ["REQUEST_COMPLETE", "CANT_MPX_CONN", "OVERLOADED", "UNKNOWN_ROLE"]


def record(kind, request_id, content=b""):
    return struct.pack(">BBHHBB", 1, kind, request_id, len(content), 0, 0) + content


def pair(name, value):
    name, value = name.encode(), value.encode()

    def size(n):
        return bytes([n]) if n < 128 else struct.pack(">I", n | 0x80000000)

    return size(len(name)) + size(len(value)) + name + value


def begin(request_id, role=1, flags=1):
    return record(1, request_id, struct.pack(">HB5x", role, flags))


def params(request_id, settings):
    env = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/events", "PATH_INFO": "",
           "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1"}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name == "PATH":
            env["PATH_INFO"], _, env["QUERY_STRING"] = value.partition("?")
        else:
            env[name] = value
    block = b"".join(pair(n, v) for n, v in env.items())
    out = b""
    while block:
        out += record(4, request_id, block[:65528])
        block = block[65528:]
    return out + record(4, request_id)


def whole_request(request_id, flags, settings):
    return begin(request_id, 1, flags) + params(request_id, settings) + record(5, request_id)


def body(file):
    with open(file, "rb") as opened:
        content = opened.read()
    # Odd sizes, as no web server promises any.
    return b"".join(record(5, 1, content[i:i + 9999]) for i in range(0, len(content), 9999))


class Peer:
    def __init__(self, address, seconds):
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            address = address[5:]
        else:
            host, _, port = address.rpartition(":")
            host = host.strip("[]")
            self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            address = (host, int(port))
        self.deadline = time.monotonic() + seconds
        self.socket.settimeout(seconds)
        self.socket.connect(address)
        self.piece = 0
        self.buffer = bytearray()
        self.stdout = bytearray()
        self.ended = set()
        self.closed = False
        self.quiet = False

    def send(self, data):
        if not self.piece:
            self.socket.sendall(data)
            return
        for i in range(0, len(data), self.piece):
            self.socket.sendall(data[i:i + self.piece])
            time.sleep(0.001)  # so that each piece arrives by itself

    def next_record(self):
        """The next record as (kind, id, content), or None when the peer has closed."""
        while True:
            if len(self.buffer) >= 8:
                _, kind, request_id, length, padding = struct.unpack(">BBHHB", self.buffer[:7])
                if len(self.buffer) >= 8 + length + padding:
                    content = bytes(self.buffer[8:8 + length])
                    del self.buffer[:8 + length + padding]
                    if kind == 6:
                        self.stdout += content
                    elif kind == 3:
                        self.ended.add(request_id)
                    return kind, request_id, content
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.socket.settimeout(left)
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                self.closed = True
                return None
            self.buffer += more

    def show(self, got):
        if self.quiet:
            return
        kind, request_id, content = got
        if kind == 3:
            app, protocol = struct.unpack(">IB", content[:5])
            text = f"{PROTOCOL_STATUS[protocol]} status={app}"
        elif kind == 10:
            text, rest = "", content
            while rest:
                n, v = rest[0], rest[1]
                text += f" {rest[2:2 + n].decode()}={rest[2 + n:2 + n + v].decode()}"
                rest = rest[2 + n + v:]
            text = text.strip()
        elif kind == 11:
            text = f"type={content[0]}"
        else:
            text = repr(content.decode("utf-8", "replace"))[1:-1]
        print(f"{NAMES.get(kind, kind)} id={request_id} {text}".rstrip(), flush=True)

    def read_until_data(self, text):
        looked = 0
        while text not in self.stdout[looked:]:
            looked = max(0, len(self.stdout) - len(text))
            got = self.next_record()
            if got is None:
                return False
            self.show(got)
        return True

    def read_until(self, done):
        while not done():
            got = self.next_record()
            if got is None:
                return done()
            self.show(got)
        return True


def number(text, fallback=1):
    return int(text) if text else fallback


def step(peer, text):
    verb, _, rest = text.partition(":")
    parts = rest.split(",") if rest else []
    first = parts[0] if parts else ""
    if verb == "begin":
        peer.send(begin(*(int(p) for p in (parts or ["1"]))))
    elif verb == "params":
        peer.send(params(number(first), parts[1:]))
    elif verb == "params-part":
        size = int(parts[1])
        peer.send(record(4, int(first), (pair("X", "x" * (size + 100)))[:size]))
    elif verb == "body":
        peer.send(body(rest))
    elif verb == "stdin":
        peer.send(record(5, number(first)))
    elif verb == "request":
        peer.send(whole_request(number(first), 1, parts[1:]))
    elif verb == "big":
        value = "x" * (int(first) - 200)
        peer.send(whole_request(1, 1, ["PATH=/health", "HTTP_X_BIG=" + value]))
    elif verb == "split":
        peer.piece = int(first)
    elif verb == "values":
        names = parts or ["FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS"]
        peer.send(record(9, 0, b"".join(pair(n, "") for n in names)))
    elif verb == "manage":
        peer.send(record(int(first), 0, bytes(8)))
    elif verb == "abort":
        peer.send(record(2, number(first)))
    elif verb == "raw":
        peer.send(bytes.fromhex(first))
    elif verb == "half-close":
        peer.socket.shutdown(socket.SHUT_WR)
    elif verb == "forget":
        peer.stdout, peer.ended = bytearray(), set()
    elif verb == "wait-file":
        while not os.path.exists(rest):
            if time.monotonic() > peer.deadline:
                raise TimeoutError
            time.sleep(0.02)
    elif verb == "quiet":
        peer.quiet = True
    elif verb == "save":
        with open(rest, "wb") as file:
            file.write(peer.stdout.partition(b"\r\n\r\n")[2])
    elif verb == "until-data":
        return peer.read_until_data(rest.encode())
    elif verb == "until-end":
        return peer.read_until(lambda: number(first) in peer.ended)
    elif verb == "until":
        wanted = first
        while True:
            got = peer.next_record()
            if got is None:
                return False
            peer.show(got)
            if NAMES.get(got[0]) == wanted:
                return True
    elif verb == "until-close":
        peer.read_until(lambda: peer.closed)
        return peer.closed
    else:
        sys.exit(f"fcgi.py: unknown step: {text}")
    return True


# argparse would take longer to load than most conversations last.
def arguments(words):
    seconds = 10.0
    if words[1:2] == ["--seconds"]:
        seconds = float(words[2])
        del words[1:3]
    if len(words) < 2 or words[1].startswith("--"):
        sys.exit(__doc__)
    return words[0], seconds, words[1:]


def main():
    address, seconds, steps = arguments(sys.argv[1:])
    try:
        peer = Peer(address, seconds)
    except OSError as error:
        sys.exit(f"fcgi.py: {address}: {error}")
    for text in steps:
        try:
            if not step(peer, text):
                sys.exit(f"fcgi.py: connection closed at: {text}")
        except TimeoutError:
            sys.exit(f"fcgi.py: timed out at: {text}")
        except (BrokenPipeError, ConnectionResetError):
            # Bad bytes, or too many, may well be refused while we write.
            if not text.startswith(("raw:", "big:")):
                sys.exit(f"fcgi.py: connection reset at: {text}")


if __name__ == "__main__":
    main()
