// SPDX-License-Identifier: Apache-2.0
//
// What decode_mma is compiled for. Every -D option of the variant is named and checked here, and nowhere else; all
// sizes that follow from them are computed here.
#ifndef DECODE_CONFIG_CUH
#define DECODE_CONFIG_CUH

#include "fl4_problem.cuh"

#ifndef FL4_WARPS
#define FL4_WARPS 4  // warps of a block, each with keys of its own
#endif
#ifndef FL4_STAGES
#define FL4_STAGES 3  // steps of a warp whose keys and values are in shared memory, or on their way there
#endif
#ifndef FL4_KEYS
#define FL4_KEYS 16  // keys that a warp takes in a step
#endif
#ifndef FL4_ROWS
#define FL4_ROWS 8  // query rows of a block
#endif
#ifndef FL4_SPLITS
#define FL4_SPLITS 0  // blocks that share the keys of a row at most; 0: any number
#endif
#ifndef FL4_HINT
#define FL4_HINT 0  // 1: keys and values are the first to leave the L2 cache
#endif

constexpr int WARPS = FL4_WARPS, STAGES = FL4_STAGES, KEYS = FL4_KEYS, ROWS = FL4_ROWS, THREADS = 32 * WARPS;
constexpr bool SHARED_ROWS = FL4_SPLITS != 1, HINT = FL4_HINT;

// A step of all warps is a tile. Fragments: K16 blocks of 16 keys of a step, R8 blocks of 8 rows, D16 blocks of 16 columns.
constexpr int TILE = WARPS * KEYS, K16 = KEYS / 16, R8 = ROWS / 8, DP = D, D16 = D / 16;

// Q of few rows stays in registers; else it is read from shared memory for each step.
constexpr bool Q_IN_REGISTERS = ROWS == 8;

// Pages have 8 keys or more, and keys are counted from a multiple of 16: those of a granule lie in one page. A lane knows
// the page of one granule, so that a warp knows those of so many steps.
constexpr int GRANULE = 8, GRANULES = KEYS / GRANULE, PAGED_STEPS = 32 / GRANULES;

// What is known of a row after some of its keys: its output, then its state, a chunk of 16 bytes. Rows are so far apart
// that what the lanes have of four of them lies in different banks; in global memory, that they begin with a sector.
constexpr int PARTIAL_ROW_BYTES = D * 4 + 16, GLOBAL_ROW_BYTES = D * 4 + 32, PART_BYTES = ROWS * GLOBAL_ROW_BYTES;

// Shared memory: of each warp the ring, in whose place its rows lie in the end; then Q.
constexpr int ROW_BYTES = D * 2, STEP_BYTES = KEYS * ROW_BYTES, SLOT_BYTES = 2 * STEP_BYTES;
constexpr int RING_BYTES = STAGES * SLOT_BYTES, PARTIAL_BYTES = ROWS * PARTIAL_ROW_BYTES;
constexpr int WARP_BYTES = RING_BYTES > PARTIAL_BYTES ? RING_BYTES : PARTIAL_BYTES;
constexpr int Q_OFFSET = WARPS * WARP_BYTES, Q_BYTES = ROWS * ROW_BYTES;
constexpr int SMEM_BYTES = Q_OFFSET + Q_BYTES;  // what the host must give the block

static_assert(D % 16 == 0, "FL4_D: multiple of 16");
static_assert(ALIGNED, "FL4_ALIGNED: rows start at multiples of 16 bytes");
static_assert(!BIAS, "FL4_BIAS: there is none here");
static_assert(WARPS == 1 || WARPS == 2 || WARPS == 4 || WARPS == 8, "FL4_WARPS: 1, 2, 4 or 8");
static_assert(STAGES >= 1 && STAGES <= 8, "FL4_STAGES: 1 to 8");
static_assert(KEYS == 16 || KEYS == 32, "FL4_KEYS: 16 or 32");
static_assert(ROWS == 8 || ROWS == 16 || ROWS == 32, "FL4_ROWS: 8, 16 or 32");
#ifdef FL4_EXPECT_SMEM  // the tests': what the host computes for the same variant
static_assert(SMEM_BYTES == FL4_EXPECT_SMEM, "FL4_EXPECT_SMEM: the host's size of the shared memory is another");
#endif

#endif
