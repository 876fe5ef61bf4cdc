/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file kv_cache.h
 * @brief New keys and values into a cache, contiguous or paged, with a rotary embedding on the way.
 *
 * The cache is what fl4_attention_forward() reads: the same strides, pages and block table.
 */
#ifndef FLASHL4_KV_CACHE_H
#define FLASHL4_KV_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include <flashl4/attention.h>
#include <flashl4/context.h>
#include <flashl4/export.h>
#include <flashl4/status.h>

FL4_BEGIN_DECLS

/** Which elements a rotary embedding turns together; r is rotary_dim. */
typedef enum fl4_rotary {
  FL4_ROTARY_NONE = 0,   /**< no embedding */
  FL4_ROTARY_HALVES = 1, /**< element d and d + r/2, as GPT-NeoX and Llama do it */
  FL4_ROTARY_PAIRS = 2,  /**< element 2d and 2d + 1, as GPT-J does it */
} fl4_rotary;

/**
 * The arguments of one append.
 *
 * Pointers are memory of the context's device and stay the caller's; they must be aligned to their element. Rows that start at
 * multiples of 16 bytes take the fast path. Strides count elements, as in ::fl4_attention_args: the last dimension is
 * contiguous, all strides 0 mean a contiguous tensor. The cache must not overlap itself or the new rows.
 *
 * Where. Sequence b has seqused_k[b] keys already; its new token i becomes key p = seqused_k[b] + i. What has no place is
 * dropped, not written elsewhere: a key p ≥ Sk, and one whose page number is not in [0, n_pages). Lengths are read on the
 * device when the call runs; a seqused_k[b] beyond [0, Sk] counts as the nearest in it. With `cu_seqlens_new` the new rows are
 * ragged, as queries are in ::fl4_attention_args: sequence b has rows cu_seqlens_new[b] … cu_seqlens_new[b + 1] − 1 of
 * total_new, at most Sn of them.
 *
 * Rotary embedding (Su et al., RoFormer, arXiv 2104.09864) of new keys, and of queries of the same tokens if `q` is set. With
 * c = rotary_cos[p][d] and s = rotary_sin[p][d], a pair (x, y) becomes (x·c − y·s, x·s + y·c), in fp32, rounded once;
 * elements from rotary_dim on stay as they are, bit for bit. A position p ≥ max_position takes the last row of the tables.
 * Values, and keys without an embedding, are copied bit for bit.
 */
typedef struct fl4_kv_append_args {
  size_t struct_size;  /**< set by the FL4_…_INIT */
  int32_t dtype;       /**< ::fl4_dtype of all rows; on CUDA ::FL4_DTYPE_FP16 or ::FL4_DTYPE_BF16 */
  int32_t rotary;      /**< ::fl4_rotary */
  int64_t B;           /**< batch, ≥ 0 */
  int64_t Hq;          /**< query heads, ≥ 0; with q ≥ 1 */
  int64_t Hkv;         /**< key/value heads, ≥ 1 */
  int64_t Sn;          /**< new tokens of a sequence, or the most there may be; ≥ 0 */
  int64_t Sk;          /**< keys of a sequence that there may be, as in ::fl4_attention_args; ≥ 0 */
  int64_t D;           /**< head dimension, a multiple of 8 from 8 to 256 */
  const void *k_new;   /**< k_new[b][h][i][d], B × Hkv × Sn × D */
  const void *v_new;   /**< v_new[b][h][i][d], B × Hkv × Sn × D */
  void *k;             /**< k[b][h][j][d], B × Hkv × Sk × D, or pages */
  void *v;             /**< v[b][h][j][d], B × Hkv × Sk × D, or pages */
  const void *q;       /**< NULL, or queries to be turned: q[b][h][i][d], B × Hq × Sn × D */
  void *q_out;         /**< with q: what they become, B × Hq × Sn × D; may be q, of the same strides */
  int64_t k_new_stride[3]; /**< elements, [b, h, i]; with cu_seqlens_new [b] does not count */
  int64_t v_new_stride[3]; /**< elements, [b, h, i] */
  int64_t k_stride[3];     /**< elements, [b, h, j], or [page, h, slot]; pages all 0: [n_pages][page_size][Hkv][D] */
  int64_t v_stride[3];     /**< elements, as k_stride */
  int64_t q_stride[3];     /**< elements, [b, h, i] */
  int64_t q_out_stride[3]; /**< elements, [b, h, i] */
  const int32_t *seqused_k;      /**< [B] keys that are there already; NULL: none */
  int32_t *seqused_k_after;      /**< NULL, or [B]: becomes how many there are then, at most Sk. Not seqused_k itself */
  const int32_t *cu_seqlens_new; /**< NULL, or [B + 1], not falling: where sequences begin among the new rows */
  const int32_t *block_table;    /**< [B][⌈Sk / page_size⌉] page numbers; with page_size */
  const float *rotary_cos;       /**< [max_position][rotary_dim / 2]; with rotary */
  const float *rotary_sin;       /**< [max_position][rotary_dim / 2]; with rotary */
  int64_t rotary_dim;            /**< elements of a row that are turned: even, 2 to D; with rotary */
  int64_t max_position;          /**< rows of the tables, ≥ 1; with rotary */
  int64_t total_new;             /**< rows of k_new, v_new, q and q_out; with cu_seqlens_new */
  int64_t block_table_stride;    /**< elements from one sequence to the next; 0: contiguous */
  int64_t n_pages;               /**< pages of the pool; with page_size */
  int32_t page_size;             /**< keys of a page, a power of two from 8 to 65536; 0: not paged */
  uint32_t reserved0;            /**< zero */
  uint64_t reserved[4];          /**< zero */
} fl4_kv_append_args;

/** Initial value of an ::fl4_kv_append_args. */
#define FL4_KV_APPEND_ARGS_INIT                                                                    \
  { sizeof(fl4_kv_append_args), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}, {0}, {0}, {0}, {0}, {0}, 0, 0, 0, 0, 0, 0, \
    0, 0, 0, 0, 0, 0, 0, {0} }

/**
 * Appends new keys and values to a cache.
 *
 * On CUDA it is asynchronous on `stream`, never synchronises and allocates nothing, but for the first call of a kind (dtype
 * and rotary, rows aligned or not), which compiles a kernel or reads it from the cache; it may be captured into a CUDA graph
 * after that, or after fl4_kv_append_prepare(). A graph that is replayed reads the lengths anew: with `seqused_k_after` copied
 * over `seqused_k` as its last step it goes on by itself (docs/serving.md). On the host device it returns when all is written.
 *
 * @param ctx     runs the call
 * @param args    the call; not used after the return, but the memory it points to is, until the stream gets there
 * @param stream  a stream of the context's device; on the host device NULL
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_UNSUPPORTED (fp32 on CUDA), ::FL4_OUT_OF_MEMORY, ::FL4_LIBRARY_MISSING or
 *         ::FL4_COMPILE_FAILED (first call), ::FL4_NOT_PREPARED (capture), ::FL4_DEVICE_ERROR
 *
 * Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_kv_append(fl4_context *ctx, const fl4_kv_append_args *args, fl4_stream stream);

/**
 * Makes what fl4_kv_append() needs for these arguments ready, without running it. Pointers may be NULL (then rows are taken
 * to be aligned to 16 bytes). Errors and thread-safety as fl4_kv_append(). Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_kv_append_prepare(fl4_context *ctx, const fl4_kv_append_args *args);

FL4_END_DECLS

#endif /* FLASHL4_KV_CACHE_H */
