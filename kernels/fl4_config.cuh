// SPDX-License-Identifier: Apache-2.0
//
// What fwd_mma is compiled for. Every -D option of the variant is named and checked here, and nowhere else; all
// sizes that follow from them are computed here.
#ifndef FL4_CONFIG_CUH
#define FL4_CONFIG_CUH

#include "fl4_problem.cuh"

// The variant.
#ifndef FL4_BM
#define FL4_BM 64  // query rows of a block
#endif
#ifndef FL4_BN
#define FL4_BN 64  // keys of a tile
#endif
#ifndef FL4_WARPS
#define FL4_WARPS 4  // warps of a block; those of a key group share the query rows
#endif
#ifndef FL4_STAGES
#define FL4_STAGES 2  // key/value tiles in shared memory at a time
#endif
#ifndef FL4_QREG
#define FL4_QREG 0  // 1: Q stays in registers, and its shared memory is reused
#endif
#ifndef FL4_SLICE
#define FL4_SLICE FL4_BN  // keys whose scores a warp holds at a time
#endif
#ifndef FL4_WEAVE
#define FL4_WEAVE 0  // 1: the scores of the next slice are computed among the exponentials of this one
#endif
#ifndef FL4_KGROUPS
#define FL4_KGROUPS 1  // groups of warps that share the keys of a tile
#endif
#ifndef FL4_SHARE
#define FL4_SHARE 0  // 1: four warps share their rows' weights, and divide keys and columns (mma_share.cuh)
#endif
#ifndef FL4_SPLITS
#define FL4_SPLITS 1  // blocks that share the key tiles of a row tile
#endif
#ifndef FL4_CTAS
#define FL4_CTAS 1  // blocks that must fit a multiprocessor: bounds the registers
#endif

constexpr bool Q_IN_REGISTERS = FL4_QREG, WEAVE = FL4_WEAVE, SHARE = FL4_SHARE;
constexpr int BM = FL4_BM, BN = FL4_BN, WARPS = FL4_WARPS, STAGES = FL4_STAGES, CTAS = FL4_CTAS;
constexpr int SLICE = FL4_SLICE, KGROUPS = SHARE ? 2 : FL4_KGROUPS, SPLITS = FL4_SPLITS;
constexpr int THREADS = 32 * WARPS;

// The tile is as wide as the matrix instructions need: D up to a multiple of 16, the rest zero.
constexpr int DP = (D + 15) / 16 * 16;

// A warp has WARP_ROWS query rows, and of each tile the GROUP_KEYS keys of its key group, which it takes
// in slice by slice. Fragments: M16 row blocks of 16; S8, S16 key blocks of a slice; D8, D16 blocks of the
// head dimension.
constexpr int ROW_WARPS = WARPS / KGROUPS, WARP_ROWS = BM / ROW_WARPS, M16 = WARP_ROWS / 16;
constexpr int GROUP_KEYS = BN / KGROUPS, SLICES = GROUP_KEYS / SLICE;
constexpr int S8 = SLICE / 8, S16 = SLICE / 16, D8 = DP / 8, D16 = DP / 16;

// Weights are rounded to bf16 with an error that the log-sum-exp may not have: it gets a sum of its own.
constexpr bool EXACT_SUM = LSE && FL4_BF16;

// 16-bit constants: two ones, and the largest weight before a row gets a new reference. 32 is far from what fp16 can hold:
// it is so low that a key which dominates its row becomes the reference, whose own weight is 1 and not rounded.
constexpr unsigned PACKED_ONES = FL4_BF16 ? 0x3f803f80u : 0x3c003c00u;
constexpr unsigned WEIGHT_LIMIT_BITS = FL4_BF16 ? 0x4200u : 0x5000u;
constexpr float WEIGHT_LIMIT = 32.f, LOG2_WEIGHT_LIMIT = 5.f;

// Blocks of 16 rows are for short queries, where reading keys takes the time: each slice goes by its true maxima.
constexpr bool ALWAYS_EXACT = BM == 16;

// Whether scores stay until their weights are known to be good; else, where output, Q, scores and weights leave no
// registers for that, they are computed once more from the keys.
constexpr bool KEEP_SCORES = M16 * (DP / 2 + SLICE * 3 / 4 + (Q_IN_REGISTERS ? DP / 4 : 0)) <= 180;

// Shared memory: slots for K tiles but the last, slots for V tiles, the last K slot, Q. With weaving a K tile is
// needed one tile earlier, and one slot more. The last slot of each is not filled before Q has been read: Q that goes to
// registers lies there.
constexpr int ROW_BYTES = DP * 2, TILE_BYTES = BN * ROW_BYTES, Q_BYTES = BM * ROW_BYTES;
constexpr int V_SLOTS = STAGES, K_SLOTS = STAGES + WEAVE, RING_BYTES = (V_SLOTS + K_SLOTS) * TILE_BYTES;
constexpr int Q_OFFSET = Q_IN_REGISTERS ? RING_BYTES - 2 * TILE_BYTES : RING_BYTES;
constexpr int WALK_BYTES = Q_OFFSET + Q_BYTES > RING_BYTES ? Q_OFFSET + Q_BYTES : RING_BYTES;

// Where four warps share rows, behind Q: two tiles of their weights, then for each row two maxima and a factor.
constexpr int TEAM_WARPS = 4, TEAM_ROWS = 64, TEAMS = WARPS / TEAM_WARPS;
constexpr int WEIGHT_ROW_BYTES = BN * 2, WEIGHT_TILE_BYTES = BM * WEIGHT_ROW_BYTES;
constexpr int WEIGHTS_OFFSET = WALK_BYTES, MAXIMA_OFFSET = WEIGHTS_OFFSET + 2 * WEIGHT_TILE_BYTES;
constexpr int FACTORS_OFFSET = MAXIMA_OFFSET + 2 * BM * 4, SHARE_BYTES = FACTORS_OFFSET + BM * 4;

// What a warp hands to another one: its rows' output, sums and maxima, in pieces of 16 bytes a lane.
constexpr int PARTIAL_PIECES = M16 * (D8 + 1 + EXACT_SUM), PARTIAL_BYTES = PARTIAL_PIECES * 32 * 16;
constexpr int MERGE_BYTES = (KGROUPS - 1) * ROW_WARPS * PARTIAL_BYTES;
constexpr int SMEM_BYTES = SHARE ? SHARE_BYTES : MERGE_BYTES > WALK_BYTES ? MERGE_BYTES : WALK_BYTES;  // what the host must give the block

static_assert(WARPS >= 1 && WARPS <= 16, "FL4_WARPS: 1 to 16");
static_assert(KGROUPS >= 1 && WARPS % KGROUPS == 0, "FL4_KGROUPS: divides FL4_WARPS");
static_assert(BM % (16 * ROW_WARPS) == 0 && M16 >= 1 && M16 <= 2, "FL4_BM: 16 or 32 rows a warp");
static_assert(BN % KGROUPS == 0 && BN <= 256, "FL4_BN: multiple of FL4_KGROUPS, up to 256");
static_assert(SLICE % 16 == 0 && SLICE >= 16 && GROUP_KEYS % SLICE == 0, "FL4_SLICE: multiple of 16, divides the keys of a group");
static_assert(!WEAVE || SLICES % 2 == 0, "FL4_WEAVE: an even number of slices");
static_assert(STAGES >= 2 && STAGES <= 8, "FL4_STAGES: 2 to 8");
static_assert(SPLITS >= 1 && SPLITS <= 64, "FL4_SPLITS: 1 to 64");
static_assert(!SHARE || (WARPS % TEAM_WARPS == 0 && M16 == 2 && SLICES == 1 && DP % 64 == 0),
              "FL4_SHARE: teams of four warps, 64 rows each, half the keys a slice, D up to a multiple of 64");
static_assert(!SHARE || (!Q_IN_REGISTERS && !WEAVE && FL4_KGROUPS == 1 && SPLITS == 1), "FL4_SHARE: without the others");
static_assert(CTAS >= 1 && CTAS <= 16, "FL4_CTAS: 1 to 16");
#ifdef FL4_EXPECT_SMEM  // the tests': what the host computes for the same variant
static_assert(SMEM_BYTES == FL4_EXPECT_SMEM, "FL4_EXPECT_SMEM: the host's size of the shared memory is another");
#endif

#endif
