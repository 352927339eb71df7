# What the OCI tests share. Each test has a bundle of its own ($B), a --root of its own and ids that begin with $ID;
# teardown ends what is left and fails when a cgroup, process or state remained although the test had removed it.

bats_require_minimum_version 1.5.0

setup() {
	T=$(mktemp -d "${TMPDIR:-/tmp}/oci.XXXXXX") # bats' own directories are closed to the ordinary user of rootless.bats
	chmod 755 "$T"
	B=$T/bundle ID=fct$$x$RANDOM
	STATE=$T/state
	make_bundle "$B"
}

teardown() {
	local id left=0
	for id in $("$FC_BUILD/fc-run" --root "$STATE" list -q 2>/dev/null); do
		echo "left behind: container $id"
		"$FC_BUILD/fc-run" --root "$STATE" delete --force "$id"
		left=1
	done
	if [[ -n $(ls -A "$STATE" 2>/dev/null) ]]; then
		echo "left behind: $(ls -A "$STATE")"
		left=1
	fi
	local groups
	groups=$(find /sys/fs/cgroup -type d -name "*$ID*" 2>/dev/null) || true
	if [[ -n $groups ]]; then
		echo "left behind: $groups"
		xargs -r rmdir <<<"$groups" || true
		left=1
	fi
	rm -rf "$T"
	return "$left"
}

fc() {
	"$FC_BUILD/fc-run" --root "$STATE" "$@"
}

# A root file system of busybox alone, and the config of `fc-run spec` without its terminal.
make_bundle() {
	local applet
	mkdir -p "$1"/rootfs/{bin,proc,sys,dev,tmp,etc}
	cp "$BUSYBOX" "$1/rootfs/bin/busybox"
	for applet in sh cat echo ls id sleep mount stat head tail test kill mkdir touch hostname pwd env dd true false grep \
		readlink chmod mknod ulimit wc sync tty stty umask rm ip; do
		ln -s busybox "$1/rootfs/bin/$applet"
	done
	echo root:x:0:0:root:/:/bin/sh >"$1/rootfs/etc/passwd"
	"$FC_BUILD/fc-run" spec --bundle "$1"
	config '.process.terminal = false' "$1"
}

# config FILTER [BUNDLE]: change config.json with jq
config() {
	local file=${2:-$B}/config.json
	jq "$1" "$file" >"$file.new"
	mv "$file.new" "$file"
}

# args WORD...: what the container runs
args() {
	config ".process.args = $(jq -nc '$ARGS.positional' --args -- "$@")"
}

# sh SCRIPT: run it in the container
script() {
	args /bin/sh -c "$1"
}

status_of() {
	fc state "$1" | jq -r .status
}

# wait_until SECONDS COMMAND...: polls, for what the kernel tells nobody
wait_until() {
	local deadline=$(($(date +%s%3N) + $1 * 1000 * ${FC_TEST_TIME_SCALE:-1}))
	shift
	until "$@"; do
		(($(date +%s%3N) < deadline)) || { echo "waited in vain: $*"; return 1; }
		sleep 0.02
	done
}

is_status() {
	[[ $(status_of "$1" 2>/dev/null) == "$2" ]]
}

# Gone, or a zombie that process 1 has not reaped yet
is_gone() {
	! grep -Eqs '^State:[[:space:]]+[^ZX[:space:]]' "/proc/$1/status"
}

unable() {
	if [[ ${FC_TEST_STRICT-} == 1 ]]; then
		echo "FC_TEST_STRICT: $1"
		return 1
	fi
	skip "$1"
}

# The directory of a v1 controller's (or v2's) group for this container: group CONTROLLER PATH
group() {
	local dir
	for dir in "/sys/fs/cgroup/$1" /sys/fs/cgroup /sys/fs/cgroup/unified; do
		if [[ -e $dir/$2 ]]; then
			echo "$dir/$2"
			return 0
		fi
	done
	return 1
}
