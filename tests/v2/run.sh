#!/usr/bin/env bash
# check-v2: run.sh BUILD-DIR [PART...]: what only pure cgroup v2 has, on a machine that has it (root; tests/vm/run gives
# one). 77 skips with a reason, which FC_TEST_STRICT=1 makes a failure.
#   kernel   what is the same on hybrid hosts, here on v2: make, kill, freeze, clone into a group, pressure triggers
#   limits   each limit and its counters, and the level whose limit fired (limits.c)
#   groups   fc-run in a delegated group: an ordinary user, other processes, a cgroup namespace (test_groups.py)
#   node     fc-agent in a delegated group, as in a unit with Delegate=yes, and at the root (test_node.py)
set -uo pipefail # no -e: a test that fails is what is being counted
here=$(cd "$(dirname "$0")" && pwd)
FC_BUILD=$(cd "${1:?usage: run.sh BUILD-DIR [PART...]}" && pwd)
shift
if (($# == 0)); then set -- kernel limits groups node; fi

skip() {
	echo "SKIP: $1"
	[[ ${FC_TEST_STRICT:-} != 1 ]] || { echo "FC_TEST_STRICT=1: a skip is a failure"; exit 1; }
	exit 77
}
[[ $(id -u) == 0 ]] || skip "needs root"
[[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]] || skip "/sys/fs/cgroup is not pure cgroup v2; tests/vm/run boots a machine where it is"
for controller in memory cpu cpuset io pids; do
	grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers || skip "this kernel has no $controller controller"
done
for tool in python3 setpriv unshare; do command -v "$tool" >/dev/null || skip "needs $tool"; done

export FC_BUILD PYTHONPATH=$here/../agent:$here PYTHONDONTWRITEBYTECODE=1
passed=0 failed=0 skipped=0

# Run a command that ends with a line of counts, and add them up.
part() { # command...
	local line log
	log=$(mktemp) || exit 1
	"$@" | tee "$log"
	line=$(tail -n 1 "$log")
	rm -f "$log"
	if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
		passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])) skipped=$((skipped + BASH_REMATCH[3]))
	else
		echo "FAIL $*: ended without a count"
		failed=$((failed + 1))
	fi
}

kernel() {
	local name
	for name in cgroup-live clone-into-cgroup cgroup-kill psi-trigger; do set -- "$@" "$FC_BUILD/tests/kernel/$name"; done
	part "$here/../kernel/run.sh" "$@"
}

limits() {
	local name log status ok=0 bad=0 not=0
	log=$(mktemp) || exit 1
	for name in $("$FC_BUILD/tests/v2/limits"); do
		timeout -k 5 180 "$FC_BUILD/tests/v2/limits" "$name" >"$log" 2>&1
		status=$?
		case $status in
		0) ok=$((ok + 1)); echo "ok   $name" ;;
		77) not=$((not + 1)); echo "skip $name: $(sed -n 's/^skip: //p' "$log" | head -1)" ;;
		*) bad=$((bad + 1)); echo "FAIL $name (status $status)"; sed 's/^/     /' "$log" ;;
		esac
	done
	rm -f "$log"
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + not))
}

python_part() { part python3 -W error::ResourceWarning "$here/../agent/runner.py" "$1"; }

for name in "$@"; do
	echo "== $name"
	case $name in
	kernel | limits) "$name" ;;
	groups | node) python_part "test_$name" ;;
	*) echo "run.sh: no part $name" >&2; exit 2 ;;
	esac
done
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed + skipped > 0))
