/* SPDX-License-Identifier: Apache-2.0 */
/* host: attention on the CPU. Its kernel is lib/host/; it runs every problem. */
#include <stdio.h>

#include "families.h"
#include "host/forward.h"

enum { BM, BN, THREADS, N_PARAMS };

enum { FEATURES = FL4__ALL_FEATURES }; /* that the kernel knows */

static const fl4__param params[N_PARAMS] = {
    /* Multiples of the 12 (AVX-512) or 6 rows that the inner loops take at once, but for the least. */
    [BM] = {"bm", "query rows of a task, over all heads that share keys", 7, {4, 12, 24, 48, 96, 192, 384}, false},
    [BN] = {"bn", "keys of a tile", 4, {32, 64, 128, 256}, false},
    [THREADS] =
        {"threads", "threads; 0: as many as the device has", 12, {0, 1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128}, false},
};

static const char *refuse(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device, char *why)
{
  if (p->features & ~FEATURES)
    return fl4__because(why, "%s is not built in", fl4__feature_beyond(p->features, FEATURES));
  if (v->value[THREADS] <= device->multiprocessors) return NULL;
  if (!why) return "more threads than the device has";
  return snprintf(why, 160, "threads=%d, but the device has %d", v->value[THREADS], device->multiprocessors), why;
}

/* With ragged queries some have no row. */
static int64_t tasks(const fl4__problem *p, int bm)
{
  if (p->features & FL4__FEATURE_RAGGED_Q) return p->Hkv * fl4__host_ragged_tiles(p->B, p->Hq, p->Hkv, p->total_q, bm);
  return p->B * p->Hkv * fl4__host_row_tiles(p->Hq, p->Hkv, p->Sq, bm);
}

/* Tasks that have rows, at least. */
static int64_t full_tasks(const fl4__problem *p, int bm)
{
  if (p->features & FL4__FEATURE_RAGGED_Q) return p->Hkv * fl4__host_row_tiles(p->Hq, p->Hkv, p->total_q, bm);
  return tasks(p, bm);
}

/* Whether threads would be idle: at the end, waiting for the longest task, or, if tasks are small, all along. */
static bool too_few(const fl4__problem *p, int bm, const fl4_device_info *device)
{
  return full_tasks(p, bm) < device->multiprocessors * (bm > 24 ? 2 : 1);
}

/*
 * Large tasks, since each converts all keys that it sees anew; but not so large that scratch leaves
 * the second-level cache, that rows are missing, or that threads are idle.
 * The size of key tiles is always the same: the last bits of a row depend on it, and with FL4_BATCH_INVARIANT they may on nothing else
 * that is chosen.
 */
static void choose(fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  const int *bm = params[BM].values;
  const int64_t rows = p->Hq / p->Hkv * p->Sq;
  int i = p->D <= 128 ? 6 : 5;
  while (i > 0 && (bm[i - 1] >= rows || too_few(p, bm[i], device))) i--;
  v->value[BM] = bm[i];
  v->value[BN] = 128;
  v->value[THREADS] = 0;
}

static void geometry(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device, fl4__geometry *g)
{
  const int64_t threads = v->value[THREADS] ? v->value[THREADS] : device->multiprocessors;
  g->blocks = tasks(p, v->value[BM]);
  g->threads = (int32_t)fl4__max64(1, fl4__min64(threads, g->blocks));
  g->workspace_bytes = (size_t)g->threads * sizeof(float) *
                       fl4__host_scratch_layout(v->value[BM], v->value[BN], (int)p->D).total;
}

/*
 * - bm beyond the rows that share a key/value head: there is one task a head, its rows are
 *   min(bm, rows) (lib/host/tile.c), and elsewhere bm only says where in its scratch a thread keeps
 *   things. The same holds for bn beyond all keys: there is one tile, of min(bn, keys) keys.
 * - threads: geometry() makes them min(threads, tasks), 0 counting as all that there are, and nothing
 *   else reads them. So as many as the lesser of tasks and all, or more, are what 0 is.
 * None of these is ever refused: only more threads than there are is.
 */
static void canonical(fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  v->value[BM] = fl4__least(&params[BM], v->value[BM], p->Hq / p->Hkv * p->Sq);
  v->value[BN] = fl4__least(&params[BN], v->value[BN], p->Sk);
  if (v->value[THREADS] >= fl4__min64(tasks(p, v->value[BM]), device->multiprocessors)) v->value[THREADS] = 0;
}

const fl4__family fl4__family_host = {
    .name = "host",
    .device = FL4_DEVICE_HOST,
    .params = params,
    .n_params = N_PARAMS,
    .refuse = refuse,
    .choose = choose,
    .geometry = geometry,
    .canonical = canonical,
};
