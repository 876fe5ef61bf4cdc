/* SPDX-License-Identifier: Apache-2.0 */
/* What the numbers of a profile say: each beside its limit, with what to do if it does not hold. */
#include "profile_lines.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/*
 * The same number has other names on other GPUs and in other releases of ncu: all are asked for, the
 * first that has a value counts, and what a GPU does not have ncu shows as n/a.
 */
enum { NAMES = 3 };
typedef const char *const names[NAMES];

static names sm_busy = {"sm__throughput.avg.pct_of_peak_sustained_elapsed",
                        "sm__instruction_throughput.avg.pct_of_peak_sustained_elapsed"};
static names sm_active = {"sm__cycles_active.avg.pct_of_peak_sustained_elapsed"};
static names tensor = {"sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active",
                       "sm__pipe_tensor_op_hmma_cycles_active.avg.pct_of_peak_sustained_active",
                       "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active"};
static names dram = {"gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed",
                     "dram__throughput.avg.pct_of_peak_sustained_elapsed"};
static names l2_hit = {"lts__t_sector_hit_rate.pct"};
static names excessive = {"derived__memory_l1_wavefronts_shared_excessive"};
static names conflicts = {"l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum"};
static names wavefronts = {"l1tex__data_pipe_lsu_wavefronts_mem_shared.sum"};
static names local_loads = {"smsp__inst_executed_op_local_ld.sum", "l1tex__t_requests_pipe_lsu_mem_local_op_ld.sum"};
static names local_stores = {"smsp__inst_executed_op_local_st.sum", "l1tex__t_requests_pipe_lsu_mem_local_op_st.sum"};
static names warps = {"sm__warps_active.avg.pct_of_peak_sustained_active"};
static names warps_at_most = {"sm__maximum_warps_per_active_cycle_pct"};
static names waves = {"launch__waves_per_multiprocessor"};
static names cycles_per_issue = {"smsp__average_warp_latency_per_inst_issued.ratio"};
static names described = {"gpu__time_duration.sum", "launch__registers_per_thread", "launch__block_size"};
static names shared = {"launch__shared_mem_per_block_dynamic", "launch__shared_mem_per_block_static",
                       "launch__grid_size"};

/* Not `excessive`: ncu knows that one as a part of PROFILE_SECTION only, and takes no list that has it. */
static const char *const *const wanted[] = {sm_busy,       sm_active,  tensor,           dram,         l2_hit,
                                            conflicts,     wavefronts, local_loads,      local_stores, warps,
                                            warps_at_most, waves,      cycles_per_issue, described,    shared};

/* How many blocks of this kernel one multiprocessor could hold, if nothing but this were scarce. */
static const char *const limits[][2] = {
    {"launch__occupancy_limit_registers", "registers"}, {"launch__occupancy_limit_shared_mem", "shared memory"},
    {"launch__occupancy_limit_warps", "warps"},         {"launch__occupancy_limit_blocks", "blocks"},
    {"launch__occupancy_limit_barriers", "barriers"},
};

#define STALL(name) "smsp__average_warps_issue_stalled_" name "_per_issue_active.ratio"
static const char *const stalls[][3] = {
    {STALL("barrier"), "barrier", "warps wait for their block: more stages, or fewer barriers a tile"},
    {STALL("branch_resolving"), "branch resolving", "branches in the inner loop"},
    {STALL("dispatch_stall"), "dispatch", "the dispatcher is busy"},
    {STALL("drain"), "drain", "stores at the end of the kernel: a coalesced epilogue"},
    {STALL("gmma"), "wgmma", "waiting for matrix products of the warp group: the tensor cores are the limit"},
    {STALL("imc_miss"), "constant cache", "arguments are read in the loop: keep them in registers"},
    {STALL("lg_throttle"), "local/global queue", "too many narrow loads and stores, or spills"},
    {STALL("long_scoreboard"), "long scoreboard", "waiting for L2 or memory: more stages, copies issued earlier"},
    {STALL("math_pipe_throttle"), "math pipe", "the tensor or exponential units are busy: little is left to gain"},
    {STALL("membar"), "memory barrier", "fences"},
    {STALL("mio_throttle"), "shared-memory queue",
     "too many ldmatrix and shared accesses: larger tiles a warp, qreg=1"},
    {STALL("misc"), "miscellaneous", "nothing to act on"},
    {STALL("no_instruction"), "no instruction", "the loop does not fit the instruction cache: unroll less"},
    {STALL("not_selected"), "not selected", "other warps were ready too: enough warps"},
    {STALL("short_scoreboard"), "short scoreboard", "waiting for ldmatrix or exponentials: fetch fragments earlier"},
    {STALL("sleeping"), "sleeping", "nanosleep"},
    {STALL("tex_throttle"), "texture queue", "too many L1 requests"},
    {STALL("wait"), "wait", "the fixed time between dependent instructions: more independent work a warp"},
};
enum { N_WANTED = sizeof wanted / sizeof wanted[0], N_LIMITS = sizeof limits / sizeof limits[0] };
enum { N_STALLS = sizeof stalls / sizeof stalls[0] };

/* Below this many operations a byte no GPU is busy: by their data sheets an L4 does 400 a byte, an H200 200. */
static const double few_operations = 100;

const char *profile_metrics(void)
{
  static char text[8192]; /* some 50 names of at most 80 characters */
  size_t n = 0;
#define ADD(name) n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? "," : "", name)
  if (*text) return text;
  for (int i = 0; i < N_WANTED; i++)
    for (int k = 0; k < NAMES && wanted[i][k]; k++) ADD(wanted[i][k]);
  for (int i = 0; i < N_LIMITS; i++) ADD(limits[i][0]);
  for (int i = 0; i < N_STALLS; i++) ADD(stalls[i][0]);
#undef ADD
  return text;
}

bool profile_memory_bound(const profile_facts *facts)
{
  return facts->intensity < few_operations;
}

/* The value of the first name that has one; NaN if none does. */
static double value_of(const ncu_report *report, names wanted_names, const char **metric)
{
  const char *unused;
  if (!metric) metric = &unused;
  *metric = wanted_names[0];
  for (int i = 0; i < NAMES && wanted_names[i]; i++) {
    const ncu_metric *m = ncu_find_metric(report, wanted_names[i]);
    if (!m || isnan(m->value)) continue;
    *metric = wanted_names[i];
    return m->value;
  }
  return NAN;
}

static profile_line percent_line(const ncu_report *report, const char *name, names metrics)
{
  profile_line line = {.name = name, .bound = NAN};
  line.value = value_of(report, metrics, &line.metric);
  if (isnan(line.value)) {
    line.verdict = PROFILE_UNKNOWN;
    strcpy(line.measured, "n/a");
  } else {
    snprintf(line.measured, sizeof line.measured, "%.1f %%", line.value);
  }
  return line;
}

/* Holds the line to a bound; `advice` is for the case that it fails. */
static void judge(profile_line *line, bool at_least, double bound, const char *unit, const char *advice)
{
  line->at_least = at_least, line->bound = bound;
  snprintf(line->limit, sizeof line->limit, bound > 0 ? "%s %.0f%s" : "0", at_least ? "≥" : "≤", bound, unit);
  if (line->verdict == PROFILE_UNKNOWN) return;
  bool good = at_least ? line->value >= bound : line->value <= bound;
  line->verdict = good ? PROFILE_GOOD : PROFILE_LOOK;
  if (!good) snprintf(line->advice, sizeof line->advice, "%s", advice);
}

static void remark(profile_line *line, const char *text)
{
  if (line->verdict == PROFILE_INFO) snprintf(line->advice, sizeof line->advice, "%s", text);
}

static profile_line active_line(const ncu_report *report)
{
  profile_line line = percent_line(report, "SMs active", sm_active);
  char advice[sizeof line.advice], many[64] = "";
  double n = value_of(report, waves, NULL);
  if (!isnan(n)) snprintf(many, sizeof many, " (%.2f waves of blocks)", n);
  snprintf(advice, sizeof advice,
           "multiprocessors stand idle%s: too few blocks, or the last ones run alone; smaller tiles", many);
  judge(&line, true, 90, " %", advice);
  return line;
}

static profile_line excessive_line(const ncu_report *report)
{
  profile_line line = {.name = "bank conflicts", .bound = NAN};
  line.value = value_of(report, excessive, &line.metric);
  if (isnan(line.value)) {
    line.verdict = PROFILE_UNKNOWN;
    strcpy(line.measured, "n/a");
  } else {
    snprintf(line.measured, sizeof line.measured, "%.0f", line.value);
  }
  judge(&line, false, 0, "", "addresses of one shared-memory instruction fall on the same bank: check the swizzle");
  return line;
}

/* What the hardware counts holds other collisions too, as of copies with loads: some are always there. */
static profile_line conflict_line(const ncu_report *report)
{
  profile_line line = {.name = "shared-memory replays", .bound = NAN};
  double n = value_of(report, conflicts, &line.metric), of = value_of(report, wavefronts, NULL);
  line.value = n <= 0 ? n : 100 * n / of;
  if (isnan(line.value)) {
    line.verdict = PROFILE_UNKNOWN;
    strcpy(line.measured, "n/a");
  } else {
    snprintf(line.measured, sizeof line.measured, "%.1f %%", line.value);
  }
  judge(&line, false, 1, " %",
        "accesses to shared memory take turns: bank conflicts, or copies that collide with loads");
  return line;
}

static profile_line spill_line(const ncu_report *report, double bytes)
{
  profile_line line = {.name = "spills", .bound = NAN, .metric = local_loads[0]};
  double loads = value_of(report, local_loads, &line.metric), stores = value_of(report, local_stores, NULL);
  double executed = loads + stores;
  line.value = isnan(executed) ? bytes : isnan(bytes) ? executed : fmax(bytes, executed);
  if (isnan(line.value)) line.verdict = PROFILE_UNKNOWN;
  if (isnan(bytes) && isnan(executed))
    strcpy(line.measured, "n/a");
  else if (isnan(executed))
    snprintf(line.measured, sizeof line.measured, "%.0f B", bytes);
  else if (isnan(bytes))
    snprintf(line.measured, sizeof line.measured, "%.0f executed", executed);
  else
    snprintf(line.measured, sizeof line.measured, "%.0f B, %.0f executed", bytes, executed);
  judge(&line, false, 0, "",
        "registers go through memory: smaller tiles, more warps a tile, or fewer blocks a multiprocessor (ctas)");
  return line;
}

static profile_line occupancy_line(const ncu_report *report)
{
  profile_line line = percent_line(report, "occupancy", warps);
  double at_most = value_of(report, warps_at_most, NULL), least = INFINITY;
  if (!isnan(line.value) && !isnan(at_most))
    snprintf(line.measured, sizeof line.measured, "%.1f of %.1f %%", line.value, at_most);
  for (int i = 0; i < N_LIMITS; i++) {
    const ncu_metric *m = ncu_find_metric(report, limits[i][0]);
    if (m && m->value < least) least = m->value;
  }
  if (isinf(least) || line.verdict == PROFILE_UNKNOWN) return line;
  size_t n = (size_t)snprintf(line.advice, sizeof line.advice, "%.0f block%s a multiprocessor, limited by", least,
                              least == 1 ? "" : "s");
  for (int i = 0, first = 1; i < N_LIMITS; i++) {
    const ncu_metric *m = ncu_find_metric(report, limits[i][0]);
    if (!m || m->value != least) continue;
    n += (size_t)snprintf(line.advice + n, sizeof line.advice - n, "%s %s", first ? "" : " and", limits[i][1]);
    first = 0;
  }
  return line;
}

/*
 * A problem with much to compute must keep the multiprocessors busy and not wait for memory; one with
 * little, as decoding, must keep the memory busy, and the rest follows from that.
 */
void profile_judge(const ncu_report *report, const profile_facts *facts, profile_line lines[PROFILE_LINES])
{
  const bool memory = profile_memory_bound(facts);
  profile_line *busy = &lines[0], *pipe = &lines[2], *read = &lines[3], *hit = &lines[4];
  *busy = percent_line(report, "SM busy", sm_busy);
  lines[1] = active_line(report);
  *pipe = percent_line(report, "tensor pipe", tensor);
  *read = percent_line(report, "DRAM", dram);
  *hit = percent_line(report, "L2 hits", l2_hit);
  if (memory) {
    const char *none = "no limit: this problem is bound by memory";
    remark(busy, none);
    remark(pipe, none);
    remark(hit, none);
    judge(read, true, 70, " %",
          "memory should be the limit and is not: more bytes in flight (stages, blocks), wider loads");
  } else {
    judge(busy, true, 70, " %", "no unit is near its limit: see the stalls below for what the warps wait for");
    judge(pipe, true, 50, " %", "the matrix units idle: softmax, loads or barriers stand between the products");
    judge(read, false, 70, " %", "it waits for memory: keys and values are read too often; larger query tiles (bm)");
    judge(hit, true, 50, " %", "blocks that share keys and values do not run together: check the order of the blocks");
  }
  lines[5] = excessive_line(report);
  lines[6] = conflict_line(report);
  lines[7] = spill_line(report, facts->spill_bytes);
  lines[8] = occupancy_line(report);
}

int profile_stalls(const ncu_report *report, profile_stall worst[PROFILE_STALLS])
{
  double all = value_of(report, cycles_per_issue, NULL);
  int n = 0;
  for (int i = 0; i < N_STALLS; i++) {
    const ncu_metric *m = ncu_find_metric(report, stalls[i][0]);
    if (!m || !(m->value > 0)) continue;
    profile_stall stall = {stalls[i][1], stalls[i][2], m->value, all > 0 ? m->value / all : NAN};
    if (n == PROFILE_STALLS && worst[n - 1].cycles >= stall.cycles) continue;
    int at = n < PROFILE_STALLS ? n++ : n - 1;
    for (; at > 0 && worst[at - 1].cycles < stall.cycles; at--) worst[at] = worst[at - 1];
    worst[at] = stall;
  }
  return n;
}
