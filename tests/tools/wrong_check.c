/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a command that finds things wrong: linked into fl4 with -Wl,--wrap=fl4_check, it spoils the
 * results of problems with certain numbers of queries, so that every kind of row can be seen.
 */
#include <math.h>

#include <flashl4/flashl4.h>

fl4_status __real_fl4_check(fl4_context *ctx, const fl4_problem *problem, const fl4_check_options *options,
                            fl4_check_result *result);
fl4_status __wrap_fl4_check(fl4_context *ctx, const fl4_problem *problem, const fl4_check_options *options,
                            fl4_check_result *result);

fl4_status __wrap_fl4_check(fl4_context *ctx, const fl4_problem *problem, const fl4_check_options *options,
                            fl4_check_result *result)
{
  fl4_status status = __real_fl4_check(ctx, problem, options, result);
  switch (problem->Sq) {
  case 101: /* wrong numbers */
    result->passed = result->accurate = 0;
    result->max_error = 0.5, result->worst_out = 1.5, result->worst_ref = 1;
    result->worst[0] = 0, result->worst[1] = 1, result->worst[2] = 17, result->worst[3] = 3;
    break;
  case 102: /* NaN in the output */
    result->passed = result->accurate = result->finite = 0;
    result->max_error = result->mean_error = result->correlation = NAN;
    result->worst_out = INFINITY;
    break;
  case 103: result->passed = result->canaries = 0; break;
  case 104: result->passed = result->deterministic = 0; break;
  case 105:
    result->passed = result->lse_accurate = 0;
    result->lse_error = 3;
    break;
  case 111: return FL4_UNSUPPORTED;
  case 112: return FL4_DEVICE_ERROR;
  case 113: return FL4_OUT_OF_MEMORY;
  case 114: return FL4_INVARIANT_VIOLATED;
  default: break;
  }
  return status;
}
