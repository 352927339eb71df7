# shellcheck shell=bash disable=SC2034,SC2154 # lib.sh and probe.sh set and use the rest
# fc-run by an ordinary user: one id, no cgroup. The attacks are the same; what differs is stated by name.

part_user() {
	local examples=$here/../../contrib/examples name
	as=(setpriv --reuid 12345 --regid 12345 --clear-groups)
	if ! "${as[@]}" test -x "$T/bin/fc-run"; then
		bad_skip "user: $T cannot be reached by user 12345; set TMPDIR to a directory that can"
		as=()
		return
	fi
	if ! "${as[@]}" unshare --user true 2>/dev/null; then
		bad_skip "user: this host forbids user namespaces to ordinary users (fc-run doctor)"
		as=()
		return
	fi
	suffix=" (as user 12345)"
	mkdir -p "$T/user"
	cp -R "$examples"/hello-* "$T/user/"
	chmod -R a+rX "$T/user"
	call "limits are left out, and it says so" 0 "note: running without memory, cpu and process limits: .+" \
		--event '{"name":"Ada"}' "$T/user/hello-shell"
	for name in hello-shell hello-python3 hello-nodejs; do
		if [[ $name == hello-nodejs ]] && ! command -v node >/dev/null; then
			bad_skip "$name: node is not installed"
			continue
		fi
		call "$name" 0 "Hello, .*Ada" --unlimited --event '{"name":"Ada"}' "$T/user/$name"
	done
	for name in memory=64M cpu=0.5 pids=50; do
		call "typed --${name%=*} is refused" 5 "limit the sandbox: .*(not writable|delegated|no )" "--${name%=*}" "${name#*=}" \
			"$T/user/hello-shell"
	done
	verdict "typed limits: the message says what to do" grep -q -- "--unlimited" "$T/err"
	fn stubborn <<-'F'
		#!/bin/sh
		trap '' TERM
		while :; do sleep 1; done
	F
	call "ignores SIGTERM" 3 "time out" --unlimited --timeout 500ms "$T/fn/stubborn"
	user_attacks
	as=()
	suffix=
}

# Without cgroups nothing bounds processes; fork and thread bombs would be the host's to bear and are not tried.
user_attacks() {
	# shellcheck source=tests/sandbox/probe.sh
	declare -F attack >/dev/null || . "$here/probe.sh"
	probe_code
	probe_targets_start
	FC_TEST_SECRET=of-the-caller invoke --unlimited --tmp-size "$probe_tmp" \
		--env PROBE=self,calls,proc,files,net,open_files,core_file,locked_memory \
		--env "PROBE_TMP_BYTES=$probe_tmp" --env "PROBE_HOST_PORT=$host_port" --env "PROBE_HOST_PID=$host_pid" \
		--env "PROBE_HOST_SOCKET=fc-host-$host_pid" --env "PROBE_NEIGHBOUR=fc-neighbour-$$" \
		--event "@$here/proc-readable" "$T/code"
	count_attacks "probe" "own_cgroup"
	probe_targets_stop
}
