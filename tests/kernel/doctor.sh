#!/bin/bash
# fc-run doctor as root, as an ordinary user, and on a host made worse: what it prints, its exit status, and that
# nothing stays. FC_RUN names the program. Exit 77 skips with a reason (FC_TEST_STRICT=1 makes that a failure).
set -u
run=${FC_RUN:-./fc-run}
fails=0
check() { # what, then a command
	local what=$1
	shift
	"$@" || {
		echo "not so: $what" >&2
		fails=$((fails + 1))
	}
}
skip() {
	echo "skip: $1" >&2
	if [ "${FC_TEST_STRICT:-}" = 1 ]; then exit 1; fi
	exit 77
}
[ "$(id -u)" = 0 ] || skip "needs root"
for tool in setpriv unshare python3; do
	command -v "$tool" >/dev/null || skip "needs $tool"
done

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
cp "$run" "$dir/fc-run" # an ordinary user must be able to reach it
[ -e "$(dirname "$run")/fc-sandbox" ] && cp "$(dirname "$run")/fc-sandbox" "$dir/"

# status NAME < doctor's JSON
status() { python3 -c 'import json,sys
print([r["status"] for r in json.load(sys.stdin)["rows"] if r["name"] == sys.argv[1]][0])' "$1"; }
# shellcheck disable=SC2317 # called through check
fit_agrees() { # exit status, JSON file
	python3 -c 'import json,sys
d = json.load(open(sys.argv[2]))
for k in ("fit", "kernel", "root", "stateDir", "maxInstances", "rows"): d[k]
for r in d["rows"]:
    assert set(r) >= {"name", "status", "required", "neededFor", "detail", "todo"}, r
    assert r["status"] in ("ok", "degraded", "missing"), r
assert d["fit"] == (not [r for r in d["rows"] if r["required"] and r["status"] == "missing"])
assert int(sys.argv[1]) == (0 if d["fit"] else 5), sys.argv[1]' "$1" "$2"; }
groups() { find /sys/fs/cgroup -type d -name "doctor-*" 2>/dev/null | sort; }
groups_before=$(groups)
mounts_before=$(cat /proc/self/mountinfo)

"$dir/fc-run" doctor --format json >"$dir/root.json" 2>"$dir/err"
check "root: the exit status agrees with the rows" fit_agrees $? "$dir/root.json"
check "root: nothing on stderr" [ ! -s "$dir/err" ]

setpriv --reuid 1000 --regid 1000 --clear-groups "$dir/fc-run" doctor --format json >"$dir/user.json"
check "user: the exit status agrees with the rows" fit_agrees $? "$dir/user.json"
check "user: no range of ids" [ "$(status userns.range <"$dir/user.json")" = missing ]

# no user namespaces below this one: not fit, for either
# shellcheck disable=SC2016 # $0 is the inner shell's
unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_user_namespaces; exec "$0" doctor --format json' \
	"$dir/fc-run" >"$dir/none.json"
code=$?
check "no user namespaces: the exit status is 5" [ $code = 5 ]
check "no user namespaces: it is said" [ "$(status userns <"$dir/none.json")" = missing ]

# few descriptors
(ulimit -n 600 && exec "$dir/fc-run" doctor --format json) >"$dir/few.json"
check "few descriptors: degraded" [ "$(status descriptors <"$dir/few.json")" = degraded ]

# no cgroup file system in sight
# shellcheck disable=SC2016
unshare --mount sh -c 'mount -t tmpfs none /sys/fs/cgroup && exec "$0" doctor --format json' "$dir/fc-run" >"$dir/nocg.json"
check "cgroups hidden: the exit status is 5" [ $? = 5 ]
check "cgroups hidden: it is said" [ "$(status cgroup.memory <"$dir/nocg.json")" = missing ]

"$dir/fc-run" doctor --format yaml >"$dir/out" 2>"$dir/err"
check "a bad option: the exit status is 2" [ $? = 2 ]
check "a bad option: it is named" grep -q yaml "$dir/err"
"$dir/fc-run" doctor surplus >/dev/null 2>&1
check "a surplus argument: the exit status is 2" [ $? = 2 ]
"$dir/fc-run" doctor --help >"$dir/out"
check "--help: the exit status is 0" [ $? = 0 ]
check "--help: options are listed" grep -q -e --state-dir "$dir/out"
"$dir/fc-run" doctor >/dev/full 2>"$dir/err"
check "a full disk under the output: an error" [ $? = 5 ]

check "no mount stays" [ "$mounts_before" = "$(cat /proc/self/mountinfo)" ]
check "no group stays" [ "$groups_before" = "$(groups)" ]
exit $((fails > 0))
