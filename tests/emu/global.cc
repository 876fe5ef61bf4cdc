/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Global memory: allocations with their bounds, for each byte whether anybody wrote it, and for each two bytes which
 * block's thread did.
 */
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <shared_mutex>

#include "state.h"

namespace emu {

/* The last write of a kernel. */
struct Write {
  u32 launch = 0;
  int block = 0, thread = 0;
  u32 clock = 0;
  Site site = {"", 0, ""};
};

struct Allocation {
  size_t bytes;
  std::vector<unsigned char> written; /* a flag for a byte, so that blocks do not share flags */
  std::vector<Write> writes;          /* for two bytes */
};

static std::map<uintptr_t, Allocation> allocations; /* by address */
static std::shared_mutex allocations_lock;

void *global_alloc(size_t bytes)
{
  const size_t size = (bytes + 255) / 256 * 256 + 256;
  void *memory = std::aligned_alloc(256, size);
  if (!memory) return nullptr;
  std::memset(memory, 0xff, size);
  std::unique_lock<std::shared_mutex> lock(allocations_lock);
  allocations[(uintptr_t)memory] = {bytes, std::vector<unsigned char>(bytes), std::vector<Write>((bytes + 1) / 2)};
  return memory;
}

void global_free(void *memory)
{
  if (!memory) return;
  std::unique_lock<std::shared_mutex> lock(allocations_lock);
  allocations.erase((uintptr_t)memory);
  std::free(memory);
}

/* The allocation that holds all of these bytes, or nullptr. */
static Allocation *find(uintptr_t address, size_t bytes, size_t *offset)
{
  auto it = allocations.upper_bound(address);
  if (it == allocations.begin()) return nullptr;
  --it;
  *offset = address - it->first;
  return *offset + bytes <= it->second.bytes ? &it->second : nullptr;
}

void global_written(const void *memory, size_t bytes)
{
  std::shared_lock<std::shared_mutex> lock(allocations_lock);
  size_t offset;
  Allocation *a = find((uintptr_t)memory, bytes, &offset);
  if (a && bytes) std::memset(&a->written[offset], 1, bytes);
}

/* Another block's write in this launch of which the calling thread cannot know. */
static bool unknown(const Write &w)
{
  return w.launch == block->grid->number && w.block != block->index && !known(w.block, w.thread, w.clock);
}

/* One allocation, as long as it is only looked at. A write is noted at once. */
void check_global(const Site &site, const void *address, int bytes, bool read)
{
  const char *wrong = nullptr;
  Write other;
  if ((uintptr_t)address % (uintptr_t)bytes) fail(site, "global address %p is not a multiple of %d", address, bytes);
  {
    std::shared_lock<std::shared_mutex> lock(allocations_lock);
    size_t offset;
    Allocation *a = find((uintptr_t)address, (size_t)bytes, &offset);
    if (!a) wrong = "is out of bounds: in no allocation";
    for (int i = 0; a && read && i < bytes; i++)
      if (!a->written[offset + (size_t)i]) wrong = "is read, and nobody wrote it";
    for (size_t i = offset / 2; a && i < (offset + (size_t)bytes) / 2; i++) {
      if (unknown(a->writes[i])) other = a->writes[i];
      if (!read) a->writes[i] = {block->grid->number, block->index, block->current, block->thread().clock, site};
    }
  }
  if (!wrong && other.launch)
    fail(site, "global address %p (%d bytes): race: block %d wrote it at %s:%d, and no fence and atomic came between",
         address, bytes, other.block, base_name(other.site.file), other.site.line);
  if (wrong) fail(site, "global address %p (%d bytes) %s", address, bytes, wrong);
}

void store_global(Site site, void *address, const void *from, int bytes)
{
  check_global(site, address, bytes, false);
  std::memcpy(address, from, (size_t)bytes);
  global_written(address, (size_t)bytes);
  count_global(site, address, bytes);
}

void load_global(Site site, const void *address, void *to, int bytes)
{
  check_global(site, address, bytes, true);
  std::memcpy(to, address, (size_t)bytes);
  count_global(site, address, bytes);
}

u32 compare_and_swap(Site site, void *address, u32 expected, u32 value)
{
  check_global(site, address, 4, true);
  u32 old = expected;
  __atomic_compare_exchange_n(static_cast<u32 *>(address), &old, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return old;
}

u32 wrapping_increment(Site site, void *address, u32 last)
{
  check_global(site, address, 4, true);
  const std::lock_guard<std::mutex> guard(block->grid->lock);
  u32 *const word = static_cast<u32 *>(address);
  const u32 old = *word;
  *word = old >= last ? 0 : old + 1;
  tell_and_hear((uintptr_t)address);
  return old;
}

} // namespace emu
