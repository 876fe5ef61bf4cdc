/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An emulated GPU for one purpose: to find what a lucky run hides. It runs the kernels' own source, a
 * fiber for each CUDA thread, and takes every freedom that the PTX memory model gives it: threads run
 * in a seeded random order, asynchronous copies land as late as they may and leave NaN until then,
 * memory that nobody wrote is NaN, and whatever a real GPU would get away with by luck is an error.
 *
 * Instructions are functions here; ptx.h gives them the names that the kernels use.
 */
#ifndef FL4_EMU_MACHINE_H
#define FL4_EMU_MACHINE_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace emu {

using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;

/* Where in the kernel's source an instruction stands. */
struct Site {
  const char *file;
  int line;
  const char *what; /* "ldmatrix" */
  bool operator<(const Site &o) const;
  bool operator==(const Site &o) const;
};

/* When asynchronous copies read their source and land: as late, or as early, as the rules allow. */
enum class Copies { late, early };

struct Options {
  u64 seed = 0;
  Copies copies = Copies::late;
};

/* What the instructions of one site cost, over a launch. */
struct Count {
  u64 requests = 0;   /* by a warp */
  u64 bytes = 0;      /* asked for by all lanes */
  u64 wavefronts = 0; /* shared memory: passes that were needed */
  u64 ideal = 0;      /* passes, or sectors, that the bytes need at least */
  u64 sectors = 0;    /* global memory: 32-byte sectors touched */
};

struct Counts {
  std::map<Site, Count> shared, global;
  u64 mma = 0;
  void add(const Counts &other);
};

/* How a kernel is launched. `body` is run once by each thread. */
struct Launch {
  const char *kernel = "";
  int blocks = 1, threads = 32;
  size_t smem = 0;
  std::function<void()> body;
  Options options;
  /* Blocks hand data to each other: they run one after the other, in an order that is the seed's. Else side by side. */
  bool in_turn = false;
};

/* Runs all blocks. False: a violation, told in `error`. The same options give the same run. */
bool launch(const Launch &launch, Counts *counts, std::string *error);

/* ---------------------------------------------------------------- global memory */

void *global_alloc(size_t bytes); /* 256-byte aligned, or nullptr */
void global_free(void *memory);
/* The host's own writes: what lies there may be read from then on. */
void global_written(const void *memory, size_t bytes);

/* ---------------------------------------------------------------- instructions */

int thread_index();
int block_index();
int grid_blocks();
u32 smem_base();

/*
 * bar.sync and bar.arrive: a barrier of `threads` threads, whole warps. Who arrives by the second does not wait, and
 * learns nothing of what the others did. The barrier of the block is number 0, of all threads.
 */
void named_barrier(Site site, int id, int threads);
void named_barrier_arrive(Site site, int id, int threads);
void block_barrier(Site site);
bool block_any(Site site, bool p); /* bar.red: the same, and whether p holds in any thread */
void warp_barrier(Site site);
void gpu_fence();

void copy_async(Site site, u32 to, const void *from, u32 bytes); /* 16 bytes; `bytes` of them read */
void copy_commit(Site site);
void copy_wait(Site site, int pending);

void load_matrices(Site site, u32 (&r)[4], u32 address, bool transposed);
void store_shared(Site site, u32 address, const void *from, int bytes);
void load_shared(Site site, u32 address, void *to, int bytes);
void store_global(Site site, void *address, const void *from, int bytes);
void load_global(Site site, const void *address, void *to, int bytes);
u32 compare_and_swap(Site site, void *address, u32 expected, u32 value);
u32 wrapping_increment(Site site, void *address, u32 last);

/* C += A · B, or C = A · B; the elements are bf16 or fp16. Layouts as in kernels/fl4_ptx.cuh. */
void multiply(Site site, float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1, bool accumulate, bool bf16);
u32 exchange_xor(Site site, u32 x, int mask);
u32 exchange_from(Site site, u32 x, int from);
u32 transpose(Site site, u32 x); /* an 8×8 matrix of 16-bit elements */
bool vote_any(Site site, bool p);

/* Instructions of sm_90a, as in kernels/fl4_ptx_hopper.cuh. */
void give_registers(Site site, int n);
void take_registers(Site site, int n);

void mbarrier_init(Site site, u32 address, u32 count);
void mbarrier_init_fence();
void async_fence();
void mbarrier_arrive(Site site, u32 address);
void mbarrier_arrive_expect(Site site, u32 address, u32 bytes);
bool mbarrier_test(Site site, u32 address, u32 parity);
void mbarrier_wait(Site site, u32 address, u32 parity);

/* What fl4_tensor_map holds here. Sizes and strides are of column, row, head, batch. */
struct TensorMap {
  u64 magic;
  const unsigned char *base;
  u64 size[4], stride[4]; /* strides in bytes */
  u64 box[2];             /* rows and heads of a box, which has 64 columns of 2 bytes */
};
/* To 128 bytes. False if a size, stride or address is such that the engine does not take it. */
bool encode_tensor_map(void *map, const void *base, const u64 (&size)[4], const u64 (&stride)[4], int rows, int heads = 1);
void tma_prefetch(Site site, const void *map);
void tma_load(Site site, u32 to, const void *map, u32 barrier, int column, int row, int head, int batch);

void wgmma_fence();
void wgmma_commit(Site site);
void wgmma_wait(Site site, int pending);
/* The accumulators are there: of no pending product. */
void wgmma_arrived(Site site, const float *d);
/* n columns; d: n/2 numbers. The descriptors' low halves. */
void wgmma_shared(Site site, float *d, int n, u32 a, u32 b, bool add, bool bf16);
void wgmma_registers(Site site, float *d, int n, const u32 (&a)[4], u32 b, bool bf16);

/* Conversions, round to nearest even. */
u16 to_half(float x);
u16 to_bf16(float x);
float from_half(u16 x);
float from_bf16(u16 x);
float exp2_ftz(float x);

} // namespace emu

#endif
