/* SPDX-License-Identifier: Apache-2.0 */
/* The benchmark's words. */
#include <flashl4/bench.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *fl4_verdict_name(fl4_verdict verdict)
{
  switch (verdict) {
#define CASE(name, text)                                                                                               \
  case FL4_VERDICT_##name: return text;
    FL4_VERDICT_MAP(CASE)
#undef CASE
  case FL4_VERDICT_COUNT: break;
  }
  return NULL;
}

const char *fl4_bench_mode_name(fl4_bench_mode mode)
{
  switch (mode) {
#define CASE(name, text, what)                                                                                         \
  case FL4_BENCH_##name: return text;
    FL4_BENCH_MODE_MAP(CASE)
#undef CASE
  case FL4_BENCH_MODE_COUNT: break;
  }
  return NULL;
}

const char *fl4_bench_stop_name(fl4_bench_stop stop)
{
  switch (stop) {
#define CASE(name, text)                                                                                               \
  case FL4_BENCH_STOP_##name: return text;
    FL4_BENCH_STOP_MAP(CASE)
#undef CASE
  case FL4_BENCH_STOP_COUNT: break;
  }
  return NULL;
}

/* NVML's bits, each with few letters: all of them at once and unknown ones must fit into the text. */
static const struct {
  int64_t bit;
  const char *name;
} throttle_reasons[] = {
    {0x01, "idle"},       {0x02, "app clocks"}, {0x04, "power cap"},   {0x08, "hw slowdown"},     {0x10, "sync boost"},
    {0x20, "sw thermal"}, {0x40, "hw thermal"}, {0x80, "power brake"}, {0x100, "display clocks"},
};

const char *fl4_throttle_text(int64_t reasons, char text[128])
{
  if (reasons == 0 || reasons == -1) return strcpy(text, reasons ? "unknown" : "none");
  const char *comma = "";
  char *end = text;
  for (size_t i = 0; i < sizeof throttle_reasons / sizeof *throttle_reasons; i++) {
    if (!(reasons & throttle_reasons[i].bit)) continue;
    end += sprintf(end, "%s%s", comma, throttle_reasons[i].name);
    reasons &= ~throttle_reasons[i].bit;
    comma = ", ";
  }
  if (reasons) sprintf(end, "%s0x%" PRIx64, comma, (uint64_t)reasons);
  return text;
}
