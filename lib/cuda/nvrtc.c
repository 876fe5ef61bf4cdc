/* SPDX-License-Identifier: Apache-2.0 */
/* NVRTC: opening it, compiling with it, reading from its log what a kernel takes. */
#include "nvrtc.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "util/os.h"

/* Our own declarations, so that no CUDA header is needed: NVRTC's C interface is the same in 12 and 13. */
typedef struct nvrtc_program *program;
enum { NVRTC_OK = 0, NVRTC_OUT_OF_MEMORY = 1 };

static struct nvrtc {
  void *library;
  fl4__nvrtc_identity identity;
  int (*Version)(int *major, int *minor);
  const char *(*GetErrorString)(int result);
  int (*CreateProgram)(program *, const char *text, const char *name, int n_headers, const char *const *texts,
                       const char *const *names);
  int (*DestroyProgram)(program *);
  int (*CompileProgram)(program, int n_options, const char *const *options);
  int (*GetProgramLogSize)(program, size_t *);
  int (*GetProgramLog)(program, char *);
  int (*GetCUBINSize)(program, size_t *);
  int (*GetCUBIN)(program, char *);
} nvrtc;

static pthread_mutex_t nvrtc_lock = PTHREAD_MUTEX_INITIALIZER;

const char *const fl4__nvrtc_options[] = {
    "--std=c++17",
    "--device-as-default-execution-space", /* helpers need no __device__ */
    "--ptxas-options=-v",                  /* registers, spills and shared memory, in the log */
    NULL,
};

/* Finds the functions and the version; a sentence and false if the library is not what it should be. */
static bool bind_functions(struct nvrtc *lib)
{
  const struct {
    const char *name;
    void *slot;
  } table[] = {
      {"nvrtcVersion", &lib->Version},
      {"nvrtcGetErrorString", &lib->GetErrorString},
      {"nvrtcCreateProgram", &lib->CreateProgram},
      {"nvrtcDestroyProgram", &lib->DestroyProgram},
      {"nvrtcCompileProgram", &lib->CompileProgram},
      {"nvrtcGetProgramLogSize", &lib->GetProgramLogSize},
      {"nvrtcGetProgramLog", &lib->GetProgramLog},
      {"nvrtcGetCUBINSize", &lib->GetCUBINSize},
      {"nvrtcGetCUBIN", &lib->GetCUBIN},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    void *symbol = dlsym(lib->library, table[i].name);
    if (!symbol) {
      fl4__fail(FL4_LIBRARY_MISSING, "NVRTC: the library has no %s", table[i].name);
      return false;
    }
    memcpy(table[i].slot, &symbol, sizeof symbol); /* ISO C has no cast from data to function */
  }
  int major = 0, minor = 0;
  if (lib->Version(&major, &minor) != NVRTC_OK) {
    fl4__fail(FL4_LIBRARY_MISSING, "NVRTC: the library does not tell its version");
    return false;
  }
  lib->identity.version = major * 1000 + minor * 10;
  return true;
}

/* Which file it was, as long as that is still on disk as it was loaded. */
static void find_file(struct nvrtc *lib)
{
  fl4__nvrtc_identity *identity = &lib->identity;
  Dl_info from;
  char path[PATH_MAX];
  struct stat file;
  if (!dladdr(dlsym(lib->library, "nvrtcVersion"), &from) || !realpath(from.dli_fname, path)) return;
  if (strlen(path) >= sizeof identity->path || stat(path, &file) != 0) return;
  strcpy(identity->path, path);
  identity->size = (long long)file.st_size;
  identity->mtime_ns = (long long)file.st_mtim.tv_sec * 1000000000 + file.st_mtim.tv_nsec;
}

/*
 * NVRTC opens a second library of its own by its bare name, which the loader does not find if NVRTC
 * itself was opened by its path. Opened here from the same folder, it is there already.
 */
static void open_builtins(const struct nvrtc *lib)
{
  const fl4__nvrtc_identity *identity = &lib->identity;
  const char *slash = strrchr(identity->path, '/');
  char path[PATH_MAX];
  const int length = snprintf(path, sizeof path, "%.*s/libnvrtc-builtins.so.%d.%d",
                              slash ? (int)(slash - identity->path) : 0, identity->path, identity->version / 1000,
                              identity->version % 1000 / 10);
  if (slash && length < (int)sizeof path) dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

/* Opens NVRTC unless it is open. Afterwards `nvrtc` does not change, so it is read without the lock. */
static fl4_status open_nvrtc(void)
{
  fl4_status status = FL4_OK;
  pthread_mutex_lock(&nvrtc_lock);
  if (!nvrtc.library) {
    const char *asked = fl4__getenv("FLASHL4_NVRTC");
    const char *const file[] = {asked, NULL};
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", NULL};
    char tried[1024];
    struct nvrtc lib = {.library = fl4__open_library(asked ? file : names, tried, sizeof tried)};
    if (!lib.library) {
      status = fl4__fail(FL4_LIBRARY_MISSING, "NVRTC cannot be opened; tried %s%s", tried,
                         asked ? " (from FLASHL4_NVRTC)" : "; FLASHL4_NVRTC can name its file");
    } else if (!bind_functions(&lib)) {
      dlclose(lib.library);
      status = FL4_LIBRARY_MISSING;
    } else {
      find_file(&lib);
      open_builtins(&lib);
      nvrtc = lib;
    }
  }
  pthread_mutex_unlock(&nvrtc_lock);
  return status;
}

bool fl4__nvrtc_loaded(void)
{
  pthread_mutex_lock(&nvrtc_lock);
  bool loaded = nvrtc.library != NULL;
  pthread_mutex_unlock(&nvrtc_lock);
  return loaded;
}

fl4_status fl4__nvrtc_identify(fl4__nvrtc_identity *identity)
{
  memset(identity, 0, sizeof *identity);
  FL4_TRY(open_nvrtc());
  *identity = nvrtc.identity;
  return FL4_OK;
}

void fl4__nvrtc_arch(int sm, char arch[16])
{
  snprintf(arch, 16, "sm_%d%s", sm, sm == 90 ? "a" : "");
}

void fl4__cubin_free(fl4__cubin *cubin)
{
  free(cubin->data);
  memset(cubin, 0, sizeof *cubin);
}

/* Splits a text at its newlines, in place: the next line that is not empty, or NULL. */
static char *next_line(char **text)
{
  char *line = *text + strspn(*text, "\n");
  if (!*line) return NULL;
  char *end = line + strcspn(line, "\n");
  *text = *end ? end + 1 : end;
  *end = '\0';
  return line;
}

/*
 * One line of ptxas -v. With several entry functions each resource is the largest of any:
 *   ptxas         .     16 bytes stack frame, 12 bytes spill stores, 12 bytes spill loads
 *   ptxas info    : Used 255 registers, used 1 barriers, 16 bytes cumulative stack size, 1024 bytes smem
 *   ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to …
 */
static bool read_resources(const char *line, fl4__resources *resources)
{
  if (strncmp(line, "ptxas info", 10) != 0 && strncmp(line, "ptxas    ", 9) != 0) return false;
  const char *stack = strstr(line, " bytes stack frame, "), *used = strstr(line, ": Used "), *smem;
  const char *serialised = strstr(line, ": (C751"); /* and a digit */
  int stores, loads, registers, bytes;
  if (stack && sscanf(stack, " bytes stack frame, %d bytes spill stores, %d bytes", &stores, &loads) == 2) {
    if (stores + loads > resources->spill_bytes) resources->spill_bytes = stores + loads;
  } else if (used && sscanf(used, ": Used %d registers", &registers) == 1) {
    if (registers > resources->registers) resources->registers = registers;
    smem = strstr(used, " bytes smem");
    while (smem && smem > used && smem[-1] >= '0' && smem[-1] <= '9') smem--;
    if (smem && sscanf(smem, "%d", &bytes) == 1 && bytes > resources->smem_static) resources->smem_static = bytes;
  } else if (serialised) {
    const int number = 7510 + serialised[7] - '0';
    if (!resources->serialised || number < resources->serialised) resources->serialised = number;
  }
  return true;
}

fl4_status fl4__resources_check(const char *name, const fl4__resources *resources, int launch_registers)
{
  if (resources->serialised)
    return fl4__fail(FL4_COMPILE_FAILED, "%s: the assembler serialises the matrix products (C%d)", name,
                     resources->serialised);
  if (resources->registers < launch_registers)
    return fl4__fail(FL4_COMPILE_FAILED, "%s: the assembler gives a thread %d registers, must be at least %d", name,
                     resources->registers, launch_registers);
  return FL4_OK;
}

/* The compiler's log of a program, zero-terminated, or NULL for want of memory. */
static char *program_log(program prog)
{
  size_t size = 0;
  if (nvrtc.GetProgramLogSize(prog, &size) != NVRTC_OK) size = 0;
  char *text = calloc(1, size + 1);
  if (text && size && nvrtc.GetProgramLog(prog, text) != NVRTC_OK) text[0] = '\0';
  return text;
}

/* The line of the first error of the front end, of ptxas, or of the options; else the whole log. */
static const char *first_error(const char *text)
{
  static const char *const marks[] = {": error", "; error", "ptxas error", "ptxas fatal"};
  const char *first = NULL;
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
    const char *found = strstr(text, marks[i]);
    if (found && (!first || found < first)) first = found;
  }
  while (first && first > text && first[-1] != '\n') first--;
  return first ? first : text;
}

/* The sentence starts with the first error: warnings before it would fill the room there is. */
static fl4_status compile_failed(const fl4__log *log, const char *name, const char *arch, int result, char *text)
{
  fl4__fail(FL4_COMPILE_FAILED, "%s: NVRTC %d.%d for %s: %s\n%s", name, nvrtc.identity.version / 1000,
            nvrtc.identity.version % 1000 / 10, arch, nvrtc.GetErrorString(result), first_error(text));
  fl4__log_write(log, FL4_LOG_ERROR, "%s: %s", name, nvrtc.GetErrorString(result));
  for (char *line; (line = next_line(&text));) fl4__log_write(log, FL4_LOG_ERROR, "%s", line);
  return FL4_COMPILE_FAILED;
}

/* Takes the machine code out of a compiled program. */
static fl4_status take_cubin(program prog, const char *name, fl4__cubin *cubin)
{
  size_t size = 0;
  int result = nvrtc.GetCUBINSize(prog, &size);
  if (result == NVRTC_OK && size > 0) {
    cubin->data = malloc(size);
    if (!cubin->data) return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory for a cubin of %zu bytes", name, size);
    cubin->size = size;
    result = nvrtc.GetCUBIN(prog, cubin->data);
    if (result == NVRTC_OK) return FL4_OK;
    fl4__cubin_free(cubin);
  }
  return fl4__fail(FL4_COMPILE_FAILED, "%s: NVRTC gives no cubin: %s", name, nvrtc.GetErrorString(result));
}

/* Runs the compiler on a program and reads what it made. */
static fl4_status compile_program(const fl4__log *log, program prog, const char *name, const char *const *options,
                                  int n_options, const char *arch, fl4__cubin *cubin)
{
  int result = nvrtc.CompileProgram(prog, n_options, options);
  char *text = program_log(prog);
  if (!text || result == NVRTC_OUT_OF_MEMORY) {
    free(text);
    return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory to compile", name);
  }
  fl4_status status;
  if (result != NVRTC_OK) {
    status = compile_failed(log, name, arch, result, text);
  } else {
    char *rest = text;
    for (char *line; (line = next_line(&rest));) {
      bool resources = read_resources(line, &cubin->resources);
      fl4__log_write(log, resources ? FL4_LOG_DEBUG : FL4_LOG_INFO, "%s", line);
    }
    if (cubin->resources.registers == 0)
      fl4__log_write(log, FL4_LOG_WARN, "%s: NVRTC did not tell its resources", name);
    status = take_cubin(prog, name, cubin);
  }
  free(text);
  return status;
}

fl4_status fl4__nvrtc_compile(const fl4__log *log, const fl4__source *main_source, const fl4__source *headers,
                              int n_headers, const char *const *options, int n_options, const char *arch,
                              fl4__cubin *cubin)
{
  memset(cubin, 0, sizeof *cubin);
  FL4_TRY(open_nvrtc());

  /* One array: the options, then the headers' texts, then their names. */
  enum { OWN_OPTIONS = sizeof fl4__nvrtc_options / sizeof *fl4__nvrtc_options + 1 }; /* + arch + no-cache - NULL */
  const char **strings = malloc(sizeof *strings * (size_t)(OWN_OPTIONS + n_options + 2 * n_headers));
  if (!strings) return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory to compile", main_source->name);
  char architecture[64];
  snprintf(architecture, sizeof architecture, "--gpu-architecture=%s", arch);
  int n = 0;
  strings[n++] = architecture;
  for (int i = 0; fl4__nvrtc_options[i]; i++) strings[n++] = fl4__nvrtc_options[i];
  /* From 12.9 on NVRTC has a cache of its own. One is enough, and ptxas must run to tell resources. */
  if (nvrtc.identity.version >= 12090) strings[n++] = "--no-cache";
  for (int i = 0; i < n_options; i++) strings[n++] = options[i];
  const char **texts = strings + n, **names = texts + n_headers;
  for (int i = 0; i < n_headers; i++) texts[i] = headers[i].text, names[i] = headers[i].name;

  program prog = NULL;
  fl4_status status;
  int result = nvrtc.CreateProgram(&prog, main_source->text, main_source->name, n_headers, texts, names);
  if (result == NVRTC_OK) {
    status = compile_program(log, prog, main_source->name, strings, n, arch, cubin);
    nvrtc.DestroyProgram(&prog);
  } else if (result == NVRTC_OUT_OF_MEMORY) {
    status = fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory to compile", main_source->name);
  } else {
    status = fl4__fail(FL4_COMPILE_FAILED, "%s: NVRTC: %s", main_source->name, nvrtc.GetErrorString(result));
  }
  free(strings);
  return status;
}
