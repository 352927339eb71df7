#!/usr/bin/env bash
# life.sh BUILD-DIR: fc-agent's start, stop and death, as its caller sees them. Root; 77 skips with a reason.
# Exit statuses and what is said; two agents in each other's way; kill -9 of one half and of both with a sandbox alive;
# a stop that runs out of time. After each, nothing is left outside the state directory.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: life.sh BUILD-DIR}" && pwd)
export FC_LIBEXECDIR=$build FC_DATADIR=${FC_DATADIR:-$build}

skip() {
	echo "SKIP: $1"
	[[ ${FC_TEST_STRICT:-} != 1 ]] || { echo "FC_TEST_STRICT=1: a skip is a failure"; exit 1; }
	exit 77
}
[[ $(id -u) == 0 ]] || skip "needs root"
command -v curl >/dev/null || skip "needs curl"

scale=${FC_TEST_TIME_SCALE:-1} # where all is slower (tests/vm)
ulimit -n 20000 # what is refused for too few descriptors does not depend on the machine
work=$(mktemp -d /var/tmp/fc-life-test.XXXXXX)
chmod 711 "$work"
pids=()
finish() {
	status=$?
	trap - EXIT
	# twice: do not wait for what runs; keeper then still removes its groups, which a SIGKILL would leave
	for p in "${pids[@]}"; do
		if kill -TERM "$p" 2>/dev/null; then
			kill -TERM "$p" 2>/dev/null || true
			timeout 10 tail --pid="$p" -f /dev/null || kill -KILL "$p" 2>/dev/null || true
		fi
	done
	wait 2>/dev/null || true
	rm -rf "$work"
	exit $status
}
trap finish EXIT

passed=0
ok() { passed=$((passed + 1)); echo "ok - $1"; }
fail() {
	echo "not ok - $1"
	[[ ! -s $work/log ]] || tail -n 20 "$work/log"
	exit 1
}

# Wait for a condition, at most ten seconds, times the scale.
until_true() {
	local what=$1 i
	shift
	for ((i = 0; i < 200 * scale; i++)); do
		if "$@"; then return; fi
		sleep 0.05
	done
	fail "$what"
}

# agent NAME OPTION...: start one with its directories below $work/NAME; its process id in $agent
agent() {
	local name=$1
	shift
	"$build/fc-agent" --state-dir "$work/$name" --runtime-dir "$work/$name.run" --user 64321:64321 "$@" 2>"$work/log" &
	agent=$!
	pids+=("$agent")
}
api() { curl -s --max-time $((20 * scale)) --unix-socket "$work/$1.run/agent.sock" "${@:3}" "http://node$2"; }
healthy() { [[ $(api "$1" /healthz -o /dev/null -w '%{http_code}' || true) == 200 ]]; }
leave() { # wait for the agent's end; its status must be this
	local status=0
	wait "$agent" 2>/dev/null || status=$?
	[[ $status == "$1" ]] || fail "$2: exit status $status, not $1"
}
refused() { # status, words, options: it must not start, and say so
	local status=0
	"$build/fc-agent" --state-dir "$work/x" --runtime-dir "$work/x.run" "${@:3}" >"$work/out" 2>&1 || status=$?
	[[ $status == "$1" ]] || fail "${*:3}: exit status $status, not $1: $(cat "$work/out")"
	grep -q "$2" "$work/out" || fail "${*:3}: does not say \"$2\": $(cat "$work/out")"
	ok "refused with $1: $2"
}
serve_of() { pgrep -P "$1" -f -- --serve-fd || true; }
groups_of() { find /sys/fs/cgroup -type d -path "*/fcnode/agent-*/t-*/f-life$$/*-*" 2>/dev/null || true; }
has_sandbox() { [[ -n $(groups_of) ]]; }
no_sandbox() { [[ -z $(groups_of) ]]; }

deploy() { # a function that sleeps
	mkdir -p "$work/code"
	printf '#!/bin/sh\nexec sleep 600\n' >"$work/code/bootstrap"
	chmod 755 "$work/code/bootstrap"
	tar -C "$work/code" -cf "$work/code.tar" bootstrap
	printf '{"functionName":"life%s","runtime":"stdio","timeout":600,"code":{"zipFile":"%s"}}' "$$" "$(base64 -w0 "$work/code.tar")" |
		api "$1" /2023-03-30/functions -X POST -H 'Content-Type: application/json' --data-binary @- -o "$work/out" -w '%{http_code}' |
		grep -q '^20' || fail "deploy: $(cat "$work/out")"
}
call() { api "$1" /2023-03-30/functions/life$$/invocations -X POST --data-binary '{}' -o "$work/reply" -w '%{http_code}' >"$work/code.http" & }

# Neighbours come and go: only what is these agents' own, and the mounts.
export RESIDUE_PROGRAMS=$build RESIDUE_STATE="$work/a $work/x" RESIDUE_ONLY="processes cgroups mounts"
"$here/../residue.sh" snapshot "$work/residue"

# ---- what it refuses -----------------------------------------------------------------
refused 2 'unknown option' --no-such-option --user 64321:64321
refused 2 'create it (useradd' --user no_such_user_here
refused 2 'must not run as root' --user root
refused 2 'not a multiple of 65536' --user 64321:64321 --tenant-id-base 100000
refused 2 'not NAME=/DIRECTORY' --user 64321:64321 --image ../etc
mkdir -m 777 "$work/image"
chmod 777 "$work/image"
refused 2 "not root's alone" --user 64321:64321 --image "other=$work/image"
rmdir "$work/image"
refused 2 'no image other' --user 64321:64321 --runtime-image nodejs=other
refused 2 'open /no/such/directory' --user 64321:64321 --image other=/no/such/directory
refused 5 'open files allow' --user 64321:64321 --max-instances 65536
printf 'max-memory = 1G\nno-such-setting = 1\n' >"$work/conf"
refused 2 'line 2' --user 64321:64321 --config "$work/conf"
touch "$work/file"
refused 1 'it is not a socket' --user 64321:64321 --socket "$work/file"
refused 1 'at most 107 bytes' --user 64321:64321 --socket "/$(printf 'x%.0s' {1..200})"
mkdir -m 777 "$work/open"
chmod 777 "$work/open"
refused 1 "not root's alone" --user 64321:64321 --state-dir "$work/open"
if setpriv --reuid 64321 --regid 64321 --clear-groups "$build/fc-agent" --help >/dev/null 2>&1; then
	status=0
	setpriv --reuid 64321 --regid 64321 --clear-groups "$build/fc-agent" --user 64321:64321 >"$work/out" 2>&1 || status=$?
	[[ $status == 5 ]] || fail "as an ordinary user: exit status $status, not 5"
	ok "refused with 5: as an ordinary user"
fi

# ---- two agents -------------------------------------------------------------------------
agent a
until_true "agent a becomes ready" healthy a
refused 1 'another fc-agent uses it' --user 64321:64321 --state-dir "$work/a"
refused 1 'another process answers there' --user 64321:64321 --socket "$work/a.run/agent.sock"
until_true "agent a is still there" healthy a

# ---- serve dies -----------------------------------------------------------------------------
serve=$(serve_of "$agent")
kill -KILL "$serve"
replaced() { local now; now=$(serve_of "$agent"); [[ -n $now && $now != "$serve" ]]; }
until_true "serve is started again" replaced
until_true "the new serve answers" healthy a
ok "kill -9 of serve: keeper starts it again"

# ---- both die with a sandbox alive --------------------------------------------------------------
deploy a
call a
until_true "the function runs" has_sandbox
serve=$(serve_of "$agent")
kill -KILL "$agent"
leave 137 "kill -9 of keeper"
gone() { ! kill -0 "$serve" 2>/dev/null; }
until_true "serve ends with keeper" gone
has_sandbox || fail "the test does not test: no cgroup was left by the crash"
agent a
until_true "the next start becomes ready" healthy a
no_sandbox || fail "cgroups of the crashed agent are still there: $(groups_of)"
grep -q 'event=sweep' "$work/log" || fail "the sweep is not in the log"
api a /2023-03-30/functions/life$$ -o "$work/out" -w '%{http_code}' | grep -q 200 || fail "the function did not survive: $(cat "$work/out")"
ok "kill -9 of both: the next start sweeps, the function is still there"

# ---- a stop that runs out of time -----------------------------------------------------------------
kill -TERM "$agent"
leave 0 "stop"
agent a --drain-timeout 300ms
until_true "agent a becomes ready again" healthy a
call a
until_true "the function runs again" has_sandbox
kill -TERM "$agent"
leave 0 "stop with a sandbox alive"
grep -q 'calls still running are killed' "$work/log" || fail "serve did not end its calls when the time was up"
! grep -q 'event=drain_timeout' "$work/log" || fail "keeper did not leave serve the time to end its calls"
until_true "the caller has an answer" test -s "$work/code.http"
[[ $(<"$work/code.http") == 503 ]] || fail "the caller of what was killed got $(<"$work/code.http"), not 503: $(cat "$work/reply")"
no_sandbox || fail "a sandbox survived the stop"
[[ ! -e $work/a.run ]] || fail "the runtime directory survived the stop"
ok "a stop kills what does not end in time, and its caller is told"

wait
"$here/../residue.sh" compare "$work/residue" || fail "something was left behind"
ok "nothing is left behind"
echo "$passed passed, 0 failed"
