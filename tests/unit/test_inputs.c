/* SPDX-License-Identifier: Apache-2.0 */
/* The data of a check: where tensors lie, what each kind of input promises, canaries. */
#include "check_data.h"
#include "oracle/sequence.h"

static const int dtypes[] = {FL4_DTYPE_FP16, FL4_DTYPE_BF16, FL4_DTYPE_FP32};

/* ---------------------------------------------------------------- placement and inputs */

static double score(const data *x, int64_t b, int64_t h, int64_t i, int64_t j)
{
  double sum = 0;
  for (int64_t d = 0; d < x->p.D; d++)
    sum += element(x, &x->at.q, b, h, i, d) * element(x, &x->at.k, b, h / (x->p.Hq / x->p.Hkv), j, d);
  return sum * (x->p.scale != 0 ? (double)x->p.scale : 1 / sqrt((double)x->p.D));
}

static const char *const layouts[] = {"b2hq4hkv2sq9d16:bf16", "b2hq4hkv2sq9d16:bf16:bshd",
                                      "b2hq4hkv2sq9d16:bf16:packed", "b2hq4hkv2sq9d16:bf16:odd"};

/* Tensors do not overlap, lie between guards, and all that is no tensor is NaN. */
START_TEST(tensors_lie_apart_in_nan)
{
  data x = make_data(layouts[_i], FL4_INPUTS_NORMAL, 1);
  char *owner = calloc((size_t)x.at.input_elements, 1);
  const fl4__tensor *tensors[] = {&x.at.q, &x.at.k, &x.at.v};
  for (int t = 0; t < 3; t++)
    for (int64_t b = 0; b < 2; b++)
      for (int64_t h = 0; h < tensors[t]->H; h++)
        for (int64_t s = 0; s < tensors[t]->S; s++)
          for (int64_t d = 0; d < 16; d++) {
            const int64_t *stride = tensors[t]->stride;
            const int64_t at = tensors[t]->offset + b * stride[0] + h * stride[1] + s * stride[2] + d;
            ck_assert_int_ge(at, FL4__GUARD);
            ck_assert_int_lt(at, x.at.input_elements - FL4__GUARD);
            ck_assert_int_eq(owner[at]++, 0);
          }
  ck_assert(x.at.q.H == 4 && x.at.k.H == 2 && x.at.v.H == 2 && x.at.v.S == 9);
  for (int64_t i = 0; i < x.at.input_elements; i++)
    ck_assert_int_eq(isnan(fl4__load(x.buffer, FL4_DTYPE_BF16, i)) != 0, !owner[i]);
  /* All but "odd" keep rows at 16 bytes. */
  const bool aligned = x.at.q.stride[2] % 8 == 0 && x.at.k.stride[2] % 8 == 0;
  ck_assert_int_eq(aligned, _i != FL4_LAYOUT_ODD);
  for (int t = 0; t < 3; t++) ck_assert_int_eq(tensors[t]->offset % 8, 0);
  free(owner);
  free(x.buffer);
}
END_TEST

START_TEST(every_layout_has_the_same_data)
{
  for (int kind = 0; kind < FL4_INPUTS_COUNT; kind++) {
    data a = make_data(layouts[0], (fl4_inputs)kind, 5), b = make_data(layouts[_i], (fl4_inputs)kind, 5);
    for (int64_t n = 0; n < 2; n++)
      for (int64_t h = 0; h < 2; h++)
        for (int64_t s = 0; s < 9; s++)
          for (int64_t d = 0; d < 16; d++) {
            ck_assert_double_eq(element(&a, &a.at.q, n, h, s, d), element(&b, &b.at.q, n, h, s, d));
            ck_assert_double_eq(element(&a, &a.at.k, n, h, s, d), element(&b, &b.at.k, n, h, s, d));
            ck_assert_double_eq(element(&a, &a.at.v, n, h, s, d), element(&b, &b.at.v, n, h, s, d));
          }
    free(a.buffer);
    free(b.buffer);
  }
}
END_TEST

START_TEST(placement_refuses)
{
  fl4__placement at;
  fl4_problem p = problem_of("hq2sq8d8:bf16"); /* not through the parser, which may refuse it first */
  p.layout = FL4_LAYOUT_PACKED, p.Sk = 9;
  ck_assert_fl4_fails(fl4__place(&p, &at), FL4_INVALID_ARGUMENT, "packed");
  p.layout = FL4_LAYOUT_BHSD, p.B = p.Hq = p.Sq = 1 << 30;
  ck_assert_fl4_fails(fl4__place(&p, &at), FL4_INVALID_ARGUMENT, "2^60");
}
END_TEST

START_TEST(normal_is_normal_and_independent)
{
  data x = make_data("hq4sq256d64:fp32", FL4_INPUTS_NORMAL, 9),
       y = make_data("hq4sq256d64:fp32", FL4_INPUTS_NORMAL, 10);
  const double n = 4 * 256 * 64;
  double sum[3] = {0}, square[3] = {0}, qk = 0, qv = 0, kv = 0, seeds = 0, neighbours = 0;
  for (int64_t h = 0; h < 4; h++)
    for (int64_t s = 0; s < 256; s++)
      for (int64_t d = 0; d < 64; d++) {
        const double e[] = {element(&x, &x.at.q, 0, h, s, d), element(&x, &x.at.k, 0, h, s, d),
                            element(&x, &x.at.v, 0, h, s, d)};
        for (int t = 0; t < 3; t++) sum[t] += e[t], square[t] += e[t] * e[t];
        qk += e[0] * e[1], qv += e[0] * e[2], kv += e[1] * e[2];
        seeds += e[0] * element(&y, &y.at.q, 0, h, s, d);
        if (d) neighbours += e[0] * element(&x, &x.at.q, 0, h, s, d - 1);
      }
  for (int t = 0; t < 3; t++) {
    ck_assert_double_eq_tol(sum[t] / n, 0, 0.02); /* 5 standard errors */
    ck_assert_double_eq_tol(square[t] / n, 1, 0.03);
  }
  const double products[] = {qk, qv, kv, seeds, neighbours};
  for (int i = 0; i < 5; i++) ck_assert_double_eq_tol(products[i] / n, 0, 0.02);
  free(x.buffer);
  free(y.buffer);
}
END_TEST

START_TEST(peaked_is_normal_with_a_larger_query)
{
  data x = make_data("hq2sq20d16", FL4_INPUTS_PEAKED, 3), y = make_data("hq2sq20d16", FL4_INPUTS_NORMAL, 3);
  for (int64_t d = 0; d < 16; d++) {
    ck_assert_double_eq(element(&x, &x.at.q, 0, 1, 19, d), 8 * element(&y, &y.at.q, 0, 1, 19, d));
    ck_assert_double_eq(element(&x, &x.at.k, 0, 1, 19, d), element(&y, &y.at.k, 0, 1, 19, d));
  }
  free(x.buffer);
  free(y.buffer);
}
END_TEST

static double ref[1 << 16], low[1 << 16];

static const char *const onehot_lines[] = {
    "b2hq4hkv2sq60sk300d8:bf16", "hq2sq200d64:causal",     "hq2sq200d128:bf16:causal",
    "hq1sq70sk40d16:causal",     "hq2sq100d64:scale=2.5",  "hq1sq50d256:fp32",
    "hq2sq100d64:window=20,3",   "b3hq2sq40sk100d64:lens", "hq2sq90d64:bias=bool"};

START_TEST(onehot_picks_one_visible_key)
{
  data x = make_data(onehot_lines[_i], FL4_INPUTS_ONEHOT, 4);
  const fl4_problem *p = &x.p;
  fl4_attention_args a = args_of(&x);
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, low, NULL));
  bool *picked = calloc((size_t)p->Sk, sizeof *picked);
  int different = 0, rows = 0;
  for (int64_t b = 0; b < p->B; b++)
    for (int64_t h = 0; h < p->Hq; h++)
      for (int64_t i = 0; i < p->Sq; i++) {
        const int64_t keys = fl4__problem_lengths(p, b).keys, diagonal = i + keys - p->Sq;
        const bool window = p->mask == FL4_MASK_WINDOW;
        const int64_t behind = diagonal + 1 + (window ? p->window_right : 0);
        const int64_t seen = p->mask && behind < keys ? behind : keys;
        int64_t best = 0;
        double first = -INFINITY, second = -INFINITY;
        for (int64_t j = window ? diagonal - p->window_left : 0; j < seen; j++) {
          if (j < 0 || (a.bias && !((const unsigned char *)a.bias)[(h * p->Sq + i) * p->Sk + j])) continue;
          const double s = score(&x, b, h, i, j);
          if (s > first)
            second = first, first = s, best = j;
          else if (s > second)
            second = s;
        }
        if (first == -INFINITY) continue; /* no key is visible */
        ck_assert_double_gt(first - second, 29.9);
        const int64_t row = (b * p->Hq + h) * p->Sq + i;
        for (int64_t d = 0; d < p->D; d++) {
          const double value = element(&x, &x.at.v, b, h / (p->Hq / p->Hkv), best, d);
          ck_assert_double_eq_tol(ref[row * p->D + d], value, 1e-9);
          ck_assert_double_eq_tol(low[row * p->D + d], value, 1e-9);
        }
        rows++;
        if (!picked[best]) different++;
        picked[best] = true;
      }
  /* Not the same few keys: at least a third of what is possible. */
  ck_assert_int_gt(3 * different, rows < p->Sk ? rows : (int)p->Sk);
  free(picked);
  free(x.buffer);
}
END_TEST

START_TEST(large_scores_are_large)
{
  for (int t = 0; t < 3; t++) {
    data x = make_data(((const char *[]){"hq1sq100d8", "hq1sq100d128:bf16", "hq1sq100d64:scale=0.01"})[t],
                       FL4_INPUTS_LARGE, 6);
    double largest = 0, square = 0;
    for (int64_t i = 0; i < 100; i++)
      for (int64_t j = 0; j < 100; j++) {
        const double s = score(&x, 0, 0, i, j);
        largest = fmax(largest, fabs(s)), square += s * s / 1e4;
      }
    ck_assert_double_eq_tol(sqrt(square), 4000, 400);
    ck_assert_double_gt(largest, 9000);
    ck_assert_double_lt(largest, 60000); /* fp16 scores must not overflow */
    free(x.buffer);
  }
}
END_TEST

START_TEST(equal_scores_are_equal)
{
  data x = make_data("b2hq4hkv2sq6sk70d32", FL4_INPUTS_EQUAL, 2);
  for (int64_t j = 1; j < 70; j++)
    for (int64_t i = 0; i < 6; i++) ck_assert_double_eq(score(&x, 1, 3, i, j), score(&x, 1, 3, i, 0));
  ck_assert_double_ne(score(&x, 1, 3, 0, 0), score(&x, 1, 3, 1, 0));
  ck_assert_double_ne(element(&x, &x.at.v, 0, 0, 0, 0), element(&x, &x.at.v, 0, 0, 1, 0));
  free(x.buffer);
}
END_TEST

START_TEST(sink_leads_by_ten)
{
  data x = make_data("hq1sq200d64:bf16", FL4_INPUTS_SINK, 2);
  double lead = 0;
  for (int64_t i = 0; i < 200; i++) {
    double mean = 0;
    for (int64_t j = 1; j < 200; j++) mean += score(&x, 0, 0, i, j) / 199;
    lead += (score(&x, 0, 0, i, 0) - mean) / 200;
  }
  ck_assert_double_eq_tol(lead, 10, 0.3);
  free(x.buffer);
}
END_TEST

START_TEST(slopes_rise_and_fall)
{
  data up = make_data("hq1sq5sk700d64:bf16", FL4_INPUTS_GROWING, 2);
  data down = make_data("hq1sq5sk700d64:bf16", FL4_INPUTS_SHRINKING, 2);
  for (int64_t i = 0; i < 5; i++) {
    for (int64_t j = 1; j < 700; j++) {
      ck_assert_double_gt(score(&up, 0, 0, i, j), score(&up, 0, 0, i, j - 1));
      ck_assert_double_lt(score(&down, 0, 0, i, j), score(&down, 0, 0, i, j - 1));
    }
    ck_assert_double_gt(score(&down, 0, 0, i, 0) - score(&down, 0, 0, i, 64), 25);
  }
  free(up.buffer);
  free(down.buffer);
}
END_TEST

static void ck_assert_same_head(const data *x, const data *y, int64_t b, int64_t h, int64_t hk)
{
  for (int64_t s = 0; s < 9; s++)
    for (int64_t d = 0; d < 16; d++) {
      ck_assert_double_eq(element(x, &x->at.q, b, h, s, d), element(y, &y->at.q, b, h, s, d));
      ck_assert_double_eq(element(x, &x->at.k, b, hk, s, d), element(y, &y->at.k, b, hk, s, d));
      ck_assert_double_eq(element(x, &x->at.v, b, hk, s, d), element(y, &y->at.v, b, hk, s, d));
    }
}

/* Query heads go with their key/value head, which are counted through the batch. */
static const char *const mixed_lines[] = {"b2hq8sq9d16", "b2hq12hkv6sq9d16", "b2hq10hkv5sq9d16", "b9hq4hkv1sq9d16",
                                          "b3hq6hkv3sq9d16:bf16:causal:packed"};
enum { N_MIXED = sizeof mixed_lines / sizeof mixed_lines[0] };

START_TEST(mixed_takes_each_kind_in_turn)
{
  static const fl4_inputs kinds[] = {FL4_INPUTS_NORMAL, FL4_INPUTS_SINK, FL4_INPUTS_GROWING, FL4_INPUTS_PEAKED};
  data x = make_data(mixed_lines[_i], FL4_INPUTS_MIXED, 8);
  for (int kind = 0; kind < 4; kind++) {
    data y = make_data(mixed_lines[_i], kinds[kind], 8);
    int heads = 0;
    for (int64_t b = 0; b < x.p.B; b++)
      for (int64_t h = 0; h < x.p.Hq; h++) {
        const int64_t hk = h / (x.p.Hq / x.p.Hkv);
        if ((b * x.p.Hkv + hk) % 4 != kind) continue;
        ck_assert_same_head(&x, &y, b, h, hk);
        heads++;
      }
    ck_assert_int_gt(heads, 0);
    free(y.buffer);
  }
  free(x.buffer);
}
END_TEST

START_TEST(inputs_have_names)
{
  ck_assert_str_eq(fl4_inputs_name(FL4_INPUTS_NORMAL), "normal");
  ck_assert_str_eq(fl4_inputs_name(FL4_INPUTS_SHRINKING), "shrinking");
  ck_assert_str_eq(fl4_inputs_name(FL4_INPUTS_MIXED), "mixed");
  for (int i = 0; i < FL4_INPUTS_COUNT; i++) ck_assert_ptr_nonnull(fl4_inputs_name((fl4_inputs)i));
  ck_assert_ptr_null(fl4_inputs_name(FL4_INPUTS_COUNT));
  ck_assert_ptr_null(fl4_inputs_name((fl4_inputs)-1));
}
END_TEST

/* ---------------------------------------------------------------- beyond dense */

/* A call on data, as the library sees it. */
typedef struct seen_call {
  fl4_attention_args args;
  fl4__problem problem;
  fl4_fwd_params params;
} seen_call;

static seen_call call_of(const data *x)
{
  seen_call c = {.args = args_of(x)};
  ck_assert_fl4(fl4__problem_from_args(&c.args, FL4__NEED_SHAPE, &c.problem, &c.params));
  return c;
}

/* Marks a row, and compares it with the dense one. */
static void take_row(const data *x, const data *dense, const fl4__tensor *t, const fl4__tensor *of, int64_t row,
                     const int64_t at[3], char *owner)
{
  for (int64_t d = 0; d < x->p.D; d++) {
    const int64_t e = t->offset + row + d;
    ck_assert(e >= FL4__GUARD && e < x->at.input_elements - FL4__GUARD && !owner[e]);
    ck_assert_double_eq((double)fl4__load(x->buffer, x->p.dtype, e), element(dense, of, at[0], at[1], at[2], d));
    owner[e] = 1;
  }
}

static void mark(const data *x, char *owner, int64_t offset, int64_t bytes)
{
  if (!offset) return;
  const int64_t n = (bytes + fl4__dtype_size(x->p.dtype) - 1) / fl4__dtype_size(x->p.dtype);
  ck_assert(offset >= FL4__GUARD && offset + n <= x->at.input_elements - FL4__GUARD);
  for (int64_t i = 0; i < n; i++) ck_assert_int_eq(owner[offset + i]++, 0);
}

static const char *const beyond[] = {
    "b5hq4hkv2sq40sk90d16:bf16:ragged",
    "b5hq4hkv2sq40sk90d16:bf16:bshd:ragged=one:lens",
    "b5hq4hkv2sq40d16:bf16:packed:ragged:lens",
    "b5hq4hkv2sq40sk90d16:fp32:odd:ragged=full",
    "b5hq4hkv2sq4sk90d16:page=8",
    "b5hq4hkv2sq4sk90d16:bf16:bshd:page=16:lens",
    "b5hq4hkv2sq40sk90d16:fp32:odd:page=32:ragged:alibi",
    "b5hq4hkv2sq4sk90d16:page=128:lens=one:sinks",
    "b5hq4hkv2sq4sk90d16:bias=bool/bj:lens",
    "b5hq4hkv2sq4sk90d16:fp32:bias=bf16:alibi:sinks",
};
enum { BEYOND = sizeof beyond / sizeof *beyond };

/* The dense problem of the same data. */
static data dense_of(const data *x, uint64_t seed)
{
  data d = {.p = x->p};
  d.p.ragged = d.p.lens = d.p.page_size = d.p.alibi = d.p.sinks = d.p.bias = d.p.bias_shared = 0;
  d.p.layout = FL4_LAYOUT_BHSD;
  ck_assert_fl4(fl4__place(&d.p, &d.at));
  d.buffer = malloc((size_t)d.at.input_elements * (size_t)fl4__dtype_size(d.p.dtype));
  ck_assert_ptr_nonnull(d.buffer);
  fl4__inputs_fill(&d.p, &d.at, seed, FL4_INPUTS_NORMAL, d.buffer);
  return d;
}

/* Rows of sequences hold the dense problem's data, wherever they lie, and all else is NaN. */
START_TEST(other_layouts_have_the_same_data)
{
  data x = make_data(beyond[_i], FL4_INPUTS_NORMAL, 3), dense = dense_of(&x, 3);
  const seen_call c = call_of(&x);
  const fl4_problem *p = &x.p;
  char *owner = calloc((size_t)x.at.input_elements, 1);
  for (int64_t b = 0; b < p->B; b++) {
    const fl4__sequence s = fl4__sequence_of(&c.problem, &c.params, b);
    const fl4__lengths l = fl4__problem_lengths(p, b);
    ck_assert(s.queries == l.queries && s.keys == l.keys);
    for (int64_t h = 0; h < p->Hq; h++)
      for (int64_t i = 0; i < s.queries; i++)
        take_row(&x, &dense, &x.at.q, &dense.at.q, fl4__query_row(&c.problem, &s, x.at.q.stride, h, i),
                 (const int64_t[]){b, h, i}, owner);
    for (int64_t h = 0; h < p->Hkv; h++)
      for (int64_t j = 0; j < s.keys; j++)
        for (int v = 0; v < 2; v++) {
          const fl4__tensor *t = v ? &x.at.v : &x.at.k;
          take_row(&x, &dense, t, v ? &dense.at.v : &dense.at.k,
                   fl4__key_row(&c.problem, &c.params, &s, t->stride, h, j), (const int64_t[]){b, h, j}, owner);
        }
  }
  const int64_t bias = p->bias ? fl4__bias_size(p->bias - 1) : 0, *n = x.at.bias_size;
  mark(&x, owner, x.at.slopes, 4 * p->Hq);
  mark(&x, owner, x.at.sinks, 4 * p->Hq);
  mark(&x, owner, x.at.bias, bias * n[0] * n[1] * n[2] * n[3]);
  mark(&x, owner, x.at.cu_q, 4 * (p->B + 1));
  mark(&x, owner, x.at.cu_k, 4 * (p->B + 1));
  mark(&x, owner, x.at.used_k, 4 * p->B);
  mark(&x, owner, x.at.table, 4 * p->B * x.at.columns);
  for (int64_t i = 0; i < x.at.input_elements; i++)
    if (!owner[i]) ck_assert_msg(isnan(fl4__load(x.buffer, p->dtype, i)), "element %d of %s", (int)i, beyond[_i]);
  free(owner);
  free(dense.buffer);
  free(x.buffer);
}
END_TEST

START_TEST(ragged_rows_are_all_there_is)
{
  data x = make_data("b7hq4hkv2sq40sk90d16:ragged:lens", FL4_INPUTS_NORMAL, 1);
  const fl4_attention_args a = args_of(&x);
  int64_t queries = 0, keys = 0;
  for (int64_t b = 0; b < 7; b++) {
    const fl4__lengths l = fl4__problem_lengths(&x.p, b);
    ck_assert_int_eq(a.cu_seqlens_q[b], queries);
    ck_assert_int_eq(a.cu_seqlens_k[b], keys);
    ck_assert_int_eq(a.seqused_k[b], l.keys);
    queries += l.queries, keys += l.room;
  }
  ck_assert(a.cu_seqlens_q[7] == queries && a.cu_seqlens_k[7] == keys);
  ck_assert(a.total_q == queries && a.total_k == keys && x.at.o.S == queries && x.at.k.S == keys);
  ck_assert(x.at.q.B == 1 && x.at.o.B == 1 && x.at.k.B == 1);
  ck_assert_int_eq(x.at.lse_elements, 4 * queries + 2 * FL4__GUARD);
  ck_assert(!a.block_table && !a.page_size);
  free(x.buffer);
}
END_TEST

/* No page belongs to two, some to nobody, and they are not in order. */
START_TEST(pages_are_dealt_out)
{
  data x = make_data("b7hq4hkv2sq4sk250d16:page=8:lens", FL4_INPUTS_NORMAL, 1 + (uint64_t)_i);
  const fl4_attention_args a = args_of(&x);
  bool *taken = calloc((size_t)a.n_pages, sizeof *taken);
  int unused = 0, rising = 0, cells = 0;
  ck_assert(a.n_pages == x.at.k.B && x.at.k.S == 8 && x.at.columns == 32 && a.page_size == 8);
  for (int64_t b = 0; b < 7; b++)
    for (int64_t c = 0; c < 32; c++) {
      const int32_t page = a.block_table[b * 32 + c];
      if (c * 8 >= a.seqused_k[b]) {
        ck_assert_int_eq(page, -1);
        continue;
      }
      ck_assert(page >= 0 && page < a.n_pages && !taken[page]);
      taken[page] = true;
      rising += c > 0 && page > a.block_table[b * 32 + c - 1], cells++;
    }
  for (int64_t i = 0; i < a.n_pages; i++) unused += !taken[i];
  ck_assert_int_ge(unused, 7 * 32 / 16);
  ck_assert_int_gt(cells, 40);
  ck_assert(rising > cells / 4 && rising < cells * 3 / 4);
  free(taken);
  free(x.buffer);
}
END_TEST

START_TEST(scores_have_data)
{
  data x = make_data("b2hq9hkv3sq30sk70d16:alibi:sinks:bias=fp16/hij", FL4_INPUTS_NORMAL, 1);
  fl4_attention_args a = args_of(&x);
  for (int h = 0; h < 9; h++) ck_assert_float_eq(a.alibi_slopes[h], ldexpf(1, -1 - h % 8));
  for (int h = 0; h < 9; h++) ck_assert(a.sinks[h] > 0.7f * 6 - 3.6f && a.sinks[h] < 0.7f * 6 + 3.6f);
  ck_assert(a.sinks[0] != a.sinks[1]);
  ck_assert(a.bias_stride[0] == 0 && a.bias_stride[1] == 2100 && a.bias_stride[2] == 70 && a.bias_stride[3] == 1);
  int hidden = 0, values = 0, rows_with_runs = 0;
  double square = 0;
  for (int row = 0; row < 270; row++) {
    int of_row = 0, first_run = 0;
    for (int j = 0; j < 70; j++) {
      const float value = fl4__load(a.bias, FL4_DTYPE_FP16, row * 70 + j);
      ck_assert(value == -INFINITY || fabsf(value) < 3.6f);
      of_row += value == -INFINITY, first_run += j < 48 && value == -INFINITY;
      if (value != -INFINITY) square += (double)value * (double)value, values++;
    }
    const bool runs = of_row >= 22; /* keys 48 to 69, or more */
    rows_with_runs += runs;
    if (runs) ck_assert(first_run == 48 || of_row - first_run == 22);
    if (!runs) hidden += of_row;
  }
  ck_assert_int_gt(rows_with_runs, 30);
  ck_assert_int_lt(rows_with_runs, 75);
  ck_assert_double_eq_tol(hidden / (70. * (270 - rows_with_runs)), 0.125, 0.012);
  ck_assert_double_eq_tol(square / values, 1, 0.05);
  free(x.buffer);

  x = make_data("b3hq4sq30sk700d16:bias=bool/bj", FL4_INPUTS_NORMAL, 1), a = args_of(&x);
  ck_assert(a.bias_stride[0] == 700 && a.bias_stride[1] == 0 && a.bias_stride[2] == 0 && a.bias_stride[3] == 1);
  hidden = 0;
  for (int i = 0; i < 2100; i++) hidden += ((const unsigned char *)a.bias)[i] == 0;
  ck_assert(hidden > 2100 * 0.2 && hidden < 2100 * 0.7); /* 0.25, or of a row with runs about 0.6 */
  free(x.buffer);
}
END_TEST

/* What the oracle makes of data does not depend on where they lie. */
START_TEST(results_are_those_of_dense_data)
{
  static const char *const lines[][2] = {
      {"b2hq4hkv2sq9sk40d16:window=5,3", "b2hq4hkv2sq9sk40d16:window=5,3:page=16"},
      {"b2hq4hkv2sq9sk40d16:causal", "b2hq4hkv2sq9sk40d16:causal:ragged=full"},
      {"b2hq4hkv2sq9d16:sinks", "b2hq4hkv2sq9d16:sinks:ragged=full:packed:lens=full"},
      {"b4hq4hkv2sq9sk40d16:lens:softcap=5", "b4hq4hkv2sq9sk40d16:lens:softcap=5:page=8:bshd"},
      {"b4hq4hkv2sq9sk40d16:alibi:ragged", "b4hq4hkv2sq9sk40d16:alibi:ragged:page=8"},
  };
  data x = make_data(lines[_i][0], FL4_INPUTS_NORMAL, 1), y = make_data(lines[_i][1], FL4_INPUTS_NORMAL, 1);
  static double a[4 * 4 * 9 * 16], b[4 * 4 * 9 * 16], lse_a[4 * 4 * 9], lse_b[4 * 4 * 9];
  const fl4_attention_args of_x = args_of(&x), of_y = args_of(&y);
  ck_assert_fl4(fl4_oracle_fp64(&of_x, NULL, 0, a, NULL, lse_a));
  ck_assert_fl4(fl4_oracle_fp64(&of_y, NULL, 0, b, NULL, lse_b));
  const size_t rows = (size_t)(x.p.B * 4 * 9);
  ck_assert_mem_eq(a, b, rows * 16 * sizeof *a);
  ck_assert_mem_eq(lse_a, lse_b, rows * sizeof *lse_a);
  bool some = false;
  for (size_t i = 0; i < rows * 16; i++) some |= a[i] != 0;
  ck_assert(some);
  free(x.buffer);
  free(y.buffer);
}
END_TEST

/* ---------------------------------------------------------------- canaries */

START_TEST(canary_is_nan_in_every_dtype)
{
  float buffer[3];
  fl4__canary_fill(buffer, sizeof buffer);
  for (int i = 0; i < 3; i++)
    ck_assert(isnan(fl4__load(buffer, dtypes[i], 0)) && isnan(fl4__load(buffer, dtypes[i], 1)));
  char odd[5] = {0};
  fl4__canary_fill(odd, 5);
  ck_assert_int_ne(odd[4], 0);
}
END_TEST

START_TEST(canaries_find_every_stray_write)
{
  const int dtype = dtypes[_i];
  for (int layout = 0; layout < 4; layout++) {
    fl4_problem p = problem_of("b2hq3hkv1sq5d8:lse");
    p.layout = layout, p.dtype = dtype;
    fl4__placement at;
    ck_assert_fl4(fl4__place(&p, &at));
    const size_t size = (size_t)fl4__dtype_size(dtype);
    char *buffer = malloc((size_t)at.output_elements * size);
    bool *inside = calloc((size_t)at.output_elements, sizeof *inside);
    fl4__canary_fill(buffer, (size_t)at.output_elements * size);
    for (int64_t r = 0; r < 2 * 3 * 5; r++)
      for (int64_t d = 0; d < 8; d++) {
        const int64_t to = at.o.offset + r / 15 * at.o.stride[0] + r / 5 % 3 * at.o.stride[1] + r % 5 * at.o.stride[2] +
                           d;
        fl4__store(buffer, dtype, to, 1);
        inside[to] = true;
      }
    ck_assert_int_eq(fl4__canary_check_output(&p, &at, buffer), -1);
    for (int64_t i = 0; i < at.output_elements; i++) {
      char saved[4];
      memcpy(saved, buffer + (size_t)i * size, size);
      fl4__store(buffer, dtype, i, 0);
      ck_assert_int_eq(fl4__canary_check_output(&p, &at, buffer), inside[i] ? -1 : i);
      memcpy(buffer + (size_t)i * size, saved, size);
    }
    free(inside);
    free(buffer);
  }
}
END_TEST

START_TEST(canaries_guard_the_lse)
{
  fl4_problem p = problem_of("b2hq3sq5d8:lse");
  fl4__placement at;
  ck_assert_fl4(fl4__place(&p, &at));
  ck_assert_int_eq(at.lse_elements, 2 * 3 * 5 + 2 * FL4__GUARD);
  float *buffer = malloc((size_t)at.lse_elements * sizeof *buffer);
  fl4__canary_fill(buffer, (size_t)at.lse_elements * sizeof *buffer);
  for (int i = 0; i < 30; i++) buffer[at.lse_offset + i] = 0;
  ck_assert_int_eq(fl4__canary_check_lse(&p, &at, buffer), -1);
  p.lse = 0; /* then all of it is out of bounds */
  ck_assert_int_eq(fl4__canary_check_lse(&p, &at, buffer), at.lse_offset);
  p.lse = 1, buffer[at.lse_offset + 30] = 0;
  ck_assert_int_eq(fl4__canary_check_lse(&p, &at, buffer), at.lse_offset + 30);
  buffer[at.lse_offset - 1] = 0;
  ck_assert_int_eq(fl4__canary_check_lse(&p, &at, buffer), at.lse_offset - 1);
  free(buffer);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("inputs");
  TCase *t = tcase_create("inputs");
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, tensors_lie_apart_in_nan, 0, 4);
  tcase_add_loop_test(t, every_layout_has_the_same_data, 1, 4);
  tcase_add_test(t, placement_refuses);
  tcase_add_test(t, normal_is_normal_and_independent);
  tcase_add_test(t, peaked_is_normal_with_a_larger_query);
  tcase_add_loop_test(t, onehot_picks_one_visible_key, 0, 9);
  tcase_add_test(t, large_scores_are_large);
  tcase_add_test(t, equal_scores_are_equal);
  tcase_add_test(t, sink_leads_by_ten);
  tcase_add_test(t, slopes_rise_and_fall);
  tcase_add_loop_test(t, mixed_takes_each_kind_in_turn, 0, N_MIXED);
  tcase_add_test(t, inputs_have_names);
  suite_add_tcase(s, t);

  t = tcase_create("beyond dense");
  tcase_add_loop_test(t, other_layouts_have_the_same_data, 0, BEYOND);
  tcase_add_test(t, ragged_rows_are_all_there_is);
  tcase_add_loop_test(t, pages_are_dealt_out, 0, 5);
  tcase_add_test(t, scores_have_data);
  tcase_add_loop_test(t, results_are_those_of_dense_data, 0, 5);
  suite_add_tcase(s, t);

  t = tcase_create("canaries");
  tcase_add_test(t, canary_is_nan_in_every_dtype);
  tcase_add_loop_test(t, canaries_find_every_stray_write, 0, 3);
  tcase_add_test(t, canaries_guard_the_lse);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)
