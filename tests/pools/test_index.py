"""The index against a dictionary, and the packed columns against lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pools import index as index_module
from services.pools.index import Index
from services.pools.packed import BLOCK_ROWS, Column, Strings

chunks = st.lists(st.lists(st.text(max_size=6), unique=True, max_size=20), max_size=12)


def extended(parts: list[list[str]]) -> tuple[Index, dict[str, int]]:
    """An index built part by part, and what it must know."""
    index, rows = Index(), dict[str, int]()
    for part in parts:
        new = [one for one in part if one not in rows]
        numbers = np.arange(len(rows), len(rows) + len(new))
        index.extend(new, np.repeat(numbers[:, None], 16, axis=1).astype(np.uint8), numbers * 2, numbers * 3)
        rows.update(zip(new, numbers.tolist(), strict=True))
    return index, rows


@given(chunks, st.lists(st.text(max_size=6), max_size=20))
def test_every_id_has_the_row_it_was_given(parts: list[list[str]], others: list[str]) -> None:
    index, rows = extended(parts)
    asked = [*others, *rows, *others]
    np.testing.assert_array_equal(index.rows_of(asked), [rows.get(one, -1) for one in asked])
    everything = np.arange(len(rows))
    assert len(index) == len(rows)
    assert index.ids_of(everything) == list(rows)
    np.testing.assert_array_equal(index.item_rows(everything), everything * 2)
    np.testing.assert_array_equal(index.embedding_rows(everything), everything * 3)
    np.testing.assert_array_equal(index.digests_of(everything)[:, 15], everything % 256)


@given(chunks, st.integers(0, 30))
def test_an_earlier_length_hides_later_rows(parts: list[list[str]], within: int) -> None:
    index, rows = extended(parts)
    expected = [row if row < within else -1 for row in rows.values()]
    np.testing.assert_array_equal(index.rows_of(list(rows), within), expected)


@pytest.mark.parametrize("hashes", [1, 3])
def test_ids_with_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch, hashes: int) -> None:
    monkeypatch.setattr(index_module, "_hashes", lambda ids: np.array([len(one) % hashes for one in ids], np.int64))
    index, rows = extended([["a", "bb", "ccc"], ["d"], ["ee", "ff", "g"], ["dddd"]])
    asked = [*rows, "x", "yy", "zzz"]
    np.testing.assert_array_equal(index.rows_of(asked), [rows.get(one, -1) for one in asked])


def test_one_by_one_the_runs_stay_few() -> None:
    index, rows = extended([[str(number)] for number in range(1_000)])
    assert len(index._runs) <= 10
    assert index.rows_of(list(rows)).tolist() == list(range(1_000))


def test_strings_cross_blocks() -> None:
    strings = Strings()
    expected = [f"é{number}" for number in range(BLOCK_ROWS + 10)]
    for start in range(0, len(expected), 30_000):
        strings.extend(expected[start : start + 30_000])
    rows = np.array([BLOCK_ROWS + 9, 0, BLOCK_ROWS, BLOCK_ROWS - 1, 1])
    assert strings.decode(rows) == [expected[row] for row in rows]
    assert len(strings) == len(expected)


@given(st.lists(st.integers(0, 90_000), max_size=3))
def test_columns_keep_what_was_appended(lengths: list[int]) -> None:
    column = Column(np.uint32)
    everything = np.arange(sum(lengths), dtype=np.uint32)
    done = 0
    for length in lengths:
        column.extend(everything[done : done + length])
        done += length
    assert len(column) == len(everything)
    blocks = column.blocks(len(column))
    np.testing.assert_array_equal(np.concatenate([np.empty(0, np.uint32), *blocks]), everything)
    rows = np.arange(len(everything) - 1, -1, -1_000)
    np.testing.assert_array_equal(column.gather(rows), everything[rows])


def test_no_rows_of_an_empty_column_are_no_rows() -> None:
    assert Column(np.float16, (3,)).gather(np.empty(0, np.int64)).shape == (0, 3)
