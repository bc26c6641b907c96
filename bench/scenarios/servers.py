"""The web servers, with the shipped configurations, and the peers.

As tests/helper.bash does: the shipped file with this folder's paths in place of Debian's, and
around it only what a test site needs (port, descriptors)."""

import os
import re
import shutil
import subprocess
import sys

from harness import HERE, SOURCE, Skipped, accepts, free_port

NCHAN = "/usr/lib/nginx/modules/ngx_nchan_module.so"


def shipped(name, sock):
    with open(os.path.join(SOURCE, name)) as file:
        return re.sub(r"/run/rowcast/rowcast\.sock", sock, file.read())


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


def server(place, name, command, port):
    daemon = place.daemon(name, command, lambda: accepts(("127.0.0.1", port)))
    daemon.port = port
    return daemon


def lighttpd(place, sock, name="lighttpd"):
    if shutil.which("lighttpd") is None:
        raise Skipped("lighttpd is not installed")
    port = free_port()
    write(place.path(name + "-rowcast.conf"), shipped("lighttpd/rowcast.conf", sock))
    conf = write(place.path(name + ".conf"), f"""
server.document-root = "{place.folder}"
server.bind = "127.0.0.1"
server.port = {port}
include "{place.path(name + '-rowcast.conf')}"
""")
    return server(place, name, ["lighttpd", "-D", "-f", conf], port)


def nginx(place, body, name="nginx", modules=""):
    """One worker, as for every server here; body goes into server { }."""
    if shutil.which("nginx") is None:
        raise Skipped("nginx is not installed")
    port = free_port()
    user = "user www-data;" if os.geteuid() == 0 else ""
    temp = "\n".join(f"{kind}_temp_path {place.path(name + '-' + kind)};" for kind in
                     ("client_body", "fastcgi", "proxy", "scgi", "uwsgi"))
    conf = write(place.path(name + ".conf"), f"""
daemon off;
{modules}
{user}
worker_processes 1;
worker_rlimit_nofile 20000;
pid {place.path(name + '.pid')};
error_log stderr;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    {temp}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {place.folder};
        {body}
    }}
}}
""")
    return server(place, name, ["nginx", "-p", place.folder, "-e", "stderr", "-c", conf], port)


def nginx_rowcast(place, sock, name="nginx"):
    return nginx(place, shipped("nginx/rowcast.conf", sock), name)


def nchan(place):
    """One channel, published by POST, read by EventSource; it keeps the last 2,000 messages."""
    if not os.path.exists(NCHAN):
        raise Skipped("libnginx-mod-nchan is not installed")
    return nginx(place, """
        location = /pub { nchan_publisher; nchan_channel_id bench;
                          nchan_message_buffer_length 2000; nchan_message_timeout 10m; }
        location = /sub { nchan_subscriber eventsource; nchan_channel_id bench;
                          nchan_subscriber_first_message newest; }
        location = /all { nchan_subscriber eventsource; nchan_channel_id bench;
                          nchan_subscriber_first_message oldest; }
""", "nchan", f"load_module {NCHAN};")


def nchan_load(place, daemon, path="/sub"):
    return place.load("--http", daemon.port, "--path", path, "--any-opening",
                      "--post", daemon.port, "/pub")


PROXY = """
        location / {{ proxy_pass http://127.0.0.1:{port}; proxy_http_version 1.1;
                     proxy_set_header Connection ""; proxy_buffering off;
                     proxy_read_timeout 1h; }}
"""


def behind_nginx(place, name, command, env):
    port = free_port()
    app = place.daemon(name, command, lambda: accepts(("127.0.0.1", port)),
                       {**env, "PORT": str(port)})
    web = nginx(place, PROXY.format(port=port), name + "-nginx")
    web.behind = app
    return web


def better_sse(place):
    peers = os.path.join(HERE, "peers")
    modules = os.environ.get("BENCH_NODE_MODULES", os.path.join(peers, "node_modules"))
    if shutil.which("node") is None or not os.path.isdir(os.path.join(modules, "better-sse")):
        raise Skipped("better-sse is not installed (npm install in bench/peers)")
    return behind_nginx(place, "better-sse", ["node", os.path.join(peers, "better-sse.cjs")],
                        {"NODE_PATH": modules, "NODE_ENV": "production"})


def python_with(*modules):
    """The Python that has them: Debian's packages are for Debian's own."""
    for python in (sys.executable, "/usr/bin/python3"):
        probe = subprocess.run([python, "-c", "import " + ", ".join(modules)],
                               stderr=subprocess.DEVNULL)
        if probe.returncode == 0:
            return python
    return None


def fastapi(place):
    python = python_with("fastapi", "uvicorn")
    if python is None:
        raise Skipped("FastAPI is not installed (python3-fastapi, uvicorn)")
    return behind_nginx(place, "fastapi", [python, os.path.join(HERE, "peers/fastapi_sse.py")],
                        {})


def app_load(place, web):
    """Readers and POSTs both come through nginx, as they would."""
    return place.load("--http", web.port, "--path", "/sub", "--any-opening",
                      "--post", web.port, "/pub")
