/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing contexts: options, their defaults from the environment, the device. */
#include "context.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "error.h"
#include "util/os.h"
#include "wisdom_store.h"

static fl4_status check_options(const fl4_context_options *o)
{
  const uint32_t known = FL4_CONTEXT_NO_DISK_CACHE | FL4_CONTEXT_DEBUG;
  if (o->flags & ~known)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_context_options.flags: is 0x%x, known are 0x%x", o->flags, known);
  if (o->log_level < 0 || o->log_level > FL4_LOG_DEBUG)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_context_options.log_level: is %d, must be from 0 to %d", o->log_level,
                     FL4_LOG_DEBUG);
  if (o->threads < 0 || o->threads > 4096)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_context_options.threads: is %d, must be from 0 to 4096", o->threads);
  if (o->reserved0)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_context_options.reserved0: is %u, must be 0", o->reserved0);
  for (int i = 0; i < 4; i++)
    if (o->reserved[i])
      return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_context_options.reserved[%d]: is %" PRIu64 ", must be 0", i,
                       o->reserved[i]);
  return FL4_OK;
}

/* The caller's text, else the environment's, copied; NULL stays NULL. */
static fl4_status copy_text(const char *given, const char *variable, char **copy)
{
  const char *text = given ? given : fl4__getenv(variable);
  *copy = NULL;
  if (!text) return FL4_OK;
  const size_t size = strlen(text) + 1;
  *copy = malloc(size);
  if (!*copy) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_context_create: no memory for %zu bytes", size);
  memcpy(*copy, text, size);
  return FL4_OK;
}

static int log_level(const fl4_context_options *o)
{
  if (o->log_level) return o->log_level;
  const char *text = fl4__getenv("FLASHL4_LOG");
  const long level = text ? strtol(text, NULL, 10) : 0;
  return level >= FL4_LOG_ERROR && level <= FL4_LOG_DEBUG ? (int)level : FL4_LOG_WARN;
}

/* A forced variant asks for none, and kernels of one's own are not those that wisdom knows. */
static fl4_status open_wisdom(fl4_context *c)
{
  FL4_TRY(fl4__wisdom_open(&c->log, &c->wisdom));
  if (c->kernel_dir) fl4__wisdom_keep(c->wisdom);
  if (c->kernel_dir || c->forced.family) return FL4_OK;
  return fl4__wisdom_load_layers(c->wisdom, &c->device->info);
}

fl4_status fl4_context_create(fl4_context **ctx, const fl4_context_options *options)
{
  if (!ctx) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_context_create: ctx: is NULL, must receive the context");
  *ctx = NULL;
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  if (options) FL4_TRY(fl4__struct_read(&o, sizeof o, options, "fl4_context_options"));
  FL4_TRY(check_options(&o));

  fl4_context *c = calloc(1, sizeof *c);
  if (!c) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_context_create: no memory for %zu bytes", sizeof *c);
  c->log = (fl4__log){o.log, o.log_user, log_level(&o)};

  fl4_status status;
  FL4_TRY_GOTO(copy_text(o.cache_dir, "FLASHL4_CACHE_DIR", &c->cache_dir));
  FL4_TRY_GOTO(copy_text(o.kernel_dir, "FLASHL4_KERNEL_DIR", &c->kernel_dir));
  const char *variant = o.variant ? o.variant : fl4__getenv("FLASHL4_VARIANT");
  if (variant && (status = fl4__variant_parse(variant, &c->forced)) != FL4_OK) {
    fl4__fail_context(status, o.variant ? "fl4_context_options.variant" : "$FLASHL4_VARIANT");
    goto done;
  }

  const fl4__device_config config = {
      .log = &c->log,
      .cache_dir = c->cache_dir,
      .kernel_dir = c->kernel_dir,
      .threads = o.threads,
      .disk_cache = !(o.flags & FL4_CONTEXT_NO_DISK_CACHE),
      .debug = (o.flags & FL4_CONTEXT_DEBUG) != 0,
  };
  FL4_TRY_GOTO(fl4__device_open(o.device ? o.device : fl4__getenv("FLASHL4_DEVICE"), &config, &c->device));
  FL4_TRY_GOTO(open_wisdom(c));
  c->capture = fl4__capture_open(&c->log);
  *ctx = c;
  return FL4_OK;

done:
  fl4_context_destroy(&c);
  return status;
}

void fl4_context_destroy(fl4_context **ctx)
{
  if (!ctx || !*ctx) return;
  fl4_context *c = *ctx;
  if (c->device) c->device->backend->close(c->device);
  fl4__wisdom_close(c->wisdom);
  free(c->cache_dir);
  free(c->kernel_dir);
  free(c);
  *ctx = NULL;
}

fl4_status fl4_context_get_device_info(fl4_context *ctx, fl4_device_info *info)
{
  if (!ctx) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_context_get_device_info: ctx: is NULL, must be a context");
  if (!info)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_context_get_device_info: info: is NULL, must receive the description");
  fl4_device_info ignored;
  FL4_TRY(fl4__struct_read(&ignored, sizeof ignored, info, "fl4_device_info"));
  fl4__struct_write(info, &ctx->device->info, sizeof ctx->device->info);
  return FL4_OK;
}

fl4_status fl4_context_get_cache_info(fl4_context *ctx, fl4_cache_info *info)
{
  if (!ctx) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_context_get_cache_info: ctx: is NULL, must be a context");
  if (!info)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_context_get_cache_info: info: is NULL, must receive the state");
  fl4_cache_info out;
  FL4_TRY(fl4__struct_read(&out, sizeof out, info, "fl4_cache_info"));
  memset(&out, 0, sizeof out);
  ctx->device->backend->cache_info(ctx->device, &out);
  fl4__struct_write(info, &out, sizeof out);
  return FL4_OK;
}
