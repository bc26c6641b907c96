#!/usr/bin/env bats
# migrate.bats - databases of every schema version that there ever was (fixtures/schema-N.sql), taken
# over by this rowcast: rows, ids and marks survive, readers resume, and nothing is left that a
# new database has otherwise. The mechanism itself is tested with a step of its own in
# unit/test_store.c.
#
# shellcheck shell=bash

load helper

current_version() { sed -n 's/^#define STORE_SCHEMA_VERSION //p' "$SRC/src/store/store.h"; }

# load_fixture VERSION
load_fixture() { sqlite3 -bail "$DB" <"$SRC/tests/fixtures/schema-$1.sql"; }

# What must outlive a migration: all of it exists in version 1.
contents() {
	local table
	for table in notification order_feed; do
		sql "SELECT '$table', id, channel, quote(recipient), quote(event), quote(data),
			quote(collapse_key), quote(created_at), quote(expires_at) FROM $table ORDER BY id"
	done
	sql "SELECT * FROM sqlite_sequence ORDER BY name;
		SELECT table_name, base, low_water FROM rowcast_meta ORDER BY 1;
		SELECT * FROM orders"
}

# The tables' columns in any order, since a migration leaves data in the middle of the row, and
# indexes and triggers, whatever spaces their texts have. objects DATABASE
objects() {
	sqlite3 "$1" "SELECT m.name, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk, m.sql LIKE '%AUTOINCREMENT%'
		FROM sqlite_master AS m, pragma_table_xinfo(m.name) AS c
		WHERE m.type = 'table' AND m.name NOT IN ('orders') ORDER BY 1, 2"
	sqlite3 "$1" "SELECT type, name, sql FROM sqlite_master WHERE type <> 'table' ORDER BY name" |
		sed 's/--.*//' | tr -s ' \t\n' ' '
}

# for_each_version FUNCTION
for_each_version() {
	local version
	for ((version = 1; version <= $(current_version); version++)); do
		rm -f "$DB"*
		[[ -f $SRC/tests/fixtures/schema-$version.sql ]] ||
			fail "schema version $version has no fixture: tests/fixtures/schema-$version.sql"
		load_fixture "$version"
		"$@" "$version"
	done
}

@test "migrate: schema.sql and the program agree about the version" {
	init_db
	assert_equal "$(sql "SELECT schema_version FROM rowcast_meta")" "$(current_version)"
}

keeps_contents() {
	local before table
	before=$(contents)
	for table in notification order_feed; do
		run "$ROWCAST" init --db "$DB" --table "$table"
		assert_success
		if (($1 < $(current_version))); then
			assert_output --partial "from schema version $1 to $(current_version)"
		else
			assert_output --partial "$table is up to date"
		fi
	done
	assert_equal "$(contents)" "$before"
	assert_equal "$(sql "SELECT DISTINCT schema_version FROM rowcast_meta")" "$(current_version)"
	assert_equal "$(sql "PRAGMA integrity_check")" ok
	assert_equal "$(sql "PRAGMA journal_mode")" wal
}

@test "migrate: rows, ids, sequence, base and low-water mark of each version survive" {
	for_each_version keeps_contents
}

is_like_new() {
	"$ROWCAST" init --db "$DB"
	"$ROWCAST" init --db "$DB" --table order_feed
	rm -f "$T/new.db"*
	"$ROWCAST" init --db "$T/new.db"
	"$ROWCAST" init --db "$T/new.db" --table order_feed
	assert_equal "$(objects "$DB")" "$(objects "$T/new.db")"
}

@test "migrate: each version becomes what init makes" {
	for_each_version is_like_new
}

ids_go_on() {
	"$ROWCAST" init --db "$DB"
	# The sequence stood at 1760000000187; the clock of today is no matter.
	assert_equal "$(sql "INSERT INTO notification(data) VALUES ('next') RETURNING id")" 1760000000188
	run sql "INSERT INTO notification(id, data) VALUES (1760000000180, 'old')"
	assert_failure
	assert_output --partial "id must be above all ids"
	sql "DELETE FROM notification WHERE data = 'plain'"
	assert_equal "$(sql "SELECT low_water FROM rowcast_meta WHERE table_name = 'notification'")" 1760000000181
}

@test "migrate: ids go on above those of before, and deletions are noted" {
	for_each_version ids_go_on
}

# Each reader has an id from before the upgrade.
readers_resume() {
	"$ROWCAST" init --db "$DB"
	open_rights
	start_rowcast
	listen_direct kept '?channel=default' HTTP_LAST_EVENT_ID=1760000000182
	expect_data kept 'expires late'
	assert_equal "$(ids_of kept)" $'1760000000185\n1760000000187'
	listen_direct pruned '?channel=default' HTTP_LAST_EVENT_ID=1760000000178
	wait_for has_gap pruned
	expect_data pruned plain
	assert_regex "$(gap_of pruned)" pruned
	listen_direct alice '?channel=orders' HTTP_LAST_EVENT_ID=1760000000180 REMOTE_USER=alice
	expect_data alice '{"id":1,"to":"paid"}'
	# The older row of the same key was replaced.
	assert_equal "$(ids_of alice)" $'1760000000183\n1760000000184'
	sql "INSERT INTO notification(data) VALUES ('after the upgrade')"
	expect_data kept 'after the upgrade'
	assert_equal "$(last_id kept)" 1760000000188
	assert_healthy
}

@test "migrate: serve resumes readers from ids of before" {
	for_each_version readers_resume
}

refused_until_init() {
	(($1 < $(current_version))) || return 0
	run -1 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET"
	assert_output --partial "rowcast init"
	assert_equal "$(sql "SELECT DISTINCT schema_version FROM rowcast_meta")" "$1"
}

@test "migrate: a table of an older version is left alone until init is asked for" {
	for_each_version refused_until_init
	# A version that never was, too.
	init_db
	sql "UPDATE rowcast_meta SET schema_version = -7"
	run -1 "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET"
	assert_output --partial "rowcast init"
	run -1 "$ROWCAST" init --db "$DB"
	assert_output --partial "unknown schema version -7"
}
