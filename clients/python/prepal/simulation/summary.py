"""What curves say, in a few tables: Markdown that also reads well as plain text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prepal.simulation.curves import Curve, Curves, first_reaching
from prepal.simulation.plot import BASELINE
from prepal.simulation.stopping import THRESHOLD, WINDOW, StopPoint, stabilised_at

# Numbers of labels shown, as shares of the last: early, where curves differ most, and then in doublings.
SHARES = (0.0, 0.25, 0.5, 1.0)


def summarize(curves: Curves) -> str:
    """Returns the summary of a simulation as Markdown.

    It has, by acquisition: accuracy and macro-F1 (mean ± standard deviation over seeds, in percent) at up to four
    numbers of labels; the differences to random, in points; how many labels reach the accuracy that random has at its
    end; at how many labels predictions had stabilised; and the server's seconds for fitting and choosing in one run,
    mean over seeds.

    Args:
        curves: The points; there must be at least one.
    """
    lines = curves.all_curves()
    baseline = next((line for line in lines if line.acquisition == BASELINE), None)
    parts = [_values(lines, "accuracy", "Accuracy, %"), _values(lines, "macro_f1", "Macro-F1, %")]
    if baseline is not None and len(lines) > 1:
        others = [line for line in lines if line is not baseline]
        parts += [_differences(others, baseline), _savings(others, baseline)]
    if curves.stopping:
        parts.append(_stopping(lines, curves.stopping))
    parts.append(_times(lines))
    return "\n\n".join(parts) + "\n"


def _values(lines: Sequence[Curve], field: str, what: str) -> str:
    labels = _shown(lines)
    rows = []
    for line in lines:
        mean, std = line.mean(field) * 100, line.std(field) * 100
        cells = [f"{mean[at]:.1f} ± {std[at]:.1f}" if at is not None else "" for at in _positions(line, labels)]
        rows.append([_name(line, lines), *cells])
    seeds = sorted({len(line.seeds) for line in lines})
    runs = "1 seed" if seeds == [1] else f"mean ± std over {'–'.join(map(str, seeds))} seeds"
    return f"{what} ({runs}), by number of labels:\n\n" + table(["", *(f"{count:,}" for count in labels)], rows)


def _differences(others: Sequence[Curve], baseline: Curve) -> str:
    labels = _shown([baseline])
    rows = []
    for line in others:
        at_line, at_baseline = _positions(line, labels), _positions(baseline, labels)
        cells = [
            ""
            if there is None or here is None
            else f"{(line.mean('accuracy')[here] - baseline.mean('accuracy')[there]) * 100:+.1f}"
            for here, there in zip(at_line, at_baseline, strict=True)
        ]
        rows.append([_name(line, others), *cells])
    return "Accuracy minus random's, points:\n\n" + table(["", *(f"{count:,}" for count in labels)], rows)


def _savings(others: Sequence[Curve], baseline: Curve) -> str:
    goal, last = baseline.mean("accuracy")[-1], int(baseline.labels[-1])
    rows = []
    for line in others:
        needed = first_reaching(line.labels, line.mean("accuracy"), goal)
        saved = "" if needed is None else f"{last - needed:,} ({(last - needed) / last:.0%})"
        rows.append([_name(line, others), "not reached" if needed is None else f"{needed:,}", saved])
    return f"Labels to reach random's accuracy at {last:,} labels ({goal * 100:.1f} %):\n\n" + table(
        ["", "labels", "saved"], rows
    )


def _stopping(lines: Sequence[Curve], points: Sequence[StopPoint]) -> str:
    rows = []
    for line in lines:
        found = []
        for seed in line.seeds:
            run = [p for p in points if (p.protocol, p.acquisition, p.seed) == (line.protocol, line.acquisition, seed)]
            at = stabilised_at(run)
            if at is not None and at in line.labels:
                accuracies = line.values["accuracy"][line.seeds.index(seed)]
                found.append((at, accuracies[int(np.searchsorted(line.labels, at))]))
        share = f"{len(found)} of {len(line.seeds)}"
        labels, accuracy = np.mean(found, axis=0) if found else (0.0, 0.0)
        cells = [f"{labels:,.0f}", f"{accuracy * 100:.1f}"] if found else ["", ""]
        rows.append([_name(line, lines), share, *cells])
    return (
        f"Predictions had stabilised (mean agreement of {WINDOW} successive heads at least {THRESHOLD}):\n\n"
        + table(["", "runs", "labels then", "accuracy then, %"], rows)
    )


def _times(lines: Sequence[Curve]) -> str:
    rows = [
        [_name(line, lines), f"{np.sum(line.mean('fit_s')):.2f}", f"{np.sum(line.mean('acquire_s')):.2f}"]
        for line in lines
    ]
    return "Seconds on the server in one whole run:\n\n" + table(["", "fitting heads", "choosing items"], rows)


def _shown(lines: Sequence[Curve]) -> list[int]:
    """Returns up to four numbers of labels that the longest curve has."""
    labels = max((line.labels for line in lines), key=len)
    return sorted({int(labels[np.abs(labels - share * labels[-1]).argmin()]) for share in SHARES})


def _positions(line: Curve, labels: Sequence[int]) -> list[int | None]:
    where = {int(count): position for position, count in enumerate(line.labels)}
    return [where.get(count) for count in labels]


def _name(line: Curve, lines: Sequence[Curve]) -> str:
    return f"{line.protocol} {line.acquisition}" if len({other.protocol for other in lines}) > 1 else line.acquisition


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table with aligned columns, the first to the left and the others to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    rule = ["-" * max(3, widths[0]), *("-" * max(2, width - 1) + ":" for width in widths[1:])]
    widths = [max(width, len(dashes)) for width, dashes in zip(widths, rule, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])
