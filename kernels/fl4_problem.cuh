// SPDX-License-Identifier: Apache-2.0
//
// What the forward kernels are compiled for, whatever the family: the part of the problem that is fixed then.
// Every -D option is named and checked here; those of a variant in its family's own file.
#ifndef FL4_PROBLEM_CUH
#define FL4_PROBLEM_CUH

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
#ifndef FL4_LSE
#define FL4_LSE 1  // 1: the caller may ask for the log-sum-exp
#endif
// What dense attention does not need; see fl4_attention_args.
#ifndef FL4_WINDOW
#define FL4_WINDOW 0  // 1: keys are seen by their distance from the diagonal; then FL4_CAUSAL is 0
#endif
#ifndef FL4_SOFTCAP
#define FL4_SOFTCAP 0
#endif
#ifndef FL4_ALIBI
#define FL4_ALIBI 0
#endif
#ifndef FL4_SINKS
#define FL4_SINKS 0
#endif
#ifndef FL4_BIAS
#define FL4_BIAS 0  // 1: fp16, 2: bf16, 3: fp32, 4: bytes
#endif
#ifndef FL4_SKIP
#define FL4_SKIP 0  // 1: key tiles are taken from lists, which leave out those that a mask of bytes hides
#endif
#ifndef FL4_RAGGED_Q
#define FL4_RAGGED_Q 0
#endif
#ifndef FL4_RAGGED_K
#define FL4_RAGGED_K 0
#endif
#ifndef FL4_USED_K
#define FL4_USED_K 0
#endif
#ifndef FL4_PAGED
#define FL4_PAGED 0
#endif
#ifndef FL4_DEBUG
#define FL4_DEBUG 0  // 1: invariants are checked and the first violation is recorded
#endif

constexpr bool CAUSAL = FL4_CAUSAL, ALIGNED = FL4_ALIGNED, DEBUG = FL4_DEBUG, LSE = FL4_LSE;
constexpr int D = FL4_D, BIAS = FL4_BIAS, BIAS_BYTES = BIAS == 4 ? 1 : BIAS == 3 ? 4 : 2;
constexpr bool WINDOW = FL4_WINDOW, SOFTCAP = FL4_SOFTCAP, ALIBI = FL4_ALIBI, SINKS = FL4_SINKS;
constexpr bool RAGGED_Q = FL4_RAGGED_Q, RAGGED_K = FL4_RAGGED_K, USED_K = FL4_USED_K, PAGED = FL4_PAGED;
constexpr bool SKIP = FL4_SKIP;
constexpr bool LENGTHS = RAGGED_Q || RAGGED_K || USED_K;  // sequences have lengths of their own

static_assert(D >= 8 && D <= 256 && D % 8 == 0, "FL4_D: multiple of 8 from 8 to 256");
static_assert(!(CAUSAL && WINDOW), "FL4_WINDOW: says all, so FL4_CAUSAL must be 0");
static_assert(BIAS >= 0 && BIAS <= 4, "FL4_BIAS: 0 to 4");
static_assert(!SKIP || BIAS == 4, "FL4_SKIP: what is skipped is told by a mask of bytes");
static_assert(!(PAGED && RAGGED_K), "FL4_PAGED: pages have no ragged keys");
static_assert(!(BIAS && (RAGGED_Q || RAGGED_K)), "FL4_BIAS: not with ragged queries or keys");

#endif
