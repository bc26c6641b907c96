# helper.bash - what the end-to-end tests share: a folder for each test, rowcast, the real web
# servers with the configuration files of this repository, and readers of event streams.
#
# Nothing here sleeps in order to let things settle: wait_for polls a condition. Every process
# is a child in a process group of its own, and teardown ends just those. Ports are free ones,
# sockets live in the test's folder, so that test files may run side by side. Works as root (the
# web servers' workers then run as www-data) and as an ordinary user.
#
# A process costs some 10 ms to start, and these functions run thousands of times: what the
# shell can do by itself is done by it, above all in a condition that wait_for asks again and
# again.
#
# shellcheck shell=bash

bats_require_minimum_version 1.5.0

# bats_load_library does the same, with a process for each of sixteen files.
load_libraries() {
	local library file
	for library in bats-support bats-assert; do
		for file in "${BATS_LIB_PATH%%:*}/$library/src"/*.bash; do
			# shellcheck disable=SC1090
			source "$file"
		done
	done
}
load_libraries

# Debian's programs first: tools/deps installs modules for its python3, and the python3 of a
# version manager takes most of a second to start.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
SRC=${BATS_TEST_DIRNAME%/tests}                   # the repository
ROWCAST=${ROWCAST:-$SRC/rowcast}                  # the program under test
CLIENTS=$SRC/tests/clients
FCGI_GET=${ROWCAST%/*}/tests/clients/fcgi_get      # built beside it
[[ -x $FCGI_GET ]] || make -s -C "${ROWCAST%/*}" tests/clients/fcgi_get >&2
for name in "${!ROWCAST_@}"; do                   # options of the program, from outside
	[[ $name == ROWCAST_TEST_* ]] || unset "$name"
done
WAIT=${ROWCAST_TEST_WAIT:-60}                     # seconds until a condition counts as missed
BEAT=0.4                                          # the heartbeat of tests that wait for one

# --- each test ----------------------------------------------------------------------------

setup() { rowcast_setup; }
teardown() { rowcast_teardown; }

# Sets T (the test's folder; not bats' own: www-data must get in, and a socket's path has 108
# bytes), DB, SOCKET. Ends bats' trace for all functions below: a failure is told with the line
# of the case, and each command of a helper takes 0.2 ms less. ROWCAST_TEST_TRACE=1 keeps it.
rowcast_setup() {
	[[ -n ${ROWCAST_TEST_TRACE:-} ]] || set +T
	until T=${TMPDIR:-/tmp}/rowcast.$BASHPID.$SRANDOM && mkdir -m 755 "$T" "$T/bin" "$T/www"; do
		[[ -e $T ]] || return 1
	done
	DB=$T/rowcast.db
	SOCKET=$T/rowcast.sock
	declare -gA GROUP=() READER=()
	SHIPPED_SED=()
	echo "$T" >"$T/www/alive"
}

# Ends what the test started; after a failure shows what the processes had to say.
rowcast_teardown() {
	local pgid file
	for pgid in "${!GROUP[@]}"; do
		kill -TERM -- "-$pgid" 2>/dev/null || true
	done
	for pgid in "${!GROUP[@]}"; do
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
# redirect that too. 7, 8 and 9 are the tests' ends of pipes: while a command holds one, the pipe's
# reader never sees its end.
background() {
	setsid "$@" </dev/null 3>&- 4>&- 7>&- 8>&- 9>&- &
	PID=$!
	GROUP[$PID]=1
}

# Ends one of them and its group. end_group SIGNAL PID
end_group() {
	kill "-$1" -- "-$2" 2>/dev/null || true
	wait_for group_is_gone "$2"
	wait "$2" 2>/dev/null || true
	unset "GROUP[$2]"
}

# Asks for the condition again and again, at first at once. A condition must stay true once it
# is: what holds only for a moment may fall between two looks.
wait_for() {
	local deadline=$((SECONDS + WAIT)) looks=0
	until "$@" >/dev/null 2>&1; do
		if ((SECONDS >= deadline)); then
			echo "not within $WAIT s: $*" >&2
			return 1
		fi
		((++looks > 4)) && pause 0.04 || pause 0.01
	done
}

# sleep without a process: reads from a pipe in which nothing ever is. pause SECONDS
pause() {
	[[ -n ${PAUSE:-} ]] || exec {PAUSE}<> <(:)
	read -rt "$1" -u "$PAUSE" || true
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

# Another process that takes the transaction and holds it until $T/release is there.
# lock_db SQL...: run in one connection; then COMMIT.
lock_db() {
	rm -f "$T/locked" "$T/release"
	cat >"$T/lock.py" <<-'PY'
		import os, sqlite3, sys, time
		db, folder, *statements = sys.argv[1:]
		connection = sqlite3.connect(db, isolation_level=None, timeout=20)
		for statement in statements:
		    connection.execute(statement)
		open(folder + "/locked", "w").close()
		while not os.path.exists(folder + "/release"):
		    time.sleep(0.02)
		connection.execute("COMMIT")
	PY
	background python3 "$T/lock.py" "$DB" "$T" "$@" >"$T/lock.err" 2>&1
	LOCKER=$PID
	wait_for test -e "$T/locked"
}
release_db() {
	touch "$T/release"
	wait_for group_is_gone "$LOCKER"
}

# For a case that must be root: an ordinary user runs it, and it alone, once more with sudo.
needs_root() {
	((EUID != 0)) || return 0
	sudo -n env ROWCAST="$ROWCAST" bats --filter "^${BATS_TEST_DESCRIPTION//[^A-Za-z0-9 ]/.}\$" \
		"$BATS_TEST_FILENAME" || fail 'this case must be root: run it as root, or with sudo'
	BATS_TEST_COMPLETED=1
	exit 0
}

# A TCP port that nobody has just now, on any address. It is below those that the kernel gives to
# connections. Another process may take it before we do: who uses it must be ready to try again.
free_port() {
	local port taken
	taken=$(</proc/net/tcp)$(</proc/net/tcp6)
	while
		port=$((SRANDOM % 20000 + 12000))
		[[ $taken == *":$(printf %04X "$port") "* ]]
	do :; done
	echo "$port"
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

sql() { sqlite3 -batch -cmd '.timeout 10000' "$DB" "$@"; }

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
	wait_for_start "$ROWCAST_PID" is_healthy || rowcast_did_not_start
	note_rest
}
is_healthy() { [[ -S $SOCKET || -n ${FCGI_ADDRESS:-} ]] && fcgi --get /health; }
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
	count_descriptors "$ROWCAST_PID"
	SOCKETS_AT_REST=$SOCKETS FILES_AT_REST=$FILES
}

stop_rowcast() { end_group TERM "$ROWCAST_PID"; }
kill_rowcast() { end_group KILL "$ROWCAST_PID"; }

# A raw FastCGI exchange with $SOCKET. One request: fcgi --get TARGET [NAME=VALUE...], see
# clients/fcgi_get.c. A conversation: fcgi STEP..., see clients/fcgi.py.
fcgi() {
	local client=("$FCGI_GET")
	[[ " $* " == *' --get '* ]] || client=(python3 -SE "$CLIENTS/fcgi.py")
	"${client[@]}" "${FCGI_ADDRESS:-unix:$SOCKET}" "$@"
}

# Open descriptors of a process that are sockets (connections, listening sockets, libuv's own
# pair), and all the others.
sockets_of() { count_descriptors "$1" && echo "$SOCKETS"; }
files_of() { count_descriptors "$1" && echo "$FILES"; }
# Sets SOCKETS and FILES.
count_descriptors() {
	local descriptor
	SOCKETS=0 FILES=0
	for descriptor in "/proc/$1/fd"/*; do
		if [[ -S $descriptor ]]; then
			((++SOCKETS))
		elif [[ -L $descriptor ]]; then
			((++FILES))
		fi
	done
}

streams_are() { count_descriptors "$ROWCAST_PID" && ((SOCKETS - SOCKETS_AT_REST == $1)); }
# A look may find /proc/locks, which rowcast reads once a second.
files_at_rest() { count_descriptors "$ROWCAST_PID" && ((FILES <= FILES_AT_REST)); }

# The end of each test with a daemon: it lives, no sanitizer complained, no descriptor leaked.
assert_healthy() {
	close_all
	kill -0 "$ROWCAST_PID" || fail "rowcast has ended"
	assert_no_report
	wait_for streams_are 0 ||
		fail "streams were not freed: $(ls -l "/proc/$ROWCAST_PID/fd")"
	wait_for files_at_rest ||
		fail "descriptors leaked: $(ls -l "/proc/$ROWCAST_PID/fd")"
	end_group TERM "$ROWCAST_PID"
	assert_no_report # leaks are reported at exit
}
assert_no_report() {
	! grep -E 'Sanitizer|runtime error:|Assertion' "$T"/*.err || fail "a report"
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
		-e "s#/etc/([a-z0-9]*)/rowcast/(login|session)\.conf#$T/\1-\2.conf#" \
		-e "s#/etc/caddy/rowcast-(login|users)#$T/caddy-\1#" \
		"${SHIPPED_SED[@]}" "$SRC/$1"
}
# The files that the shipped one may include. shipped_beside SERVER
shipped_beside() {
	local name
	for name in login session; do
		[[ ! -f $SRC/$1/$name.conf ]] || shipped "$1/$name.conf" >"$T/$1-$name.conf"
	done
}
# Makes `shipped` uncomment the examples in the files: their lines begin with # and no space,
# those of prose with # and a space. with_examples PATTERN keeps to lines that match.
with_examples() { SHIPPED_SED=(-e "/$1/s/^(\t*)#([^ ])/\1\2/"); }
# The line for a login with a password (and what else matches PATTERN), for the users in
# $T/htpasswd. with_login [PATTERN]
with_login() {
	with_examples "(Define RowcastLogin|include .*login\\.conf|http-request auth|import .*login|Htpasswd${1:+|$1})"
}
# What ROWCAST_CHANNELS is in the configurations. H2O hands none on: there it is in the environment of
# rowcast, which starts later, or anew. with_bound [PATTERN OF OTHER EXAMPLES]
with_bound() {
	with_examples "(ROWCAST_CHANNELS${1:+|$1})"
	[[ ${SERVER:-} == h2o ]] || return 0
	export ROWCAST_CHANNELS='public news.*'
}
# Somebody who may log in, before the server starts: for all of them. make_user NAME PASSWORD
make_user() {
	local hash
	hash=$(openssl passwd -6 "$2")
	[[ ${SERVER:-} != h2o ]] || hash="{SHA}$(printf %s "$2" | openssl sha1 -binary | base64)"
	printf '%s:%s\n' "$1" "$hash" >>"$T/htpasswd"
	printf '\tuser %s password %s\n' "$1" "$hash" >>"$T/haproxy-users"
	[[ ${SERVER:-} != caddy ]] ||
		printf '%s %s\n' "$1" "$(caddy hash-password --plaintext "$2" | base64 -w 0)" >>"$T/caddy-users"
	chmod 644 "$T"/*-users "$T/htpasswd" 2>/dev/null || true
}
# The line that opens status and metrics to this machine. with_admin
with_admin() {
	with_examples '(remote_addr ~|SetEnvIfExpr|src 127|^\t*#(127\.0\.0\.1|::1) 1)'
	SHIPPED_SED+=(-e 's#^(var.rowcast_admins = ).*#\1"^(127\\.0\\.0\\.1|::1)$"#')
}

# Each: start_SERVER [FILE], FILE being the name of the shipped configuration without .conf.
# EXTRA_CONF, if set, is added after it. Sets SERVER_PID and PORT.
start_lighttpd() { start_server lighttpd_main "$@"; }
start_nginx() { start_server nginx_main "$@"; }
start_apache() { start_server apache_main "$@"; }
start_haproxy() { start_server haproxy_main "$@"; }
start_caddy() { start_server caddy_main "$@"; }
start_h2o() { start_server h2o_main "$@"; }
stop_server() { end_group TERM "$SERVER_PID"; }
kill_server() { end_group KILL "$SERVER_PID"; }

start_server() {
	local main=$1 conf=${2:-rowcast}
	for _ in 1 2 3 4 5; do
		PORT=${FIXED_PORT:-$(free_port)}
		"$main" "$conf"
		[[ $conf != *-* || -d $T/real ]] || make_program
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
# Ours, and not another server on that port.
server_answers() {
	local connection line=
	exec {connection}<>"/dev/tcp/127.0.0.1/$PORT" || return 1
	printf 'GET /alive HTTP/1.0\r\n\r\n' >&"$connection"
	while read -rt 5 -u "$connection" line && [[ $line != "$T" ]]; do :; done
	exec {connection}>&-
	[[ $line == "$T" ]]
}

lighttpd_main() {
	shipped "lighttpd/$1.conf" >"$T/$1.conf"
	shipped_beside lighttpd
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
	shipped_beside nginx
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

haproxy_main() {
	local user=
	[[ $EUID -ne 0 ]] || user=$'user www-data\ngroup www-data'
	touch "$T/haproxy-users"
	shipped "haproxy/$1.cfg" | sed "/^userlist/r $T/haproxy-users" >"$T/$1.cfg"
	cat >"$T/haproxy.cfg" <<-CONF
		global
			maxconn 2000
			$user
		defaults
			mode http
			timeout connect 5s
			timeout client 60s
			timeout server 60s
		frontend site
			bind 127.0.0.1:$PORT
			http-request return status 200 content-type text/plain string "$T" if { path /alive }
			http-request return status 404 content-type text/html string "<html>" \
				unless { path /events } || { path_beg /events/ }
			use_backend rowcast if { path /events } || { path_beg /events/ }
			${EXTRA_CONF:-}
	CONF
	SERVER_COMMAND=(haproxy -db -f "$T/haproxy.cfg" -f "$T/$1.cfg")
}

caddy_main() {
	touch "$T/caddy-users"
	shipped caddy/rowcast-login >"$T/caddy-login"
	shipped caddy/Caddyfile >"$T/rowcast.caddy"
	cat >"$T/Caddyfile" <<-CONF
		{
			admin off
			auto_https off
			log {
				level ERROR
			}
		}
		http://:$PORT {
			bind 127.0.0.1
			respond /alive "$T"
			import $T/rowcast.caddy
			${EXTRA_CONF:-}
			respond "<html>" 404
		}
	CONF
	SERVER_COMMAND=(env HOME="$T" caddy run --adapter caddyfile --config "$T/Caddyfile")
}

h2o_main() {
	local user=
	[[ $EUID -ne 0 ]] || user='user: www-data'
	shipped "h2o/$1.conf" >"$T/$1.conf"
	cat >"$T/h2o.conf" <<-CONF
		$user
		error-log: /dev/stderr
		num-threads: 1
		listen:
		  host: 127.0.0.1
		  port: $PORT
		hosts:
		  default:
		    paths:
		      /events: !file $T/$1.conf
		      /:
		        file.dir: $T/www
		${EXTRA_CONF:-}
	CONF
	SERVER_COMMAND=(h2o -m worker -c "$T/h2o.conf")
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
is_open() {
	local line seen=
	while read -r line; do
		[[ $line != 'event: rowcast:open' ]] || seen=1
		[[ -n $line || -z $seen ]] || return 0
	done <"$T/$1.out"
	return 1
}

# The same without a web server, over FastCGI. The first parameter is what follows the mount
# point ('' or ?query). open_direct NAME [TARGET [NAME=VALUE...]], listen_direct likewise
open_direct() {
	local name=$1 target=${2:-}
	shift $(($# > 1 ? 2 : 1))
	background "$FCGI_GET" "${FCGI_ADDRESS:-unix:$SOCKET}" --seconds 240 \
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
events() { read_events "$1" 'print id "|" event "|" data'; }
# Only rows: not rowcast: events.
row_events() { read_events "$1" 'if (event !~ /^rowcast:/) print id "|" event "|" data'; }
data_of() { read_events "$1" 'if (event !~ /^rowcast:/) print data'; }
ids_of() { read_events "$1" 'if (event !~ /^rowcast:/) print id'; }
# Runs statements of awk for each event. read_events NAME STATEMENTS
read_events() {
	awk '
		{ line = $0 }
		/^:/ { next }
		/^$/ { if (seen) { if (event == "") event = "message"; '"$2"' }
		       event = data = ""; seen = 0; next }
		{ i = index($0, ":"); field = i ? substr($0, 1, i - 1) : $0
		  value = i ? substr($0, i + 1) : ""; sub(/^ /, "", value) }
		field == "id" { id = value }
		field == "event" { event = value }
		field == "data" { data = seen ? data "\\n" value : value; seen = 1 }
	' "$T/$1.out"
}
# The last id that a browser would send on its return: that of the last complete block.
last_id() { awk '/^id: / { id = $2 } /^$/ { last = id } END { print last }' "$T/$1.out"; }

# The first grep is cheaper than the rest, and most often enough.
has_data() { grep -aqF -e "data: ${2%%\\n*}" "$T/$1.out" && data_of "$1" | grep -aqxF -- "$2"; }
# Waits until the stream has shown the row with this data. expect_data NAME DATA
expect_data() { wait_for has_data "$1" "$2" || fail "stream $1 has not got '$2': $(events "$1")"; }

beats_of() { grep -c '^:$' "$T/$1.out" || true; }
has_beats() { [[ $(beats_of "$1") -ge $2 ]]; }

has_gap() { events "$1" | grep -q '|rowcast:gap|'; }
gap_of() { events "$1" | sed -n 's/^[0-9]*|rowcast:gap|//p'; }

# One header's value, as curl -D or -i wrote it: header_of FILE NAME
header_of() { tr -d '\r' <"$1" | awk -v n="$2" -F': ' 'tolower($1) == tolower(n) { print substr($0, length(n) + 3) }'; }
