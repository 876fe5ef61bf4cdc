/* SPDX-License-Identifier: Apache-2.0 */
/* Attention as GEMM – softmax – GEMM on the GPU, in fp32: the second oracle. */
#include <flashl4/oracle.h>

#include <math.h>
#include <string.h>

#include "context.h"
#include "error.h"

#if FL4_HAVE_CUDA

#include "cuda/cuda_device.h"

/* Most device memory that scores may take. */
static const int64_t scores_limit = (int64_t)1 << 30;

/* Everything of one call. Device buffers are contiguous fp32. */
typedef struct job {
  fl4__cuda_device *device;
  fl4_stream stream;
  fl4__problem p;
  fl4_fwd_params params;
  float scale;
  float *q, *k, *v;            /* [B][H][S][D] */
  float *scores, *low_weights; /* [heads at a time][Sq][Sk] */
  float *ref, *low, *lse;      /* the caller's */
} job;

static fl4_status load(fl4__cuda_device *d, int dtype)
{
  fl4__cuda_oracle *o = &d->oracle[dtype];
  if (o->loaded) return FL4_OK;
  const char *options[] = {dtype == FL4_DTYPE_BF16 ? "-DFL4_BF16=1" : "-DFL4_BF16=0"};
  if (!d->blas) FL4_TRY(fl4__cublas_open(&d->blas));
  if (!o->module.library) FL4_TRY(fl4__module_load(d, "oracle.cu", options, 1, &o->module));
  FL4_CUDA_TRY(cudaLibraryGetKernel(&o->gather, o->module.library, "fl4_oracle_gather"));
  FL4_CUDA_TRY(cudaLibraryGetKernel(&o->softmax, o->module.library, "fl4_oracle_softmax"));
  FL4_CUDA_TRY(cudaLibraryGetKernel(&o->round, o->module.library, "fl4_oracle_round"));
  o->loaded = true;
  return FL4_OK;
}

static fl4_status launch(const job *j, cudaKernel_t kernel, int64_t blocks, void **args)
{
  if (blocks <= 0) return FL4_OK;
  return fl4__cuda_status(
      cudaLaunchKernel((const void *)kernel, (dim3){(unsigned)blocks, 1, 1}, (dim3){256, 1, 1}, args, 0, j->stream),
      "cudaLaunchKernel");
}

/* Blocks of an element-wise kernel. */
static int64_t spread(int64_t n)
{
  return fl4__min64(fl4__ceil_div(n, 256), 65536);
}

static fl4_status gather(const job *j, fl4_u64 from, const fl4_i64 stride[3], int64_t H, int64_t S, float **to)
{
  int64_t n = j->p.B * H * S * j->p.D;
  FL4_CUDA_TRY(cudaMallocAsync((void **)to, (size_t)fl4__max64(n, 1) * sizeof(float), j->stream));
  int heads = (int)H, rows = (int)S, D = (int)j->p.D;
  fl4_i64 b = stride[0], h = stride[1], s = stride[2];
  void *args[] = {&from, &b, &h, &s, &heads, &rows, &D, &n, to};
  return launch(j, j->device->oracle[j->p.dtype].gather, spread(n), args);
}

/* O = P V for `batch` heads whose value heads are `stride_v` apart. */
static fl4_status weigh_values(const job *j, const float *weights, int64_t kv, int64_t stride_v, float *o, int batch)
{
  const int D = (int)j->p.D, Sq = (int)j->p.Sq, Sk = (int)j->p.Sk;
  const fl4__matrices v = {j->v + kv * j->p.Sk * D, D, stride_v};
  const fl4__matrices p = {weights, Sk, j->p.Sq * j->p.Sk};
  return fl4__cublas_gemm(j->device->blas, j->stream, false, D, Sq, Sk, 1, v, p, o, D, j->p.Sq * D, batch);
}

/* Query heads head … head + batch - 1; key/value heads from kv on, `step` (0 or 1) for each. */
static fl4_status some_heads(const job *j, int64_t head, int64_t kv, int step, int batch)
{
  const int D = (int)j->p.D;
  int Sq = (int)j->p.Sq, Sk = (int)j->p.Sk, causal = j->p.mask == FL4_MASK_CAUSAL, exact = j->ref != NULL;
  const int64_t stride_kv = step * j->p.Sk * D, rows = (int64_t)batch * Sq;

  /* Column-major, as cuBLAS sees it: Sᵀ = K · Qᵀ, and Oᵀ = Vᵀ · Pᵀ. */
  if (Sk > 0) {
    const fl4__matrices k = {j->k + kv * j->p.Sk * D, D, stride_kv};
    const fl4__matrices q = {j->q + head * j->p.Sq * D, D, j->p.Sq * D};
    FL4_TRY(fl4__cublas_gemm(j->device->blas, j->stream, true, Sk, Sq, D, j->scale, k, q, j->scores, Sk,
                             j->p.Sq * j->p.Sk, batch));
  }
  float *scores = j->scores, *low_weights = j->low ? j->low_weights : NULL;
  float *lse = j->lse ? j->lse + head * Sq : NULL;
  void *args[] = {&scores, &low_weights, &lse, &exact, &causal, &Sq, &Sk};
  FL4_TRY(launch(j, j->device->oracle[j->p.dtype].softmax, rows, args));

  int64_t n = rows * D;
  float *ref = j->ref ? j->ref + head * Sq * D : NULL, *low = j->low ? j->low + head * Sq * D : NULL;
  if (Sk == 0) {
    if (ref) FL4_CUDA_TRY(cudaMemsetAsync(ref, 0, (size_t)n * sizeof(float), j->stream));
    if (low) FL4_CUDA_TRY(cudaMemsetAsync(low, 0, (size_t)n * sizeof(float), j->stream));
    return FL4_OK;
  }
  if (ref) FL4_TRY(weigh_values(j, j->scores, kv, stride_kv, ref, batch));
  if (!low) return FL4_OK;
  FL4_TRY(weigh_values(j, j->low_weights, kv, stride_kv, low, batch));
  void *round_args[] = {&low, &n};
  return launch(j, j->device->oracle[j->p.dtype].round, spread(n), round_args);
}

static fl4_status all_heads(job *j)
{
  const fl4__problem *p = &j->p;
  const int64_t group = p->Hq / p->Hkv, head_bytes = fl4__max64(p->Sq * p->Sk * 4, 1);
  const int64_t fit = fl4__max64(scores_limit / head_bytes, 1);
  const int64_t most = fl4__min64(fit, group > 1 ? group : p->B * p->Hq);
  const size_t bytes = (size_t)(most * head_bytes);
  FL4_TRY(gather(j, j->params.q, j->params.q_stride, p->Hq, p->Sq, &j->q));
  FL4_TRY(gather(j, j->params.k, j->params.k_stride, p->Hkv, p->Sk, &j->k));
  FL4_TRY(gather(j, j->params.v, j->params.v_stride, p->Hkv, p->Sk, &j->v));
  FL4_CUDA_TRY(cudaMallocAsync((void **)&j->scores, bytes, j->stream));
  if (j->low) FL4_CUDA_TRY(cudaMallocAsync((void **)&j->low_weights, bytes, j->stream));

  /* Without groups the heads of all batches are one batch; else the heads of one group are. */
  if (group == 1) {
    for (int64_t head = 0; head < p->B * p->Hq; head += most)
      FL4_TRY(some_heads(j, head, head, 1, (int)fl4__min64(most, p->B * p->Hq - head)));
    return FL4_OK;
  }
  for (int64_t kv = 0; kv < p->B * p->Hkv; kv++)
    for (int64_t i = 0; i < group; i += most)
      FL4_TRY(some_heads(j, kv * group + i, kv, 0, (int)fl4__min64(most, group - i)));
  return FL4_OK;
}

static void free_buffers(job *j)
{
  float *buffers[] = {j->q, j->k, j->v, j->scores, j->low_weights};
  for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
    if (buffers[i]) cudaFreeAsync(buffers[i], j->stream);
}

static fl4_status run(job *j)
{
  fl4__cuda_device *d = j->device;
  int previous;
  FL4_TRY(fl4__cuda_enter(d, &previous));
  pthread_mutex_lock(&d->oracle_lock); /* a cuBLAS handle serves one stream at a time */
  fl4_status status = load(d, j->p.dtype);
  if (status == FL4_OK) {
    status = all_heads(j);
    free_buffers(j);
    const fl4_status waited = fl4__cuda_status(cudaStreamSynchronize(j->stream), "cudaStreamSynchronize");
    if (status == FL4_OK) status = waited;
  }
  pthread_mutex_unlock(&d->oracle_lock);
  fl4__cuda_leave(d, previous);
  return status;
}

#endif /* FL4_HAVE_CUDA */

fl4_status fl4_oracle_cublas(fl4_context *ctx, const fl4_attention_args *args, float *ref, float *low, float *lse,
                             fl4_stream stream)
{
  if (!ctx) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_oracle_cublas: ctx: is NULL, must be a context");
  if (!args) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_oracle_cublas: args: is NULL, must point to the arguments");
  if (ctx->device->info.kind != FL4_DEVICE_CUDA)
    return fl4__fail(FL4_UNSUPPORTED, "fl4_oracle_cublas: ctx: is on the device \"%s\", must be on a CUDA device",
                     ctx->device->backend->name);
#if FL4_HAVE_CUDA
  fl4_attention_args a;
  FL4_TRY(fl4__struct_read(&a, sizeof a, args, "fl4_attention_args"));
  job j = {.device = fl4__cuda(ctx->device), .stream = stream, .ref = ref, .low = low, .lse = lse};
  FL4_TRY(fl4__problem_from_args(&a, FL4__NEED_SHAPE, &j.p, &j.params));
  const char *beyond = fl4__feature_beyond(j.p.features, 0);
  if (beyond)
    return fl4__fail(FL4_UNSUPPORTED, "fl4_oracle_cublas: args: have %s, the cuBLAS oracle takes dense attention",
                     beyond);
  const bool keys = j.p.B && j.p.Sk;
  if ((j.p.B && j.p.Sq && !a.q) || (keys && !a.k) || (keys && !a.v))
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_attention_args.%s: is NULL, must point to the tensor",
                     !a.q   ? "q"
                     : !a.k ? "k"
                            : "v");
  if (j.p.dtype == FL4_DTYPE_FP32)
    return fl4__fail(FL4_UNSUPPORTED, "fl4_attention_args.dtype: is fp32, the cuBLAS oracle takes fp16 and bf16");
  j.scale = a.scale != 0 ? a.scale : (float)(1 / sqrt((double)a.D));
  if (!j.p.B || !j.p.Sq) return FL4_OK;
  return run(&j);
#else
  (void)ref, (void)low, (void)lse, (void)stream;
  return FL4_OK; /* not reached: such a build has no CUDA contexts */
#endif
}
