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
  FL4_MASK_TILES_SMEM = 4 * FL4_AUX_THREADS + 4 * FL4_AUX_THREADS / 32, /* bytes of a block of mask_tiles.cu */
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

/* Values of fl4_rotary. */
enum { FL4_AUX_ROTARY_HALVES = 1, FL4_AUX_ROTARY_PAIRS = 2 };

typedef struct fl4_append_params {
  fl4_u64 k_new, v_new, k, v;          /* addresses */
  fl4_u64 q, q_out;                    /* addresses, or 0 */
  fl4_u64 used, used_after, cu_new;    /* addresses of lengths, i32, or 0 */
  fl4_u64 block_table;                 /* address of page numbers, i32, or 0: the cache is contiguous */
  fl4_u64 rotary_cos, rotary_sin;      /* addresses, fp32 */
  fl4_i64 k_new_stride[3], v_new_stride[3], q_stride[3], q_out_stride[3]; /* elements, [batch, head, token] */
  fl4_i64 k_stride[3], v_stride[3];    /* elements, [batch or page, head, key] */
  fl4_i64 table_stride;                /* elements from one sequence to the next */
  fl4_i32 B, Hq, Hkv, Sn, Sk, D;
  fl4_i32 total_new;                   /* rows of ragged tensors */
  fl4_i32 page_shift, n_pages;         /* log2 of a page's keys; pages of the pool */
  fl4_i32 rotary_dim, max_position;
  fl4_i32 lanes_log2;                  /* threads of a row, each with 8 elements, up to a power of two: log2 */
  fl4_i32 dtype, rotary;               /* fl4_dtype, fl4_rotary, for the host; kernels are compiled for them */
} fl4_append_params;

typedef struct fl4_mask_tiles_params {
  fl4_fwd_params fwd;       /* of the call that takes the lists: mask, lengths, and where the lists go */
  fl4_i32 batches, heads;   /* that have lists of their own; 1 where the mask is the same for all */
  fl4_i32 tile_rows, tile_keys;
} fl4_mask_tiles_params;

#endif /* FL4_AUX_H */
