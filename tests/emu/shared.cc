/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory with a shadow: what was never written, what an asynchronous copy will overwrite, and
 * which accesses no barrier has ordered.
 */
#include <cstring>

#include "state.h"

namespace emu {

size_t shared_index(const Site &site, u32 address, int bytes)
{
  if (address % (u32)bytes) fail(site, "shared address 0x%x is not a multiple of %d", address, bytes);
  const size_t size = block->smem.size();
  if (address < SMEM_BASE || address - SMEM_BASE + (size_t)bytes > size)
    fail(site, "shared address 0x%x is out of bounds: the block has 0x%x to 0x%zx", address, (unsigned)SMEM_BASE,
         SMEM_BASE + size);
  return address - SMEM_BASE;
}

static u32 address_of(size_t index)
{
  return (u32)index + SMEM_BASE;
}

/* Has a barrier come between this access and an earlier one of `thread` in these epochs? */
static bool ordered(int thread, u32 block_epoch, u32 warp_epoch, int me)
{
  if (thread == me || block_epoch != block->epoch) return true;
  return thread / WARP == me / WARP && warp_epoch != block->warps[(size_t)me / WARP].epoch;
}

void note_shared_write(const Site &site, size_t index, int bytes, int me)
{
  const u32 warp_epoch = block->warps[(size_t)me / WARP].epoch;
  for (size_t i = index / 4; i < (index + (size_t)bytes) / 4; i++) {
    Word &w = block->shadow[i];
    if (w.in_flight >= 0)
      fail(site, "shared address 0x%x: an asynchronous copy of thread %d is under way to it", address_of(i * 4),
           w.in_flight);
    if (w.written && !ordered(w.writer, w.write_block, w.write_warp, me))
      fail(site, "shared address 0x%x: race: thread %d wrote it at %s:%d, and no barrier came between",
           address_of(i * 4), w.writer, base_name(w.write_site.file), w.write_site.line);
    if (w.read_block == block->epoch) {
      const u32 mine = 1u << (me / WARP);
      const bool other_warp = w.reader_warps & ~mine;
      const bool other_lane = (w.reader_warps & mine) && w.read_warp == warp_epoch &&
                              (w.many_readers || (w.reader >= 0 && w.reader != me));
      if (other_warp || other_lane)
        fail(site, "shared address 0x%x: race: it is still being read at %s:%d, and no barrier came between",
             address_of(i * 4), base_name(w.read_site.file), w.read_site.line);
    }
    w.written = true;
    w.writer = me, w.write_block = block->epoch, w.write_warp = warp_epoch, w.write_site = site;
  }
}

/* `whole_warp`: an instruction of all lanes together, after which none of them is still reading. */
void note_shared_read(const Site &site, size_t index, int bytes, bool whole_warp)
{
  const int me = block->current;
  const u32 mine = 1u << (me / WARP), warp_epoch = block->warp().epoch;
  for (size_t i = index / 4; i < (index + (size_t)bytes) / 4; i++) {
    Word &w = block->shadow[i];
    if (w.in_flight >= 0)
      fail(site, "shared address 0x%x: read while an asynchronous copy of thread %d to it is under way",
           address_of(i * 4), w.in_flight);
    if (!w.written) fail(site, "shared address 0x%x: read, and nobody wrote it", address_of(i * 4));
    /* A lane's own write is visible to itself, but not yet to the warp. */
    const int reader = whole_warp && w.writer == me ? me ^ 1 : me;
    if (!ordered(w.writer, w.write_block, w.write_warp, reader))
      fail(site, "shared address 0x%x: race: thread %d wrote it at %s:%d, and no barrier came between",
           address_of(i * 4), w.writer, base_name(w.write_site.file), w.write_site.line);
    if (w.read_block != block->epoch) w.reader_warps = 0, w.reader = -1, w.many_readers = false;
    if (!whole_warp) {
      if (w.reader >= 0 && w.reader != me && w.read_warp == warp_epoch) w.many_readers = true;
      if (w.read_warp != warp_epoch) w.many_readers = false;
      w.reader = me, w.read_warp = warp_epoch;
    }
    w.reader_warps |= mine;
    w.read_block = block->epoch;
    w.read_site = site;
  }
}

void store_shared(Site site, u32 address, const void *from, int bytes)
{
  const size_t index = shared_index(site, address, bytes);
  note_shared_write(site, index, bytes, block->current);
  std::memcpy(&block->smem[index], from, (size_t)bytes);
  count_shared(site, address, bytes);
}

void load_shared(Site site, u32 address, void *to, int bytes)
{
  const size_t index = shared_index(site, address, bytes);
  note_shared_read(site, index, bytes, false);
  std::memcpy(to, &block->smem[index], (size_t)bytes);
  count_shared(site, address, bytes);
}

/* ---------------------------------------------------------------- asynchronous copies */

static void transfer(const Copy &c)
{
  unsigned char *to = &block->smem[c.to - SMEM_BASE];
  std::memcpy(to, c.from, c.bytes);
  std::memset(to + c.bytes, 0, 16 - c.bytes);
}

void copy_async(Site site, u32 to, const void *from, u32 bytes)
{
  const size_t index = shared_index(site, to, 16);
  if (bytes > 16) fail(site, "%u bytes of 16", bytes);
  if ((uintptr_t)from % 16) fail(site, "global address %p is not a multiple of 16", from);
  if (bytes) check_global(site, from, (int)bytes, true);
  /* From now on until it is waited for, the old value is gone and the new one is not there. */
  note_shared_write(site, index, 16, block->current);
  const Copy copy = {site, to, from, bytes};
  if (block->launch->options.copies == Copies::early) transfer(copy);
  else std::memset(&block->smem[index], 0xff, 16);
  for (size_t i = index / 4; i < index / 4 + 4; i++) block->shadow[i].in_flight = block->current;
  block->thread().open.push_back(copy);
  if (bytes) count_global(site, from, (int)bytes);
}

void copy_commit(Site)
{
  Thread &t = block->thread();
  t.groups.push_back(std::move(t.open));
  t.open.clear();
}

/* The data is there for this thread; for the others only behind a barrier. */
void land(const std::vector<Copy> &copies)
{
  for (const Copy &c : copies) {
    const size_t index = c.to - SMEM_BASE;
    for (size_t i = index / 4; i < index / 4 + 4; i++) block->shadow[i].in_flight = -1;
    if (block->launch->options.copies == Copies::late) transfer(c);
    note_shared_write(c.site, index, 16, block->current);
  }
}

void copy_wait(Site, int pending)
{
  Thread &t = block->thread();
  while ((int)t.groups.size() > pending) {
    land(t.groups.front());
    t.groups.pop_front();
  }
}

} // namespace emu
