/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fwd_wgmma: bulk copies and matrix products of warpgroups, for sm_90. Its kernel is kernels/fwd_wgmma.cu; the
 * sizes computed here are those of kernels/wgmma_config.cuh.
 */
#include "families.h"

enum { GROUPS, BN, STAGES, QBUF, PINGPONG, SCHED, SPLITS, PACK, N_PARAMS };
enum { ONE_TILE, IN_TURN, BY_TICKET }; /* values of SCHED */

enum { FEATURES = FL4__ALL_FEATURES }; /* that the kernel knows */

static const fl4__param params[N_PARAMS] = {
    [GROUPS] = {"groups", "warpgroups that compute, 64 query rows each", 4, {1, 2, 3, 4}, false},
    [BN] = {"bn", "keys of a tile", 10, {48, 64, 80, 96, 112, 128, 144, 160, 176, 192}, false},
    [STAGES] = {"stages", "key tiles, and value tiles, in shared memory at a time", 3, {2, 3, 4}, false},
    [QBUF] = {"qbuf", "query tiles in shared memory at a time", 2, {1, 2}, false},
    [PINGPONG] = {"pingpong", "1: the groups take turns at the matrix pipe", 2, {0, 1}, true},
    [SCHED] = {"sched", "row tiles of a block: 0 one, 1 every n-th, 2 whichever is next", 3, {0, 1, 2}, true},
    [SPLITS] = {"splits",
                "blocks that share the keys of a row tile; several have one tile each",
                10,
                {1, 2, 3, 4, 6, 8, 12, 16, 24, 32},
                false},
    [PACK] = {"pack",
              "query heads of a key head whose rows lie side by side in a row tile",
              7,
              {1, 2, 4, 8, 16, 32, 64},
              false},
};

enum {
  GROUP_ROWS = 64,
  BARRIER_BYTES = 1024,
  MOST_SMEM = 227 << 10,    /* of a block */
  SECTION_BYTES = 34000000, /* keys and values that stay in an L2 cache of 50 MB */
};

/*
 * By number of groups: what each thread that computes gets of the block's registers, and each of the one that copies. Where that
 * one looks up pages, or lists of tiles, it gets eight of each of the others for either (kernels/wgmma_config.cuh).
 */
static const int consumer_registers[] = {0, 240, 232, 160, 112}, producer_registers[] = {0, 40, 40, 32, 32};

/* Rows lie in pages of 64 columns. */
static int row_bytes(int64_t D)
{
  return (int)(D + 63) / 64 * 128;
}

/* Biases of a group's rows and a key tile, in pages of 128 bytes a row. */
static int bias_bytes(const fl4__variant *v, const fl4__problem *p)
{
  if (!(p->features & FL4__FEATURE_BIAS)) return 0;
  const int pages = (v->value[BN] * fl4__bias_size(p->bias_type) + 127) / 128;
  return v->value[GROUPS] * pages * GROUP_ROWS * 128;
}

static int smem_bytes(const fl4__variant *v, const fl4__problem *p)
{
  const int rows = v->value[QBUF] * v->value[GROUPS] * GROUP_ROWS + 2 * v->value[STAGES] * v->value[BN];
  const int tiles = rows * row_bytes(p->D) + BARRIER_BYTES, biases = bias_bytes(v, p);
  return tiles + (tiles + 2 * biases <= MOST_SMEM ? 2 : 1) * biases;
}

/*
 * Of a thread that computes: scores, weights, output, and a rest; more of that for a mask, or where the log-sum-exp of
 * bf16 has a sum of its own. Fitted to 741 points compiled for sm_90a: of those that fit none has a spill, of the others all
 * but three have, and nearly all of them are serialised by the assembler (C7512).
 */
static int registers_needed(const fl4__variant *v, const fl4__problem *p)
{
  const bool exact_sum = p->lse && p->dtype == FL4_DTYPE_BF16;
  const int rest = p->mask == FL4_MASK_CAUSAL || exact_sum || p->features ? 32 : 28;
  return v->value[BN] / 2 + v->value[BN] / 4 + (int)p->D / 2 + rest;
}

static bool ragged(const fl4__problem *p)
{
  return p->features & FL4__FEATURE_RAGGED_Q;
}

/* Row tiles of a head: of ragged queries all that lengths can make (kernels/fl4_sequence.cuh). */
static int64_t row_tiles(const fl4__problem *p, int groups, int pack)
{
  const int rows = groups * GROUP_ROWS;
  return ragged(p) ? p->total_q / rows + p->B : fl4__ceil_div(p->Sq * pack, rows);
}

/* With packed heads counted as one. */
static int64_t grid_heads(const fl4__problem *p, int pack)
{
  return (ragged(p) ? p->Hq : p->B * p->Hq) / pack;
}

static int64_t tiles_of(const fl4__problem *p, int groups, int pack)
{
  return grid_heads(p, pack) * row_tiles(p, groups, pack);
}

static int64_t tiles(const fl4__variant *v, const fl4__problem *p)
{
  return tiles_of(p, v->value[GROUPS], v->value[PACK]);
}

enum { UNPACKABLE = FL4__FEATURE_ALIBI | FL4__FEATURE_BIAS | FL4__FEATURE_RAGGED_Q }; /* go by query rows */

/* What a warp leaves for the one that puts its rows together: 16 rows of fp32, references and sums. */
static int partial_bytes(const fl4__problem *p)
{
  return (int)(p->D / 8 + 1) * 32 * 16;
}

static const char *refuse(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device, char *why)
{
  const int groups = v->value[GROUPS], splits = v->value[SPLITS], pack = v->value[PACK];
  if (p->features & ~FEATURES)
    return fl4__because(why, "%s is not built in", fl4__feature_beyond(p->features, FEATURES));
  if (p->dtype == FL4_DTYPE_FP32)
    return "dtype is fp32: GPU kernels take fp16 and bf16, the host device takes all three";
  if (device->sm != 90) return fl4__because(why, "the GPU is sm_%d, needed is sm_90", device->sm);
  if (!p->aligned) return "rows are not aligned: the copy engine takes those that start at multiples of 16 bytes";
  if (p->Sk < 1 || (p->features & FL4__FEATURE_RAGGED_K && p->total_k < 1)) return "there are no keys";
  if (p->invariant) return "results must be the same in each batch: what is chosen here depends on all sizes";
  if (p->Hq / p->Hkv % pack)
    return fl4__because(why, "pack=%d does not divide the %lld query heads of a key head", pack,
                        (long long)(p->Hq / p->Hkv));
  if (pack > 1 && p->features & UNPACKABLE)
    return fl4__because(why, "pack=%d: %s goes by rows of one head", pack,
                        fl4__feature_beyond(p->features, ~UNPACKABLE));
  if (p->Sq > INT32_MAX / 2 / pack) return fl4__because(why, "pack=%d: more than 2^30 rows of heads", pack);
  const int smem = smem_bytes(v, p), need = registers_needed(v, p);
  const int lent = (p->features & FL4__FEATURE_PAGED ? 8 : 0) + (p->skips ? 8 : 0);
  const int may = consumer_registers[groups] - lent;
  if (smem > device->smem_per_block)
    return fl4__because(why, "needs %d bytes of shared memory, a block may have %d", smem, device->smem_per_block);
  if (need > may) return fl4__because(why, "needs about %d registers a thread, may have %d", need, may);
  if (grid_heads(p, pack) > INT32_MAX / splits / fl4__max64(1, row_tiles(p, groups, pack)))
    return "more than 2^31 blocks";
  if (splits > 1 && tiles(v, p) * groups * 4 > FL4_TICKET_BYTES / 4)
    return fl4__because(why, "splits=%d for more than %d warps with rows", splits, FL4_TICKET_BYTES / 4);
  return NULL;
}

/* The block's registers are dealt out anew after the launch: with fewer it would wait for them for ever. */
static int launch_registers(const fl4__variant *v)
{
  const int groups = v->value[GROUPS];
  return (groups * consumer_registers[groups] + producer_registers[groups] + groups) / (groups + 1);
}

/*
 * What is chosen, measured on an H200 (docs/fwd_wgmma.md). The first line that holds: for rows up to `width`, with this mask,
 * up to so many keys. Columns as the parameters, without the schedule.
 *
 * Where key tiles are many, the most that registers and shared memory hold wins; where they are few, what wastes
 * least at the ends of row tiles. With a causal mask these come twice as often. A second query tile rarely pays, as it is
 * asked for when the block's next row tile is known, which is late. Between equals the one is chosen that is faster on hostile scores.
 */
typedef struct choice {
  int width, mask;
  int64_t keys;
  int values[SCHED];
} choice;

enum { NONE = FL4_MASK_NONE, CAUSAL = FL4_MASK_CAUSAL, EITHER = -1 };

static const choice choices[] = {
    /* clang-format off */
    { 64, NONE,   INT64_MAX, {4,  64, 2, 1, 1}},
    { 64, CAUSAL, 1535,      {2, 128, 2, 2, 0}},
    { 64, CAUSAL, 3071,      {4,  64, 2, 1, 1}},
    { 64, CAUSAL, INT64_MAX, {3, 112, 2, 1, 1}},
    { 96, NONE,   3071,      {2, 128, 2, 2, 1}},
    { 96, NONE,   INT64_MAX, {3,  96, 2, 1, 1}},
    { 96, CAUSAL, 1535,      {2, 128, 2, 2, 0}},
    { 96, CAUSAL, INT64_MAX, {3,  96, 2, 1, 1}},
    {128, NONE,   1535,      {2, 128, 2, 1, 1}},
    {128, NONE,   3071,      {2, 160, 2, 1, 1}},
    {128, CAUSAL, 3071,      {2, 128, 3, 1, 1}},
    {128, CAUSAL, INT64_MAX, {3,  80, 2, 1, 1}},
    {128, NONE,   INT64_MAX, {3,  80, 2, 1, 1}},
    {192, EITHER, INT64_MAX, {2,  96, 2, 1, 1}},
    {256, EITHER, INT64_MAX, {2,  64, 2, 1, 1}},
    /* clang-format on */
};

/* For grids of no more than 64 query rows for each multiprocessor: as many blocks as there can be. */
static const choice small_grid[] = {
    {128, EITHER, INT64_MAX, {1, 128, 2, 1, 0}},
    {192, EITHER, INT64_MAX, {1, 96, 2, 1, 0}},
    {256, EITHER, INT64_MAX, {1, 64, 2, 1, 0}},
};

/* Where row tiles of more groups come out uneven. */
static const choice halved[] = {
    {64, CAUSAL, INT64_MAX, {2, 128, 2, 2, 0}}, {64, NONE, INT64_MAX, {2, 128, 2, 1, 1}},
    {96, EITHER, INT64_MAX, {2, 160, 2, 2, 1}}, {128, CAUSAL, INT64_MAX, {2, 128, 3, 1, 1}},
    {128, NONE, INT64_MAX, {2, 160, 2, 1, 1}},
};

/* Where ALiBi or biases need registers, or blocks of more rows would be so few that multiprocessors have none. */
static const choice two_groups[] = {
    {128, EITHER, INT64_MAX, {2, 128, 2, 1, 1}},
    {256, EITHER, INT64_MAX, {2, 64, 2, 1, 1}},
};

/* Where a softcap makes exponentials take longer than products: to take turns is to wait. */
static const choice softcapped[] = {
    {128, EITHER, INT64_MAX, {2, 128, 2, 2, 0}},
    {256, EITHER, INT64_MAX, {2, 64, 2, 1, 0}},
};

/* Of pages the copies are many and small: to have more tiles under way hides some of that. */
static const choice paged[] = {
    {128, EITHER, INT64_MAX, {3, 64, 3, 1, 1}},
    {256, EITHER, INT64_MAX, {2, 64, 2, 1, 1}},
};

/* A window's row tiles have few keys: small key tiles waste least at both of its ends. */
static const choice windowed[] = {
    {128, EITHER, INT64_MAX, {3, 64, 2, 1, 1}},
    {256, EITHER, INT64_MAX, {2, 64, 2, 1, 1}},
};

enum { SPLIT_KEYS = 512 }; /* with fewer, to put parts together takes longer than their keys */

/* Keys that a row tile sees at most. */
static int64_t keys_of_tile(const fl4__problem *p, int rows)
{
  const bool bounded = p->features & FL4__FEATURE_WINDOW && p->window_left != FL4_NO_WINDOW;
  return bounded ? fl4__min64(p->Sk, p->window_left + rows) : p->Sk;
}

/* As many blocks for a row tile as fill the machine, if each has keys enough. */
static int splits_of(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  const int64_t most = fl4__min64(device->multiprocessors / fl4__max64(1, tiles(v, p)),
                                  keys_of_tile(p, v->value[GROUPS] * GROUP_ROWS) / SPLIT_KEYS);
  int i = 0;
  while (i + 1 < params[SPLITS].n_values && params[SPLITS].values[i + 1] <= most) i++;
  return params[SPLITS].values[i];
}

/* Query heads that share keys, as many as a power of two, where that saves an eighth of the row tiles. */
static int pack_of(const fl4__problem *p)
{
  const int64_t group = p->Hq / p->Hkv, most = group & -group;
  const int pack = (int)fl4__min64(most, GROUP_ROWS);
  if (p->features & UNPACKABLE || p->Sq > INT32_MAX / 2 / pack) return 1;
  return 8 * tiles_of(p, 1, pack) <= 7 * tiles_of(p, 1, 1) ? pack : 1;
}

static bool holds(const choice *c, const fl4__problem *p)
{
  return p->D <= c->width && (c->mask == EITHER || c->mask == p->mask) && p->Sk <= c->keys;
}

/*
 * How long the last multiprocessor works, in groups' row tiles of all keys. Without a mask in rounds; with a causal one, where the
 * longest row tiles come first, as long as one of those, or as all of them share the work.
 */
static int64_t rounds(const fl4__problem *p, int groups, int pack, const fl4_device_info *device)
{
  const int64_t all = fl4__ceil_div(tiles_of(p, groups, pack) * groups, 2 * (int64_t)device->multiprocessors);
  if (p->mask == FL4_MASK_CAUSAL) return groups > all ? groups : all;
  return fl4__ceil_div(tiles_of(p, groups, pack), device->multiprocessors) * groups;
}

enum { UNEQUAL = FL4__FEATURE_RAGGED_Q | FL4__FEATURE_RAGGED_K | FL4__FEATURE_USED_K }; /* lengths of their own */

static const choice *choices_for(const fl4__problem *p, int pack, const fl4_device_info *device)
{
  if (tiles_of(p, 1, pack) <= device->multiprocessors) return small_grid;
  if (tiles_of(p, 2, pack) <= device->multiprocessors) return two_groups;
  if (p->features & FL4__FEATURE_SOFTCAP) return softcapped;
  if (p->features & (FL4__FEATURE_ALIBI | FL4__FEATURE_BIAS)) return two_groups;
  if (p->features & FL4__FEATURE_PAGED) return paged;
  if (p->features & FL4__FEATURE_WINDOW) return p->features & UNEQUAL ? two_groups : windowed;
  return choices;
}

static void choose(fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  const int pack = pack_of(p);
  const choice *c = choices_for(p, pack, device);
  while (!holds(c, p)) c++;
  if (c->values[GROUPS] > 2 && !(p->features & (UNEQUAL | FL4__FEATURE_WINDOW)) &&
      11 * rounds(p, 2, pack, device) < 10 * rounds(p, c->values[GROUPS], pack, device))
    for (c = halved; !holds(c, p);) c++;
  for (int i = 0; i < SCHED; i++) v->value[i] = c->values[i];
  v->value[PACK] = pack;
  /* Row tiles are as long as each other without a mask; with one, whoever is done takes the next. */
  v->value[SCHED] = p->mask == FL4_MASK_CAUSAL || p->features & UNEQUAL ? BY_TICKET : IN_TURN;
  if (tiles(v, p) <= device->multiprocessors) v->value[SCHED] = ONE_TILE, v->value[QBUF] = 1;
  v->value[SPLITS] = splits_of(v, p, device);
  if (v->value[SPLITS] > 1) v->value[SCHED] = ONE_TILE;
  if (smem_bytes(v, p) > device->smem_per_block) v->value[QBUF] = 1; /* biases of 4 bytes take what is left */
}

/* Query heads whose keys and values fill the L2 cache; a power of two, so that sections are alike. */
static int section_heads(const fl4__problem *p, int pack)
{
  const int64_t head_bytes = 2 * p->Sk * row_bytes(p->D), shared_by = p->Hq / p->Hkv / pack;
  int64_t heads = 1;
  while (2 * heads <= grid_heads(p, pack) && 2 * heads * head_bytes <= SECTION_BYTES * shared_by) heads *= 2;
  return p->mask == FL4_MASK_CAUSAL ? (int)heads : 1;
}

/* Keys that are copied at a time: of pages as many as a page and a tile have in common. */
static int rows_of_copy(const fl4__variant *v, const fl4__problem *p)
{
  const int bn = v->value[BN];
  return p->features & FL4__FEATURE_PAGED ? (int)fl4__min64(bn & -bn, p->page_size) : bn;
}

static void geometry(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *device, fl4__geometry *g)
{
  const int groups = v->value[GROUPS], splits = v->value[SPLITS], sched = splits > 1 ? ONE_TILE : v->value[SCHED];
  g->blocks = tiles(v, p) * splits;
  if (sched != ONE_TILE) g->blocks = fl4__min64(g->blocks, device->multiprocessors);
  g->threads = 128 * (groups + 1);
  g->smem_bytes = smem_bytes(v, p);
  g->row_tiles = (int)row_tiles(p, groups, v->value[PACK]);
  g->section_heads = section_heads(p, v->value[PACK]);
  g->tma_heads = v->value[PACK];
  g->tile_rows = groups * GROUP_ROWS, g->tile_keys = v->value[BN];
  g->tma_rows[0] = GROUP_ROWS, g->tma_rows[1] = g->tma_rows[2] = rows_of_copy(v, p);
  g->workspace_bytes = sched == BY_TICKET ? FL4_TICKET_BYTES : 0;
  if (splits > 1) g->workspace_bytes = FL4_TICKET_BYTES + (size_t)(g->blocks * groups * 4) * (size_t)partial_bytes(p);
}

/*
 * - A block with one row tile has one query tile and takes no second one, however tiles are dealt out.
 *   Its ring is never refilled if it holds all key tiles: the smallest such ring is any of them.
 * - One group has nobody to take turns with.
 * - Blocks that share keys have one row tile.
 * None of these needs more than what it stands for.
 */
static void canonical(fl4__variant *v, const fl4__problem *p, const fl4_device_info *device)
{
  if (v->value[GROUPS] == 1) v->value[PINGPONG] = 0;
  if (tiles(v, p) <= device->multiprocessors || v->value[SPLITS] > 1) v->value[SCHED] = ONE_TILE;
  if (v->value[SCHED] != ONE_TILE) return;
  v->value[QBUF] = 1;
  v->value[STAGES] = fl4__least(&params[STAGES], v->value[STAGES], fl4__ceil_div(p->Sk, v->value[BN]));
}

const fl4__family fl4__family_fwd_wgmma = {
    .name = "fwd_wgmma",
    .device = FL4_DEVICE_CUDA,
    .source = "fwd_wgmma.cu",
    .entry = "fl4_fwd_wgmma",
    .params = params,
    .n_params = N_PARAMS,
    .refuse = refuse,
    .choose = choose,
    .geometry = geometry,
    .canonical = canonical,
    .takes_lists = true,
    .launch_registers = launch_registers,
};
