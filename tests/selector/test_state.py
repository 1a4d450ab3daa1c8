"""The scripts, one at a time, where a race would have to be won to meet them through gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from services.selector.changes import KeptAnswer, Marks, Released, Reserved
from services.selector.errors import ProjectNotFound, StoreUnavailable
from services.selector.heads import LogisticHead, LogisticSettings
from services.selector.project import Cleared, Labeled, Project, Skipped
from services.selector.state import RedisHeads, RedisLabels, RedisLog, RedisProjects, RedisReservations, connect
from services.selector.state.connection import reaching
from services.selector.state.keys import Keys
from services.selector.stores import Proposal

NAME = "sentiment"
KEYS = Keys(NAME)


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    made = connect(redis_url)
    yield made
    await made.aclose()


@pytest.fixture
async def uid(client: Redis) -> str:
    """A project, and its uid."""
    project = Project(
        name=NAME,
        pool="reviews",
        labels=("negative", "positive"),
        acquisition="MAX_ENTROPY",
        cold_start="RANDOM",
        reservation_ms=1_000,
        head=LogisticSettings(),
        parameters={},
        fingerprint="f",
        created_ms=0,
    )
    await RedisProjects(client).create(project)
    found = await client.hget(KEYS.config, "uid")
    assert isinstance(found, bytes)
    return found.decode()


def proposal(*candidates: str, k: int = 2, annotator: str = "ada", **changes: Any) -> Proposal:
    fields: dict[str, Any] = {
        "annotator": annotator,
        "k": k,
        "candidates": candidates,
        "all_candidates": False,
        "reservation_ms": 60_000,
        "record": {"k": str(k)},
        "request_id": "",
        "digest": "",
        "decision": {},
        "per_candidate": [],
    }
    return Proposal(**{**fields, **changes})


def head(value: float = 1.0) -> LogisticHead:
    return LogisticHead(("a", "b"), np.full((1, 3), value, np.float32), np.zeros(1, np.float32))


async def test_what_was_labeled_skipped_or_taken_since_is_replaced_by_the_next_best(client: Redis, uid: str) -> None:
    reservations, labels = RedisReservations(client), RedisLabels(client)
    await labels.record(NAME, uid, [Labeled("a", "positive"), Skipped("b")], "eve", "", "")
    assert await reservations.reserve(NAME, uid, proposal("c", k=1, annotator="bob")) == [0]
    assert await reservations.reserve(NAME, uid, proposal("a", "b", "c", "d", "e", "f")) == [3, 4]
    # The same annotator is given the same items again.
    assert await reservations.reserve(NAME, uid, proposal("a", "d", "f")) == [1, 2]
    assert await client.hgetall(KEYS.holders) == {b"c": b"bob", b"d": b"ada", b"e": b"ada", b"f": b"ada"}


async def test_too_few_free_candidates_take_nothing_unless_they_are_all_there_are(client: Redis, uid: str) -> None:
    reservations = RedisReservations(client)
    await reservations.reserve(NAME, uid, proposal("a", k=1, annotator="bob"))
    log = await client.xlen(KEYS.selections)
    assert await reservations.reserve(NAME, uid, proposal("a", "b", request_id="r")) is None
    assert await client.hgetall(KEYS.holders) == {b"a": b"bob"}
    assert await client.xlen(KEYS.selections) == log
    assert not await client.exists(KEYS.requests)
    assert await reservations.reserve(NAME, uid, proposal("a", "b", all_candidates=True)) == [1]
    assert await reservations.reserve(NAME, uid, proposal(all_candidates=True)) == []


async def test_a_reservation_of_nothing_takes_nothing_and_is_still_recorded(client: Redis, uid: str) -> None:
    assert await RedisReservations(client).reserve(NAME, uid, proposal("a", "b", reservation_ms=0)) == [0, 1]
    assert not await client.exists(KEYS.reservations, KEYS.holders)
    assert await client.xlen(KEYS.selections) == 1


async def test_expired_reservations_are_swept(client: Redis, uid: str) -> None:
    reservations = RedisReservations(client)
    await reservations.reserve(NAME, uid, proposal("a", "b"))
    await client.zadd(KEYS.reservations, {"a": 1, "b": 2})
    assert await reservations.reserve(NAME, uid, proposal("b", "c", k=1, annotator="bob")) == [0]
    assert await client.hgetall(KEYS.holders) == {b"b": b"bob"}
    assert await client.zcard(KEYS.reservations) == 1


async def test_the_first_finished_answer_counts(client: Redis, uid: str) -> None:
    reservations, digest = RedisReservations(client), "d" * 64
    asked = proposal("a", "b", request_id="r", digest=digest, per_candidate=[["1", ""], ["2", ""]], decision={"x": 1})
    assert await reservations.reserve(NAME, uid, asked) == [0, 1]
    kept = await reservations.reserve(NAME, uid, asked)
    assert kept == KeptAnswer(digest, None, {"items": ["a", "b"], "each": [["1", ""], ["2", ""]], "rest": {"x": 1}})
    assert await reservations.finish(NAME, uid, "r", digest, b"\x00first\xff") == b"\x00first\xff"
    assert await reservations.finish(NAME, uid, "r", digest, b"second") == b"\x00first\xff"
    assert await reservations.reserve(NAME, uid, asked) == KeptAnswer(digest, b"\x00first\xff", {})


async def test_heads_are_stored_from_the_newest_and_once_for_a_basis(client: Redis, uid: str) -> None:
    heads = RedisHeads(client)
    assert await heads.newest(NAME) is None
    assert await heads.put(NAME, uid, 0, 3, "basis 3", head(1)) == 1
    assert await heads.put(NAME, uid, 0, 4, "basis 4", head(2)) is None, "fit from a head that is not the newest"
    assert await heads.put(NAME, uid, 1, 3, "basis 3", head(2)) is None, "the same basis"
    assert await heads.put(NAME, uid, 1, 2, "basis 2", head(2)) is None, "older labels"
    assert await heads.put(NAME, uid, 1, 3, "other settings", head(3)) == 2
    newest = await heads.newest(NAME)
    assert newest is not None
    assert (newest.version, newest.label_version, newest.basis) == (2, 3, "other settings")
    assert isinstance(newest.head, LogisticHead)
    assert (newest.head.weights == 3).all()


async def test_of_heads_that_are_stored_at_once_one_wins(client: Redis, uid: str) -> None:
    heads = RedisHeads(client)
    stored = await asyncio.gather(*(heads.put(NAME, uid, 0, 1, f"basis {n}", head(n)) for n in range(10)))
    assert sorted(version for version in stored if version) == [1]


async def test_nothing_is_written_for_a_project_that_was_deleted_or_made_again(client: Redis, uid: str) -> None:
    projects, reservations = RedisProjects(client), RedisReservations(client)
    project = (await projects.get_all([NAME]))[0]
    await projects.delete(NAME)
    for _ in range(2):
        for call in (
            lambda: RedisLabels(client).record(NAME, uid, [Labeled("a", "positive")], "", "", ""),
            lambda: reservations.reserve(NAME, uid, proposal("a", k=1)),
            lambda: reservations.finish(NAME, uid, "r", "d", b""),
            lambda: RedisHeads(client).put(NAME, uid, 0, 1, "b", head()),
        ):
            with pytest.raises(ProjectNotFound):
                await call()
        assert not await client.exists(*(key for key in KEYS.all() if key != KEYS.config))
        await projects.create(project)


async def test_a_follower_is_told_only_what_is_new(client: Redis, uid: str) -> None:
    log, labels, reservations = RedisLog(client), RedisLabels(client), RedisReservations(client)
    await labels.record(NAME, uid, [Labeled("a", "positive"), Skipped("b")], "ada", "", "")
    await reservations.reserve(NAME, uid, proposal("c", "d"))
    first = await log.changes(NAME, Marks())
    assert first.project is not None
    assert (first.labels_whole, first.reservations_whole) == (True, True)
    assert {item_id: record and record.label for item_id, record in first.labels} == {"a": "positive", "b": None}
    assert {item_id for event in first.reservations for item_id in event.item_ids} == {"c", "d"}
    nothing = await log.changes(NAME, first.marks)
    assert (nothing.project, nothing.labels, nothing.reservations) == (None, [], [])
    assert not nothing.labels_whole
    assert nothing.marks == first.marks
    await labels.record(NAME, uid, [Cleared("a"), Labeled("c", "negative")], "bob", "", "")
    await reservations.reserve(NAME, uid, proposal("e", k=1, annotator="bob"))
    second = await log.changes(NAME, first.marks)
    assert [(item_id, record and record.label) for item_id, record in second.labels] == [("a", None), ("c", "negative")]
    released, reserved = second.reservations
    assert released == Released(("c",))
    assert isinstance(reserved, Reserved)
    assert (reserved.item_ids, reserved.annotator) == (("e",), "bob")
    assert reserved.until_ms > second.now_ms + 50_000
    assert second.label_version == 2


async def test_a_follower_of_a_store_that_lost_its_end_reads_all_anew(client: Redis, uid: str) -> None:
    log, labels = RedisLog(client), RedisLabels(client)
    await labels.record(NAME, uid, [Labeled("a", "positive")], "ada", "", "")
    await labels.record(NAME, uid, [Labeled("b", "positive")], "ada", "", "")
    marks = (await log.changes(NAME, Marks())).marks
    # As after a crash of a Redis that does not sync every write: the last call is gone, and others came since.
    await client.xdel(KEYS.label_log, marks.label_mark)
    await client.hdel(KEYS.labels, "b")
    await labels.record(NAME, uid, [Labeled("c", "negative")], "ada", "", "")
    changes = await log.changes(NAME, marks)
    assert changes.labels_whole
    assert {item_id for item_id, _ in changes.labels} == {"a", "c"}


async def test_scripts_are_loaded_again_after_redis_forgot_them(client: Redis, uid: str) -> None:
    log = RedisLog(client)
    await log.changes(NAME, Marks())
    await client.script_flush()
    assert (await log.changes(NAME, Marks())).label_version == 0


async def test_a_redis_that_cannot_write_is_unavailable_and_a_mistake_of_ours_is_not(client: Redis) -> None:
    from redis.exceptions import ResponseError

    for told in ("MISCONF Redis is configured to save", "BUSY Redis is busy running a script"):
        with pytest.raises(StoreUnavailable, match="cannot serve at the moment"), reaching():
            raise ResponseError(told)
    with pytest.raises(ResponseError), reaching():
        await client.execute_command("NONSENSE")
