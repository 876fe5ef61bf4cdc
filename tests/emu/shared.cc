/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory with a shadow: what was never written, what an asynchronous copy will overwrite, and
 * which accesses no barrier has ordered.
 */
#include <algorithm>
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

static void check_write_seen(const Site &site, size_t index, const Access &write, int me)
{
  if (write.who < 0 || ordered(write, me)) return;
  if (by_copies(write))
    fail(site, "shared address 0x%x: race: thread %d has not waited for the mbarrier of the bulk copy of %s:%d",
         address_of(index), me, base_name(write.site.file), write.site.line);
  fail(site, "shared address 0x%x: race: thread %d wrote it at %s:%d, and no barrier came between", address_of(index),
       write.who, base_name(write.site.file), write.site.line);
}

static void check_write(const Site &site, size_t index, const Word &w, int me)
{
  if (w.in_flight >= 0)
    fail(site, "shared address 0x%x: an asynchronous copy of thread %d is under way to it", address_of(index),
         w.in_flight);
  if (w.mbarrier) fail(site, "shared address 0x%x: it is part of an mbarrier", address_of(index));
  if (w.products) {
    const Site reader = product_reading(index);
    fail(site, "shared address 0x%x: race: a product of %s:%d reads it, and has not been waited for", address_of(index),
         base_name(reader.file), reader.line);
  }
  check_write_seen(site, index, w.write, me);
  for (const Access &read : w.reads)
    if (!ordered(read, me))
      fail(site, "shared address 0x%x: race: it is still being read at %s:%d, and no barrier came between",
           address_of(index), base_name(read.site.file), read.site.line);
}

static void check_written(const Site &site, size_t index, const Word &w)
{
  if (w.in_flight >= 0)
    fail(site, "shared address 0x%x: read while an asynchronous copy of thread %d to it is under way",
         address_of(index), w.in_flight);
  if (w.write.who < 0) fail(site, "shared address 0x%x: read, and nobody wrote it", address_of(index));
}

static void note_read(Word &w, const Access &mine)
{
  const auto same = [&](const Access &read) { return read.who == mine.who; };
  const auto mine_before = std::find_if(w.reads.begin(), w.reads.end(), same);
  if (mine_before == w.reads.end()) w.reads.push_back(mine);
  else *mine_before = mine;
}

void note_shared_write(const Site &site, size_t index, int bytes, int me)
{
  const Access mine = access_by_thread(me, site);
  for (size_t i = index / 4; i < (index + (size_t)bytes) / 4; i++) {
    Word &w = block->shadow[i];
    check_write(site, i * 4, w, me);
    w.write = mine;
    w.reads.clear();
  }
}

/* `whole_warp`: an instruction of all lanes together, after which none of them is still reading. */
void note_shared_read(const Site &site, size_t index, int bytes, bool whole_warp)
{
  const int me = block->current;
  Access mine = whole_warp ? access_by_warp(me, site) : access_by_thread(me, site);
  mine.reader = me, mine.read_at = block->thread().clock;
  for (size_t i = index / 4; i < (index + (size_t)bytes) / 4; i++) {
    Word &w = block->shadow[i];
    check_written(site, i * 4, w);
    /* A lane's own write is visible to itself, but not yet to the warp. */
    check_write_seen(site, i * 4, w.write, whole_warp && w.write.who == me ? me ^ 1 : me);
    note_read(w, mine);
  }
}

/* ---------------------------------------------------------------- asynchronous units */

/* They do not see a thread's store until the thread has fenced it. */
static void check_store_fenced(const Site &site, size_t index, const Access &write)
{
  if (write.who >= 0 && !by_copies(write) && block->threads[(size_t)write.who].accesses_fenced < write.clock)
    fail(site, "shared address 0x%x: thread %d wrote it at %s:%d, and no proxy fence came between", address_of(index),
         write.who, base_name(write.site.file), write.site.line);
}

/* Nor do they wait for a thread's loads: a load may still be under way when a barrier tells that the thread is beyond it. */
static void check_loads_fenced(const Site &site, size_t index, const Word &w)
{
  for (const Access &read : w.reads)
    if (read.reader >= 0 && block->threads[(size_t)read.reader].accesses_fenced < read.read_at)
      fail(site, "shared address 0x%x: thread %d read it at %s:%d, and no proxy fence came between", address_of(index),
           read.reader, base_name(read.site.file), read.site.line);
}

void begin_product_read(const Site &site, size_t index, int bytes, const Witnesses &witnesses)
{
  for (size_t i = index / 4; i < (index + (size_t)bytes) / 4; i++) {
    Word &w = block->shadow[i];
    check_written(site, i * 4, w);
    for (int k = 0; k < witnesses.n; k++) {
      const int lane = witnesses.thread[k];
      check_write_seen(site, i * 4, w.write, w.write.who == lane ? lane ^ 1 : lane);
    }
    check_store_fenced(site, i * 4, w.write);
    w.products++;
  }
}

void end_product_read(const Site &site, size_t index, int bytes)
{
  const Access mine = access_by_warp(block->current, site);
  for (size_t i = index / 4; i < (index + (size_t)bytes) / 4; i++) {
    block->shadow[i].products--;
    note_read(block->shadow[i], mine);
  }
}

void begin_bulk_write(const Site &site, size_t index, int bytes)
{
  for (size_t i = index / 4; i < (index + (size_t)bytes) / 4; i++) {
    check_write(site, i * 4, block->shadow[i], block->current);
    check_store_fenced(site, i * 4, block->shadow[i].write);
    check_loads_fenced(site, i * 4, block->shadow[i]);
    block->shadow[i].in_flight = block->current;
  }
}

void end_bulk_write(const Access &write, size_t index, int bytes)
{
  for (size_t i = index / 4; i < (index + (size_t)bytes) / 4; i++) {
    Word &w = block->shadow[i];
    w.in_flight = -1;
    w.write = write;
    w.reads.clear();
  }
}

/* ---------------------------------------------------------------- loads and stores */

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
