/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor maps: how the bulk copy engine of sm_90 finds the rows of q, k and v. */
#ifndef FL4_TENSOR_MAP_H
#define FL4_TENSOR_MAP_H

#include "variant.h"

/*
 * The parameters of a kernel that takes tensor maps: the maps of what `fwd` describes, and a copy of `fwd`.
 * The rows are aligned (fl4__problem). Asks the driver three times, and the device never. Thread-safe.
 * FL4_DEVICE_ERROR: the driver refuses one; FL4_LIBRARY_MISSING: it is too old to know them.
 */
fl4_status fl4__tensor_maps(const fl4__build *build, const fl4__geometry *geometry, const fl4_fwd_params *fwd,
                            fl4_fwd_tma_params *params);

#endif
