"""Lists a page at a time, keyed by the last item seen, so that changes between pages neither repeat nor hide others."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

from services.serving.checks import Checks, shown

T = TypeVar("T")


def page_start(field: str, token: str) -> str:
    """Returns the key after which a page begins; "" for the first page. Raises InvalidRequest for a foreign token."""
    if not token:
        return ""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError:
        checks = Checks()
        checks.refuse(field, f"{field} must be the next_page_token of an earlier answer, got {shown(token)}")
        checks.done()
        raise


def page_token(key: str) -> str:
    """Returns the token of the page that begins after `key`."""
    return base64.urlsafe_b64encode(key.encode()).decode()


def page_size(field: str, size: int, *, default: int, limit: int) -> int:
    """Returns the size asked, or `default` for 0. Raises InvalidRequest beyond `limit`."""
    checks = Checks()
    checks.between(field, size, 0, limit)
    checks.done()
    return size or default


def page(
    items: Sequence[T], key: Callable[[T], str], size: int, token: str, *, default: int, limit: int
) -> tuple[list[T], str]:
    """Returns one page of `items`, which are in ascending order of `key`, and the next page's token ("" at the end).

    Raises:
        InvalidRequest: `size` (0 means `default`) is beyond `limit`, or `token` is not one of ours.
    """
    size = page_size("page_size", size, default=default, limit=limit)
    start = page_start("page_token", token)
    first = bisect_right(items, start, key=key) if start else 0
    found = list(items[first : first + size])
    more = first + size < len(items)
    return found, page_token(key(found[-1])) if more else ""
