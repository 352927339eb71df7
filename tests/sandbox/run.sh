#!/usr/bin/env bash
# check-sandbox: run the parts (all, or those named) and count. Needs root, and a build in FC_BUILD.
#   probe   the attacks of the probe, as root's function, with each image, and outside as a control
#   invoke  functions that misbehave
#   input   bad code, bad options, full disks, too few descriptors
#   ending  signals to fc-run, a killed fc-run, what it leaves and who removes it
#   user    the same as an ordinary user
#   older   each kernel feature switched off
# RESIDUE_ONLY restricts the last look at the host (tests/residue.sh) on a machine where other runs are going on.
set -uo pipefail # no -e: a command that fails is what is being counted
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/sandbox/lib.sh
. "$here/lib.sh"

parts=(probe invoke input ending user older)
if (($# > 0)); then parts=("$@"); fi
[[ $(id -u) == 0 ]] || { bad_skip "all: needs root"; finish; }
begin
for part in "${parts[@]}"; do
	[[ -e $here/$part.sh ]] || { echo "run.sh: no part $part" >&2; exit 2; }
	# shellcheck source=/dev/null
	. "$here/$part.sh"
	"part_$part"
done
end
finish
