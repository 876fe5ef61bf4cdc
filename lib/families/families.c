/* SPDX-License-Identifier: Apache-2.0 */
/* All families. To add one: its kernel, its file here, one line below. */
#include "families.h"

#include <stdarg.h>
#include <stdio.h>

const fl4__family *const fl4__families[] = {
    &fl4__family_decode_mma, &fl4__family_fwd_wgmma, &fl4__family_fwd_mma, &fl4__family_host, NULL,
};

const char *fl4__because(char *why, const char *format, ...)
{
  if (!why) return format;
  va_list ap;
  va_start(ap, format);
  vsnprintf(why, 160, format, ap);
  va_end(ap);
  return why;
}

int32_t fl4__least(const fl4__param *param, int32_t value, int64_t enough)
{
  for (int i = 0; i < param->n_values; i++)
    if (param->values[i] >= enough && param->values[i] < value) return param->values[i];
  return value;
}
