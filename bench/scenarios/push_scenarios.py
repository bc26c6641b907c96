"""Web Push: one row to 10,000 subscriptions, beside npm's web-push and Python's pywebpush.

    bench/run push
    BENCH_PUSH=2000 bench/run push        fewer subscriptions

The push service is nginx on this machine, with TLS and HTTP/2. It reads each message before it
answers 201, which a bare `return 201` of nginx does not. All three send the same text to the same
subscriptions, over connections that they keep: rowcast and web-push with at most 200 requests at
once, pywebpush with 16 threads. web-push and pywebpush speak HTTP/1.1. rowcast's time is from the
INSERT to the last cursor in the table, theirs from the first message to the last answer, so what
they need to read subscriptions and to note what was sent is left out."""

import base64
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import time

import servers
from harness import BUILD, HERE, Failed, Place, Skipped, cpu_ns, free_port
from scenarios import Figure, Settings, median, scenario

AT_ONCE = 200
TEXT = json.dumps({"title": "Order 7", "body": "is paid", "url": "/orders/7", "tag": "order-7"})

# The curve P-256 (FIPS 186-4, D.1.2.3): multiples of its base point are keys like any other.
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def points(count):
    """2G, 3G, and so on, as browsers give them."""
    x, y = G
    slope = (3 * x * x - 3) * pow(2 * y, -1, P) % P
    for _ in range(count):
        next_x = (slope * slope - x - G[0]) % P
        x, y = next_x, (slope * (G[0] - next_x) - G[1]) % P
        yield b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
        slope = (y - G[1]) * pow(x - G[0], -1, P) % P


def push_service(place):
    """nginx; its `origin` is the endpoints', its `ca` what a client must trust."""
    key, ca = place.path("tls.key"), place.path("tls.crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", ca,
                    "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost"], check=True, stderr=subprocess.DEVNULL)
    port = free_port()
    service = servers.nginx(place, f"""
        listen unix:{place.path("taken.sock")};
        listen 127.0.0.1:{port} ssl http2 backlog=4096;
        ssl_certificate {ca};
        ssl_certificate_key {key};
        location /push/ {{ proxy_pass http://unix:{place.path("taken.sock")}:/taken/;
                           proxy_http_version 1.1;
                           proxy_set_header Connection ""; }}
        location /taken/ {{ return 201; }}
""", "push-service")
    service.origin, service.ca = f"https://localhost:{port}", ca
    return service


def subscriptions(count, origin):
    return [{"endpoint": f"{origin}/push/{number:06}",
             "keys": {"p256dh": base64url(point), "auth": base64url(os.urandom(16))}}
            for number, point in enumerate(points(count))]


class Ours:
    """A database with the subscriptions, and `rowcast push` at rest on it."""

    def __init__(self, place, service, all_of_them, key):
        self.db = place.new_db("push")
        self.connection = sqlite3.connect(self.db, isolation_level=None, timeout=30)
        self.connection.execute("BEGIN")
        self.connection.executemany(
            "INSERT INTO rowcast_push(endpoint, channels, p256dh, auth, vapid_key, cursor,"
            " created_at) VALUES (?, '[\"orders\"]', ?, ?, ?, 0, 0)",
            [(one["endpoint"], one["keys"]["p256dh"], one["keys"]["auth"], key.public)
             for one in all_of_them])
        self.connection.execute("COMMIT")
        self.connection.execute("INSERT INTO notification(data) VALUES ('not for them')")
        metrics = place.path("push.prom")
        self.daemon = place.daemon("push", [
            os.path.join(BUILD, "rowcast"), "push", "--db", self.db, "--vapid-key-file", key.path,
            "--subject", "mailto:bench@example.org", "--push-host", service.origin,
            "--ca-file", service.ca, "--max-requests", str(AT_ONCE), "--metrics", metrics],
            lambda: os.path.exists(metrics))

    def send(self):
        """Returns the seconds, and the CPU time of the sender in seconds."""
        before, began = cpu_ns([self.daemon.pid]), time.monotonic()
        row = self.connection.execute(
            "INSERT INTO notification(channel, event, data) VALUES ('orders', 'alert', ?)"
            " RETURNING id", (TEXT,)).fetchone()[0]
        behind = "SELECT EXISTS (SELECT 1 FROM rowcast_push WHERE cursor < ? OR failures > 0)"
        while self.connection.execute(behind, (row,)).fetchone()[0]:
            if time.monotonic() - began > 300:
                raise Failed("rows were not sent in 300 s: " + self.daemon.last_words())
            time.sleep(0.05)
        return time.monotonic() - began, (cpu_ns([self.daemon.pid]) - before) / 1e9


class Key:
    def __init__(self, place):
        self.path = place.path("vapid.key")
        made = subprocess.run([os.path.join(BUILD, "rowcast"), "push", "--new-key", self.path],
                              check=True, capture_output=True, text=True)
        self.public = made.stdout.strip()
        text = subprocess.run(["openssl", "pkey", "-in", self.path, "-text", "-noout"], check=True,
                              capture_output=True, text=True).stdout
        digits = text.split("priv:")[1].split("pub:")[0]
        number = int("".join(digits.split()).replace(":", ""), 16)
        self.private = base64url(number.to_bytes(32, "big"))


def peer(place, name, command, env, job):
    """Runs one that prints the seconds that it took; they and its CPU time are returned."""
    path = servers.write(place.path(name + ".json"), json.dumps(job))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, path], env={**os.environ, **env}, capture_output=True,
                          text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise Failed(f"{name}: {done.stderr[-400:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(done.stdout), cpu


def web_push(service):
    peers = os.path.join(HERE, "peers")
    modules = os.environ.get("BENCH_NODE_MODULES", os.path.join(peers, "node_modules"))
    if shutil.which("node") is None or not os.path.isdir(os.path.join(modules, "web-push")):
        raise Skipped("web-push is not installed (npm install in bench/peers)")
    return (["node", os.path.join(peers, "web-push.cjs")],
            {"NODE_PATH": modules, "NODE_ENV": "production", "NODE_EXTRA_CA_CERTS": service.ca})


def pywebpush(service):
    python = servers.python_with("pywebpush")
    if python is None:
        raise Skipped("pywebpush is not installed (pip install pywebpush)")
    return ([python, os.path.join(HERE, "peers/pywebpush_send.py")],
            {"REQUESTS_CA_BUNDLE": service.ca})


def against(place, ours, name, start, job):
    """Turn by turn; each peer has as many subscriptions as it sends in a few seconds."""
    count, subscribers = len(job["subscriptions"]), ours.count
    rates, costs = [], []
    for _ in range(2 if Settings.quick else 3):
        seconds, cpu = ours.send()
        theirs, their_cpu = peer(place, name, *start, job)
        rates.append((subscribers / seconds, count / theirs))
        costs.append((cpu / subscribers * 1e6, their_cpu / count * 1e6))
    figure = Figure(f"messages to {subscribers:,} subscriptions ({count:,} by {name})",
                    "messages/s", median([rate for rate, _ in rates]),
                    target=f"more than {name}", sense=">=", limit=1,
                    judged=median([a / b for a, b in rates]),
                    baseline=median([rate for _, rate in rates]), against=name,
                    note=f"CPU {median([a for a, _ in costs]):.0f} us a message, "
                         f"{name} {median([b for _, b in costs]):.0f} us")
    figure.data["paired"] = True
    return figure


@scenario("push")
def push():
    count = int(os.environ.get("BENCH_PUSH", 10_000))
    with Place() as place:
        service = push_service(place)
        key = Key(place)
        all_of_them = subscriptions(count, service.origin)
        ours = Ours(place, service, all_of_them, key)
        ours.count = count
        ours.send()  # connections are open, tokens signed
        missing = []
        for name, find, share in (("web-push", web_push, 1), ("pywebpush", pywebpush, 5)):
            job = {"subscriptions": all_of_them[:count // share], "text": TEXT, "at_once": AT_ONCE,
                   "public": key.public, "private": key.private,
                   "subject": "mailto:bench@example.org"}
            try:
                start = find(service)
            except Skipped as why:
                missing.append(str(why))
                continue
            yield against(place, ours, name, start, job)
        if missing:
            seconds, cpu = ours.send()
            yield Figure(f"messages to {count:,} subscriptions, by itself", "messages/s",
                         count / seconds, target="", note="; ".join(
                             [f"CPU {cpu / count * 1e6:.0f} us a message", *missing]))
