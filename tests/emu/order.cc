/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which accesses come before which, and the barriers that see to it. Vector clocks, as in FastTrack (Flanagan and
 * Freund, PLDI 2009): who arrives at a barrier releases what it did and what it has seen, who leaves it has seen
 * what all that arrived released. A barrier of part of the block orders that part, and no one else.
 *
 * Blocks know of each other's writes to global memory by fences and atomics: a thread fences what it has done and seen,
 * and an atomic leaves that at its word; the warp of who does an atomic on the same word hears of it, and a thread of
 * the warp knows it after a fence. What is fenced and what is known, barriers pass on.
 */
#include <algorithm>

#include "state.h"

namespace emu {

/* ---------------------------------------------------------------- clocks */

/* Threads come first in a list of clocks, then warps, then barriers in shared memory. */
static int warp_of(int thread)
{
  return (int)block->threads.size() + thread / WARP;
}

static int place_of(const Mbarrier &m)
{
  return (int)(block->threads.size() + block->warps.size()) + m.number;
}

Access access_by_thread(int thread, const Site &site)
{
  return {thread, block->threads[(size_t)thread].clock, site};
}

Access access_by_warp(int thread, const Site &site)
{
  return {warp_of(thread), block->warps[(size_t)thread / WARP].clock, site};
}

Access access_by_copies(const Mbarrier &m, const Site &site)
{
  return {place_of(m), m.phase + 1, site};
}

bool by_copies(const Access &a)
{
  return a.who >= (int)(block->threads.size() + block->warps.size());
}

bool ordered(const Access &a, int thread)
{
  if (a.who == thread || a.who == warp_of(thread)) return true;
  const Clocks &seen = *block->threads[(size_t)thread].seen;
  return (size_t)a.who < seen.size() && seen[(size_t)a.who] >= a.clock;
}

static void take_later(Clocks &into, const Clocks &from)
{
  if (into.size() < from.size()) into.resize(from.size());
  std::transform(from.begin(), from.end(), into.begin(), into.begin(), [](u32 a, u32 b) { return std::max(a, b); });
}

using SharedTidings = std::shared_ptr<const Tidings>;

static SharedTidings both(const SharedTidings &a, const SharedTidings &b)
{
  if (!a || !b || a == b) return a ? a : b;
  auto all = std::make_shared<Tidings>(*a);
  for (const auto &[of_block, clocks] : *b) take_later(all->emplace(of_block, clocks).first->second, clocks);
  return all;
}

void release(Join &join, int thread)
{
  Thread &t = block->threads[(size_t)thread];
  if (!join.clocks) join.clocks = std::make_shared<Clocks>(*t.seen);
  else if (t.seen != join.last) take_later(*join.clocks, *t.seen); /* most come from the same barrier */
  if (t.fenced && !join.fenced) join.fenced = std::make_shared<Clocks>(*t.fenced);
  else if (t.fenced) take_later(*join.fenced, *t.fenced);
  join.known = both(join.known, t.known);
  join.last = t.seen;
  (*join.clocks)[(size_t)thread] = t.clock++;
  (*join.clocks)[(size_t)warp_of(thread)] = block->warps[(size_t)thread / WARP].clock++;
}

/* Whoever acquires a join is part of it, and waited: it has seen nothing else meanwhile. */
static void acquire(const Join &join, int thread)
{
  Thread &t = block->threads[(size_t)thread];
  t.seen = join.clocks;
  t.fenced = join.fenced, t.known = join.known;
}

void complete_phase(Mbarrier &m)
{
  const size_t place = (size_t)place_of(m);
  Join &all = m.current;
  if (all.clocks->size() <= place) all.clocks->resize(place + 1);
  (*all.clocks)[place] = ++m.phase;
  m.done = all;
  m.done.clocks = std::make_shared<Clocks>(*all.clocks);
  if (all.fenced) m.done.fenced = std::make_shared<Clocks>(*all.fenced);
}

using SharedClocks = std::shared_ptr<const Clocks>;

static SharedClocks later(const SharedClocks &a, const SharedClocks &b)
{
  if (!a || !b) return a ? a : b;
  auto both = std::make_shared<Clocks>(*a);
  take_later(*both, *b);
  return both;
}

/* Who had seen the same before sees the same now. */
void hear(Join &join, int thread)
{
  if (!join.clocks) return;
  Thread &t = block->threads[(size_t)thread];
  if (t.seen != join.before) join.before = t.seen, join.after = later(t.seen, join.clocks);
  t.seen = join.after;
  t.fenced = later(t.fenced, join.fenced);
  t.known = both(t.known, join.known);
}

/* ---------------------------------------------------------------- between blocks */

void gpu_fence()
{
  Thread &t = block->thread();
  auto fenced = std::make_shared<Clocks>(*t.seen);
  if (t.fenced) take_later(*fenced, *t.fenced);
  (*fenced)[(size_t)block->current] = t.clock++;
  t.fenced = fenced;
  t.known = both(t.known, block->warp().heard);
}

void tell_and_hear(uintptr_t address)
{
  SharedTidings &told = block->grid->told[address];
  Warp &warp = block->warp();
  warp.heard = both(warp.heard, told);
  const Thread &t = block->thread();
  if (!t.fenced) return;
  const Tidings own = {{block->index, *t.fenced}};
  told = both(both(told, t.known), std::make_shared<Tidings>(own));
}

bool known(int of_block, int thread, u32 clock)
{
  const Tidings *tidings = block->thread().known.get();
  if (!tidings) return false;
  const auto of = tidings->find(of_block);
  return of != tidings->end() && of->second[(size_t)thread] >= clock;
}

/* ---------------------------------------------------------------- barriers */

void warp_barrier(Site site)
{
  with_warp(site, nullptr, [](void *const *) {
    const int first = block->current / WARP * WARP;
    Join join;
    for (int i = first; i < first + WARP; i++) release(join, i);
    for (int i = first; i < first + WARP; i++) acquire(join, i);
  });
}

/* A warp comes with all its lanes and by one instruction, or not at all. */
static void check_warps(const Site &site, int id, const std::vector<Arrival> &arrivals)
{
  for (size_t i = 0; i < arrivals.size(); i++) {
    const Arrival &a = arrivals[i], &first = arrivals[i / WARP * WARP];
    if (a.here != first.here)
      fail(site, "barrier %d is for whole warps: only a part of warp %zu has arrived", id, i / WARP);
    if (a.here && !(a.site == first.site))
      fail(site, "barrier %d: warp %zu has diverged: it is at %s:%d %s and at %s:%d %s", id, i / WARP,
           base_name(first.site.file), first.site.line, first.site.what, base_name(a.site.file), a.site.line,
           a.site.what);
  }
}

static void arrive(const Site &site, int id, int threads, bool waits)
{
  const int size = (int)block->threads.size(), me = block->current;
  if (id < 0 || id >= BARRIERS) fail(site, "barrier %d: must be 0 to %d", id, BARRIERS - 1);
  if (threads < WARP || threads > size || threads % WARP)
    fail(site, "barrier %d: is of %d threads, must be of whole warps, of a block of %d", id, threads, size);
  Barrier &b = block->barriers[id];
  if (!b.arrived) b.expected = threads, b.site = site, b.arrivals.resize((size_t)size);
  if (threads != b.expected)
    fail(site, "barrier %d: is of %d threads here, and of %d at %s:%d", id, threads, b.expected, base_name(b.site.file),
         b.site.line);
  Arrival &mine = b.arrivals[(size_t)me];
  if (mine.here)
    fail(site, "barrier %d: the thread has arrived at %s:%d already, and only %d of %d have", id,
         base_name(mine.site.file), mine.site.line, b.arrived, b.expected);
  mine = {true, waits, site};
  release(b.join, me);
  if (++b.arrived < b.expected) {
    if (waits) wait_here(site);
    return;
  }
  check_warps(site, id, b.arrivals);
  for (int i = 0; i < size; i++)
    if (b.arrivals[(size_t)i].waits) acquire(b.join, i), wake(i);
  if (id == 0) block->voted = b.any;
  b = Barrier();
}

void named_barrier(Site site, int id, int threads)
{
  arrive(site, id, threads, true);
}

void named_barrier_arrive(Site site, int id, int threads)
{
  arrive(site, id, threads, false);
}

void block_barrier(Site site)
{
  arrive(site, 0, (int)block->threads.size(), true);
}

/* Nobody votes again before all have been told: they must arrive for that. */
bool block_any(Site site, bool p)
{
  block->barriers[0].any |= p;
  block_barrier(site);
  return block->voted;
}

} // namespace emu
