"""SelectorService: checks, calls, translates."""

# ruff: noqa: ARG002 - gRPC hands a context to every method
from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import grpc
from prepal.v1 import selector_pb2, selector_pb2_grpc

from services.selector.messages import (
    label_message,
    predicted_message,
    project_message,
    recorded_message,
    selection_message,
    status_message,
    stopping_message,
)
from services.selector.predicting import Predicted, Predicting
from services.selector.projects import Projects
from services.selector.recording import Recording
from services.selector.requests import (
    definition_from,
    digest_of,
    entries_from,
    item_ids_from,
    selection_from,
    texts_from,
    update_from,
)
from services.selector.selecting import Selecting
from services.serving import Checks, page_size, page_start, page_token

Context = grpc.aio.ServicerContext[Any, Any]

# A page ends early rather than to pass the 4 MiB that gRPC clients take by default.
_PAGE_BYTES: Final = 3 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class UseCases:
    """What the servicer calls."""

    projects: Projects
    selecting: Selecting
    recording: Recording
    predicting: Predicting


class SelectorServicer(selector_pb2_grpc.SelectorServiceServicer):
    """The gRPC edge of the selector.

    Args:
        cases: what it calls.
    """

    def __init__(self, cases: UseCases) -> None:
        self._cases = cases

    async def CreateProject(
        self, request: selector_pb2.CreateProjectRequest, context: Context
    ) -> selector_pb2.CreateProjectResponse:
        """Creates a project."""
        project = await self._cases.projects.create(definition_from(request))
        return selector_pb2.CreateProjectResponse(project=project_message(project))

    async def GetProject(
        self, request: selector_pb2.GetProjectRequest, context: Context
    ) -> selector_pb2.GetProjectResponse:
        """Returns a project with its counts."""
        project, status, items, signals = await self._cases.projects.get(_name(request.project))
        return selector_pb2.GetProjectResponse(
            project=project_message(project), status=status_message(status, items), stopping=stopping_message(signals)
        )

    async def ListProjects(
        self, request: selector_pb2.ListProjectsRequest, context: Context
    ) -> selector_pb2.ListProjectsResponse:
        """Lists projects."""
        size = page_size("page_size", request.page_size, default=100, limit=1_000)
        projects, more = await self._cases.projects.page(page_start("page_token", request.page_token), size)
        return selector_pb2.ListProjectsResponse(
            projects=[project_message(project) for project in projects],
            next_page_token=page_token(projects[-1].name) if more and projects else "",
        )

    async def UpdateProject(
        self, request: selector_pb2.UpdateProjectRequest, context: Context
    ) -> selector_pb2.UpdateProjectResponse:
        """Changes a project's settings."""
        project = await self._cases.projects.update(request.project, update_from(request))
        return selector_pb2.UpdateProjectResponse(project=project_message(project))

    async def DeleteProject(
        self, request: selector_pb2.DeleteProjectRequest, context: Context
    ) -> selector_pb2.DeleteProjectResponse:
        """Deletes a project."""
        deleted = await self._cases.projects.delete(_name(request.project))
        return selector_pb2.DeleteProjectResponse(deleted=deleted)

    async def Select(self, request: selector_pb2.SelectRequest, context: Context) -> selector_pb2.SelectResponse:
        """Chooses items to label next."""
        asked = selection_from(request)
        selection = await self._cases.selecting.select(asked)
        if isinstance(selection, bytes):
            return selector_pb2.SelectResponse.FromString(selection)
        response = selection_message(selection)
        if not asked.request_id:
            return response
        answer = response.SerializeToString(deterministic=True)
        kept = await self._cases.selecting.finish(asked, selection, answer)
        return response if kept == answer else selector_pb2.SelectResponse.FromString(kept)

    async def RecordLabels(
        self, request: selector_pb2.RecordLabelsRequest, context: Context
    ) -> selector_pb2.RecordLabelsResponse:
        """Records labels, skips and clears."""
        entries = entries_from(request)
        recorded = await self._cases.recording.record(
            request.project, entries, request.annotator, request.request_id, digest_of(request)
        )
        return recorded_message(recorded)

    async def ListLabels(
        self, request: selector_pb2.ListLabelsRequest, context: Context
    ) -> selector_pb2.ListLabelsResponse:
        """Lists what is recorded."""
        name = _name(request.project)
        size = page_size("page_size", request.page_size, default=1_000, limit=10_000)
        start = page_start("page_token", request.page_token)
        ids, records = await self._cases.recording.list_labels(name)
        response = selector_pb2.ListLabelsResponse()
        position, taken = bisect_right(ids, start) if start else 0, 0
        while position < len(ids) and len(response.labels) < size and taken < _PAGE_BYTES:
            message = label_message(ids[position], records[ids[position]])
            response.labels.append(message)
            taken += message.ByteSize()
            position += 1
        if position < len(ids):
            response.next_page_token = page_token(ids[position - 1])
        return response

    async def Predict(
        self, request: selector_pb2.PredictRequest, context: Context
    ) -> AsyncIterator[selector_pb2.PredictResponse]:
        """Predicts class probabilities."""
        async with aclosing(self._predicted(request, context)) as chunks:
            async for predicted in chunks:
                yield predicted_message(predicted)

    def _predicted(self, request: selector_pb2.PredictRequest, context: Context) -> AsyncGenerator[Predicted, None]:
        predicting, name, source = self._cases.predicting, _name(request.project), request.WhichOneof("source")
        if source == "texts":
            return predicting.texts(name, texts_from(request.texts), context.time_remaining())
        if source == "item_ids":
            return predicting.items(name, item_ids_from(request.item_ids))
        checks = Checks()
        if source == "pool":
            checks.name("pool", request.pool)
        else:
            checks.refuse("source", "source must be texts, item_ids or pool, got none of them")
        checks.done()
        return predicting.pool(name, request.pool)


def _name(project: str) -> str:
    checks = Checks()
    checks.name("project", project)
    checks.done()
    return project
