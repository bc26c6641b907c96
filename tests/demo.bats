#!/usr/bin/env bats
# demo.bats - tools/demo: a page in one command, and nothing left of it afterwards.
#
# shellcheck shell=bash

load helper

# Starts the demo and returns when it has said where it is. Sets DEMO and BASE.
start_demo() {
	export ROWCAST
	TMPDIR=$T background "$SRC/tools/demo" "$@" >"$T/demo.log" 2>&1
	DEMO=$PID
	wait_for_start "$DEMO" grep -q Ctrl-C "$T/demo.log" || fail "$(cat "$T/demo.log")"
	BASE=$(sed -n 's/^ *Open *//p' "$T/demo.log")
	DEMO_DB=$(sed -n "s/^ *Insert .* --db \\([^ ]*\\) .*/\\1/p" "$T/demo.log")
}

@test "demo: serves the page and the stream, and Ctrl-C leaves nothing behind" {
	start_demo --port "$(free_port)"
	run curl -s "$BASE"
	assert_output --partial '<title>rowcast'
	run curl -s -o /dev/null -w '%{http_code} %{content_type}' "${BASE}demo.js"
	assert_output '200 text/javascript'
	listen a "${BASE}events"
	"$ROWCAST" send --db "$DEMO_DB" Hello
	expect_data a Hello
	sqlite3 -cmd '.timeout 10000' "$DEMO_DB" "INSERT INTO notification(data) VALUES ('again')"
	expect_data a again
	kill -INT -- "-$DEMO"
	wait_for group_is_gone "$DEMO"
	wait_for stream_ended a
	wait "$DEMO"
	run find "$T" -name 'rowcast-demo.*'
	assert_output ''
	run pgrep -f "$DEMO_DB"
	assert_output ''
}

# The second signal comes at the first command of the cleaning up, which the first one has begun.
@test "examples: a second signal does not end the cleaning up" {
	cat >"$T/example" <<-'SH'
		source "$1/examples/site.bash"
		site_begin signals
		echo "$dir"
		set -T
		trap '[[ ${FUNCNAME[0]:-} != site_end ]] || kill -INT $$' DEBUG
		kill -TERM $$
	SH
	run -0 env TMPDIR="$T" ROWCAST="$ROWCAST" bash "$T/example" "$SRC"
	assert_output --partial "$T/rowcast-signals."
	run find "$T" -name 'rowcast-signals.*'
	assert_output ''
}

@test "demo: answers under its own names only" {
	local host path
	start_demo --quiet --port "$(free_port)"
	for host in evil.example evil.example:8080 127.0.0.1.evil.example localhost.evil.example; do
		for path in '' demo-config.json events events/health private/events; do
			run curl -s -m 5 -o /dev/null -w '%{http_code}' -H "Host: $host" "$BASE$path"
			assert_output 403
		done
	done
	run curl -s -o /dev/null -w '%{http_code}' -H 'Host: localhost:8080' "${BASE}events/health"
	assert_output 200
	end_group INT "$DEMO"
}

@test "demo: the writer inserts what the page shows, ticks that collapse, and ends with the demo" {
	start_demo --port "$(free_port)"
	listen a "${BASE}events?channel=demo.*"
	for part in '"symbol":"Apples"' '"answer":' '"job":'; do
		wait_for grep -q "$part" "$T/a.out"
	done
	run sqlite3 "$DEMO_DB" "SELECT DISTINCT collapse_key FROM notification WHERE event = 'tick' ORDER BY 1"
	assert_output $'Apples\nPears\nPlums'
	run sqlite3 "$DEMO_DB" "SELECT count(*) FROM notification WHERE data != '' AND channel GLOB 'demo.*' AND NOT json_valid(data)"
	assert_output 0
	end_group INT "$DEMO"
	run pgrep -f "$DEMO_DB"
	assert_output ''
}

@test "demo: --quiet inserts nothing by itself" {
	start_demo --quiet --port "$(free_port)"
	refute grep -q 'and the writer' "$T/demo.log"
	listen a "${BASE}events"
	"$ROWCAST" send --db "$DEMO_DB" only
	expect_data a only
	run sqlite3 "$DEMO_DB" "SELECT count(*) FROM notification WHERE channel <> 'demo.table'"
	assert_output 1
	end_group INT "$DEMO"
}

@test "demo: private rows come to their recipient after the login that is printed, and to no other user" {
	start_demo --quiet --port "$(free_port)"
	local password
	password=$(sed -n 's/^ *Log in *as .*, password \([^,]*\),.*/\1/p' "$T/demo.log")
	run curl -s -o /dev/null -w '%{http_code}' "${BASE}private/events/health"
	assert_output 401
	run curl -s -u "ann:$password" "${BASE}private/events/health"
	assert_output ok
	listen ann "${BASE}private/events" -u "ann:$password"
	listen bob "${BASE}private/events" -u "bob:$password"
	listen all "${BASE}events"
	"$ROWCAST" send --db "$DEMO_DB" --to ann 'for ann'
	"$ROWCAST" send --db "$DEMO_DB" 'for all'
	for name in ann bob all; do expect_data "$name" 'for all'; done
	expect_data ann 'for ann'
	run grep -l 'for ann' "$T/bob.out" "$T/all.out"
	assert_failure
	end_group INT "$DEMO"
}

@test "demo: takes the next port if one is taken, and --port insists" {
	local port next
	start_demo
	port=${BASE##*:} port=${port%/}
	local first=$DEMO
	start_demo
	next=${BASE##*:} next=${next%/}
	[[ $next -gt $port ]]
	run "$SRC/tools/demo" --port "$port"
	assert_failure 1
	assert_output --partial "port $port is taken"
	end_group TERM "$DEMO"
	end_group TERM "$first"
}

@test "demo: --dir keeps the database, and starts with it again" {
	start_demo --quiet --dir "$T/kept" --port "$(free_port)"
	"$ROWCAST" send --db "$T/kept/demo.db" one
	end_group TERM "$DEMO"
	start_demo --quiet --dir "$T/kept" --port "$(free_port)"
	listen a "${BASE}events?since=all"
	expect_data a one
	end_group TERM "$DEMO"
	[[ -f $T/kept/demo.db ]]
}

@test "demo: writes nothing outside of its folder, the log of rowcast neither" {
	start_demo --dir "$T/kept" --port "$(free_port)"
	listen a "${BASE}events"
	wait_for grep -q 'open stream=1 ' "$T/kept/rowcast.log"
	run grep -E '^[^#]*"/(var|run|etc)/' <(grep -v "$T/kept" "$T/kept/rowcast.conf") # comments aside
	assert_output ''
	end_group TERM "$DEMO"
}

@test "demo: wrong usage is 2" {
	run "$SRC/tools/demo" --port
	assert_failure 2
	run "$SRC/tools/demo" --port eighty
	assert_failure 2
	run "$SRC/tools/demo" --port 0
	assert_failure 2
	run "$SRC/tools/demo" --port 70000
	assert_failure 2
	assert_output --partial 'from 1 to 65535'
	run "$SRC/tools/demo" --nonsense
	assert_failure 2
	run "$SRC/tools/demo" --help
	assert_success
}
