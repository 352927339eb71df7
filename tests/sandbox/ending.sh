# shellcheck shell=bash disable=SC2034,SC2154 # lib.sh sets and uses the rest
# fc-run itself is ended: by a signal it takes, and by one it cannot.

# Wait until a command says yes, at most five seconds, times FC_TEST_TIME_SCALE.
soon() {
	local tries
	for ((tries = 0; tries < 100 * ${FC_TEST_TIME_SCALE:-1}; tries++)); do
		if "$@"; then return 0; fi
		read -r -t 0.05 <> <(:)
	done
	return 1
}
gone() { [[ -z $(with_word "$1") ]]; }
group_left() { compgen -G "/sys/fs/cgroup/fcnode-run-$1-*" || compgen -G "/sys/fs/cgroup/*/fcnode-run-$1-*"; } >/dev/null
no_group() { ! group_left "$1"; }

sleeper() { # word
	fn "sleeper-$1" <<-F
		#!/bin/sh
		setsid sh -c 'trap "" TERM INT HUP; sleep 98762.$1' &
		echo up >&2
		trap '' TERM INT HUP
		sleep 98762.$1
		while :; do sleep 1; done
	F
}

by_signal() { # name, number
	sleeper "$1"
	start_call up --timeout 60s "$T/fn/sleeper-$1" || fail "ended by SIG$1" "did not start"
	kill "-$1" "$job_pid"
	end_call
	verdict "ended by SIG$1: status $((128 + $2))" [ "$job_status" = $((128 + $2)) ]
	verdict "ended by SIG$1: no process is left" gone "98762.$1"
	verdict "ended by SIG$1: no group, no directory" [ -z "$(left_by "$job_pid")$(ls -A "$T/job")" ]
}

# While a bundle is being unpacked: fc-unpack ends too, and so does what it had written.
while_unpacking() { # name, number
	TMPDIR=$T/job "$T/bin/fc-run" invoke "$T/fn/slow.tgz" >"$T/out" 2>"$T/err" </dev/null &
	job_pid=$!
	soon unpacking_has_begun || fail "unpacking, SIG$1" "did not begin"
	kill "-$1" "$job_pid"
	job_status=0
	wait "$job_pid" 2>/dev/null || job_status=$?
	verdict "unpacking, SIG$1: status $((128 + $2))" [ "$job_status" = $((128 + $2)) ]
	soon no_child_left || fail "unpacking, SIG$1" "fc-unpack is still there"
	if [[ $1 == KILL ]]; then
		as=(env "TMPDIR=$T/job")
		call "unpacking, SIG$1: the next call works" 0 "" "$T/fn/good"
		as=()
	fi
	verdict "unpacking, SIG$1: no directory is left" [ -z "$(ls "$T/job")" ]
}
unpacking_has_begun() { compgen -G "$T/job/*/layer/code" >/dev/null; }
no_child_left() { ! readlink /proc/[0-9]*/exe 2>/dev/null | grep -q "^$T/bin/fc-unpack"; }

# SIGKILL cannot be handled: the sandbox dies with fc-run (PR_SET_PDEATHSIG); its group goes with the next call.
by_kill() {
	sleeper KILL
	start_call up --timeout 60s "$T/fn/sleeper-KILL" || fail "ended by SIGKILL" "did not start"
	verdict "a running call's code: for its owner alone" [ "$(stat -c %a "$T"/job/fc-run-*)" = 700 ]
	kill -KILL "$job_pid"
	end_call 2>/dev/null
	verdict "ended by SIGKILL: the sandbox dies with it" soon gone 98762.KILL
	# its group may be gone by now: any fc-run on this host removes it
	verdict "ended by SIGKILL: its directory stays behind" [ -n "$(ls "$T/job")" ]
	mkdir -p "$T/fn/plain"
	cp "$T/fn/good" "$T/fn/plain/bootstrap"
	as=(env "TMPDIR=$T/job") # as it had
	call "ended by SIGKILL: the next call works" 0 "" "$T/fn/plain" # needs no temporary directory itself
	as=()
	verdict "ended by SIGKILL: and has removed the group" no_group "$job_pid"
	verdict "ended by SIGKILL: and the temporary directory" [ -z "$(ls "$T/job")" ]
}

# Killed in the middle of the start, at every point that a fast machine reaches in 12 ms.
killed_early() {
	local us pid pids='' left=''
	for us in $(seq 0 400 12000); do
		TMPDIR=$T/job "$T/bin/fc-run" invoke "$T/fn/good" >/dev/null 2>&1 </dev/null &
		pid=$!
		pids+=" $pid"
		python3 -c "import time, os, signal
time.sleep($us / 1e6)
try: os.kill($pid, signal.SIGKILL)
except ProcessLookupError: pass"
		wait "$pid" 2>/dev/null
	done
	as=(env "TMPDIR=$T/job")
	call "killed while starting: the next call works" 0 "" "$T/fn/good"
	as=()
	for pid in $pids; do
		if group_left "$pid"; then left+=" $pid"; fi
	done
	verdict "killed while starting: no group is left" [ -z "$left" ]
	verdict "killed while starting: no directory is left" [ -z "$(ls "$T/job")" ]
}

# What looks like ours but has a living owner, and what is not ours, stays.
sweep_spares() {
	sleeper SPARED
	start_call up --timeout 60s "$T/fn/sleeper-SPARED" || fail "the sweep spares the living" "did not start"
	# groups that are not ours to remove: of another name, without a time
	local other=/sys/fs/cgroup/unified
	[[ -d $other ]] || other=/sys/fs/cgroup
	mkdir "$other/fcnode-run-test" "$other/fcnode-runner-1-1"
	as=(env "TMPDIR=$T/job")
	call "the sweep spares the living: another call" 0 "" "$T/fn/good"
	as=()
	verdict "the sweep spares the living" group_left "$job_pid"
	verdict "the sweep spares the living: its directory too" [ -n "$(ls "$T/job")" ]
	verdict "the sweep spares what is not ours" [ -d "$other/fcnode-run-test" -a -d "$other/fcnode-runner-1-1" ]
	rmdir "$other/fcnode-run-test" "$other/fcnode-runner-1-1"
	kill -TERM "$job_pid"
	end_call
}

part_ending() {
	by_signal INT 2
	by_signal TERM 15
	by_signal HUP 1
	head -c 400000000 /dev/zero >"$T/bootstrap"
	tar -C "$T" -czf "$T/fn/slow.tgz" bootstrap
	rm "$T/bootstrap"
	while_unpacking INT 2
	while_unpacking TERM 15
	while_unpacking KILL 9
	by_kill
	killed_early
	sweep_spares
}
