/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels beside attention on the CPU; `params` as in kernels/fl4_aux.h. Results do not depend on `threads`. */
#ifndef FL4_HOST_AUX_KERNELS_H
#define FL4_HOST_AUX_KERNELS_H

void fl4__host_merge_states(const void *params, int threads);
void fl4__host_kv_append(const void *params, int threads);

#endif
