"""The table of one pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_HEADER = (
    f"  {'function':<20} {'library':<16} {'seconds':>9} {'times':>8} {'kept':>9} {'relabeled':>9} {'passes':>7} "
    f"{'MiB':>7} {'agrees':>7}  notes"
)

_LEGEND = """\
  times: of ours. kept: the same call again. relabeled: the next call, its picks labeled and the head fit anew.
  passes: of one pass over the embeddings with one column. MiB: at most, beside the pool.
  agrees: the share of the definition's picks. Others are given a head's samples ready made, baal probabilities too."""


def print_table(title: str, results: Sequence[Mapping[str, Any]]) -> None:
    """Prints one line a library under each function.

    Args:
        title: above it.
        results: of one pool, as they are in the JSON line.
    """
    print(title)
    print(_HEADER)
    for result in results:
        ours = result["ours"]
        name = result["function"] if result["head"] == "LOGISTIC" else f"{result['function']} {result['head']}"
        _print_line(name, "prepal", ours, ours)
        for library, answer in result["peers"].items():
            _print_line("", library, answer, ours)
    print(_LEGEND)


def _print_line(function: str, library: str, answer: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    begin = f"  {function:<20} {library:<16}"
    if "skipped" in answer:
        print(f"{begin} skipped: {answer['skipped']}")
        return
    times = "" if answer is ours or "seconds" not in ours else f"{answer['seconds'] / ours['seconds']:.1f}"
    agrees = f"{answer['agrees']:.0%}" if "agrees" in answer else ""
    notes = [answer.get("name", "")]
    notes += [f"radius {answer['radius']:.6f}"] if "radius" in answer else []
    notes += [f"information {answer['information']:.4f}"] if "information" in answer else []
    notes += [f"{answer['repeated']} picks repeated"] if answer.get("repeated") else []
    print(
        f"{begin} {_seconds(answer['seconds'])} {times:>8} {_seconds(answer.get('kept'))} "
        f"{_seconds(answer.get('relabeled'))} {_passes(answer.get('passes'))} {answer['bytes'] / (1 << 20):>7.0f} "
        f"{agrees:>7}  {'; '.join(note for note in notes if note)}"
    )


def _seconds(value: float | None) -> str:
    return f"{'':>9}" if value is None else f"{value:>9.4f}"


def _passes(value: float | None) -> str:
    return f"{'':>7}" if value is None else f"{value:>7.1f}"
