/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dump_pin FOLDER: what the GPU's instructions do. Compiles FOLDER/pin.cu (tests/emu/), runs it for
 * fp16 and for bf16, and prints the results on standard output: this text is committed as
 * tests/emu/pinned_h200.txt. With --compile ARCH instead, it only compiles; that needs no GPU.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../emu/pin.h"
#include "cuda/cuda_device.h"
#include "cuda/nvrtc.h"
#include "cuda/sources.h"
#include "error.h"

#define LOWER(name) #name,
static const char *const case_names[] = {FL4_PIN_CASES(LOWER)};
static const char *const dtype_names[] = {"fp16", "bf16"};

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

static fl4_status compile(const char *folder, int dtype, const char *arch, fl4__cubin *cubin)
{
  static char main_text[1 << 18], header_text[1 << 18];
  const fl4__source main_source = {"pin.cu", main_text};
  fl4__source headers[64] = {{"pin.h", header_text}};
  int n = 1;
  FL4_TRY(read_file(folder, "pin.cu", main_text, sizeof main_text));
  FL4_TRY(read_file(folder, "pin.h", header_text, sizeof header_text));
  for (int i = 0; i < fl4__n_embedded_sources && n < 64; i++) headers[n++] = fl4__embedded_sources[i];
  const char *const options[] = {dtype ? "-DFL4_BF16=1" : "-DFL4_BF16=0"};
  return fl4__nvrtc_compile(NULL, &main_source, headers, n, options, 1, arch, cubin);
}

/* Runs the kernel once; results to `words`. */
static fl4_status run(const fl4__cubin *cubin, uint32_t *words)
{
  cudaLibrary_t library = NULL;
  cudaKernel_t kernel = NULL;
  void *in = NULL, *out = NULL;
  uint16_t input[FL4_PIN_INPUT];
  fl4_status status = FL4_OK;
  fl4_pin_fill_input(input);
  FL4_CUDA_TRY_GOTO(cudaLibraryLoadData(&library, cubin->data, NULL, NULL, 0, NULL, NULL, 0));
  FL4_CUDA_TRY_GOTO(cudaLibraryGetKernel(&kernel, library, "fl4_pin"));
  FL4_CUDA_TRY_GOTO(cudaMalloc(&in, sizeof input));
  FL4_CUDA_TRY_GOTO(cudaMalloc(&out, FL4_PIN_OUTPUT_BYTES));
  FL4_CUDA_TRY_GOTO(cudaMemcpy(in, input, sizeof input, cudaMemcpyHostToDevice));
  FL4_CUDA_TRY_GOTO(cudaMemset(out, 0xee, FL4_PIN_OUTPUT_BYTES));

  fl4_fwd_params params = {.q = (uintptr_t)in, .o = (uintptr_t)out};
  void *args[] = {&params};
  const cudaLaunchConfig_t config = {
      .gridDim = {1, 1, 1}, .blockDim = {32, 1, 1}, .dynamicSmemBytes = FL4_PIN_SMEM_BYTES};
  FL4_CUDA_TRY_GOTO(cudaLaunchKernelExC(&config, (const void *)kernel, args));
  FL4_CUDA_TRY_GOTO(cudaMemcpy(words, out, FL4_PIN_RESULTS * 4, cudaMemcpyDeviceToHost));
done:
  cudaFree(out);
  cudaFree(in);
  if (library) cudaLibraryUnload(library);
  return status;
}

/* A line: dtype, case, first lane, and two lanes' four words each. */
static void print_words(const char *dtype, const uint32_t *words)
{
  for (int i = 0; i < FL4_PIN_RESULTS; i += 8) {
    char name[32];
    snprintf(name, sizeof name, "%s", case_names[i / FL4_PIN_WORDS]);
    for (char *c = name; *c; c++)
      if (*c >= 'A' && *c <= 'Z') *c += 'a' - 'A';
    printf("%s %s %d ", dtype, name, i % FL4_PIN_WORDS / 4);
    for (int j = 0; j < 8; j++) printf(" %08x", words[i + j]);
    puts("");
  }
}

static void print_head(const struct cudaDeviceProp *device)
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
  puts("# What tests/emu/pin.cu wrote there, by tests/gpu/dump_pin.c. A line: dtype, case, lane, the four words of\n"
       "# this lane and of the next. NaNs are written as 7fc00000, packed ones as 7fff.");
}

static fl4_status dump(const char *folder)
{
  struct cudaDeviceProp device;
  char arch[16];
  FL4_CUDA_TRY(cudaGetDeviceProperties(&device, 0));
  snprintf(arch, sizeof arch, "sm_%d%d", device.major, device.minor);
  print_head(&device);
  for (int dtype = 0; dtype < 2; dtype++) {
    static uint32_t words[FL4_PIN_RESULTS];
    fl4__cubin cubin;
    FL4_TRY(compile(folder, dtype, arch, &cubin));
    const fl4_status status = run(&cubin, words);
    fl4__cubin_free(&cubin);
    if (status != FL4_OK) return status;
    print_words(dtype_names[dtype], words);
  }
  return FL4_OK;
}

int main(int argc, char **argv)
{
  fl4_status status = FL4_OK;
  if (argc == 4 && strcmp(argv[1], "--compile") == 0) {
    for (int dtype = 0; dtype < 2 && status == FL4_OK; dtype++) {
      fl4__cubin cubin = {0};
      status = compile(argv[3], dtype, argv[2], &cubin);
      if (status == FL4_OK)
        printf("%s %s: %d registers, %d bytes of spills\n", argv[2], dtype_names[dtype], cubin.resources.registers,
               cubin.resources.spill_bytes);
      fl4__cubin_free(&cubin);
    }
  } else if (argc == 2) {
    status = dump(argv[1]);
  } else {
    return fputs("usage: dump_pin FOLDER | dump_pin --compile ARCH FOLDER\n", stderr), 2;
  }
  if (status != FL4_OK) fprintf(stderr, "dump_pin: %s\n", fl4_last_error());
  return status == FL4_OK ? 0 : 1;
}
