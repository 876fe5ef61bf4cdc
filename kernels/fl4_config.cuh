// SPDX-License-Identifier: Apache-2.0
//
// What a kernel is compiled for. Every -D option is named and checked here, and nowhere else; all
// sizes that follow from them are computed here.
#ifndef FL4_CONFIG_CUH
#define FL4_CONFIG_CUH

// The problem.
#ifndef FL4_D
#error "FL4_D: head dimension, a multiple of 8 from 8 to 256"
#endif
#ifndef FL4_BF16
#define FL4_BF16 0  // 1: bf16, 0: fp16
#endif
#ifndef FL4_CAUSAL
#define FL4_CAUSAL 0  // 1: key j is seen by query i if j <= i + Sk - Sq
#endif
#ifndef FL4_ALIGNED
#define FL4_ALIGNED 1  // 1: all rows start at multiples of 16 bytes; 0: element-wise loads and stores
#endif
#ifndef FL4_DEBUG
#define FL4_DEBUG 0  // 1: invariants are checked and the first violation is recorded
#endif

// The variant.
#ifndef FL4_BM
#define FL4_BM 64  // query rows of a block
#endif
#ifndef FL4_BN
#define FL4_BN 64  // keys of a tile
#endif
#ifndef FL4_WARPS
#define FL4_WARPS 4  // warps of a block; they share the query rows
#endif
#ifndef FL4_STAGES
#define FL4_STAGES 2  // key/value tiles in shared memory at a time
#endif
#ifndef FL4_QREG
#define FL4_QREG 0  // 1: Q stays in registers, and its shared memory is reused
#endif
#ifndef FL4_CTAS
#define FL4_CTAS 1  // blocks that must fit a multiprocessor: bounds the registers
#endif

constexpr bool CAUSAL = FL4_CAUSAL, ALIGNED = FL4_ALIGNED, DEBUG = FL4_DEBUG, Q_IN_REGISTERS = FL4_QREG;
constexpr int D = FL4_D, BM = FL4_BM, BN = FL4_BN, WARPS = FL4_WARPS, STAGES = FL4_STAGES, CTAS = FL4_CTAS;
constexpr int THREADS = 32 * WARPS;

// The tile is as wide as the matrix instructions need: D up to a multiple of 16, the rest zero.
constexpr int DP = (D + 15) / 16 * 16;

// Fragments: M16 row blocks of 16 a warp; N8, N16 key blocks; D8, D16 blocks of the head dimension.
constexpr int WARP_ROWS = BM / WARPS, M16 = WARP_ROWS / 16;
constexpr int N8 = BN / 8, N16 = BN / 16, D8 = DP / 8, D16 = DP / 16;

// Shared memory: a ring of stages, a K and a V tile each, then Q. With Q in registers, Q lies in the
// last stage, which the ring does not fill before Q has been read.
constexpr int ROW_BYTES = DP * 2, TILE_BYTES = BN * ROW_BYTES, STAGE_BYTES = 2 * TILE_BYTES;
constexpr int Q_OFFSET = (Q_IN_REGISTERS ? STAGES - 1 : STAGES) * STAGE_BYTES;
constexpr int Q_END = Q_OFFSET + BM * ROW_BYTES, RING_END = STAGES * STAGE_BYTES;
constexpr int SMEM_BYTES = Q_END > RING_END ? Q_END : RING_END;  // what the host must give the block

static_assert(D >= 8 && D <= 256 && D % 8 == 0, "FL4_D: multiple of 8 from 8 to 256");
static_assert(WARPS >= 1 && WARPS <= 16, "FL4_WARPS: 1 to 16");
static_assert(BM % (16 * WARPS) == 0 && M16 >= 1 && M16 <= 2, "FL4_BM: 16 or 32 rows a warp");
static_assert(BN % 16 == 0 && BN >= 16 && BN <= 256, "FL4_BN: multiple of 16 from 16 to 256");
static_assert(STAGES >= 2 && STAGES <= 8, "FL4_STAGES: 2 to 8");
static_assert(CTAS >= 1 && CTAS <= 16, "FL4_CTAS: 1 to 16");
#ifdef FL4_EXPECT_SMEM  // the tests': what the host computes for the same variant
static_assert(SMEM_BYTES == FL4_EXPECT_SMEM, "FL4_EXPECT_SMEM: the host's size of the shared memory is another");
#endif

#endif
