"""The gRPC edge: checks, calls, translates; it decides nothing."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import grpc
from prepal.v1 import trainer_pb2, trainer_pb2_grpc

from services.serving import Answer, Checks, ErrorTable, page
from services.trainer import errors
from services.trainer.changes import Changes
from services.trainer.checkpoint import parts
from services.trainer.files import JobFiles
from services.trainer.job import JobState
from services.trainer.messages import job_message, order_from
from services.trainer.start import Starter
from services.trainer.store import JobStore

Context = grpc.aio.ServicerContext[Any, Any]

_NOT_FOUND, _PRECONDITION = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION
_INVALID, _UNAVAILABLE = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAVAILABLE

ERRORS: Final[ErrorTable] = {
    errors.ProjectNotFound: Answer(_NOT_FOUND, "PROJECT_NOT_FOUND"),
    errors.PoolNotFound: Answer(_NOT_FOUND, "POOL_NOT_FOUND"),
    errors.JobNotFound: Answer(_NOT_FOUND, "JOB_NOT_FOUND"),
    errors.TooFewLabels: Answer(_PRECONDITION, "TOO_FEW_LABELS"),
    errors.BackboneRequired: Answer(_PRECONDITION, "BACKBONE_REQUIRED"),
    errors.JobNotEnded: Answer(_PRECONDITION, "JOB_NOT_ENDED"),
    errors.NoCheckpoint: Answer(_PRECONDITION, "NO_CHECKPOINT"),
    errors.UnknownLabels: Answer(_INVALID, "UNKNOWN_LABELS"),
    errors.RequestIdReused: Answer(_INVALID, "REQUEST_ID_REUSED"),
    errors.OutOfDisk: Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, "OUT_OF_DISK"),
    errors.StoreUnavailable: Answer(_UNAVAILABLE, "STORE_UNAVAILABLE", retry_after=1.0),
    errors.PoolStoreUnavailable: Answer(_UNAVAILABLE, "STORE_UNAVAILABLE", retry_after=1.0),
    errors.SelectorUnavailable: Answer(_UNAVAILABLE, "SELECTOR_UNAVAILABLE", retry_after=1.0),
}
# A watcher looks by itself after so long, should a message about a change ever be lost.
_LOOK_SECONDS = 15.0
_PAUSE = 0.5


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Answers prepal.v1.TrainerService.

    Args:
        starter: starts jobs.
        store: where jobs are recorded.
        files: where their folders are.
        changes: tells of changes.
    """

    def __init__(self, *, starter: Starter, store: JobStore, files: JobFiles, changes: Changes) -> None:
        self._starter = starter
        self._store = store
        self._files = files
        self._changes = changes

    async def StartJob(self, request: trainer_pb2.StartJobRequest, _context: Context) -> trainer_pb2.StartJobResponse:
        """Starts a job on the labels the project has now."""
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
        order = await asyncio.to_thread(order_from, request, digest)
        return trainer_pb2.StartJobResponse(job=job_message(await self._starter.start(order)))

    async def GetJob(self, request: trainer_pb2.GetJobRequest, _context: Context) -> trainer_pb2.GetJobResponse:
        """Returns one job."""
        _check_id(request.id)
        job = await asyncio.to_thread(self._store.get, request.id)
        return trainer_pb2.GetJobResponse(job=job_message(job))

    async def ListJobs(self, request: trainer_pb2.ListJobsRequest, _context: Context) -> trainer_pb2.ListJobsResponse:
        """Lists jobs, newest first."""
        if request.project:
            checks = Checks()
            checks.name("project", request.project)
            checks.done()
        ids = await asyncio.to_thread(self._store.ids, request.project)
        ids.reverse()
        # Ascending keys, newest first: what grows with time is taken from what no time reaches.
        found, token = page(
            ids,
            lambda one: f"{10**15 - one[1]:016d}.{_descending(one[0])}",
            request.page_size,
            request.page_token,
            default=100,
            limit=1000,
        )
        jobs = await asyncio.to_thread(self._store.get_many, [job_id for job_id, _ in found])
        return trainer_pb2.ListJobsResponse(jobs=map(job_message, jobs), next_page_token=token)

    async def WatchJob(
        self, request: trainer_pb2.WatchJobRequest, _context: Context
    ) -> AsyncIterator[trainer_pb2.WatchJobResponse]:
        """Sends the job now and after every change, until it has ended. Goes on when Redis is away for a while."""
        _check_id(request.id)
        last = None
        with self._changes.watching(request.id) as changed:
            while True:
                changed.clear()
                try:
                    job = await asyncio.to_thread(self._store.get, request.id)
                except errors.StoreUnavailable:
                    if last is None:
                        raise
                    await asyncio.sleep(_PAUSE)
                    continue
                if job != last:
                    yield trainer_pb2.WatchJobResponse(job=job_message(job))
                    last = job
                if job.state.final:
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), _LOOK_SECONDS)

    async def CancelJob(
        self, request: trainer_pb2.CancelJobRequest, _context: Context
    ) -> trainer_pb2.CancelJobResponse:
        """Asks a job to stop."""
        _check_id(request.id)
        await asyncio.to_thread(self._store.cancel, request.id)
        job = await asyncio.to_thread(self._store.get, request.id)
        return trainer_pb2.CancelJobResponse(job=job_message(job))

    async def DeleteJob(
        self, request: trainer_pb2.DeleteJobRequest, _context: Context
    ) -> trainer_pb2.DeleteJobResponse:
        """Deletes a job that has ended, with its checkpoint."""
        _check_id(request.id)
        deleted = await asyncio.to_thread(self._delete, request.id)
        return trainer_pb2.DeleteJobResponse(deleted=deleted)

    async def DownloadCheckpoint(
        self, request: trainer_pb2.DownloadCheckpointRequest, _context: Context
    ) -> AsyncIterator[trainer_pb2.DownloadCheckpointResponse]:
        """Streams a succeeded job's checkpoint."""
        _check_id(request.id)
        job = await asyncio.to_thread(self._store.get, request.id)
        if job.state != JobState.SUCCEEDED:
            raise errors.NoCheckpoint(f"job {job.id} is {job.state.value}; only a succeeded job has a checkpoint")
        found = parts(self._files.checkpoint(job.id))
        while part := await asyncio.to_thread(next, found, None):
            yield trainer_pb2.DownloadCheckpointResponse(
                path=part.path, size=part.size, offset=part.offset, data=part.data
            )

    def _delete(self, job_id: str) -> bool:
        try:
            job = self._store.get(job_id)
        except errors.JobNotFound:
            return False
        if not job.state.final:
            raise errors.JobNotEnded(f"job {job_id} is {job.state.value}; cancel it first, or wait until it has ended")
        # A final state never changes, so the folder may go first: a record without one can be deleted again, and a
        # folder without a record nobody would find.
        self._files.delete(job_id)
        return self._store.delete(job_id, job.definition.project)


def _check_id(job_id: str) -> None:
    checks = Checks()
    checks.not_empty("id", job_id)
    checks.done()


def _descending(text: str) -> str:
    """Returns ASCII text that sorts the other way round."""
    return "".join(chr(255 - ord(letter)) for letter in text)
