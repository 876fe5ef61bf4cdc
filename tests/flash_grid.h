/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grids that FlashAttention's own tests go through, as problems of ours: lengths, heads, head dimensions, masks, softcap,
 * ragged batches, caches in pages (test_flash_attn_output, _varlen_output and _kvcache of its hopper/test_flash_attn.py). Lists
 * of numbers are theirs; where they draw at random, as windows, numbers here follow from the case's number. Of heads, dtypes and
 * the log-sum-exp each case has one choice, in turn, not all.
 */
#ifndef FL4_FLASH_GRID_H
#define FL4_FLASH_GRID_H

#include "flashl4/flashl4.h"

/* How many cases there are, and the line of one. */
int flash_grid_count(void);
void flash_grid_line(int i, char line[FL4_PROBLEM_LINE_MAX]);

#endif
