/* SPDX-License-Identifier: Apache-2.0 */
/* The emulator's own state: a block that runs, its threads, its shared memory. Private to tests/emu/. */
#ifndef FL4_EMU_STATE_H
#define FL4_EMU_STATE_H

#include <ucontext.h>

#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <unordered_map>

#include "machine.h"

namespace emu {

enum { WARP = 32, WARPGROUP = 128, BARRIERS = 16 };
enum { SMEM_BASE = 1024 }; /* shared addresses below the base are never valid */

struct Copy {
  Site site;
  u32 to;
  const void *from;
  u32 bytes;
};

/*
 * For each thread of a block, and then for each warp, the clock up to which its accesses are known to have come
 * before. Threads that left a barrier together share one list.
 */
using Clocks = std::vector<u32>;

/* By block: the accesses that other blocks may know of. */
using Tidings = std::map<int, Clocks>;

/* What the blocks of a launch have in common. */
struct Grid {
  u32 number;      /* of the launch, from 1 */
  std::mutex lock; /* of what follows, and of the words themselves */
  std::map<uintptr_t, std::shared_ptr<const Tidings>> told; /* by the atomics on a word */
};

/* A CUDA thread. */
struct Thread {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  void *fake_stack = nullptr; /* AddressSanitizer's */
  enum State { ready, waiting, done } state = ready;
  Site at = {"", 0, "start"}; /* where it waits */
  u32 clock = 1;              /* of its own accesses; grows when it arrives at a barrier */
  std::shared_ptr<const Clocks> seen;
  std::shared_ptr<const Clocks> fenced; /* what a fence stands behind that this thread has seen; or nullptr */
  std::shared_ptr<const Tidings> known; /* of other blocks; or nullptr */
  std::vector<Copy> open;               /* since the last commit */
  std::deque<std::vector<Copy>> groups; /* committed, not waited for */
};

/* Threads that meet at one instruction: the lanes of a warp, or of a warpgroup. */
struct Meeting {
  int arrived = 0;
  Site site = {"", 0, ""};
  void *operand[WARPGROUP] = {};
};

struct Warp {
  Meeting meeting, group_meeting; /* the latter in the first warp of a warpgroup */
  u32 clock = 1;                  /* of instructions of all lanes together; grows when a lane arrives at a barrier */
  std::shared_ptr<const Tidings> heard; /* from the atomics of its lanes; or nullptr */
};

/* Clocks that are being joined. */
struct Join {
  std::shared_ptr<Clocks> clocks;
  std::shared_ptr<const Clocks> last; /* what the last thread that was joined had seen */
  std::shared_ptr<Clocks> fenced;
  std::shared_ptr<const Tidings> known;
};

struct Arrival {
  bool here = false, waits = false;
  Site site = {"", 0, ""};
};

/* A barrier of the block: those that have arrived since it was last complete. */
struct Barrier {
  int arrived = 0, expected = 0;
  Site site = {"", 0, ""};       /* of the first, who said how many are expected */
  std::vector<Arrival> arrivals; /* by thread */
  Join join;
};

struct Access {
  int who = -1; /* a thread; or, of an instruction of all lanes together, a warp: see Clocks */
  u32 clock = 0;
  Site site = {"", 0, ""};
};

/* What is known of a word of shared memory. */
struct Word {
  int in_flight = -1;        /* the thread whose asynchronous copy is under way to it */
  Access write;              /* the last one; by nobody if it was never written */
  std::vector<Access> reads; /* since then, the last one of each */
};

/* Accesses of a warp's lanes to one site, gathered until all lanes have come by. */
struct Request {
  u64 address[WARP] = {};
  u32 lanes = 0; /* a bit each */
  int bytes = 0;
};

struct Block {
  const Launch *launch;
  Grid *grid;
  int index;
  std::mt19937_64 random;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<int> ready;
  Barrier barriers[BARRIERS];
  std::vector<unsigned char> smem;
  std::vector<Word> shadow; /* a Word for 4 bytes */
  ucontext_t scheduler;
  void *scheduler_fake_stack = nullptr;
  const void *scheduler_stack = nullptr;
  size_t scheduler_stack_size = 0;
  int current = -1;
  std::string error;
  Counts counts;
  std::map<std::pair<Site, int>, std::vector<u32>> turns; /* by site and warp: how often each lane has come by */
  std::map<std::tuple<Site, int, u32>, Request> shared_requests, global_requests;

  Thread &thread() { return threads[(size_t)current]; }
  Warp &warp() { return warps[(size_t)current / WARP]; }
  int lane() const { return current % WARP; }
};

extern thread_local Block *block; /* that the calling fiber belongs to */

const char *base_name(const char *path);

/* Ends the block with a sentence; does not return to the thread. */
[[noreturn]] void fail(const Site &site, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The calling thread sleeps until somebody wakes it. */
void wait_here(const Site &site);
void wake(int thread);

/*
 * All lanes of the warp, or of the warpgroup, meet here, each with its operand; the last one runs `action` for all of
 * them. Lanes that meet at different instructions are an error. No memory access is ordered by it.
 */
using Action = std::function<void(void *const *operands)>;
void with_warp(const Site &site, void *operand, const Action &action);
void with_warpgroup(const Site &site, void *operand, const Action &action);

/* An access that happens now, by one thread, or by all lanes of its warp together. */
Access access_by_thread(int thread, const Site &site);
Access access_by_warp(int thread, const Site &site);

/* Has a barrier ordered this access before what `thread` does now? Always so if it is its own, or its warp's. */
bool ordered(const Access &access, int thread);

/* The calling thread does an atomic on the word: tells what it may tell, and hears what it has not. Under the lock. */
void tell_and_hear(uintptr_t address);

/* Does the calling thread know of this access by a thread of another block? */
bool known(int of_block, int thread, u32 clock);

/* A shared address, checked for range and alignment, as an index of `smem`. */
size_t shared_index(const Site &site, u32 address, int bytes);
void note_shared_write(const Site &site, size_t index, int bytes, int thread);
void note_shared_read(const Site &site, size_t index, int bytes, bool whole_warp);

/* Copies of a thread that land now. */
void land(const std::vector<Copy> &copies);

/* A global address: in an allocation, aligned; `read`: and written before. */
void check_global(const Site &site, const void *address, int bytes, bool read);

void count_shared(const Site &site, u32 address, int bytes);
void count_shared_rows(const Site &site, const u32 *rows, int n);
void count_global(const Site &site, const void *address, int bytes);
void finish_counts(Block &b);

} // namespace emu

#endif
