/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of the key tiles that a mask of bytes leaves (kernels/mask_tiles.cu): a launch before the kernel makes them, in the
 * workspace, and the kernel walks them in place of all tiles.
 */
#ifndef FL4_TILE_LISTS_H
#define FL4_TILE_LISTS_H

#include "plan.h"

/* Where a plan's lists lie in its workspace, behind what its kernel takes; 0 bytes: there are none. */
typedef struct fl4__tile_lists {
  size_t offset, bytes;
  fl4_i32 batches, heads; /* that have lists of their own */
} fl4__tile_lists;

/* Adds them to the plan's workspace, and says how they lie to the kernel. */
fl4_status fl4__tile_lists_plan(fl4__plan *plan, fl4_fwd_params *params, fl4__tile_lists *lists);

/* Makes them, in `workspace`; without one (NULL) makes only the kernel ready that does. */
fl4_status fl4__tile_lists_make(fl4__device *device, const fl4__plan *plan, const fl4__tile_lists *lists,
                                fl4_fwd_params *params, void *workspace, fl4_stream stream);

#endif
