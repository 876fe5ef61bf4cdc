/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels broken on purpose. Debug builds must name the invariant that a fault breaks, and the check must fail every fault
 * that changes results. A fault is one text put in place of another in a copy of the kernel sources; if the text is no
 * longer there, the test says so.
 */
#include <sys/stat.h>

#include "ahead.h"
#include "sabotages.h"

#include "cuda/sources.h"

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
