/* SPDX-License-Identifier: Apache-2.0 */
/* The format of a cache entry. It is read by the machine that wrote it, so fields are in its byte order. */
#include "cache_entry.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const char magic[8] = {'f', 'l', '4', 'c', 'u', 'b', 'i', 'n'};
enum { ENTRY_VERSION = 1 };

typedef struct header {
  char magic[8];
  uint64_t sum_high, sum_low; /* XXH3 over all that follows, to the end of the file */
  uint32_t version, header_size;
  fl4__cache_key key;
  uint64_t cubin_size;
  int32_t registers, spill_bytes, smem_static, serialised;
} header;

enum { SUMMED_FROM = offsetof(header, version) };
_Static_assert(sizeof(header) == 72, "no padding: what is summed must be what was written");

static XXH128_hash_t sum_of(const char *data, size_t size)
{
  return XXH3_128bits(data + SUMMED_FROM, size - SUMMED_FROM);
}

char *fl4__cache_entry_encode(const fl4__cache_key *key, const fl4__cubin *cubin, size_t *size)
{
  if (cubin->size > FL4__ENTRY_MAX - sizeof(header)) return NULL;
  *size = sizeof(header) + cubin->size;
  char *data = malloc(*size);
  if (!data) return NULL;
  header h = {.version = ENTRY_VERSION,
              .header_size = sizeof h,
              .key = *key,
              .cubin_size = cubin->size,
              .registers = cubin->resources.registers,
              .spill_bytes = cubin->resources.spill_bytes,
              .smem_static = cubin->resources.smem_static,
              .serialised = cubin->resources.serialised};
  memcpy(h.magic, magic, sizeof magic);
  memcpy(data, &h, sizeof h);
  memcpy(data + sizeof h, cubin->data, cubin->size);
  XXH128_hash_t sum = sum_of(data, *size);
  h.sum_high = sum.high64, h.sum_low = sum.low64;
  memcpy(data, &h, sizeof h);
  return data;
}

bool fl4__cache_entry_decode(char *data, size_t size, const fl4__cache_key *key, fl4__cubin *cubin)
{
  header h;
  if (size <= sizeof h) return false;
  memcpy(&h, data, sizeof h);
  if (memcmp(h.magic, magic, sizeof magic) != 0) return false;
  if (h.version != ENTRY_VERSION || h.header_size != sizeof h || h.cubin_size != size - sizeof h) return false;
  if (h.key.high != key->high || h.key.low != key->low) return false;
  XXH128_hash_t sum = sum_of(data, size);
  if (h.sum_high != sum.high64 || h.sum_low != sum.low64) return false;

  memmove(data, data + sizeof h, h.cubin_size);
  *cubin = (fl4__cubin){
      .data = data, .size = h.cubin_size, .resources = {h.registers, h.spill_bytes, h.smem_static, h.serialised}};
  return true;
}
