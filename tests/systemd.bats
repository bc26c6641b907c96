#!/usr/bin/env bats
# systemd.bats - the units, the user and the folders, checked with systemd's own tools; readiness
# and watchdog as systemd sees them. tests/install.bats runs the units below a real systemd.
#
# shellcheck shell=bash

load helper

# What `make install` installs, for /usr.
setup() {
	local file
	rowcast_setup
	mkdir "$T/units"
	for file in "$SRC"/systemd/*; do
		sed -e 's#@bindir@#/usr/bin#' -e 's#@sysconfdir@#/etc#' -e 's#@webgroup@#www-data#' \
			"$file" >"$T/units/$(basename "$file" .in)"
	done
}

# The exposure of a unit, 0 (none) to 10.
exposure() {
	systemd-analyze security --offline=yes "$T/units/$1" | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p'
}

# A service manager's ear: writes each datagram to $T/notes. listen_for_notes; sets NOTIFY_SOCKET.
listen_for_notes() {
	export NOTIFY_SOCKET=$T/notify
	background socat -u "UNIX-RECV:$NOTIFY_SOCKET" "OPEN:$T/notes,creat,append"
	wait_for test -S "$NOTIFY_SOCKET"
	: >>"$T/notes"
}
# How often a word was said.
notes() { grep -ao "$1" "$T/notes" | wc -l; }
notes_are_above() { [[ $(notes "$1") -gt $2 ]]; }

# As systemd starts a service with WatchdogSec=: its process id is in the environment.
# start_watched MICROSECONDS OPTION...
start_watched() {
	local usec=$1
	shift
	# shellcheck disable=SC2016
	WATCHDOG_USEC=$usec background sh -c 'WATCHDOG_PID=$$ exec "$@"' sh "$ROWCAST" serve \
		--db "$DB" --listen "unix:$SOCKET" --heartbeat "$BEAT" "$@" >>"$T/rowcast.err" 2>&1
	ROWCAST_PID=$PID
	wait_for_start "$ROWCAST_PID" notes_are_above READY=1 0
}

@test "systemd: the units are well-formed" {
	sed -i "s#/usr/bin/rowcast#$ROWCAST#" "$T"/units/*.service
	sed -i '/^Documentation=man:/d' "$T"/units/*.service "$T"/units/*.socket "$T"/units/*.timer
	cd "$T/units"
	run systemd-analyze verify ./rowcast.service ./rowcast.socket ./rowcast-prune.service \
		./rowcast-prune.timer ./rowcast-push.service ./rowcast-follow.service
	assert_success
	refute_output --regexp 'rowcast[^ ]*:|Unknown|Failed'
}

@test "systemd: the services are exposed to at most 2.0" {
	local unit level
	for unit in rowcast.service rowcast-prune.service rowcast-push.service rowcast-follow.service; do
		level=$(exposure "$unit")
		[[ -n $level ]]
		awk "BEGIN { exit !($level <= 2.0) }" || fail "$unit: $level"
	done
	# The test can fail: less of it is worse.
	sed -i -e '/^Protect/d' -e '/^Private/d' -e '/^SystemCall/d' "$T/units/rowcast.service"
	awk "BEGIN { exit !($(exposure rowcast.service) > 2.0) }"
}

@test "systemd: the environment file has only variables that some command reads" {
	local variable known command
	known=$("$ROWCAST" --help | awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }' |
		while read -r command; do "$ROWCAST" "$command" --help; done | grep -oE 'ROWCAST_[A-Z_]+')
	for variable in $(grep -oE '^#?ROWCAST_[A-Z_]+' "$SRC/systemd/rowcast.default" | tr -d '#'); do
		grep -qx "$variable" <<<"$known" || fail "nothing reads $variable"
	done
}

# Where it listens is systemd's, and said in rowcast.socket.
@test "systemd: the environment file shows each option of serve, with its default" {
	local variable fallback
	"$ROWCAST" serve --help | sed -nE 's/^ *\[(default ([^;]*); )?(ROWCAST_[A-Z_]+)\]$/\3 \2/p' >"$T/options"
	[[ $(wc -l <"$T/options") -gt 20 ]]
	while read -r variable fallback; do
		[[ $variable != ROWCAST_LISTEN* ]] || continue
		grep -qE "^#?$variable=" "$SRC/systemd/rowcast.default" || fail "$variable is missing"
		case $variable in
		ROWCAST_KEEP_* | ROWCAST_MAX_AGE | ROWCAST_LOG_TO) ;; # off, or other than with the service
		*) [[ -z $fallback ]] || grep -q "^#$variable=$fallback$" "$SRC/systemd/rowcast.default" ||
			fail "the default of $variable is $fallback" ;;
		esac
	done <"$T/options"
}

@test "systemd: sysusers makes the user, tmpfiles the folders, and both may be asked again" {
	local root=$T/root _
	mkdir -p "$root/etc" "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
	printf 'root:x:0:\nwww-data:x:33:\n' >"$root/etc/group"
	cp "$T/units/rowcast.sysusers" "$root/usr/lib/sysusers.d/rowcast.conf"
	cp "$T/units/rowcast.tmpfiles" "$root/usr/lib/tmpfiles.d/rowcast.conf"
	for _ in 1 2; do
		systemd-sysusers --root="$root" rowcast.conf
		systemd-tmpfiles --root="$root" --create rowcast.conf
	done
	run grep ^rowcast: "$root/etc/passwd"
	assert_output --regexp '^rowcast:x:[0-9]+:[0-9]+:rowcast responder:/var/lib/rowcast:.*/nologin$'
	grep -q '^www-data:.*:rowcast$' "$root/etc/group"
	local uid
	uid=$(sed -n 's/^rowcast:x:\([0-9]*\):.*/\1/p' "$root/etc/passwd")
	assert_equal "$(stat -c '%a %u %g' "$root/var/lib/rowcast")" "2770 $uid 33"
	assert_equal "$(stat -c '%a %u %g' "$root/run/rowcast")" "755 $uid 33"
}

@test "systemd: READY=1 comes when requests are answered, STOPPING=1 at the end" {
	init_db
	listen_for_notes
	start_watched 0
	fcgi --get /health | grep -q '^ok'
	assert_equal "$(notes WATCHDOG=1)" 0
	grep -aq "STATUS=Serves table notification of $DB" "$T/notes"
	stop_rowcast
	wait_for notes_are_above STOPPING=1 0
	assert_equal "$(notes READY=1)" 1
}

@test "systemd: READY=1 does not come without a database" {
	listen_for_notes
	run -1 timeout "$WAIT" "$ROWCAST" serve --db "$T/none.db" --listen "unix:$SOCKET"
	assert_output --partial "rowcast init"
	assert_equal "$(notes READY=1)" 0
}

@test "systemd: the watchdog hears from a loop that turns, and not from one that hangs" {
	init_db
	listen_for_notes
	start_watched 200000
	wait_for notes_are_above WATCHDOG=1 5
	kill -STOP "$ROWCAST_PID"
	wait_for is_stopped "$ROWCAST_PID"
	# Once all that was said has been heard, there is silence, however often one looks.
	local before
	before=$(notes WATCHDOG=1)
	for _ in {1..20}; do
		pause 0.05
		[[ $(notes WATCHDOG=1) -le $((before + 1)) ]]
	done
	kill -CONT "$ROWCAST_PID"
	wait_for notes_are_above WATCHDOG=1 $((before + 3))
	end_group TERM "$ROWCAST_PID"
	assert_no_report
}
is_stopped() { grep -q '^State:.T' "/proc/$1/status"; }

@test "systemd: with workers their parent speaks, once, and replaces one that hangs" {
	local workers victim
	init_db
	listen_for_notes
	start_watched 1500000 --workers 2
	wait_for two_workers
	workers=$(pgrep -P "$ROWCAST_PID")
	wait_for notes_are_above WATCHDOG=1 1
	assert_equal "$(notes READY=1)" 1
	victim=${workers%%$'\n'*}
	kill -STOP "$victim"
	wait_for is_dead "$victim"
	wait_for two_workers
	grep -q "worker 0 (pid $victim) hangs: killed" "$T/rowcast.err"
	! grep -q "worker 1 .* hangs" "$T/rowcast.err"
	fcgi --get /health | grep -q '^ok'
	kill -TERM "$ROWCAST_PID"
	wait "$ROWCAST_PID"
	assert_equal "$(notes STOPPING=1)" 1
	assert_no_report
}
two_workers() { [[ $(pgrep -P "$ROWCAST_PID" | wc -l) -eq 2 ]]; }
is_dead() { ! kill -0 "$1"; }

build_folder() {
	local build
	build=$(dirname "$ROWCAST")
	[[ -f $build/Makefile ]] || build=$PWD
	echo "$build"
}

@test "systemd: make install puts everything where systemd looks" {
	make -s -C "$(build_folder)" install DESTDIR="$T/dest" prefix=/usr \
		systemdsystemunitdir=/usr/lib/systemd/system >"$T/install.log" 2>&1
	local file
	for file in lib/systemd/system/rowcast.service lib/systemd/system/rowcast.socket \
		lib/systemd/system/rowcast-push.service lib/systemd/system/rowcast-follow.service \
		lib/systemd/system/rowcast-prune.service \
		lib/systemd/system/rowcast-prune.timer \
		lib/sysusers.d/rowcast.conf lib/tmpfiles.d/rowcast.conf \
		share/bash-completion/completions/rowcast share/zsh/site-functions/_rowcast \
		share/rowcast/web/demo.html share/man/man8/rowcast-serve.8 \
		share/doc/rowcast/systemd/rowcast.default share/doc/rowcast/doc/OPERATIONS.md \
		share/doc/rowcast/contrib/grafana/rowcast.json; do
		[[ -s $T/dest/usr/$file ]] || fail "$file is missing"
	done
	(
		cd "$T/dest/usr/share/doc/rowcast/doc"
		for file in $(grep -ohE '\]\([^)#]+' ./*.md | sed -e 's/^](//' -e '/^http/d'); do
			[[ -e $file ]] || fail "the installed documents link to $file, which is not there"
		done
	)
	! grep -r '@[a-z]*@' "$T/dest/usr/lib" || fail "a name was not replaced"
}

# The files that belong into a tarball: those that git knows, or, in an unpacked one, those of the
# folders that no build writes to.
sources() {
	cd "$SRC"
	if [[ -e .git ]]; then
		git ls-files | grep -v '\.gitignore$'
	else
		find doc man sql lighttpd nginx apache contrib completions web examples tools bench/*.md \
			tests/*.bats tests/clients/*.* tests/soak/*.py tests/node/*.mjs -type f
	fi
}

@test "dist: the tarball has every file that the documents and the tests name" {
	make -s -C "$(build_folder)" distdir distdir="$T/rowcast" >"$T/dist.log" 2>&1
	local file
	for file in $(sources); do
		[[ -e $T/rowcast/$file ]] || echo "$file" >>"$T/missing"
	done
	touch "$T/missing"
	assert_equal "$(cat "$T/missing")" ''
}
