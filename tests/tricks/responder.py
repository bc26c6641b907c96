"""responder.py - rowcast as a site runs it, for the cells of the matrix: kept on its socket by a
supervisor, or started by a web server for each request (CGI), with readers that come back as a
browser does.

cell.py makes these; oracle.py looks at the readers' records. Nothing here judges.

A responder that leaves is started again after RESTART_S, whatever its exit code: so does systemd
with Restart=always, and lighttpd. Its socket stays open in between, so that requests wait in the
backlog."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
import fcgi  # noqa: E402
from patience import patient  # noqa: E402

RESTART_S = 1.0     # systemd's unit waits 2 s, lighttpd less
ANSWER_S = patient(2.0)     # for which an answer is waited
CGI_S = patient(8.0)        # the same where the answer needs a process of its own
POST_S = patient(8.0)       # a POST: the program itself waits 5 s for a lock
RETRY_S = 0.1       # a reader's, before it comes back
POLL_S = 0.5        # between two polls of a page: each is a process
TERM_S = patient(6.0)       # from SIGTERM to the exit; --drain is 1 s


def ask(address, target, settings=(), body=b"", seconds=ANSWER_S):
    """One request over FastCGI. Returns (status, body as text), or None without an answer."""
    end = time.monotonic() + seconds
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(seconds)
            peer.connect(address)
            request = fcgi.begin(1, 1, 0) + fcgi.params(1, ["PATH=" + target, *settings])
            if body:
                request += fcgi.record(5, 1, body)
            peer.sendall(request + fcgi.record(5, 1))
            raw = b""
            while True:
                peer.settimeout(max(0.01, end - time.monotonic()))
                part = peer.recv(65536)
                if not part:
                    break
                raw += part
    except OSError:
        return None
    return split_answer(b"".join(content for kind, content in records(bytearray(raw)) if kind == 6))


def split_answer(text):
    """A CGI answer as (status, body), or None when it is not whole."""
    header, found, rest = text.partition(b"\r\n\r\n")
    if not found:
        return None
    status = 200
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
    return status, rest.decode(errors="replace")


def records(unread):
    """The whole FastCGI records in the buffer, which are taken from it."""
    while len(unread) >= 8:
        _, kind, _, length, padding = struct.unpack_from(">BBHHB", unread)
        if len(unread) < 8 + length + padding:
            return
        content = bytes(unread[8:8 + length])
        del unread[:8 + length + padding]
        yield kind, content


class Supervisor:
    """One responder on a socket, started again when it leaves."""

    def __init__(self, command, address, log):
        self.command = command
        self.address = address
        self.log = log
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address)
        self.listener.listen(1024)
        self.process = None
        self.started_at = 0.0
        self.exits = []             # (when, exit code) of those that left without being told to
        self.stopping = threading.Event()
        self.thread = None

    def start(self):
        self.stopping.clear()
        self.spawn()
        self.thread = threading.Thread(target=self.keep, daemon=True)
        self.thread.start()

    def spawn(self):
        self.process = subprocess.Popen(self.command, stdin=self.listener, stdout=self.log,
                                        stderr=self.log, start_new_session=True)
        self.started_at = time.monotonic()

    def keep(self):
        while True:
            code = self.process.wait()
            if self.stopping.is_set():
                return
            self.exits.append((time.monotonic(), code))
            if self.stopping.wait(RESTART_S):
                return
            self.spawn()

    def is_up(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        """To the process that was started, or, to stop and go on, to its workers too."""
        try:
            if number in (signal.SIGSTOP, signal.SIGCONT):
                os.killpg(self.process.pid, number)
            else:
                os.kill(self.process.pid, number)
        except ProcessLookupError:
            pass

    def stop(self):
        """Ends it by SIGTERM. Returns what was wrong with that, or None."""
        self.stopping.set()
        was_up = self.is_up()
        if was_up:
            self.signal(signal.SIGTERM)
        fault = None
        try:
            code = self.process.wait(TERM_S)
            is_young = time.monotonic() - self.started_at < 2     # does not catch it yet
            if was_up and code not in (0, 1) and not (is_young and code == -signal.SIGTERM):
                fault = f"exit code {code} after SIGTERM"
        except subprocess.TimeoutExpired:
            fault = f"still there {TERM_S:.0f} s after SIGTERM"
        self.kill()
        self.thread.join()
        return fault

    def kill(self):
        self.stopping.set()
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def processes(self):
        """The process and its children: workers."""
        pid = self.process.pid
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
                return [pid, *map(int, children.read().split())]
        except OSError:
            return []

    def never_rests(self):
        """A process that is running whenever one looks: it turns in a circle."""
        suspects = set(self.processes()) if self.is_up() else set()
        for _ in range(15):
            suspects = {pid for pid in suspects if state_of(pid) == "R"}
            if not suspects:
                return False
            time.sleep(0.03)
        return True


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except OSError:
        return None


class Reader:
    """A page's record: what it got, over all of its connections. Of each event the time."""

    def __init__(self, name):
        self.name = name
        self.lock = threading.Lock()
        self.last_id = None
        self.opened = threading.Event()
        self.data = {}          # data of a row: [(when, id)]
        self.gaps = []          # (when, the gap's members)
        self.refusals = []      # (when, status)
        self.connections = 0
        self.since = 0.0        # what was begun before that, or later than `until`, is not its business
        self.until = float("inf")
        self.told = set()       # data of rows of which health and log told

    def take_row(self, row_id, data):
        with self.lock:
            self.data.setdefault(data, []).append((time.monotonic(), row_id))

    def take_gap(self, gap):
        with self.lock:
            self.gaps.append((time.monotonic(), gap))

    def take_block(self, block):
        """One event of an event stream, as the HTML standard reads it."""
        event, data = "message", []
        for line in block.split("\n"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "id":
                self.last_id = value
            elif field == "event":
                event = value
            elif field == "data":
                data.append(value)
        if event == "rowcast:open":
            self.opened.set()
        elif event == "rowcast:gap":
            self.take_gap(json.loads("\n".join(data)))
        elif data and not event.startswith("rowcast:"):
            self.take_row(self.last_id, "\n".join(data))

    def take_document(self, text):
        """A JSON document, the answer to a poll. Returns how many rows it has."""
        document = json.loads(text)
        if document["gap"] is not None:
            self.take_gap(document["gap"])
        for event in document["events"]:
            self.take_row(event["id"], event["data"])
        if document["last_event_id"] is not None:
            self.last_id = document["last_event_id"]
            self.opened.set()
        return len(document["events"])


class Stream(threading.Thread):
    """A reader of the event stream that comes back with the last id whenever it was cut off."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.reader = Reader(name)
        self.leaving = threading.Event()

    def run(self):
        while not self.leaving.is_set():
            self.reader.connections += 1
            try:
                self.follow()
            except OSError:
                pass
            self.leaving.wait(RETRY_S)

    def take(self, text):
        """Body bytes. Returns what is not a whole event yet."""
        *blocks, rest = text.split(b"\n\n")
        for block in blocks:
            self.reader.take_block(block.decode())
        return rest

    def take_answer(self, parts):
        """The answer's parts, header first. Ends at the end of the parts, or of patience."""
        head, body, is_body = b"", b"", False
        for part in parts:
            if not is_body:
                head += part
                answer = split_answer(head)
                if answer is None:
                    continue
                if answer[0] != 200:
                    self.reader.refusals.append((time.monotonic(), answer[0]))
                    return
                is_body, part = True, head.partition(b"\r\n\r\n")[2]
            body = self.take(body + part)
            if self.leaving.is_set():
                return


class SocketStream(Stream):
    """Over FastCGI."""

    def __init__(self, name, address):
        super().__init__(name)
        self.address = address

    def follow(self):
        settings = ["PATH=", "HTTP_ACCEPT=text/event-stream"]
        if self.reader.last_id is not None:
            settings.append(f"HTTP_LAST_EVENT_ID={self.reader.last_id}")
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(self.address)
            peer.sendall(fcgi.whole_request(1, 0, settings))
            peer.settimeout(0.5)
            self.take_answer(self.parts(peer))

    def parts(self, peer):
        unread = bytearray()
        while not self.leaving.is_set():
            try:
                part = peer.recv(65536)
            except TimeoutError:
                continue
            if not part:
                return
            unread += part
            for kind, content in records(unread):
                if kind == 6:
                    yield content


def cgi_command(cell, target, **settings):
    path, _, query = target.partition("?")
    env = {"PATH": os.environ["PATH"], "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET",
           "SERVER_PROTOCOL": "HTTP/1.1", "SCRIPT_NAME": "/events", "REMOTE_ADDR": "127.0.0.1",
           "PATH_INFO": path, "QUERY_STRING": query, "ROWCAST_DB": cell.db,
           "ROWCAST_HEARTBEAT": "1", **settings}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
        if name in os.environ:
            env[name] = os.environ[name]
    return {"args": [*cell.prefix, cell.cgi], "env": env, "stdin": subprocess.DEVNULL,
            "stderr": cell.log}


def cgi_ask(cell, target, **settings):
    try:
        done = subprocess.run(**cgi_command(cell, target, **settings), stdout=subprocess.PIPE,
                              timeout=CGI_S, check=False)
    except subprocess.TimeoutExpired:
        return None
    return split_answer(done.stdout)


class CgiStream(Stream):
    """A process for the open page, as a web server's CGI has it."""

    def __init__(self, name, cell):
        super().__init__(name)
        self.cell = cell
        self.process = None

    def follow(self):
        settings = {"HTTP_ACCEPT": "text/event-stream"}
        if self.reader.last_id is not None:
            settings["HTTP_LAST_EVENT_ID"] = self.reader.last_id
        self.process = subprocess.Popen(**cgi_command(self.cell, "", **settings),
                                        stdout=subprocess.PIPE, start_new_session=True)
        out = self.process.stdout.fileno()
        self.take_answer(iter(lambda: os.read(out, 65536), b""))
        self.end()

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, AttributeError):
            pass

    def end(self):
        process = self.process
        if process is not None:
            self.signal(signal.SIGKILL)
            process.wait()


class CgiPoll(threading.Thread):
    """A page that polls for JSON; each poll is a process."""

    def __init__(self, name, cell):
        super().__init__(daemon=True)
        self.reader = Reader(name)
        self.leaving = threading.Event()
        self.cell = cell

    def run(self):
        while not self.leaving.is_set():
            self.reader.connections += 1
            query = "" if self.reader.last_id is None else f"?last_event_id={self.reader.last_id}"
            answer = cgi_ask(self.cell, query, HTTP_ACCEPT="application/json")
            if answer is not None and answer[0] == 200:
                if self.reader.take_document(answer[1]):
                    continue    # there may be more until an answer comes without rows
            else:
                self.reader.refusals.append((time.monotonic(), answer and answer[0]))
            self.leaving.wait(POLL_S)


class Poster(threading.Thread):
    """Publishes a row about every PAUSE_S; what was answered with 2xx is in the ledger."""

    PAUSE_S = 0.12

    def __init__(self, cell):
        super().__init__(daemon=True)
        self.cell = cell
        self.leaving = threading.Event()
        self.turn = threading.Lock()    # held while a POST is under way
        self.answers = {}               # status: how often

    def run(self):
        while not self.leaving.is_set():
            with self.turn:
                self.post()
            self.leaving.wait(self.PAUSE_S)

    def post(self):
        ledger = self.cell.ledger
        row = ledger.begin("post")
        body = b"data=" + row.data.encode()
        answer = ask(self.cell.address, "", [
            "REQUEST_METHOD=POST", "ROWCAST_PUBLISH=*", f"CONTENT_LENGTH={len(body)}",
            "CONTENT_TYPE=application/x-www-form-urlencoded"], body, POST_S)
        status = None if answer is None else answer[0]
        self.answers[status] = self.answers.get(status, 0) + 1
        if status == 201:
            ledger.commit(row, int(json.loads(answer[1])["ids"][0]))
        elif status is not None:
            ledger.refuse(row)
