#!/usr/bin/env bats
# tricks.bats - what the file system, administrators, backup tools, migrations and containers do to a
# database under a running program: no committed row is lost untold, none is destroyed, and doctor
# finds what lasts.
#
# tests/tricks/ plays tricks on the program in its modes, with WAL and with a rollback journal:
# matrix.py many of these cells at a time, from the start of this file on. A case here waits for the
# last cell of its trick. `make check` plays one cell of each, `make check-tricks` all of them
# (TRICKS_OF=all), some minutes of processor time. oracle.py has the rule, tricks.py the tricks. One
# trick alone, with evidence:
#
#     tests/tricks/matrix.py --rowcast b/rowcast --verbose '^shm-removed/'
#
# shellcheck shell=bash

load helper

setup_file() {
	export TRICKS
	TRICKS=$(mktemp -d "${TMPDIR:-/tmp}/rowcast.XXXXXX")
	mkdir "$TRICKS/results"
	[[ ${TRICKS_OF:-thin} == all ]] || export TRICKS_PATIENCE=10
	TMPDIR=$TRICKS setsid python3 "$BATS_TEST_DIRNAME/tricks/matrix.py" \
		--rowcast "${ROWCAST:-$BATS_TEST_DIRNAME/../rowcast}" --results "$TRICKS/results" \
		$([[ ${TRICKS_OF:-thin} == all ]] || echo --thin) \
		</dev/null >"$TRICKS/out" 2>&1 3>&- 4>&- &
	echo $! >"$TRICKS/pid"
}

# What it started is in a process namespace of its own, and ends with it.
teardown_file() {
	kill -KILL "$(<"$TRICKS/pid")" 2>/dev/null || true
	rm -rf "$TRICKS"
}

# This file's cases need no folder and no program of their own.
setup() { :; }
teardown() { :; }

is_told() { [[ -e $TRICKS/results/$1 ]] || ! kill -0 "$(<"$TRICKS/pid")"; }

# All cells of the trick have held, or here is why not. outcome TRICK[.doctor]
outcome() {
	WAIT=900 wait_for is_told "$1"
	[[ -e $TRICKS/results/$1 ]] || fail "matrix.py ended early: $(tail -n 30 "$TRICKS/out")"
	[[ $(<"$TRICKS/results/$1") == ok ]] || fail "$(<"$TRICKS/results/$1")"
}

@test "tricks: each one of the table has its case here" {
	local name doctor
	while IFS=$'\t' read -r name doctor _; do
		grep -qF "{ outcome $name; }" "$BATS_TEST_FILENAME" || fail "no case for $name"
		[[ $doctor != doctor ]] || grep -qF "{ outcome $name.doctor; }" "$BATS_TEST_FILENAME" ||
			fail "no case of doctor's for $name"
	done < <(python3 "$SRC/tests/tricks/matrix.py" --list)
}

# --- no row lost untold, none destroyed -------------------------------------------------------

@test "tricks: -shm removed" { outcome shm-removed; }
@test "tricks: -wal and -shm removed after a checkpoint" { outcome wal-and-shm-removed; }
@test "tricks: -wal and -shm removed, with what is in them" { outcome wal-and-shm-removed-full; }
@test "tricks: all files removed and made again between two looks" { outcome all-removed-and-made-again; }
@test "tricks: all files removed, and later made again" { outcome all-removed; }
@test "tricks: renamed away, and back later" { outcome renamed-away-and-back; }
@test "tricks: renamed away and back between two looks" { outcome renamed-away-and-back-at-once; }
@test "tricks: only the database renamed away, and back later" { outcome database-alone-renamed-away-and-back; }
@test "tricks: another database renamed over it" { outcome another-renamed-over; }
@test "tricks: another database copied into it" { outcome another-copied-into; }
@test "tricks: a copy of itself renamed over it" { outcome replaced-by-its-copy; }
@test "tricks: a copy of itself renamed over it, and rows written, between two looks" { outcome replaced-by-its-copy-at-once; }
@test "tricks: a backup copied over it, its WAL removed, and rebase" { outcome restored-by-copy; }
@test "tricks: a backup copied over it while its WAL is left behind" { outcome restored-by-copy-wal-left; }
@test "tricks: a backup renamed over it, and more rows than were lost, between two looks" { outcome restored-and-outrun; }
@test "tricks: restored by sqlite3's .restore" { outcome restored-by-dot-restore; }
@test "tricks: restored by sqlite3's .backup into it" { outcome restored-by-dot-backup; }
@test "tricks: restored by .restore, and more rows than were lost, between two looks" { outcome restored-by-dot-restore-and-outrun; }
@test "tricks: backed up by .backup, VACUUM INTO and cp" { outcome backed-up; }
@test "tricks: the database truncated, and restored later" { outcome database-truncated; }
@test "tricks: the database overwritten with what is none, and restored later" { outcome database-overwritten; }
@test "tricks: -wal truncated after a checkpoint" { outcome wal-truncated; }
@test "tricks: -wal truncated with what is in it" { outcome wal-truncated-full; }
@test "tricks: -shm truncated" { outcome shm-truncated; }
@test "tricks: a hard link by whose name the application writes" { outcome hard-link; }
@test "tricks: a link turned to another database in its folder" { outcome link-turned; }
@test "tricks: a link turned to a database in another folder" { outcome link-turned-elsewhere; }
@test "tricks: the link to its folder turned to another release" { outcome folder-link-turned; }
@test "tricks: the link to its folder turned to a copy of it" { outcome folder-link-turned-to-copy; }
@test "tricks: its folder renamed, and another in its place" { outcome folder-replaced; }
@test "tricks: its folder replaced by a copy" { outcome folder-replaced-by-copy; }
@test "tricks: its folder renamed away, and back later" { outcome folder-renamed-away-and-back; }
@test "tricks: only the file is mounted for the program; the writer is outside" { outcome file-mounted-for-program; }
@test "tricks: only the file is mounted for the writer; the program is outside" { outcome file-mounted-for-writer; }
@test "tricks: a read-only overlay, the writer in the lower layer" { outcome overlay-over-writer; }
@test "tricks: remounted read-only while the program is away, and back while it runs" { outcome remounted-read-only; }
@test "tricks: the disk full, and space later" { outcome disk-full; }
@test "tricks: journal_mode DELETE and back" { outcome journal-to-delete-and-back; }
@test "tricks: journal_mode WAL and back" { outcome journal-to-wal-and-back; }
@test "tricks: a writer with journal_mode PERSIST" { outcome journal-persist; }
@test "tricks: a writer with journal_mode TRUNCATE" { outcome journal-truncate; }
@test "tricks: VACUUM" { outcome vacuum; }
@test "tricks: a checkpoint of each kind, while a writer holds the database" { outcome checkpointed; }
@test "tricks: a migration that copies, drops and renames the table" { outcome migrated-as-django; }
@test "tricks: a migration that copies, drops and renames the empty table" { outcome migrated-as-django-empty; }
@test "tricks: a migration that makes the table again without AUTOINCREMENT" { outcome migrated-without-autoincrement; }
@test "tricks: a migration that makes the empty table again without AUTOINCREMENT" { outcome migrated-without-autoincrement-empty; }
@test "tricks: a migration that copies the table away and back" { outcome migrated-as-rails; }
@test "tricks: a migration that copies the empty table away and back" { outcome migrated-as-rails-empty; }
@test "tricks: the triggers dropped" { outcome triggers-dropped; }
@test "tricks: a migration, and \`rowcast init\` after it" { outcome migrated-and-init; }
@test "tricks: a column added" { outcome column-added; }
@test "tricks: the table dropped, and made again later by \`rowcast init\`" { outcome table-dropped; }
@test "tricks: the table renamed, and made again by \`rowcast init\` between two looks" { outcome table-renamed; }

# --- doctor finds what lasts ------------------------------------------------------------------

@test "doctor finds: all files removed, and later made again" { outcome all-removed.doctor; }
@test "doctor finds: renamed away, and back later" { outcome renamed-away-and-back.doctor; }
@test "doctor finds: the database truncated, and restored later" { outcome database-truncated.doctor; }
@test "doctor finds: the database overwritten with what is none, and restored later" { outcome database-overwritten.doctor; }
@test "doctor finds: a hard link by whose name the application writes" { outcome hard-link.doctor; }
@test "doctor finds: its folder renamed away, and back later" { outcome folder-renamed-away-and-back.doctor; }
@test "doctor finds: only the file is mounted for the program; the writer is outside" { outcome file-mounted-for-program.doctor; }
@test "doctor finds: only the file is mounted for the writer; the program is outside" { outcome file-mounted-for-writer.doctor; }
@test "doctor finds: a read-only overlay, the writer in the lower layer" { outcome overlay-over-writer.doctor; }
@test "doctor finds: a migration that copies, drops and renames the table" { outcome migrated-as-django.doctor; }
@test "doctor finds: a migration that copies, drops and renames the empty table" { outcome migrated-as-django-empty.doctor; }
@test "doctor finds: a migration that makes the table again without AUTOINCREMENT" { outcome migrated-without-autoincrement.doctor; }
@test "doctor finds: a migration that makes the empty table again without AUTOINCREMENT" { outcome migrated-without-autoincrement-empty.doctor; }
@test "doctor finds: a migration that copies the table away and back" { outcome migrated-as-rails.doctor; }
@test "doctor finds: a migration that copies the empty table away and back" { outcome migrated-as-rails-empty.doctor; }
@test "doctor finds: the triggers dropped" { outcome triggers-dropped.doctor; }
@test "doctor finds: the table dropped, and made again later by \`rowcast init\`" { outcome table-dropped.doctor; }
