"""Two selectors over one Redis and one pool store, and many annotators."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import redis
from prepal.tensors import unpack
from prepal.v1 import selector_pb2 as pb

from services.selector.state.keys import Keys
from tests.selector.conftest import StartSelector
from tests.selector.pools import Pools, ids
from tests.selector.selecting import Caller, lasting, picked, truth


async def test_no_item_is_handed_to_two_annotators(start_selector: StartSelector, project: Caller) -> None:
    await project.label(truth(ids(0, 10)))
    async with start_selector() as other:
        callers = (project, other)
        answers = await asyncio.gather(*(callers[n % 2].picks(3, annotator=f"a{n}") for n in range(20)))
    given = [item_id for answer in answers for item_id in answer]
    assert len(given) == len(set(given)) == 50
    assert sorted(given) == sorted(ids(10, 60))


async def test_selects_of_one_process_know_what_each_other_took(project: Caller) -> None:
    await project.label(truth(ids(0, 10)))
    answers = await asyncio.gather(*(project.select(3, annotator=f"a{n}") for n in range(10)))
    assert sorted(answer.remaining for answer in answers) == list(range(20, 48, 3))


async def test_a_replica_takes_the_newest_head_although_another_one_fit_it(
    start_selector: StartSelector, project: Caller
) -> None:
    async with start_selector() as other:
        await project.label(truth(ids(0, 6)))
        assert (await other.select(1)).head_version == (await project.select(1)).head_version == 1
        await project.label(truth(ids(6, 10)))
        assert (await project.select(1)).head_version == 2
        assert (await other.select(1, allow_stale_head=True)).head_version == 2


async def test_annotators_who_select_and_label_at_once_label_every_item_once(
    start_selector: StartSelector, selector: Caller, pools: Pools, redis_url: str
) -> None:
    pools.make("reviews", 120)
    await selector.create("sentiment", "reviews", ["negative", "positive"])
    labeled: list[str] = []

    async def work(caller: Caller, annotator: str) -> None:
        while chosen := await caller.picks(4, annotator=annotator):
            assert not set(chosen) & set(labeled)
            labeled.extend(chosen)
            await caller.label(truth(chosen), annotator=annotator)

    async with start_selector() as other:
        await asyncio.gather(*(work((selector, other)[n % 2], f"a{n}") for n in range(8)))
        assert sorted(labeled) == sorted(ids(0, 120))
        first, second = await selector.select(1), await other.select(1)
        assert first.head_version == second.head_version
        status = await selector.status()
        assert (status.labeled, status.reserved, status.head_label_version) == (120, 0, status.label_version)
        assert await selector.labels() == await other.labels()
    with redis.Redis.from_url(redis_url) as client:
        assert client.zcard(Keys("sentiment").reservations) == client.hlen(Keys("sentiment").holders) == 0


async def test_a_label_at_one_replica_is_seen_by_the_next_select_at_the_other(
    start_selector: StartSelector, project: Caller
) -> None:
    async with start_selector() as other:
        callers = (project, other)
        await project.label(truth(ids(0, 4)))
        for number in range(4, 24):
            await callers[number % 2].label(truth([f"i{number}"]))
            response = await callers[(number + 1) % 2].select(60, reservation=lasting(0))
            assert sorted(picked(response)) == sorted(ids(number + 1, 60))
            status = await project.status()
            assert response.head_version == status.head_version
            assert status.head_label_version == status.label_version


async def test_replicas_answer_alike_from_the_stored_head(start_selector: StartSelector, project: Caller) -> None:
    await project.label(truth(ids(0, 14)))
    await project.select(1)
    await project.label(truth(ids(14, 20)))
    async with start_selector() as other:
        first = await project.select(8, seed=1, reservation=lasting(0))
        second = await other.select(8, seed=1, reservation=lasting(0))
        assert picked(first) == picked(second)
        assert [item.score for item in first.items] == [item.score for item in second.items]
        np.testing.assert_array_equal(unpack(first.probabilities), unpack(second.probabilities))
        assert first.head_version == second.head_version == 2


async def test_replicas_that_fit_at_once_store_one_head_for_the_same_labels(
    start_selector: StartSelector, project: Caller
) -> None:
    async with start_selector() as other:
        versions = []
        for number in range(12):
            await project.label(truth(ids(4 * number, 4 * number + 4)))
            answers = await asyncio.gather(*(caller.select(1) for caller in (project, other, project, other)))
            versions.append({answer.head_version for answer in answers})
        # Whoever was first, its head counts for both, and no labels are learned twice.
        assert versions == [{number + 1} for number in range(12)]


async def test_a_random_walk_through_labels_leaves_replicas_and_a_fresh_one_agreed(
    start_selector: StartSelector, project: Caller
) -> None:
    moves = random.Random(5)
    expected: dict[str, str | None] = {}
    async with start_selector() as other:
        for _ in range(40):
            caller = moves.choice((project, other))
            chosen = moves.sample(ids(0, 60), moves.randint(1, 6))
            match moves.choice(("label", "label", "skip", "clear", "select")):
                case "label":
                    said: dict[str, str | None] = {
                        item_id: moves.choice(("negative", "positive")) for item_id in chosen
                    }
                    await caller.label(said)
                    expected.update(said)
                case "skip":
                    await caller.label(dict.fromkeys(chosen))
                    expected.update(dict.fromkeys(chosen))
                case "clear":
                    await caller.clear(*chosen)
                    for item_id in chosen:
                        expected.pop(item_id, None)
                case _:
                    await caller.select(3, annotator=moves.choice("ab"))
        async with start_selector() as fresh:
            for caller in (project, other, fresh):
                found = {label.item_id: label.label or None for label in await caller.labels()}
                assert found == expected
            answers = [
                await caller.select(60, annotator="a", reservation=lasting(0)) for caller in (project, other, fresh)
            ]
            assert len({tuple(picked(answer)) for answer in answers}) == 1
            assert len({answer.remaining for answer in answers}) == 1
            per_label = [list(expected.values()).count(label) for label in ("negative", "positive")]
            status = await fresh.status()
            assert list(status.labeled_per_label) == per_label
            assert status.skipped == list(expected.values()).count(None)


async def test_a_project_deleted_and_made_again_elsewhere_is_noticed(
    start_selector: StartSelector, project: Caller
) -> None:
    await project.label(truth(ids(0, 10)))
    await project.select(5, annotator="ada")
    async with start_selector() as other:
        await other.call("DeleteProject", pb.DeleteProjectRequest(project="sentiment"))
        await other.create("sentiment", "reviews", ["bad", "good"])
        assert (await project.label({"i1": "good"})).label_version == 1
        response = await project.select(60, annotator="bob")
    assert list(response.labels) == ["bad", "good"]
    assert len(response.items) == 59
    assert response.cold_start
