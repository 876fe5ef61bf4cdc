/* SPDX-License-Identifier: Apache-2.0 */
/* What a GPU can do at most, measured: kernels/limits.cu, and cuBLAS where it can be opened. */
#include "cuda/cuda_device.h"
#include "error.h"
#include "util/os.h"

enum {
  FEWEST = 7,
  MOST = 100,         /* timed runs */
  MMA_ROUNDS = 20000, /* of a run: some milliseconds */
  MMA_PER_ROUND = 16, /* products of a warp, as in the kernel */
  LOADS = 8,          /* of a thread at once, as in the kernel */
  GEMM_N = 8192,
};
static const double warmup_ms = 100, timed_ms = 300;
static const size_t gemm_bytes = (size_t)2 * GEMM_N * GEMM_N;                    /* a matrix */
static const size_t buffer_bytes = (size_t)1 << 30, run_bytes = (size_t)8 << 30; /* at least; read by a run */

typedef struct probe {
  fl4__cuda_device *device;
  cudaStream_t stream;
  cudaEvent_t events[MOST + 1];
  fl4__module module;
  cudaKernel_t fill, mma, read;
  int blocks;   /* for mma; twice as many fit for fill and read */
  char *memory; /* read, and the matrices of the GEMM */
  size_t bytes;
  void *sums;
  int passes; /* over `memory`, of a run */
  fl4__cublas *blas;
} probe;

/* ---------------------------------------------------------------- what is run */

static fl4_status launch(const probe *p, cudaKernel_t kernel, int blocks, void **args)
{
  return fl4__cuda_status(
      cudaLaunchKernel((const void *)kernel, (dim3){(unsigned)blocks, 1, 1}, (dim3){256, 1, 1}, args, 0, p->stream),
      "cudaLaunchKernel");
}

static fl4_status run_mma(probe *p)
{
  int rounds = MMA_ROUNDS;
  void *args[] = {&rounds, &p->sums};
  return launch(p, p->mma, p->blocks, args);
}

/* Bytes that all threads of the grid read or write at once, 16 each. */
static size_t stripe(const probe *p)
{
  return (size_t)p->blocks * 2 * 256 * 16;
}

static fl4_status run_read(probe *p)
{
  fl4_i64 steps = (fl4_i64)(p->bytes / (LOADS * stripe(p)));
  void *args[] = {&p->memory, &steps, &p->passes, &p->sums};
  return launch(p, p->read, 2 * p->blocks, args);
}

static fl4_status run_gemm(probe *p)
{
  return fl4__cublas_gemm_fp16(p->blas, p->stream, GEMM_N, p->memory, p->memory + gemm_bytes,
                               p->memory + 2 * gemm_bytes);
}

/* ---------------------------------------------------------------- how it is timed */

/* Median milliseconds of a run, by events, once the clocks have settled. */
static fl4_status time_runs(probe *p, fl4_status (*run)(probe *p), double *ms)
{
  const double start = fl4__now_ms();
  double spent;
  int runs = 0;
  do {
    FL4_TRY(run(p));
    FL4_CUDA_TRY(cudaStreamSynchronize(p->stream));
    runs++;
  } while ((spent = fl4__now_ms() - start) < warmup_ms);

  const double fit = timed_ms * runs / spent;
  const int n = fit < FEWEST ? FEWEST : fit > MOST ? MOST : (int)fit;
  FL4_CUDA_TRY(cudaEventRecord(p->events[0], p->stream));
  for (int i = 0; i < n; i++) {
    FL4_TRY(run(p));
    FL4_CUDA_TRY(cudaEventRecord(p->events[i + 1], p->stream));
  }
  FL4_CUDA_TRY(cudaStreamSynchronize(p->stream));
  double each[MOST];
  for (int i = 0; i < n; i++) {
    float t;
    FL4_CUDA_TRY(cudaEventElapsedTime(&t, p->events[i], p->events[i + 1]));
    each[i] = (double)t;
  }
  *ms = fl4__median(each, n);
  return FL4_OK;
}

static fl4_status measure_mma(probe *p, double *tflops)
{
  double ms;
  FL4_TRY(time_runs(p, run_mma, &ms));
  const double warps = 8.0 * p->blocks;
  *tflops = warps * MMA_ROUNDS * MMA_PER_ROUND * (2.0 * 16 * 8 * 16) / ms * 1e-9;
  return FL4_OK;
}

static fl4_status measure_read(probe *p, double *gbps)
{
  double ms;
  p->passes = (int)((run_bytes + p->bytes - 1) / p->bytes);
  FL4_TRY(time_runs(p, run_read, &ms));
  *gbps = (double)p->bytes * p->passes / ms * 1e-6;
  return FL4_OK;
}

static fl4_status measure_gemm(probe *p, double *tflops)
{
  const fl4_status opened = fl4__cublas_open(&p->blas);
  *tflops = 0;
  if (opened == FL4_LIBRARY_MISSING) return FL4_OK;
  FL4_TRY(opened);
  double ms;
  FL4_TRY(time_runs(p, run_gemm, &ms));
  *tflops = 2.0 * GEMM_N * GEMM_N * GEMM_N / ms * 1e-9;
  return FL4_OK;
}

/* ---------------------------------------------------------------- before and after */

/* Memory so much larger than the L2 cache that what is left there of the last pass counts for little; random numbers. */
static fl4_status make_data(probe *p)
{
  size_t free_bytes, total, want = 64 * (size_t)p->device->base.info.l2_bytes;
  FL4_CUDA_TRY(cudaMemGetInfo(&free_bytes, &total));
  if (want < buffer_bytes) want = buffer_bytes;
  if (want > free_bytes / 2) want = free_bytes / 2;
  p->bytes = want / (LOADS * stripe(p)) * (LOADS * stripe(p));
  if (p->bytes < 3 * gemm_bytes)
    return fl4__fail(FL4_OUT_OF_MEMORY, "%zu bytes of device memory are free, must be %zu", free_bytes,
                     2 * (3 * gemm_bytes + LOADS * stripe(p)));
  FL4_CUDA_TRY(cudaMalloc((void **)&p->memory, p->bytes));
  FL4_CUDA_TRY(cudaMalloc(&p->sums, (size_t)p->blocks * 2 * 256 * sizeof(float)));
  fl4_i64 steps = (fl4_i64)(p->bytes / stripe(p));
  void *args[] = {&p->memory, &steps};
  return launch(p, p->fill, 2 * p->blocks, args);
}

static fl4_status make(probe *p)
{
  static const char *const options[] = {"-DFL4_BF16=0"};
  FL4_TRY(fl4__module_load(p->device, "limits.cu", options, 1, &p->module));
  FL4_CUDA_TRY(cudaLibraryGetKernel(&p->fill, p->module.library, "fl4_limits_fill"));
  FL4_CUDA_TRY(cudaLibraryGetKernel(&p->mma, p->module.library, "fl4_limits_mma"));
  FL4_CUDA_TRY(cudaLibraryGetKernel(&p->read, p->module.library, "fl4_limits_read"));
  p->blocks = 2 * p->device->base.info.multiprocessors;
  FL4_CUDA_TRY(cudaStreamCreateWithFlags(&p->stream, cudaStreamNonBlocking));
  for (int i = 0; i <= MOST; i++) FL4_CUDA_TRY(cudaEventCreate(&p->events[i]));
  return make_data(p);
}

static void destroy(probe *p)
{
  if (p->stream) cudaStreamSynchronize(p->stream);
  fl4__cublas_close(p->blas);
  if (p->memory) cudaFree(p->memory);
  if (p->sums) cudaFree(p->sums);
  for (int i = 0; i <= MOST; i++)
    if (p->events[i]) cudaEventDestroy(p->events[i]);
  if (p->stream) cudaStreamDestroy(p->stream);
  fl4__module_unload(&p->module);
}

fl4_status fl4__cuda_limits(fl4__device *device, fl4_limits *limits)
{
  probe p = {.device = fl4__cuda(device)};
  int previous;
  FL4_TRY(fl4__cuda_enter(p.device, &previous));
  fl4_status status = make(&p);
  if (status == FL4_OK) status = measure_mma(&p, &limits->mma_tflops);
  if (status == FL4_OK) status = measure_read(&p, &limits->read_gbps);
  if (status == FL4_OK) status = measure_gemm(&p, &limits->gemm_tflops);
  destroy(&p);
  fl4__cuda_leave(p.device, previous);
  return status;
}
