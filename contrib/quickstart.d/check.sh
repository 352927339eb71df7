# shellcheck shell=bash disable=SC2034,SC2154 # part of contrib/quickstart, which sets and uses the rest
# check: every layer of tests, a table of what each took, and one closing line.

# name, how its result is read (count: from what it prints, exit: one test, its exit status), what it is.
# The function layer_NAME runs it.
check_layers="gcc count gcc -Werror and make check: unit tests, golden files, lint, corpora, runtimes
kernel count behaviours of this kernel that the design leans on
keeper count the root half of the agent against a hostile unprivileged one
sandbox count sandboxes probed from inside, hostile code, fc-run
agent count the agent over its socket, with faults
clients count SDKs and runtime clients that others wrote, from the npm registry, against the agent
images count python3, nodejs and static images: built twice, verified, run in (needs the network)
oci count fc-run as an OCI runtime
doctor count what fc-run doctor and fcctl doctor say of each layout of cgroups, in guests too
vm count the layers kernel to oci, and v2, in guests with pure cgroup v2
clang count clang -Werror and make check
asan count make check and check-agent with AddressSanitizer and UBSan
analyze exit clang's static analyzer
dist exit make distcheck
fuzz count fuzz targets, and how much of each parser its corpus covers
bench exit the start benchmark in its short form"

layer_gcc() { build_in gcc CC=gcc --enable-werror && make -C "$work/gcc" check VERBOSE=1; }
layer_kernel() { make -C "$work/gcc" check-kernel; }
layer_sandbox() { make -C "$work/gcc" check-sandbox; }
layer_keeper() { make -C "$work/gcc" check-keeper; }
layer_agent() { make -C "$work/gcc" check-agent; }
layer_clients() { make -C "$work/gcc" check-clients; }
layer_images() { make -C "$work/gcc" check-images; }
layer_oci() { make -C "$work/gcc" check-oci; }
layer_doctor() { make -C "$work/gcc" check-doctor; }
layer_vm() { make -C "$work/gcc" check-vm; }
layer_bench() { make -C "$work/gcc" check-bench; }
layer_clang() { build_in clang CC=clang --enable-werror && make -C "$work/clang" check VERBOSE=1; }

layer_asan() {
	build_in asan CC=clang CFLAGS="-O1 -g" --enable-werror --enable-sanitizers &&
		make -C "$work/asan" check VERBOSE=1 && make -C "$work/asan" check-agent
}

# unix.Malloc does not know __attribute__((cleanup)) and takes every such variable for a leak; LeakSanitizer, in the
# asan layer, looks for real ones. What it found is said again at the end, where a log is read first.
layer_analyze() {
	mkdir -p "$work/analyze"
	cd "$work/analyze" && scan-build -o "$work/analyze/report" ../src/configure || return
	scan-build --status-bugs -disable-checker unix.Malloc -o "$work/analyze/report" make -j"$jobs" all >found 2>&1 && return
	cat found
	grep -A 2 ' warning: ' found
	return 1
}

layer_dist() {
	make -C "$work/gcc" distcheck DISTCHECK_CONFIGURE_FLAGS="--enable-werror"
}

layer_fuzz() {
	build_in fuzz CC=clang CFLAGS="-O1 -g" --enable-fuzzers --enable-sanitizers &&
		make -C "$work/fuzz" check-fuzz FUZZ_SECONDS="$fuzz_seconds" &&
		build_in coverage CC=clang CFLAGS="-O0 -g" --enable-coverage &&
		make -C "$work/coverage" fuzz-coverage
}

# Sum what a log reports: plain "N passed, N failed, N skipped" lines, else TAP, else automake's summary.
count_results() {
	awk '
		/^([a-z-]+: )?[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ {
			sub(/^[a-z-]+: /, ""); plain = 1; p += $1; f += $3; s += $5
		}
		/^ok / { if (tolower($0) ~ /# *skip/) ts++; else tp++; tap = 1 }
		/^not ok / { if (tolower($0) ~ /# *todo/) ts++; else tf++; tap = 1 }
		/^Testsuite summary/ { auto = 1 } # and not again in test-suite.log, shown when something failed
		auto && /^# PASS: / { mp += $3 }
		auto && /^# SKIP: / { ms += $3 }
		auto && /^# (FAIL|XPASS): / { mf += $3 }
		auto && /^# ERROR: / { mf += $3; auto = 0 }
		END {
			if (!plain) { p += tp; f += tf; s += ts }
			print p + mp, f + mf, s + ms
		}' "$1"
}

check_one() { # name, how; sets passed, failed, skipped, seconds
	local name=$1 how=$2 log=$work/logs/$1.log rc=0 begin=$SECONDS
	# no errexit inside: a layer's commands are joined by &&, and what it prints decides together with its status
	("layer_$name") >"$log" 2>&1 </dev/null || rc=$?
	seconds=$((SECONDS - begin)) passed=0 failed=0 skipped=0
	if [[ $how == count ]]; then
		read -r passed failed skipped < <(count_results "$log")
		if ((passed + failed == 0)); then
			echo "quickstart: the layer ran no test" >>"$log"
			failed=1
		elif ((rc != 0 && failed == 0)); then
			failed=1
		fi
	elif ((rc == 0)); then
		passed=1
	else
		failed=1
	fi
}

check_explain() { # name: why it failed, and what was skipped
	local log=$work/logs/$1.log
	if ((failed > 0)); then
		printf -- '---- %s: what failed\n' "$1"
		grep -aE '^(FAIL|ERROR|not ok|\[  FAILED|.*(error:|Error [0-9]|ERROR: ))' "$log" | head -n 40 || true
		printf -- '---- %s: the end of its log\n' "$1"
		tail -n 60 "$log"
		printf -- '----\n'
	fi
	if ((skipped > 0)); then
		grep -aiE '^(SKIP:|skipped: |ok .*# *skip)' "$log" | sort | uniq -c | head -n 30 || true
	fi
}

check_main() {
	local name how text sum_passed=0 sum_failed=0 sum_skipped=0 begin=$SECONDS
	local passed failed skipped seconds
	for name in ${layers//,/ }; do
		grep -q "^$name " <<<"$check_layers" || die "--layers: no layer $name; there are: $(cut -d' ' -f1 <<<"$check_layers" | xargs)"
	done
	work_init
	trap work_fini EXIT
	trap 'exit 130' INT TERM
	packages_install build run demo test
	serve_user
	export FC_TEST_STRICT=$strict
	say "copying the sources"
	source_copy
	# layers that look at a running build need that build
	if [[ ,$layers, =~ ,(kernel|keeper|sandbox|agent|clients|images|oci|doctor|vm|dist|bench), && ,$layers, != *,gcc,* ]]; then
		build_in gcc CC=gcc --enable-werror >"$work/logs/build.log" 2>&1 || log_die build
	fi

	printf '\n%-9s %7s %7s %8s %6s  %s\n' layer passed failed skipped time what
	while read -r name how text; do
		if [[ -n $layers && ,$layers, != *,$name,* ]]; then continue; fi
		check_one "$name" "$how"
		printf '%-9s %7d %7d %8d %5ds  %s\n' "$name" "$passed" "$failed" "$skipped" "$seconds" "$text"
		check_explain "$name"
		sum_passed=$((sum_passed + passed)) sum_failed=$((sum_failed + failed)) sum_skipped=$((sum_skipped + skipped))
		if ((failed > 0)) && [[ $stop == yes ]]; then break; fi
	done <<<"$check_layers"
	printf '%-9s %7d %7d %8d %5ds\n\n' all "$sum_passed" "$sum_failed" "$sum_skipped" $((SECONDS - begin))
	printf '%d passed, %d failed, %d skipped\n' "$sum_passed" "$sum_failed" "$sum_skipped"
	((sum_failed == 0))
}
