/* SPDX-License-Identifier: Apache-2.0 */
/* The cubin cache: keys, and entries in a private folder. */
#include "cubin_cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache_dir.h"
#include "cache_entry.h"
#include "error.h"
#include "nvrtc_stamp.h"

enum { KEY_VERSION = 1, DEFAULT_LIMIT = 256 << 20 };
static const char suffix[] = ".cubin";

struct fl4__cubin_cache {
  const fl4__log *log;
  fl4__cache_dir folder;
  int64_t limit_bytes;
  pthread_mutex_t lock;      /* of what follows */
  fl4__nvrtc_identity nvrtc; /* that keys are made with; version 0: not known yet */
  bool said_not_written;
};

fl4_status fl4__cubin_cache_open(const fl4__log *log, const char *dir, int64_t limit_bytes, fl4__cubin_cache **cache)
{
  *cache = NULL;
  fl4__cubin_cache *c = calloc(1, sizeof *c);
  if (!c) return fl4__fail(FL4_OUT_OF_MEMORY, "cubin cache: no memory");
  c->log = log;
  c->limit_bytes = limit_bytes > 0 ? limit_bytes : DEFAULT_LIMIT;
  fl4_status status = fl4__cache_dir_open(dir, &c->folder);
  if (status != FL4_OK) {
    free(c);
    return status;
  }
  pthread_mutex_init(&c->lock, NULL);
  if (c->folder.fd < 0) {
    fl4__log_write(log, c->folder.on_purpose ? FL4_LOG_INFO : FL4_LOG_WARN,
                   "cubin cache: off, kernels are compiled anew in each process: %s", c->folder.why_off);
  }
  *cache = c;
  return FL4_OK;
}

void fl4__cubin_cache_close(fl4__cubin_cache *cache)
{
  if (!cache) return;
  fl4__cache_dir_close(&cache->folder);
  pthread_mutex_destroy(&cache->lock);
  free(cache);
}

static bool is_on(const fl4__cubin_cache *cache)
{
  return cache && cache->folder.fd >= 0;
}

static bool same_compiler(const fl4__nvrtc_identity *a, const fl4__nvrtc_identity *b)
{
  return a->version == b->version && a->size == b->size && a->mtime_ns == b->mtime_ns && strcmp(a->path, b->path) == 0;
}

/* Makes keys from the NVRTC that this process has opened. Called with the lock held. */
static fl4_status adopt_loaded(fl4__cubin_cache *cache)
{
  fl4__nvrtc_identity loaded, stamp;
  FL4_TRY(fl4__nvrtc_identify(&loaded));
  if (same_compiler(&loaded, &cache->nvrtc)) return FL4_OK;
  cache->nvrtc = loaded;
  if (!fl4__nvrtc_stamp_read(&cache->folder, &stamp) || !same_compiler(&loaded, &stamp))
    fl4__nvrtc_stamp_write(&cache->folder, &loaded);
  return FL4_OK;
}

/* Finds out which NVRTC keys are made with. Called with the lock held. */
static fl4_status find_compiler(fl4__cubin_cache *cache)
{
  if (fl4__nvrtc_loaded()) return adopt_loaded(cache);
  if (cache->nvrtc.version) return FL4_OK;
  fl4__nvrtc_identity stamp;
  bool remembered = fl4__nvrtc_stamp_read(&cache->folder, &stamp);
  if (!remembered || !fl4__nvrtc_stamp_holds(&stamp)) {
    fl4_status status = adopt_loaded(cache);
    if (status != FL4_LIBRARY_MISSING || !remembered) return status;
    /* A machine without NVRTC runs from a cache that another one filled. */
    fl4__log_write(cache->log, FL4_LOG_INFO, "cubin cache: %s; using kernels of NVRTC %d.%d from the cache",
                   fl4_last_error(), stamp.version / 1000, stamp.version % 1000 / 10);
  }
  cache->nvrtc = stamp;
  return FL4_OK;
}

/* Every field with its length, so that no two lists of fields give the same bytes. */
static void add_bytes(XXH3_state_t *state, const void *data, size_t size)
{
  uint64_t length = size;
  XXH3_128bits_update(state, &length, sizeof length);
  XXH3_128bits_update(state, data, size);
}

static void add_text(XXH3_state_t *state, const char *text)
{
  add_bytes(state, text, strlen(text));
}

static void add_source(XXH3_state_t *state, const fl4__source *source)
{
  add_text(state, source->name);
  add_text(state, source->text);
}

fl4_status fl4__cubin_cache_key(fl4__cubin_cache *cache, const fl4__source *main_source, const fl4__source *headers,
                                int n_headers, const char *const *options, int n_options, const char *arch,
                                fl4__cache_key *key)
{
  fl4__nvrtc_identity nvrtc;
  if (is_on(cache)) {
    pthread_mutex_lock(&cache->lock);
    fl4_status status = find_compiler(cache);
    nvrtc = cache->nvrtc;
    pthread_mutex_unlock(&cache->lock);
    FL4_TRY(status);
  } else {
    FL4_TRY(fl4__nvrtc_identify(&nvrtc));
  }

  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  /* The library's size tells updates of one version apart, and is the same on all machines. */
  int64_t numbers[] = {KEY_VERSION, nvrtc.version, nvrtc.size, n_headers, n_options};
  add_bytes(&state, numbers, sizeof numbers);
  add_text(&state, arch);
  for (int i = 0; fl4__nvrtc_options[i]; i++) add_text(&state, fl4__nvrtc_options[i]);
  for (int i = 0; i < n_options; i++) add_text(&state, options[i]);
  add_source(&state, main_source);
  for (int i = 0; i < n_headers; i++) add_source(&state, &headers[i]);
  XXH128_hash_t hash = XXH3_128bits_digest(&state);
  key->high = hash.high64, key->low = hash.low64;
  return FL4_OK;
}

enum { ENTRY_NAME = 32 + sizeof suffix };

static void entry_name(const fl4__cache_key *key, char name[ENTRY_NAME])
{
  snprintf(name, ENTRY_NAME, "%016llx%016llx%s", (unsigned long long)key->high, (unsigned long long)key->low, suffix);
}

bool fl4__cubin_cache_load(fl4__cubin_cache *cache, const fl4__cache_key *key, fl4__cubin *cubin)
{
  *cubin = (fl4__cubin){0};
  if (!is_on(cache)) return false;
  char name[ENTRY_NAME], *data;
  size_t size;
  entry_name(key, name);
  fl4__read read = fl4__cache_dir_read(&cache->folder, name, FL4__ENTRY_MAX, &data, &size);
  if (read == FL4__READ_OK && fl4__cache_entry_decode(data, size, key, cubin)) {
    fl4__cache_dir_touch(&cache->folder, name);
    return true;
  }
  free(data);
  if (read != FL4__READ_MISSING) {
    fl4__log_write(cache->log, FL4_LOG_WARN, "cubin cache: %s/%s is %s; removed", cache->folder.path, name,
                   read == FL4__READ_OK ? "damaged" : "not a private file");
    fl4__cache_dir_remove(&cache->folder, name);
  }
  return false;
}

/*
 * Keys can be older than the stamp is right: if NVRTC has been opened since and is another one than
 * they name, the kernel at hand is not what its key says. Then the next key will be right.
 */
static bool key_is_outdated(fl4__cubin_cache *cache)
{
  bool outdated = false;
  pthread_mutex_lock(&cache->lock);
  if (cache->nvrtc.version && fl4__nvrtc_loaded()) {
    fl4__nvrtc_identity before = cache->nvrtc;
    outdated = adopt_loaded(cache) != FL4_OK || before.version != cache->nvrtc.version ||
               before.size != cache->nvrtc.size;
  }
  pthread_mutex_unlock(&cache->lock);
  return outdated;
}

void fl4__cubin_cache_store(fl4__cubin_cache *cache, const fl4__cache_key *key, const fl4__cubin *cubin)
{
  if (!is_on(cache) || key_is_outdated(cache)) return;
  size_t size;
  char name[ENTRY_NAME], *data = fl4__cache_entry_encode(key, cubin, &size);
  entry_name(key, name);
  if (!data || (int64_t)size > cache->limit_bytes) {
    fl4__log_write(cache->log, FL4_LOG_DEBUG, "cubin cache: a cubin of %zu bytes is not kept", cubin->size);
  } else if (fl4__cache_dir_write(&cache->folder, name, data, size)) {
    fl4__cache_dir_prune(&cache->folder, suffix, cache->limit_bytes);
  } else {
    int error = errno;
    pthread_mutex_lock(&cache->lock);
    bool said = cache->said_not_written;
    cache->said_not_written = true;
    pthread_mutex_unlock(&cache->lock);
    fl4__log_write(cache->log, said ? FL4_LOG_DEBUG : FL4_LOG_WARN, "cubin cache: %s cannot be written: %s",
                   cache->folder.path, strerror(error));
  }
  free(data);
}

void fl4__cubin_cache_remove(fl4__cubin_cache *cache, const fl4__cache_key *key)
{
  if (!is_on(cache)) return;
  char name[ENTRY_NAME];
  entry_name(key, name);
  fl4__cache_dir_remove(&cache->folder, name);
}

void fl4__cubin_cache_describe(fl4__cubin_cache *cache, fl4_cache_info *info)
{
  info->dir[0] = info->why_off[0] = '\0';
  info->bytes = info->entries = info->limit_bytes = 0;
  info->nvrtc_version = 0;
  if (!cache) return;
  snprintf(info->why_off, sizeof info->why_off, "%s", cache->folder.why_off);
  info->limit_bytes = cache->limit_bytes;
  fl4__nvrtc_identity nvrtc;
  if (is_on(cache)) {
    snprintf(info->dir, sizeof info->dir, "%s", cache->folder.path);
    fl4__cache_dir_usage(&cache->folder, suffix, &info->entries, &info->bytes);
    if (fl4__nvrtc_stamp_read(&cache->folder, &nvrtc) && fl4__nvrtc_stamp_holds(&nvrtc))
      info->nvrtc_version = nvrtc.version;
  }
  if (fl4__nvrtc_loaded() && fl4__nvrtc_identify(&nvrtc) == FL4_OK) info->nvrtc_version = nvrtc.version;
}
