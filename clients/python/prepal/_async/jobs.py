"""The calls about fine-tuning jobs."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Final

from prepal import _methods, errors
from prepal._async.connection import Connection
from prepal._checkpoint import CheckpointFolder
from prepal.progress import Bar
from prepal.v1 import trainer_pb2
from prepal.values.job import Evaluated, Job, evaluated_to_message, job_from_message
from prepal.values.numbers import count

_LONGEST_WATCH: Final = 600.0
"""Seconds after which a watching stream is opened anew, so that every stream has a deadline."""

_DOWNLOADING: Final = 600.0


class JobCalls:
    """What a client can do with fine-tuning jobs."""

    _trainer: Connection

    async def start_job(
        self,
        project: str,
        *,
        backbone: str = "",
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        warmup_ratio: float | None = None,
        max_length: int | None = None,
        seed: int | None = None,
        evaluation: Iterable[Evaluated] = (),
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Job:
        """Starts fine-tuning a transformer on the labels a project has now; later labels do not enter the job.

        Args:
            project: the project whose labels it learns.
            backbone: the transformer; by default the model of the project's pool.
            epochs: passes over the labels, 1 to 100; by default 3.
            batch_size: items a step, 1 to 1,024; by default 16.
            learning_rate: peak learning rate of AdamW, more than 0 and at most 1; by default 5e-5.
            weight_decay: decoupled weight decay, 0 to 1; by default 0.01.
            warmup_ratio: share of the steps over which the learning rate rises, 0 to 1; by default 0.1.
            max_length: tokens kept of a text; by default 128, or the backbone's limit where it is lower.
            seed: what initialisation, dropout and the order of items start from; by default 0.
            evaluation: (text, label), or `prepal.LabeledText` for pairs, to evaluate on once at the end.
            request_id: repeating a call with the same id within a day returns the first call's job; by default each
                call has an id of its own, so that a lost answer never starts a job twice.
            timeout: seconds; by default 60.

        Raises:
            NotFound: when there is no such project.
            FailedPrecondition: for labels of fewer than two classes (TOO_FEW_LABELS).
            InvalidRequest: for a hyper-parameter out of range, or an unknown label in the evaluation.

        >>> job = await client.start_job("sentiment", epochs=3, evaluation=[("what a film", "positive")])
        >>> job.state
        <JobState.QUEUED: 'queued'>
        """
        recipe = trainer_pb2.Recipe(
            epochs=None if epochs is None else count("epochs", epochs),
            batch_size=None if batch_size is None else count("batch_size", batch_size),
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            warmup_ratio=warmup_ratio,
            max_length=None if max_length is None else count("max_length", max_length),
            seed=None if seed is None else count("seed", seed, bits=64),
        )
        request = trainer_pb2.StartJobRequest(
            project=project,
            backbone=backbone,
            recipe=recipe,
            evaluation=(evaluated_to_message(entry) for entry in evaluation),
            request_id=request_id or uuid.uuid4().hex,
        )
        response = await self._trainer.call(_methods.START_JOB, request, timeout)
        return job_from_message(response.job)

    async def get_job(self, id: str, *, timeout: float | None = None) -> Job:  # noqa: A002
        """Returns a job.

        Raises:
            NotFound: when there is none of that id.
        """
        response = await self._trainer.call(_methods.GET_JOB, trainer_pb2.GetJobRequest(id=id), timeout)
        return job_from_message(response.job)

    async def jobs(self, project: str = "", *, page_size: int = 0, timeout: float | None = None) -> AsyncIterator[Job]:
        """Yields jobs, newest first, fetching a page of them at a time.

        Args:
            project: only jobs of this project; by default all.
            page_size: jobs a page, 1 to 1,000; 0 means the server's choice.
            timeout: seconds for each page; by default 60.
        """
        token = ""
        while True:
            request = trainer_pb2.ListJobsRequest(
                project=project, page_size=count("page_size", page_size), page_token=token
            )
            response = await self._trainer.call(_methods.LIST_JOBS, request, timeout)
            for job in response.jobs:
                yield job_from_message(job)
            token = response.next_page_token
            if not token:
                return

    async def watch_job(self, id: str, *, timeout: float | None = None) -> AsyncIterator[Job]:  # noqa: A002
        """Yields the job now and after every change, until it has ended. A broken connection is opened anew.

        Args:
            id: the job's id.
            timeout: seconds in all; by default as long as the job takes.

        Raises:
            NotFound: when there is no such job.
            DeadlineExceeded: when the timeout is over before the job is.
            Unavailable: when the trainer went away and stayed away. The job goes on without it.

        >>> async for job in client.watch_job(job.id):
        ...     last = job.state
        >>> last
        <JobState.SUCCEEDED: 'succeeded'>
        """
        whole = self._trainer.attempts(float("inf") if timeout is None else self._trainer.seconds(timeout, 0))
        attempts = whole
        newest: Job | None = None
        while True:
            seconds = min(_LONGEST_WATCH, max(whole.remaining(), 0.001))
            stream = self._trainer.responses(_methods.WATCH_JOB, trainer_pb2.WatchJobRequest(id=id), seconds)
            try:
                async with aclosing(stream) as responses:
                    async for response in responses:
                        attempts = self._trainer.attempts(whole.remaining())
                        job = job_from_message(response.job)
                        if job != newest:
                            newest = job
                            yield job
                        if job.ended:
                            return
                raise errors.Unavailable(
                    f"the trainer at {self._trainer.address} stopped telling about job {id}", status="UNAVAILABLE"
                )
            except errors.DeadlineExceeded:
                if whole.remaining() <= 0:
                    raise
            except errors.PrepalError as error:
                await self._trainer.wait(attempts, error)

    async def cancel_job(self, id: str, *, timeout: float | None = None) -> Job:  # noqa: A002
        """Asks a job to stop, and returns it; a running one stops at its next step, an ended one stays as it is.

        Raises:
            NotFound: when there is no such job.
        """
        response = await self._trainer.call(_methods.CANCEL_JOB, trainer_pb2.CancelJobRequest(id=id), timeout)
        return job_from_message(response.job)

    async def delete_job(self, id: str, *, timeout: float | None = None) -> bool:  # noqa: A002
        """Deletes a job that has ended, with its checkpoint; returns whether there was one.

        Raises:
            FailedPrecondition: when the job has not ended.
        """
        response = await self._trainer.call(_methods.DELETE_JOB, trainer_pb2.DeleteJobRequest(id=id), timeout)
        return response.deleted

    async def download_checkpoint(
        self,
        id: str,  # noqa: A002
        folder: str | Path,
        *,
        on_progress: Callable[[int], None] | None = None,
        progress: bool | None = False,
        timeout: float | None = None,
    ) -> Path:
        """Downloads a job's checkpoint: a folder that `transformers` loads.

        The folder appears when it is complete, not before. Downloading the same job to the same folder again finds it
        there and does nothing.

        Args:
            id: the job's id.
            folder: where the checkpoint goes; must not exist, be empty, or hold this job's checkpoint.
            on_progress: called with the bytes written so far.
            progress: whether a bar is shown on stderr; None shows one if stderr is a terminal.
            timeout: seconds for the whole download; by default 600.

        Returns:
            The folder.

        Raises:
            NotFound: when there is no such job.
            FailedPrecondition: when the job has not succeeded.
            FileExistsError: when the folder holds something else.

        >>> folder = await client.download_checkpoint(job.id, "model")
        >>> (folder / "config.json").exists()
        True
        """
        target = CheckpointFolder(Path(folder), id)
        if target.complete():
            return target.folder
        seconds = self._trainer.seconds(timeout, _DOWNLOADING)
        attempts = self._trainer.attempts(seconds)
        request = trainer_pb2.DownloadCheckpointRequest(id=id)
        with Bar(progress, f"job {id}", "B", scaled=True) as bar:
            while True:
                stream = self._trainer.responses(
                    _methods.DOWNLOAD_CHECKPOINT, request, max(attempts.remaining(), 0.001)
                )
                try:
                    async with aclosing(stream) as parts:
                        with target.writing() as partial:
                            async for part in parts:
                                partial.write(part)
                                bar.to(partial.written)
                                if on_progress is not None:
                                    on_progress(partial.written)
                    return target.folder
                except errors.PrepalError as error:
                    await self._trainer.wait(attempts, error)
