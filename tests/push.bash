# push.bash - for files that push: a key, a push service of the test's own (node/push-service.mjs),
# the sender, subscriptions, and what has come.
#
# shellcheck shell=bash

# Keys lie in a folder of their own, as in /etc: a confined process reaches the database's only.
setup() {
	rowcast_setup
	KEYS=$T.keys
	mkdir "$KEYS"
}
# The sender says at its end what a sanitizer has found, and which memory it leaked.
teardown() {
	local pgid reports
	for pgid in "${!GROUP[@]}"; do
		WAIT=10 end_group TERM "$pgid" || true
	done
	reports=$(grep -hE 'Sanitizer|runtime error:|Assertion' "$T"/*.err 2>/dev/null) || true
	rowcast_teardown
	rm -rf "$KEYS"
	[[ -z $reports ]] || fail "$reports"
}

# rowcast with a key behind lighttpd, and a push service. begin [OPTION OF SERVE...]
begin() {
	init_db
	"$ROWCAST" push --new-key "$KEYS/vapid.key" >"$T/public"
	start_service
	start_rowcast --vapid-key-file "$KEYS/vapid.key" --push-host "http://127.0.0.1:$PUSH_PORT" "$@"
	start_lighttpd
}

start_service() {
	rm -f "$T/port"
	background node "$SRC/tests/node/push-service.mjs" "$T" "$@" >"$T/service.log" 2>&1
	SERVICE_PID=$PID
	wait_for_start "$PID" test -s "$T/port"
	PUSH_PORT=$(<"$T/port")
	SERVICE=http://127.0.0.1:$PUSH_PORT
}

start_push() {
	background "$ROWCAST" push --db "$DB" --vapid-key-file "${KEY_FILE:-$KEYS/vapid.key}" \
		--subject mailto:admin@example.org --push-host "$SERVICE" "$@" >>"$T/push.err" 2>&1
	PUSH_PID=$PID
	wait_for_start "$PID" grep -q 'pushes rows' "$T/push.err"
}

ask() { curl -s -m "$WAIT" "$@"; }
mode() { ask -X POST "$SERVICE/mode/$1?m=$2" >"$T/mode"; }
# The PushSubscription of a new browser with channels (JSON). subscription NAME CHANNELS [MEMBERS]
subscription() { ask -X POST "$SERVICE/new/$1" | jq -c ". + {channels: $2} + ${3:-{\}}"; }
# Its POST or DELETE through lighttpd: the status. to_push METHOD JSON [curl's options]
to_push() {
	ask -o "$T/answer" -w '%{http_code}' -X "$1" -H "Content-Type: ${TYPE:-application/json}" \
		--data-binary "$2" "${@:3}" "http://127.0.0.1:$PORT/events/push"
}
subscribe() { assert_equal "$(to_push POST "$(subscription "$@")")" 201; }

# What has come for NAME, through jq. got NAME FILTER
got() { ask "$SERVICE/got" | jq -c "select(.name == \"$1\") | $2"; }
texts() { got "$1" '.text | fromjson | .data'; }
has_texts() { [[ $(texts "$1" | tr '\n' ' ') == "$2 " ]]; }
has_tries() { (($(got "$1" .mode | wc -l) >= $2)); }
column() { sql "SELECT $2 FROM rowcast_push WHERE endpoint LIKE '%/push/$1'"; }
column_is() { [[ $(column "$1" "$2") == "$3" ]]; }
order() { row "$1" orders; }

# At the port that it had; it knows its subscriptions from a file.
start_push_service_again() {
	rm -f "$T/port"
	background node "$SRC/tests/node/push-service.mjs" "$T" --port "$PUSH_PORT" >"$T/service2.log" 2>&1
	SERVICE_PID=$PID
	wait_for_start "$PID" test -s "$T/port"
}
