#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the release that include/flashl4/version.h states, or with "abi" the ABI version.
header=$(dirname "$0")/../include/flashl4/version.h
value() { sed -n "s/^#define $1 \([0-9]*\)\$/\1/p" "$header"; }
if [ "${1:-}" = abi ]; then
  value FL4_ABI_VERSION
else
  echo "$(value FL4_VERSION_MAJOR).$(value FL4_VERSION_MINOR).$(value FL4_VERSION_PATCH)"
fi
