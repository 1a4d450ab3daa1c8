"""What a death leaves is put right."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import redis

from services.trainer.connection import connect
from services.trainer.files import JobFiles
from services.trainer.inputs import EvaluationText, Inputs, LabeledItem
from services.trainer.leases import Leases
from services.trainer.records import job_key, lease_key
from services.trainer.store import JobStore
from services.trainer.sweep import recover_jobs, remove_orphans
from services.trainer.tickets import Tickets
from tests.trainer.test_store import definition


@pytest.fixture
def store(redis_url: str) -> JobStore:
    return JobStore(connect(redis_url))


@pytest.fixture
def tickets(redis_url: str) -> Tickets:
    return Tickets(redis.Redis.from_url(redis_url))


def grow_old(path: Path) -> None:
    old = time.time() - 7200
    os.utime(path, (old, old))


def test_a_job_whose_ticket_never_came_into_the_queue_gets_one(
    store: JobStore, tickets: Tickets, redis_url: str
) -> None:
    job_id = store.create(definition())
    recover_jobs(store, tickets)
    assert tickets.waiting() == set(), "its ticket may be on its way"
    connect(redis_url).hset(job_key(job_id), "ticketed", "1000")
    recover_jobs(store, tickets)
    assert tickets.waiting() == {job_id}
    recover_jobs(store, tickets)
    connect(redis_url).hset(job_key(job_id), "ticketed", "1000")
    recover_jobs(store, tickets)
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("rq:queue:prepal-jobs") == 1


def test_a_job_whose_worker_died_gets_a_ticket_at_once(store: JobStore, tickets: Tickets, redis_url: str) -> None:
    job_id = store.create(definition())
    client = connect(redis_url)
    assert Leases(client, 60).claim(job_id, "w/1")
    client.delete(lease_key(job_id))
    assert recover_jobs(store, tickets) == [job_id]
    assert tickets.waiting() == {job_id}


def test_a_running_job_is_left_alone(store: JobStore, tickets: Tickets, redis_url: str) -> None:
    job_id = store.create(definition())
    assert Leases(connect(redis_url), 60).claim(job_id, "w/1")
    assert recover_jobs(store, tickets) == []
    assert tickets.waiting() == set()


def test_folders_without_a_job_go_but_never_a_result_nor_a_young_one(store: JobStore, tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    names = {"known": True, "orphan": True, "with-result": True, "young": False}
    for name, old in names.items():
        made = definition(job_id=name)
        files.write(Inputs(made, [LabeledItem("i", "positive")], []))
        if name == "known":
            store.create(made)
        if name == "with-result":
            files.checkpoint(name).mkdir()
        if old:
            grow_old(files.folder(name))
    for name in (".writing-torn-inputs", ".deleted-half"):
        (tmp_path / "jobs" / name).mkdir()
        grow_old(tmp_path / "jobs" / name)
    (tmp_path / "jobs" / ".writing-now-inputs").mkdir()
    remove_orphans(store, files)
    left = {path.name for path in (tmp_path / "jobs").iterdir()}
    assert left == {"known", "with-result", "young", ".writing-now-inputs"}


def test_what_an_ended_job_does_not_need_goes(store: JobStore, tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    made = definition()
    files.write(Inputs(made, [], []))
    store.create(made)
    store.cancel(made.id)
    (files.folder(made.id) / "attempt-1" / "checkpoint-2").mkdir(parents=True)
    grow_old(files.folder(made.id))
    remove_orphans(store, files)
    assert not list(files.folder(made.id).glob("attempt-*"))


def test_inputs_are_read_as_they_were_written(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    made = Inputs(
        definition(),
        [LabeledItem("a\u2028b", "positive"), LabeledItem("ü", "negative")],
        [EvaluationText('quote " and\nnew line', None, "positive"), EvaluationText("one", "two", "negative")],
    )
    files.write(made)
    assert files.read(made.definition.id) == made


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    broken = Inputs(definition(), [LabeledItem("a\ud800", "positive")], [])
    with pytest.raises(UnicodeEncodeError):
        files.write(broken)
    assert not list((tmp_path / "jobs").iterdir())
