/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What accesses cost. Lanes come by one after the other; those of a warp that are at a site for the
 * same time belong to one request of the machine.
 *
 * Shared memory: 32 banks of 4 bytes; a pass serves one word of each bank. A warp's request of 16 bytes
 * a lane is served for eight lanes at a time. Global memory: sectors of 32 bytes.
 */
#include <algorithm>
#include <set>

#include "state.h"

namespace emu {

/* Passes that `n` accesses of `bytes` each need if they go together. */
static u64 passes(const u64 *addresses, int n, int bytes)
{
  std::vector<u64> words[32];
  u64 most = 0;
  for (int i = 0; i < n; i++)
    for (int w = 0; w < bytes / 4; w++) {
      const u64 word = addresses[i] / 4 + (u64)w;
      auto &bank = words[word % 32];
      if (std::find(bank.begin(), bank.end(), word) == bank.end()) bank.push_back(word);
      most = std::max(most, (u64)bank.size());
    }
  return most;
}

static void settle_shared(Counts &counts, const Site &site, const Request &r)
{
  Count &c = counts.shared[site];
  const int together = r.bytes == 16 ? 8 : WARP;
  c.requests++;
  for (int first = 0; first < WARP; first += together) {
    u64 addresses[WARP];
    int n = 0;
    for (int l = first; l < first + together; l++)
      if (r.lanes >> l & 1) addresses[n++] = r.address[l];
    if (!n) continue;
    c.bytes += (u64)(n * r.bytes);
    c.wavefronts += passes(addresses, n, r.bytes);
    c.ideal++;
  }
}

static void settle_global(Counts &counts, const Site &site, const Request &r)
{
  Count &c = counts.global[site];
  std::set<u64> sectors;
  u64 bytes = 0;
  for (int l = 0; l < WARP; l++) {
    if (!(r.lanes >> l & 1)) continue;
    bytes += (u64)r.bytes;
    sectors.insert(r.address[l] / 32);
  }
  c.requests++;
  c.bytes += bytes;
  c.sectors += sectors.size();
  c.ideal += (bytes + 31) / 32;
}

typedef void (*Settle)(Counts &, const Site &, const Request &);

static void gather(std::map<std::tuple<Site, int, u32>, Request> &requests, const Site &site, u64 address, int bytes,
                   Settle settle)
{
  const int warp = block->current / WARP, lane = block->lane();
  auto &turns = block->turns[{site, warp}];
  turns.resize(WARP);
  const auto key = std::make_tuple(site, warp, turns[(size_t)lane]++);
  Request &r = requests[key];
  r.address[lane] = address;
  r.lanes |= 1u << lane;
  r.bytes = bytes;
  if (r.lanes != 0xffffffffu) return;
  settle(block->counts, site, r);
  requests.erase(key);
}

void count_shared(const Site &site, u32 address, int bytes)
{
  gather(block->shared_requests, site, address, bytes, settle_shared);
}

void count_global(const Site &site, const void *address, int bytes)
{
  gather(block->global_requests, site, (uintptr_t)address, bytes, settle_global);
}

/* ldmatrix: four matrices of eight rows, a pass each at best. */
void count_shared_rows(const Site &site, const u32 *rows, int n)
{
  Request r;
  r.bytes = 16;
  for (int l = 0; l < n; l++) r.address[l] = rows[l], r.lanes |= 1u << l;
  settle_shared(block->counts, site, r);
}

void finish_counts(Block &b)
{
  for (const auto &[key, r] : b.shared_requests) settle_shared(b.counts, std::get<0>(key), r);
  for (const auto &[key, r] : b.global_requests) settle_global(b.counts, std::get<0>(key), r);
}

} // namespace emu
