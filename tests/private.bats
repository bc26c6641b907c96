#!/usr/bin/env bats
# private.bats - nobody gets a row that is not theirs: behind the real web servers, with the logins
# that their shipped configurations show, in every representation.
#
# shellcheck shell=bash

load helper

# Rows are named after those whom they are for: for-ann-1 is ann's, for-all-1 everyone's. Names
# that differ by case only are different users, and so is the one of no letters.
USERS=(ann bob Bob)

make_users() {
	{
		printf 'ann:%s\n' "$(openssl passwd -apr1 pass-ann)"
		printf 'bob:%s\n' "$(openssl passwd -6 pass-bob)"
		printf 'Bob:%s\n' "$(openssl passwd -6 pass-Bob)"
	} >"$T/htpasswd"
	chmod 644 "$T/htpasswd"
}

# One row for each user and one for all, with the number N and the same collapse key, in one
# transaction, the public row last. private_rows N [CHANNEL]
private_rows() {
	local user values=
	for user in "${USERS[@]}"; do
		values+="('${2:-default}', '$user', 'for-$user-$1', 'key'),"
	done
	sql "INSERT INTO notification(channel, recipient, data, collapse_key)
	     VALUES $values ('${2:-default}', '', 'for-nobody-$1', 'key'),
	     ('${2:-default}', NULL, 'for-all-$1', 'key')"
}

# The rows in what a reader has got, whatever its form. seen_in NAME
seen_in() { grep -aoE 'for-[A-Za-z]+-[0-9]+' "$T/$1.out" | sort -u | paste -sd' '; }
in_order() { tr ' ' '\n' <<<"$1" | sort -u | paste -sd' '; }
has_seen() { grep -aq -- "$2" "$T/$1.out"; }
wait_until_seen() { wait_for has_seen "$1" "$2" || fail "$1 has not got $2: $(cat "$T/$1.head" "$T/$1.out")"; }

get() { curl -s -m "$WAIT" "$@"; }
status_of() { get -o "$T/answer" -w '%{http_code}' "$@"; }

# --- every representation, live and in replay --------------------------------------------------

# Readers of one user that begin with the history. open_replays USER [curl's options]
open_replays() {
	local user=$1
	shift
	open_stream "$user-all" "$(url '?since=all')" "$@"
	open_stream "$user-exact" "$(url '?since=all&channel=default')" "$@"
	open_stream "$user-glob" "$(url '?since=1h&channel=d*')" "$@"
	open_stream "$user-resume" "$(url)" -H "Last-Event-ID: $BASE" "$@"
	open_stream "$user-last" "$(url '?last=1000')" "$@"
	open_stream "$user-envelope" "$(url '?since=all&envelope=1')" "$@"
	open_stream "$user-throttle" "$(url '?since=all&throttle=50')" "$@"
	open_stream "$user-ndjson" "$(url '?since=all')" -H 'Accept: application/x-ndjson' "$@"
	REPLAYS=(all exact glob resume last envelope throttle ndjson)
}

# Readers that get what is new.
open_lives() {
	local user=$1
	shift
	listen "$user-live" "$(url)" "$@"
	listen "$user-live-exact" "$(url '?channel=default')" "$@"
	open_stream "$user-live-ndjson" "$(url '?channel=*')" -H 'Accept: application/x-ndjson' "$@"
	wait_until_seen "$user-live-ndjson" last_event_id
	open_stream "$user-poll" "$(url "?wait=$WAIT&last_event_id=$(tail_id)")" -H 'Accept: application/json' "$@"
	LIVES=(live live-exact live-ndjson poll)
}

# Expects that each reader of the user has seen the public row and just these.
# assert_seen USER ROWS READER...
assert_seen() {
	local user=$1 rows=$2 reader
	shift 2
	for reader; do
		wait_until_seen "$user-$reader" for-all-2
		assert_equal "$reader of $user: $(seen_in "$user-$reader")" "$reader of $user: $(in_order "$rows")"
	done
}

poll() {
	local query=$1
	shift
	get -H 'Accept: application/json' "$@" "$(url "$query")" | jq -r '[.events[].data] | join(" ")'
}

# Four streams of each kind and user, all with equal patterns.
check_everything_of() {
	local user
	declare -a credentials
	BASE=$(tail_id)
	private_rows 0 # superseded by the next: those of another user supersede nothing
	private_rows 1
	start_rowcast
	"start_$SERVER"
	for user in "${USERS[@]}"; do
		open_replays "$user" -u "$user:pass-$user"
	done
	for user in "${USERS[@]}"; do
		for reader in "${REPLAYS[@]}"; do
			wait_until_seen "$user-$reader" for-all-1
		done
		open_lives "$user" -u "$user:pass-$user"
	done
	wait_for streams_are $((${#USERS[@]} * (${#REPLAYS[@]} + ${#LIVES[@]})))
	private_rows 2
	for user in "${USERS[@]}"; do
		credentials=(-u "$user:pass-$user")
		assert_seen "$user" "for-$user-2 for-all-2" "${LIVES[@]}"
		assert_seen "$user" "for-$user-1 for-$user-2 for-all-1 for-all-2" "${REPLAYS[@]}"
		assert_equal "$(poll '?since=all' "${credentials[@]}")" "for-$user-2 for-all-2"
		assert_equal "$(poll '?last=2' "${credentials[@]}")" "for-$user-2 for-all-2"
		assert_equal "$(poll '?last=1&channel=default' "${credentials[@]}")" for-all-2
		assert_equal "$(poll "?last_event_id=$BASE&channel=default" "${credentials[@]}")" "for-$user-2 for-all-2"
	done
}

# Without a password, with a wrong one, and with somebody else's.
check_nobody_else_gets_in() {
	local who
	run status_of "$(url '?since=all')"
	assert_output 401
	for who in ann:wrong ann:pass-bob ann: :pass-ann Ann:pass-ann 'ann :pass-ann' eve:pass-ann; do
		run status_of -u "$who" "$(url '?since=all')"
		assert_output 401
		run grep -c for- "$T/answer"
		assert_output 0
	done
	run status_of -H 'Authorization: Bearer x' "$(url '?since=all')"
	assert_output --regexp '^40[01]$'
}

login() {
	SERVER=$1
	init_db
	make_users
	with_login
	check_everything_of
	check_nobody_else_gets_in
	assert_healthy
}

@test "login: Apache's users get their own rows and the public ones, in every form" { login apache; }
@test "login: lighttpd's users get their own rows and the public ones, in every form" { login lighttpd; }
@test "login: nginx's users get their own rows and the public ones, in every form" { login nginx; }

# --- claims ------------------------------------------------------------------------------------------

# Everything by which a browser might call itself somebody, or allow itself more.
CLAIMS=(-u bob:pass-bob)
for name in Remote-User Remote_User REMOTE_USER X-Remote-User X_Remote_User Http-Remote-User Redirect-Remote-User \
	X-Forwarded-User X-User User Auth-User Proxy-User; do
	CLAIMS+=(-H "$name: bob")
done
for name in Rowcast-Channels Rowcast_Channels ROWCAST_CHANNELS Http-Rowcast-Channels Redirect-Rowcast-Channels; do
	CLAIMS+=(-H "$name: *")
done
for name in Rowcast-Admin Rowcast_Admin ROWCAST_ADMIN X-Rowcast-Admin; do
	CLAIMS+=(-H "$name: 1")
done
CLAIMS+=(-H 'Proxy: bob' -H 'Cookie: REMOTE_USER=bob; rowcast_user=bob')

claims() {
	local resource
	SERVER=$1
	init_db
	with_examples 'ROWCAST_CHANNELS'
	private_rows 1 public
	private_rows 1 orders
	start_rowcast
	"start_$SERVER"
	listen a "$(url '?since=all&_REMOTE_USER=bob&_user=bob&_ROWCAST_CHANNELS=*')" "${CLAIMS[@]}"
	listen b "$(url '?channel=*')" "${CLAIMS[@]}"
	private_rows 2 orders
	private_rows 2 public
	wait_until_seen a for-all-2
	wait_until_seen b for-all-2
	assert_equal "$(seen_in a)" 'for-all-1 for-all-2'
	assert_equal "$(seen_in b)" 'for-all-2'
	# The public rows of the other channel are named alike: count them.
	assert_equal "$(row_events a | wc -l)" 2
	assert_equal "$(row_events b | wc -l)" 1
	for resource in /status /metrics '?channel=orders'; do
		run status_of "${CLAIMS[@]}" "$(url "$resource")"
		assert_output 403
	done
	assert_healthy
}

@test "claims: headers and parameters grant nothing behind Apache" { claims apache; }
@test "claims: headers and parameters grant nothing behind lighttpd" { claims lighttpd; }
@test "claims: headers and parameters grant nothing behind nginx" { claims nginx; }

logged_in_claims() {
	SERVER=$1
	init_db
	make_users
	with_login
	private_rows 1
	start_rowcast
	"start_$SERVER"
	listen a "$(url '?since=all')" "${CLAIMS[@]}" -u ann:pass-ann
	wait_until_seen a for-all-1
	assert_equal "$(seen_in a)" 'for-all-1 for-ann-1'
	# Two of them: one is taken, or none, and its password counts.
	status_of -H "Authorization: Basic $(printf ann:pass-ann | base64)" \
		-H "Authorization: Basic $(printf bob:x | base64)" "$(url '?last=10')" -H 'Accept: application/json'
	run grep -c for-bob "$T/answer"
	assert_output 0
	assert_healthy
}

@test "claims: a user who logged in to Apache is no other user" { logged_in_claims apache; }
@test "claims: a user who logged in to lighttpd is no other user" { logged_in_claims lighttpd; }
@test "claims: a user who logged in to nginx is no other user" { logged_in_claims nginx; }

@test "claims: nginx's \$remote_user without auth_basic is the trap that its file warns of" {
	init_db
	SHIPPED_SED=(-e 's/^\tfastcgi_param HTTPS .*/\tfastcgi_param REMOTE_USER $remote_user;/')
	private_rows 1
	start_rowcast
	start_nginx
	listen trapped "$(url '?since=all')" -u bob:any
	wait_until_seen trapped for-all-1
	assert_equal "$(seen_in trapped)" 'for-all-1 for-bob-1'
	run sed -n '/reach REMOTE_USER/,/fastcgi_params/p' "$SRC/nginx/rowcast.conf"
	assert_output --partial 'does not check'
	assert_healthy
}

# --- an application's login, by nginx's auth_request ---------------------------------------------------

start_login() {
	background python3 "$CLIENTS/login.py" "$T/login.port" >"$T/login.err" 2>&1
	wait_for test -s "$T/login.port"
	with_examples 'include .*session'
	SHIPPED_SED+=(-e "s#127\.0\.0\.1:8080#127.0.0.1:$(cat "$T/login.port")#")
}

@test "auth_request: the session's user gets their rows, whatever the headers say" {
	local user
	init_db
	start_login
	private_rows 1
	start_rowcast
	start_nginx
	for user in ann bob; do
		open_stream "$user" "$(url '?since=all')" "${CLAIMS[@]}" -H "Cookie: session=s3cret-$user"
		wait_until_seen "$user" for-all-1
	done
	private_rows 2
	for user in ann bob; do
		wait_until_seen "$user" for-all-2
		assert_equal "$(seen_in "$user")" "for-all-1 for-all-2 for-$user-1 for-$user-2"
	done
	for session in session=wrong session= session=S3CRET-ANN ' ' 'session=wrong; Session=s3cret-ann'; do
		run status_of "${CLAIMS[@]}" -H "Cookie: $session" "$(url '?since=all')"
		assert_output 401
	done
	run status_of "$(url)"
	assert_output 401
	# The login's own address is nginx's alone.
	run status_of -H 'Cookie: session=s3cret-ann' "$(url /rowcast-session)"
	assert_output 404
	assert_healthy
}

@test "auth_request: with a session without a name the reader is anonymous" {
	init_db
	start_login
	private_rows 1
	start_rowcast
	start_nginx
	listen a "$(url '?since=all')" "${CLAIMS[@]}" -H "Cookie: session=nameless"
	wait_until_seen a for-all-1
	assert_equal "$(seen_in a)" for-all-1
	assert_healthy
}

# --- bounds together with a login ---------------------------------------------------------------------------

bounded_login() {
	SERVER=$1
	init_db
	make_users
	with_login ROWCAST_CHANNELS
	private_rows 1 orders
	private_rows 1 news.eu
	start_rowcast
	"start_$SERVER"
	listen a "$(url '?since=all')" -u ann:pass-ann
	listen b "$(url '?since=all&channel=*&channel=%5B%5Ex%5D*&channel=ord?rs')" -u ann:pass-ann
	listen c "$(url '?since=all&channel=o*')" -u ann:pass-ann
	private_rows 2 orders
	private_rows 2 public
	private_rows 2 news
	private_rows 3 news.
	wait_until_seen a for-all-3
	wait_until_seen b for-all-3
	assert_equal "$(data_of a | paste -sd' ')" 'for-ann-1 for-all-1 for-ann-2 for-all-2 for-ann-3 for-all-3'
	assert_equal "$(data_of b)" "$(data_of a)"
	wait_for has_beats c 2
	assert_equal "$(data_of c)" ''
	for channel in orders public. news Public public%20 %70ublicx 'public%00'; do
		run status_of -u ann:pass-ann "$(url "?channel=public&channel=$channel")"
		assert_output --regexp '^40[03]$'
	done
	assert_healthy
}

@test "bounds: Apache's user gets neither her own nor public rows outside of the location" { bounded_login apache; }
@test "bounds: lighttpd's user gets neither her own nor public rows outside of the location" { bounded_login lighttpd; }
@test "bounds: nginx's user gets neither her own nor public rows outside of the location" { bounded_login nginx; }

# --- the administrator's resources -------------------------------------------------------------------------------

# check_admin [how curl is to look like another machine]
check_admin() {
	local path
	init_db
	with_admin
	start_rowcast
	"start_$SERVER"
	run status_of "$(url /status)"
	assert_output 200
	assert_equal "$(jq -r 'type' "$T/answer")" object
	run status_of "$(url /metrics)"
	assert_output 200
	run status_of -H 'Accept: text/html' "$(url /status)"
	assert_output 200
	for path in /status /metrics /status/ //status /./status /%73tatus '/metrics?x' /health/../status; do
		run status_of --path-as-is "$@" "$(url "$path")"
		assert_output --regexp '^40[034]$'
	done
	run get "$@" "$(url /health)"
	assert_output ok
	listen a "$(url)" "$@"
	assert_healthy
}

@test "admin: status and metrics behind Apache are for this machine only" {
	SERVER=apache
	EXTRA_CONF='LoadModule remoteip_module /usr/lib/apache2/modules/mod_remoteip.so
		RemoteIPHeader X-Forwarded-For
		RemoteIPInternalProxy 127.0.0.1'
	check_admin -H 'X-Forwarded-For: 192.0.2.7'
}
@test "admin: status and metrics behind lighttpd are for this machine only" {
	SERVER=lighttpd
	check_admin --interface 127.0.0.2 -H 'X-Forwarded-For: 127.0.0.1'
}
@test "admin: status and metrics behind nginx are for this machine only" {
	SERVER=nginx
	check_admin --interface 127.0.0.2 -H 'X-Forwarded-For: 127.0.0.1' -H 'X-Real-IP: 127.0.0.1'
}

# --- the pages that streams share --------------------------------------------------------------

# One page of rows is kept for the next stream that needs the same. Here everybody needs the same,
# but for the name: each gets their own. direct_poll USER QUERY
direct_poll() {
	fcgi --get "$2" "HTTP_ACCEPT=application/json" ${1:+"REMOTE_USER=$1"} | sed '1,/^\r$/d' |
		jq -r '[.events[].data] | join(" ")'
}

check_pages() {
	local user expected
	init_db
	BASE=$(tail_id)
	private_rows 1
	start_rowcast "$@"
	for user in ann bob '' Bob ann anna; do
		case $user in
		ann | bob | Bob) expected="for-$user-1 for-all-1" ;;
		*) expected='for-all-1' ;;
		esac
		assert_equal "$user: $(direct_poll "$user" "?last_event_id=$BASE")" "$user: $expected"
		assert_equal "$user: $(direct_poll "$user" "?last=3&channel=default")" "$user: $expected"
	done
	assert_healthy
}

@test "pages: each user's page is made for that user, from the window" { check_pages; }
@test "pages: each user's page is made for that user, from the table" { check_pages --window-bytes 1; }
