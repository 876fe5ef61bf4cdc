/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of two is faster on a problem? They take turns, so that both meet the same clocks and
 * temperature, and the ratio of their times decides. On the best device there is:
 *
 *     bench [PROBLEM [CONTENDER [CONTENDER]]]
 *     bench b1hq32hkv8sq4096d128:bf16:causal fwd_mma:bm=64 fwd_mma:bm=128
 *
 * A contender is a variant, "default" (the library's choice) or "oracle" (attention unfused).
 */
#include <flashl4/flashl4.h>
#include <stdio.h>
#include <string.h>

static fl4_bench_contender contender(const char *what)
{
  fl4_bench_contender c = FL4_BENCH_CONTENDER_INIT;
  c.name = what;
  if (strcmp(what, "oracle") == 0)
    c.kind = FL4_CONTENDER_ORACLE;
  else if (strcmp(what, "default") != 0)
    c.variant = what;
  return c;
}

/* Prints a result; 0 if it is one. */
static int print(const fl4_bench_result *r)
{
  if (r->status != FL4_OK) {
    fprintf(stderr, "%s: %s: %s\n", r->name, fl4_status_name((fl4_status)r->status), r->error);
    return 1;
  }
  printf("%s: p50 %.2f us, 95 %% interval %.2f to %.2f us, %.3g TFLOP/s; %lld samples, stopped by %s; ran %s\n",
         r->name, r->stats.p50, r->stats.p50_low, r->stats.p50_high, r->tflops, (long long)r->stats.n,
         fl4_bench_stop_name((fl4_bench_stop)r->stop), r->variant);
  return 0;
}

static fl4_status bench(fl4_context *ctx, const char *line, const char *base, const char *other, int *failed)
{
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_status status = fl4_problem_parse(line, &problem);
  if (status != FL4_OK) return status;

  const fl4_bench_contender contenders[2] = {contender(base), contender(other)};
  fl4_bench_options options = FL4_BENCH_OPTIONS_INIT; /* what stays zero is the default */
  options.contenders = contenders, options.n_contenders = 2;
  options.max_seconds = 0.5;
  fl4_bench_result results[2] = {FL4_BENCH_RESULT_INIT, FL4_BENCH_RESULT_INIT};
  status = fl4_bench(ctx, &problem, 1, &options, results);
  if (status != FL4_OK) return status;

  *failed = print(&results[0]) + print(&results[1]);
  if (*failed) return FL4_OK;
  const fl4_comparison *c = &results[1].against;
  printf("%s / %s: %.4f, 95 %% interval %.4f to %.4f: %s is %s\n", results[1].name, results[0].name, c->ratio, c->low,
         c->high, results[1].name, fl4_verdict_name((fl4_verdict)c->verdict));
  return FL4_OK;
}

int main(int argc, char **argv)
{
  fl4_context *ctx;
  fl4_device_info device = FL4_DEVICE_INFO_INIT;
  fl4_status status = fl4_context_create(&ctx, NULL);
  if (status == FL4_OK) status = fl4_context_get_device_info(ctx, &device);
  if (status != FL4_OK) {
    fprintf(stderr, "%s\n", fl4_last_error());
    return 1;
  }

  int failed = 0;
  const char *line = device.kind == FL4_DEVICE_HOST ? "hq4sq128d64:bf16:causal" : "b4hq16sq2048d128:bf16:causal";
  if (argc > 1) line = argv[1];
  printf("%s on %s\n", line, device.name);
  status = bench(ctx, line, argc > 2 ? argv[2] : "default", argc > 3 ? argv[3] : "oracle", &failed);
  if (status != FL4_OK) fprintf(stderr, "%s\n", fl4_last_error());
  fl4_context_destroy(&ctx);
  return status != FL4_OK || failed;
}
