"""Paging, by its definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.serving import InvalidRequest, page


def whole(names: list[str], size: int) -> list[str]:
    found, token = page(names, str, size, "", default=3, limit=10)
    while token:
        more, token = page(names, str, size, token, default=3, limit=10)
        found += more
    return found


@given(st.sets(st.text(min_size=1)), st.integers(0, 10))
def test_pages_together_are_the_whole_list_in_order(names: set[str], size: int) -> None:
    assert whole(sorted(names), size) == sorted(names)


def test_an_item_deleted_between_pages_hides_no_other() -> None:
    _, token = page(["a", "b", "c", "d"], str, 2, "", default=3, limit=10)
    assert page(["a", "c", "d"], str, 2, token, default=3, limit=10)[0] == ["c", "d"]


@pytest.mark.parametrize(("size", "token"), [(11, ""), (2, "é"), (2, "/w==")])
def test_a_size_beyond_the_limit_or_a_foreign_token_is_refused(size: int, token: str) -> None:
    with pytest.raises(InvalidRequest, match="page_"):
        page(["a"], str, size, token, default=3, limit=10)
