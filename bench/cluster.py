#!/usr/bin/python3
"""cluster.py - what a log in PostgreSQL costs, as ratios on this machine.

    bench/cluster.py --rowcast build/rowcast [--seconds 5]

The lock: pgbench inserts a row in a transaction, with the trigger that numbers it and with a plain
sequence, at 1, 8 and 32 clients. Rows a second through to three nodes. From COMMIT on PostgreSQL to
the row in a node's file: median and 99th percentile, at 100 rows a second.
Prints a table in Markdown."""

import argparse, os, shutil, signal, sqlite3, statistics, subprocess, sys, tempfile, time

PG_BIN = sorted(f'/usr/lib/postgresql/{v}/bin' for v in os.listdir('/usr/lib/postgresql'))[-1]
AS_POSTGRES = ['setpriv', '--reuid', 'postgres', '--regid', 'postgres',
               '--init-groups'] if os.geteuid() == 0 else []
os.environ['PATH'] += f':{PG_BIN}'

parser = argparse.ArgumentParser()
parser.add_argument('--rowcast', required=True)
parser.add_argument('--seconds', type=int, default=5)
args = parser.parse_args()
args.rowcast = os.path.abspath(args.rowcast)


def psql(sql):
    return subprocess.run(['psql', '-h', pg, '-U', 'postgres', '-XqAt', '-c', sql, 'postgres'],
                          check=True,
                          capture_output=True, text=True).stdout.strip()


def pgbench(sql, clients):
    script = where + '/script.sql'
    open(script, 'w').write(sql)
    out = subprocess.run(['pgbench', '-n', '-h', pg, '-U', 'postgres', '-c', str(clients),
                          '-j', '2',
                          '-T', str(args.seconds), '-f', script, 'postgres'],
                         check=True, capture_output=True, text=True).stdout
    return float(next(line for line in out.split('\n') if line.startswith('tps')).split()[2])


def highest(db):
    connection = sqlite3.connect(f'file:{db}?mode=ro', uri=True)
    found = connection.execute('SELECT max(id) FROM notification').fetchone()[0]
    connection.close()
    return found or 0


def wait_until(condition):
    until = time.time() + 120
    while not condition():
        assert time.time() < until, 'it takes too long'
        time.sleep(0.0005)


def cpu_of(name):
    """Seconds of processor time of the backends with that name."""
    pids = psql(f"SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'").split()
    ticks = 0
    for pid in pids:
        fields = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf('SC_CLK_TCK'), len(pids)


where = tempfile.mkdtemp(prefix='rowcast-bench.', dir='/tmp')
os.chmod(where, 0o755)
pg = where + '/pg'
os.makedirs(pg)
if AS_POSTGRES:
    shutil.chown(pg, 'postgres', 'postgres')
followers = []
try:
    subprocess.run([*AS_POSTGRES, 'initdb', '-D', pg + '/data', '-U', 'postgres', '-A', 'trust'],
                   check=True, stdout=subprocess.DEVNULL)
    open(pg + '/data/postgresql.conf', 'a').write(
        f"unix_socket_directories = '{pg}'\nlisten_addresses = ''\nmax_connections = 80\n")
    subprocess.run([*AS_POSTGRES, 'pg_ctl', '-D', pg + '/data', '-l', pg + '/log', '-w', '-s',
                    'start'],
                   check=True)
    url = f'postgresql:///postgres?host={pg}&user=postgres'
    subprocess.run([args.rowcast, 'follow', '--init', url], check=True, stdout=subprocess.DEVNULL)
    psql('CREATE TABLE plain(LIKE notification INCLUDING ALL); CREATE SEQUENCE plain_id; '
         "ALTER TABLE plain ALTER id SET DEFAULT nextval('plain_id')")
    print('| clients | plain table, commits/s | notification, commits/s | ratio |')
    print('| --- | --- | --- | --- |')
    for clients in (1, 8, 32):  # each new session compiles its functions first
        plain = pgbench("INSERT INTO plain(data) VALUES ('x');", clients)
        ours = pgbench("INSERT INTO notification(data) VALUES ('x');", clients)
        print(f'| {clients} | {plain:.0f} | {ours:.0f} | {ours / plain:.2f} |', flush=True)
    psql('TRUNCATE notification')
    files = [f'{where}/node{i}.db' for i in range(3)]
    for db in files:
        followers.append(subprocess.Popen([args.rowcast, 'follow', '--from', url, '--db', db],
                                          stderr=subprocess.DEVNULL))
    wait_until(lambda: all(os.path.exists(db) for db in files))
    time.sleep(2)
    began, cpu = time.time(), cpu_of('rowcast follow')
    psql("INSERT INTO notification(data) SELECT repeat('x', 200) FROM generate_series(1, 50000)")
    last = int(psql('SELECT max(id) FROM notification'))
    inserted = time.time()
    wait_until(lambda: all(highest(db) == last for db in files))
    ended, cpu_after = time.time(), cpu_of('rowcast follow')
    print(f'\n50,000 rows of one transaction: {50000 / (ended - inserted):.0f} rows/s '
          f'from its COMMIT to all of three nodes; '
          f'{(cpu_after[0] - cpu[0]) / cpu_after[1] / 50 * 1000:.0f} ms of PostgreSQL '
          f'for each node and 1,000 rows')
    delays = []
    writer = subprocess.Popen(['psql', '-h', pg, '-U', 'postgres', '-XqAt', 'postgres'],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    for _ in range(200):
        time.sleep(0.01)
        writer.stdin.write("INSERT INTO notification(data) VALUES ('x'); "
                           "SELECT last_value FROM notification_id;\n")
        last = int(writer.stdout.readline())
        began = time.time()
        wait_until(lambda: all(highest(db) >= last for db in files))
        delays.append((time.time() - began) * 1000)
    writer.stdin.close()
    print(f'From COMMIT to the row in all three files: median {statistics.median(delays):.1f} ms, '
          f'p99 {sorted(delays)[197]:.1f} ms')
finally:
    for follower in followers:
        follower.send_signal(signal.SIGTERM)
        follower.wait()
    subprocess.run([*AS_POSTGRES, 'pg_ctl', '-D', pg + '/data', '-m', 'immediate', '-s', 'stop'])
    shutil.rmtree(where, ignore_errors=True)
