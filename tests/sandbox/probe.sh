# shellcheck shell=bash disable=SC2034,SC2154 # lib.sh sets and uses the rest
# Every attack of the probe from inside sandboxes, and the same program outside, to see that it finds open what is open.

probe_pids=64 probe_tmp=$((16 << 20))

# One test per attack: held passes. An attack that must be open in this way of running is listed by the caller.
count_attacks() { # prefix, "name name" that are open here and documented
	local verdict name detail tried=0 told=0
	while read -r verdict name detail; do
		case $verdict in
		held) pass "$1 $name" "$detail"; tried=$((tried + 1)) ;;
		skip) bad_skip "$1 $name: $detail"; tried=$((tried + 1)) ;;
		OPEN)
			tried=$((tried + 1))
			if [[ " $2 " != *" $name "* ]]; then
				fail "$1 $name" "OPEN: $detail"
			elif grep -qw -- "$name" "$T/fcnode.7"; then
				pass "$1 $name" "open here, as fcnode(7) says: $detail"
			else
				fail "$1 $name" "open here, and fcnode(7) does not say so: $detail"
			fi
			;;
		tried) told=$name ;;
		*) fail "$1" "a line that is no verdict: $verdict $name $detail" ;;
		esac
	done <"$T/out"
	if ((tried != told || tried == 0)); then fail "$1" "$tried verdicts, the probe tried $told" "$T/err"; fi
}

# Somebody to be reached: on the host, and in a sandbox that runs at the same time.
probe_targets_start() {
	python3 - "$T/port" >"$T/host.log" 2>&1 <<-'P' &
		import os, socket, sys
		tcp = socket.create_server(("127.0.0.1", 0))
		unix = socket.socket(socket.AF_UNIX)
		unix.bind("\0fc-host-%d" % os.getpid())
		unix.listen(8)
		with open(sys.argv[1] + ".new", "w") as f:
		    f.write("%d %d\n" % (tcp.getsockname()[1], os.getpid()))
		os.rename(sys.argv[1] + ".new", sys.argv[1])
		while True:
		    unix.accept()[0].close()
	P
	host_job=$!
	local tries
	for ((tries = 0; tries < 200; tries++)); do # it tells by a file
		if [[ -e $T/port ]]; then break; fi
		read -r -t 0.05 <> <(:) || true
	done
	read -r host_port host_pid <"$T/port"
	start_call listening --env PROBE=listen --env "PROBE_NEIGHBOUR=fc-neighbour-$$" --timeout 300s "$T/bin/probe" ||
		fail "probe neighbour" "did not start"
	neighbour_pid=$job_pid
}

probe_targets_stop() {
	job_pid=$neighbour_pid
	kill -TERM "$neighbour_pid"
	end_call
	kill "$host_job"
	wait "$host_job" || true
	rm -f "$T/port"
}

# A directory with the probe and files that are not the function's to read.
probe_code() {
	mkdir -p "$T/code"
	sed 's/\\://g' "$here/../../man/fcnode.7" >"$T/fcnode.7" # without the places where a line may break
	cp "$T/bin/probe" "$T/code/bootstrap"
	cp "$T/bin/probe" "$T/code/setuid-probe"
	chmod 6755 "$T/code/setuid-probe"
	echo secret >"$T/code/of-another-tenant"
	echo secret >"$T/code/of-root"
	chown $((1878982656 + 65536 + 1000)):$((1878982656 + 65536 + 1000)) "$T/code/of-another-tenant"
	chmod 0600 "$T/code/of-another-tenant" "$T/code/of-root"
}

attack() { # prefix, documented as open, arguments of invoke...
	local prefix=$1 open=$2
	shift 2
	FC_TEST_SECRET=of-the-caller invoke --pids "$probe_pids" --tmp-size "$probe_tmp" --env "PROBE_PIDS=$probe_pids" \
		--env "PROBE_TMP_BYTES=$probe_tmp" --env "PROBE_HOST_PORT=$host_port" --env "PROBE_HOST_PID=$host_pid" \
		--env "PROBE_HOST_SOCKET=fc-host-$host_pid" --env "PROBE_NEIGHBOUR=fc-neighbour-$$" \
		--event "@$here/proc-readable" "$@" "$T/code"
	if [[ $status != 0 ]]; then
		fail "$prefix" "exit status $status" "$T/out" "$T/err"
	else
		count_attacks "$prefix" "$open"
	fi
	verdict "$prefix leaves nothing" [ -z "$(left_by "$run_pid")" ]
}

# The same program outside, as an ordinary user: it must find open what no sandbox holds there.
control() {
	local name
	PROBE_HOST_PORT=$host_port PROBE_HOST_PID=$host_pid PROBE_HOST_SOCKET=fc-host-$host_pid PROBE=calls,proc,net,self \
		timeout 120 setpriv --reuid 12345 --regid 12345 --clear-groups env -u BASH_ENV "$T/bin/probe" \
		<"$here/proc-readable" >"$T/out" 2>"$T/err" || true
	for name in ids environment descriptors no_new_privs keyctl ptrace_traceme adjtimex modify_ldt aslr_off \
		personality_32 int80 other_processes kill_outside sysfs cgroupfs netlink_generic host_port \
		host_abstract_socket only_loopback; do
		if grep -q "^OPEN $name " "$T/out"; then
			pass "control $name" "open outside, as it must be"
		elif [[ $name == int80 ]] && grep -q "^held int80 killed by SIGSEGV" "$T/out"; then
			pass "control $name" "a machine without 32-bit calls: the instruction faults, here as inside"
		else
			fail "control $name" "the probe does not find it open outside a sandbox: $(grep " $name " "$T/out")"
		fi
	done
}

# Two calls share no chance: keys, canaries and addresses differ.
chance() {
	invoke --env PROBE=random "$T/bin/probe"
	cp "$T/out" "$T/chance"
	invoke --env PROBE=random "$T/bin/probe"
	if [[ $status == 0 && $(wc -l <"$T/out") == 3 ]] && ! grep -qxFf "$T/chance" "$T/out"; then
		pass "chance differs between two calls"
	else
		fail "chance differs between two calls" "the same bytes twice" "$T/out" "$T/chance"
	fi
}

# Every attack is in the table of fcnode(7), so that table and probe cannot drift apart.
documented() {
	local name missing=
	while read -r _ name; do
		grep -qw -- "$name" "$T/fcnode.7" || missing+=" $name"
	done < <(PROBE=list "$T/bin/probe" </dev/null)
	if [[ -z $missing ]]; then
		pass "every attack is in the table of fcnode(7)"
	else
		fail "every attack is in the table of fcnode(7)" "not there:$missing"
	fi
}

# An image of its own: nothing but the probe's code is needed in it.
probe_image() {
	local dir
	mkdir -p "$T/image"
	for dir in bin dev etc lib proc tmp usr/bin code opt var/fc/runtime; do mkdir -p "$T/image/$dir"; done
	echo "root:x:0:0::/:/bin/sh" >"$T/image/etc/passwd"
}

# Making a device is refused by Landlock (EACCES) before the kernel asks for a capability (EPERM).
landlock_in_force() {
	# landlock_create_ruleset(2), asked for the version
	if ! python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 1)'; then
		bad_skip "Landlock is in force: this kernel has none"
		return
	fi
	verdict "Landlock is in force" grep -q '^held device_disk EACCES' "$T/out"
}

part_probe() {
	probe_code
	probe_image
	probe_targets_start
	attack "probe host" ""
	landlock_in_force
	attack "probe image" "" --image "$T/image"
	# the host's network was asked for: then its listeners are in reach, and its devices can be seen
	attack "probe network-host" "host_port only_loopback reach_out host_abstract_socket" --network host
	control
	probe_targets_stop
	chance
	documented
}
