/* SPDX-License-Identifier: Apache-2.0 */
/* A few threads and a batch of builds under one lock. */
#include "tune/compile.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "error.h"

typedef enum state { QUEUED, UNDER_WAY, READY } state;

struct fl4__compiler {
  fl4__device *device;
  pthread_mutex_t lock;
  pthread_cond_t work, ready; /* there is something to build; something was built */
  bool locks, over;
  int n_threads;
  pthread_t *threads;
  int n; /* of the batch */
  fl4__job jobs[FL4__BATCH];
  state states[FL4__BATCH];
};

static void build(fl4__device *device, fl4__job *job)
{
  job->kernel = NULL;
  job->ms = 0;
  job->status = device->backend->kernel(device, &job->build, false, &job->kernel);
  if (job->status == FL4_OK && !job->kernel) {
    job->status = device->backend->kernel(device, &job->build, true, &job->kernel);
    if (job->status == FL4_OK) job->ms = (double)job->kernel->build_ms;
  }
  if (job->status != FL4_OK) snprintf(job->error, sizeof job->error, "%s", fl4_last_error());
}

/* Called and left with the lock held. A batch is not replaced while one of its builds is under way. */
static void build_one(fl4__compiler *c, int i)
{
  fl4__job job = c->jobs[i];
  c->states[i] = UNDER_WAY;
  pthread_mutex_unlock(&c->lock);
  build(c->device, &job);
  pthread_mutex_lock(&c->lock);
  c->jobs[i] = job;
  c->states[i] = READY;
  pthread_cond_broadcast(&c->ready);
}

static int first_in(const fl4__compiler *c, state wanted)
{
  for (int i = 0; i < c->n; i++)
    if (c->states[i] == wanted) return i;
  return -1;
}

static void *run(void *user)
{
  fl4__compiler *c = user;
  pthread_mutex_lock(&c->lock);
  while (!c->over) {
    const int i = first_in(c, QUEUED);
    if (i >= 0)
      build_one(c, i);
    else
      pthread_cond_wait(&c->work, &c->lock);
  }
  pthread_mutex_unlock(&c->lock);
  return NULL;
}

static bool make_locks(fl4__compiler *c)
{
  pthread_condattr_t monotonic;
  if (pthread_mutex_init(&c->lock, NULL) != 0) return false;
  (void)pthread_condattr_init(&monotonic);
  (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  const bool work = pthread_cond_init(&c->work, NULL) == 0, ready = pthread_cond_init(&c->ready, &monotonic) == 0;
  (void)pthread_condattr_destroy(&monotonic);
  if (work && ready) return true;
  if (work) pthread_cond_destroy(&c->work);
  if (ready) pthread_cond_destroy(&c->ready);
  pthread_mutex_destroy(&c->lock);
  return false;
}

fl4_status fl4__compiler_open(fl4__device *device, int threads, fl4__compiler **compiler)
{
  *compiler = NULL;
  fl4__compiler *c = calloc(1, sizeof *c);
  if (!c) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for %zu bytes of a compiler", sizeof *c);
  c->device = device;
  c->threads = calloc((size_t)threads + 1, sizeof *c->threads);
  c->locks = c->threads && make_locks(c);
  if (!c->locks) {
    fl4__compiler_close(c);
    return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for %d compiling threads", threads);
  }
  /* Fewer than wanted are no error; without any, who waits builds. */
  while (c->n_threads < threads && pthread_create(&c->threads[c->n_threads], NULL, run, c) == 0) c->n_threads++;
  *compiler = c;
  return FL4_OK;
}

void fl4__compiler_close(fl4__compiler *c)
{
  if (!c) return;
  if (c->locks) {
    pthread_mutex_lock(&c->lock);
    c->over = true;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < c->n_threads; i++) pthread_join(c->threads[i], NULL);
    pthread_cond_destroy(&c->work);
    pthread_cond_destroy(&c->ready);
    pthread_mutex_destroy(&c->lock);
  }
  free(c->threads);
  free(c);
}

void fl4__compiler_begin(fl4__compiler *c, const fl4__build *builds, int n)
{
  pthread_mutex_lock(&c->lock);
  for (int i = 0; i < c->n; i++)
    if (c->states[i] == QUEUED) c->states[i] = READY; /* nobody wants it any more */
  while (first_in(c, UNDER_WAY) >= 0) pthread_cond_wait(&c->ready, &c->lock);
  c->n = n;
  for (int i = 0; i < n; i++) {
    memset(&c->jobs[i], 0, sizeof c->jobs[i]);
    c->jobs[i].build = builds[i];
    c->states[i] = QUEUED;
  }
  pthread_cond_broadcast(&c->work);
  pthread_mutex_unlock(&c->lock);
}

bool fl4__compiler_wait(fl4__compiler *c, int i, int ms, fl4__job *job)
{
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += (long)(ms % 1000) * 1000000;
  until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  pthread_mutex_lock(&c->lock);
  if (c->n_threads == 0 && c->states[i] == QUEUED) build_one(c, i);
  int late = 0;
  while (c->states[i] != READY && late == 0) late = pthread_cond_timedwait(&c->ready, &c->lock, &until);
  const bool ready = c->states[i] == READY;
  if (ready) *job = c->jobs[i];
  pthread_mutex_unlock(&c->lock);
  return ready;
}
