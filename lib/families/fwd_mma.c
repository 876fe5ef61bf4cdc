/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fwd_mma: cp.async, ldmatrix and mma.sync, for every GPU from sm_80 on. Its kernel is
 * kernels/fwd_mma.cu; the sizes computed here are those of kernels/fl4_config.cuh.
 */
#include <stdarg.h>
#include <stdio.h>

#include "families.h"

enum { BM, BN, WARPS, STAGES, QREG, CTAS, N_PARAMS };

enum { SYSTEM_SMEM = 1024 }; /* of each block's shared memory, on top of what it asks for */

static const fl4__param params[N_PARAMS] = {
    [BM] = {"bm", "query rows of a block", 5, {16, 32, 64, 128, 256}, false},
    [BN] = {"bn", "keys of a tile", 7, {16, 32, 48, 64, 80, 96, 128}, false},
    [WARPS] = {"warps", "warps of a block, 16 or 32 query rows each", 4, {1, 2, 4, 8}, false},
    [STAGES] = {"stages", "key/value tiles in shared memory at a time", 3, {2, 3, 4}, false},
    [QREG] = {"qreg", "1: Q stays in registers, 0: it is read from shared memory for each tile", 2, {0, 1}, true},
    [CTAS] = {"ctas", "blocks that must fit a multiprocessor, which bounds the registers", 4, {1, 2, 3, 4}, false},
};

/* The tile is as wide as the matrix instructions need. */
static int padded(int64_t D)
{
  return (int)(D + 15) / 16 * 16;
}

static int smem_bytes(const fl4__variant *v, int64_t D)
{
  const int row = padded(D) * 2, stage = 2 * v->value[BN] * row, q = v->value[BM] * row;
  const int ring = v->value[STAGES] * stage;
  /* Q in registers lies in the last stage until it is read. */
  if (!v->value[QREG]) return ring + q;
  return ring > ring - stage + q ? ring : ring - stage + q;
}

/*
 * Registers that a thread cannot do without: output, scores (an eighth more, as they are packed while
 * others are still read) and Q; one and a half for each copy of 16 bytes that it makes of a key tile,
 * whose addresses outlive the tile; and 32 for the rest. The compiler has 255, or less if several
 * blocks must fit. The numbers are fitted to 1479 points compiled for all architectures, near the
 * limit on either side: of the 1000 that fit with 31 for the rest, 985 spill at most 64 bytes (stores
 * and loads) and the worst 140; of those that do not, 55 % spill more than 64, up to thousands. Without
 * the copies, 97 points fitted that spill more than 64, up to 1520: those of one or two warps with
 * large tiles. 32 and not 31, since 31 let a choice for short queries spill.
 * tests/compile/test_space.c holds a sample of the points to it.
 */
static int registers_needed(const fl4__variant *v, int64_t D)
{
  const int bn = v->value[BN], warps = v->value[WARPS], m16 = v->value[BM] / warps / 16, width = padded(D);
  const int rows = m16 * (width / 2 + bn / 2 + bn / 16 + (v->value[QREG] ? width / 4 : 0));
  return rows + 3 * bn * width / (512 * warps) + 32;
}

static int registers_allowed(const fl4__variant *v, const fl4_device_info *device)
{
  const int n = device->registers_per_sm / (v->value[CTAS] * v->value[WARPS] * 32) / 8 * 8;
  return n < 255 ? n : 255;
}

__attribute__((format(printf, 2, 3))) static const char *because(char why[160], const char *format, ...)
{
  va_list ap;
  va_start(ap, format);
  vsnprintf(why, 160, format, ap);
  va_end(ap);
  return why;
}

static const char *refuse(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device, char why[160])
{
  const int bm = v->value[BM], warps = v->value[WARPS], ctas = v->value[CTAS], smem = smem_bytes(v, p->D);
  const int need = registers_needed(v, p->D), may = registers_allowed(v, device);
  if (p->dtype == FL4_DTYPE_FP32)
    return "dtype is fp32: GPU kernels take fp16 and bf16, the host device takes all three";
  if (device->sm < 80) return because(why, "the GPU is sm_%d, needed is sm_80", device->sm);
  if (bm != 16 * warps && bm != 32 * warps)
    return because(why, "bm=%d over warps=%d is %d rows a warp, must be 16 or 32", bm, warps, bm / warps);
  if (smem > device->smem_per_block)
    return because(why, "needs %d bytes of shared memory, a block may have %d", smem, device->smem_per_block);
  if (ctas * (smem + SYSTEM_SMEM) > device->smem_per_sm)
    return because(why, "ctas=%d blocks of %d bytes of shared memory do not fit %d", ctas, smem, device->smem_per_sm);
  if (need > may) return because(why, "needs about %d registers a thread, may have %d", need, may);
  if (p->B * p->Hq > INT32_MAX / fl4__max64(1, fl4__ceil_div(p->Sq, bm))) return "more than 2^31 blocks";
  return NULL;
}

/* Shared memory and registers of as many blocks as the variant promises. */
static bool fits(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  return v->value[CTAS] * (smem_bytes(v, p->D) + SYSTEM_SMEM) <= device->smem_per_sm &&
         registers_needed(v, p->D) <= registers_allowed(v, device);
}

static int64_t blocks(const fl4__problem *p, int bm)
{
  return p->B * p->Hq * fl4__ceil_div(p->Sq, bm);
}

/* Sets what the choice is about; the rest follows. Q is read anew for each tile where 32 rows leave no registers. */
static void set(fl4__variant *v, int rows, int warps, int bn, int ctas, int width)
{
  v->value[BM] = rows * warps;
  v->value[BN] = bn;
  v->value[WARPS] = warps;
  v->value[STAGES] = 2;
  v->value[QREG] = width <= (rows == 32 ? 64 : 128);
  v->value[CTAS] = ctas;
}

/*
 * Two blocks of four warps a multiprocessor, so that one computes while the other waits, and 32 query
 * rows a warp, which halves the shared memory reads for a product: where registers and shared memory
 * allow it, else 16. No choice spills on any architecture (tests/compile). Measured on an H200, see
 * docs/results/; for smaller shared memory it is reasoned only.
 */
static void choose(fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  const int width = padded(p->D), bn = width <= 128 && p->aligned ? 64 : 32; /* element-wise loads take registers */
  int rows = width <= 128 && p->aligned ? 32 : 16, warps = 4;
  set(v, rows, warps, bn, 2, width);
  /* Less than one full round of blocks, or two where their lengths differ: 16 rows balance better. */
  const int64_t round = 2 * (int64_t)device->multiprocessors;
  const int64_t enough = p->mask == FL4_MASK_CAUSAL ? 2 * round : round;
  if (!fits(v, p, device) || blocks(p, rows * warps) < enough) rows = 16;
  /* Small grids: smaller blocks until every multiprocessor has one, or a block covers all rows. */
  const int least = width <= 128 ? 2 : 4;
  while (warps > least &&
         (rows * warps >= 2 * fl4__max64(p->Sq, 1) || blocks(p, rows * warps) < device->multiprocessors))
    warps /= 2;
  set(v, rows, warps, bn, 2, width);
  if (!fits(v, p, device)) set(v, rows, warps, 32, 2, width);
  if (!fits(v, p, device)) v->value[CTAS] = 1;
}

/*
 * Heads of a section: with a causal mask at least so many that the section has four times the blocks
 * that run at once, so that long and short tiles mix; and no more than whose keys and values fill
 * some 60 % of the L2 cache.
 */
static int section_heads(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device, int row_tiles)
{
  if (p->mask == FL4_MASK_NONE || row_tiles <= 1) return 1;
  const int64_t resident = (int64_t)device->multiprocessors * v->value[CTAS];
  const int64_t mixing = fl4__ceil_div(4 * resident, row_tiles);
  const int64_t head_bytes = p->Sk * p->D * 4;
  const int64_t cached = head_bytes > 0 ? device->l2_bytes * 6 / 10 / head_bytes : 1;
  return (int)fl4__min64(fl4__max64(fl4__max64(mixing, cached), 1), p->B * p->Hq);
}

static void geometry(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device, fl4__geometry *g)
{
  g->row_tiles = (int)fl4__ceil_div(p->Sq, v->value[BM]);
  g->section_heads = section_heads(v, p, device, g->row_tiles);
  g->blocks = p->B * p->Hq * g->row_tiles;
  g->threads = 32 * v->value[WARPS];
  g->smem_bytes = smem_bytes(v, p->D);
  g->workspace_bytes = 0;
}

/*
 * A ring of more stages than there are key tiles does what the smallest such ring does. With stages > tiles
 * all tiles are asked for before the loop, one group each, and the loop asks for none; it waits for all
 * groups but the last stages - 2, and of the stages - 1 + tile that were committed by then these are
 * the ones behind `tile`, which are needed later or empty. So the same copies are waited for at the same
 * places, with the same registers, and what differs is shared memory that nobody touches: the
 * smallest ring is never refused where a larger one is not.
 */
static void canonical(fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  (void)device;
  const int64_t tiles = fl4__ceil_div(p->Sk, v->value[BN]);
  for (int i = 0; i < params[STAGES].n_values; i++) {
    const int stages = params[STAGES].values[i];
    if (stages > tiles && stages < v->value[STAGES]) v->value[STAGES] = stages;
  }
}

const fl4__family fl4__family_fwd_mma = {
    .name = "fwd_mma",
    .device = FL4_DEVICE_CUDA,
    .source = "fwd_mma.cu",
    .entry = "fl4_fwd_mma",
    .params = params,
    .n_params = N_PARAMS,
    .refuse = refuse,
    .choose = choose,
    .geometry = geometry,
    .canonical = canonical,
};
