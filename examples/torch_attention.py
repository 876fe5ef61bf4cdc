# SPDX-License-Identifier: Apache-2.0
"""flashl4 on torch tensors, beside torch's own attention. Exit status 77: torch 2 is not there.

Run it with python/ on PYTHONPATH; on a GPU it uses the current stream, without one the host device.
"""
import sys

try:
    import torch
    from torch.nn.functional import scaled_dot_product_attention as sdpa
except ImportError as error:
    print(f"torch 2 is not installed: {error}")
    sys.exit(77)

import flashl4


def main():
    gpu = torch.cuda.is_available() and any(d.kind == "cuda" for d in flashl4.devices())
    device = "cuda" if gpu else "cpu"
    B, Hq, Hkv, S, D = (2, 16, 4, 2048, 128) if gpu else (1, 4, 2, 256, 64)
    torch.manual_seed(1)
    # Tensors as projections write them, [B, S, H, D]; attention takes them as [B, H, S, D], by stride.
    q, k, v = (torch.randn(B, S, H, D, device=device).to(torch.bfloat16).transpose(1, 2) for H in (Hq, Hkv, Hkv))

    with flashl4.Context("cuda:0" if gpu else "host") as ctx:
        out, lse = ctx.forward(q, k, v, causal=True, lse=True)
        print(f"flashl4 {flashl4.version()} on {ctx.device.name}: {ctx.plan(q, k, v, causal=True).variant}")

    k, v = (t.repeat_interleave(Hq // Hkv, dim=1) for t in (k, v))
    exact = sdpa(q.double(), k.double(), v.double(), is_causal=True)
    error = (out - exact).abs().max().item()
    torch_error = (sdpa(q, k, v, is_causal=True) - exact).abs().max().item()
    allowed = 2 * torch_error + torch.finfo(torch.bfloat16).eps * exact.abs().max().item()
    scores = (q.double() @ k.double().transpose(-1, -2)) / D**0.5
    scores.masked_fill_(torch.ones(S, S, device=device).triu(1).bool(), float("-inf"))
    lse_error = (lse - scores.logsumexp(-1)).abs().max().item()
    print(f"error against fp64: {error:.2e}, torch's own: {torch_error:.2e}, allowed: {allowed:.2e}; LSE: {lse_error:.1e}")
    return 0 if error <= allowed and lse_error <= 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
