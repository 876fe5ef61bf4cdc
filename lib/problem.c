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

typedef struct tensor_arg {
  const char *name; /* "q" */
  const void *data;
  const int64_t *stride; /* [b, h, s] as given */
  int64_t n[3];          /* sizes of these dimensions */
  int64_t D;             /* elements of a row */
  int element;           /* bytes */
  bool output;
} tensor_arg;

/* Fills in the strides of a contiguous tensor if all are 0; refuses what cannot be addressed. */
static fl4_status check_strides(const tensor_arg *t, fl4_i64 stride[3])
{
  memcpy(stride, t->stride, 3 * sizeof *stride);
  if (!stride[0] && !stride[1] && !stride[2]) {
    stride[2] = t->D;
    /* The products are checked below; unsigned, so that a huge size wraps and does not trap. */
    stride[1] = (fl4_i64)((uint64_t)t->n[2] * (uint64_t)t->D);
    stride[0] = (fl4_i64)((uint64_t)t->n[1] * (uint64_t)stride[1]);
  }

  /* The last byte's offset must fit: Σ (n − 1)·stride + D elements. */
  int64_t extent = t->D;
  for (int i = 0; i < 3; i++) {
    int64_t span;
    if (t->stride[i] < 0)
      return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s_stride[%d]: is %" PRId64 ", must not be negative", t->name, i,
                       t->stride[i]);
    if (t->n[i] > 1 && (stride[i] < 0 || __builtin_mul_overflow(t->n[i] - 1, stride[i], &span) ||
                        __builtin_add_overflow(extent, span, &extent)))
      return fl4__fail(FL4_INVALID_ARGUMENT,
                       ARGS ".%s_stride[%d]: is %" PRId64 " over %" PRId64 " elements: offsets overflow 64 bits",
                       t->name, i, stride[i], t->n[i]);
  }
  if (extent > INT64_MAX / t->element)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s: spans %" PRId64 " elements: offsets overflow 64 bits", t->name,
                     extent);
  return FL4_OK;
}

/* Rows of an output must not overlap: from the smallest stride up, each steps over all below it. */
static fl4_status check_disjoint(const tensor_arg *t, const fl4_i64 stride[3])
{
  bool done[3] = {false, false, false};
  int64_t below = t->D;
  for (int round = 0; round < 3; round++) {
    int next = -1;
    for (int i = 0; i < 3; i++)
      if (!done[i] && t->n[i] > 1 && (next < 0 || stride[i] < stride[next])) next = i;
    if (next < 0) break;
    if (stride[next] < below)
      return fl4__fail(FL4_INVALID_ARGUMENT,
                       ARGS ".%s_stride[%d]: is %" PRId64 ", must be at least %" PRId64
                            ", or elements of the output overlap",
                       t->name, next, stride[next], below);
    below = stride[next] * (t->n[next] - 1) + below;
    done[next] = true;
  }
  return FL4_OK;
}

static fl4_status check_tensor(const tensor_arg *t, fl4__need need, fl4_i64 stride[3], int32_t *aligned)
{
  FL4_TRY(check_strides(t, stride));
  const bool empty = !t->n[0] || !t->n[1] || !t->n[2];
  if (t->output && !empty) FL4_TRY(check_disjoint(t, stride));
  if (need == FL4__NEED_POINTERS && !t->data && !empty)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s: is NULL, must point to the tensor", t->name);
  if ((uintptr_t)t->data % (uintptr_t)t->element)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s: is %p, must be aligned to %d bytes, its element", t->name,
                     t->data, t->element);
  if (!aligned) return FL4_OK;
  const fl4_i64 far = (fl4_i64)1 << 40; /* the copy engine of sm_90 knows no stride of so many bytes */
  if ((uintptr_t)t->data % 16) *aligned = 0;
  for (int i = 0; i < 3; i++)
    if (t->n[i] > 1 && (stride[i] * t->element % 16 || stride[i] * t->element >= far)) *aligned = 0;
  return FL4_OK;
}

/* ---------------------------------------------------------------- the call */

static fl4_status check_sizes(const fl4_attention_args *a)
{
  if (a->dtype < FL4_DTYPE_FP16 || a->dtype > FL4_DTYPE_FP32)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".dtype: is %d, must be FL4_DTYPE_FP16, _BF16 or _FP32", a->dtype);
  if (a->mask != FL4_MASK_NONE && a->mask != FL4_MASK_CAUSAL)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".mask: is %d, must be FL4_MASK_NONE or FL4_MASK_CAUSAL", a->mask);

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
  return FL4_OK;
}

fl4_status fl4__problem_from_args(const fl4_attention_args *a, fl4__need need, fl4__problem *problem,
                                  fl4_fwd_params *params)
{
  FL4_TRY(check_sizes(a));
  FL4_TRY(check_reserved(a));
  if ((uintptr_t)a->workspace % 256)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".workspace: is %p, must be aligned to 256 bytes", a->workspace);

  memset(params, 0, sizeof *params);
  const int element = fl4__dtype_size(a->dtype);
  const tensor_arg q = {"q", a->q, a->q_stride, {a->B, a->Hq, a->Sq}, a->D, element, false};
  const tensor_arg k = {"k", a->k, a->k_stride, {a->B, a->Hkv, a->Sk}, a->D, element, false};
  const tensor_arg v = {"v", a->v, a->v_stride, {a->B, a->Hkv, a->Sk}, a->D, element, false};
  const tensor_arg o = {"o", a->o, a->o_stride, {a->B, a->Hq, a->Sq}, a->D, element, true};
  const tensor_arg lse = {"lse", a->lse, a->lse_stride, {a->B, a->Hq, a->Sq}, 1, 4, true};
  int32_t aligned = 1;
  FL4_TRY(check_tensor(&q, need, params->q_stride, &aligned));
  FL4_TRY(check_tensor(&k, need, params->k_stride, &aligned));
  FL4_TRY(check_tensor(&v, need, params->v_stride, &aligned));
  FL4_TRY(check_tensor(&o, need, params->o_stride, &aligned));
  FL4_TRY(check_tensor(&lse, FL4__NEED_SHAPE, params->lse_stride, NULL));

  memset(problem, 0, sizeof *problem);
  problem->B = a->B, problem->Hq = a->Hq, problem->Hkv = a->Hkv;
  problem->Sq = a->Sq, problem->Sk = a->Sk, problem->D = a->D;
  problem->dtype = a->dtype, problem->mask = a->mask;
  problem->aligned = aligned;
  problem->lse = a->lse != NULL;

  params->q = (uintptr_t)a->q, params->k = (uintptr_t)a->k, params->v = (uintptr_t)a->v;
  params->o = (uintptr_t)a->o, params->lse = (uintptr_t)a->lse;
  params->B = (fl4_i32)a->B, params->Hq = (fl4_i32)a->Hq, params->Hkv = (fl4_i32)a->Hkv;
  params->Sq = (fl4_i32)a->Sq, params->Sk = (fl4_i32)a->Sk;
  const double scale = a->scale != 0 ? (double)a->scale : 1 / sqrt((double)a->D);
  params->scale_log2 = (float)(scale * 1.4426950408889634); /* log2 e */
  return FL4_OK;
}
