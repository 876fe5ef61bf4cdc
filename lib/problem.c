/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of a call → canonical problem and kernel parameters, with every check on the way. */
#include "problem.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "error.h"

#define ARGS "fl4_attention_args"

/* ---------------------------------------------------------------- structs of any version */

fl4_status fl4__struct_read(void *copy, size_t known_size, const void *caller, const char *name)
{
  size_t size;
  memcpy(&size, caller, sizeof size);
  /* A size below one field more than the size itself was never written by an FL4_…_INIT. */
  if (size < 2 * sizeof(size_t) || size > 65536)
    return fl4__fail(FL4_INVALID_ARGUMENT, "%s.struct_size: is %zu, must be sizeof(%s) (use its FL4_..._INIT)", name,
                     size, name);
  for (size_t i = known_size; i < size; i++)
    if (((const unsigned char *)caller)[i] != 0)
      return fl4__fail(FL4_INVALID_ARGUMENT,
                       "%s: byte %zu is set, but this library (%zu bytes of %s) is too old to know it", name, i,
                       known_size, name);
  memset(copy, 0, known_size);
  memcpy(copy, caller, size < known_size ? size : known_size);
  memcpy(copy, &known_size, sizeof known_size);
  return FL4_OK;
}

void fl4__struct_write(void *caller, const void *copy, size_t known_size)
{
  size_t size;
  memcpy(&size, caller, sizeof size);
  size_t n = size < known_size ? size : known_size;
  if (n > sizeof size) memcpy((char *)caller + sizeof size, (const char *)copy + sizeof size, n - sizeof size);
}

/* ---------------------------------------------------------------- one tensor */

/* Fills in the strides of a contiguous tensor if all are 0; refuses what cannot be addressed. */
static fl4_status check_strides(const fl4__tensor_arg *t, fl4_i64 *stride)
{
  bool contiguous = true;
  for (int i = 0; i < t->dims; i++) contiguous = contiguous && !t->stride[i];
  /* The products are checked below; unsigned, so that a huge size wraps and does not trap. */
  fl4_i64 step = t->D;
  for (int i = t->dims - 1; i >= 0; i--) {
    stride[i] = contiguous ? step : t->stride[i];
    step = (fl4_i64)((uint64_t)t->n[i] * (uint64_t)step);
  }

  /* The last byte's offset must fit: Σ (n − 1)·stride + D elements. */
  int64_t extent = t->D;
  for (int i = 0; i < t->dims; i++) {
    int64_t span;
    if (t->stride[i] < 0)
      return fl4__fail(FL4_INVALID_ARGUMENT, "%s.%s_stride[%d]: is %" PRId64 ", must not be negative", t->args, t->name,
                       i, t->stride[i]);
    if (t->n[i] > 1 && (stride[i] < 0 || __builtin_mul_overflow(t->n[i] - 1, stride[i], &span) ||
                        __builtin_add_overflow(extent, span, &extent)))
      return fl4__fail(FL4_INVALID_ARGUMENT,
                       "%s.%s_stride[%d]: is %" PRId64 " over %" PRId64 " elements: offsets overflow 64 bits", t->args,
                       t->name, i, stride[i], t->n[i]);
  }
  if (extent > INT64_MAX / t->element)
    return fl4__fail(FL4_INVALID_ARGUMENT, "%s.%s: spans %" PRId64 " elements: offsets overflow 64 bits", t->args,
                     t->name, extent);
  return FL4_OK;
}

/* Rows of an output must not overlap: from the smallest stride up, each steps over all below it. */
static fl4_status check_disjoint(const fl4__tensor_arg *t, const fl4_i64 *stride)
{
  bool done[FL4__TENSOR_DIMS] = {false};
  int64_t below = t->D;
  for (int round = 0; round < t->dims; round++) {
    int next = -1;
    for (int i = 0; i < t->dims; i++)
      if (!done[i] && t->n[i] > 1 && (next < 0 || stride[i] < stride[next])) next = i;
    if (next < 0) break;
    if (stride[next] < below)
      return fl4__fail(FL4_INVALID_ARGUMENT,
                       "%s.%s_stride[%d]: is %" PRId64 ", must be at least %" PRId64
                       ", or elements of the output overlap",
                       t->args, t->name, next, stride[next], below);
    below = stride[next] * (t->n[next] - 1) + below;
    done[next] = true;
  }
  return FL4_OK;
}

fl4_status fl4__tensor_check(const fl4__tensor_arg *t, fl4__need need, fl4_i64 *stride, int32_t *aligned)
{
  FL4_TRY(check_strides(t, stride));
  bool empty = false;
  for (int i = 0; i < t->dims; i++) empty = empty || !t->n[i];
  if (t->output && !empty) FL4_TRY(check_disjoint(t, stride));
  if (need == FL4__NEED_POINTERS && !t->data && !empty)
    return fl4__fail(FL4_INVALID_ARGUMENT, "%s.%s: is NULL, must point to the tensor", t->args, t->name);
  FL4_TRY(fl4__aligned_check(t->args, t->name, t->data, t->element));
  if (!aligned) return FL4_OK;
  const fl4_i64 far = (fl4_i64)1 << 40; /* the copy engine of sm_90 knows no stride of so many bytes */
  if ((uintptr_t)t->data % 16) *aligned = 0;
  for (int i = 0; i < t->dims; i++)
    if (t->n[i] > 1 && (stride[i] * t->element % 16 || stride[i] * t->element >= far)) *aligned = 0;
  return FL4_OK;
}

fl4_status fl4__aligned_check(const char *args, const char *name, const void *at, int bytes)
{
  if ((uintptr_t)at % (uintptr_t)bytes == 0) return FL4_OK;
  return fl4__fail(FL4_INVALID_ARGUMENT, "%s.%s: is %p, must be aligned to %d bytes, its element", args, name, at,
                   bytes);
}

/* ---------------------------------------------------------------- windows, scores and biases */

static fl4_status check_window(const fl4_attention_args *a)
{
  const struct {
    const char *name;
    int64_t value;
  } sides[] = {{"window_left", a->window_left}, {"window_right", a->window_right}};
  for (int i = 0; i < 2; i++) {
    if (a->mask != FL4_MASK_WINDOW && sides[i].value)
      return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s: is %" PRId64 ", must be 0 without FL4_MASK_WINDOW",
                       sides[i].name, sides[i].value);
    if (sides[i].value < -1 || sides[i].value > INT32_MAX / 2)
      return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s: is %" PRId64 ", must be from -1 (all keys) to %d",
                       sides[i].name, sides[i].value, INT32_MAX / 2);
  }
  return FL4_OK;
}

/* Windows that are none, or causal, are just that: so there is one kernel for what is the same. */
static void take_mask(const fl4_attention_args *a, fl4__problem *problem, fl4_fwd_params *params)
{
  problem->mask = a->mask;
  params->window_left = params->window_right = FL4_NO_WINDOW;
  if (a->mask != FL4_MASK_WINDOW) return;
  const bool left = a->window_left >= 0, right = a->window_right >= 0;
  problem->mask = FL4_MASK_NONE;
  if (!left && right && a->window_right == 0) problem->mask = FL4_MASK_CAUSAL;
  if (problem->mask != FL4_MASK_NONE || (!left && !right)) return;
  problem->features |= FL4__FEATURE_WINDOW;
  if (left) params->window_left = (fl4_i32)a->window_left;
  if (right) params->window_right = (fl4_i32)a->window_right;
  problem->window_left = params->window_left, problem->window_right = params->window_right;
}

static fl4_status check_aligned(const char *name, const void *at, uintptr_t bytes)
{
  return fl4__aligned_check(ARGS, name, at, (int)bytes);
}

static fl4_status take_scores(const fl4_attention_args *a, double scale, fl4__problem *problem, fl4_fwd_params *params)
{
  const double log2_e = 1.4426950408889634;
  if (!isfinite(a->softcap) || a->softcap < 0)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".softcap: is %g, must be finite and not negative (0: no softcap)",
                     (double)a->softcap);
  FL4_TRY(check_aligned("alibi_slopes", a->alibi_slopes, 4));
  FL4_TRY(check_aligned("sinks", a->sinks, 4));
  for (int i = 0; i < 2; i++)
    if (a->alibi_stride[i] < 0 || a->alibi_stride[i] > INT32_MAX)
      return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".alibi_stride[%d]: is %" PRId64 ", must be from 0 to %d", i,
                       a->alibi_stride[i], INT32_MAX);
  params->scale_log2 = (float)(scale * log2_e);
  if (a->softcap > 0) {
    problem->features |= FL4__FEATURE_SOFTCAP;
    params->scale_log2 = (float)(scale / (double)a->softcap);
    params->softcap_log2 = (float)((double)a->softcap * log2_e);
    if (!isfinite(params->scale_log2) || !isfinite(params->softcap_log2))
      return fl4__fail(FL4_INVALID_ARGUMENT,
                       ARGS ".softcap: is %g, must be such that softcap / ln 2 and scale / softcap are finite in fp32",
                       (double)a->softcap);
  }
  if (a->alibi_slopes) {
    problem->features |= FL4__FEATURE_ALIBI;
    params->slopes = (uintptr_t)a->alibi_slopes;
    memcpy(params->slope_stride, a->alibi_stride, sizeof a->alibi_stride);
    if (!a->alibi_stride[0] && !a->alibi_stride[1]) params->slope_stride[1] = 1;
  }
  if (a->sinks) problem->features |= FL4__FEATURE_SINKS, params->sinks = (uintptr_t)a->sinks;
  return FL4_OK;
}

int64_t fl4__fewest_scores_to_skip = INT64_C(1) << 25;

/* Results that must not depend on the batch must not depend on its size here either. */
static bool worth_skipping(const fl4_attention_args *a)
{
  if (a->bias_type != FL4_BIAS_BOOL || a->flags & FL4_BATCH_INVARIANT) return false;
  return (double)a->B * (double)a->Hq * (double)a->Sq * (double)a->Sk >= (double)fl4__fewest_scores_to_skip;
}

static fl4_status take_bias(const fl4_attention_args *a, fl4__problem *problem, fl4_fwd_params *params)
{
  if (a->bias_type < FL4_BIAS_FP16 || a->bias_type > FL4_BIAS_BOOL)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".bias_type: is %d, must be FL4_BIAS_FP16, _BF16, _FP32 or _BOOL",
                     a->bias_type);
  if (!a->bias) return FL4_OK;
  const int64_t n[4] = {a->B, a->Hq, a->Sq, a->Sk};
  fl4_i64 *stride = params->bias_stride;
  memcpy(stride, a->bias_stride, sizeof a->bias_stride);
  int64_t extent = 1, span;
  const bool contiguous = !stride[0] && !stride[1] && !stride[2] && !stride[3];
  for (int i = 3, whole = 1; contiguous && i >= 0; i--)
    if (i == 3)
      stride[i] = whole;
    else if (__builtin_mul_overflow(stride[i + 1], fl4__max64(n[i + 1], 1), &stride[i]))
      stride[i] = INT64_MAX;
  for (int i = 0; i < 4; i++) {
    if (a->bias_stride[i] < 0 || (i == 3 && stride[i] > 1))
      return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".bias_stride[%d]: is %" PRId64 ", must %s", i, a->bias_stride[i],
                       i == 3 ? "be 0 or 1" : "not be negative");
    if (n[i] > 1 && (__builtin_mul_overflow(n[i] - 1, stride[i], &span) ||
                     __builtin_add_overflow(extent, span, &extent) || extent > INT64_MAX / 4))
      return fl4__fail(FL4_INVALID_ARGUMENT,
                       ARGS ".bias_stride[%d]: is %" PRId64 " over %" PRId64 " elements: offsets overflow 64 bits", i,
                       a->bias_stride[i], n[i]);
  }
  FL4_TRY(check_aligned("bias", a->bias, (uintptr_t)fl4__bias_size(a->bias_type)));
  if (a->cu_seqlens_q || a->cu_seqlens_k)
    return fl4__fail(FL4_UNSUPPORTED, ARGS ".bias: is set with ragged %s; a bias needs sequences of one length",
                     a->cu_seqlens_q ? "queries" : "keys");
  problem->features |= FL4__FEATURE_BIAS;
  problem->bias_type = a->bias_type;
  problem->skips = worth_skipping(a);
  params->bias = (uintptr_t)a->bias;
  return FL4_OK;
}

/* ---------------------------------------------------------------- lengths and pages */

static fl4_status check_total(const char *name, int64_t total, bool wanted)
{
  if (total < 0 || total > INT32_MAX / 2 || (total && !wanted))
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s: is %" PRId64 ", must be %s", name, total,
                     wanted ? "from 0 to 1073741823" : "0 without its cu_seqlens");
  return FL4_OK;
}

static fl4_status take_lengths(const fl4_attention_args *a, fl4__problem *problem, fl4_fwd_params *params)
{
  FL4_TRY(check_aligned("cu_seqlens_q", a->cu_seqlens_q, 4));
  FL4_TRY(check_aligned("cu_seqlens_k", a->cu_seqlens_k, 4));
  FL4_TRY(check_aligned("seqused_k", a->seqused_k, 4));
  FL4_TRY(check_total("total_q", a->total_q, a->cu_seqlens_q != NULL));
  FL4_TRY(check_total("total_k", a->total_k, a->cu_seqlens_k != NULL));
  if (a->cu_seqlens_q) problem->features |= FL4__FEATURE_RAGGED_Q;
  if (a->cu_seqlens_k) problem->features |= FL4__FEATURE_RAGGED_K;
  if (a->seqused_k) problem->features |= FL4__FEATURE_USED_K;
  problem->total_q = a->total_q, problem->total_k = a->total_k;
  params->cu_q = (uintptr_t)a->cu_seqlens_q, params->cu_k = (uintptr_t)a->cu_seqlens_k;
  params->used_k = (uintptr_t)a->seqused_k;
  params->total_q = (fl4_i32)a->total_q, params->total_k = (fl4_i32)a->total_k;
  return FL4_OK;
}

enum { LEAST_PAGE = 8, MOST_PAGE = 65536 };

fl4_status fl4__pages_check(const fl4__pages_arg *p, fl4__need need, int64_t *stride)
{
  const char *args = p->args;
  if (!p->page_size) {
    if (p->table)
      return fl4__fail(FL4_INVALID_ARGUMENT, "%s.block_table: is set, must be NULL without page_size", args);
    if (p->n_pages)
      return fl4__fail(FL4_INVALID_ARGUMENT, "%s.n_pages: is %" PRId64 ", must be 0 without page_size", args,
                       p->n_pages);
    if (p->stride)
      return fl4__fail(FL4_INVALID_ARGUMENT, "%s.block_table_stride: is %" PRId64 ", must be 0 without page_size", args,
                       p->stride);
    return FL4_OK;
  }
  if (p->page_size < LEAST_PAGE || p->page_size > MOST_PAGE || (p->page_size & (p->page_size - 1)))
    return fl4__fail(FL4_INVALID_ARGUMENT, "%s.page_size: is %d, must be a power of two from %d to %d", args,
                     p->page_size, LEAST_PAGE, MOST_PAGE);
  const int64_t columns = fl4__ceil_div(p->Sk, p->page_size);
  *stride = p->stride ? p->stride : columns;
  if (*stride < columns)
    return fl4__fail(FL4_INVALID_ARGUMENT,
                     "%s.block_table_stride: is %" PRId64 ", must be at least %" PRId64 ", the pages of Sk keys", args,
                     *stride, columns);
  if (*stride > INT32_MAX)
    return fl4__fail(FL4_INVALID_ARGUMENT, "%s.block_table_stride: is %" PRId64 ", must be at most %d", args, *stride,
                     INT32_MAX);
  if (p->n_pages < 1 || p->n_pages > INT32_MAX)
    return fl4__fail(FL4_INVALID_ARGUMENT, "%s.n_pages: is %" PRId64 ", must be from 1 to %d", args, p->n_pages,
                     INT32_MAX);
  FL4_TRY(fl4__aligned_check(args, "block_table", p->table, 4));
  if (need == FL4__NEED_POINTERS && !p->table && p->B && p->Sk)
    return fl4__fail(FL4_INVALID_ARGUMENT, "%s.block_table: is NULL, must point to the table with page_size = %d", args,
                     p->page_size);
  return FL4_OK;
}

static fl4_status take_pages(const fl4_attention_args *a, fl4__need need, fl4__problem *problem, fl4_fwd_params *params)
{
  const fl4__pages_arg pages = {ARGS, a->block_table, a->block_table_stride, a->n_pages, a->page_size, a->B, a->Sk};
  FL4_TRY(fl4__pages_check(&pages, need, &params->table_stride));
  if (!a->page_size) return FL4_OK;
  if (a->cu_seqlens_k)
    return fl4__fail(FL4_UNSUPPORTED, ARGS ".cu_seqlens_k: is set with page_size: pages have no ragged keys, seqused_k "
                                           "says how many there are");
  problem->features |= FL4__FEATURE_PAGED;
  problem->page_size = a->page_size;
  params->block_table = (uintptr_t)a->block_table;
  params->page_shift = __builtin_ctz((unsigned)a->page_size);
  params->n_pages = (fl4_i32)a->n_pages;
  return FL4_OK;
}

const char *fl4__feature_beyond(int32_t features, int32_t known)
{
#define BEYOND(name, bit, macro, text)                                                                                 \
  if (features & ~known & FL4__FEATURE_##name) return text;
  FL4__FEATURE_MAP(BEYOND)
#undef BEYOND
  return NULL;
}

/* ---------------------------------------------------------------- the call */

static fl4_status check_sizes(const fl4_attention_args *a)
{
  if (a->dtype < FL4_DTYPE_FP16 || a->dtype > FL4_DTYPE_FP32)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".dtype: is %d, must be FL4_DTYPE_FP16, _BF16 or _FP32", a->dtype);
  if (a->mask < FL4_MASK_NONE || a->mask > FL4_MASK_WINDOW)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".mask: is %d, must be FL4_MASK_NONE, _CAUSAL or _WINDOW", a->mask);

  const struct {
    const char *name;
    int64_t value, min;
  } sizes[] = {{"B", a->B, 0}, {"Hq", a->Hq, 1}, {"Hkv", a->Hkv, 1}, {"Sq", a->Sq, 0}, {"Sk", a->Sk, 0}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (sizes[i].value < sizes[i].min || sizes[i].value > INT32_MAX / 2)
      return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s: is %" PRId64 ", must be from %" PRId64 " to %d", sizes[i].name,
                       sizes[i].value, sizes[i].min, INT32_MAX / 2);
  if (a->D < 8 || a->D > 256 || a->D % 8)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".D: is %" PRId64 ", must be a multiple of 8 from 8 to 256", a->D);
  if (a->Hq % a->Hkv)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".Hkv: is %" PRId64 ", must divide Hq = %" PRId64, a->Hkv, a->Hq);
  if (!isfinite(a->scale) || a->scale < 0)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".scale: is %g, must be finite and not negative (0 means 1/sqrt(D))",
                     (double)a->scale);
  return FL4_OK;
}

static fl4_status check_reserved(const fl4_attention_args *a)
{
  if (a->reserved0) return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".reserved0: is %u, must be 0", a->reserved0);
  for (int i = 0; i < 4; i++)
    if (a->reserved[i])
      return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".reserved[%d]: is %" PRIu64 ", must be 0", i, a->reserved[i]);
  if (a->flags & ~(uint32_t)FL4_BATCH_INVARIANT)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".flags: is %#x, must be 0 or FL4_BATCH_INVARIANT", a->flags);
  return FL4_OK;
}

void fl4__tensor_sizes(int32_t features, const fl4_fwd_params *p, int64_t q[3], int64_t kv[3])
{
  q[0] = p->B, q[1] = p->Hq, q[2] = p->Sq;
  kv[0] = p->B, kv[1] = p->Hkv, kv[2] = p->Sk;
  if (features & FL4__FEATURE_RAGGED_Q) q[0] = 1, q[2] = p->total_q;
  if (features & FL4__FEATURE_RAGGED_K) kv[0] = 1, kv[2] = p->total_k;
  if (features & FL4__FEATURE_PAGED) kv[0] = p->n_pages, kv[2] = INT64_C(1) << p->page_shift;
}

const int64_t *fl4__page_strides(int page_size, int64_t Hkv, int64_t D, const int64_t given[3], int64_t of_pages[3])
{
  if (!page_size || given[0] || given[1] || given[2]) return given;
  of_pages[0] = page_size * Hkv * D, of_pages[1] = D, of_pages[2] = Hkv * D;
  return of_pages;
}

fl4_status fl4__problem_from_args(const fl4_attention_args *a, fl4__need need, fl4__problem *problem,
                                  fl4_fwd_params *params)
{
  FL4_TRY(check_sizes(a));
  FL4_TRY(check_reserved(a));
  if ((uintptr_t)a->workspace % 256)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".workspace: is %p, must be aligned to 256 bytes", a->workspace);

  memset(params, 0, sizeof *params);
  memset(problem, 0, sizeof *problem);
  const double scale = a->scale != 0 ? (double)a->scale : 1 / sqrt((double)a->D);
  FL4_TRY(check_window(a));
  take_mask(a, problem, params);
  FL4_TRY(take_scores(a, scale, problem, params));
  FL4_TRY(take_bias(a, problem, params));
  FL4_TRY(take_lengths(a, problem, params));
  FL4_TRY(take_pages(a, need, problem, params));

  const int element = fl4__dtype_size(a->dtype);
  int64_t n[3], m[3];
  params->B = (fl4_i32)a->B, params->Hq = (fl4_i32)a->Hq, params->Hkv = (fl4_i32)a->Hkv;
  params->Sq = (fl4_i32)a->Sq, params->Sk = (fl4_i32)a->Sk;
  fl4__tensor_sizes(problem->features, params, n, m);
  int64_t k_pages[3], v_pages[3];
  const int64_t *k_stride = fl4__page_strides(a->page_size, a->Hkv, a->D, a->k_stride, k_pages);
  const int64_t *v_stride = fl4__page_strides(a->page_size, a->Hkv, a->D, a->v_stride, v_pages);
  const fl4__tensor_arg q = {ARGS, "q", a->q, a->q_stride, 3, {n[0], n[1], n[2]}, a->D, element, false};
  const fl4__tensor_arg k = {ARGS, "k", a->k, k_stride, 3, {m[0], m[1], m[2]}, a->D, element, false};
  const fl4__tensor_arg v = {ARGS, "v", a->v, v_stride, 3, {m[0], m[1], m[2]}, a->D, element, false};
  const fl4__tensor_arg o = {ARGS, "o", a->o, a->o_stride, 3, {n[0], n[1], n[2]}, a->D, element, true};
  const fl4__tensor_arg lse = {ARGS, "lse", a->lse, a->lse_stride, 3, {n[0], n[1], n[2]}, 1, 4, true};
  int32_t aligned = 1;
  FL4_TRY(fl4__tensor_check(&q, need, params->q_stride, &aligned));
  FL4_TRY(fl4__tensor_check(&k, need, params->k_stride, &aligned));
  FL4_TRY(fl4__tensor_check(&v, need, params->v_stride, &aligned));
  FL4_TRY(fl4__tensor_check(&o, need, params->o_stride, &aligned));
  FL4_TRY(fl4__tensor_check(&lse, FL4__NEED_SHAPE, params->lse_stride, NULL));

  problem->B = a->B, problem->Hq = a->Hq, problem->Hkv = a->Hkv;
  problem->Sq = a->Sq, problem->Sk = a->Sk, problem->D = a->D;
  problem->dtype = a->dtype;
  problem->aligned = aligned;
  problem->invariant = (a->flags & FL4_BATCH_INVARIANT) != 0;
  problem->lse = a->lse != NULL;

  params->q = (uintptr_t)a->q, params->k = (uintptr_t)a->k, params->v = (uintptr_t)a->v;
  params->o = (uintptr_t)a->o, params->lse = (uintptr_t)a->lse;
  return FL4_OK;
}
