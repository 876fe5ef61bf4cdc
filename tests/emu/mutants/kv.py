# SPDX-License-Identifier: Apache-2.0
"""Mutants of the kernels beside attention: merging of parts, and appending to a cache."""
from .table import Run, Table

MUTANTS = Table()
mutant, section = MUTANTS.mutant, MUTANTS.section

MERGE, APPEND = "merge_states.cu", "kv_append.cu"


def merge(case):
    """Three parts in fp16 unless `case` says otherwise. Some rows have parts that saw no key, or no others."""
    return Run(case, "merge_states")


def append(case):
    """Five tokens each for two sequences of up to 30 keys, in fp16, unless `case` says otherwise."""
    return Run(case, "kv_append")


HALVES, PAIRS = "rotary=1 Hq=4 used=1", "rotary=2 Hq=4 used=1"
PARTLY = "rotary=1 rotary_dim=22 Hq=4 used=1 D=24"  # the embedding ends inside of 8 elements
PAGED, RAGGED = "used=1 page_size=8", "B=5 ragged=1 Sn=20 Sk=60 used=1"
WEIGHT = "exp2_approx((float_from_bits(load_global_32(lse + lse_row * 4)) - finite_reference(top)) * LOG2_E)"

section("Merging of parts")
mutant("merge-base-of-weights", "weights are powers of 2, not of e",
       MERGE, WEIGHT, WEIGHT.replace(" * LOG2_E", ""), merge("lse=0"))
mutant("merge-nan-of-unseen", "a part that saw no key is multiplied with 0, and is NaN",
       MERGE, "      if (weight == 0.f) continue;\n", "", merge("lse=0"))
mutant("merge-none-seen", "a row that no part has seen anything of is -inf - -inf",
       MERGE, "finite_reference(top)", "top", merge("n=2"))
mutant("merge-top-forgotten", "weights are not relative to the greatest, and overflow",
       MERGE, "- finite_reference(top)) * LOG2_E", ") * LOG2_E", merge("lse=0"))
mutant("merge-not-divided", "weights do not add up to 1",
       MERGE, "o[e] *= inverse;", "o[e] *= 1.f;", merge("lse=0"))
mutant("merge-lse-base", "the log-sum-exp has a part in base 2",
       MERGE, "log2_approx(sum) * LN_2", "log2_approx(sum)", merge(""))
mutant("merge-lse-of-weights", "the log-sum-exp is relative to the greatest",
       MERGE, "top + log2_approx(sum) * LN_2", "log2_approx(sum) * LN_2", merge(""))
mutant("merge-barrier-missing", "in place: the log-sum-exp is written while others of the row still read it",
       MERGE, "    warp_barrier();\n", "", merge("in_place=1"))
mutant("merge-list-ignored", "parts of a list are looked for behind its first",
       MERGE, "is_list ? address[k] : address[0]", "address[0]", merge("list=1 layout=1"))
mutant("merge-part-again", "the first part is taken each time",
       MERGE, "(u64)(k * stride)", "(u64)(0 * stride)", merge("lse=0"))
mutant("merge-part-of-16-bits", "parts of fp32 are looked for where those of 16 bits would be",
       MERGE, "part_bytes = FL4_PARTS_FP32 ? 4 : 2", "part_bytes = 2", merge("parts_fp32=1"))
mutant("merge-chunk-again", "each thread takes the first 8 elements",
       MERGE, "(part_row + chunk * 8)", "part_row", merge("lse=0"))
mutant("merge-elements-swapped", "two halves of 16 bits are the other way round",
       MERGE, "x[e] = from_16(e % 2 ?", "x[e] = from_16(e % 2 == 0 ?", merge("lse=0"))
mutant("merge-upper-half-again", "of 8 elements of fp32 the last 4 are the first",
       MERGE, "store_global_f32x4(to + 16, high);", "store_global_f32x4(to + 16, low);", merge("dtype=2"))
mutant("merge-unaligned-shift", "rows that are not aligned get each second element twice",
       MERGE, "store_global_16(to + 2 * e, (u16)(bits[e / 2] >> (e % 2 * 16)));",
       "store_global_16(to + 2 * e, (u16)bits[e / 2]);", merge("layout=2"))
mutant("merge-beyond-row", "threads without elements write behind the row",
       MERGE, "    if (chunk * 8 < p.D) {\n", "    {\n", merge("D=24 layout=1"))
mutant("merge-beyond-rows", "threads without a row take one behind the last",
       MERGE, "const bool there = row < rows;", "const bool there = true;", merge("B=3"))
mutant("merge-head-of-all", "heads are counted on through the batch",
       MERGE, "h = row / p.Sq % p.Hq,", "h = row / p.Sq,", merge("B=3 layout=1"))
mutant("merge-batch-stride", "sequences are looked for where the first one's heads are",
       MERGE, "b * p.part_stride[1]", "b * p.part_stride[2]", merge("B=3"))
mutant("merge-once", "blocks take no second turn",
       MERGE, "first += (i64)grid_blocks() * rows_at_once)", "first += rows)", merge("Sq=20 Hq=5 D=256"))

section("Appending to a cache")
mutant("append-sign", "the embedding turns the other way, and shears",
       APPEND, "own * cosine - other * sine;", "own * cosine + other * sine;", append(HALVES))
mutant("append-angle-of-later", "halves: the later element takes angles of its own",
       APPEND, "angle = first < half ? first : first - half;", "angle = first;", append(HALVES))
mutant("append-partner-of-later", "halves: the later element's partner is looked for behind it",
       APPEND, "away = first < half ? half : -half", "away = half", append(HALVES))
mutant("append-angle-of-pairs", "pairs: each element has an angle",
       APPEND, "load_floats<4>(c, p.rotary_cos, angles + first / 2)", "load_floats<4>(c, p.rotary_cos, angles + first)",
       append(PAIRS))
mutant("append-pair-swapped", "pairs: an element is its own partner",
       APPEND, "x[0] >> 16 | x[0] << 16, x[1]", "x[0], x[1]", append(PAIRS))
mutant("append-turned-beyond", "and what was computed of none is written",
       APPEND, "if (ALIGNED || first + 2 * i < p.rotary_dim) x[i]", "x[i]", append(PARTLY))
mutant("append-position-unbounded", "positions go beyond the tables",
       APPEND, "min_i32(position, p.max_position - 1)", "position", append(HALVES + " max_position=4"))
mutant("append-position-of-token", "positions are counted from the new tokens",
       APPEND, "return Token{true, b, keys_before(p, b) + i, b, i};", "return Token{true, b, i, b, i};", append("used=1"))
mutant("append-barrier-missing", "in place: queries are written while others of the row still read them",
       APPEND, "    warp_barrier();\n", "", append(HALVES + " in_place=1"))
mutant("append-value-of-key", "values are the keys",
       APPEND, "load_8(value, row_at(p.v_new, p.v_new_stride,", "load_8(value, row_at(p.k_new, p.k_new_stride,", append(""))
mutant("append-value-forgotten", "values are not written",
       APPEND, "      store_8(row_at(p.v, p.v_stride, place.batch, head, place.row) + 2 * first, value);\n", "", append(""))
mutant("append-value-turned", "values are turned too",
       APPEND, "      turn(x, from, p, t.position, first);\n    } else",
       "      turn(x, from, p, t.position, first), turn(value, from, p, t.position, first);\n    } else", append(HALVES))
mutant("append-beyond-keys", "the key behind the last is written",
       APPEND, "if (position >= p.Sk)", "if (position > p.Sk)", append("used=1 Sk=7 Sn=9 seed=3"))
mutant("append-length-unbounded", "lengths are taken as they are",
       APPEND, "return p.used ? length(p.used, b, p.Sk) : 0;",
       "return p.used ? (int)load_global_32(reinterpret_cast<const char *>(p.used) + 4 * b) : 0;",
       append("B=5 used=1 bad=1"))
mutant("append-page-unbounded", "page numbers are taken as they are",
       APPEND, "page >= 0 && page < p.n_pages", "true", append("B=5 Sn=30 bad=1 page_size=8"))
mutant("append-page-behind-last", "the page behind the last is one",
       APPEND, "page < p.n_pages", "page <= p.n_pages", append("B=5 Sn=30 bad=1 page_size=8"))
mutant("append-page-too-soon", "a page's last key goes to the next one",
       APPEND, "(position >> p.page_shift);", "((position + 1) >> p.page_shift);", append(PAGED + " Sn=12"))
mutant("append-slot-of-next", "a page has one slot less",
       APPEND, "position & ((1 << p.page_shift) - 1)", "position & ((1 << p.page_shift) - 2)", append(PAGED + " Sn=12"))
mutant("append-table-of-first", "all sequences have the first one's pages",
       APPEND, "b * p.table_stride + (position", "(position", append(PAGED))
mutant("append-ragged-first-row", "ragged: a sequence's first row goes to the one before",
       APPEND, "middle, p.total_new) <= n)", "middle, p.total_new) < n)", append(RAGGED))
mutant("append-ragged-tail", "ragged: rows behind the last sequence are its own",
       APPEND, "i < p.Sn && n < length(p.cu_new, b + 1, p.total_new);", "i < p.Sn;", append(RAGGED + " rotary=1"))
mutant("append-ragged-batch", "ragged: rows are looked for in the sequence of that number",
       APPEND, "keys_before(p, b) + (int)i : 0, 0, n};", "keys_before(p, b) + (int)i : 0, b, n};", append(RAGGED))
mutant("append-after-unbounded", "lengths become more than Sk",
       APPEND, "min_i32(keys_before(p, (int)b) + n, p.Sk)", "keys_before(p, (int)b) + n", append("B=5 Sk=12 Sn=9 used=1 after=1"))
mutant("append-after-of-new", "lengths become those of the new tokens",
       APPEND, "min_i32(keys_before(p, (int)b) + n, p.Sk)", "n", append("used=1 after=1"))
mutant("append-after-ragged", "ragged: lengths become as if all had Sn",
       APPEND, "    if (p.cu_new) n = clamp", "    if (false) n = clamp", append(RAGGED + " after=1"))
mutant("append-query-as-key", "a query head more is a key",
       APPEND, "const bool is_key = head < p.Hkv", "const bool is_key = head <= p.Hkv", append(HALVES))
mutant("append-query-of-next", "queries are those of as many heads further",
       APPEND, "const char *from = row_at(p.q, p.q_stride, t.batch, head - p.Hkv, t.row);",
       "const char *from = row_at(p.q, p.q_stride, t.batch, head, t.row);", append(HALVES))
mutant("append-query-in-place", "queries are always turned in place",
       APPEND, "row_at(p.q_out, p.q_out_stride,", "row_at(p.q, p.q_out_stride,", append(HALVES))
mutant("append-beyond-row", "threads without elements write behind the row",
       APPEND, "mine = row < rows && first < p.D;", "mine = row < rows;", append("D=24"))
mutant("append-once", "blocks take no second turn",
       APPEND, "begin += (i64)grid_blocks() * rows_at_once)", "begin += rows)", append("B=5 Sn=20 D=256"))
