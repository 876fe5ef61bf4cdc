/* SPDX-License-Identifier: Apache-2.0 */
/* The variants of a family that can run a problem on a device, as a search space. */
#ifndef FL4_TUNE_FAMILY_SPACE_H
#define FL4_TUNE_FAMILY_SPACE_H

#include <flashl4/tune.h>

#include "tune/space.h"
#include "variant.h"

typedef struct fl4__family_space {
  const fl4__family *family;
  fl4__problem problem;
  fl4_device_info device;
  fl4__space space; /* an axis a parameter; points are canonical variants */
  fl4_tune_space_info info;
} fl4__family_space;

/* The built-in choice of a family, NULL: of the first that can. With the reason if there is none. */
fl4_status fl4__tune_choice(const char *family, const fl4__problem *problem, const fl4_device_info *device,
                            fl4__variant *choice);

/* close() also after a failed open. */
fl4_status fl4__family_space_open(const fl4__family *family, const fl4__problem *problem, const fl4_device_info *device,
                                  fl4__family_space *space);
void fl4__family_space_close(fl4__family_space *space);

void fl4__family_space_variant(const fl4__family_space *space, int64_t point, fl4__variant *variant);
/* The point that does what a variant does; -1: it cannot run, or has gaps. */
int64_t fl4__family_space_find(const fl4__family_space *space, const fl4__variant *variant);

#endif
