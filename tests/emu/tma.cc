/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bulk copy engine. A copy reads and lands when it likes, in any order with others: at once, at some moment, or
 * when nobody can go on without it. It is there for those who have waited for its barrier, and for no one else.
 */
#include <algorithm>
#include <cstring>

#include "state.h"

namespace emu {

enum : u64 { MAGIC = 0x70616d20726f736e }; /* "nsor map" */
enum { COLUMNS = 64, ELEMENT = 2, ROW_BYTES = COLUMNS * ELEMENT, MOST_ROWS = 256, ALIGNMENT = 1024 };
enum { CHUNK = 16, SECTOR = 32 };

bool encode_tensor_map(void *map, const void *base, const u64 (&size)[4], const u64 (&stride)[4], int rows, int heads)
{
  TensorMap m = {MAGIC, static_cast<const unsigned char *>(base), {}, {}, {(u64)rows, (u64)heads}};
  if ((uintptr_t)base % 16 || rows < 1 || rows > MOST_ROWS || heads < 1 || heads > MOST_ROWS || stride[0] != ELEMENT)
    return false;
  for (int i = 0; i < 4; i++) {
    if (size[i] < 1 || size[i] > (u64)1 << 32 || (i && (stride[i] % 16 || stride[i] >= (u64)1 << 40))) return false;
    m.size[i] = size[i], m.stride[i] = stride[i];
  }
  std::memset(map, 0, 128);
  std::memcpy(map, &m, sizeof m);
  return true;
}
static_assert(sizeof(TensorMap) <= 128, "fits fl4_tensor_map");

static TensorMap read_map(const Site &site, const void *map)
{
  TensorMap m;
  if ((uintptr_t)map % 64) fail(site, "tensor map at %p: must be at a multiple of 64", map);
  std::memcpy(&m, map, sizeof m);
  if (m.magic != MAGIC) fail(site, "tensor map at %p: nobody has encoded it", map);
  return m;
}

void tma_prefetch(Site site, const void *map)
{
  read_map(site, map);
}

/* Part of a 16-byte chunk of the box: what is in the tensor. */
struct Piece {
  const unsigned char *from;
  u32 at, bytes;
};

static Piece inside(const Bulk &b, int row, int chunk)
{
  const int64_t first = (int64_t)b.at[0] + chunk * CHUNK / ELEMENT, end = first + CHUNK / ELEMENT;
  const int64_t from = std::max(first, (int64_t)0), to = std::min(end, (int64_t)b.map.size[0]);
  const int rows = (int)b.map.box[0];
  const int64_t place[4] = {from, (int64_t)b.at[1] + row % rows, (int64_t)b.at[2] + row / rows, b.at[3]};
  Piece piece = {b.map.base, (u32)(from - first) * ELEMENT, 0};
  for (int i = 0; i < 4; i++) {
    if (place[i] < 0 || place[i] >= (int64_t)b.map.size[i] || from >= to) return piece;
    piece.from += (u64)place[i] * b.map.stride[i];
  }
  piece.bytes = (u32)(to - from) * ELEMENT;
  return piece;
}

static int rows_of(const Bulk &b)
{
  return (int)(b.map.box[0] * b.map.box[1]);
}

static u32 bytes_of(const Bulk &b)
{
  return (u32)rows_of(b) * ROW_BYTES;
}

static void transfer(const Bulk &b)
{
  for (int row = 0; row < rows_of(b); row++)
    for (int chunk = 0; chunk < ROW_BYTES / CHUNK; chunk++) {
      const Piece piece = inside(b, row, chunk);
      unsigned char *to = &block->smem[b.to - SMEM_BASE + (u32)(row * ROW_BYTES + (chunk ^ row % 8) * CHUNK)];
      std::memset(to, 0, CHUNK);
      if (piece.bytes) std::memcpy(to + piece.at, piece.from, piece.bytes);
    }
}

static void land(const Bulk &b)
{
  Mbarrier &m = block->mbarriers[b.barrier];
  transfer(b);
  end_bulk_write(access_by_copies(m, b.site), b.to - SMEM_BASE, (int)bytes_of(b));
  m.copy = b, m.landed = m.phase;
  if (!mbarrier_copied(m, bytes_of(b))) report(b.thread, b.site, "wrong transaction count: %s", describe(b.barrier, m));
}

bool land_bulk()
{
  if (block->bulk.empty()) return false;
  const size_t pick = block->random() % block->bulk.size();
  const Bulk b = block->bulk[pick];
  block->bulk.erase(block->bulk.begin() + (std::ptrdiff_t)pick);
  land(b);
  return true;
}

/* All that is read must be there; and is counted. */
static void check_source(const Bulk &b)
{
  u64 bytes = 0, sectors = 0, last_sector = 0;
  for (int row = 0; row < rows_of(b); row++)
    for (int chunk = 0; chunk < ROW_BYTES / CHUNK; chunk++) {
      const Piece piece = inside(b, row, chunk);
      const u64 sector = (uintptr_t)piece.from / SECTOR;
      const bool whole = piece.bytes == CHUNK && (uintptr_t)piece.from % CHUNK == 0;
      const u32 step = whole ? (u32)CHUNK : (u32)ELEMENT;
      for (u32 i = 0; i < piece.bytes; i += step) check_global(b.site, piece.from + i, (int)step, true);
      if (piece.bytes && sector != last_sector) sectors++, last_sector = sector;
      bytes += piece.bytes;
    }
  Count &c = block->counts.global[b.site];
  c.requests++, c.bytes += bytes, c.sectors += sectors, c.ideal += (bytes + SECTOR - 1) / SECTOR;
}

void tma_load(Site site, u32 to, const void *map, u32 barrier, int column, int row, int head, int batch)
{
  Bulk b = {site, block->current, to, barrier, read_map(site, map), {column, row, head, batch}};
  if (to % ALIGNMENT) fail(site, "shared address 0x%x is not a multiple of %d", to, ALIGNMENT);
  if (column % (CHUNK / 2)) /* measured; the manual does not say it of tensors that are not interleaved */
    fail(site, "column %d of a tensor is not a multiple of %d: the engine breaks off", column, CHUNK / 2);
  mbarrier_at(site, barrier, true);
  const size_t index = shared_index(site, to, CHUNK);
  shared_index(site, to + bytes_of(b) - CHUNK, CHUNK);
  check_source(b);
  /* From now on until it lands, nobody may look: the old value is gone and the new one is not there. */
  begin_bulk_write(site, index, (int)bytes_of(b));
  if (block->launch->options.copies == Copies::early) return land(b);
  if (block->bulk.empty()) block->bulk_at_random = block->random() % 2;
  block->bulk.push_back(b);
}

void check_bulk_leftovers()
{
  for (const auto &[address, m] : block->mbarriers) {
    const bool any = m.copy.thread >= 0;
    const Site &site = any ? m.copy.site : m.init.site;
    const int thread = any ? m.copy.thread : m.init.who;
    if (m.copied != m.announced)
      report(thread, site, "the kernel ends with a wrong transaction count: %s", describe(address, m));
    if (any && m.waited <= m.landed)
      report(thread, site, "the kernel ends, and nobody has waited for the copy: %s", describe(address, m));
  }
}

} // namespace emu
