/* SPDX-License-Identifier: Apache-2.0 */
/* fl4 info: what the library finds on this machine. */
#include <inttypes.h>

#include "cli.h"

static const double KiB = 1024, MiB = 1024.0 * 1024, GiB = 1024.0 * 1024 * 1024;

static void show_device(const fl4_device_info *d)
{
  char name[32];
  cli_device_name(d, name);
  printf("  %-8s %s, %s\n", name, d->name, d->isa);
  if (d->kind == FL4_DEVICE_HOST) {
    printf("  %-8s %d threads", "", d->multiprocessors);
    if (d->memory_bytes) printf(", memory %.1f GiB", (double)d->memory_bytes / GiB);
    putchar('\n');
    return;
  }
  printf("  %-8s %d multiprocessors, each %d threads, %d registers, %.0f KiB shared memory (%.0f KiB a block)\n", "",
         d->multiprocessors, d->threads_per_sm, d->registers_per_sm, d->smem_per_sm / KiB, d->smem_per_block / KiB);
  printf("  %-8s memory %.1f GiB, L2 %.1f MiB\n", "", (double)d->memory_bytes / GiB, (double)d->l2_bytes / MiB);
}

static void show_cache(const fl4_device_info *d, const fl4_cache_info *c)
{
  char name[32];
  cli_device_name(d, name);
  printf("\ncubin cache of %s\n", name);
  if (c->dir[0] == '\0') {
    printf("  %-8s %s\n", "off", c->why_off);
  } else {
    printf("  %-8s %s\n", "folder", c->dir);
    printf("  %-8s %" PRId64 ", %.1f of %.0f MiB\n", "entries", c->entries, (double)c->bytes / MiB,
           (double)c->limit_bytes / MiB);
  }
  if (c->nvrtc_version)
    printf("  %-8s %d.%d%s\n", "NVRTC", c->nvrtc_version / 1000, c->nvrtc_version % 1000 / 10,
           c->nvrtc_loaded ? "" : ", not loaded");
}

static json_t *cache_json(const fl4_cache_info *c)
{
  json_t *cache = cli_object();
  cli_set(cache, "dir", cli_text(c->dir));
  cli_set(cache, "why_off", cli_text(c->why_off));
  cli_set(cache, "entries", json_integer(c->entries));
  cli_set(cache, "bytes", json_integer(c->bytes));
  cli_set(cache, "limit_bytes", json_integer(c->limit_bytes));
  cli_set(cache, "nvrtc_version", json_integer(c->nvrtc_version));
  cli_set(cache, "nvrtc_loaded", json_boolean(c->nvrtc_loaded));
  return cache;
}

int cli_info(const cli_options *options)
{
  FILE *file;
  int code = cli_json_open(options, &file);
  if (code != CLI_GOOD) return code;
  bool show = file != stdout;
  json_t *root = cli_object(), *devices = cli_array();
  cli_set(root, "schema", cli_text("flashl4-info-1"));
  cli_set(root, "environment", cli_environment_json(options));
  cli_set(root, "devices", devices);

  if (show)
    printf("flashl4 %s, ABI %d, built %s CUDA and %s OpenMP\n\ndevices\n", fl4_version_string(), FL4_ABI_VERSION,
           FL4_CLI_CUDA ? "with" : "without", FL4_CLI_OPENMP ? "with" : "without");
  int n = fl4_device_count();
  for (int i = 0; i < n; i++) {
    fl4_device_info info = FL4_DEVICE_INFO_INIT;
    if (fl4_device_get_info(i, &info) != FL4_OK) {
      code = cli_fail(CLI_DEVICE, "device %d of %d: %s", i, n, fl4_last_error());
      continue;
    }
    if (show) show_device(&info);
    cli_append(devices, cli_device_json(&info));
  }

  fl4_context *ctx = NULL;
  fl4_device_info info = FL4_DEVICE_INFO_INIT;
  fl4_cache_info cache = FL4_CACHE_INFO_INIT;
  int opened = cli_open(options, &ctx, &info);
  if (opened == CLI_GOOD && fl4_context_get_cache_info(ctx, &cache) != FL4_OK)
    opened = cli_fail(CLI_DEVICE, "cache: %s", fl4_last_error());
  if (opened == CLI_GOOD) {
    if (show) show_cache(&info, &cache);
    cli_set(root, "device", cli_device_json(&info));
    cli_set(root, "cache", cache_json(&cache));
  } else {
    code = opened;
  }
  fl4_context_destroy(&ctx);
  return cli_json_close(options, file, root, code);
}
