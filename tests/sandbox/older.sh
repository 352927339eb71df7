# shellcheck shell=bash disable=SC2034,SC2154 # lib.sh sets and uses the rest
# Each kernel feature that is newer than the floor, or may be missing, switched off by --without: the same results.

part_older() {
	local feature features runtime examples=$here/../../contrib/examples
	# shellcheck source=tests/sandbox/probe.sh
	declare -F attack >/dev/null || . "$here/probe.sh"
	features=$(sed -n 's/^[[:blank:]]*X([A-Z0-9_]*, "\([a-z0-9-]*\)").*/\1/p' "$here/../../sandbox/sys.h")
	verdict "the list of features is found" [ "$(wc -w <<<"$features")" -ge 5 ]
	probe_code
	probe_image
	(cd "$T/code" && tar czf "$T/fn/probe.tgz" bootstrap)
	probe_targets_start
	for feature in $features; do
		suffix=" (without $feature)"
		for runtime in shell python3 nodejs; do
			if [[ $runtime == nodejs ]] && ! command -v node >/dev/null; then
				bad_skip "hello-$runtime: node is not installed"
				continue
			fi
			call "hello-$runtime" 0 "Hello, .*Ada" --without "$feature" --event '{"name":"Ada"}' "$examples/hello-$runtime"
		done
		# a layer over a directory: an overlay of three
		call "layer over an image" 0 "^tried 1$" --without "$feature" --image "$T/image" --env PROBE=ids "$T/fn/probe.tgz"
		call "limits hold" 4 "out of memory" --without "$feature" --memory 32M "$T/fn/eats"
		call "tmp-output" 0 "^wrote$" --without "$feature" --tmp-output "$T/kept" "$T/fn/writes"
		rm -rf "$T/kept"
		attack "probe" "" --without "$feature"
		if [[ $feature == landlock ]]; then
			verdict "it is off" grep -q '^held device_disk EPERM' "$T/out"
		fi
	done
	suffix=" (without all of them)"
	local all=()
	for feature in $features; do all+=(--without "$feature"); done
	attack "probe" "" "${all[@]}"
	call "layer over an image" 0 "^tried 1$" "${all[@]}" --image "$T/image" --env PROBE=ids "$T/fn/probe.tgz"
	suffix=
	probe_targets_stop
}
