#!/bin/bash
# Run kernel behaviour programs one after the other; the last line is the count.
set -u
passed=0 failed=0 skipped=0
for program in "$@"; do
	name=${program##*/}
	log=$(mktemp) || exit 1
	timeout -k 5 120 "$program" >"$log" 2>&1
	status=$?
	case $status in
	0) passed=$((passed + 1)); echo "ok   $name" ;;
	77) skipped=$((skipped + 1)); echo "skip $name: $(sed -n 's/^skip: //p' "$log" | head -1)" ;;
	*) failed=$((failed + 1)); echo "FAIL $name (status $status)"; sed 's/^/     /' "$log" ;;
	esac
	rm -f "$log"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
