"""Starting a job: what people labeled until now becomes the job's own, durably, before it is acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from services.serving import InvalidRequest, Violation, shown
from services.trainer.errors import BackboneRequired, StoreUnavailable, TooFewLabels, UnknownLabels
from services.trainer.inputs import EvaluationText, Inputs, PoolFacts, ProjectLabels
from services.trainer.job import Definition, Job, new_job_id
from services.trainer.recipe import Recipe

LOGGER = logging.getLogger(__name__)
_MAX_LENGTH = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What somebody wants.

    Attributes:
        project: whose labels are learned.
        backbone: the transformer to fine-tune; empty means the model of the project's pool.
        recipe: the hyper-parameters, all but `max_length` in their ranges.
        max_length: the recipe's, None for the default.
        evaluation: texts to evaluate on.
        request_id: empty for none.
        digest: what tells this request from another.
    """

    project: str
    backbone: str
    recipe: Recipe
    max_length: int | None
    evaluation: Sequence[EvaluationText]
    request_id: str
    digest: str


class Records(Protocol):
    """Where jobs are recorded."""

    def create(self, definition: Definition, *, request_id: str, request_digest: str) -> str:
        """Records a queued job; returns its id, or that of the first job with this request id."""

    def answered(self, request_id: str, request_digest: str) -> str | None:
        """Returns the id of the job that a request id was answered with; None when it is new."""

    def get(self, job_id: str) -> Job:
        """Returns a job."""


class Queue(Protocol):
    """Where workers hear of jobs."""

    def put(self, job_id: str) -> None:
        """Lets a worker know of a job."""


class Folders(Protocol):
    """Where a job's inputs are."""

    def write(self, inputs: Inputs) -> None:
        """Writes a job's inputs, durably."""

    def delete(self, job_id: str) -> None:
        """Removes them."""


class Labels(Protocol):
    """Who knows what people said."""

    async def project_labels(self, project: str) -> ProjectLabels:
        """Returns a project with its labels."""


class PoolReader(Protocol):
    """Who knows the pools."""

    def facts(self, name: str) -> PoolFacts:
        """Returns what a job needs to know of a pool."""


class Starter:
    """Starts jobs.

    Args:
        store: where jobs are recorded.
        tickets: where workers hear of them.
        files: where their inputs are.
        selector: who knows the labels.
        pools: where the texts are.
        limit_of: a backbone's token limit, None where only the worker can know it.
    """

    def __init__(
        self,
        *,
        store: Records,
        tickets: Queue,
        files: Folders,
        selector: Labels,
        pools: PoolReader,
        limit_of: Callable[[str], int | None],
    ) -> None:
        self._store = store
        self._tickets = tickets
        self._files = files
        self._selector = selector
        self._pools = pools
        self._limit_of = limit_of

    async def start(self, order: Order) -> Job:
        """Returns the job, queued and durable; for a request id used before, the job of that time.

        The folder with its inputs is there before the record in Redis, and the record before the ticket: a death in
        between leaves a folder nobody knows, or a job that the sweep gives a ticket.

        Raises:
            RequestIdReused, ProjectNotFound, PoolNotFound, TooFewLabels, BackboneRequired, UnknownLabels,
            InvalidRequest: the order cannot be taken.
            StoreUnavailable, SelectorUnavailable, PoolStoreUnavailable: try again.
            OutOfDisk: there is no room for its inputs.
        """
        if order.request_id:
            first = await asyncio.to_thread(self._store.answered, order.request_id, order.digest)
            if first:
                return await asyncio.to_thread(self._store.get, first)
        project = await self._selector.project_labels(order.project)
        facts = await asyncio.to_thread(self._pools.facts, project.pool)
        _check_labels(order, project)
        _check_pairs(order, project, facts)
        backbone = order.backbone or facts.backbone
        if not backbone:
            raise BackboneRequired(
                f'pool {project.pool!r} holds embeddings of your own, so backbone must be given: "minilm", a Hugging '
                "Face id, or a folder that the worker can read"
            )
        recipe = await asyncio.to_thread(self._recipe, order, backbone)
        return await asyncio.to_thread(self._record, order, project, facts, backbone, recipe)

    def _recipe(self, order: Order, backbone: str) -> Recipe:
        limit = self._limit_of(backbone)
        wanted = order.max_length if order.max_length is not None else min(_MAX_LENGTH, limit or _MAX_LENGTH)
        recipe = replace(order.recipe, max_length=wanted)
        problems = recipe.problems(limit)
        if problems:
            raise InvalidRequest([Violation(field, message) for field, message in problems])
        return recipe

    def _record(self, order: Order, project: ProjectLabels, facts: PoolFacts, backbone: str, recipe: Recipe) -> Job:
        now = datetime.now(UTC)
        definition = Definition(
            id=new_job_id(now),
            project=order.project,
            pool=project.pool,
            incarnation=facts.incarnation,
            backbone=backbone,
            recipe=recipe,
            labels=project.labels,
            items=len(project.labeled),
            evaluation_items=len(order.evaluation),
            created_at=now,
        )
        self._files.write(Inputs(definition, project.labeled, order.evaluation))
        job_id = self._store.create(definition, request_id=order.request_id, request_digest=order.digest)
        if job_id != definition.id:
            self._files.delete(definition.id)
            return self._store.get(job_id)
        try:
            self._tickets.put(job_id)
        except StoreUnavailable:
            LOGGER.warning("a job has no ticket yet; the sweep gives it one", extra={"job": job_id})
        return self._store.get(job_id)


def _check_labels(order: Order, project: ProjectLabels) -> None:
    classes = {one.label for one in project.labeled}
    if len(classes) < 2:
        raise TooFewLabels(
            f"project {order.project!r} has labels of {len(classes) or 'no'} class, and fine-tuning needs at least 2; "
            "label items of another class first"
        )
    unknown = sorted({one.label for one in order.evaluation} - set(project.labels))
    if unknown:
        names = ", ".join(shown(label) for label in unknown[:20]) + (", …" if len(unknown) > 20 else "")
        raise UnknownLabels(
            f"evaluation has {len(unknown)} labels that project {order.project!r} does not have: {names}"
        )


def _check_pairs(order: Order, project: ProjectLabels, facts: PoolFacts) -> None:
    if facts.pairs is None:
        return
    for place, one in enumerate(order.evaluation):
        if (one.text_pair is not None) != facts.pairs:
            field = f"evaluation[{place}].text_pair"
            want = "be given: the items of" if facts.pairs else "be left out: the items of"
            what = "are pairs" if facts.pairs else "are single texts"
            raise InvalidRequest([Violation(field, f"{field} must {want} pool {project.pool!r} {what}")])
