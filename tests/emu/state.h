/* SPDX-License-Identifier: Apache-2.0 */
/* The emulator's own state: a block that runs, its threads, its shared memory. Private to tests/emu/. */
#ifndef FL4_EMU_STATE_H
#define FL4_EMU_STATE_H

#include <ucontext.h>

#include <deque>
#include <memory>
#include <random>
#include <unordered_map>

#include "machine.h"

namespace emu {

enum { WARP = 32, SMEM_BASE = 1024 }; /* shared addresses below the base are never valid */

struct Copy {
  Site site;
  u32 to;
  const void *from;
  u32 bytes;
};

/* A CUDA thread. */
struct Thread {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  void *fake_stack = nullptr; /* AddressSanitizer's */
  enum State { ready, waiting, done } state = ready;
  Site at = {"", 0, "start"}; /* where it waits */
  std::vector<Copy> open;               /* since the last commit */
  std::deque<std::vector<Copy>> groups; /* committed, not waited for */
};

/* Threads that meet: all lanes of a warp at one instruction, or all threads of the block. */
struct Meeting {
  int arrived = 0;
  Site site = {"", 0, ""};
  void *operand[WARP] = {};
};

struct Warp {
  Meeting meeting;
  u32 epoch = 0; /* grows at each barrier that orders the warp's memory accesses */
};

/* What is known of a word of shared memory. Epochs tell which accesses a barrier has ordered. */
struct Word {
  bool written = false;
  int writer = -1, in_flight = -1; /* threads */
  u32 write_block = 0, write_warp = 0;
  u32 read_block = 0, read_warp = 0;
  u32 reader_warps = 0; /* in block epoch read_block */
  int reader = -1;      /* the last lane that read by itself; -1: none, or a whole warp */
  bool many_readers = false;
  Site write_site = {"", 0, ""}, read_site = {"", 0, ""};
};

/* Accesses of a warp's lanes to one site, gathered until all lanes have come by. */
struct Request {
  u64 address[WARP] = {};
  u32 lanes = 0; /* a bit each */
  int bytes = 0;
};

struct Block {
  const Launch *launch;
  int index;
  std::mt19937_64 random;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<int> ready;
  Meeting barrier;
  u32 epoch = 1;
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

/* The calling thread sleeps until somebody makes it ready. */
void wait_here(const Site &site);

/*
 * All lanes of the warp meet here, each with its operand; the last one runs `action` for all of them.
 * Lanes that meet at different instructions are an error.
 */
void with_warp(const Site &site, void *operand, const std::function<void(void *const *operands)> &action);

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
