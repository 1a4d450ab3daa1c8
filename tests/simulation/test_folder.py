"""Options, tasks and folders: what is refused before any work, and what survives the end of the process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from prepal.simulation import OtherSimulationError, Point, Row, SimulationOptions
from prepal.simulation.folder import Folder, RunLog
from prepal.simulation.task import digest, limited, pool_name, task_of

OPTIONS = SimulationOptions(start=2, step=2, rounds=2, seeds=1)
POINT = Point(
    protocol="AL+LR", acquisition="random", seed=0, labels=2, accuracy=0.5, macro_f1=0.4, fit_s=0.1, acquire_s=0.2
)


def rows(count: int, *, labels: str = "ab", pair: str | None = None) -> list[Row]:
    return [Row(f"r{n}", f"text {n}", pair, labels[n % len(labels)], n + 2) for n in range(count)]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("start", 0, "start must be between 1 and 1,000, got 0"),
        ("step", 1_001, "step must be between 1 and 1,000, got 1,001"),
        ("rounds", -1, "rounds must be between 0 and 100,000, got -1"),
        ("seeds", 0, "seeds must be between 1 and 1,000, got 0"),
        ("parallel", 65, "parallel must be between 1 and 64, got 65"),
        ("patience", -1.0, "patience must be between 0 and 86,400, got -1.0"),
        ("backbone", "", "backbone must not be empty"),
        ("acquisitions", (), "acquisitions must be at least one, each once, got none"),
        ("acquisitions", ("random", "RANDOM"), "acquisitions must be at least one, each once, got random, random"),
        ("acquisitions", ("best",), "acquisition must be one of random, max_entropy"),
        ("pairs", "both", "pairs must be one of joint, compare, full, auto, got 'both'"),
    ],
)
def test_an_option_out_of_range_names_field_limit_and_value(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        replace(OPTIONS, **{field: value})  # type: ignore[arg-type]
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("train", "test", "options", "message"),
    [
        ([], rows(2), OPTIONS, "train has no items"),
        (rows(9), [], OPTIONS, "test has no items"),
        (rows(9), rows(2, pair="x"), OPTIONS, "must both hold"),
        ([*rows(9), Row("x", "y", None, None, 11)], rows(2), OPTIONS, 'train item "x" has no label'),
        (rows(9, labels="a"), rows(2, labels="a"), OPTIONS, "between 2 and 1,000 different labels, got 1"),
        (rows(5), rows(2), OPTIONS, "is 6 labels, but train has 5 items; lower rounds to 1"),
        (rows(1), rows(2), OPTIONS, "lower start"),
        (rows(9), rows(2), replace(OPTIONS, pairs="full"), "pairs is full, but the items have no text_pair"),
    ],
)
def test_items_that_do_not_suit_the_options_are_refused(
    train: list[Row], test: list[Row], options: SimulationOptions, message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        task_of(train, test, options)
    assert message in str(caught.value)


def test_a_task_has_the_labels_of_both_parts_and_names_those_that_cannot_be_learned() -> None:
    task = task_of(rows(9, labels="ba"), rows(3, labels="cab"), OPTIONS)
    assert task.labels == ("a", "b", "c")
    assert task.unlearnable == ["c"]


def test_the_pool_is_named_by_texts_backbone_and_pair_mode_and_not_by_labels() -> None:
    name = pool_name(rows(3), OPTIONS, pairs=False)
    assert name == pool_name(rows(3, labels="xy"), OPTIONS, pairs=False)
    others = [
        pool_name(rows(4), OPTIONS, pairs=False),
        pool_name(rows(3), replace(OPTIONS, backbone="org/model"), pairs=False),
        pool_name(rows(3), replace(OPTIONS, backbone="org-model"), pairs=False),
        pool_name(rows(3), OPTIONS, pairs=True),
        pool_name(rows(3), replace(OPTIONS, pairs="full"), pairs=True),
    ]
    assert len({name, *others}) == 6
    assert all(set(other) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(other) <= 128 for other in others)


def test_a_digest_keeps_neighbouring_fields_apart() -> None:
    assert digest([Row("ab", "c", None, None, 1)], labels=False) != digest(
        [Row("a", "bc", None, None, 1)], labels=False
    )
    assert digest([Row("a", "b", None, None, 1)], labels=False) != digest([Row("a", "b", "", None, 1)], labels=False)


def test_a_limit_takes_some_of_every_label_of_a_sorted_file() -> None:
    part = limited([Row(f"r{n}", "t", None, "a" if n < 50 else "b", n) for n in range(100)], 20)
    assert len(part) == 20
    assert {row.label for row in part} == {"a", "b"}
    assert [row.line for row in part] == sorted(row.line for row in part)
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        limited([], 0)


def folder(path: Path, options: SimulationOptions = OPTIONS, train: int = 9) -> Folder:
    return Folder(path, task_of(rows(train), rows(3), options), options, "AL+LR")


def test_a_folder_keeps_its_name_and_what_its_runs_did(tmp_path: Path) -> None:
    first = folder(tmp_path / "out")
    first.log("random", 0).select(["r1", "r2"])
    first.log("random", 0).measure(POINT)
    again = folder(tmp_path / "out")
    assert again.name == first.name
    assert again.log("random", 0).selected == [["r1", "r2"]]
    assert again.curves().points == (POINT,)
    assert folder(tmp_path / "other").name != first.name


def test_a_folder_of_another_configuration_is_refused_with_what_differs(tmp_path: Path) -> None:
    folder(tmp_path)
    with pytest.raises(OtherSimulationError, match="step was 2, now 1"):
        folder(tmp_path, replace(OPTIONS, step=1))
    with pytest.raises(OtherSimulationError, match=r"train was 9 items, digest .* now 10 items"):
        folder(tmp_path, train=10)
    # How fast it runs is no part of what it is.
    folder(tmp_path, replace(OPTIONS, parallel=7, patience=0))


def test_a_folder_with_somebody_elses_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(OtherSimulationError, match=r"holds thesis\.txt"):
        folder(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_broken_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "simulation.json").write_text("{")
    with pytest.raises(OtherSimulationError, match="cannot be read"):
        folder(tmp_path)


@pytest.mark.parametrize("rest", [b'{"selected": ["r3"', b'{"selected": ["r3"]}', b"\x00\x00\n", b'{"point": {}}\n'])
def test_half_a_line_at_the_end_of_a_log_is_done_again(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "random-0.jsonl"
    log = RunLog(path)
    log.select(["r1", "r2"])
    log.measure(POINT)
    whole = path.read_bytes()
    path.write_bytes(whole + rest)
    again = RunLog(path)
    assert (again.selected, again.points) == ([["r1", "r2"]], [POINT])
    assert path.read_bytes() == whole
    again.select(["r3", "r4"])
    assert RunLog(path).selected == [["r1", "r2"], ["r3", "r4"]]


def test_curves_come_in_the_order_of_the_configuration_whatever_was_first(tmp_path: Path) -> None:
    options = replace(OPTIONS, acquisitions=("margin", "random"), seeds=2)
    runs = folder(tmp_path, options)
    for name, seed in (("random", 1), ("margin", 1), ("random", 0), ("margin", 0)):
        runs.log(name, seed).measure(replace(POINT, acquisition=name, seed=seed))
    runs.write_curves(now=True)
    order = [tuple(line.split(",")[1:3]) for line in (tmp_path / "curves.csv").read_text().splitlines()[1:]]
    assert order == [("margin", "0"), ("margin", "1"), ("random", "0"), ("random", "1")]
