/* SPDX-License-Identifier: Apache-2.0 */
/* The context: one device, and what the caller asked for. */
#ifndef FL4_CONTEXT_H
#define FL4_CONTEXT_H

#include "device.h"

struct fl4_context {
  fl4__device *device;
  fl4__log log;
  fl4__variant forced; /* family NULL: none */
  struct fl4__wisdom *wisdom;
  struct fl4__capture *capture; /* NULL: problems are not recorded */
  char *cache_dir, *kernel_dir;
};

#endif
