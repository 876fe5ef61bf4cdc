#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a kernel's memory accesses cost, without a GPU: bank conflicts, sectors, bytes, matrix products,
# for each line of the kernel, counted by the emulator of tests/emu/ (a row with * could be cheaper).
#
#   tools/counts.sh --problem hq4sq128d128 [--variant fwd_mma:bm=64,bn=64] [any option of fl4 check]
#
# The build is in $FL4_BUILD, or build/.
set -eu
emu=${FL4_BUILD:-$(dirname "$0")/../build}/tests/emu/fl4_emu
[ -x "$emu" ] || { echo "counts.sh: there is no $emu; ./dev build makes it" >&2; exit 3; }
FL4_EMU_COUNTS=1 exec "$emu" check --device emu --quiet "$@"
