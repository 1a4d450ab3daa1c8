"""Curves: averaging, the CSV file, the picture and the summary, each read back."""

from __future__ import annotations

import builtins
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib import image
from prepal.simulation import Curves, Point, draw_curves, read_curves, summarize
from prepal.simulation.curves import COLUMNS, first_reaching, write_curves
from prepal.simulation.plot import PlotUnavailableError
from prepal.simulation.summary import table


def points(acquisition: str, seed: int, accuracies: list[float], *, start: int = 50) -> list[Point]:
    return [
        Point(
            protocol="AL+LR",
            acquisition=acquisition,
            seed=seed,
            labels=start + 50 * round_,
            accuracy=accuracy,
            macro_f1=accuracy - 0.25,
            fit_s=0.5,
            acquire_s=0.125,
        )
        for round_, accuracy in enumerate(accuracies)
    ]


CURVES = Curves(
    (
        *points("max_entropy", 0, [0.5, 0.75, 0.75, 1.0]),
        *points("max_entropy", 1, [0.5, 0.5, 0.75, 0.75]),
        *points("random", 0, [0.5, 0.5, 0.625, 0.75]),
        *points("random", 1, [0.5, 0.5, 0.625, 0.5]),
    )
)


def test_a_curve_is_the_mean_and_the_sample_deviation_over_seeds() -> None:
    curve = CURVES.curve("max_entropy")
    assert curve.seeds == (0, 1)
    assert curve.labels.tolist() == [50, 100, 150, 200]
    assert curve.mean("accuracy").tolist() == [0.5, 0.625, 0.75, 0.875]
    assert curve.std("accuracy").tolist() == pytest.approx([0, 0.25 / np.sqrt(2), 0, 0.25 / np.sqrt(2)])
    assert curve.mean("macro_f1").tolist() == [0.25, 0.375, 0.5, 0.625]


def test_a_run_that_is_not_finished_ends_the_mean_where_it_ends() -> None:
    curve = Curves((*points("random", 0, [0.5, 0.6, 0.7]), *points("random", 1, [0.5]))).curve("random")
    assert curve.labels.tolist() == [50]


def test_one_seed_has_no_deviation() -> None:
    assert Curves(tuple(points("random", 0, [0.5, 0.6]))).curve("random").std("accuracy").tolist() == [0, 0]


def test_a_curve_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="margin"):
        CURVES.curve("margin")


def test_curves_are_read_as_they_were_written_and_nothing_is_left_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text("older points")
    write_curves(path, CURVES.points)
    assert path.read_text().splitlines()[0] == "protocol,acquisition,seed,labels,accuracy,macro_f1,fit_s,acquire_s"
    assert read_curves(path) == CURVES
    assert [file.name for file in tmp_path.iterdir()] == ["curves.csv"]


def test_a_file_that_holds_no_curves_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text("id,text\n")
    with pytest.raises(ValueError, match="columns must be"):
        read_curves(path)
    path.write_text(",".join(COLUMNS) + "\nAL+LR,random,0,fifty,0,0,0,0\n")
    with pytest.raises(ValueError, match="line 2"):
        read_curves(path)


def test_the_picture_shows_every_curve_by_name_with_its_band(tmp_path: Path) -> None:
    files = draw_curves(CURVES, tmp_path, title="AL+LR, minilm: train.tsv")
    assert [file.name for file in files] == ["curves.png", "curves.svg"]
    height, width, _ = image.imread(files[0]).shape
    assert (width, height) == (1575, 720)
    svg = files[1].read_text()
    ET.fromstring(svg)
    # Text is drawn as shapes; each shape's comment says what it writes.
    for words in ("max_entropy", "random", "Labels", "Accuracy on the test items", "Macro-F1 on the test items"):
        assert f"<!-- {words} -->" in svg
    assert "AL+LR, minilm: train.tsv (mean ± std of 2 seeds)" in svg
    assert svg.count('id="FillBetweenPolyCollection') == 4


def test_the_same_curves_give_the_same_files(tmp_path: Path) -> None:
    first = [file.read_bytes() for file in draw_curves(CURVES, tmp_path, title="x")]
    assert [file.read_bytes() for file in draw_curves(CURVES, tmp_path, title="x")] == first


def test_no_points_draw_nothing(tmp_path: Path) -> None:
    assert draw_curves(Curves(()), tmp_path, title="x") == []


def test_drawing_without_matplotlib_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_matplotlib(name: str, *args: object) -> object:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(PlotUnavailableError, match=r"prepal\[simulate\]"):
        draw_curves(CURVES, tmp_path, title="x")


def test_the_summary_has_values_differences_savings_and_times() -> None:
    summary = summarize(CURVES)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in summary.splitlines() if line.startswith("|")]
    assert ["", "50", "100", "200"] in rows
    assert ["max_entropy", "50.0 ± 0.0", "62.5 ± 17.7", "87.5 ± 17.7"] in rows
    assert ["max_entropy", "+0.0", "+12.5", "+25.0"] in rows
    # Random ends at 62.5 %, which max_entropy has at 100 labels of 200.
    assert ["max_entropy", "100", "100 (50%)"] in rows
    assert ["random", "2.00", "0.50"] in rows


def test_a_summary_without_random_compares_nothing() -> None:
    summary = summarize(Curves(tuple(points("margin", 0, [0.5, 0.6]))))
    assert "random" not in summary
    assert "1 seed" in summary


def test_a_goal_that_is_never_reached_is_said_so() -> None:
    assert first_reaching([50, 100], np.array([0.1, 0.2]), 0.3) is None
    worse = Curves((*points("margin", 0, [0.1, 0.2]), *points("random", 0, [0.1, 0.3])))
    assert "not reached" in summarize(worse)


def test_a_tables_columns_are_aligned() -> None:
    lines = table(["", "a"], [["one", "1"], ["three", "10,000"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| ----- | -----: |"
