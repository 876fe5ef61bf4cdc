/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode_mma: few queries, many keys, for every GPU from sm_80 on. Its kernel is kernels/decode_mma.cu; the sizes
 * computed here are those of kernels/decode_config.cuh.
 */
#include <math.h>
#include <string.h>

#include "families.h"

enum { WARPS, STAGES, KEYS, ROWS, SPLITS, HINT, N_PARAMS };

enum { FEATURES = FL4__ALL_FEATURES & ~FL4__FEATURE_BIAS }; /* that the kernel knows */

static const fl4__param params[N_PARAMS] = {
    [WARPS] = {"warps", "warps of a block, each with keys of its own", 4, {1, 2, 4, 8}, false},
    [STAGES] =
        {"stages", "steps of a warp that are in shared memory, or on their way there", 5, {1, 2, 3, 4, 6}, false},
    [KEYS] = {"keys", "keys that a warp takes in a step", 2, {16, 32}, false},
    [ROWS] = {"rows", "query rows of a block", 3, {8, 16, 32}, false},
    [SPLITS] = {"splits",
                "blocks that share the keys of a row at most; 0: as many as keep the GPU busy to the end",
                12,
                {0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64},
                false},
    [HINT] = {"hint", "1: keys and values are the first to leave the L2 cache", 2, {0, 1}, true},
};

enum {
  MOST_QUERIES = 8, /* this is for */
  MOST_ROWS = 64,   /* that share a key/value head */
  MOST_WARPS = 8,
  MOST_SPLITS = 256, /* else the last block has too much to put together */
  SPLIT_KEYS = 256,  /* with fewer, what blocks exchange takes longer than they save */
  TICKETS = FL4_TICKET_BYTES / 4,
  MOST_UNITS = TICKETS,
  GROUP = 8, /* splits that are put together at a time, and those that one block puts together alone: the kernel's */
  MOST_ALONE = 24,
  SYSTEM_SMEM = 1024, /* of each block's shared memory, on top of what it asks for */
};

/*
 * What decides on the order in which a row's keys are added up: the same for all problems that ask for results that do not
 * depend on what else there is.
 */
enum { INVARIANT_WARPS = 4, INVARIANT_KEYS = 16, INVARIANT_SPLIT_KEYS = 2048 };

static int64_t rows_of(const fl4__problem *p)
{
  return p->Hq / p->Hkv * p->Sq;
}

static bool is_for(const fl4__problem *p)
{
  return p->Sq <= MOST_QUERIES && rows_of(p) <= MOST_ROWS;
}

static int64_t row_blocks(const fl4__variant *v, const fl4__problem *p)
{
  return fl4__ceil_div(rows_of(p), v->value[ROWS]);
}

/* Batches, key/value heads and row blocks: what blocks share the keys of. */
static int64_t units(const fl4__variant *v, const fl4__problem *p)
{
  return p->B * p->Hkv * row_blocks(v, p);
}

static int tile(const fl4__variant *v)
{
  return v->value[WARPS] * v->value[KEYS];
}

static int smem_bytes(const fl4__variant *v, int64_t D)
{
  const int row = (int)D * 2, rows = v->value[ROWS];
  const int ring = v->value[STAGES] * 2 * v->value[KEYS] * row, partial = rows * (2 * row + 16);
  return v->value[WARPS] * (ring > partial ? ring : partial) + rows * row;
}

/*
 * Registers of a thread: output, scores in two sums and weights, ALiBi's slopes, Q where it stays in registers, and a rest.
 * Fitted to 92 points compiled for sm_89, with no feature and with eight: of those that fit none spills.
 */
static int registers_needed(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  const int blocks = v->value[ROWS] / 8, D = (int)p->D, alibi = p->features & FL4__FEATURE_ALIBI ? 2 : 0;
  const int tight = device->sm == 80; /* where code for it needs one more than for the others */
  return (D / 4 + v->value[KEYS] * 3 / 4 + alibi) * blocks + (blocks == 1 ? D / 8 : 0) + 79 + tight;
}

/* Blocks that run at once. */
static int64_t slots(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  const int by_smem = device->smem_per_sm / (smem_bytes(v, p->D) + SYSTEM_SMEM);
  const int by_registers = device->registers_per_sm / (registers_needed(v, p, device) * 32 * v->value[WARPS]);
  return device->multiprocessors * fl4__max64(1, fl4__min64(by_smem, by_registers));
}

/* Keys that a unit sees at most: with a window none before the first that its first query sees. */
static int64_t span(const fl4__problem *p)
{
  const bool bounded = p->features & FL4__FEATURE_WINDOW && p->window_left != FL4_NO_WINDOW;
  return bounded ? fl4__min64(p->Sk, p->window_left + p->Sq) : p->Sk;
}

/* Memory that it takes all multiprocessors to keep busy, as HBM does: GPUs have it whose multiprocessors have much shared memory. */
static bool has_fast_memory(const fl4_device_info *device)
{
  return device->smem_per_sm >= 160 << 10;
}

/* Bytes that the GPU reads in a nanosecond. */
static double read_bytes_in_ns(const fl4_device_info *device)
{
  return (has_fast_memory(device) ? 32 : 5) * device->multiprocessors;
}

/*
 * Splits of a unit where blocks run one after the other. Of a time T that reading takes, r blocks in a row on a multiprocessor
 * leave about TAIL · T / r in which not all are busy, and take START each until the first keys are there: least at
 * r = √(TAIL · T / START). But what blocks exchange should be little beside what they read. All measured on an H200
 * (docs/decode.md).
 */
static int64_t splits_in_rounds(int64_t units, int64_t at_once, const fl4__problem *p, const fl4_device_info *device)
{
  enum { START = 730, LEAST_READ = 32000 }; /* nanoseconds; of a split, where all multiprocessors read */
  const double TAIL = 0.21;
  const double unit_ns = (double)span(p) * (double)(p->D * 4) / read_bytes_in_ns(device);
  const double in_a_row = sqrt(TAIL * (double)units * unit_ns / START);
  const double most = unit_ns * (double)device->multiprocessors / (units > at_once ? LEAST_READ : 2 * LEAST_READ);
  return (int64_t)fmin(most, (double)at_once * in_a_row / (double)units + 0.5);
}

/*
 * Splits of a unit by default: as many as run at once, for a block that comes later has to fill its rings anew. Where these would
 * leave too many multiprocessors idle, long keys are cut into more, unless the others keep the memory busy.
 */
static int64_t splits_by_default(int64_t units, int64_t at_once, const fl4__problem *p, const fl4_device_info *device)
{
  const int64_t one_round = fl4__max64(1, at_once / units), round_blocks = units > at_once ? 2 * at_once : at_once;
  const int64_t enough = fl4__min64(MOST_SPLITS, fl4__ceil_div(span(p), SPLIT_KEYS));
  const bool full = units * one_round <= round_blocks && units * one_round * 10 > round_blocks * 9;
  const int64_t splits =
      full || !has_fast_memory(device) ? one_round : fl4__max64(one_round, splits_in_rounds(units, at_once, p, device));
  return fl4__max64(1, fl4__min64(splits, enough));
}

/* Blocks of a unit. */
static int64_t splits_of(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  if (p->invariant) {
    const bool anchored = p->features & FL4__FEATURE_WINDOW; /* the first key that is seen may be any of a split */
    return fl4__max64(1, fl4__ceil_div(span(p), INVARIANT_SPLIT_KEYS) + anchored);
  }
  if (v->value[SPLITS]) return v->value[SPLITS];
  const int64_t n = fl4__max64(1, units(v, p));
  return n > MOST_UNITS ? 1 : splits_by_default(n, slots(v, p, device), p, device);
}

/*
 * For how many groups of a unit's splits there are tickets and parts: as many as it may have, wherever its first split is in a
 * group; none where splits are few, or units so many that tickets would not do. As the kernel has it.
 */
static int64_t group_places(int64_t units, int64_t splits)
{
  const int64_t groups = (splits + 2 * (GROUP - 1)) / GROUP;
  return splits > MOST_ALONE && units * (1 + groups) <= TICKETS ? groups : 0;
}

static const char *refuse(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device, char *why)
{
  if (p->features & ~FEATURES)
    return fl4__because(why, "%s is not built in", fl4__feature_beyond(p->features, FEATURES));
  if (p->dtype == FL4_DTYPE_FP32)
    return "dtype is fp32: GPU kernels take fp16 and bf16, the host device takes all three";
  if (device->sm < 80) return fl4__because(why, "the GPU is sm_%d, needed is sm_80", device->sm);
  if (!p->aligned) return "rows are not aligned: those are taken that start at multiples of 16 bytes";
  if (p->D % 16) return fl4__because(why, "D is %d, must be a multiple of 16", (int)p->D);
  if (rows_of(p) > MOST_ROWS)
    return fl4__because(why, "%lld queries share a key/value head, at most %d", (long long)rows_of(p), MOST_ROWS);
  if (p->invariant && p->features & FL4__FEATURE_RAGGED_Q)
    return "ragged queries: whether this family is chosen depends on the longest, so no row is the same in each batch";
  if (p->invariant && (v->value[WARPS] != INVARIANT_WARPS || v->value[KEYS] != INVARIANT_KEYS || v->value[SPLITS]))
    return fl4__because(why, "warps=%d,keys=%d,splits=%d: results that are the same in each batch need %d, %d and 0",
                        v->value[WARPS], v->value[KEYS], v->value[SPLITS], INVARIANT_WARPS, INVARIANT_KEYS);
  const int smem = smem_bytes(v, p->D), need = registers_needed(v, p, device);
  if (smem > device->smem_per_block)
    return fl4__because(why, "needs %d bytes of shared memory, a block may have %d", smem, device->smem_per_block);
  if (need > 255) return fl4__because(why, "needs about %d registers a thread, may have 255", need);
  const int64_t n = units(v, p), splits = splits_of(v, p, device);
  if (n > INT32_MAX / splits) return "more than 2^31 blocks";
  if (splits > 1 && n > MOST_UNITS)
    return fl4__because(why, "%d blocks would share the keys of each of %lld others, at most %d", (int)splits,
                        (long long)n, MOST_UNITS);
  return NULL;
}

/* Bytes that a block wants under way: what memory answers in the time that it takes to answer. */
enum { ENOUGH_BYTES = 96 << 10 };

/* The fewest stages, of two or more, with enough bytes under way; fewer where a block may not have them. */
static void choose_stages(fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  const int64_t stage = (int64_t)v->value[WARPS] * v->value[KEYS] * p->D * 4;
  int i = 1;
  while (i + 1 < params[STAGES].n_values && params[STAGES].values[i] * stage < ENOUGH_BYTES) i++;
  do v->value[STAGES] = params[STAGES].values[i];
  while (smem_bytes(v, p->D) > device->smem_per_block && --i >= 0);
}

/*
 * About how long it takes, in nanoseconds of an H200: for what its times there rank variants by, not for their values. Fitted to
 * 15 problems with 8, 16 and 32 rows a block (docs/decode.md). A warp's step takes longer with more rows, though less a row;
 * with fewer rows more blocks read the same keys, all but the first from the L2 cache, and less is put together in the end.
 */
static double cost(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  enum {
    BLOCK = 3300,
    TICKET = 1500,
    FOR_MERGED_BYTE = 49
  }; /* a block's start and end; bytes a nanosecond of who merges */
  const int rows = v->value[ROWS];
  const double warp_key = (rows == 8 ? 40 : rows == 16 ? 65 : 140) * (double)p->D / 128;
  const int64_t n = units(v, p), splits = splits_of(v, p, device), row_bytes = p->D * 4;
  const double waves = (double)fl4__ceil_div(n * splits, slots(v, p, device));
  const double walk = (double)fl4__ceil_div(span(p), splits) * warp_key / v->value[WARPS];
  const double keys = (double)(p->B * p->Hkv * span(p));
  const double read = keys * (double)row_bytes * (double)(3 + row_blocks(v, p)) / 4 / read_bytes_in_ns(device);
  const bool grouped = group_places(n, splits) > 0; /* then a group's parts, another ticket, and the groups' */
  const int64_t parts = grouped ? GROUP + fl4__ceil_div(splits, GROUP) : splits > 1 ? splits : 0;
  const double merge = (double)(parts * rows * (row_bytes + 32)) / FOR_MERGED_BYTE + (grouped ? TICKET : 0);
  const double work = waves * (walk + BLOCK);
  return (work > read ? work : read) + merge;
}

static void choose_rows(fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  double least = 0;
  for (int i = 0; i < params[ROWS].n_values; i++) {
    fl4__variant taller = *v;
    taller.value[ROWS] = params[ROWS].values[i];
    choose_stages(&taller, p, device);
    if (i > 0 && (registers_needed(&taller, p, device) > 255 || smem_bytes(&taller, p->D) > device->smem_per_block))
      return;
    const double ns = cost(&taller, p, device);
    if (i == 0 || ns < least) *v = taller, least = ns;
    if (row_blocks(&taller, p) <= 1) return;
  }
}

/* Eight warps where a block may have so much that two stages of theirs fit; what they know is put together in the block. */
static void choose(fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  v->value[WARPS] = INVARIANT_WARPS, v->value[KEYS] = p->D <= 64 && !p->invariant ? 32 : INVARIANT_KEYS;
  const int two_stages = 2 * MOST_WARPS * v->value[KEYS] * (int)p->D * 4, rows = params[ROWS].values[2] * (int)p->D * 2;
  if (!p->invariant && two_stages + rows <= device->smem_per_block) v->value[WARPS] = MOST_WARPS;
  choose_rows(v, p, device);
  v->value[HINT] = row_blocks(v, p) == 1; /* else other blocks read them too */
}

static void geometry(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device, fl4__geometry *g)
{
  const int64_t n = units(v, p), splits = splits_of(v, p, device);
  g->row_tiles = (int)row_blocks(v, p);
  g->section_heads = 1;
  g->splits = (int)splits;
  g->split_keys = p->invariant ? INVARIANT_SPLIT_KEYS : v->value[SPLITS] ? tile(v) : SPLIT_KEYS;
  g->split_anchor = p->invariant ? INVARIANT_SPLIT_KEYS : tile(v);
  g->blocks = n * splits;
  g->threads = 32 * v->value[WARPS];
  g->smem_bytes = smem_bytes(v, p->D);
  memset(g->tma_rows, 0, sizeof g->tma_rows);
  g->workspace_bytes = 0;
  const int64_t parts = splits > 1 ? n * (splits + group_places(n, splits)) : 0;
  if (parts > 0) g->workspace_bytes = FL4_TICKET_BYTES + (size_t)(parts * v->value[ROWS] * (p->D * 4 + 32));
}

const fl4__family fl4__family_decode_mma = {
    .name = "decode_mma",
    .device = FL4_DEVICE_CUDA,
    .source = "decode_mma.cu",
    .entry = "fl4_decode_mma",
    .params = params,
    .n_params = N_PARAMS,
    .refuse = refuse,
    .choose = choose,
    .geometry = geometry,
    .is_for = is_for,
};
