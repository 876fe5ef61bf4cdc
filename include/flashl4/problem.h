/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file problem.h
 * @brief A problem: the shape of one attention call, as a struct and as one line of text.
 */
#ifndef FLASHL4_PROBLEM_H
#define FLASHL4_PROBLEM_H

#include <stddef.h>
#include <stdint.h>

#include <flashl4/export.h>
#include <flashl4/status.h>

FL4_BEGIN_DECLS

/** Element type of Q, K, V and O. Scores, softmax and sums are fp32 for all of them. */
typedef enum fl4_dtype {
  FL4_DTYPE_FP16 = 0, /**< IEEE 754 binary16 */
  FL4_DTYPE_BF16 = 1, /**< bfloat16 */
  FL4_DTYPE_FP32 = 2, /**< IEEE 754 binary32; host device only */
} fl4_dtype;

/** Which keys a query sees. */
typedef enum fl4_mask {
  FL4_MASK_NONE = 0, /**< all of them */
  /** Key j is seen by query i if j ≤ i + Sk − Sq (aligned bottom-right): the last query sees all
   *  keys. With Sq > Sk the first Sq − Sk queries see none. */
  FL4_MASK_CAUSAL = 1,
  /** Key j is seen by query i if i + Sk − Sq − left ≤ j ≤ i + Sk − Sq + right: a sliding window. */
  FL4_MASK_WINDOW = 2,
} fl4_mask;

/** Memory layouts that fl4_check() lays problems out in. A forward call itself takes any strides. */
typedef enum fl4_layout {
  FL4_LAYOUT_BHSD = 0,   /**< each tensor [B][H][S][D] */
  FL4_LAYOUT_BSHD = 1,   /**< each tensor [B][S][H][D] */
  FL4_LAYOUT_PACKED = 2, /**< Q, K and V in one [B][S][Hq + 2·Hkv][D]; needs Sq = Sk */
  FL4_LAYOUT_ODD = 3,    /**< [B][H][S][D + 1]: rows without 16-byte alignment */
} fl4_layout;

/** Lengths of a problem's sequences. A length is of queries, where S is Sq, or of keys, where S is Sk. */
typedef enum fl4_lengths {
  FL4_LENGTHS_ALL = 0,   /**< all are S, and the call gives none */
  /** Given, and from 0 to S: ⌊u · (S + 1)⌋, u drawn for each sequence from its number alone. So they are the same
   *  in every run, and those of queries and keys are alike. */
  FL4_LENGTHS_DRAWN = 1,
  FL4_LENGTHS_FULL = 2,  /**< given, but all are S: the work of a dense problem */
  FL4_LENGTHS_ONE = 3,   /**< given: the first is S, all others are S/1024, at least 1 */
} fl4_lengths;

/** A problem. What follows `reserved` is all zero for dense attention. */
typedef struct fl4_problem {
  size_t struct_size; /**< set by the FL4_…_INIT */
  int32_t dtype;  /**< ::fl4_dtype */
  int32_t mask;   /**< ::fl4_mask */
  int32_t layout; /**< ::fl4_layout */
  int32_t lse;    /**< 1: the log-sum-exp of each row is wanted too */
  int64_t B;      /**< batch, ≥ 0 */
  int64_t Hq;     /**< query heads, ≥ 1 */
  int64_t Hkv;    /**< key/value heads; divides Hq */
  int64_t Sq;     /**< queries, ≥ 0 */
  int64_t Sk;     /**< keys, ≥ 0 */
  int64_t D;      /**< head dimension, a multiple of 8 from 8 to 256 */
  float scale;    /**< softmax scale; 0: 1/√D */
  uint32_t reserved0;   /**< zero */
  uint64_t reserved[4]; /**< zero */
  int64_t window_left;  /**< with ::FL4_MASK_WINDOW: keys before the diagonal that are seen; −1: all */
  int64_t window_right; /**< with ::FL4_MASK_WINDOW: keys behind the diagonal that are seen; −1: all */
  float softcap;        /**< as in ::fl4_attention_args; 0: none */
  uint32_t flags;       /**< ::fl4_attention_flag, or-ed */
  int32_t alibi;        /**< 1: ALiBi slopes, one a head */
  int32_t sinks;        /**< 1: a sink for each query head */
  int32_t bias;         /**< 0: none; else 1 + ::fl4_bias_type */
  int32_t bias_shared;  /**< dimensions that the bias lacks, which share its values: 1 b, 2 h, 4 i, 8 j, added up */
  int32_t ragged;       /**< ::fl4_lengths of the sequences; with pages, of queries and of keys in use */
  int32_t lens;         /**< ::fl4_lengths of keys in use */
  int32_t page_size;    /**< keys of a page; 0: none. Pages are laid out as batches of `layout` would be */
  int32_t reserved1;    /**< zero */
} fl4_problem;

/** Initial value of an ::fl4_problem. */
#define FL4_PROBLEM_INIT                                                                           \
  { sizeof(fl4_problem), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/** Longest line that fl4_problem_format() writes, with its final zero. */
#define FL4_PROBLEM_LINE_MAX 256

/**
 * Reads a problem line:
 *
 *     b2hq32hkv8sq4096sk4096d128:bf16:causal
 *
 * Sizes are a letter and a number each, in any order, each at most once: `b` (default 1), `hq`,
 * `hkv` (default hq), `sq`, `sk` (default sq), `d`. hq, sq and d must be there. After them, each
 * behind a colon and in any order:
 *
 * - `fp16` (default) `bf16` `fp32`; `lse`; `scale=X`; `bhsd` (default) `bshd` `packed` `odd`
 * - `causal`, or `window=L,R`: keys before and behind the diagonal, −1 for all
 * - `softcap=X`; `alibi`; `sinks`
 * - `bias=TYPE`, which is `fp16` `bf16` `fp32` or `bool`: [B][Hq][Sq][Sk]. Behind a slash, the dimensions that it
 *   has, of b h i j in this order: `bias=bool/bj` hides keys of a sequence, `bias=fp32/ij` is the same for all heads
 * - `ragged`: sequences of lengths as ::FL4_LENGTHS_DRAWN has them, or `ragged=full`, `ragged=one`; `lens`: so many keys
 *   are in use, or `lens=full`, `lens=one`
 * - `page=N`: keys and values lie in pages of N keys
 * - `invariant`: ::FL4_BATCH_INVARIANT
 *
 *     b4hq32hkv8sq1sk8192d128:bf16:window=1023,0:sinks:lens:page=16
 *
 * @param line     zero-terminated
 * @param problem  filled on success; its struct_size must be set
 * @return ::FL4_INVALID_ARGUMENT, and fl4_last_error() names the place and what is allowed
 *
 * Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_problem_parse(const char *line, fl4_problem *problem);

/**
 * Writes a problem as a line that fl4_problem_parse() reads back to the same problem. Defaults are
 * left out, so equal problems give equal lines.
 *
 * @param problem what to write
 * @param buffer  receives the line and a final zero
 * @param size    bytes in `buffer`; ::FL4_PROBLEM_LINE_MAX is always enough
 * @return ::FL4_INVALID_ARGUMENT (not a valid problem, or too small a buffer, then `buffer` is "")
 *
 * Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_problem_format(const fl4_problem *problem, char *buffer, size_t size);

/**
 * Floating-point operations of a problem: 4·D for each query–key pair that the mask and the lengths let through.
 * A bias hides none, as far as this counts. A problem that is not valid gives 0. Thread-safety: safe. Since: 0.1.
 */
FL4_API double fl4_problem_flops(const fl4_problem *problem);

/**
 * Bytes that a problem must move at least: Q, K, V and O (and the LSE) once each, as long as the sequences are, keys
 * and values only where a window lets some query see them; and the bias where the mask lets through.
 * A problem that is not valid gives 0. Thread-safety: safe. Since: 0.1.
 */
FL4_API double fl4_problem_bytes(const fl4_problem *problem);

FL4_END_DECLS

#endif /* FLASHL4_PROBLEM_H */
