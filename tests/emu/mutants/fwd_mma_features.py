# SPDX-License-Identifier: Apache-2.0
"""Mutants of fwd_mma: windows, scores, biases, lengths and pages."""
from .fwd_mma_runs import GROUPS2, ROWS32, S3, SLICES, SPLIT2, SPLIT4, TALL, WEAVE, run
from .table import Table

MUTANTS = Table()
mutant, section = MUTANTS.mutant, MUTANTS.section

RING = "mma_ring.cuh"
FWD, SMEM, SCHEDULE, SOFTMAX, MASK = "fwd_mma.cu", "fl4_smem.cuh", "fl4_schedule.cuh", "fl4_softmax.cuh", "fl4_mask.cuh"
EPILOGUE, SCORES, SEQUENCE, MMA_SCORES = "fl4_epilogue.cuh", "fl4_scores.cuh", "fl4_sequence.cuh", "mma_scores.cuh"

# Windows that begin and end inside of tiles; of which most tiles are seen wholly; that row tiles have nothing in common with.
WINDOW, BROAD_WINDOW = "hq1sq60sk90d16:window=20,3:lse", "hq1sq32sk192d16:window=120,0"
UNSEEN = "hq1sq60sk20d16:window=3,2:lse"
SOFTCAP, ALIBI = "hq1sq64sk128d16:softcap=1", "hq4sq64sk128d16:alibi"
SINKS = "hq2sq40sk41d16:sinks:lse"
BIAS, BIAS_ODD, BIAS32, BOOL = ("hq2sq40sk64d16:bias=fp16", "hq2sq40sk61d16:bias=bf16", "hq2sq40sk64d16:bias=fp32",
                                "hq2sq40sk64d16:bias=bool")
RAGGED, RAGGED_CAUSAL = "b4hq2sq70sk90d16:ragged:lse", "b4hq2sq70sk90d16:causal:ragged:lse"
LENS, LENS_CAUSAL = "b4hq2sq40sk90d16:lens:lse", "b4hq2sq40sk90d16:causal:lens:lse"
PAGED, PAGED8, PAGED_LENS = "b2hq2sq40sk90d16:page=32", "b2hq2sq40sk90d16:page=8", "b4hq2sq40sk90d16:page=8:lens"

section("Windows")
mutant("window-ends-early", "the last key of a window is not seen",
       SEQUENCE, "queries - 1 - row - p.window_right", "queries - row - p.window_right", run(WINDOW))
mutant("window-ends-late", "a window has one more key on the right",
       SEQUENCE, "queries - 1 - row - p.window_right", "queries - 2 - row - p.window_right", run(WINDOW))
mutant("window-begins-late", "the first key of a window is not seen",
       SEQUENCE, "(queries - row + p.window_left)", "(queries - 1 - row + p.window_left)", run(WINDOW))
mutant("window-begins-early", "a window has one more key on the left",
       SEQUENCE, "(queries - row + p.window_left)", "(queries + 1 - row + p.window_left)", run(WINDOW))
mutant("window-without-left", "keys before the window are not masked",
       MASK, "|| (WINDOW && n * 8 + e < hidden)", "", run(WINDOW))
mutant("window-of-first-row", "the lane's second row has the window of its first",
       MASK, "lane() / 4 + m * 16 + half * 8;", "lane() / 4 + m * 16;", run(WINDOW))
mutant("window-open-too-soon", "tiles are taken as seen by all rows as soon as the last row sees all of them",
       SCHEDULE, "w.exact = w.tiles - keys_end(p, n, m, w.row0) / BN + 1;",
       "w.exact = w.tiles - keys_end(p, n, m, last) / BN;", run(WINDOW))
mutant("window-open-too-long", "and as long as the first row sees all",
       SCHEDULE, "w.tail = w.tiles - (keys_begin(p, n, m, last)", "w.tail = w.tiles - (keys_begin(p, n, m, w.row0)",
       run(BROAD_WINDOW))
mutant("window-tail-missing", "tiles behind the open ones are not taken",
       FWD, "for (; tile < w.end; tile++) {", "for (; tile < open_end; tile++) {", run(BROAD_WINDOW))
mutant("window-tiles-skipped", "the last tile that a row of the block sees is left out",
       SCHEDULE, "w.tiles - keys_begin(p, n, m, w.row0) / BN)", "w.tiles - keys_begin(p, n, m, last) / BN)",
       run(BROAD_WINDOW))
mutant("window-slice-skipped", "a slice of which the warp's first row sees some is left out",
       FWD, "hidden = keys_begin(p, queries(p, w), keys(p, w), row0);",
       "hidden = keys_begin(p, queries(p, w), keys(p, w), row0 + WARP_ROWS);", run(WINDOW, SLICES))
mutant("window-weaving-goes-on", "the scores of a tile that nobody takes by weaving are computed from a slot that is being filled",
       FWD, "tile + 1 == open_end", "tile + 1 == w.end + 1", run(BROAD_WINDOW, WEAVE), run("hq1sq64sk64d16", WEAVE))
mutant("window-split-of-all", "blocks share the tiles up to the first key, of which the last see none",
       SCHEDULE, "w.first = seen * split / SPLITS, w.end = seen *", "w.first = seen * split / SPLITS, w.end = w.tiles *",
       run(WINDOW, SPLIT2))

section("Scores")
mutant("softcap-forgotten-where-open", "open tiles have no softcap",
       FWD, "    multiply_query_keys(s, q, keys);\n    transform_scores(s, p, w, row0, key0, biases);\n    values",
       "    multiply_query_keys(s, q, keys);\n    values", run(SOFTCAP))
mutant("softcap-forgotten-anew", "nor those whose scores are computed once more",
       FWD, "    transform_scores(s, p, w, row0, key0, biases);\n    rising", "    rising",
       run("hq1sq64sk256d16:softcap=1", "fwd_mma:bm=64,bn=128,warps=2,stages=2,qreg=0,slice=128,weave=0,kgroups=1,splits=1,ctas=1"))
mutant("softcap-forgotten-where-masked", "masked tiles have no softcap",
       FWD, "    transform_scores(s, p, w, row0, key0 + slice * SLICE, biases);\n", "", run("hq1sq64sk61d16:softcap=1"))
mutant("softcap-forgotten-in-weaving", "woven slices have no softcap",
       FWD, "      transform_scores(s[(slice + 1) % 2], p, w, row0, slice + 1 < SLICES ? key0 + (slice + 1) * SLICE : next_key0,\n                       slice + 1 < SLICES ? biases : next_biases);\n",
       "      ;\n", run(SOFTCAP, WEAVE))
mutant("softcap-forgotten-first", "nor has the first of them",
       FWD, "      transform_scores(s[0], p, w, first_row(w), first_key(w, tile), MAY_HIDE(w, tile));\n", "", run(SOFTCAP, WEAVE))
mutant("softcap-of-one-sided", "tanh is half of itself",
       SCORES, "1.f - 2.f * reciprocal", "1.f - reciprocal", run(SOFTCAP))
mutant("scaled-twice", "scores are scaled once more where they are weighed",
       SCORES, "return NATURAL ? LOG2_E : p.scale_log2;", "return p.scale_log2;", run(ALIBI))
mutant("slope-sign", "far keys are preferred",
       SCORES, "s - r.slope *", "s + r.slope *", run(ALIBI))
mutant("slope-one-sided", "keys behind the diagonal come closer",
       SCORES, "(distance < 0.f ? -distance : distance)", "distance", run(ALIBI))
mutant("slope-of-first-head", "all heads have the slope of the first",
       SCORES, "b * p.slope_stride[0] + h * p.slope_stride[1]", "b * p.slope_stride[0]", run(ALIBI))
mutant("alibi-diagonal", "distances count from the row, not from its key on the diagonal",
       MMA_SCORES, "row, row + w.shift, first)", "row, row, first)", run(ALIBI))
mutant("alibi-of-next-slice", "woven scores count their distances from the slice before",
       FWD, "slice + 1 < SLICES ? key0 + (slice + 1) * SLICE", "slice + 1 < SLICES ? key0 + slice * SLICE",
       run(ALIBI, WEAVE))
mutant("alibi-of-next-tile", "the same at the end of a tile",
       FWD, ": next_key0,\n", ": key0,\n", run(ALIBI, WEAVE))

section("Sinks")
mutant("sink-not-in-sum", "a sink does not count in the sum of the output",
       EPILOGUE, "SINKS ? end.factor * inverse_sum(end.sum)", "SINKS ? inverse_sum(rows.sum[m][2 * half])", run(SINKS))
mutant("sink-not-in-lse", "a sink does not count in the LSE",
       EPILOGUE, "log_sum_exp(end.reference, end.sum)", "log_sum_exp(reference, sum)", run(SINKS))
mutant("sink-reference-kept", "the output is not brought to the sink's reference",
       EPILOGUE, "end.factor * inverse_sum", "inverse_sum", run("hq4sq40sk3d16:sinks:lse"))
mutant("sink-of-first-head", "all heads have the sink of the first",
       SCORES, "p.sinks) + 4 * h", "p.sinks) + 0 * h", run(SINKS))
mutant("sink-of-each-split", "each block that shares a row counts its sink",
       FWD, "  if (key_group() > 0 || !merge_splits(rows, p)) return;\n  const Work w = work_of_block(p);\n",
       """  const Work w = work_of_block(p);
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const Ending end = with_sink(p, w.h, rows.reference[m][half], rows.sum[m][2 * half]);
      rescale(rows, m, half, end.factor);
      rows.reference[m][half] = end.reference, rows.sum[m][2 * half] = rows.sum[m][2 * half + 1] = end.sum;
    }
  if (key_group() > 0 || !merge_splits(rows, p)) return;
""", run(SINKS, SPLIT4))
mutant("sink-in-powers-of-e", "a sink is taken as a power of two",
       SCORES, "sink = LOG2_E * load_float", "sink = load_float", run(SINKS))

section("Biases")
mutant("bias-transposed", "a bias is read by keys and queries the wrong way round",
       SCORES, "min_i32(row, p.Sq - 1) * p.bias_stride[2]", "min_i32(row, p.Sq - 1) * p.bias_stride[3]", run(BIAS))
mutant("bias-of-next-key", "the second of two biases is read for both keys",
       MMA_SCORES, "two & 0xff : two & 0xffff)", "two >> 8 : two >> 16)", run(BIAS), run(BOOL))
mutant("bias-pairs-unaligned", "two biases are read at once wherever they lie",
       MMA_SCORES, "return p.bias_stride[3] == 1 && (", "return p.bias_stride[3] == 1 || (", run(BIAS_ODD))
mutant("bias-of-lost-row", "rows behind the last read a bias that is not there",
       SCORES, "min_i32(row, p.Sq - 1)", "row", run(BIAS, TALL))
mutant("bias-of-head", "all heads have the bias of the first",
       SCORES, "b * p.bias_stride[0] + h * p.bias_stride[1]", "b * p.bias_stride[0]", run(BIAS))
mutant("bias-of-batch", "all sequences have the bias of the first",
       SCORES, "b * p.bias_stride[0] + h", "0 * p.bias_stride[0] + h", run("b2hq1sq32sk32d16:bias=fp16"))
mutant("bias-as-half", "bf16 is read as fp16",
       SCORES, "BIAS == 2 ? float_from_bits(bits << 16) : half", "BIAS == 5 ? float_from_bits(bits << 16) : half",
       run(BIAS_ODD))
mutant("bias-hides-unnoticed", "a row whose keys were all hidden has weights that are no numbers",
       SOFTMAX, "warp_any(none || ", "warp_any(", run("hq4sq32sk192d16:bias=bool"))
mutant("bias-of-half-a-row", "only the lane's second row is asked whether it has a reference",
       SOFTMAX, "rows.reference[m][0] == MINUS_INFINITY || rows", "rows", run("hq4sq32sk192d16:bias=bool"))
mutant("bool-inverted", "zeros let keys through",
       SCORES, "bits ? 0.f : MINUS_INFINITY", "bits ? MINUS_INFINITY : 0.f", run(BOOL))

section("Lengths")
mutant("length-of-neighbour", "a sequence has as many keys as the next one",
       SEQUENCE, "p.used_k) + 4 * (i64)b)", "p.used_k) + 4 * (i64)(b ^ 1))", run(LENS))
mutant("length-not-in-mask", "keys behind the last of a sequence are not masked",
       MASK, "present = keys(p, w) - first", "present = p.Sk - first", run(LENS))
mutant("length-not-in-diagonal", "the diagonal ends at the last key that there may be",
       SCHEDULE, "w.shift = keys(p, w) - queries(p, w);", "w.shift = p.Sk - p.Sq;", run(LENS_CAUSAL))
mutant("values-beyond-not-zeroed", "values behind the last key are read, and may be NaN",
       RING, "load_for<true, !AHEAD>(r", "load_for<false, !AHEAD>(r", run(LENS))
mutant("keys-to-the-bound", "all keys that there may be are loaded",
       RING, "    keys(p, w),\n    w.b,\n", "    p.Sk,\n    w.b,\n", run(LENS))
mutant("ragged-keys-of-first", "all sequences have the keys of the first",
       SCHEDULE, "w.h_kv * stride[1] + w.s.first_key * stride[2]", "w.h_kv * stride[1]", run(RAGGED))
mutant("ragged-queries-of-first", "all sequences have the queries of the first",
       SCHEDULE, "w.h * stride[1] + (w.s.first_query + row) * stride[2]", "w.h * stride[1] + row * stride[2]", run(RAGGED))
mutant("ragged-rows-beyond", "rows behind a sequence are written, which are another's",
       EPILOGUE, "row0 + row >= queries(p, w)", "row0 + row >= p.Sq", run(RAGGED))
mutant("ragged-lse-beyond", "so are their LSE",
       EPILOGUE, "row < queries(p, w)", "row < p.Sq", run(RAGGED))
mutant("ragged-tile-of-neighbour", "a tile goes to the sequence before its own",
       SEQUENCE, "/ rows + middle <= tile)", "/ rows + middle < tile)", run(RAGGED))
mutant("ragged-tiles-overlap", "the tiles of sequences are numbered without room between them",
       SEQUENCE, "/ rows + middle <= tile)", "/ rows <= tile)", run(RAGGED))
mutant("ragged-first-tile", "row tiles are counted from the first of all sequences",
       SCHEDULE, "w.row0 -= (w.s.first_query / BM + w.b) * BM;", "w.row0 -= w.b * BM;", run(RAGGED))
mutant("ragged-tile-missing", "a sequence's last tile of few rows is taken for none",
       SCHEDULE, "w.row0 < w.s.queries)", "w.row0 + BM / 2 < w.s.queries)", run(RAGGED))
mutant("ragged-end-of-first", "a sequence ends where the first does",
       SEQUENCE, "sequence_start(p.cu_q, b + 1, p.total_q)", "sequence_start(p.cu_q, 1, p.total_q)", run(RAGGED))

section("Pages")
mutant("page-of-neighbour", "a page that is the sequence's next one",
       SEQUENCE, "b * p.table_stride + (min_i32(key, p.Sk - 1) >> p.page_shift)",
       "b * p.table_stride + min_i32((key >> p.page_shift) + 1, (p.Sk - 1) >> p.page_shift)", run(PAGED))
mutant("page-of-sequence", "all sequences have the pages of the first",
       SEQUENCE, "b * p.table_stride + (min", "0 * p.table_stride + (min", run(PAGED))
mutant("page-slot-of-tile", "slots of a page are counted from the tile's first key",
       SMEM, "((key0 + row) & (slots - 1))", "(row & (slots - 1))", run(PAGED))
mutant("page-of-tile", "a tile has one page",
       SMEM, "page_of(p, b, key0 + first + (i + e) * STEP)", "page_of(p, b, key0)", run(PAGED8))
mutant("page-values-from-keys", "values are looked for where keys would lie",
       RING, "r.v, p.v_stride[0] * 2", "r.k, p.v_stride[0] * 2", run(PAGED))
mutant("page-of-batch", "a pool is taken for the keys of a batch",
       SCHEDULE, "  if (PAGED) return w.h_kv * stride[1];\n", "", run(PAGED))
mutant("page-rows-unguarded", "rows behind the last key are copied from pages that hold anything",
       SMEM, "(!GUARD || row < valid) && chunk + piece", "chunk + piece", run(PAGED_LENS))
mutant("page-pieces", "D = 256: the second half of a row is that of the first",
       SMEM, "there ? source + piece * (WIDTH * 16) : from", "there ? source : from", run("hq1sq16sk16d256:page=8", S3))
