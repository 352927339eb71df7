# shellcheck shell=bash disable=SC2034,SC2154 # lib.sh sets and uses the rest
# Functions that misbehave: each ends with the status and the words that fc-run(1) promises, and leaves nothing.

# Signals whose default is to end a process (signal(7)); the last ones stop it, and then the time limit ends it.
fatal_signals="HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT XCPU XFSZ VTALRM PROF IO PWR SYS"

processes() {
	fn forks <<-'F'
		#!/usr/bin/python3
		import os
		while True:
		    try: os.fork()
		    except OSError: pass
	F
	call "forks without end" 3 "time out after 1500 ms" --pids 40 --timeout 1500ms "$T/fn/forks"
	verdict "forks without end: stopped at its time, not later" [ "$took_ms" -lt 8000 ]
	fn forks-shell <<-'F'
		#!/bin/sh
		while :; do sleep 1000 & done
	F
	call "forks until refused" 1 "exit status 2" --pids 20 --timeout 20s "$T/fn/forks-shell"
	fn daemon <<-F
		#!/bin/sh
		setsid sh -c 'trap "" TERM HUP; sleep 98761.$$' >/dev/null 2>&1 </dev/null &
		(setsid sleep 98761.$$ >/dev/null 2>&1 </dev/null &)
		echo started
	F
	call "leaves daemons" 0 "^started$" "$T/fn/daemon"
	verdict "leaves daemons: none is left" [ -z "$(with_word "98761.$$")" ]
	fn holds <<-'F'
		#!/bin/sh
		sleep 1000 &
		echo done
	F
	call "children hold stdout" 0 "^done$" --timeout 20s "$T/fn/holds"
	verdict "children hold stdout: ends with the function" [ "$took_ms" -lt 5000 ]
	fn stubborn <<-'F'
		#!/bin/sh
		trap '' TERM INT HUP
		while :; do sleep 1; done
	F
	call "ignores SIGTERM" 3 "time out after 700 ms" --timeout 700ms "$T/fn/stubborn"
	verdict "ignores SIGTERM: ended at its time" [ "$took_ms" -lt 5000 ]
}

signals() {
	local name number
	fn dies <<-'F'
		#!/bin/sh
		read -r number
		kill -"$number" $$
		sleep 20
	F
	for name in $fatal_signals; do
		number=$(kill -l "$name")
		echo "$number" >"$T/event"
		call "dies by SIG$name" 1 "signal SIG(IOT|POLL|$name)" --timeout 10s --event "@$T/event" "$T/fn/dies"
	done
	for name in STOP TSTP TTIN TTOU; do
		number=$(kill -l "$name")
		echo "$number" >"$T/event"
		call "stopped by SIG$name" 3 "time out" --timeout 300ms --event "@$T/event" "$T/fn/dies"
	done
}

resources() {
	fn fills <<-'F'
		#!/bin/sh
		exec dd if=/dev/zero of=/tmp/all bs=64k
	F
	call "fills /tmp" 1 "No space left on device" --tmp-size 4M "$T/fn/fills"
	call "eats memory" 4 "out of memory: the limit of 48.* was reached" --memory 48M "$T/fn/eats"
	call "fills /tmp beyond its memory" 4 "out of memory" --memory 32M --tmp-size 512M "$T/fn/fills"
	fn floods <<-'F'
		#!/bin/sh
		exec head -c 1073741824 /dev/zero
	F
	call "prints 1 GiB" 1 "the reply is larger than 33554432 bytes" "$T/fn/floods"
	fn floods-log <<-'F'
		#!/bin/sh
		head -c 268435456 /dev/zero >&2
		echo end
	F
	/usr/bin/env -i "$T/bin/fc-run" invoke "$T/fn/floods-log" >"$T/out" 2>/dev/null </dev/null
	verdict "prints 256 MiB to its log" grep -q '^end$' "$T/out"
	fn burns <<-'F'
		#!/bin/sh
		while :; do :; done
	F
	call "burns its processor time" 3 "time out" --cpu 0.1 --timeout 1s --usage "$T/usage" "$T/fn/burns"
	verdict "burns its processor time: held to a tenth" python3 -c "
import json; u = json.load(open('$T/usage')); assert u['cpuUs'] < 300000, u['cpuUs']"
}

channels() {
	local dir=$T/fn/python
	mkdir -p "$dir"
	cat >"$dir/index.py" <<-'F'
		import os, stat, sys, time
		def channel():
		    for n in range(3, 4096):
		        try:
		            if stat.S_ISSOCK(os.fstat(n).st_mode): return n
		        except OSError: pass
		def closes(event, context):
		    os.close(channel())
		    time.sleep(100)
		def leaves(event, context):
		    os._exit(0)
		def garbage(event, context):
		    os.write(channel(), b"\xff" * 64)
		    time.sleep(100)
		def raises(event, context):
		    raise ValueError("not this one")
		def large(event, context):
		    return "x" * (2 << 20)
		def unjson(event, context):
		    return {1, 2}
		def fine(event, context):
		    return "fine"
	F
	call "python3: answers" 0 "fine" --handler index.fine "$dir"
	call "closes its channel" 3 "time out" --handler index.closes --timeout 2s "$dir"
	call "exits without a reply" 1 "exit status 0" --handler index.leaves "$dir"
	call "sends garbage over its channel" 1 "bytes that are no frame" --handler index.garbage --timeout 20s "$dir"
	call "raises" 1 "ValueError: not this one" --handler index.raises "$dir"
	verdict "raises: with the traceback" grep -q 'line 16, in raises' "$T/err"
	call "reply over the limit" 1 "the reply is larger than 1048576 bytes" --max-reply 1M --handler index.large "$dir"
	call "reply that is no JSON value" 1 "" --handler index.unjson "$dir"
	fn silent <<-'F'
		#!/bin/sh
		exec >&- 2>&- <&-
		exec sleep 100
	F
	call "closes all its pipes" 3 "time out" --timeout 1s "$T/fn/silent"
	fn rude <<-'F'
		#!/bin/sh
		exec <&-
		echo no event wanted
	F
	head -c 20000000 /dev/zero >"$T/event"
	call "does not read its event" 0 "no event wanted" --event "@$T/event" "$T/fn/rude"
	rm -f "$T/event"
}

handlers() {
	local py=$T/fn/broken-python js=$T/fn/broken-node
	mkdir -p "$py" "$js"
	printf 'import json\nimport no_such_module\n' >"$py/index.py"
	printf 'def handler(:\n' >"$py/syntax.py"
	call "handler does not load" 1 "No module named .no_such_module" --handler index.handler "$py"
	verdict "handler does not load: with the traceback" grep -q 'line 2' "$T/err"
	call "handler with a syntax error" 1 "SyntaxError" --handler syntax.handler "$py"
	call "handler that is not there" 1 "no_such" --handler no_such.handler "$py"
	if ! command -v node >/dev/null; then bad_skip "nodejs handler does not load: node is not installed"; return; fi
	echo 'require("./no-such-module")' >"$js/index.js"
	call "nodejs handler does not load" 1 "Cannot find module" --handler index.handler "$js"
	echo 'exports.handler = async () => { throw new TypeError("not this one") }' >"$js/index.js"
	call "nodejs handler rejects" 1 "TypeError: not this one" --handler index.handler "$js"
}

part_invoke() {
	processes
	signals
	resources
	channels
	handlers
}
