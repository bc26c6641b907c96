# ticket.bash - tickets that `rowcast ticket` makes, and POSTs over FastCGI: `load ticket`.
#
# shellcheck shell=bash

# $T/keys for rowcast, and $T/other.
make_ticket_keys() { (umask 027 && openssl rand -hex 32 >"$T/keys" && openssl rand -hex 32 >"$T/other"); }

# A ticket, signed with $T/${KEY:-keys}: mint [OPTION...]
mint() { "$ROWCAST" ticket --key-file "$T/${KEY:-keys}" "$@" | tee -a "$T/minted"; }

log_has() { grep -qE -- "$1" "$T/rowcast.err"; }
status_code() { fcgi --seconds "$WAIT" --get "$@" | sed -n 's/^Status: \([0-9]*\).*/\1/p'; }

# The status of a POST over FastCGI; the answer in $T/answer. post BODY [NAME=VALUE...]
post() {
	printf %s "$1" >"$T/body"
	fcgi --seconds "$WAIT" --get "${TARGET:-/}" --body "$T/body" "${@:2}" \
		CONTENT_TYPE="${TYPE:-application/x-www-form-urlencoded}" >"$T/answer" || echo "fcgi.py: $?"
	sed -n 's/^Status: \([0-9]*\).*/\1/p' "$T/answer"
}
count() { sql 'SELECT count(*) FROM notification'; }

# No ticket that was minted, nor the signature that is what counts of it, is in the log.
assert_no_ticket_logged() {
	local ticket
	while read -r ticket; do
		refute grep -aF -e "$ticket" -e "${ticket##*.}" "$T/rowcast.err"
	done <"$T/minted"
}
