"""Jobs: starting, watching over broken connections, and checkpoints that appear only when complete."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import prepal
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from prepal import errors
from prepal.v1 import trainer_pb2

from tests.sdk.conftest import Ask
from tests.sdk.scripted import Answer, Scripted, gives, refuses

Code = grpc.StatusCode
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def a_job(state: str = "RUNNING", step: int = 0, **more: Any) -> trainer_pb2.Job:
    stamp = Timestamp()
    stamp.FromDatetime(NOON)
    recipe = trainer_pb2.Recipe(
        epochs=3, batch_size=16, learning_rate=5e-5, weight_decay=0.01, warmup_ratio=0.1, max_length=128, seed=0
    )
    return trainer_pb2.Job(
        id="j1",
        project="s",
        state=f"JOB_STATE_{state}",
        backbone="minilm",
        recipe=recipe,
        labels=["no", "yes"],
        items=10,
        progress=trainer_pb2.JobProgress(step=step, total_steps=9),
        created_at=stamp,
        **more,
    )


def watched(*jobs: trainer_pb2.Job) -> list[trainer_pb2.WatchJobResponse]:
    return [trainer_pb2.WatchJobResponse(job=job) for job in jobs]


async def test_start_job_sends_only_what_was_said(ask: Ask, server: Scripted) -> None:
    server.script("StartJob", gives(trainer_pb2.StartJobResponse(job=a_job("QUEUED"))))
    job = await ask(
        lambda client: client.start_job(
            "s",
            epochs=5,
            learning_rate=1e-4,
            evaluation=[("good", "yes"), prepal.LabeledText("a", "no", text_pair="b")],
        )
    )
    assert (job.id, job.state, job.ended) == ("j1", prepal.JobState.QUEUED, False)
    assert job.recipe == prepal.Recipe(
        epochs=3, batch_size=16, learning_rate=5e-5, weight_decay=0.01, warmup_ratio=0.1, max_length=128, seed=0
    )
    assert (job.metrics, job.error, job.started_at, job.created_at) == (None, None, None, NOON)
    (sent,) = server.requests["StartJob"]
    assert sent.recipe == trainer_pb2.Recipe(epochs=5, learning_rate=1e-4)
    first, second = sent.evaluation
    assert (first.text, first.label, first.HasField("text_pair")) == ("good", "yes", False)
    assert (second.text, second.text_pair, second.label) == ("a", "b", "no")


async def test_an_evaluation_item_of_another_shape_is_named(ask: Ask) -> None:
    with pytest.raises(ValueError, match=r"must be a prepal.LabeledText or \(text, label\), got 'good'"):
        await ask(lambda client: client.start_job("s", evaluation=["good"]))


async def test_an_ended_job_gives_what_it_reached_or_why_not(ask: Ask, server: Scripted) -> None:
    metrics = trainer_pb2.JobMetrics(accuracy=0.75, macro_f1=0.5, loss=1.0, items=4)
    error = trainer_pb2.JobError(reason="DIVERGED", message="the loss is not finite")
    server.script(
        "GetJob",
        gives(trainer_pb2.GetJobResponse(job=a_job("SUCCEEDED", metrics=metrics))),
        gives(trainer_pb2.GetJobResponse(job=a_job("FAILED", error=error))),
    )
    succeeded = await ask(lambda client: client.get_job("j1"))
    assert succeeded.metrics == prepal.JobMetrics(accuracy=0.75, macro_f1=0.5, loss=1.0, items=4)
    failed = await ask(lambda client: client.get_job("j1"))
    assert failed.error == prepal.JobError(reason="DIVERGED", message="the loss is not finite")
    assert succeeded.ended
    assert failed.ended


async def test_jobs_are_fetched_page_by_page(ask: Ask, server: Scripted) -> None:
    server.script(
        "ListJobs",
        gives(trainer_pb2.ListJobsResponse(jobs=[a_job()], next_page_token="next")),
        gives(trainer_pb2.ListJobsResponse(jobs=[a_job("FAILED")])),
    )
    assert [job.state for job in await ask(lambda client: client.jobs("s"))] == ["running", "failed"]
    assert [request.project for request in server.requests["ListJobs"]] == ["s", "s"]


async def test_cancel_and_delete(ask: Ask, server: Scripted) -> None:
    server.script("CancelJob", gives(trainer_pb2.CancelJobResponse(job=a_job("CANCELLED"))))
    server.script("DeleteJob", gives(trainer_pb2.DeleteJobResponse(deleted=True)))
    assert (await ask(lambda client: client.cancel_job("j1"))).state is prepal.JobState.CANCELLED
    assert await ask(lambda client: client.delete_job("j1")) is True


async def test_watching_goes_on_over_a_broken_connection_and_tells_nothing_twice(ask: Ask, server: Scripted) -> None:
    def breaks(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from watched(a_job("QUEUED"), a_job(step=1))
        context.abort(Code.UNAVAILABLE, "cut")

    server.script("WatchJob", breaks, gives(watched(a_job(step=1), a_job(step=2), a_job("SUCCEEDED", step=9))))
    seen = await ask(lambda client: client.watch_job("j1"))
    assert [(job.state.value, job.progress.step) for job in seen] == [
        ("queued", 0),
        ("running", 1),
        ("running", 2),
        ("succeeded", 9),
    ]


async def test_a_stream_that_ends_before_the_job_is_opened_again(ask: Ask, server: Scripted) -> None:
    server.script("WatchJob", gives(watched(a_job(step=1))), gives(watched(a_job("FAILED"))))
    assert [job.state for job in await ask(lambda client: client.watch_job("j1"))] == ["running", "failed"]


async def test_a_quiet_job_is_watched_over_several_streams(
    ask: Ask, server: Scripted, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("prepal._sync.jobs", "prepal._async.jobs"):
        monkeypatch.setattr(f"{module}._LONGEST_WATCH", 0.1)
    server.script("WatchJob", *[quiet(a_job(step=1), over)] * 2, gives(watched(a_job("SUCCEEDED"))))
    assert [job.state for job in await ask(lambda client: client.watch_job("j1"))] == ["running", "succeeded"]


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Is set when the test is over, so that no answer of the server can be the reason for what the client does."""
    event = threading.Event()
    yield event
    event.set()


def quiet(job: trainer_pb2.Job, over: threading.Event) -> Answer:
    """Tells about the job once, and then says nothing."""

    def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from watched(job)
        over.wait(10)

    return answer


async def test_watching_ends_with_its_timeout(ask: Ask, server: Scripted, over: threading.Event) -> None:
    server.script("WatchJob", quiet(a_job(), over))
    with pytest.raises(errors.DeadlineExceeded):
        await ask(lambda client: client.watch_job("j1", timeout=0.3))


async def test_watching_a_job_that_does_not_exist_fails(ask: Ask, server: Scripted) -> None:
    server.script("WatchJob", refuses(Code.NOT_FOUND, "job j1 does not exist", "JOB_NOT_FOUND"))
    with pytest.raises(errors.NotFound, match="job j1 does not exist"):
        await ask(lambda client: client.watch_job("j1"))


def endless(ended: threading.Event) -> Answer:
    """Tells of step after step until the client ends the stream."""

    def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        context.add_callback(ended.set)
        for step in itertools.count():
            if ended.is_set():
                return
            yield from watched(a_job(step=step))

    return answer


def test_leaving_the_iteration_ends_the_stream(server: Scripted) -> None:
    ended = threading.Event()
    server.script("WatchJob", endless(ended))
    with prepal.Client(trainer=server.address) as client:
        for job in client.watch_job("j1"):
            if job.progress.step == 3:
                break
        assert ended.wait(10)


async def test_closing_the_asynchronous_iteration_ends_the_stream(server: Scripted) -> None:
    ended = threading.Event()
    server.script("WatchJob", endless(ended))
    async with prepal.AsyncClient(trainer=server.address) as client:
        async with contextlib.aclosing(client.watch_job("j1")) as jobs:
            async for job in jobs:
                if job.progress.step == 3:
                    break
        assert await asyncio.to_thread(ended.wait, 10)


def part(path: str, size: int, offset: int, data: bytes) -> trainer_pb2.DownloadCheckpointResponse:
    return trainer_pb2.DownloadCheckpointResponse(path=path, size=size, offset=offset, data=data)


WHOLE = [
    part("config.json", 2, 0, b"{}"),
    part("weights/model.bin", 6, 0, b"abc"),
    part("weights/model.bin", 6, 3, b"def"),
    part("empty.txt", 0, 0, b""),
]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_checkpoint_arrives_whole(ask: Ask, server: Scripted, tmp_path: Path) -> None:
    server.script("DownloadCheckpoint", gives(WHOLE))
    written: list[int] = []
    folder = tmp_path / "deep" / "model"
    back = await ask(lambda client: client.download_checkpoint("j1", str(folder), on_progress=written.append))
    assert back == folder
    assert contents(folder) == {"config.json": b"{}", "weights/model.bin": b"abcdef", "empty.txt": b""}
    assert written == [2, 5, 8, 8]
    assert names(folder.parent) == ["model"]


async def test_downloading_again_finds_it_there(ask: Ask, server: Scripted, tmp_path: Path) -> None:
    server.script("DownloadCheckpoint", gives(WHOLE))
    await ask(lambda client: client.download_checkpoint("j1", tmp_path / "model"))
    await ask(lambda client: client.download_checkpoint("j1", tmp_path / "model"))
    assert server.calls["DownloadCheckpoint"] == 1


async def test_a_folder_with_something_else_is_left_alone(ask: Ask, server: Scripted, tmp_path: Path) -> None:
    server.script("DownloadCheckpoint", gives(WHOLE))
    await ask(lambda client: client.download_checkpoint("j1", tmp_path / "model"))
    with pytest.raises(FileExistsError, match="model holds something else; choose another folder"):
        await ask(lambda client: client.download_checkpoint("j2", tmp_path / "model"))
    with pytest.raises(FileExistsError, match="holds something else"):
        await ask(lambda client: client.download_checkpoint("j1", tmp_path))
    assert contents(tmp_path / "model")["config.json"] == b"{}"


async def test_an_empty_folder_is_filled(ask: Ask, server: Scripted, tmp_path: Path) -> None:
    server.script("DownloadCheckpoint", gives(WHOLE))
    (tmp_path / "model").mkdir()
    await ask(lambda client: client.download_checkpoint("j1", tmp_path / "model"))
    assert len(contents(tmp_path / "model")) == 3


async def test_a_broken_download_begins_again(ask: Ask, server: Scripted, tmp_path: Path) -> None:
    def breaks(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from WHOLE[:2]
        context.abort(Code.UNAVAILABLE, "cut")

    server.script("DownloadCheckpoint", breaks, gives(WHOLE))
    folder = await ask(lambda client: client.download_checkpoint("j1", tmp_path / "model"))
    assert contents(folder)["weights/model.bin"] == b"abcdef"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (WHOLE[:2], r"weights/model.bin must be 6 bytes, got 3"),
        ([WHOLE[2]], r"sent weights/model.bin at 3, where 0 was next"),
        ([part("../evil", 1, 0, b"x")], r"outside the checkpoint's folder: '../evil'"),
        ([part("/etc/evil", 1, 0, b"x")], r"outside the checkpoint's folder"),
        ([part("", 1, 0, b"x")], r"outside the checkpoint's folder"),
        ([], r"sent no file"),
    ],
)
async def test_a_malformed_checkpoint_leaves_nothing(
    ask: Ask, server: Scripted, tmp_path: Path, parts: list[Any], message: str
) -> None:
    server.script("DownloadCheckpoint", gives(parts))
    with pytest.raises(errors.Internal, match=message):
        await ask(lambda client: client.download_checkpoint("j1", tmp_path / "model"))
    assert names(tmp_path) == []


async def test_a_job_without_a_checkpoint_leaves_nothing(ask: Ask, server: Scripted, tmp_path: Path) -> None:
    server.script("DownloadCheckpoint", refuses(Code.FAILED_PRECONDITION, "job j1 is RUNNING", "NO_CHECKPOINT"))
    with pytest.raises(errors.FailedPrecondition, match="job j1 is RUNNING"):
        await ask(lambda client: client.download_checkpoint("j1", tmp_path / "model"))
    assert names(tmp_path) == []
