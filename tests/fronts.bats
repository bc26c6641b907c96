#!/usr/bin/env bats
# fronts.bats - HAProxy, Caddy and H2O: what the matrix does not ask of each server. Who a reader is is
# checked, rows come at once, gone pages are noticed, and a half-made choice is a closed one.
#
# shellcheck shell=bash

load helper

get() { curl -s -m "$WAIT" "$@"; }
status_of() { get -o /dev/null -w '%{http_code}' "$@"; }
user_of() { get "$@" "$(url /whoami)" | jq -r .user; }

# begin SERVER [OPTION OF SERVE...]
begin() {
	SERVER=$1
	local options=("${@:2}")
	[[ $SERVER != h2o ]] || options+=(--mount /events)
	init_db
	make_user ann right
	start_rowcast "${options[@]}"
	"start_$SERVER"
}

# Whatever a browser sends: a wrong password, no password, two headers, a ticket in front.
assert_nobody() {
	local basic
	basic=$(printf ann:wrong | base64)
	assert_equal "$(user_of)" null
	assert_equal "$(user_of -u ann:wrong)" null
	assert_equal "$(user_of -u ann:)" null
	assert_equal "$(user_of -H 'Remote-User: ann' -H 'X-User: ann' -H 'Remote_User: ann')" null
	assert_equal "$(user_of -H 'Authorization: Bearer x' -H "Authorization: Basic $basic")" null
	assert_equal "$(user_of -H "Authorization: Basic $basic" -H 'Authorization: Bearer x')" null
	assert_equal "$(user_of -H "Authorization: Bearer x, Basic $basic")" null
}

@test "claims: behind HAProxy a user without the right password is anonymous" {
	begin haproxy
	assert_nobody
	assert_equal "$(user_of -u ann:right)" ann # without the line that asks everybody
	assert_healthy
}
@test "claims: behind Caddy a user without the right password is anonymous" {
	begin caddy
	assert_nobody
	assert_healthy
}
@test "claims: behind H2O a user without the right password is anonymous" {
	begin h2o
	assert_nobody
	assert_healthy
}

# --- half a choice ----------------------------------------------------------------------------

assert_login_is_asked() {
	assert_equal "$(status_of "$(url /whoami)")" 401
	assert_equal "$(status_of -u ann:wrong "$(url /whoami)")" 401
}

@test "halves: a login without users refuses all: HAProxy" {
	with_login
	begin haproxy
	stop_server
	: >"$T/haproxy-users"
	start_haproxy
	assert_login_is_asked
	assert_healthy
}

@test "halves: a login without its file: Caddy does not start, H2O refuses all" {
	with_login
	init_db
	SERVER=caddy
	SHIPPED_SED+=(-e "s#import $T/caddy-login#import $T/gone#")
	run ! start_caddy
	SERVER=h2o
	with_login
	start_rowcast --mount /events
	start_h2o
	assert_equal "$(status_of -u ann:right "$(url /whoami)")" 500
	assert_healthy
}

@test "admin: HAProxy's and Caddy's status is for this machine only, where it is opened" {
	init_db
	start_rowcast
	for SERVER in haproxy caddy; do
		SHIPPED_SED=()
		"start_$SERVER"
		assert_equal "$(status_of "$(url /status)")" 403
		stop_server
		with_admin
		"start_$SERVER"
		assert_equal "$(status_of "$(url /status)")" 200
		assert_equal "$(status_of --interface 127.0.0.2 "$(url /status)")" 403
		stop_server
	done
	assert_healthy
}

# --- time ---------------------------------------------------------------------------------------

doctor() {
	run --separate-stderr "$ROWCAST" doctor --json --wait 20 --db "$DB" --send-probe doctor "$@"
	printf '%s\n' "$output" >"$T/doctor.json"
}
level_of() { jq -r --arg c "$1" '[.[] | select(.check == $c).level] | join(",")' "$T/doctor.json"; }

@test "delay: HAProxy without http-no-delay is found by doctor, with its remedy" {
	SHIPPED_SED=(-e '/option http-no-delay/d')
	begin haproxy --heartbeat 3
	doctor "$(url)"
	assert_equal "$(level_of delay)" warning
	run jq -r '.[] | select(.check == "delay").remedy' "$T/doctor.json"
	assert_output --partial 'option http-no-delay'
	assert_healthy
}

@test "delay: HAProxy as shipped has none" {
	begin haproxy --heartbeat 3
	doctor "$(url)"
	assert_equal "$(level_of delay)" ''
	assert_equal "$(level_of probe)" ok
	assert_healthy
}

# A second BEGIN_REQUEST on a connection with a stream is refused and ends nothing (doc/FRONTS.md).
@test "multiplex: HAProxy with mpxs-conns and http-reuse always opens each page" {
	local page
	SHIPPED_SED=(-e 's/no option keep-conn/option keep-conn\n\toption mpxs-conns/'
		-e 's/use-fcgi-app rowcast/use-fcgi-app rowcast\n\thttp-reuse always/')
	begin haproxy
	for page in a b c d e; do
		listen "$page" "$(url)"
	done
	row 1
	for page in a b c d e; do
		expect_data "$page" 1
	done
	close_all
	stop_server # a kept connection is not closed when its page leaves
	assert_healthy
}

@test "mount: what is not below it is left alone, and the option is checked" {
	init_db
	start_rowcast --mount /events
	run fcgi --get '' PATH_INFO=/events/health
	assert_line --partial 'ok'
	run fcgi --get '' PATH_INFO=/health
	assert_line --partial 'ok'
	run fcgi --get '' PATH_INFO=/eventshealth
	assert_output --partial 404
	assert_healthy
	for mount in events / /events/; do
		run -2 "$ROWCAST" serve --db "$DB" --mount "$mount"
		assert_output --partial 'is not a path such as /events'
	done
}
