"""The libraries we are measured beside, and what each of them has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bench.acquisition.processes import Library
from bench.environments import python_with

_UNCERTAINTY: Final = ("MAX_ENTROPY", "VARIATION_RATIO", "MARGIN")

# Our names of what each has.
FUNCTIONS: Final[Mapping[str, Sequence[str]]] = {
    "scikit-activeml": (
        *("RANDOM", *_UNCERTAINTY, "CORESET", "BADGE", "CONTRASTIVE", "DAL"),
        *("TYPICLUST", "PROB_COVER", "BALD", "BATCH_BALD"),
    ),
    "small-text": ("RANDOM", *_UNCERTAINTY, "CORESET", "BADGE", "CONTRASTIVE", "DAL", "BALD"),
    "batchbald-redux": ("BALD", "BATCH_BALD"),
    "baal": (*_UNCERTAINTY, "BALD", "POWER_BALD", "BATCH_BALD"),
}

# One `pip install` after the other. torch comes first and by our pin, else its newest would bring what no CPU needs;
# without dependencies come those that ask for notebooks or image models.
_INSTALLS: Final[Mapping[str, Sequence[Sequence[str]]]] = {
    "scikit-activeml": [["scikit-activeml==1.0.1"]],
    "small-text": [["torch==2.13.0"], ["small-text==1.4.1"]],
    "batchbald-redux": [
        ["torch==2.13.0"],
        ["numpy", "toma==1.1.0", "tqdm"],
        ["--no-deps", "batchbald_redux==2.0.5"],
    ],
    "baal": [
        ["torch==2.13.0"],
        ["matplotlib", "pillow", "scikit-learn", "structlog<23", "torchmetrics>=1.7.3,<2", "tqdm"],
        ["--no-deps", "baal==2.1.0"],
    ],
}


def peers(seconds: float, most_bytes: int) -> list[Library]:
    """Returns all of them; makes their environments the first time (minutes)."""
    return [
        Library(
            name,
            python_with(name, *installs),
            f"bench.acquisition.peer_{name.replace('-', '_')}",
            seconds,
            most_bytes,
        )
        for name, installs in _INSTALLS.items()
    ]
