/* SPDX-License-Identifier: Apache-2.0 */
/* Where the tensors of a check lie, and the canaries around its outputs. */
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "oracle/check.h"

/* ---------------------------------------------------------------- layouts */

/* Room at *end, which moves behind it and the guard that follows; 64 elements keep alignment. */
static int64_t place_elements(int64_t elements, int64_t *end)
{
  const int64_t at = *end;
  *end += fl4__ceil_div(elements, 64) * 64 + FL4__GUARD;
  return at;
}

static fl4__tensor place_tensor(const fl4_problem *p, int layout, const int64_t n[3], int64_t *end)
{
  const int64_t B = n[0], H = n[1], S = n[2], pitch = layout == FL4_LAYOUT_ODD ? p->D + 1 : p->D;
  const bool by_sequence = layout == FL4_LAYOUT_BSHD || layout == FL4_LAYOUT_PACKED;
  fl4__tensor t = {.B = B, .H = H, .S = S};
  t.stride[0] = H * S * pitch;
  t.stride[1] = by_sequence ? pitch : S * pitch;
  t.stride[2] = by_sequence ? H * pitch : pitch;
  t.offset = place_elements(B * H * S * pitch, end);
  return t;
}

/* Q, K and V are heads of one tensor. */
static void place_packed(const fl4_problem *p, const int64_t n[3], fl4__placement *at, int64_t *end)
{
  const int64_t heads[3] = {n[0], p->Hq + 2 * p->Hkv, n[2]};
  const fl4__tensor all = place_tensor(p, FL4_LAYOUT_PACKED, heads, end);
  at->q = at->k = at->v = all;
  at->q.H = p->Hq, at->k.H = at->v.H = p->Hkv;
  at->k.offset += p->Hq * p->D;
  at->v.offset += (p->Hq + p->Hkv) * p->D;
}

/* Something that is not of the problem's type. */
static int64_t place_bytes(const fl4_problem *p, int64_t bytes, int64_t *end)
{
  return place_elements(fl4__ceil_div(bytes, fl4__dtype_size(p->dtype)), end);
}

static void place_bias(const fl4_problem *p, fl4__placement *at, int64_t *end)
{
  const int64_t n[4] = {p->B, p->Hq, p->Sq, p->Sk};
  int64_t elements = 1;
  for (int i = 0; i < 4; i++) elements *= at->bias_size[i] = p->bias_shared >> i & 1 ? 1 : n[i];
  at->bias = place_bytes(p, elements * fl4__bias_size(p->bias - 1), end);
}

static void place_others(const fl4_problem *p, fl4__placement *at, int64_t *end)
{
  const bool used = p->lens || (p->ragged && p->page_size);
  if (p->alibi) at->slopes = place_bytes(p, p->Hq * 4, end);
  if (p->sinks) at->sinks = place_bytes(p, p->Hq * 4, end);
  if (p->bias) place_bias(p, at, end);
  if (p->ragged) at->cu_q = place_bytes(p, (p->B + 1) * 4, end);
  if (p->ragged && !p->page_size) at->cu_k = place_bytes(p, (p->B + 1) * 4, end);
  if (used) at->used_k = place_bytes(p, p->B * 4, end);
  if (p->page_size) at->table = place_bytes(p, p->B * at->columns * 4, end);
}

/* Pages of the pool: some are left over. */
static int64_t page_count(const fl4_problem *p, int64_t columns)
{
  const int64_t used = p->B * columns;
  return used + used / 16 + 1;
}

/* Sizes of q and o, and of k and v, as they lie in memory. */
static void sizes_in_memory(const fl4_problem *p, int64_t columns, int64_t q[3], int64_t kv[3])
{
  q[0] = p->B, q[1] = p->Hq, q[2] = p->Sq;
  kv[0] = p->B, kv[1] = p->Hkv, kv[2] = p->Sk;
  if (p->ragged) {
    q[0] = kv[0] = 1, q[2] = kv[2] = 0;
    for (int64_t b = 0; b < p->B; b++) {
      const fl4__lengths l = fl4__problem_lengths(p, b);
      q[2] += l.queries, kv[2] += l.room;
    }
  }
  if (p->page_size) kv[0] = page_count(p, columns), kv[2] = p->page_size;
}

fl4_status fl4__place(const fl4_problem *p, fl4__placement *placement)
{
  fl4__placement at;
  memset(&at, 0, sizeof at);
  if (p->layout == FL4_LAYOUT_PACKED && p->Sq != p->Sk)
    return fl4__fail(FL4_INVALID_ARGUMENT,
                     "fl4_problem.layout: is packed, which needs Sq = Sk, but they are %" PRId64 " and %" PRId64, p->Sq,
                     p->Sk);
  if (p->page_size) at.columns = fl4__ceil_div(p->Sk, p->page_size);
  int64_t q[3], kv[3];
  sizes_in_memory(p, at.columns, q, kv);
  const double rows = (double)q[0] * (double)q[1] * (double)q[2] + (double)kv[0] * (double)kv[1] * (double)kv[2];
  const double bias = p->bias ? (double)p->B * (double)p->Hq * (double)p->Sq * (double)p->Sk : 0;
  if (2 * rows * (double)(p->D + 1) + 2 * bias > 0x1p60)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem: has more than 2^60 elements");

  int64_t end = FL4__GUARD;
  if (p->layout == FL4_LAYOUT_PACKED) {
    place_packed(p, q, &at, &end);
  } else {
    at.q = place_tensor(p, p->layout, q, &end);
    at.k = place_tensor(p, p->layout, kv, &end);
    at.v = place_tensor(p, p->layout, kv, &end);
  }
  place_others(p, &at, &end);
  at.input_elements = end;

  at.output_elements = FL4__GUARD;
  at.o = place_tensor(p, p->layout, q, &at.output_elements);
  at.lse_offset = FL4__GUARD;
  at.lse_elements = q[0] * q[1] * q[2] + 2 * FL4__GUARD;
  *placement = at;
  return FL4_OK;
}

/* ---------------------------------------------------------------- calls */

static void *at_element(void *base, int64_t elements, int size)
{
  return (char *)base + elements * size;
}

/* What lies at an offset of the input buffer; at 0 there is nothing. */
static const void *other(const fl4_problem *p, const void *input, int64_t offset)
{
  return offset ? (const char *)input + offset * fl4__dtype_size(p->dtype) : NULL;
}

static void scores_args(const fl4_problem *p, const fl4__placement *where, const void *input, fl4_attention_args *a)
{
  a->window_left = p->window_left, a->window_right = p->window_right;
  a->softcap = p->softcap;
  a->alibi_slopes = other(p, input, where->slopes);
  a->sinks = other(p, input, where->sinks);
  if (!p->bias) return;
  a->bias = other(p, input, where->bias);
  a->bias_type = p->bias - 1;
  int64_t stride = 1;
  for (int i = 3; i >= 0; stride *= where->bias_size[i--]) a->bias_stride[i] = p->bias_shared >> i & 1 ? 0 : stride;
}

static void lengths_args(const fl4_problem *p, const fl4__placement *where, const void *input, fl4_attention_args *a)
{
  a->cu_seqlens_q = other(p, input, where->cu_q);
  a->cu_seqlens_k = other(p, input, where->cu_k);
  a->seqused_k = other(p, input, where->used_k);
  a->block_table = other(p, input, where->table);
  a->page_size = p->page_size;
  if (where->cu_q) a->total_q = where->q.S;
  if (where->cu_k) a->total_k = where->k.S;
  if (p->page_size) a->n_pages = where->k.B;
}

fl4_attention_args fl4__placement_args(const fl4_problem *p, const fl4__placement *where, void *input, void *output,
                                       void *lse)
{
  const int element = fl4__dtype_size(p->dtype);
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.dtype = p->dtype, a.mask = p->mask, a.scale = p->scale, a.flags = p->flags;
  a.B = p->B, a.Hq = p->Hq, a.Hkv = p->Hkv, a.Sq = p->Sq, a.Sk = p->Sk, a.D = p->D;
  a.q = at_element(input, where->q.offset, element);
  a.k = at_element(input, where->k.offset, element);
  a.v = at_element(input, where->v.offset, element);
  a.o = at_element(output, where->o.offset, element);
  a.lse = p->lse ? at_element(lse, where->lse_offset, sizeof(float)) : NULL;
  memcpy(a.q_stride, where->q.stride, sizeof a.q_stride);
  memcpy(a.k_stride, where->k.stride, sizeof a.k_stride);
  memcpy(a.v_stride, where->v.stride, sizeof a.v_stride);
  memcpy(a.o_stride, where->o.stride, sizeof a.o_stride);
  scores_args(p, where, input, &a);
  lengths_args(p, where, input, &a);
  return a;
}

/* Alignment is a matter of where rows begin, so it takes addresses: those of a buffer at 4096. */
fl4_status fl4__problem_call(const fl4_problem *problem, fl4__problem *call)
{
  void *const base = (void *)(uintptr_t)4096; /* never read */
  fl4__placement placement;
  fl4_fwd_params params;
  FL4_TRY(fl4__place(problem, &placement));
  fl4_attention_args args = fl4__placement_args(problem, &placement, base, base, base);
  args.scale = 0; /* a problem may have one that a call refuses; what it is makes no difference */
  return fl4__problem_from_args(&args, FL4__NEED_SHAPE, call, &params);
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
  const int64_t rows = o->B * o->H * o->S, pitch = fl4__min64(o->stride[1], o->stride[2]);
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
