#!/usr/bin/env bash
# residue.sh - does a run leave anything behind?
#
#   residue.sh snapshot FILE [PATH...]    note what there is now
#   residue.sh compare FILE [PATH...]     list what is there now and was not then; 1 when anything is
#
# It looks at the host, not at what fcnode says of itself: processes (fc-* programs, and any process in a cgroup of
# fcnode's), cgroups, mounts, network namespaces, links, and the files below /run/fcnode, /var/lib/fcnode and the PATHs.
# What has gone since the snapshot is no residue. The kernel drops links and namespaces a moment after their last
# user, so compare looks again until RESIDUE_WAIT_MS (default 2000) have passed before it calls something left.
# RESIDUE_ONLY="processes mounts" restricts it to those kinds (on a machine where other runs are going on);
# RESIDUE_STATE="DIR..." restricts cgroups and what runs in them to the agents with these state directories, and
# RESIDUE_PROGRAMS=DIR restricts fc-* processes to programs below DIR.
set -euo pipefail
export LC_ALL=C

kinds=(processes cgroups mounts netns links files)

# The cgroup level of each agent in RESIDUE_STATE as a pattern (FNV-1a of the path, as keeper names it); all when unset.
own_groups() {
	local dir hash i all=
	if [[ -z ${RESIDUE_STATE:-} ]]; then
		printf '.'
		return
	fi
	for dir in $RESIDUE_STATE; do
		dir=$(realpath -m "$dir")
		hash=$((0xcbf29ce484222325))
		for ((i = 0; i < ${#dir}; i++)); do
			hash=$(((hash ^ $(printf %d "'${dir:i:1}")) * 0x100000001b3))
		done
		printf '%s/fcnode/agent-%016x(/|$| )' "${all:+|}" "$hash"
		all=1
	done
}

usage() {
	sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
	exit "$1"
}

list_processes() {
	local dir exe cg
	for dir in /proc/[0-9]*; do
		exe=$(readlink "$dir/exe" 2>/dev/null) || continue # a kernel thread, or gone
		cg=$(grep -o '/fcnode[-/].*' "$dir/cgroup" 2>/dev/null | head -n 1) || true
		case ${exe##*/} in
		fc-agent* | fc-run* | fc-sandbox* | fc-unpack* | fcctl*) [[ -z ${RESIDUE_PROGRAMS:-} || $exe == "$RESIDUE_PROGRAMS"/* || $cg =~ $own ]] || continue ;;
		*) [[ -n $cg && $cg =~ $own ]] || continue ;;
		esac
		printf '%s %s%s\n' "${dir#/proc/}" "${exe##*/}" "${cg:+ in $cg}"
	done
}

list_cgroups() {
	[[ -d /sys/fs/cgroup ]] || return 0
	find /sys/fs/cgroup -type d -path '*/fcnode*' 2>/dev/null | grep -E -- "$own" || true # a group may vanish under find
}

list_mounts() {
	# field 5: mount point, after " - ": type. Ids and options change without a mount being added.
	awk '{ for (i = 7; $i != "-"; i++); print $5, $(i + 1) }' /proc/self/mountinfo
}

list_netns() {
	local ns
	{
		for ns in /proc/[0-9]*/ns/net; do readlink "$ns" 2>/dev/null || true; done
		awk '{ for (i = 7; $i != "-"; i++); if ($(i + 1) == "nsfs") print $4 }' /proc/self/mountinfo
	} | { grep '^net:' || true; } | sort -u
}

list_links() {
	local link
	for link in /sys/class/net/*; do
		if [[ -e $link ]]; then printf '%s\n' "${link##*/}"; fi
	done
}

list_files() {
	local path
	for path in /run/fcnode /var/lib/fcnode "$@"; do
		if [[ -e $path ]]; then find "$path" -printf '%y %p\n' 2>/dev/null || true; fi
	done
}

snapshot() {
	local kind
	for kind in ${RESIDUE_ONLY:-"${kinds[@]}"}; do
		"list_$kind" "$@" | sed "s/^/$kind: /"
	done | sort
}

compare() {
	local before=$1 left deadline
	shift
	deadline=$(($(date +%s%3N) + ${RESIDUE_WAIT_MS:-2000}))
	while left=$(comm -13 "$before" <(snapshot "$@")); [[ -n $left ]] && (($(date +%s%3N) < deadline)); do
		sleep 0.05 # no event tells when the kernel has dropped a namespace
	done
	[[ -z $left ]] && return 0
	printf 'left behind: %s\n' "${left//$'\n'/$'\n'left behind: }" >&2
	return 1
}

own=$(own_groups)
case ${1-} in
--help) usage 0 ;;
snapshot | compare)
	if (($# < 2)); then usage 2 >&2; fi
	verb=$1 file=$2
	shift 2
	if [[ $verb == snapshot ]]; then snapshot "$@" >"$file"; else compare "$file" "$@"; fi
	;;
*) usage 2 >&2 ;;
esac
