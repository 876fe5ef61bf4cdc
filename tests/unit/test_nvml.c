/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A GPU's health, from a library that plays NVML ($FL4_FAKE_NVML, and $FL4_FAKE_NVML_OLD with less in
 * it): every field, every failure. NVML is opened once a process, so each case is a child.
 */
#include "cuda/nvml.h"
#include "scratch.h"

static const char bus_id[] = "0000:1b:00.0";

static fl4_device_health look(const char *failing)
{
  fl4_device_health h;
  memset(&h, 0x77, sizeof h);
  setenv("FAKE_NVML_FAIL", failing, 1);
  fl4__nvml_health(bus_id, &h);
  return h;
}

/* All fields but these, compared with what the fake says. */
enum { SM = 1, MAX = 2, MEMORY = 4, HEAT = 8, POWER = 16, LIMIT = 32, REASONS = 64, DRIVER = 128, ALL = 255 };

static int expect(fl4_device_health h, int unknown)
{
  EXPECT(h.struct_size == sizeof h);
  EXPECT(h.sm_clock_mhz == (unknown & SM ? -1 : 1755));
  EXPECT(h.sm_clock_max_mhz == (unknown & MAX ? -1 : 1980));
  EXPECT(h.memory_clock_mhz == (unknown & MEMORY ? -1 : 3201));
  EXPECT(h.temperature_c == (unknown & HEAT ? -1 : 41));
  EXPECT(unknown & POWER ? h.power_w == -1 : h.power_w > 345.677 && h.power_w < 345.679);
  EXPECT(unknown & LIMIT ? h.power_limit_w == -1 : h.power_limit_w > 699.99 && h.power_limit_w < 700.01);
  EXPECT(h.throttle_reasons == (unknown & REASONS ? -1 : ((int64_t)1 << 40) + 4));
  EXPECT(strcmp(h.driver, unknown & DRIVER ? "unknown" : "580.159.03") == 0);
  for (int i = 0; i < 4; i++) EXPECT(h.reserved[i] == 0);
  return 0;
}

/* What fails is unknown, and nothing else is. */
static int fields(void *user)
{
  (void)user;
  static const struct {
    const char *function;
    int unknown;
  } cases[] = {{"", 0},
               {"SmClock", SM},
               {"MaxClock", MAX},
               {"MemoryClock", MEMORY},
               {"Temperature", HEAT},
               {"PowerUsage", POWER},
               {"PowerLimit", LIMIT},
               {"Event,Throttle", REASONS},
               {"Driver", DRIVER},
               {"Handle", ALL & ~DRIVER},
               {"SmClock,Driver", SM | DRIVER},
               {"", 0}};
  setenv("FLASHL4_NVML", getenv("FL4_FAKE_NVML"), 1);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (expect(look(cases[i].function), cases[i].unknown)) return fprintf(stderr, "case %s\n", cases[i].function), 1;
  EXPECT(look("Event").throttle_reasons == 0x44);      /* the old name is asked when the new one fails */
  EXPECT(strcmp(getenv("FAKE_NVML_INITS"), "1") == 0); /* once, however often one looks */

  fl4_device_health h;
  setenv("FAKE_NVML_FAIL", "", 1);
  fl4__nvml_health("0000:ff:00.0", &h); /* another GPU */
  return expect(h, ALL & ~DRIVER);
}

/* Functions that are not there. */
static int old_library(void *user)
{
  (void)user;
  setenv("FLASHL4_NVML", getenv("FL4_FAKE_NVML_OLD"), 1);
  fl4_device_health h = look("");
  EXPECT(h.sm_clock_mhz == -1 && h.memory_clock_mhz == -1 && h.power_w == -1 && h.power_limit_w == -1);
  EXPECT(h.sm_clock_max_mhz == 1980);
  EXPECT(h.temperature_c == 41);
  EXPECT(h.throttle_reasons == 0x44);
  EXPECT(strcmp(h.driver, "470.57.02 with a suffix that is") == 0); /* cut to the field */
  EXPECT(look("Throttle").throttle_reasons == -1);
  return 0;
}

static int all_unknown(void *user)
{
  setenv("FLASHL4_NVML", user, 1);
  return expect(look(""), ALL) || expect(look(""), ALL);
}

static int refused(void *user)
{
  (void)user;
  setenv("FLASHL4_NVML", getenv("FL4_FAKE_NVML"), 1);
  if (expect(look("Init"), ALL)) return 1;
  return expect(look(""), ALL); /* and it is not asked again */
}

START_TEST(every_field)
{
  in_child(fields, NULL);
}
END_TEST

START_TEST(an_old_one)
{
  in_child(old_library, NULL);
}
END_TEST

START_TEST(none)
{
  in_child(all_unknown, (void *)"/nowhere/libnvidia-ml.so.1");
  in_child(all_unknown, (void *)"libc.so.6");
}
END_TEST

START_TEST(init_fails)
{
  in_child(refused, NULL);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("nvml");
  TCase *t = tcase_create("health");
  tcase_add_test(t, every_field);
  tcase_add_test(t, an_old_one);
  tcase_add_test(t, none);
  tcase_add_test(t, init_fails);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)
