"""pywebpush as a peer of `rowcast push`: one text to all subscriptions of a file, by threads that
keep their connection each. Prints the seconds."""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests
from py_vapid import Vapid
from pywebpush import webpush

THREADS = 16     # more are slower: Python runs one at a time
with open(sys.argv[1], encoding="utf-8") as file:
    job = json.load(file)
own = threading.local()
key = Vapid.from_string(job["private"])


def send(subscription):
    if not hasattr(own, "session"):
        own.session = requests.Session()
    answer = webpush(subscription, job["text"], vapid_private_key=key, ttl=2419200,
                     vapid_claims={"sub": job["subject"]}, requests_session=own.session)
    if answer.status_code != 201:
        raise SystemExit(f"answered {answer.status_code}")


began = time.monotonic()
with ThreadPoolExecutor(THREADS) as pool:
    list(pool.map(send, job["subscriptions"]))
print(time.monotonic() - began)
