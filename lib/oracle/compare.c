/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule by which an output is judged: its distance from the fp64 reference may be twice (on
 * average one and a half times) the distance of the same-dtype unfused computation, and a rounding.
 * Every comparison is written so that a NaN fails it.
 */
#include <math.h>
#include <string.h>

#include "oracle/check.h"

void fl4__compare_init(fl4__compare *c, int dtype, int64_t D)
{
  memset(c, 0, sizeof *c);
  c->dtype = dtype;
  c->D = D;
}

void fl4__compare_add(fl4__compare *c, const int64_t at[4], double out, double ref, double low)
{
  const bool finite = isfinite(out) && isfinite(ref);
  const double error = finite ? fabs(out - ref) : (double)INFINITY;
  if (c->n == 0 || error > c->max_error) {
    c->max_error = error;
    memcpy(c->worst, at, sizeof c->worst);
    c->worst_out = out, c->worst_ref = ref;
  }
  c->n++;
  if (!finite) {
    c->nonfinite++;
    return;
  }
  c->sum_error += error;
  /* Where the dtype itself overflows, it excuses nothing. */
  if (isfinite(low)) {
    c->max_low = fmax(c->max_low, fabs(low - ref));
    c->sum_low += fabs(low - ref);
  }
  c->max_ref = fmax(c->max_ref, fabs(ref));
  c->sum_ref += fabs(ref);
  c->sum_out += out, c->sum_out2 += out * out;
  c->sum_ref1 += ref, c->sum_ref2 += ref * ref;
  c->sum_out_ref += out * ref;
}

void fl4__compare_lse(fl4__compare *c, double out, double ref)
{
  if (isfinite(out) && isfinite(ref)) {
    c->max_lse_error = fmax(c->max_lse_error, fabs(out - ref));
    c->max_lse = fmax(c->max_lse, fabs(ref));
  } else if (!(isinf(out) && out == ref)) {
    c->lse_wrong++;
  }
}

void fl4__compare_merge(fl4__compare *into, const fl4__compare *from)
{
  if (from->n > 0 && (into->n == 0 || from->max_error > into->max_error)) {
    into->max_error = from->max_error;
    memcpy(into->worst, from->worst, sizeof into->worst);
    into->worst_out = from->worst_out, into->worst_ref = from->worst_ref;
  }
  into->n += from->n, into->nonfinite += from->nonfinite;
  into->sum_error += from->sum_error;
  into->max_low = fmax(into->max_low, from->max_low), into->sum_low += from->sum_low;
  into->max_ref = fmax(into->max_ref, from->max_ref), into->sum_ref += from->sum_ref;
  into->sum_out += from->sum_out, into->sum_out2 += from->sum_out2;
  into->sum_ref1 += from->sum_ref1, into->sum_ref2 += from->sum_ref2;
  into->sum_out_ref += from->sum_out_ref;
  into->max_lse_error = fmax(into->max_lse_error, from->max_lse_error);
  into->max_lse = fmax(into->max_lse, from->max_lse);
  into->lse_wrong += from->lse_wrong;
}

/* Of two constants: 1 if they are the same, else 0. */
static double correlation_of(const fl4__compare *c)
{
  const double n = (double)c->n;
  const double covariance = c->sum_out_ref - c->sum_out * c->sum_ref1 / n;
  const double spread = (c->sum_out2 - c->sum_out * c->sum_out / n) * (c->sum_ref2 - c->sum_ref1 * c->sum_ref1 / n);
  if (spread > 0) return covariance / sqrt(spread);
  return c->max_error == 0 ? 1 : 0;
}

void fl4__compare_judge(const fl4__compare *c, bool lse, fl4_check_result *result)
{
  const double eps = fl4__epsilon(c->dtype), n = c->n > 0 ? (double)c->n : 1;
  result->finite = c->nonfinite == 0 && (!lse || c->lse_wrong == 0);
  result->max_error = c->max_error;
  result->mean_error = c->nonfinite ? (double)INFINITY : c->sum_error / n;
  result->max_low = c->max_low;
  result->mean_low = c->sum_low / n;
  result->max_allowed = 2 * c->max_low + eps * c->max_ref;
  result->mean_allowed = 1.5 * result->mean_low + eps / 2 * c->sum_ref / n;
  result->accurate = c->nonfinite == 0 && result->max_error <= result->max_allowed &&
                     result->mean_error <= result->mean_allowed;

  result->lse_error = lse ? c->max_lse_error : 0;
  result->lse_allowed = lse ? 1e-3 + (double)(c->D / 16 + 3) * 0x1p-23 * c->max_lse : 0;
  result->lse_accurate = !lse || (c->lse_wrong == 0 && c->max_lse_error <= result->lse_allowed);

  result->correlation = c->n > 0 ? correlation_of(c) : 1;
  result->scale = c->sum_ref2 > 0 ? c->sum_out_ref / c->sum_ref2 : c->sum_out2 > 0 ? 0 : 1;
  memcpy(result->worst, c->worst, sizeof result->worst);
  result->worst_out = c->worst_out, result->worst_ref = c->worst_ref;
}
