/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled kernels on disk, one file each. The cache can only ever save time: whatever is wrong with
 * it (damaged, foreign, read-only, full, missing), the kernel is compiled and the reason is logged.
 */
#ifndef FL4_CUBIN_CACHE_H
#define FL4_CUBIN_CACHE_H

#include <stdint.h>

#include "nvrtc.h"

typedef struct fl4__cubin_cache fl4__cubin_cache;

/* 128 bits: XXH3 over all that goes into the machine code. */
typedef struct fl4__cache_key {
  uint64_t high, low;
} fl4__cache_key;

/*
 * Opens the cache in `dir` (NULL: $FLASHL4_CACHE_DIR, $XDG_CACHE_HOME/flashl4, ~/.cache/flashl4),
 * making the folder with mode 0700 if need be. Fails only for want of memory; a folder that cannot
 * be used gives a cache that is off and says why, and so does $FLASHL4_CACHE=0. `limit_bytes` 0: the
 * default, 256 MiB. `log` must outlive the cache. All functions may be called from any thread; a
 * cache that is NULL is off.
 */
fl4_status fl4__cubin_cache_open(const fl4__log *log, const char *dir, int64_t limit_bytes, fl4__cubin_cache **cache);
void fl4__cubin_cache_close(fl4__cubin_cache *cache);

/*
 * The key of a kernel: sources by content (main first, then headers in the given order, names
 * included), options, architecture, and the NVRTC version. The version comes from the cache's stamp
 * file if that still describes the NVRTC on disk, so that a warm process never opens NVRTC; else
 * NVRTC is opened and the stamp is written; without a usable cache it always is. If NVRTC cannot be
 * opened, the version that an outdated stamp remembers is taken: a cache that was filled elsewhere
 * works without NVRTC. FL4_LIBRARY_MISSING if there is no such stamp either.
 */
fl4_status fl4__cubin_cache_key(fl4__cubin_cache *cache, const fl4__source *main_source, const fl4__source *headers,
                                int n_headers, const char *const *options, int n_options, const char *arch,
                                fl4__cache_key *key);

/* True and a cubin if there is a sound entry; a damaged one is removed. Marks the entry as used. */
bool fl4__cubin_cache_load(fl4__cubin_cache *cache, const fl4__cache_key *key, fl4__cubin *cubin);

/* Writes an entry (temporary file, then rename), then keeps the folder within its limit. */
void fl4__cubin_cache_store(fl4__cubin_cache *cache, const fl4__cache_key *key, const fl4__cubin *cubin);

/* Removes an entry that the driver refused. */
void fl4__cubin_cache_remove(fl4__cubin_cache *cache, const fl4__cache_key *key);

/* Fills dir, why_off, bytes, entries, limit_bytes, nvrtc_version. */
void fl4__cubin_cache_describe(fl4__cubin_cache *cache, fl4_cache_info *info);

#endif
