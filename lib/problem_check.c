/* SPDX-License-Identifier: Apache-2.0 */
/* Is it a problem? Each field by itself, and what does not go together. */
#include <math.h>

#include "error.h"
#include "problem.h"

const char *fl4__dtype_name(int dtype)
{
  return dtype == FL4_DTYPE_FP16 ? "fp16" : dtype == FL4_DTYPE_BF16 ? "bf16" : dtype == FL4_DTYPE_FP32 ? "fp32" : "?";
}

int fl4__dtype_size(int dtype)
{
  return dtype == FL4_DTYPE_FP16 || dtype == FL4_DTYPE_BF16 ? 2 : dtype == FL4_DTYPE_FP32 ? 4 : 0;
}

int fl4__bias_size(int type)
{
  return type == FL4_BIAS_BOOL ? 1 : type == FL4_BIAS_FP32 ? 4 : 2;
}

enum { MAX_SIZE = FL4__PROBLEM_MAX_SIZE, LEAST_PAGE = 8, MOST_PAGE = 65536 };

#define INVALID(...) fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem." __VA_ARGS__)

static fl4_status check_size(const char *field, int64_t value, int64_t least)
{
  if (value < least || value > MAX_SIZE)
    return INVALID("%s: is %lld, must be from %lld to %d", field, (long long)value, (long long)least, MAX_SIZE);
  return FL4_OK;
}

static fl4_status check_flag(const char *field, int32_t value)
{
  return value == 0 || value == 1 ? FL4_OK : INVALID("%s: is %d, must be 0 or 1", field, value);
}

/* Keys of a sequence as memory has room for them. */
static int64_t key_room(const fl4_problem *p)
{
  return p->page_size ? fl4__ceil_div(p->Sk, p->page_size) * p->page_size : p->Sk;
}

/* All tensors of the problem together, with the odd layout's gaps, must be countable in bytes. */
static bool countable(const fl4_problem *p)
{
  int64_t elements = fl4__max64(p->Sq, key_room(p)), bias = p->Sq;
  return !__builtin_mul_overflow(elements, p->D + 1, &elements) &&
         !__builtin_mul_overflow(elements, 2 * p->Hq + 2 * p->Hkv, &elements) &&
         !__builtin_mul_overflow(elements, p->B, &elements) && elements <= INT64_MAX / 16 &&
         (!p->bias || (!__builtin_mul_overflow(bias, p->Sk, &bias) && !__builtin_mul_overflow(bias, p->Hq, &bias) &&
                       !__builtin_mul_overflow(bias, p->B, &bias) && bias <= INT64_MAX / 16));
}

static fl4_status check_window(const fl4_problem *p)
{
  const struct {
    const char *name;
    int64_t value;
  } sides[] = {{"window_left", p->window_left}, {"window_right", p->window_right}};
  for (int i = 0; i < 2; i++) {
    if (p->mask != FL4_MASK_WINDOW && sides[i].value)
      return INVALID("%s: is %lld, must be 0 without FL4_MASK_WINDOW", sides[i].name, (long long)sides[i].value);
    if (sides[i].value < -1 || sides[i].value > MAX_SIZE)
      return INVALID("%s: is %lld, must be from -1 (all keys) to %d", sides[i].name, (long long)sides[i].value,
                     MAX_SIZE);
  }
  return FL4_OK;
}

static fl4_status check_bias(const fl4_problem *p)
{
  if (p->bias < 0 || p->bias > 1 + FL4_BIAS_BOOL)
    return INVALID("bias: is %d, must be 0 or 1 + FL4_BIAS_FP16, _BF16, _FP32 or _BOOL", p->bias);
  if (p->bias_shared < 0 || p->bias_shared > 14)
    return INVALID("bias_shared: is %d, must be from 0 to 14: some dimension is left", p->bias_shared);
  if (p->bias_shared && !p->bias) return INVALID("bias_shared: is %d, must be 0 without a bias", p->bias_shared);
  if (p->bias && p->ragged) return INVALID("bias: is set with ragged; a bias needs sequences of one length");
  return FL4_OK;
}

static fl4_status check_lengths(const fl4_problem *p)
{
  if (p->ragged < FL4_LENGTHS_ALL || p->ragged > FL4_LENGTHS_ONE)
    return INVALID("ragged: is %d, must be FL4_LENGTHS_ALL, _DRAWN, _FULL or _ONE", p->ragged);
  if (p->lens < FL4_LENGTHS_ALL || p->lens > FL4_LENGTHS_ONE)
    return INVALID("lens: is %d, must be FL4_LENGTHS_ALL, _DRAWN, _FULL or _ONE", p->lens);
  /* Rows of ragged tensors, and pages, are counted in 32 bits as sizes are. */
  if (p->ragged && p->B * fl4__max64(p->Sq, p->Sk) > MAX_SIZE)
    return INVALID("B: is %lld, must be less: ragged tensors have at most %d rows", (long long)p->B, MAX_SIZE);
  return FL4_OK;
}

static fl4_status check_pages(const fl4_problem *p)
{
  const int page = p->page_size;
  if (!page) return FL4_OK;
  if (page < LEAST_PAGE || page > MOST_PAGE || (page & (page - 1)))
    return INVALID("page_size: is %d, must be a power of two from %d to %d", page, LEAST_PAGE, MOST_PAGE);
  if (p->layout == FL4_LAYOUT_PACKED)
    return INVALID("layout: is FL4_LAYOUT_PACKED, must be another with pages, which lie by themselves");
  if (p->B * fl4__ceil_div(p->Sk, page) > MAX_SIZE)
    return INVALID("B: is %lld, must be less: there are at most %d pages", (long long)p->B, MAX_SIZE);
  return FL4_OK;
}

fl4_status fl4__problem_validate(const fl4_problem *problem, fl4_problem *copy)
{
  if (!problem) return fl4__fail(FL4_INVALID_ARGUMENT, "problem: is NULL, must point to an fl4_problem");
  FL4_TRY(fl4__struct_read(copy, sizeof *copy, problem, "fl4_problem"));
  const fl4_problem *p = copy;

  if (p->dtype < FL4_DTYPE_FP16 || p->dtype > FL4_DTYPE_FP32)
    return INVALID("dtype: is %d, must be FL4_DTYPE_FP16, FL4_DTYPE_BF16 or FL4_DTYPE_FP32", p->dtype);
  if (p->mask < FL4_MASK_NONE || p->mask > FL4_MASK_WINDOW)
    return INVALID("mask: is %d, must be FL4_MASK_NONE, _CAUSAL or _WINDOW", p->mask);
  if (p->layout < FL4_LAYOUT_BHSD || p->layout > FL4_LAYOUT_ODD)
    return INVALID("layout: is %d, must be FL4_LAYOUT_BHSD, _BSHD, _PACKED or _ODD", p->layout);
  FL4_TRY(check_flag("lse", p->lse));

  FL4_TRY(check_size("B", p->B, 0));
  FL4_TRY(check_size("Hq", p->Hq, 1));
  FL4_TRY(check_size("Hkv", p->Hkv, 1));
  FL4_TRY(check_size("Sq", p->Sq, 0));
  FL4_TRY(check_size("Sk", p->Sk, 0));
  if (p->D < 8 || p->D > 256 || p->D % 8 != 0)
    return INVALID("D: is %lld, must be a multiple of 8 from 8 to 256", (long long)p->D);
  if (p->Hq % p->Hkv != 0)
    return INVALID("Hkv: is %lld, must divide Hq, which is %lld", (long long)p->Hkv, (long long)p->Hq);
  if (p->layout == FL4_LAYOUT_PACKED && p->Sq != p->Sk)
    return INVALID("layout: is FL4_LAYOUT_PACKED, which needs Sq = Sk; they are %lld and %lld", (long long)p->Sq,
                   (long long)p->Sk);
  if (!isfinite(p->scale)) return INVALID("scale: is %g, must be finite; 0 is 1/sqrt(D)", (double)p->scale);

  FL4_TRY(check_window(p));
  if (!isfinite(p->softcap) || p->softcap < 0)
    return INVALID("softcap: is %g, must be finite and not negative; 0 is none", (double)p->softcap);
  if (p->flags & ~(uint32_t)FL4_BATCH_INVARIANT)
    return INVALID("flags: is %#x, must be 0 or FL4_BATCH_INVARIANT", (unsigned)p->flags);
  FL4_TRY(check_flag("alibi", p->alibi));
  FL4_TRY(check_flag("sinks", p->sinks));
  FL4_TRY(check_bias(p));
  FL4_TRY(check_lengths(p));
  FL4_TRY(check_pages(p));
  if (!countable(p)) return INVALID("B: is %lld, must be less: the tensors' size overflows", (long long)p->B);

  if (p->reserved0 != 0) return INVALID("reserved0: is %u, must be 0", (unsigned)p->reserved0);
  if (p->reserved1 != 0) return INVALID("reserved1: is %d, must be 0", p->reserved1);
  for (int i = 0; i < 4; i++)
    if (p->reserved[i] != 0) return INVALID("reserved[%d]: is %llu, must be 0", i, (unsigned long long)p->reserved[i]);
  return FL4_OK;
}
