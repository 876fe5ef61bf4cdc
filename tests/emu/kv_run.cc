/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One case of tests/merge_rig.h or tests/append_rig.h on the emulated GPU, for the mutants of these kernels, which fl4 check
 * does not run:
 *
 *     kv_run merge_states n=3 Sq=5 list=1
 *     kv_run kv_append B=2 Sn=3 page_size=8
 *
 * The words are the fields of merge_case and append_case. Exit: 0 right, 1 wrong, 3 usage, 4 the call failed.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "append_rig.h"
#include "backend.h"
#include "merge_rig.h"

namespace {

using Words = std::map<std::string, int>;

/* Takes a word out; without it the value stays. */
template <class T> void take(Words *words, const char *name, T *value)
{
  const auto found = words->find(name);
  if (found == words->end()) return;
  *value = (T)found->second;
  words->erase(found);
}

bool run_merge(fl4_context *ctx, Words *words, char why[512])
{
  merge_case c = {};
  c.dtype = FL4_DTYPE_FP16, c.n = 3, c.B = 1, c.Hq = 2, c.Sq = 20, c.D = 64, c.lse = true, c.seed = 1;
  take(words, "dtype", &c.dtype), take(words, "n", &c.n), take(words, "B", &c.B), take(words, "Hq", &c.Hq);
  take(words, "Sq", &c.Sq), take(words, "D", &c.D), take(words, "parts_fp32", &c.parts_fp32);
  take(words, "list", &c.list), take(words, "lse", &c.lse), take(words, "in_place", &c.in_place);
  take(words, "layout", &c.layout), take(words, "seed", &c.seed);
  return words->empty() && merge_run(ctx, &c, why);
}

bool run_append(fl4_context *ctx, Words *words, char why[512])
{
  append_case c = {};
  c.dtype = FL4_DTYPE_FP16, c.B = 2, c.Hkv = 2, c.Sn = 5, c.Sk = 30, c.D = 64, c.max_position = 150, c.seed = 1;
  take(words, "dtype", &c.dtype), take(words, "B", &c.B), take(words, "Hq", &c.Hq), take(words, "Hkv", &c.Hkv);
  take(words, "Sn", &c.Sn), take(words, "Sk", &c.Sk), take(words, "D", &c.D), take(words, "rotary", &c.rotary);
  c.rotary_dim = c.rotary ? c.D : 0;
  take(words, "rotary_dim", &c.rotary_dim), take(words, "max_position", &c.max_position);
  if (!c.rotary) c.max_position = 0;
  take(words, "page_size", &c.page_size), take(words, "ragged", &c.ragged), take(words, "used", &c.used);
  take(words, "after", &c.after), take(words, "in_place", &c.in_place), take(words, "bad", &c.bad);
  take(words, "wild", &c.wild), take(words, "layout", &c.layout), take(words, "seed", &c.seed);
  return words->empty() && append_run(ctx, &c, why);
}

int usage(const char *what)
{
  fprintf(stderr, "kv_run: %s; it is: kv_run merge_states|kv_append [FIELD=NUMBER]...\n", what);
  return 3;
}

} // namespace

int main(int argc, char **argv)
{
  Words words;
  for (int i = 2; i < argc; i++) {
    const char *equals = strchr(argv[i], '=');
    if (!equals) return usage(argv[i]);
    words[std::string(argv[i], (size_t)(equals - argv[i]))] = atoi(equals + 1);
  }
  const bool merge = argc > 1 && !strcmp(argv[1], "merge_states");
  if (!merge && (argc < 2 || strcmp(argv[1], "kv_append") != 0)) return usage("no kernel is named");

  setenv("FLASHL4_WISDOM", "off", 1);
  emu::add_device();
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "emu";
  fl4_context *ctx;
  if (fl4_context_create(&ctx, &options) != FL4_OK) return usage(fl4_last_error());
  char why[512] = "";
  const bool right = merge ? run_merge(ctx, &words, why) : run_append(ctx, &words, why);
  fl4_context_destroy(&ctx);
  if (!words.empty()) return usage(("no field " + words.begin()->first).c_str());
  if (right) return 0;
  const bool failed = strncmp(why, "FL4_", 4) == 0; /* a status */
  printf("%s%s\n", failed ? "" : "wrong: ", why);
  return failed ? 4 : 1;
}
