/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors anywhere in the GPU's memory. Calls on them must give the same bits as the one on contiguous tensors, whose result
 * test_gpu_parity judges, and the library must find a family that takes them.
 */
#include "ahead.h"

/* ---------------------------------------------------------------- tensors anywhere */

enum { GAP = 512 }; /* elements before and behind each tensor */

/* Sizes in the order batch, head, row. */
typedef struct sizes {
  int64_t n[3];
} sizes;

/* How the dimensions lie, outermost first; elements between two of each; bits of those that are broadcast, by stride 0. */
typedef struct layout {
  const char *name;
  int order[3];
  int64_t apart[3]; /* by dimension: batch, head, row */
  int q_alike, kv_alike;
} layout;

enum { BATCH = 1, HEAD = 2, ROW = 4 };

static const layout layouts[] = {
    {"as it is", {0, 1, 2}, {0, 0, 0}, 0, 0},
    {"rows apart", {0, 1, 2}, {0, 0, 8}, 0, 0},
    {"heads apart", {0, 1, 2}, {0, 24, 0}, 0, 0},
    {"batches apart", {0, 1, 2}, {1000, 0, 0}, 0, 0},
    {"all apart", {0, 1, 2}, {64, 8, 40}, 0, 0},
    {"rows of heads", {0, 2, 1}, {0, 0, 0}, 0, 0},
    {"rows of heads, apart", {0, 2, 1}, {16, 8, 72}, 0, 0},
    {"rows of batches of heads", {2, 0, 1}, {0, 0, 0}, 0, 0},
    {"rows of heads of batches", {2, 1, 0}, {8, 0, 0}, 0, 0},
    {"heads of batches", {1, 0, 2}, {0, 8, 0}, 0, 0},
    {"heads of rows of batches", {1, 2, 0}, {0, 0, 8}, 0, 0},
    {"batches share keys", {0, 1, 2}, {0, 0, 0}, 0, BATCH},
    {"heads share keys", {0, 1, 2}, {0, 0, 8}, 0, HEAD},
    {"all share keys", {0, 2, 1}, {0, 0, 0}, 0, BATCH | HEAD},
    {"all keys alike", {0, 1, 2}, {0, 0, 0}, 0, ROW},
    {"batches share queries", {0, 1, 2}, {0, 8, 0}, BATCH, 0},
    {"heads share queries and keys", {0, 1, 2}, {0, 0, 0}, BATCH | HEAD, HEAD},
    {"rows not aligned", {0, 1, 2}, {0, 0, 4}, 0, 0},
    {"heads not aligned", {0, 1, 2}, {0, 1, 0}, 0, 0},
};
enum { N_LAYOUTS = sizeof layouts / sizeof *layouts };

static bool is_aligned(const layout *l)
{
  return l->apart[0] % 8 == 0 && l->apart[1] % 8 == 0 && l->apart[2] % 8 == 0;
}

/* Sets the strides; the elements from the first to the last. */
static int64_t lay_out(const layout *l, int alike, sizes s, int64_t D, int64_t stride[3])
{
  int64_t below = D, extent = D;
  for (int i = 2; i >= 0; i--) {
    const int dimension = l->order[i];
    const bool same = alike >> dimension & 1;
    stride[dimension] = same ? 0 : below + l->apart[dimension];
    if (same) continue;
    extent += (s.n[dimension] - 1) * stride[dimension];
    below = s.n[dimension] * stride[dimension];
  }
  return extent;
}

typedef struct tensor {
  char *memory, *first; /* the allocation; element 0 */
  int64_t elements;     /* of the allocation */
  int64_t stride[3];
  sizes s;
} tensor;

/* Filled with NaN. */
static tensor make_tensor(const layout *l, int alike, sizes s, int64_t D, int element)
{
  tensor t = {.s = s};
  t.elements = lay_out(l, alike, s, D, t.stride) + 2 * GAP;
  ck_assert_cuda(cudaMalloc((void **)&t.memory, (size_t)t.elements * (size_t)element));
  ck_assert_cuda(cudaMemset(t.memory, 0xff, (size_t)t.elements * (size_t)element));
  t.first = t.memory + GAP * element;
  return t;
}

/* Row by row; `alike`: dimensions of which only the first is read, for all. */
static void copy_rows(char *to, const int64_t to_stride[3], const char *from, const int64_t from_stride[3], sizes s,
                      int alike, size_t bytes, int element)
{
  for (int64_t b = 0; b < s.n[0]; b++)
    for (int64_t h = 0; h < s.n[1]; h++)
      for (int64_t i = 0; i < s.n[2]; i++) {
        const int64_t read[3] = {alike & BATCH ? 0 : b, alike & HEAD ? 0 : h, alike & ROW ? 0 : i};
        const int64_t at = b * to_stride[0] + h * to_stride[1] + i * to_stride[2];
        const int64_t source = read[0] * from_stride[0] + read[1] * from_stride[1] + read[2] * from_stride[2];
        char *const there = to + at * element;
        const char *const here = from + source * element;
        if (there != here) ck_assert_cuda(cudaMemcpyAsync(there, here, bytes, cudaMemcpyDeviceToDevice, NULL));
      }
}

/* The plain tensor with what is alike made so, and the same in another layout. */
static tensor scatter(const layout *l, int alike, sizes s, int64_t D, const void *plain, const int64_t stride[3])
{
  tensor t = make_tensor(l, alike, s, D, 2);
  copy_rows((char *)(uintptr_t)plain, stride, plain, stride, s, alike, (size_t)D * 2, 2);
  copy_rows(t.first, t.stride, plain, stride, s, 0, (size_t)D * 2, 2);
  return t;
}

/* Takes the rows out of `t` and sees to it that the rest is still NaN. */
static void gather(tensor *t, void *plain, const int64_t stride[3], size_t bytes, int element)
{
  const size_t all = (size_t)t->elements * (size_t)element;
  copy_rows(plain, stride, t->first, t->stride, t->s, 0, bytes, element);
  for (int64_t b = 0; b < t->s.n[0]; b++)
    for (int64_t h = 0; h < t->s.n[1]; h++)
      for (int64_t i = 0; i < t->s.n[2]; i++)
        ck_assert_cuda(cudaMemsetAsync(t->first + (b * t->stride[0] + h * t->stride[1] + i * t->stride[2]) * element,
                                       0xff, bytes, NULL));
  unsigned char *rest = malloc(all);
  ck_assert_ptr_nonnull(rest);
  ck_assert_cuda(cudaMemcpy(rest, t->memory, all, cudaMemcpyDeviceToHost));
  for (size_t i = 0; i < all; i++) ck_assert_msg(rest[i] == 0xff, "byte %zu of %zu was written", i, all);
  free(rest);
}

/* The call in this layout must say and write what the plain one does. */
static void check_layout(fl4_context *ctx, const layout *l, const char *line)
{
  gpu_call c = make_call(line, 21);
  const fl4_problem *p = &c.problem;
  const sizes q = {{p->B, p->Hq, p->Sq}}, kv = {{p->B, p->Hkv, p->Sk}};
  fl4_attention_args a = c.args;
  tensor t[] = {
      scatter(l, l->q_alike, q, p->D, a.q, a.q_stride),
      scatter(l, l->kv_alike, kv, p->D, a.k, a.k_stride),
      scatter(l, l->kv_alike, kv, p->D, a.v, a.v_stride),
      make_tensor(l, 0, q, p->D, 2),
      make_tensor(l, 0, q, 1, 4),
  };
  a.q = t[0].first, a.k = t[1].first, a.v = t[2].first, a.o = t[3].first, a.lse = (float *)t[4].first;
  memcpy(a.q_stride, t[0].stride, sizeof a.q_stride);
  memcpy(a.k_stride, t[1].stride, sizeof a.k_stride);
  memcpy(a.v_stride, t[2].stride, sizeof a.v_stride);
  memcpy(a.o_stride, t[3].stride, sizeof a.o_stride);
  memcpy(a.lse_stride, t[4].stride, sizeof a.lse_stride);
  fl4_plan_info info = FL4_PLAN_INFO_INIT;
  ck_assert_fl4(fl4_attention_plan_info(ctx, &a, &info));
  ck_assert_int_eq(info.aligned, is_aligned(l));
  ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
  ck_assert_cuda(cudaDeviceSynchronize());

  /* The plain call by the same kernel: choices do not look at strides, but for alignment and what comes of it. */
  fl4_plan_info plain = FL4_PLAN_INFO_INIT;
  ck_assert_fl4(fl4_attention_plan_info(ctx, &c.args, &plain));
  fl4_context *same = ctx;
  if (strcmp(plain.variant, info.variant) != 0) same = open_variant(info.variant, 0);
  size_t bytes;
  ck_assert_fl4(fl4_attention_forward(same, &c.args, NULL));
  unsigned char *expected = results_of(&c, &bytes);
  const int64_t lse_stride[3] = {p->Hq * p->Sq, p->Sq, 1};
  gather(&t[3], c.args.o, c.args.o_stride, (size_t)p->D * 2, 2);
  gather(&t[4], c.args.lse, lse_stride, 4, 4);
  unsigned char *found = results_of(&c, &bytes);
  for (size_t i = 0; i < bytes; i++)
    ck_assert_msg(found[i] == expected[i], "%s, %s, %s: byte %zu of %zu is another", l->name, line, info.variant, i,
                  bytes);

  if (same != ctx) fl4_context_destroy(&same);
  for (int i = 0; i < 5; i++) cudaFree(t[i].memory);
  free(expected);
  free(found);
  free_call(&c);
}

static const char *const layout_lines[] = {"b2hq4hkv2sq75sk150d64:lse", "b2hq2sq90sk40d136:bf16:causal:lse"};

/* The library must take all of them, whatever the copy engine of sm_90 thinks of a stride of 0. */
START_TEST(any_layout)
{
  fl4_context *ctx = open_context(0);
  for (int i = 0; i < N_LAYOUTS; i++)
    for (int l = 0; l < 2; l++) check_layout(ctx, &layouts[i], layout_lines[l]);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(any_layout_by_fwd_mma)
{
  fl4_context *ctx = open_variant("fwd_mma", 0);
  for (int i = 0; i < N_LAYOUTS; i++) check_layout(ctx, &layouts[i], layout_lines[i % 2]);
  fl4_context_destroy(&ctx);
}
END_TEST

/* Asked for by name fwd_wgmma takes a layout or refuses it with its reason; it does not fail at the launch. */
START_TEST(any_layout_by_fwd_wgmma)
{
  fl4_context *ctx = open_variant("fwd_wgmma", 0);
  for (int i = 0; i < N_LAYOUTS; i++) {
    const layout *l = &layouts[i];
    const sizes q = {{2, 4, 75}}, kv = {{2, 4, 75}};
    gpu_call c = make_call("b2hq4sq75d64", 21);
    lay_out(l, l->q_alike, q, 64, c.args.q_stride);
    lay_out(l, l->kv_alike, kv, 64, c.args.k_stride);
    lay_out(l, l->kv_alike, kv, 64, c.args.v_stride);
    fl4_plan_info info = FL4_PLAN_INFO_INIT;
    const fl4_status status = fl4_attention_plan_info(ctx, &c.args, &info);
    if (status == FL4_UNSUPPORTED)
      printf("# %s: %s\n", l->name, fl4_last_error());
    else
      check_layout(ctx, l, layout_lines[i % 2]);
    ck_assert_msg(status == (is_aligned(l) ? status : FL4_UNSUPPORTED), "%s: is taken, and not aligned", l->name);
    if (!l->q_alike && !l->kv_alike && is_aligned(l))
      ck_assert_msg(status == FL4_OK, "%s: %s", l->name, fl4_last_error());
    free_call(&c);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

/* Rows a quarter of a gigabyte apart, so that the last lies beyond 2^32 bytes and 2^31 elements. */
START_TEST(far_rows)
{
  static const char line[] = "b1hq2sq24d64:lse";
  enum { FAR = 1 << 27 };
  fl4_context *ctx = open_variant(_i < gpu_families_count() ? gpu_families[_i] : NULL, 0);
  gpu_call c = make_call(line, 22);
  size_t bytes;
  ck_assert_fl4(fl4_attention_forward(ctx, &c.args, NULL));
  unsigned char *expected = results_of(&c, &bytes);
  ck_assert_cuda(cudaMemset(c.args.o, 0xff, 2 * 24 * 64 * 2));

  const int64_t stride[3] = {(int64_t)24 * FAR, 1024, FAR};
  char *far;
  ck_assert_cuda(cudaMalloc((void **)&far, (size_t)24 * FAR * 2));
  const sizes s = {{1, 2, 24}};
  const void *from[3] = {c.args.q, c.args.k, c.args.v};
  fl4_attention_args a = c.args;
  for (int i = 0; i < 3; i++) copy_rows(far + i * 128, stride, from[i], a.q_stride, s, 0, 128, 2);
  a.q = far, a.k = far + 128, a.v = far + 256, a.o = far + 384;
  memcpy(a.q_stride, stride, sizeof stride);
  memcpy(a.k_stride, stride, sizeof stride);
  memcpy(a.v_stride, stride, sizeof stride);
  memcpy(a.o_stride, stride, sizeof stride);
  ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
  copy_rows(c.args.o, c.args.o_stride, far + 384, stride, s, 0, 128, 2);
  ck_assert_cuda(cudaDeviceSynchronize());
  unsigned char *found = results_of(&c, &bytes);
  ck_assert_mem_eq(found, expected, bytes);
  free(found);
  free(expected);
  cudaFree(far);
  free_call(&c);
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- who takes a call, and why */

static char log_text[4096];

static void keep_log(void *user, fl4_log_level level, const char *message)
{
  (void)user, (void)level;
  const size_t length = strlen(log_text);
  snprintf(log_text + length, sizeof log_text - length, "%s\n", message);
}

/* The family, by plan info; the reason, in the log when the kernel is built. */
static void check_family(const fl4_attention_args *args, const char *family, const char *reason)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "cuda", options.log = keep_log, options.log_level = FL4_LOG_INFO;
  fl4_context *ctx;
  fl4_plan_info info = FL4_PLAN_INFO_INIT;
  log_text[0] = '\0';
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  ck_assert_fl4(fl4_attention_plan_info(ctx, args, &info));
  ck_assert_msg(strncmp(info.variant, family, strlen(family)) == 0, "%s runs, must be %s", info.variant, family);
  ck_assert_msg(!reason || strstr(log_text, reason), "the log does not say \"%s\":\n%s", reason, log_text);
  ck_assert_msg(reason || !strstr(log_text, "; fwd_mma runs"), "the log gives a reason: %s", log_text);
  fl4_context_destroy(&ctx);
}

START_TEST(family_is_told)
{
  static const int64_t far = (int64_t)1 << 39;
  gpu_call c = make_call("b2hq2sq64d64", 1);
  fl4_attention_args a = c.args;
  check_family(&a, "fwd_wgmma:groups=", NULL);
  a.q = (const char *)a.q + 2;
  check_family(&a, "fwd_mma:bm=", "fwd_wgmma: rows are not aligned");
  a = c.args, a.o_stride[1] += 4, a.o_stride[0] += 8;
  check_family(&a, "fwd_mma:bm=", "fwd_wgmma: rows are not aligned");
  a = c.args, a.Sk = 0;
  check_family(&a, "fwd_mma:bm=", "fwd_wgmma: there are no keys");
  a = c.args, a.k_stride[0] = far; /* 2^40 bytes; nothing is read there */
  check_family(&a, "fwd_mma:bm=", "fwd_wgmma: rows are not aligned");
  a.k_stride[0] = far - 8;
  check_family(&a, "fwd_wgmma:groups=", NULL);
  a = c.args, a.B = 1, a.k_stride[0] = far + 1; /* of one batch nobody takes a step */
  check_family(&a, "fwd_wgmma:groups=", NULL);
  free_call(&c);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("gpu_layouts");
  TCase *t = tcase_create("layouts");
  tcase_add_unchecked_fixture(t, share_cache, unshare_cache);
  tcase_add_test(t, any_layout);
  tcase_add_test(t, any_layout_by_fwd_mma);
  if (on_hopper()) tcase_add_test(t, any_layout_by_fwd_wgmma);
  tcase_add_loop_test(t, far_rows, 0, gpu_families_count());
  if (on_hopper()) tcase_add_test(t, family_is_told);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_CUDA(suite)
