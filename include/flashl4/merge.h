/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file merge.h
 * @brief Partial results of the same queries over different keys, put together.
 *
 * Attention over a set of keys follows from attention over its parts: each part's output and log-sum-exp are enough
 * (Milakov & Gimelshein, arXiv 1805.02867; Liu, Zaharia & Abbeel, Ring Attention, arXiv 2310.01889). With that a
 * prefix that many sequences share is read once for all, and keys may lie on several devices; docs/serving.md has the
 * recipes.
 */
#ifndef FLASHL4_MERGE_H
#define FLASHL4_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include <flashl4/attention.h>
#include <flashl4/context.h>
#include <flashl4/export.h>
#include <flashl4/status.h>

FL4_BEGIN_DECLS

enum {
  FL4_MERGE_LIST_MAX = 32 /**< most parts that fl4_merge_states_args.parts_list may name */
};

/**
 * The arguments of one merge. Parts are one tensor with a dimension more, or a list of tensors of the same strides.
 *
 * Pointers but the two lists are memory of the context's device and stay the caller's; they must be aligned to their element.
 * Rows that start at multiples of 16 bytes take the fast path. Strides count elements, as in ::fl4_attention_args: the last
 * dimension is contiguous, all strides 0 mean a contiguous tensor, 0 in one of several broadcasts an input.
 *
 * Ragged results are one sequence of total_q rows: B = 1, Sq = total_q.
 */
typedef struct fl4_merge_states_args {
  size_t struct_size;     /**< set by the FL4_…_INIT */
  int32_t dtype;          /**< ::fl4_dtype of o */
  int32_t parts_fp32;     /**< 0: parts have o's dtype; 1: they are fp32 */
  int64_t n;              /**< parts, ≥ 1; with a list up to ::FL4_MERGE_LIST_MAX */
  int64_t B;              /**< batch, ≥ 0 */
  int64_t Hq;             /**< query heads, ≥ 1 */
  int64_t Sq;             /**< queries, ≥ 0 */
  int64_t D;              /**< head dimension, a multiple of 8 from 8 to 256 */
  const void *parts;      /**< parts[k][b][h][i][d], n × B × Hq × Sq × D; or NULL, with a list */
  const float *parts_lse; /**< parts_lse[k][b][h][i], natural logarithms, n × B × Hq × Sq; or NULL, with a list */
  const void *const *parts_list;     /**< NULL, or n addresses of parts[b][h][i][d]; host memory, read before the return */
  const float *const *parts_lse_list; /**< with parts_list: n addresses of parts_lse[b][h][i]; host memory */
  void *o;                /**< o[b][h][i][d], B × Hq × Sq × D */
  float *lse;             /**< NULL, or lse[b][h][i], B × Hq × Sq */
  int64_t parts_stride[4];     /**< elements, [k, b, h, i]; with a list [k] is 0 */
  int64_t parts_lse_stride[4]; /**< elements, [k, b, h, i]; with a list [k] is 0 */
  int64_t o_stride[3];         /**< elements, [b, h, i] */
  int64_t lse_stride[3];       /**< elements, [b, h, i] */
  uint64_t reserved[4];        /**< zero */
} fl4_merge_states_args;

/** Initial value of an ::fl4_merge_states_args. */
#define FL4_MERGE_STATES_ARGS_INIT                                                                 \
  { sizeof(fl4_merge_states_args), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}, {0}, {0}, {0}, {0} }

/**
 * Puts partial results together, each row by itself:
 *
 *     LSE = ln Σ exp(lse_k),   O = Σ exp(lse_k − LSE) · O_k
 *
 * computed in fp32, the parts in their order, so that the same parts give the same bits. A part whose LSE is −∞ has seen no
 * key: its O is not used and may be NaN. If all are −∞, O = 0 and LSE = −∞. An LSE that is +∞ or NaN makes its row NaN.
 *
 * `o` may be one of the parts, of the same dtype and strides, and `lse` that part's LSE: so results are gathered one by one.
 * Otherwise outputs must not overlap each other or an input.
 *
 * On CUDA it is asynchronous on `stream`, never synchronises and allocates nothing, but for the first call of a kind
 * (dtypes, rows aligned or not), which compiles a kernel or reads it from the cache; it may be captured into a CUDA graph
 * after that, or after fl4_merge_states_prepare(). On the host device it returns when the result is there.
 *
 * @param ctx     runs the call
 * @param args    the call; not used after the return, but device memory it points to is, until the stream gets there
 * @param stream  a stream of the context's device; on the host device NULL
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_OUT_OF_MEMORY, ::FL4_LIBRARY_MISSING or ::FL4_COMPILE_FAILED (first call),
 *         ::FL4_NOT_PREPARED (capture), ::FL4_DEVICE_ERROR
 *
 * Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_merge_states(fl4_context *ctx, const fl4_merge_states_args *args,
                                                  fl4_stream stream);

/**
 * Makes what fl4_merge_states() needs for these arguments ready, without running it. Pointers may be NULL (then rows are
 * taken to be aligned to 16 bytes). Errors and thread-safety as fl4_merge_states(). Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_merge_states_prepare(fl4_context *ctx, const fl4_merge_states_args *args);

FL4_END_DECLS

#endif /* FLASHL4_MERGE_H */
