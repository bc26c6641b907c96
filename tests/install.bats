#!/usr/bin/env bats
# install.bats - the Debian package on a machine: a real systemd, on a throwaway copy of this
# machine's root in namespaces of its own (tests/install/namespace). Each case is a machine just
# booted, and a function of tests/install/scenario. As root, where the kernel lets us mount:
# configure says so, and `make check-package` runs it in any case.
#
# shellcheck shell=bash

load helper

setup_file() {
	local package folder
	package=$("$BATS_TEST_DIRNAME/install/build-package" "$(dirname "$ROWCAST")/package" 3>&-)
	folder=$BATS_FILE_TMPDIR/outside
	mkdir -p "$folder/unpacked"
	cp "$package" "$folder/rowcast.deb"
	cp "$BATS_TEST_DIRNAME/install/scenario" "$folder/"
	# The same once more, as the next version.
	dpkg-deb -R "$package" "$folder/unpacked"
	sed -i 's/^Version: .*/&+newer/' "$folder/unpacked/DEBIAN/control"
	dpkg-deb -b "$folder/unpacked" "$folder/newer.deb"
	rm -r "$folder/unpacked"
	export OUTSIDE=$folder
}

on_machine() {
	cp -r "$OUTSIDE" "$T/outside"
	"$BATS_TEST_DIRNAME/install/namespace" "$T/outside" /outside/scenario "$1" 3>&- ||
		fail "$1: $(cat "$T/outside/output")"
}

@test "install: package, lighty-enable-mod, row: the page gets it, and the service is confined" {
	on_machine behind_lighttpd
}

@test "install: package, a2enconf, row: the page gets it" {
	on_machine behind_apache
}

@test "install: package, a snippet in nginx, row: the page gets it" {
	on_machine behind_nginx
}

@test "install: lighttpd starts rowcast itself, without its units" {
	on_machine spawned_by_lighttpd
}

@test "install: an upgrade refuses no request, loses no row and keeps the settings" {
	on_machine upgrade
}

@test "install: remove keeps the database, purge leaves nothing behind" {
	on_machine remove_and_purge
}

@test "install: the application's own database elsewhere, with a drop-in" {
	on_machine other_database
}

@test "install: a responder that hangs is replaced by the watchdog, and no connection is refused" {
	on_machine watchdog
}

@test "install: a database that comes late is served without a hand" {
	on_machine late_database
}

@test "install: retention, POST, tickets, reload and the journal's fields under the unit's confinement" {
	on_machine all_options
}

@test "install: the prune timer is off at first, and keeps what the settings say" {
	on_machine prune_timer
}
