/* SPDX-License-Identifier: Apache-2.0 */
/* The devices "emu", "emu:1" and "emu:2". Only the last step of a call differs from a GPU's: the launch. */
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <mutex>

extern "C" {
#include "auxiliary.h"
#include "device.h"
#include "error.h"
#include "tensor_boxes.h"
#include "util/os.h"
}

#include "backend.h"
#include "instances.h"

namespace emu {

static Options options_from_environment()
{
  Options o;
  const char *seed = std::getenv("FL4_EMU_SEED"), *mode = std::getenv("FL4_EMU_MODE");
  if (seed) o.seed = std::strtoull(seed, nullptr, 0);
  if (mode && std::strcmp(mode, "early") == 0) o.copies = Copies::early;
  return o;
}

Options options = options_from_environment();

static Counts &total = *new Counts; /* never destroyed: printed at exit */
static std::mutex lock; /* `total`, and the kernels of devices */

const Counts &counts() { return total; }
void reset_counts() { total = Counts(); }

void print_counts(FILE *file)
{
  fprintf(file, "%-28s %-18s %10s %12s %10s %10s\n", "site", "instruction", "requests", "bytes", "passes", "at best");
  for (int space = 0; space < 2; space++)
    for (const auto &[site, c] : space ? total.global : total.shared) {
      const char *slash = std::strrchr(site.file, '/');
      char where[64];
      snprintf(where, sizeof where, "%s:%d", slash ? slash + 1 : site.file, site.line);
      fprintf(file, "%-28s %-18s %10llu %12llu %10llu %10llu%s\n", where, site.what, (unsigned long long)c.requests,
              (unsigned long long)c.bytes, (unsigned long long)(space ? c.sectors : c.wavefronts),
              (unsigned long long)c.ideal, (space ? c.sectors : c.wavefronts) > c.ideal ? "  *" : "");
    }
  fprintf(file, "mma %llu\n", (unsigned long long)total.mma);
}

struct Kernel {
  fl4__kernel base; /* first: what the library sees */
  Entry entry;
};

struct AuxKernel {
  fl4__aux_build build;
  Entry entry;
};

struct Device {
  fl4__device base; /* first */
  std::list<Kernel> kernels;
  std::list<AuxKernel> aux;
  std::atomic<u64> launches{0};
};

/*
 * Limits as those of an L4 and an H100. With one multiprocessor choices are as for a grid that fills the machine; with
 * three, which divide few grids, blocks share the work of a kernel whose blocks stay.
 */
static const struct Model {
  const char *name, *isa;
  int sm, multiprocessors, smem_per_block, smem_per_sm, threads_per_sm;
  int64_t l2_bytes;
} models[] = {
    {"emulated GPU", "sm_89", 89, 1, 99 << 10, 100 << 10, 1536, 48 << 20},
    {"emulated Hopper GPU", "sm_90", 90, 1, 227 << 10, 228 << 10, 2048, 50 << 20},
    {"emulated Hopper GPU", "sm_90", 90, 3, 227 << 10, 228 << 10, 2048, 50 << 20},
};
enum { N_MODELS = sizeof models / sizeof *models };

static int count()
{
  return N_MODELS;
}

static fl4_status describe(int ordinal, fl4_device_info *info)
{
  const Model &m = models[ordinal];
  std::memset(info, 0, sizeof *info);
  info->struct_size = sizeof *info;
  info->kind = FL4_DEVICE_EMU, info->ordinal = ordinal;
  snprintf(info->name, sizeof info->name, "%s", m.name);
  snprintf(info->isa, sizeof info->isa, "%s", m.isa);
  info->sm = m.sm, info->multiprocessors = m.multiprocessors;
  info->smem_per_block = m.smem_per_block, info->smem_per_sm = m.smem_per_sm;
  info->registers_per_sm = 65536, info->threads_per_sm = m.threads_per_sm;
  info->l2_bytes = m.l2_bytes, info->memory_bytes = (int64_t)1 << 32;
  return FL4_OK;
}

static fl4_status open_device(int ordinal, const fl4__device_config *config, fl4__device **device)
{
  Device *d = new Device();
  d->base.backend = fl4__backend_extra;
  d->base.config = *config;
  describe(ordinal, &d->base.info);
  *device = &d->base;
  return FL4_OK;
}

static void close_device(fl4__device *device)
{
  delete reinterpret_cast<Device *>(device);
}

static fl4_status build(Device *d, const fl4__build *build, Kernel *kernel)
{
  char text[FL4__MAX_OPTIONS][FL4__OPTION_TEXT];
  const int n = fl4__build_options(build, text);
  std::vector<std::string> words(text, text + n);
  std::string joined, error;
  for (const std::string &word : words) joined += (joined.empty() ? "" : " ") + word;
  const fl4__family *family = build->variant.family;
  const double start = fl4__now_ms();
  kernel->base.build = *build;
  kernel->base.hash = std::hash<std::string>()(joined);
  kernel->base.origin = FL4_KERNEL_BUILT_IN;
  kernel->entry = d->base.config.kernel_dir ? nullptr : find_instance(joined);
  if (!kernel->entry) {
    kernel->entry = compile_instance(words, d->base.config.kernel_dir, family->source, family->entry, &error);
    kernel->base.origin = FL4_KERNEL_COMPILED;
  }
  kernel->base.build_ms = (float)(fl4__now_ms() - start);
  return kernel->entry ? FL4_OK : fl4__fail(FL4_COMPILE_FAILED, "%s: %s", family->source, error.c_str());
}

static fl4_status find_kernel(fl4__device *device, const fl4__build *wanted, bool may_build, const fl4__kernel **kernel)
{
  Device *d = reinterpret_cast<Device *>(device);
  std::lock_guard<std::mutex> guard(lock);
  *kernel = nullptr;
  for (const Kernel &k : d->kernels)
    if (std::memcmp(&k.base.build, wanted, sizeof *wanted) == 0) *kernel = &k.base;
  if (*kernel || !may_build) return FL4_OK;
  Kernel made = {};
  FL4_TRY(build(d, wanted, &made));
  d->kernels.push_back(made);
  *kernel = &d->kernels.back().base;
  return FL4_OK;
}

static bool capturing(fl4__device *, fl4_stream)
{
  return false;
}

/* The tickets of a workspace are 0 before a launch and after it. */
static fl4_status check_tickets(const fl4__kernel *kernel, const fl4__geometry *g, const void *workspace,
                                const char *when)
{
  const u32 *tickets = static_cast<const u32 *>(workspace);
  for (int i = 0; g->workspace_bytes > 0 && i < FL4_TICKET_BYTES / 4; i++)
    if (tickets[i])
      return fl4__fail(FL4_DEVICE_ERROR, "emu: %s: ticket %d is %u %s the launch, must be 0",
                       kernel->build.variant.family->entry, i, tickets[i], when);
  return FL4_OK;
}

static fl4_status encode_map(const fl4__tensor_box &b, fl4_tensor_map *map)
{
  u64 sizes[4] = {(u64)b.columns}, strides[4] = {2};
  for (int i = 1; i < 4; i++) {
    sizes[i] = (u64)b.size[3 - i];
    strides[i] = sizes[i] > 1 ? (u64)b.stride[3 - i] * 2 : 16;
  }
  const void *const address = reinterpret_cast<const void *>(b.address);
  if (encode_tensor_map(map, address, sizes, strides, b.box[0], b.box[1])) return FL4_OK;
  return fl4__fail(FL4_DEVICE_ERROR, "emu: no tensor map of %s is possible: boxes of %d by %d rows of an address %p", b.name,
                   b.box[1], b.box[0], address);
}

static fl4_status encode_maps(const fl4__kernel *kernel, const fl4__geometry *g, const fl4_fwd_params &p,
                              fl4_fwd_tma_params *with_maps)
{
  fl4_tensor_map *const maps[] = {&with_maps->q, &with_maps->k, &with_maps->v, &with_maps->bias};
  fl4__tensor_box boxes[FL4__MAX_BOXES];
  const int n = fl4__tensor_boxes(&kernel->build, g, &p, boxes);
  for (int i = 0; i < n; i++) FL4_TRY(encode_map(boxes[i], maps[i]));
  with_maps->bias_rows = fl4__bias_rows(boxes, n);
  with_maps->fwd = p;
  return FL4_OK;
}

static fl4_status run(fl4__device *device, const fl4__kernel *kernel, const fl4__geometry *g,
                      const fl4_fwd_params *params, void *workspace, fl4_stream)
{
  fl4_fwd_params p = *params;
  p.workspace = reinterpret_cast<uintptr_t>(workspace);
  fl4_debug_record *record = nullptr;
  FL4_TRY(check_tickets(kernel, g, workspace, "before"));
  if (device->config.debug) {
    record = static_cast<fl4_debug_record *>(global_alloc(sizeof *record));
    std::memset(record, 0, sizeof *record);
    global_written(record, sizeof *record);
    p.debug = reinterpret_cast<uintptr_t>(record);
  }
  const bool takes_maps = g->tma_rows[0] != 0;
  fl4_fwd_tma_params with_maps;
  if (takes_maps) {
    const fl4_status encoded = encode_maps(kernel, g, p, &with_maps);
    if (encoded != FL4_OK) return global_free(record), encoded;
  }
  const void *const args = takes_maps ? static_cast<const void *>(&with_maps) : &p;
  Launch l;
  l.kernel = kernel->build.variant.family->entry;
  l.blocks = (int)g->blocks, l.threads = g->threads, l.smem = (size_t)g->smem_bytes;
  l.options = options, l.in_turn = workspace != nullptr;
  l.options.seed += 1000 * reinterpret_cast<Device *>(device)->launches++; /* the next launch is in another order */
  const Entry entry = reinterpret_cast<const Kernel *>(kernel)->entry;
  l.body = [args, entry] { entry(args); };
  Counts cost;
  std::string error;
  fl4_status status = FL4_OK;
  if (!launch(l, &cost, &error)) status = fl4__fail(FL4_DEVICE_ERROR, "emu: %s", error.c_str());
  else if (record && record->code)
    status = fl4__fail(FL4_INVARIANT_VIOLATED, "invariant %u; block %u, thread %u", record->code, record->block,
                       record->thread);
  else status = check_tickets(kernel, g, workspace, "after");
  global_free(record);
  std::lock_guard<std::mutex> guard(lock);
  total.add(cost);
  return status;
}

static fl4_status find_aux(Device *d, const fl4__aux_build &build, Entry *entry)
{
  std::lock_guard<std::mutex> guard(lock);
  for (const AuxKernel &k : d->aux)
    if (std::memcmp(&k.build, &build, sizeof build) == 0) return *entry = k.entry, FL4_OK;
  char text[FL4__AUX_OPTIONS][FL4__OPTION_TEXT];
  const int n = fl4__aux_options(&build, text);
  std::string error;
  *entry = compile_instance(std::vector<std::string>(text, text + n), d->base.config.kernel_dir, build.kernel->source,
                            build.kernel->entry, &error);
  if (!*entry) return fl4__fail(FL4_COMPILE_FAILED, "%s: %s", build.kernel->source, error.c_str());
  d->aux.push_back({build, *entry});
  return FL4_OK;
}

static fl4_status run_aux(fl4__device *device, const fl4__aux *aux, fl4_stream)
{
  Device *d = reinterpret_cast<Device *>(device);
  Entry entry;
  FL4_TRY(find_aux(d, aux->build, &entry));
  if (!aux->params) return FL4_OK;
  const void *const params = aux->params;
  Launch l;
  l.kernel = aux->build.kernel->entry;
  l.blocks = (int)aux->blocks, l.threads = FL4_AUX_THREADS, l.smem = (size_t)aux->smem_bytes;
  l.options = options, l.in_turn = false;
  l.options.seed += 1000 * d->launches++;
  l.body = [params, entry] { entry(params); };
  Counts cost;
  std::string error;
  if (!launch(l, &cost, &error)) return fl4__fail(FL4_DEVICE_ERROR, "emu: %s", error.c_str());
  std::lock_guard<std::mutex> guard(lock);
  total.add(cost);
  return FL4_OK;
}

static fl4_status allocate(fl4__device *, size_t bytes, void **memory)
{
  *memory = global_alloc(bytes ? bytes : 1);
  return *memory ? FL4_OK : fl4__fail(FL4_OUT_OF_MEMORY, "emu: no memory for %zu bytes", bytes);
}

static void release(fl4__device *, void *memory)
{
  global_free(memory);
}

static fl4_status scratch_take(fl4__device *device, size_t bytes, fl4_stream, void **memory)
{
  FL4_TRY(allocate(device, bytes, memory));
  const size_t tickets = bytes < FL4_TICKET_BYTES ? bytes : (size_t)FL4_TICKET_BYTES;
  std::memset(*memory, 0, tickets);
  global_written(*memory, tickets);
  return FL4_OK;
}

static void scratch_give(fl4__device *, void *memory, size_t, fl4_stream)
{
  global_free(memory);
}

static fl4_status upload(fl4__device *, void *to, const void *from, size_t bytes)
{
  std::memcpy(to, from, bytes);
  global_written(to, bytes);
  return FL4_OK;
}

static fl4_status download(fl4__device *, void *to, const void *from, size_t bytes)
{
  std::memcpy(to, from, bytes);
  return FL4_OK;
}

static fl4_status synchronize(fl4__device *)
{
  return FL4_OK;
}

static fl4_status copy(fl4__device *, void *to, const void *from, size_t bytes)
{
  std::memcpy(to, from, bytes);
  global_written(to, bytes);
  return FL4_OK;
}

static void cache_info(fl4__device *device, fl4_cache_info *info)
{
  snprintf(info->why_off, sizeof info->why_off, "the emulator keeps no kernels");
  info->kernels_loaded = (int64_t)reinterpret_cast<Device *>(device)->kernels.size();
}

static const fl4__backend backend = {
    FL4_DEVICE_EMU, "emu",  count,        describe,     open_device, close_device, find_kernel, capturing,   run, run_aux,
    scratch_take,   scratch_give, allocate, release, upload,      download,     synchronize, copy, cache_info,
    nullptr,
};

void add_device()
{
  fl4__backend_extra = &backend;
}

} // namespace emu
