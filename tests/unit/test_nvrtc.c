/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling with the real NVRTC, which needs no GPU; and the cubin cache's stamp of it. */
#include <pthread.h>

#include "cuda/cubin_cache.h"
#include "cuda/nvrtc_stamp.h"
#include "scratch.h"

static listener heard;
static fl4__log log_ = {listen_fn, &heard, FL4_LOG_DEBUG};

/* 256 floats of shared memory; 64 values of a thread that are all alive at once. */
static const fl4__source hungry = {"hungry.cu",
                                   "#include \"size.cuh\"\n"
                                   "extern \"C\" __global__ void hungry(float *p, int n) {\n"
                                   "  __shared__ float s[256];\n"
                                   "  float a[SIZE];\n"
                                   "  for (int i = 0; i < SIZE; i++) a[i] = p[i * threadIdx.x];\n"
                                   "  s[threadIdx.x] = a[3];\n"
                                   "  __syncthreads();\n"
                                   "  for (int j = 0; j < n; j++)\n"
                                   "    for (int i = 0; i < SIZE; i++) a[i] = a[i] * a[(i + 7) % SIZE] + s[i];\n"
                                   "  for (int i = 0; i < SIZE; i++) p[i * threadIdx.x + 1] = a[i];\n"
                                   "}\n"};
static const fl4__source size_header = {"size.cuh", "#pragma once\nconstexpr int twice(int x) { return 2 * x; }\n"
                                                    "enum { SIZE = twice(FL4_HALF) };\n"};
static const char *const half[] = {"-DFL4_HALF=32"};

static const fl4__source tiny = {"tiny.cu", "extern \"C\" __global__ void tiny(int *p) { *p = 1; }\n"};

static fl4_status compile(const char *text, const char *arch, fl4__cubin *cubin)
{
  fl4__source source = {"test.cu", text};
  memset(&heard, 0, sizeof heard);
  return fl4__nvrtc_compile(&log_, &source, NULL, 0, NULL, 0, arch, cubin);
}

START_TEST(identify)
{
  fl4__nvrtc_identity identity;
  struct stat s;
  ck_assert_fl4(fl4__nvrtc_identify(&identity));
  ck_assert(fl4__nvrtc_loaded());
  ck_assert_int_ge(identity.version, 12000);
  ck_assert_int_lt(identity.version, 20000);
  ck_assert_ptr_nonnull(strstr(identity.path, "libnvrtc"));
  ck_assert_int_eq(stat(identity.path, &s), 0);
  ck_assert_int_eq(identity.size, s.st_size);
}
END_TEST

static const char *const archs[] = {"sm_80", "sm_86", "sm_89", "sm_90", "sm_90a", "sm_100", "sm_120"};
enum { N_ARCHS = sizeof archs / sizeof *archs };

START_TEST(every_architecture)
{
  fl4__cubin cubin;
  ck_assert_fl4(fl4__nvrtc_compile(&log_, &hungry, &size_header, 1, half, 1, archs[_i], &cubin));
  ck_assert_uint_gt(cubin.size, 1000);
  ck_assert_mem_eq(cubin.data, "\177ELF", 4);
  ck_assert_int_ge(cubin.resources.registers, 64);
  ck_assert_int_le(cubin.resources.registers, 255);
  ck_assert_int_ge(cubin.resources.smem_static, 1024);
  ck_assert_int_le(cubin.resources.smem_static, 2048); /* sm_90 and later keep 1 KB for the system */
  fl4__cubin_free(&cubin);
  ck_assert_ptr_null(cubin.data);

  ck_assert_fl4(fl4__nvrtc_compile(&log_, &tiny, NULL, 0, NULL, 0, archs[_i], &cubin));
  ck_assert_int_gt(cubin.resources.registers, 0);
  ck_assert_int_le(cubin.resources.registers, 32);
  ck_assert_int_eq(cubin.resources.spill_bytes, 0);
  ck_assert_int_le(cubin.resources.smem_static, 1024);
  fl4__cubin_free(&cubin);
}
END_TEST

START_TEST(spills_are_seen)
{
  static const char *const squeezed[] = {"-DFL4_HALF=32", "--maxrregcount=32"};
  fl4__cubin cubin;
  ck_assert_fl4(fl4__nvrtc_compile(&log_, &hungry, &size_header, 1, squeezed, 2, "sm_89", &cubin));
  ck_assert_int_le(cubin.resources.registers, 32);
  ck_assert_int_gt(cubin.resources.spill_bytes, 100);
  fl4__cubin_free(&cubin);
  ck_assert_fl4(fl4__nvrtc_compile(&log_, &hungry, &size_header, 1, half, 1, "sm_89", &cubin));
  ck_assert_int_eq(cubin.resources.spill_bytes, 0);
  fl4__cubin_free(&cubin);
}
END_TEST

/* The instructions that only sm_90a has; REDO touches the result of a product before it is waited for. */
static const char warpgroups[] =
    "extern \"C\" __global__ void k(float *p, unsigned long long a, unsigned long long b) {\n"
    "  float d[4] = {p[0], p[1], p[2], p[3]};\n"
    "  asm volatile(\"wgmma.fence.sync.aligned;\");\n"
    "  for (int i = 0; i < 4; i++) {\n"
    "    asm volatile(\"wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%0, %1, %2, %3}, %4, %5, 1, 1, 1, 0, 0;\"\n"
    "                 : \"+f\"(d[0]), \"+f\"(d[1]), \"+f\"(d[2]), \"+f\"(d[3]) : \"l\"(a), \"l\"(b));\n"
    "    if (REDO) d[0] *= 2;\n"
    "  }\n"
    "  asm volatile(\"wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;\");\n"
    "  p[threadIdx.x] = d[0] + d[1] + d[2] + d[3];\n"
    "}\n";

START_TEST(serialised_products_are_seen)
{
  static const char *const redo[] = {"-DREDO=0", "-DREDO=1"};
  const fl4__source source = {"test.cu", warpgroups};
  char arch[16];
  fl4__nvrtc_arch(90, arch);
  ck_assert_str_eq(arch, "sm_90a");
  for (int i = 0; i < 2; i++) {
    fl4__cubin cubin;
    memset(&heard, 0, sizeof heard);
    ck_assert_fl4(fl4__nvrtc_compile(&log_, &source, NULL, 0, &redo[i], 1, arch, &cubin));
    ck_assert_msg(i ? cubin.resources.serialised / 10 == 751 : cubin.resources.serialised == 0, "REDO=%d: C%d", i,
                  cubin.resources.serialised);
    ck_assert_int_eq(heard.count[FL4_LOG_INFO], 0);
    fl4__cubin_free(&cubin);
  }
  fl4__nvrtc_arch(89, arch);
  ck_assert_str_eq(arch, "sm_89");
  fl4__nvrtc_arch(100, arch);
  ck_assert_str_eq(arch, "sm_100");
}
END_TEST

START_TEST(code_that_must_not_run)
{
  fl4__resources r = {.registers = 168};
  ck_assert_fl4(fl4__resources_check("k.cu", &r, 168));
  ck_assert_fl4_fails(fl4__resources_check("k.cu", &r, 169), FL4_COMPILE_FAILED,
                      "k.cu: the assembler gives a thread 168 registers, must be at least 169");
  r.serialised = 7512;
  ck_assert_fl4_fails(fl4__resources_check("k.cu", &r, 0), FL4_COMPILE_FAILED,
                      "k.cu: the assembler serialises the matrix products (C7512)");
}
END_TEST

/* Of several entry functions each resource is the largest, wherever it stands. */
START_TEST(several_entries)
{
  fl4__cubin cubin;
  static const char text[] =
      "extern \"C\" __global__ void a(int *p) { __shared__ int s[100]; s[threadIdx.x] = *p; __syncthreads();"
      " *p = s[threadIdx.x ^ 1]; }\n"
      "extern \"C\" __global__ void b(int *p) { __shared__ int s[500]; s[threadIdx.x] = *p; __syncthreads();"
      " *p = s[threadIdx.x ^ 1]; }\n"
      "extern \"C\" __global__ void c(int *p) { __shared__ int s[300]; s[threadIdx.x] = *p; __syncthreads();"
      " *p = s[threadIdx.x ^ 1]; }\n";
  ck_assert_fl4(compile(text, "sm_89", &cubin));
  ck_assert_int_eq(cubin.resources.smem_static, 2000);
  fl4__cubin_free(&cubin);
}
END_TEST

START_TEST(warnings_are_logged)
{
  fl4__cubin cubin;
  ck_assert_fl4(compile("extern \"C\" __global__ void k(int *p) { int unused_one; *p = 1; }\n", "sm_89", &cubin));
  ck_assert_int_gt(heard.count[FL4_LOG_INFO], 0);
  ck_assert_int_gt(heard.count[FL4_LOG_DEBUG], 0);
  fl4__cubin_free(&cubin);
  ck_assert_fl4(compile(tiny.text, "sm_89", &cubin));
  ck_assert_int_eq(heard.count[FL4_LOG_INFO], 0);
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 0);
  fl4__cubin_free(&cubin);
}
END_TEST

START_TEST(compile_errors)
{
  fl4__cubin cubin;
  /* A warning comes first; the sentence starts with the error all the same. */
  static const char text[] = "__global__ void w(int *p) { int unused_one; *p = 1; }\nthis is no CUDA\n";
  ck_assert_fl4_fails(compile(text, "sm_89", &cubin), FL4_COMPILE_FAILED, "test.cu(2): error");
  ck_assert_ptr_eq(strstr(fl4_last_error(), "test.cu: NVRTC "), fl4_last_error());
  ck_assert_ptr_null(strstr(fl4_last_error(), "unused_one"));
  ck_assert_ptr_null(cubin.data);
  ck_assert_int_gt(heard.count[FL4_LOG_ERROR], 2);

  ck_assert_fl4_fails(compile(tiny.text, "sm_77", &cubin), FL4_COMPILE_FAILED, "sm_77");
  ck_assert_fl4_fails(compile("#include \"none.cuh\"\n", "sm_89", &cubin), FL4_COMPILE_FAILED, "none.cuh");
  ck_assert_fl4_fails(compile("extern \"C\" __global__ void k() { asm volatile(\"no.such;\"); }\n", "sm_89", &cubin),
                      FL4_COMPILE_FAILED, "'.such'");
  ck_assert_fl4_fails(compile(tiny.text, "compute_89", &cubin), FL4_COMPILE_FAILED, "no cubin");

  static const char *const unknown[] = {"--fl4-no-such-option"};
  ck_assert_fl4_fails(fl4__nvrtc_compile(NULL, &tiny, NULL, 0, unknown, 1, "sm_89", &cubin), FL4_COMPILE_FAILED,
                      "--fl4-no-such-option");
}
END_TEST

static void *compile_hungry(void *user)
{
  fl4__cubin *cubin = user;
  return (void *)(intptr_t)fl4__nvrtc_compile(NULL, &hungry, &size_header, 1, half, 1, "sm_89", cubin);
}

/* The same machine code each time, from several threads at once too: its hash says something. */
START_TEST(deterministic)
{
  enum { N = 4 };
  fl4__cubin cubins[N];
  pthread_t threads[N];
  for (int i = 0; i < N; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, compile_hungry, &cubins[i]), 0);
  for (int i = 0; i < N; i++) {
    void *status;
    ck_assert_int_eq(pthread_join(threads[i], &status), 0);
    ck_assert_int_eq((intptr_t)status, FL4_OK);
    ck_assert_uint_eq(cubins[i].size, cubins[0].size);
    ck_assert_mem_eq(cubins[i].data, cubins[0].data, cubins[0].size);
    ck_assert_mem_eq(&cubins[i].resources, &cubins[0].resources, sizeof cubins[0].resources);
  }
  for (int i = 0; i < N; i++) fl4__cubin_free(&cubins[i]);
}
END_TEST

START_TEST(failed_attempt_is_repeated)
{
  fl4__nvrtc_identity identity;
  setenv("FLASHL4_NVRTC", in_scratch("missing.so"), 1);
  ck_assert_fl4_fails(fl4__nvrtc_identify(&identity), FL4_LIBRARY_MISSING, "missing.so");
  ck_assert(!fl4__nvrtc_loaded());
  unsetenv("FLASHL4_NVRTC");
  ck_assert_fl4(fl4__nvrtc_identify(&identity));
  ck_assert(fl4__nvrtc_loaded());

  setenv("FLASHL4_NVRTC", in_scratch("missing.so"), 1); /* too late: it is open */
  ck_assert_fl4(fl4__nvrtc_identify(&identity));
}
END_TEST

/* ---- the stamp of the real NVRTC ---- */

typedef struct process {
  fl4__cache_key key;
  bool hit;
  bool loaded;
} process;

/* What a process does that needs one kernel: key, load, else compile and store. */
static int need_kernel(void *user)
{
  int out = *(int *)user;
  process result = {0};
  fl4__cubin_cache *cache;
  fl4__cubin cubin;
  EXPECT(!fl4__nvrtc_loaded());
  EXPECT(fl4__cubin_cache_open(NULL, in_scratch("cache"), 0, &cache) == FL4_OK);
  EXPECT(fl4__cubin_cache_key(cache, &tiny, NULL, 0, NULL, 0, "sm_89", &result.key) == FL4_OK);
  result.hit = fl4__cubin_cache_load(cache, &result.key, &cubin);
  if (!result.hit) {
    EXPECT(fl4__nvrtc_compile(NULL, &tiny, NULL, 0, NULL, 0, "sm_89", &cubin) == FL4_OK);
    fl4__cubin_cache_store(cache, &result.key, &cubin);
  }
  EXPECT(cubin.size > 0 && cubin.resources.registers > 0);
  result.loaded = fl4__nvrtc_loaded();
  fl4__cubin_free(&cubin);
  fl4__cubin_cache_close(cache);
  EXPECT(write(out, &result, sizeof result) == sizeof result);
  return 0;
}

/* Runs it in a process of its own, which tells how it went through a pipe. */
static process run_process(void)
{
  int ends[2];
  process result;
  ck_assert_int_eq(pipe(ends), 0);
  in_child(need_kernel, &ends[1]);
  ck_assert_int_eq(read(ends[0], &result, sizeof result), sizeof result);
  close(ends[0]), close(ends[1]);
  return result;
}

static void read_stamp(fl4__nvrtc_identity *identity)
{
  fl4__cache_dir folder;
  ck_assert_fl4(fl4__cache_dir_open(in_scratch("cache"), &folder));
  ck_assert(fl4__nvrtc_stamp_read(&folder, identity));
  fl4__cache_dir_close(&folder);
}

START_TEST(warm_process_never_opens_nvrtc)
{
  process cold = run_process(), warm = run_process();
  ck_assert(!cold.hit && cold.loaded);
  ck_assert(warm.hit && !warm.loaded);
  ck_assert(cold.key.high == warm.key.high && cold.key.low == warm.key.low);

  /* A damaged stamp is written anew, from the real thing; the entry is still good. */
  write_file(in_scratch("cache/nvrtc"), "?", 1);
  process again = run_process(), after = run_process();
  ck_assert(again.hit && again.loaded);
  ck_assert(after.hit && !after.loaded);
}
END_TEST

/* The stamp says which NVRTC was asked for: another choice is looked at, the same choice is trusted. */
START_TEST(stamp_of_another_choice)
{
  fl4__nvrtc_identity stamp;
  (void)run_process();
  read_stamp(&stamp);
  const char *link = in_scratch("libnvrtc-link.so");
  ck_assert_int_eq(symlink(stamp.path, link), 0);
  setenv("FLASHL4_NVRTC", link, 1);
  process first = run_process(), second = run_process();
  ck_assert(first.hit && first.loaded); /* the same library in the end, so the same key */
  ck_assert(second.hit && !second.loaded);
}
END_TEST

/* Another NVRTC than a stamp in good order says is found out when it opens, and nothing false is stored. */
START_TEST(stamp_of_another_nvrtc)
{
  struct stat s;
  fl4__nvrtc_identity stamp = {.version = 12010}, now;
  snprintf(stamp.path, sizeof stamp.path, "%s", in_scratch("libnvrtc-old.so"));
  write_file(stamp.path, "old", 3);
  ck_assert_int_eq(stat(stamp.path, &s), 0);
  stamp.size = s.st_size;
  stamp.mtime_ns = (long long)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec;
  fl4__cache_dir folder;
  ck_assert_fl4(fl4__cache_dir_open(in_scratch("cache"), &folder));
  fl4__nvrtc_stamp_write(&folder, &stamp);
  fl4__cache_dir_close(&folder);

  process first = run_process();
  ck_assert(!first.hit);
  read_stamp(&now);
  ck_assert_int_ne(now.version, stamp.version);
  process second = run_process(), third = run_process();
  ck_assert(!second.hit);
  ck_assert_int_ne((long long)first.key.low, (long long)second.key.low);
  ck_assert(third.hit && !third.loaded);
  ck_assert_int_eq((long long)second.key.low, (long long)third.key.low);
}
END_TEST

/* Asked in a child: here nothing must be open yet. */
static bool nvrtc_is_missing(void)
{
  int status = 0;
  pid_t pid = fork();
  if (pid == 0) {
    fl4__nvrtc_identity identity;
    _exit(fl4__nvrtc_identify(&identity) == FL4_LIBRARY_MISSING);
  }
  return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static Suite *suite(void)
{
  if (nvrtc_is_missing()) {
    puts("1..0 # SKIP NVRTC cannot be opened");
    exit(EXIT_SUCCESS);
  }
  Suite *s = suite_create("nvrtc");
  TCase *t = tcase_create("nvrtc");
  tcase_set_timeout(t, 120);
  tcase_add_checked_fixture(t, scratch_setup, scratch_teardown);
  /* First those that need a process without NVRTC, in case tests do not fork. */
  tcase_add_test(t, warm_process_never_opens_nvrtc);
  tcase_add_test(t, stamp_of_another_choice);
  tcase_add_test(t, stamp_of_another_nvrtc);
  tcase_add_test(t, failed_attempt_is_repeated);
  tcase_add_test(t, identify);
  tcase_add_loop_test(t, every_architecture, 0, N_ARCHS);
  tcase_add_test(t, spills_are_seen);
  tcase_add_test(t, serialised_products_are_seen);
  tcase_add_test(t, code_that_must_not_run);
  tcase_add_test(t, several_entries);
  tcase_add_test(t, warnings_are_logged);
  tcase_add_test(t, compile_errors);
  tcase_add_test(t, deterministic);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)
