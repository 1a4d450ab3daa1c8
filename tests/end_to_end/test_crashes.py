"""Every process of the suite is killed in turn in the middle of a simulation; it ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import prepal
import pytest
from prepal.simulation import Curves, Row, SimulationOptions, simulate

from tests.up import Up

ROUNDS = 30
OPTIONS = SimulationOptions(acquisitions=["margin", "random"], start=10, step=10, rounds=ROUNDS, seeds=1, parallel=1)
KEPT = replace(OPTIONS, keep_projects=True)
VICTIMS = ("redis", "embedder", "selector", "trainer", "worker")


def sentences(count: int, first: int = 0) -> list[Row]:
    """Short texts of two kinds that a head can tell apart, though not at once."""
    good, bad = ["fine", "superb", "warm", "clever"], ["dull", "awful", "cold", "silly"]
    things = ["film", "plot", "play", "song", "book", "scene", "end"]
    rows = []
    for number in range(first, first + count):
        label = ("bad", "good")[number % 2]
        word = (bad, good)[number % 2][number // 2 % 4]
        thing, other = things[number // 8 % 7], things[number // 56 % 7]
        text = f"the {thing} number {number} is {word} , said one who saw the {other}"
        rows.append(Row(id=f"r{number}", text=text, text_pair=None, label=label, line=number + 2))
    return rows


TRAIN, TEST = sentences(600), sentences(100, first=600)


def numbers(curves: Curves) -> list[tuple[str, int, int, float, float]]:
    """What a curve says, without its times."""
    return [(p.acquisition, p.seed, p.labels, p.accuracy, p.macro_f1) for p in curves.points]


class KillingClient(prepal.Client):
    """Kills the next process of the suite right before some of the simulation's calls."""

    def __init__(self, up: Up, every: int) -> None:
        super().__init__(**up.addresses)
        self._up = up
        self._every = every
        self._calls = 0
        self.killed: list[str] = []

    def select(self, *args: Any, **kwargs: Any) -> prepal.Selection:
        self._count()
        return super().select(*args, **kwargs)

    def record_labels(self, *args: Any, **kwargs: Any) -> prepal.RecordedLabels:
        self._count()
        return super().record_labels(*args, **kwargs)

    def _count(self) -> None:
        self._calls += 1
        if self._calls % self._every == 0 and len(self.killed) < len(VICTIMS):
            name = VICTIMS[len(self.killed)]
            os.kill(self._up.children()[name], signal.SIGKILL)
            self.killed.append(name)


@pytest.fixture
def own_suite(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path / "data")
    yield up
    up.stop()


def test_a_simulation_survives_the_end_of_every_process(own_suite: Up) -> None:
    # Both runs share one pool: two suites may embed with engines that agree only to a cosine of 0.9999.
    with own_suite.client() as client:
        undisturbed = simulate(client, TRAIN, TEST, OPTIONS)
    calls = 2 * len(OPTIONS.acquisitions) * ROUNDS
    with KillingClient(own_suite, every=calls // (len(VICTIMS) + 1)) as client:
        disturbed = simulate(client, TRAIN, TEST, KEPT)
        assert client.killed == list(VICTIMS)
        assert numbers(disturbed) == numbers(undisturbed)
        ids = {row.id for row in TRAIN}
        for project in client.projects():
            labels = {label.item_id: label.label for label in client.list_labels(project.name)}
            assert len(labels) == OPTIONS.final
            assert labels.keys() <= ids


def test_acknowledged_items_survive_the_end_of_the_embedder(own_suite: Up) -> None:
    """The embedder is killed twice while items are added; the client goes on by itself, nothing is lost or double."""
    with own_suite.client() as client:
        client.create_pool("own", dimension=8)

        def items() -> Iterator[prepal.Item]:
            for number in range(20_000):
                if number in (6_000, 13_000):
                    os.kill(own_suite.children()["embedder"], signal.SIGKILL)
                vector = [float(number % 97), 1, 0, 0, 0, 0, 0, 0]
                yield prepal.Item(f"i{number}", f"text {number}", embedding=vector)

        result = client.add_items("own", items())
        assert result.accepted + result.already_there == 20_000
        assert client.get_pool("own").items == 20_000
        found = client.get_items("own", [f"i{number}" for number in range(0, 20_000, 2_000)])
        assert [item.text for item in found.items] == [f"text {number}" for number in range(0, 20_000, 2_000)]
