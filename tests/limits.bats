#!/usr/bin/env bats
# limits.bats - how many streams a user and an address may have, and how often an address may
# come: with one process, with several, and behind a web server. That nobody who is over a limit
# gets an error status, and that a place is free again in the end, whoever had it.
#
# shellcheck shell=bash

load helper
load crowd
load ticket

# The site behind it answers while the events have all that they may have of Apache's workers.
@test "apache: as shipped the events leave workers for the rest of the site" {
	local i
	init_db
	start_rowcast --retry 1000
	start_apache
	curl -sN --parallel --parallel-immediate --parallel-max 110 -o /dev/null \
		--max-time 60 $(for ((i = 0; i < 100; i++)); do echo "$(url)"; done) >/dev/null 2>&1 3>&- 4>&- &
	GROUP[$!]=1
	wait_for streams_are 100
	run curl -s -m "$WAIT" "$(url)"
	assert_line ': too many streams'
	assert_equal "$(curl -s -m "$WAIT" "http://127.0.0.1:$PORT/alive")" "$T"
	kill "$!"
}

begin() {
	init_db
	start_rowcast "$@"
}

# A poll, which is a connect like any other. poll [NAME=VALUE...]: prints the document
poll() { fcgi --get '' HTTP_ACCEPT=application/json "$@" | sed '1,/^\r$/d'; }
is_let_in() { [[ $(poll "$@") == '{"last_event_id":"'* ]]; }
is_refused() { [[ $(poll "$@") == '{"last_event_id":null,"gap":null,"events":[]}' ]]; }

# How many of N polls, one after the other, are let in. let_in N [NAME=VALUE...]
let_in() {
	local n=$1 count=0
	shift
	for ((; n > 0; n--)); do
		if is_let_in "$@"; then ((++count)); fi
	done
	echo "$count"
}

# So many, and what has come back to the bucket meanwhile, however slow this machine is.
# assert_let_in RATE TRIES [NAME=VALUE...]
assert_let_in() {
	local rate=$1 began=$SECONDS count
	shift
	count=$(let_in "$@")
	((count >= rate && count <= rate + (SECONDS - began + 1) * rate / 60)) ||
		fail "$count were let in, not $rate"
}

workers_of() { pgrep -P "$ROWCAST_PID" || true; }
workers_are() { [[ $(workers_of | wc -l) -eq $1 ]]; }
status_of() { fcgi --get /status ROWCAST_ADMIN=1 REMOTE_ADDR= | sed '1,/^\r$/d' | jq -c "$1"; }
status_is() { [[ $(status_of "$1") == "$2" ]]; }

# Opens streams until one is refused and keeps them; prints how many there were.
# fill NAME [NAME=VALUE...]
fill() {
	local name=$1 n
	shift
	for ((n = 0; n < 20; n++)); do
		open_direct "$name$n" '' "$@"
		wait_for is_answered "$name$n"
		is_open "$name$n" || break
	done
	FILLED=$n
}
is_answered() { is_open "$1" || grep -q '^: too many' "$T/$1.out"; }

# --- --connect-rate -------------------------------------------------------------------------

@test "connect rate: the burst goes through, then an address must stay away until it is full" {
	begin --connect-rate 3 --retry 1000
	assert_let_in 3 6 REMOTE_ADDR=192.0.2.7
	# Status 200, the reason, and a time: a full minute at least, or what is left of it.
	run fcgi --get '' REMOTE_ADDR=192.0.2.7
	assert_success
	refute_line --partial Status
	assert_line --partial 'Content-Type: text/event-stream'
	assert_line ': too many connects from this address'
	local retry
	retry=$(sed -n 's/^retry: //p' <<<"$output")
	((retry > 20000 && retry <= 90000)) || fail "retry: $retry"
	refute_output --partial rowcast:open
	run fcgi --get '' HTTP_ACCEPT=application/x-ndjson REMOTE_ADDR=192.0.2.7
	assert_success
	refute_output --partial last_event_id
	is_refused REMOTE_ADDR=192.0.2.7
	# Others are not concerned.
	assert_let_in 3 4 REMOTE_ADDR=192.0.2.8
	assert_healthy
}

@test "connect rate: a user makes no difference" {
	begin --connect-rate 2
	assert_let_in 2 3 REMOTE_USER=ann REMOTE_ADDR=192.0.2.9
	is_refused REMOTE_USER=bob REMOTE_ADDR=192.0.2.9
	is_refused REMOTE_ADDR=192.0.2.9
	assert_healthy
}

# status_at PATH [NAME=VALUE...]: the status of an answer
status_at() { fcgi --get "$@" | sed -n '1s/^Status: \([0-9]*\).*/\1/p;q'; }

@test "connect rate: every answer counts, also health, HEAD, 404, 400 and a bad ticket" {
	local address what
	init_db
	openssl rand -hex 32 >"$T/keys"
	chmod 600 "$T/keys"
	start_rowcast --connect-rate 3 --ticket-key-file "$T/keys"
	for what in /health /nothing '?last=x' '/ REQUEST_METHOD=HEAD' \
		'/ REQUEST_METHOD=OPTIONS' /metrics '/ REQUEST_METHOD=DELETE'; do
		((++address))
		read -ra words <<<"$what REMOTE_ADDR=192.0.2.$address"
		for _ in 1 2 3; do
			[[ $(status_at "${words[@]}") != 429 ]] || fail "$what"
		done
		# One that is over the limit by now, whatever it asks for. Time may have given back one.
		for _ in 1 2; do run fcgi --get "${words[@]}"; done
		assert_line --partial 'Status: 429'
		assert_line --regexp '^Retry-After: [1-9]'
		is_refused "REMOTE_ADDR=192.0.2.$address"
	done
	# Guessing tickets is bounded, too: over the rate none is looked at.
	for _ in 1 2 3; do
		assert_equal "$(status_at '?ticket=a.b.c' REMOTE_ADDR=192.0.2.99)" 401
	done
	for _ in 1 2; do run fcgi --get '?ticket=a.b.c' REMOTE_ADDR=192.0.2.99; done
	assert_line ': too many connects from this address'
	assert_equal "$(status_at /health REMOTE_ADDR=)" 200
	run fcgi --get /metrics ROWCAST_ADMIN=1 REMOTE_ADDR=
	assert_line --regexp '^rowcast_too_many_requests_total [1-9]'
	assert_line --regexp '^rowcast_refused_total\{reason="rate"\} [1-9]'
	assert_healthy
}

@test "connect rate: an IPv6 address counts with all of its /64, no address is no limit" {
	begin --connect-rate 2
	is_let_in REMOTE_ADDR=2001:db8:1:2::1
	is_let_in REMOTE_ADDR=2001:db8:1:2:3:4:5:6
	is_refused REMOTE_ADDR=2001:db8:1:2:ffff::7
	is_let_in REMOTE_ADDR=2001:db8:1:3::1
	is_let_in REMOTE_ADDR=::ffff:192.0.2.7
	is_let_in REMOTE_ADDR=192.0.2.7
	is_refused REMOTE_ADDR=192.0.2.7
	assert_equal "$(let_in 10 REMOTE_ADDR=)" 10
	assert_healthy
}

@test "connect rate: tokens come back one by one" {
	begin --connect-rate 600 # ten a second
	assert_equal "$(let_in 1 REMOTE_ADDR=192.0.2.7)" 1
	PYTHONPATH=$CLIENTS python3 - "unix:$SOCKET" 3>&- <<-'PY'
		import sys, time
		from streams import Crowd, check
		crowd = Crowd(sys.argv[1], 60)
		began = time.monotonic()
		let_in = tries = 0
		while let_in < 640:
		    batch = [crowd.open(HTTP_ACCEPT="application/json", REMOTE_ADDR="192.0.2.9")
		             for _ in range(20)]
		    tries += 20
		    for s in batch:
		        crowd.until(lambda: s.closed, "an answer")
		        let_in += b'"last_event_id":"' in s.body
		        crowd.streams.remove(s)
		# 600 at once; for the others there has to be time.
		took = time.monotonic() - began
		check(f"{let_in} of {tries} in {took} s", let_in - 600 <= took * 10 + 1)
	PY
	assert_healthy
}

@test "connect rate: several workers have one bucket for an address" {
	init_db
	start_rowcast --workers 3 --connect-rate 4
	wait_for workers_are 3
	assert_let_in 4 15 REMOTE_ADDR=192.0.2.7
	# A worker that dies takes nothing along: the bucket stays as empty as it is.
	kill -KILL "$(workers_of | head -n 1)"
	wait_for workers_are 3
	is_refused REMOTE_ADDR=192.0.2.7
	is_refused REMOTE_ADDR=192.0.2.7
	is_let_in REMOTE_ADDR=192.0.2.8
	assert_no_report
}

@test "connect rate: behind a web server it is the browser's address that counts" {
	begin --connect-rate 20
	start_lighttpd # asks for health some times, and that counts
	run curl -s -H 'Accept: application/json' "$(url)"
	assert_output --partial '"last_event_id":"'
	assert_let_in 20 25 REMOTE_ADDR=192.0.2.7
	for _ in {1..25}; do curl -s -H 'Accept: application/json' "$(url)" >/dev/null; done
	run curl -s -w '%{http_code}' -H 'Accept: text/event-stream' "$(url)"
	assert_line ': too many connects from this address'
	assert_line 200
	assert_healthy
}

# --- streams of a user and of an address, over all workers ---------------------------------------

@test "streams: the limits of users and addresses hold over all workers together" {
	init_db
	start_rowcast --workers 3 --max-streams-per-user 5 --max-streams-per-address 8
	wait_for workers_are 3
	fill a REMOTE_USER=ann REMOTE_ADDR=192.0.2.7
	assert_equal "$FILLED" 5
	fill b REMOTE_ADDR=192.0.2.7
	assert_equal "$FILLED" 3
	fill c REMOTE_USER=ann REMOTE_ADDR=192.0.2.8
	assert_equal "$FILLED" 0
	fill d REMOTE_USER=bob REMOTE_ADDR=192.0.2.8
	assert_equal "$FILLED" 5
	assert_equal "$(status_of .streams)" 13
	close_all
	wait_for status_is .streams 0
	fill e REMOTE_USER=ann REMOTE_ADDR=192.0.2.7
	assert_equal "$FILLED" 5
	assert_no_report
}

@test "streams: what a killed worker held is free again" {
	local i before
	init_db
	start_rowcast --workers 3 --max-streams-per-user 6
	wait_for workers_are 3
	for i in 1 2 3; do
		fill "r$i" REMOTE_USER=ann
		assert_equal "$FILLED" 6
		before=$(workers_of)
		# shellcheck disable=SC2086
		kill -KILL $before
		wait_for workers_are 3
		close_all
		wait_for status_is .streams 0
	done
	fill last REMOTE_USER=ann
	assert_equal "$FILLED" 6
	assert_no_report
}

@test "streams: a crowd that comes at once never gets more than the limit" {
	init_db
	start_rowcast --workers 3 --max-streams-per-address 7
	wait_for workers_are 3
	for _ in 1 2 3; do
		background python3 "$CLIENTS/crowd.py" "unix:$SOCKET" 120 streams >"$T/crowd" 2>&1
		local crowd=$PID
		# Two that see one too many may both go, so there may be fewer for a moment.
		wait_for grep -qE 'closed=(11[3-9]|120)$|closed=(11[3-9]|120) ' "$T/crowd"
		(($(status_of .streams) <= 7)) || fail "$(status_of .streams) streams"
		end_group KILL "$crowd"
		wait_for status_is .streams 0
	done
	assert_no_report
}

@test "streams: those of a /64 are of one address" {
	begin --max-streams-per-address 2
	listen_direct a '' REMOTE_ADDR=2001:db8::1
	listen_direct b '' REMOTE_ADDR=2001:db8::2
	open_direct c '' REMOTE_ADDR=2001:db8::3
	wait_for grep -q '^: too many streams from this address' "$T/c.out"
	listen_direct d '' REMOTE_ADDR=2001:db8:0:1::3
	close_stream a
	listen_once_free e '' REMOTE_ADDR=2001:db8::4
	assert_healthy
}
# The place is free when rowcast has noticed.
listen_once_free() { wait_for try_listen "$@"; }
try_listen() {
	open_direct "$@"
	wait_for is_answered "$1"
	is_open "$1" && return
	close_stream "$1"
	return 1
}

# --- places: taken and free again ------------------------------------------------------------

@test "limits: over --max-streams-per-user or -per-address the newest goes, a place is free again" {
	begin --max-streams-per-user 3 --max-streams-per-address 5 --retry 1000
	play <<-'PY'
		def refused(why, **settings):
		    s = crowd.open("?since=all", **settings)
		    crowd.until(lambda: s.closed, "the end of one too many")
		    s.parse()
		    check(f"{s.header!r}: not 200", "Status:" not in s.header)
		    check(f"{s.comments}", any(why in c for c in s.comments))
		    check(f"retry: {s.retries}", len(s.retries) == 1 and 1000 <= s.retries[0] <= 3000)
		    expect("rows", s.data, [])
		    check("not ended properly", s.ended)
		    crowd.streams.remove(s)
		    return s.retries[0]
		ann = dict(REMOTE_USER="ann", REMOTE_ADDR="10.0.0.1")
		old = [crowd.listen(**ann) for _ in range(3)]
		retries = {refused("user", **ann) for _ in range(20)}
		check(f"no jitter: {retries}", len(retries) > 1)
		refused("user", REMOTE_USER="ann", REMOTE_ADDR="10.0.0.2")
		old += [crowd.listen(REMOTE_USER="bob", REMOTE_ADDR="10.0.0.1"),
		        crowd.listen(REMOTE_ADDR="10.0.0.1")]
		refused("address", REMOTE_USER="eve", REMOTE_ADDR="10.0.0.1")
		refused("address", REMOTE_ADDR="10.0.0.1")
		# Those without a user are not one user.
		old += [crowd.listen(REMOTE_ADDR="10.0.0.3") for _ in range(4)]
		commit(db, "1")
		crowd.each(lambda s: s.has("1"), "a row on the old ones")
		# One of them goes: there is a place again, for one.
		old[0].close()
		crowd.streams.remove(old[0])
		def comes_in(**settings):
		    s = crowd.open(**settings)
		    crowd.until(lambda: s.is_open or s.closed, "an answer")
		    if s.closed:
		        crowd.streams.remove(s)
		    return s.is_open
		crowd.until(lambda: comes_in(**ann), "the place of the closed one")
		refused("user", **ann)
		commit(db, "2")
		crowd.each(lambda s: s.has("2"), "a row on all")
		expect("an old stream", old[1].data, ["1", "2"])
	PY
	assert_healthy
}

@test "limits: --max-streams: a stream that ends makes room for one, and no stream is ended for another" {
	begin --max-streams 20
	play <<-'PY'
		for _ in range(20):
		    crowd.open()
		crowd.each(lambda s: s.is_open)
		for turn in range(20):
		    extra = crowd.open()
		    crowd.until(lambda: extra.closed, "the end of one too many")
		    crowd.streams.remove(extra)
		    crowd.streams.pop(0).close()
		    def comes_in():
		        s = crowd.open()
		        crowd.until(lambda: s.is_open or s.closed, "an answer")
		        if s.closed:
		            crowd.streams.remove(s)
		        return s.is_open
		    crowd.until(comes_in, "the place of the closed one")
		commit(db, "row")
		crowd.each(lambda s: s.has("row"))
		expect("streams", len(crowd.streams), 20)
	PY
	assert_healthy
}

@test "limits: the soft limit of descriptors is raised to the hard one" {
	init_db
	ulimit -Sn 128
	start_rowcast
	run awk '/^Max open files/ { print $4, $5 }' "/proc/$ROWCAST_PID/limits"
	assert_output "$(ulimit -Hn) $(ulimit -Hn)"
	ulimit -Sn "$(ulimit -Hn)"
	play <<-'PY'
		for _ in range(300):
		    crowd.open()
		crowd.each(lambda s: s.is_open)
		commit(db, "row")
		crowd.each(lambda s: s.has("row"))
	PY
	assert_healthy
}

@test "limits: a user is one, by a ticket or by the web server; who is refused takes no place, but counts to the rate" {
	local ann
	make_ticket_keys
	begin --ticket-key-file "$T/keys" --max-streams-per-user 1 --connect-rate 3
	ann=$(mint --sub ann)
	listen_direct a '' REMOTE_ADDR= HTTP_COOKIE="rowcast_ticket=$ann"
	fcgi --get '' REMOTE_ADDR= REMOTE_USER=ann | grep -q '^: too many streams of this user$'
	fcgi --get '' REMOTE_ADDR= HTTP_COOKIE="rowcast_ticket=$ann" | grep -q '^: too many streams of this user$'
	close_stream a
	wait_for streams_are 0
	for _ in 1 2 3; do
		assert_equal "$(status_code '' REMOTE_ADDR=192.0.2.7 HTTP_COOKIE=rowcast_ticket=x.y.z)" 401
	done
	fcgi --get '' REMOTE_ADDR=192.0.2.7 | grep -q '^: too many connects from this address$'
	# Three polls, also long ones, and the fourth is sent away with an empty document.
	for _ in 1 2 3; do
		fcgi --get '?wait=1' REMOTE_ADDR=192.0.2.8 HTTP_ACCEPT=application/json | grep -q '"last_event_id":"'
	done
	fcgi --get '?wait=1' REMOTE_ADDR=192.0.2.8 HTTP_ACCEPT=application/json | grep -q '"last_event_id":null'
	assert_no_ticket_logged
	assert_healthy
	assert_no_ticket_logged
}
