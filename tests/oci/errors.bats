# Bad input: the error says what was wrong and nothing is left (lib.bash's teardown looks).
# shellcheck disable=SC2016,SC2154
load lib

# refused PATTERN: run fails with 1 and one error that matches
refused() {
	run -1 fc run --bundle "$B" "$ID"
	# shellcheck disable=SC2053
	[[ $output == $1 ]] || { echo "wanted: $1"; echo "got: $output"; return 1; }
	[[ $(grep -c '^fc-run: ' <<<"$output") -le 2 ]]
	[[ -z $(fc list -q) ]]
}

@test "no config.json, no bundle, no root file system" {
	args /bin/true
	rm "$B/config.json"
	refused "*config.json: no such file or directory*"
	run -1 fc run --bundle /nowhere "$ID"
	[[ $output == *"/nowhere: no such file or directory"* ]]
	mkdir "$T/b2"
	"$FC_BUILD/fc-run" spec --bundle "$T/b2"
	jq '.process.terminal = false' "$T/b2/config.json" >"$T/c" && mv "$T/c" "$T/b2/config.json"
	run -1 fc run --bundle "$T/b2" "$ID"
	[[ $output == *"rootfs"*"no such file or directory"* ]]
}

@test "config.json that is no JSON, or no object" {
	local text
	for text in '' '{' '[]' '{"ociVersion": }' 'null' '{"a":1,"a":2}' "$(printf '[%.0s' $(seq 100))"; do
		printf '%s' "$text" >"$B/config.json"
		refused "*config.json*"
	done
}

@test "missing and wrong fields are named" {
	local filter want
	cp "$B/config.json" "$T/good.json"
	while IFS='|' read -r filter want; do
		cp "$T/good.json" "$B/config.json"
		args /bin/true
		config "$filter"
		refused "*$want*"
	done <<'LIST'
del(.ociVersion)|ociVersion
.ociVersion = "2.0.0"|2.0.0
.ociVersion = "banana"|banana
.ociVersion = 1|ociVersion
del(.process)|process
del(.process.args)|process.args
.process.args = []|process.args
.process.args = "sh"|process.args
.process.args = [1]|process.args
del(.process.cwd)|process.cwd
.process.cwd = "relative"|process.cwd
.process.user = {"uid": -1, "gid": 0}|process.user.uid
.process.user = {"uid": "root", "gid": 0}|process.user.uid
.process.rlimits = [{"type": "RLIMIT_BANANA", "soft": 1, "hard": 1}]|RLIMIT_BANANA
.process.capabilities.bounding = ["CAP_BANANA"]|CAP_BANANA
del(.root)|root
.root = {}|root.path
.root.path = 5|root.path
.mounts = {}|mounts
.mounts += [{"type": "tmpfs"}]|destination
.mounts += [{"destination": "/x", "type": "bananafs", "source": "x"}]|/x from x: no such device
.mounts += [{"destination": "/x", "type": "bind", "source": "/nowhere/at/all", "options": ["bind"]}]|/nowhere/at/all
.linux.namespaces += [{"type": "banana"}]|banana
.linux.namespaces += [{"type": "pid"}]|pid
.linux.resources.memory = {"limit": "many"}|linux.resources.memory.limit
.linux.seccomp = {"defaultAction": "SCMP_ACT_BANANA"}|SCMP_ACT_BANANA
.linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_X"}]}|SCMP_ACT_X
.hooks.prestart = [{"args": ["x"]}]|path
.hooks.prestart = [{"path": "relative"}]|relative
.linux.sysctl = {"vm.swappiness": "1"}|vm.swappiness
.linux.uidMappings = [{"containerID": 0, "hostID": 0, "size": 1}]|uidMappings
LIST
}

@test "the program: missing, missing in PATH, not executable, a directory" {
	args /bin/banana
	refused '*exec: "/bin/banana": no such file or directory*'
	args banana
	refused '*exec: "banana": executable file not found in $PATH*'
	args /etc/passwd
	refused '*exec: "/etc/passwd": permission denied*'
	args /etc
	refused '*exec: "/etc": permission denied*'
	args bin/banana
	refused '*exec: "bin/banana": no such file or directory*'
	ln -s /bin/sh "$B/rootfs/bin/link" # inside: the host's must not count
	rm "$B/rootfs/bin/sh"
	args link
	refused '*exec: "link": executable file not found in $PATH*'
	echo 'no program' >"$B/rootfs/bin/text"
	chmod 755 "$B/rootfs/bin/text"
	args /bin/text
	refused "*xec format error*"
}

@test "create says that the program is missing, start that its interpreter is" {
	args /bin/banana
	run -1 fc create --bundle "$B" "$ID"
	[[ $output == *"no such file or directory"* ]]
	printf '#!/bin/no-such-interpreter\n' >"$B/rootfs/bin/text"
	chmod 755 "$B/rootfs/bin/text"
	args /bin/text
	fc create --bundle "$B" "$ID"
	run -1 fc start "$ID"
	[[ $output == *"/bin/text: no such file or directory"* ]]
	wait_until 5 is_status "$ID" stopped
	fc delete "$ID"
}

@test "the program may be a path relative to cwd, or below /proc" {
	args bin/true
	fc run --bundle "$B" "$ID"
	config '.process.cwd = "/bin"'
	args ./true
	fc run --bundle "$B" "$ID"
	args /proc/self/root/bin/true
	fc run --bundle "$B" "$ID"
}

@test "options" {
	args /bin/true
	run -1 fc create
	[[ $output == *"a container id is missing"* ]]
	run -1 fc create a b
	[[ $output == *"too many arguments"* ]]
	run -1 fc create --banana a
	[[ $output == *"unknown option --banana"* ]]
	run -1 fc create --bundle
	[[ $output == *"--bundle needs a value"* ]]
	run -1 fc create --preserve-fds x "$ID"
	[[ $output == *"not a whole number"* ]]
	run -1 fc list --format xml
	[[ $output == *"table|json"* ]]
	run -1 fc --systemd-cgroup create --bundle "$B" "$ID"
	[[ $output == *"--systemd-cgroup"* ]]
	run -2 fc banana
	run -2 fc --banana list
	local verb
	for verb in create run start state kill delete list spec features; do
		run -0 fc "$verb" --help
		[[ $output == "usage: fc-run [option ...] $verb"* ]]
	done
}

@test "the log: JSON and text lines, stderr stays readable" {
	args banana
	run -1 fc --log "$T/log" --log-format json run --bundle "$B" "$ID"
	[[ $output == "fc-run: run container $ID: "* ]]
	jq -e '.level == "error" and (.msg | contains("executable file not found in $PATH")) and (.time | fromdateiso8601 > 0)' "$T/log"
	[[ $(wc -l <"$T/log") == 1 ]]
	run -1 fc --log "$T/log" --log-format json state nope
	[[ $(wc -l <"$T/log") == 2 ]]
	tail -n 1 "$T/log" | jq -e '.msg | contains("container does not exist")'
	run -1 fc --log "$T/text" state nope
	grep -q '^time="20.*" level=error msg="container nope: container does not exist' "$T/text"
}

@test "a state directory that cannot be written" {
	args /bin/true
	run -1 "$FC_BUILD/fc-run" --root /proc/nowhere run --bundle "$B" "$ID"
	[[ $output == *"/proc/nowhere"* ]]
	echo file >"$T/file"
	run -1 "$FC_BUILD/fc-run" --root "$T/file" run --bundle "$B" "$ID"
	[[ $output == *"$T/file"*"not a directory"* ]]
}

@test "a pid file that cannot be written ends create" {
	args /bin/true
	run -1 fc create --bundle "$B" --pid-file /nowhere/pid "$ID"
	[[ $output == *"pid file /nowhere/pid: no such file or directory"* ]]
	[[ -z $(fc list -q) ]]
}

@test "spec does not overwrite" {
	run -1 fc spec --bundle "$B"
	[[ $output == *"config.json: file exists"* ]]
}

@test "features: what the specification asks for, and what config.json then takes" {
	run -0 fc features
	jq -e '.ociVersionMin == "1.0.0" and (.ociVersionMax | startswith("1.")) and (.hooks | length) == 6
		and (.mountOptions | index("rbind") and index("ro") and index("nosuid"))
		and (.linux.namespaces | index("pid") and index("network") and index("mount"))
		and (.linux.capabilities | index("CAP_CHOWN") and index("CAP_CHECKPOINT_RESTORE"))
		and .linux.seccomp.enabled and (.linux.seccomp.actions | index("SCMP_ACT_ERRNO"))
		and (.linux.seccomp.archs | index("SCMP_ARCH_X86_64")) and .linux.cgroup.v1 and .linux.cgroup.v2
		and .linux.cgroup.systemd == false' <<<"$output"
	args /bin/true
	local names
	names=$(jq -c .linux.capabilities <<<"$output")
	config ".process.capabilities.bounding = $names"
	"$FC_BUILD/fc-run" spec --dump --bundle "$B" >/dev/null
}

# with_option OPTION TYPE: does a mount of that type take it?
with_option() {
	jq --arg o "$1" --arg t "$2" '.mounts += [{"destination": "/x", "type": $t, "source": "/etc",
		"options": (if $t == "bind" then ["rbind", $o] else [$o] end)}]' "$T/good.json" >"$B/config.json"
	fc spec --dump --bundle "$B" >/dev/null 2>&1
}

@test "features: every mount option that is listed is accepted, by a bind mount or a file system" {
	args /bin/true
	local option
	fc features | jq -r '.mountOptions[]' >"$T/options"
	cp "$B/config.json" "$T/good.json"
	while read -r option; do
		with_option "$option" bind || with_option "$option" tmpfs || { echo "refused: $option"; return 1; }
	done <"$T/options"
	run ! with_option banana bind
}

@test "--debug tells what is done" {
	args /bin/true
	run -0 fc --debug run --bundle "$B" "$ID"
	[[ $output == *"debug: bundle $B, cgroup oci/$ID"*"waits at the gate"*"executes its program"*"remove cgroup"* ]]
	run -0 fc --debug --log "$T/log" --log-format json run --bundle "$B" "$ID"
	[[ -z $output ]]
	jq -se 'length >= 4 and all(.level == "debug")' "$T/log"
}

@test "large annotations" {
	args /bin/true
	jq '.annotations = {big: ("x" * 100000)}' "$B/config.json" >"$T/c" && mv "$T/c" "$B/config.json"
	fc run --bundle "$B" "$ID"
	config '.hooks.prestart = [{"path": "/bin/true"}]'
	run -1 fc run --bundle "$B" "$ID"
	[[ $output == *"annotations"* ]]
}
