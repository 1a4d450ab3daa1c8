"""What can go wrong with a backbone before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence


class BackboneNotLoadable(Exception):
    """A backbone cannot be used, with what was tried and what to do.

    Args:
        model: What the caller named.
        tried: What was tried, each with why it failed; may be empty.
        remedy: What the caller can do.
    """

    def __init__(self, model: str, tried: Sequence[str], remedy: str) -> None:
        attempts = f"; tried {'; '.join(tried)}" if tried else ""
        name = repr(model if len(model) <= 200 else model[:200] + "…")
        super().__init__(f"backbone {name} cannot be loaded{attempts}. {remedy}")
        self.model = model
