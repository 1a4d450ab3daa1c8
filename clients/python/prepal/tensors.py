"""Dense arrays on the wire: `prepal.v1.Tensor` to numpy and back."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prepal.v1 import tensor_pb2

# The wire is little-endian whatever the machine is.
_WIRE: Final[dict[tensor_pb2.DataType, np.dtype[Any]]] = {
    tensor_pb2.DATA_TYPE_FLOAT16: np.dtype("<f2"),
    tensor_pb2.DATA_TYPE_FLOAT32: np.dtype("<f4"),
}
_NATIVE: Final[dict[tensor_pb2.DataType, np.dtype[Any]]] = {
    tensor_pb2.DATA_TYPE_FLOAT16: np.dtype(np.float16),
    tensor_pb2.DATA_TYPE_FLOAT32: np.dtype(np.float32),
}
_DATA_TYPES = {native: data_type for data_type, native in _NATIVE.items()}


def pack(array: NDArray[np.floating]) -> tensor_pb2.Tensor:
    """Packs an array: little-endian, row-major.

    Args:
        array: float16 or float32, any shape and memory order. Values are not looked at: NaN and inf travel.

    Raises:
        ValueError: for another dtype.

    Costs one copy of the array.

    >>> import numpy as np
    >>> pack(np.zeros((2, 3), np.float16)).shape
    [2, 3]
    """
    data_type = _DATA_TYPES.get(array.dtype.newbyteorder("="))
    if data_type is None:
        raise ValueError(f"dtype must be float16 or float32, got {array.dtype}; convert it with .astype('float32')")
    return tensor_pb2.Tensor(
        data=array.astype(_WIRE[data_type], copy=False).tobytes(order="C"), dtype=data_type, shape=array.shape
    )


def unpack(tensor: tensor_pb2.Tensor) -> NDArray[np.floating]:
    """Unpacks an array.

    Returns:
        float16 or float32 in the machine's byte order, of the tensor's shape, C-contiguous, read-only: it shares the
        message's memory on a little-endian machine, so it costs no copy. A message without a shape is an array of
        shape (0,).

    Raises:
        ValueError: when the dtype is not set or unknown, or the data's length does not fit shape and dtype.
    """
    wire = _WIRE.get(tensor.dtype)
    if wire is None:
        raise ValueError(f"tensor's dtype must be FLOAT16 or FLOAT32, got {_data_type_name(tensor.dtype)}")
    shape = tuple(tensor.shape) or (0,)
    expected = math.prod(shape) * wire.itemsize
    if len(tensor.data) != expected:
        raise ValueError(
            f"tensor's data must be {expected} bytes for shape {shape} of {_NATIVE[tensor.dtype]}, "
            f"got {len(tensor.data)}"
        )
    array: NDArray[np.floating] = np.frombuffer(tensor.data, dtype=wire).reshape(shape)
    return array.astype(_NATIVE[tensor.dtype], copy=False)


def _data_type_name(value: int) -> str:
    """Returns an enum value's name without its prefix, or the number where it has none."""
    try:
        return str(tensor_pb2.DataType.Name(value)).removeprefix("DATA_TYPE_")
    except ValueError:
        return str(value)
