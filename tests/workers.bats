#!/usr/bin/env bats
# workers.bats - `rowcast serve --workers N`: processes that share the listening socket. Each row
# reaches every stream, whoever has it; a worker that dies is replaced; all of them end together.
#
# shellcheck shell=bash

load helper
load ticket

WORKERS=3

begin() {
	init_db
	start_workers "$@"
}
start_workers() {
	start_rowcast --workers "$WORKERS" "$@"
	wait_for workers_are "$WORKERS"
}
workers_of() { pgrep -P "$ROWCAST_PID" || true; }
workers_are() { [[ $(workers_of | wc -l) -eq $1 ]]; }

# What /status says, by a jq filter: of all workers together.
status_of() { fcgi --get /status ROWCAST_ADMIN=1 | sed '1,/^\r$/d' | jq -c "$1"; }
status_is() { [[ $(status_of "$1") == "$2" ]]; }

# Opens N streams in one process, over FastCGI: crowd NAME N; crowd_said NAME PATTERN
crowd() {
	background python3 "$CLIENTS/crowd.py" "unix:$SOCKET" "$2" streams >"$T/$1.crowd" 2>&1
	READER[$1]=$PID
	wait_for crowd_said "$1" "open=$2 "
}
crowd_said() { grep -q -- "$2" "$T/$1.crowd"; }

# As assert_healthy, for the workers too.
assert_workers_healthy() {
	close_all
	wait_for status_is .streams 0 || fail "streams were not freed: $(status_of .streams)"
	workers_are "$WORKERS" || fail "workers: $(workers_of)"
	assert_no_report
	stop_parent
	assert_no_report # leaks are reported at exit
}
# SIGTERM to the parent alone; all end, exit code 0.
stop_parent() {
	local workers
	workers=$(workers_of)
	kill -TERM "$ROWCAST_PID"
	wait "$ROWCAST_PID" || fail "exit code $?"
	all_gone "$workers" || fail "workers outlived it"
}
all_gone() {
	local worker
	for worker in $1; do
		! kill -0 "$worker" 2>/dev/null || return 1
	done
}

@test "workers: a page that comes back to another worker ends its old stream there; others keep theirs" {
	local i
	begin
	listen_direct other '?client=tab' REMOTE_USER=bob
	listen_direct unnamed '' REMOTE_USER=ann
	for i in {1..12}; do listen_direct "tab$i" '?client=tab' REMOTE_USER=ann; done
	wait_for status_is .streams 3
	assert_equal "$(status_of .closed.replaced)" 11
	rows 1 2
	for i in tab12 other unnamed; do expect_data "$i" 2; done
	wait_for grep -q '^: replaced' "$T/tab11.out"
	assert_workers_healthy
}

@test "workers: three processes serve, and every stream gets every row" {
	begin
	crowd a 300
	rows 1 20
	wait_for crowd_said a rows=6000
	assert_equal "$(status_of .streams)" 300
	assert_workers_healthy
}

@test "workers: /status and /metrics sum the counters of all" {
	begin
	crowd a 60
	rows 1 10
	wait_for crowd_said a rows=600
	# Each look may be answered by another worker.
	for _ in 1 2 3 4 5; do
		assert_equal "$(status_of '[.streams, .opened, .events]')" '[60,60,600]'
	done
	run fcgi --get /metrics ROWCAST_ADMIN=1
	assert_line 'rowcast_streams{format="sse"} 60'
	assert_line 'rowcast_events_total 600'
	end_group KILL "${READER[a]}"
	wait_for status_is .streams 0
	assert_equal "$(status_of '[.opened, (.closed | add)]')" '[60,60]'
	assert_workers_healthy
}

# Whichever worker answers: six looks. channel_has NAME STREAMS
channel_has() {
	local said
	for _ in {1..6}; do
		said=$(fcgi --get /metrics ROWCAST_ADMIN=1 | sed -n "s/^rowcast_channel_streams{channel=\"$1\"} //p")
		[[ ${said:-0} -eq $2 ]] || return 1
	done
}
open_ones() {
	local i open=0
	for i in {1..9}; do
		stream_ended "r$i" || open=$((open + 1))
	done
	echo "$open"
}
channel_has_the_open_ones() { channel_has orders "$(open_ones)"; }

@test "workers: a channel's streams are those of all workers, also when one has been killed" {
	local i
	begin
	for i in {1..9}; do
		listen_direct "r$i" '?channel=orders'
	done
	wait_for channel_has orders 9
	kill -KILL "$(workers_of | head -n 1)"
	wait_for workers_are 3
	wait_for channel_has_the_open_ones
	for i in {1..9}; do
		close_stream "r$i"
	done
	wait_for channel_has orders 0
	assert_workers_healthy
}

@test "workers: --max-streams counts those of all of them" {
	begin --max-streams 20
	background python3 "$CLIENTS/crowd.py" "unix:$SOCKET" 60 streams >"$T/a.crowd" 2>&1
	READER[a]=$PID
	# Two workers may see the last place at the same time.
	wait_for crowd_said a 'closed=\(3[89]\|40\)'
	[[ $(status_of .streams) -ge 20 && $(status_of .streams) -le 22 ]]
	assert_workers_healthy
}

@test "workers: one that is killed is replaced, its streams resume, the others do not notice" {
	local i victim last
	begin
	for i in {1..6}; do
		listen_direct "r$i"
	done
	rows 1 5
	for i in {1..6}; do
		expect_data "r$i" 5
	done
	for victim in $(workers_of); do
		kill -KILL "$victim"
		rows 6 10
	done
	row last
	wait_for workers_are 3
	for i in {1..6}; do
		wait_for ended_or_has "r$i" last
		last=$(last_id "r$i")
		cp "$T/r$i.out" "$T/first$i.out"
		close_stream "r$i"
		listen_direct "r$i" '' HTTP_LAST_EVENT_ID="$last"
	done
	row end
	for i in {1..6}; do
		expect_data "r$i" end
		assert_equal "$(data_of "first$i"; data_of "r$i")" \
			"$(sql 'SELECT data FROM notification ORDER BY id')"
		refute has_gap "r$i"
	done
	grep -q 'died: signal 9' "$T/rowcast.err"
	assert_workers_healthy
}
ended_or_has() { stream_ended "$1" || has_data "$1" "$2"; }

@test "workers: retention leaves what a worker that lags has not read yet" {
	local victim
	begin --keep-rows 5
	crowd a 60
	rows 1 20
	wait_for crowd_said a rows=1200
	victim=$(workers_of | sort -n | tail -n 1) # the first one does the deleting
	kill -STOP "$victim"
	rows 21 70
	# All that it has read goes, all that it has not stays.
	wait_for count_is 50
	assert_equal "$(sql 'SELECT min(CAST(data AS INTEGER)) FROM notification')" 21
	kill -CONT "$victim"
	wait_for crowd_said a rows=4200 # a gap would be some less
	wait_for count_is 5
	assert_workers_healthy
}
count_is() { [[ $(sql 'SELECT count(*) FROM notification') -eq $1 ]]; }

@test "workers: a killed one's streams are no longer counted" {
	local victim
	begin
	crowd a 60
	for victim in $(workers_of); do
		kill -KILL "$victim"
	done
	wait_for crowd_said a closed=60
	wait_for workers_are 3
	wait_for status_is .streams 0
	crowd b 30
	[[ $(status_of .streams) -eq 30 ]]
	rows 1 10
	wait_for crowd_said b rows=300
	assert_workers_healthy
}

@test "workers: SIGTERM, SIGINT, SIGQUIT and SIGUSR1 to the parent end every stream properly, exit code 0" {
	local signal i workers
	init_db
	for signal in TERM INT QUIT USR1; do
		start_workers
		for i in 1 2 3 4 5 6; do
			background python3 -SE "$CLIENTS/fcgi.py" "unix:$SOCKET" --seconds "$WAIT" request:1 \
				until-data:rowcast:open until-end >"$T/talk$i" 2>&1
			READER[talk$i]=$PID
		done
		wait_for status_is .streams 6
		workers=$(workers_of)
		kill "-$signal" "$ROWCAST_PID"
		wait "$ROWCAST_PID" || fail "exit code $?"
		all_gone "$workers" || fail 'workers outlived their parent'
		[[ ! -e $SOCKET ]] || fail 'the socket is still there'
		for i in 1 2 3 4 5 6; do
			wait "${READER[talk$i]}" || fail "$(cat "$T/talk$i")"
			grep -q '^END id=1 REQUEST_COMPLETE status=0' "$T/talk$i"
			grep -q 'retry: [0-9]*.*restarting\|restarting.*retry: [0-9]*' "$T/talk$i"
			unset "READER[talk$i]"
		done
	done
	assert_no_report
}

@test "workers: a parent that is killed takes its workers along, and the next one serves" {
	local workers last
	begin
	listen_direct a
	row 1
	expect_data a 1
	workers=$(workers_of)
	kill -KILL "$ROWCAST_PID"
	wait_for all_gone "$workers"
	wait_for stream_ended a
	last=$(last_id a)
	row 2
	start_workers
	listen_direct b '' HTTP_LAST_EVENT_ID="$last"
	expect_data b 2
	assert_equal "$(data_of b)" 2
	assert_workers_healthy
}

@test "workers: a database that is not there is one line and exit code 1" {
	run -1 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --workers 3
	assert_equal "${#lines[@]}" 1
	assert_output --partial "$DB"
	assert_output --partial 'rowcast init'
	[[ ! -e $SOCKET ]]
}

@test "workers: a resume through any of them brings each row once" {
	begin --window-bytes 64K
	rows 1 5000
	PYTHONPATH=$CLIENTS python3 - "unix:$SOCKET" "$DB" "$((WAIT * 2))" 3>&- <<-'PY'
		import random, sqlite3, sys
		from streams import Crowd, commit, expect
		crowd = Crowd(sys.argv[1], float(sys.argv[3]))
		db = sqlite3.connect(sys.argv[2], isolation_level=None, timeout=30)
		ids = [row[0] for row in db.execute("SELECT id FROM notification ORDER BY id")]
		starts = {}
		for _ in range(60):
		    at = random.randrange(len(ids))
		    starts[crowd.open("?since=all", HTTP_LAST_EVENT_ID=ids[at])] = at
		for i in range(5001, 5051):
		    commit(db, i)
		commit(db, "end")
		crowd.each(lambda s: s.has("end"))
		for s, at in starts.items():
		    expect(s.settings, s.data, [str(i) for i in range(at + 2, 5051)] + ["end"])
	PY
	assert_workers_healthy
}

@test "workers: all of them notice a replaced database" {
	begin
	crowd a 30
	rm -f "$DB" "$DB-wal" "$DB-shm"
	"$ROWCAST" init --db "$DB" >"$T/init.log" 2>&1
	wait_for status_is .gaps 30
	row new
	wait_for crowd_said a rows=30
	assert_workers_healthy
}

# Ctrl-C and systemd signal every process at once, and the parent then passes it on.
@test "workers: stopped all at once, they still wait --drain seconds for a slow reader" {
	local round
	init_db
	for round in 1 2 3; do
		start_workers --drain 20
		background python3 -SE "$CLIENTS/fcgi.py" "unix:$SOCKET" --seconds "$WAIT" quiet request:1 \
			until-data:rowcast:open wait-file:"$T/go$round" until-end >"$T/talk" 2>&1
		local talk=$PID
		listen_direct a
		wait_for status_is .streams 2
		sql "INSERT INTO notification(data) VALUES (hex(zeroblob(400000)))"
		row "$round"
		expect_data a "$round"
		kill -TERM -- "-$ROWCAST_PID"
		wait_for stream_ended a
		touch "$T/go$round"
		wait "$talk" || fail "round $round: $(cat "$T/talk")"
		wait "$ROWCAST_PID"
		close_all
	done
	assert_no_report
}

refused() { [[ $(status_code '' HTTP_ACCEPT=application/json HTTP_COOKIE="rowcast_ticket=$1") == 401 ]]; }
logged_by_all() { [[ $(grep -c "$1" "$T/rowcast.err") -eq $2 ]]; }

@test "SIGHUP: new keys in all workers; old tickets open nothing, their streams go on" {
	local old new try
	make_ticket_keys
	begin --ticket-key-file "$T/keys"
	old=$(mint --sub ann)
	new=$(KEY=other mint --sub ann)
	listen_direct a '' HTTP_COOKIE="rowcast_ticket=$old"
	assert_equal "$(status_code '' HTTP_COOKIE="rowcast_ticket=$new")" 401
	# A new file under the old name, as editors and configuration management make it.
	mv "$T/other" "$T/keys"
	kill -HUP "$ROWCAST_PID"
	wait_for logged_by_all 'SIGHUP: reopening' 3
	# Whichever worker takes the request.
	wait_for refused "$old"
	for try in 1 2 3 4 5 6 7 8 9 10; do
		refused "$old" || fail "try $try: an old ticket was taken"
		if refused "$new"; then fail "try $try: a new ticket was refused"; fi
	done
	sql "INSERT INTO notification(recipient, data) VALUES ('ann', 'still hers')"
	expect_data a 'still hers'
	# A file that cannot be read changes nothing.
	echo 'kid:' >"$T/keys"
	kill -HUP "$ROWCAST_PID"
	wait_for logged_by_all "the tickets' keys stay as they are: $T/keys: line 1" 3
	rm "$T/keys"
	kill -HUP "$ROWCAST_PID"
	wait_for logged_by_all "the tickets' keys stay as they are: $T/keys: cannot read" 3
	for try in 1 2 3 4 5 6; do
		refused "$old" || fail "try $try: an old ticket was taken"
		if refused "$new"; then fail "try $try: a new ticket was refused"; fi
	done
	close_all
	stop_rowcast
	assert_no_report
	assert_no_ticket_logged
}
