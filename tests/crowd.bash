# crowd.bash - many streams over FastCGI in one Python process (clients/streams.py): `load crowd`.
#
# shellcheck shell=bash

# Runs a scenario in Python, from stdin. At hand are crowd, db, pid (of rowcast), commit(db, ...),
# check, expect of clients/streams.py, and the arguments in args. play [ARGUMENT...]
play() {
	{
		cat <<-'PY'
			import json, os, random, signal, subprocess, sys, time
			import sqlite3
			from streams import Crowd, Stream, check, commit, expect
			crowd = Crowd("unix:" + sys.argv[1], seconds=float(os.environ["WAIT"]))
			db = sqlite3.connect(sys.argv[2], isolation_level=None, timeout=30)
			pid, args = int(sys.argv[3]), sys.argv[4:]
		PY
		cat
	} >"$T/play.py"
	WAIT=$((WAIT * 2)) PYTHONPATH=$CLIENTS python3 "$T/play.py" "$SOCKET" "$DB" "$ROWCAST_PID" \
		"$@" 3>&- || return 1
}

# As many descriptors as this machine allows; how many streams that is good for, at most $1.
streams_possible() {
	local hard
	hard=$(ulimit -Hn)
	ulimit -Sn "$hard"
	[[ $hard != unlimited && $hard -lt $(($1 + 300)) ]] || hard=$(($1 + 300))
	STREAMS=$((hard - 300))
}
