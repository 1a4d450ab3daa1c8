"""`prepal demo` on a real suite, with a person's own files: curves, a fine-tuned model, and nothing done twice."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from prepal.demo import command

from tests.up import Up


def run(*flags: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([*flags]))


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    words = {"film": ("a fine film", "a dull film"), "meal": ("a tasty meal", "a stale meal")}
    for name, count in (("train", 110), ("test", 40)):
        lines = [
            f"{name}{n}\t{words[('film', 'meal')[n % 2]][n // 2 % 2]}, number {n}\t{('film', 'meal')[n % 2]}"
            for n in range(count)
        ]
        (tmp_path / f"{name}.tsv").write_text("id\ttext\tlabel\n" + "\n".join(lines) + "\n")
    out = tmp_path / "out"
    return ["--train", str(tmp_path / "train.tsv"), "--test", str(tmp_path / "test.tsv"), "--out", str(out)]


def test_the_demonstration_ends_with_curves_and_a_fine_tuned_model_and_is_shown_again_without_a_suite(
    suite: Up, files: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, address in suite.addresses.items():
        monkeypatch.setenv(f"PREPAL_{name.upper()}", address)
    assert run(*files) == 0
    printed, told = capsys.readouterr()
    assert [line[:5] for line in told.splitlines() if line.startswith("[")] == [f"[{n}/5]" for n in range(1, 6)]
    assert "110 to choose from and 40 to test on" in told
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("|")]
    assert [row[0] for row in rows] == [
        "after 100 labels",
        "-" * len(rows[1][0]),
        "logistic regression, labels chosen by random",
        "logistic regression, labels chosen by max_entropy",
        "fine-tuned transformer, labels chosen by max_entropy",
    ]
    assert rows[2][1] == "100.0 ± 0.0"
    assert float(rows[4][1]) > 50
    out = Path(files[-1])
    assert {"curves.csv", "curves.png", "curves.svg", "fine_tuning.json", "summary.md"} <= {
        f.name for f in out.iterdir()
    }

    for name in suite.addresses:
        monkeypatch.setenv(f"PREPAL_{name.upper()}", "localhost:1")
    assert run(*files) == 0
    assert capsys.readouterr().out == printed


def test_one_file_without_the_other_is_refused(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*files[:2]) == 2
    assert "--train and --test belong together" in capsys.readouterr().err


def test_too_few_items_are_refused(tmp_path: Path, files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lines = (tmp_path / "train.tsv").read_text().splitlines()
    (tmp_path / "train.tsv").write_text("\n".join(lines[:31]) + "\n")
    assert run(*files) == 2
    assert "train has 30 items" in capsys.readouterr().err
