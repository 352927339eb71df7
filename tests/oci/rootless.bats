# An ordinary user: one id, no cgroup, no help.
# shellcheck disable=SC2016,SC2154
load lib

setup_user() {
	cp "$FC_BUILD/fc-run" "$FC_BUILD/fc-sandbox" "$T/"
	mkdir "$T/run"
	"$T/fc-run" spec --help >/dev/null
	rm "$B/config.json"
	chown -R 54321:54321 "$B" "$T/run"
	as_user unshare --user --map-root-user true 2>/dev/null || unable "ordinary users cannot make user namespaces here"
	as_user "$T/fc-run" spec --rootless --bundle "$B"
	config '.process.terminal = false'
}

as_user() {
	setpriv --reuid 54321 --regid 54321 --clear-groups env XDG_RUNTIME_DIR="$T/run" "$@"
}

@test "run as an ordinary user" {
	setup_user
	script 'id -u; echo pid=$$; cat /proc/self/uid_map; touch /tmp/x || echo ro'
	run -0 as_user "$T/fc-run" run --bundle "$B" "$ID"
	[[ ${lines[0]} == 0 && ${lines[1]} == pid=1 && ${lines[2]} == *0*54321*1 ]]
	[[ -d $T/run/fcnode/oci ]]
}

@test "life cycle as an ordinary user" {
	setup_user
	args /bin/sleep 1000
	as_user "$T/fc-run" create --bundle "$B" "$ID"
	[[ $(as_user "$T/fc-run" state "$ID" | jq -r .status) == created ]]
	as_user "$T/fc-run" start "$ID"
	[[ $(as_user "$T/fc-run" list -q) == "$ID" ]]
	as_user "$T/fc-run" kill "$ID" KILL
	wait_until 5 eval '[[ $(as_user "$T/fc-run" state "$ID" | jq -r .status) == stopped ]]'
	as_user "$T/fc-run" delete "$ID"
}

@test "limits are refused with the reason" {
	setup_user
	args /bin/true
	config '.linux.resources = {"memory": {"limit": 67108864}}'
	run -1 as_user "$T/fc-run" run --bundle "$B" "$ID"
	[[ $output == *memory* || $output == *cgroup* ]]
}

@test "no user namespace, no container" {
	setup_user
	args /bin/true
	config '.linux.namespaces |= map(select(.type != "user")) | del(.linux.uidMappings, .linux.gidMappings)'
	run -1 as_user "$T/fc-run" run --bundle "$B" "$ID"
	[[ $output == *"user"* ]]
}
