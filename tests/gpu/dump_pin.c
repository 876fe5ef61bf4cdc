/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dump_pin [--hopper] FOLDER: what the GPU's instructions do. Compiles FOLDER/pin.cu (tests/emu/), runs it for
 * fp16 and for bf16, and prints the results on standard output: this text is committed as
 * tests/emu/pinned_h200.txt. With --hopper it is pin_hopper.cu, for a GPU of sm_90, and pinned_hopper_h200.txt.
 * With --compile ARCH instead, it only compiles all that ARCH has; that needs no GPU.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../emu/pin.h"
#include "../emu/pin_hopper.h"
#include "cuda/cuda_device.h"
#include "cuda/nvrtc.h"
#include "cuda/sources.h"
#include "cuda/tensor_map.h"
#include "error.h"

#define NAME(name) #name,
static const char *const plain_cases[] = {FL4_PIN_CASES(NAME)}, *const hopper_cases[] = {FL4_PIN_HOPPER_CASES(NAME)};
static const char *const dtype_names[] = {"fp16", "bf16"};

/* A kernel, and the layout of its results. */
typedef struct program {
  const char *source, *header, *entry;
  const char *const *cases;
  int case_words, results;
  unsigned threads, smem;
  size_t input_bytes, output_bytes;
} program;

static const program plain = {
    .source = "pin.cu",
    .header = "pin.h",
    .entry = "fl4_pin",
    .cases = plain_cases,
    .case_words = FL4_PIN_WORDS,
    .results = FL4_PIN_RESULTS,
    .threads = 32,
    .smem = FL4_PIN_SMEM_BYTES,
    .input_bytes = 2 * FL4_PIN_INPUT,
    .output_bytes = FL4_PIN_OUTPUT_BYTES,
};
static const program hopper = {
    .source = "pin_hopper.cu",
    .header = "pin_hopper.h",
    .entry = "fl4_pin_hopper",
    .cases = hopper_cases,
    .case_words = FL4_PIN_HOPPER_WORDS,
    .results = FL4_PIN_HOPPER_RESULTS,
    .threads = FL4_PIN_HOPPER_THREADS,
    .smem = FL4_PIN_HOPPER_SMEM_BYTES,
    .input_bytes = 2 * FL4_PIN_ELEMENTS,
    .output_bytes = 4 * FL4_PIN_HOPPER_RESULTS,
};

static fl4_status read_file(const char *folder, const char *name, char *text, size_t size)
{
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "r");
  if (!file) return fl4__fail(FL4_IO_ERROR, "%s cannot be read", path);
  const size_t n = fread(text, 1, size - 1, file);
  fclose(file);
  if (n == size - 1) return fl4__fail(FL4_IO_ERROR, "%s is too long", path);
  text[n] = '\0';
  return FL4_OK;
}

static fl4_status compile(const program *p, const char *folder, int dtype, const char *arch, fl4__cubin *cubin)
{
  static char main_text[1 << 18], header_text[1 << 18];
  const fl4__source main_source = {p->source, main_text};
  fl4__source headers[64] = {{p->header, header_text}};
  int n = 1;
  FL4_TRY(read_file(folder, p->source, main_text, sizeof main_text));
  FL4_TRY(read_file(folder, p->header, header_text, sizeof header_text));
  for (int i = 0; i < fl4__n_embedded_sources && n < 64; i++) headers[n++] = fl4__embedded_sources[i];
  const char *const options[] = {dtype ? "-DFL4_BF16=1" : "-DFL4_BF16=0"};
  return fl4__nvrtc_compile(NULL, &main_source, headers, n, options, 1, arch, cubin);
}

/* The maps of pin_hopper.cu are made as those of any other kernel. */
static fl4_status hopper_params(const void *in, void *out, int dtype, fl4_fwd_tma_params *params)
{
  const fl4_fwd_params fwd = fl4_pin_hopper_params(in, out);
  const fl4__build build = {.dtype = dtype ? FL4_DTYPE_BF16 : FL4_DTYPE_FP16, .D = FL4_PIN_COLUMNS};
  const fl4__geometry geometry = {.tma_rows = {FL4_PIN_Q_ROWS, FL4_PIN_K_ROWS, FL4_PIN_V_ROWS}};
  return fl4__tensor_maps(&build, &geometry, &fwd, params);
}

/* Runs the kernel once; results to `words`. */
static fl4_status run(const program *p, int dtype, const fl4__cubin *cubin, uint32_t *words)
{
  cudaLibrary_t library = NULL;
  cudaKernel_t kernel = NULL;
  void *in = NULL, *out = NULL;
  static uint16_t input[FL4_PIN_ELEMENTS];
  fl4_status status = FL4_OK;
  if (p == &hopper)
    fl4_pin_hopper_fill(input, dtype);
  else
    fl4_pin_fill_input(input);
  FL4_CUDA_TRY_GOTO(cudaLibraryLoadData(&library, cubin->data, NULL, NULL, 0, NULL, NULL, 0));
  FL4_CUDA_TRY_GOTO(cudaLibraryGetKernel(&kernel, library, p->entry));
  FL4_CUDA_TRY_GOTO(
      cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)p->smem));
  FL4_CUDA_TRY_GOTO(cudaMalloc(&in, p->input_bytes));
  FL4_CUDA_TRY_GOTO(cudaMalloc(&out, p->output_bytes));
  FL4_CUDA_TRY_GOTO(cudaMemcpy(in, input, p->input_bytes, cudaMemcpyHostToDevice));
  FL4_CUDA_TRY_GOTO(cudaMemset(out, 0xee, p->output_bytes));

  fl4_fwd_params params = {.q = (uintptr_t)in, .o = (uintptr_t)out};
  fl4_fwd_tma_params with_maps;
  void *args[] = {&params};
  if (p == &hopper) {
    FL4_TRY_GOTO(hopper_params(in, out, dtype, &with_maps));
    args[0] = &with_maps;
  }
  const cudaLaunchConfig_t config = {.gridDim = {1, 1, 1}, .blockDim = {p->threads, 1, 1}, .dynamicSmemBytes = p->smem};
  FL4_CUDA_TRY_GOTO(cudaLaunchKernelExC(&config, (const void *)kernel, args));
  FL4_CUDA_TRY_GOTO(cudaMemcpy(words, out, (size_t)p->results * 4, cudaMemcpyDeviceToHost));
done:
  cudaFree(out);
  cudaFree(in);
  if (library) cudaLibraryUnload(library);
  return status;
}

/* A line: dtype, case, first lane, and two lanes' four words each. */
static void print_words(const program *p, const char *dtype, const uint32_t *words)
{
  for (int i = 0; i < p->results; i += 8) {
    char name[32];
    snprintf(name, sizeof name, "%s", p->cases[i / p->case_words]);
    for (char *c = name; *c; c++)
      if (*c >= 'A' && *c <= 'Z') *c += 'a' - 'A';
    printf("%s %s %d ", dtype, name, i % p->case_words / 4);
    for (int j = 0; j < 8; j++) printf(" %08x", words[i + j]);
    puts("");
  }
}

static void print_head(const program *p, const struct cudaDeviceProp *device)
{
  int driver = 0;
  fl4__nvrtc_identity nvrtc = {0};
  char date[32] = "";
  const time_t now = time(NULL);
  cudaDriverGetVersion(&driver);
  if (fl4__nvrtc_identify(&nvrtc) != FL4_OK) nvrtc.version = 0;
  strftime(date, sizeof date, "%Y-%m-%d", gmtime(&now));
  printf("# %s, sm_%d%d, driver for CUDA %d.%d, NVRTC %d.%d, %s\n", device->name, device->major, device->minor,
         driver / 1000, driver % 1000 / 10, nvrtc.version / 1000, nvrtc.version % 1000 / 10, date);
  printf("# What tests/emu/%s wrote there, by tests/gpu/dump_pin.c. A line: dtype, case, lane, the four words of\n"
         "# this lane and of the next. NaNs are written as 7fc00000, packed ones as 7fff.\n",
         p->source);
}

static fl4_status dump(const program *p, const char *folder)
{
  struct cudaDeviceProp device;
  char arch[16];
  FL4_CUDA_TRY(cudaGetDeviceProperties(&device, 0));
  fl4__nvrtc_arch(10 * device.major + device.minor, arch);
  print_head(p, &device);
  for (int dtype = 0; dtype < 2; dtype++) {
    static uint32_t words[FL4_PIN_HOPPER_RESULTS]; /* the larger one */
    _Static_assert((int)FL4_PIN_HOPPER_RESULTS >= (int)FL4_PIN_RESULTS, "room for both");
    fl4__cubin cubin;
    FL4_TRY(compile(p, folder, dtype, arch, &cubin));
    const fl4_status status = run(p, dtype, &cubin, words);
    fl4__cubin_free(&cubin);
    if (status != FL4_OK) return status;
    print_words(p, dtype_names[dtype], words);
  }
  return FL4_OK;
}

static fl4_status compile_only(const program *p, const char *arch, const char *folder)
{
  for (int dtype = 0; dtype < 2; dtype++) {
    fl4__cubin cubin = {0};
    FL4_TRY(compile(p, folder, dtype, arch, &cubin));
    printf("%s %s %s: %d registers, %d bytes of spills\n", arch, p->source, dtype_names[dtype],
           cubin.resources.registers, cubin.resources.spill_bytes);
    fl4__cubin_free(&cubin);
  }
  return FL4_OK;
}

int main(int argc, char **argv)
{
  fl4_status status = FL4_OK;
  if (argc == 4 && strcmp(argv[1], "--compile") == 0) {
    status = compile_only(&plain, argv[2], argv[3]);
    if (status == FL4_OK && strcmp(argv[2], "sm_90a") == 0) status = compile_only(&hopper, argv[2], argv[3]);
  } else if (argc == 3 && strcmp(argv[1], "--hopper") == 0) {
    status = dump(&hopper, argv[2]);
  } else if (argc == 2) {
    status = dump(&plain, argv[1]);
  } else {
    return fputs("usage: dump_pin [--hopper] FOLDER | dump_pin --compile ARCH FOLDER\n", stderr), 2;
  }
  if (status != FL4_OK) fprintf(stderr, "dump_pin: %s\n", fl4_last_error());
  return status == FL4_OK ? 0 : 1;
}
