/* SPDX-License-Identifier: Apache-2.0 */
/* Global memory: allocations with their bounds, and for each byte whether anybody wrote it. */
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <shared_mutex>

#include "state.h"

namespace emu {

struct Allocation {
  size_t bytes;
  std::vector<unsigned char> written; /* a flag for a byte, so that blocks do not share flags */
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
  allocations[(uintptr_t)memory] = {bytes, std::vector<unsigned char>(bytes)};
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

/* One allocation, as long as it is only looked at. */
void check_global(const Site &site, const void *address, int bytes, bool read)
{
  const char *wrong = nullptr;
  if ((uintptr_t)address % (uintptr_t)bytes) fail(site, "global address %p is not a multiple of %d", address, bytes);
  {
    std::shared_lock<std::shared_mutex> lock(allocations_lock);
    size_t offset;
    const Allocation *a = find((uintptr_t)address, (size_t)bytes, &offset);
    if (!a) wrong = "is out of bounds: in no allocation";
    for (int i = 0; a && read && i < bytes; i++)
      if (!a->written[offset + (size_t)i]) wrong = "is read, and nobody wrote it";
  }
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

} // namespace emu
