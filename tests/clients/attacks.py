#!/usr/bin/env python3
"""What a stranger may do to hold up others, each kind by its name.

    attacks.py --list
    attacks.py ADDRESS NAME[,NAME...] SECONDS [--turn SECONDS] [--scale FACTOR] [--login USER:PASSWORD]

ADDRESS is unix:PATH (FastCGI) or http:PORT (a web server on this machine, /events). The attacks that
are named take turns until the time is over. Prints "begun" once the first one has made all of its
connections, and a line for each turn: "NAME answered=N closed=N".

ATTACKS says of each kind how many connections it makes, how they behave, what they ask for, and how
often on one connection without waiting for an answer (FastCGI only):

    hold     reads what comes, and stays for as long as it is let
    ask      reads the answer, and asks again at once
    unread   reads nothing, so that the answer stays with the responder
    churn    reads until all have an answer, closes all of them at once, and comes again
    half     sends a part of a request and no more

A connection that the other side closes is made again. The next kind of attack goes here: the bench
"beside an attacker" and the soak then have it, too."""

import argparse
import base64
import os
import random
import select
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fcgi  # noqa: E402

AT_ONCE = 64        # connections that are made between two looks at what has come
BACK_S = 0.02       # a connection that was closed is made again after so long
LOOK_S = 0.02
EINPROGRESS = 115
POLL = ["HTTP_ACCEPT=application/json"]

# --- what is asked for --------------------------------------------------------------------------------


def quote(text):
    return "".join(c if c.isalnum() else f"%{ord(c):02X}" for c in text)


def globs(number):
    """Sixteen patterns of 512 bytes together, such as cost a matcher that backtracks most."""
    shapes = ("*" + "?" * 18, "*[!a-m]*[!n-z]*[^0-4]*", "*a*b*c*d*e*f*", "*[abcdefghij]*[0123456]z")
    patterns = [f"{shapes[n % 4]}{number % 1000}.{n:x}".ljust(32, "?")[:32] for n in range(16)]
    return "&".join("channel=" + quote(pattern) for pattern in patterns)


def names(_):
    return "&".join(f"channel={random.getrandbits(64):016x}.{n}" for n in range(64))


def ticket(_):
    """Well-formed, for any key of its algorithm, as it has no kid; the signature is a guess."""
    algorithm = os.environ.get("ATTACK_ALGORITHM", "RS256")
    size = {"RS256": 256, "ES256": 64, "HS256": 32}[algorithm]
    parts = (f'{{"alg":"{algorithm}","typ":"JWT"}}'.encode(), b'{"sub":"eve","exp":4102444800}',
             random.randbytes(size))
    return "ticket=" + ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def stream(query):
    return lambda number: ["QUERY_STRING=" + (query(number) if callable(query) else query)]


def poll(query):
    return lambda number: [*stream(query)(number), *POLL]


def path(text):
    return lambda number: ["PATH_INFO=" + text]


ATTACKS = {
    "patterns-replayed": (200, "ask", poll(lambda number: globs(number) + "&since=all")),
    "patterns-held": (200, "hold", stream(lambda number: globs(number) + "&since=all")),
    "patterns-live": (2000, "hold", stream(globs)),
    "stars": (200, "ask", poll("channel=%2A" + "%3F" * 18 + "z&since=all")),
    "large-rows-passed": (20, "ask", poll("channel=zz%2A&since=all")),
    "large-rows-by-age": (20, "ask", poll("channel=zz%2A&since=1s")),
    "large-rows-back": (20, "ask", poll("channel=zz%2A&last=5")),
    "large-rows-taken": (50, "ask", poll("channel=large&since=all")),
    "rare-last": (800, "hold", stream("channel=zz%2A&last=1000")),
    "rare-last-asked": (100, "ask", poll("channel=zz%2A&last=1000")),
    "names-churned": (1024, "churn", stream(names)),
    "streams-churned": (4000, "churn", stream(lambda number: f"channel=c{number}")),
    "tickets-guessed": (50, "ask", stream(ticket)),
    "polls-unread": (800, "unread", poll("since=all")),
    "streams-unread": (800, "unread", stream("since=all")),
    "answers-unread": (400, "unread", lambda number: ["PATH_INFO=/metrics", "ROWCAST_ADMIN=1"], 100),
    "polls": (50, "ask", poll("")),
    "health": (50, "ask", path("/health")),
    "nothing-there": (50, "ask", path("/nothing")),
    "refused": (50, "ask", stream("last=x")),
    "half-requests": (800, "half", stream("since=all")),
    "replays": (200, "ask", poll("since=all")),
    "throttled": (400, "hold", stream("since=all&throttle=100")),
}

# --- connections ------------------------------------------------------------------------------------


class Target:
    def __init__(self, address, login=None):
        self.kind, _, self.place = address.partition(":")
        self.login = login

    def connect(self):
        """None: it does not let us in just now."""
        is_unix = self.kind == "unix"
        peer = socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET)
        peer.setblocking(False)
        if peer.connect_ex(self.place if is_unix else ("127.0.0.1", int(self.place))) in (0, EINPROGRESS):
            return peer
        peer.close()
        return None

    def request(self, settings, times):
        if self.kind == "unix":
            return fcgi.whole_request(1, int(times > 1), settings) * times
        env = dict(setting.partition("=")[::2] for setting in settings)
        lines = [f"GET /events{env.get('PATH_INFO', '')}?{env.get('QUERY_STRING', '')} HTTP/1.0",
                 "Host: localhost", "Accept: " + env.get("HTTP_ACCEPT", "text/event-stream")]
        if self.login is not None:
            lines.append("Authorization: Basic " + base64.b64encode(self.login.encode()).decode())
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Peer:
    """One connection, the number-th of its attack."""

    def __init__(self, number, sock, request):
        self.number, self.socket, self.request = number, sock, request
        self.is_answered = False

    def send(self):
        """False: it is closed."""
        try:
            self.request = self.request[self.socket.send(self.request):]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def receive(self):
        try:
            got = self.socket.recv(1 << 18)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.is_answered |= bool(got)
        return bool(got)


class Attack:
    def __init__(self, target, name, scale=1.0):
        count, self.behaviour, self.settings, *times = ATTACKS[name]
        self.times = times[0] if times else 1
        self.target, self.count = target, max(1, int(count * scale))
        self.answered = self.closed = 0
        self.begin()

    def begin(self):
        self.epoll = select.epoll()
        self.peers = {}                             # by descriptor
        self.missing = list(range(self.count))      # numbers whose connections are to be made
        self.later = []                             # (when, number): the same, in a while

    def has_begun(self):
        return not self.missing or self.closed > 0

    def add(self, number):
        sock = self.target.connect()
        if sock is None:
            self.later.append((time.monotonic() + BACK_S, number))
            return
        request = self.target.request(self.settings(number), self.times)
        if self.behaviour == "half":
            request = request[:random.randrange(1, len(request) - 8)]
        if self.behaviour == "unread":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.peers[sock.fileno()] = Peer(number, sock, request)
        self.epoll.register(sock, select.EPOLLOUT | select.EPOLLIN)

    def serve(self, descriptor, events):
        peer = self.peers[descriptor]
        goes_on = True
        if events & select.EPOLLOUT and peer.request:
            goes_on = peer.send()
            if not peer.request:
                reads = 0 if self.behaviour == "unread" else select.EPOLLIN
                self.epoll.modify(descriptor, reads | select.EPOLLRDHUP)
        if goes_on and events & select.EPOLLIN and self.behaviour != "unread":
            goes_on = peer.receive()
        if self.behaviour == "unread" and events & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP):
            goes_on = False
        if not goes_on:
            self.lose(peer)

    def lose(self, peer):
        self.closed += 1
        self.answered += peer.is_answered
        del self.peers[peer.socket.fileno()]
        peer.socket.close()
        if self.behaviour == "ask":
            self.missing.append(peer.number)
        else:
            self.later.append((time.monotonic() + BACK_S, peer.number))

    def step(self):
        now = time.monotonic()
        self.missing += [number for when, number in self.later if when <= now]
        self.later = [one for one in self.later if one[0] > now]
        for _ in range(min(AT_ONCE, len(self.missing))):
            self.add(self.missing.pop())
        for descriptor, events in self.epoll.poll(0 if self.missing else LOOK_S):
            self.serve(descriptor, events)
        if self.behaviour == "churn" and len(self.peers) == self.count and \
                all(peer.is_answered for peer in self.peers.values()):
            self.end()
            self.begin()

    def end(self):
        self.answered += sum(peer.is_answered for peer in self.peers.values())
        for peer in self.peers.values():
            peer.socket.close()
        self.peers.clear()
        self.epoll.close()


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(ATTACKS))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("names")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--turn", type=float, default=float("inf"), help="seconds of one attack")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of connections")
    parser.add_argument("--login", metavar="USER:PASSWORD", help="for the web server")
    options = parser.parse_args()
    target, chosen = Target(options.address, options.login), options.names.split(",")
    over = time.monotonic() + options.seconds
    turn, begun = 0, False
    while time.monotonic() < over:
        name = chosen[turn % len(chosen)]
        attack = Attack(target, name, options.scale)
        until = min(over, time.monotonic() + options.turn)
        while time.monotonic() < until:
            attack.step()
            if not begun and attack.has_begun():
                begun = True
                print("begun", flush=True)
        attack.end()
        print(f"{name} answered={attack.answered} closed={attack.closed}", flush=True)
        turn += 1


main()
