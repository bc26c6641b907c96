#!/bin/sh
# psql_rows.sh - the same with psql, and 100,000 rows by COPY in one transaction: see README.md here.
#
#     psql_rows.sh HOST PORT DATABASE LABEL
set -eu
label=$4
{
	cat <<-SQL
		INSERT INTO notification(channel, data) VALUES ('drivers', '$label 1');
		BEGIN;
		INSERT INTO notification(channel, data) VALUES ('drivers', '$label 2');
		SELECT pg_sleep(0.3) \\g /dev/null
		INSERT INTO notification(channel, data) VALUES ('drivers', '$label 3');
		COMMIT;
		BEGIN;
		INSERT INTO notification(channel, data) VALUES ('drivers', '$label rolled back');
		ROLLBACK;
		BEGIN;
		INSERT INTO notification(channel, data) VALUES ('drivers', '$label 4');
		SAVEPOINT a;
		INSERT INTO notification(channel, data) VALUES ('drivers', '$label rolled back');
		ROLLBACK TO a;
		INSERT INTO notification(channel, data) VALUES ('drivers', '$label 5');
		COMMIT;
		COPY notification(channel, data) FROM STDIN;
	SQL
	seq -f "drivers	$label %.0f" 6 100005
	echo '\.'
} | psql -h "$1" -p "$2" -U postgres -XqAt -v ON_ERROR_STOP=1 "$3"
