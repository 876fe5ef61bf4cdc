/* SPDX-License-Identifier: Apache-2.0 */
#include "flash_grid.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct sizes {
  int Sq, Sk;
} sizes;

/* Prefill, also ragged. */
static const sizes prefill[] = {{1, 1},       {64, 128},    {128, 192},   {256, 256},   {239, 1},
                                {799, 3},     {113, 203},   {113, 128},   {128, 217},   {113, 211},
                                {108, 256},   {256, 512},   {384, 256},   {640, 128},   {512, 256},
                                {1024, 1024}, {1023, 1024}, {1024, 1023}, {4096, 4096}, {4224, 4224}};
/* Caches: the longest key, of which each sequence has some. */
static const sizes caches[] = {{1, 128},   {1, 339},    {3, 1024},  {64, 800},  {64, 256},   {3, 799},
                               {64, 2048}, {16, 20000}, {128, 128}, {256, 512}, {2048, 3577}};
static const int dims[] = {64, 96, 128, 192, 256}, pages[] = {0, 16, 128};
static const char *const heads[] = {"hq6", "hq6hkv1", "hq6hkv2"};

enum { MASKS = 3 /* none, causal, window */, SOFTCAP = 15 };
#define N(array) ((int)(sizeof(array) / sizeof *(array)))
enum {
  N_DENSE = N(prefill) * N(dims) * MASKS * 2,
  N_RAGGED = N(prefill) * MASKS * 2,
  N_CACHES = N(caches) * MASKS * N(pages)
};

/* Behind what is there. */
__attribute__((format(printf, 2, 3))) static void append(char line[FL4_PROBLEM_LINE_MAX], const char *format, ...)
{
  const size_t length = strlen(line);
  va_list args;
  va_start(args, format);
  if (vsnprintf(line + length, FL4_PROBLEM_LINE_MAX - length, format, args) >= (int)(FL4_PROBLEM_LINE_MAX - length))
    abort();
  va_end(args);
}

/* A number that is as good as drawn. */
static uint32_t drawn(int i, int what)
{
  uint32_t x = (uint32_t)i * 2654435761u + (uint32_t)what * 40503u;
  x = (x ^ x >> 15) * 2246822519u;
  return (x ^ x >> 13) * 3266489917u >> 8;
}

/* Problem lines name their parts in one order: sizes, dtype, mask, log-sum-exp, scale, softcap, lengths, pages. */
static void begin(char line[FL4_PROBLEM_LINE_MAX], int i, int B, const sizes *s, int D, int mask)
{
  line[0] = 0;
  append(line, "b%d%ssq%dsk%dd%d%s", B, heads[drawn(i, 0) % N(heads)], s->Sq, s->Sk, D, drawn(i, 1) % 2 ? ":bf16" : "");
  if (mask == 1) append(line, ":causal");
  if (mask == 2)
    append(line, ":window=%d,%d", (int)(drawn(i, 2) % (unsigned)s->Sk), (int)(drawn(i, 3) % (unsigned)s->Sk));
  if (drawn(i, 4) % 2) append(line, ":lse");
}

static void dense(int i, char line[FL4_PROBLEM_LINE_MAX])
{
  const sizes *s = &prefill[i % N(prefill)];
  const int rest = i / N(prefill), D = dims[rest % N(dims)];
  begin(line, i, s->Sq <= 2048 ? 9 : 2, s, D, rest / N(dims) % MASKS);
  /* Their queries are larger by a quarter of the cap, lest it does nothing. */
  if (rest / N(dims) / MASKS) append(line, ":scale=%.4g:softcap=%d", SOFTCAP / 4. / sqrt(D), SOFTCAP);
}

static void ragged(int i, char line[FL4_PROBLEM_LINE_MAX])
{
  const sizes *s = &prefill[i % N(prefill)];
  const int rest = i / N(prefill);
  begin(line, i, s->Sq <= 2048 ? 9 : 2, s, dims[drawn(i, 5) % N(dims)], rest % MASKS);
  append(line, rest / MASKS ? ":ragged:lens" : ":ragged");
}

static void cache(int i, char line[FL4_PROBLEM_LINE_MAX])
{
  const sizes *s = &caches[i % N(caches)];
  const int rest = i / N(caches), page = pages[rest / MASKS];
  begin(line, i, 5, s, 128, rest % MASKS);
  append(line, drawn(i, 6) % 3 ? ":lens" : ":ragged:lens");
  if (page) append(line, ":page=%d", page);
}

int flash_grid_count(void)
{
  return N_DENSE + N_RAGGED + N_CACHES;
}

void flash_grid_line(int i, char line[FL4_PROBLEM_LINE_MAX])
{
  if (i < N_DENSE)
    dense(i, line);
  else if (i < N_DENSE + N_RAGGED)
    ragged(i - N_DENSE, line);
  else
    cache(i - N_DENSE - N_RAGGED, line);
}
