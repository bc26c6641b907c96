#!/usr/bin/env bats
# package.bats - the Debian package: it is built, without faults for lintian, with each file at its
# place. tests/install.bats installs it.
#
# shellcheck shell=bash

load helper

setup_file() {
	PACKAGE=$("$BATS_TEST_DIRNAME/install/build-package" "$(dirname "$ROWCAST")/package" 3>&-)
	export PACKAGE
}

contents() { dpkg-deb -c "$PACKAGE" | awk '{ print $6 }'; }

@test "package: lintian finds no errors and no warnings" {
	run lintian --allow-root --fail-on error,warning --tag-display-limit 0 \
		"$(dirname "$PACKAGE")"/rowcast_*.changes
	assert_success
	refute_output --regexp '^[EW]:'
}

@test "package: each file is where Debian wants it" {
	local file
	run contents
	for file in ./usr/bin/rowcast ./usr/bin/rowcast.cgi ./etc/default/rowcast \
		./lib/systemd/system/rowcast.service ./lib/systemd/system/rowcast.socket \
		./lib/systemd/system/rowcast-push.service ./lib/systemd/system/rowcast-follow.service \
		./lib/systemd/system/rowcast-prune.service \
		./lib/systemd/system/rowcast-prune.timer \
		./usr/lib/sysusers.d/rowcast.conf ./usr/lib/tmpfiles.d/rowcast.conf \
		./etc/lighttpd/conf-available/50-rowcast.conf \
		./etc/lighttpd/conf-available/50-rowcast-spawn.conf \
		./etc/apache2/conf-available/rowcast.conf ./etc/nginx/snippets/rowcast.conf \
		./etc/nginx/rowcast/login.conf ./etc/nginx/rowcast/session.conf \
		./etc/lighttpd/rowcast/login.conf \
		./usr/share/bash-completion/completions/rowcast \
		./usr/share/zsh/vendor-completions/_rowcast ./usr/share/rowcast/web/demo.html \
		./usr/share/man/man1/rowcast.1.gz ./usr/share/man/man1/rowcast-follow.1.gz \
		./etc/default/rowcast-follow ./usr/share/man/man8/rowcast-serve.8.gz \
		./usr/share/man/man7/rowcast-schema.7.gz ./usr/share/doc/rowcast/copyright; do
		assert_line --partial "$file"
	done
	refute_output --partial /usr/local
}

@test "package: no configuration in it names /usr/local" {
	dpkg-deb -x "$PACKAGE" "$T/root"
	run grep -rl /usr/local "$T/root/etc" "$T/root/lib" "$T/root/usr/lib"
	assert_output ''
	grep -q '"/usr/bin/rowcast serve"' "$T/root/etc/lighttpd/conf-available/50-rowcast-spawn.conf"
	grep -q '^ExecStart=/usr/bin/rowcast serve$' "$T/root/lib/systemd/system/rowcast.service"
	run find "$T/root" -name '*.conf' -path '*/doc/*' -exec grep -l /usr/local {} +
	assert_output ''
}

@test "package: what an administrator changes is kept at an upgrade" {
	dpkg-deb -e "$PACKAGE" "$T/control"
	run cat "$T/control/conffiles"
	assert_line /etc/default/rowcast
	assert_line /etc/lighttpd/conf-available/50-rowcast.conf
	assert_line /etc/apache2/conf-available/rowcast.conf
	assert_line /etc/nginx/snippets/rowcast.conf
	assert_line /etc/nginx/rowcast/login.conf
}

@test "package: the program in it runs, and prints the package's version" {
	dpkg-deb -x "$PACKAGE" "$T/root"
	run "$T/root/usr/bin/rowcast" --version
	assert_line --index 0 "rowcast $(dpkg-deb -f "$PACKAGE" Version)"
}

# --- contrib: what a monitor is given ---------------------------------------------------------

# The names that are asked for: in every "expr" of the dashboard and of the rules.
metrics_asked() {
	{
		jq -r '.. | .expr? // empty' "$SRC/contrib/grafana/rowcast.json"
		sed -n 's/^ *expr: //p' "$SRC/contrib/prometheus/rowcast.rules.yml"
	} | grep -oE 'rowcast_[a-z_]+' | sort -u
}


@test "contrib: dashboard and alert rules ask for metrics that rowcast gives" {
	local name
	init_db
	start_rowcast
	fcgi --get /metrics ROWCAST_ADMIN=1 | sed -n 's/^# TYPE \(rowcast_[a-z_]*\) histogram.*/\1_bucket\n\1_sum\n\1_count/p; s/^# TYPE \(rowcast_[a-z_]*\) .*/\1/p' >"$T/given"
	[[ $(metrics_asked | wc -l) -gt 10 ]]
	for name in $(metrics_asked); do
		grep -qx "$name" "$T/given" || echo "$name" >>"$T/missing"
	done
	touch "$T/missing"
	assert_equal "$(cat "$T/missing")" ''
	assert_healthy
}

@test "contrib: the dashboard's panels stand side by side, each with an expression" {
	local file=$SRC/contrib/grafana/rowcast.json
	jq -e '[.panels[] | .targets | length > 0] | all' "$file"
	jq -e '[.panels[].id] | length == (unique | length)' "$file"
	jq -e '[.panels[].gridPos | .x + .w <= 24] | all' "$file"
	jq -e '[.panels[].gridPos | "\(.x),\(.y)"] | length == (unique | length)' "$file"
}

@test "contrib: the alert rules are well-formed, each with a summary and a severity" {
	python3 - "$SRC/contrib/prometheus/rowcast.rules.yml" <<-'PY'
		import sys, yaml
		rules = yaml.safe_load(open(sys.argv[1]))["groups"][0]["rules"]
		assert len(rules) > 4
		for rule in rules:
		    assert {"alert", "expr", "labels", "annotations"} <= rule.keys(), rule
		    assert rule["annotations"]["summary"] and rule["labels"]["severity"], rule
		    assert rule["expr"].count("(") == rule["expr"].count(")"), rule
	PY
}
