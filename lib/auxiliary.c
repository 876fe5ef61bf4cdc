/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels beside attention share on their way to a device. */
#include "auxiliary.h"

#include <stdio.h>

#include "error.h"

int fl4__aux_options(const fl4__aux_build *build, char options[FL4__AUX_OPTIONS][FL4__OPTION_TEXT])
{
  int n = 0;
  for (; n < FL4__AUX_OPTIONS && build->kernel->option[n]; n++)
    snprintf(options[n], FL4__OPTION_TEXT, "-D%s=%d", build->kernel->option[n], build->value[n]);
  return n;
}

fl4_status fl4__aux_not_prepared(const fl4__aux *aux)
{
  return fl4__fail(FL4_NOT_PREPARED,
                   "%s: stream: is being captured, and the kernel of this call is not ready; call %s_prepare() before "
                   "the capture",
                   aux->function, aux->function);
}

int fl4__aux_lanes_log2(int64_t D)
{
  int log2 = 0;
  while ((INT64_C(8) << log2) < D) log2++;
  return log2;
}

int64_t fl4__aux_blocks(const fl4__device *device, double rows, int lanes_log2)
{
  const double blocks_of_work = rows / (FL4_AUX_THREADS >> lanes_log2);
  const int64_t at_a_time = INT64_C(8) * device->info.multiprocessors; /* 2048 threads of a multiprocessor */
  return blocks_of_work >= (double)at_a_time ? at_a_time : (int64_t)blocks_of_work + 1;
}
