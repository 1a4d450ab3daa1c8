"""The gRPC edge: what is answered, and what is refused with which words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from prepal.v1 import trainer_pb2, trainer_pb2_grpc

from services.serving import running
from services.trainer.__main__ import TrainerOptions, start
from services.trainer.connection import connect
from services.trainer.leases import Leases
from services.trainer.metrics import Metrics
from tests.conftest import RedisServer
from tests.trainer.conftest import ITEMS, Surroundings, evaluation, recipe, serving
from tests.trainer.examples import LABELS

Stub = trainer_pb2_grpc.TrainerServiceStub


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, str, str]:
    """Returns status, reason and message of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    return caught.value.code(), info.reason, status.message


async def drained(call: AsyncIterable[object]) -> list[object]:
    """Returns all that a stream sends."""
    return [response async for response in call]


def called(stub: Stub, method: str, job_id: str) -> Awaitable[object]:
    """Calls a method that takes nothing but a job's id."""
    call = getattr(stub, method)(getattr(trainer_pb2, f"{method}Request")(id=job_id), timeout=20)
    return drained(call) if method in ("WatchJob", "DownloadCheckpoint") else call


async def fields(call: Awaitable[object]) -> list[str]:
    """Returns the fields that a call is refused for."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status is not None
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    return [violation.field for violation in bad.field_violations]


async def queued(stub: Stub, project: str, request_id: str = "") -> trainer_pb2.Job:
    request = trainer_pb2.StartJobRequest(project=project, recipe=recipe(), request_id=request_id)
    return (await stub.StartJob(request, timeout=20)).job


def end(surroundings: Surroundings, redis_url: str, job_id: str, *, succeed: bool = True) -> Path:
    """Ends a job as a worker would; returns its checkpoint's folder."""
    leases = Leases(connect(redis_url), 60)
    assert leases.claim(job_id, "test/1")
    folder = surroundings.data / "jobs" / job_id / "checkpoint"
    if succeed:
        folder.mkdir()
        leases.succeed(job_id, "test/1", metrics=Metrics(accuracy=1, macro_f1=1, loss=0.1, items=3), seconds=2.5)
    else:
        leases.stop(job_id, "test/1")
    return folder


@pytest.fixture
async def stub(surroundings: Surroundings, redis_url: str) -> AsyncIterator[Stub]:
    """A stub of a trainer over a Redis of its own, so that no worker takes its jobs."""
    async with serving(surroundings, redis_url=redis_url) as made:
        yield made


async def test_a_job_has_its_defaults_resolved(stub: Stub, surroundings: Surroundings) -> None:
    request = trainer_pb2.StartJobRequest(project=surroundings.project())
    job = (await stub.StartJob(request, timeout=20)).job
    assert job.state == trainer_pb2.JOB_STATE_QUEUED
    assert job.backbone == str(surroundings.backbone)
    assert (job.recipe.epochs, job.recipe.batch_size, job.recipe.learning_rate) == (3, 16, 5e-5)
    assert (job.recipe.weight_decay, job.recipe.warmup_ratio, job.recipe.seed) == (0.01, 0.1, 0)
    assert job.recipe.max_length == 64, "the tiny model takes no more"
    assert (job.items, list(job.labels)) == (ITEMS, list(LABELS))
    assert job.created_at.seconds > 1_700_000_000
    assert not job.HasField("started_at")
    assert not job.HasField("ended_at")
    assert not job.HasField("metrics")
    assert not job.progress.HasField("loss")
    assert (await stub.GetJob(trainer_pb2.GetJobRequest(id=job.id))).job == job


async def test_later_labels_do_not_enter_and_skipped_items_neither(stub: Stub, surroundings: Surroundings) -> None:
    labeled = {"i001": "positive", "i000": "negative"}
    project = surroundings.project(labeled=labeled)
    job = await queued(stub, project)
    labeled["i002"] = "negative"
    folder = surroundings.data / "jobs" / job.id
    assert (folder / "labels.jsonl").read_text().splitlines() == [
        '{"item_id": "i000", "label": "negative"}',
        '{"item_id": "i001", "label": "positive"}',
    ]
    assert job.items == 2


async def test_labels_come_page_by_page(stub: Stub, surroundings: Surroundings) -> None:
    surroundings.selector.page = 7
    try:
        assert (await queued(stub, surroundings.project())).items == ITEMS
    finally:
        surroundings.selector.page = 10_000


async def test_the_request_id_of_the_call_goes_on_to_the_selector(stub: Stub, surroundings: Surroundings) -> None:
    surroundings.selector.metadata.clear()
    request = trainer_pb2.StartJobRequest(project=surroundings.project())
    await stub.StartJob(request, metadata=(("x-request-id", "abc"),))
    assert [one["x-request-id"] for one in surroundings.selector.metadata] == ["abc", "abc"]


async def test_an_order_that_cannot_be_taken_says_why(stub: Stub, surroundings: Surroundings) -> None:
    def order(project: str, **named: object) -> Awaitable[object]:
        return stub.StartJob(trainer_pb2.StartJobRequest(project=project, **named))  # type: ignore[arg-type]

    one_class = surroundings.project(labeled={"i000": "positive", "i001": "positive"})
    code, reason, message = await refused(order(one_class))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_FEW_LABELS")
    assert message == (
        f"project '{one_class}' has labels of 1 class, and fine-tuning needs at least 2; "
        "label items of another class first"
    )
    code, reason, _ = await refused(order(surroundings.project(labeled={})))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_FEW_LABELS")
    code, reason, message = await refused(order("nobody"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND")
    assert message == "there is no project 'nobody'; create it with CreateProject of the selector"
    code, reason, _ = await refused(order(surroundings.project(pool="gone")))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "POOL_NOT_FOUND")
    code, reason, message = await refused(order(surroundings.project(pool="own")))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BACKBONE_REQUIRED")
    assert "so backbone must be given" in message
    wrong = [trainer_pb2.LabeledText(text="a", label="neutral"), trainer_pb2.LabeledText(text="b", label="mixed")]
    code, reason, message = await refused(order(surroundings.project(), evaluation=wrong))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_LABELS")
    assert message.endswith(": 'mixed', 'neutral'")
    assert not list((await stub.ListJobs(trainer_pb2.ListJobsRequest())).jobs), "nothing is half-written"


async def test_every_field_at_fault_is_named_at_once(stub: Stub, surroundings: Surroundings) -> None:
    request = trainer_pb2.StartJobRequest(
        project="../etc",
        backbone="x" * 5000,
        recipe=trainer_pb2.Recipe(epochs=0, batch_size=2000, learning_rate=float("nan"), weight_decay=2),
        evaluation=[trainer_pb2.LabeledText(text=" ", label="positive")],
        request_id="x" * 300,
    )
    assert await fields(stub.StartJob(request)) == [
        "project",
        "backbone",
        "request_id",
        "recipe.epochs",
        "recipe.batch_size",
        "recipe.learning_rate",
        "recipe.weight_decay",
        "evaluation[0].text",
    ]


async def test_a_max_length_beyond_the_backbone_is_refused(stub: Stub, surroundings: Surroundings) -> None:
    request = trainer_pb2.StartJobRequest(project=surroundings.project(), recipe=trainer_pb2.Recipe(max_length=65))
    code, reason, message = await refused(stub.StartJob(request))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert message == ("recipe.max_length must be between 2 and 64, got 65; the backbone takes at most 64 tokens")


@pytest.mark.parametrize(("pool", "pairs"), [("films", True), ("pairs", False)])
async def test_evaluation_texts_are_of_the_kind_of_the_items(
    stub: Stub, surroundings: Surroundings, pool: str, pairs: bool
) -> None:
    request = trainer_pb2.StartJobRequest(project=surroundings.project(pool=pool), evaluation=evaluation(pairs=pairs))
    assert await fields(stub.StartJob(request)) == ["evaluation[0].text_pair"]


async def test_a_repeated_request_id_gives_the_first_job(stub: Stub, surroundings: Surroundings) -> None:
    project = surroundings.project()
    first = await queued(stub, project, "r1")
    assert await queued(stub, project, "r1") == first
    together = await asyncio.gather(*(queued(stub, project, "r2") for _ in range(5)))
    assert len({job.id for job in together}) == 1
    assert len((await stub.ListJobs(trainer_pb2.ListJobsRequest(project=project))).jobs) == 2
    folders = {path.name for path in (surroundings.data / "jobs").iterdir()}
    assert {first.id, together[0].id} <= folders
    assert not [name for name in folders if name.startswith(".")]
    other = trainer_pb2.StartJobRequest(project=project, recipe=recipe(epochs=9), request_id="r1")
    code, reason, message = await refused(stub.StartJob(other))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert first.id in message


async def test_jobs_are_listed_newest_first_page_by_page(stub: Stub, surroundings: Surroundings) -> None:
    mine, other = surroundings.project(), surroundings.project()
    made = [(await queued(stub, project)).id for project in (mine, other, mine, mine, other)]

    async def listed(project: str, size: int) -> list[list[str]]:
        pages, token = [], ""
        while True:
            request = trainer_pb2.ListJobsRequest(project=project, page_size=size, page_token=token)
            answer = await stub.ListJobs(request)
            pages.append([job.id for job in answer.jobs])
            token = answer.next_page_token
            if not token:
                return pages

    assert await listed("", 0) == [made[::-1]]
    assert await listed("", 2) == [made[4:2:-1], made[2:0:-1], made[:1]]
    assert await listed(mine, 2) == [[made[3], made[2]], [made[0]]]
    assert await listed("nobody", 0) == [[]]
    assert await fields(stub.ListJobs(trainer_pb2.ListJobsRequest(page_size=1001))) == ["page_size"]


@pytest.mark.parametrize("method", ["GetJob", "WatchJob", "CancelJob", "DownloadCheckpoint"])
async def test_a_job_that_is_not_there_is_told(stub: Stub, method: str) -> None:
    code, reason, message = await refused(called(stub, method, "20260101-000000-aaaaaaaa"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
    assert message == "there is no job '20260101-000000-aaaaaaaa'"
    code, reason, _ = await refused(called(stub, method, ""))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_a_job_is_watched_from_now_until_it_ends(stub: Stub, surroundings: Surroundings, redis_url: str) -> None:
    job = await queued(stub, surroundings.project())
    watching = aiter(stub.WatchJob(trainer_pb2.WatchJobRequest(id=job.id), timeout=20))
    assert (await anext(watching)).job == job
    end(surroundings, redis_url, job.id)
    states = [response.job.state async for response in watching]
    assert states[-1] == trainer_pb2.JOB_STATE_SUCCEEDED
    again = [response.job async for response in stub.WatchJob(trainer_pb2.WatchJobRequest(id=job.id), timeout=20)]
    assert [one.state for one in again] == [trainer_pb2.JOB_STATE_SUCCEEDED]


async def test_a_job_deleted_under_its_watcher_ends_the_watch(
    stub: Stub, surroundings: Surroundings, redis_url: str
) -> None:
    job = await queued(stub, surroundings.project())
    end(surroundings, redis_url, job.id, succeed=False)
    deleted = await stub.DeleteJob(trainer_pb2.DeleteJobRequest(id=job.id))
    assert deleted.deleted
    code, reason, _ = await refused(called(stub, "WatchJob", job.id))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")


async def test_only_an_ended_job_is_deleted_and_with_all_its_files(
    stub: Stub, surroundings: Surroundings, redis_url: str
) -> None:
    job = await queued(stub, surroundings.project())
    code, reason, message = await refused(stub.DeleteJob(trainer_pb2.DeleteJobRequest(id=job.id)))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "JOB_NOT_ENDED")
    assert message == f"job {job.id} is queued; cancel it first, or wait until it has ended"
    end(surroundings, redis_url, job.id)
    assert (await stub.DeleteJob(trainer_pb2.DeleteJobRequest(id=job.id))).deleted
    assert not (await stub.DeleteJob(trainer_pb2.DeleteJobRequest(id=job.id))).deleted
    assert job.id not in {path.name for path in (surroundings.data / "jobs").iterdir()}
    assert not (await stub.DeleteJob(trainer_pb2.DeleteJobRequest(id="never-was"))).deleted


async def test_a_download_equals_the_folder(
    stub: Stub, surroundings: Surroundings, redis_url: str, tmp_path: Path
) -> None:
    job = await queued(stub, surroundings.project())
    folder = end(surroundings, redis_url, job.id)
    (folder / "sub").mkdir()
    written = {
        "config.json": b"{}",
        "empty.txt": b"",
        "model.safetensors": bytes(range(256)) * 10_000,
        "exact.bin": b"x" * 1024 * 1024,
        "sub/more.json": b"[1]",
    }
    for name, data in written.items():
        (folder / name).write_bytes(data)
    (tmp_path / "secret").write_text("not yours")
    (folder / "link.json").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path)

    got: dict[str, bytes] = {}
    async for part in stub.DownloadCheckpoint(trainer_pb2.DownloadCheckpointRequest(id=job.id)):
        assert part.offset == len(got.get(part.path, b""))
        assert part.size == len(written[part.path])
        assert len(part.data) <= 1024 * 1024
        assert part.data or part.size == 0
        got[part.path] = got.get(part.path, b"") + part.data
    assert got == written
    assert list(got) == sorted(got)


async def test_a_job_without_a_checkpoint_is_not_downloaded(stub: Stub, surroundings: Surroundings) -> None:
    job = await queued(stub, surroundings.project())
    code, reason, message = await refused(called(stub, "DownloadCheckpoint", job.id))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_CHECKPOINT")
    assert message == f"job {job.id} is queued; only a succeeded job has a checkpoint"


async def test_jobs_outlive_the_service(surroundings: Surroundings, redis_url: str) -> None:
    async with serving(surroundings, redis_url=redis_url) as stub:
        job = await queued(stub, surroundings.project(), "r1")
    async with serving(surroundings, redis_url=redis_url) as stub:
        assert (await stub.GetJob(trainer_pb2.GetJobRequest(id=job.id))).job == job
        assert [one.id for one in (await stub.ListJobs(trainer_pb2.ListJobsRequest())).jobs] == [job.id]


async def test_a_selector_that_is_away_is_told_and_nothing_is_started(
    surroundings: Surroundings, redis_url: str
) -> None:
    async with serving(surroundings, redis_url=redis_url, selector="127.0.0.1:1") as stub:
        request = trainer_pb2.StartJobRequest(project=surroundings.project())
        code, reason, _ = await refused(stub.StartJob(request))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "SELECTOR_UNAVAILABLE")
        assert not (await stub.ListJobs(trainer_pb2.ListJobsRequest())).jobs


async def test_a_redis_that_is_away_is_told_and_comes_back(
    surroundings: Surroundings, own_redis_server: RedisServer
) -> None:
    options = TrainerOptions(
        data=str(surroundings.data),
        redis=own_redis_server.url,
        queue_redis=own_redis_server.url,
        selector=surroundings.address,
    )
    async with (
        running(await start(options)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
        job = await queued(stub, surroundings.project())
        own_redis_server.kill()
        assert (await health.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        calls = [
            *(called(stub, method, job.id) for method in ("GetJob", "CancelJob", "DeleteJob", "WatchJob")),
            stub.ListJobs(trainer_pb2.ListJobsRequest()),
            stub.StartJob(trainer_pb2.StartJobRequest(project=surroundings.project(), request_id="r1")),
        ]
        for call in calls:
            code, reason, _ = await refused(call)
            assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        await asyncio.to_thread(own_redis_server.start)
        assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
        assert (await stub.GetJob(trainer_pb2.GetJobRequest(id=job.id))).job == job
