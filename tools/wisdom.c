/* SPDX-License-Identifier: Apache-2.0 */
/* fl4 wisdom: what tuning has learnt, and the files that it is in. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <flashl4/tune.h>
#include <flashl4/wisdom.h>

#include "cli.h"

/* A file that cannot be read is unusable input, not a failure of the device. */
static int failed(fl4_status status)
{
  return cli_fail(status == FL4_IO_ERROR ? CLI_UNUSABLE : cli_code(status), "%s", fl4_last_error());
}

/* ---------------------------------------------------------------- pieces */

static const char *budget_of(const fl4_wisdom_entry *e)
{
  static const char *const names[] = {
#define BUDGET_NAME(name, text, evaluations) [FL4_TUNE_##name] = text,
      FL4_TUNE_BUDGET_MAP(BUDGET_NAME)
#undef BUDGET_NAME
  };
  return strcmp(e->mode, "hand") == 0 ? "by hand" : names[e->budget];
}

static void time_text(double us, char text[24])
{
  if (us > 0)
    snprintf(text, 24, "%.2f", us);
  else
    snprintf(text, 24, "-");
}

/* How much faster than the built-in choice. */
static void gain_text(const fl4_wisdom_entry *e, char text[24])
{
  const double gain = e->default_us / e->p50_us;
  if (!e->improved)
    snprintf(text, 24, "none");
  else if (gain > 0 && isfinite(gain))
    snprintf(text, 24, "%.3f", gain);
  else
    snprintf(text, 24, "-");
}

enum { COLUMNS = 8 };

static void show_row(const cli_column columns[COLUMNS], const fl4_wisdom_entry *e)
{
  char us[24], gain[24];
  time_text(e->p50_us, us);
  gain_text(e, gain);
  cli_row(columns, COLUMNS,
          (const char *[]){e->problem, e->device, us, gain, budget_of(e), e->date, e->variant, e->source});
}

static json_t *entry_json(const fl4_wisdom_entry *e)
{
  char hash[24];
  snprintf(hash, sizeof hash, "%016" PRIx64, e->kernel_hash);
  json_t *o = cli_object();
  cli_set(o, "problem", cli_text(e->problem));
  cli_set(o, "device", cli_text(e->device));
  cli_set(o, "variant", cli_text(e->variant));
  cli_set(o, "source", cli_text(e->source));
  cli_set(o, "budget", cli_text(budget_of(e)));
  cli_set(o, "evaluations", json_integer(e->evaluations));
  cli_set(o, "improved", json_boolean(e->improved));
  cli_set(o, "p50_us", cli_real(e->p50_us));
  cli_set(o, "default_us", cli_real(e->default_us));
  cli_set(o, "max_error", cli_real(e->max_error));
  cli_set(o, "mode", cli_text(e->mode));
  cli_set(o, "date", cli_text(e->date));
  cli_set(o, "kernel_hash", cli_text(hash));
  cli_set(o, "driver", cli_text(e->driver));
  cli_set(o, "nvrtc", json_integer(e->nvrtc));
  return o;
}

/* ---------------------------------------------------------------- counts */

static void show_counts(const fl4_wisdom_counts *c)
{
  printf("%" PRId64 " used, %" PRId64 " replaced, %" PRId64 " of other devices, %" PRId64 " stale, %" PRId64
         " damaged\n",
         c->used, c->replaced, c->foreign, c->stale, c->damaged);
}

static json_t *counts_json(const fl4_wisdom_counts *c)
{
  json_t *o = cli_object();
  cli_set(o, "used", json_integer(c->used));
  cli_set(o, "replaced", json_integer(c->replaced));
  cli_set(o, "foreign", json_integer(c->foreign));
  cli_set(o, "stale", json_integer(c->stale));
  cli_set(o, "damaged", json_integer(c->damaged));
  return o;
}

/* ---------------------------------------------------------------- actions; each adds to `root` */

static int width(int so_far, const char *text)
{
  return (int)strlen(text) > so_far ? (int)strlen(text) : so_far;
}

static int list_pieces(fl4_context *ctx, bool show, json_t *root)
{
  cli_column columns[COLUMNS] = {{"problem", 7, false}, {"device", 6, false},  {"p50 us", 9, true},
                                 {"gain", 6, true},     {"budget", 10, false}, {"tuned", 20, false},
                                 {"variant", 7, false}, {"from", 0, false}};
  fl4_wisdom_entry e = FL4_WISDOM_ENTRY_INIT;
  const size_t n = fl4_wisdom_count(ctx);
  json_t *pieces = cli_array();
  cli_set(root, "pieces", pieces);
  for (size_t i = 0; i < n && fl4_wisdom_get(ctx, i, &e) == FL4_OK; i++) {
    columns[0].width = width(columns[0].width, e.problem);
    columns[1].width = width(columns[1].width, e.device);
    columns[6].width = width(columns[6].width, e.variant);
    cli_append(pieces, entry_json(&e));
  }
  const char *titles[COLUMNS];
  for (int i = 0; i < COLUMNS; i++) titles[i] = columns[i].title;
  if (show && n) cli_row(columns, COLUMNS, titles);
  for (size_t i = 0; show && i < n && fl4_wisdom_get(ctx, i, &e) == FL4_OK; i++) show_row(columns, &e);
  if (show) printf("%s%zu piece%s of wisdom\n", n ? "\n" : "", n, n == 1 ? "" : "s");
  return CLI_GOOD;
}

static int list(fl4_context *ctx, const cli_options *o, bool show, json_t *root)
{
  if (o->n_arguments > 2) return cli_fail(CLI_UNUSABLE, "wisdom list takes one file");
  fl4_wisdom_counts counts = FL4_WISDOM_COUNTS_INIT;
  if (o->n_arguments == 2) { /* of this file alone */
    (void)fl4_wisdom_forget(ctx);
    const fl4_status status = fl4_wisdom_load(ctx, o->arguments[1], &counts);
    if (status != FL4_OK) return failed(status);
    cli_set(root, "counts", counts_json(&counts));
  }
  const int code = list_pieces(ctx, show, root);
  if (show && o->n_arguments == 2) show_counts(&counts);
  return code;
}

static int show_problem(fl4_context *ctx, const cli_options *o, bool show, json_t *root)
{
  if (o->n_arguments != 2) return cli_fail(CLI_UNUSABLE, "wisdom show takes one problem");
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_wisdom_entry e = FL4_WISDOM_ENTRY_INIT;
  fl4_status status = fl4_problem_parse(o->arguments[1], &problem);
  if (status == FL4_OK) status = fl4_wisdom_lookup(ctx, &problem, &e);
  if (status != FL4_OK) return failed(status);
  const char *match = fl4_match_name((fl4_match)e.match);
  cli_set(root, "problem", cli_text(o->arguments[1]));
  cli_set(root, "match", cli_text(match));
  cli_set(root, "variant", cli_text(e.variant));
  cli_set(root, "piece", e.match == FL4_MATCH_NONE ? json_null() : entry_json(&e));
  if (!show) return CLI_GOOD;

  printf("problem  %s\nruns     %s\nmatch    %s\n", o->arguments[1], e.variant, match);
  if (e.match == FL4_MATCH_NONE) return CLI_GOOD;
  char us[24], before[24], gain[24];
  time_text(e.p50_us, us);
  time_text(e.default_us, before);
  gain_text(&e, gain);
  printf("tuned    %s, on %s\n", e.problem, e.device);
  printf("when     %s, %s, %d evaluations\n", e.date, budget_of(&e), e.evaluations);
  printf("p50      %s us (%s), built-in choice %s us, gain %s\n", us, e.mode, before, gain);
  printf("from     %s\n", e.source);
  return CLI_GOOD;
}

static int merge(const char *const *files, size_t n, const char *to, bool prune, bool show, json_t *root)
{
  fl4_wisdom_counts counts = FL4_WISDOM_COUNTS_INIT;
  const fl4_status status = fl4_wisdom_merge(files, n, to, prune, &counts);
  if (status != FL4_OK) return failed(status);
  cli_set(root, "file", cli_text(to));
  cli_set(root, "counts", counts_json(&counts));
  if (show)
    printf("%s: %" PRId64 " pieces; %" PRId64 " replaced, %" PRId64 " stale%s, %" PRId64 " damaged%s\n", to,
           counts.used, counts.replaced, counts.stale, prune && counts.stale ? " dropped" : "", counts.damaged,
           prune && counts.damaged ? " dropped" : "");
  return CLI_GOOD;
}

static int act(const cli_options *o, bool show, json_t *root)
{
  const char *action = o->arguments[0];
  const char *const *files = o->arguments + 1;
  if (strcmp(action, "merge") == 0) {
    if (o->n_arguments < 3)
      return cli_fail(CLI_UNUSABLE, "wisdom merge takes a file to write, and one or more to read");
    return merge(files + 1, o->n_arguments - 2, files[0], false, show, root);
  }
  if (strcmp(action, "prune") == 0) {
    if (o->n_arguments != 2) return cli_fail(CLI_UNUSABLE, "wisdom prune takes one file");
    return merge(files, 1, files[0], true, show, root);
  }
  const bool lists = strcmp(action, "list") == 0;
  if (!lists && strcmp(action, "show") != 0)
    return cli_fail(CLI_UNUSABLE, "wisdom: unknown action '%s'; actions are list, show, merge and prune", action);

  fl4_context *ctx = NULL;
  fl4_device_info info = FL4_DEVICE_INFO_INIT;
  int code = cli_open(o, &ctx, &info);
  if (code != CLI_GOOD) return code;
  cli_set(root, "device", cli_device_json(&info));
  code = lists ? list(ctx, o, show, root) : show_problem(ctx, o, show, root);
  fl4_context_destroy(&ctx);
  return code;
}

int cli_wisdom(const cli_options *options)
{
  FILE *file;
  int code = cli_json_open(options, &file);
  if (code != CLI_GOOD) return code;
  json_t *root = cli_object();
  cli_set(root, "schema", cli_text("flashl4-wisdom-1"));
  cli_set(root, "environment", cli_environment_json(options));
  cli_set(root, "action", cli_text(options->arguments[0]));
  code = act(options, file != stdout, root);
  return cli_json_close(options, file, root, code);
}
