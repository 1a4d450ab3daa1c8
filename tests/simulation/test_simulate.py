"""Simulations on a real suite: what comes out, and that an end in the middle changes nothing of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import prepal
import pytest
from prepal.simulation import (
    Curves,
    ItemsRejectedError,
    OtherSimulationError,
    Row,
    SimulationOptions,
    read_curves,
    simulate,
)
from prepal.simulation.folder import RunLog
from prepal.simulation.simulate import kept_curves
from prepal.simulation.task import task_of

from tests.up import Up


def rows(count: int, offset: int) -> list[Row]:
    """Texts whose label is nearly told by a word, so that there is something to learn and something to doubt."""
    found = []
    for n in range(offset, offset + count):
        good = n % 3 == 0
        word = ("good", "fine")[n % 2] if good != (n % 11 == 0) else ("bad", "dull")[n % 2]
        text = f"{word} {word} {('film', 'plot')[n // 2 % 2]} {n}"
        found.append(Row(f"r{n}", text, None, "positive" if good else "negative", n))
    return found


TRAIN, TEST = rows(150, 0), rows(60, 1_000)


@pytest.fixture(scope="module")
def options(tiny_bert: Path) -> SimulationOptions:
    return SimulationOptions(start=6, step=5, rounds=4, seeds=2, backbone=str(tiny_bert), parallel=1)


@pytest.fixture(scope="module")
def client(suite: Up) -> Iterator[prepal.Client]:
    with suite.client() as client:
        yield client


@pytest.fixture(scope="module")
def undisturbed(client: prepal.Client, options: SimulationOptions) -> Curves:
    return simulate(client, TRAIN, TEST, options)


def measured(curves: Curves) -> list[tuple[object, ...]]:
    """The points without their times."""
    return [(p.protocol, p.acquisition, p.seed, p.labels, p.accuracy, p.macro_f1) for p in curves.points]


def test_every_run_has_a_point_for_each_round_and_a_start_shared_by_its_seed(undisturbed: Curves) -> None:
    assert [(p.acquisition, p.seed, p.labels) for p in undisturbed.points] == [
        (acquisition, seed, labels)
        for acquisition in ("max_entropy", "random")
        for seed in (0, 1)
        for labels in (6, 11, 16, 21, 26)
    ]
    starts = {(p.acquisition, p.seed): p.accuracy for p in undisturbed.points if p.labels == 6}
    assert starts["max_entropy", 0] == starts["random", 0]
    assert starts["max_entropy", 1] == starts["random", 1]
    assert all(0 <= p.accuracy <= 1 and 0 <= p.macro_f1 <= 1 and p.acquire_s > 0 for p in undisturbed.points)
    assert any(p.fit_s > 0 for p in undisturbed.points)
    # Else a comparison with these points would compare nothing.
    assert len({p.accuracy for p in undisturbed.points}) > 5


def test_results_do_not_depend_on_how_many_runs_go_at_a_time(
    client: prepal.Client, options: SimulationOptions, undisturbed: Curves
) -> None:
    assert measured(simulate(client, TRAIN, TEST, replace(options, parallel=4))) == measured(undisturbed)


def test_pools_are_kept_and_projects_are_not_unless_asked_for(
    client: prepal.Client, options: SimulationOptions, undisturbed: Curves, tmp_path: Path
) -> None:
    pools = {pool.name: pool.version for pool in client.pools() if pool.name.startswith("sim-")}
    # The suite is shared: what other tests left is theirs.
    before = {project.name for project in client.projects()}
    said: list[str] = []
    simulate(
        client, TRAIN, TEST, replace(options, rounds=0, keep_projects=True), out=tmp_path / "out", tell=said.append
    )
    assert not [sentence for sentence in said if "embedding" in sentence]
    assert {pool.name: pool.version for pool in client.pools() if pool.name.startswith("sim-")} == pools
    kept = sorted({project.name for project in client.projects()} - before)
    assert len(kept) == 4
    for name in kept:
        assert client.get_project(name).labeled == 6
        client.delete_project(name)


class Interrupted(Exception):
    pass


class Interrupting:
    """A client whose nth call does not come back: it is not made, or its answer is lost."""

    def __init__(self, client: prepal.Client, last: int, *, answer_lost: bool) -> None:
        self._client = client
        self._left = last
        self._answer_lost = answer_lost

    def __getattr__(self, name: str) -> Callable[..., object]:
        call = getattr(self._client, name)

        def interrupted(*args: object, **options: object) -> object:
            self._left -= 1
            if self._left == 0 and not self._answer_lost:
                raise Interrupted
            answer = call(*args, **options)
            if self._left == 0:
                raise Interrupted
            return answer

        return interrupted


@pytest.mark.parametrize("answer_lost", [False, True])
def test_a_simulation_that_ended_anywhere_goes_on_to_the_same_points(
    client: prepal.Client, options: SimulationOptions, undisturbed: Curves, tmp_path: Path, answer_lost: bool
) -> None:
    out = tmp_path / "out"
    ends = 0
    while True:
        # Each attempt gets a little further than the one before it, and ends at another kind of call.
        broken = Interrupting(client, 6 + ends % 5, answer_lost=answer_lost)
        try:
            curves = simulate(broken, TRAIN, TEST, options, out=out)  # type: ignore[arg-type]
            break
        except Interrupted:
            ends += 1
            assert ends < 200
    assert ends > 10
    assert measured(curves) == measured(undisturbed)
    assert measured(read_curves(out / "curves.csv")) == [
        (*point[:4], pytest.approx(point[4], abs=1e-6), pytest.approx(point[5], abs=1e-6))
        for point in measured(undisturbed)
    ]


def test_a_server_that_lost_the_projects_is_brought_back_to_where_the_run_was(
    client: prepal.Client, options: SimulationOptions, undisturbed: Curves, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        simulate(Interrupting(client, 25, answer_lost=False), TRAIN, TEST, options, out=out)  # type: ignore[arg-type]
    projects = [project.name for project in client.projects() if project.name.startswith("sim-")]
    assert projects
    for name in projects:
        client.delete_project(name)
    assert measured(simulate(client, TRAIN, TEST, options, out=out)) == measured(undisturbed)


def test_labels_that_are_not_the_runs_own_are_replaced(
    client: prepal.Client, options: SimulationOptions, undisturbed: Curves, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        simulate(Interrupting(client, 25, answer_lost=False), TRAIN, TEST, options, out=out)  # type: ignore[arg-type]
    for project in [project.name for project in client.projects() if project.name.startswith("sim-")]:
        client.record_labels(project, {row.id: "positive" for row in TRAIN})
    assert measured(simulate(client, TRAIN, TEST, options, out=out)) == measured(undisturbed)


def test_a_finished_folder_is_read_and_another_configuration_refused(
    client: prepal.Client, options: SimulationOptions, tmp_path: Path
) -> None:
    out, short = tmp_path / "out", replace(options, rounds=1, seeds=1)
    curves = simulate(client, TRAIN, TEST, short, out=out)
    assert kept_curves(task_of(TRAIN, TEST, short), short, out) == curves
    assert simulate(Interrupting(client, 1, answer_lost=False), TRAIN, TEST, short, out=out) == curves  # type: ignore[arg-type]
    with pytest.raises(OtherSimulationError, match="step was 5, now 4"):
        simulate(client, TRAIN, TEST, replace(short, step=4), out=out)


def test_a_start_with_labels_of_one_class_predicts_that_class(
    client: prepal.Client, options: SimulationOptions
) -> None:
    one = replace(options, start=1, step=1, rounds=1, seeds=1, acquisitions=("random",))
    first = simulate(client, TRAIN, TEST, one).points[0]
    shares = {label: sum(row.label == label for row in TEST) / len(TEST) for label in ("positive", "negative")}
    assert first.labels == 1
    assert first.accuracy in shares.values()


def test_pairs_are_embedded_as_pairs(client: prepal.Client, options: SimulationOptions) -> None:
    train, test = ([replace(row, text_pair=f"a film {row.id}") for row in part] for part in (TRAIN, TEST))
    curves = simulate(client, train, test, replace(options, rounds=1, seeds=1, pairs="compare"))
    assert len(curves.points) == 4
    [pool] = [pool for pool in client.pools() if "-compare-" in pool.name and pool.items == len(TRAIN)]
    assert pool.dimension == 64


def test_items_that_the_embedder_refuses_are_named(client: prepal.Client, options: SimulationOptions) -> None:
    bad = Row("bad\nid", "a text", None, "positive", 77)
    with pytest.raises(ItemsRejectedError, match=r"1 of 151 train items were refused.*line 77"):
        simulate(client, [*TRAIN, bad], TEST, options)


def test_a_backbone_that_is_not_there_fails_before_anything_is_embedded(
    client: prepal.Client, options: SimulationOptions, tmp_path: Path
) -> None:
    with pytest.raises(prepal.errors.FailedPrecondition) as caught:
        simulate(client, TRAIN, TEST, replace(options, backbone=str(tmp_path / "none")))
    assert caught.value.reason == "BACKBONE_NOT_LOADABLE"


COMMAND = """
import argparse, sys
from prepal.simulation import command
parser = argparse.ArgumentParser()
command.add_arguments(parser)
sys.exit(command.run(parser.parse_args()))
"""


def command(suite: Up, folder: Path, options: SimulationOptions) -> subprocess.Popen[str]:
    """Starts `prepal simulate` on the suite, over files in the folder."""
    for name, part in (("train", TRAIN), ("test", TEST)):
        lines = ["id\ttext\tlabel", *(f"{row.id}\t{row.text}\t{row.label}" for row in part)]
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    flags = ["--train", "train.tsv", "--test", "test.tsv", "--out", "out", "--backbone", options.backbone]
    for name in ("start", "step", "rounds", "seeds", "parallel"):
        flags += [f"--{name}", str(getattr(options, name))]
    variables = {f"PREPAL_{name.upper()}": address for name, address in suite.addresses.items()}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *flags],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_command_goes_on_when_it_is_started_again(
    suite: Up, options: SimulationOptions, tmp_path: Path
) -> None:
    long = replace(options, rounds=24)
    with suite.client() as client:
        expected = measured(simulate(client, TRAIN, TEST, long))
    killed = command(suite, tmp_path, long)
    log = tmp_path / "out" / "runs" / "max_entropy-0.jsonl"
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_bytes().count(b'"point"') >= 5):
        assert time.monotonic() < deadline
        assert killed.poll() is None
    killed.kill()
    killed.communicate()
    done = len(RunLog(log).points)
    assert 5 <= done < 25

    again = command(suite, tmp_path, long)
    printed, told = again.communicate(timeout=120)
    assert again.returncode == 0, told
    assert "going on after" in told
    assert "max_entropy" in printed
    assert "Accuracy minus random's" in printed
    curves = read_curves(tmp_path / "out" / "curves.csv")
    assert measured(curves) == [
        (*point[:4], pytest.approx(point[4], abs=1e-6), pytest.approx(point[5], abs=1e-6)) for point in expected
    ]
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"simulation.json", "runs", "curves.csv", "curves.png", "curves.svg", "stopping.csv", "summary.md"}


def test_ctrl_c_ends_the_command_in_order(suite: Up, options: SimulationOptions, tmp_path: Path) -> None:
    running = command(suite, tmp_path, replace(options, rounds=25, seeds=20))
    log = tmp_path / "out" / "runs" / "max_entropy-0.jsonl"
    deadline = time.monotonic() + 60
    while not (log.exists() and b'"point"' in log.read_bytes()):
        assert time.monotonic() < deadline
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=30)
    assert running.returncode == 130
    assert told.splitlines()[-1] == "prepal: stopped; the same command goes on from here"
    assert "Traceback" not in told
