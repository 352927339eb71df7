# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # lib.sh sets and uses the rest
# Bad code, bad options, full disks, too few descriptors: the status says whose fault it is, the words say what.

options() {
	local good=$T/fn/good
	call "event is passed on" 0 '^{"a":1}$' --event '{"a":1}' "$good"
	call "no code" 2 "no CODE given"
	call "two codes" 2 "more than one CODE" "$good" "$good"
	call "code that is not there" 2 "no-such-code: No such file" "$T/no-such-code"
	call "code that is a device" 2 "neither a file nor a directory" /dev/null
	call "unknown option" 2 "no-such-option" --no-such-option "$good"
	call "unknown runtime" 2 "runtime.*cobol" --runtime cobol "$good"
	call "unknown feature" 2 "no such feature" --without no-such-feature "$good"
	call "unknown image" 2 "image.*no-such-image" --image "$T/no-such-image" "$good"
	call "event that is not JSON" 2 "JSON" --event '{"a":' "$good"
	call "event file that is not there" 2 "no-such-event" --event "@$T/no-such-event" "$good"
	truncate -s 40M "$T/event"
	call "event over the limit" 2 "more than 33554432 bytes" --event "@$T/event" "$good"
	rm -f "$T/event"
	call "environment without a name" 2 "NAME=VALUE" --env NOVALUE "$good"
	call "memory that is no size" 2 "memory" --memory lots "$good"
	call "timeout out of range" 2 "timeout" --timeout 9999999s "$good"
	call "limits and no limits" 2 "unlimited does not go with" --unlimited --memory 64M "$good"
	call "tmp twice" 2 "does not go with" --tmp-size 1M --tmp-output "$T/o" "$good"
	mkdir -p "$T/full-output/x"
	call "tmp-output that is not empty" 2 "not empty|empty directory" --tmp-output "$T/full-output" "$good"
}

manifests() {
	local dir=$T/fn/manifest
	mkdir -p "$dir"
	cp "$T/fn/good" "$dir/bootstrap"
	echo '{"runtime":"stdio","memorySize":64}' >"$dir/fcnode.json"
	call "manifest is read" 0 "" "$dir"
	echo '{"runtime":"stdio","noSuchField":1}' >"$dir/fcnode.json"
	call "manifest with an unknown field" 2 "noSuchField" "$dir"
	echo '{"runtime":"stdio","memorySize":"much"}' >"$dir/fcnode.json"
	call "manifest with a wrong type" 2 "memorySize" "$dir"
	echo '{"runtime":' >"$dir/fcnode.json"
	call "manifest that is not JSON" 2 "fcnode.json" "$dir"
	rm "$dir/fcnode.json"
	call "handler that is not there" 2 "no-such-program.*No such file" --handler no-such-program "$dir"
	chmod 0644 "$dir/bootstrap"
	call "program that is not executable" 2 "Permission denied" "$dir"
	printf '#!/no/such/interpreter\n' >"$dir/bootstrap"
	chmod 0755 "$dir/bootstrap"
	call "interpreter that is not there" 2 "No such file" "$dir"
	printf 'neither script nor program\n' >"$dir/bootstrap"
	call "program of no known form" 2 "Exec format error" "$dir"
	rm "$dir/bootstrap"
	call "directory without a program" 2 "neither fcnode.json nor bootstrap" "$dir"
}

# tests/unit/test-unpack.c has every kind; here only that fc-run says it and leaves nothing.
bundles() {
	python3 - "$T/fn" <<-'P'
		import io, os, sys, tarfile, zipfile
		d = sys.argv[1]
		def tar(name, *members):
		    with tarfile.open(os.path.join(d, name), "w:gz") as t:
		        for path, kind, link, mode in members:
		            i = tarfile.TarInfo(path); i.type = kind; i.linkname = link; i.mode = mode
		            body = b"#!/bin/sh\necho unpacked; ls -l /code/bootstrap\n" if kind == tarfile.REGTYPE else b""
		            i.size = len(body)
		            t.addfile(i, io.BytesIO(body))
		F, L, C = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE
		tar("good.tgz", ("bootstrap", F, "", 0o755))
		tar("setuid.tgz", ("bootstrap", F, "", 0o6755))
		tar("dotdot.tgz", ("bootstrap", F, "", 0o755), ("../evil", F, "", 0o644))
		tar("link.tgz", ("bootstrap", F, "", 0o755), ("out", L, "/etc", 0o777), ("out/evil", F, "", 0o644))
		tar("device.tgz", ("bootstrap", F, "", 0o755), ("node", C, "", 0o666))
		with zipfile.ZipFile(os.path.join(d, "whole.zip"), "w", zipfile.ZIP_DEFLATED) as z:
		    z.writestr("bootstrap", "#!/bin/sh\necho unpacked\n" * 2000)
		data = open(os.path.join(d, "whole.zip"), "rb").read()
		open(os.path.join(d, "cut.zip"), "wb").write(data[:len(data) // 2])
		open(os.path.join(d, "noise.zip"), "wb").write(os.urandom(5000))
	P
	call "bundle is unpacked" 0 "^unpacked" "$T/fn/good.tgz"
	call "bundle with a set-user-id bit: stripped" 0 "rwxr-xr-x" "$T/fn/setuid.tgz"
	call "bundle with .." 2 'unpack .*\.\./evil' "$T/fn/dotdot.tgz"
	call "bundle that writes through a link" 2 "unpack .*out" "$T/fn/link.tgz"
	call "bundle with a device" 2 "unpack .*node" "$T/fn/device.tgz"
	call "bundle cut short" 2 "unpack .*cut.zip" "$T/fn/cut.zip"
	call "bundle of noise" 2 "unpack .*noise.zip" "$T/fn/noise.zip"
	verdict "bundles: nothing was written outside" [ -z "$(find "$T" /etc -maxdepth 2 -name evil)" ]
}

# A tmpfs of 256 KiB as TMPDIR, in a mount namespace of its own.
full_disk() {
	local what
	as=(unshare --mount sh -c 'mount -t tmpfs -o size=256k fc-test "$TMPDIR" && exec "$@"' sh)
	dd if=/dev/urandom of="$T/fn/big.bin" bs=1M count=1 2>/dev/null
	(cd "$T/fn" && cp good bootstrap && tar czf big.tgz bootstrap big.bin)
	for what in "$T/bin/probe" "$T/fn/big.tgz"; do
		call "full disk, ${what##*/}" 5 "No space left on device" "$what"
	done
	as=(unshare --mount sh -c 'mount -t tmpfs -o ro fc-test "$TMPDIR" && exec "$@"' sh)
	call "disk that cannot be written" 5 "temporary directory.*Read-only file system" "$T/fn/good.tgz"
	as=()
}

# From none to enough: every number either works or says that there are too few, and nothing is left.
few_descriptors() {
	local n works=0 told=0 wrong='' left=''
	for n in $(seq 3 44); do
		as=(prlimit "--nofile=$n:$n")
		invoke --event '{"a":1}' "$T/fn/good"
		left+=$(left_by "$run_pid")
		if [[ $status == 0 ]] && grep -q '^{"a":1}$' "$T/out"; then
			works=$((works + 1))
		elif [[ $status == 5 ]] && grep -qE "Too many open files" "$T/err"; then
			told=$((told + 1))
		elif [[ $status == 127 ]] && grep -q "loading shared libraries" "$T/err"; then
			told=$((told + 1)) # not linked static-pie (sanitizers): its loader said so
		else
			wrong+=" $n: status $status $(head -c 200 "$T/err");"
		fi
	done
	as=()
	verdict "too many open files: said so, status 5" [ -z "$wrong" ]
	if [[ -n $wrong ]]; then printf '%s\n' "$wrong"; fi
	verdict "too many open files: some limits are enough, some are not" [ "$works" -gt 5 -a "$told" -gt 3 ]
	verdict "too many open files: nothing left" [ -z "$left" ]
}

output() {
	"$T/bin/fc-run" invoke "$T/fn/good" >/dev/full 2>"$T/err" </dev/null
	verdict "reply into a full disk: status 5" [ "$?" = 5 ]
	"$T/bin/fc-run" invoke --usage /dev/full "$T/fn/good" >"$T/out" 2>"$T/err" </dev/null
	verdict "usage record into a full disk: status 5" [ "$?" = 5 ]
	call "tmp-output keeps what is written" 0 "^wrote$" --tmp-output "$T/kept" "$T/fn/writes"
	verdict "tmp-output: files are the caller's, without set-user-id" \
		[ "$(stat -c '%U %A' "$T/kept/kept" "$T/kept/d/too" | xargs)" = "root -rwxr-xr-x root -rw-r--r--" ]
	rm -rf "$T/kept"
	mkdir "$T/kept"
	ln -s kept "$T/kept-link"
	call "tmp-output by a symbolic link" 0 "^wrote$" --tmp-output "$T/kept-link" "$T/fn/writes"
	verdict "tmp-output by a symbolic link: all is the caller's" \
		[ "$(stat -c '%U' "$T/kept" "$T/kept/kept" "$T/kept/d/too" | xargs)" = "root root root" ]
	rm -rf "$T/kept/"*
	cp -R "$T/bin" "$T/bin.alone"
	rm "$T/bin.alone/fc-sandbox"
	"$T/bin.alone/fc-run" invoke --tmp-output "$T/kept-link" "$T/fn/writes" >"$T/out" 2>"$T/err" </dev/null
	verdict "tmp-output of a start that fails: status 5" [ "$?" = 5 ]
	verdict "tmp-output of a start that fails: the directory is the caller's" [ "$(stat -c '%U' "$T/kept")" = root ]
	rm -rf "$T/kept" "$T/kept-link" "$T/bin.alone"
}

# Our own data, beside the program, taken away or spoilt.
own_data() {
	local bin=$T/bin.own
	cp -R "$T/bin" "$bin"
	rm "$bin/images/host/etc.binds"
	"$bin/fc-run" invoke "$T/fn/good" >"$T/out" 2>"$T/err" </dev/null
	verdict "image data missing: status 5" [ "$?" = 5 ]
	verdict "image data missing: says which file" grep -q "images/host/etc.binds" "$T/err"
	yes "ssl/certs" | head -n 100 >"$bin/images/host/etc.binds"
	"$bin/fc-run" invoke "$T/fn/good" >"$T/out" 2>"$T/err" </dev/null
	verdict "image data too long: status 5" [ "$?" = 5 ]
	verdict "image data too long: says which file" grep -q "etc.binds" "$T/err"
	cp "$T/bin/images/host/etc.binds" "$bin/images/host/etc.binds"
	rm "$bin/fc-sandbox"
	"$bin/fc-run" invoke "$T/fn/good" >"$T/out" 2>"$T/err" </dev/null
	verdict "fc-sandbox missing: status 5" [ "$?" = 5 ]
	verdict "fc-sandbox missing: says so" grep -q "fc-sandbox" "$T/err"
	rm -rf "$bin"
}

part_input() {
	options
	manifests
	bundles
	full_disk
	few_descriptors
	output
	own_data
}
