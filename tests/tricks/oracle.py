"""oracle.py - what was promised, and whether it was kept.

The one rule, of a cell at any moment: each row that a writer was told is committed, five seconds
ago or longer,
  - has reached every page that listens, or
  - that page was told of a gap since (doc/PROTOCOL.md, "Gaps"), or
  - health is not ok and the log says what to do.
At the end: `PRAGMA integrity_check` is ok, and no committed row is missing from the file but those
that the trick itself took away (cell.taking). A row that was refused (4xx, 5xx) is not in the
file; nobody gets a row that was never written, or one twice.

cell.py fills the ledger and asks; tricks.py says what a trick takes. Rows are known by their data,
not by their ids, which a restored backup gives a second time."""

import re
import threading
import time

from patience import patient

SECONDS = patient(5.0)  # the promise
LASTS_S = 1.5           # not ok for so long: more than a look's second, so it is a state
REMEDY = re.compile(
    r"`rowcast [a-z]+|(?:[:;.,] |\bor |\band )(?:then )?(?:check|give|mount|restart|remove|run|free|create|repeat|move|put|restore|"
    r"stop|start|raise|use|make|upgrade|end|migrate|set|turn|delete|close|open|save|let|wait|try|leave|reload|"
    r"rename|copy|send|bring|unmount|name)\b", re.IGNORECASE)
# A line of a running program that something is wrong, or of one that refuses to start.
LEVEL = re.compile(r": (?:error|warn): |^rowcast serve: ")


class Row:
    def __init__(self, data, by):
        self.data = data
        self.by = by
        self.begun = time.monotonic()
        self.done = None        # when its writer was told
        self.id = None
        self.gone = None        # when a trick took it or the application deleted it, not earlier

    def __repr__(self):
        return f"{self.data}={self.id}" + ("(gone)" if self.gone is not None else "")


class Ledger:
    """All rows that anybody tried to write."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rows = {}          # data: Row
        self.refused = {}
        self.count = 0

    def begin(self, by):
        with self.lock:
            self.count += 1
            row = Row(f"{by}-{self.count}", by)
            self.rows[row.data] = row
            return row

    def commit(self, row, row_id):
        row.id = row_id
        row.done = time.monotonic()

    def refuse(self, row):
        with self.lock:
            self.refused[row.data] = row

    def committed(self):
        with self.lock:
            return [row for row in self.rows.values() if row.done is not None]

    def take(self, since, began):
        """What was being written since that moment, or had been, is gone by a trick that began then."""
        for row in list(self.rows.values()):
            if row.gone is None and (row.done is None or row.done > since):
                row.gone = began


def was_told(reader, row):
    """A gap that came after the row was begun, and speaks of it: the rows up to an id are passed over; or
    what follows is all that there is now."""
    for when, gap in list(reader.gaps):
        if when > row.begun and row.id <= int(gap["resumed_at"]):
            return True
        if gap["reason"] == "reset" and row.gone is not None and when > row.gone:
            return True
    return False


def unaccounted(reader, rows):
    """The rows that the reader neither got nor was told of."""
    return [row for row in rows if reader.since <= row.begun <= reader.until
            and row.data not in reader.data and row.data not in reader.told
            and not was_told(reader, row)]


def strangers(reader, ledger):
    """What the reader should not have got: a list of sentences."""
    faults = []
    for data, times in list(reader.data.items()):
        if data not in ledger.rows:
            faults.append(f"{reader.name} got {data!r}, which nobody wrote")
        if len(times) > 1 and not any(times[0][0] < when <= times[-1][0] for when, gap in reader.gaps
                                      if gap["reason"] == "reset"):
            faults.append(f"{reader.name} got {data!r} {len(times)} times: {times}")
    return faults


def log_says_what_to_do(text, remedy):
    """The first line of a fault with a remedy in it, and the one that is wanted; or None."""
    for line in text.splitlines():
        if LEVEL.search(line) and REMEDY.search(line) and remedy.search(line):
            return line
    return None


class Verdict:
    """How a wait for the rule ended."""

    def __init__(self, kind, left=None):
        self.kind = kind        # "kept", "told" or "broken"
        self.left = left or {}  # reader's name: rows


def settle(cell, rows, must_tell, must_be_well):
    """Waits until the rule holds of these rows. must_tell: not rows, but that the fault is told.
    must_be_well: to tell is not enough, and health is ok.

    The clock is fair: where this process did not get its turn, neither did the program."""
    spent = 0.0
    unwell = None       # spent seconds when health was first not ok, in a row
    told = look_at = 0.0
    last = time.monotonic()
    while True:
        left = {page.reader.name: missing for page in cell.pages + cell.visitors
                if (missing := unaccounted(page.reader, rows))}
        if not left and not must_tell and (not must_be_well or not cell.is_unwell()):
            return Verdict("kept")
        if spent >= look_at:
            look_at = spent + cell.health_s
            told = cell.is_unwell() and log_says_what_to_do(
                cell.log_text(), cell.trick.remedy)
        unwell = (spent if unwell is None else unwell) if told else None
        if unwell is not None and spent - unwell >= LASTS_S and not must_be_well:
            return Verdict("told", left)
        if spent >= SECONDS and (unwell is None or must_be_well or spent >= SECONDS + LASTS_S):
            return Verdict("broken", left)
        spent += time.monotonic() - last
        last = time.monotonic()
        time.sleep(0.05)
        spent += min(time.monotonic() - last, 0.15)
        last = time.monotonic()


def check_file(cell, rows_there, integrity):
    """What is wrong with the file at the end: a list of sentences. rows_there: (id, data)."""
    faults = []
    if integrity != "ok":
        faults.append(f"integrity_check: {integrity}")
    there = {data: row_id for row_id, data in rows_there}
    missing = [row for row in cell.ledger.committed() if row.data not in there and row.gone is None
               and not is_old(cell, row)]
    if missing:
        faults.append(f"committed, but not in the file: {missing}")
    stored = [row for row in cell.ledger.refused.values() if row.data in there]
    if stored:
        faults.append(f"refused, but in the file: {stored}")
    return faults


def is_old(cell, row):
    """Retention was told to delete it: so many newer ones were written."""
    return cell.keep_rows is not None and \
        sum(other.begun > row.begun for other in cell.ledger.committed()) >= cell.keep_rows
