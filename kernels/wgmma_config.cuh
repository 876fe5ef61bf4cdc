// SPDX-License-Identifier: Apache-2.0
//
// What fwd_wgmma is compiled for. Every -D option of the variant is named and checked here, and nowhere else; all
// sizes that follow from them are computed here.
#ifndef WGMMA_CONFIG_CUH
#define WGMMA_CONFIG_CUH

#include "fl4_problem.cuh"

#ifndef FL4_GROUPS
#define FL4_GROUPS 2  // warpgroups that compute, 64 query rows each
#endif
#ifndef FL4_BN
#define FL4_BN 128  // keys of a tile
#endif
#ifndef FL4_STAGES
#define FL4_STAGES 2  // key tiles, and value tiles, in shared memory at a time
#endif
#ifndef FL4_QBUF
#define FL4_QBUF 2  // query tiles in shared memory at a time
#endif
#ifndef FL4_PINGPONG
#define FL4_PINGPONG 1  // 1: the groups take turns at the matrix pipe
#endif
#ifndef FL4_SCHED
#define FL4_SCHED 1  // row tiles of a block: 0 one, 1 every n-th, 2 whichever is next when it is ready
#endif

#ifndef FL4_SPLITS
#define FL4_SPLITS 1  // blocks that share the keys of a row tile; several have one tile each
#endif

#ifndef FL4_PACK
#define FL4_PACK 1  // query heads of a key head whose rows lie side by side in a row tile
#endif

// Not in a debug build: groups that have given up waiting at different places would wait for each other's turns.
constexpr bool PINGPONG = FL4_PINGPONG && FL4_GROUPS > 1 && !FL4_DEBUG;
constexpr int GROUPS = FL4_GROUPS, BN = FL4_BN, STAGES = FL4_STAGES, QBUF = FL4_QBUF;
enum { ONE_TILE, IN_TURN, BY_TICKET };
constexpr int PACK = FL4_PACK, SPLITS = FL4_SPLITS, SCHED = SPLITS > 1 ? ONE_TILE : FL4_SCHED;

// A group of threads more than those that compute is the producer, which copies. Registers are dealt out anew at
// the start: it needs few, but more where it looks up pages or lists of tiles.
constexpr int GROUP_ROWS = 64, BM = GROUPS * GROUP_ROWS, PRODUCER = GROUPS, THREADS = 128 * (GROUPS + 1);
constexpr int LOOKS_UP = PAGED + SKIP;  // how many of these
constexpr int CONSUMER_REGISTERS = (GROUPS == 1 ? 240 : GROUPS == 2 ? 232 : GROUPS == 3 ? 160 : 112) - 8 * LOOKS_UP;
constexpr int PRODUCER_REGISTERS = (GROUPS <= 2 ? 40 : 32) + 8 * LOOKS_UP * GROUPS;

// Rows lie in pages of 64 columns; columns beyond D are 0. D16: blocks of 16 columns that a product is summed over.
constexpr int PAGES = (D + 63) / 64, D16 = (D + 15) / 16;
constexpr int Q_PAGE = GROUP_ROWS * 128, KV_PAGE = BN * 128;
constexpr int Q_BYTES = PAGES * Q_PAGE, TILE_BYTES = PAGES * KV_PAGE;

// Shared memory: query tiles, keys, values, biases, barriers.
constexpr int K_OFFSET = QBUF * GROUPS * Q_BYTES, V_OFFSET = K_OFFSET + STAGES * TILE_BYTES;
constexpr int BIAS_OFFSET = V_OFFSET + STAGES * TILE_BYTES, BARRIER_BYTES = 1024, MOST_SMEM = 227 * 1024;

// Biases of a group's rows and a key tile lie in pages of 128 bytes a row. Where there is room for two such tiles, the next biases
// are on their way while some are read.
constexpr int BIAS_PAGE = GROUP_ROWS * 128, BIAS_PAGES = (BN * BIAS_BYTES + 127) / 128;
constexpr int BIAS_TILE = BIAS ? BIAS_PAGES * BIAS_PAGE : 0;
constexpr int BIAS_SLOTS = BIAS_OFFSET + 2 * GROUPS * BIAS_TILE + BARRIER_BYTES <= MOST_SMEM ? 2 : 1;
constexpr int BARRIER_OFFSET = BIAS_OFFSET + BIAS_SLOTS * GROUPS * BIAS_TILE;
constexpr int SMEM_BYTES = BARRIER_OFFSET + BARRIER_BYTES;  // what the host must give the block

// The largest sum of the weights that a lane has of a row and a key tile before the row gets a new reference. A tile of
// weights that are all 1 is within it.
constexpr float SUM_LIMIT = BN > 128 ? BN / 4 : 32;

// How far, as a power of two, references lag behind where scores rise; and how many keys are too few for their maximum to
// be a good reference.
constexpr float RISING_SLACK = 4.f;
constexpr int FEW = 32;

static_assert(GROUPS >= 1 && GROUPS <= 4, "FL4_GROUPS: 1 to 4");
static_assert(BN % 16 == 0 && BN >= 16 && BN <= 256, "FL4_BN: multiple of 16 up to 256");
static_assert(STAGES >= 2 && STAGES <= 8, "FL4_STAGES: 2 to 8");
static_assert(QBUF >= 1 && QBUF <= 2, "FL4_QBUF: 1 or 2");
static_assert(FL4_SCHED >= 0 && FL4_SCHED <= 2, "FL4_SCHED: 0 to 2");
static_assert(PACK >= 1 && GROUP_ROWS % PACK == 0, "FL4_PACK: power of two up to 64");
static_assert(PACK == 1 || !(ALIBI || BIAS || RAGGED_Q), "FL4_PACK: rows of several heads have neither slopes, biases nor ragged queries");
static_assert(SPLITS >= 1 && SPLITS <= 64, "FL4_SPLITS: 1 to 64");
static_assert(FL4_ALIGNED, "FL4_ALIGNED: the copy engine takes rows that start at multiples of 16 bytes");
#ifdef FL4_EXPECT_SMEM  // the tests': what the host computes for the same variant
static_assert(SMEM_BYTES == FL4_EXPECT_SMEM, "FL4_EXPECT_SMEM: the host's size of the shared memory is another");
#endif

#endif
