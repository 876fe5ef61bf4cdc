/* SPDX-License-Identifier: Apache-2.0 */
/* Sets to time: the three canonical problems, the grid of the L4, prompts, long sequences, and decoding. */
#include "shapes/sets.h"

static const fl4__shape canonical[] = {
    FL4__SHAPE("b4hq16sq2048d128:causal"),
    FL4__SHAPE("hq8sq4096d128:causal"),
    FL4__SHAPE("b8hq16sq1024d64"),
};

#define L4_D(s, dtype) FL4__GRID(s, "64", dtype), FL4__GRID(s, "128", dtype)
#define L4_S(dtype) L4_D("128", dtype), L4_D("512", dtype), L4_D("1024", dtype), L4_D("2048", dtype)

static const fl4__shape l4[] = {
    L4_S(""),
    L4_S(":bf16"),
    FL4__SHAPE("hq8sq4096d128:causal"),
    FL4__SHAPE("hq8sq8192d128:causal"),
};

/* Both masks. The batch shrinks as the sequence grows, so that one call stays within milliseconds. */
#define MASKS(bhs, d) FL4__SHAPE(bhs "d" d), FL4__SHAPE(bhs "d" d ":causal")

#define PREFILL(d)                                                                                                     \
  MASKS("b4hq16sq512", d), MASKS("b8hq16sq1024", d), MASKS("b4hq16sq2048", d), MASKS("b4hq16sq4096", d),               \
      MASKS("b2hq16sq8192", d), MASKS("hq16sq16384", d)

/* clang-format off */
static const fl4__shape prefill[] = {
  PREFILL("64"), PREFILL("80"), PREFILL("96"), PREFILL("128"), PREFILL("192"), PREFILL("256"),
};

static const fl4__shape stress[] = {
  MASKS("b4hq16sq4096", "64"), MASKS("b4hq16sq4096", "128"), MASKS("b4hq16sq4096", "256"),
  MASKS("b2hq16sq8192", "64"), MASKS("b2hq16sq8192", "128"), MASKS("b2hq16sq8192", "256"),
  MASKS("hq16sq16384", "64"), MASKS("hq16sq16384", "128"),
  MASKS("hq8sq32768", "64"), MASKS("hq8sq32768", "128"),
};
/* clang-format on */

/* One query a sequence. Keys and values together stay below 2³² bytes. */
#define DECODE(b, heads, sk, d) FL4__SHAPE(b heads "sq1sk" sk "d" d ":bf16")

static const fl4__shape decode[] = {
    /* 32 query heads on 8 key/value heads */
    DECODE("", "hq32hkv8", "4096", "128"),
    DECODE("", "hq32hkv8", "16384", "128"),
    DECODE("", "hq32hkv8", "32768", "128"),
    DECODE("", "hq32hkv8", "65536", "128"),
    DECODE("", "hq32hkv8", "131072", "128"),
    DECODE("b4", "hq32hkv8", "4096", "128"),
    DECODE("b4", "hq32hkv8", "16384", "128"),
    DECODE("b4", "hq32hkv8", "65536", "128"),
    DECODE("b4", "hq32hkv8", "131072", "128"),
    DECODE("b16", "hq32hkv8", "4096", "128"),
    DECODE("b16", "hq32hkv8", "16384", "128"),
    DECODE("b16", "hq32hkv8", "32768", "128"),
    DECODE("b64", "hq32hkv8", "4096", "128"),
    DECODE("b64", "hq32hkv8", "8192", "128"),
    /* key/value heads of their own, of eight, of all */
    DECODE("", "hq8", "65536", "128"),
    DECODE("b16", "hq8", "16384", "128"),
    DECODE("b64", "hq8", "4096", "128"),
    DECODE("", "hq64hkv8", "65536", "128"),
    DECODE("b16", "hq64hkv8", "16384", "128"),
    DECODE("b64", "hq64hkv8", "4096", "128"),
    DECODE("", "hq32hkv1", "131072", "128"),
    DECODE("b16", "hq32hkv1", "65536", "128"),
    DECODE("b64", "hq32hkv1", "65536", "128"),
    /* D = 64 */
    DECODE("", "hq32hkv8", "65536", "64"),
    DECODE("b16", "hq32hkv8", "16384", "64"),
    DECODE("b64", "hq32hkv8", "4096", "64"),
};

const fl4__shape_set fl4__canonical =
    FL4__SHAPE_SET("canonical", "the three problems that releases are compared by", canonical);
const fl4__shape_set fl4__l4 = FL4__SHAPE_SET("l4", "a grid of everyday sizes that an L4 gets through", l4);
const fl4__shape_set fl4__prefill =
    FL4__SHAPE_SET("prefill", "prompts of 512 to 16384 tokens, head dimensions of 64 to 256", prefill);
const fl4__shape_set fl4__stress = FL4__SHAPE_SET("stress", "long sequences, 4096 to 32768", stress);
const fl4__shape_set fl4__decode =
    FL4__SHAPE_SET("decode", "one query a sequence: batches of 1 to 64, 4096 to 131072 keys", decode);
