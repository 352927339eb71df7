# shellcheck shell=bash
# What the lint scripts share. Each is run as `check-NAME [TREE]` and looks at the tree it is given (default: $srcdir,
# as automake's test driver sets it), so that selftest can hand it a tree with one fault in it. Programs and
# the generated Makefile are looked up in $FC_BUILD (default: the current directory).
set -euo pipefail
export LC_ALL=C

tree=$(cd "${1:-${srcdir:-.}}" && pwd)
# shellcheck disable=SC2034 # for the scripts that run programs
build=$(cd "${FC_BUILD:-.}" && pwd)
faults=0

fault() {
	printf '%s\n' "$*" >&2
	faults=$((faults + 1))
}

skip() {
	printf 'skipped: %s\n' "$*" >&2
	if [[ ${FC_TEST_STRICT:-0} == 1 ]]; then
		printf 'FC_TEST_STRICT=1: a skip is a failure\n' >&2
		exit 1
	fi
	exit 77
}

# Files of the project below the tree, by name pattern: sources only, whether or not this is a git clone.
files() {
	local args=() pattern
	for pattern in "$@"; do args+=(-o -name "$pattern"); done
	(cd "$tree" && for d in sandbox src images tests contrib man .ci; do
		if [[ -d $d ]]; then find "$d" -type f \( "${args[@]:1}" \) ! -path '*/corpus/*' ! -path '*/node_modules/*'; fi
	done) | sort
}

# Files whose first line calls this interpreter (bash, python3, ...).
scripts() {
	local file first
	files '*' | while read -r file; do
		IFS= read -r first <"$tree/$file" 2>/dev/null || true
		if [[ ${first//$'\0'/} =~ ^'#!'.*[/\ ]$1($|\ ) ]]; then printf '%s\n' "$file"; fi
	done 2>/dev/null
}

finish() {
	if ((faults > 0)); then
		printf '%s: %d fault(s)\n' "${0##*/}" "$faults" >&2
		exit 1
	fi
	exit 0
}
