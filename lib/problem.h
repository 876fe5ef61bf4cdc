/* SPDX-License-Identifier: Apache-2.0 */
/* The canonical problem: what selection, plans and kernels see of a call. */
#ifndef FL4_PROBLEM_INTERNAL_H
#define FL4_PROBLEM_INTERNAL_H

#include <stdbool.h>

#include <flashl4/attention.h>
#include <flashl4/problem.h>

#include "fl4_abi.h"

/* Plain data, memset to 0 before it is filled, so that it can be compared and hashed as bytes. */
typedef struct fl4__problem {
  int64_t B, Hq, Hkv, Sq, Sk, D;
  int32_t dtype, mask;
  int32_t aligned; /* every row of q, k, v and o starts at a multiple of 16 bytes, less than 2^40 from the next */
  int32_t lse;
  int32_t features;        /* FL4__FEATURE_…: all that a kernel must be built for, and dense attention is not */
  int32_t bias_type;       /* fl4_bias_type, with FL4__FEATURE_BIAS */
  int32_t page_size;       /* keys, with FL4__FEATURE_PAGED */
  int32_t invariant;       /* FL4_BATCH_INVARIANT */
  int32_t skips;           /* key tiles that a mask of bytes hides are to be left out, if the family can */
  int32_t spare;
  int64_t window_left, window_right; /* with FL4__FEATURE_WINDOW; FL4_NO_WINDOW: all */
  int64_t total_q, total_k; /* rows of q and of k, with FL4__FEATURE_RAGGED_Q and _K */
} fl4__problem;

/* Features: X(NAME, bit, macro, text); a kernel is built with -DFL4_<macro>=1, a bias with -DFL4_BIAS=1 + its type. */
#define FL4__FEATURE_MAP(X)                                                                                            \
  X(WINDOW, 0, "WINDOW", "a window")                                                                                   \
  X(SOFTCAP, 1, "SOFTCAP", "a softcap")                                                                                \
  X(ALIBI, 2, "ALIBI", "ALiBi slopes")                                                                                 \
  X(SINKS, 3, "SINKS", "sinks")                                                                                        \
  X(BIAS, 4, "BIAS", "a bias")                                                                                         \
  X(RAGGED_Q, 5, "RAGGED_Q", "ragged queries")                                                                         \
  X(RAGGED_K, 6, "RAGGED_K", "ragged keys")                                                                            \
  X(USED_K, 7, "USED_K", "lengths of keys in use")                                                                     \
  X(PAGED, 8, "PAGED", "pages")

enum {
#define FL4__FEATURE_ENUM(name, bit, macro, text) FL4__FEATURE_##name = 1 << (bit),
  FL4__FEATURE_MAP(FL4__FEATURE_ENUM)
#undef FL4__FEATURE_ENUM
};

#define FL4__FEATURE_SUM(name, bit, macro, text) +(1 << (bit))
enum { FL4__ALL_FEATURES = 0 FL4__FEATURE_MAP(FL4__FEATURE_SUM) };

/* Says which of `features` are not in `known`: "a bias"; NULL if none. */
const char *fl4__feature_beyond(int32_t features, int32_t known);

/* How much of the arguments must be there. */
typedef enum fl4__need { FL4__NEED_SHAPE, FL4__NEED_POINTERS } fl4__need;

/*
 * Validates the arguments and splits them: what the problem is, and what this call's kernel
 * parameters are (without the fields that belong to the launch: row_tiles, section_heads, splits and what they need, debug).
 */
fl4_status fl4__problem_from_args(const fl4_attention_args *args, fl4__need need, fl4__problem *problem,
                                  fl4_fwd_params *params);

/*
 * With fewer scores than these (B·Hq·Sq·Sk) a call takes less time than it can gain by leaving tiles out: to look at the mask is
 * a launch more, some microseconds, and so many scores of D = 128 take an H200 some 30. The tests set it to 0.
 */
extern int64_t fl4__fewest_scores_to_skip;

/* Sizes [b, h, s] of q and o, and of k and v, as they lie in memory: ragged rows are one sequence, pages one batch each. */
void fl4__tensor_sizes(int32_t features, const fl4_fwd_params *params, int64_t q[3], int64_t kv[3]);

/* A tensor among a call's arguments. */
enum { FL4__TENSOR_DIMS = 4 };
typedef struct fl4__tensor_arg {
  const char *args, *name; /* "fl4_attention_args", "q": its strides are q_stride */
  const void *data;
  const int64_t *stride;       /* [dims] as given */
  int dims;                    /* but the last one, of D elements */
  int64_t n[FL4__TENSOR_DIMS]; /* sizes of these dimensions */
  int64_t D;                   /* elements of a row */
  int element;                 /* bytes */
  bool output;
} fl4__tensor_arg;

/*
 * Is it there, as far as `need` says, and can it be addressed? Fills in the strides, those of a contiguous tensor if all are
 * 0; sets *aligned, which may be NULL, to 0 if its rows are not as fl4__problem.aligned has it.
 */
fl4_status fl4__tensor_check(const fl4__tensor_arg *t, fl4__need need, fl4_i64 *stride, int32_t *aligned);

/* Refuses an address that is no multiple of its element's bytes. */
fl4_status fl4__aligned_check(const char *args, const char *name, const void *at, int bytes);

/* The pages among a call's arguments. */
typedef struct fl4__pages_arg {
  const char *args; /* "fl4_attention_args" */
  const int32_t *table;
  int64_t stride, n_pages; /* as given */
  int32_t page_size;       /* 0: there are none */
  int64_t B, Sk;
} fl4__pages_arg;

/* Fills in the table's stride. */
fl4_status fl4__pages_check(const fl4__pages_arg *p, fl4__need need, int64_t *stride);

/* The strides of keys or values as given; of pages, if nothing is said, those of [page][slot][head][D], in `of_pages`. */
const int64_t *fl4__page_strides(int page_size, int64_t Hkv, int64_t D, const int64_t given[3], int64_t of_pages[3]);

/* Copies min(struct_size) of a caller's struct over `copy`, zeroes the rest, refuses nonzero unknown bytes. */
fl4_status fl4__struct_read(void *copy, size_t known_size, const void *caller, const char *name);

/* Writes the struct back, at most what the caller's struct_size allows. */
void fl4__struct_write(void *caller, const void *copy, size_t known_size);

/* Kernels count rows and keys in 32 bits, with room for a tile beyond the end. */
enum { FL4__PROBLEM_MAX_SIZE = INT32_MAX / 2 };

/* Validates a public problem (names the field), and applies no default. */
fl4_status fl4__problem_validate(const fl4_problem *problem, fl4_problem *copy);

/* Lengths of sequence b of a valid problem: queries; keys that there is memory for, if it is ragged; and keys in use. */
typedef struct fl4__lengths {
  int64_t queries, room, keys;
} fl4__lengths;

fl4__lengths fl4__problem_lengths(const fl4_problem *problem, int64_t b);

const char *fl4__dtype_name(int dtype); /* "fp16" */
int fl4__dtype_size(int dtype);         /* bytes of an element */
int fl4__bias_size(int type);           /* bytes of an element, by fl4_bias_type */

static inline int64_t fl4__min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t fl4__max64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t fl4__ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

#endif
