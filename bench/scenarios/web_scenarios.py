"""The scenarios behind web servers: what the web server and the responder use together, against
the trivial responder behind the same server, with the peers beside."""

import servers
from harness import Place, Skipped
from scenarios import Figure, Probe, Settings, each_ns, fill, in_turn, median, paired, scenario

WEB = {"lighttpd": servers.lighttpd, "nginx": servers.nginx_rowcast}
PUSH_STREAM_US = {1000: 1.8, 5000: 2.9}  # burst, measured for the issue: Debian has no package


class Sites:
    """Probes of rowcast, the trivial responder and Nchan, each behind a server of its own."""

    def __init__(self, place, server, streams):
        self.streams = streams
        rowcast = place.rowcast(place.new_db())
        trivial = place.trivial()
        self.rowcast = self.behind(place, server, rowcast, "--db", place.path("bench.db"))
        self.trivial = self.behind(place, server, trivial, "--trivial", trivial.control)
        try:
            daemon = servers.nchan(place)
            self.nchan = Probe(servers.nchan_load(place, daemon), daemon)
        except Skipped as why:
            print(f"    {why}")
            self.nchan = None
        for probe in self.probes():
            probe(f"open {streams} {'' if probe is self.nchan else 'channel=bench'}")
            probe("rows 10 1 20000")

    @staticmethod
    def behind(place, server, responder, *to):
        web = WEB[server](place, responder.sock, f"{server}-{responder.name}")
        return Probe(place.load("--http", web.port, *to), responder, web)

    def probes(self):
        return [probe for probe in (self.rowcast, self.trivial, self.nchan) if probe]

    def per_delivery_us(self, answers, rows):
        return [value / 1000 for value in each_ns(answers, rows * self.streams)]


# --- paced ------------------------------------------------------------------------------------

def mean_distribution(answers):
    columns = zip(*[answer["quantiles_us"] for answer in answers])
    return [median(column) for column in columns]


def latency_figures(server, ours, floor, others):
    for key, name in (("median_us", "median"), ("p99_us", "p99")):
        ours_ms = [answer[key] / 1000 for answer in ours]
        floor_ms = [answer[key] / 1000 for answer in floor]
        figure = paired(Figure(
            f"INSERT to receipt, 1000 streams, {server}, {name}", "ms", median(ours_ms),
            target="<= 1.1 x trivial responder", sense="<=", limit=1.1,
            baseline=median(floor_ms), against="trivial responder, same server",
            peers={who: median([a[key] / 1000 for a in some])
                   for who, some in others.items()}), ours_ms, floor_ms)
        if key == "median_us":
            figure.data.update(server=server, distribution={
                who: mean_distribution(some) for who, some in
                {"rowcast": ours, "trivial responder": floor, **others}.items()})
        yield figure


def paced(server):
    rows = 20
    with Place() as place:
        sites = Sites(place, server, 1000)
        for probe in sites.probes():
            probe("delays 1")
        ours, floor, *rest = in_turn(3 if Settings.quick else 7,
                                     *[(probe, f"rows {rows} 1 50000")
                                       for probe in sites.probes()])
        ours_us, floor_us = (sites.per_delivery_us(some, rows) for some in (ours, floor))
        nchan = {"Nchan": median(sites.per_delivery_us(some, rows)) for some in rest}
    yield paired(Figure(f"paced, 50 ms, 1000 streams, {server} and responder", "us/delivery",
                        median(ours_us), target="<= 1.1 x trivial responder", sense="<=",
                        limit=1.1, baseline=median(floor_us),
                        against="trivial responder, same server", peers=nchan),
                 ours_us, floor_us)
    yield from latency_figures(server, ours, floor, {"Nchan": rest[0]} if rest else {})


@scenario("paced-lighttpd")
def paced_lighttpd():
    yield from paced("lighttpd")


@scenario("paced-nginx")
def paced_nginx():
    yield from paced("nginx")


# --- as fast as it can, and in one commit --------------------------------------------------------

def fast(server, streams):
    """500 commits back to back, and 500 rows in one commit; peers get 500 POSTs."""
    rounds = 2 if Settings.quick else 4
    peer_rows = 500 if streams <= 1000 else 100  # they take seconds for what takes us a tenth
    with Place() as place:
        sites = Sites(place, server, streams)
        writer, floor = in_turn(rounds, (sites.rowcast, "rows 500 1 0"),
                                (sites.trivial, f"rows {peer_rows} 1 0"))
        sites.trivial("record 10")
        burst, floor_ten = in_turn(rounds, (sites.rowcast, "rows 500 500 0"),
                                   (sites.trivial, "rows 500 500 0"))
        nchan = in_turn(2, (sites.nchan, f"rows {peer_rows} 1 0"))[0] if sites.nchan else []
        us = {name: median(sites.per_delivery_us(some, rows)) for name, some, rows in (
            ("writer", writer, 500), ("floor", floor, peer_rows), ("burst", burst, 500),
            ("ten", floor_ten, 500), ("nchan", nchan, peer_rows)) if some}
    walls = {name: median([a["wall_us"] for a in some]) / 1000
             for name, some in (("writer", writer), ("burst", burst))}
    return us, walls


def writer_figures(server, streams):
    us, walls = fast(server, streams)
    others = [PUSH_STREAM_US[streams]] + ([us["nchan"]] if "nchan" in us else [])
    yield Figure(f"500 commits as fast as can be, {streams} streams, {server}", "us/delivery",
                 us["writer"], target=f"< Nchan, < {PUSH_STREAM_US[streams]} (aim 0.5)",
                 sense="<=", limit=min(others), baseline=us.get("nchan"), against="Nchan",
                 peers={"push-stream (issue)": PUSH_STREAM_US[streams]},
                 wall=f"{walls['writer']:.0f} ms",
                 note=f"trivial responder {us['floor']:.2f} us")
    if "nchan" in us:
        yield Figure(f"500 rows in one commit, {streams} streams, {server}", "us/delivery",
                     us["burst"], target="<= 0.1 x Nchan", sense="<=", limit=0.1,
                     judged=us["burst"] / us["nchan"], baseline=us["nchan"], against="Nchan",
                     wall=f"{walls['burst']:.0f} ms",
                     note=f"trivial responder, ten events a record, {us['ten']:.2f} us")


@scenario("writer-lighttpd")
def writer_lighttpd():
    for streams in (1000, 5000):
        yield from writer_figures("lighttpd", streams)


@scenario("writer-nginx")
def writer_nginx():
    for streams in (1000, 5000):
        yield from writer_figures("nginx", streams)


# --- replay -----------------------------------------------------------------------------------

def nchan_replay(place, rows, streams):
    daemon = servers.nchan(place)
    load = servers.nchan_load(place, daemon, "/all")
    load(f"rows {rows} 1 0")
    probe = Probe(load, daemon)
    rates = []
    for _ in range(3):
        rates.append(rows * streams / probe(f"replay {streams} {rows} ")["wall_us"])
        load("close")
    return median(rates)


@scenario("replay-many")
def replay_to_many():
    rows, streams = 1000, 100
    with Place() as place:
        db = place.new_db()
        fill(place, db, rows)
        rowcast = place.rowcast(db)
        ours = Sites.behind(place, "lighttpd", rowcast, "--db", db)
        ours.load(f"next {rows}")
        trivial = place.trivial()
        floor = Sites.behind(place, "lighttpd", trivial, "--trivial", trivial.control)
        floor(f"open {streams} x")
        floor("record 100")
        answers, floors = [], []
        for _ in range(5 if Settings.quick else 11):
            answers.append(ours(f"replay {streams} {rows} channel=bench&since=all"))
            ours.load("close")
            floors.append(floor(f"rows {rows} {rows} 0"))
        peers_rates = {}
        try:
            peers_rates["Nchan"] = nchan_replay(place, rows, streams)
        except Skipped as why:
            print(f"    {why}")
    rates, floor_rates = ([rows * streams / answer["wall_us"] for answer in some]
                          for some in (answers, floors))
    yield Figure("replay of 1000 rows to each of 100 streams, lighttpd", "million rows/s",
                 median(rates), target=">= 2", sense=">=", limit=2,
                 baseline=median(floor_rates),
                 against="the same bytes to open streams, trivial responder, 100 events a record",
                 wall=f"{median([a['wall_us'] for a in answers]) / 1000:.0f} ms with connecting",
                 peers=peers_rates,
                 note=f"CPU {median(each_ns(answers, rows * streams)):.0f} ns a row")


# --- peers that are not web servers --------------------------------------------------------------

@scenario("peers")
def peers():
    streams = 1000
    for name, start in (("better-sse behind nginx", servers.better_sse),
                        ("FastAPI behind nginx", servers.fastapi)):
        try:
            with Place() as place:
                web = start(place)
                probe = Probe(servers.app_load(place, web), web, web.behind)
                probe(f"open {streams} ")
                probe("rows 10 1 50000")
                probe("delays 1")
                paced_answers = [probe("rows 20 1 50000") for _ in range(3)]
                probe("delays 0")
                burst = probe("rows 100 1 0")
        except Skipped as why:
            print(f"  {why}")
            continue
        yield Figure(f"{name}, paced, 1000 streams", "us/delivery",
                     median(each_ns(paced_answers, 20 * streams)) / 1000, target="",
                     note=f"median {median([a['median_us'] for a in paced_answers]) / 1000:.1f}"
                          f" ms, p99 {median([a['p99_us'] for a in paced_answers]) / 1000:.1f} ms")
        yield Figure(f"{name}, burst, 1000 streams", "us/delivery",
                     burst["cpu_ns"] / 100 / streams / 1000, target="",
                     note=f"{burst['wall_us'] / 1000:.0f} ms for 100 events")
