"""A project and its labels, asked of the selector."""

from __future__ import annotations

import grpc
from prepal.v1 import selector_pb2, selector_pb2_grpc

from services.serving import REQUEST_ID, REQUEST_ID_KEY
from services.trainer.errors import ProjectNotFound, SelectorUnavailable
from services.trainer.inputs import LabeledItem, ProjectLabels

_PAGE = 10_000
_CALL_SECONDS = 20.0


class Selector:
    """Asks a selector.

    Args:
        channel: to the selector.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = selector_pb2_grpc.SelectorServiceStub(channel)

    async def project_labels(self, project: str) -> ProjectLabels:
        """Returns a project with every label that was acknowledged before this call.

        A label recorded while it is read may be in it or not.

        Raises:
            ProjectNotFound: there is no such project.
            SelectorUnavailable: no answer in time.
        """
        try:
            labeled = await self._labels(project)
            # After the labels: a label set only grows, so it has the name of each of them.
            settings = await self._stub.GetProject(
                selector_pb2.GetProjectRequest(project=project), timeout=_CALL_SECONDS, metadata=_metadata()
            )
        except grpc.aio.AioRpcError as error:
            raise _translated(error, project) from error
        return ProjectLabels(settings.project.pool, tuple(settings.project.labels), labeled)

    async def _labels(self, project: str) -> list[LabeledItem]:
        labeled: list[LabeledItem] = []
        token = ""
        while True:
            request = selector_pb2.ListLabelsRequest(project=project, page_size=_PAGE, page_token=token)
            page = await self._stub.ListLabels(request, timeout=_CALL_SECONDS, metadata=_metadata())
            labeled.extend(LabeledItem(one.item_id, one.label) for one in page.labels if not one.skipped)
            token = page.next_page_token
            if not token:
                return labeled


def _metadata() -> tuple[tuple[str, str], ...]:
    request_id = REQUEST_ID.get()
    return ((REQUEST_ID_KEY, request_id),) if request_id else ()


def _translated(error: grpc.aio.AioRpcError, project: str) -> Exception:
    if error.code() == grpc.StatusCode.NOT_FOUND:
        return ProjectNotFound(f"there is no project {project!r}; create it with CreateProject of the selector")
    if error.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
    ):
        return SelectorUnavailable("the selector, which knows the labels, cannot be reached; try again shortly")
    return error
