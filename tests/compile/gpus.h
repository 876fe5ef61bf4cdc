/* SPDX-License-Identifier: Apache-2.0 */
/* One GPU of each architecture, for tests that compile for it without having it; and how they compile. */
#ifndef FL4_GPUS_H
#define FL4_GPUS_H

#include <stdio.h>

#include "cuda/nvrtc.h"
#include "cuda/sources.h"
#include "families/families.h"
#include "fl4_test.h"

/* Limits of one GPU of each architecture (CUDA C Programming Guide, "Compute Capabilities"). */
static const struct gpu {
  int sm, multiprocessors, smem_per_block, smem_per_sm;
  const char *name;
} gpus[] = {
    {80, 108, 163 * 1024, 164 * 1024, "A100"},  {86, 72, 99 * 1024, 100 * 1024, "A10"},
    {89, 58, 99 * 1024, 100 * 1024, "L4"},      {90, 132, 227 * 1024, 228 * 1024, "H200"},
    {100, 148, 227 * 1024, 228 * 1024, "B200"}, {120, 170, 99 * 1024, 100 * 1024, "RTX 5090"},
};

/* The GPU of an architecture of the table. */
static fl4_device_info gpu_of(int sm)
{
  fl4_device_info info = FL4_DEVICE_INFO_INIT;
  for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++) {
    if (sm != gpus[i].sm) continue;
    info.kind = FL4_DEVICE_CUDA, info.sm = sm;
    snprintf(info.name, sizeof info.name, "%s", gpus[i].name);
    snprintf(info.isa, sizeof info.isa, "sm_%d", sm);
    info.multiprocessors = gpus[i].multiprocessors;
    info.smem_per_block = gpus[i].smem_per_block, info.smem_per_sm = gpus[i].smem_per_sm;
    info.registers_per_sm = 65536, info.l2_bytes = 48 << 20;
    return info;
  }
  ck_abort_msg("sm_%d: no such architecture in the table", sm);
  return info;
}

/* What the tests compile for: the GPU of architecture $FL4_TEST_SM, 89 if it is not set. */
static fl4_device_info device;

static void find_device(void)
{
  const char *sm = getenv("FL4_TEST_SM");
  device = gpu_of(sm ? atoi(sm) : 89);
}

/* Calls the body for each family of GPUs. */
#define FOR_FAMILIES(family)                                                                                           \
  for (const fl4__family *const *at_ = fl4__families, *family; (family = *at_); at_++)                                 \
    if (family->device == FL4_DEVICE_CUDA)

/* Whether a family has variants for a problem on `device`. */
static bool is_for(const fl4__family *family, const fl4__problem *p)
{
  if (family == &fl4__family_decode_mma) return family->is_for(p) && p->aligned && p->D % 16 == 0;
  return family != &fl4__family_fwd_wgmma || (device.sm == 90 && p->aligned);
}

/* Compiles a source of kernels/ for `device`. */
static fl4_status compile(const char *source, const char *const *options, int n, fl4__cubin *cubin)
{
  fl4__sources sources;
  char arch[16];
  fl4__nvrtc_arch(device.sm, arch);
  fl4_status status = fl4__sources_load(NULL, NULL, source, &sources);
  if (status != FL4_OK) return status;
  status = fl4__nvrtc_compile(NULL, &sources.main, sources.headers, sources.n_headers, options, n, arch, cubin);
  fl4__sources_free(&sources);
  return status;
}

#endif
