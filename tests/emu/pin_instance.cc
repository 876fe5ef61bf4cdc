// SPDX-License-Identifier: Apache-2.0
//
// pin.cu for the emulator; built once for each dtype: FL4_BF16 is 0 or 1, PIN_RUN the function's name.
#include "ptx.h"

#include "fl4_abi.h"

namespace {
#include "pin.cu"
}

void PIN_RUN(const fl4_fwd_params &params);

void PIN_RUN(const fl4_fwd_params &params)
{
  fl4_pin(params);
}
