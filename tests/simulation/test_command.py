"""What `prepal simulate` refuses before it starts anything."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from prepal.simulation import command


def run(folder: Path, *flags: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    files = ["--train", str(folder / "train.tsv"), "--test", str(folder / "test.tsv"), "--out", str(folder / "out")]
    return command.run(parser.parse_args([*files, *flags]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train", "test"):
        lines = [f"{name}{n}\ttext {n}\t{'ab'[n % 2]}" for n in range(120)]
        (tmp_path / f"{name}.tsv").write_text("id\ttext\tlabel\n" + "\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--start", "0"], "start must be between 1 and 1,000, got 0"),
        (["--acquisition", "best"], "acquisition must be one of random,"),
        (["--rounds", "39"], "is 2,000 labels, but train has 120 items; lower rounds to 1"),
        (["--rounds", "1", "--limit", "0"], "limit must be at least 1, got 0"),
        (["--rounds", "1", "--limit", "60"], "train has 60 items; lower rounds to 0"),
        (["--rounds", "1", "--pairs", "full"], "the items have no text_pair"),
        (["--rounds", "1", "--test", "none.tsv"], "none.tsv: cannot be opened: No such file"),
    ],
)
def test_what_cannot_be_played_is_refused_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert run(folder, *flags) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_a_malformed_file_is_refused_with_its_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (folder / "test.tsv").open("a") as stream:
        stream.write("x\ta text\t\n")
    assert run(folder) == 2
    assert "test.tsv, line 122, column label: is empty" in capsys.readouterr().err


def test_a_folder_with_other_files_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "notes.txt").touch()
    assert run(folder, "--rounds", "1") == 2
    assert "holds notes.txt but no simulation" in capsys.readouterr().err


def test_a_suite_that_is_named_and_not_there_is_said_so(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREPAL_EMBEDDER", "localhost:1")
    assert run(folder, "--rounds", "1") == 1
    assert "embedder" in capsys.readouterr().err
