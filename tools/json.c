/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of the commands: values, the environment that every result carries, and files. */
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "cli.h"

extern char **environ;

/* A command has nothing better to do without memory than to end. */
static json_t *must(json_t *value)
{
  if (!value) exit(cli_fail(CLI_DEVICE, "out of memory"));
  return value;
}

json_t *cli_object(void)
{
  return must(json_object());
}

json_t *cli_array(void)
{
  return must(json_array());
}

void cli_set(json_t *object, const char *key, json_t *value)
{
  if (json_object_set_new(object, key, value) != 0) must(NULL);
}

void cli_append(json_t *array, json_t *value)
{
  if (json_array_append_new(array, value) != 0) must(NULL);
}

json_t *cli_real(double value)
{
  return must(isfinite(value) ? json_real(value) : json_null());
}

json_t *cli_text(const char *text)
{
  json_t *value = json_string(text);
  if (value) return value;
  /* Not UTF-8, as a file name may be: keep what is ASCII. */
  char *ascii = strdup(text);
  for (char *c = ascii; c && *c; c++)
    if ((unsigned char)*c >= 0x80) *c = '?';
  value = ascii ? json_string(ascii) : NULL;
  free(ascii);
  return must(value);
}

json_t *cli_device_json(const fl4_device_info *info)
{
  char name[32];
  cli_device_name(info, name);
  json_t *device = cli_object();
  cli_set(device, "device", cli_text(name));
  cli_set(device, "name", cli_text(info->name));
  cli_set(device, "isa", cli_text(info->isa));
  cli_set(device, "sm", json_integer(info->sm));
  cli_set(device, "multiprocessors", json_integer(info->multiprocessors));
  cli_set(device, "smem_per_block", json_integer(info->smem_per_block));
  cli_set(device, "smem_per_sm", json_integer(info->smem_per_sm));
  cli_set(device, "registers_per_sm", json_integer(info->registers_per_sm));
  cli_set(device, "threads_per_sm", json_integer(info->threads_per_sm));
  cli_set(device, "l2_bytes", json_integer(info->l2_bytes));
  cli_set(device, "memory_bytes", json_integer(info->memory_bytes));
  return device;
}

/* The variables that change what the library does. */
static json_t *variables(void)
{
  json_t *found = cli_object();
  for (char **variable = environ; *variable; variable++) {
    if (strncmp(*variable, "FLASHL4_", 8) != 0 && strncmp(*variable, "OMP_", 4) != 0 &&
        strncmp(*variable, "CUDA_", 5) != 0)
      continue;
    char name[64];
    size_t length = strcspn(*variable, "=");
    if (length >= sizeof name || !(*variable)[length]) continue;
    memcpy(name, *variable, length);
    name[length] = '\0';
    cli_set(found, name, cli_text(*variable + length + 1));
  }
  return found;
}

/* The first word of a file of the system. */
static bool read_word(const char *name, char word[32])
{
  FILE *file = fopen(name, "r");
  if (!file) return false;
  bool read = fscanf(file, "%31s", word) == 1;
  fclose(file);
  return read;
}

json_t *cli_environment_json(const cli_options *options)
{
  json_t *environment = cli_object();
  cli_set(environment, "library", cli_text(fl4_version_string()));
  cli_set(environment, "abi", json_integer(FL4_ABI_VERSION));
  cli_set(environment, "cuda", json_boolean(FL4_CLI_CUDA));
  cli_set(environment, "openmp", json_boolean(FL4_CLI_OPENMP));
  cli_set(environment, "compiler", cli_text(__VERSION__));

  struct utsname system;
  if (uname(&system) == 0) {
    cli_set(environment, "system", cli_text(system.sysname));
    cli_set(environment, "release", cli_text(system.release));
    cli_set(environment, "machine", cli_text(system.machine));
  }
  char when[32], governor[32];
  time_t now = time(NULL);
  struct tm utc;
  if (gmtime_r(&now, &utc) && strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc))
    cli_set(environment, "time", cli_text(when));
  if (read_word("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor))
    cli_set(environment, "cpu_governor", cli_text(governor));
  json_t *command = cli_array();
  for (int i = 0; i < options->argc; i++) cli_append(command, cli_text(options->argv[i]));
  cli_set(environment, "command", command);
  cli_set(environment, "variables", variables());
  return environment;
}

const char *cli_library_file(void)
{
  Dl_info info;
  void *symbol = dlsym(RTLD_DEFAULT, "fl4_version");
  return symbol && dladdr(symbol, &info) ? info.dli_fname : NULL;
}

static bool to_stdout(const char *name)
{
  return strcmp(name, "-") == 0;
}

int cli_file_open(const char *option, const char *name, FILE **file)
{
  *file = NULL;
  if (!name) return CLI_GOOD;
  *file = to_stdout(name) ? stdout : fopen(name, "w");
  if (!*file) return cli_fail(CLI_UNUSABLE, "%s: cannot write \"%s\": %s", option, name, strerror(errno));
  return CLI_GOOD;
}

int cli_file_close(const char *option, const char *name, FILE *file, int code)
{
  if (!file) return code;
  bool good = !ferror(file);
  if (to_stdout(name) ? fflush(file) : fclose(file)) good = false;
  return good ? code : cli_fail(CLI_UNUSABLE, "%s: cannot write \"%s\": %s", option, name, strerror(errno));
}

int cli_json_open(const cli_options *options, FILE **file)
{
  return cli_file_open("--json", options->json, file);
}

int cli_json_close(const cli_options *options, FILE *file, json_t *root, int code)
{
  if (file) {
    json_dumpf(root, file, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    fputc('\n', file);
  }
  json_decref(root);
  return cli_file_close("--json", options->json, file, code);
}
