/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which variant is fastest for a problem here? Tries some on the best device there is, prints them and
 * the verdict, and keeps what it has learnt if it is given a file; another program reads that with
 * fl4_wisdom_load() or FLASHL4_WISDOM=FILE.
 *
 *     tune [PROBLEM [FILE]]
 *     tune b1hq32hkv8sq4096d128:bf16:causal here.wisdom
 */
#include <flashl4/flashl4.h>
#include <stdio.h>

enum { TRIES = 8 };

static void print_candidate(const fl4_tune_candidate *c)
{
  const char *note = c->evaluation == 0 ? " (the built-in choice)" : "";
  if (c->invalidity == FL4_INVALIDITY_CORRECT)
    printf("%10.2f us  %s%s\n", c->p50, c->variant, note);
  else
    printf("%13s  %s%s: %s\n", fl4_invalidity_name((fl4_invalidity)c->invalidity), c->variant, note, c->error);
}

static void print_verdict(const fl4_tune_report *r)
{
  printf("%lld of %lld variants in %.1f s, ended by: %s\n", (long long)r->n_candidates, (long long)r->space, r->seconds,
         fl4_tune_stop_name((fl4_tune_stop)r->stop));
  if (r->improved)
    printf("improved: %s, %.2f us in place of %.2f us\n", r->variant, r->best_us, r->default_us);
  else
    printf("no improvement found: %s stays, %.2f us\n", r->variant, r->default_us);
  if (r->against.n > 0)
    printf("the best other takes %.4f of the built-in choice's time, 95 %% interval %.4f to %.4f\n", r->against.ratio,
           r->against.low, r->against.high);
}

static fl4_status tune(fl4_context *ctx, const char *line)
{
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_status status = fl4_problem_parse(line, &problem);
  if (status != FL4_OK) return status;

  fl4_tune_options options = FL4_TUNE_OPTIONS_INIT; /* what stays zero is the default */
  options.max_evaluations = TRIES;
  fl4_tune_candidate candidates[TRIES];
  for (int i = 0; i < TRIES; i++) candidates[i] = (fl4_tune_candidate)FL4_TUNE_CANDIDATE_INIT;
  fl4_tune_report report = FL4_TUNE_REPORT_INIT;
  report.candidates = candidates, report.candidates_size = TRIES;
  status = fl4_tune(ctx, &problem, &options, &report);
  if (status != FL4_OK) return status;

  for (int64_t i = 0; i < report.n_candidates; i++) print_candidate(&candidates[i]);
  print_verdict(&report);
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

  const char *line = device.kind == FL4_DEVICE_HOST ? "hq2sq64d32:bf16:causal" : "b4hq16sq2048d128:bf16:causal";
  if (argc > 1) line = argv[1];
  printf("%s on %s\n", line, device.name);
  status = tune(ctx, line);
  if (status == FL4_OK && argc > 2) status = fl4_wisdom_save(ctx, argv[2]);
  if (status != FL4_OK) fprintf(stderr, "%s\n", fl4_last_error());
  fl4_context_destroy(&ctx);
  return status != FL4_OK;
}
