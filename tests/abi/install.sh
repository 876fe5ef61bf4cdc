#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install.sh MESON BUILD SOURCE CC: what `meson install` puts down is enough to build and run a program,
# by hand with pkg-config and with CMake.
set -eu
meson=$1 build=$2 source=$3 cc=$4
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

"$meson" install -C "$build" --no-rebuild --quiet --destdir "$stage"
pc=$(find "$stage" -name flashl4.pc)
[ -n "$pc" ] || { echo "flashl4.pc was not installed"; exit 1; }
for file in flashl4.h flashl4.hpp attention.h; do
  [ -n "$(find "$stage" -path "*/include/flashl4/$file")" ] || { echo "$file was not installed"; exit 1; }
done

# pkg-config sees the staged tree as if it were the root of a system.
export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$stage"
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
pkg-config --validate flashl4
wanted=$("$source/tools/version.sh")
[ "$(pkg-config --modversion flashl4)" = "$wanted" ] || { echo "flashl4.pc is not of version $wanted"; exit 1; }

libdir=$(dirname "$(find "$stage" -name 'libflashl4.so.?')")
# shellcheck disable=SC2046,SC2086 # flags are words; CC may be two
$cc -o "$stage/by-hand" "$source/examples/cmake/main.c" $(pkg-config --cflags --libs flashl4)
LD_LIBRARY_PATH="$libdir" "$stage/by-hand"

if ! command -v cmake >/dev/null; then
  echo "cmake is not installed: the CMake example was left out"
  exit 0
fi
CC="$cc" cmake -G Ninja -S "$source/examples/cmake" -B "$stage/cmake"
cmake --build "$stage/cmake"
LD_LIBRARY_PATH="$libdir" "$stage/cmake/consumer"
