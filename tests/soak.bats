#!/usr/bin/env bats
# soak.bats - the soak, short: see tests/soak/soak.py, and `make soak` for the long one.
#
# shellcheck shell=bash

load helper

@test "soak: nothing lost untold or doubled under kills, pruning and a replaced database; no leak" {
	run python3 "$SRC/tests/soak/soak.py" --rowcast "$ROWCAST" --minutes 0.4 --streams 100 --waves 2
	assert_success
	assert_output --partial 'all records agree'
}
