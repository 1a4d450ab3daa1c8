"""A job's files.

    DATA/jobs/<job>/definition.json     what it is to do
    DATA/jobs/<job>/labels.jsonl        item_id, label: a line a labeled item
    DATA/jobs/<job>/evaluation.jsonl    text, text_pair, label: a line a text
    DATA/jobs/<job>/attempt-<token>/    checkpoints to go on from, while it runs
    DATA/jobs/<job>/checkpoint/         the result: a Hugging Face folder
    DATA/jobs/<job>/error.txt           the traceback of a job that failed unexpectedly

The first three are written before the job is acknowledged, and never again.
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from services.trainer.errors import JobNotFound, OutOfDisk
from services.trainer.folder import DELETED, WRITING, remove, written_aside
from services.trainer.inputs import EvaluationText, Inputs, LabeledItem
from services.trainer.job import Definition

# Younger ones may be jobs that are about to be acknowledged.
_ORPHAN_SECONDS = 3600.0


class JobFiles:
    """The folders of all jobs.

    Args:
        data: the data folder; its `jobs` is made when it is not there.
    """

    def __init__(self, data: Path) -> None:
        self._jobs = data / "jobs"
        self._jobs.mkdir(parents=True, exist_ok=True)

    def folder(self, job_id: str) -> Path:
        """Returns a job's folder. `job_id` must be one that the store knows."""
        return self._jobs / job_id

    def checkpoint(self, job_id: str) -> Path:
        """Returns the folder of a job's result."""
        return self._jobs / job_id / "checkpoint"

    def write(self, inputs: Inputs) -> None:
        """Writes a job's folder, durably, in one step. Raises OutOfDisk."""
        try:
            self._write(inputs)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OutOfDisk(
                    "the disk of the trainer's data folder is full; make room (DeleteJob removes a job with its "
                    "checkpoint) and try again"
                ) from error
            raise

    def _write(self, inputs: Inputs) -> None:
        with written_aside(self.folder(inputs.definition.id), "inputs") as aside:
            text = json.dumps(inputs.definition.to_json(), ensure_ascii=False, indent=2)
            (aside / "definition.json").write_text(text, encoding="utf-8")
            _write_lines(
                aside / "labels.jsonl", ({"item_id": one.item_id, "label": one.label} for one in inputs.labeled)
            )
            _write_lines(
                aside / "evaluation.jsonl",
                ({"text": one.text, "text_pair": one.text_pair, "label": one.label} for one in inputs.evaluation),
            )

    def read(self, job_id: str) -> Inputs:
        """Returns what `write` wrote. Raises JobNotFound when the folder is not there."""
        folder = self.folder(job_id)
        try:
            return Inputs(
                definition=Definition.from_json(json.loads((folder / "definition.json").read_text(encoding="utf-8"))),
                labeled=[LabeledItem(one["item_id"], one["label"]) for one in _lines(folder / "labels.jsonl")],
                evaluation=[
                    EvaluationText(one["text"], one["text_pair"], one["label"])
                    for one in _lines(folder / "evaluation.jsonl")
                ],
            )
        except FileNotFoundError as error:
            raise JobNotFound(f"the folder of job {job_id} is not there") from error

    def delete(self, job_id: str) -> None:
        """Removes a job's folder with all that is in it."""
        remove(self.folder(job_id))

    def delete_attempts(self, job_id: str) -> None:
        """Removes the checkpoints to go on from, and what interrupted attempts left."""
        folder = self.folder(job_id)
        for attempt in [*folder.glob("attempt-*"), *folder.glob(f"{DELETED}*"), *folder.glob(f"{WRITING}*")]:
            remove(attempt)

    def job_ids(self) -> list[str]:
        """Returns the names of the folders that are old enough to belong to an acknowledged job, sorted."""
        old = time.time() - _ORPHAN_SECONDS
        return sorted(
            path.name for path in self._jobs.iterdir() if not path.name.startswith(".") and _changed(path) < old
        )

    def delete_leftovers(self) -> None:
        """Removes what interrupted writes and deletions left."""
        old = time.time() - _ORPHAN_SECONDS
        for path in self._jobs.iterdir():
            if path.name.startswith(DELETED) or (path.name.startswith(WRITING) and _changed(path) < old):
                remove(path)


def _write_lines(path: Path, values: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()
