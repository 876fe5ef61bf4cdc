/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which NVRTC a cache's kernels come from, remembered in a file beside them. As long as it describes
 * the library on disk, a process that finds its kernels in the cache need not open NVRTC (100 MB).
 */
#ifndef FL4_NVRTC_STAMP_H
#define FL4_NVRTC_STAMP_H

#include "cache_dir.h"
#include "nvrtc.h"

/* Reads the stamp; false if there is none, or it is damaged, or $FLASHL4_NVRTC has changed. */
bool fl4__nvrtc_stamp_read(const fl4__cache_dir *folder, fl4__nvrtc_identity *identity);

/* True if the library on disk still is what the stamp describes. */
bool fl4__nvrtc_stamp_holds(const fl4__nvrtc_identity *identity);

void fl4__nvrtc_stamp_write(const fl4__cache_dir *folder, const fl4__nvrtc_identity *identity);

#endif
