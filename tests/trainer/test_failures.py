"""What an exception means for a job; the exceptions are real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from services.backbones import BackboneNotLoadable
from services.trainer.errors import Diverged, ItemsMissing, ModelNotLoadable
from services.trainer.failures import failure_of
from services.trainer.job import FailureReason

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.is_char_device(), reason="needs /dev/full, a disk that is always full")


def raised(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


def write_to_a_full_disk() -> None:
    with FULL.open("wb") as file:
        file.write(b"x" * 100_000)


@needs_full
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    failure = failure_of(raised(write_to_a_full_disk), tmp_path)
    assert failure.reason is FailureReason.OUT_OF_DISK
    assert "make room" in failure.message


@needs_full
def test_a_full_disk_is_told_when_torch_meets_it(tmp_path: Path) -> None:
    (tmp_path / "optimizer.pt").symlink_to(FULL)
    error = raised(lambda: torch.save({"weight": torch.zeros(1_000_000)}, tmp_path / "optimizer.pt"))
    assert failure_of(error, tmp_path).reason is FailureReason.OUT_OF_DISK


def test_a_full_disk_is_told_when_safetensors_meets_it(tmp_path: Path) -> None:
    # It writes beside its target and renames, so that no device can stand in for the disk: its words, as seen on one.
    error = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert failure_of(error, tmp_path).reason is FailureReason.OUT_OF_DISK


@needs_full
def test_a_cause_counts(tmp_path: Path) -> None:
    def fail() -> None:
        try:
            write_to_a_full_disk()
        except OSError as error:
            raise RuntimeError("saving failed") from error

    assert failure_of(raised(fail), tmp_path).reason is FailureReason.OUT_OF_DISK


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Diverged("the loss", 7), FailureReason.DIVERGED),
        (ItemsMissing("films", ["i1"], 3), FailureReason.ITEMS_MISSING),
        (BackboneNotLoadable("x", ["the hub"], "name another"), FailureReason.BACKBONE_NOT_LOADABLE),
        (ModelNotLoadable("no head"), FailureReason.BACKBONE_NOT_LOADABLE),
    ],
)
def test_what_the_trainer_foresees_keeps_its_words(error: Exception, reason: FailureReason, tmp_path: Path) -> None:
    failure = failure_of(error, tmp_path)
    assert failure.reason is reason
    assert failure.message == str(error)
    assert not list(tmp_path.iterdir())


def test_what_nobody_foresaw_leaves_its_traceback_and_no_detail_in_the_answer(tmp_path: Path) -> None:
    failure = failure_of(raised(lambda: {}["secret-detail"]), tmp_path)
    assert failure.reason is FailureReason.INTERNAL
    assert failure.message.startswith("the job failed unexpectedly (KeyError); the details are in error.txt")
    assert "secret-detail" in (tmp_path / "error.txt").read_text()


def test_memory_that_runs_out_is_told_with_the_remedy(tmp_path: Path) -> None:
    failure = failure_of(raised(lambda: torch.empty(2**55)), tmp_path)
    assert failure.reason is FailureReason.INTERNAL
    assert failure.message.startswith("memory ran out; lower recipe.batch_size or recipe.max_length")


def test_missing_items_are_named_up_to_five() -> None:
    message = str(ItemsMissing("films", [f"i{number}" for number in range(9)], 20))
    assert message == (
        "9 of the 20 labeled items are not in pool 'films': 'i0', 'i1', 'i2', 'i3', 'i4', …; "
        "add them again and start another job"
    )
