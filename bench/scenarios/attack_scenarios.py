"""Beside an attacker: how late does a row come to a live stream while a stranger asks for all that
is dear, or reads nothing?

    bench/run beside-an-attacker
    BENCH_ATTACKS=stars,polls bench/run beside-an-attacker      some of tests/clients/attacks.py

One stream on a channel of its own gets a row each 8 ms, at rest and beside each attack, turn by
turn in the same run. The attacks run at a low priority, as attackers have machines of their own; on
a machine with neighbours `nice -n -20 bench/run ...` gives rowcast and the readers the first place.
What they take of the two processors is in the figures all the same. The longest turn of the loop is
in processor time (clients/turns.c), so neither they nor other neighbours are in it: no row waits
longer for rowcast."""

import os
import sqlite3
import struct
import subprocess
import sys

from harness import Failed, Place, SOURCE
from scenarios import Figure, Settings, scenario

ATTACKS_PY = os.path.join(SOURCE, "tests/clients/attacks.py")
ROWS = 150          # in one go: at rest, and beside
GAP_US = 8000
ATTACK_S = 600      # it is ended earlier
BOUND_MS = 20       # of a turn
KEYS = 16
RARE_ROWS = 5_000_000
LARGE_ROWS, LARGE_BYTES = 2000, 200_000

# The table that an attack meets, and the options of serve that it is about.
TABLES = {
    "small": ["patterns-replayed", "patterns-held", "stars", "replays", "throttled",
              "names-churned", "streams-churned", "polls-unread", "streams-unread",
              "answers-unread", "half-requests", "polls", "health", "nothing-there", "refused",
              "tickets-guessed"],
    "large": ["large-rows-passed", "large-rows-by-age", "large-rows-back", "large-rows-taken"],
    "rare": ["rare-last", "rare-last-asked"],
}
FILL = {
    "small": "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 12000)"
             " INSERT INTO notification(channel, data)"
             " SELECT substr(printf('orders.%d.', i) || hex(zeroblob(60)), 1, 119), 'x' FROM n",
    "large": "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n"
             f" WHERE i < {LARGE_ROWS})"
             " INSERT INTO notification(channel, data)"
             f" SELECT 'large', hex(zeroblob({LARGE_BYTES // 2})) FROM n",
    "rare": "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
            " INSERT INTO notification(channel, data) SELECT 'c' || (i % 1000), 'x' FROM n",
}


def fill(db, table):
    rows = RARE_ROWS // 10 if Settings.quick else RARE_ROWS
    connection = sqlite3.connect(db, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(FILL[table].replace("{rows}", str(rows)))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def write_keys(path):
    """As many public keys as a file may have, none of them the attacker's."""
    def private_file(file, flags):
        return os.open(file, flags, 0o600)

    new_key = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"]
    with open(path, "w", opener=private_file, encoding="ascii") as keys:
        for number in range(KEYS):
            private = subprocess.run(new_key, check=True, capture_output=True).stdout
            public = subprocess.run(["openssl", "ec", "-pubout"], input=private, check=True,
                                    capture_output=True).stdout.decode()
            keys.write(f"kid: k{number}\n{public}")


class Attack:
    """A process of its own, from "begun" to the end of the block."""

    def __init__(self, sock, name):
        self.process = subprocess.Popen(
            ["nice", "-n", "39", sys.executable, ATTACKS_PY, "unix:" + sock, name, str(ATTACK_S)],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "ATTACK_ALGORITHM": "ES256"})

    def __enter__(self):
        if self.process.stdout.readline() != "begun\n":
            raise Failed("the attack did not begin")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Turns:
    """The file that clients/turns.c writes: longest turn in ns, turns, those above 5 ms."""

    FORM = "3Q"

    def __init__(self, place):
        self.path, library = place.path("turns"), place.path("turns.so")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library,
                        os.path.join(SOURCE, "bench/clients/turns.c"), "-ldl"], check=True)
        self.env = {"LD_PRELOAD": library, "TURNS_FILE": self.path}

    def forget(self):
        with open(self.path, "r+b") as file:
            file.write(bytes(struct.calcsize(self.FORM)))

    def read(self):
        """Longest in ms, turns, and those above 5 ms."""
        with open(self.path, "rb") as file:
            longest, turns, longer = struct.unpack(self.FORM, file.read())
        return longest / 1e6, turns, longer


def delays_ms(load):
    answer = load(f"rows {ROWS} 1 {GAP_US}")
    return [value / 1000 for value in answer["quantiles_us"]]


def quantile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def measure(load, sock, name, turns):
    rest, beside = [], []
    turns.forget()
    for _ in range(1 if Settings.quick else 3):
        rest += delays_ms(load)
        with Attack(sock, name):
            beside += delays_ms(load)
        load("rows 10 1 20000")     # what it has left behind
    return rest, beside, turns.read()


def figure_of(name, rest, beside, turns):
    longest, count, longer = turns
    quantiles = [(quantile(rest, part), quantile(beside, part)) for part in (0.5, 0.99, 1)]
    (median_rest, median), (p99_rest, p99), (most_rest, most) = quantiles
    figure = Figure(f"beside {name}: a row on another channel, p99", "ms", p99, sense="<=",
                    limit=BOUND_MS, target=f"no turn above {BOUND_MS} ms", judged=longest,
                    baseline=p99_rest, against="at rest",
                    note=f"median {median_rest:.2f} then {median:.2f} ms,"
                         f" max {most_rest:.1f} then {most:.1f} ms;"
                         f" longest turn {longest:.1f} ms, {longer} of {count} above 5 ms")
    figure.data["beside"] = {"attack": name, "median": [median_rest, median],
                             "p99": [p99_rest, p99], "max": [most_rest, most], "turn": longest}
    return figure


@scenario("beside-an-attacker")
def beside_an_attacker():
    wanted = os.environ.get("BENCH_ATTACKS", "").split(",")
    for table, names in TABLES.items():
        names = [name for name in names if wanted == [""] or name in wanted]
        if not names:
            continue
        with Place() as place:
            db, keys, turns = place.new_db(), place.path("keys"), Turns(place)
            fill(db, table)
            write_keys(keys)
            rowcast = place.rowcast(db, "--log-to", place.path("rowcast.txt"), "--log-level",
                                    "info", "--ticket-key-file", keys, env=turns.env)
            load = place.load("--fcgi", rowcast.sock, "--db", db)
            load("size 40")
            load("open 1 channel=bench")
            load("delays 1")
            load("rows 30 1 2000")
            for name in names:
                yield figure_of(name, *measure(load, rowcast.sock, name, turns))
