/* SPDX-License-Identifier: Apache-2.0 */
/* The families that there are; each stands in its own file of this folder. */
#ifndef FL4_FAMILIES_H
#define FL4_FAMILIES_H

#include "variant.h"

extern const fl4__family fl4__family_fwd_mma;
extern const fl4__family fl4__family_host;

#endif
