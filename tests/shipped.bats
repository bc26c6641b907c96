#!/usr/bin/env bats
# shipped.bats - the shipped configurations fail closed: each line that they show as an example is
# uncommented alone, and either the web server does not start or what the line promises holds.
#
# shellcheck shell=bash

load helper

# Each example is a line that begins with # and no space; prose begins with # and a space.
examples_of() { grep -nE $'^\t*#[^ #!]' "$SRC/$1" | cut -d: -f1; }
text_of() { sed -n "$2s/^\t*#//p" "$SRC/$1"; }

status_of() { curl -s -m "$WAIT" -o "$T/answer" -w '%{http_code}' "$@"; }
poll() { status_of -H 'Accept: application/json' "$@"; }

# What the line with this text promises.
assert_keeps() {
	case $1 in
	*login* | *RowcastLogin* | *session*)
		assert_no_stranger
		;;
	*ROWCAST_CHANNELS*)
		assert_equal "$(poll "$(url '?channel=public')")" 200
		assert_equal "$(poll "$(url '?channel=secret')")" 403
		;;
	*ROWCAST_ALLOW_PUBLISH*=*1*ROWCAST_PUBLISH*) # lighttpd's CGI: both in one line, as it says
		assert_equal "$(status_of -d 'channel=secret' -d data=x "$(url)")" 403
		;;
	*PUBLISH* | *LimitRequestBody* | *max_body_size* | *max-request-size*)
		assert_unpublished
		;;
	*ROWCAST_ADMIN* | *rowcast_admin*)
		assert_equal "$(status_of --interface 127.0.0.2 "$(url /status)")" 403
		assert_equal "$(status_of "$(url /status)")" 200
		;;
	*)
		fail "this test knows no promise of the example: $1"
		;;
	esac
}
# Without --allow-publish POST is 405, without a channel that may be published on 403.
assert_unpublished() {
	local answer
	answer=$(status_of -d 'channel=orders' -d data=x "$(url)")
	[[ $answer =~ ^40[35]$ ]] || fail "POST: $answer"
}
assert_no_stranger() {
	local answer
	for who in '' ann:wrong bob:; do
		answer=$(poll ${who:+-u "$who"} "$(url '?since=all')")
		[[ $answer =~ ^(401|403|500)$ ]] || fail "a stranger ($who) got $answer"
	done
}

# each_example SERVER FILE: one start for each of its examples.
each_example() {
	local server=$1 conf=$2 file=$1/$2.conf number text
	[[ -n $(examples_of "$file") ]]
	for number in $(examples_of "$file"); do
		text=$(text_of "$file" "$number")
		echo "example: $file:$number: $text"
		SHIPPED_SED=(-e "${number}s/^(\t*)#/\1/")
		if "start_$server" "$conf" 2>/dev/null; then
			assert_keeps "$text"
			stop_server
		else
			: >"$T/server.err" # closed
		fi
	done
}

serving() {
	init_db
	sql "INSERT INTO notification(data, recipient) VALUES ('secret', 'ann')"
	[[ $1 == *-* ]] && make_program ROWCAST_HEARTBEAT="$BEAT" || start_rowcast
}

# With a password file and without one.
check_file() {
	serving "$2"
	each_example "$@"
	printf 'ann:%s\n' "$(openssl passwd -apr1 right)" >"$T/htpasswd"
	each_example "$@"
	[[ $2 == *-* ]] || assert_healthy
}

@test "shipped: each example alone fails closed: Apache" { check_file apache rowcast; }
@test "shipped: each example alone fails closed: Apache's CGI" { check_file apache rowcast-cgi; }
@test "shipped: each example alone fails closed: lighttpd" { check_file lighttpd rowcast; }
@test "shipped: each example alone fails closed: lighttpd's CGI" { check_file lighttpd rowcast-cgi; }
@test "shipped: each example alone fails closed: lighttpd starts rowcast" { check_file lighttpd rowcast-spawn; }
@test "shipped: each example alone fails closed: nginx" { check_file nginx rowcast; }

@test "shipped: no example is a block, of which a half could be taken" {
	local file number
	for file in apache/*.conf lighttpd/*.conf nginx/*.conf; do
		file=${file#"$SRC/"}
		run ! grep -nE $'^\t*#[^ ].*\{$|^\t*#<|^\t*#\}' "$SRC/$file"
	done
}

@test "shipped: lighttpd's login and bounds hold where another file loads mod_fastcgi first" {
	init_db
	start_rowcast
	printf 'ann:%s\n' "$(openssl passwd -apr1 right)" >"$T/htpasswd"
	with_login ROWCAST_CHANNELS
	SHIPPED_SED+=(-e '/^server.modules/i server.modules += ( "mod_fastcgi" )')
	start_lighttpd
	assert_no_stranger
	assert_equal "$(poll -u ann:right "$(url '?channel=public')")" 200
	assert_equal "$(poll -u ann:right "$(url '?channel=secret')")" 403
	assert_healthy
}

@test "shipped: nginx starts with the include of a file that is gone, as after a purge" {
	EXTRA_CONF="include $T/gone*.conf;"
	init_db
	start_rowcast
	start_nginx
	assert_equal "$(status_of "$(url /health)")" 200
	grep -q '^#       include snippets/rowcast\*\.conf;' "$SRC/nginx/rowcast.conf"
	assert_healthy
}
