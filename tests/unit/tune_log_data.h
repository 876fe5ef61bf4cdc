/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the tuning log: candidates, and what comes back of them. */
#ifndef FL4_TEST_TUNE_LOG_DATA_H
#define FL4_TEST_TUNE_LOG_DATA_H

#include <math.h>

#include "scratch.h"
#include "tune/log.h"

/* ---------------------------------------------------------------- what is written */

static inline fl4__tune_subject subject_of(const char *problem)
{
  fl4__variant v;
  ck_assert_fl4(fl4__variant_parse("host:bm=48,bn=64,threads=0", &v));
  fl4__tune_subject s = {.device = "host avx2 2T",
                         .family = v.family,
                         .space_hash = 0x123456789abcdef0,
                         .mode = "host",
                         .inputs = "normal"};
  snprintf(s.problem, sizeof s.problem, "%s", problem);
  return s;
}

/* One of 4 × 4 variants. */
static inline fl4_tune_candidate candidate_of(int n)
{
  static const int bm[] = {4, 12, 24, 48}, bn[] = {32, 64, 128, 256};
  fl4_tune_candidate c = FL4_TUNE_CANDIDATE_INIT;
  snprintf(c.variant, sizeof c.variant, "host:bm=%d,bn=%d,threads=2", bm[n / 4 % 4], bn[n % 4]);
  c.evaluation = n;
  c.p50 = 100.1 + n / 3.0;
  c.p50_low = c.p50 * 0.99;
  c.p50_high = c.p50 / 0.99;
  c.samples = 12 + n;
  c.max_error = 1e-7 * n;
  c.compile_ms = 0.5 * n;
  c.registers = 3 * n;
  c.spill_bytes = 4 * n;
  c.smem_bytes = 1024 * n;
  c.same_as = n % 2 ? n - 1 : -1;
  c.kernel_hash = 0xfedcba9876543210 + (uint64_t)n;
  return c;
}

static inline fl4_tune_candidate failed_of(int n, fl4_invalidity how, const char *why)
{
  fl4_tune_candidate c = candidate_of(n);
  c.invalidity = how;
  c.p50 = c.p50_low = c.p50_high = c.max_error = (double)NAN;
  c.samples = 0;
  snprintf(c.error, sizeof c.error, "%s", why);
  return c;
}

/* ---------------------------------------------------------------- what comes back */

enum { MOST = 4096 };

typedef struct found {
  int n;
  fl4_tune_candidate c[MOST];
} found;

static found back;

static inline fl4_status take(const fl4_tune_candidate *candidate, void *user)
{
  found *f = user;
  ck_assert_int_lt(f->n, MOST);
  f->c[f->n++] = *candidate;
  return FL4_OK;
}

static inline fl4_status try_open(const char *file, const char *problem, fl4__tune_log **log)
{
  const fl4__tune_subject subject = subject_of(problem);
  back.n = 0;
  return fl4__tune_log_open(file, &subject, take, &back, log);
}

static inline fl4__tune_log *opened(const char *file, const char *problem)
{
  fl4__tune_log *log = NULL;
  ck_assert_fl4(try_open(file, problem, &log));
  ck_assert_ptr_nonnull(log);
  return log;
}

static inline void read_back(const char *file, const char *problem)
{
  fl4__tune_log_close(opened(file, problem));
}

static inline bool same_real(double x, double y)
{
  return x == y || (isnan(x) && isnan(y));
}

static inline void ck_assert_same(const fl4_tune_candidate *a, const fl4_tune_candidate *b)
{
  ck_assert_str_eq(a->variant, b->variant);
  ck_assert_str_eq(a->error, b->error);
  ck_assert(a->evaluation == b->evaluation && a->invalidity == b->invalidity && a->samples == b->samples);
  ck_assert(same_real(a->p50, b->p50) && same_real(a->p50_low, b->p50_low) && same_real(a->p50_high, b->p50_high));
  ck_assert(same_real(a->max_error, b->max_error) && a->compile_ms == b->compile_ms);
  ck_assert(a->registers == b->registers && a->spill_bytes == b->spill_bytes && a->smem_bytes == b->smem_bytes);
  ck_assert(a->same_as == b->same_as && a->kernel_hash == b->kernel_hash);
}

static inline void write_one(fl4__tune_log *log, const fl4_tune_candidate *c)
{
  const double samples[] = {100, 101.5, (double)NAN, 99};
  ck_assert_fl4(fl4__tune_log_begin(log, c->variant, c->evaluation));
  ck_assert_fl4(fl4__tune_log_end(log, c, samples, c->invalidity == FL4_INVALIDITY_CORRECT ? 4 : 0));
}

#endif
