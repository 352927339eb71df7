#!/usr/bin/env bash
# run.sh CORPUS SECONDS PROGRAM...
# Runs each libFuzzer program (fuzz-NAME) for that long from CORPUS/NAME; what it adds goes to a directory that is
# thrown away. A finding is kept beside the program as crash-NAME-*. The last line is the count.
set -euo pipefail

if (($# < 3)); then
	echo "run.sh: no fuzz target to run; configure with CC=clang --enable-fuzzers" >&2
	exit 1
fi
corpus=$1 seconds=$2
shift 2
passed=0 failed=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

for program in "$@"; do
	name=${program##*/fuzz-}
	mkdir -p "$dir/$name"
	if "./$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
		-artifact_prefix="$(dirname "$program")/crash-$name-" "$dir/$name" "$corpus/$name" </dev/null >"$dir/log" 2>&1; then
		echo "fuzz-$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/log") runs in $seconds s, no finding"
		passed=$((passed + 1))
	else
		echo "fuzz-$name: error: a finding"
		tail -n 60 "$dir/log"
		failed=$((failed + 1))
	fi
done
echo "fuzz: $passed passed, $failed failed, 0 skipped"
((failed == 0))
