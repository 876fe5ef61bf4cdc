// SPDX-License-Identifier: Apache-2.0
// flashl4.hpp at work on the host device: what it returns is what the C functions say, and errors are thrown.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <utility>

#include <flashl4/flashl4.hpp>

static int failures;

static void expect(bool good, const char *what)
{
  if (!good) std::printf("not so: %s\n", what);
  failures += !good;
}

template <class Call> static void expect_thrown(fl4_status status, const char *words, Call call)
{
  try {
    call();
    expect(false, words);
  } catch (const fl4::error &failure) {
    expect(failure.status() == status && std::strstr(failure.what(), words), failure.what());
  }
}

static void contexts()
{
  fl4::context first("host"), ctx = std::move(first);
  expect(ctx.device_info().kind == FL4_DEVICE_HOST, "a context that was moved works");
  const fl4_problem problem = fl4::parse_problem("hq2sq16d16:bf16");
  expect(fl4::format_problem(problem) == "hq2sq16d16:bf16", "problems go both ways");
  expect(ctx.check(problem).passed, "the check passes");
  expect_thrown(FL4_INVALID_ARGUMENT, "toaster", [] { fl4::context no("toaster"); });
}

/* Two tokens appended to a cache, a query over each of them alone, and what both make together: all keys at once. */
static void serving()
{
  fl4::context ctx("host");
  const float tokens[16] = {1, 2, 3, 4, 5, 6, 7, 8, 8, 7, 6, 5, 4, 3, 2, 1};
  float keys[24] = {}, values[24] = {}, parts[16] = {}, lse[2] = {}, o[8] = {}, all[8] = {}, all_lse = 0, one_lse = 1;
  fl4_kv_append_args append = FL4_KV_APPEND_ARGS_INIT;
  append.dtype = FL4_DTYPE_FP32, append.B = 1, append.Hkv = 1, append.Sn = 2, append.Sk = 3, append.D = 8;
  append.k_new = append.v_new = tokens, append.k = keys, append.v = values;
  ctx.prepare(append);
  ctx.kv_append(append);
  expect(!std::memcmp(keys, tokens, sizeof tokens) && !std::memcmp(values, tokens, sizeof tokens), "tokens in a cache");

  fl4_attention_args args = FL4_ATTENTION_ARGS_INIT;
  args.dtype = FL4_DTYPE_FP32, args.B = args.Hq = args.Hkv = args.Sq = 1, args.D = 8;
  args.q = tokens, args.k = keys, args.v = values;
  args.Sk = 2, args.o = all, args.lse = &all_lse;
  ctx.forward(args);
  args.Sk = 1;
  for (int i = 0; i < 2; i++) {
    args.k = keys + 8 * i, args.v = values + 8 * i, args.o = parts + 8 * i, args.lse = lse + i;
    ctx.forward(args);
  }
  fl4_merge_states_args merge = FL4_MERGE_STATES_ARGS_INIT;
  merge.dtype = FL4_DTYPE_FP32, merge.n = 2, merge.B = merge.Hq = merge.Sq = 1, merge.D = 8;
  merge.parts = parts, merge.parts_lse = lse, merge.o = o, merge.lse = &one_lse;
  ctx.prepare(merge);
  ctx.merge_states(merge);
  bool same = std::fabs(one_lse - all_lse) < 1e-5f;
  for (int d = 0; d < 8; d++) same = same && std::fabs(o[d] - all[d]) < 1e-5f;
  expect(same, "parts together are the whole");
  merge.n = 0;
  expect_thrown(FL4_INVALID_ARGUMENT, "fl4_merge_states_args.n", [&] { ctx.merge_states(merge); });
  append.D = 7;
  expect_thrown(FL4_INVALID_ARGUMENT, "fl4_kv_append_args.D", [&] { ctx.kv_append(append); });

  fl4_problem problem = fl4::parse_problem("b3hq2sq9d16:bf16:window=3,0:sinks:ragged:page=8");
  expect(fl4::format_problem(problem) == "b3hq2sq9d16:bf16:window=3,0:sinks:ragged:page=8", "features go both ways");
  expect(ctx.check(problem).passed, "the check of features passes");
}

static void samples()
{
  std::vector<double> base, slow;
  for (int i = 0; i < 60; i++) base.push_back(100 + i % 7 * 0.1), slow.push_back(1.1 * base.back());
  const fl4_statistics statistics = fl4::statistics(base);
  expect(statistics.n == 60 && statistics.min == 100, "statistics");
  fl4_compare_options options = FL4_COMPARE_OPTIONS_INIT;
  options.paired = 1;
  std::vector<fl4_comparison> both = {fl4::compare(base, slow, &options), fl4::compare(slow, base, &options)};
  expect(both[0].verdict == FL4_VERDICT_SLOWER && both[1].verdict == FL4_VERDICT_FASTER, "comparisons");
  for (fl4_comparison &comparison : both) comparison.verdict = FL4_VERDICT_AMBIGUOUS;
  fl4::judge(both);
  expect(both[0].verdict == FL4_VERDICT_SLOWER && both[1].verdict == FL4_VERDICT_FASTER, "judge fills verdicts in");
  expect_thrown(FL4_INVALID_ARGUMENT, "samples[1]", [] { fl4::statistics({1, std::nan("")}); });
}

static int cancel(const fl4_bench_progress *progress, void *user)
{
  *static_cast<bool *>(user) = true;
  return progress->problem == 1;
}

static void benchmarks()
{
  fl4::context ctx("host");
  fl4_bench_contender contenders[2] = {FL4_BENCH_CONTENDER_INIT, FL4_BENCH_CONTENDER_INIT};
  contenders[1].name = "again";
  fl4_bench_options options = FL4_BENCH_OPTIONS_INIT;
  options.contenders = contenders, options.n_contenders = 2;
  options.max_seconds = 20, options.warmup_seconds = 0.001, options.max_samples = 12;
  const std::vector<fl4_problem> problems(2, fl4::parse_problem("hq2sq16d16:bf16"));
  const std::vector<fl4::bench_result> results = ctx.bench(problems, &options);
  expect(results.size() == 4 && !std::strcmp(results[3].name, "again"), "a result for each problem and contender");
  for (const fl4::bench_result &r : results) {
    expect(r.status == FL4_OK && r.checked, r.error);
    expect(!r.samples && r.times.size() == 12 && r.stats.n == 12, "as many times as samples");
    expect(*std::min_element(r.times.begin(), r.times.end()) == r.stats.min, "the times are the samples");
  }
  expect(results[1].against.n == results[1].stats.n && results[0].against.n == 0, "the second is compared");

  bool called = false;
  options.progress = cancel, options.progress_user = &called;
  const std::vector<fl4::bench_result> some = ctx.bench(problems, &options);
  expect(called && some[0].stats.n > 0, "what was finished when cancelled holds");
  expect(some[2].stop == FL4_BENCH_STOP_CANCELLED && some[2].times.empty(), "the rest says that it is none");
  expect_thrown(FL4_INVALID_ARGUMENT, "problems", [&] { ctx.bench({}); });
  expect(ctx.health().temperature_c == -1, "a host's temperature is unknown");
}

static int stop_after_two(const fl4_tune_progress *progress, void *user)
{
  *static_cast<bool *>(user) = true;
  return progress->evaluations == 2;
}

static void tuning()
{
  fl4::context ctx("host"), other("host");
  const fl4_problem problem = fl4::parse_problem("hq2sq70d16:bf16:causal");
  ctx.wisdom_forget();
  const fl4_tune_space_info space = ctx.tune_space(problem);
  expect(space.valid > 3 && !std::strcmp(space.family, "host"), "a space");
  fl4_tune_options options = FL4_TUNE_OPTIONS_INIT;
  options.max_evaluations = 3;
  const fl4::tune_report report = ctx.tune(problem, &options);
  expect(report.n_candidates == 3 && report.tried.size() == 3 && !report.candidates, "as many as were tried");
  for (const fl4_tune_candidate &c : report.tried) expect(c.invalidity == FL4_INVALIDITY_CORRECT, c.error);
  expect(report.tried[0].p50 <= report.tried[2].p50 && report.space == space.valid, "the fastest first");
  expect(ctx.wisdom().size() == 1 && ctx.wisdom_lookup(problem).match == FL4_MATCH_EXACT, "wisdom has learnt");
  expect(!std::strcmp(ctx.wisdom_lookup(problem).variant, report.variant), "what was found");

  const char *file = "face.wisdom";
  std::remove(file);
  ctx.wisdom_set(problem, "host:bm=4");
  ctx.wisdom_save(file);
  other.wisdom_forget();
  expect(other.wisdom_load(file).used > 0 && !std::strncmp(other.wisdom()[0].variant, "host:bm=4", 9), "a file");
  std::remove(file);
  expect_thrown(FL4_IO_ERROR, file, [&] { other.wisdom_load(file); });

  bool called = false;
  options.progress = stop_after_two, options.progress_user = &called;
  const fl4::tune_report some = ctx.tune(problem, &options);
  expect(called && some.stop == FL4_TUNE_STOP_CANCELLED && some.tried.size() == 2,
         "what was tried when cancelled holds");
  options.family = "toaster";
  expect_thrown(FL4_INVALID_ARGUMENT, "toaster", [&] { ctx.tune(problem, &options); });
}

int main()
{
  contexts();
  serving();
  samples();
  benchmarks();
  tuning();
  return failures ? 1 : 0;
}
