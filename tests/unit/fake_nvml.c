/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NVML of the tests: one GPU with figures of its own. $FAKE_NVML_FAIL lists the functions that fail.
 * FAKE_OLD leaves out what an old driver has not.
 */
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static char gpu;

/* 0, or 3 (not supported) if this function is to fail. */
static int result(const char *function)
{
  const char *failing = getenv("FAKE_NVML_FAIL");
  return failing && strstr(failing, function) ? 3 : 0;
}

/* What fails writes rubbish first. */
static int give(const char *function, const void *device, unsigned *to, unsigned value)
{
  const int error = device == &gpu ? result(function) : 2;
  *to = error ? 0xdeadbeef : value;
  return error;
}

EXPORT int nvmlInit_v2(void);
EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device);
EXPORT int nvmlDeviceGetClockInfo(void *device, int type, unsigned *mhz);
EXPORT int nvmlDeviceGetMaxClockInfo(void *device, int type, unsigned *mhz);
EXPORT int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius);
EXPORT int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts);
EXPORT int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatts);
EXPORT int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *bits);
EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits);
EXPORT int nvmlSystemGetDriverVersion(char *version, unsigned length);

int nvmlInit_v2(void)
{
  const char *count = getenv("FAKE_NVML_INITS");
  static char next[2] = "1";
  setenv("FAKE_NVML_INITS", count ? "many" : next, 1);
  return result("Init");
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device)
{
  const int found = strcmp(bus_id, "0000:1b:00.0") == 0;
  *device = found ? &gpu : NULL;
  return found ? result("Handle") : 6;
}

int nvmlDeviceGetMaxClockInfo(void *device, int type, unsigned *mhz)
{
  return give("MaxClock", device, mhz, type == 1 ? 1980 : 1);
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius)
{
  return give("Temperature", device, celsius, sensor == 0 ? 41 : 1);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits)
{
  unsigned low;
  const int error = give("Throttle", device, &low, 0x44);
  *bits = low;
  return error;
}

int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
  if (result("Driver")) return 3;
#ifdef FAKE_OLD
  strncpy(version, "470.57.02 with a suffix that is far too long for the field", length - 1);
#else
  strncpy(version, "580.159.03", length - 1);
#endif
  version[length - 1] = '\0';
  return 0;
}

#ifndef FAKE_OLD
int nvmlDeviceGetClockInfo(void *device, int type, unsigned *mhz)
{
  return give(type == 1 ? "SmClock" : "MemoryClock", device, mhz, type == 1 ? 1755 : type == 2 ? 3201 : 1);
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts)
{
  return give("PowerUsage", device, milliwatts, 345678);
}

int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatts)
{
  return give("PowerLimit", device, milliwatts, 700000);
}

int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *bits)
{
  unsigned low;
  const int error = give("Event", device, &low, 4);
  *bits = (1ull << 40) + low;
  return error;
}
#endif
