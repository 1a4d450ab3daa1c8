"""Calls of a selector, shortened for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prepal.tensors import unpack
from prepal.v1 import selector_pb2 as pb

from tests.selector.pools import number_of, true_label

TIMEOUT = 30.0


class Refusal(Exception):
    """An error status, taken apart."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        super().__init__(f"{error.code().name}: {error.details()}")
        self.code = error.code()
        self.message = error.details() or ""
        self.reason = ""
        self.metadata: dict[str, str] = {}
        self.fields: list[str] = []
        self.retry_seconds: float | None = None
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            info, bad, retry = (
                error_details_pb2.ErrorInfo(),
                error_details_pb2.BadRequest(),
                error_details_pb2.RetryInfo(),
            )
            if detail.Unpack(info):
                self.reason, self.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(bad):
                self.fields = [violation.field for violation in bad.field_violations]
            elif detail.Unpack(retry):
                self.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()


class Caller:
    """A selector's stub whose errors are `Refusal`s."""

    def __init__(self, stub: Any) -> None:
        self.stub = stub

    async def call(self, method: str, request: Any, seconds: float = TIMEOUT) -> Any:
        """Calls a unary method."""
        try:
            return await getattr(self.stub, method)(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise Refusal(error) from error

    async def create(self, name: str, pool: str, labels: Sequence[str], **settings: Any) -> pb.Project:
        """Creates a project."""
        request = pb.CreateProjectRequest(name=name, pool=pool, labels=labels, **settings)
        return (await self.call("CreateProject", request)).project

    async def status(self, project: str = "sentiment") -> pb.ProjectStatus:
        """Returns a project's counts."""
        return (await self.call("GetProject", pb.GetProjectRequest(project=project))).status

    async def select(self, k: int = 1, project: str = "sentiment", **fields: Any) -> pb.SelectResponse:
        """Selects."""
        return await self.call("Select", pb.SelectRequest(project=project, k=k, **fields))

    async def picks(self, k: int = 1, project: str = "sentiment", **fields: Any) -> list[str]:
        """Selects, and returns the ids."""
        return picked(await self.select(k, project, **fields))

    async def label(
        self, labels: Mapping[str, str | None], project: str = "sentiment", **fields: Any
    ) -> pb.RecordLabelsResponse:
        """Records labels; None skips."""
        entries = [
            pb.LabelEntry(item_id=item_id, skip=pb.Skip())
            if label is None
            else pb.LabelEntry(item_id=item_id, label=label)
            for item_id, label in labels.items()
        ]
        return await self.call("RecordLabels", pb.RecordLabelsRequest(project=project, entries=entries, **fields))

    async def clear(self, *item_ids: str, project: str = "sentiment", **fields: Any) -> pb.RecordLabelsResponse:
        """Takes back what is recorded."""
        entries = [pb.LabelEntry(item_id=item_id, clear=pb.Clear()) for item_id in item_ids]
        return await self.call("RecordLabels", pb.RecordLabelsRequest(project=project, entries=entries, **fields))

    async def labels(self, project: str = "sentiment", page_size: int = 0) -> list[pb.Label]:
        """Lists all labels, page by page."""
        found, token = [], ""
        while True:
            request = pb.ListLabelsRequest(project=project, page_size=page_size, page_token=token)
            page = await self.call("ListLabels", request)
            found.extend(page.labels)
            token = page.next_page_token
            if not token:
                return found

    async def predict(
        self, project: str = "sentiment", *, seconds: float = TIMEOUT, **source: Any
    ) -> tuple[list[str], npt.NDArray[np.floating[Any]], list[pb.PredictResponse]]:
        """Predicts: ids, probabilities, chunks."""
        try:
            chunks = [
                chunk
                async for chunk in self.stub.Predict(pb.PredictRequest(project=project, **source), timeout=seconds)
            ]
        except grpc.aio.AioRpcError as error:
            raise Refusal(error) from error
        item_ids = [item_id for chunk in chunks for item_id in chunk.item_ids]
        probs = [unpack(chunk.probabilities) for chunk in chunks]
        return item_ids, np.concatenate(probs) if probs else np.zeros((0, 0), np.float32), chunks


def picked(response: pb.SelectResponse) -> list[str]:
    """The ids of a selection."""
    return [selected.item.item_id for selected in response.items]


def truth(item_ids: Sequence[str], classes: int = 2) -> dict[str, str]:
    """The true labels of items."""
    return {item_id: true_label(number_of(item_id), classes) for item_id in item_ids}


def lasting(value: float) -> Duration:
    """A duration."""
    duration = Duration()
    duration.FromMilliseconds(round(value * 1_000))
    return duration
