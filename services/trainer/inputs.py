"""What a job is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.trainer.job import Definition


@dataclass(frozen=True, slots=True)
class LabeledItem:
    """An item of the pool with its label."""

    item_id: str
    label: str


@dataclass(frozen=True, slots=True)
class EvaluationText:
    """A text, or pair, with its true label."""

    text: str
    text_pair: str | None
    label: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that a job is made of, but for the items' texts, which stay in the pool."""

    definition: Definition
    labeled: Sequence[LabeledItem]
    evaluation: Sequence[EvaluationText]


@dataclass(frozen=True, slots=True)
class ProjectLabels:
    """What people said in a project.

    Attributes:
        pool: the pool whose items are labeled.
        labels: the label set, in order.
        labeled: labeled items, in order of their ids; skipped ones are left out.
    """

    pool: str
    labels: tuple[str, ...]
    labeled: Sequence[LabeledItem]


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """What a job needs to know of its pool.

    Attributes:
        incarnation: tells a pool from another that had its name before.
        backbone: the model that embedded it; None for a pool of the client's own embeddings.
        pairs: whether items are pairs; None where they may be either.
    """

    incarnation: str
    backbone: str | None
    pairs: bool | None
