/* SPDX-License-Identifier: Apache-2.0 */
/* Attention on the CPU: the smallest complete program. */
#include <flashl4/flashl4.h>
#include <stdio.h>

enum { B = 1, H = 2, S = 64, D = 32 };
static float q[B][H][S][D], k[B][H][S][D], v[B][H][S][D], o[B][H][S][D];

int main(void)
{
  for (int h = 0; h < H; h++)
    for (int s = 0; s < S; s++)
      for (int d = 0; d < D; d++) {
        q[0][h][s][d] = (float)((s + d) % 7) / 7;
        k[0][h][s][d] = (float)((s * d) % 5) / 5;
        v[0][h][s][d] = (float)(s + h) + (float)d / D;
      }

  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host";
  fl4_context *ctx;
  if (fl4_context_create(&ctx, &options) != FL4_OK) {
    fprintf(stderr, "%s\n", fl4_last_error());
    return 1;
  }

  fl4_attention_args args = FL4_ATTENTION_ARGS_INIT; /* strides 0: contiguous in [B][H][S][D] */
  args.dtype = FL4_DTYPE_FP32, args.mask = FL4_MASK_CAUSAL;
  args.B = B, args.Hq = H, args.Hkv = H, args.Sq = S, args.Sk = S, args.D = D;
  args.q = q, args.k = k, args.v = v, args.o = o;
  fl4_status status = fl4_attention_forward(ctx, &args, NULL);
  if (status != FL4_OK) fprintf(stderr, "%s\n", fl4_last_error());
  fl4_context_destroy(&ctx);
  if (status != FL4_OK) return 1;

  /* The first query sees the first key only, so its output is the first value. */
  printf("o[0][1][0][2] = %g, v[0][1][0][2] = %g\n", (double)o[0][1][0][2], (double)v[0][1][0][2]);
  return o[0][1][0][2] == v[0][1][0][2] ? 0 : 1;
}
