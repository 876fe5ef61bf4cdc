/* SPDX-License-Identifier: Apache-2.0 */
/* The API on the GPU: streams, graphs, threads, the compiler and its cache, the device oracle. */
#include "gpu_test.h"

#include <math.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cuda/cuda_device.h"
#include "cuda/sources.h"
#include "device.h"

START_TEST(graph_replay)
{
  fl4_context *ctx = open_variant(gpu_families[_i], FL4_CONTEXT_NO_DISK_CACHE);
  gpu_call c = make_call("b2hq8hkv2sq300sk400d128:bf16:causal:lse", 7);
  ck_assert_fl4(fl4_attention_forward(ctx, &c.args, NULL));
  ck_assert_cuda(cudaDeviceSynchronize());
  void *eager = output_of(&c);
  clear_output(&c);

  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  ck_assert_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  ck_assert_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  for (int i = 0; i < 3; i++) ck_assert_fl4(fl4_attention_forward(ctx, &c.args, stream));
  ck_assert_cuda(cudaStreamEndCapture(stream, &graph));
  ck_assert_cuda(cudaGraphInstantiate(&exec, graph, 0));
  for (int i = 0; i < 5; i++) {
    clear_output(&c);
    ck_assert_cuda(cudaDeviceSynchronize());
    ck_assert_cuda(cudaGraphLaunch(exec, stream));
    ck_assert_cuda(cudaStreamSynchronize(stream));
    void *replayed = output_of(&c);
    ck_assert_mem_eq(replayed, eager, c.output_bytes);
    free(replayed);
  }
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  free(eager);
  free_call(&c);
  fl4_context_destroy(&ctx);
}
END_TEST

/* During capture nothing may be compiled: the error says what to do, and doing it helps. */
START_TEST(graph_needs_prepare)
{
  fl4_context *ctx = open_context(FL4_CONTEXT_NO_DISK_CACHE);
  gpu_call c = make_call("b1hq2sq64sk64d48", 1);
  cudaStream_t stream;
  cudaGraph_t graph;
  ck_assert_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  ck_assert_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  ck_assert_fl4_fails(fl4_attention_forward(ctx, &c.args, stream), FL4_NOT_PREPARED, "fl4_attention_prepare");
  ck_assert_cuda(cudaStreamEndCapture(stream, &graph)); /* the capture itself is unharmed */
  cudaGraphDestroy(graph);

  fl4_attention_args shape = c.args;
  shape.q = shape.k = shape.v = NULL, shape.o = NULL;
  ck_assert_fl4(fl4_attention_prepare(ctx, &shape));
  ck_assert_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  ck_assert_fl4(fl4_attention_forward(ctx, &c.args, stream));
  ck_assert_cuda(cudaStreamEndCapture(stream, &graph));
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  free_call(&c);
  fl4_context_destroy(&ctx);
}
END_TEST

typedef struct worker {
  fl4_context *ctx;
  pthread_barrier_t *start;
  gpu_call call;
  fl4_status status;
} worker;

static void *work(void *arg)
{
  worker *w = arg;
  cudaStream_t stream;
  cudaSetDevice(0);
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  pthread_barrier_wait(w->start);
  w->status = FL4_OK;
  for (int i = 0; i < 50 && w->status == FL4_OK; i++) w->status = fl4_attention_forward(w->ctx, &w->call.args, stream);
  cudaStreamSynchronize(stream);
  cudaStreamDestroy(stream);
  return NULL;
}

/* Eight threads start on a cold context: one compilation, and the same bits from all. */
START_TEST(eight_threads)
{
  enum { N = 8 };
  fl4_context *ctx = open_variant(gpu_families[_i], FL4_CONTEXT_NO_DISK_CACHE);
  pthread_barrier_t start;
  pthread_barrier_init(&start, NULL, N);
  pthread_t threads[N];
  worker workers[N];
  for (int i = 0; i < N; i++) {
    workers[i] = (worker){ctx, &start, make_call("b1hq4sq500sk700d112:bf16:lse", 3), FL4_INTERNAL};
    ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
  }
  for (int i = 0; i < N; i++) pthread_join(threads[i], NULL);
  void *first = output_of(&workers[0].call);
  for (int i = 0; i < N; i++) {
    ck_assert_int_eq(workers[i].status, FL4_OK);
    void *mine = output_of(&workers[i].call);
    ck_assert_mem_eq(mine, first, workers[i].call.output_bytes);
    free(mine);
    free_call(&workers[i].call);
  }
  free(first);
  fl4_cache_info info = FL4_CACHE_INFO_INIT;
  ck_assert_fl4(fl4_context_get_cache_info(ctx, &info));
  ck_assert_int_eq(info.compiled, 1);
  ck_assert_int_eq(info.kernels_loaded, 1);
  pthread_barrier_destroy(&start);
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- compiler and cache */

static char cache_dir[64];

static void make_cache_dir(void)
{
  snprintf(cache_dir, sizeof cache_dir, "/tmp/fl4-gpu-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(cache_dir));
}

static void remove_cache_dir(void)
{
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", cache_dir);
  ck_assert_int_eq(system(command), 0);
}

static fl4_context *open_cached(void)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "cuda", options.cache_dir = cache_dir;
  fl4_context *ctx;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  return ctx;
}

static fl4_cache_info forward_cached(const char *line)
{
  fl4_context *ctx = open_cached();
  gpu_call c = make_call(line, 5);
  ck_assert_fl4(fl4_attention_forward(ctx, &c.args, NULL));
  ck_assert_cuda(cudaDeviceSynchronize());
  fl4_cache_info info = FL4_CACHE_INFO_INIT;
  ck_assert_fl4(fl4_context_get_cache_info(ctx, &info));
  free_call(&c);
  fl4_context_destroy(&ctx);
  return info;
}

START_TEST(warm_cache)
{
  fl4_cache_info cold = forward_cached("b1hq2sq128sk128d64");
  ck_assert_str_eq(cold.dir, cache_dir);
  ck_assert_int_eq(cold.compiled, 1);
  ck_assert_int_eq(cold.entries, 1);
  fl4_cache_info warm = forward_cached("b1hq2sq128sk128d64");
  ck_assert_int_eq(warm.compiled, 0);
  ck_assert_int_eq(warm.from_disk, 1);
}
END_TEST

/* A new process with a warm cache computes without ever opening NVRTC. */
START_TEST(warm_process_without_nvrtc)
{
  forward_cached("b1hq2sq128sk128d64");
  char self[512], command[1200];
  const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  ck_assert_int_gt(n, 0);
  self[n] = 0;
  snprintf(command, sizeof command, "FL4_TEST_CHILD=warm FLASHL4_CACHE_DIR='%s' '%s'", cache_dir, self);
  ck_assert_int_eq(WEXITSTATUS(system(command)), 42);
}
END_TEST

/* Outside of Check, which allows no assertions here. */
static int warm_child(void)
{
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_context *ctx = NULL;
  fl4_attention_args args = FL4_ATTENTION_ARGS_INIT;
  fl4_cache_info info = FL4_CACHE_INFO_INIT;
  void *memory = NULL;
  const size_t tensor = 2 * 128 * 64 * 2;
  args.B = 1, args.Hq = args.Hkv = 2, args.Sq = args.Sk = 128, args.D = 64;
  if (cudaMalloc(&memory, 4 * tensor) != cudaSuccess || fl4_problem_parse("hq2sq128d64", &problem) != FL4_OK) return 2;
  args.q = memory, args.k = (char *)memory + tensor, args.v = (char *)memory + 2 * tensor;
  args.o = (char *)memory + 3 * tensor;
  if (fl4_context_create(&ctx, NULL) != FL4_OK || fl4_attention_forward(ctx, &args, NULL) != FL4_OK) return 3;
  if (cudaDeviceSynchronize() != cudaSuccess || fl4_context_get_cache_info(ctx, &info) != FL4_OK) return 4;
  fl4_context_destroy(&ctx);
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[1024];
  bool mapped = false;
  while (maps && fgets(line, sizeof line, maps)) mapped |= strstr(line, "libnvrtc") != NULL;
  if (maps) fclose(maps);
  return info.from_disk == 1 && info.compiled == 0 && !info.nvrtc_loaded && !mapped ? 42 : 1;
}

/* An entry with a sound checksum that the driver refuses is replaced. */
START_TEST(refused_cubin)
{
  fl4_context *ctx = open_cached();
  fl4__cuda_device *d = fl4__cuda(ctx->device);
  fl4__sources sources;
  ck_assert_fl4(fl4__sources_load(NULL, NULL, "oracle.cu", &sources));
  static const char *const options[] = {"-DFL4_BF16=0"};
  fl4__cache_key key;
  ck_assert_fl4(
      fl4__cubin_cache_key(d->cache, &sources.main, sources.headers, sources.n_headers, options, 1, d->arch, &key));
  /* Not ELF at all; and ELF by its first bytes only. */
  static char junk_elf[4096] = "\177ELF\002\001\001";
  const fl4__cubin junk[] = {{.data = "this is not a cubin", .size = 19}, {.data = junk_elf, .size = sizeof junk_elf}};
  fl4__module module;
  for (int i = 0; i < 2; i++) {
    fl4__cubin_cache_store(d->cache, &key, &junk[i]);
    ck_assert_fl4(fl4__module_load(d, "oracle.cu", options, 1, &module));
    ck_assert_int_eq(module.origin, FL4_KERNEL_COMPILED);
    fl4__module_unload(&module);
  }
  ck_assert_fl4(fl4__module_load(d, "oracle.cu", options, 1, &module));
  ck_assert_int_eq(module.origin, FL4_KERNEL_FROM_DISK);
  fl4__module_unload(&module);
  fl4__sources_free(&sources);
  fl4_context_destroy(&ctx);
}
END_TEST

/* A source that does not compile: the compiler's words, each time, and the context lives on. */
START_TEST(compile_error)
{
  char command[256];
  snprintf(command, sizeof command, "mkdir '%s/k'", cache_dir);
  ck_assert_int_eq(system(command), 0);
  for (int i = 0; i < fl4__n_embedded_sources; i++) {
    char path[256];
    snprintf(path, sizeof path, "%s/k/%s", cache_dir, fl4__embedded_sources[i].name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(fl4__embedded_sources[i].text, f);
    if (strncmp(fl4__embedded_sources[i].name, "fwd_", 4) == 0) fputs("\nthis is an error;\n", f);
    fclose(f);
  }
  char kernel_dir[128], source[32];
  snprintf(kernel_dir, sizeof kernel_dir, "%s/k", cache_dir);
  snprintf(source, sizeof source, "%s.cu", gpu_families[_i]);
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  o.device = "cuda", o.kernel_dir = kernel_dir, o.flags = FL4_CONTEXT_NO_DISK_CACHE, o.log_level = FL4_LOG_ERROR;
  o.variant = gpu_families[_i];
  fl4_context *ctx;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  gpu_call c = make_call("b1hq2sq64sk64d64", 1);
  for (int i = 0; i < 2; i++)
    ck_assert_fl4_fails(fl4_attention_forward(ctx, &c.args, NULL), FL4_COMPILE_FAILED, source);
  free_call(&c);
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- plans, oracle, memory */

START_TEST(plan_info)
{
  fl4_context *ctx = open_variant(gpu_families[_i], FL4_CONTEXT_NO_DISK_CACHE);
  gpu_call c = make_call("b4hq16sq2048d128:causal", 1);
  fl4_plan_info info = FL4_PLAN_INFO_INIT;
  ck_assert_fl4(fl4_attention_plan_info(ctx, &c.args, &info));
  ck_assert_ptr_eq(strstr(info.variant, gpu_families[_i]), info.variant);
  ck_assert_int_eq(info.aligned, 1);
  ck_assert_int_lt(info.spill_bytes, 256); /* of loop variables: tests/compile/test_compile.c */
  ck_assert_int_gt(info.registers, 32);
  ck_assert_int_gt(info.blocks, 0);
  ck_assert_int_eq(info.origin, FL4_KERNEL_COMPILED);
  ck_assert(info.kernel_hash != 0);
  size_t bytes = 1;
  ck_assert_fl4(fl4_attention_workspace_size(ctx, &c.args, &bytes));
  ck_assert_uint_eq(bytes, info.workspace_bytes);
  free_call(&c);
  fl4_context_destroy(&ctx);
}
END_TEST

/* The best family there is runs what nobody has asked for otherwise. */
START_TEST(best_family)
{
  fl4_context *ctx = open_context(FL4_CONTEXT_NO_DISK_CACHE);
  gpu_call c = make_call("b1hq2sq64sk64d64", 1);
  fl4_plan_info info = FL4_PLAN_INFO_INIT;
  ck_assert_fl4(fl4_attention_plan_info(ctx, &c.args, &info));
  ck_assert_msg(strstr(info.variant, gpu_families[gpu_families_count() - 1]) == info.variant, "%s runs", info.variant);
  free_call(&c);
  fl4_context_destroy(&ctx);
}
END_TEST

/* The two oracles share nothing but the definition: they agree to fp32's rounding. */
START_TEST(oracles_agree)
{
  static const char *const lines[] = {"b2hq4sq100sk150d64:lse", "b1hq6hkv2sq130sk70d80:bf16:causal:lse:bshd",
                                      "b2hq4hkv1sq33sk257d128:causal:lse:odd", "b1hq2sq20sk0d64:lse"};
  fl4_context *ctx = open_context(FL4_CONTEXT_NO_DISK_CACHE);
  for (size_t l = 0; l < sizeof lines / sizeof *lines; l++) {
    gpu_call c = make_call(lines[l], 11);
    const int64_t rows = c.problem.B * c.problem.Hq * c.problem.Sq, n = rows * c.problem.D;
    float *device, *low32 = malloc((size_t)(2 * n + rows) * 4), *ref32 = low32 + n, *lse32 = ref32 + n;
    ck_assert_cuda(cudaMalloc((void **)&device, (size_t)(2 * n + rows) * 4));
    ck_assert_fl4(fl4_oracle_cublas(ctx, &c.args, device + n, device, device + 2 * n, NULL));
    ck_assert_cuda(cudaMemcpy(low32, device, (size_t)(2 * n + rows) * 4, cudaMemcpyDeviceToHost));

    void *input = malloc((size_t)c.place.input_elements * 2);
    fl4__inputs_fill(&c.problem, &c.place, 11, FL4_INPUTS_NORMAL, input);
    fl4_attention_args host = c.args;
    host.q = (char *)input + c.place.q.offset * 2, host.k = (char *)input + c.place.k.offset * 2;
    host.v = (char *)input + c.place.v.offset * 2;
    double *ref = malloc((size_t)(2 * n + rows) * 8), *low = ref + n, *lse = low + n;
    ck_assert_fl4(fl4_oracle_fp64(&host, NULL, 0, ref, low, lse));
    const double ulp = fl4__epsilon(c.problem.dtype);
    for (int64_t i = 0; i < n; i++) {
      ck_assert_double_eq_tol(ref32[i], ref[i], 2e-6);
      /* Equal but for scores and weights that fall on the other side of a rounding boundary. */
      ck_assert_double_eq_tol(low32[i], low[i], 4 * ulp);
    }
    for (int64_t i = 0; i < rows; i++)
      if (isinf(lse[i]))
        ck_assert(lse32[i] == lse[i]);
      else
        ck_assert_double_eq_tol(lse32[i], lse[i], 1e-5);
    free(ref);
    free(input);
    free(low32);
    cudaFree(device);
    free_call(&c);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(bad_arguments)
{
  fl4_context *ctx = open_context(FL4_CONTEXT_NO_DISK_CACHE), *missing;
  gpu_call c = make_call("b1hq2sq64sk64d64", 1);
  fl4_attention_args a = c.args;
  a.dtype = FL4_DTYPE_FP32;
  ck_assert_fl4_fails(fl4_attention_forward(ctx, &a, NULL), FL4_UNSUPPORTED, "fp32");
  ck_assert_fl4_fails(fl4_oracle_cublas(ctx, &a, NULL, NULL, NULL, NULL), FL4_UNSUPPORTED, "dtype");
  ck_assert_fl4_fails(fl4_oracle_cublas(NULL, &a, NULL, NULL, NULL, NULL), FL4_INVALID_ARGUMENT, "ctx");
  ck_assert_fl4_fails(fl4_oracle_cublas(ctx, NULL, NULL, NULL, NULL, NULL), FL4_INVALID_ARGUMENT, "args");
  a = c.args, a.v = NULL;
  ck_assert_fl4_fails(fl4_oracle_cublas(ctx, &a, NULL, NULL, NULL, NULL), FL4_INVALID_ARGUMENT, ".v:");
  a = c.args, a.k = (const char *)a.k + 1;
  ck_assert_fl4_fails(fl4_attention_forward(ctx, &a, NULL), FL4_INVALID_ARGUMENT, ".k:");
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  o.device = "cuda:99";
  ck_assert_fl4_fails(fl4_context_create(&missing, &o), FL4_NO_DEVICE, "cuda:99");
  ck_assert_ptr_null(missing);
  o.device = "cuda";
  o.variant = "fwd_mma:bm=256,bn=128,warps=8,stages=4,qreg=0,slice=32,weave=0,kgroups=1,splits=1,ctas=1";
  ck_assert_fl4(fl4_context_create(&missing, &o));
  a = c.args, a.D = 256;
  memset(a.q_stride, 0, 5 * sizeof a.q_stride);
  ck_assert_fl4_fails(fl4_attention_prepare(missing, &a), FL4_UNSUPPORTED, "shared memory");
  fl4_context_destroy(&missing);
  free_call(&c);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(memory)
{
  fl4_context *ctx = open_context(FL4_CONTEXT_NO_DISK_CACHE);
  const fl4__backend *backend = ctx->device->backend;
  void *p;
  ck_assert_fl4_fails(backend->alloc(ctx->device, (size_t)1 << 50, &p), FL4_OUT_OF_MEMORY, "cudaMalloc");
  ck_assert_fl4(backend->scratch_take(ctx->device, 4096, NULL, &p));
  ck_assert_ptr_nonnull(p);
  backend->scratch_give(ctx->device, p, 4096, NULL);
  ck_assert_fl4(backend->synchronize(ctx->device));
  gpu_call c = make_call("b1hq2sq64sk64d64", 1); /* a failed allocation leaves the context usable */
  ck_assert_fl4(fl4_attention_forward(ctx, &c.args, NULL));
  ck_assert_fl4(backend->synchronize(ctx->device));
  free_call(&c);
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *suite(void)
{
  const char *child = getenv("FL4_TEST_CHILD");
  if (child && strcmp(child, "warm") == 0) exit(warm_child());
  Suite *s = suite_create("gpu_api");
  TCase *t = tcase_create("api");
  const int families = gpu_families_count();
  tcase_add_loop_test(t, graph_replay, 0, families);
  tcase_add_test(t, graph_needs_prepare);
  tcase_add_loop_test(t, eight_threads, 0, families);
  tcase_add_loop_test(t, plan_info, 0, families);
  tcase_add_test(t, best_family);
  tcase_add_test(t, oracles_agree);
  tcase_add_test(t, bad_arguments);
  tcase_add_test(t, memory);
  suite_add_tcase(s, t);
  TCase *cache = tcase_create("cache");
  tcase_add_checked_fixture(cache, make_cache_dir, remove_cache_dir);
  tcase_add_test(cache, warm_cache);
  tcase_add_test(cache, warm_process_without_nvrtc);
  tcase_add_test(cache, refused_cubin);
  tcase_add_loop_test(cache, compile_error, 0, families);
  suite_add_tcase(s, cache);
  return s;
}

FL4_TEST_MAIN_CUDA(suite)
