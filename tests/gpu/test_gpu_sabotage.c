/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels broken on purpose. Debug builds must name the invariant that a fault breaks, and the check
 * must fail every fault that changes results. A fault is one text put in place of another in a copy
 * of the kernel sources; if the text is no longer there, the test says so.
 */
#include "gpu_test.h"

#include "cuda/sources.h"

static char folder[64];

static void make_folder(void)
{
  snprintf(folder, sizeof folder, "/tmp/fl4-sabotage-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  ck_assert_int_eq(system(command), 0);
}

typedef struct fault {
  const char *file, *from, *to;
} fault;

/* Writes all sources, the fault in its place. */
static void write_sources(const fault *f)
{
  bool done = false;
  for (int i = 0; i < fl4__n_embedded_sources; i++) {
    const fl4__source *source = &fl4__embedded_sources[i];
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, source->name);
    FILE *out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    const char *at = f && strcmp(source->name, f->file) == 0 ? strstr(source->text, f->from) : NULL;
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
  ck_assert_msg(!f || done, "%s no longer contains \"%s\"", f ? f->file : "", f ? f->from : "");
}

static void ignore_log(void *user, fl4_log_level level, const char *message)
{
  (void)user, (void)level, (void)message;
}

static fl4_context *open_sources(uint32_t flags)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  o.device = "cuda", o.kernel_dir = folder, o.log = ignore_log, o.flags = flags | FL4_CONTEXT_NO_DISK_CACHE;
  fl4_context *ctx;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
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

/* ---------------------------------------------------------------- debug builds */

START_TEST(sound_kernels_keep_all_invariants)
{
  static const char *const lines[] = {
      "b2hq4hkv2sq203sk333d128:causal:lse",
      "b1hq2sq333sk113d64:bf16:causal:lse",
      "b1hq2sq100sk100d72:lse:odd",
      "b1hq2sq64sk1d256:lse",
      "b1hq3sq129sk1025d96:lse",
      "b1hq2sq16sk0d64:lse",
  };
  write_sources(NULL);
  fl4_context *ctx = open_sources(FL4_CONTEXT_DEBUG);
  fl4_check_result r;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    for (int inputs = 0; inputs < FL4_INPUTS_COUNT; inputs++) {
      ck_assert_fl4(run(ctx, lines[i], (fl4_inputs)inputs, &r));
      ck_assert_msg(r.passed, "%s, %s", lines[i], fl4_inputs_name((fl4_inputs)inputs));
    }
  fl4_context_destroy(&ctx);
}
END_TEST

static const struct {
  fault fault;
  const char *name, *line;
  fl4_inputs inputs;
} broken_invariants[] = {
    {{"fl4_softmax.cuh", "max_f32(before, row_max(largest) * scale)", "row_max(largest) * scale"},
     "MAX_GROWS",
     "b1hq2sq64sk500d64",
     FL4_INPUTS_NORMAL},
    {{"fwd_mma.cu", "PACKED_ONES, PACKED_ONES", "PACKED_ONES | 0x80008000u, PACKED_ONES | 0x80008000u"},
     "SUM_GROWS",
     "b1hq2sq64sk512d64",
     FL4_INPUTS_NORMAL},
    {{"fl4_softmax.cuh", "[2 * half] * scale - reference)", "[2 * half] * scale - reference - 12.f) * 0.f"},
     "SUM_AT_LEAST_ONE",
     "b1hq2sq64sk1d64",
     FL4_INPUTS_NORMAL},
    {{"fwd_mma.cu", "PACKED_ONES, PACKED_ONES", "0x7bff7bffu, 0x7bff7bffu"},
     "SUM_AT_MOST_KEYS",
     "b1hq2sq64sk64d64",
     FL4_INPUTS_EQUAL},
    {{"fl4_epilogue.cuh", "l == 0.f ? 0.f : 1.f / l", "1.f / (l - l)"},
     "FINITE",
     "b1hq2sq64sk64d64",
     FL4_INPUTS_NORMAL},
    {{"fwd_mma.cu", "r.k + key0 * r.k_row", "r.k + 2 + key0 * r.k_row"},
     "ALIGNED",
     "b1hq2sq64sk64d64",
     FL4_INPUTS_NORMAL},
    {{"fwd_mma.cu", "const int key0 = (r.tiles - 1 - tile) * BN;\n  invariant",
      "const int key0 = (r.tiles - tile) * BN;\n  invariant"},
     "IN_RANGE",
     "b1hq2sq64sk64d64",
     FL4_INPUTS_NORMAL},
};
enum { N_INVARIANTS = sizeof broken_invariants / sizeof *broken_invariants };

START_TEST(each_invariant_fires)
{
  write_sources(&broken_invariants[_i].fault);
  fl4_context *ctx = open_sources(FL4_CONTEXT_DEBUG);
  fl4_check_result r;
  ck_assert_fl4_fails(run(ctx, broken_invariants[_i].line, broken_invariants[_i].inputs, &r), FL4_INVARIANT_VIOLATED,
                      broken_invariants[_i].name);
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- the check itself */

static const struct {
  const char *what;
  fault fault;
  const char *line;
} wrong_results[] = {
    {"scale 2 % off",
     {"fwd_mma.cu", "weigh(weights, sums, s, rows, p.scale_log2,",
      "weigh(weights, sums, s, rows, p.scale_log2 * 1.02f,"},
     "b1hq4sq512sk512d64"},
    {"the last tile dropped", {"fwd_mma.cu", "(; tile < w.end;", "(; tile < w.end - 1;"}, "b1hq4sq512sk512d64"},
    {"a stage read too early",
     {"fwd_mma.cu", "k_slot(lane_at.k, at.k) + slice * SLICE * ROW_BYTES,",
      "k_slot(lane_at.k, slot_after(at.k, K_SLOTS)) + slice * SLICE * ROW_BYTES,"},
     "b1hq4sq512sk512d64"},
    {"K used as V",
     {"fwd_mma.cu", "v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES, p);",
      "k_slot(lane_at.v, at.k) + slice * SLICE * ROW_BYTES, p);"},
     "b1hq4sq512sk512d64"},
    {"no rescaling of the output",
     {"fl4_softmax.cuh", "rescale(rows, m, half, exp2_approx(before - reference));", ""},
     "b1hq4sq512sk500d64"},
    {"mask one key too wide",
     {"fl4_mask.cuh", "lane() / 4 + shift + 1", "lane() / 4 + shift + 2"},
     "b1hq4sq512sk512d64:causal"},
    {"keys past the end counted", {"fl4_mask.cuh", ": present;", ": present + 64;"}, "b1hq4sq512sk500d64"},
    {"neighbour's key head", {"fl4_schedule.cuh", "w.h / (p.Hq / p.Hkv)", "w.h % p.Hkv"}, "b1hq4hkv2sq512sk512d64"},
    {"rows past the end written", {"fl4_epilogue.cuh", "if (row0 + row >= p.Sq || ", "if ("}, "b1hq1sq500sk512d64"},
    {"LSE without the maximum",
     {"fl4_epilogue.cuh", "(rows.reference[m][half] + log2_approx(l))", "log2_approx(l)"},
     "b1hq4sq512sk512d64:lse"},
    {"one fragment's columns swapped",
     {"fwd_mma.cu", "weights[n][m], v[0], v[1]);", "weights[n][m], v[1], v[0]);"},
     "b1hq4sq512sk512d64"},
};
enum { N_WRONG = sizeof wrong_results / sizeof *wrong_results };

START_TEST(check_fails_wrong_kernels)
{
  write_sources(&wrong_results[_i].fault);
  fl4_context *ctx = open_sources(0);
  fl4_check_result r;
  ck_assert_fl4(run(ctx, wrong_results[_i].line, FL4_INPUTS_NORMAL, &r));
  ck_assert_msg(!r.passed, "not noticed: %s", wrong_results[_i].what);
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("gpu_sabotage");
  TCase *t = tcase_create("sabotage");
  tcase_add_checked_fixture(t, make_folder, remove_folder);
  tcase_add_test(t, sound_kernels_keep_all_invariants);
  tcase_add_loop_test(t, each_invariant_fires, 0, N_INVARIANTS);
  tcase_add_loop_test(t, check_fails_wrong_kernels, 0, N_WRONG);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_CUDA(suite)
