#!/usr/bin/env bash
# coverage.sh SRCDIR BUILDDIR NAME SOURCE
# How many lines of SOURCE the committed corpus of fuzz target NAME reaches; fails under 80 %.
# The tree must be configured with CC=clang --enable-coverage.
set -euo pipefail

[ $# -eq 4 ] || { echo "usage: coverage.sh SRCDIR BUILDDIR NAME SOURCE" >&2; exit 2; }
srcdir=$1 build=$2 name=$3 source=$4
least=80
program=$build/tests/fuzz/replay-$name

tool() {
	local t
	for t in "$1" "$1-14" "$1-15" "$1-16" "$1-19"; do
		if command -v "$t" >/dev/null; then echo "$t"; return; fi
	done
	echo "coverage.sh: $1 not found; install llvm" >&2
	exit 1
}
profdata=$(tool llvm-profdata)
cov=$(tool llvm-cov)

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

srcdir=$srcdir LLVM_PROFILE_FILE=$dir/raw "$program" >/dev/null
if [ ! -s "$dir/raw" ]; then
	echo "coverage.sh: $program wrote no profile; configure with CC=clang --enable-coverage" >&2
	exit 1
fi
"$profdata" merge -sparse -o "$dir/data" "$dir/raw"
# lcov's records: SF source file, LF lines that hold code, LH lines that ran
"$cov" export -format=lcov -instr-profile="$dir/data" "$program" >"$dir/lcov"
awk -F: -v name="$name" -v source="$source" -v least="$least" '
	$1 == "SF" { mine = substr($2, length($2) - length(source) + 1) == source }
	!mine { next }
	$1 == "LF" { found += $2 }
	$1 == "LH" { hit += $2 }
	END {
		if (!found) { printf "coverage.sh: no code of %s in replay-%s\n", source, name; exit 1 }
		printf "%s: corpus covers %.1f %% of the lines of %s (%d of %d)\n", name, 100 * hit / found, source, hit, found
		exit 100 * hit < least * found
	}' "$dir/lcov"
