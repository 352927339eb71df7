#!/bin/sh
# The committed seeds of fuzz target "ipc" are those of messages.def as it is now: make-corpus writes the same ones.
set -eu
seeds=${srcdir:-.}/tests/fuzz/corpus/ipc
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
tests/ipc/make-corpus "$dir"
for seed in "$dir"/*; do
	cmp "$seed" "$seeds/${seed##*/}" || {
		echo "not the seed of this messages.def: write them anew with tests/ipc/make-corpus SRCDIR/tests/fuzz/corpus/ipc" >&2
		exit 1
	}
done
