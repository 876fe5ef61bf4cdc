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
#ifndef FL4_DEBUG
#define FL4_DEBUG 0  // 1: invariants are checked and the first violation is recorded
#endif

constexpr bool CAUSAL = FL4_CAUSAL, ALIGNED = FL4_ALIGNED, DEBUG = FL4_DEBUG, LSE = FL4_LSE;
constexpr int D = FL4_D;

static_assert(D >= 8 && D <= 256 && D % 8 == 0, "FL4_D: multiple of 8 from 8 to 256");

#endif
