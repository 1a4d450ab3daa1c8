"""One attempt at a job: from its claim to a final state, or back into the queue."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from services.trainer import resume
from services.trainer.errors import LeaseLost, Stopped, StoreUnavailable
from services.trainer.failures import failure_of
from services.trainer.files import JobFiles
from services.trainer.folder import remove, written_aside
from services.trainer.inputs import Inputs
from services.trainer.job import Definition, JobState
from services.trainer.keeper import Keeper, Stop
from services.trainer.leases import Leases, Renewed
from services.trainer.metrics import Metrics
from services.trainer.recipe import Recipe
from services.trainer.resume import Resume
from services.trainer.text import Text

LOGGER = logging.getLogger(__name__)
_PAUSES = (0.1, 0.2, 0.5, 1.0)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """A fine-tuned model.

    Attributes:
        metrics: what it reached; None without evaluation items.
        seconds: of training.
        recipe: what was really used.
        save: writes the model into a folder.
    """

    metrics: Metrics | None
    seconds: float
    recipe: Recipe
    save: Callable[[Path], None]


class Learn(Protocol):
    """Who fine-tunes; raises Stopped when the keeper asks for it."""

    def __call__(
        self,
        inputs: Inputs,
        texts: Sequence[Text],
        *,
        backbone: Path,
        folder: Path,
        resume: Resume | None,
        keeper: Keeper,
    ) -> Learned:
        """Fine-tunes the backbone on the labeled texts; writes checkpoints to go on from into `folder`."""


class Queue(Protocol):
    """Where other workers hear of a job."""

    def put(self, job_id: str) -> None:
        """Lets a worker know of a job."""


class Items(Protocol):
    """Who has the texts."""

    def texts(self, definition: Definition, item_ids: Sequence[str]) -> list[Text]:
        """Returns the texts of a job's items, in the order asked."""


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What an attempt works with.

    Attributes:
        leases: who works on which job.
        tickets: where other workers hear of a job that is given back.
        files: the jobs' folders.
        pools: the texts.
        locate: a backbone's folder, fetched when it is not on this machine; raises BackboneNotLoadable.
        learn: fine-tunes.
    """

    leases: Leases
    tickets: Queue
    files: JobFiles
    pools: Items
    locate: Callable[[str], Path]
    learn: Learn


def work_on(job_id: str, token: str, keeper: Keeper, workshop: Workshop) -> None:
    """Works on a job that `token` has claimed until it has ended, is given back, or is somebody else's.

    Nothing is recorded, and no result put in place, once the lease is lost.
    """
    log = {"job": job_id}
    try:
        inputs = workshop.files.read(job_id)
        learned = _learn(inputs, token, keeper, workshop)
        _place(inputs, learned, token, keeper, workshop)
        state = patiently(
            lambda: workshop.leases.succeed(job_id, token, metrics=learned.metrics, seconds=learned.seconds)
        )
        if state is JobState.CANCELLED:
            remove(workshop.files.checkpoint(job_id))
    except LeaseLost:
        LOGGER.warning("the job is another attempt's by now", extra=log)
        return
    except Stopped:
        if not give_up(job_id, token, keeper.why, workshop):
            return
        state = JobState.CANCELLED
    except Exception as error:  # every failure of a job ends as its state
        LOGGER.exception("the job failed", extra=log)
        failure = failure_of(error, workshop.files.folder(job_id))
        try:
            state = patiently(lambda: workshop.leases.fail(job_id, token, failure))
        except LeaseLost:
            return
    LOGGER.info("the job is %s", state.value, extra=log)
    workshop.files.delete_attempts(job_id)


def give_up(job_id: str, token: str, why: Stop | None, workshop: Workshop, *, patience: float = float("inf")) -> bool:
    """Does what is left of a stopped attempt; returns whether the job has ended by it.

    Raises:
        StoreUnavailable: Redis stayed away for `patience` seconds.
    """
    if why is Stop.CANCELLED:
        with suppress(LeaseLost):
            patiently(lambda: workshop.leases.stop(job_id, token), seconds=patience)
            return True
    elif why in (Stop.HANDED_BACK, Stop.WORKER_GONE) and patiently(
        lambda: workshop.leases.give_back(job_id, token, died=False), seconds=patience
    ):
        LOGGER.info("the job is given back", extra={"job": job_id})
        patiently(lambda: workshop.tickets.put(job_id), seconds=patience)
    return False


def patiently(call: Callable[[], T], *, seconds: float = float("inf")) -> T:
    """Returns what `call` does, waiting for Redis for up to `seconds`. Raises StoreUnavailable after that."""
    begun = time.monotonic()
    tries = 0
    while True:
        try:
            return call()
        except StoreUnavailable:
            if time.monotonic() - begun > seconds:
                raise
            time.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1


def _learn(inputs: Inputs, token: str, keeper: Keeper, workshop: Workshop) -> Learned:
    definition = inputs.definition
    texts = workshop.pools.texts(definition, [one.item_id for one in inputs.labeled])
    keeper.check()
    backbone = workshop.locate(definition.backbone)
    keeper.check()
    folder = workshop.files.folder(definition.id)
    learned = workshop.learn(
        inputs,
        texts,
        backbone=backbone,
        folder=folder / f"attempt-{_short(token)}",
        resume=resume.newest(folder),
        keeper=keeper,
    )
    keeper.check()
    return learned


def _place(inputs: Inputs, learned: Learned, token: str, keeper: Keeper, workshop: Workshop) -> None:
    """Puts the checkpoint in its place, durably, provided that the job is still this attempt's."""
    definition = inputs.definition
    with written_aside(workshop.files.checkpoint(definition.id), _short(token)) as aside:
        learned.save(aside)
        facts = {"backbone": definition.backbone, "labels": definition.labels, "items": definition.items}
        _write(aside / "recipe.json", {**learned.recipe.to_json(), **facts})
        metrics = learned.metrics.to_json() if learned.metrics else {}
        _write(aside / "metrics.json", {**metrics, "training_seconds": learned.seconds})
        # Once more, and with the last step.
        if patiently(lambda: workshop.leases.renew(definition.id, token, progress=keeper.progress)) is Renewed.LOST:
            raise LeaseLost


def _short(token: str) -> str:
    """Returns the part of a token that is the attempt's own."""
    return token.rpartition("/")[2]


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, ensure_ascii=False, indent=2), encoding="utf-8")
