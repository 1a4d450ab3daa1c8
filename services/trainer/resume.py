"""Checkpoints to go on from, inside a job's folder.

    attempt-<token>/checkpoint-<step>/      what transformers' Trainer wrote
    attempt-<token>/checkpoint-<step>/complete.json     written last: without it the rest may be torn

Each attempt writes into a folder of its own: one that does not know yet that it is out cannot spoil another's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from services.trainer.folder import make_durable, remove

_COMPLETE = "complete.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Resume:
    """Where a job goes on that was interrupted.

    Attributes:
        checkpoint: a folder that transformers' Trainer wrote.
        step: optimizer steps in it.
        seconds: the training in it.
    """

    checkpoint: Path
    step: int
    seconds: float


def keep(checkpoint: Path, *, step: int, seconds: float) -> None:
    """Makes a checkpoint that was just written the one to go on from, durably, and removes the others of the job."""
    make_durable(checkpoint)
    (checkpoint / _COMPLETE).write_text(json.dumps({"step": step, "seconds": seconds}), encoding="utf-8")
    make_durable(checkpoint)
    _remove_others(checkpoint)


def newest(job_folder: Path) -> Resume | None:
    """Returns the furthest complete checkpoint of a job, and removes what else earlier attempts left."""
    found: list[Resume] = []
    for marker in job_folder.glob(f"attempt-*/checkpoint-*/{_COMPLETE}"):
        try:
            values = json.loads(marker.read_text(encoding="utf-8"))
            found.append(Resume(checkpoint=marker.parent, step=values["step"], seconds=values["seconds"]))
        except (OSError, ValueError, KeyError):
            continue
    if not found:
        for attempt in job_folder.glob("attempt-*"):
            remove(attempt)
        return None
    best = max(found, key=lambda one: one.step)
    _remove_others(best.checkpoint)
    return best


def _remove_others(checkpoint: Path) -> None:
    attempt = checkpoint.parent
    for other in attempt.parent.glob("attempt-*"):
        if other != attempt:
            remove(other)
    for other in attempt.glob("checkpoint-*"):
        if other != checkpoint:
            remove(other)
