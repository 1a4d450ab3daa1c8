"""Jobs from start to end, with real workers: what is learned, cancelled, killed, recovered."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
import redis
import torch
from prepal.v1 import trainer_pb2, trainer_pb2_grpc
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from services.trainer.metrics import evaluate
from tests.trainer.conftest import (
    ITEMS,
    LABELS,
    Surroundings,
    Workers,
    ended,
    evaluation,
    recipe,
    serving,
    until,
    wait_until,
)
from tests.trainer.examples import sentences

Stub = trainer_pb2_grpc.TrainerServiceStub
SUCCEEDED, FAILED, CANCELLED = (
    trainer_pb2.JOB_STATE_SUCCEEDED,
    trainer_pb2.JOB_STATE_FAILED,
    trainer_pb2.JOB_STATE_CANCELLED,
)
RUNNING, QUEUED = trainer_pb2.JOB_STATE_RUNNING, trainer_pb2.JOB_STATE_QUEUED
# Long enough that whatever a test does to it happens while it runs.
LONG = 100


async def start_job(
    stub: Stub,
    project: str,
    *,
    epochs: int = 2,
    backbone: str = "",
    learning_rate: float = 2e-3,
    evaluate_on: list[trainer_pb2.LabeledText] | None = None,
) -> str:
    request = trainer_pb2.StartJobRequest(
        project=project,
        backbone=backbone,
        recipe=recipe(epochs=epochs, learning_rate=learning_rate),
        evaluation=evaluation() if evaluate_on is None else evaluate_on,
    )
    return str((await stub.StartJob(request, timeout=20)).job.id)


async def get(stub: Stub, job_id: str) -> trainer_pb2.Job:
    return (await stub.GetJob(trainer_pb2.GetJobRequest(id=job_id), timeout=10)).job


async def cancel(stub: Stub, job_id: str) -> trainer_pb2.Job:
    return (await stub.CancelJob(trainer_pb2.CancelJobRequest(id=job_id), timeout=10)).job


def stepping(job: trainer_pb2.Job) -> bool:
    return bool(job.state == RUNNING and job.progress.step > 0)


def checkpoint(surroundings: Surroundings, job_id: str) -> Path:
    return surroundings.data / "jobs" / job_id / "checkpoint"


def has_progress(surroundings: Surroundings, job_id: str) -> bool:
    return any((surroundings.data / "jobs" / job_id).glob("attempt-*/checkpoint-*/complete.json"))


async def test_a_job_runs_to_its_end_and_tells_how_it_goes(
    stub: Stub, surroundings: Surroundings, workers: Workers
) -> None:
    job_id = await start_job(stub, surroundings.project(), epochs=12)
    watching = stub.WatchJob(trainer_pb2.WatchJobRequest(id=job_id), timeout=60)
    seen = [response.job async for response in watching]
    states = [job.state for job in seen]
    assert states[0] in (QUEUED, RUNNING)
    assert states == sorted(states), "queued, running, succeeded, and never back"
    job = seen[-1]
    assert job.state == SUCCEEDED
    assert job.progress.step == job.progress.total_steps == 12 * ITEMS / 8
    assert job.progress.epoch == 12
    assert 0 < job.progress.loss < 1
    assert job.metrics.items == 20
    assert job.metrics.accuracy >= 0.9
    assert (job.items, list(job.labels), job.attempts) == (ITEMS, list(LABELS), 1)
    assert job.created_at.ToDatetime() <= job.started_at.ToDatetime() <= job.ended_at.ToDatetime()
    assert job.training_seconds > 0
    assert not job.HasField("error")
    folder = surroundings.data / "jobs" / job_id
    kept = {"checkpoint", "definition.json", "evaluation.jsonl", "labels.jsonl"}
    wait_until(lambda: {path.name for path in folder.iterdir()} == kept)


async def test_the_checkpoint_predicts_in_plain_transformers_what_was_evaluated(
    stub: Stub, surroundings: Surroundings, workers: Workers
) -> None:
    job = await until(stub, await start_job(stub, surroundings.project(), epochs=3), ended)
    folder = checkpoint(surroundings, job.id)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    asked = sentences(20, seed=1)
    with torch.no_grad():
        inputs = tokenizer([text for text, _ in asked], truncation=True, padding=True, return_tensors="pt")
        logits = model(**inputs).logits.numpy()
    columns = model.config.label2id
    plain = evaluate(logits, np.array([columns[label] for _, label in asked]))
    assert plain.accuracy == job.metrics.accuracy
    assert plain.macro_f1 == pytest.approx(job.metrics.macro_f1)
    assert plain.loss == pytest.approx(job.metrics.loss, rel=1e-4)
    written = json.loads((folder / "metrics.json").read_text())
    assert written["accuracy"] == job.metrics.accuracy
    assert json.loads((folder / "recipe.json").read_text())["epochs"] == 3


async def test_pairs_and_pools_of_ones_own_embeddings_are_fine_tuned_too(
    stub: Stub, surroundings: Surroundings, workers: Workers
) -> None:
    pairs = await start_job(stub, surroundings.project(pool="pairs"), evaluate_on=evaluation(pairs=True))
    own = await start_job(stub, surroundings.project(pool="own"), backbone=str(surroundings.backbone), evaluate_on=[])
    job = await until(stub, pairs, ended)
    assert (job.state, job.metrics.items) == (SUCCEEDED, 20)
    job = await until(stub, own, ended)
    assert job.state == SUCCEEDED
    assert not job.HasField("metrics")
    assert job.backbone == str(surroundings.backbone)


async def test_a_running_job_is_cancelled_within_seconds(
    stub: Stub, surroundings: Surroundings, workers: Workers
) -> None:
    job_id = await start_job(stub, surroundings.project(), epochs=LONG)
    await until(stub, job_id, stepping)
    asked = await cancel(stub, job_id)
    assert asked.state in (RUNNING, CANCELLED)
    job = await until(stub, job_id, ended, seconds=5)
    assert job.state == CANCELLED
    assert job.progress.step < job.progress.total_steps
    assert (await cancel(stub, job_id)).state == CANCELLED
    assert not checkpoint(surroundings, job_id).exists()
    wait_until(lambda: not list((surroundings.data / "jobs" / job_id).glob("attempt-*")))


async def test_a_waiting_job_is_cancelled_at_once_and_the_next_one_runs(
    stub: Stub, surroundings: Surroundings, workers: Workers
) -> None:
    busy = [await start_job(stub, surroundings.project(), epochs=LONG) for _ in range(2)]
    for job_id in busy:
        await until(stub, job_id, stepping)
    second = await start_job(stub, surroundings.project())
    third = await start_job(stub, surroundings.project())
    assert (await cancel(stub, second)).state == CANCELLED
    for job_id in busy:
        await cancel(stub, job_id)
    assert (await until(stub, third, ended)).state == SUCCEEDED
    assert (await get(stub, second)).attempts == 0


async def test_a_job_whose_process_is_killed_goes_on_from_its_checkpoint_and_ends_the_same(
    stub: Stub, surroundings: Surroundings, workers: Workers
) -> None:
    undisturbed = await until(stub, await start_job(stub, surroundings.project(), epochs=30), ended)
    job_id = await start_job(stub, surroundings.project(), epochs=30)
    for attempt in (1, 2):
        await until(stub, job_id, lambda job, attempt=attempt: stepping(job) and job.attempts == attempt)
        wait_until(lambda: has_progress(surroundings, job_id))
        for horse in workers.at_work().horses:
            horse.kill()
    job = await until(stub, job_id, ended)
    assert job.state == SUCCEEDED
    assert job.attempts == 3
    assert job.metrics == undisturbed.metrics
    one, other = (checkpoint(surroundings, done.id) for done in (undisturbed, job))
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


async def test_a_worker_killed_outright_leaves_no_process_and_its_job_goes_on_at_another(
    stub: Stub, surroundings: Surroundings, workers: Workers
) -> None:
    job_id = await start_job(stub, surroundings.project(), epochs=60)
    await until(stub, job_id, stepping)
    wait_until(lambda: has_progress(surroundings, job_id))
    worker = workers.at_work()
    horses = worker.horses
    worker.kill()
    wait_until(lambda: not any(_alive(horse) for horse in horses), seconds=5)
    before = (await get(stub, job_id)).progress.step
    assert before > 0
    job = await until(stub, job_id, lambda job: bool(job.attempts == 2 and stepping(job)))
    assert job.progress.step >= before / 2, "it went on, and did not begin again"
    job = await until(stub, job_id, ended)
    assert (job.state, job.attempts) == (SUCCEEDED, 2)


async def test_a_worker_and_its_child_killed_at_once_lose_the_job_when_its_lease_runs_out(
    stub: Stub, surroundings: Surroundings, workers: Workers
) -> None:
    job_id = await start_job(stub, surroundings.project(), epochs=40)
    await until(stub, job_id, stepping)
    worker = workers.at_work()
    horses = worker.horses
    for horse in horses:
        horse.suspend()
    worker.kill()
    for horse in horses:
        horse.kill()
    assert (await get(stub, job_id)).state == RUNNING
    # The lease is six seconds long, and the service sweeps every five.
    await until(stub, job_id, lambda job: bool(job.attempts == 2), seconds=40)
    assert (await until(stub, job_id, ended)).state == SUCCEEDED


async def test_a_worker_stopped_in_order_saves_gives_back_and_ends(
    stub: Stub, surroundings: Surroundings, workers: Workers
) -> None:
    job_id = await start_job(stub, surroundings.project(), epochs=60)
    reached = (await until(stub, job_id, stepping)).progress.step
    assert workers.at_work().stop() == 0
    job = await until(stub, job_id, lambda job: bool(job.attempts == 2 and stepping(job)))
    assert job.progress.step >= reached
    assert (await until(stub, job_id, ended)).state == SUCCEEDED


async def test_a_job_that_kills_its_process_again_and_again_fails(
    stub: Stub, surroundings: Surroundings, workers: Workers
) -> None:
    job_id = await start_job(stub, surroundings.project(), epochs=LONG)
    attempts = 0
    while True:
        job = await until(
            stub, job_id, lambda job, past=attempts: ended(job) or bool(job.attempts > past and job.state == RUNNING)
        )
        if ended(job):
            break
        attempts = job.attempts
        for horse in workers.at_work().horses:
            horse.kill()
    assert job.state == FAILED
    assert job.error.reason == "WORKER_DIED"
    assert job.error.message.startswith("3 attempts in a row ended with the death of their worker")
    assert job.attempts >= 3


async def test_two_workers_share_the_queue_and_run_no_job_twice(
    stub: Stub, surroundings: Surroundings, workers: Workers
) -> None:
    jobs = [await start_job(stub, surroundings.project(), epochs=8) for _ in range(5)]
    done = [await until(stub, job_id, ended) for job_id in jobs]
    assert {job.state for job in done} == {SUCCEEDED}
    assert {job.attempts for job in done} == {1}


async def test_what_cannot_be_learned_ends_as_a_clear_failure(
    stub: Stub, surroundings: Surroundings, workers: Workers
) -> None:
    missing = {f"i{place:03d}": label for place, (_, label) in enumerate(sentences(ITEMS + 2))}
    gone = await start_job(stub, surroundings.project(labeled=missing))
    nowhere = await start_job(stub, surroundings.project(), backbone="no/such-model")
    wild = await start_job(stub, surroundings.project(), learning_rate=1.0, epochs=LONG)
    job = await until(stub, gone, ended)
    assert (job.state, job.error.reason) == (FAILED, "ITEMS_MISSING")
    assert "2 of the 50 labeled items are not in pool 'films': 'i048', 'i049'" in job.error.message
    job = await until(stub, nowhere, ended)
    assert (job.state, job.error.reason) == (FAILED, "BACKBONE_NOT_LOADABLE")
    assert "'no/such-model' cannot be loaded" in job.error.message
    await cancel(stub, wild)
    await until(stub, wild, ended)


async def test_a_job_goes_on_while_redis_is_away_and_its_watcher_too(
    surroundings: Surroundings, workers: Workers
) -> None:
    async with serving(surroundings) as stub:
        job_id = await start_job(stub, surroundings.project(), epochs=40)
        await until(stub, job_id, stepping)

        watching = aiter(stub.WatchJob(trainer_pb2.WatchJobRequest(id=job_id), timeout=60))
        await anext(watching)
        surroundings.redis.kill()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await get(stub, job_id)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        await asyncio.to_thread(surroundings.redis.start)
        seen = [response.job async for response in watching]
        assert seen[-1].state == SUCCEEDED
        assert seen[-1].attempts == 1
        assert workers.all_run()
        assert (await until(stub, await start_job(stub, surroundings.project()), ended)).state == SUCCEEDED


async def test_nothing_in_redis_is_a_pickle(stub: Stub, surroundings: Surroundings, workers: Workers) -> None:
    await until(stub, await start_job(stub, surroundings.project()), ended)
    waiting = await start_job(stub, surroundings.project(), epochs=LONG)
    with redis.Redis.from_url(surroundings.redis.url) as client:
        values: list[bytes] = []
        for key in client.scan_iter():
            match client.type(key):
                case b"hash":
                    values += client.hgetall(key).values()
                case b"string":
                    values.append(client.get(key))
                case b"list":
                    values += client.lrange(key, 0, -1)
                case b"stream":
                    values += [value for _, fields in client.xrange(key) for value in fields.values()]
        tickets = list(client.scan_iter("rq:job:*"))
    assert values
    assert tickets
    assert not [value for value in values if value.startswith(b"\x80")]
    await cancel(stub, waiting)
    await until(stub, waiting, ended)


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
