/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters of the kernels beside attention, as fl4_abi.h has them of attention: shared by C and device code, fixed widths
 * in falling size, no padding. Each is described where the public struct of its call is.
 */
#ifndef FL4_AUX_H
#define FL4_AUX_H

#include "fl4_abi.h"

enum {
  FL4_AUX_THREADS = 256, /* of a block, of all these kernels */
  FL4_MERGE_LIST = 32,   /* parts with addresses of their own */
};

typedef struct fl4_merge_params {
  fl4_u64 part[FL4_MERGE_LIST];     /* addresses; of one tensor with all parts only the first */
  fl4_u64 part_lse[FL4_MERGE_LIST]; /* addresses */
  fl4_u64 o, lse;                   /* addresses; lse may be 0 */
  fl4_i64 part_stride[4], part_lse_stride[4]; /* elements, [part, batch, head, query] */
  fl4_i64 o_stride[3], lse_stride[3];         /* elements, [batch, head, query] */
  fl4_i32 n, is_list;
  fl4_i32 B, Hq, Sq, D;
  fl4_i32 lanes_log2;               /* threads of a row, each with 8 elements, up to a power of two: log2 */
  fl4_i32 dtype, parts_dtype;       /* fl4_dtype, for the host; kernels are compiled for them */
  fl4_i32 spare;
} fl4_merge_params;

#endif /* FL4_AUX_H */
