// SPDX-License-Identifier: Apache-2.0
//
// The emulator does what the hardware did: pin.cu and pin_hopper.cu write, word by word, what they wrote on the GPU of
// pinned_h200.txt and pinned_hopper_h200.txt. $FL4_PINNED names the file; the argument "hopper" says that it is the
// latter.
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
#include "instances.h"
#include "machine.h"
#include "pin.h"
#include "pin_hopper.h"

namespace {

using Words = std::vector<uint32_t>;

#define NAME(name) #name,

// A kernel and the layout of its results. Cases from `first_later` on came later: results of a GPU from before do not
// have them.
struct Program {
  const char *entry, *file;
  std::vector<std::string> names;
  int threads, first_later;
  size_t smem, words; // of a case
};

const Program plain = {"fl4_pin",         "pinned_h200.txt",  {FL4_PIN_CASES(NAME)}, 32,
                       FL4_PIN_MAX_PACKED, FL4_PIN_SMEM_BYTES, FL4_PIN_WORDS};
const Program hopper = {"fl4_pin_hopper",
                        "pinned_hopper_h200.txt",
                        {FL4_PIN_HOPPER_CASES(NAME)},
                        FL4_PIN_HOPPER_THREADS,
                        FL4_PIN_HOPPER_N_CASES,
                        FL4_PIN_HOPPER_SMEM_BYTES,
                        FL4_PIN_HOPPER_WORDS};
const Program *program = &plain;

std::string case_name(size_t i)
{
  std::string name = program->names[i];
  for (char &c : name) c = (char)std::tolower(c);
  return name;
}

const char *pinned_path()
{
  const char *path = std::getenv("FL4_PINNED");
  return path ? path : program->file;
}

// The words of each case of a dtype, all of them; none of a later case that the GPU has not run yet.
std::vector<Words> pinned(const std::string &dtype)
{
  const size_t n_cases = program->names.size();
  std::vector<Words> cases(n_cases);
  size_t at = 0; // cases are in the order of the file
  std::ifstream file(pinned_path());
  ck_assert_msg(file.good(), "%s cannot be read: FL4_PINNED names the results of the GPU", pinned_path());
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string of, name, word;
    size_t lane;
    if (line[0] == '#' || !(fields >> of >> name >> lane) || of != dtype) continue;
    while (at < n_cases && name != case_name(at)) at++;
    ck_assert_msg(at < n_cases && lane == cases[at].size() / 4, "not in the order of the cases: %s", line.c_str());
    Words &words = cases[at];
    while (fields >> word) words.push_back((uint32_t)std::stoul(word, nullptr, 16));
    ck_assert_msg(words.size() == lane * 4 + 8, "not eight words: %s", line.c_str());
  }
  for (size_t i = 0; i < n_cases; i++) {
    const size_t n = cases[i].size();
    const bool later = (int)i >= program->first_later;
    ck_assert_msg(n == program->words || (n == 0 && later), "%zu words of %s %s, expected %zu", n, dtype.c_str(),
                  case_name(i).c_str(), program->words);
    if (n == 0) std::printf("# SKIP %s %s: no GPU has run it yet (dump_pin)\n", dtype.c_str(), case_name(i).c_str());
  }
  return cases;
}

// ---------------------------------------------------------------- on the emulator

Words run(const std::string &dtype, const void *params, const uint32_t *out, emu::Copies copies, uint64_t seed)
{
  const emu::Entry entry = emu::find_instance(std::string(program->entry) + " " + dtype);
  ck_assert(entry);
  emu::Launch launch;
  launch.kernel = program->entry, launch.threads = program->threads, launch.smem = program->smem;
  launch.options.copies = copies, launch.options.seed = seed;
  launch.body = [&] { entry(params); };
  std::string error;
  emu::Counts counts;
  const bool ran = emu::launch(launch, &counts, &error);
  ck_assert_msg(ran, "%s", error.c_str());
  return Words(out, out + program->names.size() * program->words);
}

Words run_plain(const std::string &dtype, emu::Copies copies, uint64_t seed)
{
  auto *in = static_cast<uint16_t *>(emu::global_alloc(FL4_PIN_INPUT * 2));
  auto *out = static_cast<uint32_t *>(emu::global_alloc(FL4_PIN_OUTPUT_BYTES));
  ck_assert(in && out);
  fl4_pin_fill_input(in);
  emu::global_written(in, FL4_PIN_INPUT * 2);
  fl4_fwd_params params = {};
  params.q = reinterpret_cast<uintptr_t>(in), params.o = reinterpret_cast<uintptr_t>(out);
  const Words words = run(dtype, &params, out, copies, seed);
  emu::global_free(in);
  emu::global_free(out);
  return words;
}

Words run_hopper(const std::string &dtype, emu::Copies copies, uint64_t seed)
{
  auto *in = static_cast<uint16_t *>(emu::global_alloc(FL4_PIN_ELEMENTS * 2));
  auto *out = static_cast<uint32_t *>(emu::global_alloc(FL4_PIN_HOPPER_RESULTS * 4));
  ck_assert(in && out);
  fl4_pin_hopper_fill(in, dtype == "bf16");
  emu::global_written(in, FL4_PIN_ELEMENTS * 2);
  fl4_fwd_tma_params params = {};
  params.fwd = fl4_pin_hopper_params(in, out);
  const emu::u64 size[4] = {FL4_PIN_COLUMNS, FL4_PIN_ROWS, FL4_PIN_HEADS, FL4_PIN_BATCHES};
  const emu::u64 stride[4] = {2, 2 * FL4_PIN_ROW_STRIDE, 2 * FL4_PIN_HEAD_STRIDE, 2 * FL4_PIN_BATCH_STRIDE};
  ck_assert(emu::encode_tensor_map(&params.q, in, size, stride, FL4_PIN_Q_ROWS));
  ck_assert(emu::encode_tensor_map(&params.k, in, size, stride, FL4_PIN_K_ROWS));
  ck_assert(emu::encode_tensor_map(&params.v, in, size, stride, FL4_PIN_V_ROWS));
  const Words words = run(dtype, &params, out, copies, seed);
  emu::global_free(in);
  emu::global_free(out);
  return words;
}

// ---------------------------------------------------------------- comparison

float float_of(uint32_t bits)
{
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// The approximations are what their names say: on an H200 lg2.approx misses exact results by a unit in the last place.
// The PTX manual allows it a relative error of 2⁻²² (9.7.3.20), and rcp.approx a unit in the last place (9.7.3.14).
bool same(const std::string &name, uint32_t got, uint32_t expected)
{
  if (got == expected) return true;
  const float a = float_of(got), b = float_of(expected);
  if (name.compare(0, 4, "log2") == 0) return std::fabs(a - b) <= 0x1p-22f * std::fabs(b);
  return name == "reciprocal" && std::isfinite(b) && (got == expected + 1 || got + 1 == expected);
}

// Word for word; the message has the first one of each case that differs.
void compare(const std::string &dtype, const Words &got, const std::vector<Words> &expected)
{
  std::ostringstream differences;
  for (size_t i = 0; i < expected.size(); i++) {
    const Words &gpu = expected[i];
    int n = 0;
    for (size_t j = 0; j < gpu.size(); j++) {
      const uint32_t word = got[i * program->words + j];
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

void check_dtype(const char *dtype)
{
  const std::vector<Words> expected = pinned(dtype);
  const auto emulated = program == &hopper ? run_hopper : run_plain;
  for (uint64_t seed = 1; seed <= 2; seed++) {
    compare(dtype, emulated(dtype, emu::Copies::late, seed), expected);
    compare(dtype, emulated(dtype, emu::Copies::early, seed), expected);
  }
}

} // namespace

START_TEST(fp16)
{
  check_dtype("fp16");
}
END_TEST

START_TEST(bf16)
{
  check_dtype("bf16");
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

int main(int argc, char **argv)
{
  if (argc > 1 && std::strcmp(argv[1], "hopper") == 0) program = &hopper;
  if (!std::ifstream(pinned_path()).good() && program == &hopper) {
    std::printf("1..0 # SKIP no GPU has run pin_hopper.cu yet: there is no %s (dump_pin --hopper)\n", program->file);
    return 0;
  }
  SRunner *runner = srunner_create(pin_suite());
  srunner_set_tap(runner, "-");
  srunner_run_all(runner, CK_SILENT);
  const int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
