/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recording problems. What has been seen is a table of hashes that is read without a lock; a problem that is
 * new takes the lock and is written in one go, so that processes may share a file.
 */
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
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
  if (p->Sq == p->Sk && params->q_stride[2] == all_heads && params->k_stride[2] == all_heads) return FL4_LAYOUT_PACKED;
  return p->Hq > 1 && p->Sq > 1 && params->q_stride[1] < params->q_stride[2] ? FL4_LAYOUT_BSHD : FL4_LAYOUT_BHSD;
}

static uint64_t hash_of(const fl4__problem *p, int layout)
{
  uint64_t words[sizeof *p / 8], hash = (uint64_t)layout;
  memcpy(words, p, sizeof words);
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
  }
  return hash | 1;
}

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
  if (p->features || p->invariant) return; /* lines have no words for them */
  const int layout = layout_of(p, params);
  const uint64_t hash = hash_of(p, layout);
  if (atomic_load_explicit(find(atomic_load_explicit(&c->problems, memory_order_acquire), hash), memory_order_relaxed))
    return;

  fl4_problem problem = FL4_PROBLEM_INIT;
  char line[FL4_PROBLEM_LINE_MAX + 1];
  problem.B = p->B, problem.Hq = p->Hq, problem.Hkv = p->Hkv;
  problem.Sq = p->Sq, problem.Sk = p->Sk, problem.D = p->D;
  problem.dtype = p->dtype, problem.mask = p->mask, problem.lse = p->lse, problem.layout = layout;
  pthread_mutex_lock(&c->lock);
  if (remember(c, hash) && fl4_problem_format(&problem, line, sizeof line - 1) == FL4_OK) {
    strcat(line, "\n");
    ssize_t n;
    do n = write(c->fd, line, strlen(line));
    while (n < 0 && errno == EINTR); /* a full disk costs the line, not the call */
  }
  pthread_mutex_unlock(&c->lock);
}
