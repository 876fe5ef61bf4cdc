/* SPDX-License-Identifier: Apache-2.0 */
/* All families. To add one: its kernel, its file here, one line below. */
#include "families.h"

#include <stddef.h>

const fl4__family *const fl4__families[] = {
    &fl4__family_fwd_mma,
    &fl4__family_host,
    NULL,
};
