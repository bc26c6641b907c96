"""commits.py - how often does presence write? Opens and closes streams as fast as it can for some
seconds, then rests, and counts commits by PRAGMA data_version. Fails with more than five in a second
(a little more for the clock), or with any while nothing happens and nobody is there.

usage: commits.py DATABASE SOCKET FCGI_GET
"""
import sqlite3
import subprocess
import sys
import time

database, socket, fcgi_get = sys.argv[1:]
db = sqlite3.connect(database, isolation_level=None)


def count_for(seconds, act):
    """Commits that were seen while act() was called again and again."""
    version = db.execute('PRAGMA data_version').fetchone()[0]
    seen = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        act()
        now = db.execute('PRAGMA data_version').fetchone()[0]
        seen += now != version
        version = now
        time.sleep(0.002)
    return seen


readers = []


def open_and_close():
    if len(readers) >= 8:
        readers.pop(0).kill()
    readers.append(subprocess.Popen(
        [fcgi_get, f'unix:{socket}', '--get', '', f'REMOTE_USER=user{len(readers)}'],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


busy_s = 5
busy = count_for(busy_s, open_and_close)
for reader in readers:
    reader.kill()
    reader.wait()
deadline = time.monotonic() + 60
while db.execute('SELECT count(*) FROM rowcast_presence_worker').fetchone()[0] > 0:
    if time.monotonic() > deadline:
        sys.exit('the lease is not given back')
    time.sleep(0.05)
while count_for(7, lambda: None) > 0:    # those who left are forgotten
    if time.monotonic() > deadline:
        sys.exit('there is no rest')
idle = count_for(4, lambda: None)
print(f'{busy} commits in {busy_s} s, {idle} in 4 s of rest')
if not 1 <= busy <= 5 * busy_s + 2:
    sys.exit(f'{busy} commits in {busy_s} s')
if idle > 0:
    sys.exit(f'{idle} commits while nothing happened')
