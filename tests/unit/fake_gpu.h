/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A GPU for tests: the variants of all families, whose kernels compute on the host what they should
 * unless the test wants otherwise, and whose times, builds and failures are what the test says.
 */
#ifndef FL4_TEST_FAKE_GPU_H
#define FL4_TEST_FAKE_GPU_H

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "bench/run.h"
#include "check_data.h"
#include "error.h"
#include "tune/family_space.h"

typedef struct fake_kernel {
  fl4__kernel kernel; /* first */
  struct fake_kernel *next;
} fake_kernel;

typedef struct fake_gpu {
  fl4__device device; /* first */
  fl4__device *host;  /* that computes */
  pthread_mutex_t lock;
  fake_kernel *kernels;
} fake_gpu;

/* What the test wants; NULL and 0: all is well. */
static struct {
  double (*us)(const fl4__variant *); /* of a call; NULL: 1000 */
  double noise;                       /* ± relative, uniform, seeded by noise_seed */
  uint64_t noise_seed;
  fl4_status (*build)(const fl4__variant *); /* may fail, may take its time */
  fl4_status (*launch)(const fl4__variant *);
  bool (*wrong)(const fl4__variant *, const fl4_fwd_params *);
  uint64_t (*hash)(const fl4__variant *);
  unsigned sample_us; /* that a sample really takes */
  bool lost;          /* the device fails for good */
  int sm, smem;       /* of a block; 0: sm_90 with 227 KB */
} fake;

static atomic_int fake_builds, fake_launches, fake_samples, fake_timers;
static atomic_int fake_shared;    /* launches with a workspace */
static atomic_int fake_scratches; /* of calls that needed one and had none */
static fl4__random fake_random;

static inline uint64_t fake_hash_of(const fl4__variant *v)
{
  uint64_t hash = 0xcbf29ce484222325u;
  for (int i = 0; i < v->family->n_params; i++) hash = (hash ^ (uint64_t)v->value[i]) * 0x100000001b3u;
  return hash | 1;
}

/* As if the code did not depend on some of the parameters that leave the launch as it is, or nearly so. */
static inline uint64_t fake_hash_of_few(const fl4__variant *v)
{
  static const char *const without[] = {"slice", "qreg", "ctas"};
  fl4__variant w = *v;
  for (int i = 0; i < v->family->n_params; i++)
    for (int k = 0; k < 3; k++)
      if (strcmp(v->family->params[i].name, without[k]) == 0) w.value[i] = 0;
  return fake_hash_of(&w);
}

static fl4_status fake_info(int ordinal, fl4_device_info *info)
{
  memset(info, 0, sizeof *info);
  info->struct_size = sizeof *info;
  info->kind = FL4_DEVICE_EMU, info->ordinal = ordinal;
  strcpy(info->name, "fake GPU");
  info->sm = fake.sm ? fake.sm : 90;
  snprintf(info->isa, sizeof info->isa, "sm_%d", info->sm);
  info->multiprocessors = 4;
  info->smem_per_block = fake.smem ? fake.smem : 232448;
  info->smem_per_sm = info->smem_per_block + 1024;
  info->registers_per_sm = 65536, info->threads_per_sm = 2048;
  info->l2_bytes = 1 << 12, info->memory_bytes = (int64_t)1 << 36;
  return FL4_OK;
}

static int fake_count(void)
{
  return 1;
}

static const fl4__backend fake_backend;

static fl4_status fake_open(int ordinal, const fl4__device_config *config, fl4__device **device)
{
  fake_gpu *gpu = calloc(1, sizeof *gpu);
  if (!gpu) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for a fake");
  fl4__device_config one = *config;
  one.threads = 1;
  const fl4_status status = fl4__backend_host.open(0, &one, &gpu->host);
  if (status != FL4_OK) return free(gpu), status;
  pthread_mutex_init(&gpu->lock, NULL);
  gpu->device.backend = &fake_backend;
  gpu->device.config = *config;
  (void)fake_info(ordinal, &gpu->device.info);
  *device = &gpu->device;
  return FL4_OK;
}

static void fake_close(fl4__device *device)
{
  fake_gpu *gpu = (fake_gpu *)device;
  for (fake_kernel *k = gpu->kernels, *next; k; k = next) next = k->next, free(k);
  pthread_mutex_destroy(&gpu->lock);
  gpu->host->backend->close(gpu->host);
  free(gpu);
}

static fl4_status fake_build(fl4__device *device, const fl4__build *build, bool may_build, const fl4__kernel **kernel)
{
  fake_gpu *gpu = (fake_gpu *)device;
  *kernel = NULL;
  pthread_mutex_lock(&gpu->lock);
  fake_kernel *k = gpu->kernels;
  while (k && memcmp(&k->kernel.build, build, sizeof *build) != 0) k = k->next;
  pthread_mutex_unlock(&gpu->lock);
  if (k) return *kernel = &k->kernel, FL4_OK;
  if (!may_build) return FL4_OK;
  atomic_fetch_add(&fake_builds, 1);
  if (fake.build) FL4_TRY(fake.build(&build->variant));
  k = calloc(1, sizeof *k);
  if (!k) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for a fake kernel");
  k->kernel.build = *build;
  k->kernel.build_ms = 7, k->kernel.registers = 128, k->kernel.spill_bytes = 4;
  k->kernel.hash = fake.hash ? fake.hash(&build->variant) : fake_hash_of(&build->variant);
  pthread_mutex_lock(&gpu->lock);
  k->next = gpu->kernels;
  gpu->kernels = k;
  pthread_mutex_unlock(&gpu->lock);
  return *kernel = &k->kernel, FL4_OK;
}

static bool fake_capturing(fl4__device *device, fl4_stream stream)
{
  (void)device, (void)stream;
  return false;
}

/* As blocks that share rows do: tickets are 0 before and after, the rest is written over. */
static void fake_share(char *workspace, size_t bytes)
{
  ck_assert_ptr_nonnull(workspace);
  ck_assert_uint_eq((uintptr_t)workspace % 256, 0);
  ck_assert_uint_ge(bytes, FL4_TICKET_BYTES);
  static const char tickets[FL4_TICKET_BYTES];
  ck_assert(memcmp(workspace, tickets, sizeof tickets) == 0);
  memset(workspace + FL4_TICKET_BYTES, 0x5a, bytes - FL4_TICKET_BYTES);
  atomic_fetch_add(&fake_shared, 1);
}

/* The host's kernel on the same memory; a wrong one is wrong in the first element of O. */
static fl4_status fake_launch(fl4__device *device, const fl4__kernel *kernel, const fl4__geometry *geometry,
                              const fl4_fwd_params *params, void *workspace, fl4_stream stream)
{
  (void)stream;
  fl4__device *host = ((fake_gpu *)device)->host;
  const fl4__variant *v = &kernel->build.variant;
  atomic_fetch_add(&fake_launches, 1);
  if (fake.launch) FL4_TRY(fake.launch(v));
  if (geometry->workspace_bytes) fake_share(workspace, geometry->workspace_bytes);

  fl4__variant on_host;
  const fl4__problem p = {.B = params->B,
                          .Hq = params->Hq,
                          .Hkv = params->Hkv,
                          .Sq = params->Sq,
                          .Sk = params->Sk,
                          .D = kernel->build.D,
                          .dtype = kernel->build.dtype,
                          .mask = kernel->build.mask};
  FL4_TRY(fl4__select(NULL, &p, &host->info, &on_host));
  fl4__build build;
  fl4__geometry g = {0};
  const fl4__kernel *k;
  fl4__build_from(&on_host, &p, false, &build);
  on_host.family->geometry(&on_host, &p, &host->info, &g);
  FL4_TRY(host->backend->kernel(host, &build, true, &k));
  void *memory;
  FL4_TRY(host->backend->alloc(host, g.workspace_bytes, &memory));
  const fl4_status status = host->backend->launch(host, k, &g, params, memory, NULL);
  host->backend->release(host, memory);
  if (status == FL4_OK && fake.wrong && fake.wrong(v, params))
    fl4__store((void *)(uintptr_t)params->o, build.dtype, 0, 3.0f);
  return status;
}

static fl4_status fake_scratch_take(fl4__device *device, size_t bytes, fl4_stream stream, void **memory)
{
  (void)device, (void)stream;
  atomic_fetch_add(&fake_scratches, 1);
  *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*memory) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for a fake");
  memset(*memory, 0, bytes);
  return FL4_OK;
}

static void fake_scratch_give(fl4__device *device, void *memory, size_t bytes, fl4_stream stream)
{
  (void)device, (void)bytes, (void)stream;
  free(memory);
}

static fl4_status fake_alloc(fl4__device *device, size_t bytes, void **memory)
{
  fl4__device *host = ((fake_gpu *)device)->host;
  return host->backend->alloc(host, bytes, memory);
}

static void fake_release(fl4__device *device, void *memory)
{
  fl4__device *host = ((fake_gpu *)device)->host;
  host->backend->release(host, memory);
}

static fl4_status fake_copy(fl4__device *device, void *to, const void *from, size_t bytes)
{
  (void)device;
  if (bytes) memcpy(to, from, bytes);
  return FL4_OK;
}

static fl4_status fake_synchronize(fl4__device *device)
{
  (void)device;
  return fake.lost ? fl4__fail(FL4_DEVICE_ERROR, "the device is gone") : FL4_OK;
}

static void fake_cache_info(fl4__device *device, fl4_cache_info *info)
{
  (void)device;
  info->nvrtc_version = 13000;
}

struct fl4__timer {
  const fl4__work *work;
};

static fl4_status fake_open_timer(fl4__device *device, const fl4__work *work, fl4_bench_mode mode, bool cold,
                                  fl4_bench_mode *used, fl4__timer **timer)
{
  (void)device, (void)cold;
  *used = mode;
  *timer = malloc(sizeof **timer);
  if (!*timer) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for a fake timer");
  (*timer)->work = work;
  atomic_fetch_add(&fake_timers, 1);
  return FL4_OK;
}

/* Calls run, so that what they leave can be judged; the time is what the test says. */
static fl4_status fake_sample(fl4__timer *timer, double *us)
{
  const fl4__work *work = timer->work;
  const fl4__entrant *e = work->user;
  atomic_fetch_add(&fake_samples, 1);
  for (int i = 0; i < work->calls; i++) FL4_TRY(work->run(work->user, i, NULL));
  if (fake.sample_us) usleep(fake.sample_us);
  *us = fake.us ? fake.us(&e->contender->ctx->forced) : 1000;
  *us *= 1 + fake.noise * (2 * fl4__random_unit(&fake_random) - 1);
  return FL4_OK;
}

static void fake_close_timer(fl4__timer *timer)
{
  free(timer);
}

static void fake_health(fl4__device *device, fl4_device_health *health)
{
  (void)device;
  fl4__health_unknown(health);
}

static const fl4__timing fake_timing = {fake_open_timer, fake_sample, fake_close_timer, NULL, fake_health};

static const fl4__backend fake_backend = {
    .kind = FL4_DEVICE_EMU,
    .name = "fake",
    .count = fake_count,
    .info = fake_info,
    .open = fake_open,
    .close = fake_close,
    .kernel = fake_build,
    .capturing = fake_capturing,
    .launch = fake_launch,
    .scratch_take = fake_scratch_take,
    .scratch_give = fake_scratch_give,
    .alloc = fake_alloc,
    .release = fake_release,
    .upload = fake_copy,
    .download = fake_copy,
    .synchronize = fake_synchronize,
    .copy = fake_copy,
    .cache_info = fake_cache_info,
    .timing = &fake_timing,
};

static inline fl4_context *fake_context(void)
{
  fl4_context *ctx = NULL;
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  setenv("FLASHL4_WISDOM", "off", 1);
  fl4__backend_extra = &fake_backend;
  o.device = "fake";
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  fl4__random_init(&fake_random, fake.noise_seed);
  return ctx;
}

#endif
