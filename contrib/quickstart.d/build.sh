# shellcheck shell=bash disable=SC2034,SC2154 # part of contrib/quickstart, which sets and uses the rest
# A copy of the sources, and builds of it.

work=   # the directory everything happens in
jobs=$(nproc)

work_init() {
	if [[ -n $build_dir ]]; then
		mkdir -p "$build_dir"
		work=$(cd "$build_dir" && pwd)
	else
		work=$(mktemp -d "${TMPDIR:-/tmp}/fcnode-quickstart.XXXXXX")
	fi
	chmod 755 "$work" # the agent's unprivileged half passes through
	mkdir -p "$work/logs"
}

work_fini() {
	if [[ -z $build_dir && -n $work ]]; then
		chmod -R u+w "$work" 2>/dev/null || true # distcheck's trees are read-only
		rm -rf "$work"
	fi
}

# Copy what is source and make configure there: the clone itself may be read-only, and stays as it is.
source_copy() {
	rm -rf "$work/src"
	mkdir "$work/src"
	if git -C "$tree" -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
		# files deleted but not yet committed are listed too: leave them out
		(cd "$tree" && git -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
			while IFS= read -r -d '' file; do
				if [[ -e $file || -L $file ]]; then printf '%s\0' "$file"; fi
			done | tar -c --null --no-recursion -T - -f -) | tar -x --no-same-owner -C "$work/src"
	else
		[[ ! -e $tree/config.status ]] || die "this unpacked tree was configured in place; run: make distclean"
		tar -c -C "$tree" . | tar -x --no-same-owner -C "$work/src"
	fi
	(cd "$work/src" && autoreconf -fi) >"$work/logs/autoreconf.log" 2>&1 || log_die autoreconf
}

log_die() {
	tail -n 40 "$work/logs/$1.log" >&2
	die "$1 failed"
}

# configure and make in $work/NAME, with the words given to configure
build_in() {
	local name=$1
	shift
	mkdir -p "$work/$name"
	(cd "$work/$name" && ../src/configure "$@" && make -j"$jobs" all)
}

# The agent's unprivileged half has a user of its own: not nobody, which other services share.
serve_user() {
	if ! getent passwd fcnode >/dev/null; then
		say "adding the system user fcnode"
		useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin fcnode
	fi
}
