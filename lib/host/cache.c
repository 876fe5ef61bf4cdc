/* SPDX-License-Identifier: Apache-2.0 */
/* How much the last-level caches of this machine hold. */
#include <stdio.h>
#include <unistd.h>

#include "measure.h"

/* The first whole number in a file; -1 if there is none. */
static long first_number(const char *folder, int cpu, const char *file)
{
  char path[256];
  snprintf(path, sizeof path, "%s/cpu%d/cache/index3/%s", folder, cpu, file);
  FILE *f = fopen(path, "re");
  long number = -1;
  if (f && fscanf(f, "%ld", &number) != 1) number = -1;
  if (f) fclose(f);
  return number;
}

size_t fl4__host_cache_bytes(const char *folder)
{
  /* Linux knows each third-level cache and which CPUs share it; the C library only guesses from cpuid. */
  long long kilobytes = 0;
  for (int cpu = 0; first_number(folder, cpu, "size") > 0; cpu++)
    if (first_number(folder, cpu, "shared_cpu_list") == cpu) kilobytes += first_number(folder, cpu, "size");
  if (kilobytes > 0) return (size_t)kilobytes << 10;
  const long asked = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return asked > 0 ? (size_t)asked : (size_t)64 << 20;
}
