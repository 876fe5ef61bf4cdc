/* SPDX-License-Identifier: Apache-2.0 */
/* How long the sequences of a problem are, and how much work it is. */
#include "problem.h"

/* ---------------------------------------------------------------- lengths */

/* The upper 32 bits of SplitMix64's finisher: the same draw on every machine. */
static int64_t draw(uint64_t x)
{
  x = (x + 1) * 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return (int64_t)((x ^ x >> 31) >> 32);
}

static int64_t length(int32_t kind, int64_t S, int64_t b, int64_t drawn)
{
  enum { SHARE = 1024 };
  if (kind == FL4_LENGTHS_DRAWN) return drawn * (S + 1) >> 32;
  if (kind == FL4_LENGTHS_ONE && b > 0) return fl4__min64(S, fl4__max64(S / SHARE, 1));
  return S;
}

fl4__lengths fl4__problem_lengths(const fl4_problem *p, int64_t b)
{
  const int64_t drawn = draw(2 * (uint64_t)b), drawn_keys = draw(2 * (uint64_t)b + 1);
  fl4__lengths l = {length(p->ragged, p->Sq, b, drawn), length(p->ragged, p->Sk, b, drawn), 0};
  l.keys = fl4__min64(l.room, length(p->lens, p->Sk, b, drawn_keys));
  return l;
}

/* ---------------------------------------------------------------- work */

/* Of one sequence: pairs of a query and a key, of one head; keys that some query sees. */
typedef struct work {
  double pairs, queries, keys;
} work;

/* Σ over i < n of min(max(i + c, 0), most). */
static double ramp(int64_t n, int64_t c, int64_t most)
{
  const int64_t first = fl4__min64(fl4__max64(-c, 0), n), end = fl4__max64(first, fl4__min64(most - c, n));
  const double rising = (double)(end - first);
  return rising * (double)(first + c) + rising * (rising - 1) / 2 + (double)(n - end) * (double)most;
}

static work work_of(const fl4_problem *p, int64_t b)
{
  const fl4__lengths l = fl4__problem_lengths(p, b);
  const int64_t n = l.queries, keys = l.keys, diagonal = keys - n; /* of the first query */
  const bool window = p->mask == FL4_MASK_WINDOW;
  const int64_t right = window ? p->window_right : p->mask == FL4_MASK_CAUSAL ? 0 : -1;
  const int64_t left = window ? p->window_left : -1;
  work w = {(double)n * (double)keys, (double)n, (double)keys};
  /* A query sees the keys up to its last one, but for those before its first. */
  if (right >= 0) w.pairs = ramp(n, diagonal + right + 1, keys);
  if (left < 0) return w;
  w.pairs -= ramp(n, diagonal - left, keys);
  w.keys = n ? (double)(keys - fl4__min64(fl4__max64(diagonal - left, 0), keys))
             : 0; /* the last query sees the last one */
  return w;
}

/* Bias values for a sequence: of each pair, unless a row or a column shares one. */
static double bias_values(const fl4_problem *p, const work *w)
{
  const bool rows = !(p->bias_shared & 4), columns = !(p->bias_shared & 8);
  const double of_head = rows && columns ? w->pairs : rows ? w->queries : columns ? w->keys : 1;
  return of_head * (p->bias_shared & 2 ? 1 : (double)p->Hq);
}

/* All sequences: one stands for all, unless their lengths differ. */
typedef struct total {
  double pairs, queries, keys, bias;
} total;

static total work_in_all(const fl4_problem *p)
{
  total t = {0};
  const bool alike = !p->ragged && !p->lens;
  const double times = alike ? (double)p->B : 1;
  for (int64_t b = 0; b < (alike ? fl4__min64(p->B, 1) : p->B); b++) {
    const work w = work_of(p, b);
    const double bias = p->bias ? bias_values(p, &w) : 0;
    t.pairs += times * w.pairs, t.queries += times * w.queries, t.keys += times * w.keys;
    if (!(p->bias_shared & 1))
      t.bias += times * bias;
    else if (bias > t.bias)
      t.bias = bias;
  }
  return t;
}

double fl4_problem_flops(const fl4_problem *problem)
{
  fl4_problem p;
  if (fl4__problem_validate(problem, &p) != FL4_OK) return 0;
  return 4.0 * (double)p.D * (double)p.Hq * work_in_all(&p).pairs;
}

double fl4_problem_bytes(const fl4_problem *problem)
{
  fl4_problem p;
  if (fl4__problem_validate(problem, &p) != FL4_OK) return 0;
  const total t = work_in_all(&p);
  const double rows = (double)p.Hq * t.queries; /* of Q and of O */
  const double keys = (double)p.Hkv * t.keys;   /* of K and of V */
  return 2 * (rows + keys) * (double)p.D * fl4__dtype_size(p.dtype) + (p.lse ? 4 * rows : 0) +
         t.bias * (p.bias ? fl4__bias_size(p.bias - 1) : 0);
}
