// SPDX-License-Identifier: Apache-2.0
//
// The emulator does what the hardware did: pin.cu writes, word by word, what it wrote on the GPU of
// pinned_h200.txt. $FL4_PINNED names that file.
#include <cctype>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

extern "C" {
#include "fl4_test.h"
}

#include "fl4_abi.h"
#include "machine.h"
#include "pin.h"

void pin_fp16(const fl4_fwd_params &params);
void pin_bf16(const fl4_fwd_params &params);

namespace {

using Words = std::vector<uint32_t>;

#define NAME(name) #name,
const char *const names[] = {FL4_PIN_CASES(NAME)};

std::string case_name(int i)
{
  std::string name = names[i];
  for (char &c : name) c = (char)std::tolower(c);
  return name;
}

// Cases from this one on came later: results of a GPU from before do not have them.
enum { FIRST_LATER_CASE = FL4_PIN_MAX_PACKED };

// The words of each case of a dtype, all 128 of them; none of a later case that the GPU has not run yet.
std::vector<Words> pinned(const std::string &dtype)
{
  std::vector<Words> cases(FL4_PIN_N_CASES);
  int at = 0; // cases are in the order of the file
  const char *path = std::getenv("FL4_PINNED");
  std::ifstream file(path ? path : "pinned_h200.txt");
  ck_assert_msg(file.good(), "%s cannot be read: FL4_PINNED names the results of the GPU",
                path ? path : "pinned_h200.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string of, name, word;
    size_t lane;
    if (line[0] == '#' || !(fields >> of >> name >> lane) || of != dtype) continue;
    while (at < FL4_PIN_N_CASES && name != case_name(at)) at++;
    ck_assert_msg(at < FL4_PIN_N_CASES && lane == cases[(size_t)at].size() / 4, "not in the order of the cases: %s",
                  line.c_str());
    Words &words = cases[(size_t)at];
    while (fields >> word) words.push_back((uint32_t)std::stoul(word, nullptr, 16));
    ck_assert_msg(words.size() == lane * 4 + 8, "not eight words: %s", line.c_str());
  }
  for (int i = 0; i < FL4_PIN_N_CASES; i++) {
    const size_t n = cases[(size_t)i].size();
    ck_assert_msg(n == FL4_PIN_WORDS || (n == 0 && i >= FIRST_LATER_CASE), "%zu words of %s %s, expected %d", n,
                  dtype.c_str(), case_name(i).c_str(), (int)FL4_PIN_WORDS);
    if (n == 0) std::printf("# SKIP %s %s: no GPU has run it yet (dump_pin)\n", dtype.c_str(), case_name(i).c_str());
  }
  return cases;
}

Words emulated(void (*pin)(const fl4_fwd_params &), emu::Copies copies, uint64_t seed)
{
  auto *in = static_cast<uint16_t *>(emu::global_alloc(FL4_PIN_INPUT * 2));
  auto *out = static_cast<uint32_t *>(emu::global_alloc(FL4_PIN_OUTPUT_BYTES));
  ck_assert(in && out);
  fl4_pin_fill_input(in);
  emu::global_written(in, FL4_PIN_INPUT * 2);
  fl4_fwd_params params = {};
  params.q = reinterpret_cast<uintptr_t>(in), params.o = reinterpret_cast<uintptr_t>(out);

  emu::Launch launch;
  launch.kernel = "fl4_pin", launch.smem = FL4_PIN_SMEM_BYTES;
  launch.options.copies = copies, launch.options.seed = seed;
  launch.body = [&] { pin(params); };
  std::string error;
  emu::Counts counts;
  const bool ran = emu::launch(launch, &counts, &error);
  ck_assert_msg(ran, "%s", error.c_str());
  const Words words(out, out + FL4_PIN_RESULTS);
  emu::global_free(in);
  emu::global_free(out);
  return words;
}

// lg2.approx is what its name says: on an H200 it misses exact results by a unit in the last place.
// 2⁻²² is the relative error that the PTX manual allows it (9.7.3.20).
bool same(const std::string &name, uint32_t got, uint32_t expected)
{
  if (got == expected || name.compare(0, 4, "log2") != 0) return got == expected;
  float a, b;
  std::memcpy(&a, &got, sizeof a);
  std::memcpy(&b, &expected, sizeof b);
  return std::fabs(a - b) <= 0x1p-22f * std::fabs(b);
}

// Word for word; the message has the first one of each case that differs.
void compare(const std::string &dtype, const Words &got, const std::vector<Words> &expected)
{
  std::ostringstream differences;
  for (int i = 0; i < FL4_PIN_N_CASES; i++) {
    const Words &gpu = expected[(size_t)i];
    int n = 0;
    for (size_t j = 0; j < gpu.size(); j++) {
      const uint32_t word = got[(size_t)i * FL4_PIN_WORDS + j];
      if (same(case_name(i), word, gpu[j]) || n++ > 0) continue;
      char text[128];
      std::snprintf(text, sizeof text, " lane %zu register %zu: %08" PRIx32 ", the GPU %08" PRIx32, j / 4, j % 4, word,
                    gpu[j]);
      differences << "\n" << dtype << " " << case_name(i) << text;
    }
    if (n > 1) differences << " (and " << n - 1 << " more)";
  }
  ck_assert_msg(differences.str().empty(), "%s", differences.str().c_str());
}

void check_dtype(const char *dtype, void (*pin)(const fl4_fwd_params &))
{
  const std::vector<Words> expected = pinned(dtype);
  for (uint64_t seed = 1; seed <= 2; seed++) {
    compare(dtype, emulated(pin, emu::Copies::late, seed), expected);
    compare(dtype, emulated(pin, emu::Copies::early, seed), expected);
  }
}

} // namespace

START_TEST(fp16)
{
  check_dtype("fp16", pin_fp16);
}
END_TEST

START_TEST(bf16)
{
  check_dtype("bf16", pin_bf16);
}
END_TEST

static Suite *pin_suite()
{
  Suite *suite = suite_create("pin");
  TCase *tcase = tcase_create("pinned to the hardware");
  tcase_set_timeout(tcase, 120);
  tcase_add_test(tcase, fp16);
  tcase_add_test(tcase, bf16);
  suite_add_tcase(suite, tcase);
  return suite;
}

FL4_TEST_MAIN(pin_suite)
