/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file attention.h
 * @brief Attention forward: O = softmax(scale · Q Kᵀ + mask) V, dense, ragged or paged.
 *
 * The algorithm is online softmax over key tiles (Milakov & Gimelshein, arXiv 1805.02867; Dao,
 * FlashAttention-2, arXiv 2307.08691).
 */
#ifndef FLASHL4_ATTENTION_H
#define FLASHL4_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#include <flashl4/context.h>
#include <flashl4/export.h>
#include <flashl4/problem.h>
#include <flashl4/status.h>

FL4_BEGIN_DECLS

/** A CUDA stream: the same type as cudaStream_t and CUstream. NULL is the default stream. */
typedef struct CUstream_st *fl4_stream;

/**
 * The arguments of one attention call.
 *
 * Pointers are memory of the context's device (host memory for the host device) and stay the
 * caller's. They must be aligned to their element (2 or 4 bytes). On CUDA, rows whose addresses are
 * all multiples of 16 bytes, less than 2^40 from one to the next, take the fast path; other strides work,
 * more slowly.
 *
 * Strides count elements between neighbours in [batch, head, sequence]; the last dimension, D, is
 * contiguous. They may be 0 in inputs (broadcast) and must not be negative. All three 0 means the
 * tensor is contiguous in [B][H][S][D]. Elements of the output must not overlap each other or an
 * input. Every offset is computed in 64 bits.
 *
 * Some calls need a workspace: fl4_attention_workspace_size(). It must be zeroed once before its first
 * use (cudaMemset()). Each call leaves it ready for the next one, of whatever problem and context of the
 * device, as long as calls that share it are ordered: in one stream, or by events. After
 * ::FL4_DEVICE_ERROR it must be zeroed again. One of the largest size does for all. Without one the library
 * takes memory from the stream for the call, and clears some of it, which costs a memset in the stream.
 *
 * What follows `reserved` is all zero by default, and then costs nothing. A score is, in this order:
 *
 *     s = scale · q·k;  softcap: s = c · tanh(s / c);  ALiBi: s −= slope · |i + lk − lq − j|;  s += bias
 *
 * and then −∞ where the mask, or a bias of ::FL4_BIAS_BOOL, hides the key; lq and lk are the lengths of the query's sequence.
 *
 * Lengths. Sequence b has lq queries and lk keys: Sq and Sk, if nothing else is said.
 * With `cu_seqlens_q` queries are ragged: lq = cu_seqlens_q[b + 1] − cu_seqlens_q[b], at most Sq; q, o and lse have one dimension of
 * total_q rows in place of [b, i], row cu_seqlens_q[b] + i, and strides [b] that do not count. `cu_seqlens_k` does the same
 * for k and v, with total_k rows. `seqused_k` says that only the first seqused_k[b] keys are there: of the ragged keys, of
 * Sk, or of the pages. Lengths are read on the device when the call runs; Sq and Sk are the largest that may be there, and the
 * launch is sized for them. Whatever the numbers say, no access leaves [0, total_q), [0, total_k), Sq, Sk or [0, n_pages):
 * lengths are clamped, and a wrong page gives a wrong row.
 *
 * Pages. With `page_size` k and v are pools of pages, k[page][h][slot][d] by k_stride: key j of sequence b lies in page
 * block_table[b · block_table_stride + j / page_size], slot j % page_size. The table has ⌈Sk / page_size⌉ columns. All strides
 * 0: [n_pages][page_size][Hkv][D].
 */
typedef struct fl4_attention_args {
  size_t struct_size; /**< set by the FL4_…_INIT */
  int32_t dtype; /**< ::fl4_dtype of q, k, v and o */
  int32_t mask;  /**< ::fl4_mask */
  int64_t B;     /**< batch, ≥ 0 */
  int64_t Hq;    /**< query heads, ≥ 1 */
  int64_t Hkv;   /**< key/value heads, ≥ 1; query head h uses key/value head h / (Hq/Hkv) */
  int64_t Sq;    /**< queries, ≥ 0 */
  int64_t Sk;    /**< keys, ≥ 0 */
  int64_t D;     /**< head dimension, a multiple of 8 from 8 to 256 */
  const void *q; /**< q[b][h][i][d], B × Hq × Sq × D */
  const void *k; /**< k[b][h][j][d], B × Hkv × Sk × D */
  const void *v; /**< v[b][h][j][d], B × Hkv × Sk × D */
  void *o;       /**< o[b][h][i][d], B × Hq × Sq × D; a row that sees no key becomes 0 */
  float *lse;    /**< NULL, or lse[b][h][i] = ln Σ exp(score), B × Hq × Sq; −∞ where no key is seen */
  int64_t q_stride[3];   /**< elements, [b, h, i] */
  int64_t k_stride[3];   /**< elements, [b, h, j] */
  int64_t v_stride[3];   /**< elements, [b, h, j] */
  int64_t o_stride[3];   /**< elements, [b, h, i] */
  int64_t lse_stride[3]; /**< elements, [b, h, i]; all 0: contiguous */
  float scale;           /**< multiplies Q Kᵀ; 0: 1/√D. Finite, not negative */
  uint32_t reserved0;    /**< zero */
  void *workspace;       /**< device memory for calls in turn, 256-byte aligned, zeroed once; or NULL */
  size_t workspace_size; /**< bytes; at least what fl4_attention_workspace_size() says, if not NULL */
  uint64_t reserved[4];  /**< zero */
  int64_t window_left;   /**< with ::FL4_MASK_WINDOW: keys before the diagonal that are seen; −1: all */
  int64_t window_right;  /**< with ::FL4_MASK_WINDOW: keys behind the diagonal that are seen; −1: all */
  float softcap;         /**< scores become softcap · tanh(score / softcap); 0: they do not. Finite, not negative */
  uint32_t flags;        /**< ::fl4_attention_flag, or-ed */
  const float *alibi_slopes;      /**< NULL, or slope[b][h], ALiBi's (Press et al., arXiv 2108.12409) */
  int64_t alibi_stride[2];        /**< elements, [b, h]; both 0: one slope a head, [Hq], for all b */
  const float *sinks;             /**< NULL, or [Hq]: a further logit of each row of a head, with a value of 0. It counts in the LSE */
  const void *bias;               /**< NULL, or bias[b][h][i][j], added to scores. Not with ragged queries or keys. Of
                                       ::FL4_BIAS_BOOL, tiles that it hides as a whole are not computed */
  int64_t bias_stride[4];         /**< elements, [b, h, i, j]; 0 broadcasts, [j] is 0 or 1; all 0: contiguous */
  int32_t bias_type;              /**< ::fl4_bias_type */
  int32_t page_size;              /**< keys of a page, a power of two from 8 to 65536; 0: not paged */
  const int32_t *cu_seqlens_q;    /**< NULL, or [B + 1], not falling: where sequences begin */
  const int32_t *cu_seqlens_k;    /**< NULL, or [B + 1]. Not with pages */
  const int32_t *seqused_k;       /**< NULL, or [B] */
  const int32_t *block_table;     /**< [B][⌈Sk / page_size⌉] page numbers; with page_size */
  int64_t block_table_stride;     /**< elements from one sequence to the next; 0: contiguous */
  int64_t n_pages;                /**< pages of the pool; with page_size */
  int64_t total_q;                /**< rows of q, o and lse; with cu_seqlens_q */
  int64_t total_k;                /**< rows of k and v; with cu_seqlens_k */
} fl4_attention_args;

/** Element type of a bias. */
typedef enum fl4_bias_type {
  FL4_BIAS_FP16 = 0, /**< added to scores; −∞ hides the key */
  FL4_BIAS_BF16 = 1, /**< the same */
  FL4_BIAS_FP32 = 2, /**< the same */
  FL4_BIAS_BOOL = 3, /**< bytes: 0 hides the key */
} fl4_bias_type;

/** Flags of a call. */
typedef enum fl4_attention_flag {
  /** A row's result does not depend, to the bit, on what else is in the batch: not on B, other sequences, Sq and Sk as bounds
   *  of lengths, or the device's size. It does on its own sequence: its queries in this call, and its keys. It may cost speed
   *  where keys would have been divided otherwise. */
  FL4_BATCH_INVARIANT = 1,
} fl4_attention_flag;

/** Initial value of an ::fl4_attention_args. */
#define FL4_ATTENTION_ARGS_INIT                                                                    \
  { sizeof(fl4_attention_args), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}, {0}, {0}, {0}, {0}, 0, 0, 0, 0, {0},    \
    0, 0, 0, 0, 0, {0}, 0, 0, {0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/**
 * Computes attention.
 *
 * On CUDA it is asynchronous on `stream` and never synchronises. The first call of a kind of problem
 * (dtype, D, mask, LSE or none, size class) compiles a kernel or reads it from the cache; later calls allocate
 * nothing, but for a workspace that is needed and not given, and may be captured into a CUDA graph.
 * During capture nothing is compiled: call fl4_attention_prepare() before. On the host device it returns
 * when the result is there.
 *
 * @param ctx     runs the call
 * @param args    the call; not used after the return, but the memory it points to is, until the stream gets there
 * @param stream  a stream of the context's device; on the host device NULL
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_UNSUPPORTED, ::FL4_OUT_OF_MEMORY, ::FL4_WORKSPACE_TOO_SMALL,
 *         ::FL4_LIBRARY_MISSING or ::FL4_COMPILE_FAILED (first call), ::FL4_NOT_PREPARED (capture),
 *         ::FL4_DEVICE_ERROR, ::FL4_INVARIANT_VIOLATED (debug contexts)
 *
 * Thread-safety: safe; threads that need the same kernel wait for one compilation. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_attention_forward(fl4_context *ctx, const fl4_attention_args *args,
                                                       fl4_stream stream);

/**
 * Makes everything that fl4_attention_forward() needs for these arguments ready, without running
 * it. Pointers may be NULL (then rows are taken to be aligned to 16 bytes, and no LSE is wanted); nothing is
 * read or written through them. Errors and thread-safety as fl4_attention_forward(). Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_attention_prepare(fl4_context *ctx, const fl4_attention_args *args);

/**
 * Bytes of workspace that a call with these arguments uses; 0 if none. Pointers may be NULL.
 * It depends on the variant that runs, and so on what the context knows when it is called: after tuning or
 * importing wisdom ask again. Compiles nothing. Errors: ::FL4_INVALID_ARGUMENT, ::FL4_UNSUPPORTED. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_attention_workspace_size(fl4_context *ctx, const fl4_attention_args *args,
                                                              size_t *bytes);

/** Where a kernel came from. */
typedef enum fl4_kernel_origin {
  FL4_KERNEL_BUILT_IN = 0,  /**< part of the library (host device) */
  FL4_KERNEL_COMPILED = 1,  /**< compiled by this context */
  FL4_KERNEL_FROM_DISK = 2, /**< read from the cubin cache */
} fl4_kernel_origin;

/** How a call would run. What does not apply to a device is 0. */
typedef struct fl4_plan_info {
  size_t struct_size; /**< set by the FL4_…_INIT */
  char variant[128];        /**< "fwd_mma:bm=128,bn=64,…" */
  int32_t aligned;          /**< 1: the 16-byte path; 0: rows are not aligned, the slow loads run */
  int32_t blocks;           /**< thread blocks, or tasks shared among the host's threads */
  int32_t threads;          /**< threads of a block, or threads of the host */
  int32_t registers;        /**< registers of a thread */
  int32_t spill_bytes;      /**< bytes of spill stores and loads in the kernel's code, a thread */
  int32_t smem_bytes;       /**< shared memory of a block */
  int32_t origin;           /**< ::fl4_kernel_origin */
  float build_ms;           /**< time that compiling or reading took */
  uint64_t kernel_hash;     /**< hash of the machine code; equal codes have equal hashes */
  size_t workspace_bytes;   /**< as fl4_attention_workspace_size() */
  uint64_t reserved[4];     /**< zero */
} fl4_plan_info;

/** Initial value of an ::fl4_plan_info. */
#define FL4_PLAN_INFO_INIT { sizeof(fl4_plan_info), {0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0} }

/**
 * Says how a call with these arguments runs; prepares it if need be. Pointers may be NULL.
 * Errors and thread-safety as fl4_attention_prepare(). Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_attention_plan_info(fl4_context *ctx, const fl4_attention_args *args,
                                                         fl4_plan_info *info);

FL4_END_DECLS

#endif /* FLASHL4_ATTENTION_H */
