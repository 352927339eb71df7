#!/usr/bin/env bash
# Only fc-unpack links libarchive and libcrypto, dynamically or statically: they read strangers' bytes, and loading
# them takes longer than making a sandbox. (fcctl, the user's own client, packs directories with libarchive.) Run in
# the build directory.
set -euo pipefail

status=0
# not grep -q: it would leave readelf writing to nobody, which pipefail takes for a "no"
links() { readelf -dWs "$1" | grep -E 'lib(archive|crypto)\.so|[[:blank:]](archive_read_new|EVP_MD_fetch)(@|$)' >/dev/null; }

links fc-unpack || { echo "linkage.sh: fc-unpack links neither; this test finds nothing"; status=1; }
for program in fc-run fc-agent fc-sandbox; do
	[[ -x $program ]] || continue
	if links "$program"; then
		echo "linkage.sh: $program links libarchive or libcrypto; only fc-unpack may"
		status=1
	fi
done
exit $status
