"""crowd.py - many readers on one asyncio loop, each of which follows the stream as an EventSource
does, keeps a record of what it saw, comes and goes, and resumes with Last-Event-ID."""

import asyncio
import base64
import random
import time
import zlib

from rules import CHANNELS, USERS

ONLINE_S = 30       # on the average
OFFLINE_S = 10
RETRY_S = 0.5
FRESH = 0.1         # of all returns are those of a new visitor, without an id


class Session:
    """One visitor's record, over all of its connections."""

    def __init__(self, patterns, user):
        self.patterns = patterns
        self.user = user
        self.last_id = None
        self.seen_to = 0
        self.record = []        # ("row" | "cursor" | "gap", id, when in Unix milliseconds)
        self.faults = []

    def note(self, what, row_id):
        self.record.append((what, row_id, time.time() * 1000))
        self.last_id = row_id
        self.seen_to = max(self.seen_to, row_id)


class Stream(asyncio.Protocol):
    """One connection of a session."""

    def __init__(self, crowd, session):
        self.crowd = crowd
        self.session = session
        self.buffer = b""
        self.in_body = False
        self.closed = asyncio.get_running_loop().create_future()
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        session = self.session
        query = "&".join("channel=" + p.replace("*", "%2A") for p in session.patterns)
        login = base64.b64encode(f"{session.user}:pw".encode()).decode()
        lines = [f"GET /events?{query} HTTP/1.0", "Host: soak", "Accept: text/event-stream",
                 f"Authorization: Basic {login}"]
        if session.last_id is not None:
            lines.append(f"Last-Event-ID: {session.last_id}")
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def data_received(self, data):
        self.buffer += data
        if not self.in_body and not self.take_head():
            return
        blocks = self.buffer.split(b"\n\n")
        self.buffer = blocks.pop()
        for block in blocks:
            self.take_block(block)

    def take_head(self):
        head, blank, rest = self.buffer.partition(b"\r\n\r\n")
        if not blank:
            return False
        status = head.split(b" ", 2)[1]
        if status != b"200":
            self.crowd.refused[status] = self.crowd.refused.get(status, 0) + 1
            self.transport.close()
            return False
        self.in_body = True
        self.buffer = rest
        return True

    def take_block(self, block):
        row_id, event, data = None, "message", None
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"id":
                row_id = int(value)
            elif field == b"event":
                event = value.decode()
            elif field == b"data":
                data = value if data is None else data + b"\n" + value
        if row_id is None:
            return
        session = self.session
        if event == "rowcast:gap":
            self.crowd.gaps += 1
            session.note("gap", row_id)
        elif data is None or event in ("rowcast:open", "rowcast:ping"):
            session.note("cursor", row_id)
        else:
            self.crowd.deliveries += 1
            check = zlib.crc32(data)
            if self.crowd.checks.setdefault(row_id, check) != check:
                session.faults.append(f"row {row_id} came with other data than elsewhere")
            session.note("row", row_id)

    def connection_lost(self, error):
        if not self.closed.done():
            self.closed.set_result(error)


class Crowd:
    def __init__(self, port, count, seed):
        self.port = port
        self.count = count
        self.chance = random.Random(seed)
        self.sessions = []          # all there ever were
        self.current = []           # those of the visitors that are here now
        self.checks = {}            # id: checksum of its data as first received
        self.refused = {}           # status other than 200: how often
        self.deliveries = self.gaps = self.connects = self.online = 0
        self.staying = asyncio.Event()  # set: nobody leaves any more
        self.leaving = asyncio.Event()  # set: everybody leaves, for good
        self.tasks = []

    def new_session(self, patterns=None):
        chance = self.chance
        if patterns is None:
            patterns = sorted({f"c{chance.randrange(CHANNELS)}" for _ in range(chance.randint(1, 3))}) \
                if chance.random() < 0.9 else ["c1*"]
        session = Session(patterns, f"u{chance.randrange(USERS)}")
        self.sessions.append(session)
        return session

    def start(self):
        self.tasks = [asyncio.create_task(self.visitor()) for _ in range(self.count)]
        self.tasks.append(asyncio.create_task(self.sleeper()))

    async def connect(self, session):
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(
            lambda: Stream(self, session), "127.0.0.1", self.port)
        self.connects += 1
        return stream

    async def wait(self, stream, seconds):
        """Until the stream is closed, the time is over, or everybody leaves."""
        leaving = asyncio.create_task(self.leaving.wait())
        await asyncio.wait({stream.closed, leaving}, timeout=seconds,
                           return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()

    async def pause(self, seconds):
        """Offline for so long, less when all are to stay or to leave."""
        waits = {asyncio.create_task(self.staying.wait()), asyncio.create_task(self.leaving.wait())}
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()

    async def visitor(self):
        slot = len(self.current)
        self.current.append(self.new_session())
        await self.pause(self.chance.random() * 5)
        while not self.leaving.is_set():
            if self.chance.random() < FRESH and not self.staying.is_set():
                self.current[slot] = self.new_session()
            try:
                stream = await self.connect(self.current[slot])
            except OSError:
                await asyncio.sleep(RETRY_S * self.chance.random())
                continue
            self.online += 1
            stay = None if self.staying.is_set() else self.chance.expovariate(1 / ONLINE_S)
            await self.wait(stream, stay)
            self.online -= 1
            cut_off = stream.closed.done()
            stream.transport.abort()
            if cut_off:
                await asyncio.sleep(RETRY_S * self.chance.random())
            elif not self.staying.is_set():
                await self.pause(self.chance.expovariate(1 / OFFLINE_S))

    async def sleeper(self):
        """The stuck reader: takes nothing for a while, until it is dropped; then it wakes up,
        reads what the kernel still has, and resumes."""
        session = self.new_session(["c*"])
        self.current.append(session)
        while not self.leaving.is_set():
            try:
                stream = await self.connect(session)
            except OSError:
                await asyncio.sleep(RETRY_S)
                continue
            stream.transport.pause_reading()
            await self.pause(0 if self.staying.is_set() else 45)
            stream.transport.resume_reading()
            await self.wait(stream, None if self.staying.is_set() else 15)
            stream.transport.abort()
            await asyncio.sleep(RETRY_S)

    async def stop(self):
        self.leaving.set()
        await asyncio.gather(*self.tasks)
