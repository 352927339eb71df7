#!/usr/bin/env bash
# undelegated.sh BUILD-DIR, in a guest with cgroup v2: the doctor in a control group that was given neither cpu nor pids,
# as in a unit that delegates only a part: /sys/fs/cgroup/given/alone for what is under test, given/others for the rest.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
given=/sys/fs/cgroup/given
printf -- '-cpu -pids' >/sys/fs/cgroup/cgroup.subtree_control
mkdir -p "$given/alone" "$given/others"
echo "+memory +io +cpuset" >"$given/cgroup.subtree_control"
echo 0 >"$given/others/cgroup.procs"
exec python3 "$here/layouts.py" undelegated "$1"
