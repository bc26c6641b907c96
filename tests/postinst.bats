#!/usr/bin/env bats
# postinst.bats - debian/rowcast.postinst changes nothing as root in the database's folder, where the
# application may write too: links that it plants there lead nowhere. In a mount namespace, with copies of
# /etc and /var/lib; tests/install.bats installs the package itself.
#
# shellcheck shell=bash

load helper

# Makes what the script needs: /etc with the package's sysusers.d and tmpfiles.d, an empty /var/lib, the
# program. Then runs $T/inside there.
in_namespace() {
	local name
	cp -a /etc "$T/etc"
	mkdir -p "$T/etc/sysusers.d" "$T/etc/tmpfiles.d" "$T/lib/dpkg" "$T/run"
	for name in sysusers tmpfiles; do
		sed 's/@webgroup@/www-data/' "$SRC/systemd/rowcast.$name.in" >"$T/etc/$name.d/rowcast.conf"
	done
	cp "$ROWCAST" "$T/bin/rowcast"
	chmod 755 "$T/bin" "$T/bin/rowcast"
	cat >"$T/begin" <<-'SH'
		set -eu
		T=$1
		mount --bind "$T/etc" /etc
		mount --bind "$T/lib" /var/lib
		mount --bind "$T/run" /run
		PATH=$T/bin:/usr/sbin:/usr/bin:/sbin:/bin
		db=/var/lib/rowcast/rowcast.db
		as_application() { setpriv --reuid=www-data --regid=www-data --clear-groups "$@"; }
		state() { stat -c '%n %a %U:%G %s %Y' "$T/precious"/* && cat "$T/precious"/*; }
		mkdir -m 755 "$T/precious"
		echo secret >"$T/precious/file"
		chmod 600 "$T/precious/file"
	SH
	unshare -m sh -c ". '$T/begin'; . '$T/inside'" - "$T"
}

@test "postinst: makes the database as the service's user" {
	needs_root
	cat >"$T/inside" <<-SH
		sh "$SRC/debian/rowcast.postinst" configure
		stat -c '%U:%G %a' /var/lib/rowcast \$db
		sh "$SRC/debian/rowcast.postinst" configure 0.1
		as_application sqlite3 \$db "INSERT INTO notification(data) VALUES ('x')"
	SH
	run in_namespace
	assert_success
	assert_line 'rowcast:www-data 2770'
	assert_line 'rowcast:www-data 660'
}

@test "postinst: links that the application has put into the folder change no file of root's" {
	needs_root
	cat >"$T/inside" <<-SH
		postinst="sh $SRC/debian/rowcast.postinst"
		systemd-sysusers rowcast.conf
		systemd-tmpfiles --create rowcast.conf
		before=\$(state)
		for end in '' -wal -shm -journal; do
			as_application ln -s "$T/precious/file" "\$db\$end"
			\$postinst configure || true        # a new installation
			\$postinst configure 0.1 || true    # an upgrade
			as_application ln -sf "$T/precious/none" "\$db\$end"
			\$postinst configure || true
			\$postinst configure 0.1 || true
			rm -f \$db*
		done
		[ "\$before" = "\$(state)" ] || { echo "changed: \$(state)"; exit 1; }
		[ -z "\$(find /var/lib/rowcast -user root)" ] || { ls -la /var/lib/rowcast; exit 1; }
	SH
	run in_namespace
	assert_success
}
