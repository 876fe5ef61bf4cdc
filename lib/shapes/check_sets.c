/* SPDX-License-Identifier: Apache-2.0 */
/* Sets to check with: every kind and feature, the grid that all kernels must pass, sizes at the limits, and demonstrations. */
#include "shapes/sets.h"

/* clang-format off */
static const fl4__shape smoke[] = {
  /* head dimensions: the common ones, the ends, and those between powers of two */
  FL4__SHAPE("hq2sq128d64"),
  FL4__SHAPE("hq2sq128d128:bf16:causal"),
  FL4__SHAPE("hq2sq113d8"),
  FL4__SHAPE("hq2sq96d16:bf16"),
  FL4__SHAPE("hq2sq96d32:causal"),
  FL4__SHAPE("hq2sq100d72:bf16"),
  FL4__SHAPE("hq2sq203d80:causal"),
  FL4__SHAPE("hq2sq128d96:bf16"),
  FL4__SHAPE("hq1sq130d192:bf16:causal"),
  FL4__SHAPE("hq1sq128d256"),
  /* batches, shared key/value heads, log-sum-exp */
  FL4__SHAPE("b2hq8hkv2sq128d64:bf16:causal:lse"),
  FL4__SHAPE("b3hq4hkv1sq65d128:lse"),
  /* lengths: one, odd, unlike, decoding, queries that see no key, no key at all */
  FL4__SHAPE("hq2sq1d64"),
  FL4__SHAPE("hq1sq17d64:causal:lse"),
  FL4__SHAPE("b2hq2sq203sk113d64:bf16"),
  FL4__SHAPE("hq2sq113sk203d64:bf16:causal:lse"),
  FL4__SHAPE("b2hq8hkv2sq1sk509d128:bf16:causal"),
  FL4__SHAPE("hq2sq200sk70d64:causal:lse"),
  FL4__SHAPE("b2hq2sq40sk0d64:lse"),
  /* layouts and scale */
  FL4__SHAPE("b2hq4hkv2sq96d64:bf16:causal:bshd"),
  FL4__SHAPE("b2hq2sq120sk72d128:bshd"),
  FL4__SHAPE("b2hq4hkv2sq112d64:causal:packed"),
  FL4__SHAPE("b2hq2sq99sk131d72:bf16:causal:lse:odd"),
  FL4__SHAPE("hq2sq128d64:scale=0.25"),
  /* several tiles in both directions */
  FL4__SHAPE("hq2sq384d64:causal:lse"),
};

static const fl4__shape features[] = {
  /* windows */
  FL4__SHAPE("b2hq4hkv2sq200d64:window=20,0:lse"),
  FL4__SHAPE("hq4sq130sk300d64:bf16:window=-1,5"),
  FL4__SHAPE("hq4sq300sk130d128:window=63,64"),
  FL4__SHAPE("hq4hkv1sq1sk700d128:bf16:window=255,0"),
  FL4__SHAPE("hq2sq333d80:bf16:window=0,0:odd"),
  /* scores */
  FL4__SHAPE("b2hq4hkv2sq130d64:bf16:causal:lse:softcap=30"),
  FL4__SHAPE("hq4sq130d256:softcap=2.5"),
  FL4__SHAPE("b2hq8sq130d64:causal:alibi"),
  FL4__SHAPE("hq16hkv4sq70sk200d128:bf16:lse:alibi"),
  FL4__SHAPE("b2hq8hkv2sq200d64:bf16:window=127,0:lse:sinks"),
  FL4__SHAPE("hq4sq100sk60d64:causal:lse:sinks"),
  /* biases, in each type, whole and shared */
  FL4__SHAPE("b2hq4sq130d64:lse:bias=fp16"),
  FL4__SHAPE("b2hq4hkv2sq130sk192d64:bf16:bias=bf16"),
  FL4__SHAPE("b2hq4sq70sk300d128:causal:bias=fp32/hij"),
  FL4__SHAPE("b3hq4sq70sk300d64:bf16:lse:bias=bool/bj"),
  FL4__SHAPE("b2hq4sq99sk131d72:odd:bias=bool"),
  FL4__SHAPE("b2hq4sq70sk128d64:bias=fp16/ij"),
  FL4__SHAPE("b2hq4sq70sk128d64:bf16:bias=fp32/bhi"),
  /* lengths */
  FL4__SHAPE("b7hq4hkv2sq200d64:bf16:causal:lse:bshd:ragged"),
  FL4__SHAPE("b7hq4hkv2sq90sk300d128:ragged"),
  FL4__SHAPE("b5hq4sq200d64:packed:ragged=one"),
  FL4__SHAPE("b3hq4sq128d64:bf16:causal:bshd:ragged=full"),
  FL4__SHAPE("b9hq8hkv2sq1sk500d128:bf16:lse:lens"),
  FL4__SHAPE("b5hq4hkv2sq70sk300d64:causal:ragged:lens"),
  FL4__SHAPE("b5hq4sq99sk131d72:odd:ragged"),
  /* pages, in both layouts, of sizes around a tile's */
  FL4__SHAPE("b5hq8hkv2sq1sk500d128:bf16:bshd:lens:page=16"),
  FL4__SHAPE("b3hq8hkv1sq4sk300d64:causal:lse:lens:page=64"),
  FL4__SHAPE("b2hq4sq130sk300d64:bf16:causal:bshd:page=8"),
  FL4__SHAPE("b5hq4hkv2sq130sk300d128:causal:lse:ragged:page=128"),
  FL4__SHAPE("hq4sq70sk500d64:bf16:page=256"),
  FL4__SHAPE("b2hq4sq9sk131d72:odd:lens=one:page=32"),
  /* together */
  FL4__SHAPE("b5hq8hkv2sq130sk300d64:bf16:window=100,0:lse:bshd:softcap=20:sinks:ragged:page=16"),
  FL4__SHAPE("b3hq4hkv2sq70sk200d128:causal:lse:softcap=20:alibi:sinks:bias=fp16/bij:lens"),
  FL4__SHAPE("b4hq8hkv2sq1sk700d64:bf16:lse:alibi:lens:page=32:invariant"),
};

#define PARITY_D(s, dtype)                                                                                             \
  FL4__GRID(s, "64", dtype), FL4__GRID(s, "80", dtype), FL4__GRID(s, "96", dtype), FL4__GRID(s, "128", dtype)
#define PARITY_S(dtype) PARITY_D("128", dtype), PARITY_D("512", dtype), PARITY_D("1024", dtype), PARITY_D("2048", dtype)

static const fl4__shape parity[] = {PARITY_S(""), PARITY_S(":bf16")};

static const fl4__shape extreme[] = {
  FL4__SHAPE("hq8sq1023d64:bf16:causal:lse"),
  FL4__SHAPE("hq8sq1025d128:causal:lse"),
  FL4__SHAPE("hq16hkv4sq4096d128:bf16:causal:lse"),
  FL4__SHAPE("hq16sq4096d64"),
  FL4__SHAPE("hq8sq4097d80:bf16:causal:odd"),
  FL4__SHAPE("hq4sq5003sk7001d96:bf16:lse"),
  FL4__SHAPE("hq8hkv2sq8192d128:causal:lse:bshd"),
  FL4__SHAPE("hq8sq8192d64:bf16:packed"),
  FL4__SHAPE("hq4sq8191sk8193d256:bf16:causal"),
  FL4__SHAPE("hq4sq8192sk1000d192:causal:lse"),
  FL4__SHAPE("hq8hkv1sq16384d128:bf16:causal:lse"),
  FL4__SHAPE("hq4sq16384d64"),
  FL4__SHAPE("hq2sq16383sk16385d72:bf16:causal"),
  FL4__SHAPE("hq4hkv2sq1sk131072d128:bf16:causal:lse"),
  {"b33hq64sq1sk8192d128:bf16:lse", "K and V of more than 2^31 elements each"},
};

static const fl4__shape demo[] = {
  {"b4hq16sq2048d128:bf16:causal", ""},
  {"hq8sq4096d128:bf16:causal", ""},
  {"b8hq16sq1024d64:bf16", ""},
  {"hq32hkv8sq8192d128:bf16:causal", "Llama 3 8B, prompt"},
  {"b16hq32hkv8sq1sk8192d128:bf16:causal", "Llama 3 8B, one token each for 16 users"},
  {"b2hq8sq1024d80:packed", "Stable Diffusion 1.5, 32 × 32 latents"},
};

static const fl4__shape demo_host[] = {
  {"hq12sq512d64:bf16:causal", "GPT-2"},
  {"hq12sq197d64", "ViT-B/16 on one picture"},
  {"hq32hkv8sq256d128:bf16:causal", "Llama 3 8B, prompt"},
  {"hq32hkv8sq1sk2048d128:bf16:causal", "Llama 3 8B, one token"},
  {"hq8sq1024d80:packed", "Stable Diffusion 1.5, 32 × 32 latents"},
};
/* clang-format on */

const fl4__shape_set fl4__smoke = FL4__SHAPE_SET(
    "smoke", "dense attention in all its kinds, so small that a CPU and its fp64 oracle need seconds for all", smoke);
const fl4__shape_set fl4__features = FL4__SHAPE_SET(
    "features", "windows, scores, biases, ragged batches and pages, each and together, as small as smoke", features);
const fl4__shape_set fl4__parity = FL4__SHAPE_SET("parity", "the grid that every kernel must pass", parity);
const fl4__shape_set fl4__extreme =
    FL4__SHAPE_SET("extreme", "sizes just off a tile, and offsets beyond 32 bits", extreme);
const fl4__shape_set fl4__demo = FL4__SHAPE_SET("demo", "shapes people know, for a GPU", demo);
const fl4__shape_set fl4__demo_host =
    FL4__SHAPE_SET("demo-host", "the same kinds of work, of a size that a CPU does in a second or so", demo_host);
