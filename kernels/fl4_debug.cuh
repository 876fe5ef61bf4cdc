// SPDX-License-Identifier: Apache-2.0
//
// Invariants of debug builds. The first violation of a launch is recorded; the library reads the
// record and fails the call. The kernel itself goes on, so that the context survives.
#ifndef FL4_DEBUG_CUH
#define FL4_DEBUG_CUH

#include "fl4_abi.h"
#include "fl4_problem.cuh"
#include "fl4_ptx.cuh"

// `holds` must be true; `value` and `bound` are recorded for the message.
FL4_DEV void invariant(const fl4_fwd_params &p, bool holds, u32 code, float value, float bound)
{
  if (!DEBUG || holds || !p.debug) return;
  char *record = reinterpret_cast<char *>(p.debug);
  if (atomic_cas_global(record, 0, code) != 0) return;
  fl4_debug_record *r = reinterpret_cast<fl4_debug_record *>(record);
  r->block = block_index(), r->thread = thread_index(), r->value = value, r->bound = bound;
}

FL4_DEV bool is_finite(float x) { return x - x == 0.f; }

#endif
