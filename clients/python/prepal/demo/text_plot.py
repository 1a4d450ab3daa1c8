"""Curves as lines of text, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 60, 12
MARKS = "●○△□"
AXIS = 8


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: its name, where it is, shape (P,), ascending, and how high, shape (P,)."""

    name: str
    x: npt.NDArray[np.int64]
    y: npt.NDArray[np.float64]


def text_plot(lines: Sequence[Line]) -> str:
    """Draws up to four curves, values in percent on the left axis; where two meet, the first is seen.

    Args:
        lines: The curves; at least one, each with a point.
    """
    low_x, high_x = _range([line.x for line in lines])
    low_y, high_y = _range([line.y * 100 for line in lines])
    columns = np.linspace(low_x, high_x, WIDTH)
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    for mark, line in reversed(list(zip(MARKS, lines, strict=False))):
        for column, value in enumerate(np.interp(columns, line.x, line.y * 100)):
            row = round((high_y - value) / (high_y - low_y) * (HEIGHT - 1))
            grid[row][column] = mark
    rows = []
    for number, cells in enumerate(grid):
        value = high_y - (high_y - low_y) * number / (HEIGHT - 1)
        # A number on every other line is enough to read a curve by.
        margin = f"{value:.1f} % " if number % 2 == 0 else ""
        rows.append(f"{margin:>{AXIS}}│{''.join(cells).rstrip()}")
    rows.append(f"{'':{AXIS}}└{'─' * WIDTH}")
    first, last = f"{low_x:,.0f}", f"{high_x:,.0f} labels"
    rows.append(f"{'':{AXIS + 1}}{first}{last:>{WIDTH - len(first)}}")
    legend = "   ".join(f"{mark} {line.name}" for mark, line in zip(MARKS, lines, strict=False))
    return "\n".join([*rows, f"{'':{AXIS + 1}}{legend}"])


def _range(values: Sequence[npt.NDArray[Any]]) -> tuple[float, float]:
    low, high = float(min(v.min() for v in values)), float(max(v.max() for v in values))
    return (low, high) if high > low else (low - 1, high + 1)
