# Limits reach the kernel's files, at the path that engines look at.
# shellcheck disable=SC2016,SC2154
load lib

have_controllers() {
	[[ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ]] && V=1 && return
	grep -qw memory /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null && V=2 && return
	unable "no memory controller here"
}

@test "memory, pids and cpu at an absolute cgroupsPath; gone after delete" {
	have_controllers
	args /bin/sleep 1000
	config ".linux.cgroupsPath = \"/$ID/leaf\" | .linux.resources.memory = {\"limit\": 67108864}
		| .linux.resources.pids = {\"limit\": 33} | .linux.resources.cpu = {\"quota\": 20000, \"period\": 100000, \"shares\": 512}"
	fc create --bundle "$B" --pid-file "$T/pid" "$ID"
	local pid
	pid=$(cat "$T/pid")
	if [[ $V == 1 ]]; then
		[[ $(cat "/sys/fs/cgroup/memory/$ID/leaf/memory.limit_in_bytes") == 67108864 ]]
		[[ $(cat "/sys/fs/cgroup/pids/$ID/leaf/pids.max") == 33 ]]
		[[ $(cat "/sys/fs/cgroup/cpu/$ID/leaf/cpu.cfs_quota_us") == 20000 ]]
		grep -qx "$pid" "/sys/fs/cgroup/memory/$ID/leaf/cgroup.procs"
		grep -qx "$pid" "/sys/fs/cgroup/pids/$ID/leaf/cgroup.procs"
		grep -qx "$pid" "/sys/fs/cgroup/cpu/$ID/leaf/cgroup.procs"
	else
		[[ $(cat "/sys/fs/cgroup/$ID/leaf/memory.max") == 67108864 ]]
		[[ $(cat "/sys/fs/cgroup/$ID/leaf/pids.max") == 33 ]]
		[[ $(cat "/sys/fs/cgroup/$ID/leaf/cpu.max") == "20000 100000" ]]
		grep -qx "$pid" "/sys/fs/cgroup/$ID/leaf/cgroup.procs"
	fi
	fc start "$ID"
	fc delete --force "$ID"
}

@test "the memory limit kills" {
	have_controllers
	script 'dd if=/dev/zero of=/dev/null bs=256M count=1; echo survived'
	args /bin/dd if=/dev/zero of=/dev/null bs=256M count=1
	config '.linux.resources.memory = {"limit": 33554432, "swap": 33554432}'
	run -137 fc run --bundle "$B" "$ID"
}

@test "the pids limit holds" {
	have_controllers
	script 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done; echo survived'
	config '.linux.resources.pids = {"limit": 5}'
	run fc run --bundle "$B" "$ID"
	[[ $output == *"fork"* ]]
}

@test "zero values count as unset, as docker sends them" {
	args /bin/true
	config '.linux.resources += {"memory": {"disableOOMKiller": false, "limit": 0}, "cpu": {"shares": 0, "quota": 0},
		"blockIO": {"weight": 0}, "pids": {"limit": 0}}'
	run -0 fc run --bundle "$B" "$ID"
}

@test "a relative cgroupsPath and none are below fcnode's group" {
	args /bin/sleep 1000
	fc run -d --bundle "$B" "$ID"
	find /sys/fs/cgroup -type d -path "*/fcnode/oci/$ID" | grep -q .
	fc delete -f "$ID"
	config ".linux.cgroupsPath = \"$ID-rel\""
	fc run -d --bundle "$B" "$ID"
	find /sys/fs/cgroup -type d -path "*/fcnode/$ID-rel" | grep -q .
	fc delete -f "$ID"
}

@test "two containers cannot share a cgroup by accident" {
	args /bin/sleep 1000
	config ".linux.cgroupsPath = \"/$ID-x\""
	fc run -d --bundle "$B" "$ID"
	run -1 fc run -d --bundle "$B" "$ID-2"
	[[ $output == *"$ID-x"*"file exists"* ]]
	[[ $(status_of "$ID") == running ]]
	fc delete -f "$ID"
}

@test "systemd's form of cgroupsPath is refused" {
	args /bin/true
	config '.linux.cgroupsPath = "machine.slice:libpod:abc"'
	run -1 fc run --bundle "$B" "$ID"
	[[ $output == *"cgroupfs"* ]]
}
