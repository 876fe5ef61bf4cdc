/* SPDX-License-Identifier: Apache-2.0 */
/* The wisdom of a context: pieces in memory, found by key in constant time. */
#ifndef FL4_WISDOM_INTERNAL_H
#define FL4_WISDOM_INTERNAL_H

#include <flashl4/wisdom.h>

#include "log.h"
#include "variant.h"

typedef struct fl4__wisdom fl4__wisdom;

/* An empty store. `log` must outlive it. Lookups may run on any thread while something is added. */
fl4_status fl4__wisdom_open(const struct fl4__log *log, fl4__wisdom **wisdom);
void fl4__wisdom_close(fl4__wisdom *wisdom); /* NULL is fine */

/* Reads all layers, as wisdom.h describes them; fails only for want of memory, what is wrong with a file is logged. */
fl4_status fl4__wisdom_load_layers(fl4__wisdom *wisdom, const fl4_device_info *device);

/*
 * The variant for a problem on a device, with gaps filled: false if there is no wisdom that fits, or
 * the family refuses it. Costs some ten nanoseconds where there is none.
 */
bool fl4__wisdom_find(const fl4__wisdom *wisdom, const fl4__problem *problem, const fl4_device_info *device,
                      fl4__variant *variant, fl4_match *match);

/* Up to n variants of the nearest pieces of the same kind of problem, best first: seeds for a tuning. */
int fl4__wisdom_seeds(const fl4__wisdom *wisdom, const fl4__problem *problem, const fl4_device_info *device, int n,
                      fl4__variant *variants);

/* Takes in what a tuning found; fl4_wisdom_save() will write it. entry->problem, variant and evidence are given. */
fl4_status fl4__wisdom_learn(fl4__wisdom *wisdom, const fl4_device_info *device, const fl4_wisdom_entry *entry);

/* Hash of a family's parameters and their values, and of its kernel sources as compiled in (0 on the host). */
uint64_t fl4__space_hash(const fl4__family *family);
uint64_t fl4__source_hash(const fl4__family *family);
/* "sm_90 132SM 60MB", "host avx2 2T": what wisdom is keyed by. */
void fl4__device_key(const fl4_device_info *device, char text[64]);

#endif
