# postgres.bash - a PostgreSQL of the test file's own, on Unix sockets in a folder of its own: loaded
# after helper.bash by tests whose log is there.
#
#   setup_file() { postgres_setup_file; }        one server for the file; each case makes a database
#   teardown_file() { postgres_teardown_file; }
#
# PostgreSQL does not run as root: as root these functions run it as the user postgres.
#
# shellcheck shell=bash

PG_BIN=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
PATH=$PATH:$PG_BIN

as_postgres() {
	if ((EUID == 0)); then
		setpriv --reuid postgres --regid postgres --init-groups "$@"
	else
		"$@"
	fi
}

postgres_setup_file() {
	[[ -n $PG_BIN ]] || { echo 'PostgreSQL is not installed: tools/deps check' >&2; return 1; }
	PG=$(mktemp -d /tmp/rowcast-pg.XXXXXX)
	chmod 755 "$PG"
	((EUID != 0)) || chown postgres: "$PG"
	export PG
	postgres_make main 5432
}
postgres_teardown_file() {
	local data
	for data in "$PG"/*/postmaster.pid; do
		[[ ! -f $data ]] || as_postgres pg_ctl -D "${data%/*}" -m immediate -s stop || true
	done
	rm -rf "$PG"
}

# A server in $PG/NAME. postgres_make NAME PORT [LINE OF postgresql.conf...]
postgres_make() {
	local name=$1 port=$2
	shift 2
	as_postgres initdb -D "$PG/$name" -U postgres -A trust -N -E UTF8 --locale C >/dev/null
	postgres_configure "$name" "$port" "$@"
	postgres_start "$name"
}
postgres_configure() {
	local name=$1 port=$2
	shift 2
	printf '%s\n' "port = $port" "unix_socket_directories = '$PG'" "listen_addresses = ''" \
		'shared_buffers = 16MB' 'max_connections = 60' 'fsync = off' 'wal_level = replica' "$@" >>"$PG/$name/postgresql.conf"
}
postgres_start() { as_postgres pg_ctl -D "$PG/$1" -l "$PG/$1.log" -w -s start 3>&- 4>&-; }
postgres_stop() { as_postgres pg_ctl -D "$PG/$1" -m "${2:-immediate}" -w -s stop; }
# A hot standby of a server: postgres_standby NAME PORT PRIMARY_PORT
postgres_standby() {
	as_postgres pg_basebackup -h "$PG" -p "$3" -U postgres -D "$PG/$1" -R -c fast -X stream \
		-d "host=$PG port=$3 user=postgres application_name=$1"
	postgres_configure "$1" "$2" 'hot_standby = on'
	postgres_start "$1"
}

# A new database for the case: sets PG_DB and URL, with rowcast's tables.
new_log() {
	PG_DB=app$SRANDOM
	PG_PORT=${PG_PORT:-5432}
	URL="postgresql:///$PG_DB?host=$PG&port=$PG_PORT&user=postgres"
	psql -h "$PG" -p "$PG_PORT" -U postgres -XqAt -c "CREATE DATABASE $PG_DB" postgres
	"$ROWCAST" follow --init "$URL" "$@" >"$T/follow-init.log" 2>&1 || fail "$(cat "$T/follow-init.log")"
}
pg() { psql -h "$PG" -p "${PG_PORT:-5432}" -U postgres -XqAt -v ON_ERROR_STOP=1 "$PG_DB" "$@"; }

# Runs `rowcast follow` into $DB, or another file: start_follow [FILE [OPTION...]]. Sets FOLLOW_PID.
start_follow() {
	local file=${1:-$DB}
	shift $(($# > 0 ? 1 : 0))
	background "$ROWCAST" follow --from "$URL" --db "$file" "$@" >>"$T/follow.err" 2>&1
	FOLLOW_PID=$PID
	wait_for_start "$FOLLOW_PID" follows "$file" || fail "it does not follow: $(cat "$T/follow.err")"
	chmod a+rwx "$T"
	chmod a+rw "$file"*
}
follows() { [[ $(sqlite3 -batch "$1" 'SELECT contact_at > 0 FROM rowcast_follow' 2>/dev/null) == 1 ]]; }

log_rows() { pg -c 'SELECT id, channel, recipient, event, collapse_key, created_at, expires_at, data FROM notification ORDER BY id'; }
file_rows() { sqlite3 -batch -cmd '.timeout 10000' "${1:-$DB}" 'SELECT id, channel, recipient, event, collapse_key, created_at, expires_at, data FROM notification ORDER BY id'; }
# The file has what the log has, to the last value.
is_same() { [[ $(file_rows "${1:-$DB}" | md5sum) == $(log_rows | md5sum) ]]; }
has_same_marks() {
	[[ $(sqlite3 -batch "${1:-$DB}" 'SELECT base, low_water FROM rowcast_meta') == \
		$(pg -c 'SELECT base, low_water FROM rowcast_meta') ]]
}
