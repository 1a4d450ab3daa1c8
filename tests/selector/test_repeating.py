"""Requests that come again with their request id."""

from __future__ import annotations

import asyncio

import grpc
import pytest
import redis
from prepal.v1 import selector_pb2 as pb

from services.selector.requests import digest_of
from services.selector.state.keys import Keys
from tests.selector.conftest import StartSelector
from tests.selector.pools import ids
from tests.selector.selecting import Caller, Refusal, picked, truth

DAY_MS = 24 * 60 * 60 * 1_000


async def test_a_repeated_select_gives_the_first_answer_bit_for_bit(project: Caller) -> None:
    await project.label(truth(ids(0, 10)))
    first = await project.select(5, annotator="ada", request_id="r")
    await project.label(truth(picked(first)[:2]))
    again = await project.select(5, annotator="ada", request_id="r")
    assert again == first
    assert again.SerializeToString() == first.SerializeToString()
    assert len(again.probabilities.data) == 5 * 2 * 4
    other = await project.select(5, annotator="ada", request_id="r2")
    assert picked(other) != picked(first)


async def test_a_repeated_cold_or_empty_select_gives_the_first_answer(project: Caller) -> None:
    cold = await project.select(60, request_id="r")
    assert await project.select(60, request_id="r") == cold
    nothing = await project.select(3, annotator="bob", request_id="none")
    assert not nothing.items
    await project.clear("i0")
    assert await project.select(3, annotator="bob", request_id="none") == nothing


async def test_repetitions_at_the_same_time_reserve_once_and_answer_alike(
    project: Caller, start_selector: StartSelector
) -> None:
    await project.label(truth(ids(0, 10)))
    async with start_selector() as other:
        answers = await asyncio.gather(
            *((project, other)[n % 2].select(4, annotator="ada", request_id="same") for n in range(12))
        )
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert (await project.status()).reserved == 4


async def test_a_select_that_was_decided_and_never_answered_is_answered_when_it_comes_again(
    project: Caller, start_selector: StartSelector, redis_url: str
) -> None:
    await project.label(truth(ids(0, 10)))
    first = await project.select(5, request_id="r", seed=2**63)
    with redis.Redis.from_url(redis_url) as client:
        value = client.hget(Keys("sentiment").requests, "r")
        log = client.xrange(Keys("sentiment").selections)
        # As if the server had ended between its decision and its answer.
        decided = value[:64] + b"D" + DECISION_OF(first)
        client.hset(Keys("sentiment").requests, "r", decided)
    async with start_selector() as other:
        again = await other.select(5, request_id="r", seed=2**63)
        third = await project.select(5, request_id="r", seed=2**63)
    assert (again.items, again.probabilities, again.seed) == (first.items, first.probabilities, first.seed)
    assert (again.remaining, again.head_version, again.acquisition) == (45, 1, first.acquisition)
    assert third == again
    with redis.Redis.from_url(redis_url) as client:
        assert client.xrange(Keys("sentiment").selections) == log


def DECISION_OF(response: pb.SelectResponse) -> bytes:
    """The decision the reserve script keeps, as documented in `selection.decided`."""
    import numpy as np
    from prepal.tensors import unpack

    from services.selector.selection import Selection, Timing, decided, decided_of_each

    scores = np.array([item.score for item in response.items], np.float32)
    probabilities = unpack(response.probabilities)
    selection = Selection(
        uid="",
        items=(),
        scores=scores,
        probabilities=probabilities,
        labels=tuple(response.labels),
        acquisition="MAX_ENTROPY",
        cold_start=False,
        head_version=response.head_version,
        pool_version=response.pool_version,
        seed=response.seed,
        remaining=response.remaining,
        timing=Timing(fit=0, score=0, pick=0, fetch=0),
    )
    import json

    fields = {"items": picked(response), "each": decided_of_each(scores, probabilities), "rest": decided(selection)}
    return json.dumps(fields).encode()


async def test_repeated_labels_are_recorded_once_and_answered_alike(
    project: Caller, start_selector: StartSelector
) -> None:
    async with start_selector() as other:
        answers = await asyncio.gather(
            *((project, other)[n % 2].label({"i1": "positive"}, request_id="r") for n in range(10))
        )
        assert {answer.SerializeToString() for answer in answers} == {answers[0].SerializeToString()}
        assert answers[0].changed == 1
        await other.label({"i1": "negative"})
        late = await project.label({"i1": "positive"}, request_id="r")
    assert late == answers[0]
    assert [label.label for label in await project.labels()] == ["negative"]


async def test_a_repetition_is_answered_although_it_could_not_be_done_now(project: Caller) -> None:
    first = await project.label({"i1": "positive"}, request_id="r")
    with pytest.raises(Refusal) as refused:
        await project.label({"nowhere": "positive"}, request_id="r")
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert await project.label({"i1": "positive"}, request_id="r") == first


@pytest.mark.parametrize("fields", [{"k": 3}, {"annotator": "bob"}, {"seed": 2}, {"allow_stale_head": True}])
async def test_the_id_of_another_select_is_refused(project: Caller, fields: dict[str, object]) -> None:
    first = await project.select(2, request_id="r", seed=1)
    with pytest.raises(Refusal, match="request_id 'r' was used for another request") as refused:
        await project.select(**{"k": 2, "request_id": "r", "seed": 1, **fields})
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert await project.select(2, request_id="r", seed=1) == first
    assert (await project.status()).reserved == 2


async def test_an_id_stands_for_one_kind_of_request(project: Caller) -> None:
    await project.select(2, request_id="r")
    with pytest.raises(Refusal) as refused:
        await project.label({"i1": "positive"}, request_id="r")
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert (await project.status()).labeled == 0


def test_a_digest_tells_fields_and_kinds_of_request_apart_but_not_ids() -> None:
    asked = pb.SelectRequest(project="p", request_id="r")
    assert digest_of(asked) == digest_of(pb.SelectRequest(project="p", request_id="s"))
    assert digest_of(asked) != digest_of(pb.SelectRequest(project="q", request_id="r"))
    assert digest_of(asked) != digest_of(pb.RecordLabelsRequest(project="p", request_id="r"))


async def test_requests_without_an_id_are_all_done(project: Caller) -> None:
    await project.label(truth(ids(0, 10)))
    first = await project.select(2, annotator="ada")
    await project.label(truth(picked(first)))
    assert picked(await project.select(2, annotator="ada")) != picked(first)


async def test_an_id_may_be_used_again_after_a_day_and_old_ones_are_swept(project: Caller, redis_url: str) -> None:
    keys = Keys("sentiment")
    await project.label({"i1": "positive"}, request_id="old")
    await project.label({"i2": "positive"}, request_id="young")
    with redis.Redis.from_url(redis_url) as client:
        seconds, _ = client.time()
        client.zadd(
            keys.request_times, {"old": seconds * 1_000 - DAY_MS - 1, "young": seconds * 1_000 - DAY_MS + 60_000}
        )
        assert (await project.label({"i3": "negative"}, request_id="old")).changed == 1
        client.zadd(keys.request_times, {"old": seconds * 1_000 - DAY_MS - 1})
        await project.label({"i4": "negative"}, request_id="new")
        assert {key.decode() for key in client.hkeys(keys.requests)} == {"young", "new"}
        assert client.zcard(keys.request_times) == 2
    assert (await project.label({"i2": "positive"}, request_id="young")).changed == 1
