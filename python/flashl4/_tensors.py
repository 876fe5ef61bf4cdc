# SPDX-License-Identifier: Apache-2.0
"""What the library must know of a tensor, taken from torch, numpy or plain buffers."""
import ctypes

from . import _api

_TYPESTR = {"<f2": "float16", "<f4": "float32", "<i4": "int32", "|b1": "bool", "|u1": "uint8"}
_SIZE = {"float16": 2, "bfloat16": 2, "float32": 4, "int32": 4, "bool": 1, "uint8": 1}


class Tensor:
    """Memory with a shape. `owner` is kept alive; strides count elements, None means contiguous."""

    def __init__(self, pointer, shape, dtype, strides=None, device="host", owner=None):
        if dtype not in _SIZE:
            raise TypeError(f"dtype is {dtype}, must be one of {', '.join(_SIZE)}")
        self.pointer, self.shape, self.dtype, self.device, self.owner = pointer, tuple(shape), dtype, device, owner
        self.strides = contiguous(self.shape) if strides is None else tuple(strides)

    @classmethod
    def from_buffer(cls, buffer, shape, dtype):
        """Host memory of anything writable with the buffer protocol: array.array, bytearray, ctypes arrays."""
        view = (ctypes.c_char * memoryview(buffer).nbytes).from_buffer(buffer)
        tensor = cls(ctypes.addressof(view), shape, dtype, owner=view)
        elements = 1
        for n in tensor.shape:
            elements *= n
        if elements * _SIZE[dtype] > len(view):
            raise ValueError(f"the buffer has {len(view)} bytes, too few for {dtype}{list(tensor.shape)}")
        return tensor


def contiguous(shape):
    strides, step = [], 1
    for n in reversed(shape):
        strides.insert(0, step)
        step *= n
    return tuple(strides)


def _check_dtype(name, dtype, dtypes):
    if dtype not in dtypes:
        raise TypeError(f"{name}: dtype is {dtype}, must be {'one of ' if len(dtypes) > 1 else ''}{', '.join(dtypes)}")


def as_tensor(name, value, written=False, dtypes=_api.DTYPES):
    """Describes `value`; errors call it `name`."""
    if isinstance(value, Tensor):
        _check_dtype(name, value.dtype, dtypes)
        return value
    if hasattr(value, "data_ptr"):  # torch
        dtype = str(value.dtype).replace("torch.", "")
        _check_dtype(name, dtype, dtypes)
        device = f"cuda:{value.device.index}" if value.is_cuda else "host"
        return Tensor(value.data_ptr(), value.shape, dtype, value.stride(), device, value)
    interface = getattr(value, "__array_interface__", None)
    if interface is None:
        raise TypeError(f"{name}: is a {type(value).__name__}, must be a torch tensor, a numpy array or a flashl4.Tensor")
    dtype = _TYPESTR.get(interface["typestr"], str(getattr(value, "dtype", interface["typestr"])))
    _check_dtype(name, dtype, dtypes)
    pointer, read_only = interface["data"]
    if written and read_only:
        raise ValueError(f"{name}: is read-only")
    size, strides = _SIZE[dtype], interface.get("strides")
    if strides is not None:
        if any(s % size for s in strides):
            raise ValueError(f"{name}: strides {strides} are no multiples of the element, {size} bytes")
        strides = tuple(s // size for s in strides)
    return Tensor(pointer, interface["shape"], dtype, strides, "host", value)


def outer_strides(name, tensor, rank):
    """The strides that C wants: of the first three dimensions, where only 1s may be made up."""
    outer = [s if n > 1 else 0 for n, s in zip(tensor.shape[:3], tensor.strides[:3])]
    if rank == 4 and tensor.shape[3] > 1 and tensor.strides[3] != 1:
        raise ValueError(f"{name}: the last dimension must be contiguous, its stride is {tensor.strides[3]}")
    if any(outer) or all(n <= 1 for n in tensor.shape[:3]):
        return outer
    raise ValueError(f"{name}: is one row broadcast to {list(tensor.shape)}; give one dimension a stride, or copy it")


def like(value, shape=None):
    """A new tensor of the same library and device: like `value`, or fp32 of another shape."""
    if isinstance(value, Tensor):
        raise TypeError("out: must be given, and lse too if wanted, where q is a flashl4.Tensor")
    if hasattr(value, "data_ptr"):
        import torch

        return torch.empty_like(value) if shape is None else value.new_empty(shape, dtype=torch.float32)
    import numpy

    return numpy.empty_like(value) if shape is None else numpy.empty(shape, numpy.float32)


def current_stream(value):
    """torch's stream of the moment for its CUDA tensors, else the default stream."""
    if hasattr(value, "data_ptr") and value.is_cuda:
        import torch

        return torch.cuda.current_stream(value.device).cuda_stream
    return None
