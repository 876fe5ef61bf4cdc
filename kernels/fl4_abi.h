/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parameter block of the forward kernels: the one struct that C and device code share.
 * Fixed-width members in falling size, no padding, no pointers types: the same bytes everywhere.
 */
#ifndef FL4_ABI_H
#define FL4_ABI_H

#if defined(__CUDACC_RTC__)
typedef unsigned int fl4_u32;
typedef int fl4_i32;
typedef unsigned long long fl4_u64;
typedef long long fl4_i64;
#else
#include <stdint.h>
typedef uint32_t fl4_u32;
typedef int32_t fl4_i32;
typedef uint64_t fl4_u64;
typedef int64_t fl4_i64;
#endif

/* Strides count elements between neighbours in [batch, head, sequence]. */
typedef struct fl4_fwd_params {
  fl4_u64 q, k, v, o; /* addresses */
  fl4_u64 lse;        /* address, or 0 */
  fl4_u64 debug;      /* address of an fl4_debug_record in debug kernels, else 0 */
  fl4_u64 workspace;  /* address of what blocks that share rows exchange, else 0 */
  fl4_i64 q_stride[3], k_stride[3], v_stride[3], o_stride[3], lse_stride[3];
  fl4_i32 B, Hq, Hkv, Sq, Sk;
  fl4_i32 row_tiles;     /* tiles of query rows of one head */
  fl4_i32 section_heads; /* heads whose row tiles are interleaved, so that they share the L2 cache */
  float scale_log2;      /* softmax scale · log2 e: exponentials are powers of two; with a softcap scale / softcap */
  /* What only kernels built for it read; see fl4_attention_args. */
  fl4_u64 cu_q, cu_k, used_k;     /* addresses of lengths, i32, or 0 */
  fl4_u64 block_table;            /* address of page numbers, i32 */
  fl4_u64 slopes, sinks;          /* addresses, fp32 */
  fl4_u64 bias;                   /* address */
  fl4_i64 slope_stride[2];        /* elements, [batch, head] */
  fl4_i64 bias_stride[4];         /* elements, [batch, head, query, key] */
  fl4_i64 table_stride;           /* elements from one sequence to the next */
  fl4_i32 total_q, total_k;       /* rows of ragged tensors */
  fl4_i32 page_shift, n_pages;    /* log2 of a page's keys; pages of the pool */
  fl4_i32 window_left, window_right; /* keys beside the diagonal; FL4_NO_WINDOW: all */
  float softcap_log2;             /* softcap · log2 e */
  fl4_i32 split_keys;             /* where blocks share the keys of a row: keys of each at least; whole key tiles */
  fl4_i32 splits, split_anchor;   /* so many such blocks at most; with a window, they begin at a multiple of so many keys */
  fl4_u64 tile_lists;             /* address of which key tiles a mask leaves (mask_tiles.cu) */
  fl4_i64 list_stride[3];         /* i32, [batch, head, row tile] */
} fl4_fwd_params;

enum { FL4_NO_WINDOW = 1 << 30 };

/* How the bulk copy engine of sm_90 finds the rows of a tensor: what cuTensorMapEncodeTiled() wrote. */
typedef struct fl4_tensor_map {
  fl4_u64 word[16];
} fl4_tensor_map;

/* Of kernels that use that engine. The maps lie at multiples of 64 bytes, as the engine demands. */
typedef struct fl4_fwd_tma_params {
#ifdef __cplusplus
  alignas(64)
#else
  _Alignas(64)
#endif
  fl4_tensor_map q, k, v, bias;
  fl4_fwd_params fwd;
  fl4_i32 bias_rows; /* 0: a bias that the engine cannot copy, or none; 1: one row is that of all queries; else rows of a box */
} fl4_fwd_tma_params;

/*
 * The workspace of blocks that share rows: first tickets, 4 bytes for each warp that has rows, which are 0 before
 * the first launch and after each; then the warps' partial results.
 */
enum { FL4_TICKET_BYTES = 16384 };

/* What a debug kernel found first. */
typedef struct fl4_debug_record {
  fl4_u32 code;   /* 0, or an FL4_INVARIANT_… */
  fl4_u32 block;  /* block index */
  fl4_u32 thread; /* thread index in the block */
  float value;    /* the offending value */
  float bound;    /* what it was held against */
  fl4_u32 spare[3];
} fl4_debug_record;

/* Invariants of the debug kernels: X(name, code, text). */
#define FL4_INVARIANT_MAP(X)                                                                       \
  X(MAX_GROWS, 1, "the running maximum never falls: m_new >= m_old")                               \
  X(SUM_GROWS, 2, "the running sum only gains: l_new >= l_old")                       \
  X(SUM_AT_LEAST_ONE, 3, "the key of the reference counts 1: l >= 1 - eps")                          \
  X(SUM_AT_MOST_KEYS, 4, "no key counts more than the limit: l <= keys * limit")                         \
  X(FINITE, 5, "scores, sums and outputs are finite for finite inputs")                            \
  X(ALIGNED, 6, "a 16-byte copy has aligned addresses")                                            \
  X(IN_RANGE, 7, "a tile starts inside its sequence")                                              \
  X(IN_TIME, 8, "what is waited for comes: value names the barrier, bound the phase")

enum {
#define FL4_INVARIANT_ENUM(name, code, text) FL4_INVARIANT_##name = (code),
  FL4_INVARIANT_MAP(FL4_INVARIANT_ENUM)
#undef FL4_INVARIANT_ENUM
};

#endif /* FL4_ABI_H */
