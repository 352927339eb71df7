# shellcheck shell=bash disable=SC2034,SC2154 # part of contrib/quickstart, which sets and uses the rest
# demo: the agent, a real function on a real video, what it cost, and what happens when things go wrong.

agent_pid=
demo_faults=0

demo_fault() {
	printf 'WRONG: %s\n' "$*" >&2
	demo_faults=$((demo_faults + 1))
}

# A step that must go well.
must() {
	"$@" || {
		if [[ -s $work/logs/agent.log ]]; then tail -n 20 "$work/logs/agent.log" >&2; fi
		die "failed: $*"
	}
}

fcctl() { "$work/build/fcctl" --socket "$work/run/agent.sock" "$@"; }

agent_get() { curl -sS --fail --max-time 10 --unix-socket "$work/run/agent.sock" "http://localhost$1"; }

agent_start() {
	local tries
	mkdir -p "$work/state" "$work/run"
	: >"$work/agent.conf" # the defaults; and no file of this host's is read
	"$work/build/fc-agent" --config "$work/agent.conf" --state-dir "$work/state" --runtime-dir "$work/run" \
		--socket "$work/run/agent.sock" >"$work/logs/agent.log" 2>&1 </dev/null &
	agent_pid=$!
	for ((tries = 0; tries < 100; tries++)); do
		if agent_get /healthz >/dev/null 2>&1; then return 0; fi
		kill -0 "$agent_pid" 2>/dev/null || break
		sleep 0.1 # the socket tells that it is ready only by answering
	done
	return 1
}

agent_stop() {
	local rc=0
	if [[ -z $agent_pid ]]; then return 0; fi
	kill -TERM "$agent_pid"
	wait "$agent_pid" || rc=$?
	agent_pid=
	return "$rc"
}

demo_fini() {
	if [[ -n $agent_pid ]]; then
		kill -TERM "$agent_pid" 2>/dev/null || true
		wait "$agent_pid" 2>/dev/null || true
	fi
	work_fini
}

# The video that a phone took, from its Debian package.
demo_video() {
	local path
	path=$(dpkg -L forensics-samples-files | grep -m 1 '/VID_20191220_170832\.mp4') ||
		die "package forensics-samples-files has no VID_20191220_170832.mp4"
	case $path in
	*.gz) gzip -dc "$path" >"$1" ;;
	*.xz) xz -dc "$path" >"$1" ;;
	*) cp "$path" "$1" ;;
	esac
}

# A function from a directory, with members of its manifest changed: NAME SOURCE JQ-EXPRESSION
demo_function() {
	mkdir -p "$work/functions"
	cp -r "$2" "$work/functions/$1"
	jq ".functionName = \"$1\" | $3" "$2/fcnode.json" >"$work/functions/$1/fcnode.json"
}

demo_video_form() { # "h264, 640 x 360"
	ffprobe -v error -select_streams v:0 -show_entries stream=codec_name,width,height -of csv=p=0 "$1" |
		sed -E 's/^([^,]*),([^,]*),([^,]*).*/\1, \2 x \3/'
}

demo_transcode() { # function, height
	local out=$work/out/$2p.mp4 form
	must fcctl invoke "$1" --event "@$work/phone.mp4" --output "$out"
	form=$(demo_video_form "$out")
	printf '%-16s -> %s, %s bytes\n' "$1" "$form" "$(stat -c %s "$out")"
	if [[ ! $form =~ ^h264,\ .*\ x\ $2$ ]]; then demo_fault "$out is not an H.264 video of $2 lines"; fi
}

# Something that must be refused, with a message that says this.
demo_refused() { # what the message must hold, command...
	local want=$1 out rc=0
	shift
	out=$("$@" 2>&1 >/dev/null) || rc=$?
	printf '%s\n' "${out:-(no message)}" | sed 's/^/    /'
	if ((rc == 0)); then
		demo_fault "this went through: $*"
	elif ! grep -qiE "$want" <<<"$out"; then
		demo_fault "the message does not say \"$want\""
	fi
}

demo_bad_bundle() {
	python3 - "$work/bad.zip" <<'PYTHON'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as z:
    z.writestr("fcnode.json", '{"functionName": "bad", "runtime": "stdio", "handler": "run"}')
    z.writestr("../../../../etc/cron.d/owned", "* * * * * root true\n")
PYTHON
	echo "a zip with an entry ../../../../etc/cron.d/owned:"
	demo_refused '\.\.' fcctl create --runtime stdio --handler run --name bad "$work/bad.zip"
}

demo_going_wrong() {
	demo_bad_bundle

	mkdir -p "$work/functions/greedy" "$work/functions/sleepy"
	cat >"$work/functions/greedy/fcnode.json" <<'JSON'
{"functionName": "greedy", "runtime": "python3", "handler": "index.handler", "memorySize": 64, "timeout": 20}
JSON
	printf 'def handler(event, context):\n    return len(bytearray(1 << 30))\n' >"$work/functions/greedy/index.py"
	cat >"$work/functions/sleepy/fcnode.json" <<'JSON'
{"functionName": "sleepy", "runtime": "stdio", "handler": "run", "timeout": 1}
JSON
	printf '#!/bin/sh\ntrap "" TERM\nsleep 600\n' >"$work/functions/sleepy/run"
	chmod +x "$work/functions/sleepy/run"
	must fcctl create "$work/functions/greedy" >/dev/null
	must fcctl create "$work/functions/sleepy" >/dev/null
	echo "a function that takes 1 GiB, with 64 MiB allowed:"
	demo_refused 'memory' fcctl invoke greedy
	echo "a function that sleeps for ten minutes and ignores SIGTERM, with one second allowed:"
	demo_refused 'time' fcctl invoke sleepy
}

demo_bill() {
	agent_get '/usage?limit=100' >"$work/usage.json" || die "no usage records"
	printf '%-16s %-15s %-7s %9s %9s %9s %9s %10s\n' function outcome served 'wall ms' 'cpu ms' 'peak MiB' 'limit MiB' GB-s
	jq -r '.records[] | [.functionName, .outcome, .served, .wallMs, (.cpuUs // 0) / 1000,
		(.peakMemoryBytes // 0) / 1048576, .memorySize, .gbSeconds] | @tsv' "$work/usage.json" |
		awk -F '\t' '{ printf "%-16s %-15s %-7s %9.1f %9.1f %9.1f %9d %10.6f\n", $1, $2, $3, $4, $5, $6, $7, $8 }'
	printf '\nms in each phase (those under 0.1 are left out):\n'
	jq -r '.records[] | .functionName + "\t" + ([.timelineUs | to_entries[] | select((.value | type) == "number" and .value >= 50) |
		.key + " " + (.value / 100 | round / 10 | tostring)] | join("  "))' "$work/usage.json" |
		awk -F '\t' '{ printf "%-16s %s\n", $1, $2 }'
	local count
	count=$(jq '.records | length' "$work/usage.json")
	if ((count != 4)); then demo_fault "4 invocations, and $count usage records"; fi
}

demo_main() {
	work_init
	trap demo_fini EXIT
	trap 'exit 130' INT TERM
	packages_install build run demo
	serve_user
	say "building (the log is in $work/logs)"
	source_copy
	build_in build >"$work/logs/build.log" 2>&1 || log_die build
	"$tree/tests/residue.sh" snapshot "$work/before"

	say "starting the agent"
	agent_start || { cat "$work/logs/agent.log" >&2; die "fc-agent did not answer on its socket"; }
	printf 'keeper runs as %s, serve as %s\n' "$(stat -c %U "/proc/$agent_pid")" \
		"$(pgrep -P "$agent_pid" | sed 's|.*|/proc/&|' | xargs stat -c %U | xargs)"

	say "deploying and calling the transcoder"
	mkdir -p "$work/out"
	demo_video "$work/phone.mp4"
	demo_function transcode-360 "$tree/contrib/examples/transcoder" '.environmentVariables.TRANSCODE_HEIGHT = "360"'
	demo_function transcode-720 "$tree/contrib/examples/transcoder" '.environmentVariables.TRANSCODE_HEIGHT = "720"'
	must fcctl create "$work/functions/transcode-360" >/dev/null
	must fcctl create "$work/functions/transcode-720" >/dev/null
	printf '%-16s    %s, %s bytes\n' "the phone's" "$(demo_video_form "$work/phone.mp4")" "$(stat -c %s "$work/phone.mp4")"
	demo_transcode transcode-360 360
	demo_transcode transcode-720 720

	say "three things going wrong"
	demo_going_wrong

	say "the bill"
	demo_bill

	say "stopping the agent"
	agent_stop || demo_fault "the agent ended with status $?"
	if [[ -n $(ls -A "$work/run") ]]; then demo_fault "left in its runtime directory: $(ls -A "$work/run")"; fi
	if "$tree/tests/residue.sh" compare "$work/before"; then
		echo "nothing is left behind: no process, cgroup, mount, network namespace, link or file"
	else
		demo_fault "something is left behind"
	fi
	if ((demo_faults > 0)); then die "$demo_faults thing(s) went wrong"; fi
	say "done"
}
