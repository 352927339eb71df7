# shellcheck shell=bash disable=SC2034,SC2154 # part of run, which sets and uses the rest
# QEMU: where it is, what accelerates it, and how a guest is started.

# Set qemu to the command that starts it: the one on the PATH, else one unpacked in the cache.
find_qemu() {
	local root=$cache/qemu debs=$cache/debs/qemu
	if command -v qemu-system-x86_64 >/dev/null; then
		qemu=(qemu-system-x86_64)
		return
	fi
	exec 9>"$cache/lock"
	flock 9
	if [[ ! -d $root ]]; then
		say "downloading qemu-system-x86"
		rm -rf "$root.new"
		mkdir -p "$root.new" "$debs/partial"
		# it, and what it needs that is not installed
		apt_do -o "Dir::Cache::archives=$debs" -y --no-install-recommends --download-only install qemu-system-x86 >&2 ||
			die "apt-get cannot download qemu-system-x86: is there a network?"
		find "$debs" -name '*.deb' -exec dpkg -x {} "$root.new" \;
		[[ -x $root.new/usr/bin/qemu-system-x86_64 ]] || die "no qemu-system-x86_64 in the packages in $debs"
		mv "$root.new" "$root"
	fi
	exec 9>&-
	qemu=(env "LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu"
		"$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios")
}

# Quick rather than hardened: the guest is as trusted as its command.
# An emulated machine now and then loses its timer, and then hangs for good: after two minutes of that its kernel panics,
# which ends the guest.
parameters="console=ttyS0 quiet panic=-1 mitigations=off nokaslr init_on_alloc=0 apparmor=0 cryptomgr.notests=1
	tsc=reliable rcupdate.rcu_expedited=1 softlockup_panic=1 watchdog_thresh=60"

machine() { # accelerator
	options=(-M pc -nodefaults -no-user-config -display none -no-reboot -kernel "$image/vmlinux" -initrd "$image/initramfs")
	case $1 in
	tcg) options+=(-accel "tcg,thread=multi" -cpu "max,la57=off") ;;
	kvm) options+=(-accel kvm -cpu host) ;;
	esac
}

# Does a stock kernel reach its init with KVM? /dev/kvm alone does not tell: some only emulate. Tried once for each
# boot of this machine and kernel of the guest.
kvm_limit_s=10
kvm_works() {
	local memo log
	memo=$cache/kvm.$(cksum <<<"$(</proc/sys/kernel/random/boot_id) $image" | cut -d ' ' -f 1)
	if [[ -s $memo ]]; then
		[[ $(<"$memo") == yes ]]
		return
	fi
	say "trying KVM"
	log=$(mktemp "$cache/kvm-console.XXXXXX")
	machine kvm
	bound "${qemu[@]}" "${options[@]}" -m 256 -append "console=ttyS0 quiet panic=-1 fcvm.try" \
		-chardev "file,id=console,path=${log//,/,,}" -serial chardev:console </dev/null >/dev/null 2>&1 7>&- &
	guest=$!
	bound sleep "$kvm_limit_s" 7>&- &
	timer=$!
	{ wait -n "$guest" "$timer"; } 2>/dev/null || true
	{ kill -KILL "$guest" "$timer"; wait "$guest" "$timer"; } 2>/dev/null || true
	guest='' timer=''
	rm -f "$cache"/kvm.*
	if grep -q 'vm: guest: init was reached' "$log"; then echo yes >"$memo"; else echo no >"$memo"; fi
	rm -f "$log"
	[[ $(<"$memo") == yes ]]
}

find_accel() {
	if [[ -n $accel ]]; then
		accel_text="accelerator $accel"
	elif [[ ! -w /dev/kvm ]]; then
		accel=tcg accel_text="accelerator tcg (there is no /dev/kvm to use)"
	elif kvm_works; then
		accel=kvm accel_text="accelerator kvm"
	else
		accel=tcg accel_text="accelerator tcg (there is a /dev/kvm, but a guest does not boot with it)"
	fi
	if [[ $accel == tcg ]]; then accel_text+=": software emulation, its times mean nothing elsewhere"; fi
}

# Let the guest mount a directory; QEMU wants commas doubled.
export_directory() { # directory, tag, further options
	options+=(-fsdev "local,id=$2,path=${1//,/,,},security_model=none,multidevs=remap$3"
		-device "virtio-9p-pci,fsdev=$2,mount_tag=$2")
}

add_disk() { # name
	options+=(-drive "if=none,id=$1,format=raw,cache=unsafe,discard=unmap,file=${dir//,/,,}/$1"
		-device "virtio-blk-pci,drive=$1,serial=$1")
}

# Set options to those of the guest in $dir.
qemu_options() {
	local i words=$parameters
	machine "$accel"
	case $layout in
	unified-missing) words+=" cgroup_disable=memory" ;;
	esac
	((hugepages == 0)) || words+=" hugepages=$hugepages"
	options+=(-smp "$cpus" -m "$memory" -append "$(xargs <<<"$words") $append"
		-chardev "file,id=console,path=${dir//,/,,}/console" -serial chardev:console -device virtio-serial-pci
		-chardev "file,id=out,path=${dir//,/,,}/out" -device "virtserialport,chardev=out,name=vm.out"
		-chardev "file,id=err,path=${dir//,/,,}/err" -device "virtserialport,chardev=err,name=vm.err"
		-object "rng-random,id=rng,filename=/dev/urandom" -device "virtio-rng-pci,rng=rng")
	export_directory / host ,readonly=on
	export_directory "$image/lib/modules/$(<"$image/version")" modules ,readonly=on
	export_directory "$dir/control" control ''
	for i in "${!shares[@]}"; do export_directory "${shares[i]}" "share$i" ''; done
	add_disk disk
	((swap == 0)) || add_disk swap
}
