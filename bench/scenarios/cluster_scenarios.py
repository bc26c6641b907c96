"""Many machines: what a log in PostgreSQL costs its writers, how fast rows come to three nodes,
what a follower costs PostgreSQL, and what a node that was off for long costs the others.

    bench/run cluster

PostgreSQL of this machine with fsync; three nodes (lighttpd, nginx, Apache) as
tests/follow/oracle.py makes them. Needs the packages of `tools/deps check`."""

import argparse
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

from harness import BUILD, SOURCE, Skipped, wait_until
from scenarios import Figure, Settings, median, scenario

sys.path.insert(0, SOURCE + "/tests/follow")

TABLES = """
CREATE TABLE plain(LIKE notification INCLUDING ALL);
CREATE SEQUENCE plain_id;
ALTER TABLE plain ALTER id SET DEFAULT nextval('plain_id');
CREATE TABLE notifying(LIKE plain INCLUDING ALL);
CREATE FUNCTION wake() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN NOTIFY others; RETURN NULL; END $$;
CREATE TRIGGER wake AFTER INSERT ON notifying FOR EACH STATEMENT EXECUTE FUNCTION wake();
"""


class Cluster:
    """PostgreSQL with rowcast's tables; nodes as they are wanted."""

    def __enter__(self):
        try:
            import oracle
            import psycopg2
        except (ImportError, FileNotFoundError, IndexError) as why:
            raise Skipped(f"{why}: tools/deps check") from why
        self.oracle, self.psycopg2, self.nodes = oracle, psycopg2, []
        self.standby = None
        oracle.args = argparse.Namespace(rowcast=os.path.join(BUILD, "rowcast"))
        self.folder = tempfile.mkdtemp(prefix="rowcast-bench.", dir="/tmp")
        os.chmod(self.folder, 0o755)
        os.makedirs(self.folder + "/pg")
        if oracle.AS_POSTGRES:
            shutil.chown(self.folder + "/pg", "postgres", "postgres")
        self.pg = oracle.Postgres(self.folder + "/pg")
        self.pg.stop()
        with open(self.pg.data + "/postgresql.conf", "a") as conf:
            conf.write("fsync = on\n")
        self.pg.start()
        url = f"postgresql:///postgres?host={self.pg.folder}&user=postgres"
        subprocess.run([oracle.args.rowcast, "follow", "--init", url], check=True,
                       capture_output=True)
        self.pg.psql(TABLES)
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.stop()
        if self.standby:
            self.pg.run("pg_ctl", "-D", self.standby, "-m", "immediate", "-s", "stop")
        self.pg.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def add_nodes(self):
        for kind in ("lighttpd", "nginx", "apache"):
            self.nodes.append(self.oracle.Node(kind, kind, ([], []), f"{self.folder}/{kind}",
                                               self.pg.folder))
            self.nodes[-1].start()
        wait_until(lambda: all(accepts(node.port) for node in self.nodes), "the web servers", 60)

    def standby_port(self):
        """A hot standby of the server, on another port of the same folder."""
        data, port = self.folder + "/pg/standby", "5433"
        self.pg.run("pg_basebackup", "-h", self.pg.folder, "-U", "postgres", "-D", data, "-R",
                    "-c", "fast", "-X", "stream")
        with open(data + "/postgresql.conf", "a") as conf:
            conf.write(f"port = {port}\n")
        self.pg.run("pg_ctl", "-D", data, "-l", self.folder + "/pg/standby.log", "-w", "-s",
                    "start")
        self.standby = data
        return port

    def connect(self):
        db = self.psycopg2.connect(host=self.pg.folder, user="postgres", dbname="postgres")
        db.autocommit = True
        return db

    def commits(self, table, clients, *more):
        """Commits of one row a second, by pgbench."""
        script = self.folder + "/script.sql"
        with open(script, "w") as file:
            file.write(f"INSERT INTO {table}(data) VALUES ('x');\n")
        out = subprocess.run(["pgbench", "-n", "-h", self.pg.folder, "-U", "postgres",
                              "-c", str(clients), "-j", "2",
                              "-T", "3" if Settings.quick else "6", "-f", script, *more,
                              "postgres"],
                             check=True, capture_output=True, text=True).stdout
        return float(next(line for line in out.split("\n") if line.startswith("tps")).split()[2])

    def cpu_s(self):
        """Seconds of processor time of the followers' backends."""
        pids = self.pg.psql("SELECT pid FROM pg_stat_activity "
                            "WHERE application_name = 'rowcast follow'").split()
        return sum(time.clock_gettime_ns((~int(pid) << 3) | 2) for pid in pids) / 1e9


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def highest(node):
    connection = sqlite3.connect(f"file:{node.db}?mode=ro", uri=True, timeout=10)
    found = connection.execute("SELECT max(id) FROM notification").fetchone()[0]
    connection.close()
    return found or 0


def p99(values):
    return sorted(values)[len(values) * 99 // 100]


class Page(threading.Thread):
    """A stream through a node's web server, which notes when each row's data came."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.socket = socket.create_connection(("127.0.0.1", node.port))
        self.socket.sendall(b"GET /events?channel=live HTTP/1.0\r\nHost: x\r\n\r\n")
        self.came, self.is_open = {}, threading.Event()
        self.start()

    def run(self):
        for line in self.socket.makefile("rb"):
            self.is_open.set()
            if line.startswith(b"data: live "):
                self.came[line.decode().split()[2]] = time.monotonic()


def delays_ms(cluster, pages, count, name, pause_s=0.02):
    """From COMMIT to each page, of rows that come at 50 a second at the most."""
    writer, committed = cluster.connect(), {}
    cursor = writer.cursor()
    for number in range(count):
        key = f"{name}-{number}"
        cursor.execute("INSERT INTO notification(channel, data) VALUES ('live', %s)",
                       ("live " + key,))
        committed[key] = time.monotonic()
        time.sleep(pause_s)
    wait_until(lambda: all(len(page.came.keys() & committed.keys()) == count for page in pages),
               "all rows", 60)
    writer.close()
    return [max(0, page.came[key] - at) * 1000 for page in pages for key, at in committed.items()]


# --- figures --------------------------------------------------------------------------------------

def lock_figures(cluster):
    """The ratio is that of pairs; NOTIFY alone shows what of it PostgreSQL's own lock costs."""
    rounds = 3
    for clients, more, kind in ((1, (), ""), (8, (), ""), (32, (), ""),
                                (8, ("-C",), ", a new session for each")):
        tables = {"plain": [], "notifying": [], "notification": []}
        for _ in range(rounds):
            for table, rates in tables.items():
                rates.append(cluster.commits(table, clients, *more))
        pairs = [ours / plain for ours, plain in zip(tables["notification"], tables["plain"])]
        notify = [ours / other for ours, other in zip(tables["notification"], tables["notifying"])]
        yield Figure(f"commits of one row, {clients} clients{kind}", "commits/s",
                     median(tables["notification"]),
                     target="", judged=median(pairs), baseline=median(tables["plain"]),
                     against="a table without trigger",
                     note=f"{median(notify):.2f} of a table whose trigger only says NOTIFY")


def insert_many(cluster, rows):
    """In one transaction."""
    cluster.pg.psql("INSERT INTO notification(data) "
                    f"SELECT repeat('x', 100) FROM generate_series(1, {rows})")


def through_figures(cluster):
    rows = 20_000 if Settings.quick else 100_000
    cluster.pg.psql("TRUNCATE notification")
    cpu = cluster.cpu_s()
    insert_many(cluster, rows)
    began = time.monotonic()
    last = int(cluster.pg.psql("SELECT max(id) FROM notification"))
    wait_until(lambda: all(highest(node) == last for node in cluster.nodes),
               "all rows on all nodes", 300)
    took = time.monotonic() - began
    yield Figure("rows of one transaction through to three nodes", "rows/s", rows / took, target="")
    yield Figure("CPU of PostgreSQL for a row and a follower", "us",
                 (cluster.cpu_s() - cpu) / rows / 3 * 1e6, target="")
    cpu, began = cluster.cpu_s(), time.monotonic()
    time.sleep(5)
    yield Figure("CPU of PostgreSQL for a follower that waits", "ms/s",
                 (cluster.cpu_s() - cpu) / (time.monotonic() - began) / 3 * 1000, target="")


def page_figures(cluster):
    count = 100 if Settings.quick else 500
    pages = [Page(node) for node in cluster.nodes]
    wait_until(lambda: all(page.is_open.is_set() for page in pages), "the streams are open", 30)
    cpu = cluster.cpu_s()
    rest = delays_ms(cluster, pages, count, "rest")
    yield Figure("COMMIT to a page on each node, median", "ms", median(rest), target="")
    yield Figure("COMMIT to a page on each node, p99", "ms", p99(rest), target="")
    yield Figure("CPU of PostgreSQL for a commit of one row and a follower", "us",
                 (cluster.cpu_s() - cpu) / count / 3 * 1e6, target="")
    yield from return_figures(cluster, pages[:2], count, rest)


def return_figures(cluster, pages, count, rest):
    """The third node was off while many rows came."""
    rows = 50_000 if Settings.quick else 500_000
    cluster.nodes[2].kill("follow")
    insert_many(cluster, rows)
    last = int(cluster.pg.psql("SELECT max(id) FROM notification"))
    wait_until(lambda: all(highest(node) >= last for node in cluster.nodes[:2]),
               "the other nodes", 300)
    began = time.monotonic()
    cluster.nodes[2].start_follow()
    meanwhile = delays_ms(cluster, pages, count, "meanwhile")
    was_behind = highest(cluster.nodes[2]) < last
    wait_until(lambda: highest(cluster.nodes[2]) >= last, "the node that was off", 300)
    yield Figure("rows that a node which was off fetches", "rows/s",
                 rows / (time.monotonic() - began), target="")
    behind = "still behind when the last row came" if was_behind else "caught up meanwhile"
    yield Figure(f"beside a node that fetches {rows} rows: COMMIT to a page of the others, median",
                 "ms", median(meanwhile), baseline=median(rest), against="at rest", target="",
                 note=f"p99 {p99(meanwhile):.1f} ms, at rest {p99(rest):.1f}; {behind}")


def standby_figures(cluster):
    """A standby cannot LISTEN: its follower looks once a second."""
    node = cluster.nodes[0]
    node.kill("follow")
    node.url += "&port=" + cluster.standby_port()
    node.start_follow()
    page = Page(node)
    wait_until(page.is_open.is_set, "the stream is open", 30)
    took = delays_ms(cluster, [page], 30 if Settings.quick else 200, "standby", 0.137)
    yield Figure("COMMIT to a page on a node that follows a hot standby, median", "ms",
                 median(took), target="", note=f"p99 {p99(took):.0f} ms")


@scenario("cluster")
def cluster():
    with Cluster() as cluster:
        yield from lock_figures(cluster)
        cluster.add_nodes()
        yield from through_figures(cluster)
        yield from page_figures(cluster)
        yield from standby_figures(cluster)
