"""When a run's predictions had stabilised: the stopping signals of its heads, kept beside its curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from prepal.values.project import StoppingSignals

# Bloodgood & Vijay-Shanker's rule, as the selector applies it: the mean of so many agreements is at least as much.
WINDOW = 3
THRESHOLD = 0.99
# What the rounding of a mean may lack of it.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class StopPoint:
    """What the head of one run said about stopping at one number of labels; see `prepal.StoppingSignals`.

    Attributes:
        protocol: How the run refits.
        acquisition: What chose the items.
        seed: The run's seed.
        labels: Labels the head has seen.
        agreement: Cohen's kappa with the predictions of the head before; None for the first.
        change: Share of predictions that differ from those; None for the first.
        uncertainty: Mean entropy over its largest possible value; None for a head without probabilities.
        expected_error: Share of its predictions that the head expects to be wrong; None for one without probabilities.
    """

    protocol: str
    acquisition: str
    seed: int
    labels: int
    agreement: float | None
    change: float | None
    uncertainty: float | None
    expected_error: float | None


def stop_point(protocol: str, acquisition: str, seed: int, found: StoppingSignals) -> StopPoint:
    """Returns a head's signals as a point of a run."""
    return StopPoint(
        protocol=protocol,
        acquisition=acquisition,
        seed=seed,
        labels=found.labeled,
        agreement=found.agreement,
        change=found.change,
        uncertainty=found.uncertainty,
        expected_error=found.expected_error,
    )


def stabilised_at(points: Sequence[StopPoint]) -> int | None:
    """Returns the number of labels at which one run's predictions had stabilised first; None where they never had."""
    agreements = [(point.labels, point.agreement) for point in points if point.agreement is not None]
    for end in range(WINDOW, len(agreements) + 1):
        recent = agreements[end - WINDOW : end]
        if math.fsum(agreement for _, agreement in recent) / WINDOW >= THRESHOLD - _ROUNDING:
            return recent[-1][0]
    return None


def stopping_csv(points: Sequence[StopPoint]) -> str:
    """Returns points as CSV; what is None is empty."""
    names = [field.name for field in fields(StopPoint)]
    lines = [",".join(names)]
    for point in points:
        values = (getattr(point, name) for name in names)
        lines.append(
            ",".join(
                "" if value is None else f"{value:.6f}" if isinstance(value, float) else str(value) for value in values
            )
        )
    return "\n".join(lines) + "\n"
