/* SPDX-License-Identifier: Apache-2.0 */
/* The register of built-in kernels, and the C++ compiler in the place of NVRTC. */
#include "instances.h"

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>

namespace emu {

static std::map<std::string, Entry> &built_in()
{
  static std::map<std::string, Entry> instances;
  return instances;
}

Registration::Registration(const char *options, Entry entry)
{
  built_in()[options] = entry;
}

std::vector<std::string> built_in_instances()
{
  std::vector<std::string> all;
  for (const auto &[options, entry] : built_in()) all.push_back(options);
  return all;
}

Entry find_instance(const std::string &options)
{
  auto it = built_in().find(options);
  return it == built_in().end() ? nullptr : it->second;
}

static std::string quoted(const std::string &word)
{
  std::string out = "'";
  for (char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/* Runs a command; its output, and false if it failed. */
static bool run_command(const std::string &command, std::string *output)
{
  FILE *pipe = popen((command + " 2>&1").c_str(), "r");
  if (!pipe) return false;
  char text[1024];
  while (size_t n = fread(text, 1, sizeof text, pipe)) output->append(text, n);
  const int status = pclose(pipe);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Entry compile_instance(const std::vector<std::string> &options, const char *kernel_dir, const std::string &source,
                       const std::string &entry, std::string *error)
{
  char folder[] = "/tmp/fl4-emu-XXXXXX";
  if (!mkdtemp(folder)) return *error = "no temporary folder", nullptr;
  const std::string object = std::string(folder) + "/kernel.so", emu_dir = FL4_EMU_SOURCE_DIR;
  std::string command = FL4_EMU_COMPILER " -shared -fPIC -DFL4_EMU_PLUGIN";
  for (const std::string &option : options) command += " " + quoted(option);
  command += " -DFL4_EMU_SOURCE=" + quoted("\"" + source + "\"") + " -DFL4_EMU_ENTRY=" + entry;
  command += " -I" + quoted(kernel_dir ? std::string(kernel_dir) : emu_dir + "/../../kernels") + " -I" + quoted(emu_dir);
  for (const char *header : {"/ptx.h", "/ptx_hopper.h"}) command += " -include " + quoted(emu_dir + header);
  command += " " + quoted(emu_dir + "/instance.cc");
  command += " -o " + quoted(object);
  const bool good = run_command(command, error);
  void *plugin = good ? dlopen(object.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (good && !plugin) *error = dlerror();
  unlink(object.c_str());
  rmdir(folder);
  return plugin ? reinterpret_cast<Entry>(dlsym(plugin, "fl4_emu_run")) : nullptr;
}

} // namespace emu
