/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file flashl4.h
 * @brief Umbrella header of libflashl4: attention forward as a plain C library.
 *
 * ```c
 * fl4_context *ctx;
 * fl4_context_create(&ctx, NULL);
 * fl4_attention_args args = FL4_ATTENTION_ARGS_INIT;
 * args.dtype = FL4_DTYPE_BF16, args.mask = FL4_MASK_CAUSAL;
 * args.B = 4, args.Hq = 32, args.Hkv = 8, args.Sq = 4096, args.Sk = 4096, args.D = 128;
 * args.q = q, args.k = k, args.v = v, args.o = o;
 * if (fl4_attention_forward(ctx, &args, stream) != FL4_OK) puts(fl4_last_error());
 * fl4_context_destroy(&ctx);
 * ```
 *
 * Letters used everywhere: B batch, Hq and Hkv query and key/value heads, Sq and Sk query and key
 * sequence lengths, D head dimension.
 *
 * Structs start with `struct_size` and are made by their `FL4_…_INIT`, in which zero means default.
 * The library reads no more than `struct_size` bytes, so a program keeps working with a newer
 * library, and an older library refuses a field that it does not know if it is not zero.
 */
#ifndef FLASHL4_H
#define FLASHL4_H

#include <flashl4/attention.h>
#include <flashl4/bench.h>
#include <flashl4/check.h>
#include <flashl4/context.h>
#include <flashl4/export.h>
#include <flashl4/kv_cache.h>
#include <flashl4/merge.h>
#include <flashl4/oracle.h>
#include <flashl4/problem.h>
#include <flashl4/shapes.h>
#include <flashl4/stats.h>
#include <flashl4/status.h>
#include <flashl4/tune.h>
#include <flashl4/version.h>
#include <flashl4/wisdom.h>

#endif /* FLASHL4_H */
