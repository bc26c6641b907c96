#!/usr/bin/env bats
# docs.bats - the documents say what the program does: options, parameters and files by
# tools/check-docs; the examples of README.md, doc/INSTALL.md and doc/PROTOCOL.md are taken from there and run.
#
# shellcheck shell=bash

load helper

check() { "$SRC/tools/check-docs" "$@"; }

# The N-th code block of a language in a document (counted from 1): block FILE LANGUAGE [N]
block() {
	awk -v language="$2" -v wanted="${3:-1}" '
		/^```/ && inside { inside = 0; if (on) exit; next }
		/^```/ { inside = 1; on = $0 == "```" language && ++seen == wanted; next }
		on
	' "$SRC/$1" | sed -e "s#/var/lib/rowcast/rowcast\.db#$DB#g" -e "s#/var/log/lighttpd/#$T/#"
}

# The last row as "channel|recipient|event|data".
last_row() {
	sql 'SELECT channel, recipient, event, data FROM notification ORDER BY id DESC LIMIT 1'
}

@test "docs: every option of --help is in its man page, and no other" { check options; }
@test "docs: the man pages tell the defaults of --help" { check defaults; }
@test "docs: every command is in rowcast(1)" { check commands; }
@test "docs: the texts speak only of options that there are" { check mentions; }
@test "docs: texts and configurations name only variables that something reads" { check variables; }
@test "docs: PROTOCOL.md has every query parameter, and no other" { check parameters; }
@test "docs: OPERATIONS.md has every metric, and no other" { check metrics; }
@test "docs: ARCHITECTURE.md names every source file, and is short" { check sources; }
@test "docs: links between the documents lead somewhere" { check links; }
@test "docs: mandoc -T lint finds nothing in the man pages" { check lint; }

@test "docs: README's first lines, the SQL and the page's listener, fit together" {
	init_db
	sql "$(block README.md sql)"
	assert_equal "$(last_row)" 'orders||paid|{"id":7}'
	run block README.md js
	assert_output --partial "EventSource('/events?channel=orders')"
	assert_output --partial "addEventListener('paid'"
}

@test "docs: README's PHP notifies" {
	init_db
	block README.md php >"$T/notify.php"
	php "$T/notify.php" # needs php-cli and php-sqlite3
	assert_equal "$(last_row)" 'orders||paid|{"id":7}'
}

@test "docs: README's Python notifies" {
	init_db
	block README.md python >"$T/notify.py"
	python3 "$T/notify.py"
	assert_equal "$(last_row)" 'orders||paid|{"id": 7}'
}

@test "docs: README's trigger notifies the customer" {
	init_db
	sql "CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT, state TEXT);
	     INSERT INTO orders VALUES (7, 'alice', 'new')"
	sql "$(block README.md sql 2)"
	sql "UPDATE orders SET state = 'paid' WHERE id = 7"
	sql "UPDATE orders SET state = 'paid' WHERE id = 7"
	run sql 'SELECT channel, recipient, event, data FROM notification'
	assert_output 'orders|alice|paid|{"id":7}'
}

@test "docs: INSTALL.md's shell lines send and follow" {
	init_db
	local line
	mkdir "$T/path" && ln -s "$ROWCAST" "$T/path/rowcast"
	export PATH=$T/path:$PATH ROWCAST_DB=$DB
	block doc/INSTALL.md sh >"$T/lines"
	# The first three end by themselves.
	head -n 3 "$T/lines" | sh -e
	assert_equal "$(sql "SELECT count(*) FROM notification WHERE channel = 'orders'
	                     AND event = 'paid' AND data = '{\"id\":7}'")" 1
	assert_equal "$(sql "SELECT count(*) FROM notification WHERE channel = 'log'")" 1
	# The other two go on until they are stopped.
	: >"$T/app.log"
	line=$(sed -n 4p "$T/lines")
	background sh -c "${line//\/var\/log\/app.log/$T/app.log}"
	line=$(sed -n 5p "$T/lines")
	background sh -c "$line >'$T/tail.out'"
	wait_for grep -q '^event: paid$' "$T/tail.out"
	wait_for append_and_see
	rowcast send --channel orders.eu again
	wait_for grep -qx 'data: again' "$T/tail.out"
	run grep GET "$T/tail.out"
	assert_failure
}
# tail(1) may start to look only after the first line was written.
append_and_see() {
	echo 'GET /index.html 200' >>"$T/app.log"
	[[ $(sql "SELECT count(*) FROM notification WHERE data = 'GET /index.html 200'") -ge 1 ]]
}

# The shortest configuration takes the place of the shipped file: snippet SERVER DOCUMENT
snippet() {
	mkdir -p "$T/short/$1"
	block "$2" "$1" >"$T/short/$1/rowcast.conf"
	[[ -s $T/short/$1/rowcast.conf ]]
	SRC=$T/short
}
# A page behind it gets a row at once, and health is found.
assert_serves() {
	assert_equal "$(curl -s -m "$WAIT" "$(url /health)")" ok
	listen a "$(url '?channel=orders')"
	row 1 orders
	expect_data a 1
	close_all
}

@test "docs: README's shortest lighttpd configuration serves" {
	init_db
	snippet lighttpd README.md
	make_program
	start_lighttpd
	assert_serves
}

@test "docs: INSTALL.md's shortest nginx configuration serves" {
	init_db
	start_rowcast
	snippet nginx doc/INSTALL.md
	start_nginx
	assert_serves
}

@test "docs: INSTALL.md's shortest Apache configuration serves" {
	init_db
	start_rowcast
	snippet apache doc/INSTALL.md
	start_apache
	assert_serves
}

@test "docs: PROTOCOL.md's client gets each row once while rowcast is killed and started" {
	init_db
	start_rowcast --retry 200
	start_lighttpd
	{
		block doc/PROTOCOL.md python
		echo "import sys"
		echo "for id, event, data in events(sys.argv[1]):"
		echo "    if event == 'message': print(data, flush=True)"
	} >"$T/client.py"
	background sh -c "exec python3 '$T/client.py' '$(url)' >'$T/client.out'"
	wait_for streams_are 1
	rows 1 100
	wait_for grep -qx 100 "$T/client.out"
	kill_rowcast
	rows 101 200
	start_rowcast --retry 200
	rows 201 300
	wait_for grep -qx 300 "$T/client.out"
	assert_equal "$(cat "$T/client.out")" "$(seq 300)"
}
