/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in sets of problems. All lines are as fl4_problem_format() writes them. */
#include <string.h>

#include <flashl4/check.h>

/* clang-format off */
/* Every feature at least once, so small that a CPU and its fp64 oracle need seconds for all. */
static const char *const smoke[] = {
  /* head dimensions: the common ones, the ends, and those between powers of two */
  "hq2sq128d64",
  "hq2sq128d128:bf16:causal",
  "hq2sq113d8",
  "hq2sq96d16:bf16",
  "hq2sq96d32:causal",
  "hq2sq100d72:bf16",
  "hq2sq203d80:causal",
  "hq2sq128d96:bf16",
  "hq1sq130d192:bf16:causal",
  "hq1sq128d256",
  /* batches, shared key/value heads, log-sum-exp */
  "b2hq8hkv2sq128d64:bf16:causal:lse",
  "b3hq4hkv1sq65d128:lse",
  /* lengths: one, odd, unlike, decoding, queries that see no key, no key at all */
  "hq2sq1d64",
  "hq1sq17d64:causal:lse",
  "b2hq2sq203sk113d64:bf16",
  "hq2sq113sk203d64:bf16:causal:lse",
  "b2hq8hkv2sq1sk509d128:bf16:causal",
  "hq2sq200sk70d64:causal:lse",
  "b2hq2sq40sk0d64:lse",
  /* layouts and scale */
  "b2hq4hkv2sq96d64:bf16:causal:bshd",
  "b2hq2sq120sk72d128:bshd",
  "b2hq4hkv2sq112d64:causal:packed",
  "b2hq2sq99sk131d72:bf16:causal:lse:odd",
  "hq2sq128d64:scale=0.25",
  /* several tiles in both directions */
  "hq2sq384d64:causal:lse",
};

/* clang-format on */

/* The grid that every kernel must pass: 2 × 4 × 4 × 3 × 2 × 2 problems. */
#define PARITY_MASK(b, h, s, d, dtype) b "hq" h "sq" s "d" d dtype, b "hq" h "sq" s "d" d dtype ":causal"
#define PARITY_H(b, s, d, dtype) PARITY_MASK(b, "8", s, d, dtype), PARITY_MASK(b, "16", s, d, dtype)
#define PARITY_B(s, d, dtype) PARITY_H("", s, d, dtype), PARITY_H("b4", s, d, dtype), PARITY_H("b8", s, d, dtype)
#define PARITY_D(s, dtype)                                                                                             \
  PARITY_B(s, "64", dtype), PARITY_B(s, "80", dtype), PARITY_B(s, "96", dtype), PARITY_B(s, "128", dtype)
#define PARITY_S(dtype) PARITY_D("128", dtype), PARITY_D("512", dtype), PARITY_D("1024", dtype), PARITY_D("2048", dtype)

static const char *const parity[] = {PARITY_S(""), PARITY_S(":bf16")};

/* clang-format off */
/* Long sequences, sizes just off a tile, and offsets beyond 32 bits. */
static const char *const stress[] = {
  "hq8sq1023d64:bf16:causal:lse",
  "hq8sq1025d128:causal:lse",
  "hq16hkv4sq4096d128:bf16:causal:lse",
  "hq16sq4096d64",
  "hq8sq4097d80:bf16:causal:odd",
  "hq4sq5003sk7001d96:bf16:lse",
  "hq8hkv2sq8192d128:causal:lse:bshd",
  "hq8sq8192d64:bf16:packed",
  "hq4sq8191sk8193d256:bf16:causal",
  "hq4sq8192sk1000d192:causal:lse",
  "hq8hkv1sq16384d128:bf16:causal:lse",
  "hq4sq16384d64",
  "hq2sq16383sk16385d72:bf16:causal",
  "hq4hkv2sq1sk131072d128:bf16:causal:lse",
  "b33hq64sq1sk8192d128:bf16:lse", /* K and V of more than 2^31 elements each */
};

/* Shapes people know, for a GPU: the three canonical ones, then models. */
static const char *const demo[] = {
  "b4hq16sq2048d128:bf16:causal",
  "hq8sq4096d128:bf16:causal",
  "b8hq16sq1024d64:bf16",
  "hq32hkv8sq8192d128:bf16:causal",      /* Llama 3 8B, prompt */
  "b16hq32hkv8sq1sk8192d128:bf16:causal", /* Llama 3 8B, one token each for 16 users */
  "b2hq8sq1024d80:packed",               /* Stable Diffusion 1.5, 32 × 32 latents */
};

/* The same kinds of work, of a size that a CPU does in a second or so. */
static const char *const demo_host[] = {
  "hq12sq512d64:bf16:causal",            /* GPT-2 */
  "hq12sq197d64",                        /* ViT-B/16 on one picture */
  "hq32hkv8sq256d128:bf16:causal",       /* Llama 3 8B, prompt */
  "hq32hkv8sq1sk2048d128:bf16:causal",   /* Llama 3 8B, one token */
  "hq8sq1024d80:packed",                 /* Stable Diffusion 1.5, 32 × 32 latents */
};

/* clang-format on */

#define SET(name, lines)                                                                                               \
  {                                                                                                                    \
    name, lines, sizeof(lines) / sizeof((lines)[0])                                                                    \
  }

static const struct {
  const char *name;
  const char *const *lines;
  size_t count;
} sets[] = {
    SET("smoke", smoke), SET("parity", parity), SET("stress", stress), SET("demo", demo), SET("demo-host", demo_host),
};

size_t fl4_shapes_count(const char *set)
{
  for (size_t i = 0; set && i < sizeof sets / sizeof sets[0]; i++)
    if (strcmp(set, sets[i].name) == 0) return sets[i].count;
  return 0;
}

const char *fl4_shapes_line(const char *set, size_t index)
{
  for (size_t i = 0; set && i < sizeof sets / sizeof sets[0]; i++)
    if (strcmp(set, sets[i].name) == 0) return index < sets[i].count ? sets[i].lines[index] : NULL;
  return NULL;
}
