# SPDX-License-Identifier: Apache-2.0
"""What serving needs beside attention: partial results put together, new keys and values into a cache."""
import ctypes

from . import _api
from ._common import choice
from ._features import Features
from ._tensors import Tensor, as_tensor, contiguous, outer_strides


def _described(tensors, here, written=()):
    """Name → tensor of those that are not None, all of one dtype but the fp32 ones named *lse."""
    out = {name: as_tensor(name, value, name in written) for name, value in tensors.items() if value is not None}
    for name, tensor in out.items():
        if tensor.device != here:
            raise ValueError(f"{name}: is on {tensor.device}, the context is on {here}")
    return out


def _check(name, tensor, shape, dtype):
    if tensor.shape != shape:
        raise ValueError(f"{name}: shape is {list(tensor.shape)}, must be {list(shape)}")
    if tensor.dtype != dtype:
        raise TypeError(f"{name}: dtype is {tensor.dtype}, must be {dtype}")


def _batched(tensor, rank):
    """Without a batch dimension, as ragged tensors are: a batch of one."""
    if len(tensor.shape) == rank:
        return tensor
    shape, strides = (1, *tensor.shape), (0, *tensor.strides)
    return Tensor(tensor.pointer, shape, tensor.dtype, strides, tensor.device, tensor)


def merge_args(parts, parts_lse, out, lse, here):
    """The C arguments of a merge, and what they point to."""
    if not isinstance(parts, (list, tuple)) or not isinstance(parts_lse, (list, tuple)) or not parts:
        raise TypeError("parts, parts_lse: must be lists of tensors, one a part")
    if len(parts) != len(parts_lse):
        raise ValueError(f"parts_lse: has {len(parts_lse)} tensors, must have {len(parts)}, one a part")
    named = {f"parts[{i}]": t for i, t in enumerate(parts)} | {f"parts_lse[{i}]": t for i, t in enumerate(parts_lse)}
    t = _described({**named, "out": out, "lse": lse}, here, ("out", "lse"))
    rank = len(t["out"].shape)
    if rank not in (3, 4):
        raise ValueError(f"out: has {rank} dimensions, must have 4, or 3 if it is ragged")
    shape, dtype = t["out"].shape, t["parts[0]"].dtype
    if t["out"].dtype not in _api.DTYPES or dtype not in (t["out"].dtype, "float32"):
        raise TypeError(f"parts[0]: dtype is {dtype}, must be float32 or that of out, {t['out'].dtype}")
    for name, tensor in t.items():
        if name != "out":
            is_lse = "lse" in name
            _check(name, tensor, shape[:-1] if is_lse else shape, "float32" if is_lse else dtype)
    t = {name: _batched(tensor, 3 if "lse" in name else 4) for name, tensor in t.items()}
    n, (B, Hq, Sq, D) = len(parts), t["out"].shape
    strides = {name: outer_strides(name, tensor, len(tensor.shape)) for name, tensor in t.items()}
    for i in range(1, n):
        for name in ("parts", "parts_lse"):
            if strides[f"{name}[{i}]"] != strides[f"{name}[0]"]:
                raise ValueError(f"{name}[{i}]: strides are not those of {name}[0]")
    addresses = ctypes.c_void_p * n
    args = _api.MergeStatesArgs(
        dtype=_api.DTYPES.index(t["out"].dtype), parts_fp32=int(dtype != t["out"].dtype), n=n, B=B, Hq=Hq, Sq=Sq, D=D,
        parts_list=addresses(*(t[f"parts[{i}]"].pointer for i in range(n))),
        parts_lse_list=addresses(*(t[f"parts_lse[{i}]"].pointer for i in range(n))), o=t["out"].pointer,
    )  # fmt: skip
    args.parts_stride[1:] = strides["parts[0]"]
    args.parts_lse_stride[1:] = strides["parts_lse[0]"]
    args.o_stride[:] = strides["out"]
    if "lse" in t:
        args.lse, args.lse_stride[:] = t["lse"].pointer, strides["lse"]
    return args


def append_args(k_new, v_new, k, v, here, *, seqused_k=None, seqused_k_after=None, cu_seqlens_new=None, max_new=None,
                block_table=None, max_k=None, q=None, q_out=None, rotary="none", cos=None, sin=None):  # fmt: skip
    """The C arguments of an append."""
    # New rows are ragged as queries are, and the cache is dense or paged as keys are.
    lengths = Features(cu_seqlens_q=cu_seqlens_new, max_q=max_new, block_table=block_table, max_k=max_k)
    written = ("k", "v", "q_out", "seqused_k_after")
    t = _described({"k_new": k_new, "v_new": v_new, "k": k, "v": v, "q": q, "q_out": q_out}, here, written)
    for name, tensor in t.items():
        rank = 3 if cu_seqlens_new is not None and name not in ("k", "v") else 4
        if len(tensor.shape) != rank:
            raise ValueError(f"{name}: has {len(tensor.shape)} dimensions, must have {rank}")
    t = {name: _batched(tensor, 4) for name, tensor in t.items()}
    (n, Hkv, rows, D), cache = t["k_new"].shape, t["k"].shape
    names = {"cu_seqlens_q": "cu_seqlens_new", "max_q": "max_new", "cu_seqlens_k": "pages"}
    try:
        B, Sn, Sk = lengths.sizes(t["k_new"].shape, cache, here)
    except (TypeError, ValueError) as error:
        text = str(error)
        for other, mine in names.items():
            text = text.replace(other, mine)
        raise type(error)(text) from None
    Hq = t["q"].shape[1] if q is not None else 0
    first = cache[0] if block_table is not None else B
    dtype = t["k_new"].dtype
    shapes = {"v_new": (n, Hkv, rows, D), "k": (first, Hkv, cache[2], D), "q": (n, Hq, rows, D)}
    for name, tensor in t.items():
        _check(name, tensor, shapes.get({"v": "k", "q_out": "q"}.get(name, name), tensor.shape), dtype)
    args = _api.KvAppendArgs(
        dtype=_api.DTYPES.index(dtype), rotary=choice("rotary", rotary, _api.ROTARIES), B=B, Hq=Hq, Hkv=Hkv, Sn=Sn, Sk=Sk, D=D,
        total_new=rows if cu_seqlens_new is not None else 0,
    )  # fmt: skip
    for name, tensor in t.items():
        setattr(args, name, tensor.pointer)
        getattr(args, f"{name}_stride")[:] = outer_strides(name, tensor, 4)
    _fill_lengths(args, here, B, seqused_k, seqused_k_after, cu_seqlens_new, block_table, cache)
    _fill_rotary(args, here, cos, sin)
    return args


def _whole(name, value, here, shape, dtype, written=False):
    """A contiguous tensor of a shape; None in it stands for any size."""
    tensor = as_tensor(name, value, written, dtypes=(dtype,))
    if tensor.device != here:
        raise ValueError(f"{name}: is on {tensor.device}, the context is on {here}")
    good = len(tensor.shape) == len(shape) and all(m in (None, n) for n, m in zip(tensor.shape, shape))
    if not good:
        raise ValueError(f"{name}: shape is {list(tensor.shape)}, must be {['any' if n is None else n for n in shape]}")
    if any(n > 1 and s != c for n, s, c in zip(tensor.shape, tensor.strides, contiguous(tensor.shape))):
        raise ValueError(f"{name}: strides are {list(tensor.strides)}, must be contiguous")
    return tensor


def _fill_lengths(args, here, B, used, after, cu, block_table, cache):
    if used is not None:
        args.seqused_k = _whole("seqused_k", used, here, (B,), "int32").pointer
    if after is not None:
        args.seqused_k_after = _whole("seqused_k_after", after, here, (B,), "int32", True).pointer
    if cu is not None:
        args.cu_seqlens_new = _whole("cu_seqlens_new", cu, here, (B + 1,), "int32").pointer
    if block_table is not None:
        table = as_tensor("block_table", block_table, dtypes=("int32",))
        args.block_table, args.block_table_stride = table.pointer, table.strides[0]
        args.n_pages, args.page_size = cache[0], cache[2]


def _fill_rotary(args, here, cos, sin):
    if (cos is None) != (sin is None) or (cos is None) != (args.rotary == 0):
        raise ValueError("rotary, cos, sin: must all be given, or none of them")
    if cos is None:
        return
    cos = _whole("cos", cos, here, (None, None), "float32")
    args.rotary_cos, args.rotary_sin = cos.pointer, _whole("sin", sin, here, cos.shape, "float32").pointer
    args.max_position, args.rotary_dim = cos.shape[0], 2 * cos.shape[1]
