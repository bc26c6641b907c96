#!/usr/bin/env bats
# tickets.bats - signed tickets end to end: minted by PyJWT, by PHP and by `rowcast ticket`, sent
# as header, parameter and cookie through the real web servers; forged ones; keys that change;
# streams that end with their ticket. That no ticket gets into a log is looked for in each test.
#
# shellcheck shell=bash

load helper

# python3-jwt is Debian's; another python3 may come first in PATH.
PYTHON=/usr/bin/python3

setup() {
	rowcast_setup
	KEYS=$T/keys
	(umask 027 && openssl rand -hex 32 >"$KEYS")
}

# A ticket by PyJWT: mint KEY_FILE ALG CLAIMS [KID]. NOW stands for the Unix time in the claims.
mint() {
	$PYTHON - "$@" <<-'PY' | tee -a "$T/tickets.minted"
		import json, re, sys, time
		import jwt
		key, alg, claims, *kid = sys.argv[1:]
		claims = re.sub(r'NOW([+-]\d+)?', lambda m: str(int(time.time()) + int(m[1] or 0)), claims)
		key = open(key).read().strip() if key else None
		print(jwt.encode(json.loads(claims), key, alg, headers={'kid': kid[0]} if kid else None))
	PY
}
alice() { mint "$KEYS" HS256 '{"sub":"alice","channels":["orders.*"],"exp":NOW+3600}'; }

# The answer to a request over FastCGI: its first line and its body are in $output.
ask() {
	run fcgi --get "$@"
	assert_tells_no_ticket
}
assert_refusal() {
	assert_output --partial "Status: $1"
	assert_output --partial "$2"
	[[ $1 != 401 ]] || assert_output --partial 'WWW-Authenticate: Bearer'
}

# No part of a ticket that was minted here is in $output.
assert_tells_no_ticket() {
	local ticket part
	[[ -e $T/tickets.minted ]] || return 0
	while read -r ticket; do
		for part in ${ticket//./ }; do
			[[ ${#part} -le 8 || $output != *"$part"* ]] || fail "a ticket is told: $output"
		done
	done <"$T/tickets.minted"
}
# Nor in what rowcast wrote to its log or into a stream.
assert_no_ticket_told() {
	run cat "$T"/rowcast.err "$T"/*.out
	assert_tells_no_ticket
}
finish() {
	assert_no_ticket_told
	assert_healthy
	assert_no_ticket_told
}

ticket_rows() {
	row yes orders.eu
	row no invoices
	sql "INSERT INTO notification(channel, recipient, data)
	     VALUES ('orders.eu', 'bob', 'no-bob'), ('orders.eu', 'alice', 'private')"
	row end orders.end
}
assert_sees_only_its_rows() {
	ticket_rows
	expect_data "$1" end
	assert_equal "$(data_of "$1" | tr '\n' ' ')" 'yes private end '
}

# --- what a ticket does ----------------------------------------------------------------------

@test "tickets: a ticket bounds the channels and names the user" {
	init_db
	start_rowcast --ticket-key-file "$KEYS"
	listen_direct a '' HTTP_AUTHORIZATION="Bearer $(alice)"
	assert_sees_only_its_rows a
	grep -q 'open stream=1 user=alice' "$T/rowcast.err"
	finish
}

@test "tickets: location and ticket bound it both" {
	init_db
	start_rowcast --ticket-key-file "$KEYS"
	listen_direct a '' HTTP_AUTHORIZATION="Bearer $(alice)" ROWCAST_CHANNELS='*.eu *.end invoices'
	row no orders.us
	assert_sees_only_its_rows a
	ask '?channel=orders.us' HTTP_AUTHORIZATION="Bearer $(alice)" ROWCAST_CHANNELS='*.eu'
	assert_refusal 403 "ROWCAST_CHANNELS does not include it"
	ask '?channel=invoices' HTTP_AUTHORIZATION="Bearer $(alice)" ROWCAST_CHANNELS='*'
	assert_refusal 403 "channel invoices may not be read with this ticket"
	finish
}

@test "tickets: without a channels claim no bound, with an empty list nothing" {
	init_db
	start_rowcast --ticket-key-file "$KEYS"
	listen_direct a '' HTTP_AUTHORIZATION="Bearer $(mint "$KEYS" HS256 '{"sub":"alice"}')"
	listen_direct b '' HTTP_AUTHORIZATION="Bearer $(mint "$KEYS" HS256 '{"sub":"alice","channels":[]}')"
	ticket_rows
	expect_data a end
	assert_equal "$(data_of a | tr '\n' ' ')" 'yes no private end '
	# b's heartbeat has moved past the rows: none was for it.
	wait_for grep -qx "id: $(tail_id)" "$T/b.out"
	assert_equal "$(data_of b)" ''
	finish
}

@test "tickets: the web server's user and the ticket's must be one" {
	init_db
	start_rowcast --ticket-key-file "$KEYS"
	ask '' HTTP_AUTHORIZATION="Bearer $(alice)" REMOTE_USER=bob
	assert_refusal 403 'the ticket is for alice, but the web server says that this is bob'
	listen_direct a '' HTTP_AUTHORIZATION="Bearer $(alice)" REMOTE_USER=alice
	listen_direct b '' HTTP_COOKIE="rowcast_ticket=$(mint "$KEYS" HS256 '{}')" REMOTE_USER=bob
	sql "INSERT INTO notification(channel, recipient, data)
	     VALUES ('orders.x', 'alice', 'a'), ('orders.x', 'bob', 'b')"
	expect_data a a
	expect_data b b
	assert_equal "$(data_of a)$(data_of b)" ab
	finish
}

@test "tickets: header before ticket= before cookie, and a bad one is not passed over" {
	init_db
	start_rowcast --ticket-key-file "$KEYS"
	local good bad=rubbish.of.somebody
	good=$(alice)
	ask "?ticket=$good" HTTP_AUTHORIZATION="Bearer $bad" HTTP_COOKIE="rowcast_ticket=$good"
	assert_refusal 401 'the ticket is malformed'
	refute_output --partial "$bad"
	ask "?ticket=$bad" HTTP_COOKIE="rowcast_ticket=$good"
	assert_refusal 401 'the ticket is malformed'
	ask '' HTTP_COOKIE="rowcast_ticket=\"$good\""
	assert_refusal 401 'the ticket is malformed'
	ask '' HTTP_COOKIE="rowcast_ticket=$good; rowcast_ticket=$bad"
	assert_refusal 400 'two cookies rowcast_ticket'
	listen_direct a "?ticket=$good" HTTP_AUTHORIZATION='Basic eDp5' HTTP_COOKIE="rowcast_ticket=$bad"
	listen_direct b '' HTTP_COOKIE="a=b; rowcast_ticket=$good"
	listen_direct c '' HTTP_AUTHORIZATION="bearer $good" HTTP_COOKIE="rowcast_ticket=$bad"
	row yes orders.x
	expect_data a yes
	expect_data b yes
	expect_data c yes
	finish
}

@test "tickets: --require-ticket refuses streams without one, and nothing else" {
	init_db
	start_rowcast --ticket-key-file "$KEYS" --require-ticket
	ask ''
	assert_refusal 401 'a ticket is needed'
	assert_output --partial 'WWW-Authenticate: Bearer realm="rowcast"'
	refute_output --partial invalid_token
	ask '' REQUEST_METHOD=HEAD
	assert_output --partial 'Status: 401'
	ask '' REQUEST_METHOD=OPTIONS HTTP_ORIGIN=https://a.example
	assert_output --partial 'Status: 204'
	ask /health
	assert_output --partial 'Status: 200'
	ask /metrics ROWCAST_ADMIN=1
	assert_output --partial 'rowcast_closed_total{why="expired"} 0'
	ask /metrics HTTP_AUTHORIZATION="Bearer $(alice)"
	assert_refusal 403 'ROWCAST_ADMIN=1'
	listen_direct a '' HTTP_AUTHORIZATION="Bearer $(alice)"
	ask '' REQUEST_METHOD=HEAD HTTP_AUTHORIZATION="Bearer $(alice)"
	assert_output --partial 'Content-Type: text/event-stream'
	finish
}

@test "tickets: where none are known ticket= is refused, header and cookie are ignored" {
	init_db
	start_rowcast
	ask "?ticket=$(alice)"
	assert_refusal 400 '--ticket-key-file'
	listen_direct a '' HTTP_AUTHORIZATION="Bearer $(alice)" HTTP_COOKIE=rowcast_ticket=x
	row yes
	expect_data a yes
	finish
}

# --- the end ---------------------------------------------------------------------------------

@test "tickets: a stream ends with its ticket, and the next request needs a new one" {
	init_db
	start_rowcast --ticket-key-file "$KEYS"
	local short
	short=$(mint "$KEYS" HS256 '{"sub":"alice","exp":NOW+4}')
	listen_direct a '' HTTP_AUTHORIZATION="Bearer $short"
	listen_direct b '' HTTP_AUTHORIZATION="Bearer $(alice)"
	row yes orders.x
	expect_data a yes
	wait_for stream_ended a
	grep -qx ': ticket expired' "$T/a.out"
	grep -q 'close stream=1 user=alice .*why=expired' "$T/rowcast.err"
	ask '' HTTP_AUTHORIZATION="Bearer $short"
	assert_refusal 401 'the ticket expired at 20'
	assert_output --partial 'WWW-Authenticate: Bearer realm="rowcast", error="invalid_token"'
	row later orders.x
	expect_data b later
	ask /metrics ROWCAST_ADMIN=1
	assert_output --partial 'rowcast_closed_total{why="expired"} 1'
	finish
}

@test "tickets: a long poll waits no longer than its ticket lasts" {
	init_db
	start_rowcast --ticket-key-file "$KEYS"
	open_direct a '?wait=60&last_event_id='"$(tail_id)" HTTP_ACCEPT=application/json \
		HTTP_AUTHORIZATION="Bearer $(mint "$KEYS" HS256 '{"exp":NOW+4}')"
	wait_for stream_ended a # which waits for less than wait=
	grep -q '"events":\[\]' "$T/a.out"
	finish
}

@test "tickets: --max-age ends a stream before its ticket does" {
	init_db
	start_rowcast --ticket-key-file "$KEYS" --max-age 1
	listen_direct a '' HTTP_AUTHORIZATION="Bearer $(alice)"
	wait_for stream_ended a
	grep -qx ': max age reached' "$T/a.out"
	finish
}

# --- forgeries -------------------------------------------------------------------------------

@test "tickets: none, another secret, a changed payload, another hash: 401" {
	init_db
	start_rowcast --ticket-key-file "$KEYS"
	local good forged
	openssl rand -hex 32 >"$T/other"
	good=$(alice)
	# The payload of another ticket with the signature of this one.
	forged=${good%%.*}.$(mint "$T/other" HS256 '{"sub":"root"}' | cut -d. -f2).${good##*.}
	ask '' HTTP_AUTHORIZATION="Bearer $forged"
	assert_refusal 401 "the ticket's signature is wrong"
	ask '' HTTP_AUTHORIZATION="Bearer $(mint "$T/other" HS256 '{"sub":"root"}')"
	assert_refusal 401 "the ticket's signature is wrong"
	ask '' HTTP_AUTHORIZATION="Bearer $(mint '' none '{"sub":"root"}')"
	assert_refusal 401 'the ticket is malformed: it is not signed'
	ask '' HTTP_AUTHORIZATION="Bearer $(mint '' none '{"sub":"root"}')${good##*.}"
	assert_refusal 401 "alg is not that of the server's key"
	ask '' HTTP_AUTHORIZATION="Bearer $(mint "$KEYS" HS512 '{"sub":"root"}')"
	assert_refusal 401 "alg is not that of the server's key"
	finish
}

# key_pair NAME openssl's genpkey arguments
key_pair() {
	openssl genpkey -out "$T/$1.pem" "${@:2}" 2>/dev/null
	openssl pkey -in "$T/$1.pem" -pubout -out "$T/$1.pub"
}

@test "tickets: RS256 and ES256 with public keys, which are no secrets" {
	init_db
	key_pair rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048
	key_pair ec -algorithm EC -pkeyopt ec_paramgen_curve:P-256
	local name alg forged
	for name in rsa ec; do
		[[ $name == rsa ]] && alg=RS256 || alg=ES256
		start_rowcast --ticket-key-file "$T/$name.pub"
		listen_direct a '' HTTP_AUTHORIZATION="Bearer $(mint "$T/$name.pem" $alg '{"sub":"alice","channels":["orders.*"]}')"
		assert_sees_only_its_rows a
		ask '' HTTP_AUTHORIZATION="Bearer $(mint "$KEYS" HS256 '{"sub":"root"}')"
		assert_refusal 401 "alg is not that of the server's key"
		# PyJWT knows the attack and refuses to sign so; openssl does not.
		forged=$(forge_with "$T/$name.pub")
		ask '' HTTP_AUTHORIZATION="Bearer $forged"
		assert_refusal 401 "alg is not that of the server's key"
		finish
	done
}
base64url() { basenc --base64url -w 0 | tr -d '='; }
# An HS256 ticket for root with the file's bytes as the secret.
forge_with() {
	local text
	text=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url).$(printf '{"sub":"root"}' | base64url)
	printf '%s.%s\n' "$text" "$(printf %s "$text" |
		openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(xxd_of "$1")" -binary | base64url)" |
		tee -a "$T/tickets.minted"
}
xxd_of() { od -An -v -tx1 "$1" | tr -d ' \n'; }

@test "tickets: nbf, exp, aud and rubbish in claims are refused with the reason" {
	init_db
	start_rowcast --ticket-key-file "$KEYS" --ticket-audience events
	local claims reason
	while IFS='|' read -r claims reason; do
		ask '' HTTP_AUTHORIZATION="Bearer $(mint "$KEYS" HS256 "$claims")"
		assert_refusal 401 "$reason"
	done <<-'CASES'
		{"aud":"events","exp":NOW-1}|the ticket expired at 20
		{"aud":"events","nbf":NOW+60}|the ticket is not valid before 20
		{"aud":"other"}|the ticket is for another audience
		{"aud":["x","y"]}|the ticket is for another audience
		{"sub":"alice"}|the ticket is for no audience
		{"aud":"events","channels":"a b"}|its channels is not a list of patterns
		{"aud":"events","exp":NOW000}|its exp is not a time in seconds since 1970
	CASES
	listen_direct a '' HTTP_AUTHORIZATION="Bearer $(mint "$KEYS" HS256 '{"aud":["x","events"],"nbf":NOW-1}')"
	finish
}

# --- keys ------------------------------------------------------------------------------------

@test "tickets: several keys by kid; one that is taken out is refused" {
	init_db
	key_pair ec -algorithm EC -pkeyopt ec_paramgen_curve:P-256
	openssl rand -hex 32 >"$T/old"
	{
		printf '# in use\nkid: new\n'
		cat "$KEYS"
		printf '\n# until the end of the month\nkid: old\n'
		cat "$T/old"
		printf '\nkid: login\n'
		cat "$T/ec.pub"
	} >"$T/several"
	chmod 640 "$T/several"
	start_rowcast --ticket-key-file "$T/several" --workers 2
	listen_direct a '' HTTP_AUTHORIZATION="Bearer $(mint "$KEYS" HS256 '{"sub":"alice"}' new)"
	listen_direct b '' HTTP_AUTHORIZATION="Bearer $(mint "$T/old" HS256 '{"sub":"alice"}' old)"
	listen_direct c '' HTTP_AUTHORIZATION="Bearer $(mint "$T/ec.pem" ES256 '{"sub":"alice"}' login)"
	listen_direct d '' HTTP_AUTHORIZATION="Bearer $(mint "$T/old" HS256 '{"sub":"alice"}')"
	ask '' HTTP_AUTHORIZATION="Bearer $(mint "$T/old" HS256 '{"sub":"alice"}' new)"
	assert_refusal 401 "the ticket's signature is wrong"
	ask '' HTTP_AUTHORIZATION="Bearer $(mint "$KEYS" HS256 '{"sub":"alice"}' gone)"
	assert_refusal 401 "the ticket's kid names none of the server's keys"
	close_all
	assert_no_ticket_told
	stop_rowcast
	assert_no_report
}

# One line, which names the file, and exit 1.
assert_does_not_start() {
	run -1 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --ticket-key-file "$1" "${@:3}"
	assert_output --partial "$1"
	assert_output --partial "$2"
	assert_equal "${#lines[@]}" 1
	[[ ! -e $SOCKET ]]
}

@test "tickets: serve does not start with keys that it cannot use, and says why" {
	init_db
	key_pair rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048
	key_pair small -algorithm RSA -pkeyopt rsa_keygen_bits:1024
	key_pair ed -algorithm ED25519
	: >"$T/empty"
	printf '\n%s\n%s\n' "$(cat "$KEYS")" "$(cat "$KEYS")" >"$T/two"
	assert_does_not_start "$T/absent" 'No such file'
	assert_does_not_start "$T/empty" 'openssl rand -hex 32'
	assert_does_not_start "$T/rsa.pem" 'line 1: a private key; give the public key'
	assert_does_not_start "$T/small.pub" 'line 1: an RSA key of 1024 bits'
	assert_does_not_start "$T/ed.pub" 'line 1: neither an RSA nor an EC key'
	assert_does_not_start "$T/two" 'line 3: a second key'
	assert_does_not_start "$T/two" 'line 3: a second key' --workers 2
	refute_output --partial "$(cat "$KEYS")"
	run -2 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --require-ticket
	assert_output --partial '--require-ticket needs --ticket-key-file'
	run -2 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --ticket-audience a
	assert_output --partial '--ticket-audience needs --ticket-key-file'
}

@test "tickets: a weak secret and one that all may read are warned of; public keys are not" {
	init_db
	echo short >"$T/weak"
	chmod 644 "$T/weak"
	start_rowcast --ticket-key-file "$T/weak"
	grep -q 'warn.*line 1: a secret of 5 bytes can be guessed' "$T/rowcast.err"
	grep -q 'warn.*chmod o-rw' "$T/rowcast.err"
	run grep short "$T/rowcast.err"
	assert_failure
	assert_healthy
	: >"$T/rowcast.err"
	key_pair ec -algorithm EC -pkeyopt ec_paramgen_curve:P-256
	start_rowcast --ticket-key-file "$T/ec.pub"
	run grep -i warn "$T/rowcast.err"
	assert_failure
	assert_healthy
}

# --- minting ---------------------------------------------------------------------------------

@test "tickets: rowcast ticket mints what PyJWT understands, with each kind of key" {
	key_pair rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048
	# As openssl ecparam writes it, the curve before the key.
	openssl ecparam -name prime256v1 -genkey -out "$T/ec.pem"
	openssl pkey -in "$T/ec.pem" -pubout -out "$T/ec.pub"
	local key public alg
	while read -r key public alg; do
		"$ROWCAST" ticket --key-file "$T/$key" --sub 'Zoë "Z"' --channel 'orders.*' \
			--channel news --publish chat --audience events --expires 10m --not-before 1s >"$T/ticket"
		$PYTHON - "$T/$public" "$alg" "$(cat "$T/ticket")" <<-'PY'
			import sys, time, jwt
			key, alg, ticket = sys.argv[1:]
			time.sleep(max(0, jwt.decode(ticket, options={'verify_signature': False})['nbf'] - time.time()))
			got = jwt.decode(ticket, open(key).read().strip(), algorithms=[alg], audience='events')
			assert abs(got.pop('exp') - 600 - time.time()) < 60 and abs(got.pop('nbf') - time.time()) < 60
			assert abs(got.pop('iat') - time.time()) < 60
			assert got == {'sub': 'Zoë "Z"', 'channels': ['news', 'orders.*'], 'publish': ['chat'], 'aud': 'events'}, got
		PY
	done <<-'KEYS'
		keys keys HS256
		rsa.pem rsa.pub RS256
		ec.pem ec.pub ES256
	KEYS
}

@test "tickets: what rowcast ticket mints opens a stream" {
	init_db
	start_rowcast --ticket-key-file "$KEYS" --require-ticket
	local ticket
	ticket=$("$ROWCAST" ticket --key-file "$KEYS" --sub alice --channel 'orders.*')
	echo "$ticket" >"$T/tickets.minted"
	listen_direct a '' HTTP_AUTHORIZATION="Bearer $ticket"
	assert_sees_only_its_rows a
	finish
}

@test "tickets: rowcast ticket says what it needs" {
	key_pair rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048
	openssl rsa -in "$T/rsa.pem" -aes128 -passout pass:x -out "$T/locked.pem" 2>/dev/null
	printf 'kid: a\n%s\nkid: b\n%s\n' "$(cat "$KEYS")" "$(cat "$KEYS")" >"$T/two"
	chmod 600 "$T/two"
	run -2 "$ROWCAST" ticket
	assert_output --partial 'Give --key-file FILE'
	run -1 "$ROWCAST" ticket --key-file "$T/rsa.pub"
	assert_output --partial 'signing needs the private key'
	run -1 "$ROWCAST" ticket --key-file "$T/locked.pem"
	assert_output --partial 'passphrase'
	run -1 "$ROWCAST" ticket --key-file "$T/two"
	assert_output --partial 'which one? Give --kid NAME'
	run -1 "$ROWCAST" ticket --key-file "$T/two" --kid c
	assert_output --partial 'no key with kid: c'
	run -2 "$ROWCAST" ticket --key-file "$KEYS" --expires 0s
	assert_output --partial 'from 1s'
	run -2 "$ROWCAST" ticket --key-file "$KEYS" --channel ''
	assert_output --partial '--channel'
	run -2 "$ROWCAST" ticket --key-file "$KEYS" --sub $'a\nb'
	assert_output --partial 'no control characters'
	run -0 "$ROWCAST" ticket --key-file "$T/two" --kid b
	assert_equal "${#lines[@]}" 1
}

# The N-th code block of a language in doc/TICKETS.md, with this test's key.
document_block() {
	awk -v language="$1" -v wanted="$2" '
		/^```/ && inside { inside = 0; if (on) exit; next }
		/^```/ { inside = 1; on = $0 == "```" language && ++seen == wanted; next }
		on
	' "$SRC/doc/TICKETS.md" | sed "s#/etc/rowcast/ticket.key#$KEYS#"
}
assert_mints() {
	tee -a "$T/tickets.minted" <"$T/ticket" >/dev/null
	ask '?channel=news.eu' REQUEST_METHOD=HEAD HTTP_AUTHORIZATION="Bearer $(cat "$T/ticket")" REMOTE_USER=alice
	assert_output --partial 'Content-Type: text/event-stream'
	ask '?channel=secret' HTTP_AUTHORIZATION="Bearer $(cat "$T/ticket")"
	assert_refusal 403 'with this ticket'
}

@test "tickets: TICKETS.md's Python and PHP mint what opens a stream" {
	init_db
	start_rowcast --ticket-key-file "$KEYS" --require-ticket
	{
		document_block python 1
		echo 'print(ticket)'
	} >"$T/mint.py"
	$PYTHON "$T/mint.py" >"$T/ticket"
	assert_mints
	{
		document_block php 2
		echo "echo \$ticket, \"\\n\";"
	} >"$T/mint.php"
	php "$T/mint.php" >"$T/ticket"
	assert_mints
	# firebase/php-jwt is not in Debian: that its lines are PHP is all that is seen here.
	document_block php 1 >"$T/firebase.php"
	grep -q 'JWT::encode' "$T/firebase.php"
	php -l "$T/firebase.php"
	finish
}

# --- through the web servers -------------------------------------------------------------------

# Header, parameter and cookie arrive; the refusal does too. through SERVER
through() {
	local ticket
	init_db
	start_rowcast --ticket-key-file "$KEYS" --require-ticket
	"start_$1"
	ticket=$(alice)
	listen header "$(url)" -H "Authorization: Bearer $ticket"
	listen parameter "$(url "?ticket=$ticket")"
	listen cookie "$(url)" -H "Cookie: a=b; rowcast_ticket=$ticket; c=d"
	ticket_rows
	for name in header parameter cookie; do
		expect_data $name end
		assert_equal "$(data_of $name | tr '\n' ' ')" 'yes private end '
	done
	run curl -si "$(url)"
	assert_output --partial ' 401 '
	assert_output --partial 'a ticket is needed'
	assert_output --partial 'WWW-Authenticate: Bearer realm="rowcast"'
	run curl -si "$(url)" -H "Authorization: Bearer ${ticket}A"
	assert_output --partial ' 401 '
	assert_output --partial 'error="invalid_token"'
	close_all
	assert_no_ticket_told
	stop_server
	assert_healthy
	assert_no_ticket_told
}

@test "tickets: lighttpd passes header, parameter and cookie" { through lighttpd; }
@test "tickets: nginx passes header, parameter and cookie" { through nginx; }
@test "tickets: Apache passes header, parameter and cookie" { through apache; }

@test "tickets: a plain CGI program knows them too" {
	init_db
	export ROWCAST_DB=$DB ROWCAST_TICKET_KEY_FILE=$KEYS ROWCAST_REQUIRE_TICKET=1
	export GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET PATH_INFO= QUERY_STRING= HTTP_ACCEPT=application/json
	row yes orders.x
	run "$ROWCAST" serve </dev/null
	assert_output --partial 'Status: 401'
	HTTP_COOKIE="rowcast_ticket=$(alice)" QUERY_STRING=since=all run "$ROWCAST" serve </dev/null
	assert_output --partial '"data":"yes"'
}
