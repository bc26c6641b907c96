#!/usr/bin/python3
"""simulate_cluster.py - a million streams on a hundred nodes, on paper: the time from COMMIT to the
last page, and what breaks first.

    bench/simulate_cluster.py [--streams 1000000] [--nodes 100] [--standbys 4] [--seconds 10]

Commits of one row come at random at a rate. Each wakes every follower; a follower has one look at a
time, for which the server's cores take turns; then it writes the rows into its file, and the
responder with its web server gives them to the node's streams. A stage that is busy takes all rows
that have come meanwhile in one go. With standbys the followers look once a second instead.

The costs are measured (bench/RESULTS.md, "Many machines" and the paced scenarios), but for the
transaction of a follower and the disk, and can be changed by options. Prints a table in
Markdown."""

import argparse
import bisect
import heapq
import random

COSTS = {  # seconds of one core
    "look": (770e-6, "PostgreSQL, for a look of a follower"),
    "look-row": (4e-6, "PostgreSQL, for a row and a follower"),
    "write": (400e-6, "a follower's transaction in its file"),
    "write-row": (65e-6, "a row in it"),
    "deliver": (18.5e-6, "responder and web server, for the first row of a batch and a stream"),
    "deliver-row": (0.5e-6, "for each further row of the batch"),
    "commit": (2e-3, "the lock: the UPDATE and a disk's fsync"),
}


class Server:
    """PostgreSQL's cores, which take the looks in turn."""

    def __init__(self, cores):
        self.free = [0.0] * cores
        self.busy = 0.0

    def run(self, now, seconds):
        """Returns when work begins and ends that is asked for now."""
        start = max(now, heapq.heappop(self.free))
        heapq.heappush(self.free, start + seconds)
        self.busy += seconds
        return start, start + seconds


class Node:
    """seen, written and delivered are numbers of rows; a busy stage comes again when it ends."""

    def __init__(self, server):
        self.server = server
        self.seen = self.written = self.delivered = 0
        self.looks = self.delivers = False
        self.deliver_busy = 0.0


class Simulation:
    def __init__(self, settings, rate):
        self.settings, self.rate, self.random = settings, rate, random.Random(1)
        self.servers = [Server(settings.cores) for _ in range(max(1, settings.standbys))]
        self.nodes = [Node(self.servers[i % len(self.servers)]) for i in range(settings.nodes)]
        self.commits, self.waited, self.done, self.events, self.order = [], [], [], [], 0

    def at(self, when, what, *more):
        self.order += 1
        heapq.heappush(self.events, (when, self.order, what, more))

    def cost(self, name):
        return getattr(self.settings, name.replace("-", "_"))

    def make_commits(self):
        """Commits take turns under the lock."""
        asked = free = 0.0
        while asked < self.settings.seconds:
            asked += self.random.expovariate(self.rate)
            free = max(asked, free) + self.cost("commit")
            self.commits.append(free)
            self.waited.append(free - asked)
            self.at(free, self.wake)

    def wake(self, now):
        if self.settings.standbys == 0:
            for node in self.nodes:
                self.look(now, node)

    def tick(self, now, node):
        self.look(now, node)
        if now < self.commits[-1] + 2:
            self.at(now + 1, self.tick, node)

    def look(self, now, node):
        if node.looks:
            return
        start, _ = node.server.run(now, self.cost("look"))
        new = self.committed(start) - node.seen
        _, end = node.server.run(now, new * self.cost("look-row"))
        node.looks = True
        self.at(max(end, start + self.cost("look")), self.write, node, node.seen + new)

    def committed(self, now):
        return bisect.bisect_right(self.commits, now)

    def write(self, now, node, up_to):
        rows, node.seen = up_to - node.seen, up_to
        took = self.cost("write") + rows * self.cost("write-row") if rows else 0
        self.at(now + took, self.wrote, node)

    def wrote(self, now, node):
        node.written, node.looks = node.seen, False
        self.deliver(now, node)
        if self.settings.standbys == 0 and self.committed(now) > node.seen:
            self.look(now, node)

    def deliver(self, now, node):
        rows = node.written - node.delivered
        if node.delivers or rows == 0:
            return
        streams = self.settings.streams / self.settings.nodes
        each = self.cost("deliver") + (rows - 1) * self.cost("deliver-row")
        took = streams * each / self.settings.node_cores
        node.delivers, node.deliver_busy = True, node.deliver_busy + took
        self.at(now + took, self.delivered, node, node.written)

    def delivered(self, now, node, up_to):
        for number in range(node.delivered, up_to):
            self.done[number] = max(self.done[number], now)
        node.delivered, node.delivers = up_to, False
        self.deliver(now, node)

    def run(self):
        self.make_commits()
        self.done = [0.0] * len(self.commits)
        if self.settings.standbys:
            for node in self.nodes:
                self.at(self.random.random(), self.tick, node)
        while self.events:
            now, _, what, more = heapq.heappop(self.events)
            what(now, *more)
        return sorted(done - commit for done, commit in zip(self.done, self.commits))


def line(settings, rate):
    simulation = Simulation(settings, rate)
    took = simulation.run()
    span = simulation.commits[-1]
    looks = max(server.busy for server in simulation.servers) / settings.cores
    load = {"the lock": len(took) * settings.commit / span,
            "PostgreSQL's cores": looks / span,
            "a node's cores": max(node.deliver_busy for node in simulation.nodes) / span}
    first = max(load, key=load.get)
    ms = [1000 * took[len(took) * part // 100] for part in (50, 99)]
    waits = sorted(simulation.waited)
    wait = 1000 * waits[len(waits) * 99 // 100]
    loads = " | ".join(f"{100 * min(value, 1):.0f} %" for value in load.values())
    print(f"| {rate:,} | {wait:,.0f} ms | {ms[0]:,.0f} ms | {ms[1]:,.0f} ms | {loads} | {first} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--standbys", type=int, default=0,
                        help="hot standbys that share the followers")
    parser.add_argument("--cores", type=int, default=8, help="of a PostgreSQL server, for looks")
    parser.add_argument("--node-cores", type=int, default=2,
                        help="of a node: responder and web server")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rates", default="1,10,50,100,300,600")
    for name, (seconds, text) in COSTS.items():
        parser.add_argument("--" + name, type=float, default=seconds, metavar="S",
                            help=f"{text}: {seconds}")
    settings = parser.parse_args()
    print("| commits/s | a writer waits, p99 | to the last page, median | p99 "
          "| the lock | PostgreSQL | a node | busiest |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for rate in settings.rates.split(","):
        line(settings, int(rate))


if __name__ == "__main__":
    main()
