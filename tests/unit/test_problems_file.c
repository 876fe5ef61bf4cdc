/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command's reader of problems: sets, lines, standard input and YAML files, each feature and each
 * thing to get wrong with its place. FL4_SOURCE is the folder of the sources.
 */
#include <stdarg.h>
#include <unistd.h>

#include "fl4_test.h"
#include "problems.h"

/* In place of tools/cli.c: keeps the message. */
static char message[4096];

int cli_fail(int code, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  return code;
}

/* Reading */

static int device_kind = FL4_DEVICE_CUDA;

static int read_problems(const char *shapes, const char *const *lines, size_t n, cli_problems *problems)
{
  const char *copy[8];
  cli_options options;
  fl4_device_info device = FL4_DEVICE_INFO_INIT;
  memset(&options, 0, sizeof options);
  if (n) memcpy(copy, lines, n * sizeof *copy);
  options.shapes = shapes, options.problems = copy, options.n_problems = n;
  device.kind = device_kind;
  message[0] = '\0';
  return cli_problems_read(&options, &device, "smoke", problems);
}

static cli_problems read_shapes(const char *shapes)
{
  cli_problems problems;
  ck_assert_msg(read_problems(shapes, NULL, 0, &problems) == CLI_GOOD, "%s", message);
  return problems;
}

static void refuse_shapes(const char *shapes, const char *words)
{
  cli_problems problems;
  ck_assert_int_eq(read_problems(shapes, NULL, 0, &problems), CLI_UNUSABLE);
  ck_assert_msg(strstr(message, words) != NULL, "\"%s\" does not say \"%s\"", message, words);
  cli_problems_free(&problems);
}

static char path[64];

static const char *file_of(const char *bytes, size_t size)
{
  strcpy(path, "/tmp/fl4-problems-XXXXXX.yaml");
  const int fd = mkstemps(path, 5);
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
  close(fd);
  return path;
}

static cli_problems read_yaml(const char *yaml)
{
  cli_problems problems = read_shapes(file_of(yaml, strlen(yaml)));
  unlink(path);
  return problems;
}

/* The message is "FILE:" and then these words from their start. */
static void refuse_bytes(const char *bytes, size_t size, const char *words)
{
  cli_problems problems;
  ck_assert_int_eq(read_problems(file_of(bytes, size), NULL, 0, &problems), CLI_UNUSABLE);
  unlink(path);
  const size_t n = strlen(path);
  ck_assert_msg(strncmp(message, path, n) == 0 && message[n] == ':' &&
                    strncmp(message + n + 1, words, strlen(words)) == 0,
                "%s\n  gives \"%s\"\n  and not FILE:%s", bytes, message, words);
  cli_problems_free(&problems);
}

/* The lines in this order, separated by blanks. */
static void ck_assert_lines(cli_problems problems, const char *lines)
{
  char all[4096] = "";
  int width = 0;
  for (size_t i = 0; i < problems.n; i++) {
    ck_assert_uint_lt(strlen(all) + strlen(problems.items[i].line) + 2, sizeof all);
    if (i) strcat(all, " ");
    strcat(all, problems.items[i].line);
    const int length = (int)strlen(problems.items[i].line);
    width = length > width ? length : width;
    char again[FL4_PROBLEM_LINE_MAX];
    ck_assert_fl4(fl4_problem_format(&problems.items[i].problem, again, sizeof again));
    ck_assert_str_eq(problems.items[i].line, again);
  }
  ck_assert_str_eq(all, lines);
  ck_assert_int_eq(problems.width, width);
  cli_problems_free(&problems);
}

/* Sets and lines */

START_TEST(sets_come_before_lines)
{
  static const char *const lines[] = {"d64sq3hq1:fp16", "hq2sq2d8:causal"};
  cli_problems problems;
  ck_assert_int_eq(read_problems("canonical", lines, 2, &problems), CLI_GOOD);
  ck_assert_lines(problems, "b4hq16sq2048d128:causal hq8sq4096d128:causal b8hq16sq1024d64 hq1sq3d64 hq2sq2d8:causal");
  ck_assert_int_eq(read_problems(NULL, lines, 1, &problems), CLI_GOOD);
  ck_assert_lines(problems, "hq1sq3d64");
}
END_TEST

START_TEST(fallback_is_used_alone)
{
  cli_problems problems = read_shapes(NULL);
  ck_assert_uint_eq(problems.n, fl4_shapes_count("smoke"));
  cli_problems_free(&problems);
}
END_TEST

START_TEST(demo_depends_on_the_device)
{
  static const char *const yaml = "include: demo";
  for (int host = 0; host < 2; host++) {
    device_kind = host ? FL4_DEVICE_HOST : FL4_DEVICE_CUDA;
    const char *set = host ? "demo-host" : "demo";
    cli_problems problems = read_shapes("demo");
    ck_assert_str_eq(problems.items[3].note, fl4_shapes_note(set, 3));
    ck_assert_str_eq(problems.items[3].line, fl4_shapes_line(set, 3));
    cli_problems_free(&problems);
    problems = read_yaml(yaml);
    ck_assert_str_eq(problems.items[0].line, fl4_shapes_line(set, 0));
    cli_problems_free(&problems);
  }
  device_kind = FL4_DEVICE_CUDA;
}
END_TEST

START_TEST(repeated_problems_are_dropped)
{
  static const char *const lines[] = {"hq8sq4096d128:causal", "hq1sq3d64", "d64sq3hq1"};
  cli_problems problems;
  ck_assert_int_eq(read_problems("canonical,canonical", lines, 3, &problems), CLI_GOOD);
  ck_assert_lines(problems, "b4hq16sq2048d128:causal hq8sq4096d128:causal b8hq16sq1024d64 hq1sq3d64");
}
END_TEST

START_TEST(first_note_stays)
{
  cli_problems problems = read_yaml("problems: [hq1sq1d8, {line: hq1sq1d8, note: one}, {line: hq1sq1d8, note: two}]");
  ck_assert_uint_eq(problems.n, 1);
  ck_assert_str_eq(problems.items[0].note, "one");
  cli_problems_free(&problems);
}
END_TEST

START_TEST(refuses_sets_and_lines)
{
  static const char *const bad[] = {"hq1sq1d8", "hq1sq1d9"};
  cli_problems problems;
  refuse_shapes(
      "smok", "--shapes: unknown set \"smok\"; sets are canonical l4 prefill stress decode models smoke features "
              "parity extreme demo demo-host");
  refuse_shapes("smoke,,parity", "--shapes: unknown set \"\"");
  refuse_shapes("smoke,", "--shapes: unknown set \"\"");
  refuse_shapes("", "--shapes: unknown set \"\"");
  refuse_shapes(".yaml", "--shapes: unknown set \".yaml\"");
  refuse_shapes("/nowhere/to be found.yml", "/nowhere/to be found.yml: No such file");
  refuse_shapes("/nowhere/to be found.yaml", "/nowhere/to be found.yaml: No such file");
  ck_assert_int_eq(read_problems(NULL, bad, 2, &problems), CLI_UNUSABLE);
  ck_assert_str_eq(message, "--problem: fl4_problem_parse: \"hq1sq1d9\": fl4_problem.D: is 9, must be a multiple of 8 "
                            "from 8 to 256");
  cli_problems_free(&problems);
}
END_TEST

/* Standard input */

static void set_input(const char *bytes, size_t size)
{
  ck_assert_ptr_nonnull(freopen(file_of(bytes, size), "r", stdin));
  unlink(path);
}
#define INPUT(text) set_input(text, sizeof text - 1)

START_TEST(reads_standard_input)
{
  INPUT("# some\n\n  hq1sq1d8\t\r\n \t \nsq2hq1d8:causal   # the second\n#\nhq1sq3d8");
  ck_assert_lines(read_shapes("-"), "hq1sq1d8 hq1sq2d8:causal hq1sq3d8");
  INPUT("hq1sq1d8\n");
  ck_assert_lines(read_shapes("canonical,-"), "b4hq16sq2048d128:causal hq8sq4096d128:causal b8hq16sq1024d64 hq1sq1d8");
}
END_TEST

START_TEST(refuses_standard_input)
{
  INPUT("hq1sq1d8\n\n# a\nhq1sq1d8:half\nhq1");
  refuse_shapes("-", "standard input:4: fl4_problem_parse: \"hq1sq1d8:half\": unknown word 'half'");
  INPUT("hq1sq1d8\0:causal\n");
  refuse_shapes("-", "standard input:1: holds a zero byte");
  INPUT("\n# nothing\n");
  refuse_shapes("-", "standard input: holds no problem");
  INPUT("hq1sq1d8\n");
  refuse_shapes("-,-", "standard input: holds no problem");
  ck_assert_ptr_nonnull(freopen("/tmp", "r", stdin));
  refuse_shapes("-", "standard input: cannot be read");
}
END_TEST

/* YAML */

static const struct {
  const char *yaml, *lines;
} good[] = {
    {"problems: [hq1sq1d8]", "hq1sq1d8"},
    {"problems:\n- d8sq1hq1hkv1:bhsd\n- \"hq1sq2d8\"\n- 'hq1sq3d8'\n", "hq1sq1d8 hq1sq2d8 hq1sq3d8"},
    {"problems: [{line: hq1sq1d8:lse}]", "hq1sq1d8:lse"},
    {"problems: [{hq: 4, sq: 1, d: 8}]", "hq4sq1d8"},
    {"problems: [{b: 2, hq: 4, hkv: 2, sq: 1, sk: 3, d: 8, dtype: bf16, mask: causal, lse: true, scale: 0.5, layout: "
     "bshd}]",
     "b2hq4hkv2sq1sk3d8:bf16:causal:lse:scale=0.5:bshd"},
    {"problems: [{b: 1, hq: 4, hkv: 4, sq: 1, sk: 1, d: 8, dtype: fp16, mask: none, lse: false, layout: bhsd}]",
     "hq4sq1d8"},
    {"problems: [{hq: 1, sq: 1, d: 8, dtype: [fp16, bf16, fp32]}]", "hq1sq1d8 hq1sq1d8:bf16 hq1sq1d8:fp32"},
    {"problems: [{hq: 1, sq: 1, d: 8, layout: [bhsd, bshd, packed, odd]}]",
     "hq1sq1d8 hq1sq1d8:bshd hq1sq1d8:packed hq1sq1d8:odd"},
    {"problems: [{hq: 1, sq: 1, d: 8, scale: [1e-3, -2, .25]}]",
     "hq1sq1d8:scale=0.00100000005 hq1sq1d8:scale=-2 hq1sq1d8:scale=0.25"},
    {"problems: [{hq: 1, sq: 0, sk: 0, b: 0, d: 8, mask: \"causal\"}]", "b0hq1sq0d8:causal"},
    {"problems:\n- hq: 1\n  sq: 1\n  d: 8\n  mask: window=7,0\n  softcap: 30\n  alibi: true\n  sinks: true\n  bias: "
     "bool/bj\n"
     "  lens: one\n  page: 16\n  invariant: true\n",
     "hq1sq1d8:window=7,0:softcap=30:alibi:sinks:bias=bool/bj:lens=one:page=16:invariant"},
    {"problems: [{hq: 1, sq: 1, d: 8, mask: [\"window=-1,3\", none], ragged: [drawn, full, one, none]}]",
     "hq1sq1d8:window=-1,3:ragged hq1sq1d8:window=-1,3:ragged=full hq1sq1d8:window=-1,3:ragged=one "
     "hq1sq1d8:window=-1,3 "
     "hq1sq1d8:ragged hq1sq1d8:ragged=full hq1sq1d8:ragged=one hq1sq1d8"},
    {"problems: [{hq: 1, sq: 1, d: 8, page: [none, 8], bias: [none, fp16, fp32/hi]}]",
     "hq1sq1d8 hq1sq1d8:page=8 hq1sq1d8:bias=fp16 hq1sq1d8:bias=fp16:page=8 hq1sq1d8:bias=fp32/hi "
     "hq1sq1d8:bias=fp32/hi:page=8"},
    {"problems: [{hq: 1, sq: 1, d: 8, lens: [none, drawn, full], alibi: [false], softcap: 0, invariant: false, sinks: "
     "false}]",
     "hq1sq1d8 hq1sq1d8:lens hq1sq1d8:lens=full"},
    /* products: the first axis slowest, whatever the order of the keys */
    {"problems: [{lse: [false, true], d: [8, 16], mask: [causal, none], sq: 3, hq: [1, 2]}]",
     "hq1sq3d8:causal hq1sq3d8:causal:lse hq1sq3d8 hq1sq3d8:lse hq1sq3d16:causal hq1sq3d16:causal:lse hq1sq3d16 "
     "hq1sq3d16:lse hq2sq3d8:causal hq2sq3d8:causal:lse hq2sq3d8 hq2sq3d8:lse hq2sq3d16:causal hq2sq3d16:causal:lse "
     "hq2sq3d16 hq2sq3d16:lse"},
    {"problems: [{hq: [1, 2], sq: 3, d: 8}, hq9sq9d8, {hq: 1, sq: [4, 5], d: 8}]",
     "hq1sq3d8 hq2sq3d8 hq9sq9d8 hq1sq4d8 hq1sq5d8"},
    /* defaults hold for entries of axes, before or behind them in the file, unless these say otherwise */
    {"problems: [{sq: 1}, {sq: 2, d: 16}, hq3sq3d24]\ndefaults: {hq: 1, d: 8, dtype: bf16}",
     "hq1sq1d8:bf16 hq1sq2d16:bf16 hq3sq3d24"},
    {"defaults: {hq: 1, d: [8, 16]}\nproblems: [{sq: [1, 2]}, {sq: 3, d: 32}]",
     "hq1sq1d8 hq1sq1d16 hq1sq2d8 hq1sq2d16 hq1sq3d32"},
    {"defaults: {}\nproblems: [hq1sq1d8]", "hq1sq1d8"},
    /* included sets come first */
    {"problems: [hq1sq1d8]\ninclude: [canonical]",
     "b4hq16sq2048d128:causal hq8sq4096d128:causal b8hq16sq1024d64 hq1sq1d8"},
    {"include: canonical", "b4hq16sq2048d128:causal hq8sq4096d128:causal b8hq16sq1024d64"},
    {"include: canonical\ndefaults: {dtype: bf16}", "b4hq16sq2048d128:causal hq8sq4096d128:causal b8hq16sq1024d64"},
    /* anchors and aliases, of a value, a list and an entry */
    {"defaults: {d: &d 8}\nproblems: [&e {hq: &h [1, 2], sq: 1}, {hq: *h, sq: 2, d: *d}, *e]",
     "hq1sq1d8 hq2sq1d8 hq1sq2d8 hq2sq2d8"},
    {"%YAML 1.1\n---\nproblems: [hq1sq1d8] # comment\n...\n", "hq1sq1d8"},
    {"\xEF\xBB\xBFproblems: [hq1sq1d8]", "hq1sq1d8"},
    {"problems: [{line: !!str hq1sq1d8}]", "hq1sq1d8"},
};

START_TEST(reads_yaml)
{
  ck_assert_lines(read_yaml(good[_i].yaml), good[_i].lines);
}
END_TEST

START_TEST(reads_notes)
{
  cli_problems problems = read_yaml("problems:\n"
                                    "- {line: hq1sq1d8, note: 'a, b: µ'}\n"
                                    "- {note: both, hq: 1, sq: [2, 3], d: 8}\n"
                                    "- hq1sq4d8\n");
  static const char *const notes[] = {"a, b: µ", "both", "both", ""};
  ck_assert_uint_eq(problems.n, 4);
  for (size_t i = 0; i < 4; i++) ck_assert_str_eq(problems.items[i].note, notes[i]);
  cli_problems_free(&problems);
}
END_TEST

#define KEYS_OF_ENTRIES                                                                                                \
  "keys are line and note, or axes and note; axes are b hq hkv sq sk d dtype mask lse scale layout "                   \
  "softcap alibi sinks bias ragged lens page invariant"
#define WHOLE_NUMBER "must be a whole number of at most 10 digits, or a list of them"
#define TOP "must be a mapping with problems, include or both, and defaults"

static const struct {
  const char *yaml, *words;
} bad[] = {
    /* the top */
    {"", "1:1: is empty, " TOP},
    {"# only a comment\n", "1:1: is empty, " TOP},
    {"- hq1sq1d8", "1:1: is a list, " TOP},
    {"\n  hq1sq1d8", "2:3: is \"hq1sq1d8\", " TOP},
    {"---\n...\n", "2:1: is empty, " TOP},
    {"{}", "1:1: names no problems, " TOP},
    {"defaults: {d: 8}", "1:1: names no problems, " TOP},
    {"problems: [hq1sq1d8]\nshapes: 1", "2:1: unknown key: is \"shapes\"; keys are problems defaults include"},
    {"problems: [hq1sq1d8]\n[1, 2]: 1", "2:1: unknown key: is a list; keys are"},
    {"problems: [hq1sq1d8]\n\"a\\eb\": 1", "2:1: unknown key: is a text with control characters; keys are"},
    {"problems: [hq1sq1d8]\nproblems: [hq1sq1d8]", "2:1: key \"problems\" a second time"},
    {"problems: [hq1sq1d8]\n--- \nproblems: [hq1sq1d8]\n", "2:1: a second document starts; a file is one document"},
    {"problems: [hq1sq1d8]\n---\n", "2:1: a second document starts"},
    {"problems: [hq1sq1d8]\n...\n---\n- [", "5:1: not YAML: "},
    /* the lists */
    {"problems: []", "1:11: problems: is an empty list, must be a list with at least one entry"},
    {"problems: hq1sq1d8", "1:11: problems: is \"hq1sq1d8\", must be a list"},
    {"problems:\n", "1:10: problems: is empty, must be a list"},
    {"problems: {b: 1}", "1:11: problems: is a mapping, must be a list"},
    {"problems: [hq1sq1d8, [hq1sq1d8]]", "1:22: problems: is a list, must be a problem line, or a mapping"},
    {"problems:\n  -\n", "2:4: problems: is empty, must be a problem line, or a mapping"},
    {"problems: [\"a\\nb\"]", "1:12: problems: is a text with control characters, must be"},
    {"include: []", "1:10: include: is an empty list, must name built-in sets"},
    {"include: [canonical, nosuch]", "1:22: unknown set \"nosuch\"; sets are canonical l4"},
    {"include: {a: b}", "1:10: include: is a mapping, must be the name of a built-in set"},
    {"include: [[canonical]]", "1:11: include: is a list, must be the name of a built-in set"},
    {"problems: [hq1sq1d8]\ninclude:\n", "2:9: unknown set \"\""},
    {"defaults: [b]\nproblems: [hq1sq1d8]", "1:11: defaults: is a list, must be a mapping of axes"},
    {"defaults: {note: x}\nproblems: [hq1sq1d8]", "1:12: unknown key: is \"note\"; axes are b hq"},
    {"defaults: {line: x}\nproblems: [hq1sq1d8]", "1:12: unknown key: is \"line\"; axes are b hq"},
    {"defaults:\n  b: x\nproblems: [hq1sq1d8]", "2:6: b: is \"x\", " WHOLE_NUMBER},
    /* entries */
    {"problems:\n- hq1sq1d8\n- hq1sq1d9\n", "3:3: fl4_problem_parse: \"hq1sq1d9\": fl4_problem.D: is 9"},
    {"problems:\n- note: x\n  line: hq1sq1d8:x\n", "3:9: fl4_problem_parse: \"hq1sq1d8:x\": unknown word 'x'"},
    {"problems:\n- b: 1\n  heads: 3\n", "3:3: unknown key: is \"heads\"; " KEYS_OF_ENTRIES},
    {"problems:\n- B: 1\n", "2:3: unknown key: is \"B\"; " KEYS_OF_ENTRIES},
    {"problems:\n- b: 1\n  d: 8\n  b: 1\n", "4:3: key \"b\" a second time"},
    {"problems:\n- line: hq1sq1d8\n  b: 1\n", "2:3: has both a line and axes, must have one of them"},
    {"problems:\n- line: [hq1sq1d8]\n", "2:9: line: is a list, must be a line of text"},
    {"problems:\n- line:\n", "2:8: line: is empty, must be a line of text"},
    {"problems:\n- line: hq1sq1d8\n  note: |\n    two\n    lines\n",
     "3:9: note: is a text with control characters, must be a line of text"},
    {"problems:\n- line: hq1sq1d8\n  note: {a: b}\n", "3:9: note: is a mapping, must be a line of text"},
    {"problems:\n- note: only\n", "2:3: fl4_problem_parse: \"\": size 'hq' is missing"},
    {"problems:\n- {}\n", "2:3: fl4_problem_parse: \"\": size 'hq' is missing"},
    {"problems:\n- {hq: 1, sq: 1}\n", "2:3: fl4_problem_parse: \"hq1sq1\": size 'd' is missing"},
    {"problems:\n- {hq: [4, 6], hkv: 4, sq: 1, d: 8}\n",
     "2:3: fl4_problem_parse: \"hq6hkv4sq1d8\": fl4_problem.Hkv: is 4, must divide Hq, which is 6"},
    {"problems:\n- {hq: 1, sq: 1, d: 8, <<: {b: 1}}\n", "2:24: unknown key: is \"<<\"; keys are"},
    /* axes */
    {"problems: [{b: []}]", "1:16: b: is an empty list, " WHOLE_NUMBER},
    {"problems: [{b: [1, two]}]", "1:20: b: is \"two\", " WHOLE_NUMBER},
    {"problems: [{b: [1, [2]]}]", "1:20: b: is a list, " WHOLE_NUMBER},
    {"problems: [{b: {c: 1}}]", "1:16: b: is a mapping, " WHOLE_NUMBER},
    {"problems: [{b: }]", "1:16: b: is empty, " WHOLE_NUMBER},
    {"problems: [{b: \"1\"}]", "1:16: b: is \"1\", " WHOLE_NUMBER},
    {"problems: [{hq: -1}]", "1:17: hq: is \"-1\", " WHOLE_NUMBER},
    {"problems: [{hkv: 1.5}]", "1:18: hkv: is \"1.5\", " WHOLE_NUMBER},
    {"problems: [{sq: 010}]", "1:17: sq: is \"010\", " WHOLE_NUMBER},
    {"problems: [{sk: 0x10}]", "1:17: sk: is \"0x10\", " WHOLE_NUMBER},
    {"problems: [{d: 12345678901}]", "1:16: d: is \"12345678901\", " WHOLE_NUMBER},
    {"problems: [{b: 9999999999, hq: 1, sq: 1, d: 8}]",
     "1:12: fl4_problem_parse: \"b9999999999hq1sq1d8\": fl4_problem.B: is 9999999999"},
    {"problems: [{dtype: fp8}]", "1:20: dtype: is \"fp8\", must be fp16, bf16 or fp32, or a list of them"},
    {"problems: [{mask: [none, Causal]}]",
     "1:26: mask: is \"Causal\", must be none, causal or as window=1023,0, or a list of them"},
    {"problems: [{mask: window=}]", "1:19: mask: is \"window=\", must be none, causal or as window=1023,0"},
    {"problems: [{mask: \"window=1x\"}]", "1:19: mask: is \"window=1x\", must be none, causal"},
    {"problems: [{hq: 1, sq: 1, d: 8, mask: window=1}]",
     "1:12: fl4_problem_parse: \"hq1sq1d8:window=1\": window needs two"},
    {"problems: [{softcap: \"30\"}]", "1:22: softcap: is \"30\", must be a number as 0.125"},
    {"problems: [{softcap: none}]", "1:22: softcap: is \"none\", must be a number"},
    {"problems: [{alibi: 1}]", "1:20: alibi: is \"1\", must be true or false, or a list of them"},
    {"problems: [{sinks: yes}]", "1:20: sinks: is \"yes\", must be true or false"},
    {"problems: [{bias: x}]", "1:19: bias: is \"x\", must be none, or as fp16 or fp16/ij, or a list of them"},
    {"problems: [{hq: 1, sq: 1, d: 8, bias: bf16/ji}]",
     "1:12: fl4_problem_parse: \"hq1sq1d8:bias=bf16/ji\": bias needs"},
    {"problems: [{ragged: true}]", "1:21: ragged: is \"true\", must be none, drawn, full or one, or a list of them"},
    {"problems: [{lens: 5}]", "1:19: lens: is \"5\", must be none, drawn, full or one"},
    {"problems: [{page: 016}]", "1:19: page: is \"016\", must be none or a whole number, or a list of them"},
    {"problems: [{hq: 1, sq: 1, d: 8, page: 24}]",
     "1:12: fl4_problem_parse: \"hq1sq1d8:page=24\": fl4_problem.page_size: is 24, must be a power of two"},
    {"problems: [{invariant: 1}]", "1:24: invariant: is \"1\", must be true or false"},
    {"problems: [{lse: yes}]", "1:18: lse: is \"yes\", must be true or false, or a list of them"},
    {"problems: [{scale: half}]", "1:20: scale: is \"half\", must be a number as 0.125, or a list of them"},
    {"problems: [{scale: .inf}]", "1:20: scale: is \".inf\", must be a number"},
    {"problems: [{hq: 1, sq: 1, d: 8, scale: 1e99}]", "1:12: fl4_problem_parse: \"hq1sq1d8:scale=1e99\": scale out of"},
    {"problems: [{hq: 1, sq: 1, d: 8, scale: 1-2}]", "1:12: fl4_problem_parse: \"hq1sq1d8:scale=1-2\": scale needs"},
    {"problems: [{layout: nhd}]", "1:21: layout: is \"nhd\", must be bhsd, bshd, packed or odd, or a list of them"},
    {"problems: [{b: 0123456789012345678901234567890123456789µ}]",
     "1:16: b: is \"0123456789012345678901234567890123456789…\", "},
    {"problems: [{b: 012345678901234567890123456789012345678µ9}]",
     "1:16: b: is \"012345678901234567890123456789012345678…\", "},
    /* YAML that is not, and YAML that is not taken */
    {"problems: [hq1sq1d8\n",
     "2:1: not YAML: did not find expected ',' or ']', while parsing a flow sequence that starts "
     "at 1:11"},
    {"problems:\n\t- hq1sq1d8", "2:1: not YAML: found character that cannot start any token"},
    {"problems: [*nowhere]", "1:12: not YAML: found undefined alias"},
    {"problems: [hq1sq1d8]\nproblems: \"\\q\"", "2:12: not YAML: found unknown escape character"},
    {"problems: [{b: !!int 1}]", "1:16: has a tag; tags are not supported"},
    {"!mine\nproblems: [hq1sq1d8]", "1:1: has a tag; tags are not supported"},
    {"!mine [hq1sq1d8]", "1:1: has a tag; tags are not supported"},
    {"problems: &a [*a]", "1:11: problems: is a list, must be a problem line, or a mapping"},
    {"problems: [{hq: &a [*a]}]", "1:17: hq: is a list, " WHOLE_NUMBER},
};

START_TEST(refuses_yaml)
{
  refuse_bytes(bad[_i].yaml, strlen(bad[_i].yaml), bad[_i].words);
}
END_TEST

#define REFUSE_BYTES(bytes, words) refuse_bytes(bytes, sizeof bytes - 1, words)

START_TEST(refuses_bytes)
{
  REFUSE_BYTES("problems:\n- hq1\x01sq1d8", "2:6: not YAML: control characters are not allowed");
  REFUSE_BYTES("problems:\n- hq1\xFFsq1d8", "2:6: not YAML: invalid leading UTF-8 octet");
  REFUSE_BYTES("problems: [\"hq1sq1d8\\0:causal\"]", "1:12: problems: is a text with control characters");
  REFUSE_BYTES("problems:\n- hq1sq1d8\0\n", "2:11: not YAML: control characters are not allowed");
}
END_TEST

/* The format with `n` letters in it. */
static char *filled(const char *format, size_t n)
{
  char *as = malloc(n + 1), *text = malloc(n + strlen(format) + 1);
  memset(as, 'a', n), as[n] = '\0';
  sprintf(text, format, as);
  free(as);
  return text;
}

START_TEST(notes_have_a_limit)
{
  char *text = filled("problems: [{line: hq1sq1d8, note: %s}]", 200);
  ck_assert_lines(read_yaml(text), "hq1sq1d8");
  free(text);
  text = filled("problems: [{line: hq1sq1d8, note: %s}]", 201);
  refuse_bytes(text, strlen(text), "1:35: note: is 201 bytes long, must be at most 200");
  free(text);
}
END_TEST

START_TEST(files_have_a_limit)
{
  char *text = filled("problems: [hq1sq1d8] #%s", (16 << 20) - 22);
  ck_assert_lines(read_yaml(text), "hq1sq1d8");
  free(text);
  text = filled("problems: [hq1sq1d8] #%s", (16 << 20) - 21);
  refuse_bytes(text, strlen(text), " is larger than 16 MiB");
  free(text);
}
END_TEST

/* "[1, 2, …, n]" */
static char *list_to(int n)
{
  char *text = malloc(16 + 8 * (size_t)n);
  size_t at = (size_t)sprintf(text, "[1");
  for (int i = 2; i <= n; i++) at += (size_t)sprintf(text + at, ", %d", i);
  strcpy(text + at, "]");
  return text;
}

START_TEST(problems_have_a_limit)
{
  char *list = list_to(1000), *text = malloc(64 * 1024);
  ck_assert_ptr_nonnull(text);
  sprintf(text,
          "problems: [{hq: 1, d: 8, b: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], lse: [true, false], mask: [none, causal],\n"
          "            dtype: [fp16, bf16], layout: bhsd, sq: %s}]",
          list);
  cli_problems problems = read_yaml(text);
  ck_assert_uint_eq(problems.n, 80000);
  ck_assert_str_eq(problems.items[79999].line, "b10hq1sq1000d8:bf16:causal");
  cli_problems_free(&problems);

  sprintf(text,
          "problems:\n- {hq: 1, d: 8, b: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], lse: [true, false], sq: &l %s}\n"
          "- {hq: [1, 2, 3, 4, 5, 6, 7, 8], d: [8, 16, 32, 40, 48, 56, 64, 72, 80, 88, 96], sq: *l}",
          list);
  refuse_bytes(text, strlen(text), "3:3: makes more than 100000 problems in all");
  /* A product beyond 64 bits. */
  sprintf(text, "problems: [{b: &l %s, hq: *l, hkv: *l, sq: *l, sk: *l, d: *l, scale: *l}]", list);
  refuse_bytes(text, strlen(text), "1:12: makes more than 100000 problems in all");
  free(text);
  free(list);

  text = malloc(64 + 11 * 100001);
  ck_assert_ptr_nonnull(text);
  size_t at = (size_t)sprintf(text, "problems:\n");
  for (int i = 0; i <= 100000; i++) at += (size_t)sprintf(text + at, "- hq1sq1d8\n");
  refuse_bytes(text, at, "100002:3: more than 100000 problems");
  text[at - strlen("- hq1sq1d8\n")] = '\0';
  ck_assert_lines(read_yaml(text), "hq1sq1d8");
  free(text);
}
END_TEST

START_TEST(folders_are_no_files)
{
  char folder[] = "/tmp/fl4-problems-XXXXXX", name[64];
  ck_assert_ptr_nonnull(mkdtemp(folder));
  snprintf(name, sizeof name, "%s.yaml", folder);
  ck_assert_int_eq(rename(folder, name), 0);
  refuse_shapes(name, ".yaml: Is a directory");
  rmdir(name);
}
END_TEST

/* The example and the page */

static char *contents(const char *name)
{
  FILE *file = fopen(name, "rb");
  ck_assert_msg(file != NULL, "%s", name);
  char *text = calloc(1, 1 << 16);
  ck_assert_uint_lt(fread(text, 1, (1 << 16) - 1, file), (1 << 16) - 1);
  fclose(file);
  return text;
}

START_TEST(the_example_works)
{
  cli_problems problems = read_shapes(FL4_SOURCE "/examples/shapes.yaml");
  ck_assert_uint_eq(problems.n, 3 + 2 + 2 + 6);
  ck_assert_str_eq(problems.items[3].line, "hq12sq197d64");
  ck_assert_str_eq(problems.items[4].line, "b16hq16sq577d64:packed");
  ck_assert_str_eq(problems.items[4].note, "CLIP ViT-L/14, 336 × 336 pictures");
  ck_assert_str_eq(problems.items[6].line, "hq32hkv8sq4096d128:bf16:causal");
  ck_assert_str_eq(problems.items[12].line, "b16hq32hkv8sq1sk16384d128:bf16");
  ck_assert_str_eq(problems.items[12].note, "one token for each user");
  cli_problems_free(&problems);
}
END_TEST

START_TEST(the_page_is_true)
{
  char *page = contents(FL4_SOURCE "/docs/shapes.md"), *example = contents(FL4_SOURCE "/examples/shapes.yaml");
  ck_assert_ptr_nonnull(strstr(page, example));
  for (size_t i = 0; fl4_shapes_name(i); i++) {
    char row[64];
    snprintf(row, sizeof row, "| `%s` | %zu |", fl4_shapes_name(i), fl4_shapes_count(fl4_shapes_name(i)));
    ck_assert_msg(strstr(page, row) != NULL, "docs/shapes.md has no %s", row);
  }
  free(example);
  free(page);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("problems_file");
  TCase *c = tcase_create("sources");
  tcase_add_test(c, sets_come_before_lines);
  tcase_add_test(c, fallback_is_used_alone);
  tcase_add_test(c, demo_depends_on_the_device);
  tcase_add_test(c, repeated_problems_are_dropped);
  tcase_add_test(c, first_note_stays);
  tcase_add_test(c, refuses_sets_and_lines);
  tcase_add_test(c, reads_standard_input);
  tcase_add_test(c, refuses_standard_input);
  suite_add_tcase(suite, c);

  c = tcase_create("yaml");
  tcase_set_timeout(c, 60);
  tcase_add_loop_test(c, reads_yaml, 0, (int)(sizeof good / sizeof good[0]));
  tcase_add_test(c, reads_notes);
  tcase_add_loop_test(c, refuses_yaml, 0, (int)(sizeof bad / sizeof bad[0]));
  tcase_add_test(c, refuses_bytes);
  tcase_add_test(c, notes_have_a_limit);
  tcase_add_test(c, files_have_a_limit);
  tcase_add_test(c, problems_have_a_limit);
  tcase_add_test(c, folders_are_no_files);
  tcase_add_test(c, the_example_works);
  tcase_add_test(c, the_page_is_true);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)
