/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recording problems. What has been seen is a table of hashes that is read without a lock; a problem that is
 * new takes the lock and is written in one go, so that processes may share a file.
 */
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "util/os.h"

typedef struct seen {
  struct seen *outgrown;   /* somebody may be reading it */
  size_t size, used;       /* size is a power of two */
  _Atomic uint64_t hash[]; /* 0: free */
} seen;

struct fl4__capture {
  struct fl4__capture *next;
  pthread_mutex_t lock;
  seen *_Atomic problems;
  int fd;
  char file[];
};

enum { FIRST_SIZE = 1024 };

/* ---------------------------------------------------------------- opening */

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static fl4__capture *all;

static fl4__capture *make(const char *file, const fl4__log *log)
{
  const size_t size = strlen(file) + 1;
  fl4__capture *c = calloc(1, sizeof *c + size);
  seen *first = calloc(1, sizeof *first + FIRST_SIZE * sizeof first->hash[0]);
  const int fd = c && first ? open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666) : -1;
  if (fd < 0 || pthread_mutex_init(&c->lock, NULL) != 0) {
    fl4__log_write(log, FL4_LOG_WARN, "FLASHL4_CAPTURE: %s cannot be written: %s", file,
                   strerror(c && first ? errno : ENOMEM));
    if (fd >= 0) close(fd);
    free(first);
    free(c);
    return NULL;
  }
  first->size = FIRST_SIZE;
  atomic_init(&c->problems, first);
  c->fd = fd;
  memcpy(c->file, file, size);
  return c;
}

fl4__capture *fl4__capture_open(const fl4__log *log)
{
  const char *file = fl4__getenv("FLASHL4_CAPTURE");
  if (!file) return NULL;
  pthread_mutex_lock(&all_lock);
  fl4__capture *c = all;
  while (c && strcmp(c->file, file) != 0) c = c->next;
  if (!c && (c = make(file, log))) {
    c->next = all;
    all = c;
  }
  pthread_mutex_unlock(&all_lock);
  return c;
}

/* ---------------------------------------------------------------- recording */

/* The layout that the strides are nearest to, of those that a problem line knows. */
static int layout_of(const fl4__problem *p, const fl4_fwd_params *params)
{
  if (!p->aligned) return FL4_LAYOUT_ODD;
  const int64_t all_heads = (p->Hq + 2 * p->Hkv) * p->D;
  const bool paged = p->features & FL4__FEATURE_PAGED;
  if (!paged && p->Sq == p->Sk && params->q_stride[2] == all_heads && params->k_stride[2] == all_heads)
    return FL4_LAYOUT_PACKED;
  /* With pages it is their layout that counts. */
  if (paged) return p->Hkv > 1 && params->k_stride[1] < params->k_stride[2] ? FL4_LAYOUT_BSHD : FL4_LAYOUT_BHSD;
  return p->Hq > 1 && p->Sq > 1 && params->q_stride[1] < params->q_stride[2] ? FL4_LAYOUT_BSHD : FL4_LAYOUT_BHSD;
}

/* Lines know ragged queries and keys together; with pages, whose lengths are those in use, queries. */
static bool has_words(const fl4__problem *p)
{
  const int f = p->features, keys = f & FL4__FEATURE_PAGED ? FL4__FEATURE_USED_K : FL4__FEATURE_RAGGED_K;
  const bool ragged_q = f & FL4__FEATURE_RAGGED_Q;
  return ragged_q ? f & keys : !(f & FL4__FEATURE_RAGGED_K);
}

/* Which dimensions the bias lacks; one of size 1 it has. */
static int shared_of(const fl4__problem *p, const fl4_fwd_params *params)
{
  const int64_t n[4] = {p->B, p->Hq, p->Sq, p->Sk};
  int shared = 0;
  for (int i = 0; i < 4; i++)
    if (params->bias_stride[i] == 0 && n[i] > 1) shared |= 1 << i;
  return shared;
}

/* Lengths are on the device, and not known here; what is there tells whether they are all full. */
static int ragged_of(const fl4__problem *p)
{
  if (!(p->features & FL4__FEATURE_RAGGED_Q)) return FL4_LENGTHS_ALL;
  const bool full_k = !(p->features & FL4__FEATURE_RAGGED_K) || p->total_k == p->B * p->Sk;
  return p->total_q == p->B * p->Sq && full_k ? FL4_LENGTHS_FULL : FL4_LENGTHS_DRAWN;
}

/* Parameters hold what was made of it; if that is a round number but for the last digits, it was one. */
static float softcap_of(const fl4_fwd_params *params)
{
  const float softcap = params->softcap_log2 * 0.69314718f, round = roundf(softcap * 16) / 16;
  return fabsf(round - softcap) < 1e-6f * softcap ? round : softcap;
}

static fl4_problem problem_of(const fl4__problem *p, const fl4_fwd_params *params, int layout)
{
  fl4_problem out = FL4_PROBLEM_INIT;
  out.B = p->B, out.Hq = p->Hq, out.Hkv = p->Hkv;
  out.Sq = p->Sq, out.Sk = p->Sk, out.D = p->D;
  out.dtype = p->dtype, out.mask = p->mask, out.lse = p->lse, out.layout = layout;
  if (p->features & FL4__FEATURE_WINDOW) {
    const int64_t left = p->window_left, right = p->window_right;
    out.mask = FL4_MASK_WINDOW;
    out.window_left = left == FL4_NO_WINDOW ? -1 : left, out.window_right = right == FL4_NO_WINDOW ? -1 : right;
  }
  if (p->features & FL4__FEATURE_SOFTCAP) out.softcap = softcap_of(params);
  out.alibi = (p->features & FL4__FEATURE_ALIBI) != 0;
  out.sinks = (p->features & FL4__FEATURE_SINKS) != 0;
  if (p->features & FL4__FEATURE_BIAS) out.bias = 1 + p->bias_type, out.bias_shared = shared_of(p, params);
  out.ragged = ragged_of(p);
  const bool with_ragged = p->page_size && out.ragged == FL4_LENGTHS_DRAWN;
  if (p->features & FL4__FEATURE_USED_K && !with_ragged) out.lens = FL4_LENGTHS_DRAWN;
  out.page_size = p->page_size;
  out.flags = p->invariant ? FL4_BATCH_INVARIANT : 0;
  return out;
}

static uint64_t hash_of(const fl4_problem *p)
{
  uint64_t words[sizeof *p / 8], hash = 0;
  memcpy(words, p, sizeof words);
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
  }
  return hash | 1;
}
_Static_assert(sizeof(fl4_problem) == 168, "no gaps, whose bytes nobody writes");

/* The place of a hash, or the free one where it would be. */
static _Atomic uint64_t *find(seen *s, uint64_t hash)
{
  for (size_t i = (size_t)(hash >> 20);; i++) {
    _Atomic uint64_t *place = &s->hash[i & (s->size - 1)];
    const uint64_t there = atomic_load_explicit(place, memory_order_relaxed);
    if (there == hash || there == 0) return place;
  }
}

/* With the lock held. Without memory the problem stays new. */
static bool remember(fl4__capture *c, uint64_t hash)
{
  seen *s = atomic_load(&c->problems);
  if (2 * (s->used + 1) > s->size) {
    seen *larger = calloc(1, sizeof *larger + 2 * s->size * sizeof larger->hash[0]);
    if (!larger) return false;
    larger->size = 2 * s->size, larger->outgrown = s, larger->used = s->used;
    for (size_t i = 0; i < s->size; i++)
      if (s->hash[i]) atomic_store(find(larger, s->hash[i]), s->hash[i]);
    atomic_store(&c->problems, larger);
    s = larger;
  }
  _Atomic uint64_t *place = find(s, hash);
  if (atomic_load(place) == hash) return false;
  atomic_store(place, hash);
  s->used++;
  return true;
}

void fl4__capture_problem(fl4__capture *c, const fl4__problem *p, const fl4_fwd_params *params)
{
  if (!has_words(p)) return;
  const fl4_problem problem = problem_of(p, params, layout_of(p, params));
  const uint64_t hash = hash_of(&problem);
  if (atomic_load_explicit(find(atomic_load_explicit(&c->problems, memory_order_acquire), hash), memory_order_relaxed))
    return;

  char line[FL4_PROBLEM_LINE_MAX + 1];
  pthread_mutex_lock(&c->lock);
  if (remember(c, hash) && fl4_problem_format(&problem, line, sizeof line - 1) == FL4_OK) {
    strcat(line, "\n");
    ssize_t n;
    do n = write(c->fd, line, strlen(line));
    while (n < 0 && errno == EINTR); /* a full disk costs the line, not the call */
  }
  pthread_mutex_unlock(&c->lock);
}
