# Hooks: which, where, in what order, with what on standard input, and what their failure does.
# shellcheck disable=SC2016,SC2154
load lib

# note NAME [COMMAND]: a hook that writes its name and its state to $T/hooks
note() {
	jq -nc --arg name "$1" --arg log "$T/hooks" --arg more "${2-}" '[{"path": "/bin/sh",
		"args": ["sh", "-c", "echo \"\($name) $(cat)\" >>\($log); \($more)"], "env": ["PATH=/usr/bin:/bin", "HOOK=\($name)"]}]'
}

@test "all kinds, in order, each with the state" {
	args /bin/sh -c 'sleep 1000'
	cp "$BUSYBOX" "$B/rootfs/bin/hook"
	mkdir "$B/rootfs/log"
	config ".hooks = {
		\"prestart\": $(note prestart), \"createRuntime\": $(note createRuntime), \"createContainer\": $(note createContainer),
		\"startContainer\": [{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"cat >/log/startContainer\"]}],
		\"poststart\": $(note poststart), \"poststop\": $(note poststop)} | .root.readonly = false"
	fc create --bundle "$B" --pid-file "$T/pid" "$ID"
	[[ $(cut -d' ' -f1 "$T/hooks" | xargs) == "prestart createRuntime createContainer" ]]
	local pid
	pid=$(cat "$T/pid")
	cut -d' ' -f2- "$T/hooks" | jq -se --arg id "$ID" --arg b "$B" --argjson pid "$pid" '
		length == 3 and all(.id == $id and .bundle == $b and .pid == $pid and .status == "creating")'
	fc start "$ID"
	jq -e '.status == "created"' "$B/rootfs/log/startContainer"
	[[ $(cut -d' ' -f1 "$T/hooks" | xargs) == "prestart createRuntime createContainer poststart" ]]
	tail -n 1 "$T/hooks" | cut -d' ' -f2- | jq -e '.status == "running"'
	fc delete --force "$ID"
	[[ $(cut -d' ' -f1 "$T/hooks" | xargs) == "prestart createRuntime createContainer poststart poststop" ]]
	tail -n 1 "$T/hooks" | cut -d' ' -f2- | jq -e '.status == "stopped" and (.pid == 0 or .pid == null)'
}

@test "createRuntime is in the caller's namespaces, createContainer in the container's" {
	args /bin/true
	config ".hooks = {
		\"createRuntime\": [{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"readlink /proc/self/ns/net >$T/runtime\"], \"env\": [\"PATH=/bin:/usr/bin\"]}],
		\"createContainer\": [{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"readlink /proc/self/ns/uts >$T/container\"], \"env\": [\"PATH=/bin:/usr/bin\"]}]}"
	fc run --bundle "$B" "$ID"
	[[ $(cat "$T/runtime") == "$(readlink /proc/self/ns/net)" ]]
	[[ $(cat "$T/container") != "$(readlink /proc/self/ns/uts)" ]]
}

@test "a prestart hook can set up the container's network, as docker's does" {
	script 'cat /proc/sys/net/ipv4/ip_forward'
	config '.hooks.prestart = [{"path": "/bin/sh", "args": ["sh", "-c",
		"pid=$(jq .pid); nsenter -t $pid -n sh -c \"echo 1 >/proc/sys/net/ipv4/ip_forward\""],
		"env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}]'
	run -0 fc run --bundle "$B" "$ID"
	[[ $output == 1 ]]
}

@test "a hook has its own argv and environment, and the bundle as its directory" {
	args /bin/true
	config ".hooks.createRuntime = [{\"path\": \"/bin/sh\", \"args\": [\"zero\", \"-c\", \"echo \$0; pwd; /usr/bin/env\", \"one\"], \"env\": [\"X=1\"]},
		{\"path\": \"/bin/sh\", \"args\": [\"zero\", \"-c\", \"(pwd; /usr/bin/env; ls /proc/self/fd) >$T/out\"], \"env\": [\"X=1\"]}]"
	fc run --bundle "$B" "$ID"
	grep -qx "$B" "$T/out"
	grep -qx X=1 "$T/out"
	run ! grep -q '^FC_BUILD=' "$T/out"
}

@test "a failing hook ends create, with its words, and poststop still runs" {
	args /bin/true
	local kind
	for kind in prestart createRuntime; do
		rm -f "$T/hooks"
		config ".hooks = {\"$kind\": [{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"echo the reason >&2; exit 3\"]}],
			\"poststop\": $(note poststop)}"
		run -1 fc create --bundle "$B" "$ID"
		[[ $output == *"$kind hook /bin/sh: exit status 3: the reason"* ]]
		[[ $(cut -d' ' -f1 "$T/hooks") == poststop ]]
		[[ -z $(fc list -q) ]]
	done
}

@test "a failing createContainer hook ends create" {
	args /bin/true
	config '.hooks.createContainer = [{"path": "/bin/false"}]'
	run -1 fc create --bundle "$B" "$ID"
	[[ $output == *hook*"/bin/false"* ]]
	[[ -z $(fc list -q) ]]
}

@test "a hook inside that cannot be executed is told from one that fails" {
	args /bin/true
	config '.hooks.createContainer = [{"path": "/nowhere/hook"}]'
	run -1 fc create --bundle "$B" "$ID"
	[[ ${output,,} == *"hook /nowhere/hook: no such file or directory"* ]]
	printf 'no program' >"$B/rootfs/text"
	chmod 755 "$B/rootfs/text"
	config '.hooks = {"startContainer": [{"path": "/text"}]}'
	fc create --bundle "$B" "$ID"
	run -1 fc start "$ID"
	[[ ${output,,} == *"hook /text: exec format error"* ]]
	wait_until 5 is_status "$ID" stopped
	fc delete "$ID"
}

@test "a startContainer hook has its state also where the payload may write no file" {
	args /bin/sh -c 'ulimit -f'
	config '.process.rlimits = [{"type": "RLIMIT_FSIZE", "soft": 0, "hard": 0}]
		| .hooks.startContainer = [{"path": "/bin/sh", "args": ["sh", "-c", "test -n \"$(cat)\""]}]'
	run -0 fc run --bundle "$B" "$ID"
	[[ $output == 0 ]]
}

@test "a failing startContainer hook ends start" {
	args /bin/true
	config '.hooks.startContainer = [{"path": "/bin/false"}]'
	fc create --bundle "$B" "$ID"
	run -1 fc start "$ID"
	[[ $output == *hook*"/bin/false"* ]]
	wait_until 5 is_status "$ID" stopped
	fc delete "$ID"
}

@test "a failing poststart hook ends the container" {
	args /bin/sleep 1000
	config '.hooks.poststart = [{"path": "/bin/false"}]'
	run -1 fc run -d --bundle "$B" "$ID"
	[[ $output == *"poststart hook /bin/false: exit status 1"* ]]
}

@test "a failing poststop hook is a warning, and the next one runs" {
	args /bin/true
	config ".hooks.poststop = [{\"path\": \"/bin/false\"}, $(note second | jq '.[0]')]"
	fc create --bundle "$B" "$ID"
	run -0 fc delete "$ID"
	[[ $output == *"poststop hook /bin/false: exit status 1"* ]]
	grep -q second "$T/hooks"
}

@test "a hook over its timeout is killed" {
	args /bin/true
	config '.hooks.createRuntime = [{"path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1}]'
	run -1 fc create --bundle "$B" "$ID"
	[[ $output == *"killed after its timeout of 1 s"* ]]
}

@test "a hook that leaves a daemon behind does not hold create up" {
	args /bin/true
	config '.hooks.createRuntime = [{"path": "/bin/sh", "args": ["sh", "-c", "sleep 3 & exit 0"], "env": ["PATH=/bin:/usr/bin"]}]'
	SECONDS=0
	fc run --bundle "$B" "$ID"
	((SECONDS < 3))
}

@test "a hook that does not exist" {
	args /bin/true
	config '.hooks.prestart = [{"path": "/nowhere/hook"}]'
	run -1 fc create --bundle "$B" "$ID"
	[[ $output == *"prestart hook /nowhere/hook: execute it: no such file or directory"* ]]
}

@test "a hook may ask for the state" {
	args /bin/true
	config ".hooks.createRuntime = [{\"path\": \"$FC_BUILD/fc-run\", \"args\": [\"fc-run\", \"--root\", \"$STATE\", \"state\", \"$ID\"]}]"
	run -0 timeout 10 "$FC_BUILD/fc-run" --root "$STATE" run --bundle "$B" "$ID"
}
