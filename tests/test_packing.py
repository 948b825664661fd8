"""Arrays as bytes: exact, compact, and refused if they are none of ours."""

import numpy as np
import pytest

from fsmd.packing import pack, unpack


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint32", "int8"])
@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_what_is_packed_comes_back_to_the_bit(dtype: str, rows: int) -> None:
    values = (np.random.default_rng(0).normal(size=rows) * 100).astype(dtype)
    again = unpack(pack(values))
    assert again.dtype == values.dtype
    np.testing.assert_array_equal(again, values)


def test_infinities_signs_of_zero_and_nan_come_back() -> None:
    values = np.array([np.inf, -np.inf, -0.0, 0.0, np.nan, 1e-45], np.float32)
    assert unpack(pack(values)).tobytes() == values.tobytes()


def test_the_order_of_bytes_in_memory_does_not_matter() -> None:
    values = np.arange(10, dtype="<f4")
    assert pack(values.astype(">f4")) == pack(values)
    assert pack(np.repeat(values, 2)[::2]) == pack(values)


def test_scores_take_less_than_their_four_bytes() -> None:
    scores = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    assert len(pack(scores)) < 0.95 * scores.nbytes


@pytest.mark.parametrize("values", [np.zeros((2, 2), np.float32), np.zeros(3, np.int64)])
def test_what_cannot_be_packed_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot pack"):
        pack(values)


@pytest.mark.parametrize("packed", [b"", b"<f4", b"<f4nonsense", b"\x00\x01\x02\x03", b"<i8abc"])
def test_bytes_that_are_no_packed_array_are_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="not a packed array"):
        unpack(packed)


def test_a_packed_array_that_was_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match="not a packed array"):
        unpack(pack(np.arange(100, dtype=np.float32))[:-7])
