/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Barriers in shared memory. A phase is over when all have arrived and all bytes that were announced have been copied.
 * Who waits sees what was released in the phases before, and what the copies of these phases wrote.
 */
#include "state.h"

namespace emu {

enum { MOST_ARRIVALS = (1 << 20) - 1, MOST_BYTES = (1 << 20) - 1 };

const char *describe(u32 address, const Mbarrier &m)
{
  char text[192];
  snprintf(text, sizeof text,
           "mbarrier at 0x%x (offset 0x%x) in phase %u: %u of %u arrivals are missing, "
           "%llu bytes were announced and %llu copied",
           address, address - SMEM_BASE, m.phase, m.missing, m.count, (unsigned long long)m.announced,
           (unsigned long long)m.copied);
  return (block->text = text).c_str();
}

void mbarrier_init(Site site, u32 address, u32 count)
{
  const size_t index = shared_index(site, address, 8);
  if (block->mbarriers.count(address)) fail(site, "mbarrier at 0x%x: it is one already", address);
  if (count < 1 || count > MOST_ARRIVALS) fail(site, "mbarrier at 0x%x: a count of %u", address, count);
  note_shared_write(site, index, 8, block->current);
  for (size_t i = index / 4; i < index / 4 + 2; i++) block->shadow[i].mbarrier = true;
  Mbarrier m;
  m.number = (int)block->mbarriers.size();
  m.count = m.missing = count;
  m.init = access_by_thread(block->current, site);
  block->mbarriers[address] = m;
}

/* It is a fence for stores, too. */
void mbarrier_init_fence()
{
  const int me = block->current;
  for (auto &[address, m] : block->mbarriers)
    if (m.init.who == me && !m.fenced) m.fenced = true, m.init = access_by_thread(me, m.init.site);
  async_fence();
}

void async_fence()
{
  block->thread().accesses_fenced = block->thread().clock++;
}

Mbarrier &mbarrier_at(const Site &site, u32 address, bool for_copies)
{
  const int me = block->current;
  const auto found = block->mbarriers.find(address);
  if (found == block->mbarriers.end()) fail(site, "shared address 0x%x: there is no mbarrier", address);
  Mbarrier &m = found->second;
  const bool mine = m.init.who == me;
  if (!m.fenced && (!mine || for_copies))
    fail(site, "mbarrier at 0x%x: thread %d initialised it at %s:%d, and no fence came behind it", address, m.init.who,
         base_name(m.init.site.file), m.init.site.line);
  if (!ordered(m.init, me))
    fail(site, "mbarrier at 0x%x: race: thread %d initialised it at %s:%d, and no barrier came between", address,
         m.init.who, base_name(m.init.site.file), m.init.site.line);
  return m;
}

/* Ends the phase if it is over. False if it never can be. */
static bool settle(Mbarrier &m)
{
  if (m.missing) return true;
  if (m.copied > m.announced) return false;
  if (m.copied < m.announced) return true;
  complete_phase(m);
  m.missing = m.count, m.announced = m.copied = 0;
  for (int thread : m.waiting) wake(thread);
  m.waiting.clear();
  return true;
}

bool mbarrier_copied(Mbarrier &m, u32 bytes)
{
  m.copied += bytes;
  return settle(m);
}

static void arrive(const Site &site, u32 address, u32 bytes)
{
  Mbarrier &m = mbarrier_at(site, address, false);
  if (!m.missing) fail(site, "one arrival too many: %s", describe(address, m));
  m.announced += bytes;
  release(m.current, block->current);
  m.missing--;
  if (!settle(m)) fail(site, "wrong transaction count: %s", describe(address, m));
  /* Who waited may be far ahead before this thread goes on: so it is found that something was given back too early. */
  if (block->random() % 4 == 0) let_others_run(site);
}

void mbarrier_arrive(Site site, u32 address)
{
  arrive(site, address, 0);
}

void mbarrier_arrive_expect(Site site, u32 address, u32 bytes)
{
  if (bytes > MOST_BYTES) fail(site, "mbarrier at 0x%x: cannot count %u bytes", address, bytes);
  arrive(site, address, bytes);
}

/* All that can be asked is whether a phase of this parity was the last to be completed. */
static bool passed(const Site &site, u32 address, const Mbarrier &m, u32 parity)
{
  if (parity > 1) fail(site, "mbarrier at 0x%x: a parity of %u", address, parity);
  return m.phase % 2 != parity;
}

void mbarrier_wait(Site site, u32 address, u32 parity)
{
  Mbarrier &m = mbarrier_at(site, address, false);
  while (!passed(site, address, m, parity)) {
    m.waiting.push_back(block->current);
    wait_here(site);
  }
  hear(m.done, block->current);
  m.waited = m.phase;
}

/* Who asks again and again waits, and so cannot keep a copy from being the last to come, nor hide a deadlock. */
bool mbarrier_test(Site site, u32 address, u32 parity)
{
  enum { OFTEN = 4 };
  const Mbarrier &m = mbarrier_at(site, address, false);
  auto &asked = block->thread().asked;
  if (asked.barrier != address || asked.phase != m.phase) asked = {address, m.phase, 0};
  if (!passed(site, address, m, parity) && asked.times++ < OFTEN) {
    let_others_run(site);
    return false;
  }
  mbarrier_wait(site, address, parity);
  return true;
}

} // namespace emu
