"""A long job with a progress bar: Flask starts it, its steps are rows, the page moves the bar.

Each step has the same collapse_key, so that a page that comes back late gets only the newest step.
Only the visitor who started a job may see it: its rows have a recipient, and the page gets
a ticket that makes it this recipient. rowcast refuses a stream without a ticket (--require-ticket)."""

import base64
import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import threading
import time

from flask import Flask, jsonify, render_template

DB = os.environ["JOBS_DB"]
KEY = open(os.environ["JOBS_KEY"], "rb").read().strip()     # rowcast has the same file
TICKET_S = 3600
STEPS = int(os.environ.get("JOBS_STEPS", "40"))
STEP_S = float(os.environ.get("JOBS_STEP_S", "0.1"))

app = Flask(__name__, template_folder=".")


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def ticket(user):
    """A JSON Web Token, HS256: the user, the channels and the end."""
    claims = {"sub": user, "channels": ["jobs"], "exp": int(time.time()) + TICKET_S}
    signed = b".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims))
    return (signed + b"." + base64url(hmac.digest(KEY, signed, hashlib.sha256))).decode()


def notify(db, user, event, data):
    db.execute("INSERT INTO notification(channel, recipient, event, data, collapse_key)"
               " VALUES ('jobs', ?, ?, ?, ?)", (user, event, json.dumps(data), event))
    db.commit()


def work(user):
    db = sqlite3.connect(DB, timeout=10)
    for step in range(1, STEPS + 1):
        time.sleep(STEP_S)      # the work
        notify(db, user, "progress", {"done": step, "of": STEPS})
    notify(db, user, "finished", {"result": sum(range(STEPS + 1))})
    db.close()


@app.get("/")
def page():
    return render_template("index.html")


@app.post("/jobs")
def start():
    user = "job." + secrets.token_urlsafe(12)   # with a login: the user's name
    threading.Thread(target=work, args=(user,), daemon=True).start()
    return jsonify(ticket=ticket(user)), 202
