# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # run.sh and the parts set and use the rest
# What the parts of check-sandbox share: a copy of the build that any user can reach, calls of fc-run with the checks
# that belong to every call, and counting. A part is a file part.sh with a function part_NAME.

passed=0 failed=0 skipped=0
as=()       # a prefix: run fc-run as somebody else
suffix=     # appended to the names of tests, when a part is run again in another way
T='' status=0 run_pid=0 took_ms=0

pass() { passed=$((passed + 1)); echo "ok   $1$suffix${2:+: $2}"; }
fail() { # name, why, files to show...
	failed=$((failed + 1))
	echo "FAIL $1$suffix: $2"
	local file
	for file in "${@:3}"; do head -c 2000 "$file" 2>/dev/null | head -n 8 | sed "s/^/     ${file##*/}: /"; done
}
bad_skip() {
	if [[ ${FC_TEST_STRICT-} == 1 ]]; then fail "${1%%:*}" "skipped (${1#*: }) and FC_TEST_STRICT=1"; return; fi
	skipped=$((skipped + 1))
	echo "skipped: ${1%%:*}$suffix: ${1#*: }"
}
verdict() { # name, condition as a command...
	local name=$1
	shift
	if "$@"; then pass "$name"; else fail "$name" "not so: $*" "$T/out" "$T/err"; fi
}

begin() {
	T=$(mktemp -d "${TMPDIR:-/tmp}/fc-sandbox.XXXXXX")
	trap stop EXIT
	trap 'exit 130' INT TERM
	chmod 0755 "$T"
	mkdir "$T/bin" "$T/fn" "$T/tmp" "$T/job"
	chmod 1777 "$T/tmp" "$T/job"
	cp "$FC_BUILD"/fc-run "$FC_BUILD"/fc-sandbox "$FC_BUILD"/fc-unpack "$FC_BUILD"/tests/sandbox/probe "$T/bin/"
	cp -R "$FC_BUILD/images" "$T/bin/"
	common_functions
	"$here/../residue.sh" snapshot "$T.before" "$T/tmp" "$T/job"
}

# Functions that several parts use.
common_functions() {
	fn good <<-'F'
		#!/bin/sh
		cat
	F
	fn eats <<-'F'
		#!/usr/bin/python3
		data = []
		while True:
		    data.append(bytearray(b'x' * (1 << 20)))
	F
	fn writes <<-'F'
		#!/bin/sh
		echo kept >/tmp/kept && mkdir /tmp/d && echo too >/tmp/d/too && chmod 4755 /tmp/kept && echo wrote
	F
}

stop() { # also after a failure halfway
	jobs -p | xargs -r kill 2>/dev/null || true
	if [[ -n $T ]]; then rm -rf "$T" "$T.before"; fi
}

end() {
	jobs -p | xargs -r kill 2>/dev/null || true
	wait
	if "$here/../residue.sh" compare "$T.before" "$T/tmp" "$T/job" 2>"$T/err"; then
		pass residue "no process, cgroup, mount, network namespace, link or file of ours is left"
	else
		fail residue "something is left behind" "$T/err"
	fi
}

finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	((failed == 0 && passed + skipped > 0))
	exit
}

# A function of one file, made from standard input; its path.
fn() {
	mkdir -p "$T/fn"
	cat >"$T/fn/$1"
	chmod 0755 "$T/fn/$1"
}

now_ms() { date +%s%3N; }

# What one fc-run must not leave: its group (in any hierarchy) and its temporary directory.
left_by() { # pid
	local left
	left=$(compgen -G "/sys/fs/cgroup/fcnode-run-$1-*"; compgen -G "/sys/fs/cgroup/*/fcnode-run-$1-*"; compgen -G "$T/tmp/*") || true
	printf '%s' "$left"
}

# Run `fc-run invoke ARGS` to its end: status, took_ms, run_pid; output in $T/out and $T/err.
invoke() {
	local start
	start=$(now_ms)
	status=0
	# the inner shell tells its pid, which becomes fc-run's
	TMPDIR=$T/tmp timeout -k 5 120 bash -c 'echo $$ >"$0"; exec "$@"' "$T/pid" "${as[@]}" "$T/bin/fc-run" invoke "$@" \
		>"$T/out" 2>"$T/err" </dev/null || status=$?
	took_ms=$(($(now_ms) - start))
	run_pid=$(<"$T/pid")
}

# One test: the exit status and what is printed (an extended regular expression over both outputs; "" is anything).
call() { # name, status, pattern, arguments of invoke...
	local name=$1 want=$2 pattern=$3 left
	shift 3
	invoke "$@"
	left=$(left_by "$run_pid")
	if [[ $status != "$want" ]]; then
		fail "$name" "exit status $status, not $want" "$T/out" "$T/err"
	elif [[ -n $pattern ]] && ! grep -aqE -- "$pattern" "$T/out" "$T/err"; then
		fail "$name" "does not say \"$pattern\"" "$T/out" "$T/err"
	elif [[ -n $left ]]; then
		fail "$name" "left behind: ${left//$'\n'/ }"
	else
		pass "$name"
		return 0
	fi
	return 1
}

# Start one in the background and wait until its function says so: job_pid is fc-run itself.
start_call() { # word to wait for on standard error, arguments of invoke...
	local word=$1 line
	shift
	rm -f "$T/job.err"
	mkfifo "$T/job.err"
	TMPDIR=$T/job "${as[@]}" "$T/bin/fc-run" invoke "$@" >"$T/job.out" 2>"$T/job.err" </dev/null &
	job_pid=$!
	exec 9<"$T/job.err"
	while IFS= read -r -t 20 -u 9 line; do
		if [[ $line == *"$word"* ]]; then return 0; fi
	done
	return 1
}
end_call() { # its exit status
	job_status=0
	wait "$job_pid" || job_status=$?
	exec 9<&-
}

# Processes whose command line holds this word.
with_word() {
	local dir
	for dir in /proc/[0-9]*; do
		if { tr '\0' ' ' <"$dir/cmdline"; } 2>/dev/null | grep -q -- "$1"; then echo "${dir#/proc/}"; fi
	done | grep -vx -e "$$" -e "$BASHPID" || true
}
