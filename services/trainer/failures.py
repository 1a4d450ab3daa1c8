"""What an attempt's exception means for its job."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path

from services.backbones import BackboneNotLoadable
from services.trainer.errors import Diverged, ItemsMissing, ModelNotLoadable
from services.trainer.job import Failure, FailureReason

_FULL = (errno.ENOSPC, errno.EDQUOT)
# safetensors and torch tell of a full disk by their own exceptions, with the system's words inside.
# torch only says that a write came back short, which is what a full disk does.
_FULL_WORDS = ("no space left on device", "disk quota exceeded", "inline_container.cc")
_TRACEBACK = "error.txt"


def failure_of(error: BaseException, job_folder: Path) -> Failure:
    """Returns why a job fails; the traceback of what nobody foresaw is left in the job's folder."""
    if isinstance(error, Diverged):
        return Failure(FailureReason.DIVERGED, str(error))
    if isinstance(error, ItemsMissing):
        return Failure(FailureReason.ITEMS_MISSING, str(error))
    if isinstance(error, BackboneNotLoadable | ModelNotLoadable):
        return Failure(FailureReason.BACKBONE_NOT_LOADABLE, str(error))
    if _disk_full(error):
        return Failure(
            FailureReason.OUT_OF_DISK,
            "the disk of the data folder is full; make room (DeleteJob removes a job with its checkpoint) and start "
            "another job",
        )
    return Failure(FailureReason.INTERNAL, _unforeseen(error, job_folder))


def _disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(words in str(error).lower() for words in _FULL_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def _unforeseen(error: BaseException, job_folder: Path) -> str:
    kind = type(error).__name__
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError" or "can't allocate memory" in str(error):
        remedy = "memory ran out; lower recipe.batch_size or recipe.max_length"
    else:
        remedy = f"the job failed unexpectedly ({kind})"
    try:
        (job_folder / _TRACEBACK).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:
        return f"{remedy}; the worker's log has the details under the job's id"
    return f"{remedy}; the details are in {_TRACEBACK} of the job's folder, and in the worker's log under the job's id"
