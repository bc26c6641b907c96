#!/usr/bin/env bats
# doctor.bats - `rowcast doctor`: each fault is made, alone, and found; behind the real web servers
# with the shipped configurations, changed in one place.
#
# shellcheck shell=bash

load helper

# --- helpers --------------------------------------------------------------------------------

# Runs doctor, its findings as JSON to $T/doctor.json, and checks the exit code.
# examine CODE [ARGUMENT...]
examine() {
	local code=$1
	shift
	run --separate-stderr "$ROWCAST" doctor --json --wait 3 "$@"
	printf '%s\n' "$output" >"$T/doctor.json"
	# shellcheck disable=SC2154
	[[ $status -eq $code ]] || fail "exit code $status, not $code: $output $stderr"
	assert_equal "$stderr" ''
	jq -e 'type == "array" and all(has("check") and has("level") and has("seen") and has("remedy"))' \
		"$T/doctor.json" >/dev/null || fail "not an array of findings: $output"
}
# level_of CHECK: of all its findings, by comma; seen_of CHECK; remedy_of CHECK
level_of() { jq -r --arg c "$1" '[.[] | select(.check == $c).level] | join(",")' "$T/doctor.json"; }
seen_of() { jq -r --arg c "$1" '.[] | select(.check == $c).seen' "$T/doctor.json"; }
remedy_of() { jq -r --arg c "$1" '.[] | select(.check == $c).remedy' "$T/doctor.json"; }
# All findings with a level that wants something done, as CHECK=LEVEL in order.
faults() { jq -r '[.[] | select(.level == "warning" or .level == "problem") | .check + "=" + .level] | join(" ")' \
	"$T/doctor.json"; }
assert_faults() { assert_equal "$(faults)" "$*" || { cat "$T/doctor.json" >&2; false; }; }

# begin SERVER [OPTION OF SERVE...]
begin() {
	local server=$1
	shift
	init_db
	start_rowcast "$@"
	"start_$server"
}
no_stream_is_left() { wait_for streams_are 0 || fail 'doctor left a stream open'; }

# The user for whom rights are judged: as root another one than ourselves.
as_reader() { if [[ $EUID -eq 0 ]]; then echo --user www-data; fi; }
reader() { if [[ $EUID -eq 0 ]]; then echo www-data; else id -un; fi; }

# An HTTP answer to everything, byte for byte, from a server of its own. answering TEXT (printf's)
answering() {
	PORT=$(free_port)
	# shellcheck disable=SC2059
	printf "$1" >"$T/answer"
	background socat "TCP-LISTEN:$PORT,bind=127.0.0.1,reuseaddr,fork" \
		"SYSTEM:read line; cat '$T/answer'" 2>>"$T/server.err"
	wait_for connects
}
connects() { (: <"/dev/tcp/127.0.0.1/$PORT"); }

# --- all is well ------------------------------------------------------------------------------

healthy() {
	begin "$1"
	# shellcheck disable=SC2046
	examine 0 --db "$DB" --send-probe doctor $(as_reader) "$(url)"
	assert_faults ''
	assert_equal "$(level_of rights)" ok
	assert_equal "$(level_of journal)" ok
	assert_equal "$(level_of table)" ok
	assert_equal "$(level_of address)" ok
	assert_equal "$(level_of health)" ok
	assert_equal "$(level_of opening)" ok
	assert_equal "$(level_of events)" ok
	assert_equal "$(level_of probe)" ok
	assert_equal "$(level_of compression)" ok
	assert_equal "$(level_of resume)" ok
	# More than one only where the first was late: this machine was busy.
	run sql "SELECT count(*) FROM notification WHERE channel = 'doctor'"
	assert_output --regexp '^[123]$'
}

@test "healthy: nginx as shipped" {
	healthy nginx
	[[ $(seen_of address) == *'server nginx'* ]]
	no_stream_is_left
	assert_healthy
}

@test "healthy: lighttpd as shipped, its configuration too" {
	healthy lighttpd
	[[ $(seen_of address) == *'server lighttpd'* ]]
	examine 0 --lighttpd-config "$T/lighttpd.conf"
	assert_equal "$(level_of spooling)" ok
	[[ $(seen_of connections) == *'8000 open pages'* ]]
	no_stream_is_left
	assert_healthy
}

@test "healthy: Apache as shipped" {
	healthy apache
	[[ $(seen_of address) == *'server Apache'* ]]
	assert_healthy # Apache lets a stream go at the second heartbeat
}

@test "harmless: without --send-probe nothing is written, and no file is made" {
	local before
	init_db
	before=$(sha256sum <"$DB")
	rm -f "$DB-wal" "$DB-shm"
	# shellcheck disable=SC2046
	examine 0 --db "$DB" $(as_reader)
	assert_equal "$(find "$T" -name 'rowcast.db*')" "$DB"
	assert_equal "$(sha256sum <"$DB")" "$before"
	assert_equal "$(level_of process)" note # nobody, or somebody whom only root can see
}

@test "push: subscriptions that fail, and no sender, are found" {
	init_db
	examine 0 --db "$DB"
	assert_equal "$(level_of push)$(level_of sender)" ''
	sql "INSERT INTO rowcast_push(endpoint, channels, p256dh, auth, vapid_key, cursor, created_at,
		failures, last_status, last_error)
		VALUES ('https://push.example/1', '[]', 'x', 'x', 'x', 1, 1, 0, NULL, NULL),
		('https://push.example/2', '[]', 'x', 'x', 'x', 1, 1, 3, 403, '403 of push.example')"
	examine 1 --db "$DB"
	assert_faults 'push=warning sender=problem'
	assert_regex "$(seen_of push)" '^1 of 2 subscriptions to Web Push fail; one with 403'
	assert_regex "$(remedy_of push)" 'vapid-key-file'
	# A sender holds the lock for as long as it runs.
	background flock "$DB-push" sleep 60
	wait_for sender_has_lock
	sql "UPDATE rowcast_push SET failures = 0"
	examine 0 --db "$DB"
	assert_equal "$(level_of push)$(level_of sender)" ok
}
sender_has_lock() { ! flock -n "$DB-push" true; }

@test "output: text has a line for a finding and its remedy below" {
	init_db
	sql 'PRAGMA journal_mode = DELETE' >"$T/mode"
	run -1 "$ROWCAST" doctor --db "$DB"
	assert_line --regexp '^warning  journal: a rollback journal, not WAL'
	assert_line --regexp '^         PRAGMA journal_mode = WAL'
	assert_line --regexp '^ok       table: notification'
}

@test "output: what a stranger sends is escaped" {
	answering 'HTTP/1.1 302 Found\r\nLocation: http://x/\033[31m\303\251\r\nContent-Length: 0\r\n\r\n'
	examine 1 "$(url)"
	[[ $(seen_of address) == *'redirect to http://x/\x1b[31m\xc3\xa9'* ]]
	run "$ROWCAST" doctor --wait 1 "$(url)"
	refute_output --partial $'\033'
}

@test "usage: what to check must be said, and URLs must be URLs" {
	run -2 "$ROWCAST" doctor
	assert_output --partial 'Give --db FILE, the URL'
	run -2 "$ROWCAST" doctor --db x --send-probe a
	assert_output --partial 'needs both'
	for url in 'ftp://localhost/events' 'http://' 'http://a b/' 'file:///etc/passwd'; do
		run -2 "$ROWCAST" doctor "$url"
		assert_output --partial 'is not the URL of the events'
	done
	run -2 "$ROWCAST" doctor --db x --user no-such-user-here
	assert_output --partial 'there is no user'
}

# --- the database -------------------------------------------------------------------------------

@test "rights: the file may not be read" {
	init_db
	chmod 600 "$DB"
	[[ $EUID -eq 0 ]] || chmod 000 "$DB"
	# shellcheck disable=SC2046
	examine 1 --db "$DB" $(as_reader)
	assert_faults rights=problem
	[[ $(seen_of rights) == *"($(reader)) may not read $DB" ]]
	[[ $(remedy_of rights) == 'Give it the right'* ]]
}

@test "rights: -shm may not be read, or not be written" {
	init_db
	start_rowcast
	chmod 000 "$DB-shm"
	# shellcheck disable=SC2046
	examine 1 --db "$DB" $(as_reader)
	[[ $(faults) == 'rights=problem'* ]]
	[[ $(seen_of rights) == *"may not read $DB-shm" ]]
	chmod 444 "$DB-shm"
	# shellcheck disable=SC2046
	examine 1 --db "$DB" $(as_reader)
	assert_faults rights=warning
	[[ $(seen_of rights) == *"may read $DB-shm but not write it"* ]]
	chmod 666 "$DB-shm"
	assert_healthy
}

@test "rights: the folder may not be written, with and without -shm in it" {
	[[ $EUID -ne 0 ]] || chown root "$T"
	init_db
	chmod 555 "$T"
	# shellcheck disable=SC2046
	examine_in_readonly_folder problem $(as_reader)
	[[ $(seen_of rights) == *"may not write the folder $T, where SQLite makes"* ]]
	chmod 755 "$T"
	read_for_long
	chmod 555 "$T"
	# shellcheck disable=SC2046
	examine_in_readonly_folder warning $(as_reader)
	[[ $(seen_of rights) == *"may not write the folder $T: when the last"* ]]
	chmod 755 "$T"
}
# The findings cannot go to that folder. examine_in_readonly_folder LEVEL [ARGUMENT...]
examine_in_readonly_folder() {
	local level=$1
	shift
	run -1 "$ROWCAST" doctor --json --db "$DB" "$@"
	chmod 755 "$T"
	printf '%s\n' "$output" >"$T/doctor.json"
	assert_equal "$(level_of rights)" "$level"
}

@test "rights: as root for the user who serves, unless another is named" {
	needs_root
	init_db
	background setpriv --reuid=www-data --regid=www-data --clear-groups "$ROWCAST" serve \
		--db "$DB" --listen "unix:$SOCKET" >>"$T/rowcast.err" 2>&1
	wait_for fcgi --get /health
	chmod 600 "$DB"
	examine 1 --db "$DB"
	[[ $(seen_of rights) == *'(www-data) may not read'* ]]
	examine 0 --db "$DB" --user root
	[[ $(seen_of rights) == *'judged as root'* ]]
	[[ $(seen_of process) == *'serves it as www-data, not as root'* ]]
}

@test "journal: a rollback journal instead of WAL" {
	init_db
	sql 'PRAGMA journal_mode = DELETE' >"$T/mode"
	# shellcheck disable=SC2046
	examine 1 --db "$DB" $(as_reader)
	assert_faults journal=warning
	[[ $(remedy_of journal) == *'journal_mode = WAL'* ]]
}

# A process that opens a read transaction and keeps it.
read_for_long() {
	background python3 -c "
import sqlite3, time
db = sqlite3.connect('$DB', isolation_level=None)
db.execute('BEGIN')
db.execute('SELECT count(*) FROM notification').fetchall()
open('$T/reading', 'w').close()
time.sleep(600)" >"$T/reader.log" 2>&1
	READER_PID=$PID
	wait_for test -e "$T/reading"
}
many_pages() {
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
	     INSERT INTO notification(data) SELECT hex(randomblob(2000)) FROM n"
}

@test "wal: a reader of long standing is named, and how much waits for it" {
	init_db
	start_rowcast
	read_for_long
	row 1 >"$T/id"
	# shellcheck disable=SC2046
	examine 0 --db "$DB" $(as_reader)
	assert_equal "$(level_of wal)" note
	many_pages
	# shellcheck disable=SC2046
	examine 1 --db "$DB" $(as_reader)
	assert_faults wal=warning
	[[ $(seen_of wal) == "process $READER_PID (python3) "* ]]
	[[ $(seen_of wal) =~ (1[5-9]|[2-9][0-9])[0-9][0-9]' pages wait' ]]
	end_group TERM "$READER_PID"
	row 2 >"$T/id" # its commit brings the checkpoint
	# shellcheck disable=SC2046
	examine 0 --db "$DB" $(as_reader)
	assert_equal "$(level_of wal)" ok
	assert_healthy
}

@test "wal: a reader that came when all was checkpointed holds back too" {
	init_db
	start_rowcast
	sql 'PRAGMA wal_checkpoint(TRUNCATE)' >"$T/ckpt"
	read_for_long
	many_pages
	# shellcheck disable=SC2046
	examine 1 --db "$DB" $(as_reader)
	assert_faults wal=warning
	[[ $(seen_of wal) == "process $READER_PID (python3) "* ]]
	end_group TERM "$READER_PID"
	assert_healthy
}

@test "wal: a writer without checkpoints, and no reader in the way" {
	init_db
	start_rowcast
	sqlite3 "$DB" 'PRAGMA wal_autocheckpoint = 0' "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL
		SELECT i + 1 FROM n WHERE i < 6000) INSERT INTO notification(data)
		SELECT hex(randomblob(2000)) FROM n" >"$T/rows.log"
	# shellcheck disable=SC2046
	examine 1 --db "$DB" $(as_reader)
	assert_faults wal=warning
	[[ $(remedy_of wal) == *wal_autocheckpoint* ]]
	assert_healthy
}

@test "table: missing, foreign, of another version, and its marks" {
	init_db
	examine 1 --db "$DB" --table other
	assert_faults table=problem
	[[ $(seen_of table) == *"$DB has no table other" ]]
	sql 'CREATE TABLE log(id INTEGER PRIMARY KEY, data)'
	examine 0 --db "$DB" --table log
	assert_equal "$(level_of schema)" note
	sql 'CREATE TABLE useless(x)'
	examine 1 --db "$DB" --table useless
	assert_faults table=problem
	[[ $(seen_of table) == *'has no column id'* ]]
	sql 'UPDATE rowcast_meta SET schema_version = 99'
	examine 1 --db "$DB"
	assert_faults schema=problem
	[[ $(seen_of schema) == *'version 99, made by a newer rowcast'* ]]
}

@test "marks: rows below the low-water mark, and a mark that was changed by hand" {
	init_db
	rows 1 3
	sql "DELETE FROM notification WHERE data = '2'"
	examine 0 --db "$DB"
	assert_equal "$(level_of marks)" note
	sql "DELETE FROM sqlite_sequence WHERE name = 'notification'"
	examine 1 --db "$DB"
	assert_faults marks=problem
	[[ $(seen_of marks) == *'contradict each other'* ]]
	[[ $(remedy_of marks) == *'rowcast rebase'* ]]
	"$ROWCAST" rebase --db "$DB"
	examine 0 --db "$DB"
	[[ $(level_of marks) != problem ]]
}

@test "marks: a database that was rebased is in order, with rows and without, pruned or not" {
	init_db
	"$ROWCAST" rebase --db "$DB"
	examine 0 --db "$DB"
	assert_faults ''
	rows 1 3
	"$ROWCAST" prune --db "$DB" --keep-rows 1
	"$ROWCAST" rebase --db "$DB"
	examine 0 --db "$DB"
	assert_faults ''
	rows 4 5
	examine 0 --db "$DB"
	assert_faults ''
}

@test "database: not there, or none" {
	examine 1 --db "$T/none.db"
	assert_faults rights=problem
	[[ $(seen_of rights) == "$T/none.db is not there" ]]
	echo "this is no database, though it is a file of some length" >"$T/text.db"
	examine 1 --db "$T/text.db"
	[[ $(seen_of database) == *'is not an SQLite database'* ]]
}

@test "lock: a writer that keeps a rollback database to itself" {
	init_db
	sql 'PRAGMA journal_mode = DELETE' >"$T/mode"
	background python3 -c "
import sqlite3, time
db = sqlite3.connect('$DB', isolation_level=None)
db.execute('BEGIN EXCLUSIVE')
open('$T/reading', 'w').close()
time.sleep(600)" >"$T/reader.log" 2>&1
	wait_for test -e "$T/reading"
	examine 1 --db "$DB"
	assert_faults 'journal=warning lock=problem'
	[[ $(seen_of lock) == *'another process has it locked'* ]]
}

@test "descriptors: the responder's own limit, not doctor's" {
	init_db
	# shellcheck disable=SC2016
	background bash -c 'ulimit -n 100; exec "$@"' _ "$ROWCAST" serve --db "$DB" \
		--listen "unix:$SOCKET" >>"$T/rowcast.err" 2>&1
	wait_for fcgi --get /health
	examine 1 --db "$DB"
	assert_faults descriptors=warning
	[[ $(seen_of descriptors) == "1 process ($PID, $(id -un)) may open descriptors for about 68 pages"* ]]
	examine 0 --db "$DB" --streams 60
	assert_equal "$(level_of descriptors)" ok
}

# --- lighttpd's configuration ---------------------------------------------------------------------

lighttpd_config() {
	shipped lighttpd/rowcast.conf >"$T/rowcast.conf"
	printf 'server.document-root = "%s"\nserver.port = 1\ninclude "%s"\n' "$T/www" \
		"$T/rowcast.conf" >"$T/lighttpd.conf"
}

@test "lighttpd: limits that are too low, set or by default" {
	SHIPPED_SED=(-e '/^server.max-/d')
	lighttpd_config
	examine 0 --lighttpd-config "$T/lighttpd.conf"
	[[ $(seen_of connections) == *'1365 open pages'*'4096, its default'* ]]
	examine 1 --lighttpd-config "$T/lighttpd.conf" --streams 2000
	assert_faults connections=warning
	SHIPPED_SED=(-e 's/^(server.max-fds *=).*/\1 500/')
	lighttpd_config
	examine 1 --lighttpd-config "$T/lighttpd.conf"
	assert_faults connections=warning
	[[ $(seen_of connections) == *'250 open pages'* ]]
}

@test "lighttpd: stream-response-body = 1 spools, and without it nothing comes" {
	SHIPPED_SED=(-e 's/^(\tserver.stream-response-body) = 2/\1 = 1/')
	lighttpd_config
	examine 1 --lighttpd-config "$T/lighttpd.conf"
	assert_faults spooling=warning
	[[ $(seen_of spooling) == *'in: $HTTP["url"] =~ "^/events'* ]]
	SHIPPED_SED=(-e '/^\tserver.stream-response-body/d')
	lighttpd_config
	examine 1 --lighttpd-config "$T/lighttpd.conf"
	assert_faults spooling=problem
	examine 1 --lighttpd-config "$T/no-such-file"
	assert_faults connections=problem
	[[ $(seen_of connections) == *'lighttpd cannot read'* ]]
}

@test "lighttpd: a bound without its module is a problem" {
	with_examples ROWCAST_CHANNELS
	lighttpd_config
	examine 0 --lighttpd-config "$T/lighttpd.conf"
	SHIPPED_SED+=(-e 's/"mod_setenv", //')
	lighttpd_config
	examine 1 --lighttpd-config "$T/lighttpd.conf"
	assert_faults unknown=problem
	[[ $(seen_of unknown) == *'setenv.set-environment'* ]]
	[[ $(remedy_of unknown) == *mod_setenv* ]]
}

# --- Apache's configuration -----------------------------------------------------------------------

@test "apache: workers and streams are compared, in the configuration and of the program that serves" {
	begin apache
	examine 0 --apache-config "$T/apache.conf"
	[[ $(seen_of workers) == *'take 100 of them'* ]]
	SHIPPED_SED=(-e '/ROWCAST_MAX_STREAMS/d')
	apache_main rowcast
	examine 1 --apache-config "$T/apache.conf"
	assert_faults workers=warning
	stop_rowcast
	start_rowcast --max-streams 90
	examine 0 --db "$DB" --apache-config "$T/apache.conf"
	[[ $(seen_of workers) == *'take 90 of them'* ]]
	examine 1 --apache-config "$T/none.conf"
	assert_faults workers=problem
	assert_healthy
}

# --- who may read what ----------------------------------------------------------------------------

@test "access: everybody, a bound, a login, a ticket" {
	printf 'ann:%s\n' "$(openssl passwd -apr1 right)" >"$T/htpasswd"
	begin nginx
	examine 0 "$(url)"
	assert_equal "$(level_of access)" note
	[[ $(seen_of access) == 'everybody may read every channel; '* ]]
	stop_server
	with_examples ROWCAST_CHANNELS
	start_nginx
	examine 0 "$(url)"
	[[ $(seen_of access) == *'the channels in ROWCAST_CHANNELS and no other' ]]
	stop_server
	with_login
	start_nginx
	examine 0 "http://ann:right@127.0.0.1:$PORT/events"
	[[ $(seen_of access) == 'only who logs in may read'* ]]
	stop_server
	SHIPPED_SED=()
	start_nginx
	stop_rowcast
	openssl rand -hex 32 >"$T/key"
	start_rowcast --ticket-key-file "$T/key" --require-ticket
	examine 1 "$(url)"
	assert_faults address=problem
	[[ $(seen_of access) == 'only who has a ticket may read'* ]]
	assert_healthy
}

@test "access: nginx's include fastcgi_params believes any password" {
	SHIPPED_SED=(-e 's/^\tfastcgi_param HTTPS .*/\tfastcgi_param REMOTE_USER $remote_user;/')
	begin nginx
	examine 1 "$(url)"
	assert_faults access=problem
	[[ $(seen_of access) == 'a made-up login, with a made-up password'* ]]
	[[ $(remedy_of access) == *auth_basic* ]]
	assert_healthy
}

@test "access: a user who comes in a request header is believed" {
	SHIPPED_SED=(-e 's/^\tfastcgi_param HTTPS .*/\tfastcgi_param REMOTE_USER $http_x_user;/')
	begin nginx
	examine 1 "$(url)"
	assert_faults access=problem
	[[ $(seen_of access) == 'a request header such as'* ]]
	assert_healthy
}

@test "schema: a trigger is missing" {
	init_db
	sql "$(sql "SELECT 'DROP TRIGGER ' || name || ';' FROM sqlite_schema WHERE type = 'trigger' LIMIT 1")"
	examine 1 --db "$DB"
	assert_faults schema=problem
	[[ $(remedy_of schema) == *'rowcast init'* ]]
}

@test "served: rowcast behind the URL serves another database, seen without a probe" {
	begin nginx
	"$ROWCAST" init --db "$T/other.db"
	examine 1 "$(url)" --db "$T/other.db"
	assert_faults served=problem
	row 1
	examine 0 "$(url)" --db "$DB"
	assert_equal "$(level_of served)" ok
	assert_healthy
}

@test "output: a finding is printed as soon as there is one, before the wait for a heartbeat" {
	begin nginx --heartbeat 30
	background "$ROWCAST" doctor --wait 600 --db "$DB" "$(url)" >"$T/doctor.out" 2>&1
	wait_for grep -q '^ok *table:' "$T/doctor.out"
	kill -0 "$PID"
	end_group TERM "$PID"
	assert_healthy
}

# --- the way: buffers and compression ---------------------------------------------------------------

@test "buffering: nginx, with fastcgi_buffering on and X-Accel-Buffering ignored" {
	SHIPPED_SED=(-e 's/fastcgi_buffering off;/fastcgi_ignore_headers X-Accel-Buffering;/')
	begin nginx
	examine 1 "$(url)"
	assert_faults buffering=problem
	[[ $(remedy_of buffering) == *'fastcgi_buffering off'* ]]
	no_stream_is_left
	assert_healthy
}

@test "buffering: Apache without flushpackets" {
	SHIPPED_SED=(-e 's/ flushpackets=on / /')
	begin apache
	examine 1 "$(url)"
	assert_faults buffering=problem
	[[ $(remedy_of buffering) == *'flushpackets=on'* ]]
	stop_server # it does not notice that doctor has gone until it has collected 8 KiB
	assert_healthy
}

@test "buffering: lighttpd with stream-response-body = 0" {
	SHIPPED_SED=(-e 's/^(\tserver.stream-response-body) = 2/\1 = 0/')
	begin lighttpd
	examine 1 "$(url)"
	assert_faults buffering=problem
	[[ $(seen_of buffering) == *'though the short answer of /health comes at once'* ]]
	[[ $(remedy_of buffering) == *'server.stream-response-body = 2'* ]]
	stop_server # it writes nothing, and so may not notice that doctor has gone
	assert_healthy
}

# A proxy before it, of the same nginx: what nginx sends has no X-Accel-Buffering any more.
# before_nginx DIRECTIVES [?]: /cdn, with the rest of the path, to /events; ? drops the query.
before_nginx() {
	EXTRA_CONF="location /cdn { rewrite ^/cdn(.*)\$ /events\$1${2:-} break;
		proxy_pass http://127.0.0.1:\$server_port; $1 }"
}
cdn() { echo "http://127.0.0.1:$PORT/cdn"; }

@test "buffering: a proxy before the web server" {
	before_nginx 'proxy_buffering on;'
	begin nginx
	examine 1 "$(cdn)"
	assert_faults buffering=problem
	[[ $(remedy_of buffering) == *'proxy_buffering off'* ]]
	assert_healthy
}

@test "buffering: a proxy that lets the beginning through and holds the rest" {
	begin nginx
	front_proxy
	examine 1 "http://127.0.0.1:$FRONT/events" --wait 16
	assert_faults events=warning
	[[ $(seen_of events) == *'the opening came, but no heartbeat'* ]]
	examine 1 "http://127.0.0.1:$FRONT/events" --db "$DB" --send-probe doctor
	[[ $(faults) == *probe=problem* ]]
	[[ $(seen_of probe) == *'small pieces are held back'* ]]
	[[ $(seen_of proxy) == *'Via: 1.1 front'* ]]
	no_stream_is_left
	assert_healthy
}
# A proxy that passes on the header and the first block of the body, and then waits for the end.
# Sets FRONT.
front_proxy() {
	FRONT=$(free_port)
	cat >"$T/front.py" <<-'PY'
		import http.client, http.server, socketserver, sys
		class Handler(http.server.BaseHTTPRequestHandler):
		    protocol_version = 'HTTP/1.1'
		    def do_GET(self):
		        up = http.client.HTTPConnection('127.0.0.1', int(sys.argv[2]))
		        up.request('GET', self.path, headers=dict(self.headers.items()))
		        answer = up.getresponse()
		        self.send_response(answer.status)
		        for name in ('Content-Type', 'Cache-Control'):
		            self.send_header(name, answer.getheader(name, ''))
		        self.send_header('Via', '1.1 front')
		        self.send_header('Connection', 'close')
		        self.end_headers()
		        line = None
		        while line not in (b'', b'\n'):
		            line = answer.readline()
		            self.wfile.write(line)
		        self.close_connection = True
		        if line:
		            self.connection.recv(1)  # until doctor goes
		        up.sock and up.sock.close()
		class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
		    daemon_threads = True
		Server(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
	PY
	background python3 "$T/front.py" "$FRONT" "$PORT" >"$T/front.err" 2>&1
	wait_for curl -s -o /dev/null "http://127.0.0.1:$FRONT/events/health"
}

@test "compression: nginx compresses events" {
	SHIPPED_SED=(-e 's/^\tgzip off;/gzip on; gzip_types text\/event-stream; gzip_min_length 0;/')
	begin nginx
	examine 1 "$(url)"
	assert_faults compression=problem
	[[ $(remedy_of compression) == *'gzip off'* ]]
	no_stream_is_left
	assert_healthy
}

@test "compression: Apache compresses events" {
	SHIPPED_SED=(-e 's/^\tSetEnv no-(gzip|brotli) 1/SetOutputFilter DEFLATE/')
	begin apache
	examine 1 "$(url)"
	assert_faults compression=problem
	[[ $(remedy_of compression) == *'no-gzip'* ]]
	assert_healthy
}

# --- the way: time, resume, paths --------------------------------------------------------------------

@test "timeout: nginx cuts a stream before the heartbeat" {
	SHIPPED_SED=(-e 's/fastcgi_read_timeout 60s/fastcgi_read_timeout 1s/')
	begin nginx --heartbeat 30
	examine 1 "$(url)" --wait 10
	assert_faults timeout=problem
	[[ $(seen_of timeout) =~ 'cut after '[12]'.' ]]
	[[ $(remedy_of timeout) == *fastcgi_read_timeout* ]]
	assert_healthy
}

@test "timeout: Apache cuts a stream before the heartbeat" {
	SHIPPED_SED=(-e 's/ timeout=60 / timeout=1 /')
	begin apache --heartbeat 30
	examine 1 "$(url)" --wait 10
	assert_faults timeout=problem
	[[ $(remedy_of timeout) == *'timeout=60'* ]]
}

@test "events: a wait that is too short for a heartbeat proves nothing, and says so" {
	begin nginx --heartbeat 30
	examine 0 "$(url)" --wait 1
	assert_equal "$(level_of events)" note
	[[ $(seen_of events) == *'is not known'* ]]
	# The probe proves it.
	examine 0 "$(url)" --wait 1 --db "$DB" --send-probe a
	assert_equal "$(level_of probe)" ok
	assert_healthy
}

@test "probe: a row that could be inserted only after the wait still has time to come" {
	begin nginx --heartbeat 30
	lock_db 'BEGIN IMMEDIATE'
	examine 0 "$(url)" --wait 3 --db "$DB" --send-probe a &
	local examination=$!
	wait_for grep -q 'open stream=' "$T/rowcast.err"
	# The wait is over before the row is inserted, and the row takes a moment.
	kill -STOP "$ROWCAST_PID"
	pause 3.2
	release_db
	wait_for has_rows 1
	kill -CONT "$ROWCAST_PID"
	wait "$examination"
	assert_equal "$(level_of probe)" ok
	assert_healthy
}
has_rows() { [[ $(sql 'SELECT count(*) FROM notification') -ge $1 ]]; }

@test "resume: a proxy takes Last-Event-ID away" {
	before_nginx 'proxy_buffering off; proxy_set_header Last-Event-ID "";'
	begin nginx
	examine 1 "$(cdn)"
	assert_faults resume=problem
	assert_healthy
}

@test "query: a proxy takes the query away" {
	before_nginx 'proxy_buffering off;' '?'
	begin nginx
	examine 1 "$(cdn)"
	assert_faults query=problem
	assert_healthy
}

@test "path: without PATH_INFO /health is the stream" {
	SHIPPED_SED=(-e '/ProxyFCGISetEnvIf/d')
	begin apache
	examine 1 "$(url)"
	[[ $(faults) == *path=* ]]
	[[ $(remedy_of path) == *ProxyFCGISetEnvIf* ]]
}

@test "headers: Cache-Control was changed" {
	before_nginx 'proxy_buffering off; proxy_hide_header Cache-Control; add_header Cache-Control public;'
	begin nginx
	examine 1 "$(cdn)"
	assert_faults headers=warning
	[[ $(seen_of headers) == *'"public"'* ]]
	assert_healthy
}

@test "probe: rowcast behind the URL serves another database" {
	begin nginx
	"$ROWCAST" init --db "$T/other.db"
	examine 1 "$(url)" --db "$T/other.db" --send-probe a
	assert_faults served=problem probe=problem
	[[ $(seen_of probe) == *'the URL serves another table'* ]]
	# shellcheck disable=SC2012
	"$ROWCAST" init --db "$T/other.db" --table elsewhere
	sqlite3 "$T/other.db" 'CREATE TABLE log(id INTEGER PRIMARY KEY, data)'
	examine 1 "$(url)" --db "$T/other.db" --table log --send-probe a
	[[ $(seen_of probe) == *'could not be inserted'* ]]
	assert_healthy
}

@test "limit: rowcast has as many streams as it takes" {
	begin nginx --max-streams 1
	listen a "$(url)"
	examine 1 "$(url)"
	assert_faults limit=warning
	[[ $(seen_of limit) == *'"too many streams"'* ]]
	assert_healthy
}

# --- no stream at all -----------------------------------------------------------------------------

@test "address: refused, unknown, no HTTP, no TLS" {
	PORT=$(free_port)
	examine 1 "$(url)"
	assert_faults address=problem
	[[ $(remedy_of address) == *'Is the web server running'* ]]
	examine 1 http://no-such-host.invalid/events
	[[ $(remedy_of address) == *'Check the host name'* ]]
	answering 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
	examine 1 "https://127.0.0.1:$PORT/events"
	[[ $(remedy_of address) == *'certificate'* ]]
	answering 'SSH-2.0-OpenSSH\r\n'
	examine 1 "$(url)"
	assert_faults address=problem
}

@test "address: 404, a redirect, a page, and rowcast's own refusals" {
	EXTRA_CONF='location /moved { return 301 /events; }
		location /page { default_type text/html; return 200 "<p>hello"; }
		location /login { auth_basic x; auth_basic_user_file /dev/null; }'
	SHIPPED_SED=(-e 's/^\t#(fastcgi_param ROWCAST_CHANNELS)/\1/')
	begin nginx
	examine 1 "http://127.0.0.1:$PORT/event"
	[[ $(seen_of address) == 'status 404'* && $(remedy_of address) == *nginx/rowcast.conf* ]]
	examine 1 "http://127.0.0.1:$PORT/moved"
	[[ $(seen_of address) == *"redirect to http://127.0.0.1"*"/events" ]]
	examine 1 "http://127.0.0.1:$PORT/page"
	[[ $(seen_of address) == *'text/html and not text/event-stream'* ]]
	examine 1 "http://127.0.0.1:$PORT/login"
	[[ $(seen_of address) == 'status 401'* && $(remedy_of address) == *USER:PASSWORD* ]]
	examine 1 "$(url '?channel=secret')"
	[[ $(seen_of address) == 'status 403: '*secret* ]]
	[[ $(remedy_of address) == *ROWCAST_CHANNELS* ]]
	examine 1 "$(url '?last=x')"
	[[ $(seen_of address) == 'status 400: bad parameter last'* ]]
	examine 0 "$(url '?channel=news.x')"
	assert_healthy
}

@test "address: rowcast is not running" {
	init_db
	for server in nginx lighttpd apache; do
		"start_$server"
		examine 1 "$(url)"
		assert_faults address=problem
		[[ $(seen_of address) =~ 'status 50'[23] ]]
		[[ $(remedy_of address) == *'Is `rowcast serve` running'* ]]
		stop_server
	done
}

@test "health: the responder says that it cannot read" {
	begin nginx
	mv "$DB" "$DB.away"
	wait_for fails fcgi --get /health
	examine 1 "$(url)"
	[[ $(faults) == *health=problem* ]]
	mv "$DB.away" "$DB"
}
fails() { "$@" | grep -q 503; }

# --- TLS ---------------------------------------------------------------------------------------------

# The certificate, in $T/cert.pem, is its own authority.
make_certificate() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
		-keyout "$T/key.pem" -out "$T/cert.pem" 2>"$T/openssl.log"
	cat "$T/key.pem" "$T/cert.pem" >"$T/both.pem"
}

@test "tls: an unknown certificate is a problem, HTTP/2 on lighttpd a warning" {
	make_certificate
	TLS=$(free_port)
	EXTRA_CONF="server.modules += ( \"mod_openssl\" )
		\$SERVER[\"socket\"] == \"127.0.0.1:$TLS\" {
			ssl.engine = \"enable\"
			ssl.pemfile = \"$T/both.pem\"
		}"
	begin lighttpd
	examine 1 "https://127.0.0.1:$TLS/events"
	assert_faults address=problem
	[[ $(seen_of address) == *certificate* && $(remedy_of address) == *--cacert* ]]
	examine 1 "https://127.0.0.1:$TLS/events" --cacert "$T/cert.pem"
	assert_faults http2=warning
	[[ $(seen_of http2) == *'8 requests'* ]]
	no_stream_is_left
	assert_healthy
}

@test "tls: the remedy against HTTP/2 on lighttpd is one" {
	make_certificate
	TLS=$(free_port)
	EXTRA_CONF="server.modules += ( \"mod_openssl\" )
		server.feature-flags += ( \"server.h2proto\" => \"disable\" )
		\$SERVER[\"socket\"] == \"127.0.0.1:$TLS\" {
			ssl.engine = \"enable\"
			ssl.pemfile = \"$T/both.pem\"
		}"
	begin lighttpd
	examine 0 "https://127.0.0.1:$TLS/events" --cacert "$T/cert.pem"
	[[ $(seen_of address) == *'HTTP/1.1'* ]]
	assert_healthy
}

@test "tls: HTTP/2 on Apache is a warning" {
	local modules=/usr/lib/apache2/modules
	make_certificate
	TLS=$(free_port)
	EXTRA_CONF="LoadModule socache_shmcb_module $modules/mod_socache_shmcb.so
		LoadModule ssl_module $modules/mod_ssl.so
		LoadModule http2_module $modules/mod_http2.so
		Listen 127.0.0.1:$TLS
		<VirtualHost 127.0.0.1:$TLS>
			SSLEngine on
			SSLCertificateFile $T/cert.pem
			SSLCertificateKeyFile $T/key.pem
			Protocols h2 http/1.1
		</VirtualHost>"
	begin apache
	examine 1 "https://127.0.0.1:$TLS/events" --cacert "$T/cert.pem"
	assert_faults http2=warning
	[[ $(seen_of http2) == *'6 streams'* ]]
	stop_server
	assert_healthy
}

@test "ticket: one that web servers do not take is said, not left out" {
	PORT=$(free_port)
	run "$ROWCAST" doctor --wait 1 --ticket "$(printf 'x%.0s' {1..8169})" "$(url)"
	assert_output --partial 'the ticket has 8169 bytes: above 8168 Apache refuses the header'
	run "$ROWCAST" doctor --wait 1 --ticket "$(printf 'x%.0s' {1..8168})" "$(url)"
	refute_output --partial 'the ticket has'
}
