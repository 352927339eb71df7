# The terminal: over the console socket, and relayed by a foreground run.
# shellcheck disable=SC2016,SC2154
load lib

@test "create sends the terminal over the console socket" {
	script 'tty; read line; echo "got $line"; stty size; ls -l /dev/console >/dev/null && echo console'
	config '.process.terminal = true | .process.consoleSize = {"height": 33, "width": 99}'
	python3 "$BATS_TEST_DIRNAME/console.py" receive "$T/sock" "$T/out" 3>&- &
	local helper=$!
	wait_until 5 test -S "$T/sock"
	fc create --bundle "$B" --console-socket "$T/sock" "$ID" 3>&-
	wait_until 5 test -e "$T/out.ready"
	fc start "$ID"
	wait "$helper"
	grep -q '/dev/pts/0' "$T/out"
	grep -q 'got typed' "$T/out"
	grep -q '33 99' "$T/out"
	grep -q console "$T/out"
	wait_until 5 is_status "$ID" stopped
	fc delete "$ID"
}

@test "terminal without a socket, socket without a terminal" {
	args /bin/true
	run -1 fc create --bundle "$B" --console-socket "$T/none" "$ID"
	[[ $output == *"cannot use console socket"* ]]
	config '.process.terminal = true'
	run -1 fc create --bundle "$B" "$ID"
	[[ $output == *"cannot allocate tty"* ]]
	run -1 fc run -d --bundle "$B" "$ID"
	[[ $output == *"cannot allocate tty"* ]]
	run -1 fc create --bundle "$B" --console-socket "$T/none" "$ID"
	[[ $output == *"console socket $T/none: no such file or directory"* ]]
}

@test "run in the foreground relays the terminal: input, output, size, status" {
	script 'read line; echo "got $line"; stty size; exit 5'
	config '.process.terminal = true'
	run -5 python3 "$BATS_TEST_DIRNAME/console.py" pty "$T/out" '' 'hello\n' \
		"$FC_BUILD/fc-run" --root "$STATE" run --bundle "$B" "$ID"
	grep -q 'got hello' "$T/out"
	grep -q '40 100' "$T/out"
}

@test "Ctrl-C typed at the terminal reaches the container, not us" {
	script 'trap "echo interrupted; exit 6" INT; echo ready; while :; do sleep 0.05; done'
	config '.process.terminal = true'
	run -6 python3 "$BATS_TEST_DIRNAME/console.py" pty "$T/out" ready '\x03' \
		"$FC_BUILD/fc-run" --root "$STATE" run --bundle "$B" "$ID"
	grep -q interrupted "$T/out"
}

@test "a terminal with standard input from a file" {
	script 'cat; echo end'
	config '.process.terminal = true'
	run -0 fc run --bundle "$B" "$ID" <<<"from a file"
	[[ $output == *"from a file"*end* ]]
}
