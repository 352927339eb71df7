#!/usr/bin/env bash
# layer.sh LAYER SOURCE-DIR BUILD-DIR, in a guest: one layer of tests as it is, on a tree that was built outside.
# Emulation makes starts of programs 20 to 50 times slower, processors 10 times; what that costs, and what is left out
# of a layer for it, stands here and nowhere else:
#   kernel   all but cgroup-join (a matter of cgroup v1) and idmap-tree (mapped ids on tmpfs: Linux 6.3)
#   sandbox  the parts probe, invoke, ending and user; `input` (archives and options: no kernel in it) runs outside only,
#            `older` repeats the probe once for each newer kernel feature that is switched off: 6.1 is older by itself
#   oci      cgroup, config, lifecycle and rootless; `errors`, `hooks` and `terminal` are a matter of files, processes and
#            pseudo-terminals, the same on both, and each test costs 12 seconds, most of them bash's and jq's
#   agent    all but test_images, which needs the root file systems that the layer images builds
set -euo pipefail
layer=$1 source=$2 build=$3
export FC_TEST_STRICT=1 FC_BUILD=$build BATS_TEST_TIMEOUT=1200
cd "$build"
case $layer in
kernel)
	programs=()
	for program in tests/kernel/*; do
		[[ -f $program && -x $program ]] || continue
		case ${program##*/} in cgroup-join | idmap-tree) ;; *) programs+=("$program") ;; esac
	done
	FC_RUN=./fc-run "$source/tests/kernel/run.sh" "${programs[@]}" "$source/tests/kernel/doctor.sh"
	;;
keeper)
	"$source/tests/keeper/run.sh" "$build"
	"$source/tests/keeper/life.sh" "$build"
	;;
sandbox) "$source/tests/sandbox/run.sh" probe invoke ending user ;;
agent) "$source/tests/agent/run.sh" "$build" ;;
oci) "$source/tests/oci/run" "$source"/tests/oci/{cgroup,config,lifecycle,rootless}.bats ;;
v2) "$source/tests/v2/run.sh" "$build" ;;
*)
	echo "layer.sh: no layer $layer" >&2
	exit 2
	;;
esac
