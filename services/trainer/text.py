"""A text to learn from or to predict."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """A text, or the two texts of a pair, which become one sequence."""

    text: str
    text_pair: str | None = None
