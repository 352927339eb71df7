# shellcheck shell=bash disable=SC2154 # part of run, which sets the rest
# Fetch Debian packages without installing them, and make of a kernel's what a guest boots.

apt=(apt-get -qq -o Debug::NoLocking=1 -o APT::Sandbox::User=root)

# apt with this machine's lists of packages; when they do not do (missing, or older than the archive), with lists of
# our own.
apt_do() { # words for apt-get
	local own=$cache/apt
	if "${apt[@]}" "$@" 2>"$cache/apt.log"; then return 0; fi
	say "this machine's lists of packages do not do; fetching them"
	mkdir -p "$own/lists/partial" "$own/archives/partial"
	own=(-o "Dir::State::lists=$own/lists" -o "Dir::Cache=$own")
	"${apt[@]}" "${own[@]}" update 2>>"$cache/apt.log" && "${apt[@]}" "${own[@]}" "$@" 2>>"$cache/apt.log" && return 0
	cat "$cache/apt.log" >&2
	return 1
}

fetch() { # package: into $cache/debs/PACKAGE
	local to=$cache/debs/$1
	if [[ -d $to ]]; then return 0; fi
	say "downloading $1"
	rm -rf "$to.new"
	mkdir -p "$to.new"
	(cd "$to.new" && apt_do download "$1" >&2) || die "apt-get cannot download the package $1: is there a network, and the package?"
	mv "$to.new" "$to"
}

unpack() { # package, directory: print nothing, unpack what was fetched
	fetch "$1"
	mkdir -p "$2"
	find "$cache/debs/$1" -name '*.deb' -exec dpkg -x {} "$2" \;
}

# The package with the kernel in it: linux-image-amd64 only depends on it.
kernel_package() {
	local found
	fetch "$kernel"
	found=$(find "$cache/debs/$kernel" -name '*.deb' -exec dpkg-deb -f {} Depends \; |
		grep -oE 'linux-image-[0-9][a-z0-9.+-]*' | head -n 1) || true
	printf '%s' "${found:-$kernel}"
}

# Folders of the kernel's modules that the guest may load from on demand: not the drivers of real hardware.
module_folders="arch block crypto fs lib mm net drivers/block drivers/char drivers/md drivers/net drivers/virtio"
module_drop="drivers/net/ethernet drivers/net/wireless drivers/net/usb drivers/net/phy"
# What it takes to mount the root file system.
boot_modules="virtio_pci virtio_blk virtio_console 9pnet_virtio 9p overlay crc32c_generic libcrc32c ext4"

# The ELF kernel inside a bzImage. QEMU starts it as it is (PVH), and the guest need not unpack it, which takes a second
# in emulation. The last four bytes of the payload are its unpacked size.
vmlinux() { # bzImage
	local setup offset length unpack
	setup=$(od -An -tu1 -j497 -N1 "$1")
	offset=$(od -An -tu4 -j584 -N4 "$1")
	length=$(od -An -tu4 -j588 -N4 "$1")
	offset=$(((setup + 1) * 512 + offset))
	case $(od -An -tx1 -j$offset -N4 "$1" | tr -d ' ') in
	28b52ffd) unpack=zstd ;;
	fd377a58) unpack=xz ;;
	02214c18) unpack=lz4 ;;
	*) return 1 ;;
	esac
	command -v "$unpack" >/dev/null || return 1
	{ tail -c +$((offset + 1)) "$1" || true; } | head -c $((length - 4)) | "$unpack" -dc
}

# The modules, unpacked, in $1/lib/modules/VERSION, from the kernel's tree $2.
make_modules() { # directory, tree, version, busybox
	local folder to=$1/lib/modules/$3
	for folder in $module_folders; do
		if [[ -d $2/kernel/$folder ]]; then
			mkdir -p "$to/kernel/$folder"
			cp -R "$2/kernel/$folder/." "$to/kernel/$folder/"
		fi
	done
	for folder in $module_drop; do rm -rf "${to:?}/kernel/$folder"; done
	cp "$2/modules.builtin" "$2/modules.builtin.modinfo" "$to/"
	find "$to" -name '*.ko.xz' -print0 | xargs -0 -r -n 64 -P "$(nproc)" "$4" unxz
	find "$to" -name '*.ko.zst' -print0 | xargs -0 -r zstd -q -d --rm
	"$4" depmod -b "$1" "$3"
}

# The initramfs: busybox, guest/init, and the modules it takes to mount the root, in the order of loading.
make_initramfs() { # directory, busybox; from the directory's modules
	local root=$1/initramfs.d version module
	version=$(<"$1/version")
	mkdir -p "$root/bin" "$root/lib/modules/$version"
	cp "$2" "$root/bin/busybox"
	cp "$here/guest/init" "$root/init"
	chmod 755 "$root/init"
	printf '%s\n' "$boot_modules" >"$root/boot-modules"
	awk -v names="$boot_modules" '
		BEGIN { split(names, list, " "); for (i in list) want[list[i]] = 1 }
		{
			name = $1; sub(/.*\//, "", name); sub(/\.ko:$/, "", name); gsub(/-/, "_", name)
			sub(/:/, "")
			if (name in want) for (i = 1; i <= NF; i++) print $i
		}' "$1/lib/modules/$version/modules.dep" | sort -u |
		while read -r module; do
			mkdir -p "$root/lib/modules/$version/${module%/*}"
			cp "$1/lib/modules/$version/$module" "$root/lib/modules/$version/$module"
		done
	"$2" depmod -b "$root" "$version"
	(cd "$root" && find . | "$2" cpio -o -H newc 2>/dev/null) >"$1/initramfs"
	rm -rf "$root"
}

# version, vmlinux, initramfs, busybox and lib/modules/VERSION in the directory
make_image() { # directory
	local package tree version box
	package=$(kernel_package)
	say "unpacking $package"
	unpack "$package" "$1/work"
	unpack busybox-static "$1/work"
	box=$(find "$1/work" -path '*/bin/busybox')
	[[ -x $box ]] || die "no busybox in the package busybox-static"
	tree=$(find "$1/work" -type d -path '*/lib/modules/*' -name kernel -prune)
	[[ -d $tree ]] || die "no modules in the package $package"
	tree=${tree%/kernel}
	version=${tree##*/}
	printf '%s\n' "$version" >"$1/version"
	make_modules "$1" "$tree" "$version" "$box"
	[[ -n $(find "$1/lib/modules" -name '9pnet_virtio.ko') ]] ||
		die "the kernel of $package has no 9p over virtio (no kernel for clouds has it); choose another by --kernel"
	if ! vmlinux "$1/work/boot/vmlinuz-$version" >"$1/vmlinux" 2>/dev/null; then
		say "cannot unpack the kernel here (a program zstd, xz or lz4 would); the guest will"
		cp "$1/work/boot/vmlinuz-$version" "$1/vmlinux"
	fi
	make_initramfs "$1" "$box"
	cp "$box" "$1/busybox"
	rm -rf "$1/work"
}

# Set image to the directory of the guest's kernel, made when it is not there, and hold it by descriptor 7.
find_image() {
	local sum old
	sum=$(cat "$here/image.sh" "$here/guest/init" | cksum | cut -d ' ' -f 1)
	image=$cache/image.$kernel.$sum
	exec 9>"$cache/lock"
	flock 9
	if [[ ! -d $image ]]; then
		for old in "$cache/image.$kernel".[0-9]*; do
			# not one that a guest runs from
			if [[ -d $old ]] && flock -n "$old" true; then rm -rf "$old"; fi
		done
		mkdir "$image.new"
		make_image "$image.new"
		mv "$image.new" "$image"
	fi
	exec 7<"$image"
	flock -s 7
	exec 9>&-
	say "the kernel is in $image"
}
