# shellcheck shell=bash disable=SC2034,SC2154 # part of contrib/quickstart, which sets and uses the rest
# Debian 12 packages by purpose, and installing those that are missing.

packages_build="autoconf automake gcc libc6-dev make pkg-config xz-utils
	libarchive-dev libcap-dev libcgroup-dev libcurl4-openssl-dev libevent-dev libgnutls28-dev libjansson-dev libmicrohttpd-dev libnl-3-dev
	libnl-route-3-dev libseccomp-dev libsqlite3-dev libssl-dev zlib1g-dev"
packages_run="ca-certificates nodejs python3"
packages_demo="curl ffmpeg forensics-samples-files jq procps python3"
packages_test="bats bubblewrap busybox-static clang clang-tools cmake crun curl g++ groff iproute2 jq libcmocka-dev libclang-rt-14-dev
	libtool llvm mandoc procps runc shellcheck unzip zip zstd"
# some packages of nodejs bring npm along, and do not go with Debian's
command -v npm >/dev/null || packages_test+=" npm"

packages_print() {
	local purpose list
	for purpose in build run demo test; do
		list=packages_$purpose
		printf '%s: %s\n' "$purpose" "$(xargs <<<"${!list}")"
	done
}

packages_missing() { # names: those that are not installed
	local name
	for name in "$@"; do
		if [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) != installed ]]; then printf '%s\n' "$name"; fi
	done
}

packages_install() { # purposes
	local purpose list missing=() wanted=()
	for purpose in "$@"; do
		list=packages_$purpose
		read -r -d '' -a list < <(printf '%s\0' "${!list}") || true
		wanted+=("${list[@]}")
	done
	mapfile -t missing < <(packages_missing "${wanted[@]}")
	if ((${#missing[@]} == 0)); then return 0; fi
	if [[ $install == no ]]; then die "--no-install, and these packages are missing: ${missing[*]}"; fi
	command -v apt-get >/dev/null || die "no apt-get here; the packages needed are, by their Debian names: ${missing[*]}"

	say "installing ${missing[*]}"
	local apt=(apt-get -qq -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0)
	export DEBIAN_FRONTEND=noninteractive
	# the lists of packages are fetched only when those that are there do not do
	if ! "${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null >/dev/null 2>&1; then
		"${apt[@]}" update </dev/null || die "apt-get update failed: is the network there?"
		"${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null >/dev/null ||
			die "apt-get could not install ${missing[*]}"
	fi
}
