"""Many event streams in one process, over FastCGI, for scenarios written in Python.

    from streams import Crowd
    crowd = Crowd("unix:/path", seconds=30)
    a = crowd.open("?channel=orders", REMOTE_USER="ann")
    crowd.each(lambda stream: stream.is_open)     # reads from all until each has its opening
    crowd.until(lambda: len(a.rows) == 3, "three rows")
    a.pause(); ...; a.go_on()                     # a reader that does not read
    a.records                                     # [(seconds since open, bytes), ...]

Whatever does not come in time, and whatever breaks FastCGI's or the stream's form, is an error
with the words for it. Records are checked as they come, events parsed when they are looked at."""

import json
import selectors
import socket
import struct
import time

import fcgi

ORDERLY = bytes(5)  # END_REQUEST: status 0, REQUEST_COMPLETE


class Stream:
    def __init__(self, crowd, target, settings):
        self.crowd = crowd
        self.target, self.settings = target, dict(settings)
        self.opened_at = time.monotonic()
        self.socket = crowd.connect()
        self.request = fcgi.whole_request(
            1, 0, ["PATH=" + target] + [f"{n}={v}" for n, v in settings.items()])
        self.socket.setblocking(False)
        self.unread = bytearray()  # not yet a whole record
        self.header = None         # the CGI header, once it is there
        self.body = bytearray()    # what came behind it
        self.records = []          # (seconds since the start, bytes) of each STDOUT record
        self.ended = self.closed = self.paused = False
        self.parsed = 0
        self.searched = {}         # data -> where in the body has(data) goes on
        self.last_id = None        # that of the last complete block
        self.events = []           # (id, event, data), rowcast: events too
        self.retries = []
        self.comments = []

    # --- bytes

    def read(self, most=1 << 20):
        """Takes what is there; False once the peer has closed."""
        try:
            data = self.socket.recv(most)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            if self.unread:
                self.crowd.fail(f"closed within a record: {len(self.unread)} bytes of it", self)
            return False
        self.unread += data
        at, size = 0, len(self.unread)
        while size - at >= 8:
            version, kind, request, length, padding = struct.unpack_from(">BBHHB", self.unread, at)
            end = at + 8 + length + padding
            if (version, request) != (1, 1) or kind not in (3, 6) or self.ended:
                self.crowd.fail(f"bad record {bytes(self.unread[at:at + 8])!r}", self)
            if end > size:
                break
            content = bytes(self.unread[at + 8:at + 8 + length])
            if kind == 6:
                self.take(content)
            else:
                self.ended = True
                if content[:5] != ORDERLY:
                    self.crowd.fail(f"ended with {content!r}", self)
            at = end
        del self.unread[:at]
        return True

    def take(self, content):
        if content:
            self.records.append((time.monotonic() - self.opened_at, content))
        self.body += content
        if self.header is None:
            header, found, rest = bytes(self.body).partition(b"\r\n\r\n")
            if found:
                self.header, self.body = header.decode(), bytearray(rest)

    @property
    def is_open(self):
        return self.header is not None and b"rowcast:open" in self.body[:400]

    @property
    def is_over(self):
        return self.closed

    # --- events

    def parse(self):
        end = self.body.rfind(b"\n\n") + 2
        if end < 2 or end <= self.parsed:
            return self.events
        for block in self.body[self.parsed:end].decode().split("\n\n")[:-1]:
            event, data = "message", []
            for line in block.split("\n"):
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if field == "id":
                    self.last_id = int(value)
                elif field == "event":
                    event = value
                elif field == "data":
                    data.append(value)
                elif field == "retry":
                    self.retries.append(int(value))
                elif field == "" and value:
                    self.comments.append(value)
            if data:
                self.events.append((self.last_id, event, "\n".join(data)))
        self.parsed = end
        return self.events

    @property
    def rows(self):
        return [event for event in self.parse() if not event[1].startswith("rowcast:")]

    @property
    def data(self):
        return [data for _, _, data in self.rows]

    @property
    def ids(self):
        return [row_id for row_id, _, _ in self.rows]

    @property
    def gaps(self):
        return [json.loads(data) for _, event, data in self.parse() if event == "rowcast:gap"]

    @property
    def writes(self):
        """The records with rows in them."""
        return [record for record in self.records if b"\ndata: " in record[1]
                and b"event: rowcast:" not in record[1]]

    def has(self, data):
        """A row with this data has come, whatever came behind it (cheap, for waiting)."""
        row = f"\ndata: {data}\n\n".encode()
        found = self.body.find(row, self.searched.get(data, 0))
        self.searched[data] = found if found >= 0 else max(0, len(self.body) - len(row) + 1)
        return found >= 0

    # --- what a reader does

    def pause(self):
        if not self.paused and not self.closed:
            self.crowd.selector.unregister(self.socket)
        self.paused = True

    def go_on(self):
        if self.paused and not self.closed:
            self.crowd.selector.register(self.socket, selectors.EVENT_READ, self)
        self.paused = False

    def close(self):
        if not self.closed:
            self.pause()
            self.socket.close()
            self.closed = True

    def resume(self):
        """The stream with which an EventSource comes back after this one."""
        self.close()
        self.parse()
        return self.crowd.open(self.target, **{**self.settings,
                                               "HTTP_LAST_EVENT_ID": self.last_id})


class Crowd:
    def __init__(self, address, seconds=30):
        self.address = address
        self.deadline = time.monotonic() + seconds
        self.seconds = seconds
        self.selector = selectors.DefaultSelector()
        self.streams = []

    def connect(self):
        if self.address.startswith("unix:"):
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(self.address[5:])
            return peer
        host, _, port = self.address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)))

    def open(self, target="", **settings):
        """Sends the request; nothing is read before each or until."""
        stream = Stream(self, target, settings)
        stream.socket.sendall(stream.request)
        self.streams.append(stream)
        self.selector.register(stream.socket, selectors.EVENT_READ, stream)
        return stream

    def listen(self, target="", **settings):
        stream = self.open(target, **settings)
        self.until(lambda: stream.is_open or stream.closed, "an opening block")
        if not stream.is_open:
            self.fail("did not open", stream)
        return stream

    def turn(self):
        """One look at the sockets; returns the streams that were read from."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        ready = [key.data for key, _ in self.selector.select(left)]
        for stream in ready:
            if not stream.read():
                self.selector.unregister(stream.socket)
                stream.socket.close()
        return ready

    def until(self, condition, what):
        while not condition():
            try:
                self.turn()
            except TimeoutError:
                self.fail(f"not within {self.seconds} s: {what}")

    def each(self, condition, what="what each stream waits for", streams=None):
        """Until the condition holds for each of the streams, which are all that are open. It is
        asked again when bytes have come, so it must stay true once it is."""
        pending = {s for s in streams or self.streams if not s.paused and not condition(s)}
        while pending:
            try:
                ready = self.turn()
            except TimeoutError:
                self.fail(f"not within {self.seconds} s: {what}: {len(pending)} streams lack it",
                          next(iter(pending)))
            pending.difference_update([s for s in ready if s in pending and condition(s)])

    def fail(self, why, stream=None):
        text = f"streams.py: {why}"
        if stream is not None:
            text += (f"\n{stream.target} {stream.settings} closed={stream.closed}"
                     f" ended={stream.ended}\n...{bytes(stream.body[-400:])!r}")
        raise SystemExit(text)


def expect(what, got, wanted):
    """Equal, or the end with the first difference."""
    if got == wanted:
        return
    got, wanted = list(got), list(wanted)
    at = next((i for i, pair in enumerate(zip(got, wanted)) if pair[0] != pair[1]),
              min(len(got), len(wanted)))
    raise SystemExit(f"{what}: {len(got)} instead of {len(wanted)}; from {at} on "
                     f"{got[at:at + 3]} instead of {wanted[at:at + 3]}")


def check(what, holds):
    if not holds:
        raise SystemExit(what)


def commit(db, *rows):
    """Inserts rows, each its data or a dict of columns, in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    for row in rows:
        row = row if isinstance(row, dict) else {"data": row}
        db.execute(f"INSERT INTO notification({', '.join(row)})"
                   f" VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    db.execute("COMMIT")
