# site.bash - what the examples' run scripts share: rowcast built, a folder, a database, a web server.
#
# An example's run script sources it, calls `site_begin NAME "$@"`, puts files into $www, calls one
# of the start functions and `site_wait TEXT`. Ctrl-C ends everything that was started, and
# removes the folder.
#
# shellcheck shell=bash
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=$PATH:/usr/sbin
pids=()
socket_mode=0600 # a program that may connect is believed to be the web server

# Reads --port, makes the folder, builds rowcast unless ROWCAST names it, makes the database.
site_begin() {
	local name=$1
	shift
	port=
	while [[ $# -gt 0 ]]; do
		case $1 in
		--port)
			# A web server takes another port for 0 or 70000.
			[[ ${2:-} =~ ^[1-9][0-9]{0,4}$ && $2 -le 65535 ]] || site_usage "$name"
			port=$2
			shift 2
			;;
		*) site_usage "$name" ;;
		esac
	done
	# Now, not after a build and a framework's migrations.
	[[ -z $port ]] || ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || site_port_is_taken
	[[ -n ${ROWCAST:-} ]] || site_build
	dir=$(mktemp -d "${TMPDIR:-/tmp}/rowcast-$name.XXXXXX")
	trap site_end EXIT
	# A second signal must find the first one's trap gone: it would end the cleaning up.
	trap 'trap "" INT TERM; exit 0' INT TERM
	chmod 755 "$dir"
	www=$dir/www
	db=$dir/$name.db
	mkdir "$www"
	"$ROWCAST" init --db "$db" >/dev/null 2>&1 || "$ROWCAST" init --db "$db"
	cp "$top/web/rowcast.js" "$www/"
	echo "$dir" >"$www/site.txt"
}

site_port_is_taken() {
	echo "port $port is taken; --port takes another one" >&2
	exit 1
}

site_usage() {
	echo "usage: examples/$1/run [--port PORT]" >&2
	exit 2
}

site_build() {
	local build=$top/build-demo
	"$top/tools/deps" demo
	[[ -x $top/configure ]] || (cd "$top" && autoreconf -i)
	[[ ! -f $top/config.status ]] || build=$top
	if [[ ! -f $build/config.status ]]; then
		mkdir -p "$build"
		(cd "$build" && ../configure --quiet)
	fi
	make -s -C "$build" -j"$(nproc)" rowcast
	ROWCAST=$build/rowcast
}

# Debian packages that this example needs beyond those of tools/demo.
site_need() { "$top/tools/deps" --install "$@"; }

site_end() {
	local pid
	trap '' INT TERM # the end can also come without a signal
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	for pid in "${pids[@]}"; do
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$dir"
}

# Starts a command in the background; it ends with the example.
site_spawn() {
	"$@" </dev/null >>"$dir/log" 2>&1 &
	pids+=("$!")
}

site_free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# rowcast as a service of its own on $dir/rowcast.sock, for the same user's web server. More options of
# `rowcast serve` may follow.
site_start_rowcast() {
	site_spawn "$ROWCAST" serve --db "$db" --listen "unix:$dir/rowcast.sock" --listen-mode "$socket_mode" "$@"
	has_rowcast=1
}

# lighttpd on $port (or a free one) with the files in $www and rowcast at /events. Lines for its
# configuration may come as arguments.
site_start_lighttpd() {
	[[ -n ${has_rowcast:-} ]] || site_start_rowcast
	[[ -n $port ]] || port=$(site_free_port)
	sed "s#/run/rowcast/rowcast.sock#$dir/rowcast.sock#" "$top/lighttpd/rowcast.conf" >"$dir/rowcast.conf"
	{
		cat <<-CONF
			# A page of another site whose name was made to lead here (DNS rebinding) gets nothing.
			server.modules += ( "mod_access", "mod_indexfile" )
			\$HTTP["host"] !~ "^(127\.0\.0\.1|localhost)(:[0-9]+)?\$" { url.access-deny = ( "" ) }
			server.document-root = "$www"
			server.bind = "127.0.0.1"
			server.port = $port
			index-file.names = ( "index.html" )
			mimetype.assign = ( ".html" => "text/html; charset=utf-8",
			    ".js" => "text/javascript", ".css" => "text/css" )
			include "$dir/rowcast.conf"
		CONF
		printf '%s\n' "$@"
	} >"$dir/lighttpd.conf"
	site_spawn lighttpd -D -f "$dir/lighttpd.conf"
}

# Whether the pages and rowcast answer, and it is this site: another program may have the port.
site_answers() {
	local url=$1 page
	[[ $(curl -sf -m 5 "${url}site.txt") == "$dir" ]] || return 1
	for page in "${@:2}" '' events/health; do
		curl -sf -m 5 -o /dev/null "$url$page" || return 1
	done
}

# Waits until the site answers, says where and what to do, and stays. site_wait TEXT [PAGE...]: other pages
# that must answer, too.
site_wait() {
	local url=http://127.0.0.1:$port/ pid
	until site_answers "$url" "${@:2}"; do
		for pid in "${pids[@]}"; do
			kill -0 "$pid" 2>/dev/null || {
				cat "$dir/log" >&2
				! grep -qi 'address already in use' "$dir/log" || site_port_is_taken
				exit 1
			}
		done
		sleep 0.05
	done
	printf '\n  Open      %s\n\n%s\n\n  Ctrl-C ends it.\n\n' "$url" "$1"
	wait "${pids[0]}"
}
