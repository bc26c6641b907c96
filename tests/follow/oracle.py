#!/usr/bin/python3
"""oracle.py - PostgreSQL, three nodes behind lighttpd, nginx and Apache, and everything that befalls them.

    tests/follow/oracle.py --rowcast build/rowcast [--seconds 20] [--clients 60] [--seed N]

Eight writers have transactions that are short, long, rolled back, with savepoints. Clients hop from node
to node at every reconnect. Meanwhile followers, responders, backends and the postmaster are killed with
-9, the network between a follower and PostgreSQL is cut, and rows are deleted at both ends. At the end:
every row that was committed came to every client once, in order, or a gap was told; the ids and data are
the same on all nodes. Exit 1 and what is wrong otherwise."""

import argparse, asyncio, json, os, random, shutil, signal, socket, sqlite3, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PG_BIN = sorted(f'/usr/lib/postgresql/{v}/bin' for v in os.listdir('/usr/lib/postgresql'))[-1]
AS_POSTGRES = ['setpriv', '--reuid', 'postgres', '--regid', 'postgres', '--init-groups'] if os.geteuid() == 0 else []
os.environ['PATH'] = f'/usr/sbin:/usr/bin:/sbin:/bin:{PG_BIN}:' + os.environ['PATH']
os.environ.pop('LISTEN_FDS', None)


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Postgres:
    def __init__(self, folder):
        self.folder, self.data = folder, folder + '/data'
        self.run('initdb', '-D', self.data, '-U', 'postgres', '-A', 'trust', '-N', '-E', 'UTF8', '--locale', 'C')
        with open(self.data + '/postgresql.conf', 'a') as conf:
            conf.write(f"unix_socket_directories = '{folder}'\nlisten_addresses = ''\nshared_buffers = 32MB\nmax_connections = 80\nfsync = off\n")
        self.start()

    def run(self, *command):
        subprocess.run([*AS_POSTGRES, *command], check=True, stdout=subprocess.DEVNULL)

    def start(self):
        self.run('pg_ctl', '-D', self.data, '-l', self.folder + '/log', '-w', '-s', 'start')

    def stop(self):
        self.run('pg_ctl', '-D', self.data, '-m', 'immediate', '-s', 'stop')

    def psql(self, sql, check=True):
        return subprocess.run(['psql', '-h', self.folder, '-U', 'postgres', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-c', sql, 'postgres'],
                              check=check, capture_output=True, text=True).stdout

    def kill_postmaster(self):
        pid = int(open(self.data + '/postmaster.pid').readline())
        os.kill(pid, signal.SIGKILL)
        while True:
            try:
                return self.start()
            except subprocess.CalledProcessError:
                time.sleep(0.2)  # its children are still there

    def kill_backend(self):
        pids = self.psql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()", check=False).split()
        if pids:
            os.kill(int(random.choice(pids)), signal.SIGKILL)


class Cut:
    """A Unix socket before PostgreSQL's, which can be cut: nothing goes through, and nobody is told."""

    def __init__(self, folder, to):
        self.path, self.to, self.open = folder + '/.s.PGSQL.5432', to, asyncio.Event()
        self.open.set()

    async def start(self):
        await asyncio.start_unix_server(self.serve, self.path)

    async def pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                await self.open.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def serve(self, reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_unix_connection(self.to)
        except OSError:
            return writer.close()
        await asyncio.gather(self.pump(reader, up_writer), self.pump(up_reader, writer))


class Node:
    def __init__(self, name, kind, options, folder, host):
        self.name, self.kind, self.folder = name, kind, folder
        os.makedirs(folder + '/www', exist_ok=True)
        os.chmod(folder, 0o777)
        self.db, self.sock, self.port = folder + '/node.db', folder + '/rowcast.sock', free_port()
        self.url = f'postgresql:///postgres?host={host}&user=postgres'
        self.follow_options, self.serve_options = options
        self.log = open(folder + '/log', 'a')
        self.processes = {}

    def spawn(self, name, command):
        self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log,
                                                stderr=self.log, start_new_session=True)

    def start_follow(self):
        self.spawn('follow', [args.rowcast, 'follow', '--from', self.url, '--db', self.db, *self.follow_options])

    def start_serve(self):
        self.spawn('serve', [args.rowcast, 'serve', '--db', self.db, '--listen', f'unix:{self.sock}', '--listen-mode', '0666',
                             '--heartbeat', '1', '--log-level', 'error', *self.serve_options])

    def start(self):
        self.start_follow()
        wait_for(lambda: os.path.exists(self.db) and query(self.db, 'SELECT count(*) FROM rowcast_follow') == [(1,)])
        os.chmod(self.db, 0o666)
        self.start_serve()
        self.spawn('web', getattr(self, self.kind)())

    def shipped(self, path):
        text = open(f'{ROOT}/{path}').read()
        name = self.folder + '/shipped.conf'
        for place in ('/run/rowcast/rowcast.sock', '/run/lighttpd/rowcast.sock'):
            text = text.replace(place, self.sock)
        open(name, 'w').write(text)
        return name

    def write(self, text):
        name = self.folder + '/web.conf'
        open(name, 'w').write(text)
        return name

    def lighttpd(self):
        conf = self.shipped('lighttpd/rowcast.conf')
        return ['lighttpd', '-D', '-f', self.write(f'server.document-root = "{self.folder}/www"\nserver.bind = "127.0.0.1"\n'
                                                   f'server.port = {self.port}\ninclude "{conf}"\n')]

    def nginx(self):
        conf = self.shipped('nginx/rowcast.conf').replace('//', '/')
        text = open(conf).read().replace('include rowcast/', f'include {ROOT}/nginx/').replace('/etc/nginx/rowcast/', f'{ROOT}/nginx/')
        open(conf, 'w').write(text)
        user = 'user root;' if os.geteuid() == 0 else ''
        paths = ''.join(f'{p}_temp_path {self.folder}/{p};' for p in ('fastcgi', 'proxy', 'scgi', 'uwsgi'))
        return ['nginx', '-p', self.folder, '-e', 'stderr', '-c', self.write(
            f'daemon off; {user} worker_processes 1; pid {self.folder}/nginx.pid; error_log stderr;\nevents {{ worker_connections 1024; }}\n'
            f'http {{ access_log off; client_body_temp_path {self.folder}/body; {paths}\n'
            f'server {{ listen 127.0.0.1:{self.port}; root {self.folder}/www; include {conf}; }} }}\n')]

    def apache(self):
        conf = self.shipped('apache/rowcast.conf')
        modules = ''.join(f'LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n' for m in (
            'mpm_event authn_core authz_core authn_file authz_user auth_basic env setenvif filter deflate brotli alias proxy proxy_fcgi cgid').split())
        user = 'User www-data\nGroup www-data\n' if os.geteuid() == 0 else ''
        return ['apache2', '-D', 'FOREGROUND', '-f', self.write(
            f'ServerRoot {self.folder}\nServerName localhost\nDefaultRuntimeDir {self.folder}\nPidFile {self.folder}/apache.pid\n'
            f'Mutex file:{self.folder}\nErrorLog /dev/stderr\nListen 127.0.0.1:{self.port}\n{user}DocumentRoot {self.folder}/www\n{modules}'
            f'ScriptSock {self.folder}/cgid.sock\nMaxRequestWorkers 150\nInclude {conf}\n')]

    def kill(self, name):
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()

    def stop(self):
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def query(db, sql):
    try:
        connection = sqlite3.connect(f'file:{db}?mode=ro', uri=True, timeout=10)
        rows = connection.execute(sql).fetchall()
        connection.close()
        return rows
    except sqlite3.Error:
        return None


def wait_for(condition, seconds=60):
    until = time.time() + seconds
    while not condition():
        if time.time() > until:
            raise SystemExit(f'not within {seconds} s: {condition}')
        time.sleep(0.05)


# --- writers ------------------------------------------------------------------------------

def transaction(number, turn):
    rows = random.choice([1, 1, 1, 3, 20])
    text = f"INSERT INTO notification(channel, data) SELECT 'c{number % 3}', '{number}.{turn}.' || g FROM generate_series(1, {rows}) g;"
    kind = random.random()
    if kind < 0.15:
        return f'BEGIN; {text} SELECT pg_sleep({random.random() * 0.5:.2f}); COMMIT;'
    if kind < 0.25:
        return f'BEGIN; {text} ROLLBACK;'
    if kind < 0.35:
        return f"BEGIN; SAVEPOINT a; {text} ROLLBACK TO a; INSERT INTO notification(data) VALUES ('{number}.{turn}.s'); COMMIT;"
    if kind < 0.40:
        return (f"BEGIN; SAVEPOINT a; {text} SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO a; INSERT INTO notification(data) VALUES ('{number}.{turn}.a'); "
                f"SAVEPOINT b; INSERT INTO notification(data) VALUES ('{number}.{turn}.b'); RELEASE b; COMMIT;")
    if kind < 0.45:
        return f"{text} DELETE FROM notification WHERE id = (SELECT max(id) FROM notification WHERE id > 0) AND {number} = 0;"
    return text


async def writer(pg, number, stop):
    turn = 0
    while not stop.is_set():
        psql = await asyncio.create_subprocess_exec(
            'psql', '-h', pg.folder, '-U', 'postgres', '-XqAt', 'postgres', stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not stop.is_set() and psql.returncode is None:
                turn += 1
                psql.stdin.write((transaction(number, turn) + '\n').encode())
                await psql.stdin.drain()
                if psql.stdin.is_closing():
                    break
                await asyncio.sleep(random.random() * 0.06)
            psql.stdin.close()
            await psql.stdin.wait_closed()
        except OSError:
            pass
        await psql.wait()
        await asyncio.sleep(0.1)


# --- clients ------------------------------------------------------------------------------

class Client:
    def __init__(self, number):
        self.number, self.last, self.events, self.hops = number, None, [], 0

    def take(self, block):
        fields = {}
        for line in block.split('\n'):
            name, _, value = line.partition(': ')
            if name in ('id', 'event', 'data'):
                fields[name] = value
        if 'id' in fields:
            self.last = int(fields['id'])
        if fields.get('event') == 'rowcast:gap':
            self.events.append(('gap', self.last, json.loads(fields['data'])))
        elif fields.get('event') == 'rowcast:open' or 'data' not in fields:
            if not self.events and self.last is not None:
                self.events.append(('start', self.last, None))
        else:
            self.events.append(('row', self.last, fields['data']))

    async def visit(self, node, seconds):
        reader, writer = await asyncio.wait_for(asyncio.open_connection('127.0.0.1', node.port), 5)
        resume = f'Last-Event-ID: {self.last}\r\n' if self.last is not None else ''
        writer.write(f'GET /events HTTP/1.0\r\nHost: x\r\nAccept: text/event-stream\r\n{resume}\r\n'.encode())
        until, text = time.time() + seconds, ''
        try:
            while (left := until - time.time()) > 0:
                data = await asyncio.wait_for(reader.read(65536), left)
                if not data:
                    break
                text += data.decode().replace('\r\n', '\n')
                *blocks, text = text.split('\n\n')
                for block in blocks:
                    self.take(block)
        except asyncio.TimeoutError:
            pass
        writer.close()

    async def live(self, nodes, stop):
        while not stop.is_set():
            try:
                self.hops += 1
                await self.visit(random.choice(nodes), random.random() * 2)
            except (OSError, asyncio.TimeoutError):
                await asyncio.sleep(0.2)

    def faults(self, committed):
        """committed: {id: data} of all that was ever committed."""
        position, told = None, False
        ids = sorted(committed)
        for kind, number, data in self.events:
            if kind != 'row':
                position, told = number, kind == 'gap' or told
                if kind == 'gap':
                    position = None
                continue
            if committed.get(number) != data:
                yield f'client {self.number}: row {number} is {data!r}, committed was {committed.get(number)!r}'
            if position is not None and number <= position:
                yield f'client {self.number}: row {number} after {position}, no gap was told'
            if position is not None:
                missing = [i for i in between(ids, position, number)]
                if missing:
                    yield f'client {self.number}: between {position} and {number} lacks {missing[:5]} of {len(missing)}, no gap was told'
            position = number


def between(ids, low, high):
    import bisect
    return ids[bisect.bisect_right(ids, low):bisect.bisect_left(ids, high)]


# --- everything ---------------------------------------------------------------------------

async def befall(pg, nodes, cut, stop):
    """One thing after another."""
    count = {}
    while not stop.is_set():
        node = random.choice(nodes)
        what = random.choices(['follow', 'serve', 'backend', 'postmaster', 'cut', 'prune'], [4, 4, 1, 1, 2, 2])[0]
        count[what] = count.get(what, 0) + 1
        if what in ('follow', 'serve'):
            node.kill(what)
            await asyncio.sleep(random.random() * 0.5)
            getattr(node, 'start_' + what)()
        elif what == 'backend':
            await asyncio.to_thread(pg.kill_backend)
        elif what == 'postmaster':
            await asyncio.to_thread(pg.kill_postmaster)
        elif what == 'cut':
            cut.open.clear()
            await asyncio.sleep(random.random() * 2)
            cut.open.set()
        else:
            await asyncio.to_thread(pg.psql, "SELECT notification_prune(keep_rows => 1500)", False)
        await asyncio.sleep(random.random() * 0.8)
    return count


async def play(folder):
    os.makedirs(folder + '/pg')
    os.chmod(folder, 0o755)
    if AS_POSTGRES:
        shutil.chown(folder + '/pg', 'postgres', 'postgres')
    pg = Postgres(folder + '/pg')
    nodes = []
    try:
        url = f'postgresql:///postgres?host={pg.folder}&user=postgres'
        subprocess.run([args.rowcast, 'follow', '--init', url], check=True, stdout=subprocess.DEVNULL)
        # All that was ever there, for the judgement.
        pg.psql("CREATE TABLE gone(id bigint, data text); CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN INSERT INTO gone SELECT id, data FROM old WHERE id > 0; RETURN NULL; END $$; "
                "CREATE TRIGGER keep AFTER DELETE ON notification REFERENCING OLD TABLE AS old EXECUTE FUNCTION keep()")
        os.makedirs(folder + '/cut')
        cut = Cut(folder + '/cut', pg.folder + '/.s.PGSQL.5432')
        await cut.start()
        kinds = [('lighttpd', ([], []), pg.folder), ('nginx', ([], ['--keep-rows', '1000', '--workers', '2']), folder + '/cut'),
                 ('apache', (['--keep-rows', '4000'], []), pg.folder)]
        for i, (kind, options, host) in enumerate(kinds):
            nodes.append(Node(f'node{i + 1}', kind, options, f'{folder}/node{i + 1}', host))
            await asyncio.to_thread(nodes[-1].start)
        clients = [Client(i) for i in range(args.clients)]
        stop, quiet = asyncio.Event(), asyncio.Event()
        writers = [asyncio.create_task(writer(pg, i, quiet)) for i in range(8)]
        readers = [asyncio.create_task(client.live(nodes, stop)) for client in clients]
        trouble = asyncio.create_task(befall(pg, nodes, cut, quiet))
        await asyncio.sleep(args.seconds)
        quiet.set()
        count = await trouble
        await asyncio.gather(*writers)
        return await judge(pg, nodes, clients, readers, stop, count)
    finally:
        for node in nodes:
            node.stop()
        pg.stop()


async def judge(pg, nodes, clients, readers, stop, count):
    def committed():
        rows = pg.psql("SELECT json_object_agg(id, data) FROM (SELECT id, data FROM notification UNION ALL SELECT id, data FROM gone) x").strip()
        return {int(i): d for i, d in json.loads(rows).items()} if rows else {}

    pg.psql("INSERT INTO notification(data) VALUES ('last')")
    everything = committed()
    last = max(everything)
    wait = time.time() + 60
    while time.time() < wait and not all(query(n.db, 'SELECT max(id) FROM notification') == [(last,)] for n in nodes):
        await asyncio.sleep(0.2)
    while time.time() < wait and not all(c.last == last for c in clients):
        await asyncio.sleep(0.2)
    stop.set()
    await asyncio.gather(*readers)
    faults = [f'client {c.number} ends at {c.last}, not at {last}' for c in clients if c.last != last]
    faults += [fault for c in clients for fault in c.faults(everything)]
    log = {int(i): d for i, d in json.loads(pg.psql("SELECT json_object_agg(id, data) FROM notification")).items()}
    if any(i <= 0 for i in log):
        faults.append('a committed row has no id')
    for node in nodes:
        rows = dict(query(node.db, 'SELECT id, data FROM notification'))
        # A node that keeps fewer rows has the newest of them.
        floor = min(rows, default=0) if '--keep-rows' in node.serve_options else 0
        wanted = {i: d for i, d in log.items() if i >= floor}
        if rows != wanted:
            faults.append(f'{node.name}: {len(rows)} rows, wanted {len(wanted)}: {sorted(set(rows.items()) ^ set(wanted.items()))[:5]}')
        for line in open(node.folder + '/log'):
            if 'left out' in line or 'Sanitizer' in line or 'runtime error' in line:
                faults.append(f'{node.name}: {line.strip()}')
    gaps = sum(kind == 'gap' for c in clients for kind, *_ in c.events)
    resets = sum(kind == 'gap' and data['reason'] == 'reset' for c in clients for kind, _, data in c.events)
    if resets:
        faults.append(f'{resets} resets were told, and nothing was lost')
    got = sum(kind == 'row' for c in clients for kind, *_ in c.events)
    print(f'{len(everything)} rows committed, {got} given to {len(clients)} clients in {sum(c.hops for c in clients)} visits, {gaps} gaps told, {count}')
    for fault in faults[:20]:
        print(fault)
    return 1 if faults else 0


args = None


def main():
    global args
    parser = argparse.ArgumentParser()
    parser.add_argument('--rowcast', required=True)
    parser.add_argument('--seconds', type=float, default=20)
    parser.add_argument('--clients', type=int, default=60)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('--keep', action='store_true')
    args = parser.parse_args()
    args.rowcast = os.path.abspath(args.rowcast)
    random.seed(args.seed)
    print(f'seed {args.seed}')
    where = tempfile.mkdtemp(prefix='rowcast-oracle.', dir='/tmp')
    try:
        sys.exit(asyncio.run(play(where)))
    finally:
        if not args.keep:
            shutil.rmtree(where, ignore_errors=True)


if __name__ == '__main__':
    main()
