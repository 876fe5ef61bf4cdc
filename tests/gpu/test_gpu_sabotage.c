/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels broken on purpose. Debug builds must name the invariant that a fault breaks, and the check must fail every fault
 * that changes results. A fault is one text put in place of another in a copy of the kernel sources; if the text is no
 * longer there, the test says so.
 */
#include <sys/stat.h>

#include "ahead.h"

#include "cuda/sources.h"

typedef struct fault {
  const char *file, *from, *to;
} fault;

/* ---------------------------------------------------------------- faults */

/*
 * Must be noticed on the line with these inputs. VIOLATES: the debug build breaks off with these words. IS_WRONG: the check
 * fails. IS_NOTICED: a debug build, one or the other; of faults with which another build might wait for ever. IS_REFUSED: the
 * assembler sees that a product's result is used too early, and the library does not run what it makes of that.
 */
typedef struct sabotage {
  const char *what;
  fault fault;
  const char *variant, *line;
  fl4_inputs inputs;
  bool debug;
  const char *says, *more; /* NULL: whatever it says */
} sabotage;

/* clang-format off */
#define VIOLATES(says, more) true, says, more
#define IS_NOTICED true, NULL, NULL
#define IS_WRONG false, NULL, NULL
#define IS_REFUSED false, "the assembler serialises the matrix products", ""

/* A ring of two slots and one row tile: barriers 0 and 1 are those of the queries, 2 and 3 of "the keys are there". */
#define ONE_TILE "fwd_wgmma:groups=1,bn=64,stages=2,qbuf=1,pingpong=0,sched=0"
#define IN_TURN "fwd_wgmma:groups=2,bn=64,stages=2,qbuf=2,pingpong=0,sched=1"
#define ONE_QUERY_TILE "fwd_wgmma:groups=2,bn=48,stages=2,qbuf=1,pingpong=0,sched=1"
#define BY_TICKET "fwd_wgmma:groups=2,bn=64,stages=2,qbuf=2,pingpong=0,sched=2"
#define LONG_WALK "fwd_wgmma:groups=2,bn=48,stages=2,qbuf=1,pingpong=0,sched=0"

static const sabotage of_fwd_mma[] = {
    {"maxima not of all keys", {"fl4_softmax.cuh", "max_f32(before, row_max(largest) * scale)",
     "row_max(largest) * scale"},
     "fwd_mma", "b1hq2sq64sk500d64", FL4_INPUTS_NORMAL, VIOLATES("MAX_GROWS", "")},
    {"sums of negative ones", {"fwd_mma.cu", "PACKED_ONES, PACKED_ONES",
     "PACKED_ONES | 0x80008000u, PACKED_ONES | 0x80008000u"},
     "fwd_mma", "b1hq2sq64sk512d64", FL4_INPUTS_NORMAL, VIOLATES("SUM_GROWS", "")},
    {"weights far too small", {"fl4_softmax.cuh", "[2 * half] * scale - reference)",
     "[2 * half] * scale - reference - 12.f) * 0.f"},
     "fwd_mma", "b1hq2sq64sk1d64", FL4_INPUTS_NORMAL, VIOLATES("SUM_AT_LEAST_ONE", "")},
    {"sums far too large", {"fwd_mma.cu", "PACKED_ONES, PACKED_ONES", "0x7bff7bffu, 0x7bff7bffu"},
     "fwd_mma", "b1hq2sq64sk64d64", FL4_INPUTS_EQUAL, VIOLATES("SUM_AT_MOST_KEYS", "")},
    {"divided by nothing", {"fl4_common.cuh", "reciprocal_approx(l)", "reciprocal_approx(l - l)"},
     "fwd_mma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("FINITE", "")},
    {"keys two bytes on", {"fwd_mma.cu", "r.k + key0 * r.k_row", "r.k + 2 + key0 * r.k_row"},
     "fwd_mma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("ALIGNED", "")},
    {"a tile beyond the end", {"fwd_mma.cu", "const int key0 = (r.tiles - 1 - tile) * BN;\n  invariant",
     "const int key0 = (r.tiles - tile) * BN;\n  invariant"},
     "fwd_mma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("IN_RANGE", "")},
    {"scale 2 % off", {"fwd_mma.cu", "weigh(weights, sums, s, rows, score_scale(p),",
     "weigh(weights, sums, s, rows, score_scale(p) * 1.02f,"},
     "fwd_mma", "b1hq4sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"the last tile dropped", {"fwd_mma.cu", ": w.end;\n    if (!WEAVE)", ": w.end - 1;\n    if (!WEAVE)"},
     "fwd_mma", "b1hq4sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"a stage read too early", {"fwd_mma.cu", "k_slot(lane_at.k, at.k) + slice * SLICE * ROW_BYTES,",
     "k_slot(lane_at.k, slot_after(at.k, K_SLOTS)) + slice * SLICE * ROW_BYTES,"},
     "fwd_mma", "b1hq4sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"K used as V", {"fwd_mma.cu", "v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES, p, w,",
     "k_slot(lane_at.v, at.k) + slice * SLICE * ROW_BYTES, p, w,"},
     "fwd_mma", "b1hq4sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"no rescaling of the output", {"fl4_softmax.cuh", "rescale(rows, m, half, exp2_approx(before - reference));",
     ""},
     "fwd_mma", "b1hq4sq512sk500d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"mask one key too wide", {"fl4_mask.cuh", "lane() / 4 + w.shift + 1", "lane() / 4 + w.shift + 2"},
     "fwd_mma", "b1hq4sq512sk512d64:causal", FL4_INPUTS_NORMAL, IS_WRONG},
    {"keys past the end counted", {"fl4_mask.cuh", ": present;", ": present + 64;"},
     "fwd_mma", "b1hq4sq512sk500d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"neighbour's key head", {"fl4_schedule.cuh", "w.h / (p.Hq / p.Hkv)", "w.h % p.Hkv"},
     "fwd_mma", "b1hq4hkv2sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"rows past the end written", {"fl4_epilogue.cuh", "if (row0 + row >= queries(p, w) || ", "if ("},
     "fwd_mma", "b1hq1sq505sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"LSE without the maximum", {"fl4_common.cuh", "(reference + log2_approx(l))", "log2_approx(l)"},
     "fwd_mma", "b1hq4sq512sk512d64:lse", FL4_INPUTS_NORMAL, IS_WRONG},
    {"one fragment's columns swapped", {"fwd_mma.cu", "weights[n][m], v[0], v[1]);", "weights[n][m], v[1], v[0]);"},
     "fwd_mma", "b1hq4sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
};

static const sabotage of_fwd_wgmma[] = {
    {"keys that never come", {"fwd_wgmma.cu", "load_pages(to, barrier, map, TILE_BYTES,",
     "load_pages(to, barrier, map, TILE_BYTES + 16,"},
     ONE_TILE, "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("IN_TIME", "value 2, bound 0")},
    {"queries that never come", {"fwd_wgmma.cu", "&p.q, Q_BYTES,", "&p.q, Q_BYTES + 16,"},
     ONE_TILE, "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("IN_TIME", "value 0, bound 0")},
    {"keys never given back", {"fwd_wgmma.cu", "release(pipe.k_empty, k.slot);", ""},
     LONG_WALK, "b1hq2sq128sk2000d64", FL4_INPUTS_NORMAL, VIOLATES("IN_TIME", "")},
    {"values never given back", {"fwd_wgmma.cu", "release(pipe.v_empty, v.slot);", ""},
     LONG_WALK, "b1hq2sq128sk2000d64", FL4_INPUTS_NORMAL, VIOLATES("IN_TIME", "")},
    {"maxima not of all keys", {"wgmma_softmax.cuh", "max_f32(before, highest[half]);", "highest[half];"},
     LONG_WALK, "b1hq2sq128sk2000d64", FL4_INPUTS_PEAKED, VIOLATES("MAX_GROWS", "")},
    {"sums dropped", {"wgmma_softmax.cuh", "rows.sum[half] += sums[half];", "(void)sums[half];"},
     "fwd_wgmma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("SUM_AT_LEAST_ONE", "")},
    {"sums far too large", {"wgmma_softmax.cuh", "rows.sum[half] += sums[half];",
     "rows.sum[half] += sums[half] * 1000.f;"},
     "fwd_wgmma", "b1hq2sq64sk64d64", FL4_INPUTS_EQUAL, VIOLATES("SUM_AT_MOST_KEYS", "")},
    {"sums that are no numbers", {"wgmma_softmax.cuh", "rows.sum[half] += sums[half];",
     "rows.sum[half] += MINUS_INFINITY * 0.f;"},
     "fwd_wgmma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("FINITE", "")},
    {"a tile beyond the end", {"fwd_wgmma.cu", "k, t, last * BN);", "k, t, (last + 1) * BN);"},
     "fwd_wgmma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("IN_RANGE", "")},
    {"the first keys not waited for", {"fwd_wgmma.cu", "Place k = {0, 0}, v = {0, 0}, bias = {0, 0};\n  float",
     "Place k = {0, 1}, v = {0, 0}, bias = {0, 0};\n  float"},
     LONG_WALK, "b1hq2sq128sk2000d64", FL4_INPUTS_NORMAL, IS_NOTICED},
    {"scores not waited for", {"fwd_wgmma.cu", "wgmma_wait<0>();\n    wgmma_arrived(s);",
     "wgmma_wait<1>();\n    wgmma_arrived(s);"},
     LONG_WALK, "b1hq2sq128sk2000d64", FL4_INPUTS_NORMAL, IS_REFUSED},
    {"the last output not waited for", {"fwd_wgmma.cu", "wgmma_wait<0>();\n  wgmma_arrived(rows.o);",
     "wgmma_wait<1>();\n  wgmma_arrived(rows.o);"},
     LONG_WALK, "b1hq2sq128sk2000d64", FL4_INPUTS_NORMAL, IS_REFUSED},
    {"values' pages too close", {"fwd_wgmma.cu", "wgmma_matrix(pipe.v, KV_PAGE)",
     "wgmma_matrix(pipe.v, KV_PAGE / 2)"},
     "fwd_wgmma", "b1hq4sq512sk512d128", FL4_INPUTS_NORMAL, IS_WRONG},
    {"keys' pages too close", {"fwd_wgmma.cu", "k + d / 4 * (KV_PAGE >> 4)", "k + d / 4 * (KV_PAGE >> 5)"},
     "fwd_wgmma", "b1hq4sq512sk512d128", FL4_INPUTS_NORMAL, IS_WRONG},
    {"no causal mask", {"fwd_wgmma.cu", "if (!open.has(tile)) {", "if (false) {"},
     "fwd_wgmma", "b1hq4sq512sk512d64:causal", FL4_INPUTS_NORMAL, IS_WRONG},
    {"keys past the end counted", {"fwd_wgmma.cu", "if (!open.has(tile)) {", "if (false) {"},
     "fwd_wgmma", "b1hq4sq512sk500d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"mask one key too wide", {"wgmma_softmax.cuh", "8 * i + e >= seen ||", "8 * i + e > seen ||"},
     "fwd_wgmma", "b1hq4sq512sk512d64:causal", FL4_INPUTS_NORMAL, IS_WRONG},
    {"no rescaling of the output", {"wgmma_softmax.cuh", "rows.o[i] *= factor[i / 2 % 2];", ";"},
     LONG_WALK, "b1hq4sq512sk2000d64", FL4_INPUTS_SHRINKING, IS_WRONG},
    {"no rescaling of the sums", {"wgmma_softmax.cuh", "rows.sum[half] *= factor[half];", ""},
     LONG_WALK, "b1hq4sq512sk2000d64", FL4_INPUTS_SHRINKING, IS_WRONG},
    {"sums dropped, in a release build", {"wgmma_softmax.cuh", "rows.sum[half] += sums[half];", "(void)sums[half];"},
     "fwd_wgmma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"scale 2 % off", {"wgmma_softmax.cuh", "rows.reference[1], score_scale(p));",
     "rows.reference[1], score_scale(p) * 1.02f);"},
     LONG_WALK, "b1hq4sq512sk2000d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"neighbour's key head", {"wgmma_schedule.cuh", "t.h / (p.Hq / p.Hkv)", "t.h % p.Hkv"},
     "fwd_wgmma", "b1hq4hkv2sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"row tiles left out", {"wgmma_schedule.cuh", "number + grid_blocks();", "number + grid_blocks() + 1;"},
     IN_TURN, "b5hq32sq200sk200d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"queries of the row tile before", {"fwd_wgmma.cu", "q_tiles + n % QBUF * (GROUPS * Q_BYTES >> 4)", "q_tiles"},
     IN_TURN, "b5hq64sq200sk200d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"rows past the end written", {"wgmma_epilogue.cuh", "store_global_128_if(at < queries(p, t) && ", "store_global_128_if("},
     "fwd_wgmma", "b1hq1sq505sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"LSE without the maximum", {"fl4_common.cuh", "(reference + log2_approx(l))", "log2_approx(l)"},
     "fwd_wgmma", "b1hq4sq512sk512d64:lse", FL4_INPUTS_NORMAL, IS_WRONG},
    {"keys that never come, row tiles in turn", {"fwd_wgmma.cu", "load_pages(to, barrier, map, TILE_BYTES,",
     "load_pages(to, barrier, map, TILE_BYTES + 16,"},
     IN_TURN, "b5hq32sq200sk200d64", FL4_INPUTS_NORMAL, VIOLATES("IN_TIME", "")},
    {"keys that never come, row tiles by ticket", {"fwd_wgmma.cu", "load_pages(to, barrier, map, TILE_BYTES,",
     "load_pages(to, barrier, map, TILE_BYTES + 16,"},
     BY_TICKET, "b5hq32sq200sk200d64:causal", FL4_INPUTS_NORMAL, VIOLATES("IN_TIME", "")},
};
/* clang-format on */

enum { N_MMA = sizeof of_fwd_mma / sizeof *of_fwd_mma, N_WGMMA = sizeof of_fwd_wgmma / sizeof *of_fwd_wgmma };

static const sabotage *sabotage_number(int i)
{
  return i < N_MMA ? &of_fwd_mma[i] : &of_fwd_wgmma[i - N_MMA];
}

/* ---------------------------------------------------------------- sound kernels, which keep all invariants */

static const char *const sound_lines[] = {
    "b2hq4hkv2sq203sk333d128:causal:lse",
    "b1hq2sq333sk113d64:bf16:causal:lse",
    "b1hq2sq100sk100d72:lse:odd",
    "b1hq2sq64sk1d256:lse",
    "b1hq3sq129sk1025d96:lse",
    "b1hq2sq16sk0d64:lse",
    "b5hq16hkv4sq203sk333d64:causal:lse",
};
enum { N_SOUND_LINES = sizeof sound_lines / sizeof *sound_lines };

/* With the built-in choice the library picks the family, and fwd_mma for what fwd_wgmma does not take. */
static const char *const sound_variants[] = {"fwd_mma", NULL, "fwd_wgmma:sched=1", "fwd_wgmma:sched=2"};

/* ---------------------------------------------------------------- all of them, compiled ahead */

enum { MOST_JOBS = N_MMA + N_WGMMA + 4 * N_SOUND_LINES, FOLDER = 96 };

static char root[64], cache_dir[FOLDER], folders[N_MMA + N_WGMMA][FOLDER];
static bool written[N_MMA + N_WGMMA];
static ahead_job jobs[MOST_JOBS];
static int n_jobs, n_faults, n_sound;

static void add_job(const char *variant, const char *kernel_dir, bool debug, const char *line)
{
  ahead_job *job = &jobs[n_jobs++];
  job->variant = variant, job->kernel_dir = kernel_dir, job->flags = debug ? FL4_CONTEXT_DEBUG : 0;
  snprintf(job->line, sizeof job->line, "%s", line);
}

/* Jobs: the faults, then the sound kernels. The folder is the parent's, if this process is one that compiles ahead. */
static void list_jobs(void)
{
  const char *given = getenv("FL4_TEST_FOLDER");
  if (given) snprintf(root, sizeof root, "%s", given);
  if (!given) snprintf(root, sizeof root, "/tmp/fl4-sabotage-XXXXXX");
  if (!given && !mkdtemp(root)) exit(EXIT_FAILURE);
  setenv("FL4_TEST_FOLDER", root, 1);
  snprintf(cache_dir, sizeof cache_dir, "%s/cache", root);
  n_faults = N_MMA + (on_hopper() ? N_WGMMA : 0);
  for (int i = 0; i < n_faults; i++) {
    const sabotage *f = sabotage_number(i);
    snprintf(folders[i], sizeof folders[i], "%s/%d", root, i);
    add_job(f->variant, folders[i], f->debug, f->line);
  }
  for (int v = 0; v < (on_hopper() ? 4 : 1); v++)
    for (int i = v < 2 ? 0 : N_SOUND_LINES - 1; i < N_SOUND_LINES; i++)
      add_job(sound_variants[v], NULL, true, sound_lines[i]);
  n_sound = n_jobs - n_faults;
}

/* Writes all sources, the fault in its place; false if it has none. */
static bool write_sources(const char *folder, const fault *f)
{
  bool done = false;
  ck_assert_int_eq(mkdir(folder, 0700), 0);
  for (int i = 0; i < fl4__n_embedded_sources; i++) {
    const fl4__source *source = &fl4__embedded_sources[i];
    char path[256];
    ck_assert_uint_lt((size_t)snprintf(path, sizeof path, "%s/%s", folder, source->name), sizeof path);
    FILE *out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    const char *at = strcmp(source->name, f->file) == 0 ? strstr(source->text, f->from) : NULL;
    if (at) {
      fwrite(source->text, 1, (size_t)(at - source->text), out);
      fputs(f->to, out);
      fputs(at + strlen(f->from), out);
      done = true;
    } else {
      fputs(source->text, out);
    }
    fclose(out);
  }
  return done;
}

static void prepare(void)
{
  ck_assert_int_eq(mkdir(cache_dir, 0700), 0);
  for (int i = 0; i < n_faults; i++) written[i] = write_sources(folders[i], &sabotage_number(i)->fault);
  ahead_all(cache_dir);
}

static void clean_up(void)
{
  remove_temporary(root);
}

/* ---------------------------------------------------------------- tests */

static fl4_context *open_job(const ahead_job *job)
{
  fl4_context *ctx = ahead_context(job->kernel_dir, job->flags, cache_dir);
  ck_assert_ptr_nonnull(ctx);
  if (job->variant) ck_assert_fl4(fl4__variant_parse(job->variant, &ctx->forced));
  return ctx;
}

static fl4_status run(fl4_context *ctx, const char *line, fl4_inputs inputs, fl4_check_result *result)
{
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_check_options options = FL4_CHECK_OPTIONS_INIT;
  options.seed = 9, options.inputs = (int)inputs;
  ck_assert_fl4(fl4_problem_parse(line, &problem));
  *result = (fl4_check_result)FL4_CHECK_RESULT_INIT;
  return fl4_check(ctx, &problem, &options, result);
}

START_TEST(sound_kernels_keep_all_invariants)
{
  const ahead_job *job = &jobs[n_faults + _i];
  fl4_context *ctx = open_job(job);
  fl4_check_result r;
  for (int inputs = 0; inputs < FL4_INPUTS_COUNT; inputs++) {
    ck_assert_fl4(run(ctx, job->line, (fl4_inputs)inputs, &r));
    ck_assert_msg(r.passed, "%s, %s, %s", r.variant, job->line, fl4_inputs_name((fl4_inputs)inputs));
  }
  fl4_context_destroy(&ctx);
}
END_TEST

/* A violation costs no more than its call: the same call breaks off again, and a sound kernel runs. */
static void check_survival(fl4_context *ctx, const sabotage *f)
{
  fl4_check_result r;
  ck_assert_fl4_fails(run(ctx, f->line, f->inputs, &r), FL4_INVARIANT_VIOLATED, f->says);
  fl4_context *sound = open_job(&jobs[n_faults]);
  ck_assert_fl4(run(sound, jobs[n_faults].line, FL4_INPUTS_NORMAL, &r));
  ck_assert_msg(r.passed, "after \"%s\" a sound kernel is wrong", f->what);
  fl4_context_destroy(&sound);
}

START_TEST(each_fault_is_noticed)
{
  const sabotage *f = sabotage_number(_i);
  ck_assert_msg(written[_i], "%s no longer contains \"%s\"", f->fault.file, f->fault.from);
  fl4_context *ctx = open_job(&jobs[_i]);
  fl4_check_result r;
  const fl4_status status = run(ctx, f->line, f->inputs, &r),
                   refusal = f->debug ? FL4_INVARIANT_VIOLATED : FL4_COMPILE_FAILED;
  if (f->says) {
    ck_assert_msg(status == refusal, "%s: %s", f->what,
                  status != FL4_OK ? fl4_last_error()
                  : r.passed       ? "passes"
                                   : "is wrong");
    ck_assert_msg(strstr(fl4_last_error(), f->says) && strstr(fl4_last_error(), f->more), "%s: not %s %s, but: %s",
                  f->what, f->says, f->more, fl4_last_error());
    if (f->debug) check_survival(ctx, f);
  } else if (status == FL4_OK) {
    ck_assert_msg(!r.passed, "not noticed: %s", f->what);
  } else {
    ck_assert_msg(f->debug && status == refusal, "%s: %s", f->what, fl4_last_error());
  }
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *suite(void)
{
  list_jobs();
  ahead_share(jobs, n_jobs);
  Suite *s = suite_create("gpu_sabotage");
  TCase *t = tcase_create("sabotage");
  tcase_add_unchecked_fixture(t, prepare, clean_up);
  tcase_add_loop_test(t, sound_kernels_keep_all_invariants, 0, n_sound);
  tcase_add_loop_test(t, each_fault_is_noticed, 0, n_faults);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_CUDA(suite)
