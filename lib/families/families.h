/* SPDX-License-Identifier: Apache-2.0 */
/* The families that there are; each stands in its own file of this folder. */
#ifndef FL4_FAMILIES_H
#define FL4_FAMILIES_H

#include "variant.h"

extern const fl4__family fl4__family_decode_mma;
extern const fl4__family fl4__family_fwd_mma;
extern const fl4__family fl4__family_fwd_wgmma;
extern const fl4__family fl4__family_host;

/* What refuse() returns: the sentence in `why`, or, without one, its format, which is the same for all of its kind. */
__attribute__((format(printf, 2, 3))) const char *fl4__because(char *why, const char *format, ...);

/* The least value of a parameter that is enough, if `value` is; else `value`. For canonical(). */
int32_t fl4__least(const fl4__param *param, int32_t value, int64_t enough);

#endif
