/* SPDX-License-Identifier: Apache-2.0 */
/* NVML, opened on first use. Its prototypes stand here, so that nothing of it is needed to build. */
#include "cuda/nvml.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "timing.h"
#include "util/os.h"

typedef struct nvmlDevice_st *device_t;
enum { CLOCK_SM = 1, CLOCK_MEMORY = 2, SENSOR_GPU = 0 }; /* nvmlClockType_t, nvmlTemperatureSensors_t */

/* Each returns 0 if it worked. A function that is not there is NULL. */
static struct {
  bool open;
  int (*init)(void);
  int (*find)(const char *bus_id, device_t *);
  int (*clock)(device_t, int, unsigned *);
  int (*max_clock)(device_t, int, unsigned *);
  int (*temperature)(device_t, int, unsigned *);
  int (*power)(device_t, unsigned *);
  int (*power_limit)(device_t, unsigned *);
  int (*event_reasons)(device_t, unsigned long long *);
  int (*throttle_reasons)(device_t, unsigned long long *); /* the same by its old name */
  int (*driver)(char *, unsigned);
} nvml;

static void open_nvml(void)
{
  static const char *const names[] = {"libnvidia-ml.so.1", NULL};
  const struct {
    const char *name;
    void *slot;
  } symbols[] = {
      {"nvmlInit_v2", &nvml.init},
      {"nvmlDeviceGetHandleByPciBusId_v2", &nvml.find},
      {"nvmlDeviceGetClockInfo", &nvml.clock},
      {"nvmlDeviceGetMaxClockInfo", &nvml.max_clock},
      {"nvmlDeviceGetTemperature", &nvml.temperature},
      {"nvmlDeviceGetPowerUsage", &nvml.power},
      {"nvmlDeviceGetEnforcedPowerLimit", &nvml.power_limit},
      {"nvmlDeviceGetCurrentClocksEventReasons", &nvml.event_reasons},
      {"nvmlDeviceGetCurrentClocksThrottleReasons", &nvml.throttle_reasons},
      {"nvmlSystemGetDriverVersion", &nvml.driver},
  };
  char tried[512];
  const char *asked = fl4__getenv("FLASHL4_NVML");
  const char *const file[] = {asked, NULL};
  /* Never closed: it costs tens of milliseconds to start. */
  void *library = fl4__open_library(asked ? file : names, tried, sizeof tried);
  if (!library) return;
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
    *(void **)symbols[i].slot = dlsym(library, symbols[i].name);
  nvml.open = nvml.init && nvml.init() == 0;
}

static int32_t whole(int error, const unsigned *value)
{
  return error || *value > INT32_MAX ? -1 : (int32_t)*value;
}

static double watts(int error, const unsigned *milliwatts)
{
  return error ? -1 : 1e-3 * *milliwatts;
}

static int reasons(device_t device, unsigned long long *bits)
{
  if (nvml.event_reasons && nvml.event_reasons(device, bits) == 0) return 0;
  return nvml.throttle_reasons ? nvml.throttle_reasons(device, bits) : -1;
}

void fl4__nvml_health(const char *bus_id, fl4_device_health *h)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  fl4__health_unknown(h);
  pthread_once(&once, open_nvml);
  if (!nvml.open) return;

  char driver[80];
  if (nvml.driver && nvml.driver(driver, sizeof driver) == 0)
    snprintf(h->driver, sizeof h->driver, "%.*s", (int)sizeof h->driver - 1, driver);
  device_t device;
  if (!nvml.find || nvml.find(bus_id, &device) != 0) return;

  unsigned x = 0;
  unsigned long long bits = 0;
  if (nvml.clock) {
    h->sm_clock_mhz = whole(nvml.clock(device, CLOCK_SM, &x), &x);
    h->memory_clock_mhz = whole(nvml.clock(device, CLOCK_MEMORY, &x), &x);
  }
  if (nvml.max_clock) h->sm_clock_max_mhz = whole(nvml.max_clock(device, CLOCK_SM, &x), &x);
  if (nvml.temperature) h->temperature_c = whole(nvml.temperature(device, SENSOR_GPU, &x), &x);
  if (nvml.power) h->power_w = watts(nvml.power(device, &x), &x);
  if (nvml.power_limit) h->power_limit_w = watts(nvml.power_limit(device, &x), &x);
  if (reasons(device, &bits) == 0 && bits <= INT64_MAX) h->throttle_reasons = (int64_t)bits;
}
