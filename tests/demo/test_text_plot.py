"""Curves as text: every line of the plot is where the numbers say."""

from __future__ import annotations

import numpy as np
from prepal.demo.text_plot import AXIS, HEIGHT, WIDTH, Line, text_plot


def test_a_rising_and_a_falling_line_cross() -> None:
    x = np.array([50, 1000])
    lines = text_plot([Line("up", x, np.array([0.5, 0.9])), Line("down", x, np.array([0.9, 0.5]))]).splitlines()
    plot = [line[AXIS + 1 :].ljust(WIDTH) for line in lines[:HEIGHT]]
    assert plot[0][-1] == "●"
    assert plot[-1][0] == "●"
    assert plot[0][0] == "○"
    assert plot[-1][-1] == "○"
    assert lines[0].startswith(" 90.0 %")
    assert lines[-2].strip().startswith("50")
    assert lines[-2].endswith("1,000 labels")
    assert lines[-1].strip() == "● up   ○ down"


def test_one_point_is_drawn_too() -> None:
    assert "●" in text_plot([Line("only", np.array([50]), np.array([0.5]))])
