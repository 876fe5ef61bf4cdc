/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both families against the oracles on the GPU: the parity grid, and everything off its beaten track. All cases are listed
 * first, so that their kernels can be compiled ahead; then each is a test by itself. What does not get its turn in time
 * is told at the end. ($FL4_PARITY_SECONDS, of the checks; 300)
 */
#include "ahead.h"

#include <stdarg.h>

#include "families/families.h"

enum { MOST_CASES = 2000 };

static ahead_job cases[MOST_CASES];
static int inputs_of[MOST_CASES];
static int n_cases, n_left_out;

static fl4_context *ctx;
static char cache_dir[64];
static double started_ms, seconds = 300;
static double slowest_ms;
static int slowest;

__attribute__((format(printf, 3, 4))) static void add(const char *variant, int inputs, const char *format, ...)
{
  va_list args;
  if (n_cases == MOST_CASES) abort();
  ahead_job *job = &cases[n_cases];
  va_start(args, format);
  vsnprintf(job->line, sizeof job->line, format, args);
  va_end(args);
  job->variant = variant, inputs_of[n_cases++] = inputs;
}

static void open_shared(void)
{
  const char *asked = getenv("FL4_PARITY_SECONDS");
  if (asked) seconds = atof(asked);
  make_temporary(cache_dir, sizeof cache_dir);
  ahead_all(cache_dir);
  ctx = ahead_context(NULL, 0, cache_dir);
  ck_assert_ptr_nonnull(ctx);
  started_ms = fl4__now_ms();
}

static void close_shared(void)
{
  fl4_cache_info info = FL4_CACHE_INFO_INIT;
  ck_assert_fl4(fl4_context_get_cache_info(ctx, &info));
  printf("# %d cases in %.0f s, %lld kernels, of which %lld were not compiled ahead; slowest %.1f s: %s %s\n",
         n_cases - n_left_out, (fl4__now_ms() - started_ms) / 1e3, (long long)info.kernels_loaded,
         (long long)info.compiled, slowest_ms / 1e3, cases[slowest].variant, cases[slowest].line);
  fl4_context_destroy(&ctx);
  remove_temporary(cache_dir);
}

/* ---------------------------------------------------------------- a case */

/* What fwd_wgmma leaves to fwd_mma, and says so. */
static const char *refusal(const char *variant, const fl4_problem *p)
{
  if (strncmp(variant, "fwd_wgmma", 9) != 0) return NULL;
  return p->layout == FL4_LAYOUT_ODD ? "rows are not aligned" : p->Sk == 0 ? "there are no keys" : NULL;
}

static void check_case(const ahead_job *job, int inputs)
{
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_check_options options = FL4_CHECK_OPTIONS_INIT;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  options.seed = 42, options.inputs = inputs;
  ck_assert_fl4(fl4_problem_parse(job->line, &problem));
  ck_assert_fl4(fl4__variant_parse(job->variant, &ctx->forced));
  const char *reason = refusal(job->variant, &problem);
  if (reason) {
    ck_assert_fl4_fails(fl4_check(ctx, &problem, &options, &r), FL4_UNSUPPORTED, reason);
    return;
  }
  const fl4_status status = fl4_check(ctx, &problem, &options, &r);
  ck_assert_msg(status == FL4_OK, "%s, %s: %s", job->variant, job->line, fl4_last_error());
  ck_assert_msg(r.passed,
                "%s (%s), %s, %s: finite %d canaries %d deterministic %d accurate %d lse %d; max %g of %g, mean %g of "
                "%g, lse %g of %g; at [%d %d %d %d] %g, should be %g",
                job->line, fl4_inputs_name((fl4_inputs)inputs), r.variant, r.oracle, r.finite, r.canaries,
                r.deterministic, r.accurate, r.lse_accurate, r.max_error, r.max_allowed, r.mean_error, r.mean_allowed,
                r.lse_error, r.lse_allowed, (int)r.worst[0], (int)r.worst[1], (int)r.worst[2], (int)r.worst[3],
                r.worst_out, r.worst_ref);
}

static void run_case(int i)
{
  const double start = fl4__now_ms();
  if (start - started_ms > seconds * 1e3) {
    n_left_out++;
    return;
  }
  check_case(&cases[i], inputs_of[i]);
  const double ms = fl4__now_ms() - start;
  if (ms > slowest_ms) slowest_ms = ms, slowest = i;
}

/* ---------------------------------------------------------------- the lists, each for a family */

static void list_smoke(const char *family)
{
  for (size_t i = 0; i < fl4_shapes_count("smoke"); i++)
    add(family, FL4_INPUTS_NORMAL, "%s", fl4_shapes_line("smoke", i));
}

/* Of the grid's twelve batches, heads and masks of each length, D and dtype every third: all four times, in turn. */
static void list_parity(const char *family)
{
  for (size_t i = 0; i < fl4_shapes_count("parity"); i++)
    if ((i + i / 12) % 3 == 0) add(family, FL4_INPUTS_NORMAL, "%s", fl4_shapes_line("parity", i));
}

static void list_extreme(const char *family)
{
  for (size_t i = 0; i < fl4_shapes_count("extreme"); i++)
    add(family, FL4_INPUTS_NORMAL, "%s", fl4_shapes_line("extreme", i));
}

static void list_head_dims(const char *family)
{
  for (int D = 8; D <= 256; D += 8) {
    add(family, FL4_INPUTS_NORMAL, "b1hq4hkv2sq203sk333d%d:bf16:causal:lse", D);
    add(family, FL4_INPUTS_NORMAL, "b2hq2sq113sk97d%d:lse%s", D, strcmp(family, "fwd_mma") == 0 ? ":odd" : "");
  }
}

/*
 * Of each class of head dimensions both dtypes and masks, with log-sum-exp and without, on a grid that fills the GPU several
 * times and on one that leaves most of it idle. Lengths are no multiples of tiles, either side is the longer one, with
 * a causal mask rows without a key among them; 1, 4, 8 or all query heads share a key head.
 */
static void list_classes(const char *family)
{
  if (strcmp(family, "fwd_wgmma") != 0) return; /* the others have their own tests of all this */
  static const int D[] = {8, 40, 64, 72, 80, 96, 128, 136, 160, 192, 256};
  static const char *const large[] = {"b3hq32hkv8sq321sk500", "b5hq16sq500sk321", "b2hq64hkv8sq333sk217",
                                      "b6hq16hkv1sq260sk389"};
  static const char *const small[] = {"b1hq8hkv1sq65sk191", "b2hq4hkv1sq150sk90", "b1hq2sq77sk1111",
                                      "b1hq16hkv2sq129sk130"};
  int turn = 0;
  for (int i = 0; i < 11; i++)
    for (int kind = 0; kind < 8; kind++, turn++) {
      const char *words[] = {kind & 1 ? ":bf16" : "", kind & 2 ? ":causal" : "", kind & 4 ? ":lse" : ""};
      const int which = (turn + turn / 8) % 4;
      add(family, FL4_INPUTS_NORMAL, "%sd%d%s%s%s", large[which], D[i], words[0], words[1], words[2]);
      add(family, FL4_INPUTS_NORMAL, "%sd%d%s%s%s", small[(which + 1) % 4], D[i], words[0], words[1], words[2]);
    }
}

/* Every pair of odd sizes, with and without mask. */
static void list_odd_sizes(const char *family)
{
  static const int sizes[] = {1, 17, 113, 203, 1023, 1025};
  for (int q = 0; q < 6; q++)
    for (int k = 0; k < 6; k++)
      for (int causal = 0; causal < 2; causal++)
        add(family, FL4_INPUTS_NORMAL, "b1hq2sq%dsk%dd128:lse%s", sizes[q], sizes[k], causal ? ":causal" : "");
}

/* All kinds of inputs; "scale=" multiplies all scores by about 30 on top. */
static void list_inputs(const char *family)
{
  static const char *const lines[] = {
      "b2hq4sq512sk512d128:lse",       "b2hq4sq512sk512d64:bf16:causal:lse", "b1hq8hkv2sq333sk777d80:causal:lse",
      "b1hq2sq260sk4096d128:bf16:lse", "b1hq2sq1000sk1000d256:causal:lse",   "b4hq16sq700d64:lse",
      "b4hq16sq700d128:causal:lse",    "b4hq16sq400sk900d192:bf16:causal",   "b2hq4sq512sk512d64:causal:lse:scale=4",
  };
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    for (int inputs = 0; inputs < FL4_INPUTS_COUNT; inputs++) add(family, inputs, "%s", lines[i]);
}

static void list_groups_and_layouts(const char *family)
{
  static const char *const lines[] = {
      "b2hq32hkv8sq512d128:bf16:causal:lse",
      "b3hq12hkv1sq257sk511d64:lse",
      "b2hq6hkv3sq200d96:bshd:lse",
      "b2hq8hkv2sq300d128:packed:causal:lse",
      "b2hq8hkv2sq300d72:bf16:packed:lse",
      "b1hq4sq129sk65d40:bshd:causal:lse",
      "b6hq24sq333d64:bshd:causal",
      "b4hq20hkv4sq410d256:packed:lse",
      "b2hq4hkv2sq100sk1000d128:odd:causal",
      "b5hq3sq64sk64d16:bf16:odd",
      "b1hq1sq5000sk40d64:causal:lse",
      "b1hq3sq5000sk4d192:causal:lse",
      "b1hq2sq300sk0d64:lse",
      "b1hq2sq0sk64d64:lse",
      "b0hq2sq64d64:lse",
      "b1hq2sq256d64:scale=1e-6:lse",
      "b1hq2sq256d64:scale=3:causal:lse",
  };
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) add(family, FL4_INPUTS_NORMAL, "%s", lines[i]);
}

/* ---------------------------------------------------------------- variants */

/* Each value of each parameter at least once, also where it is not the default: all_values_ran sees to it. */
static const char *const variants[] = {
    "fwd_mma:bm=16,bn=16,warps=1,stages=2,qreg=0,slice=16,weave=0,kgroups=1,splits=1,ctas=1",
    "fwd_mma:bm=32,bn=32,warps=1,stages=3,qreg=1,slice=16,weave=1,kgroups=1,splits=2,ctas=1",
    "fwd_mma:bm=32,bn=48,warps=2,stages=4,qreg=1,slice=48,weave=0,kgroups=1,splits=4,ctas=2",
    "fwd_mma:bm=64,bn=64,warps=2,stages=2,qreg=0,slice=32,weave=1,kgroups=1,splits=1,ctas=2",
    "fwd_mma:bm=64,bn=80,warps=4,stages=2,qreg=1,slice=80,weave=0,kgroups=1,splits=8,ctas=1",
    "fwd_mma:bm=128,bn=96,warps=8,stages=2,qreg=0,slice=96,weave=0,kgroups=1,splits=1,ctas=1",
    "fwd_mma:bm=128,bn=128,warps=8,stages=2,qreg=0,slice=128,weave=0,kgroups=1,splits=1,ctas=1",
    "fwd_mma:bm=256,bn=64,warps=8,stages=3,qreg=0,slice=16,weave=0,kgroups=1,splits=16,ctas=1",
    "fwd_mma:bm=32,bn=64,warps=4,stages=2,qreg=1,slice=16,weave=1,kgroups=2,splits=32,ctas=3",
    "fwd_mma:bm=16,bn=64,warps=4,stages=2,qreg=0,slice=16,weave=0,kgroups=4,splits=2,ctas=4",
    "fwd_mma:bm=64,bn=32,warps=4,stages=4,qreg=1,slice=32,weave=0,kgroups=1,splits=1,ctas=3",
    "fwd_mma:bm=64,bn=16,warps=4,stages=3,qreg=0,slice=16,weave=0,kgroups=1,splits=1,ctas=4",
    "fwd_mma:bm=64,bn=128,warps=8,stages=2,qreg=1,slice=32,weave=1,kgroups=2,splits=1,ctas=1",
    "fwd_mma:bm=32,bn=128,warps=8,stages=2,qreg=1,slice=32,weave=0,kgroups=4,splits=4,ctas=1",
    "fwd_mma:bm=64,bn=64,warps=4,stages=2,qreg=1,slice=64,weave=0,kgroups=1,share=0,splits=1,ctas=2",
    "fwd_wgmma:groups=1,bn=48,stages=2,qbuf=1,pingpong=0,sched=0,splits=1,pack=1",
    "fwd_wgmma:groups=1,bn=192,stages=2,qbuf=2,pingpong=0,sched=1,splits=1,pack=1",
    "fwd_wgmma:groups=1,bn=128,stages=3,qbuf=1,pingpong=1,sched=2,splits=1,pack=1",
    "fwd_wgmma:groups=2,bn=64,stages=3,qbuf=2,pingpong=1,sched=1,splits=1,pack=1",
    "fwd_wgmma:groups=2,bn=80,stages=4,qbuf=1,pingpong=0,sched=2,splits=1,pack=1",
    "fwd_wgmma:groups=2,bn=96,stages=2,qbuf=2,pingpong=1,sched=2,splits=1,pack=1",
    "fwd_wgmma:groups=2,bn=112,stages=3,qbuf=1,pingpong=1,sched=1,splits=1,pack=1",
    "fwd_wgmma:groups=2,bn=128,stages=2,qbuf=2,pingpong=0,sched=2,splits=1,pack=1",
    "fwd_wgmma:groups=2,bn=144,stages=2,qbuf=1,pingpong=1,sched=2,splits=1,pack=1",
    "fwd_wgmma:groups=2,bn=160,stages=2,qbuf=2,pingpong=1,sched=1,splits=1,pack=1",
    "fwd_wgmma:groups=2,bn=176,stages=2,qbuf=1,pingpong=0,sched=1,splits=1,pack=1",
    "fwd_wgmma:groups=2,bn=192,stages=2,qbuf=1,pingpong=1,sched=0,splits=1,pack=1",
    "fwd_wgmma:groups=3,bn=48,stages=4,qbuf=2,pingpong=1,sched=2,splits=1,pack=1",
    "fwd_wgmma:groups=3,bn=64,stages=3,qbuf=2,pingpong=0,sched=1,splits=1,pack=1",
    "fwd_wgmma:groups=3,bn=80,stages=2,qbuf=1,pingpong=1,sched=2,splits=1,pack=1",
    "fwd_wgmma:groups=3,bn=112,stages=2,qbuf=2,pingpong=1,sched=0,splits=1,pack=1",
    "fwd_wgmma:groups=3,bn=128,stages=2,qbuf=1,pingpong=1,sched=1,splits=1,pack=1",
    "fwd_wgmma:groups=4,bn=48,stages=2,qbuf=2,pingpong=1,sched=2,splits=1,pack=1",
    "fwd_wgmma:groups=4,bn=64,stages=4,qbuf=1,pingpong=0,sched=1,splits=1,pack=1",
    "fwd_wgmma:groups=4,bn=64,stages=3,qbuf=2,pingpong=1,sched=0,splits=1,pack=1",
};
enum { N_VARIANTS = sizeof variants / sizeof *variants };

/* Warps that share rows, of all widths that they take, with tiles that are full, partial, masked and hidden. */
static const char *const sharing_rows[] = {
    "fwd_mma:bm=128,bn=64,warps=8,stages=2,qreg=0,slice=32,weave=0,kgroups=1,share=1,splits=1,ctas=1",
    "fwd_mma:bm=64,bn=32,warps=4,stages=3,qreg=0,slice=16,weave=0,kgroups=1,share=1,splits=1,ctas=2",
    "fwd_mma:bm=128,bn=128,warps=8,stages=2,qreg=0,slice=64,weave=0,kgroups=1,share=1,splits=1,ctas=1",
};
static const char *const shared_rows[] = {"b2hq3sq333sk517d256:causal:lse", "hq2sq300sk130d256:bf16:lse",
                                          "b2hq5hkv5sq640d192", "hq6hkv2sq257sk800d128:bf16:causal:lse",
                                          "b3hq8sq130sk700d64:bf16:causal"};
enum {
  N_SHARING_ROWS = sizeof sharing_rows / sizeof *sharing_rows,
  N_SHARED_ROWS = sizeof shared_rows / sizeof *shared_rows
};

/* Blocks that share keys, and rows of several heads. */
static const char *const sharing[] = {
    "fwd_wgmma:groups=1,bn=64,stages=2,qbuf=1,pingpong=0,sched=0,splits=2,pack=64",
    "fwd_wgmma:groups=1,bn=128,stages=2,qbuf=1,pingpong=0,sched=0,splits=3,pack=32",
    "fwd_wgmma:groups=2,bn=64,stages=3,qbuf=1,pingpong=1,sched=0,splits=4,pack=16",
    "fwd_wgmma:groups=2,bn=80,stages=2,qbuf=1,pingpong=0,sched=0,splits=6,pack=8",
    "fwd_wgmma:groups=1,bn=48,stages=4,qbuf=1,pingpong=0,sched=0,splits=8,pack=4",
    "fwd_wgmma:groups=3,bn=64,stages=2,qbuf=1,pingpong=1,sched=0,splits=12,pack=2",
    "fwd_wgmma:groups=1,bn=64,stages=2,qbuf=1,pingpong=0,sched=0,splits=16,pack=1",
    "fwd_wgmma:groups=2,bn=128,stages=2,qbuf=1,pingpong=1,sched=0,splits=24,pack=64",
    "fwd_wgmma:groups=1,bn=96,stages=2,qbuf=1,pingpong=0,sched=0,splits=32,pack=8",
    "fwd_wgmma:groups=2,bn=64,stages=2,qbuf=2,pingpong=1,sched=1,splits=1,pack=16",
    "fwd_wgmma:groups=3,bn=48,stages=3,qbuf=1,pingpong=1,sched=2,splits=1,pack=4",
};
static const char *const shared_keys[] = {"b2hq128hkv2sq3sk1700d64:bf16:lse", "hq64hkv1sq37sk2900d128:causal:lse",
                                          "b3hq64hkv1sq130sk700d96:bf16:causal"};
enum { N_SHARING = sizeof sharing / sizeof *sharing, N_SHARED_KEYS = sizeof shared_keys / sizeof *shared_keys };

/* Grids of some blocks; and, where a block may take several row tiles, of some hundred. */
static const char *const few_blocks[] = {"b2hq3sq333sk517d64:causal:lse", "b1hq2sq257sk130d96:bf16:lse"};
static const char *const many_blocks[] = {"b5hq16hkv4sq333sk517d64:causal:lse", "b5hq16sq257sk130d96:bf16:lse",
                                          "b9hq16hkv2sq300sk700d128", "b6hq24sq300sk300d256:bf16:causal"};

/* What the device cannot hold is not a case: no variant holds for all head dimensions. */
static void add_if_it_fits(const char *variant, const char *line)
{
  fl4_problem given = FL4_PROBLEM_INIT;
  fl4_device_info device = FL4_DEVICE_INFO_INIT;
  fl4__variant forced, chosen;
  fl4__problem p;
  memset(&p, 0, sizeof p);
  if (fl4_problem_parse(line, &given) || fl4_device_get_info(0, &device) || fl4__variant_parse(variant, &forced))
    abort();
  p.B = given.B, p.Hq = given.Hq, p.Hkv = given.Hkv, p.Sq = given.Sq, p.Sk = given.Sk, p.D = given.D;
  p.dtype = given.dtype, p.mask = given.mask, p.lse = given.lse, p.aligned = 1;
  if (fl4__select(&forced, &p, &device, &chosen) != FL4_OK) return;
  for (int kind = FL4_INPUTS_NORMAL; kind < FL4_INPUTS_COUNT; kind += FL4_INPUTS_GROWING)
    add(variant, kind, "%s", line);
}

static void list_variants(const char *family)
{
  const bool wgmma = strcmp(family, "fwd_wgmma") == 0;
  const int n = wgmma ? 4 : 2;
  for (int v = 0; v < N_VARIANTS; v++)
    for (int i = 0; i < n && strncmp(variants[v], family, strlen(family)) == 0; i++)
      add_if_it_fits(variants[v], (wgmma ? many_blocks : few_blocks)[i]);
  for (int i = 0; !wgmma && i < N_SHARING_ROWS * N_SHARED_ROWS; i++)
    add_if_it_fits(sharing_rows[i / N_SHARED_ROWS], shared_rows[i % N_SHARED_ROWS]);
  for (int i = 0; wgmma && i < N_SHARING * N_SHARED_KEYS; i++)
    add_if_it_fits(sharing[i / N_SHARED_KEYS], shared_keys[i % N_SHARED_KEYS]);
}

/* ---------------------------------------------------------------- tests */

START_TEST(smoke)
{
  run_case(_i);
}
END_TEST
START_TEST(head_dims)
{
  run_case(_i);
}
END_TEST
START_TEST(classes)
{
  run_case(_i);
}
END_TEST
START_TEST(odd_sizes)
{
  run_case(_i);
}
END_TEST
START_TEST(inputs)
{
  run_case(_i);
}
END_TEST
START_TEST(groups_and_layouts)
{
  run_case(_i);
}
END_TEST
START_TEST(by_variant)
{
  run_case(_i);
}
END_TEST
START_TEST(parity)
{
  run_case(_i);
}
END_TEST
START_TEST(extreme)
{
  run_case(_i);
}
END_TEST

START_TEST(all_values_ran)
{
  for (int f = 0; f < gpu_families_count(); f++) {
    fl4__variant family;
    ck_assert_fl4(fl4__variant_parse(gpu_families[f], &family));
    for (int i = 0; i < family.family->n_params; i++)
      for (int j = 0; j < family.family->params[i].n_values; j++) {
        const fl4__param *param = &family.family->params[i];
        bool ran = false;
        for (int c = 0; c < n_cases && !ran; c++) {
          fl4__variant v;
          ck_assert_fl4(fl4__variant_parse(cases[c].variant, &v));
          ran = v.family == family.family && v.value[i] == param->values[j];
        }
        ck_assert_msg(ran, "%s: no case has %s=%d", gpu_families[f], param->name, param->values[j]);
      }
  }
}
END_TEST

START_TEST(all_cases_ran)
{
  ck_assert_msg(n_left_out == 0, "%d of %d cases got no turn within %.0f s", n_left_out, n_cases, seconds);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("gpu_parity");
  TCase *t = tcase_create("parity");
  tcase_add_unchecked_fixture(t, open_shared, close_shared);
#define ADD(list, test)                                                                                                \
  for (int first = n_cases, once = 1; once; once = 0) {                                                                \
    for (int f = 0; f < gpu_families_count(); f++) list(gpu_families[f]);                                              \
    tcase_add_loop_test(t, test, first, n_cases);                                                                      \
  }
  ADD(list_smoke, smoke)
  ADD(list_head_dims, head_dims)
  ADD(list_classes, classes)
  ADD(list_odd_sizes, odd_sizes)
  ADD(list_inputs, inputs)
  ADD(list_groups_and_layouts, groups_and_layouts)
  ADD(list_variants, by_variant)
  ADD(list_parity, parity)
  ADD(list_extreme, extreme)
#undef ADD
  ahead_share(cases, n_cases);
  tcase_add_test(t, all_values_ran);
  tcase_add_test(t, all_cases_ran);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_CUDA(suite)
