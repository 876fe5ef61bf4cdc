/* SPDX-License-Identifier: Apache-2.0 */
/* Nsight Compute's command line: where it is, what it measured, why it did not. */
#include "ncu.h"

#include <csv.h>
#include <ctype.h>
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

/* Where it is */

static bool is_program(const char *path)
{
  struct stat info;
  return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}

static bool on_path(const char *name, char path[PATH_MAX])
{
  const char *folders = getenv("PATH");
  for (const char *folder = folders; folder; folder = strchr(folder, ':') ? strchr(folder, ':') + 1 : NULL) {
    int length = (int)strcspn(folder, ":");
    if (length == 0) continue; /* the current folder, which is no place to look for a profiler */
    if (snprintf(path, PATH_MAX, "%.*s/%s", length, folder, name) < PATH_MAX && is_program(path)) return true;
  }
  return false;
}

/* The newest of those that match: the folders are named by version, 2025.3.1 before 2025.10.0. */
static bool newest(const char *pattern, char path[PATH_MAX])
{
  glob_t found;
  const char *best = NULL;
  if (glob(pattern, 0, NULL, &found) == 0)
    for (size_t i = 0; i < found.gl_pathc; i++)
      if (is_program(found.gl_pathv[i]) && (!best || strverscmp(found.gl_pathv[i], best) > 0)) best = found.gl_pathv[i];
  bool fits = best && snprintf(path, PATH_MAX, "%s", best) < PATH_MAX;
  globfree(&found);
  return fits;
}

int ncu_find(char path[PATH_MAX])
{
  const char *named = getenv("FLASHL4_NCU");
  if (named && *named) {
    bool found = strchr(named, '/') ? is_program(named) && snprintf(path, PATH_MAX, "%s", named) < PATH_MAX
                                    : on_path(named, path);
    return found ? CLI_GOOD
                 : cli_fail(CLI_DEVICE, "profile: FLASHL4_NCU names \"%s\", which is not a program here", named);
  }
  if (on_path("ncu", path) || newest("/usr/local/cuda/bin/ncu", path) ||
      newest("/opt/nvidia/nsight-compute/*/ncu", path))
    return CLI_GOOD;
  return cli_fail(CLI_DEVICE,
                  "profile: ncu (NVIDIA Nsight Compute) was not found on the PATH, in /usr/local/cuda/bin or in "
                  "/opt/nvidia/nsight-compute.\nIt comes with the CUDA toolkit, or as the package nsight-compute; "
                  "FLASHL4_NCU names it where it is elsewhere.");
}

/* What it measured */

double ncu_number(const char *text)
{
  char plain[64];
  size_t n = 0;
  for (const char *c = text; *c; c++) {
    if (n + 1 >= sizeof plain) return NAN;
    if (*c != ',') {
      plain[n++] = *c;
      continue;
    }
    /* A comma stands between groups of three digits; elsewhere it would be a decimal one. */
    bool grouped = c > text && isdigit((unsigned char)c[-1]) && strspn(c + 1, "0123456789") == 3;
    if (!grouped) return NAN;
  }
  plain[n] = '\0';
  if (n == 0 || strspn(plain, "+-.0123456789eE") != n) return NAN;
  char *end;
  double value = strtod(plain, &end);
  return *end == '\0' && isfinite(value) ? value : NAN;
}

static void *must(void *memory)
{
  if (!memory) exit(cli_fail(CLI_DEVICE, "out of memory"));
  return memory;
}

/* The rows as they are read: the first three are names, units and a launch; more are not kept. */
typedef struct table {
  char **fields[3];
  size_t n[3], row, lines;
} table;

static void take_field(void *text, size_t size, void *user)
{
  table *t = user;
  if (t->row >= 3) return;
  char ***fields = &t->fields[t->row];
  size_t *n = &t->n[t->row];
  *fields = must(realloc(*fields, (*n + 1) * sizeof **fields));
  (*fields)[(*n)++] = must(text ? strndup(text, size) : strdup(""));
}

static void take_row(int end, void *user)
{
  (void)end;
  table *t = user;
  t->row++;
}

static void free_table(table *t)
{
  for (int r = 0; r < 3; r++) {
    for (size_t i = 0; i < t->n[r]; i++) free(t->fields[r][i]);
    free(t->fields[r]);
  }
}

/* The lines from the row of names on that begin with a quote: all of ncu's table do, its messages do not. */
static void read_table(const char *output, table *t)
{
  struct csv_parser parser;
  if (csv_init(&parser, 0) != 0) must(NULL);
  bool started = false;
  for (const char *line = output; *line;) {
    size_t size = strcspn(line, "\n");
    size += line[size] == '\n';
    if (strncmp(line, "\"ID\",", 5) == 0) started = true;
    if (started && *line == '"') {
      t->lines++;
      if (csv_parse(&parser, line, size, take_field, take_row, t) != size) must(NULL);
    }
    line += size;
  }
  csv_fini(&parser, take_field, take_row, t);
  csv_free(&parser);
}

ncu_outcome ncu_read(const char *output, ncu_report *report)
{
  *report = (ncu_report){0};
  table t = {0};
  read_table(output, &t);
  ncu_outcome outcome = t.lines < 3 ? NCU_NONE : NCU_READ;
  /* All rows have as many fields, units have no launch number, a launch has one. */
  if (outcome == NCU_READ &&
      (t.n[0] != t.n[1] || t.n[0] != t.n[2] || *t.fields[1][0] || isnan(ncu_number(t.fields[2][0]))))
    outcome = NCU_GARBLED;
  if (outcome == NCU_READ) {
    report->n = t.n[0];
    report->metrics = must(calloc(report->n, sizeof *report->metrics));
    for (size_t i = 0; i < report->n; i++) {
      report->metrics[i] = (ncu_metric){t.fields[0][i], t.fields[1][i], t.fields[2][i], ncu_number(t.fields[2][i])};
      t.fields[0][i] = t.fields[1][i] = t.fields[2][i] = NULL;
    }
  }
  free_table(&t);
  return outcome;
}

void ncu_free(ncu_report *report)
{
  for (size_t i = 0; i < report->n; i++) {
    free(report->metrics[i].name);
    free(report->metrics[i].unit);
    free(report->metrics[i].text);
  }
  free(report->metrics);
  *report = (ncu_report){0};
}

const ncu_metric *ncu_find_metric(const ncu_report *report, const char *name)
{
  for (size_t i = 0; i < report->n; i++)
    if (strcmp(report->metrics[i].name, name) == 0) return &report->metrics[i];
  return NULL;
}

/* Why it did not */

const char *ncu_explain(const char *output)
{
  static const char *const known[][2] = {
      {"ERR_NVGPUCTRPERM",
       "this user may not read the GPU's performance counters. An administrator can allow it: put the line\n"
       "  options nvidia NVreg_RestrictProfilingToAdminUsers=0\n"
       "into a file in /etc/modprobe.d and reload the driver (or reboot); or run this as root; a container needs\n"
       "--cap-add=SYS_ADMIN"},
      {"InterprocessLockFailed",
       "another user's ncu has left its lock file; set TMPDIR to a folder of your own and try again"},
      {"concurrently collecting profiling data", "another profiler is using the GPU; try again when it has ended"},
      {"LibraryNotLoaded", "ncu cannot start its profiler: it is too old for the driver or too new, or this (virtual)\n"
                           "machine does not let the counters through"},
      {"No kernels were profiled", "ncu saw no launch of flashl4's kernel"},
  };
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strstr(output, known[i][0])) return known[i][1];
  return NULL;
}
