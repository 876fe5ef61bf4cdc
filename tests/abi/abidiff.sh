#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# abidiff.sh LIBRARY BASELINE: the binary interface is the checked-in one, or has only grown.
# abidiff.sh --write LIBRARY BASELINE INCLUDE: writes the baseline; once a release, or with FL4_ABI_VERSION.
set -eu

if [ "$1" = --write ]; then
  abidw --exported-interfaces-only --headers-dir "$4" --drop-private-types --no-corpus-path --no-comp-dir-path \
    --no-show-locs --no-elf-needed --type-id-style hash "$2" | sed "s| path='.*/\(lib/[^']*\)'| path='\1'|" >"$3"
  exit
fi

library=$1 baseline=$2
command -v abidiff >/dev/null || { echo "abidiff is not installed (package abigail-tools)"; exit 77; }
# The baseline is of x86-64, and types are read from the debugging information.
[ "$(uname -m)" = x86_64 ] || { echo "the ABI baseline is for x86_64, this is $(uname -m)"; exit 77; }
readelf -SW "$library" | grep -q '\.debug_info' || { echo "the library was built without -g"; exit 77; }

# Bits of the status: 1 error, 2 usage, 4 changed, 8 incompatible.
status=0
abidiff --suppressions "$(dirname "$0")/flashl4.abignore" --no-added-syms "$baseline" "$library" || status=$?
[ "$status" = 0 ] || echo "abidiff says $status: if the change is meant, write a new baseline (and see version.h)"
exit "$status"
