#!/usr/bin/env bash
# run.sh BUILD-DIR: keeper against a hostile unprivileged half (hostile-serve.c). Root; 77 skips with a reason.
#
# The oracle: every scene ends as it should, keeper is the same process from the first scene to the last and leaves
# with status 0, and outside its own state and runtime directories nothing has appeared: no cgroup, mount, link,
# network namespace, process or file.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: run.sh BUILD-DIR}" && pwd)

skip() {
	echo "SKIP: $1"
	[[ ${FC_TEST_STRICT:-} != 1 ]] || { echo "FC_TEST_STRICT=1: a skip is a failure"; exit 1; }
	exit 77
}
[[ $(id -u) == 0 ]] || skip "needs root"

work=$(mktemp -d /var/tmp/fc-keeper-test.XXXXXX)
chmod 711 "$work"
mkdir "$work/victim"
mkdir -m 711 "$work/state"
mkdir -m 700 "$work/state/serve" "$work/code"
echo hello >"$work/code/hello"
tar -C "$work/code" -cf "$work/state/serve/bundle" hello
sha256sum <"$work/state/serve/bundle" | cut -c 1-64 | tr -d '\n' >"$work/state/serve/bundle.sha256"
chown 64321:64321 "$work"/state/serve/bundle*
pid=
finish() {
	status=$?
	trap - EXIT
	# twice: do not wait for what runs; keeper then still removes its groups, which a SIGKILL would leave
	if [[ -n $pid ]] && kill -TERM "$pid" 2>/dev/null; then
		kill -TERM "$pid" 2>/dev/null || true
		timeout 10 tail --pid="$pid" -f /dev/null || kill -KILL "$pid"
		wait "$pid" 2>/dev/null || true
	fi
	rm -rf "$work"
	exit $status
}
trap finish EXIT

fail() {
	echo "FAIL: $1"
	[[ ! -r $work/log ]] || tail -n 40 "$work/log"
	[[ ! -r $work/state/serve/results ]] || cat "$work/state/serve/results"
	exit 1
}

# What lies in the test's directory beside the state and runtime directories, and the victim's time stamps.
outside() { find "$work" -path "$work/state" -prune -o -path "$work/run" -prune -o -name log -prune -o -name 'before*' -prune -o -name 'after*' -prune -o -printf '%P %y %m %U %G\n' | sort; }

# Neighbours come and go: only what is this agent's own, and the mounts.
export RESIDUE_PROGRAMS=$build RESIDUE_STATE=$work/state RESIDUE_ONLY="processes cgroups mounts"
"$here/../residue.sh" snapshot "$work/before.residue"
outside >"$work/before.files"

FC_LIBEXECDIR=$build FC_DATADIR=${FC_DATADIR:-$build} "$build/tests/keeper/fc-agent-hostile" \
	--state-dir "$work/state" --runtime-dir "$work/run" --user 64321:64321 --max-restart-pause 100ms \
	--max-instances 40 --tenant-max 8 --max-unpacks 2 --log-level info 2>"$work/log" &
pid=$!

# The play writes its plan ("1..N") last.
results=$work/state/serve/results
for ((i = 0; i < 1200 * ${FC_TEST_TIME_SCALE:-1}; i++)); do
	kill -0 "$pid" 2>/dev/null || fail "keeper ended by itself"
	if [[ -r $results ]] && grep -q '^1\.\.' "$results"; then break; fi
	if [[ -r $results ]] && grep -q '^not ok' "$results"; then fail "a scene went wrong"; fi
	sleep 0.1
done
grep -q '^1\.\.' "$results" || fail "the play did not end"

kill -TERM "$pid"
status=0
wait "$pid" || status=$?
[[ $status == 0 ]] || fail "keeper left with status $status"
pid=
cat "$results"
! grep -q '^not ok' "$results" || fail "a scene went wrong"
[[ 1..$(grep -c '^ok ' "$results") == "$(grep '^1\.\.' "$results")" ]] || fail "not every scene was played once"

outside >"$work/after.files"
diff "$work/before.files" "$work/after.files" || fail "something appeared outside keeper's own directories"
[[ ! -e $work/run ]] || fail "the runtime directory is still there"
grep -q '^alpha ' "$work/state/keeper/tenants" || fail "the table of tenants lost a tenant"
[[ $(grep -c . "$work/state/keeper/tenants") == 8 ]] || fail "the table of tenants has not 8 lines"
rm -rf "$work/state"
"$here/../residue.sh" compare "$work/before.residue" || fail "something was left behind"
echo "keeper against a hostile half: nothing left behind"
