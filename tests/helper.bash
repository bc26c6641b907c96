# helper.bash - what the end-to-end tests share: a folder for each test, rowcast, the real web
# servers with the configuration files of this repository, and readers of event streams.
#
# Nothing here sleeps in order to let things settle: wait_for polls a condition. Every process
# is a child in a process group of its own, and teardown ends just those. Ports are taken from
# the kernel, sockets live in the test's folder, so that test files may run side by side.
# Works as root (the web servers' workers then run as www-data) and as an ordinary user.
#
# shellcheck shell=bash

bats_require_minimum_version 1.5.0
bats_load_library bats-support
bats_load_library bats-assert

SRC=$(cd "$BATS_TEST_DIRNAME/.." && pwd)          # the repository
ROWCAST=${ROWCAST:-$SRC/rowcast}                  # the program under test
CLIENTS=$SRC/tests/clients
WAIT=${ROWCAST_TEST_WAIT:-30}                     # seconds until a condition counts as missed
BEAT=0.4                                          # the heartbeat of tests that wait for one

# --- each test ----------------------------------------------------------------------------

setup() { rowcast_setup; }
teardown() { rowcast_teardown; }

# Sets T (the test's folder; not bats' own: www-data must get in, and a socket's path has 108
# bytes), DB, SOCKET.
rowcast_setup() {
	T=$(mktemp -d "${TMPDIR:-/tmp}/rowcast.XXXXXX")
	chmod 755 "$T"
	DB=$T/rowcast.db
	SOCKET=$T/rowcast.sock
	GROUPS_STARTED=()
	declare -gA READER=()
	SHIPPED_SED=()
	mkdir "$T/bin" "$T/www"
	echo "$T" >"$T/www/alive"
	make_program
}

# Ends what the test started; after a failure shows what the processes had to say.
rowcast_teardown() {
	local pgid file
	for pgid in "${GROUPS_STARTED[@]}"; do
		kill -TERM -- "-$pgid" 2>/dev/null || true
	done
	for pgid in "${GROUPS_STARTED[@]}"; do
		WAIT=8 wait_for group_is_gone "$pgid" || kill -KILL -- "-$pgid" 2>/dev/null || true
		wait "$pgid" 2>/dev/null || true
	done
	if [[ -z ${BATS_TEST_COMPLETED:-} ]]; then
		for file in "$T"/*.err "$T"/*.log "$T"/*.head; do
			[[ -s $file ]] && echo "--- ${file##*/}" && tail -n 12 "$file"
		done
	fi
	[[ -n ${ROWCAST_TEST_KEEP:-} ]] || rm -rf "$T"
}

group_is_gone() { ! kill -0 -- "-$1" 2>/dev/null; }

# Starts a command in the background as the leader of a process group; PID is then its id. bats
# reads descriptor 3 and waits for all who hold it, and for all who hold a test's stdout:
# redirect that too.
background() {
	setsid "$@" </dev/null 3>&- 4>&- &
	PID=$!
	GROUPS_STARTED+=("$PID")
}

# Ends one of them and its group. end_group SIGNAL PID
end_group() {
	kill "-$1" -- "-$2" 2>/dev/null || true
	wait_for group_is_gone "$2"
	wait "$2" 2>/dev/null || true
}

wait_for() {
	local deadline=$((SECONDS + WAIT))
	until "$@" >/dev/null 2>&1; do
		if ((SECONDS >= deadline)); then
			echo "not within $WAIT s: $*" >&2
			return 1
		fi
		sleep 0.02
	done
}

# Like wait_for, but gives up as soon as the process has ended. wait_for_start PID COMMAND...
wait_for_start() {
	local pid=$1
	shift
	wait_for started_or_gone "$pid" "$@" && "$@" >/dev/null 2>&1
}
started_or_gone() {
	local pid=$1
	shift
	"$@" || ! kill -0 "$pid" 2>/dev/null
}

# A TCP port that is free on both loopback addresses just now. Another process may take it
# before we do: whoever uses it must be ready to try again.
free_port() {
	python3 - <<-'PY'
		import socket
		four = socket.socket(socket.AF_INET)
		four.bind(("127.0.0.1", 0))
		port = four.getsockname()[1]
		try:
		    six = socket.socket(socket.AF_INET6)
		    six.bind(("::1", port))
		except OSError:
		    pass
		print(port)
	PY
}

# --- database -----------------------------------------------------------------------------

# A new database; www-data may use it (SQLite gives -wal and -shm the mode of the file).
init_db() {
	"$ROWCAST" init --db "$DB" "$@" >"$T/init.log" 2>&1 || fail "$(cat "$T/init.log")"
	open_rights
}
open_rights() {
	chmod a+rwx "$T"
	chmod a+rw "$DB"*
}

sql() { sqlite3 -cmd '.timeout 10000' "$DB" "$1"; }

# Inserts a row and prints its id. row DATA [CHANNEL [EVENT]]
row() {
	local event=NULL
	[[ -z ${3:-} ]] || event="'$3'"
	sql "INSERT INTO notification(data, channel, event)
	     VALUES ('$1', '${2:-default}', $event) RETURNING id"
}

# Inserts rows with the data FIRST .. LAST in one transaction. rows FIRST LAST
rows() {
	sql "WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
	     INSERT INTO notification(data) SELECT i FROM n"
}

tail_id() { sql "SELECT seq FROM sqlite_sequence WHERE name = 'notification'"; }

# --- rowcast ------------------------------------------------------------------------------

# What web servers start: the program, with this test's settings in its environment, under its
# two names. make_program [NAME=VALUE...]
# shellcheck disable=SC2119,SC2120
make_program() {
	local name
	mkdir -p "$T/real"
	cp "$ROWCAST" "$T/real/rowcast" 2>/dev/null || return 0
	cp "$ROWCAST" "$T/real/rowcast.cgi"
	for name in rowcast rowcast.cgi; do
		{
			echo '#!/bin/sh'
			printf 'export %q\n' "$@" ASAN_OPTIONS="${ASAN_OPTIONS:-}"
			echo "exec '$T/real/$name' \"\$@\" 2>>'$T/rowcast.err'"
		} >"$T/bin/$name"
		chmod 755 "$T/bin/$name"
	done
	: >>"$T/rowcast.err"
	chmod 666 "$T/rowcast.err"
}

# Runs `rowcast serve` on $SOCKET and returns when it answers; more options may follow. Sets
# ROWCAST_PID.
start_rowcast() {
	spawn_rowcast --listen "unix:$SOCKET" --listen-mode 0666 "$@"
	wait_for_start "$ROWCAST_PID" fcgi --get /health || rowcast_did_not_start
	note_rest
}
# The same without a place to listen at and without waiting.
spawn_rowcast() {
	background "$ROWCAST" serve --db "$DB" --heartbeat "$BEAT" "$@" \
		>>"$T/rowcast.err" 2>&1
	ROWCAST_PID=$PID
}
rowcast_did_not_start() {
	echo "rowcast serve did not start" >&2
	return 1
}
# The descriptors of a rowcast that has nothing to do. The answer to fcgi --get has been read up
# to the close, so that this connection is not among them.
note_rest() {
	SOCKETS_AT_REST=$(sockets_of "$ROWCAST_PID")
	FILES_AT_REST=$(files_of "$ROWCAST_PID")
}

stop_rowcast() { end_group TERM "$ROWCAST_PID"; }
kill_rowcast() { end_group KILL "$ROWCAST_PID"; }

# A raw FastCGI exchange with $SOCKET: see clients/fcgi.py.
fcgi() { python3 "$CLIENTS/fcgi.py" "${FCGI_ADDRESS:-unix:$SOCKET}" "$@"; }

# Open descriptors of a process that are sockets (connections, listening sockets, libuv's own
# pair), and all the others.
sockets_of() { find "/proc/$1/fd" -lname 'socket:*' | wc -l; }
files_of() { find "/proc/$1/fd" -mindepth 1 -not -lname 'socket:*' | wc -l; }

streams_are() { [[ $(($(sockets_of "$ROWCAST_PID") - SOCKETS_AT_REST)) -eq $1 ]]; }

# The end of each test with a daemon: it lives, no sanitizer complained, no descriptor leaked.
assert_healthy() {
	close_all
	kill -0 "$ROWCAST_PID" || fail "rowcast has ended"
	assert_no_report
	wait_for streams_are 0 ||
		fail "streams were not freed: $(ls -l "/proc/$ROWCAST_PID/fd")"
	[[ $(files_of "$ROWCAST_PID") -le $FILES_AT_REST ]] ||
		fail "descriptors leaked: $(ls -l "/proc/$ROWCAST_PID/fd")"
	end_group TERM "$ROWCAST_PID"
	assert_no_report # leaks are reported at exit
}
assert_no_report() {
	local file
	for file in "$T"/*.err; do
		! grep -E 'Sanitizer|runtime error:|Assertion' "$file" || fail "a report in $file"
	done
}

# --- web servers --------------------------------------------------------------------------

# The shipped file with this test's paths in place of Debian's: the only things that differ.
shipped() {
	sed -E -e "s#/run/rowcast/rowcast\.sock#$SOCKET#" \
		-e "s#/run/lighttpd/rowcast\.sock#$SOCKET#" \
		-e "s#/var/lib/rowcast/rowcast\.db#$DB#" \
		-e "s#/usr/local/bin/rowcast#$T/bin/rowcast#" \
		-e "s#/var/log/lighttpd/rowcast\.log#$T/rowcast.err#" \
		-e "s#/etc/[a-z0-9]*/rowcast\.htpasswd#$T/htpasswd#" \
		"${SHIPPED_SED[@]}" "$SRC/$1"
}
# Makes `shipped` uncomment the examples in the files: their lines begin with # and no space,
# those of prose with # and a space. with_examples PATTERN keeps to lines that match.
with_examples() { SHIPPED_SED=(-e "/$1/s/^(\t*)#([^ ])/\1\2/"); }
# The block whose first line begins with #BEGINNING (a regular expression), too. with_block BEGINNING
with_block() { SHIPPED_SED+=(-e "\\|^#$1|,\\%^#(\\}|</)%s/^#//"); }
# The lines for a login with a password (and what else matches PATTERN), for the users in
# $T/htpasswd. with_login [PATTERN]
with_login() { with_examples "(auth_basic|auth\\.|mod_auth|Auth|valid-user|\\\$remote_user${1:+|$1})"; }

# Each: start_SERVER [FILE], FILE being the name of the shipped configuration without .conf.
# EXTRA_CONF, if set, is added after it. Sets SERVER_PID and PORT.
start_lighttpd() { start_server lighttpd_main "$@"; }
start_nginx() { start_server nginx_main "$@"; }
start_apache() { start_server apache_main "$@"; }
stop_server() { end_group TERM "$SERVER_PID"; }
kill_server() { end_group KILL "$SERVER_PID"; }

start_server() {
	local main=$1 conf=${2:-rowcast}
	for _ in 1 2 3 4 5; do
		PORT=${FIXED_PORT:-$(free_port)}
		"$main" "$conf"
		background "${SERVER_COMMAND[@]}" >>"$T/server.err" 2>&1
		SERVER_PID=$PID
		wait_for_start "$SERVER_PID" server_answers && return 0
		end_group KILL "$SERVER_PID"
		# Only a port that somebody else took is a reason to try again.
		grep -qiE 'address already in use' "$T/server.err" || break
		: >"$T/server.err"
	done
	echo "${SERVER_COMMAND[0]} did not start" >&2
	return 1
}
# Ours, and not somebody else's server on that port.
server_answers() { [[ $(curl -s "http://127.0.0.1:$PORT/alive") == "$T" ]]; }

lighttpd_main() {
	shipped "lighttpd/$1.conf" >"$T/$1.conf"
	cat >"$T/lighttpd.conf" <<-CONF
		server.document-root = "$T/www"
		server.bind = "127.0.0.1"
		server.port = $PORT
		include "$T/$1.conf"
		${EXTRA_CONF:-}
	CONF
	SERVER_COMMAND=(lighttpd -D -f "$T/lighttpd.conf")
}

nginx_main() {
	local user=
	[[ $EUID -ne 0 ]] || user="user www-data;"
	shipped "nginx/$1.conf" >"$T/$1.conf"
	cat >"$T/nginx.conf" <<-CONF
		daemon off;
		$user
		worker_processes 1;
		pid $T/nginx.pid;
		error_log stderr;
		events { worker_connections 1024; }
		http {
			access_log off;
			client_body_temp_path $T/nginx-body;
			fastcgi_temp_path $T/nginx-fastcgi;
			proxy_temp_path $T/nginx-proxy;
			scgi_temp_path $T/nginx-scgi;
			uwsgi_temp_path $T/nginx-uwsgi;
			server {
				listen 127.0.0.1:$PORT;
				root $T/www;
				include $T/$1.conf;
				${EXTRA_CONF:-}
			}
		}
	CONF
	SERVER_COMMAND=(nginx -p "$T" -e stderr -c "$T/nginx.conf")
}

apache_main() {
	local module modules=/usr/lib/apache2/modules user=
	[[ $EUID -ne 0 ]] || user=$'User www-data\nGroup www-data'
	shipped "apache/$1.conf" >"$T/$1.conf"
	{
		cat <<-CONF
			ServerRoot $T
			ServerName localhost
			DefaultRuntimeDir $T
			PidFile $T/apache.pid
			Mutex file:$T
			ErrorLog /dev/stderr
			Listen 127.0.0.1:$PORT
			$user
			DocumentRoot $T/www
		CONF
		for module in mpm_event authn_core authz_core authn_file authz_user auth_basic env \
			setenvif filter deflate brotli alias proxy proxy_fcgi cgid; do
			echo "LoadModule ${module}_module $modules/mod_$module.so"
		done
		cat <<-CONF
			ScriptSock $T/cgid.sock
			<Directory />
				Options FollowSymLinks
				Require all denied
			</Directory>
			<Directory $T/www>
				Require all granted
			</Directory>
			Include $T/$1.conf
			${EXTRA_CONF:-}
		CONF
	} >"$T/apache.conf"
	SERVER_COMMAND=(apache2 -D FOREGROUND -f "$T/apache.conf")
}

url() { echo "http://127.0.0.1:$PORT/events${1:-}"; }

# --- readers ------------------------------------------------------------------------------

# Opens a stream in the background: body to $T/NAME.out, header to $T/NAME.head.
# open_stream NAME URL [curl's options]
open_stream() {
	local name=$1 url=$2
	shift 2
	rm -f "$T/$name.out" "$T/$name.head"
	background curl -sN -D "$T/$name.head" -o "$T/$name.out" "$@" "$url" >/dev/null 2>&1
	READER[$name]=$PID
}
close_stream() {
	end_group TERM "${READER[$1]}"
	unset "READER[$1]"
}
close_all() {
	local name
	for name in "${!READER[@]}"; do
		close_stream "$name"
	done
}
stream_ended() { ! kill -0 "${READER[$1]}" 2>/dev/null; }

# The opening block is there. Opens and waits: open_stream's arguments.
listen() {
	open_stream "$@"
	wait_for is_open "$1" || {
		cat "$T/$1.head" "$T/$1.out" >&2
		fail "stream $1 did not open"
	}
}
is_open() { events "$1" | grep -q '^[0-9]*|rowcast:open|'; }

# The same without a web server, over FastCGI. The first parameter is what follows the mount
# point ('' or ?query). open_direct NAME [TARGET [NAME=VALUE...]], listen_direct likewise
open_direct() {
	local name=$1 target=${2:-}
	shift $(($# > 1 ? 2 : 1))
	background python3 "$CLIENTS/fcgi.py" "${FCGI_ADDRESS:-unix:$SOCKET}" --seconds 240 \
		--get "$target" "$@" >"$T/$name.out" 2>&1
	READER[$name]=$PID
}
listen_direct() {
	open_direct "$@"
	wait_for is_open "$1" || fail "stream $1 did not open: $(cat "$T/$1.out")"
}

# Each complete event of a stream as `id|event|data`, a line break in data as \n. The id is the
# last one seen, as in a browser. Read as the HTML standard says (9.2.6), for lines that end in
# LF, which is what rowcast writes.
events() {
	awk '
		{ line = $0 }
		/^:/ { next }
		/^$/ { if (seen) print id "|" (event == "" ? "message" : event) "|" data
		       event = data = ""; seen = 0; next }
		{ i = index($0, ":"); field = i ? substr($0, 1, i - 1) : $0
		  value = i ? substr($0, i + 1) : ""; sub(/^ /, "", value) }
		field == "id" { id = value }
		field == "event" { event = value }
		field == "data" { data = seen ? data "\\n" value : value; seen = 1 }
	' "$T/$1.out"
}
# Only rows: not rowcast: events.
row_events() { events "$1" | grep -av '^[^|]*|rowcast:' || true; }
data_of() { row_events "$1" | cut -d'|' -f3-; }
ids_of() { row_events "$1" | cut -d'|' -f1; }
# The last id that a browser would send on its return: that of the last complete block.
last_id() { awk '/^id: / { id = $2 } /^$/ { last = id } END { print last }' "$T/$1.out"; }

has_data() { data_of "$1" | grep -aqxF -- "$2"; }
# Waits until the stream has shown the row with this data. expect_data NAME DATA
expect_data() { wait_for has_data "$1" "$2" || fail "stream $1 has not got '$2': $(events "$1")"; }

beats_of() { grep -c '^:$' "$T/$1.out" || true; }
has_beats() { [[ $(beats_of "$1") -ge $2 ]]; }

has_gap() { events "$1" | grep -q '|rowcast:gap|'; }
gap_of() { events "$1" | sed -n 's/^[0-9]*|rowcast:gap|//p'; }

# One header's value, as curl -D or -i wrote it: header_of FILE NAME
header_of() { tr -d '\r' <"$1" | awk -v n="$2" -F': ' 'tolower($1) == tolower(n) { print substr($0, length(n) + 3) }'; }
