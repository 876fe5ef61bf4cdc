/* SPDX-License-Identifier: Apache-2.0 */
/* One entry of the cubin cache as bytes: a header with a checksum over everything, then the cubin. */
#ifndef FL4_CACHE_ENTRY_H
#define FL4_CACHE_ENTRY_H

#include "cubin_cache.h"

enum { FL4__ENTRY_MAX = 64 << 20 }; /* bytes; anything larger is no kernel */

/* The entry's bytes in memory that the caller frees; NULL if it is too large or for want of memory. */
char *fl4__cache_entry_encode(const fl4__cache_key *key, const fl4__cubin *cubin, size_t *size);

/*
 * Takes the cubin out of an entry, in place: `data` becomes the cubin's. False, and `data` stays the
 * caller's, if a bit is wrong or the entry belongs to another key.
 */
bool fl4__cache_entry_decode(char *data, size_t size, const fl4__cache_key *key, fl4__cubin *cubin);

#endif
