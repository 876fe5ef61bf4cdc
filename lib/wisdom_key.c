/* SPDX-License-Identifier: Apache-2.0 */
/* What wisdom is keyed by: the device, the kind and size of a problem, the kernels it was learnt with. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "oracle/check.h"
#include "wisdom_store.h"
#if FL4_HAVE_CUDA
#include "cuda/sources.h"
#endif

/* ---------------------------------------------------------------- the device */

void fl4__device_key(const fl4_device_info *device, char text[64])
{
  if (device->kind == FL4_DEVICE_HOST)
    snprintf(text, 64, "host %s %dT", device->isa, device->multiprocessors);
  else
    snprintf(text, 64, "%s%s %dSM %dMB", device->kind == FL4_DEVICE_EMU ? "emu " : "", device->isa,
             device->multiprocessors, (int)((device->l2_bytes + (1 << 19)) >> 20));
}

/* ---------------------------------------------------------------- the problem */

fl4_status fl4__wisdom_problem(const fl4_problem *problem, fl4__problem *canonical)
{
  fl4_problem p;
  FL4_TRY(fl4__problem_validate(problem, &p));
  return fl4__problem_call(&p, canonical);
}

/* 1 + log2 of the power of two that is nearest, as ratios go; 0 for 0. */
static uint64_t octave(int64_t size)
{
  if (size <= 0) return 0;
  const int floor = 63 - __builtin_clzll((unsigned long long)size);
  const uint64_t top = floor > 30 ? (uint64_t)size >> (floor - 30) : (uint64_t)size << (30 - floor);
  return 1 + (uint64_t)floor + (top * top >= UINT64_C(1) << 61); /* from √2 on the next one is */
}

enum { OCTAVE = 6, KIND = 3 * OCTAVE }; /* bits of a size, and of all three below the kind of problem */

/* 46 bits, of which dense attention has fewer. */
static uint64_t kind_of(const fl4__problem *p)
{
  const uint64_t dense = (uint64_t)(p->Hq / p->Hkv) << 13 | (uint64_t)(p->aligned != 0) << 12 |
                         (uint64_t)(p->mask & 7) << 9 | (uint64_t)(p->dtype & 7) << 6 | (uint64_t)(p->D / 8);
  if (!p->features && !p->invariant) return dense;
  /* All that there may be beside has no room: two kinds that happen to share a number cost speed at most. */
  const uint64_t parts[] = {dense, (uint64_t)p->features << 32 | (uint64_t)p->bias_type << 1 | (p->invariant != 0),
                            (uint64_t)p->page_size, octave(p->window_left) << OCTAVE | octave(p->window_right)};
  uint64_t hash = 0;
  for (int i = 0; i < 4; i++) {
    hash = (hash ^ parts[i]) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
  }
  return UINT64_C(1) << 45 | hash >> 19;
}

uint64_t fl4__wisdom_key(const fl4__problem *p)
{
  return kind_of(p) << KIND | octave(p->B * p->Hq) << 2 * OCTAVE | octave(p->Sk) << OCTAVE | octave(p->Sq);
}

int fl4__wisdom_distance(uint64_t a, uint64_t b)
{
  /* A sixteenfold of anything is another problem: better the built-in choice, which sees its sizes. */
  enum { FAR = 4 };
  int distance = 0;
  if (a >> KIND != b >> KIND) return -1;
  for (int shift = 0; shift < KIND; shift += OCTAVE) {
    const int apart = (int)(a >> shift & 63) - (int)(b >> shift & 63);
    if (apart > FAR || apart < -FAR) return -1;
    distance += apart * apart;
  }
  return distance;
}

uint64_t fl4__wisdom_exact(const fl4__problem *p)
{
  uint64_t words[sizeof *p / 8], hash = 0;
  memcpy(words, p, sizeof words);
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
  }
  return hash | 1;
}

/* ---------------------------------------------------------------- the kernels */

/* FNV-1a. A text ends with its zero, so that "ab" "c" is not "a" "bc". */

static uint64_t hash_byte(uint64_t hash, unsigned char byte)
{
  return (hash ^ byte) * 0x100000001b3u;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
  for (; *text; text++) hash = hash_byte(hash, (unsigned char)*text);
  return hash_byte(hash, 0);
}

static uint64_t hash_number(uint64_t hash, int64_t number)
{
  for (int i = 0; i < 8; i++) hash = hash_byte(hash, (unsigned char)((uint64_t)number >> 8 * i));
  return hash;
}

static const uint64_t hash_start = 0xcbf29ce484222325u;

uint64_t fl4__space_hash(const fl4__family *family)
{
  uint64_t hash = hash_text(hash_start, family->name);
  for (int i = 0; i < family->n_params; i++) {
    const fl4__param *param = &family->params[i];
    hash = hash_text(hash, param->name);
    hash = hash_number(hash, param->n_values);
    for (int k = 0; k < param->n_values; k++) hash = hash_number(hash, param->values[k]);
  }
  return hash;
}

#if FL4_HAVE_CUDA
static bool blank(char c)
{
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Code only: a comment or an indentation that changes must not cost what was learnt. */
static uint64_t hash_code(uint64_t hash, const char *at)
{
  bool gap = false, directive = false; /* a directive ends with its line */
  while (*at) {
    if (at[0] == '/' && at[1] == '/') {
      while (*at && *at != '\n') at++;
    } else if (at[0] == '/' && at[1] == '*') {
      const char *end = strstr(at + 2, "*/");
      at = end ? end + 2 : at + strlen(at);
      gap = true;
    } else if (blank(*at)) {
      if (*at++ == '\n' && directive) hash = hash_byte(hash, '\n'), directive = false;
      gap = true;
    } else {
      const char quote = *at == '"' || *at == '\'' ? *at : 0;
      if (gap) hash = hash_byte(hash, ' ');
      gap = false;
      directive |= *at == '#';
      hash = hash_byte(hash, (unsigned char)*at++);
      while (quote && *at) {
        const char c = *at++;
        hash = hash_byte(hash, (unsigned char)c);
        if (c == '\\' && *at) hash = hash_byte(hash, (unsigned char)*at++);
        if (c == quote) break;
      }
    }
  }
  return hash_byte(hash, 0);
}

static uint64_t hash_sources(const char *main_name)
{
  uint64_t hash = hash_start;
  for (int i = 0; i < fl4__n_embedded_sources; i++) {
    const fl4__source *source = &fl4__embedded_sources[i];
    const size_t n = strlen(source->name);
    const bool other = n > 3 && strcmp(source->name + n - 3, ".cu") == 0 && strcmp(source->name, main_name) != 0;
    if (!other) hash = hash_code(hash_text(hash, source->name), source->text);
  }
  return hash;
}
#endif

uint64_t fl4__source_hash(const fl4__family *family)
{
#if FL4_HAVE_CUDA
  enum { REMEMBERED = 16 };
  static _Atomic uint64_t known[REMEMBERED];
  int i = 0;
  if (!family->source) return 0;
  while (i < REMEMBERED && fl4__families[i] && fl4__families[i] != family) i++;
  const bool listed = i < REMEMBERED && fl4__families[i];
  uint64_t hash = listed ? atomic_load_explicit(&known[i], memory_order_relaxed) : 0;
  if (hash) return hash;
  hash = hash_sources(family->source);
  if (listed) atomic_store_explicit(&known[i], hash, memory_order_relaxed);
  return hash;
#else
  (void)family;
  return 0;
#endif
}
