/* SPDX-License-Identifier: Apache-2.0 */
/* A report as JSON: schema flashl4-bench-1, field by field in docs/bench.md. */
#include <inttypes.h>
#include <string.h>

#include "report.h"

static json_t *optional_text(const char *text)
{
  return text ? cli_text(text) : json_null();
}

static json_t *hash_text(uint64_t hash)
{
  char text[32];
  snprintf(text, sizeof text, "%016" PRIx64, hash);
  return cli_text(text);
}

/* FNV-1a, 64 bits, of a file: tells builds apart. null if it cannot be read. */
static json_t *file_hash(const char *name)
{
  FILE *file = name ? fopen(name, "rb") : NULL;
  if (!file) return json_null();
  uint64_t hash = 0xcbf29ce484222325u;
  unsigned char bytes[65536];
  size_t n;
  while ((n = fread(bytes, 1, sizeof bytes, file)) > 0)
    for (size_t i = 0; i < n; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
  bool good = !ferror(file);
  fclose(file);
  return good ? hash_text(hash) : json_null();
}

static json_t *environment_json(const report *r)
{
  json_t *environment = cli_environment_json(r->options);
  fl4_device_health health = FL4_DEVICE_HEALTH_INIT;
  fl4_cache_info cache = FL4_CACHE_INFO_INIT;
  const char *file = cli_library_file();
  if (!r->ctx || fl4_context_get_health(r->ctx, &health) != FL4_OK)
    snprintf(health.driver, sizeof health.driver, "unknown");
  if (!r->ctx || fl4_context_get_cache_info(r->ctx, &cache) != FL4_OK) cache.nvrtc_version = 0;
  cli_set(environment, "driver", cli_text(health.driver));
  cli_set(environment, "nvrtc", cache.nvrtc_version ? json_integer(cache.nvrtc_version) : json_null());
  cli_set(environment, "library_file", optional_text(file));
  cli_set(environment, "library_hash", file_hash(file));
  return environment;
}

static json_t *limits_json(const report *r)
{
  if (!r->limits_measured) return json_null();
  json_t *limits = cli_object();
  cli_set(limits, "mma_tflops", cli_real(r->limits.mma_tflops));
  cli_set(limits, "gemm_tflops", cli_real(r->limits.gemm_tflops));
  cli_set(limits, "read_gbps", cli_real(r->limits.read_gbps));
  return limits;
}

static json_t *options_json(const report *r)
{
  const fl4_bench_options *s = &r->settings;
  json_t *options = cli_object(), *inputs = cli_array();
  for (int i = 0; i < r->n_inputs; i++) cli_append(inputs, cli_text(fl4_inputs_name(r->inputs[i])));
  cli_set(options, "mode", cli_text(fl4_bench_mode_name((fl4_bench_mode)s->mode)));
  cli_set(options, "cold", json_boolean(s->cold));
  cli_set(options, "inputs", inputs);
  cli_set(options, "copies", json_integer(s->copies));
  cli_set(options, "seed", json_integer((json_int_t)s->seed));
  cli_set(options, "precision", cli_real(s->precision));
  cli_set(options, "warmup_seconds", cli_real(s->warmup_seconds));
  cli_set(options, "max_seconds", cli_real(s->max_seconds));
  cli_set(options, "min_samples", json_integer(s->min_samples));
  cli_set(options, "max_samples", json_integer(s->max_samples));
  cli_set(options, "threshold", cli_real(r->compare.threshold));
  cli_set(options, "alpha", cli_real(r->compare.alpha));
  cli_set(options, "resamples", json_integer(r->compare.resamples));
  return options;
}

static json_t *contender_json(const report_contender *c)
{
  json_t *contender = cli_object();
  cli_set(contender, "name", cli_text(c->name));
  cli_set(contender, "kind", cli_text(c->description.kind == FL4_CONTENDER_ORACLE ? "oracle" : "forward"));
  cli_set(contender, "device", optional_text(c->description.device));
  cli_set(contender, "variant", optional_text(c->description.variant));
  cli_set(contender, "library_file", optional_text(c->description.library));
  cli_set(contender, "library_hash", file_hash(c->description.library));
  return contender;
}

json_t *report_statistics_json(const fl4_statistics *s)
{
  json_t *statistics = cli_object();
  cli_set(statistics, "n", json_integer(s->n));
  cli_set(statistics, "min", cli_real(s->min));
  cli_set(statistics, "max", cli_real(s->max));
  cli_set(statistics, "mean", cli_real(s->mean));
  cli_set(statistics, "stdev", cli_real(s->stdev));
  cli_set(statistics, "p50", cli_real(s->p50));
  cli_set(statistics, "p50_low", cli_real(s->p50_low));
  cli_set(statistics, "p50_high", cli_real(s->p50_high));
  cli_set(statistics, "p90", cli_real(s->p90));
  cli_set(statistics, "p95", cli_real(s->p95));
  cli_set(statistics, "p99", cli_real(s->p99));
  return statistics;
}

json_t *report_comparison_json(const fl4_comparison *c, const char *base)
{
  if (c->n <= 0) return json_null();
  json_t *comparison = cli_object();
  cli_set(comparison, "base", cli_text(base));
  cli_set(comparison, "paired", json_boolean(c->paired));
  cli_set(comparison, "n", json_integer(c->n));
  cli_set(comparison, "ratio", cli_real(c->ratio));
  cli_set(comparison, "low", cli_real(c->low));
  cli_set(comparison, "high", cli_real(c->high));
  cli_set(comparison, "p_slower", cli_real(c->p_slower));
  cli_set(comparison, "p_faster", cli_real(c->p_faster));
  cli_set(comparison, "p_adjusted", cli_real(c->p_adjusted));
  cli_set(comparison, "threshold", cli_real(c->threshold));
  cli_set(comparison, "alpha", cli_real(c->alpha));
  cli_set(comparison, "verdict", cli_text(fl4_verdict_name((fl4_verdict)c->verdict)));
  return comparison;
}

static json_t *known(int64_t value)
{
  return value < 0 ? json_null() : json_integer(value);
}

static json_t *health_json(const fl4_device_health *h)
{
  char words[128];
  json_t *health = cli_object();
  cli_set(health, "sm_clock_mhz", known(h->sm_clock_mhz));
  cli_set(health, "sm_clock_max_mhz", known(h->sm_clock_max_mhz));
  cli_set(health, "memory_clock_mhz", known(h->memory_clock_mhz));
  cli_set(health, "temperature_c", known(h->temperature_c));
  cli_set(health, "power_w", h->power_w < 0 ? json_null() : cli_real(h->power_w));
  cli_set(health, "power_limit_w", h->power_limit_w < 0 ? json_null() : cli_real(h->power_limit_w));
  cli_set(health, "throttle_reasons", known(h->throttle_reasons));
  cli_set(health, "throttle", cli_text(fl4_throttle_text(h->throttle_reasons, words)));
  return health;
}

static void set_timing(json_t *object, const report_row *row)
{
  const fl4_bench_result *result = &row->result;
  json_t *samples = cli_array(), *health = cli_object();
  for (int64_t i = 0; i < result->samples_size; i++) cli_append(samples, cli_real(result->samples[i]));
  cli_set(object, "samples_us", samples);
  cli_set(object, "statistics", report_statistics_json(&result->stats));
  cli_set(object, "tflops", cli_real(result->tflops));
  cli_set(object, "gbps", cli_real(result->gbps));
  cli_set(object, "percent_matrix", cli_real(result->percent_matrix));
  cli_set(object, "percent_read", cli_real(result->percent_read));
  cli_set(health, "before", health_json(&result->before));
  cli_set(health, "after", health_json(&result->after));
  cli_set(object, "health", health);
}

static json_t *row_json(const report *r, const report_row *row)
{
  const fl4_bench_result *result = &row->result;
  fl4_problem problem = FL4_PROBLEM_INIT;
  json_t *object = cli_object();
  bool parsed = fl4_problem_parse(row->problem, &problem) == FL4_OK;
  cli_set(object, "problem", cli_text(row->problem));
  cli_set(object, "inputs", cli_text(fl4_inputs_name(row->inputs)));
  cli_set(object, "contender", cli_text(r->contenders[row->contender].name));
  cli_set(object, "note", cli_text(row->note));
  cli_set(object, "outcome", cli_text(report_outcome_name(report_outcome_of(result))));
  cli_set(object, "status", cli_text(fl4_status_name((fl4_status)result->status)));
  cli_set(object, "error", cli_text(result->error));
  cli_set(object, "flops", cli_real(parsed ? fl4_problem_flops(&problem) : 0));
  cli_set(object, "bytes", cli_real(parsed ? fl4_problem_bytes(&problem) : 0));
  cli_set(object, "variant", cli_text(result->variant));
  cli_set(object, "library", cli_text(result->library));
  cli_set(object, "kernel_hash", hash_text(result->kernel_hash));
  cli_set(object, "registers", json_integer(result->registers));
  cli_set(object, "spill_bytes", json_integer(result->spill_bytes));
  cli_set(object, "smem_bytes", json_integer(result->smem_bytes));
  cli_set(object, "blocks", json_integer(result->blocks));
  cli_set(object, "oracle", cli_text(result->oracle));
  cli_set(object, "max_error", cli_real(result->max_error));
  cli_set(object, "max_allowed", cli_real(result->max_allowed));
  cli_set(object, "mode", cli_text(fl4_bench_mode_name((fl4_bench_mode)result->mode)));
  cli_set(object, "cold", json_boolean(result->cold));
  cli_set(object, "copies", json_integer(result->copies));
  cli_set(object, "calls", json_integer(result->calls));
  cli_set(object, "stop", cli_text(fl4_bench_stop_name((fl4_bench_stop)result->stop)));
  cli_set(object, "seconds", cli_real(result->seconds));
  if (report_outcome_of(result) == REPORT_TIMED) {
    set_timing(object, row);
    cli_set(object, "comparison", report_comparison_json(&result->against, r->contenders[row->base].name));
  }
  return object;
}

json_t *report_json(const report *r)
{
  json_t *root = cli_object(), *contenders = cli_array(), *results = cli_array(), *summary = cli_object();
  cli_set(root, "schema", cli_text("flashl4-bench-1"));
  cli_set(root, "environment", environment_json(r));
  cli_set(root, "device", cli_device_json(&r->device));
  cli_set(root, "limits", limits_json(r));
  cli_set(root, "options", options_json(r));
  for (size_t i = 0; i < r->n_contenders; i++) cli_append(contenders, contender_json(&r->contenders[i]));
  cli_set(root, "contenders", contenders);
  for (size_t i = 0; i < r->n_rows; i++) cli_append(results, row_json(r, &r->rows[i]));
  cli_set(root, "results", results);
  for (int outcome = 0; outcome < REPORT_N_OUTCOMES; outcome++)
    cli_set(summary, report_outcome_name((report_outcome)outcome),
            json_integer((json_int_t)report_count(r, (report_outcome)outcome)));
  cli_set(summary, "not_run", json_integer((json_int_t)r->left_out));
  cli_set(root, "summary", summary);
  return root;
}
