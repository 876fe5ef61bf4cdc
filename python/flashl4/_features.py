# SPDX-License-Identifier: Apache-2.0
"""What a call may be beyond dense attention: windows, scores, biases, ragged batches, pages."""
import dataclasses
from typing import Any

from . import _api
from ._tensors import Tensor, as_tensor, contiguous


@dataclasses.dataclass
class Features:
    """The keywords of Context.forward() beyond q, k and v, as they were given."""

    window: Any = None
    softcap: float = 0.0
    alibi: Any = None
    sinks: Any = None
    bias: Any = None
    cu_seqlens_q: Any = None
    cu_seqlens_k: Any = None
    max_q: Any = None
    max_k: Any = None
    seqused_k: Any = None
    block_table: Any = None
    invariant: bool = False

    def ragged(self, name):
        """Whether the tensor of this name is one of rows, without a batch dimension."""
        if name in ("k", "v"):
            return self.cu_seqlens_k is not None
        return self.cu_seqlens_q is not None

    def view(self, name, tensor):
        """A ragged tensor as a batch of one."""
        if not self.ragged(name):
            return tensor
        strides = (0, *tensor.strides)
        return Tensor(tensor.pointer, (1, *tensor.shape), tensor.dtype, strides, tensor.device, tensor)

    def sizes(self, q, k, here):
        """B, Sq and Sk of the call; `q` and `k` are shapes, [B or 1 or pages, heads, rows, D]."""
        lengths = self._whole("cu_seqlens_q", here, 1)
        B = q[0] if lengths is None else lengths.shape[0] - 1
        if B < 0:
            raise ValueError("cu_seqlens_q: is empty, must have one element more than there are sequences")
        Sq = self._most("max_q", "cu_seqlens_q", q[2])
        Sk = self._most("max_k", "cu_seqlens_k", k[2])
        table = self._table(here)
        if table is not None:
            if table.shape[0] != B:
                raise ValueError(f"block_table: has {table.shape[0]} rows, must have {B}, one a sequence")
            Sk = table.shape[1] * k[2] if self.max_k is None else self.max_k
        return B, Sq, Sk

    def batches(self, B, q, k):
        """First dimensions that q, and k and v, must have."""
        return q[0] if self.ragged("q") else B, k[0] if self.ragged("k") or self.block_table is not None else B

    def fill(self, args, k, here):
        """Sets the fields of the C arguments, whose sizes are there; `k` is its shape, as for sizes()."""
        if self.window is not None:
            left, right = self.window
            args.mask, args.window_left, args.window_right = _api.MASKS.index("window"), left, right
        args.softcap = self.softcap
        args.flags = _api.BATCH_INVARIANT if self.invariant else 0
        self._fill_scores(args, here)
        for name, size in (("cu_seqlens_q", args.B + 1), ("cu_seqlens_k", args.B + 1), ("seqused_k", args.B)):
            tensor = self._whole(name, here, 1)
            if tensor is None:
                continue
            if tensor.shape[0] != size:
                raise ValueError(f"{name}: has {tensor.shape[0]} elements, must have {size}")
            setattr(args, name, tensor.pointer)
        table = self._table(here)
        if table is not None:
            args.block_table, args.block_table_stride = table.pointer, table.strides[0]
            args.n_pages, args.page_size = k[0], k[2]

    def _fill_scores(self, args, here):
        sinks = self._whole("sinks", here, 1, "float32")
        if sinks is not None:
            if sinks.shape != (args.Hq,):
                raise ValueError(f"sinks: shape is {list(sinks.shape)}, must be [{args.Hq}]")
            args.sinks = sinks.pointer
        slopes = self._tensor("alibi", here, ("float32",))
        if slopes is not None:
            shapes = ((args.Hq,), (args.B, args.Hq))
            if slopes.shape not in shapes:
                raise ValueError(f"alibi: shape is {list(slopes.shape)}, must be {' or '.join(map(str, map(list, shapes)))}")
            args.alibi_slopes = slopes.pointer
            args.alibi_stride[:] = _steps("alibi", slopes, 2)
        bias = self._tensor("bias", here, (*_api.BIASES, "uint8"))
        if bias is not None:
            sizes = (args.B, args.Hq, args.Sq, args.Sk)
            if len(bias.shape) != 4 or any(n not in (1, most) for n, most in zip(bias.shape, sizes)):
                raise ValueError(f"bias: shape is {list(bias.shape)}, must be {list(sizes)}, or 1 where it is shared")
            args.bias = bias.pointer
            args.bias_type = _api.BIASES.index("bool" if bias.dtype == "uint8" else bias.dtype)
            args.bias_stride[:] = _steps("bias", bias, 4, sizes)

    def _most(self, name, lengths, rows):
        """The greatest length of ragged sequences, which only the caller knows without reading the device."""
        most = getattr(self, name)
        if getattr(self, lengths) is None:
            if most is not None and not (name == "max_k" and self.block_table is not None):
                raise ValueError(f"{name}: is {most}, must be None without {lengths}")
            return rows
        if most is None:
            raise ValueError(f"{name}: is None, must be the greatest length, since {lengths} is given")
        return most

    def _tensor(self, name, here, dtypes):
        value = getattr(self, name)
        if value is None:
            return None
        tensor = as_tensor(name, value, dtypes=dtypes)
        if tensor.device != here:
            raise ValueError(f"{name}: is on {tensor.device}, the context is on {here}")
        return tensor

    def _whole(self, name, here, rank, dtype="int32"):
        """A contiguous tensor of so many dimensions."""
        tensor = self._tensor(name, here, (dtype,))
        if tensor is None:
            return None
        if len(tensor.shape) != rank:
            raise ValueError(f"{name}: has {len(tensor.shape)} dimensions, must have {rank}")
        if any(n > 1 and s != c for n, s, c in zip(tensor.shape, tensor.strides, contiguous(tensor.shape))):
            raise ValueError(f"{name}: strides are {list(tensor.strides)}, must be contiguous")
        return tensor

    def _table(self, here):
        tensor = self._tensor("block_table", here, ("int32",))
        if tensor is None:
            return None
        if len(tensor.shape) != 2:
            raise ValueError(f"block_table: has {len(tensor.shape)} dimensions, must have 2")
        if tensor.shape[1] > 1 and tensor.strides[1] != 1:
            raise ValueError(f"block_table: the last dimension must be contiguous, its stride is {tensor.strides[1]}")
        return tensor


def _steps(name, tensor, rank, sizes=None):
    """Strides of the last `rank` dimensions, 0 where there is one value. C takes all 0 for contiguous."""
    steps = [0] * (rank - len(tensor.shape)) + [s if n > 1 else 0 for n, s in zip(tensor.shape, tensor.strides)]
    if any(steps) or all(n <= 1 for n in sizes or tensor.shape):
        return steps
    raise ValueError(f"{name}: is one value for all, must have a dimension with a stride")
