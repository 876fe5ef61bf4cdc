/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that the emulator can run: those built with it, and others compiled when they are needed. */
#ifndef FL4_EMU_INSTANCES_H
#define FL4_EMU_INSTANCES_H

#include <string>
#include <vector>

namespace emu {

typedef void (*Entry)(const void *params);

struct Registration {
  Registration(const char *options, Entry entry);
};

/* The options of all instances that were built in. */
std::vector<std::string> built_in_instances();

/* The instance of these options that was built in, or nullptr. */
Entry find_instance(const std::string &options);

/*
 * Compiles an instance from `kernel_dir` (nullptr: the source tree's kernels) with the C++ compiler
 * that built the tests. nullptr on failure, with the compiler's words in `error`.
 */
Entry compile_instance(const std::vector<std::string> &options, const char *kernel_dir, const std::string &source,
                       const std::string &entry, std::string *error);

} // namespace emu

#endif
