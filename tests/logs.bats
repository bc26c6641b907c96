#!/usr/bin/env bats
# logs.bats - the log: each stream has one line when it opens and one when it ends, with what its
# reader got and why it ended; who is refused has one too, but not as many as he likes; nobody can
# write a line of his own into it. On stderr, to syslog, and to the journal.
#
# SC2153: SOCKET is set by helper.bash.
# shellcheck shell=bash disable=SC2153

load helper

begin() {
	init_db
	start_rowcast "$@"
}

# The time of a line that goes to a file.
STAMP='[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}[+-][0-9]{2}:[0-9]{2}'

log_has() { grep -qE -- "$1" "$T/rowcast.err"; }
# A field of a line: field NAME LINE
field() { sed -n "s/.* $1=\([^ ]*\).*/\1/p" <<<"$2"; }
# The only line of a kind about a stream: line_of open|close NUMBER
line_of() {
	local lines
	lines=$(grep -E "info: $1 stream=$2 " "$T/rowcast.err")
	[[ -n $lines && $(wc -l <<<"$lines") -eq 1 ]] || fail "$1 lines of stream $2: $lines"
	echo "$lines"
}
# assert_why NUMBER WHY
assert_why() {
	wait_for log_has "close stream=$1 "
	assert_equal "$(field why "$(line_of close "$1")")" "$2"
	line_of open "$1" >/dev/null
}

# The CGI header, which a web server makes its own of: "bytes" counts it.
header_bytes() { fcgi --get '' REQUEST_METHOD=HEAD | wc -c; }

# Compares the two lines of a stream with what its reader has: assert_told NUMBER NAME
assert_told() {
	local opened closed first
	wait_for log_has "close stream=$1 "
	opened=$(line_of open "$1")
	closed=$(line_of close "$1")
	first=$(events "$2" | sed -n 's/^\([0-9]*\)|rowcast:open|.*/\1/p')
	assert_equal "$(field from "$opened")" "$first"
	assert_equal "$(field from "$closed")" "$first"
	assert_equal "$(field to "$closed")" "$(tail_id)"
	assert_equal "$(field events "$closed")" "$(row_events "$2" | wc -l)"
	assert_equal "$(field bytes "$closed")" $(($(wc -c <"$T/$2.out") + $(header_bytes)))
	for name in user address channels more; do
		assert_equal "$(field "$name" "$opened")" "$(field "$name" "$closed")"
	done
}

# --- through the web servers -------------------------------------------------------------------

told_behind() {
	begin --max-age 4
	"start_$1"
	listen a "$(url '?channel=orders&channel=stock.*')"
	# By one process, so that even a busy machine is done before the stream is old.
	sql "INSERT INTO notification(channel, data) VALUES ('orders', 'one');
	     INSERT INTO notification(channel, data) VALUES ('somewhere', 'other');
	     INSERT INTO notification(channel, data) VALUES ('stock.7', 'two');
	     INSERT INTO notification(channel, data) VALUES ('orders', hex(zeroblob(30000)));
	     INSERT INTO notification(channel, data) VALUES ('orders', 'three')"
	expect_data a three
	wait_for stream_ended a
	assert_why 1 aged
	assert_told 1 a
	assert_equal "$(field channels "$(line_of close 1)")" 'orders,stock.*'
	assert_equal "$(field events "$(line_of close 1)")" 4
	assert_equal "$(field address "$(line_of close 1)")" 127.0.0.1
	[[ $(field seconds "$(line_of close 1)") =~ ^[3-9][0-9]*\.[0-9]{3}$ ]]
	listen b "$(url)"
	close_stream b
	assert_why 2 gone
	assert_healthy
	assert_equal "$(grep -cE 'info: (open|close) stream=' "$T/rowcast.err")" 4
}
@test "streams: what the log says is what the reader got: lighttpd" { told_behind lighttpd; }
@test "streams: what the log says is what the reader got: nginx" { told_behind nginx; }
@test "streams: what the log says is what the reader got: apache" { told_behind apache; }

# --- why it ended ---------------------------------------------------------------------------------

# A conversation in the background: talk NAME STEP...
talk() {
	local name=$1
	shift
	background python3 -SE "$CLIENTS/fcgi.py" "unix:$SOCKET" --seconds "$WAIT" "$@" >"$T/$name.talk" 2>&1
	TALK=$PID
}

@test "why: gone, aborted, answered" {
	begin
	talk a request:1 until-data:rowcast:open
	wait "$TALK"
	assert_why 1 gone
	talk b request:1 until-data:rowcast:open abort:1 until-end
	wait "$TALK" || fail "$(cat "$T/b.talk")"
	assert_why 2 aborted
	rows 1 3
	fcgi --get '?since=all' HTTP_ACCEPT=application/json >"$T/json"
	wait_for log_has 'close stream=3 .* why=answered '
	refute log_has 'open stream=3 ' # a poll has one line
	assert_equal "$(field bytes "$(line_of close 3)")" "$(wc -c <"$T/json")"
	assert_equal "$(field events "$(line_of close 3)")" 3
	assert_equal "$(field to "$(line_of close 3)")" "$(tail_id)"
	assert_healthy
}

@test "why: stalled" {
	begin --stall-timeout 0.5
	talk a quiet request:1 until-data:rowcast:open wait-file:"$T/go" until-close
	wait_for log_has 'open stream=1 '
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
	     INSERT INTO notification(data) SELECT hex(zeroblob(100000)) FROM n"
	assert_why 1 stalled
	touch "$T/go"
	wait "$TALK" || fail "$(cat "$T/a.talk")"
	assert_healthy
}

@test "why: drained, to the last byte" {
	begin
	listen_direct a
	rows 1 5
	expect_data a 5
	local headers
	headers=$(header_bytes)
	stop_rowcast
	wait_for stream_ended a
	assert_why 1 drained
	# --get prints the header too.
	assert_equal "$(field bytes "$(line_of close 1)")" "$(wc -c <"$T/a.out")"
	((headers < $(field bytes "$(line_of close 1)")))
	assert_equal "$(field events "$(line_of close 1)")" 5
	assert_no_report
}

@test "streams: a slow reader's numbers are right too, and so are those of a page from the table" {
	begin --window-bytes 1
	talk a quiet request:1,PATH=/?since=all until-data:rowcast:open wait-file:"$T/go" \
		until-data:'data: the end' save:"$T/a.out" abort:1 until-end
	wait_for log_has 'open stream=1 '
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
	     INSERT INTO notification(data) SELECT i || hex(zeroblob(i * 20)) FROM n"
	row 'the end'
	touch "$T/go"
	wait "$TALK" || fail "$(cat "$T/a.talk")"
	assert_why 1 aborted
	assert_equal "$(field events "$(line_of close 1)")" 301
	local more=$(($(field bytes "$(line_of close 1)") - $(header_bytes) - $(wc -c <"$T/a.out")))
	# A heartbeat may have gone out between the end and the abort: ":" and an empty line, maybe an id.
	((more >= 0 && more < 100 && more % 3 == 0)) || fail "$more bytes more than the reader saw"
	assert_healthy
}

@test "streams: one whose start is still sought has its two lines as well" {
	begin
	rows 1 50
	talk a request:1,PATH=/?last=3 abort:1 until-end
	wait "$TALK" || fail "$(cat "$T/a.talk")"
	assert_why 1 aborted
	assert_healthy
}

@test "streams: the list of channels is cut with a count of what is left" {
	local i query='?'
	begin
	for i in {10..69}; do
		query+="channel=a-long-channel-$i&"
	done
	listen_direct a "$query"
	local line
	line=$(line_of open 1)
	[[ $(field channels "$line") == a-long-channel-10,a-long-channel-11,* ]]
	local shown
	shown=$(field channels "$line" | tr , '\n' | wc -l)
	((shown < 60))
	assert_equal "$(field more "$line")" $((60 - shown))
	assert_healthy
}

@test "level: at warn streams have no lines" {
	begin --log-level warn
	listen_direct a
	close_stream a
	wait_for streams_are 0
	refute log_has stream=
	assert_healthy
}

# --- refusals -----------------------------------------------------------------------------------------

@test "refused: each with its status and reason" {
	begin --max-streams-per-user 1
	fcgi --get '?last=x' REMOTE_ADDR=192.0.2.6
	fcgi --get '?channel=b' ROWCAST_CHANNELS=a REMOTE_USER=ann REMOTE_ADDR=192.0.2.7
	fcgi --get /nowhere REMOTE_ADDR=192.0.2.8
	listen_direct a '' REMOTE_USER=ann
	fcgi --get '' REMOTE_USER=ann REMOTE_ADDR=192.0.2.9
	log_has 'info: refused status=400 user=- address=192.0.2.6 why="bad parameter last'
	log_has 'info: refused status=403 user=ann address=192.0.2.7 why="channel'
	log_has 'info: refused status=404 '
	log_has 'warn: refused status=200 user=ann address=192.0.2.9 why="too many streams of this user"'
	assert_healthy
}

@test "refused: a flood leaves a few lines and the number of the others" {
	begin
	PYTHONPATH=$CLIENTS python3 - "unix:$SOCKET" "$WAIT" 3>&- <<-'PY'
		import sys
		from streams import Crowd
		crowd = Crowd(sys.argv[1], float(sys.argv[2]))
		for _ in range(10):
		    for s in [crowd.open("?last=x") for _ in range(40)]:
		        crowd.until(lambda: s.closed, "the answer")
		        crowd.streams.remove(s)
	PY
	local lines
	lines=$(grep -c 'refused status=400' "$T/rowcast.err")
	# One a second, of those five, and one more every twelve seconds.
	((lines >= 1 && lines <= 15)) || fail "$lines lines"
	[[ $lines -eq $(grep 'refused status=400' "$T/rowcast.err" | cut -c1-19 | sort -u | wc -l) ]]
	stop_rowcast
	local suppressed
	suppressed=$(sed -n 's/.* suppressed=//p' "$T/rowcast.err" | awk '{ n += $1 } END { print n + 0 }')
	assert_equal $((lines + suppressed)) 400
	assert_no_report
}

@test "polled: one line an address and second, and the number of the others" {
	begin
	local before lines
	before=$(wc -c <"$T/rowcast.err")
	PYTHONPATH=$CLIENTS python3 - "unix:$SOCKET" "$WAIT" 3>&- <<-'PY'
		import sys
		from streams import Crowd
		crowd = Crowd(sys.argv[1], float(sys.argv[2]))
		for _ in range(10):
		    for s in [crowd.open("", HTTP_ACCEPT="application/json") for _ in range(40)]:
		        crowd.until(lambda: s.closed, "the answer")
		        crowd.streams.remove(s)
	PY
	lines=$(grep -c 'close stream=.* why=answered ' "$T/rowcast.err")
	((lines >= 1 && lines <= 30)) || fail "$lines lines"
	((($(wc -c <"$T/rowcast.err") - before) < 300 * lines))
	# Another address is another matter, and says how many were left out.
	fcgi --get '' HTTP_ACCEPT=application/json REMOTE_ADDR=192.0.2.7
	log_has 'close stream=401 .* address=192.0.2.7 .* suppressed=[0-9]+$'
	lines=$(grep -c 'close stream=' "$T/rowcast.err")
	assert_equal $((lines + $(sed -n 's/.* suppressed=//p' "$T/rowcast.err" | awk '{ sum += $1 } END { print sum }'))) 401
	assert_healthy
}

# --- hostile values --------------------------------------------------------------------------------

@test "hostile: whatever a user, a channel or an address is called, a line is a line" {
	local value lines
	begin
	for value in $'ann\nrowcast[1]: info: open stream=99 user=root' $'a\r\n\r\nb' $'\e[2J\e[31m' \
		'x user=root why=gone' 'quote" end' 'back\slash' $'tab\there' 'а-cyrillic' $'\u202Eabc' \
		$'\u2028' '%n%s%s' "$(printf 'x%.0s' {1..3000})" "$(printf '\n%.0s' {1..900})x"; do
		fcgi --get '?since=all' HTTP_ACCEPT=application/json REMOTE_USER="$value" REMOTE_ADDR="$value"
		fcgi --get "?channel=$(jq -rn --arg v "$value" '$v | @uri')&since=all" \
			HTTP_ACCEPT=application/json REMOTE_ADDR="c$value"
		fcgi --get "/$value" REMOTE_USER="$value" REMOTE_ADDR="r$value"
	done
	wait_for streams_are 0
	refute grep -nvE "^$STAMP rowcast\[[0-9]+\]: (info|warn): " "$T/rowcast.err"
	refute grep -nP '[^\x20-\x7e]' "$T/rowcast.err"
	refute grep -nE '^.{1024}' "$T/rowcast.err"
	lines=$(grep -cE "^$STAMP rowcast.[0-9]+.: info: close stream=" "$T/rowcast.err")
	((lines >= 13))
	# A value with spaces is in quotes: outside of them nobody is root.
	sed -E 's/"([^"\\]|\\.)*"//g' "$T/rowcast.err" >"$T/outside"
	grep -q 'user=x' "$T/outside"
	refute grep -E 'user=root|stream=99' "$T/outside"
	assert_healthy
}

# --- where to -------------------------------------------------------------------------------------------

# rowcast where a socket of ours is the log's: in a mount namespace of its own, with a /dev and a
# /run of its own. start_beside SOCKET [OPTION...]; what comes is in $T/collected
start_beside() {
	local socket=$1 unshare=(unshare -m)
	shift
	[[ $EUID -eq 0 ]] || unshare=(unshare -rm)
	mkdir -p "$T/dev"
	cat >"$T/beside" <<-'SH'
		set -e
		T=$1 socket=$2
		shift 2
		mount -t tmpfs none "$T/dev"
		for file in null zero urandom; do
			touch "$T/dev/$file"
			mount --bind "/dev/$file" "$T/dev/$file"
		done
		mount --move "$T/dev" /dev
		mount -t tmpfs none /run
		mkdir -p "${socket%/*}"
		sh -c "${COLLECTOR:-exec socat -u UNIX-RECVFROM:\$0,fork OPEN:$T/collected,creat,append}" "$socket" &
		until [ -S "$socket" ]; do sleep 0.02; done
		exec "$@"
	SH
	background "${unshare[@]}" sh "$T/beside" "$T" "$socket" "$ROWCAST" serve --db "$DB" \
		--listen "unix:$SOCKET" --listen-mode 0666 "$@" >>"$T/rowcast.err" 2>&1
	ROWCAST_PID=$PID
	wait_for_start "$ROWCAST_PID" fcgi --get /health || rowcast_did_not_start
	note_rest
}
collected() { grep -aqE -- "$1" "$T/collected"; }

@test "syslog: priority, name and process, and nothing on stderr" {
	init_db
	start_beside /dev/log --log-to syslog
	fcgi --get '' HTTP_ACCEPT=application/json REMOTE_USER=$'ann\nb'
	fcgi --get '?last=x' REMOTE_ADDR=192.0.2.6
	# LOG_DAEMON is 3 * 8; info 6, warning 4.
	wait_for collected '^<30>.*rowcast\[[0-9]+\]: close stream=1 user="ann\\x0ab" .* why=answered '
	wait_for collected 'rowcast\[[0-9]+\]: refused status=400 '
	# Confined by now, and the file in its place.
	kill -HUP "$ROWCAST_PID"
	wait_for collected '^<30>.*rowcast\[[0-9]+\]: SIGHUP: reopening'
	fcgi --get /health
	note_rest # SQLite keeps the old descriptor for the next time
	fcgi --get '?last=x' REMOTE_ADDR=192.0.2.7
	wait_for collected 'refused status=400 .* address=192.0.2.7 '
	assert_equal "$(cat "$T/rowcast.err")" ''
	assert_healthy
}

@test "syslog: a daemon that is started again gets the lines again" {
	local inside=(nsenter -m)
	[[ $EUID -eq 0 ]] || inside=(nsenter -U --preserve-credentials -m)
	init_db
	start_beside /dev/log --log-to syslog
	wait_for collected 'listens on'
	# The old one goes, and its socket with it, as rsyslog's does.
	kill "$(pgrep -P "$ROWCAST_PID" socat)"
	"${inside[@]}" -t "$ROWCAST_PID" rm -f /dev/log
	fcgi --get '?last=x' REMOTE_ADDR=192.0.2.1
	background "${inside[@]}" -t "$ROWCAST_PID" \
		socat -u UNIX-RECVFROM:/dev/log,fork "OPEN:$T/collected,creat,append"
	wait_for "${inside[@]}" -t "$ROWCAST_PID" test -S /dev/log
	fcgi --get '?last=x' REMOTE_ADDR=192.0.2.7
	wait_for collected 'refused status=400 .* address=192.0.2.7 '
	assert_healthy
}

@test "syslog: workers write to it too" {
	init_db
	start_beside /dev/log --log-to syslog --workers 2
	fcgi --get '' HTTP_ACCEPT=application/json
	wait_for collected 'close stream=1 .* why=answered '
	kill -KILL "$(pgrep -P "$ROWCAST_PID" rowcast | head -n 1)"
	wait_for collected 'rowcast\[[0-9]+\]: worker [01] \(pid [0-9]+\) died: signal 9'
	kill -TERM "$ROWCAST_PID"
	wait_for collected 'SIGTERM: draining'
	assert_no_report
}

@test "journal: message, priority and identifier" {
	"$ROWCAST" serve --help | grep -q journal
	init_db
	start_beside /run/systemd/journal/socket --log-to journal
	fcgi --get '' HTTP_ACCEPT=application/json
	wait_for collected '^MESSAGE=close stream=1 user=- .* why=answered '
	collected '^PRIORITY=6$'
	collected '^SYSLOG_IDENTIFIER=rowcast$'
	kill -HUP "$ROWCAST_PID"
	wait_for collected '^MESSAGE=SIGHUP: reopening'
	fcgi --get /health
	note_rest
	assert_equal "$(cat "$T/rowcast.err")" ''
	assert_healthy
}

@test "journal: each pair of a line is a field, and no value makes another field" {
	init_db
	start_beside /run/systemd/journal/socket --log-to journal
	fcgi --get '?channel=orders&channel=default' HTTP_ACCEPT=application/json REMOTE_USER=alice \
		REMOTE_ADDR=192.0.2.7
	wait_for collected '^ROWCAST_WHY=answered$'
	collected '^ROWCAST_STREAM=1$'
	collected '^ROWCAST_USER=alice$'
	collected '^ROWCAST_ADDRESS=192.0.2.7$'
	collected '^ROWCAST_CHANNELS=default,orders$'
	fcgi --get '' HTTP_ACCEPT=application/json REMOTE_USER=$'bob" why=told\nROWCAST_USER=root' \
		REMOTE_ADDR=192.0.2.8
	wait_for collected '^ROWCAST_USER=bob." why=told.x0aROWCAST_USER=root$'
	fcgi --get '?last=x" user=root' REMOTE_USER=carol REMOTE_ADDR=192.0.2.9
	wait_for collected '^ROWCAST_STATUS=400$'
	collected '^ROWCAST_USER=carol$'
	run ! collected '^ROWCAST_USER=root'
	run ! collected '^ROWCAST_WHY=told'
	run ! collected '^CODE_'
	assert_equal "$(cat "$T/rowcast.err")" ''
	assert_healthy
}

# --- a log that nobody takes ----------------------------------------------------------------------------

# Asks often enough to fill any log.
flood() {
	PYTHONPATH=$CLIENTS python3 - "unix:$SOCKET" "$WAIT" 3>&- <<-'PY'
		import sys
		from streams import Crowd
		crowd = Crowd(sys.argv[1], float(sys.argv[2]))
		for turn in range(20):
		    streams = [crowd.open("?channel=" + 50 * "c", REMOTE_ADDR=f"192.0.2.{turn}") for _ in range(50)]
		    for s in streams:
		        crowd.until(lambda: s.is_open, "the stream")
		    for s in streams:
		        s.close()
		        crowd.streams.remove(s)
	PY
}
lines_lost() { fcgi --get /metrics ROWCAST_ADMIN=1 | sed -n 's/^rowcast_log_lines_lost_total //p'; }
has_lost() { [[ $(lines_lost) -gt 0 ]]; }
asks_and_is_told_of_losses() {
	fcgi --get '?last=x' REMOTE_ADDR=192.0.2.77 >/dev/null
	log_has 'warn: log lines lost=[0-9]+$'
}

@test "full: a standard error that is not read delays no stream, and losses are counted" {
	local lost
	init_db
	mkfifo "$T/fifo"
	exec 7<>"$T/fifo"
	background "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --listen-mode 0666 \
		--heartbeat "$BEAT" 2>"$T/fifo" >/dev/null 7>&-
	ROWCAST_PID=$PID
	wait_for_start "$ROWCAST_PID" fcgi --get /health
	note_rest
	listen_direct a
	flood
	wait_for has_lost
	row 1
	expect_data a 1
	lost=$(lines_lost)
	# Somebody reads again.
	background cat "$T/fifo" >"$T/rowcast.err"
	exec 7>&-
	# It may be a moment until there is room, and a line that finds none is lost too.
	wait_for asks_and_is_told_of_losses
	wait_for log_has 'refused status=400 .* address=192.0.2.77 '
	[[ $(sed -n 's/.*log lines lost=//p' "$T/rowcast.err" | head -n 1) -ge $lost ]]
	assert_healthy
}

@test "full: nor does a syslog or a journal whose daemon does not read" {
	local socket log
	init_db
	for log in syslog:/dev/log journal:/run/systemd/journal/socket; do
		COLLECTOR='exec python3 -c "import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
time.sleep(600)" "$0"' start_beside "${log#*:}" --log-to "${log%%:*}"
		listen_direct a
		flood
		wait_for has_lost
		row "$log"
		expect_data a "$log"
		assert_healthy
	done
}

# --- files ------------------------------------------------------------------------------------------------

@test "file: --log-to a file that is rotated goes on in a new one, by itself and at SIGHUP" {
	init_db
	mkdir -m 777 "$T/log"
	start_rowcast --log-to "$T/log/rowcast.log" --workers 2
	grep -qE "^$STAMP rowcast\[[0-9]+\]: info: .* listens on " "$T/log/rowcast.log"
	mv "$T/log/rowcast.log" "$T/log/rowcast.log.1"
	kill -HUP "$ROWCAST_PID"
	wait_for grep -q 'SIGHUP: reopening' "$T/log/rowcast.log"
	mv "$T/log/rowcast.log" "$T/log/rowcast.log.2"
	fcgi --get '?last=x'
	wait_for grep -q 'refused status=400' "$T/log/rowcast.log"
	refute grep -q 'refused' "$T/log/rowcast.log.2"
	assert_equal "$(stat -c %a "$T/log/rowcast.log")" 640
	stop_rowcast
	assert_equal "$(cat "$T/rowcast.err")" ''
}

@test "file: a standard error that is rotated is followed too, where rowcast may write" {
	init_db
	mkdir "$T/elsewhere"
	start_rowcast
	mv "$T/rowcast.err" "$T/rowcast.err.1"
	kill -HUP "$ROWCAST_PID"
	wait_for log_has "^$STAMP rowcast.*SIGHUP: reopening"
	fcgi --get /health
	note_rest # SQLite keeps the old descriptor for the next time
	assert_healthy

	background "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --heartbeat "$BEAT" \
		--no-confine >/dev/null 2>"$T/elsewhere/log"
	ROWCAST_PID=$PID
	wait_for_start "$ROWCAST_PID" fcgi --get /health
	note_rest
	mv "$T/elsewhere/log" "$T/elsewhere/log.1"
	fcgi --get '?last=x'
	wait_for grep -q 'refused status=400' "$T/elsewhere/log"
	assert_healthy
}

@test "file: one that cannot be opened is said at the start, and no other word is taken" {
	init_db
	run -1 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --log-to "$T/no/such/log"
	assert_output --partial "the log $T/no/such/log cannot be opened: No such file"
	run -2 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --log-to elsewhere
	assert_output --partial '--log-to: elsewhere is none of stderr, syslog, journal'
}

@test "journal: a JOURNAL_STREAM that is another's stderr is not believed" {
	init_db
	JOURNAL_STREAM=8:12345 start_rowcast
	fcgi --get '?last=x'
	log_has "^$STAMP rowcast\[[0-9]+\]: info: refused "
	refute log_has '^<'
	assert_healthy
}

@test "journal: where there is none the lines go to stderr" {
	init_db
	start_beside /run/somewhere --log-to journal
	fcgi --get '' HTTP_ACCEPT=application/json
	wait_for log_has 'info: close stream=1 .* why=answered '
	assert_healthy
}

refused_is_in() { curl -s -o /dev/null "$(url '?last=x')" && grep -q 'refused status=400' "$1"; }

@test "file: the log of a rowcast that lighttpd started is followed when it is rotated" {
	init_db
	make_program
	printf '#!/bin/sh\nexec %q "$@"\n' "$T/real/rowcast" >"$T/bin/rowcast"
	mkdir "$T/log"
	if [[ $EUID -eq 0 ]]; then
		EXTRA_CONF=$'server.username = "www-data"\nserver.groupname = "www-data"'
		chown www-data:www-data "$T/log"
	fi
	SHIPPED_SED=(-e "s#$T/rowcast\.err#$T/log/rowcast.log#")
	start_lighttpd rowcast-spawn
	wait_for refused_is_in "$T/log/rowcast.log"
	mv "$T/log/rowcast.log" "$T/log/rowcast.log.1"
	kill -HUP "$SERVER_PID" # logrotate's: lighttpd opens its logs anew
	wait_for refused_is_in "$T/log/rowcast.log"
	mv "$T/log/rowcast.log" "$T/log/rowcast.log.2"
	wait_for refused_is_in "$T/log/rowcast.log"
	stop_server
}
