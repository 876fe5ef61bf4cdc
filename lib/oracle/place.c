/* SPDX-License-Identifier: Apache-2.0 */
/* Where the tensors of a check lie, and the canaries around its outputs. */
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "oracle/check.h"

/* ---------------------------------------------------------------- layouts */

/* A tensor at *end, which moves behind it and the guard that follows; 64 elements keep alignment. */
static fl4__tensor place_tensor(const fl4_problem *p, int layout, int64_t H, int64_t S, int64_t *end)
{
  const int64_t pitch = layout == FL4_LAYOUT_ODD ? p->D + 1 : p->D;
  const bool by_sequence = layout == FL4_LAYOUT_BSHD || layout == FL4_LAYOUT_PACKED;
  fl4__tensor t = {.offset = *end, .H = H, .S = S};
  t.stride[0] = H * S * pitch;
  t.stride[1] = by_sequence ? pitch : S * pitch;
  t.stride[2] = by_sequence ? H * pitch : pitch;
  *end += fl4__ceil_div(p->B * H * S * pitch, 64) * 64 + FL4__GUARD;
  return t;
}

/* Q, K and V are heads of one tensor. */
static void place_packed(const fl4_problem *p, fl4__placement *at, int64_t *end)
{
  const fl4__tensor all = place_tensor(p, FL4_LAYOUT_PACKED, p->Hq + 2 * p->Hkv, p->Sq, end);
  at->q = at->k = at->v = all;
  at->q.H = p->Hq, at->k.H = at->v.H = p->Hkv;
  at->k.offset += p->Hq * p->D;
  at->v.offset += (p->Hq + p->Hkv) * p->D;
}

fl4_status fl4__place(const fl4_problem *p, fl4__placement *placement)
{
  fl4__placement at;
  memset(&at, 0, sizeof at);
  if (p->layout == FL4_LAYOUT_PACKED && p->Sq != p->Sk)
    return fl4__fail(FL4_INVALID_ARGUMENT,
                     "fl4_problem.layout: is packed, which needs Sq = Sk, but they are %" PRId64 " and %" PRId64, p->Sq,
                     p->Sk);
  const double rows = (double)p->Hq * (double)p->Sq * 2 + (double)p->Hkv * (double)p->Sk * 2;
  if ((double)p->B * rows * (double)(p->D + 1) > 0x1p60)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem: has more than 2^60 elements");

  int64_t end = FL4__GUARD;
  if (p->layout == FL4_LAYOUT_PACKED) {
    place_packed(p, &at, &end);
  } else {
    at.q = place_tensor(p, p->layout, p->Hq, p->Sq, &end);
    at.k = place_tensor(p, p->layout, p->Hkv, p->Sk, &end);
    at.v = place_tensor(p, p->layout, p->Hkv, p->Sk, &end);
  }
  at.input_elements = end;

  at.output_elements = FL4__GUARD;
  at.o = place_tensor(p, p->layout, p->Hq, p->Sq, &at.output_elements);
  at.lse_offset = FL4__GUARD;
  at.lse_elements = p->B * p->Hq * p->Sq + 2 * FL4__GUARD;
  *placement = at;
  return FL4_OK;
}

/* ---------------------------------------------------------------- canaries */

/* A quiet NaN as fp16, as bf16 and, twice, as fp32, and not one that arithmetic makes. */
static const uint16_t canary = 0xffc5;

void fl4__canary_fill(void *buffer, size_t bytes)
{
  char *to = buffer;
  for (size_t i = 0; i < bytes / 2; i++) memcpy(to + 2 * i, &canary, 2);
  if (bytes % 2) memcpy(to + bytes - 1, &canary, 1);
}

/* The first of elements first … end − 1 that is not the canary, or −1. */
static int64_t find_damage(const void *buffer, int element, int64_t first, int64_t end)
{
  const char *at = buffer;
  const int64_t parts = element / 2;
  for (int64_t i = first * parts; i < end * parts; i++)
    if (memcmp(at + 2 * i, &canary, 2) != 0) return i / parts;
  return -1;
}

int64_t fl4__canary_check_output(const fl4_problem *problem, const fl4__placement *placement, const void *buffer)
{
  const fl4__tensor *o = &placement->o;
  const int element = fl4__dtype_size(problem->dtype);
  /* In all layouts rows follow each other at one distance, in one order or the other. */
  const int64_t rows = problem->B * o->H * o->S, pitch = fl4__min64(o->stride[1], o->stride[2]);
  int64_t damage = find_damage(buffer, element, 0, o->offset);
  for (int64_t r = 0; r < rows && damage < 0 && pitch > problem->D; r++)
    damage = find_damage(buffer, element, o->offset + r * pitch + problem->D, o->offset + (r + 1) * pitch);
  return damage >= 0 ? damage
                     : find_damage(buffer, element, o->offset + rows * (rows ? pitch : 0), placement->output_elements);
}

int64_t fl4__canary_check_lse(const fl4_problem *problem, const fl4__placement *placement, const float *buffer)
{
  /* Without an LSE there must be no write at all. */
  const int64_t n = problem->lse ? placement->lse_elements - 2 * FL4__GUARD : 0;
  const int64_t damage = find_damage(buffer, 4, 0, placement->lse_offset);
  return damage >= 0 ? damage : find_damage(buffer, 4, placement->lse_offset + n, placement->lse_elements);
}
