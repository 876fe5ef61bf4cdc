/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fwd_mma: cp.async, ldmatrix and mma.sync, for every GPU from sm_80 on. Its kernel is
 * kernels/fwd_mma.cu; the sizes computed here are those of kernels/fl4_config.cuh.
 */
#include <string.h>

#include "families.h"

enum { BM, BN, WARPS, STAGES, QREG, SLICE, WEAVE, KGROUPS, SHARE, SPLITS, CTAS, N_PARAMS };

enum { SYSTEM_SMEM = 1024 }; /* of each block's shared memory, on top of what it asks for */

enum { FEATURES = FL4__ALL_FEATURES }; /* that the kernel knows */

static const fl4__param params[N_PARAMS] = {
    [BM] = {"bm", "query rows of a block", 5, {16, 32, 64, 128, 256}, false},
    [BN] = {"bn", "keys of a tile", 7, {16, 32, 48, 64, 80, 96, 128}, false},
    [WARPS] = {"warps", "warps of a block; those of a key group have 16 or 32 query rows each", 4, {1, 2, 4, 8}, false},
    [STAGES] = {"stages", "key/value tiles in shared memory at a time", 3, {2, 3, 4}, false},
    [QREG] = {"qreg", "1: Q stays in registers, 0: it is read from shared memory for each slice", 2, {0, 1}, true},
    [SLICE] = {"slice", "keys whose scores a warp holds at a time", 7, {16, 32, 48, 64, 80, 96, 128}, false},
    [WEAVE] = {"weave", "1: the next slice's scores are computed among the exponentials of this one", 2, {0, 1}, true},
    [KGROUPS] = {"kgroups", "groups of warps that share the keys of a tile", 3, {1, 2, 4}, false},
    [SHARE] = {"share", "1: four warps share the weights of 64 rows, and divide keys and columns", 2, {0, 1}, true},
    [SPLITS] = {"splits", "blocks that share the keys of a row tile", 6, {1, 2, 4, 8, 16, 32}, false},
    [CTAS] = {"ctas", "blocks that must fit a multiprocessor, which bounds the registers", 4, {1, 2, 3, 4}, false},
};

/* The tile is as wide as the matrix instructions need. */
static int padded(int64_t D)
{
  return (int)(D + 15) / 16 * 16;
}

static int max(int a, int b)
{
  return a > b ? a : b;
}

/* A multiprocessor with 100 KB of shared memory: sm_86, sm_89, sm_120. */
static bool small_sm(const fl4_device_info *device)
{
  return device->smem_per_sm < 128 << 10;
}

/* Groups of warps by the keys that they take of a tile; warps that share the query rows; blocks of 16 rows that each of them has. */
static int key_groups(const fl4__variant *v)
{
  return v->value[SHARE] ? 2 : v->value[KGROUPS];
}

static int row_warps(const fl4__variant *v)
{
  return v->value[WARPS] / key_groups(v);
}

static int row_blocks(const fl4__variant *v)
{
  return v->value[BM] / row_warps(v) / 16;
}

/* What a warp hands to another one; with a sum of its own for the log-sum-exp, one piece more. */
static int partial_bytes(const fl4__variant *v, int64_t D, bool exact_sum)
{
  return row_blocks(v) * (padded(D) / 8 + 1 + exact_sum) * 32 * 16;
}

static bool exact_sum(const fl4__problem *p)
{
  return p->lse && p->dtype == FL4_DTYPE_BF16;
}

static int smem_bytes(const fl4__variant *v, const fl4__problem *p)
{
  const int row = padded(p->D) * 2, tile = v->value[BN] * row, q = v->value[BM] * row;
  const int ring = (2 * v->value[STAGES] + v->value[WEAVE]) * tile;
  /* Q that goes to registers lies in the last slots until it is read. */
  const int walk = v->value[QREG] ? max(ring, ring - 2 * tile + q) : ring + q;
  /* Two tiles of weights, and two maxima and a factor for each row. */
  if (v->value[SHARE]) return walk + v->value[BM] * (4 * v->value[BN] + 3 * 4);
  const int merge = (v->value[KGROUPS] - 1) * row_warps(v) * partial_bytes(v, p->D, exact_sum(p));
  return max(walk, merge);
}

/* Copies of 16 bytes that a thread makes of a key tile, rounded up. */
static int copies(const fl4__variant *v, int64_t D)
{
  return (v->value[BN] * padded(D) / 8 + 32 * v->value[WARPS] - 1) / (32 * v->value[WARPS]);
}

enum { MOST_COPIES = 16 }; /* more are unrolled into more code than a tile's arithmetic */

/*
 * What is there beyond dense attention: rows' own windows, distances, biases that are on their way, numbers of pages. Fitted to
 * 400 points drawn near the limit and compiled for sm_89.
 */
static int features_need(const fl4__variant *v, const fl4__problem *p)
{
  const int blocks = row_blocks(v), slice = v->value[SLICE];
  int n = 0;
  if (p->features & FL4__FEATURE_WINDOW) n += 6 * blocks;
  if (p->features & FL4__FEATURE_ALIBI) n += 6 + blocks * slice / 32;
  if (p->features & FL4__FEATURE_BIAS) n += blocks * (16 + slice / 4) + 16 * v->value[WEAVE];
  if (p->features & FL4__FEATURE_PAGED) n += 2 * blocks + (int)fl4__min64(copies(v, p->D), 8);
  return n;
}

/*
 * Of a thread whose warp shares its rows: output, a quarter of the columns of 64 rows; scores and weights of 32 rows and half of
 * the keys; a rest. Of 329 points compiled, without and with features, the 116 for sm_89 that its shared memory allows need 115
 * beside those two at most and spill nothing. For sm_90 those that fit by 60 spill 64 bytes at most, and 8 without any feature.
 */
static int registers_sharing(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  return padded(p->D) / 2 + v->value[BN] + (small_sm(device) ? 115 : 60) + features_need(v, p);
}

/*
 * What 32 rows a warp need beside in the walk, where nothing may spill: weights, while scores stay for them (KEEP_SCORES in
 * fl4_config.cuh), or what computing them twice takes; and an address more for each power of two that a row of a tile is copied in.
 * Of 163 points of D 16 to 160 that fit without this and not with it, 34 spill 4 to 168 bytes on sm_89 or sm_120, which needs a little
 * more; of the 35 up to D 32 none.
 */
static int tall_rows_need(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  const int width = padded(p->D), slice = v->value[SLICE];
  if (row_blocks(v) < 2 || width <= 32 || !small_sm(device)) return 0;
  const bool keeps = 2 * (width / 2 + slice * 3 / 4 + (v->value[QREG] ? width / 4 : 0)) <= 180;
  const int scores = v->value[WEAVE] ? 0 : keeps ? slice / 2 : 10;
  return scores + 7 * (__builtin_popcount((unsigned)width / 8) - 1) + (device->sm >= 120 && width >= 128 ? 6 : 0);
}

/*
 * Registers of a thread: output, scores of a slice (of two, woven) and Q; half a key fragment, as they are read ahead; some
 * for each copy that it makes of a tile, whose addresses outlive the tile; and a rest. Fitted to 412 points drawn near the
 * limit and compiled for sm_89 and sm_90. Where a multiprocessor has 100 KB, as on an L4, nothing may spill: with 2 for a copy
 * and 57 for the rest none of the 85 points that fit did; 66, the merging of blocks and the rows that are not aligned
 * were added for points that tests/compile/test_space.c found later. Elsewhere a few spilled loop variables cost nothing that
 * shows (docs/kernels.md, measured on an H200), and the best kernels of D = 128 and 256 have them: of some 185 points that
 * fit, nine in ten spill at most 150 bytes and the worst 440.
 */
static int registers_needed(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  if (v->value[SHARE]) return registers_sharing(v, p, device);
  const int64_t D = p->D;
  const int width = padded(D), weave = v->value[WEAVE] ? 2 : 1;
  const int rows = row_blocks(v) * (width / 2 + v->value[SLICE] / 2 * weave + (v->value[QREG] ? width / 4 : 0));
  /* What else is live where the parts of several blocks are merged, which is after the walk; of 142 points with both, none spilled. */
  const int merging = v->value[SPLITS] > 1 ? 72 : 0, beside = max(merging, tall_rows_need(v, p, device));
  const int copy = p->aligned ? 2 : 12; /* element by element, copies go through registers */
  const int rest = small_sm(device) ? copy * copies(v, D) + 66 + beside : copies(v, D) + 35;
  return rows + v->value[SLICE] / 8 * weave + rest + features_need(v, p);
}

static int registers_allowed(const fl4__variant *v, const fl4_device_info *device)
{
  const int n = device->registers_per_sm / (v->value[CTAS] * v->value[WARPS] * 32) / 8 * 8;
  return n < 255 ? n : 255;
}

static bool ragged(const fl4__problem *p)
{
  return p->features & FL4__FEATURE_RAGGED_Q;
}

/* Row tiles of a head: of ragged queries, which are all sequences of it, those that lengths can make (fl4_sequence.cuh). */
static int64_t row_tiles(const fl4__problem *p, int bm)
{
  return ragged(p) ? p->total_q / bm + p->B : fl4__ceil_div(p->Sq, bm);
}

static int64_t grid_heads(const fl4__problem *p)
{
  return ragged(p) ? p->Hq : p->B * p->Hq;
}

static int64_t blocks(const fl4__problem *p, int bm)
{
  return grid_heads(p) * row_tiles(p, bm);
}

static const char *refuse(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device, char *why)
{
  const int bm = v->value[BM], bn = v->value[BN], warps = v->value[WARPS], groups = key_groups(v);
  const int slice = v->value[SLICE], splits = v->value[SPLITS], ctas = v->value[CTAS];
  if (p->features & ~FEATURES)
    return fl4__because(why, "%s is not built in", fl4__feature_beyond(p->features, FEATURES));
  if (p->dtype == FL4_DTYPE_FP32)
    return "dtype is fp32: GPU kernels take fp16 and bf16, the host device takes all three";
  if (device->sm < 80) return fl4__because(why, "the GPU is sm_%d, needed is sm_80", device->sm);
  if (v->value[SHARE]) {
    if (v->value[KGROUPS] > 1 || splits > 1 || v->value[QREG] || v->value[WEAVE])
      return "share=1 goes with qreg=0, weave=0, kgroups=1 and splits=1";
    if (warps % 4 || bm != 16 * warps)
      return fl4__because(why, "share=1 needs bm=64 for each 4 warps, not bm=%d for %d", bm, warps);
    if (2 * slice != bn) return fl4__because(why, "share=1 needs slice=%d, half of bn, not %d", bn / 2, slice);
    if (padded(p->D) % 64) return fl4__because(why, "share=1 needs D up to a multiple of 64, not %d", padded(p->D));
  }
  if (warps % groups) return fl4__because(why, "warps=%d cannot be kgroups=%d groups", warps, groups);
  const int sharing = warps / groups;
  if (bm != 16 * sharing && bm != 32 * sharing)
    return fl4__because(why, "bm=%d over %d warps is %d rows a warp, must be 16 or 32", bm, sharing, bm / sharing);
  if (bn % (groups * slice))
    return fl4__because(why, "bn=%d is not a multiple of kgroups=%d times slice=%d", bn, groups, slice);
  if (v->value[WEAVE] && bn / groups / slice % 2)
    return fl4__because(why, "weave=1 needs an even number of slices, bn=%d has %d", bn, bn / groups / slice);
  if (copies(v, p->D) > MOST_COPIES)
    return fl4__because(why, "%d copies of a tile for each thread of warps=%d, at most %d", copies(v, p->D), warps,
                        MOST_COPIES);
  const int smem = smem_bytes(v, p), need = registers_needed(v, p, device), may = registers_allowed(v, device);
  if (smem > device->smem_per_block)
    return fl4__because(why, "needs %d bytes of shared memory, a block may have %d", smem, device->smem_per_block);
  if (ctas * (smem + SYSTEM_SMEM) > device->smem_per_sm)
    return fl4__because(why, "ctas=%d blocks of %d bytes of shared memory do not fit %d", ctas, smem,
                        device->smem_per_sm);
  if (need > may) return fl4__because(why, "needs about %d registers a thread, may have %d", need, may);
  if (grid_heads(p) > INT32_MAX / splits / fl4__max64(1, row_tiles(p, bm))) return "more than 2^31 blocks";
  if (ragged(p) && row_tiles(p, bm) > INT32_MAX / bm) return "more than 2^31 rows in the tiles of a head";
  if (splits > 1 && blocks(p, bm) * sharing > FL4_TICKET_BYTES / 4)
    return fl4__because(why, "splits=%d for more than %d warps with rows", splits, FL4_TICKET_BYTES / 4);
  return NULL;
}

/*
 * What is chosen, by the width of a row: for grids that fill the machine with 32 query rows a warp (`wide`), for smaller
 * ones (`narrow`), and for so few rows that keys are shared out too (`few`). Columns as the parameters, without splits.
 */
typedef struct choice {
  int width;
  bool causal; /* only for that */
  int wide[N_PARAMS], narrow[N_PARAMS], few[N_PARAMS];
} choice;

/* clang-format off */
/* Measured on an H200 (docs/kernels.md); also for sm_80 and sm_100, which have as much shared memory. */
static const choice large_choices[] = {
    {64, false, {128, 128, 4, 2, 1, 32, 1, 1, 0, 1, 2}, {64, 64, 4, 2, 1, 64, 0, 1, 0, 1, 3}, {32, 128, 4, 2, 1, 64, 0, 2, 0, 1, 1}},
    {80, false, {128, 64, 4, 2, 1, 32, 1, 1, 0, 1, 2}, {64, 64, 4, 2, 1, 64, 0, 1, 0, 1, 2}, {32, 64, 4, 2, 1, 32, 0, 2, 0, 1, 1}},
    {96, false, {128, 64, 4, 2, 0, 32, 1, 1, 0, 1, 2}, {64, 64, 4, 2, 1, 64, 0, 1, 0, 1, 2}, {32, 64, 4, 2, 1, 32, 0, 2, 0, 1, 1}},
    {112, false, {128, 64, 4, 2, 0, 32, 1, 1, 0, 1, 2}, {64, 64, 4, 2, 1, 32, 1, 1, 0, 1, 2}, {32, 64, 4, 2, 1, 32, 0, 2, 0, 1, 1}},
    {128, false, {128, 64, 4, 2, 0, 64, 0, 1, 0, 1, 2}, {64, 64, 4, 2, 1, 32, 1, 1, 0, 1, 2}, {32, 64, 4, 2, 1, 32, 0, 2, 0, 1, 1}},
    {192, false, {64, 64, 4, 2, 1, 64, 0, 1, 0, 1, 2}, {64, 32, 4, 2, 1, 32, 0, 1, 0, 1, 2}, {32, 64, 4, 2, 1, 32, 0, 2, 0, 1, 1}},
    {256, false, {128, 64, 8, 2, 0, 32, 0, 1, 1, 1, 1}, {64, 32, 4, 2, 0, 32, 0, 1, 0, 1, 2}, {32, 64, 4, 2, 0, 32, 0, 2, 0, 1, 1}},
    {256, true, {128, 64, 8, 2, 1, 16, 1, 1, 0, 1, 1}, {64, 32, 4, 2, 0, 32, 0, 1, 0, 1, 2}, {32, 64, 4, 2, 0, 32, 0, 2, 0, 1, 1}},
    {256, false, {64, 32, 4, 2, 1, 32, 0, 1, 0, 1, 2}, {64, 32, 4, 2, 0, 32, 0, 1, 0, 1, 2}, {32, 64, 4, 2, 0, 32, 0, 2, 0, 1, 1}},
};

/* Reasoned for an L4 (docs/kernels.md): no spills, two blocks a multiprocessor where 100 KB allow it. */
static const choice small_choices[] = {
    {64, false, {128, 64, 4, 2, 1, 32, 1, 1, 0, 1, 2}, {64, 64, 4, 2, 1, 64, 0, 1, 0, 1, 3}, {32, 64, 4, 2, 1, 32, 0, 2, 0, 1, 2}},
    {80, false, {128, 64, 4, 2, 1, 32, 0, 1, 0, 1, 2}, {64, 64, 4, 2, 1, 64, 0, 1, 0, 1, 2}, {32, 64, 4, 2, 1, 32, 0, 2, 0, 1, 2}},
    {96, false, {128, 64, 4, 2, 1, 16, 0, 1, 0, 1, 2}, {64, 32, 4, 2, 1, 32, 0, 1, 0, 1, 2}, {32, 64, 4, 2, 1, 32, 0, 2, 0, 1, 1}},
    {128, false, {128, 64, 8, 2, 1, 32, 1, 1, 0, 1, 1}, {64, 32, 4, 2, 1, 32, 0, 1, 0, 1, 2}, {32, 64, 4, 2, 1, 32, 0, 2, 0, 1, 1}},
    {192, false, {64, 32, 4, 2, 1, 32, 0, 1, 0, 1, 2}, {64, 32, 4, 2, 1, 32, 0, 1, 0, 1, 2}, {32, 32, 4, 2, 0, 16, 0, 2, 0, 1, 1}},
    {256, false, {64, 32, 4, 2, 0, 32, 0, 1, 0, 1, 1}, {64, 32, 4, 2, 0, 32, 0, 1, 0, 1, 1}, {32, 32, 4, 2, 0, 16, 0, 2, 0, 1, 1}},
};
/* clang-format on */

/* Shared memory and registers of as many blocks as the variant promises. */
static bool fits(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  return v->value[CTAS] * (smem_bytes(v, p) + SYSTEM_SMEM) <= device->smem_per_sm &&
         registers_needed(v, p, device) <= registers_allowed(v, device);
}

static void take(fl4__variant *v, const int values[N_PARAMS])
{
  for (int i = 0; i < N_PARAMS; i++) v->value[i] = values[i];
}

/* Is it for the problem? Warps share aligned rows of a few widths only, in more shared memory than many devices have. */
static bool is_for(const choice *c, const fl4__problem *p, const fl4_device_info *device)
{
  if (c->width < padded(p->D) || (c->causal && p->mask != FL4_MASK_CAUSAL)) return false;
  if (!c->wide[SHARE]) return true;
  fl4__variant v;
  take(&v, c->wide);
  return padded(p->D) % 64 == 0 && p->aligned && fits(&v, p, device);
}

/* Rows of a block are wasted, if there are not half as many. */
static bool too_tall(const fl4__variant *v, const fl4__problem *p)
{
  return v->value[BM] >= 2 * fl4__max64(p->Sq, 1);
}

static void fewer_blocks(fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  while (!fits(v, p, device) && v->value[CTAS] > 1) v->value[CTAS]--;
}

/* At most. */
static int64_t keys_of_tile(const fl4__problem *p, int bm)
{
  if (!(p->features & FL4__FEATURE_WINDOW)) return p->Sk;
  return fl4__min64(p->Sk, p->window_left + p->window_right + bm);
}

/*
 * 32 query rows a warp halve the shared memory reads for a product, and larger blocks the traffic with the L2 cache; but
 * the blocks must fill the machine: nearly one round of them, or two where a causal mask makes their lengths differ.
 */
static void choose_for(fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  const choice *c = small_sm(device) ? small_choices : large_choices;
  while (!is_for(c, p, device)) c++;
  const int64_t sms = device->multiprocessors;
  take(v, c->wide);
  const int64_t round = sms * v->value[CTAS];
  const int64_t enough = p->mask == FL4_MASK_CAUSAL ? 2 * round : round * 9 / 10;
  if (too_tall(v, p) || blocks(p, v->value[BM]) < enough) take(v, c->narrow);
  if (too_tall(v, p) || blocks(p, v->value[BM]) < sms) take(v, c->few);
  if (v->value[KGROUPS] > 1 && too_tall(v, p)) { /* all warps share the same 16 rows */
    v->value[BM] = 16, v->value[KGROUPS] = v->value[WARPS];
    while (v->value[SLICE] > 16 && v->value[BN] % (v->value[KGROUPS] * v->value[SLICE])) v->value[SLICE] = 16;
    while (v->value[BN] % (v->value[KGROUPS] * v->value[SLICE])) v->value[KGROUPS] /= 2, v->value[WARPS] /= 2;
  }
  /* The log-sum-exp of bf16 has sums of its own, which take the registers of scores; so does what is beyond dense attention. */
  const bool more = exact_sum(p) || features_need(v, p) > 0;
  if (more && !v->value[SHARE] && row_blocks(v) == 2 && v->value[SLICE] == 64) v->value[SLICE] = 32;
  /* Still not a block for each multiprocessor: several share the keys, if each has some tiles of them. */
  fewer_blocks(v, p, device);
  if (!fits(v, p, device)) take(v, c->narrow), fewer_blocks(v, p, device);
  while (!fits(v, p, device) && v->value[BN] > 16) { /* rows that are not aligned */
    v->value[BN] /= 2, v->value[WEAVE] = 0;
    v->value[SLICE] = (int)fl4__min64(v->value[SLICE], v->value[BN]);
  }
  if (!fits(v, p, device)) v->value[QREG] = 0;
  fl4__variant shared = *v;
  if (v->value[KGROUPS] > 1)
    while (shared.value[SPLITS] < 32 && 2 * blocks(p, v->value[BM]) * shared.value[SPLITS] <= sms &&
           4 * shared.value[SPLITS] * v->value[BN] <= keys_of_tile(p, v->value[BM]))
      shared.value[SPLITS] *= 2;
  if (fits(&shared, p, device)) *v = shared;
}

/*
 * Where a row's bits must not depend on what else is in the batch, or on the device: what would be chosen for one sequence of
 * 64 queries on a machine of one small multiprocessor. Blocks of many rows, then, whose keys are not divided. Row tiles and
 * key tiles are counted from the beginning of a sequence and all rows of a block are of one, so that its bits depend on
 * nothing but the sequence: its queries, its keys, its lengths.
 */
static void choose(fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  if (!p->invariant) {
    choose_for(v, p, device);
    return;
  }
  fl4__problem one = *p;
  fl4_device_info least = *device;
  one.B = one.Hq = one.Hkv = 1, one.Sq = one.Sk = one.total_q = 64, one.lse = 1;
  least.multiprocessors = 1, least.smem_per_sm = 100 << 10, least.smem_per_block = 99 << 10;
  least.registers_per_sm = 65536;
  choose_for(v, &one, &least);
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
  return (int)fl4__min64(fl4__max64(fl4__max64(mixing, cached), 1), grid_heads(p));
}

static void geometry(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device, fl4__geometry *g)
{
  g->row_tiles = (int)row_tiles(p, v->value[BM]);
  g->section_heads = section_heads(v, p, device, g->row_tiles);
  g->blocks = blocks(p, v->value[BM]) * v->value[SPLITS];
  g->threads = 32 * v->value[WARPS];
  g->smem_bytes = smem_bytes(v, p);
  g->tile_rows = v->value[BM], g->tile_keys = v->value[BN];
  memset(g->tma_rows, 0, sizeof g->tma_rows);
  g->workspace_bytes = 0;
  if (v->value[SPLITS] > 1)
    g->workspace_bytes = FL4_TICKET_BYTES +
                         (size_t)g->blocks * (size_t)row_warps(v) * (size_t)partial_bytes(v, p->D, exact_sum(p));
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
  v->value[STAGES] = fl4__least(&params[STAGES], v->value[STAGES], tiles + 1);
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
    .takes_lists = true,
};
