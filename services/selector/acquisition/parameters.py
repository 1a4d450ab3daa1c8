"""What a caller may set of acquisition functions."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.selector.heads import PosteriorKind, Sampling


class Representation(enum.StrEnum):
    """Where distances are measured."""

    EMBEDDINGS = "EMBEDDINGS"
    PENULTIMATE = "PENULTIMATE"


@dataclass(frozen=True, slots=True)
class Range:
    """What a number may be.

    Attributes:
        low: the least.
        high: the largest.
        above: whether it must be more than `low`.
        below: whether it must be less than `high`.
    """

    low: float
    high: float
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and (
            value < self.high if self.below else value <= self.high
        )

    def __str__(self) -> str:
        low = f"more than {self.low:g}" if self.above else f"at least {self.low:g}"
        return f"{low} and {'less than' if self.below else 'at most'} {self.high:g}"


RANGES: Final[Mapping[str, Range]] = {
    "samples": Range(1, 1_000),
    "dropout": Range(0, 1, above=True, below=True),
    "beta": Range(0, 1_000),
    "configurations": Range(1, 100_000),
    "sub_batches": Range(1, 1_000),
    "sub_pool": Range(0, 10_000_000),
    "neighbours": Range(1, 1_000),
    "clusters": Range(1, 10_000),
    "candidates": Range(1, 1_000),
    "radius": Range(0, 1e6, above=True),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """What acquisition functions read; each names the fields it uses. None is the function's own default.

    Attributes:
        samples: S, posterior samples.
        posterior: how they are drawn from a LOGISTIC head.
        dropout: rate of the dropout on the inputs of a LOGISTIC head.
        beta: exponent of POWER_BALD; 0 is uniform, large is BALD.
        configurations: of chosen items' classes that BATCH_BALD keeps: enumerated up to here, then sampled; never fewer
            than 20 a sample.
        sub_batches: DAL refits its discriminator after each of them.
        sub_pool: free rows, drawn at random, that any function looks at; 0 for all of them.
        neighbours: nearest rows that CONTRASTIVE and TYPICLUST average over.
        clusters: of DENSITY, TYPICLUST and CLUSTER_MARGIN.
        candidates: rows of the smallest margin, as a multiple of k, that KMEANS_MARGIN and CLUSTER_MARGIN choose from.
        radius: δ of PROB_COVER.
        representation: where CORESET and DAL look.
    """

    samples: int = 50
    posterior: PosteriorKind = PosteriorKind.DROPOUT
    dropout: float = 0.1
    beta: float = 1.0
    configurations: int = 10_000
    sub_batches: int = 10
    sub_pool: int | None = None
    neighbours: int | None = None
    clusters: int | None = None
    candidates: int = 10
    radius: float | None = None
    representation: Representation = Representation.EMBEDDINGS

    def sampling(self) -> Sampling:
        """Returns how a posterior is sampled."""
        return Sampling(samples=self.samples, kind=self.posterior, dropout=self.dropout)

    def key(self, uses: frozenset[str]) -> tuple[tuple[str, Any], ...]:
        """Returns the values of some fields, as what is kept by them needs."""
        return tuple((name, getattr(self, name)) for name in sorted(uses))


def parameters_from(values: Mapping[str, Any]) -> Parameters:
    """Returns parameters from the fields that are set, by name; the others are the defaults."""
    found: dict[str, Any] = dict(values)
    if "posterior" in found:
        found["posterior"] = PosteriorKind(found["posterior"])
    if "representation" in found:
        found["representation"] = Representation(found["representation"])
    return Parameters(**found)


DEFAULTS: Final = Parameters()
