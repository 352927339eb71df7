#!/usr/bin/env bash
# check-images: each image built by an ordinary user and by root, to the same bytes and the digest of its recipe; what
# was changed afterwards is refused; functions and the attacks of the probe run inside; the agent chooses by runtime.
# Root, FC_BUILD, and a network that has Debian 12's packages.
# shellcheck disable=SC2016,SC2034,SC2154 # shell commands are arguments; the parts of check-sandbox set and use the rest
set -uo pipefail # no -e: a command that fails is what is being counted
here=$(cd "$(dirname "$0")/../sandbox" && pwd)
# shellcheck source=tests/sandbox/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/sandbox/probe.sh
. "$here/probe.sh"

image() { # fc-image ARGS as the user in "as"; output in $T/out and $T/err
	status=0
	TMPDIR=$T/tmp timeout -k 5 300 "${as[@]}" "$T/bin/fc-image" "$@" >"$T/out" 2>"$T/err" </dev/null || status=$?
}
refuses() { # name, what it must say, arguments of fc-image...
	local name=$1 says=$2
	shift 2
	image "$@"
	if [[ $status == 0 ]]; then fail "$name" "taken" "$T/out"; return; fi
	verdict "$name" grep -qF -- "$says" "$T/err"
}
bytes() { tar -C "$1" --sort=name --owner=0 --group=0 --numeric-owner -cf - . | sha256sum; }

# Mirrors keep only the newest version of a package. When a pinned one is gone the build must say so; then the rest is
# tried on the recipe with a new lock, in the copy of the installation.
renew_lock() { # name
	local recipe=$T/user/recipe/$1
	verdict "image $1: its lock has aged, and the build names what is gone" grep -q "Version '.*' for '.*' was not found" "$T/err"
	mkdir -p "$T/user/recipe"
	cp -R "$T/bin/images/recipes/$1" "$recipe"
	chown -R 12345:12345 "$T/user/recipe"
	image build --cache "$T/cache" --update --output "$T/user/$1" "$recipe/"
	cp "$recipe/lock" "$recipe/digest" "$T/bin/images/recipes/$1/"
}

build_twice() { # name
	local pinned
	as=(setpriv --reuid 12345 --regid 12345 --clear-groups)
	image build --cache "$T/cache" --output "$T/user/$1" "$1"
	if [[ $status != 0 ]] && grep -q "add --update" "$T/err"; then renew_lock "$1"; fi
	pinned=$(<"$T/bin/images/recipes/$1/digest")
	as=()
	if [[ $status != 0 ]]; then fail "image $1 by a user" "not built (are Debian 12's packages in reach?)" "$T/err"; return 1; fi
	pass "image $1 by a user" "$(tail -n 1 "$T/out")"
	image build --cache "$T/cache" "$1"
	if [[ $status != 0 ]]; then fail "image $1 by root" "not built" "$T/err"; return 1; fi
	verdict "image $1 by root has the digest of the recipe" [ "$(<"$FC_IMAGEDIR/$1.digest")" = "$pinned" ]
	verdict "image $1 is the same bytes twice" [ "$(bytes "$T/user/$1")" = "$(bytes "$FC_IMAGEDIR/$1")" ]
	verdict "image $1 is root's" [ -z "$(find "$FC_IMAGEDIR/$1" ! -uid 0 -print -quit)" ]
	verdict "image $1 has no set-id program and nothing that others write" \
		[ -z "$(find "$FC_IMAGEDIR/$1" ! -type l \( -perm /6000 -o -perm /022 ! -path "$FC_IMAGEDIR/$1/tmp" \) -print -quit)" ]
	image verify --digest "$pinned" "$1"
	verdict "image $1 verifies" [ "$status" = 0 ]
}

tampered() { # name, what is said, a shell command that changes "$I"
	cp -a "$FC_IMAGEDIR/static" "$T/x"
	cp -a "$FC_IMAGEDIR/static.listing" "$T/x.listing"
	cp -a "$FC_IMAGEDIR/static.digest" "$T/x.digest"
	I=$T/x sh -c "$3"
	refuses "verify refuses $1" "$2" verify "$T/x"
	rm -rf "$T/x" "$T/x.listing" "$T/x.digest"
}

verify_refuses() {
	tampered "other content" "changed: ./etc/passwd" 'echo "x::0:0:::" >>"$I/etc/passwd"'
	tampered "another mode" "changed: ./etc/hosts" 'chmod 0755 "$I/etc/hosts"'
	tampered "a set-id bit" "changed: ./etc/hosts" 'chmod 4755 "$I/etc/hosts"'
	tampered "a file more" "not in the listing: ./usr/bin/sh" 'mkdir -p "$I/usr/bin" && echo >"$I/usr/bin/sh"'
	tampered "a file less" "missing: ./etc/services" 'rm "$I/etc/services"'
	tampered "another link" "changed: ./etc/localtime" 'ln -sfn /usr/share/zoneinfo/UTC "$I/etc/localtime"'
	tampered "a device" "neither file, directory nor link" 'mknod "$I/dev/null" c 1 3'
	tampered "another owner" "is not its owner's" 'chown 12345 "$I/etc/hosts"'
	tampered "another listing" "is not the tree's" 'echo "f 0644 0 ./x" >>"$I.listing"'
	tampered "another digest" "refused: the digest" 'sha256sum "$I/etc/hosts" | cut -c1-64 >"$I.digest"'
	tampered "an odd name" "control character" 'touch "$I/etc/a
b"'
	refuses "verify refuses a digest that is not the image's" "refused: the digest" verify --digest "$(printf '0%.0s' {1..64})" static
	mkdir "$FC_IMAGEDIR/static2"
	refuses "verify refuses an image without digest" "static2.listing: not there" verify "$FC_IMAGEDIR/static2"
	rmdir "$FC_IMAGEDIR/static2"
}

recipe_of() { # name: a copy of static's, to be spoilt
	rm -rf "$T/recipe"
	mkdir -p "$T/recipe"
	cp -R "$T/bin/images/recipes/static" "$T/recipe/$1"
}

build_refuses() {
	refuses "build refuses what is there" "it is there" build --cache "$T/cache" static
	refuses "build refuses an unknown recipe" "there are: nodejs python3 static" build nothing
	refuses "build refuses a name" "at most 32" build "a.b"
	recipe_of bad
	echo "install perl" >>"$T/recipe/bad/recipe"
	refuses "a recipe's unknown word" "install: no such word" build --output "$T/y" "$T/recipe/bad/"
	recipe_of bad
	echo "drop ../../etc" >>"$T/recipe/bad/recipe"
	refuses "a recipe's path that leaves" "has no .." build --output "$T/y" "$T/recipe/bad/"
	recipe_of bad
	sed -i '$s/^..../0000/' "$T/recipe/bad/lock"
	refuses "packages that the lock does not pin" "not the ones that it pins" build --cache "$T/cache" --output "$T/y" "$T/recipe/bad/"
	recipe_of bad
	sed -i 's/netbase_[0-9.]*_/netbase_0.1_/' "$T/recipe/bad/lock"
	refuses "a version that is gone" "add --update" build --cache "$T/cache" --output "$T/y" "$T/recipe/bad/"
	verdict "a version that is gone is named" grep -q "netbase" "$T/err"
	recipe_of bad
	echo "drop etc/rpc" >>"$T/recipe/bad/recipe"
	refuses "a recipe that was changed" "another tree" build --cache "$T/cache" --output "$T/y" "$T/recipe/bad/"
	verdict "a refused build leaves nothing" [ ! -e "$T/y" ]
	image build --cache "$T/cache" --update --output "$T/y" "$T/recipe/bad/"
	verdict "--update takes the change" [ "$status" = 0 ] && verdict "--update renews the digest" \
		[ "$(<"$T/y.digest")" = "$(<"$T/recipe/bad/digest")" ]
	rm -rf "$T/y" "$T/y.listing" "$T/y.digest"
	image build --cache "$T/cache" --replace static
	verdict "--replace" [ "$status" = 0 ]
	verdict "--replace keeps the old image whole" "$T/bin/fc-image" verify "$FC_IMAGEDIR/static.old"
	refuses "a second --replace" "static.old is there" build --cache "$T/cache" --replace static
	rm -rf "$FC_IMAGEDIR"/static.old*
	image list
	verdict "list names the images" [ "$(grep -c "$FC_IMAGEDIR/" "$T/out")" = 3 ]
}

functions_run() {
	fn in-python3.py <<-'F'
		import bz2, ctypes, curses, datetime, decimal, hashlib, locale, lzma, os, socket, sqlite3, ssl, sys, uuid, zlib, zoneinfo
		def handler(event, context):
		    locale.setlocale(locale.LC_ALL, '')
		    ca = len(ssl.create_default_context().get_ca_certs())
		    zone = datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')).utcoffset()
		    assert ca > 100 and zone.seconds == 7200 and locale.nl_langinfo(locale.CODESET) == 'UTF-8', (ca, zone)
		    assert sqlite3.connect(':memory:').execute('select 6*7').fetchone() == (42,)
		    assert socket.getservbyname('https') == 443 and datetime.datetime.now().astimezone().tzname() == 'UTC'
		    assert json_is_compiled(), json_path()
		    return ' '.join(sorted(os.listdir('/usr/bin')))
		def json_path():
		    import json
		    return json.__cached__
		def json_is_compiled():
		    return os.path.exists(json_path())
	F
	fn in-nodejs.js <<-'F'
		const assert = require('assert'), crypto = require('crypto'), fs = require('fs'), tls = require('tls'), zlib = require('zlib');
		exports.handler = async () => {
		  assert.ok(tls.rootCertificates.length > 100);
		  assert.ok(fs.readFileSync('/etc/ssl/certs/ca-certificates.crt', 'utf8').split('BEGIN CERTIFICATE').length > 100);
		  assert.strictEqual(zlib.brotliDecompressSync(zlib.brotliCompressSync('x')).toString(), 'x');
		  assert.strictEqual(new Date(1782864000000).toLocaleTimeString('de-DE', {timeZone: 'Europe/Berlin'}), '02:00:00');
		  assert.strictEqual(typeof fetch, 'function');
		  await import('data:text/javascript,export default 1');
		  return fs.readdirSync('/usr/bin').sort().join(' ');
		};
	F
	local name
	for name in python3 nodejs; do
		mkdir -p "$T/in-$name"
		mv "$T"/fn/in-$name.* "$T/in-$name/"
		mv "$T/in-$name"/in-$name.py "$T/in-$name/index.py" 2>/dev/null || mv "$T/in-$name"/in-$name.js "$T/in-$name/index.js"
	done
	call "a python3 function in its image" 0 '^python3 python3\.11$' --image python3 --runtime python3 --handler index.handler "$T/in-python3"
	call "a nodejs function in its image" 0 '^node nodejs$' --image nodejs --runtime nodejs --handler index.handler "$T/in-nodejs"
	call "a static program in its image" 0 'Hello' --image static "$T/hello"
	call "a script finds no shell" 2 '' --image static "$T/fn/good"
	call "an image that is not there" 2 'find image debian in' --image debian "$T/hello"
	call "an image's name with dots" 2 'not a name' --image .. "$T/hello"
	as=(setpriv --reuid 12345 --regid 12345 --clear-groups)
	call "an ordinary user's image" 0 '^python3 python3\.11$' --image "$T/user/python3" --runtime python3 --handler index.handler \
		"$T/in-python3"
	as=()
}

probe_images() {
	local name
	probe_code
	probe_targets_start
	for name in static python3 nodejs; do attack "probe $name" "" --image "$name"; done
	probe_targets_stop
}

[[ $(id -u) == 0 ]] || { bad_skip "all: needs root"; finish; }
begin
cp "$FC_BUILD/fc-image" "$T/bin/"
mkdir "$T/user" "$T/cache" "$T/images"
chown 12345:12345 "$T/user" "$T/cache"
export FC_IMAGEDIR=$T/images
if build_twice static && build_twice python3 && build_twice nodejs; then
	"${CC:-gcc}" -static -o "$T/hello" "$here/../../contrib/examples/hello-c/hello.c"
	verify_refuses
	build_refuses
	functions_run
	probe_images
	if ! FC_IMAGES=$FC_IMAGEDIR FC_HELLO=$T/hello "$here/../agent/run.sh" "$FC_BUILD" test_images; then
		fail "agent" "test_images failed, see above"
	fi
fi
end
finish
