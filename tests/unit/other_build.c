/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds of the library that a benchmark must see through. Each is libflashl4 but for one function,
 * which the loader finds here first: OTHER_WRONG spoils an element of every output, OTHER_LATE_WRONG
 * does so after some calls, OTHER_LAZY does nothing after some calls, OTHER_SLOW does everything twice.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

#include <flashl4/flashl4.h>

static fl4_status real_forward(fl4_context *ctx, const fl4_attention_args *args, fl4_stream stream)
{
  fl4_status (*forward)(fl4_context *, const fl4_attention_args *, fl4_stream);
  void *address = dlsym(RTLD_NEXT, "fl4_attention_forward");
  if (!address) return FL4_INTERNAL;
  memcpy(&forward, &address, sizeof forward);
  fl4_status status = fl4_attention_prepare(ctx, args); /* the rest of the library is not here */
  return status == FL4_OK ? forward(ctx, args, stream) : status;
}

#ifdef OTHER_SLOW
fl4_status fl4_attention_forward(fl4_context *ctx, const fl4_attention_args *args, fl4_stream stream)
{
  const fl4_status status = real_forward(ctx, args, stream);
  return status == FL4_OK ? real_forward(ctx, args, stream) : status;
}
#else
enum {
#ifdef OTHER_WRONG
  RIGHT_CALLS = 0,
#else
  RIGHT_CALLS = 3,
#endif
};

fl4_status fl4_attention_forward(fl4_context *ctx, const fl4_attention_args *args, fl4_stream stream)
{
  static int calls;
  const bool right = ++calls <= RIGHT_CALLS;
#ifdef OTHER_LAZY
  if (!right) return FL4_OK;
#endif
  const fl4_status status = real_forward(ctx, args, stream);
  if (status == FL4_OK && !right) memset(args->o, 0x40, args->dtype == FL4_DTYPE_FP32 ? 4 : 2);
  return status;
}
#endif
