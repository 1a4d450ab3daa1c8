"""The labeled items that a simulation plays with: train items to choose from, test items to evaluate on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prepal.simulation.datafile import Row
from prepal.simulation.options import SimulationOptions

# What the services take as a label set.
MOST_LABELS = 1_000


@dataclass(frozen=True, slots=True)
class Task:
    """Train and test items with their true labels.

    Attributes:
        train: Items to choose from, each with a label.
        test: Items to evaluate on, each with a label.
        labels: The label set, sorted: every label of either.
        pairs: Whether the items are text pairs.
    """

    train: tuple[Row, ...]
    test: tuple[Row, ...]
    labels: tuple[str, ...]
    pairs: bool

    @property
    def unlearnable(self) -> list[str]:
        """Labels of test items that no train item has, sorted: nothing can learn to predict them."""
        return sorted({row.label for row in self.test if row.label} - {row.label for row in self.train})


def task_of(train: Iterable[Row], test: Iterable[Row], options: SimulationOptions) -> Task:
    """Puts train and test items together and checks that the options can be played with them.

    Args:
        train: Items to choose from.
        test: Items to evaluate on.
        options: What is to be simulated.

    Raises:
        ValueError: An item has no label, a part is empty, only one part holds pairs, there are fewer than 2 or more
            than 1,000 labels, the train items do not suffice, or `pairs` is named for items that are none.
    """
    parts = {"train": tuple(train), "test": tuple(test)}
    for name, rows in parts.items():
        if not rows:
            raise ValueError(f"{name} has no items; it needs at least one")
        unlabeled = next((row.id for row in rows if not row.label), None)
        if unlabeled is not None:
            raise ValueError(f'{name} item "{unlabeled}" has no label; a simulation needs the true label of every item')
    pairs = {name: {row.text_pair is not None for row in rows} for name, rows in parts.items()}
    if len(pairs["train"] | pairs["test"]) > 1:
        raise ValueError("train and test must both hold single texts, or both hold pairs with a text_pair")
    task = Task(
        train=parts["train"],
        test=parts["test"],
        labels=tuple(sorted({row.label for rows in parts.values() for row in rows if row.label})),
        pairs=pairs["train"] == {True},
    )
    _check(task, options)
    return task


def _check(task: Task, options: SimulationOptions) -> None:
    if not 2 <= len(task.labels) <= MOST_LABELS:
        raise ValueError(f"there must be between 2 and {MOST_LABELS:,} different labels, got {len(task.labels):,}")
    if options.final > len(task.train):
        most = max(0, (len(task.train) - options.start) // options.step)
        raise ValueError(
            f"start + rounds x step is {options.final:,} labels, but train has {len(task.train):,} items; "
            + (f"lower rounds to {most:,}" if len(task.train) >= options.start else "lower start")
        )
    if options.pairs != "auto" and not task.pairs:
        raise ValueError(f"pairs is {options.pairs}, but the items have no text_pair; leave pairs out for single texts")


def limited(rows: Iterable[Row], limit: int) -> list[Row]:
    """Returns `limit` of the items, or all when there are fewer, in their order.

    Which ones depends on their ids alone, so that a file sorted by label gives no single class.

    Raises:
        ValueError: `limit` is not at least 1.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    rows = list(rows)
    drawn = sorted(range(len(rows)), key=lambda at: hashlib.sha256(rows[at].id.encode()).digest())[:limit]
    return [rows[at] for at in sorted(drawn)]


def digest(rows: Sequence[Row], *, labels: bool) -> str:
    """Returns a digest of the items in their order, 16 hexadecimal digits.

    Args:
        rows: The items.
        labels: Whether their labels count.
    """
    state = hashlib.sha256()
    for row in rows:
        for field in (row.id, row.text, row.text_pair, row.label if labels else None):
            # Lengths keep the fields apart: ("ab", "c") and ("a", "bc") are different items.
            data = b"" if field is None else field.encode()
            state.update(b"%d:" % (-1 if field is None else len(data)))
            state.update(data)
    return state.hexdigest()[:16]


def pool_name(rows: Sequence[Row], options: SimulationOptions, *, pairs: bool) -> str:
    """Returns the name of the pool with these items under this backbone: the same for every simulation of them.

    Labels do not count, so a file with other labels needs no new embedding.
    """
    slug = re.sub(r"[^A-Za-z0-9]+", "-", options.backbone).strip("-")[-40:]
    backbone = hashlib.sha256(options.backbone.encode()).hexdigest()[:6]
    mode = f"-{options.pairs}" if pairs else ""
    return f"sim-{slug}-{backbone}{mode}-{digest(rows, labels=False)}"
