"""Jobs in Redis: states, leases, and races between those who speak for a job."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from services.trainer import records
from services.trainer.connection import connect
from services.trainer.errors import JobNotEnded, JobNotFound, LeaseLost, RequestIdReused, StoreUnavailable
from services.trainer.job import Definition, Failure, FailureReason, JobState, Progress, new_job_id
from services.trainer.leases import Leases, Renewed
from services.trainer.metrics import Metrics
from services.trainer.recipe import Recipe
from services.trainer.store import JobStore
from tests.conftest import RedisServer

METRICS = Metrics(accuracy=0.9, macro_f1=0.8, loss=0.3, items=10)
BROKEN = Failure(FailureReason.INTERNAL, "it broke")


def definition(project: str = "reviews", job_id: str = "") -> Definition:
    now = datetime.now(UTC)
    return Definition(
        id=job_id or new_job_id(now),
        project=project,
        pool="films",
        incarnation="i1",
        backbone="minilm",
        recipe=Recipe(seed=2**64 - 1),
        labels=("negative", "positive"),
        items=12,
        evaluation_items=3,
        created_at=now,
    )


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return connect(redis_url)


@pytest.fixture
def store(client: redis.Redis) -> JobStore:
    return JobStore(client)


@pytest.fixture
def leases(client: redis.Redis) -> Leases:
    return Leases(client, seconds=60)


@pytest.fixture
def job_id(store: JobStore) -> str:
    return store.create(definition())


def expire(client: redis.Redis, job_id: str) -> None:
    """What time does to the lease of a dead worker."""
    client.delete(records.lease_key(job_id))


def test_a_created_job_is_queued_and_keeps_what_it_is_to_do(store: JobStore) -> None:
    made = definition()
    assert store.create(made) == made.id
    job = store.get(made.id)
    assert job.definition == made
    assert (job.state, job.attempts, job.progress, job.metrics, job.failure) == (
        JobState.QUEUED,
        0,
        Progress(),
        None,
        None,
    )


def test_an_attempt_runs_a_job_and_ends_it(store: JobStore, leases: Leases, job_id: str) -> None:
    assert leases.claim(job_id, "w/1")
    assert leases.renew(job_id, "w/1", progress=Progress(step=3, total_steps=9, epoch=1.0, loss=0.7)) is Renewed.OK
    running = store.get(job_id)
    assert running.state is JobState.RUNNING
    assert running.progress == Progress(step=3, total_steps=9, epoch=1.0, loss=0.7)
    assert running.started_at is not None
    assert leases.succeed(job_id, "w/1", metrics=METRICS, seconds=4.5) is JobState.SUCCEEDED
    job = store.get(job_id)
    assert (job.state, job.metrics, job.training_seconds, job.attempts) == (JobState.SUCCEEDED, METRICS, 4.5, 1)
    assert job.ended_at is not None
    assert store.waiting() == []
    assert store.open_counts() == (0, 0)


def test_one_attempt_at_a_time(store: JobStore, leases: Leases, job_id: str) -> None:
    assert leases.claim(job_id, "w/1")
    assert not leases.claim(job_id, "w/2")
    # An answer that got lost may be asked for again.
    assert leases.claim(job_id, "w/1")
    assert store.get(job_id).attempts == 1


def test_only_one_of_many_workers_gets_a_job(store: JobStore, redis_url: str, job_id: str) -> None:
    barrier = threading.Barrier(8)
    won: list[str] = []

    def race(token: str) -> None:
        mine = Leases(connect(redis_url), 60)
        barrier.wait()
        if mine.claim(job_id, token):
            won.append(token)

    threads = [threading.Thread(target=race, args=(f"w{number}/1",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.get(job_id).attempts == 1


def test_who_lost_the_lease_records_nothing(store: JobStore, leases: Leases, client: redis.Redis, job_id: str) -> None:
    assert leases.claim(job_id, "w/1")
    expire(client, job_id)
    assert leases.claim(job_id, "w/2")
    assert leases.renew(job_id, "w/1", progress=Progress(step=99)) is Renewed.LOST
    for end in (
        lambda: leases.succeed(job_id, "w/1", metrics=None, seconds=1),
        lambda: leases.fail(job_id, "w/1", BROKEN),
        lambda: leases.stop(job_id, "w/1"),
    ):
        with pytest.raises(LeaseLost):
            end()
    assert not leases.give_back(job_id, "w/1", died=False)
    job = store.get(job_id)
    assert (job.state, job.progress.step, job.attempts) == (JobState.RUNNING, 0, 2)
    assert leases.renew(job_id, "w/2") is Renewed.OK


def test_a_lease_that_ran_out_while_redis_was_away_is_taken_again(
    leases: Leases, client: redis.Redis, job_id: str
) -> None:
    assert leases.claim(job_id, "w/1")
    expire(client, job_id)
    assert leases.renew(job_id, "w/1") is Renewed.OK
    assert not leases.claim(job_id, "w/2")


def test_a_running_job_whose_worker_is_silent_is_queued_again(
    store: JobStore, leases: Leases, client: redis.Redis, job_id: str
) -> None:
    assert leases.claim(job_id, "w/1")
    assert store.recover() == []
    expire(client, job_id)
    assert store.recover() == [job_id]
    assert store.get(job_id).state is JobState.QUEUED
    assert [one.job_id for one in store.waiting()] == [job_id]
    assert leases.renew(job_id, "w/1") is Renewed.LOST


def test_a_lease_runs_out_by_itself(store: JobStore, client: redis.Redis, job_id: str) -> None:
    assert Leases(client, seconds=0.001).claim(job_id, "w/1")
    deadline = threading.Event()
    for _ in range(200):
        if store.recover():
            break
        deadline.wait(0.01)
    assert store.get(job_id).state is JobState.QUEUED


def test_a_job_that_keeps_killing_its_workers_fails(
    store: JobStore, leases: Leases, client: redis.Redis, job_id: str
) -> None:
    for attempt in range(records.FRUITLESS_ATTEMPTS):
        assert leases.claim(job_id, f"w/{attempt}")
        expire(client, job_id)
        store.recover()
    job = store.get(job_id)
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert job.failure.reason is FailureReason.WORKER_DIED
    assert not leases.claim(job_id, "w/9")


def test_a_job_that_gets_further_with_each_attempt_does_not_fail(
    store: JobStore, leases: Leases, client: redis.Redis, job_id: str
) -> None:
    for attempt in range(3 * records.FRUITLESS_ATTEMPTS):
        assert leases.claim(job_id, f"w/{attempt}")
        leases.renew(job_id, f"w/{attempt}", fruitful=True)
        expire(client, job_id)
        assert store.recover() == [job_id]


def test_a_worker_that_is_stopped_in_order_does_not_count_against_the_job(
    store: JobStore, leases: Leases, job_id: str
) -> None:
    for attempt in range(3 * records.FRUITLESS_ATTEMPTS):
        assert leases.claim(job_id, f"w/{attempt}")
        assert leases.give_back(job_id, f"w/{attempt}", died=False)
    assert store.get(job_id).state is JobState.QUEUED


def test_a_worker_gives_back_what_its_dead_child_had(store: JobStore, leases: Leases, job_id: str) -> None:
    assert leases.claim(job_id, "w1/abc")
    assert not leases.give_back(job_id, "w2/", died=True)
    assert leases.give_back(job_id, "w1/", died=True)
    assert store.get(job_id).state is JobState.QUEUED


def test_a_queued_job_is_cancelled_at_once(store: JobStore, leases: Leases, job_id: str) -> None:
    store.cancel(job_id)
    assert store.get(job_id).state is JobState.CANCELLED
    assert not leases.claim(job_id, "w/1")
    store.cancel(job_id)


def test_a_running_job_learns_that_it_is_cancelled(store: JobStore, leases: Leases, job_id: str) -> None:
    assert leases.claim(job_id, "w/1")
    store.cancel(job_id)
    assert store.get(job_id).state is JobState.RUNNING
    assert leases.renew(job_id, "w/1") is Renewed.CANCEL
    assert leases.stop(job_id, "w/1") is JobState.CANCELLED


@pytest.mark.parametrize("end", ["succeed", "fail"])
def test_a_cancelled_job_neither_succeeds_nor_fails(store: JobStore, leases: Leases, job_id: str, end: str) -> None:
    assert leases.claim(job_id, "w/1")
    store.cancel(job_id)
    if end == "succeed":
        assert leases.succeed(job_id, "w/1", metrics=METRICS, seconds=1) is JobState.CANCELLED
    else:
        assert leases.fail(job_id, "w/1", BROKEN) is JobState.CANCELLED
    job = store.get(job_id)
    assert (job.state, job.metrics, job.failure) == (JobState.CANCELLED, None, None)


def test_a_job_whose_worker_died_is_cancelled_at_once(
    store: JobStore, leases: Leases, client: redis.Redis, job_id: str
) -> None:
    assert leases.claim(job_id, "w/1")
    expire(client, job_id)
    store.cancel(job_id)
    assert store.get(job_id).state is JobState.CANCELLED
    assert leases.renew(job_id, "w/1") is Renewed.LOST


def test_a_cancelled_job_is_not_queued_again_when_its_worker_dies(
    store: JobStore, leases: Leases, client: redis.Redis, job_id: str
) -> None:
    assert leases.claim(job_id, "w/1")
    store.cancel(job_id)
    expire(client, job_id)
    assert store.recover() == []
    assert store.get(job_id).state is JobState.CANCELLED


ENDS: dict[JobState, Callable[[JobStore, Leases, str], Any]] = {
    JobState.SUCCEEDED: lambda store, leases, job_id: leases.succeed(job_id, "w/1", metrics=METRICS, seconds=1),
    JobState.FAILED: lambda store, leases, job_id: leases.fail(job_id, "w/1", BROKEN),
    JobState.CANCELLED: lambda store, leases, job_id: leases.stop(job_id, "w/1"),
}


@pytest.mark.parametrize("state", ENDS)
def test_a_final_state_never_changes(
    store: JobStore, leases: Leases, client: redis.Redis, job_id: str, state: JobState
) -> None:
    assert leases.claim(job_id, "w/1")
    ENDS[state](store, leases, job_id)
    before = client.hgetall(records.job_key(job_id))
    # Whatever anybody says afterwards, the same attempt included.
    store.cancel(job_id)
    assert not leases.claim(job_id, "w/2")
    assert leases.renew(job_id, "w/1", progress=Progress(step=7), fruitful=True) is Renewed.LOST
    assert leases.succeed(job_id, "w/1", metrics=None, seconds=9) is state
    assert leases.fail(job_id, "w/1", BROKEN) is state
    assert leases.stop(job_id, "w/1") is state
    assert not leases.give_back(job_id, "w/1", died=True)
    assert store.recover() == []
    store.ticketed(job_id)
    assert client.hgetall(records.job_key(job_id)) == before


def test_of_cancel_and_success_at_once_exactly_one_wins(store: JobStore, leases: Leases, redis_url: str) -> None:
    for _ in range(25):
        job_id = store.create(definition())
        assert leases.claim(job_id, "w/1")
        barrier = threading.Barrier(2)
        told: list[JobState] = []
        other = JobStore(connect(redis_url))
        other.ping()

        def cancel(job_id: str = job_id, barrier: threading.Barrier = barrier, other: JobStore = other) -> None:
            barrier.wait()
            other.cancel(job_id)

        thread = threading.Thread(target=cancel)
        thread.start()
        barrier.wait()
        told.append(leases.succeed(job_id, "w/1", metrics=METRICS, seconds=1))
        thread.join()
        assert store.get(job_id).state is told[0]
        assert told[0] in (JobState.SUCCEEDED, JobState.CANCELLED)


def test_a_request_id_gives_the_first_job_and_refuses_another_request(store: JobStore) -> None:
    first = store.create(definition(), request_id="r1", request_digest="d1")
    assert store.create(definition(), request_id="r1", request_digest="d1") == first
    assert store.answered("r1", "d1") == first
    assert store.answered("r2", "d1") is None
    assert [job_id for job_id, _ in store.ids()] == [first]
    with pytest.raises(RequestIdReused, match=f"request_id 'r1' was used within a day .* made job {first}"):
        store.create(definition(), request_id="r1", request_digest="d2")


def test_a_request_id_is_forgotten_after_a_day(store: JobStore, client: redis.Redis) -> None:
    store.create(definition(), request_id="r1", request_digest="d1")
    left: Any = client.ttl(records.request_key("r1"))
    assert 0.99 * 86_400 < left <= 86_400


def test_of_one_request_sent_twice_at_once_one_job_comes(store: JobStore, redis_url: str) -> None:
    barrier = threading.Barrier(6)
    got: list[str] = []

    def send() -> None:
        mine = JobStore(connect(redis_url))
        mine.ping()
        barrier.wait()
        got.append(mine.create(definition(), request_id="r1", request_digest="d1"))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 1
    assert len(store.ids()) == 1


def test_jobs_are_found_by_project_in_order_of_creation(store: JobStore) -> None:
    base = definition()
    made = [
        replace(base, id=f"j{number}", project=project, created_at=datetime.fromtimestamp(1000 + number, UTC))
        for number, project in enumerate(["a", "b", "a"])
    ]
    for one in made:
        store.create(one)
    assert [job_id for job_id, _ in store.ids()] == ["j0", "j1", "j2"]
    assert [job_id for job_id, _ in store.ids("a")] == ["j0", "j2"]
    assert [job.id for job in store.get_many(["j2", "gone", "j0"])] == ["j2", "j0"]


def test_an_open_job_is_not_deleted_and_an_ended_one_leaves_nothing(
    store: JobStore, leases: Leases, client: redis.Redis, job_id: str
) -> None:
    with pytest.raises(JobNotEnded):
        store.delete(job_id, "reviews")
    assert leases.claim(job_id, "w/1")
    with pytest.raises(JobNotEnded):
        store.delete(job_id, "reviews")
    leases.stop(job_id, "w/1")
    assert store.delete(job_id, "reviews")
    assert not store.delete(job_id, "reviews")
    with pytest.raises(JobNotFound, match=f"there is no job '{job_id}'"):
        store.get(job_id)
    store.ticketed(job_id)
    assert client.keys("prepal:{jobs}:*") == []


def test_every_key_is_in_one_slot_of_a_cluster(store: JobStore, leases: Leases, client: redis.Redis) -> None:
    job_id = store.create(definition(), request_id="r1", request_digest="d")
    leases.claim(job_id, "w/1")
    keys: Any = client.keys("*")
    assert keys
    assert all(key.startswith("prepal:{jobs}:") for key in keys)


def test_each_change_is_told(store: JobStore, leases: Leases, client: redis.Redis) -> None:
    made = definition()
    with client.pubsub() as pubsub:
        pubsub.subscribe(records.CHANGES)
        assert pubsub.get_message(timeout=5)["type"] == "subscribe"

        def told() -> set[str]:
            heard = set()
            while message := pubsub.get_message(timeout=0.2):
                heard.add(message["data"])
            return heard

        store.create(made)
        assert told() == {made.id}
        leases.claim(made.id, "w/1")
        assert told() == {made.id}
        leases.renew(made.id, "w/1")
        assert told() == set()
        leases.renew(made.id, "w/1", progress=Progress(step=1))
        assert told() == {made.id}
        leases.succeed(made.id, "w/1", metrics=None, seconds=1)
        assert told() == {made.id}


def test_a_redis_that_is_away_is_told_apart_from_a_job_that_is_not_there(own_redis_server: RedisServer) -> None:
    store = JobStore(connect(own_redis_server.url))
    job_id = store.create(definition())
    own_redis_server.kill()
    with pytest.raises(StoreUnavailable):
        store.get(job_id)
    own_redis_server.start()
    assert store.get(job_id).state is JobState.QUEUED


def test_a_definition_survives_json() -> None:
    made = replace(definition(), labels=("größer", "小さい", '"'))
    assert Definition.from_json(json.loads(json.dumps(made.to_json()))) == made
