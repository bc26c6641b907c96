"""truth.py - what was written, and whether a reader's record agrees with it.

A trigger copies every committed row into soak_truth, in the same transaction and beyond the reach
of pruning, so that after kills, rollbacks and a replaced database it is known what there was to
deliver. Ids of a later database are above all ids of an earlier one (init starts at the clock's
milliseconds), so the truths of several databases make one list."""

import bisect
import fnmatch
import math
import sqlite3
import zlib

TRIGGER = """
CREATE TRIGGER soak_copy AFTER INSERT ON notification BEGIN
  INSERT INTO soak_truth
  VALUES (new.id, new.channel, new.recipient, new.collapse_key, new.data,
    CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
END;
"""
SCHEMA = "CREATE TABLE soak_truth(id INTEGER PRIMARY KEY, channel, recipient, collapse_key, data, at_ms);" + TRIGGER


def install(path):
    connection = sqlite3.connect(path, timeout=30)
    connection.executescript(SCHEMA)
    connection.close()


def is_whole(path):
    """SQLite's own check of the file: "ok", or what is wrong."""
    connection = sqlite3.connect(path, timeout=30)
    answer = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    return answer


class Truth:
    def __init__(self):
        self.rows = {}      # id: (channel, recipient, collapse key, checksum of the data)
        self.newest = {}    # (channel, recipient, key): (id, when it was inserted), ascending
        self.by_channel = {}

    def load(self, path):
        connection = sqlite3.connect(path, timeout=30)
        rows = connection.execute("SELECT id, channel, recipient, collapse_key, data, at_ms"
                                  " FROM soak_truth ORDER BY id").fetchall()
        connection.close()
        for row_id, channel, recipient, key, data, at_ms in rows:
            if row_id in self.rows:
                continue
            self.rows[row_id] = (channel, recipient, key, zlib.crc32(data.encode()))
            self.by_channel.setdefault(channel, []).append(row_id)
            if key is not None:
                self.newest.setdefault((channel, recipient, key), []).append((row_id, at_ms))

    def ids_for(self, patterns, user):
        """What a reader with this filter is to get, ascending."""
        ids = []
        for channel, channel_ids in self.by_channel.items():
            if any(fnmatch.fnmatchcase(channel, pattern) for pattern in patterns):
                ids += [i for i in channel_ids if self.rows[i][1] in (None, user)]
        return sorted(ids)

    def is_superseded(self, row_id, at_ms):
        """Whether a row that replaces it was there at that time."""
        channel, recipient, key, _ = self.rows[row_id]
        later = self.newest.get((channel, recipient, key), ()) if key is not None else ()
        place = bisect.bisect_left(later, (row_id + 1,))
        return place < len(later) and later[place][1] <= at_ms


def compare(truth, session, tail):
    """The faults in one session's record: a list of sentences. tail: the session was there to the
    end, up to this id; None: it was given up earlier."""
    faults = []
    expected = truth.ids_for(session.patterns, session.user)
    state = {"cursor": None, "last": None}

    def move(to, what, at_ms, told=False):
        """The cursor moves; rows that it passes must have been received, told or replaced by then."""
        cursor = state["cursor"]
        if cursor is not None and not told:
            start = bisect.bisect_right(expected, cursor)
            end = bisect.bisect_left(expected, to) if what == "row" \
                else bisect.bisect_right(expected, to)
            lost = [i for i in expected[start:end] if not truth.is_superseded(i, at_ms)]
            if lost:
                faults.append(f"{len(lost)} rows lost before {what} {to}, the first {lost[0]},"
                              f" cursor {cursor}")
        state["cursor"] = to

    for what, value, at_ms in session.record:
        if what == "row":
            if value not in truth.rows:
                faults.append(f"row {value} was never committed")
                continue
            if state["cursor"] is not None and value <= state["cursor"]:
                faults.append(f"row {value} behind cursor {state['cursor']}: doubled or out of order")
                continue
            place = bisect.bisect_left(expected, value)
            if place == len(expected) or expected[place] != value:
                faults.append(f"row {value} is not for {session.user} on {session.patterns}")
            move(value, "row", at_ms)
        elif what == "cursor":      # an opening block or a heartbeat with an id
            if state["cursor"] is None or value > state["cursor"]:
                move(value, "cursor", at_ms)
        else:                       # a gap: told, so what it passes may be missing
            move(value, "gap", at_ms, told=True)
    if tail is not None and state["cursor"] is not None:
        move(tail, "end", math.inf)
    return faults
