/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions of wisdom.h that have a context. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <flashl4/tune.h>

#include "context.h"
#include "error.h"
#include "wisdom_store.h"

#define NEED(argument, what)                                                                                           \
  do {                                                                                                                 \
    if (!(argument)) return fl4__fail(FL4_INVALID_ARGUMENT, "%s: " #argument ": is NULL, must " what, __func__);       \
  } while (0)

const char *fl4_match_name(fl4_match match)
{
  static const char *const names[FL4_MATCH_COUNT] = {
#define MATCH_NAME(name, text) text,
      FL4_MATCH_MAP(MATCH_NAME)
#undef MATCH_NAME
  };
  return (int)match >= 0 && match < FL4_MATCH_COUNT ? names[match] : NULL;
}

fl4_status fl4_wisdom_lookup(fl4_context *ctx, const fl4_problem *problem, fl4_wisdom_entry *entry)
{
  NEED(ctx, "be a context");
  NEED(entry, "receive the piece");
  fl4_wisdom_entry out;
  FL4_TRY(fl4__struct_read(&out, sizeof out, entry, "fl4_wisdom_entry"));
  fl4__problem p;
  FL4_TRY(fl4__wisdom_problem(problem, &p));

  const fl4_device_info *device = &ctx->device->info;
  fl4__variant variant;
  fl4_match match = FL4_MATCH_NONE;
  memset(&out, 0, sizeof out);
  const fl4__piece *piece = ctx->forced.family ? NULL : fl4__wisdom_piece(ctx->wisdom, &p, device, &variant, &match);
  if (piece)
    out = piece->entry;
  else
    FL4_TRY(fl4__select(&ctx->forced, &p, device, &variant));
  out.match = match;
  memset(out.variant, 0, sizeof out.variant);
  fl4__variant_format(&variant, out.variant);
  fl4__struct_write(entry, &out, sizeof out);
  return FL4_OK;
}

size_t fl4_wisdom_count(fl4_context *ctx)
{
  return ctx ? fl4__wisdom_size(ctx->wisdom) : 0;
}

fl4_status fl4_wisdom_get(fl4_context *ctx, size_t index, fl4_wisdom_entry *entry)
{
  NEED(ctx, "be a context");
  NEED(entry, "receive the piece");
  fl4_wisdom_entry out;
  FL4_TRY(fl4__struct_read(&out, sizeof out, entry, "fl4_wisdom_entry"));
  if (!fl4__wisdom_at(ctx->wisdom, index, &out))
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_wisdom_get: index: is %zu, must be less than fl4_wisdom_count(), %zu",
                     index, fl4__wisdom_size(ctx->wisdom));
  fl4__struct_write(entry, &out, sizeof out);
  return FL4_OK;
}

fl4_status fl4_wisdom_set(fl4_context *ctx, const fl4_problem *problem, const char *variant)
{
  NEED(ctx, "be a context");
  NEED(variant, "be a variant");
  fl4__problem p;
  fl4__variant asked, full;
  FL4_TRY(fl4__wisdom_problem(problem, &p));
  FL4_TRY(fl4__variant_parse(variant, &asked));
  FL4_TRY(fl4__select(&asked, &p, &ctx->device->info, &full));

  fl4_wisdom_entry entry = FL4_WISDOM_ENTRY_INIT;
  FL4_TRY(fl4_problem_format(problem, entry.problem, sizeof entry.problem));
  fl4__variant_format(&asked, entry.variant);
  snprintf(entry.mode, sizeof entry.mode, "hand");
  entry.budget = FL4_TUNE_ESTIMATE;
  entry.improved = 1;
  return fl4__wisdom_add_own(ctx->wisdom, &ctx->device->info, &entry);
}

fl4_status fl4_wisdom_load(fl4_context *ctx, const char *file, fl4_wisdom_counts *counts)
{
  NEED(ctx, "be a context");
  NEED(file, "be a file's name");
  fl4_wisdom_counts out;
  if (counts) FL4_TRY(fl4__struct_read(&out, sizeof out, counts, "fl4_wisdom_counts"));
  FL4_TRY(fl4__wisdom_load_file(ctx->wisdom, &ctx->device->info, file, &out));
  if (counts) fl4__struct_write(counts, &out, sizeof out);
  return FL4_OK;
}

/* mkdir -p -m 0700 of the folder that the file is in. */
static void make_folders(char *path)
{
  for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    (void)mkdir(path, 0700); /* what is wrong shows when the file is opened */
    *slash = '/';
  }
}

fl4_status fl4_wisdom_save(fl4_context *ctx, const char *file)
{
  NEED(ctx, "be a context");
  char path[PATH_MAX];
  if (!file) {
    if (!fl4__wisdom_user_file(path, sizeof path))
      return fl4__fail(FL4_IO_ERROR, "fl4_wisdom_save: there is no user's file: neither XDG_DATA_HOME nor HOME is set");
    make_folders(path);
    file = path;
  }
  return fl4__wisdom_write(ctx->wisdom, file);
}

fl4_status fl4_wisdom_forget(fl4_context *ctx)
{
  NEED(ctx, "be a context");
  fl4__wisdom_clear(ctx->wisdom);
  return FL4_OK;
}

fl4_status fl4_wisdom_export(fl4_context *ctx, char *buffer, size_t *size)
{
  NEED(ctx, "be a context");
  NEED(size, "receive the number of bytes");
  fl4__text text = {0};
  fl4_status status = fl4__text_add(&text, fl4__wisdom_header, strlen(fl4__wisdom_header));
  if (status == FL4_OK) status = fl4__wisdom_text(ctx->wisdom, false, &text);
  if (status == FL4_OK) status = fl4__text_add(&text, "", 1);
  if (status == FL4_OK && buffer && *size < text.n)
    status = fl4__fail(FL4_INVALID_ARGUMENT, "fl4_wisdom_export: size: is %zu, must be at least %zu", *size, text.n);
  else if (status == FL4_OK && buffer)
    memcpy(buffer, text.data, text.n);
  if (status == FL4_OK || status == FL4_INVALID_ARGUMENT) *size = text.n;
  free(text.data);
  return status;
}

fl4_status fl4_wisdom_import(fl4_context *ctx, const char *text, fl4_wisdom_counts *counts)
{
  NEED(ctx, "be a context");
  NEED(text, "be what fl4_wisdom_export() wrote");
  fl4_wisdom_counts out;
  if (counts) FL4_TRY(fl4__struct_read(&out, sizeof out, counts, "fl4_wisdom_counts"));
  FL4_TRY(fl4__wisdom_take(ctx->wisdom, &ctx->device->info, text, strlen(text), "memory", &out));
  if (counts) fl4__struct_write(counts, &out, sizeof out);
  return FL4_OK;
}
