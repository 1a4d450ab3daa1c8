"""One attempt at a job: from its claim to a final state, or back into the queue."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from services.backbones import read_folder
from services.trainer import resume
from services.trainer.errors import LeaseLost, Stopped, StoreUnavailable
from services.trainer.failures import failure_of
from services.trainer.files import Inputs, JobFiles
from services.trainer.fine_tuning.encoding import encode
from services.trainer.fine_tuning.model import Classifier, new_classifier, seeded
from services.trainer.fine_tuning.prediction import predict
from services.trainer.fine_tuning.saving import save
from services.trainer.fine_tuning.training import train
from services.trainer.folder import remove, written_aside
from services.trainer.job import JobState
from services.trainer.keeper import Keeper, Stop
from services.trainer.leases import Leases, Renewed
from services.trainer.metrics import Metrics, evaluate
from services.trainer.pools import Pools
from services.trainer.text import Text
from services.trainer.tickets import Tickets

LOGGER = logging.getLogger(__name__)
_PAUSES = (0.1, 0.2, 0.5, 1.0)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What an attempt works with.

    Attributes:
        leases: who works on which job.
        tickets: where other workers hear of a job that is given back.
        files: the jobs' folders.
        pools: the texts.
        locate: a backbone's folder, fetched when it is not on this machine; raises BackboneNotLoadable.
        checkpoint_seconds: how often a checkpoint to go on from is written.
    """

    leases: Leases
    tickets: Tickets
    files: JobFiles
    pools: Pools
    locate: Callable[[str], Path]
    checkpoint_seconds: float


@dataclass(frozen=True, slots=True)
class _Outcome:
    classifier: Classifier
    metrics: Metrics | None
    seconds: float
    max_length: int


def work_on(job_id: str, token: str, keeper: Keeper, workshop: Workshop) -> None:
    """Works on a job that `token` has claimed until it has ended, is given back, or is somebody else's.

    Nothing is recorded, and no result put in place, once the lease is lost.
    """
    log = {"job": job_id}
    try:
        inputs = workshop.files.read(job_id)
        outcome = _learn(inputs, token, keeper, workshop)
        _place(inputs, outcome, token, keeper, workshop)
        state = patiently(
            lambda: workshop.leases.succeed(job_id, token, metrics=outcome.metrics, seconds=outcome.seconds)
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


def give_up(job_id: str, token: str, why: Stop | None, workshop: Workshop) -> bool:
    """Does what is left of a stopped attempt; returns whether the job has ended by it."""
    if why is Stop.CANCELLED:
        with suppress(LeaseLost):
            patiently(lambda: workshop.leases.stop(job_id, token))
            return True
    elif why in (Stop.HANDED_BACK, Stop.WORKER_GONE) and patiently(
        lambda: workshop.leases.give_back(job_id, token, died=False)
    ):
        LOGGER.info("the job is given back", extra={"job": job_id})
        patiently(lambda: workshop.tickets.put(job_id))
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


def _learn(inputs: Inputs, token: str, keeper: Keeper, workshop: Workshop) -> _Outcome:
    definition = inputs.definition
    column = {label: place for place, label in enumerate(definition.labels)}
    texts = workshop.pools.texts(definition, [one.item_id for one in inputs.labeled])
    keeper.check()
    backbone = workshop.locate(definition.backbone)
    keeper.check()
    # Where the backbone was not known when the job was started, its limit is known only now.
    max_length = min(definition.recipe.max_length, read_folder(backbone).limit)
    seed = seeded(definition.recipe.seed)
    classifier = new_classifier(backbone, definition.labels)
    keeper.check()
    folder = workshop.files.folder(definition.id)
    seconds = train(
        classifier,
        encode(classifier.tokenizer, texts, max_length, keeper.check),
        [column[one.label] for one in inputs.labeled],
        recipe=definition.recipe,
        seed=seed,
        folder=folder / f"attempt-{token.rpartition('/')[2]}",
        checkpoint_seconds=workshop.checkpoint_seconds,
        resume=resume.newest(folder),
        watch=keeper,
    )
    metrics = None
    if inputs.evaluation:
        asked = [Text(one.text, one.text_pair) for one in inputs.evaluation]
        logits = predict(classifier, encode(classifier.tokenizer, asked, max_length, keeper.check), keeper.check)
        metrics = evaluate(logits, np.array([column[one.label] for one in inputs.evaluation], dtype=np.int64))
    keeper.check()
    return _Outcome(classifier, metrics, seconds, max_length)


def _place(inputs: Inputs, outcome: _Outcome, token: str, keeper: Keeper, workshop: Workshop) -> None:
    """Puts the checkpoint in its place, durably, provided that the job is still this attempt's."""
    definition = inputs.definition
    recipe = replace(definition.recipe, max_length=outcome.max_length)
    with written_aside(workshop.files.checkpoint(definition.id), token.rpartition("/")[2]) as aside:
        save(outcome.classifier, aside, max_length=outcome.max_length)
        _write(
            aside / "recipe.json",
            {
                **recipe.to_json(),
                "backbone": definition.backbone,
                "labels": definition.labels,
                "items": definition.items,
            },
        )
        metrics = outcome.metrics.to_json() if outcome.metrics else {}
        _write(aside / "metrics.json", {**metrics, "training_seconds": outcome.seconds})
        # Once more, and with the last step.
        if patiently(lambda: workshop.leases.renew(definition.id, token, progress=keeper.progress)) is Renewed.LOST:
            raise LeaseLost


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, ensure_ascii=False, indent=2), encoding="utf-8")
