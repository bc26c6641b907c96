#!/usr/bin/env bats
# push.bats - Web Push: subscriptions through lighttpd, and the sender against a push service of the
# test's own (tests/node/push-service.mjs), which decrypts with npm's http_ece and has every fault.
#
# shellcheck shell=bash

load helper
load push

@test "push: --new-key makes a key of mode 0600, and never a second one there" {
	run -0 "$ROWCAST" push --new-key "$T/k"
	assert_equal "${#output}" 87
	assert_equal "$(stat -c %a "$T/k")" 600
	openssl pkey -in "$T/k" -noout -text | grep -q prime256v1
	cp "$T/k" "$T/copy"
	run -1 "$ROWCAST" push --new-key "$T/k"
	assert_output --partial 'there is a file already'
	cmp "$T/k" "$T/copy"
}

@test "push: a subscription through lighttpd gets rows, encrypted, in order, with their headers" {
	begin
	assert_equal "$(ask "http://127.0.0.1:$PORT/events/push" | jq -r .public_key)" "$(<"$T/public")"
	order early
	subscribe a '["orders"]'
	start_push
	order 1
	row other stock
	sql "INSERT INTO notification(channel, event, collapse_key, expires_at, data) VALUES
		('orders', 'alert', 'k', $(($(date +%s) + 90))000, '{\"title\":\"x\",\"urgency\":\"high\"}')"
	wait_for has_tries a 2
	assert_equal "$(got a '[.http, .encoding, .vapid, .status]' | sort -u)" '["1.1","aes128gcm","",null]'
	assert_equal "$(got a '.text | fromjson | [.channel, .event, .data]' )" \
		'["orders","message","1"]
["orders","alert","{\"title\":\"x\",\"urgency\":\"high\"}"]'
	assert_equal "$(got a '[.ttl, .urgency, .topic]' | head -1)" '[2419200,"normal",null]'
	assert_equal "$(got a '[.ttl > 80 and .ttl <= 90, .urgency, (.topic | length)]' | tail -1)" '[true,"high",32]'
	wait_for column_is a cursor "$(sql 'SELECT max(id) FROM notification')"
	column_is a 'last_status || coalesce(last_error, "-") || failures' 201-0
	# A DELETE is obeyed at once.
	assert_equal "$(to_push DELETE "{\"endpoint\":\"$SERVICE/push/a\"}")" 200
	subscribe b '["orders"]'
	order 9
	wait_for has_texts b '"9"'
	assert_equal "$(got a .mode | wc -l)" 2
	assert_equal "$(grep -c "$SERVICE" "$T/push.err" "$T/rowcast.err" | cut -d: -f2 | sort -u)" 0
}

@test "push: a subscription that is not right is refused with the reason" {
	begin
	local good
	good=$(subscription a '["orders"]')
	refused() {
		assert_equal "$(to_push POST "$2" "${@:4}")" "$1"
		grep -q "$3" "$T/answer" || fail "$(<"$T/answer")"
	}
	refused 400 'x' 'no JSON'
	refused 400 "$(jq -c 'del(.channels)' <<<"$good")" channels
	refused 400 "$(jq -c 'del(.keys)' <<<"$good")" keys
	refused 400 "$(jq -c '.keys.auth = "AAAA"' <<<"$good")" auth
	refused 400 "$(jq -c '.endpoint = "https://evil.example/x"' <<<"$good")" 'none of --push-host'
	refused 400 "$(jq -c '.endpoint = "http://127.0.0.1:1/x"' <<<"$good")" https
	refused 400 "$(jq -c '.endpoint = "https://10.0.0.1/x"' <<<"$good")" address
	TYPE=text/plain refused 415 "$good" application/json
	refused 403 "$good" evil.example -H 'Origin: https://evil.example'
	refused 403 "$good" cross-site -H 'Sec-Fetch-Site: cross-site'
	refused 413 "$(head -c 70000 /dev/zero | tr '\0' ' ')" bytes
	assert_equal "$(sql 'SELECT count(*) FROM rowcast_push')" 0
	assert_equal "$(to_push PUT "$good")" 405
	is_too_often() { [[ $(to_push POST "$good") == 429 ]]; }
	wait_for is_too_often
}

@test "push: bounds are those of a stream, stored with it, and obeyed when they are narrowed" {
	init_db
	"$ROWCAST" push --new-key "$KEYS/vapid.key" >"$T/public"
	start_service
	start_rowcast --vapid-key-file "$KEYS/vapid.key" --push-host "$SERVICE" --max-push-per-user 2
	# By FastCGI, where it can be said who is who.
	direct() {
		printf %s "$1" >"$T/body"
		fcgi --seconds "$WAIT" --get /push --body "$T/body" CONTENT_TYPE=application/json \
			REMOTE_USER=ann ROWCAST_CHANNELS='orders a*' >"$T/answer" || true
		sed -n 's/^Status: \([0-9]*\).*/\1/p' "$T/answer"
	}
	assert_equal "$(direct "$(subscription s '["stock"]')")" 403
	assert_equal "$(direct "$(subscription a '["*"]')")" 201
	assert_equal "$(direct "$(subscription b '["orders"]')")" 201
	assert_equal "$(direct "$(subscription c '["orders"]')")" 403
	grep -q 'as many subscriptions' "$T/answer"
	assert_equal "$(column a "user || bounds")" 'ann["a*","orders"]'
	start_push
	order 1
	row x stock
	row 2 ab
	sql "INSERT INTO notification(channel, recipient, data) VALUES ('orders', 'bob', 'his'), ('orders', 'ann', 'hers')"
	wait_for has_texts a '"1" "2" "hers"'
	wait_for has_texts b '"1" "hers"'
	sql "UPDATE rowcast_push SET bounds = '[\"a*\"]'"
	order 3
	row 4 ab
	wait_for has_texts a '"1" "2" "hers" "4"'
	sql "INSERT INTO rowcast_revocation(user) VALUES ('ann')"
	row 5 ab
	wait_for column_is a 'count(*)' 0
	assert_equal "$(texts b | wc -l)" 2
	assert_equal "$(texts a | wc -l)" 4
}

@test "push: --max-push bounds all subscriptions; those that are there may be renewed" {
	begin --max-push 2
	local first
	first=$(subscription a '["orders"]')
	assert_equal "$(to_push POST "$first")" 201
	subscribe b '["orders"]'
	assert_equal "$(to_push POST "$(subscription c '["orders"]')")" 503
	grep -q 'as many subscriptions as --max-push' "$T/answer" || fail "$(<"$T/answer")"
	assert_equal "$(sql 'SELECT count(*) FROM rowcast_push')" 2
	# Lowered, it ends none.
	stop_rowcast
	start_rowcast --vapid-key-file "$KEYS/vapid.key" --push-host "$SERVICE" --max-push 1
	assert_equal "$(to_push POST "$first")" 201
	assert_equal "$(to_push DELETE "{\"endpoint\":\"$SERVICE/push/a\"}")" 200
	assert_equal "$(to_push POST "$first")" 503
	assert_healthy
}

@test "push: whatever a push service answers, no row is lost, and only 404 and 410 end it" {
	begin --max-push-per-address 0
	local -A modes=([s201]=201 [s400]=400,201 [s401]=401,201 [s403]=403,201 [s413]=413,201
		[s429]=429:2,201 [s429d]=429date:3,201 [s500]=500,201 [s503]=503:2,201 [garbage]=garbage,201 [half]=half,201
		[half410]=half410,201 [close]=close,201 [redirect]=307,201 [huge]=huge201
		[huge500]=huge500,201 [s404]=404 [s410]=410)
	local name n=0
	for name in "${!modes[@]}"; do
		mode "$name" "${modes[$name]}"
		# Not through lighttpd: the rate of one address is bounded.
		subscription "$name" '["orders"]' >"$T/$name.json"
		sql "INSERT INTO rowcast_push(endpoint, channels, p256dh, auth, vapid_key, cursor, created_at)
			SELECT j ->> 'endpoint', '[\"orders\"]', j -> 'keys' ->> 'p256dh', j -> 'keys' ->> 'auth', '$(<"$T/public")',
				coalesce((SELECT max(id) FROM notification), 0), 0
			FROM (SELECT CAST(readfile('$T/$name.json') AS TEXT) AS j)"
	done
	start_push
	order '{"title":"all get it"}'
	for name in "${!modes[@]}"; do
		case $name in
		s404 | s410) wait_for column_is "$name" 'count(*)' 0 ;;
		*) wait_for column_is "$name" cursor "$(sql 'SELECT max(id) FROM notification')" ||
			fail "$name: $(column "$name" "failures || ' ' || coalesce(last_status, '-') || ' ' || last_error")" ;;
		esac
	done
	assert_equal "$(sql 'SELECT count(*), sum(failures) FROM rowcast_push')" '16|0'
	assert_equal "$(got elsewhere .mode)" ''
	assert_equal "$(got s413 '.text | fromjson | .too_long' | tail -1)" true
	# Retry-After in both forms.
	for name in s429 s429d s503; do
		(($(got "$name" .at | paste -sd- | sed 's/\(.*\)-\(.*\)/\2-\1/') >= 1950)) || fail "$name came too soon"
	done
	grep -q 'ended endpoint=127.0.0.1#[0-9a-f]* status=410' "$T/push.err"
	! grep -q "/push/" "$T/push.err" || fail 'an endpoint is in the log'
}

@test "push: a push service that is gone ends no subscription; what has expired is not sent afterwards" {
	begin
	subscribe a '["orders"]'
	subscribe b '["orders"]'
	start_push
	local expires
	end_group KILL "$SERVICE_PID"
	order 1
	expires=$(($(date +%s) + 3))
	sql "INSERT INTO notification(channel, data, expires_at) VALUES ('orders', 'old', ${expires}000)"
	order 2
	wait_for column_is a 'failures > 1' 1
	has_expired() { (($(date +%s) > expires)); }
	wait_for has_expired
	start_push_service_again
	wait_for has_texts a '"1" "2"'
	wait_for has_texts b '"1" "2"'
	assert_equal "$(sql 'SELECT count(*) FROM rowcast_push')" 2
}

@test "push: kill -9 at any moment: each row comes, and what comes twice has the same id" {
	begin
	subscribe a '["orders"]'
	start_push
	local n
	for n in 1 2 3 4 5 6; do
		order "$n"
		end_group KILL "$PUSH_PID"
		order "$n.5"
		start_push
	done
	comes_all() { [[ $(texts a | sort -u | wc -l) == 12 ]]; }
	wait_for comes_all
	# In order, but for repeats.
	assert_equal "$(texts a | awk '!seen[$0]++' | tr -d '"' | tr '\n' ' ')" '1 1.5 2 2.5 3 3.5 4 4.5 5 5.5 6 6.5 '
}

@test "push: two senders of one database: the second says so and ends" {
	begin
	start_push
	run -1 "$ROWCAST" push --db "$DB" --vapid-key-file "$KEYS/vapid.key" --subject mailto:a@b.c
	assert_output --partial 'another rowcast push'
}

@test "push: after a change of the key the old subscriptions stay, and go on when it is put back" {
	begin
	subscribe a '["orders"]'
	"$ROWCAST" push --new-key "$KEYS/other.key" >"$T/other"
	KEY_FILE=$KEYS/other.key start_push
	order 1
	wait_for grep -q 'another VAPID key' "$T/push.err"
	end_group TERM "$PUSH_PID"
	cat "$KEYS/vapid.key" >>"$KEYS/other.key"
	KEY_FILE=$KEYS/other.key start_push
	wait_for has_texts a '"1"'
}

@test "push: a database that is replaced by an older state gets its new rows sent" {
	begin
	subscribe a '["orders"]'
	sql "VACUUM INTO '$T/backup.db'"
	start_push
	order 1
	order 2
	wait_for has_texts a '"1" "2"'
	stop_rowcast
	rm -f "$DB-wal" "$DB-shm"
	mv "$T/backup.db" "$DB"
	"$ROWCAST" init --db "$DB" >"$T/init2.log" 2>&1
	"$ROWCAST" rebase --db "$DB" >"$T/rebase.log" 2>&1
	order 3
	wait_for has_texts a '"1" "2" "3"'
}

@test "push: absent=1: not while the user has a stream, nor within its grace" {
	begin
	sql "INSERT INTO rowcast_presence_worker VALUES ('w', $(($(date +%s) + 1000))000);
		INSERT INTO rowcast_presence_entry VALUES ('w', 'r', 'ann', '[]', 0, NULL, 1)"
	subscribe a '["orders"]' '{"absent":true}'
	subscribe b '["orders"]'
	sql "UPDATE rowcast_push SET user = 'ann'"
	start_push
	order 1
	wait_for has_texts b '"1"'
	wait_for column_is a cursor "$(sql 'SELECT max(id) FROM notification')"
	sql 'DELETE FROM rowcast_presence_entry'
	local left
	left=$(date +%s%3N)
	order 2
	wait_for has_texts a '"2"'
	(($(got a .at) - left >= 4000)) || fail "sent after $(($(got a .at) - left)) ms"
	order 3
	wait_for has_texts a '"2" "3"'
}

@test "push: a row that is too long comes as id and channel" {
	begin
	subscribe a '["orders"]'
	start_push
	order "$(head -c 3700 /dev/zero | tr '\0' x)"
	order "$(head -c 5000 /dev/zero | tr '\0' x)"
	order "$(head -c 90000 /dev/zero | tr '\0' x)"
	wait_for has_tries a 3
	assert_equal "$(got a '.text | fromjson | [.channel, .too_long, (.data | length)]')" \
		'["orders",null,3700]
["orders",true,0]
["orders",true,0]'
	assert_equal "$(got a '.bytes <= 4096' | sort -u)" true
}

@test "push: over TLS with HTTP/2; a certificate that is not trusted loses nothing" {
	begin
	end_group TERM "$SERVICE_PID"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$T/tls.key" -out "$T/tls.crt" \
		-days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>"$T/openssl.log"
	start_service --key "$T/tls.key" --cert "$T/tls.crt"
	SERVICE=https://localhost:$PUSH_PORT
	ask() { curl -s -m "$WAIT" --cacert "$T/tls.crt" "$@"; }
	subscription a '["orders"]' >"$T/a.json"
	sql "INSERT INTO rowcast_push(endpoint, channels, p256dh, auth, vapid_key, cursor, created_at)
		SELECT j ->> 'endpoint', '[\"orders\"]', j -> 'keys' ->> 'p256dh', j -> 'keys' ->> 'auth', '$(<"$T/public")', 0, 0
		FROM (SELECT CAST(readfile('$T/a.json') AS TEXT) AS j)"
	start_push
	order 1
	wait_for column_is a 'failures > 0' 1
	end_group TERM "$PUSH_PID"
	start_push --ca-file "$T/tls.crt"
	wait_for has_texts a '"1"'
	assert_equal "$(got a .http)" '"2.0"'
}

@test "push: a name that leads to a private address is not connected to" {
	begin
	subscribe a '["orders"]'
	sql "UPDATE rowcast_push SET endpoint = 'https://localhost/push/a'"
	start_push --push-host localhost
	order 1
	wait_for column_is a "last_error LIKE '%private%'" 1
	assert_equal "$(got a .mode)" ''
}

@test "push: --metrics says what was sent, what failed, and what waits" {
	begin
	subscribe a '["orders"]'
	subscribe b '["orders"]'
	subscribe c '["orders"]'
	mode b 500
	mode c 410
	start_push --metrics "$T/push.prom"
	order 1
	wait_for column_is a "cursor || coalesce(last_status, '-')" "$(tail_id)201"
	wait_for column_is b 'failures > 0' 1
	wait_for column_is c 'count(*)' 0
	end_group TERM "$PUSH_PID"
	figure() { sed -n "s/^rowcast_push_$1 //p" "$T/push.prom"; }
	assert_equal "$(figure sent_total) $(figure ended_total) $(figure subscriptions) $(figure waiting)" '1 1 2 1'
	(($(figure failed_total) >= 1)) || fail "$(<"$T/push.prom")"
	assert_equal "$(figure queue)" 0
	assert_equal "$(stat -c %a "$T/push.prom")" 644
	[[ ! -e $T/push.prom.new ]]
}

@test "push: --test sends one message and says what came of it" {
	begin
	subscribe a '["orders"]'
	local try=("$ROWCAST" push --db "$DB" --vapid-key-file "$KEYS/vapid.key" --subject mailto:a@b.c
		--push-host "$SERVICE" --test)
	run -0 "${try[@]}" "$SERVICE/push/a"
	assert_output --partial 'has taken the message (201)'
	assert_equal "$(got a '.text | fromjson | .data | fromjson | .title')" '"rowcast"'
	mode a 410
	run -1 "${try[@]}" "$SERVICE/push/a"
	assert_output --partial 'does not know the subscription'
	run -1 "${try[@]}" "$SERVICE/push/none"
	assert_output --partial 'no such subscription'
	assert_equal "$(sql 'SELECT count(*) FROM rowcast_push')" 1
}

@test "push: options that make no sense are refused" {
	run -2 "$ROWCAST" push --db x --vapid-key-file y
	assert_output --partial --subject
	run -2 "$ROWCAST" push --db x --vapid-key-file y --subject nobody
	assert_output --partial mailto
	run -2 "$ROWCAST" push --db x --vapid-key-file y --subject mailto:a@b.c --push-host 10.0.0.1
	assert_output --partial --push-host
	run -2 "$ROWCAST" push --vapid-key-file y --subject mailto:a@b.c
	assert_output --partial --db
}
