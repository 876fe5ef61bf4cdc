/* SPDX-License-Identifier: Apache-2.0 */
/* A problem's data on a device: inputs in one or several sets, outputs, and the calls that join them. */
#include "oracle/trial.h"

#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "error.h"

/* At least one byte, so that NULL always means that there was no memory. */
static fl4_status allocate(void **memory, size_t bytes)
{
  *memory = malloc(bytes ? bytes : 1);
  return *memory ? FL4_OK : fl4__fail(FL4_OUT_OF_MEMORY, "no memory for %zu bytes of a problem's data", bytes);
}

/* ---------------------------------------------------------------- inputs */

fl4_status fl4__trial_open(fl4__trial *trial, fl4_context *ctx, const fl4_problem *problem, uint64_t seed,
                           fl4_inputs inputs, int copies)
{
  fl4__device *device = ctx->device;
  memset(trial, 0, sizeof *trial);
  trial->ctx = ctx, trial->problem = *problem, trial->seed = seed, trial->inputs = inputs;
  trial->element = fl4__dtype_size(problem->dtype);
  FL4_TRY(fl4__place(problem, &trial->placement));
  trial->input_bytes = (size_t)trial->placement.input_elements * (size_t)trial->element;
  trial->output_bytes = (size_t)trial->placement.output_elements * (size_t)trial->element;
  trial->lse_bytes = (size_t)trial->placement.lse_elements * sizeof(float);
  FL4_TRY(allocate((void **)&trial->input, trial->input_bytes));
  FL4_TRY(allocate((void **)&trial->output, trial->output_bytes));
  FL4_TRY(allocate((void **)&trial->lse, trial->lse_bytes));
  FL4_TRY(allocate((void **)&trial->d_input, sizeof *trial->d_input));
  FL4_TRY(device->backend->alloc(device, trial->input_bytes, &trial->d_input[0]));
  trial->copies = 1;
  fl4__inputs_fill(problem, &trial->placement, seed, inputs, trial->input);
  const fl4_attention_args here = fl4__trial_host_args(trial);
  FL4_TRY(fl4__problem_from_args(&here, FL4__NEED_SHAPE, &trial->call, &trial->params));
  FL4_TRY(device->backend->upload(device, trial->d_input[0], trial->input, trial->input_bytes));
  return fl4__trial_set_copies(trial, copies);
}

fl4_status fl4__trial_set_copies(fl4__trial *trial, int copies)
{
  fl4__device *device = trial->ctx->device;
  while (trial->copies > copies) device->backend->release(device, trial->d_input[--trial->copies]);
  if (copies == trial->copies) return FL4_OK;

  void **grown = realloc(trial->d_input, (size_t)copies * sizeof *grown);
  if (!grown) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for %d sets of a problem's data", copies);
  trial->d_input = grown;
  while (trial->copies < copies) {
    void *memory;
    const fl4_status status = device->backend->alloc(device, trial->input_bytes, &memory);
    if (status == FL4_OUT_OF_MEMORY) break; /* what there is must do */
    FL4_TRY(status);
    trial->d_input[trial->copies++] = memory;
    FL4_TRY(device->backend->copy(device, memory, trial->d_input[0], trial->input_bytes));
  }
  return FL4_OK;
}

void fl4__trial_close(fl4__trial *trial)
{
  if (!trial->ctx) return;
  fl4__device *device = trial->ctx->device;
  for (int i = 0; i < trial->copies; i++) device->backend->release(device, trial->d_input[i]);
  free(trial->d_input);
  free(trial->input);
  free(trial->output);
  free(trial->lse);
  memset(trial, 0, sizeof *trial);
}

/* ---------------------------------------------------------------- outputs */

fl4_status fl4__output_open(const fl4__trial *trial, fl4__output *output)
{
  fl4__device *device = trial->ctx->device;
  *output = (fl4__output){0};
  fl4_status status;
  FL4_TRY_GOTO(device->backend->alloc(device, trial->output_bytes, &output->o));
  FL4_TRY_GOTO(device->backend->alloc(device, trial->lse_bytes, &output->lse));
  return FL4_OK;
done:
  fl4__output_close(trial, output);
  return status;
}

void fl4__output_close(const fl4__trial *trial, fl4__output *output)
{
  fl4__device *device = trial->ctx->device;
  device->backend->release(device, output->o);
  device->backend->release(device, output->lse);
  *output = (fl4__output){0};
}

fl4_status fl4__output_poison(const fl4__trial *trial, const fl4__output *output)
{
  fl4__device *device = trial->ctx->device;
  fl4__canary_fill(trial->output, trial->output_bytes);
  fl4__canary_fill(trial->lse, trial->lse_bytes);
  FL4_TRY(device->backend->upload(device, output->o, trial->output, trial->output_bytes));
  FL4_TRY(device->backend->upload(device, output->lse, trial->lse, trial->lse_bytes));
  return device->backend->synchronize(device);
}

/* ---------------------------------------------------------------- calls */

fl4_attention_args fl4__trial_args(const fl4__trial *trial, int copy, const fl4__output *output)
{
  return fl4__placement_args(&trial->problem, &trial->placement, trial->d_input[copy], output->o, output->lse);
}

fl4_attention_args fl4__trial_host_args(const fl4__trial *trial)
{
  return fl4__placement_args(&trial->problem, &trial->placement, trial->input, trial->output, trial->lse);
}

/* ---------------------------------------------------------------- rows */

int64_t fl4__trial_output_row(const fl4__trial *trial, const fl4__sequence *s, int64_t h, int64_t i)
{
  return trial->placement.o.offset + fl4__query_row(&trial->call, s, trial->params.o_stride, h, i);
}

int64_t fl4__trial_lse_row(const fl4__trial *trial, const fl4__sequence *s, int64_t h, int64_t i)
{
  return trial->placement.lse_offset + fl4__query_row(&trial->call, s, trial->params.lse_stride, h, i);
}
