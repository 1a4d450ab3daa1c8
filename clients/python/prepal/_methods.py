"""The RPCs of the contract as typed values: what is called, with which request, answered by which response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from prepal.v1 import embedder_pb2 as embedder
from prepal.v1 import selector_pb2 as selector
from prepal.v1 import trainer_pb2 as trainer

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[RequestT, ResponseT]):
    """One RPC."""

    service: str
    name: str
    request: type[RequestT]
    response: type[ResponseT]

    @property
    def path(self) -> str:
        """What the RPC is called on the wire."""
        return f"/{self.service}/{self.name}"

    @property
    def serialize(self) -> Callable[[RequestT], bytes]:
        """Turns a request into bytes."""
        return self.request.SerializeToString

    @property
    def deserialize(self) -> Callable[[bytes], ResponseT]:
        """Turns bytes into a response."""
        return self.response.FromString


EMBEDDER = "prepal.v1.EmbedderService"
EMBED = Method(EMBEDDER, "Embed", embedder.EmbedRequest, embedder.EmbedResponse)
CREATE_POOL = Method(EMBEDDER, "CreatePool", embedder.CreatePoolRequest, embedder.CreatePoolResponse)
GET_POOL = Method(EMBEDDER, "GetPool", embedder.GetPoolRequest, embedder.GetPoolResponse)
LIST_POOLS = Method(EMBEDDER, "ListPools", embedder.ListPoolsRequest, embedder.ListPoolsResponse)
DELETE_POOL = Method(EMBEDDER, "DeletePool", embedder.DeletePoolRequest, embedder.DeletePoolResponse)
ADD_ITEMS = Method(EMBEDDER, "AddItems", embedder.AddItemsRequest, embedder.AddItemsResponse)
SEARCH_ITEMS = Method(EMBEDDER, "SearchItems", embedder.SearchItemsRequest, embedder.SearchItemsResponse)
GET_ITEMS = Method(EMBEDDER, "GetItems", embedder.GetItemsRequest, embedder.GetItemsResponse)

SELECTOR = "prepal.v1.SelectorService"
CREATE_PROJECT = Method(SELECTOR, "CreateProject", selector.CreateProjectRequest, selector.CreateProjectResponse)
GET_PROJECT = Method(SELECTOR, "GetProject", selector.GetProjectRequest, selector.GetProjectResponse)
LIST_PROJECTS = Method(SELECTOR, "ListProjects", selector.ListProjectsRequest, selector.ListProjectsResponse)
UPDATE_PROJECT = Method(SELECTOR, "UpdateProject", selector.UpdateProjectRequest, selector.UpdateProjectResponse)
DELETE_PROJECT = Method(SELECTOR, "DeleteProject", selector.DeleteProjectRequest, selector.DeleteProjectResponse)
SELECT = Method(SELECTOR, "Select", selector.SelectRequest, selector.SelectResponse)
RECORD_LABELS = Method(SELECTOR, "RecordLabels", selector.RecordLabelsRequest, selector.RecordLabelsResponse)
LIST_LABELS = Method(SELECTOR, "ListLabels", selector.ListLabelsRequest, selector.ListLabelsResponse)
PREDICT = Method(SELECTOR, "Predict", selector.PredictRequest, selector.PredictResponse)

TRAINER = "prepal.v1.TrainerService"
START_JOB = Method(TRAINER, "StartJob", trainer.StartJobRequest, trainer.StartJobResponse)
GET_JOB = Method(TRAINER, "GetJob", trainer.GetJobRequest, trainer.GetJobResponse)
LIST_JOBS = Method(TRAINER, "ListJobs", trainer.ListJobsRequest, trainer.ListJobsResponse)
WATCH_JOB = Method(TRAINER, "WatchJob", trainer.WatchJobRequest, trainer.WatchJobResponse)
CANCEL_JOB = Method(TRAINER, "CancelJob", trainer.CancelJobRequest, trainer.CancelJobResponse)
DELETE_JOB = Method(TRAINER, "DeleteJob", trainer.DeleteJobRequest, trainer.DeleteJobResponse)
DOWNLOAD_CHECKPOINT = Method(
    TRAINER, "DownloadCheckpoint", trainer.DownloadCheckpointRequest, trainer.DownloadCheckpointResponse
)
