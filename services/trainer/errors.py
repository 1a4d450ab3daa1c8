"""What can go wrong in the trainer's own words; the servicer and the worker say what a caller learns of it."""

from __future__ import annotations

from collections.abc import Sequence


class StoreUnavailable(Exception):
    """Redis cannot be reached."""


class SelectorUnavailable(Exception):
    """The selector cannot be reached, or did not answer in time."""


class PoolStoreUnavailable(Exception):
    """The pool store cannot be read."""


class ProjectNotFound(Exception):
    """There is no project of that name."""


class PoolNotFound(Exception):
    """The project's pool is not there."""


class TooFewLabels(Exception):
    """Labels of fewer than two classes: there is nothing to tell apart."""


class BackboneRequired(Exception):
    """The project's pool holds the client's own embeddings, so the request must name a backbone."""


class UnknownLabels(Exception):
    """Evaluation items carry labels that the project does not have."""


class RequestIdReused(Exception):
    """One request id with two different requests."""


class OutOfDisk(Exception):
    """The data folder's disk is full."""


class JobNotFound(Exception):
    """There is no such job."""


class JobNotEnded(Exception):
    """The job is queued or running."""


class NoCheckpoint(Exception):
    """The job has not succeeded, so it has no checkpoint."""


class ModelNotLoadable(Exception):
    """The backbone's folder holds nothing that can be fine-tuned."""


class ItemsMissing(Exception):
    """Labeled items are not in the pool any more."""

    def __init__(self, pool: str, missing: Sequence[str], labeled: int) -> None:
        shown = ", ".join(repr(item_id) for item_id in missing[:5]) + (", …" if len(missing) > 5 else "")
        super().__init__(
            f"{len(missing)} of the {labeled} labeled items are not in pool {pool!r}: {shown}; "
            "add them again and start another job"
        )


class Diverged(Exception):
    """The loss, or a weight, is not a finite number."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"training diverged: {what} is not finite at step {step}; lower recipe.learning_rate")


class LeaseLost(Exception):
    """The job is another worker's, or nobody's: nothing of this attempt may be recorded."""


class Stopped(Exception):
    """Training was asked to stop."""
