/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers that warpgroups pass on to each other. A block has those that its threads started with, and not one more:
 * who wants some that nobody gives waits for ever, and on a GPU says nothing.
 */
#include <algorithm>

#include "state.h"

namespace emu {

enum { REGISTERS_PER_SM = 65536, MOST_REGISTERS = 255, REGISTER_STEP = 8 };

/* The most that a compiler may give each thread. It may give less, so that who takes fewer may be right. */
int launch_registers(int threads)
{
  return std::min((int)MOST_REGISTERS, REGISTERS_PER_SM / threads / REGISTER_STEP * REGISTER_STEP);
}

static Registers &registers_of(int thread)
{
  return block->registers[(size_t)(thread / WARPGROUP)];
}

static void check_number(const Site &site, int n)
{
  if (n < 24 || n > 256 || n % REGISTER_STEP) fail(site, "%d registers: must be a multiple of 8 from 24 to 256", n);
}

/* Those who wait and for whom there are enough now, in any order. */
static void deal_out()
{
  std::vector<size_t> groups(block->registers.size());
  for (size_t i = 0; i < groups.size(); i++) groups[i] = i;
  std::shuffle(groups.begin(), groups.end(), block->random);
  for (size_t i : groups) {
    Registers &r = block->registers[i];
    const int more = std::max(0, r.wanted - r.each) * WARPGROUP;
    if (!r.wanted || more > block->pool) continue;
    block->pool -= more;
    r = {std::max(r.wanted, r.each), 0};
    for (int thread = (int)i * WARPGROUP; thread < (int)(i + 1) * WARPGROUP; thread++) wake(thread);
  }
}

void give_registers(Site site, int n)
{
  check_number(site, n);
  with_warpgroup(site, nullptr, [&](void *const *) {
    Registers &r = registers_of(block->current);
    if (n > r.each) fail(site, "%d registers are not fewer than the %d that each thread has", n, r.each);
    block->pool += (r.each - n) * WARPGROUP;
    r.each = n;
    deal_out();
  });
}

void take_registers(Site site, int n)
{
  check_number(site, n);
  with_warpgroup(site, nullptr, [&](void *const *) {
    registers_of(block->current).wanted = n;
    deal_out();
  });
  while (registers_of(block->current).wanted) wait_here(site);
}

} // namespace emu
