"""A person's first day with the command line, against the real suite."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.up import Up

GOOD, BAD = (
    ["a fine film", "what a joy", "superb acting", "a warm play"],
    ["a dull one", "what a bore", "awful", "cold"],
)


@pytest.fixture
def run_real(run: Run, suite: Up, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs `prepal` with the real suite's addresses, and cleans up."""
    for service, address in suite.addresses.items():
        monkeypatch.setenv(f"PREPAL_{service.upper()}", address)
    yield run
    run("projects", "delete", "day-one")
    run("pools", "delete", "day-one-reviews")


def test_from_a_file_to_a_fine_tuned_model(run_real: Run, tmp_path: Path) -> None:
    def do(line: str) -> str:
        ran = run_real(*line.split())
        assert ran.status == 0, f"{line}: {ran.err}"
        return ran.out

    texts = [(f"r{row}", text, "good" if text in GOOD else "bad") for row, text in enumerate([*GOOD, *BAD])]
    file = tmp_path / "reviews.tsv"
    file.write_text("id\ttext\tlabel\n" + "".join("\t".join(row) + "\n" for row in texts))

    assert do("status").count("serving") == 3
    assert do(f"add day-one-reviews {file}") == "8 added; pool day-one-reviews has 8 items\n"
    assert do(f"add day-one-reviews {file}") == "0 added, 8 already there; pool day-one-reviews has 8 items\n"
    assert "day-one-reviews" in do("pools")
    do("projects create day-one --pool day-one-reviews --label bad --label good")
    chosen = [line.split("\t")[0] for line in do("select day-one -k 3 --annotator ann").splitlines()]
    assert len(set(chosen)) == 3
    assert do(f"label day-one --file {file}") == "8 recorded; project day-one has 8 labeled items\n"
    assert "labeled      8 (bad 4, good 4)" in do("projects show day-one")
    assert do(f"label day-one --clear {chosen[0]}").startswith("1 recorded; project day-one has 7")
    assert json.loads(do("select day-one --json"))["items"][0]["id"] == chosen[0]
    exported = do("export day-one --format jsonl").splitlines()
    assert {(row["id"], row["label"]) for row in map(json.loads, exported)} == {
        (name, label) for name, _, label in texts if name != chosen[0]
    }
    predicted = do("predict day-one --pool day-one-reviews").splitlines()[1:]
    right = sum(line.split("\t")[1] == label for line, (_, _, label) in zip(predicted, texts, strict=True))
    assert right >= 7
    trained = do(f"train day-one --epochs 1 --evaluation {file} --out {tmp_path / 'model'}")
    assert "succeeded in" in trained
    assert "on 8 items" in trained
    assert (tmp_path / "model" / "config.json").exists()
    job = json.loads(do("jobs --project day-one --json"))[0]["id"]
    assert "succeeded" in do(f"jobs show {job}")
    do(f"jobs delete {job}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("select nothing-here", "nothing-here"),
        ("label nothing-here a=b", "nothing-here"),
        ("train nothing-here", "nothing-here"),
        ("pools show nothing-here", "nothing-here"),
        ("jobs show nothing-here", "nothing-here"),
        ("projects create x --pool nothing-here --label a --label b", "nothing-here"),
        ("projects create day-one --pool nothing-here --label a", "label"),
        ("select nothing-here -k 0", "k must be between 1 and"),
    ],
)
def test_what_does_not_exist_or_may_not_be_is_one_sentence_that_names_it(
    run_real: Run, line: str, message: str
) -> None:
    ran = run_real(*line.split())
    assert ran.status == 1
    assert ran.out == ""
    assert ran.err.startswith("prepal: ")
    assert message in ran.err
    assert ran.err.count("\n") == 1
