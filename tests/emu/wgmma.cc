/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products of a warpgroup: each of its warps computes 16 of the 64 rows, at any time between the product and the
 * wait for it. Here that is when it waits, the accumulators are NaN until then, and whoever writes what is read is in
 * error.
 */
#include <cmath>
#include <cstring>

#include "state.h"

namespace emu {

enum { CHUNK = 16, CHUNK_ELEMENTS = 8, ROW_BYTES = 128, GROUP_BYTES = 8 * ROW_BYTES, WARP_ROWS = 16, DEPTH = 16 };

struct WgmmaOperand {
  float *d;
  u32 a[4]; /* or a descriptor in a[0] */
  u32 b;    /* descriptor */
  int n;
  bool registers, add;
  int thread;
};

/* ---------------------------------------------------------------- operands in shared memory */

struct Matrix {
  u32 address, page;
};

static Matrix decode(const Site &site, u32 descriptor, bool by_rows)
{
  if (descriptor & 0xc000c000) fail(site, "descriptor 0x%08x: an address or a page that does not fit", descriptor);
  const Matrix m = {(descriptor & 0x3fff) << 4, (descriptor >> 16) << 4};
  if (m.address % GROUP_BYTES >= (by_rows ? CHUNK : ROW_BYTES))
    fail(site, "descriptor 0x%08x: address 0x%x: eight rows start at a multiple of %d", descriptor, m.address,
         (int)GROUP_BYTES);
  return m;
}

/* Where row `row` has its chunk `chunk`, counted from the address. Chunks are swizzled by the address's own bits. */
static size_t chunk_at(const Site &site, const Matrix &m, int row, int chunk)
{
  const int in_page = chunk % (ROW_BYTES / CHUNK);
  const u32 plain = m.address + (u32)(chunk / (ROW_BYTES / CHUNK)) * m.page + (u32)(row / 8 * GROUP_BYTES) +
                    (u32)(row % 8 * ROW_BYTES + in_page * CHUNK);
  return shared_index(site, plain ^ (plain >> 7 & 7) << 4, CHUNK);
}

static void list_chunks(std::vector<size_t> &all, const Site &site, const Matrix &m, int first_row, int rows,
                        int chunks)
{
  for (int row = 0; row < rows; row++)
    for (int chunk = 0; chunk < chunks; chunk++) all.push_back(chunk_at(site, m, first_row + row, chunk));
}

/* ---------------------------------------------------------------- arithmetic */

static float value(u16 x, bool bf16)
{
  return bf16 ? from_bf16(x) : from_half(x);
}

static void read_chunk(size_t index, bool bf16, float (&x)[CHUNK_ELEMENTS])
{
  u16 bits[CHUNK_ELEMENTS];
  std::memcpy(bits, &block->smem[index], CHUNK);
  for (int i = 0; i < CHUNK_ELEMENTS; i++) x[i] = value(bits[i], bf16);
}

static void read_a(const Product &p, float (&a)[WARP_ROWS][DEPTH])
{
  float x[CHUNK_ELEMENTS];
  for (size_t i = 0; i < p.a_chunks.size(); i++) {
    read_chunk(p.a_chunks[i], p.bf16, x);
    std::memcpy(&a[i / 2][i % 2 * CHUNK_ELEMENTS], x, sizeof x);
  }
  for (int lane = 0; lane < WARP && p.a_chunks.empty(); lane++)
    for (int r = 0; r < 4; r++)
      for (int e = 0; e < 2; e++)
        a[lane / 4 + r % 2 * 8][lane % 4 * 2 + r / 2 * 8 + e] =
            value((u16)(p.a_registers[lane][r] >> (16 * e)), p.bf16);
}

/* Row by row of the summed dimension. */
static std::vector<float> read_b(const Product &p, int n)
{
  std::vector<float> b((size_t)(DEPTH * n));
  float x[CHUNK_ELEMENTS];
  for (size_t i = 0; i < p.b_chunks.size(); i++) {
    read_chunk(p.b_chunks[i], p.bf16, x);
    if (p.by_rows) std::memcpy(&b[i * CHUNK_ELEMENTS], x, sizeof x);
    else
      for (size_t e = 0; e < CHUNK_ELEMENTS; e++) b[(i % 2 * CHUNK_ELEMENTS + e) * (size_t)n + i / 2] = x[e];
  }
  return b;
}

static void compute(const Product &p)
{
  const int n = p.to->n;
  float a[WARP_ROWS][DEPTH];
  read_a(p, a);
  const std::vector<float> b = read_b(p, n);
  float *sum = p.to->value.data();
  if (!p.add) p.to->value.assign(p.to->value.size(), 0.f);
  for (int row = 0; row < WARP_ROWS; row++)
    for (int k = 0; k < DEPTH; k++)
      for (int j = 0; j < n; j += 8)
        for (int e = 0; e < 8; e++) sum[row * n + j + e] += a[row][k] * b[(size_t)(k * n + j + e)];
}

/* ---------------------------------------------------------------- issue */

/* Where register i of a lane is among the warp's values. */
static size_t place(int lane, int i, int n)
{
  return (size_t)((lane / 4 + i / 2 % 2 * 8) * n + i / 4 * 8 + lane % 4 * 2 + i % 2);
}

/* The values of a product that is pending already, or those of the threads, which are gone from now on. */
static std::list<Accumulators>::iterator accumulators(Warp &w, WgmmaOperand *const *lanes)
{
  for (auto a = w.accumulators.begin(); a != w.accumulators.end(); ++a)
    if (a->d[0] == lanes[0]->d) return a;
  Accumulators a = {{}, lanes[0]->n, 0, std::vector<float>((size_t)(WARP_ROWS * lanes[0]->n))};
  for (int l = 0; l < WARP; l++) {
    a.d[l] = lanes[l]->d;
    for (int i = 0; i < a.n / 2; i++) a.value[place(l, i, a.n)] = a.d[l][i], a.d[l][i] = NAN;
  }
  return w.accumulators.insert(w.accumulators.end(), a);
}

static Witnesses witnesses(int first)
{
  Witnesses w = {};
  for (int thread = first; thread < first + WARP; thread++) {
    bool as_another = false;
    for (int i = 0; i < w.n; i++)
      as_another |= block->threads[(size_t)w.thread[i]].seen == block->threads[(size_t)thread].seen;
    if (!as_another) w.thread[w.n++] = thread;
  }
  return w;
}

static void issue(const Site &site, WgmmaOperand *const *lanes, bool bf16)
{
  const WgmmaOperand &o = *lanes[0];
  const Witnesses who = witnesses(o.thread);
  Warp &w = block->warps[(size_t)o.thread / WARP];
  w.open.emplace_back();
  Product &p = w.open.back();
  p.site = site, p.add = o.add, p.bf16 = bf16, p.by_rows = o.registers;
  const Matrix b = decode(site, o.b, o.registers);
  if (o.registers) {
    for (int l = 0; l < WARP; l++) std::memcpy(p.a_registers[l], lanes[l]->a, sizeof lanes[l]->a);
    list_chunks(p.b_chunks, site, b, 0, DEPTH, o.n / CHUNK_ELEMENTS);
  } else {
    const Matrix a = decode(site, o.a[0], false);
    list_chunks(p.a_chunks, site, a, o.thread % WARPGROUP / WARP * WARP_ROWS, WARP_ROWS, 2);
    list_chunks(p.b_chunks, site, b, 0, o.n, 2);
  }
  for (size_t index : p.a_chunks) begin_product_read(site, index, CHUNK, who);
  for (size_t index : p.b_chunks) begin_product_read(site, index, CHUNK, who);
  p.to = accumulators(w, lanes);
  p.to->pending++;
  block->counts.mma += (u64)o.n / 8;
}

static void multiply(const Site &site, WgmmaOperand mine, bool bf16)
{
  if (mine.n < 8 || mine.n > 256 || mine.n % 8) fail(site, "N is %d, must be a multiple of 8 up to 256", mine.n);
  if (!block->thread().products_fenced)
    fail(site, "no wgmma_fence since the last wait: the registers may still be written (C7519)");
  with_warpgroup(site, &mine, [&](void *const *operands) {
    WgmmaOperand *all[WARPGROUP];
    for (int i = 0; i < WARPGROUP; i++) all[i] = static_cast<WgmmaOperand *>(operands[i]);
    for (int i = 1; i < WARPGROUP; i++)
      if (all[i]->b != mine.b || (!mine.registers && all[i]->a[0] != mine.a[0]) || all[i]->add != mine.add)
        fail(site, "the descriptors of the warpgroup's threads are not the same");
    for (int i = 0; i < WARPGROUP; i += WARP) issue(site, all + i, bf16);
  });
}

void wgmma_shared(Site site, float *d, int n, u32 a, u32 b, bool add, bool bf16)
{
  multiply(site, {d, {a}, b, n, false, add, block->current}, bf16);
}

void wgmma_registers(Site site, float *d, int n, const u32 (&a)[4], u32 b, bool bf16)
{
  multiply(site, {d, {a[0], a[1], a[2], a[3]}, b, n, true, true, block->current}, bf16);
}

/* ---------------------------------------------------------------- waiting */

static void retire(Warp &w, Product &p)
{
  compute(p);
  for (size_t index : p.a_chunks) end_product_read(p.site, index, CHUNK);
  for (size_t index : p.b_chunks) end_product_read(p.site, index, CHUNK);
  if (--p.to->pending) return;
  for (int l = 0; l < WARP; l++)
    for (int i = 0; i < p.to->n / 2; i++) p.to->d[l][i] = p.to->value[place(l, i, p.to->n)];
  w.accumulators.erase(p.to);
}

void wgmma_fence()
{
  block->thread().products_fenced = true;
}

void wgmma_commit(Site site)
{
  with_warp(site, nullptr, [](void *const *) {
    Warp &w = block->warp();
    w.groups.push_back(std::move(w.open));
    w.open.clear();
  });
}

void wgmma_wait(Site site, int pending)
{
  block->thread().products_fenced = false;
  with_warp(site, nullptr, [&](void *const *) {
    Warp &w = block->warp();
    while ((int)w.groups.size() > pending) {
      for (Product &p : w.groups.front()) retire(w, p);
      w.groups.pop_front();
    }
  });
}

void wgmma_arrived(Site site, const float *d)
{
  for (const Accumulators &a : block->warp().accumulators)
    if (a.d[block->lane()] == d) fail(site, "the accumulators are of a product that has not been waited for");
}

static const Product *any_pending(const Warp &w)
{
  if (!w.open.empty()) return &w.open[0];
  for (const auto &group : w.groups)
    if (!group.empty()) return &group[0];
  return nullptr;
}

void check_product_leftovers()
{
  for (size_t i = 0; i < block->warps.size(); i++)
    if (const Product *p = any_pending(block->warps[i]))
      report((int)i * WARP, p->site, "the thread left with a product that was never %s",
             block->warps[i].open.empty() ? "waited for" : "committed");
}

static bool reads(const Product &p, size_t chunk)
{
  const auto in = [=](const std::vector<size_t> &chunks) {
    for (size_t index : chunks)
      if (index == chunk) return true;
    return false;
  };
  return in(p.a_chunks) || in(p.b_chunks);
}

Site product_reading(size_t index)
{
  const size_t chunk = index / CHUNK * CHUNK;
  for (const Warp &w : block->warps) {
    for (const Product &p : w.open)
      if (reads(p, chunk)) return p.site;
    for (const auto &group : w.groups)
      for (const Product &p : group)
        if (reads(p, chunk)) return p.site;
  }
  return {"", 0, ""};
}

} // namespace emu
