/* SPDX-License-Identifier: Apache-2.0 */
/* fl4 compare: two files of fl4 bench, matched by what was timed, never by position. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results.h"
#include "verdicts.h"

/* One file's results in the order of what they are of, and what each was matched with. */
typedef struct side {
  const results *file;
  const char *name; /* OLD or NEW */
  const result **sorted;
  const result **match; /* by index into file->rows */
} side;

static int by_problem(const result *x, const result *y)
{
  int order = strcmp(x->problem, y->problem);
  if (!order) order = (int)x->inputs - (int)y->inputs;
  if (!order) order = strcmp(x->mode, y->mode);
  return order ? order : (int)x->cold - (int)y->cold;
}

static int by_problem_and_name(const void *a, const void *b)
{
  const result *x = *(const result *const *)a, *y = *(const result *const *)b;
  int order = by_problem(x, y);
  return order ? order : strcmp(x->contender, y->contender);
}

static int open_side(side *s, const results *file, const char *name)
{
  *s = (side){.file = file, .name = name};
  s->sorted = calloc(file->n, sizeof *s->sorted);
  s->match = calloc(file->n, sizeof *s->match);
  if (!s->sorted || !s->match) return cli_fail(CLI_DEVICE, "out of memory");
  for (size_t i = 0; i < file->n; i++) s->sorted[i] = &file->rows[i];
  qsort(s->sorted, file->n, sizeof *s->sorted, by_problem_and_name);
  return CLI_GOOD;
}

static void close_side(side *s)
{
  free(s->sorted);
  free(s->match);
}

static const result **match_of(const side *s, const result *r)
{
  return &s->match[r - s->file->rows];
}

static void match(side *old, side *new, const result *x, const result *y)
{
  *match_of(old, x) = y;
  *match_of(new, y) = x;
}

/* The only unmatched one among n that ran this variant of this library; NULL if there is none, or another. */
static const result *only_of_variant(const side *s, const result *const *group, size_t n, const char *variant)
{
  const result *found = NULL;
  for (size_t i = 0; i < n; i++) {
    if (*match_of(s, group[i]) || !group[i]->again || strcmp(group[i]->variant, variant) != 0) continue;
    if (found) return NULL;
    found = group[i];
  }
  return found;
}

/* The results of one problem on both sides. */
static void match_group(side *old, const result *const *xs, size_t n_x, side *new, const result *const *ys, size_t n_y)
{
  for (size_t i = 0; i < n_x; i++)
    for (size_t k = 0; k < n_y; k++)
      if (strcmp(xs[i]->contender, ys[k]->contender) == 0) match(old, new, xs[i], ys[k]);
  for (size_t i = 0; i < n_x; i++) {
    const result *y = only_of_variant(new, ys, n_y, xs[i]->variant);
    if (y && only_of_variant(old, xs, n_x, xs[i]->variant) == xs[i]) match(old, new, xs[i], y);
  }
  if (n_x == 1 && n_y == 1 && !*match_of(old, xs[0])) match(old, new, xs[0], ys[0]);
}

/* How many results from `at` on are of the same problem as the one there. */
static size_t group_length(const side *s, size_t at)
{
  size_t n = 1;
  while (at + n < s->file->n && by_problem(s->sorted[at], s->sorted[at + n]) == 0) n++;
  return n;
}

static void match_all(side *old, side *new)
{
  for (size_t i = 0, k = 0; i < old->file->n && k < new->file->n;) {
    int order = by_problem(old->sorted[i], new->sorted[k]);
    size_t n_x = group_length(old, i), n_y = group_length(new, k);
    if (order == 0) match_group(old, old->sorted + i, n_x, new, new->sorted + k, n_y);
    if (order <= 0) i += n_x;
    if (order >= 0) k += n_y;
  }
}

/* What is missing may be there, but timed in another way. */
static void remark_missing(verdict *v, const side *other)
{
  for (size_t i = 0; i < other->file->n; i++) {
    const result *r = &other->file->rows[i];
    if (strcmp(r->problem, v->problem) != 0 || r->inputs != v->inputs) continue;
    if (strcmp(r->mode, v->mode) == 0 && r->cold == v->cold) continue;
    verdict_remark(v, "%s has it as %s, %s caches; this is %s, %s", other->name, r->mode, r->cold ? "cold" : "warm",
                   v->mode, v->cold ? "cold" : "warm");
    return;
  }
}

static void remark_match(verdict *v, const result *old, const result *new)
{
  bool renamed = strcmp(old->contender, new->contender) != 0;
  if (renamed && strcmp(old->variant, new->variant) == 0)
    verdict_remark(v, "matched by variant: %s in OLD", old->contender);
  else if (renamed)
    verdict_remark(v, "matched by problem: OLD is %s, %s; NEW is %s", old->contender, old->variant, new->variant);
  else if (strcmp(old->variant, new->variant) != 0)
    verdict_remark(v, "another variant: OLD %s, NEW %s", old->variant, new->variant);
}

static int add_verdict(verdicts *all, const side *old_side, const side *new_side, const result *old, const result *new)
{
  verdict *v = verdicts_add(all);
  if (!v) return cli_fail(CLI_DEVICE, "out of memory");
  const result *named = new ? new : old;
  v->problem = named->problem;
  v->inputs = named->inputs;
  v->contender = named->contender;
  v->mode = named->mode;
  v->cold = named->cold;
  if (old) v->old_variant = old->variant;
  if (new) v->new_variant = new->variant;
  if (old && old->outcome == REPORT_TIMED) v->old_times = old->statistics;
  if (new &&new->outcome == REPORT_TIMED) v->new_times = new->statistics;

  if (new &&new->outcome == REPORT_WRONG) {
    v->state = VERDICT_WRONG;
    verdict_remark(v, "%s", new->error);
  } else if (v->old_times.n && v->new_times.n) {
    v->state = VERDICT_JUDGED;
    remark_match(v, old, new);
    return verdict_compare(v, all->threshold, old->samples, old->n, new->samples, new->n);
  } else if (v->old_times.n || v->new_times.n) {
    const result *untimed = v->old_times.n ? new : old;
    v->state = v->old_times.n ? VERDICT_NOT_IN_NEW : VERDICT_NOT_IN_OLD;
    if (untimed)
      verdict_remark(v, "%s: %s", report_outcome_name(untimed->outcome), untimed->error);
    else
      remark_missing(v, v->old_times.n ? new_side : old_side);
  } else {
    v->state = VERDICT_NOT_TIMED;
    verdict_remark(v, "%s: %s", report_outcome_name(named->outcome), named->error);
  }
  return CLI_GOOD;
}

/* What makes the comparison one of something else than two builds of the library. */
static void warn(verdicts *v, const results *old, const results *new)
{
  if (strcmp(old->name, new->name) != 0 || strcmp(old->isa, new->isa) != 0 ||
      old->multiprocessors != new->multiprocessors)
    verdicts_warn(v, "OLD is of %s, %s (%lld), NEW of %s, %s (%lld): this compares devices, not libraries", old->name,
                  old->isa, (long long)old->multiprocessors, new->name, new->isa, (long long)new->multiprocessors);
  const struct {
    const char *name;
    double old, new;
  } limits[] = {{"matrix rate", old->limits.mma_tflops, new->limits.mma_tflops},
                {"rate of cuBLAS", old->limits.gemm_tflops, new->limits.gemm_tflops},
                {"read bandwidth", old->limits.read_gbps, new->limits.read_gbps}};
  for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
    if (limits[i].old > 0 && limits[i].new > 0 && fabs(log(limits[i].new / limits[i].old)) > 0.05)
      verdicts_warn(v, "the %s measured with NEW is %.3f times that of OLD: the device itself has changed",
                    limits[i].name, limits[i].new / limits[i].old);
  if (old->options.copies != new->options.copies)
    verdicts_warn(v, "OLD used %d sets of tensors, NEW %d", old->options.copies, new->options.copies);
}

static json_t *file_json(const results *r)
{
  json_t *file = cli_object();
  cli_set(file, "file", cli_text(r->file));
  cli_set(file, "time", cli_text(r->time));
  cli_set(file, "library", cli_text(r->library));
  cli_set(file, "device", cli_text(r->device));
  cli_set(file, "name", cli_text(r->name));
  return file;
}

static int compare(const results *old, const results *new, verdicts *v)
{
  side xs = {0}, ys = {0};
  int code = open_side(&xs, old, "OLD");
  if (code == CLI_GOOD) code = open_side(&ys, new, "NEW");
  if (code == CLI_GOOD) {
    warn(v, old, new);
    match_all(&xs, &ys);
  }
  for (size_t i = 0; i < old->n && code == CLI_GOOD; i++) code = add_verdict(v, &xs, &ys, &old->rows[i], xs.match[i]);
  for (size_t i = 0; i < new->n &&code == CLI_GOOD; i++)
    if (!ys.match[i]) code = add_verdict(v, &xs, &ys, NULL, &new->rows[i]);
  close_side(&xs);
  close_side(&ys);
  return code == CLI_GOOD ? verdicts_judge(v) : code;
}

static int show(const cli_options *o, const results *old, const results *new, const verdicts *v)
{
  FILE *json = NULL, *markdown = NULL;
  int code = cli_json_open(o, &json);
  if (code == CLI_GOOD) code = cli_file_open("--markdown", o->markdown, &markdown);
  if (code == CLI_GOOD) code = verdicts_exit(v, o);
  if (json != stdout && markdown != stdout) verdicts_show(v, o);
  if (markdown) {
    fprintf(markdown, "OLD %s: %s, %s, flashl4 %s.\nNEW %s: %s, %s, flashl4 %s.\n\n", old->file, old->name, old->time,
            old->library, new->file, new->name, new->time, new->library);
    verdicts_markdown(v, markdown);
  }
  code = cli_file_close("--markdown", o->markdown, markdown, code);
  json_t *root = cli_object();
  cli_set(root, "schema", cli_text("flashl4-compare-1"));
  cli_set(root, "environment", cli_environment_json(o));
  cli_set(root, "old", file_json(old));
  cli_set(root, "new", file_json(new));
  verdicts_json(v, root, code);
  return cli_json_close(o, json, root, code);
}

int cli_compare(const cli_options *options)
{
  results old = {0}, new = {0};
  verdicts v = {.threshold = options->threshold > 0 ? options->threshold : 0.03};
  int code = results_read(options->arguments[0], &old);
  if (code == CLI_GOOD) code = results_read(options->arguments[1], &new);
  if (code == CLI_GOOD) code = compare(&old, &new, &v);
  if (code == CLI_GOOD) code = show(options, &old, &new, &v);
  verdicts_free(&v);
  results_free(&old);
  results_free(&new);
  return code;
}
