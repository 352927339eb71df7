# create, start, state, kill, delete, list, run: the life of a container and its exit statuses.
# shellcheck disable=SC2016,SC2154
load lib

@test "create, start, kill, delete: state at each step" {
	script 'trap "exit 7" TERM; while :; do sleep 0.05; done'
	config '.annotations = {"org.example.key": "value"}'
	fc create --bundle "$B" --pid-file "$T/pid" "$ID"
	run -0 fc state "$ID"
	jq -e --arg id "$ID" --arg b "$B" --argjson pid "$(cat "$T/pid")" '
		.id == $id and .status == "created" and .bundle == $b and .pid == $pid and .rootfs == ($b + "/rootfs")
		and .annotations == {"org.example.key": "value"} and (.ociVersion | startswith("1."))
		and (.created | fromdateiso8601? // sub("\\.[0-9]+Z"; "Z") | length > 0)' <<<"$output"
	[[ $(wc -c <"$T/pid") == "${#pid}" || -n $(cat "$T/pid") ]]
	kill -0 "$(cat "$T/pid")"
	fc start "$ID"
	[[ $(status_of "$ID") == running ]]
	fc kill "$ID" TERM
	wait_until 5 is_status "$ID" stopped
	[[ $(fc state "$ID" | jq .pid) == 0 ]]
	fc delete "$ID"
	run -1 fc state "$ID"
	[[ $output == *"container does not exist"* ]]
}

@test "run: the program's output and exit status, and nothing left" {
	script 'echo out; echo err >&2; exit 42'
	run --separate-stderr -42 fc run --bundle "$B" "$ID"
	[[ $output == out ]]
	[[ $stderr == err ]]
	[[ -z $(fc list -q) ]]
}

@test "run: death by a signal is 128 + its number" {
	script 'kill -9 $$; sleep 5'
	config '.linux.namespaces |= map(select(.type != "pid"))' # PID 1 of a pid namespace is immune to its own signals
	run -137 fc run --bundle "$B" "$ID"
}

@test "run: passes signals on" {
	script 'trap "exit 9" USR1; echo ready; while :; do sleep 0.05; done'
	"$FC_BUILD/fc-run" --root "$STATE" run --bundle "$B" "$ID" >"$T/out" 3>&- &
	local pid=$!
	wait_until 5 grep -q ready "$T/out"
	kill -USR1 "$pid"
	local status=0
	wait "$pid" || status=$?
	[[ $status == 9 ]]
}

@test "run: standard input arrives" {
	args /bin/cat
	run -0 fc run --bundle "$B" "$ID" <<<"hello in there"
	[[ $output == "hello in there" ]]
}

@test "run --keep leaves the ended container" {
	args /bin/true
	fc run --bundle "$B" --keep "$ID"
	[[ $(status_of "$ID") == stopped ]]
	fc delete "$ID"
}

@test "run --detach returns while it runs" {
	args /bin/sleep 1000
	fc run --bundle "$B" --detach --pid-file "$T/pid" "$ID"
	[[ $(status_of "$ID") == running ]]
	grep -q sleep "/proc/$(cat "$T/pid")/cmdline"
	fc delete --force "$ID"
}

@test "the current directory is the default bundle" {
	args /bin/echo here
	cd "$B"
	run -0 fc run "$ID"
	[[ $output == here ]]
}

@test "a created container can be deleted; its process is gone" {
	args /bin/sleep 1000
	fc create --bundle "$B" --pid-file "$T/pid" "$ID"
	fc delete "$ID"
	is_gone "$(cat "$T/pid")"
}

@test "delete refuses a running container, and --force does not" {
	args /bin/sleep 1000
	fc run -d --bundle "$B" "$ID"
	run -1 fc delete "$ID"
	[[ $output == *"cannot delete container $ID that is not stopped: running"* ]]
	[[ $(status_of "$ID") == running ]]
	fc delete --force "$ID"
	run -1 fc delete "$ID"
	[[ $output == *"container does not exist"* ]]
	run -0 fc delete --force "$ID"
	[[ -z $output ]]
}

@test "kill: names, numbers, and what is no signal" {
	script 'trap "echo HUP" HUP; trap "echo USR1" USR1; trap "echo USR2" USR2; trap "echo TERM; exit 0" TERM; echo ready; while :; do sleep 0.05; done'
	fc run -d --bundle "$B" "$ID" >"$T/out" 3>&-
	wait_until 5 grep -q ready "$T/out"
	fc kill "$ID" HUP
	wait_until 5 grep -q HUP "$T/out"
	fc kill "$ID" SIGUSR1
	wait_until 5 grep -q USR1 "$T/out"
	fc kill "$ID" 12
	wait_until 5 grep -q USR2 "$T/out"
	for bad in NOSUCH 0 65 -1 SIG ""; do
		run -1 fc kill -- "$ID" "$bad"
		[[ $output == *"unknown signal"* ]]
	done
	fc kill "$ID" # TERM
	wait_until 5 is_status "$ID" stopped
	run -1 fc kill "$ID" KILL
	[[ $output == *"container not running"* ]]
	run -0 fc kill --all "$ID" KILL
	fc delete "$ID"
	run -1 fc kill "$ID" KILL
	[[ $output == *"container does not exist"* ]]
}

@test "kill --all reaches every process" {
	script 'sleep 1000 & sleep 1000 & echo ready; wait; wait; sleep 1000'
	config '.linux.namespaces |= map(select(.type != "pid"))'
	fc run -d --bundle "$B" "$ID" >"$T/out" 3>&-
	wait_until 5 grep -q ready "$T/out"
	fc kill --all "$ID" KILL
	wait_until 5 is_status "$ID" stopped
	local procs
	procs=$(find /sys/fs/cgroup -path "*$ID*" -name cgroup.procs -exec cat {} +)
	[[ -z $procs ]]
	fc delete "$ID"
}

@test "kill KILL thaws a frozen container" {
	args /bin/sleep 1000
	fc run -d --bundle "$B" "$ID"
	local freeze
	freeze=$(find /sys/fs/cgroup -path "*$ID/cgroup.freeze" | head -n 1)
	[[ -n $freeze ]] || unable "no cgroup.freeze here"
	echo 1 >"$freeze"
	fc kill "$ID" KILL
	wait_until 5 is_status "$ID" stopped
	fc delete "$ID"
}

@test "start twice, start of a stopped one, start of none" {
	args /bin/sleep 1000
	fc create --bundle "$B" "$ID"
	fc start "$ID"
	run -1 fc start "$ID"
	[[ $output == *"cannot start an already running container"* ]]
	fc kill "$ID" KILL
	wait_until 5 is_status "$ID" stopped
	run -1 fc start "$ID"
	[[ $output == *"cannot start a container that has stopped"* ]]
	fc delete "$ID"
	run -1 fc start "$ID"
	[[ $output == *"container does not exist"* ]]
}

@test "a created process that was killed is stopped, and start says so" {
	args /bin/true
	fc create --bundle "$B" --pid-file "$T/pid" "$ID"
	kill -9 "$(cat "$T/pid")"
	wait_until 5 is_status "$ID" stopped
	run -1 fc start "$ID"
	[[ $output == *"cannot start a container that has stopped"* ]]
	fc delete "$ID"
}

@test "two creates of one id: one wins, whatever the order" {
	args /bin/sleep 1000
	local i ok=0 pids=()
	for i in 1 2 3 4; do
		(fc create --bundle "$B" "$ID" 3>&- >"$T/log.$i" 2>&1 && echo ok >>"$T/won") &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i" || true; done
	[[ $(wc -l <"$T/won") == 1 ]]
	for i in 1 2 3 4; do
		if [[ -s $T/log.$i ]]; then
			grep -q "container with given ID already exists" "$T/log.$i"
			ok=$((ok + 1))
		fi
	done
	[[ $ok == 3 ]]
	fc delete --force "$ID"
}

@test "create and delete --force at once leave nothing" {
	args /bin/sleep 1000
	local i
	for i in $(seq 10); do
		fc create --bundle "$B" "$ID" 3>&- >/dev/null 2>&1 &
		fc delete --force "$ID"
		wait "$!" || true
		fc delete --force "$ID"
	done
	[[ -z $(fc list -q) ]]
}

@test "delete --force ends a create that hangs in a hook" {
	args /bin/true
	config '.hooks.prestart = [{"path": "/bin/sleep", "args": ["sleep", "1000"]}]'
	"$FC_BUILD/fc-run" --root "$STATE" create --bundle "$B" "$ID" 3>&- >"$T/log" 2>&1 &
	local creator=$!
	wait_until 5 is_status "$ID" creating
	wait_until 5 pgrep -P "$creator" -x sleep
	fc delete --force "$ID"
	run -1 wait "$creator"
	grep -q "killed, because the container was" "$T/log"
	run ! pgrep -P "$creator"
}

@test "a create that was killed leaves what delete --force can remove" {
	args /bin/true
	config '.hooks.prestart = [{"path": "/bin/sleep", "args": ["sleep", "1000"]}]'
	"$FC_BUILD/fc-run" --root "$STATE" create --bundle "$B" "$ID" 3>&- >/dev/null 2>&1 &
	local creator=$! pid hook
	wait_until 5 is_status "$ID" creating
	wait_until 5 pgrep -P "$creator" -x sleep
	pid=$(fc state "$ID" | jq .pid)
	hook=$(pgrep -P "$creator" -x sleep)
	kill -9 "$creator"
	wait "$creator" || true
	kill "$hook"
	fc delete --force "$ID"
	is_gone "$pid"
	[[ ! -e $STATE/$ID ]]
}

@test "list: table, json, quiet" {
	[[ $(fc list -f json) == "[]" ]]
	args /bin/sleep 1000
	fc create --bundle "$B" "$ID-a"
	fc run -d --bundle "$B" "$ID-b"
	fc list --format json | jq -e --arg a "$ID-a" --arg b "$ID-b" '
		length == 2 and .[0].id == $a and .[0].status == "created" and .[1].id == $b and .[1].status == "running"
		and all(.owner == "root" and .pid > 1)'
	[[ $(fc list -q) == "$ID-a"$'\n'"$ID-b" ]]
	run -0 fc list
	[[ ${lines[0]} == ID*PID*STATUS*BUNDLE*CREATED*OWNER* ]]
	[[ ${lines[1]} == "$ID-a "*created*"$B"*root ]]
	fc delete "$ID-a"
	fc delete -f "$ID-b"
}

@test "config.json may change after create" {
	args /bin/echo first
	fc create --bundle "$B" "$ID" >"$T/out" 3>&-
	args /bin/echo second
	fc start "$ID"
	wait_until 5 is_status "$ID" stopped
	[[ $(cat "$T/out") == first ]]
	fc delete "$ID"
}

@test "ids: runc's rule" {
	args /bin/true
	for bad in 'a b' a/b ../x . .. '' a:b "$(printf 'a%.0s' $(seq 256))"; do
		run -1 fc run --bundle "$B" -- "$bad"
		[[ $output == *"container id"*invalid* ]]
	done
	fc run --bundle "$B" "$ID-+._x"
}

# what systemd makes of every mount of its hosts; here in a mount namespace of the test's own
@test "on a host whose mounts are shared, no mount of a container shows outside" {
	local propagation
	script 'mount -t tmpfs none /tmp && echo mounted'
	for propagation in '' private slave shared; do
		config ".linux.rootfsPropagation = \"${propagation:-rprivate}\""
		[[ -n $propagation ]] || config 'del(.linux.rootfsPropagation)'
		config '.process.capabilities |= with_entries(.value += ["CAP_SYS_ADMIN"])'
		run -0 unshare --mount --propagation shared sh -c '
			mount --bind "$1" "$1" && before=$(wc -l </proc/self/mountinfo) && shift && "$@" || exit
			test "$(wc -l </proc/self/mountinfo)" = "$before" || { echo "outside:"; tail -n 3 /proc/self/mountinfo; exit 9; }' \
			sh "$B" "$FC_BUILD/fc-run" --root "$STATE" run --bundle "$B" "$ID"
		[[ $output == mounted ]]
	done
}
