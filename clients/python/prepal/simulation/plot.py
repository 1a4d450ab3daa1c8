"""Learning curves as a picture: the mean over seeds with a band of one standard deviation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prepal.simulation.curves import Curve, Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart by colour-blind eyes; black is last because it draws the eye. RANDOM, what the
# others are compared with, is grey and dashed.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BASELINE, BASELINE_COLOUR = "random", "#7A7A7A"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
PANELS = (("accuracy", "Accuracy on the test items"), ("macro_f1", "Macro-F1 on the test items"))


class PlotUnavailableError(Exception):
    """matplotlib is not installed."""


def draw_curves(curves: Curves, folder: Path, *, title: str) -> list[Path]:
    """Draws curves.png and curves.svg: accuracy and macro-F1 by number of labels.

    Args:
        curves: What is drawn; without points, nothing is.
        folder: Where the files go, written over.
        title: Stands above the panels.

    Returns:
        The files written.

    Raises:
        PlotUnavailableError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotUnavailableError(
            'drawing needs matplotlib; install it with: pip install "prepal[simulate]"'
        ) from error
    lines = curves.all_curves()
    if not lines:
        return []
    style: dict[Any, Any] = {
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#444444",
        "axes.labelcolor": "#222222",
        "xtick.color": "#444444",
        "ytick.color": "#444444",
        "svg.hashsalt": "prepal",
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(10.5, 4.8), dpi=150, layout="constrained")
        axes = figure.subplots(1, len(PANELS))
        for panel, (field, label) in zip(axes, PANELS, strict=True):
            _draw(panel, lines, field)
            panel.set_ylabel(label)
        figure.suptitle(f"{title}{_spread(lines)}", fontsize=11, x=0.01, ha="left")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 4), frameon=False)
        files = [folder / "curves.png", folder / "curves.svg"]
        for file in files:
            # Without a date, the same curves give the same file.
            figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    return files


def _draw(panel: Axes, lines: list[Curve], field: str) -> None:
    colours = iter(COLOURS * len(lines))
    for number, line in enumerate(lines):
        is_baseline = line.acquisition == BASELINE
        colour = BASELINE_COLOUR if is_baseline else next(colours)
        mean, std = line.mean(field) * 100, line.std(field) * 100
        panel.fill_between(line.labels, mean - std, mean + std, color=colour, alpha=0.16, linewidth=0)
        panel.plot(
            line.labels,
            mean,
            color=colour,
            linewidth=2,
            linestyle="--" if is_baseline else "-",
            marker=MARKERS[number % len(MARKERS)],
            markersize=5,
            markevery=max(1, len(line.labels) // 8),
            label=_name(line, lines),
        )
    panel.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.set_xlabel("Labels")
    panel.margins(x=0.02)
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _name(line: Curve, lines: list[Curve]) -> str:
    return f"{line.protocol}, {line.acquisition}" if len({other.protocol for other in lines}) > 1 else line.acquisition


def _spread(lines: list[Curve]) -> str:
    seeds = sorted({len(line.seeds) for line in lines})
    return "" if seeds == [1] else f" (mean ± std of {'–'.join(map(str, seeds))} seeds)"
