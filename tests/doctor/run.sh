#!/usr/bin/env bash
# run.sh BUILD-DIR: fc-run doctor and fcctl doctor on four layouts of control groups: this machine's own, where that is
# hybrid, and in guests unified, unified without the memory controller, and unified where a part is not delegated.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: run.sh BUILD-DIR}" && pwd)
cd "$build"
status=0

part() { # what, command...
	local what=$1
	shift
	echo "# $what"
	"$@" || status=1
}
guest() { # options of tests/vm/run, then a command
	# shellcheck disable=SC2317 # called through part
	"$here/../vm/run" --timeout 300 --show "$here" --show "$build" "$@"
}

if grep -q '^[^ ]* [^ ]* cgroup ' /proc/mounts; then
	part "hybrid, here" python3 "$here/layouts.py" hybrid "$build"
else
	part "hybrid" guest --cgroup hybrid -- python3 "$here/layouts.py" hybrid "$build"
fi
part "unified" guest --cgroup unified -- python3 "$here/layouts.py" unified "$build"
part "unified, no memory controller" guest --cgroup unified-missing -- python3 "$here/layouts.py" unified-missing "$build"
part "unified, not all delegated" guest --cgroup unified -- "$here/undelegated.sh" "$build"
exit $status
