# What config.json asks for, seen from inside.
# shellcheck disable=SC2016,SC2154
load lib

inside() {
	run -0 fc run --bundle "$B" "$ID"
}

@test "process: cwd, env, user, groups, umask" {
	script 'pwd; env; id; umask'
	config '.process.cwd = "/tmp" | .process.env = ["PATH=/bin", "A=b c", "EMPTY="]
		| .process.user = {"uid": 1000, "gid": 1001, "additionalGids": [5, 7], "umask": 63}'
	inside
	[[ ${lines[0]} == /tmp ]]
	[[ $output == *"A=b c"* && $output == *EMPTY=* ]]
	[[ $output == *"uid=1000 gid=1001"* ]]
	[[ $output == *5* && $output == *7* && $output == *0077* ]]
	[[ $output != *"groups=0"* ]]
}

@test "a cwd that does not exist is named" {
	args /bin/true
	config '.process.cwd = "/nowhere"'
	run -1 fc run --bundle "$B" "$ID"
	[[ $output == *"/nowhere"*"no such file or directory"* ]]
}

@test "hostname and a fresh pid namespace" {
	script 'hostname; echo pid=$$'
	config '.hostname = "test-host"'
	inside
	[[ ${lines[0]} == test-host && ${lines[1]} == pid=1 ]]
}

@test "namespaces are new where asked and shared where not" {
	script 'for n in pid net ipc uts mnt user cgroup; do readlink /proc/self/ns/$n; done'
	inside
	for n in pid net ipc uts mnt; do
		[[ $output != *"$(readlink "/proc/self/ns/$n")"* ]]
	done
	[[ $output == *"$(readlink /proc/self/ns/user)"* ]]
	config '.linux.namespaces |= map(select(.type != "network" and .type != "ipc"))
		| .mounts |= map(select(.destination != "/dev/mqueue" and .destination != "/sys"
			and .destination != "/sys/fs/cgroup"))'
	inside
	[[ $output == *"$(readlink /proc/self/ns/net)"* ]]
	[[ $output == *"$(readlink /proc/self/ns/ipc)"* ]]
	[[ $output != *"$(readlink /proc/self/ns/uts)"* ]]
}

@test "namespaces by path are joined" {
	script 'for n in net uts ipc; do readlink /proc/self/ns/$n; done'
	unshare --net --uts --ipc sleep 1000 3>&- &
	local other=$! want n
	wait_until 5 eval '[[ $(readlink /proc/'$other'/exe) == */sleep || $(readlink /proc/'$other'/exe) == */coreutils ]]'
	want=$(for n in net uts ipc; do readlink "/proc/$other/ns/$n"; done)
	config ".hostname = null | .linux.namespaces |= map(
		if .type == \"network\" then .path = \"/proc/$other/ns/net\"
		elif .type == \"uts\" then .path = \"/proc/$other/ns/uts\"
		elif .type == \"ipc\" then .path = \"/proc/$other/ns/ipc\" else . end) | del(.hostname)"
	run fc run --bundle "$B" "$ID"
	kill "$other"
	[[ $status == 0 && $output == "$want" ]]
}

@test "a time namespace, new and joined" {
	unshare --time true 2>/dev/null || unable "no time namespaces here"
	args /bin/sh -c 'cat /proc/uptime; exec sleep 1000'
	config '.linux.namespaces += [{"type": "time"}] | .linux.timeOffsets = {"boottime": {"secs": 900000000}}'
	fc run -d --bundle "$B" "$ID" >"$T/out"
	wait_until 5 test -s "$T/out"
	(($(cut -d. -f1 "$T/out") >= 900000000))
	local pid
	pid=$(fc state "$ID" | jq .pid)
	[[ $(readlink "/proc/$pid/ns/time") == "$(readlink "/proc/$pid/ns/time_for_children")" ]]
	args /bin/cat /proc/uptime
	config ".linux.timeOffsets = null | .linux.namespaces |= map(if .type == \"time\" then .path = \"/proc/$pid/ns/time\" else . end)
		| del(.linux.timeOffsets)"
	run -0 fc run --bundle "$B" "$ID-2"
	((${output%%.*} >= 900000000))
	fc delete --force "$ID"
}

@test "a user namespace cannot be joined, nor the host's cgroups be shown" {
	args /bin/true
	config '.linux.namespaces += [{"type": "user", "path": "/proc/1/ns/user"}]'
	run -1 fc run --bundle "$B" "$ID"
	[[ $output == *"joining a user namespace is not served"* ]]
	config '.linux.namespaces |= map(select(.type != "user" and .type != "cgroup"))
		| .mounts = [{"destination": "/sys/fs/cgroup", "type": "cgroup"}]'
	run -1 fc run --bundle "$B" "$ID"
	[[ $output == *"mounts[0].type: cgroup needs a new cgroup namespace"* ]]
}

@test "a namespace path that is none is refused" {
	args /bin/true
	config '.linux.namespaces |= map(if .type == "network" then .path = "/nowhere/net" else . end)'
	run -1 fc run --bundle "$B" "$ID"
	[[ $output == *"/nowhere/net"*"no such file or directory"* ]]
}

@test "user namespace: maps" {
	script 'cat /proc/self/uid_map; id -u; stat -c %u /tmp'
	chown -R 100000:100000 "$B/rootfs"
	config '.linux.namespaces += [{"type": "user"}]
		| .linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 1000}]
		| .linux.gidMappings = [{"containerID": 0, "hostID": 100000, "size": 1000}]'
	inside
	[[ ${lines[0]} == *0*100000*1000* && ${lines[1]} == 0 && ${lines[2]} == 0 ]]
}

@test "root read-only, or not" {
	script 'touch /file && echo written'
	run -1 fc run --bundle "$B" "$ID"
	[[ $output == *"Read-only file system"* ]]
	config '.root.readonly = false'
	inside
	[[ $output == written && -e $B/rootfs/file ]]
}

@test "masked and read-only paths" {
	script 'wc -c </etc/secret; ls /etc/dir | wc -l; touch /etc/fixed/x || echo denied; cat /proc/kcore | wc -c; echo 1 >/proc/sys/vm/swappiness || echo denied'
	mkdir -p "$B"/rootfs/etc/{dir,fixed}
	echo secret >"$B/rootfs/etc/secret"
	touch "$B/rootfs/etc/dir/file"
	config '.root.readonly = false | .linux.maskedPaths += ["/etc/secret", "/etc/dir", "/etc/not-there"]
		| .linux.readonlyPaths += ["/etc/fixed", "/etc/not-there"]'
	inside
	[[ ${lines[0]} == 0 && ${lines[1]} == 0 && ${lines[3]} == denied || $output == *denied*denied* ]]
	[[ ! -e $B/rootfs/etc/fixed/x ]]
}

@test "mounts: bind, tmpfs, options, in order; missing mount points are made" {
	mkdir "$T/src"
	echo from-host >"$T/src/file"
	script 'cat /data/file; touch /data/x || echo ro; grep " /data " /proc/self/mountinfo; grep " /scratch " /proc/self/mountinfo; cat /etc/one; touch /scratch/y && echo rw'
	config ".root.readonly = false | .mounts += [
		{\"destination\": \"/data\", \"type\": \"bind\", \"source\": \"$T/src\", \"options\": [\"rbind\", \"ro\", \"nosuid\"]},
		{\"destination\": \"/scratch\", \"type\": \"tmpfs\", \"source\": \"tmpfs\", \"options\": [\"size=1m\", \"noexec\", \"mode=1777\"]},
		{\"destination\": \"/etc/one\", \"type\": \"bind\", \"source\": \"$T/src/file\", \"options\": [\"bind\"]}]"
	inside
	[[ ${lines[0]} == from-host && $output == *$'\nro\n'* && $output == *rw ]]
	[[ $output == *"size=1024k"* && $output == *noexec* && $output == *nosuid* ]]
	[[ $(grep -c from-host <<<"$output") == 2 ]]
	[[ ! -e $T/src/x ]]
}

@test "a mount below a symlink of the image stays inside" {
	mkdir "$T/host"
	ln -s "$T/host" "$B/rootfs/escape"
	script 'mount | grep -c tmpfs'
	config '.root.readonly = false | .mounts += [{"destination": "/escape/in", "type": "tmpfs", "source": "tmpfs"}]'
	run fc run --bundle "$B" "$ID"
	[[ -z $(ls -A "$T/host") ]]
}

@test "capabilities are exactly those asked for" {
	script 'grep ^Cap /proc/self/status'
	config '.process.capabilities = {"bounding": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_KILL"],
		"permitted": ["CAP_KILL", "CAP_CHOWN"]}'
	inside
	# exec of a file by root raises effective to all permitted (capabilities(7)); none may appear that was not asked for
	[[ $output == *"CapPrm:"*0000000000000021* && $output == *"CapBnd:"*0000000000000021* ]]
	[[ $output == *"CapInh:"*0000000000000000* && $output == *"CapAmb:"*0000000000000000* ]]
	config '.process.capabilities = {}'
	inside
	[[ $output == *"CapBnd:"*0000000000000000* && $output == *"CapEff:"*0000000000000000* ]]
}

@test "ambient capabilities reach an ordinary user" {
	script 'grep ^Cap /proc/self/status'
	config '.process.user = {"uid": 1000, "gid": 1000} | .process.capabilities = {"bounding": ["CAP_KILL"],
		"effective": ["CAP_KILL"], "permitted": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}'
	inside
	[[ $output == *"CapEff:"*0000000000000020* && $output == *"CapAmb:"*0000000000000020* ]]
}

@test "noNewPrivileges, rlimits, oomScoreAdj" {
	script 'grep NoNewPrivs /proc/self/status; grep -E "open files|core file" /proc/self/limits; cat /proc/self/oom_score_adj'
	config '.process.rlimits = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
		| .process.oomScoreAdj = 500'
	inside
	[[ $output == *NoNewPrivs:*1* && $output == *"Max open files"*100*200* && $output == *500 ]]
	config '.process.noNewPrivileges = false'
	inside
	[[ $output == *NoNewPrivs:*0* ]]
}

@test "seccomp: errno of its own, the rest allowed" {
	script 'mkdir /tmp/x; chmod 700 /bin; echo after'
	config '.root.readonly = false | .linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
		"syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
			{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"}]}'
	inside
	[[ $output == *"No space left on device"* && $output == *"Operation not permitted"* && $output == *after ]]
	config '.process.noNewPrivileges = false'
	inside
	[[ $output == *"No space left on device"*after ]]
}

@test "seccomp: kill" {
	script 'mkdir /tmp/x; echo not reached'
	config '.linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW",
		"syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]}'
	args /bin/mkdir /tmp/x
	run -159 fc run --bundle "$B" "$ID" # 128 + SIGSYS
}

@test "what the image has in a device's place is not taken for it" {
	args /bin/true
	mkdir -p "$B/rootfs/dev"
	: >"$B/rootfs/dev/mine"
	config '.root.readonly = false | .mounts = [] | .linux.maskedPaths = [] | .linux.readonlyPaths = []
		| .linux.devices = [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 438}]'
	run -1 fc run --bundle "$B" "$ID"
	[[ ${output,,} == *"node /dev/mine"*"file exists"* ]]
	rm "$B/rootfs/dev/mine"
	fc run --bundle "$B" "$ID"
	fc run --bundle "$B" "$ID" # the node of the first time is the one asked for
}

@test "devices: the default ones, one of the config, and the rule against the rest" {
	script 'ls /dev; echo x >/dev/null && head -c 3 /dev/zero | wc -c; cat /dev/mine | head -c 1 | wc -c; mknod /tmp/kmsg c 1 11 && echo made; head -c 1 /tmp/kmsg || echo refused'
	config '.root.readonly = false | .linux.devices = [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 438}]
		| .linux.resources.devices += [{"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"}]
		| .process.capabilities[] += ["CAP_MKNOD"]'
	inside
	for d in null zero full random urandom tty ptmx fd stdin stdout stderr mine; do
		[[ $'\n'$output$'\n' == *$'\n'$d$'\n'* ]]
	done
	[[ $output == *made*"Operation not permitted"*refused ]]
}

@test "sysctl of a namespace of its own" {
	script 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni'
	config '.linux.sysctl = {"net.ipv4.ip_forward": "1", "kernel.shmmni": "123"}'
	inside
	[[ $output == $'1\n123' ]]
}

@test "preserve-fds and LISTEN_FDS" {
	script 'ls /proc/self/fd | wc -l; cat <&3; cat <&4; env | grep LISTEN || echo none'
	echo three >"$T/3"
	echo four >"$T/4"
	run -0 bash -c '"$1" --root "$2" run --bundle "$3" --preserve-fds 2 "$4" 3<"$5/3" 4<"$5/4"' - "$FC_BUILD/fc-run" "$STATE" "$B" "$ID" "$T"
	[[ $output == *three*four*none ]]
	run -0 bash -c 'export LISTEN_FDS=1; "$1" --root "$2" run --bundle "$3" --preserve-fds 1 "$4" 3<"$5/3" 4<"$5/4"' - "$FC_BUILD/fc-run" "$STATE" "$B" "$ID" "$T"
	[[ $output == *three*four* && $output == *LISTEN_FDS=1* && $output == *LISTEN_PID=1* ]]
	run -1 bash -c '"$1" --root "$2" run --bundle "$3" --preserve-fds 9 "$4" 3<&- 4<&-' - "$FC_BUILD/fc-run" "$STATE" "$B" "$ID" "$T"
	[[ $output == *"--preserve-fds"* ]]
}

@test "no descriptor of ours leaks" {
	script 'for f in /proc/self/fd/*; do echo "${f##*/} $(readlink $f)"; done'
	run -0 bash -c '"$1" --root "$2" run --bundle "$3" "$4" 3>&- 4>&- </dev/null | cat' - "$FC_BUILD/fc-run" "$STATE" "$B" "$ID"
	local line
	while read -r line; do
		[[ $line =~ ^[012]\  || $line == *"/proc/"* || $line != *" "* || $line == *" /proc/self/fd"* ]] || { echo "leaked: $line"; false; }
	done <<<"$output"
}

@test "the new session keyring can be left out" {
	args /bin/cat /proc/keys
	config 'del(.linux.maskedPaths)'
	inside
	run -0 fc run --no-new-keyring --bundle "$B" "$ID"
}

@test "--no-pivot" {
	script 'ls / | head -n 1; ls /proc/self >/dev/null && echo proc'
	run -0 fc run --no-pivot --bundle "$B" "$ID"
	[[ $output == *bin*proc ]]
}

@test "rootfs propagation and shared mounts do not reach the host" {
	script 'mount -t tmpfs none /tmp; mount | grep -c " /tmp "'
	config '.process.capabilities[] += ["CAP_SYS_ADMIN"]'
	inside
	run ! grep -q "$B" /proc/self/mountinfo
}

@test "spec --dump shows the compiled sandbox" {
	args /bin/true
	run -0 fc spec --dump --bundle "$B"
	[[ $output == *"/proc"* && $output == *tmpfs* ]]
	[[ ! -e $STATE || -z $(ls -A "$STATE") ]]
}
