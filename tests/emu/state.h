/* SPDX-License-Identifier: Apache-2.0 */
/* The emulator's own state: a block that runs, its threads, its shared memory. Private to tests/emu/. */
#ifndef FL4_EMU_STATE_H
#define FL4_EMU_STATE_H

#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <random>

#include "fiber.h"
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

/* A copy of the bulk copy engine. */
struct Bulk {
  Site site = {"", 0, ""};
  int thread = -1; /* that issued it */
  u32 to = 0, barrier = 0;
  TensorMap map = {};
  int at[4] = {}; /* column, row, head, batch */
};

/*
 * For each thread of a block, then for each warp, then for each barrier in shared memory, the clock up to which its
 * accesses are known to have come before; 0 for those beyond the end. The accesses of a barrier are those of the copies
 * that complete on it, its clock is the number of its phases. Threads that left a barrier together share one list.
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
  Fiber fiber;
  enum State { ready, waiting, done } state = ready;
  Site at = {"", 0, "start"}; /* where it waits */
  u32 clock = 1;              /* of its own accesses; grows when it arrives at a barrier */
  std::shared_ptr<const Clocks> seen;
  std::shared_ptr<const Clocks> fenced; /* what a fence stands behind that this thread has seen; or nullptr */
  std::shared_ptr<const Tidings> known; /* of other blocks; or nullptr */
  std::vector<Copy> open;               /* since the last commit */
  std::deque<std::vector<Copy>> groups; /* committed, not waited for */
  bool products_fenced = false;         /* since the last wait for products */
  u32 accesses_fenced = 0;  /* the clock up to which asynchronous units come behind its accesses */
  struct {
    u32 barrier, phase;
    int times;
  } asked = {}; /* in vain, of an mbarrier, since it last asked something else */
};

/* Threads that meet at one instruction: the lanes of a warp, or of a warpgroup. */
struct Meeting {
  int arrived = 0;
  Site site = {"", 0, ""};
  void *operand[WARPGROUP] = {};
};

/* The accumulators of products that are pending: a warp's 16 rows. The threads' own are NaN meanwhile. */
struct Accumulators {
  float *d[WARP]; /* the threads' */
  int n;          /* columns */
  int pending;    /* products */
  std::vector<float> value;
};

/* A warp's part of a product of its warpgroup. */
struct Product {
  Site site;
  std::list<Accumulators>::iterator to;
  bool add, bf16;
  u32 a_registers[WARP][4];      /* A, unless it is in shared memory */
  std::vector<size_t> a_chunks;  /* its 16-byte chunks there, by row and column */
  std::vector<size_t> b_chunks;  /* those of B; of 16 rows if it is `by_rows`, else of 16 columns */
  bool by_rows;
};

struct Warp {
  Meeting meeting, group_meeting; /* the latter in the first warp of a warpgroup */
  std::list<Accumulators> accumulators;
  std::vector<Product> open;               /* since the last commit */
  std::deque<std::vector<Product>> groups; /* committed, not waited for */
  u32 clock = 1;                  /* of instructions of all lanes together; grows when a lane arrives at a barrier */
  std::shared_ptr<const Tidings> heard; /* from the atomics of its lanes; or nullptr */
};

/* Clocks that are being joined. */
struct Join {
  std::shared_ptr<Clocks> clocks;
  std::shared_ptr<const Clocks> last;          /* what the last thread that was joined had seen */
  std::shared_ptr<const Clocks> before, after; /* what the last that heard of it had seen, and has seen now */
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
  bool any = false; /* of those who voted */
};

struct Access {
  int who = -1; /* a thread; or, of an instruction of all lanes together, a warp: see Clocks */
  u32 clock = 0;
  Site site = {"", 0, ""};
  int reader = -1; /* of a load: the thread, … */
  u32 read_at = 0; /* … and its clock */
};

/* What is known of a word of shared memory. */
struct Word {
  int in_flight = -1;        /* the thread whose asynchronous copy is under way to it */
  u16 products = 0;          /* pending ones, of warps, that read it */
  bool mbarrier = false;     /* part of one */
  Access write;              /* the last one; by nobody if it was never written */
  std::vector<Access> reads; /* since then, the last one of each */
};

/* A barrier in shared memory. */
struct Mbarrier {
  int number = 0; /* of those of the block: its place in Clocks */
  u32 count = 0;
  Access init;
  bool fenced = false;           /* known to the copy engine */
  u32 phase = 0;                 /* that is not complete yet */
  u32 missing = 0;               /* arrivals, in this phase */
  u64 announced = 0, copied = 0; /* bytes, in this phase */
  u32 waited = 0;                /* phases that somebody has waited for */
  u32 landed = 0;                /* the phase of `copy` */
  Bulk copy;                     /* the last one that has landed */
  Join current, done;            /* what was released so far, and in the phases that are complete */
  std::vector<int> waiting;      /* threads */
};

/* Registers of each thread of a warpgroup, which moves them from and to the block's pool. */
struct Registers {
  int each = 0, wanted = 0; /* the latter while it waits */
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
  bool voted = false; /* the last time at barrier 0 */
  std::vector<unsigned char> smem;
  std::vector<Word> shadow; /* a Word for 4 bytes */
  std::map<u32, Mbarrier> mbarriers; /* by address */
  std::vector<Bulk> bulk;            /* copies under way */
  bool bulk_at_random = false;       /* they land at any time; else when nobody can go on without */
  std::vector<Registers> registers;  /* by warpgroup */
  int pool = 0;                      /* registers that no thread has */
  Fiber scheduler;
  int current = -1;
  std::string error, text; /* whoever fails leaves its stack as it is: what it allocated must be somebody else's */
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
/* The same for what `thread` did and shows now; returns, and the block ends at the next switch. */
void report(int thread, const Site &site, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The calling thread sleeps until somebody wakes it, or until others have had a chance to run. */
void wait_here(const Site &site);
void let_others_run(const Site &site);
void wake(int thread);

/*
 * All lanes of the warp, or of the warpgroup, meet here, each with its operand; the last one runs `action` for all of
 * them. Lanes that meet at different instructions are an error. No memory access is ordered by it.
 */
struct Action { /* refers to a function object, which lives until the meeting is over */
  template <class F> Action(const F &f)
      : object(&f), call([](const void *of, void *const *operands) { (*static_cast<const F *>(of))(operands); })
  {
  }
  void operator()(void *const *operands) const { call(object, operands); }
  const void *object;
  void (*call)(const void *object, void *const *operands);
};
void with_warp(const Site &site, void *operand, const Action &action);
void with_warpgroup(const Site &site, void *operand, const Action &action);

/* An access that happens now, by one thread, or by all lanes of its warp together. */
Access access_by_thread(int thread, const Site &site);
Access access_by_warp(int thread, const Site &site);

Access access_by_copies(const Mbarrier &m, const Site &site); /* that complete on it in its present phase */
bool by_copies(const Access &access);

/* Has a barrier ordered this access before what `thread` does now? Always so if it is its own, or its warp's. */
bool ordered(const Access &access, int thread);

/* What a thread releases goes into a join; its later accesses are of a new clock, and so are its warp's. */
void release(Join &join, int thread);
/* A phase of the barrier is over: what was released in it may be heard of. */
void complete_phase(Mbarrier &m);
/* The thread sees what was released, beside what it has seen. */
void hear(Join &join, int thread);

/* The calling thread does an atomic on the word: tells what it may tell, and hears what it has not. Under the lock. */
void tell_and_hear(uintptr_t address);

/* Does the calling thread know of this access by a thread of another block? */
bool known(int of_block, int thread, u32 clock);

/* A shared address, checked for range and alignment, as an index of `smem`. */
size_t shared_index(const Site &site, u32 address, int bytes);
void note_shared_write(const Site &site, size_t index, int bytes, int thread);
void note_shared_read(const Site &site, size_t index, int bytes, bool whole_warp);

/*
 * A product of a warp will read these bytes: may it? Until it has, nobody may write there. The witnesses are lanes that
 * have seen different things: what all of the warp's have seen, these have.
 */
struct Witnesses {
  int n, thread[WARP];
};
void begin_product_read(const Site &site, size_t index, int bytes, const Witnesses &witnesses);
void end_product_read(const Site &site, size_t index, int bytes);
/* Bytes that a bulk copy will write, and has written. */
void begin_bulk_write(const Site &site, size_t index, int bytes);
void end_bulk_write(const Access &write, size_t index, int bytes);

/* A barrier that is there for the calling thread, and for the copy engine. */
Mbarrier &mbarrier_at(const Site &site, u32 address, bool for_copies);
/* So many bytes have been copied. False: they are too many. */
bool mbarrier_copied(Mbarrier &m, u32 bytes);
/* How it stands, for messages; the text is the block's, until the next one. */
const char *describe(u32 address, const Mbarrier &m);

/* Copies of a thread that land now. */
void land(const std::vector<Copy> &copies);
/* One of the bulk copies lands, whichever. False if there is none under way. */
bool land_bulk();

/* Where the pending product stands that reads this byte. */
Site product_reading(size_t index);

/* What a block must not leave behind. */
void check_bulk_leftovers();
void check_product_leftovers();

/* Of a thread of a block of so many, when it starts. */
int launch_registers(int threads);

/* A global address: in an allocation, aligned; `read`: and written before. */
void check_global(const Site &site, const void *address, int bytes, bool read);

void count_shared(const Site &site, u32 address, int bytes);
void count_shared_rows(const Site &site, const u32 *rows, int n);
void count_global(const Site &site, const void *address, int bytes);
void finish_counts(Block &b);

} // namespace emu

#endif
