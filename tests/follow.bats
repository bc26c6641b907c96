#!/usr/bin/env bats
# follow.bats - many machines: PostgreSQL carries the log, `rowcast follow` writes it into the file of
# each machine, from which serve streams. On a real PostgreSQL, its standbys included.
#
# The oracle of everything at once is tests/follow/oracle.py.
#
# shellcheck shell=bash

load helper
load postgres

setup_file() { postgres_setup_file; }
teardown_file() { postgres_teardown_file; }

health() { fcgi --get /health ROWCAST_ADMIN=1 | tr -d '\r' | sed -n '1p;/^$/,$p'; }
health_says() { health | grep -q -- "$1"; }
# Inserts one row there: say DATA
say() { pg -c "INSERT INTO notification(data) VALUES ('$1')"; }
says() { grep -q -- "$1" "$T/follow.err"; }
says_serve() { grep -q -- "$1" "$T/rowcast.err"; }
state() { sqlite3 -batch -cmd '.timeout 10000' "${2:-$DB}" "SELECT $1 FROM rowcast_follow"; }
refuses_to_follow() { run --separate-stderr timeout 20 "$ROWCAST" follow --from "$URL" --db "$DB"; assert_failure 1; }

# The one that serves the follower.
kill_backend() {
	local pid
	pid=$(pg -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'rowcast follow'") && [[ -n $pid ]] && kill -KILL "$pid"
}

# --- the log in PostgreSQL ----------------------------------------------------------------

@test "follow: --init makes the tables, again changes nothing, and --print is the same text" {
	new_log
	run pg -c "SELECT string_agg(column_name, ' ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name = 'notification'"
	assert_output 'id channel recipient event collapse_key created_at expires_at data'
	say one
	before=$(pg -c 'SELECT * FROM rowcast_meta' -c 'SELECT * FROM notification')
	run "$ROWCAST" follow --init "$URL"
	assert_success
	assert_equal "$(pg -c 'SELECT * FROM rowcast_meta' -c 'SELECT * FROM notification')" "$before"
	"$ROWCAST" follow --init "$URL" --print >"$T/print.sql"
	cmp "$T/print.sql" "$SRC/sql/postgres.sql"
	pg -f "$T/print.sql"
	assert_equal "$(pg -c 'SELECT * FROM rowcast_meta' -c 'SELECT * FROM notification')" "$before"
}

@test "follow: --init refuses a table that it did not make, and one of a newer version" {
	new_log
	pg -c 'UPDATE rowcast_meta SET schema_version = 99'
	run "$ROWCAST" follow --init "$URL"
	assert_failure 1
	assert_output --partial 'upgrade rowcast'
	pg -c 'CREATE TABLE news(id int)'
	run "$ROWCAST" follow --init "$URL" --table news
	assert_failure 1
	assert_output --partial 'a table news that rowcast did not make'
	run "$ROWCAST" follow --init "$URL" --table alerts
	assert_success
}

@test "follow: ids are in the order of the commits, whatever the transactions do" {
	new_log
	pg <<-'SQL'
		BEGIN; INSERT INTO notification(data) VALUES ('1'); SAVEPOINT a;
		INSERT INTO notification(data) VALUES ('gone'); ROLLBACK TO a;
		INSERT INTO notification(data) VALUES ('2'); COMMIT;
		BEGIN; INSERT INTO notification(data) VALUES ('gone'); ROLLBACK;
		COPY notification(data) FROM STDIN;
		3
		4
		\.
		BEGIN; INSERT INTO notification(data) SELECT g FROM generate_series(5, 10004) g; COMMIT;
		BEGIN; INSERT INTO notification(data) VALUES ('10005'); SET CONSTRAINTS ALL IMMEDIATE;
		INSERT INTO notification(data) VALUES ('10006'); COMMIT;
	SQL
	run pg -c "SELECT count(*), bool_and(id > 0), string_agg(data, ',' ORDER BY id) = (SELECT string_agg(g::text, ',' ORDER BY g) FROM generate_series(1, 10006) g) FROM notification"
	assert_output '10006|t|t'
	# A transaction that began first and commits last comes last.
	mkfifo "$T/slow.in"
	background psql -h "$PG" -U postgres -XqAt "$PG_DB" -f "$T/slow.in" >"$T/slow.log" 2>&1
	slow=$PID
	exec 8>"$T/slow.in"
	echo "BEGIN; INSERT INTO notification(data) VALUES ('slow'); SELECT 'there';" >&8
	wait_for grep -q there "$T/slow.log"
	say quick
	assert_equal "$(pg -c 'SELECT data FROM notification ORDER BY id DESC LIMIT 1')" quick
	echo 'COMMIT;' >&8
	exec 8>&-
	wait_for group_is_gone "$slow"
	assert_equal "$(pg -c 'SELECT data FROM notification ORDER BY id DESC LIMIT 1')" slow
}

@test "follow: whatever savepoints, deletions and constraints made immediate do, each row has an id at COMMIT" {
	new_log
	pg <<-'SQL'
		BEGIN; SAVEPOINT a; INSERT INTO notification(data) VALUES ('gone'); ROLLBACK TO a;
		INSERT INTO notification(data) VALUES ('1'); COMMIT;
		BEGIN; INSERT INTO notification(data) VALUES ('2'); SAVEPOINT a; SET CONSTRAINTS ALL IMMEDIATE;
		INSERT INTO notification(data) VALUES ('gone'); ROLLBACK TO a; INSERT INTO notification(data) VALUES ('3'); COMMIT;
		BEGIN; INSERT INTO notification(data) VALUES ('4'); SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT a;
		INSERT INTO notification(data) VALUES ('gone'); ROLLBACK TO a; INSERT INTO notification(data) VALUES ('5'); COMMIT;
		BEGIN; INSERT INTO notification(data) VALUES ('gone'); DELETE FROM notification WHERE data = 'gone';
		SAVEPOINT a; INSERT INTO notification(data) VALUES ('6'); RELEASE a; RESET ALL;
		INSERT INTO notification(data) VALUES ('7'); COMMIT;
		BEGIN; INSERT INTO notification(data) VALUES ('gone'); DELETE FROM notification WHERE data = 'gone'; COMMIT;
		DO $$ BEGIN
			BEGIN INSERT INTO notification(data) VALUES ('gone'); RAISE 'no'; EXCEPTION WHEN raise_exception THEN NULL; END;
			INSERT INTO notification(data) VALUES ('8');
			INSERT INTO notification(channel, data) SELECT 'none', 'gone' WHERE false;
		END $$;
		CREATE TABLE late(x int);
		CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO notification(data) VALUES ('10'); RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION late();
		BEGIN; INSERT INTO notification(data) VALUES ('9'); INSERT INTO late VALUES (1); COMMIT;
	SQL
	run pg -c "SELECT bool_and(id > 0), string_agg(data, ' ' ORDER BY id) FROM notification"
	assert_output 't|1 2 3 4 5 6 7 8 9 10'
}

@test "follow: a transaction of many rows calls the trigger once, and compiles nothing" {
	new_log
	pg -c "SET track_functions = 'all'; SET jit_above_cost = 100; INSERT INTO notification(data) SELECT 'x' FROM generate_series(1, 1000); SELECT pg_stat_force_next_flush()"
	run pg -c "SELECT calls FROM pg_stat_user_functions WHERE funcname = 'notification_number'"
	assert_output 1
	run pg -c "SELECT proname FROM pg_proc WHERE 'enable_seqscan=off' = ANY(proconfig) AND NOT 'jit=off' = ANY(proconfig)"
	assert_output ''
}

@test "follow: a session that writes into two tables checks the timeline of both" {
	new_log
	"$ROWCAST" follow --init "$URL" --table alerts
	pg -c "SELECT setval('alerts_timeline', 99), setval('notification_timeline', 99)"
	pg -c "INSERT INTO alerts(data) VALUES ('x')" -c "INSERT INTO notification(data) VALUES ('x')"
	run pg -c 'SELECT a.last_value, n.last_value FROM alerts_timeline a, notification_timeline n'
	assert_output '1|1'
}

@test "follow: a table that breaks the rules, or gives an id, is refused in words" {
	new_log
	for row in "channel) VALUES ('')" "channel) VALUES (E'a\nb')" "event) VALUES ('open')" \
		"event) VALUES ('rowcast:x')" "event) VALUES ('')" 'id) VALUES (7)'; do
		run pg -c "INSERT INTO notification(data, ${row/VALUES (/VALUES (\'x\', }"
		assert_failure
		assert_output --partial 'rowcast:'
	done
	pg -c "INSERT INTO notification(data, event) VALUES ('x', 'rowcast:read')"
	run pg -c 'UPDATE notification SET id = 9'
	assert_output --partial 'the id of a row must not change'
}

@test "follow: who may insert can do nothing else, who may follow reads and prunes" {
	new_log
	say one
	run pg -c 'SET ROLE rowcast_insert' -c "INSERT INTO notification(channel, data) VALUES ('a', 'two')"
	assert_success
	for sql in 'SELECT * FROM notification' 'DELETE FROM notification' "INSERT INTO notification(id, data) VALUES (3, 'x')" \
		"UPDATE notification SET data = ''" 'SELECT notification_skip(1)' 'SELECT notification_prune(keep_rows => 1)'; do
		run pg -c 'SET ROLE rowcast_insert' -c "$sql"
		assert_failure
		assert_output --partial 'permission denied'
	done
	role=reader$SRANDOM
	pg -c "CREATE ROLE $role LOGIN IN ROLE rowcast_follow"
	URL=${URL/user=postgres/user=$role}
	start_follow "$DB" --keep-rows 1
	wait_for [ "$(sql 'SELECT count(*) FROM notification')" = 1 ]
	assert_equal "$(pg -c 'SELECT data FROM notification')" two
	end_group TERM "$FOLLOW_PID"
	run pg -c "SET ROLE $role" -c "INSERT INTO notification(data) VALUES ('x')"
	assert_failure
	assert_no_report
}

# The numbers of a driver's rows: numbers_of LABEL
numbers_of() { sed -n "s/^$1 //p" "$T/data"; }

@test "follow: psycopg 2 and 3, PDO, node-postgres and psql insert at once: each row comes once, in its order" {
	new_log
	start_follow
	start_rowcast
	listen_direct one
	local drivers=() pid
	for run in "psycopg2 $SRC/tests/follow/drivers/psycopg2_rows.py" "psycopg3 $SRC/tests/follow/drivers/psycopg_rows.py" \
		"pdo php $SRC/tests/follow/drivers/pdo_rows.php" "node node $SRC/tests/follow/drivers/node_rows.mjs" \
		"psql $SRC/tests/follow/drivers/psql_rows.sh"; do
		# shellcheck disable=SC2086
		${run#* } "$PG" 5432 "$PG_DB" "${run%% *}" >"$T/${run%% *}.log" 2>&1 3>&- &
		drivers+=($!)
	done
	for pid in "${drivers[@]}"; do
		wait "$pid" || fail "$(cat "$T"/p*.log "$T/node.log")"
	done
	say last
	expect_data one last
	wait_for is_same
	run pg -c 'SELECT count(*) FROM notification WHERE id <= 0'
	assert_output 0
	diff <(ids_of one) <(pg -c 'SELECT id FROM notification ORDER BY id')
	data_of one >"$T/data"
	for driver in psycopg2 psycopg3 pdo node; do
		diff <(numbers_of "$driver") <(seq 1105)
	done
	diff <(numbers_of psql) <(seq 100005)
	assert_healthy
}

# --- into the file ------------------------------------------------------------------------

@test "follow: a row reaches a stream on each node, with the same id" {
	new_log
	start_follow
	start_rowcast
	listen_direct one
	say hello
	expect_data one hello
	assert_equal "$(ids_of one)" "$(pg -c 'SELECT id FROM notification')"
	pg -c "INSERT INTO notification(channel, recipient, event, collapse_key, expires_at, data)
	       VALUES ('c', 'ann', 'e', 'k', 9999999999999, E'Zürich\n東京')"
	wait_for is_same
	start_follow "$T/second.db"
	wait_for is_same "$T/second.db"
	has_same_marks && has_same_marks "$T/second.db"
	assert_healthy
}

@test "follow: what eight writers commit is in the file, each row once, in the order of its id" {
	new_log
	start_follow
	start_rowcast
	listen_direct one
	cat >"$T/write.sql" <<-'SQL'
		\set rows random(1, 5)
		BEGIN;
		INSERT INTO notification(data) SELECT g FROM generate_series(1, :rows) g;
		SELECT pg_sleep(random() * 0.01);
		END;
	SQL
	pgbench -n -h "$PG" -U postgres -c 8 -j 2 -T 2 -f "$T/write.sql" "$PG_DB" >"$T/bench.log" 2>&1
	say last
	wait_for is_same
	expect_data one last
	diff <(ids_of one) <(pg -c 'SELECT id FROM notification ORDER BY id')
	assert_healthy
}

@test "follow: a local INSERT is refused with words that say where to insert" {
	new_log
	start_follow
	run sql "INSERT INTO notification(data) VALUES ('x')"
	assert_failure
	assert_output --partial 'this database follows PostgreSQL: insert the row there'
	run "$ROWCAST" send --db "$DB" x
	assert_failure 1
	assert_output --partial 'follows PostgreSQL'
	run sql "INSERT OR IGNORE INTO notification(data) VALUES ('x')"
	assert_failure
	assert_equal "$(sql 'SELECT count(*) FROM notification')" 0
	assert_equal "$(state refused)" 3
	say well
	wait_for is_same
}

@test "follow: deletions go on to the file, and so does the low-water mark" {
	new_log
	start_follow
	pg -c 'INSERT INTO notification(data) SELECT g FROM generate_series(1, 3000) g'
	wait_for is_same
	pg -c 'DELETE FROM notification WHERE id % 3 = 0'
	wait_for is_same
	wait_for has_same_marks
	pg -c "DELETE FROM notification WHERE data = '10'"
	wait_for is_same
	pg -c "SELECT notification_prune(keep_rows => 500)"
	wait_for is_same
	# While it is away, too: deleted here, inserted and deleted there.
	end_group TERM "$FOLLOW_PID"
	pg -c "DELETE FROM notification WHERE data = '2999'" -c "INSERT INTO notification(data) VALUES ('a'), ('b'), ('c')" \
		-c "DELETE FROM notification WHERE data IN ('b', 'c')"
	start_follow
	wait_for is_same
	wait_for has_same_marks
	pg -c 'TRUNCATE notification'
	wait_for is_same
	wait_for has_same_marks
	say after
	wait_for is_same
}

@test "follow: a reader whose rows are deleted in PostgreSQL gets a gap event" {
	new_log
	start_follow
	pg -c 'INSERT INTO notification(data) SELECT g FROM generate_series(1, 20) g'
	wait_for is_same
	first=$(pg -c 'SELECT min(id) FROM notification')
	pg -c "DELETE FROM notification WHERE id <= $((first + 9))"
	wait_for has_same_marks
	start_rowcast
	listen_direct one '' "HTTP_LAST_EVENT_ID=$first"
	expect_data one 20
	assert_equal "$(gap_of one | jq -r .reason)" pruned
	assert_equal "$(data_of one | grep -v gap | wc -l)" 10
	assert_healthy
}

@test "follow: --keep-rows deletes there and here" {
	new_log
	pg -c 'INSERT INTO notification(data) SELECT g FROM generate_series(1, 2500) g'
	start_follow "$DB" --keep-rows 100
	few() { [[ $(pg -c 'SELECT count(*) FROM notification') == 100 && $(sql 'SELECT count(*) FROM notification') == 100 ]]; }
	wait_for few
	wait_for is_same
}

@test "follow: killed at any point and started again it has each row once" {
	new_log
	start_follow
	background pgbench -n -h "$PG" -U postgres -c 4 -T 4 -f <(echo "INSERT INTO notification(data) SELECT repeat('x', 2000) FROM generate_series(1, 40)") "$PG_DB" >/dev/null 2>&1
	writer=$PID
	while ! group_is_gone "$writer"; do
		pause "0.$((SRANDOM % 30 + 10))"
		end_group KILL "$FOLLOW_PID"
		background "$ROWCAST" follow --from "$URL" --db "$DB" >>"$T/follow.err" 2>&1
		FOLLOW_PID=$PID
	done
	wait_for is_same
	assert_equal "$(sql 'PRAGMA integrity_check')" ok
	! grep -q 'left out' "$T/follow.err"
}

@test "follow: a new node fills from what is kept while writers write" {
	new_log
	pg -c "INSERT INTO notification(data) SELECT repeat('y', 3000) FROM generate_series(1, 8000)"
	pg -c "DELETE FROM notification WHERE id % 5 = 0"
	background pgbench -n -h "$PG" -U postgres -c 2 -T 2 -f <(echo "INSERT INTO notification(data) VALUES ('n')") "$PG_DB" >/dev/null 2>&1
	writer=$PID
	start_follow
	wait_for group_is_gone "$writer"
	wait_for is_same
	wait_for has_same_marks
	"$ROWCAST" doctor --db "$DB" | grep '^ok *schema'
}

# --- trouble ------------------------------------------------------------------------------

@test "follow: PostgreSQL goes away: streams stay, health says the lag, and it reconnects" {
	postgres_make away 5433
	PG_PORT=5433
	new_log
	start_follow "$DB" --metrics "$T/follow.prom"
	start_rowcast
	listen_direct one
	say before
	expect_data one before
	postgres_stop away
	wait_for health_says 'ok, but: the follower lags'
	health_says '^Status: 200'
	fcgi --get /metrics ROWCAST_ADMIN=1 | grep -E '^rowcast_follower_lag_seconds [1-9]'
	wait_for grep -q '^rowcast_follow_connected 0' "$T/follow.prom"
	beats=$(beats_of one)
	wait_for has_beats one $((beats + 2))
	postgres_start away
	say after
	expect_data one after
	wait_for health_says '^ok$'
	wait_for grep -q '^rowcast_follow_connected 1' "$T/follow.prom"
	assert_equal "$(data_of one | tr '\n' ' ')" 'before after '
	run ! has_gap one
	postgres_stop away
	assert_healthy
}

@test "follow: health is 503 when no follower is alive, but not while PostgreSQL is away" {
	postgres_make gone 5435
	PG_PORT=5435
	new_log
	start_follow
	start_rowcast
	wait_for health_says '^ok$'
	postgres_stop gone
	wait_for health_says 'ok, but: the follower lags'
	alive=$(state alive_at)
	notes_life() { (($(state alive_at) > alive)); }
	wait_for notes_life
	end_group KILL "$FOLLOW_PID"
	sql 'UPDATE rowcast_follow SET alive_at = alive_at - 60000, contact_at = contact_at - 60000, answer_at = answer_at - 60000'
	wait_for health_says 'no follower has written into the file for [0-9]* s: start `rowcast follow`'
	health_says '^Status: 503'
	# A file that never had everything is no use even then.
	sql "UPDATE rowcast_follow SET contact_at = 0, alive_at = $(date +%s%3N)"
	wait_for health_says 'filling the file'
	health_says '^Status: 503'
	postgres_start gone
	start_follow
	wait_for health_says '^ok$'
	end_group TERM "$FOLLOW_PID"
	postgres_stop gone
	assert_healthy
}

@test "follow: with --max-lag health is 503 while the file is older, and streams stay" {
	postgres_make old 5436
	PG_PORT=5436
	new_log
	start_follow
	start_rowcast --max-lag 3
	listen_direct one
	say before
	expect_data one before
	wait_for health_says '^ok$'
	postgres_stop old
	wait_for health_says '^the follower lags'
	health_says '^Status: 503'
	beats=$(beats_of one)
	wait_for has_beats one $((beats + 1))
	postgres_start old
	wait_for health_says '^ok$'
	say after
	expect_data one after
	end_group TERM "$FOLLOW_PID"
	postgres_stop old
	assert_healthy
}

@test "follow: backends and the postmaster killed with -9: nothing is missing or twice" {
	postgres_make killed 5434
	PG_PORT=5434
	new_log
	start_follow
	start_rowcast
	listen_direct one
	for round in 1 2 3; do
		pg -c "INSERT INTO notification(data) SELECT '$round-' || g FROM generate_series(1, 50) g"
		wait_for kill_backend
		wait_for pg -c 'SELECT 1'
	done
	kill -KILL "$(head -n 1 "$PG/killed/postmaster.pid")"
	wait_for postgres_start killed
	say last
	expect_data one last
	wait_for is_same
	diff <(ids_of one) <(pg -c 'SELECT id FROM notification ORDER BY id')
	postgres_stop killed
	assert_healthy
}

@test "follow: a client that comes from a node that is ahead waits, and gets no gap" {
	new_log
	start_follow
	start_rowcast
	say one
	wait_for is_same
	kill -STOP "$FOLLOW_PID"
	pg -c "INSERT INTO notification(data) VALUES ('two'), ('three'), ('four')"
	three=$(pg -c "SELECT id FROM notification WHERE data = 'three'")
	listen_direct one '' "HTTP_LAST_EVENT_ID=$three"
	fcgi --get "?format=json&after=$((three - 2))" >"$T/poll"
	kill -CONT "$FOLLOW_PID"
	expect_data one four
	assert_equal "$(data_of one)" four
	run ! has_gap one
	# An id that nobody gave is told, once the log was asked.
	listen_direct two '' "HTTP_LAST_EVENT_ID=$((three + 100000))"
	wait_for has_gap two
	assert_equal "$(gap_of two | jq -r .reason)" reset
	assert_healthy
}

@test "follow: tables that are missing, off, newer or another log's are refused in words" {
	new_log
	start_follow
	end_group TERM "$FOLLOW_PID"
	pg -c 'ALTER TABLE notification DISABLE TRIGGER notification_number'
	refuses_to_follow
	[[ $stderr == *'no trigger numbers the rows'* ]]
	pg -c 'UPDATE rowcast_meta SET schema_version = 2'
	refuses_to_follow
	[[ $stderr == *'upgrade rowcast'* ]]
	pg -c 'DELETE FROM rowcast_meta'
	refuses_to_follow
	[[ $stderr == *'follow --init'* ]]
	pg -c 'DROP TABLE rowcast_meta'
	refuses_to_follow
	[[ $stderr == *'follow --init'* ]]
	new_log
	refuses_to_follow
	[[ $stderr == *'another log'* ]]
	pg -c "CREATE ROLE nobody$SRANDOM LOGIN" -c 'REVOKE ALL ON SCHEMA public FROM PUBLIC'
	rm "$DB"*
	URL=${URL/user=postgres/user=$(pg -c "SELECT rolname FROM pg_roles WHERE rolname LIKE 'nobody%' LIMIT 1")}
	refuses_to_follow
	[[ $stderr == *'GRANT rowcast_follow'* || $stderr == *'follow --init'* ]]
}

@test "follow: a row that the file's table refuses is named, and readers get a gap event" {
	new_log
	start_follow
	start_rowcast
	listen_direct one
	say before
	expect_data one before
	pg -c 'ALTER TABLE notification DROP CONSTRAINT "rowcast: event must not be open or error, nor begin rowcast:"'
	pg -c "INSERT INTO notification(event, data) VALUES ('open', 'bad')"
	say after
	expect_data one after
	says 'is left out'
	says 'event must not be open'
	wait_for has_gap one
	assert_healthy
}

# --- fail-over ----------------------------------------------------------------------------

@test "follow: a synchronous standby is promoted: nothing is lost, no client notices" {
	postgres_make first 5440 'max_wal_senders = 4' 'wal_keep_size = 64MB'
	PG_PORT=5440
	new_log
	postgres_standby second 5441 5440
	psql -h "$PG" -p 5440 -U postgres -Xq -c "ALTER SYSTEM SET synchronous_standby_names = 'second'" -c 'SELECT pg_reload_conf()' postgres >/dev/null
	URL="postgresql:///$PG_DB?host=$PG,$PG&port=5440,5441&user=postgres&target_session_attrs=read-write"
	start_follow
	start_rowcast
	listen_direct one
	pg -c 'INSERT INTO notification(data) SELECT g FROM generate_series(1, 100) g'
	expect_data one 100
	postgres_stop first
	as_postgres pg_ctl -D "$PG/second" -w -s promote
	PG_PORT=5441
	pg -c "INSERT INTO notification(data) VALUES ('after')"
	expect_data one after
	wait_for is_same
	diff <(data_of one) <(seq 100 && echo after)
	run ! has_gap one
	wait_for health_says '^ok$'
	postgres_stop second
	assert_healthy
}

@test "follow: a standby that lacks the last commits is promoted: no id comes again, and readers get a gap event" {
	postgres_make third 5442 'max_wal_senders = 4' 'wal_keep_size = 64MB'
	PG_PORT=5442
	new_log
	postgres_standby fourth 5443 5442
	URL="postgresql:///$PG_DB?host=$PG,$PG&port=5442,5443&user=postgres&target_session_attrs=read-write"
	start_follow
	start_rowcast
	listen_direct one
	say kept
	expect_data one kept
	replayed() { [[ $(PG_PORT=5443 pg -c 'SELECT count(*) FROM notification') == 1 ]]; }
	wait_for replayed
	postgres_stop fourth fast
	pg -c "INSERT INTO notification(data) VALUES ('lost1'), ('lost2')"
	expect_data one lost2
	lost=$(pg -c 'SELECT max(id) FROM notification')
	postgres_stop third
	postgres_start fourth
	as_postgres pg_ctl -D "$PG/fourth" -w -s promote
	PG_PORT=5443
	# Before any follower has looked.
	pg -c "INSERT INTO notification(data) VALUES ('new')"
	[[ $(pg -c "SELECT id FROM notification WHERE data = 'new'") -gt $lost ]]
	wait_for has_gap one
	wait_for is_same
	assert_equal "$(gap_of one | jq -r .reason)" reset
	say newer
	expect_data one newer
	# And one who comes back later with the id of a row that is gone.
	listen_direct two '' "HTTP_LAST_EVENT_ID=$lost"
	expect_data two newer
	has_gap two
	says 'has lost rows'
	postgres_stop fourth
	assert_healthy
}

@test "follow: a standby that lacks the last DELETE is promoted: three nodes have what it has, and readers get a reset" {
	postgres_make seventh 5446 'max_wal_senders = 4' 'wal_keep_size = 64MB'
	PG_PORT=5446
	new_log
	postgres_standby eighth 5447 5446
	URL="postgresql:///$PG_DB?host=$PG,$PG&port=5446,5447&user=postgres&target_session_attrs=read-write"
	start_follow
	start_follow "$T/second.db"
	start_follow "$T/third.db"
	start_rowcast
	listen_direct one
	pg -c 'INSERT INTO notification(data) SELECT g FROM generate_series(1, 9) g'
	expect_data one 9
	replayed() { [[ $(PG_PORT=5447 pg -c 'SELECT count(*) FROM notification') == 9 ]]; }
	wait_for replayed
	postgres_stop eighth fast
	pg -c "DELETE FROM notification WHERE data = '3'"
	for db in "$DB" "$T/second.db" "$T/third.db"; do wait_for is_same "$db"; done
	postgres_stop seventh
	postgres_start eighth
	as_postgres pg_ctl -D "$PG/eighth" -w -s promote
	PG_PORT=5447
	# Another deletion, which has the number of the lost one.
	pg -c "DELETE FROM notification WHERE data = '5'"
	say after
	expect_data one after
	wait_for has_gap one
	assert_equal "$(gap_of one | jq -r .reason)" reset
	for db in "$DB" "$T/second.db" "$T/third.db"; do
		wait_for has_same_marks "$db"
		# The row whose deletion was lost is back in PostgreSQL, and on nodes that begin anew.
		assert_equal "$(sqlite3 "$db" "SELECT group_concat(data, ' ') FROM notification")" '1 2 4 6 7 8 9 after'
	done
	start_follow "$T/fourth.db"
	wait_for is_same "$T/fourth.db"
	assert_equal "$(sqlite3 "$T/fourth.db" "SELECT group_concat(data, ' ') FROM notification")" '1 2 3 4 6 7 8 9 after'
	postgres_stop eighth
	assert_healthy
}

@test "follow: a hot standby serves followers too, by the look each second" {
	postgres_make fifth 5444 'max_wal_senders = 4' 'wal_keep_size = 64MB'
	PG_PORT=5444
	new_log
	postgres_standby sixth 5445 5444
	URL="postgresql:///$PG_DB?host=$PG&port=5445&user=postgres"
	start_follow
	pg -c 'INSERT INTO notification(data) SELECT g FROM generate_series(1, 100) g'
	wait_for is_same
	pg -c 'DELETE FROM notification WHERE id % 2 = 0'
	wait_for is_same
	postgres_stop sixth
	postgres_stop fifth
}

# --- moving -------------------------------------------------------------------------------

@test "follow: an SQLite site becomes a PostgreSQL site, and each page sees each row once" {
	init_db
	start_rowcast
	row one
	listen_direct one
	row two
	expect_data one two
	last=$(tail_id)
	new_log
	start_follow
	says 'has rows of its own'
	run sql "INSERT INTO notification(data) VALUES ('x')"
	assert_failure
	say three
	expect_data one three
	[[ $(pg -c 'SELECT min(id) FROM notification') -gt $last ]]
	assert_equal "$(data_of one | tr '\n' ' ')" 'two three '
	run ! has_gap one
	# And a page that was away meanwhile.
	listen_direct two '' "HTTP_LAST_EVENT_ID=$((last - 1))"
	expect_data two three
	assert_equal "$(data_of two | tr '\n' ' ')" 'two three '
	run ! has_gap two
	assert_healthy
}

@test "follow: ids go on above a file whose ids outran the clock" {
	init_db
	far=$(($(date +%s%3N) + 100000000))
	sql "INSERT INTO notification(id, data) VALUES ($far, 'far')"
	new_log
	start_follow
	say next
	wait_for [ "$(sql "SELECT id > $far FROM notification WHERE data = 'next'")" = 1 ]
}

@test "follow: a file whose ids overlap with the log's is refused" {
	new_log
	say one
	init_db
	sql "INSERT INTO notification(id, data) VALUES ($(($(date +%s%3N) + 100000000)), 'far')"
	refuses_to_follow
	[[ $stderr == *'their ids overlap'* ]]
	sql "INSERT INTO notification(data) VALUES ('still mine')"
}

# --- everything at once -------------------------------------------------------------------

@test "follow: whatever is killed, cut off and deleted, each client of three nodes has each row once, or a gap" {
	run /usr/bin/python3 "$SRC/tests/follow/oracle.py" --rowcast "$ROWCAST" --seconds "${ORACLE_SECONDS:-8}"
	assert_success
}

# --- serve --read-only --------------------------------------------------------------------

@test "read-only: serve writes nothing, streams what others commit, and makes no checkpoint at the end" {
	init_db
	row one
	exec 8> >(sqlite3 -batch "$DB" >/dev/null)
	echo "PRAGMA wal_autocheckpoint = 0; INSERT INTO notification(data) VALUES ('two');" >&8
	wait_for [ -s "$DB-wal" ]
	start_rowcast --read-only
	listen_direct one '?last=2'
	expect_data one two
	echo "INSERT INTO notification(data) VALUES ('three');" >&8
	expect_data one three
	before=$(stat -c '%s %y %i' "$DB" "$DB-wal" && md5sum "$DB" "$DB-wal")
	assert_healthy
	assert_equal "$(stat -c '%s %y %i' "$DB" "$DB-wal" && md5sum "$DB" "$DB-wal")" "$before"
	exec 8>&-
}

@test "read-only: a file that is replaced in place is followed, and no file is made beside it" {
	init_db
	row one
	sql 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
	rm -f "$DB-wal" "$DB-shm"
	cp "$DB" "$T/source.db"
	start_rowcast --read-only
	listen_direct one '?last=1'
	expect_data one one
	sqlite3 "$T/source.db" "INSERT INTO notification(data) VALUES ('two'); PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
	cat "$T/source.db" >"$DB"
	expect_data one two
	[[ ! -e $DB-wal && ! -e $DB-shm ]]
	run ! has_gap one
	assert_healthy
}

@test "read-only: it excludes what writes, and a file of Turso's is refused" {
	init_db
	for option in --allow-publish '--keep-rows 5' '--keep-age 1h'; do
		# shellcheck disable=SC2086
		run "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --read-only $option
		assert_failure 2
		assert_output --partial -- '--read-only'
	done
	touch "$DB-tshm"
	run "$ROWCAST" serve --db "$DB" --listen "unix:$SOCKET" --read-only
	assert_failure 1
	assert_output --partial "is Turso's"
}

@test "doctor: it says what a file follows, how old it is, and what is wrong with the log" {
	new_log
	start_follow
	run -0 "$ROWCAST" doctor --db "$DB" --from "$URL"
	assert_output --regexp 'ok +follower: .* lacks nothing'
	assert_output --regexp 'ok +log: .*version 1'
	"$ROWCAST" send --db "$DB" x 2>"$T/send.err" || true
	pg -c 'ALTER TABLE notification DISABLE TRIGGER notification_number'
	run "$ROWCAST" doctor --db "$DB" --from "$URL"
	assert_output --regexp 'warning +inserts: 1 local inserts'
	assert_output --regexp 'problem +log: .*no trigger numbers'
	end_group TERM "$FOLLOW_PID"
	sql 'UPDATE rowcast_follow SET contact_at = contact_at - 60000'
	run "$ROWCAST" doctor --db "$DB" --from "postgresql:///none?host=$T"
	assert_output --regexp 'problem +follower: the file may lack'
	assert_output --regexp 'problem +log: cannot connect'
	"$ROWCAST" serve --check --db "$DB"
}
