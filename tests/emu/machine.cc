/* SPDX-License-Identifier: Apache-2.0 */
/* Fibers, their random schedule, and where they meet. */
#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "state.h"

namespace emu {

thread_local Block *block = nullptr;

bool Site::operator<(const Site &o) const
{
  const int order = std::strcmp(file, o.file);
  return order ? order < 0 : line != o.line ? line < o.line : std::strcmp(what, o.what) < 0;
}

bool Site::operator==(const Site &o) const
{
  const auto same = [](const char *a, const char *b) { return a == b || !std::strcmp(a, b); };
  return line == o.line && same(file, o.file) && same(what, o.what);
}

const char *base_name(const char *path)
{
  const char *slash = std::strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* ---------------------------------------------------------------- switching */

static void to_scheduler(bool for_good = false)
{
  fiber_switch(block->thread().fiber, block->scheduler, for_good);
}

static void to_thread(Block &b, int index)
{
  b.current = index;
  fiber_switch(b.scheduler, b.thread().fiber, false);
}

static void thread_main()
{
  fiber_begin(block->scheduler);
  block->launch->body();
  block->thread().state = Thread::done;
  to_scheduler(true);
}

/* Where a thread is, as each sentence begins. */
static std::string place(const Block &b, int thread, const Site &site)
{
  char text[256];
  snprintf(text, sizeof text, "%s, block %d, thread %d (warp %d, lane %d), %s:%d %s: ", b.launch->kernel, b.index,
           thread, thread / WARP, thread % WARP, base_name(site.file), site.line, site.what);
  return text;
}

static void tell(int thread, const Site &site, const char *format, va_list ap)
{
  char what[512];
  vsnprintf(what, sizeof what, format, ap);
  if (block->error.empty()) block->error = place(*block, thread, site) + what;
}

void fail(const Site &site, const char *format, ...)
{
  va_list ap;
  va_start(ap, format);
  tell(block->current, site, format, ap);
  va_end(ap);
  /* The scheduler gives the block up and never comes back to this fiber. */
  for (;;) to_scheduler();
}

void report(int thread, const Site &site, const char *format, ...)
{
  va_list ap;
  va_start(ap, format);
  tell(thread, site, format, ap);
  va_end(ap);
}

void wait_here(const Site &site)
{
  Thread &t = block->thread();
  t.state = Thread::waiting;
  t.at = site;
  to_scheduler();
}

void let_others_run(const Site &site)
{
  Thread &t = block->thread();
  t.at = site;
  block->ready.push_back(block->current);
  to_scheduler();
}

void wake(int thread)
{
  Thread &t = block->threads[(size_t)thread];
  if (t.state != Thread::waiting) return;
  t.state = Thread::ready;
  block->ready.push_back(thread);
}

/* ---------------------------------------------------------------- meeting */

/* `n` threads, of which the caller is one: a warp, or a warpgroup. */
static void meet(Meeting &m, int n, const Site &site, void *operand, const Action &action)
{
  if (m.arrived == 0) m.site = site;
  if (!(m.site == site))
    fail(site, "the %s has diverged: other lanes are at %s:%d %s", n == WARP ? "warp" : "warpgroup",
         base_name(m.site.file), m.site.line, m.site.what);
  m.operand[block->current % n] = operand;
  if (++m.arrived < n) return wait_here(site);
  action(m.operand);
  m.arrived = 0;
  const int first = block->current / n * n;
  for (int i = first; i < first + n; i++) wake(i);
}

void with_warp(const Site &site, void *operand, const Action &action)
{
  meet(block->warp().meeting, WARP, site, operand, action);
}

void with_warpgroup(const Site &site, void *operand, const Action &action)
{
  const int size = (int)block->threads.size();
  if (size % WARPGROUP) fail(site, "warpgroups are of %d threads, and the block has %d", (int)WARPGROUP, size);
  const int first = block->current / WARPGROUP * WARPGROUP;
  meet(block->warps[(size_t)first / WARP].group_meeting, WARPGROUP, site, operand, action);
}

/* ---------------------------------------------------------------- running */

/* Nobody can run and not all are done: who waits for what. */
static std::string deadlock(const Block &b)
{
  int waiting = 0, done = 0, example = -1, exited = -1;
  for (int i = 0; i < (int)b.threads.size(); i++) {
    if (b.threads[(size_t)i].state == Thread::done) done++, exited = i;
    else waiting++, example = example < 0 ? i : example;
  }
  std::string text = place(b, example, b.threads[(size_t)example].at) + "deadlock: " + std::to_string(waiting) +
                     " threads wait, " + std::to_string(done) + " have left";
  if (exited >= 0) text += ", such as thread " + std::to_string(exited);
  for (int id = 0; id < BARRIERS; id++)
    if (b.barriers[id].arrived)
      text += "; " + std::to_string(b.barriers[id].arrived) + " of " + std::to_string(b.barriers[id].expected) +
              " have reached barrier " + std::to_string(id);
  for (const auto &[address, m] : b.mbarriers)
    if (!m.waiting.empty())
      text += "; " + std::to_string(m.waiting.size()) + " wait for the " + describe(address, m);
  for (size_t i = 0; i < b.registers.size(); i++)
    if (b.registers[i].wanted)
      text += "; warpgroup " + std::to_string(i) + " wants " + std::to_string(b.registers[i].wanted) +
              " registers a thread, and has " + std::to_string(b.registers[i].each) + " and a pool of " +
              std::to_string(b.pool);
  return text;
}

static void check_leftovers(Block &b)
{
  check_bulk_leftovers();
  check_product_leftovers();
  for (int i = 0; i < (int)b.threads.size() && b.error.empty(); i++) {
    const Thread &t = b.threads[(size_t)i];
    const bool open = !t.open.empty();
    const Copy *copy = open ? &t.open[0] : nullptr;
    for (const auto &group : t.groups)
      if (!copy && !group.empty()) copy = &group[0];
    if (!copy) continue;
    char what[96];
    snprintf(what, sizeof what, "the thread left with a copy to 0x%x that was never %s", copy->to,
             open ? "committed" : "waited for");
    b.error = place(b, i, copy->site) + what;
  }
  for (int id = 0; id < BARRIERS && b.error.empty(); id++) {
    const Barrier &barrier = b.barriers[id];
    for (int i = 0; barrier.arrived && i < (int)b.threads.size() && b.error.empty(); i++)
      if (barrier.arrivals[(size_t)i].here)
        b.error = place(b, i, barrier.arrivals[(size_t)i].site) + "the thread left barrier " + std::to_string(id) +
                  " with " + std::to_string(barrier.arrived) + " of " + std::to_string(barrier.expected);
  }
}

static void prepare(Block &b)
{
  const size_t n = (size_t)b.launch->threads;
  b.threads = std::vector<Thread>(n);
  b.warps.resize(n / WARP);
  b.smem.assign(b.launch->smem, 0xff); /* NaN in every format */
  b.shadow.resize(b.launch->smem / 4);
  const auto nothing = std::make_shared<const Clocks>(n + b.warps.size());
  for (size_t i = 0; i < n; i++) {
    b.threads[i].seen = nothing;
    fiber_prepare(b.threads[i].fiber, thread_main);
    b.ready.push_back((int)i);
  }
  b.registers.assign(n / WARPGROUP, {launch_registers((int)n), 0});
}

/* A thread that can go on, whichever; -1 if there is none, and no copy could change that by landing. */
static int next_thread(Block &b)
{
  if (b.bulk_at_random && !b.bulk.empty() && b.random() % 256 == 0) land_bulk();
  while (b.ready.empty() && land_bulk()) continue;
  if (b.ready.empty()) return -1;
  const size_t pick = b.random() % b.ready.size();
  const int next = b.ready[pick];
  b.ready[pick] = b.ready.back();
  b.ready.pop_back();
  return next;
}

static void run_block(Block &b)
{
  block = &b;
  prepare(b);
  for (int next; b.error.empty() && (next = next_thread(b)) >= 0;) to_thread(b, next);
  if (b.error.empty())
    for (const Thread &t : b.threads)
      if (t.state != Thread::done) {
        b.error = deadlock(b);
        break;
      }
  if (b.error.empty()) check_leftovers(b);
  finish_counts(b);
  block = nullptr;
}

void Counts::add(const Counts &other)
{
  for (int space = 0; space < 2; space++)
    for (const auto &[site, c] : space ? other.global : other.shared) {
      Count &mine = (space ? global : shared)[site];
      mine.requests += c.requests, mine.bytes += c.bytes, mine.wavefronts += c.wavefronts;
      mine.ideal += c.ideal, mine.sectors += c.sectors;
    }
  mma += other.mma;
}

static std::vector<int> block_order(const Launch &l)
{
  std::vector<int> order((size_t)l.blocks);
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(l.options.seed);
  if (l.in_turn) std::shuffle(order.begin(), order.end(), random);
  return order;
}

bool launch(const Launch &l, Counts *counts, std::string *error)
{
  static std::atomic<u32> launches{0};
  int failed = l.blocks;
  Grid grid;
  grid.number = ++launches;
  const std::vector<int> order = block_order(l);
  /* Blocks share nothing but global memory, so they may run on all cores; each has its own seed. */
#pragma omp parallel for schedule(dynamic) if (!l.in_turn)
  for (int i = 0; i < l.blocks; i++) {
    bool skip;
#pragma omp critical(fl4_emu)
    skip = failed < i; /* an earlier block has failed: the first failure is what is told */
    if (skip) continue;
    auto b = std::make_unique<Block>();
    b->launch = &l;
    b->grid = &grid;
    b->index = order[(size_t)i];
    b->random.seed(l.options.seed * 0x9e3779b97f4a7c15u + (u64)b->index);
    run_block(*b);
#pragma omp critical(fl4_emu)
    {
      if (counts) counts->add(b->counts);
      if (!b->error.empty() && i < failed) failed = i, *error = b->error;
    }
  }
  return failed == l.blocks;
}

int thread_index() { return block->current; }
int block_index() { return block->index; }
int grid_blocks() { return block->launch->blocks; }
u32 smem_base() { return SMEM_BASE; }

} // namespace emu
