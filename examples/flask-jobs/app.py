"""A long job with a progress bar: Flask starts it, its steps are rows, the page moves the bar.

Each step has the same collapse_key, so that a page that comes back late sees the newest step
and not every one before it. The job's rows are for the visitor who started it: the private
part would be `recipient`, with a login; here the channel's name is a random one."""

import json
import os
import secrets
import sqlite3
import threading
import time

from flask import Flask, jsonify, render_template

DB = os.environ["JOBS_DB"]
STEPS = int(os.environ.get("JOBS_STEPS", "40"))
STEP_S = float(os.environ.get("JOBS_STEP_S", "0.1"))

app = Flask(__name__, template_folder=".")


def notify(db, channel, event, data):
    db.execute("INSERT INTO notification(channel, event, data, collapse_key) VALUES (?, ?, ?, ?)",
               (channel, event, json.dumps(data), event))
    db.commit()


def work(channel):
    db = sqlite3.connect(DB, timeout=10)
    for step in range(1, STEPS + 1):
        time.sleep(STEP_S)      # the work
        notify(db, channel, "progress", {"done": step, "of": STEPS})
    notify(db, channel, "finished", {"result": sum(range(STEPS + 1))})
    db.close()


@app.get("/")
def page():
    return render_template("index.html")


@app.post("/jobs")
def start():
    channel = "job." + secrets.token_urlsafe(12)
    threading.Thread(target=work, args=(channel,), daemon=True).start()
    return jsonify(channel=channel), 202
