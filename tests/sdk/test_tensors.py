"""Arrays cross the wire unchanged, and malformed ones are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from prepal import tensors
from prepal.v1 import tensor_pb2

ARRAYS = st.sampled_from([np.float16, np.float32]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
)


@given(ARRAYS)
@settings(max_examples=50, deadline=None)
def test_an_array_comes_back_bit_for_bit(array: np.ndarray) -> None:
    back = tensors.unpack(tensors.pack(array))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


def test_the_wire_is_little_endian_and_row_major() -> None:
    transposed = np.array([[1, 2], [3, 4]], ">f4").T
    packed = tensors.pack(transposed)
    assert packed.data == np.array([1, 3, 2, 4], "<f4").tobytes()
    assert list(packed.shape) == [2, 2]
    assert packed.dtype == tensor_pb2.DATA_TYPE_FLOAT32


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.bool_])
def test_another_dtype_is_refused_with_the_remedy(dtype: type) -> None:
    with pytest.raises(ValueError, match=r"must be float16 or float32, got .*; convert it"):
        tensors.pack(np.zeros(3, dtype))


def test_a_length_that_does_not_fit_is_refused_with_both_numbers() -> None:
    short = tensor_pb2.Tensor(data=b"1234", dtype=tensor_pb2.DATA_TYPE_FLOAT16, shape=[3])
    with pytest.raises(ValueError, match=r"must be 6 bytes for shape \(3,\) of float16, got 4"):
        tensors.unpack(short)


@pytest.mark.parametrize(("dtype", "name"), [(0, "UNSPECIFIED"), (9, "9")])
def test_a_dtype_that_is_not_known_is_refused(dtype: int, name: str) -> None:
    message = tensor_pb2.Tensor.FromString(bytes([0x10, dtype]))
    with pytest.raises(ValueError, match=f"must be FLOAT16 or FLOAT32, got {name}$"):
        tensors.unpack(message)


def test_a_tensor_without_a_shape_is_empty() -> None:
    assert tensors.unpack(tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT16)).shape == (0,)


def test_an_unpacked_array_shares_the_memory_of_its_message() -> None:
    packed = tensors.pack(np.arange(4, dtype=np.float32))
    assert not tensors.unpack(packed).flags.owndata
