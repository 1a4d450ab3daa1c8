"""Select over real gRPC: what it chooses, for whom, and what it says about it."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
import redis
from google.protobuf.duration_pb2 import Duration
from prepal.tensors import unpack
from prepal.v1 import selector_pb2 as pb

from services.selector.acquisition import DEFAULTS, REGISTRY, Picks, ScoreFunction, best
from services.selector.heads import Head, head_from_bytes
from services.selector.state.keys import Keys
from tests.selector.acquisition.views import view_of
from tests.selector.conftest import StartSelector
from tests.selector.pools import Pools, embeddings, ids, minilm
from tests.selector.selecting import Caller, Refusal, lasting, picked, truth

BAD = grpc.StatusCode.INVALID_ARGUMENT
NAMES = {name: getattr(pb, f"ACQUISITION_{name}") for name in REGISTRY}
OF_HEAD = [name for name in NAMES if name != "RANDOM"]


def stored(redis_url: str) -> tuple[Head, list[int]]:
    """The head that is in Redis, and the rows that are reserved there."""
    keys = Keys("sentiment")
    with redis.Redis.from_url(redis_url) as client:
        tensors, description = client.hmget(keys.head, ["tensors", "description"])
        held = sorted(int(item_id[1:]) for item_id in client.zrange(keys.reservations, 0, -1))
    return head_from_bytes(tensors, description.decode()), held


async def test_without_labels_the_cold_start_answers_and_says_so(project: Caller) -> None:
    response = await project.select(5, seed=11)
    assert (response.acquisition, response.cold_start) == (pb.ACQUISITION_RANDOM, True)
    assert (response.head_version, response.seed, response.remaining) == (0, 11, 55)
    assert not response.probabilities.shape
    draws = np.random.default_rng(11).random(60)
    order = np.argsort(-draws)[:5]
    assert picked(response) == [f"i{row}" for row in order]
    np.testing.assert_allclose([item.score for item in response.items], draws[order], rtol=1e-6)
    assert [item.item.text for item in response.items] == [f"text {row}" for row in order]
    assert list(response.labels) == ["negative", "positive"]


async def test_labels_of_one_class_only_are_still_a_cold_start(project: Caller) -> None:
    await project.label({"i1": "positive", "i3": "positive", "i5": None})
    response = await project.select(2)
    assert response.cold_start
    assert response.head_version == 0
    await project.label({"i2": "negative"})
    response = await project.select(2)
    assert not response.cold_start
    assert response.head_version == 1


async def test_asking_for_random_is_no_cold_start(project: Caller) -> None:
    response = await project.select(2, acquisition=pb.ACQUISITION_RANDOM)
    assert (response.acquisition, response.cold_start) == (pb.ACQUISITION_RANDOM, False)


@pytest.mark.parametrize("name", NAMES)
async def test_every_function_chooses_what_it_picks_over_the_whole_pool(
    project: Caller, redis_url: str, name: str
) -> None:
    await project.label({**truth(ids(0, 12)), "i12": None})
    await project.select(2, annotator="ada", seed=1)
    status = await project.status()
    head, held = stored(redis_url)
    response = await project.select(7, acquisition=NAMES[name], annotator="bob", seed=5)
    pool = embeddings(0, 60)
    norm = float((pool.astype(np.float64) ** 2).sum(axis=1).mean())
    classes = np.array([head.labels.index(label) for label in truth(ids(0, 12)).values()])
    free = np.ones(60, np.bool_)
    free[:13] = free[held] = False
    view = view_of(pool, head=head, free=free, labeled=np.arange(12), classes=classes, reserved=held, penalty=norm / 10)
    function = REGISTRY[name]
    if isinstance(function, ScoreFunction):
        scores = view.scores(function, DEFAULTS)
        rows = best(scores, free, 7)
        expected = Picks(rows, scores[rows])
    else:
        expected = function.pick(view, 7, DEFAULTS, np.random.default_rng(5))
    assert picked(response) == [f"i{row}" for row in expected.rows]
    np.testing.assert_allclose([item.score for item in response.items], expected.scores, rtol=1e-4, atol=1e-5)
    _, probs, _ = await project.predict(pool="reviews")
    np.testing.assert_allclose(unpack(response.probabilities), probs[expected.rows], atol=1e-6)
    assert response.acquisition == NAMES[name]
    assert (response.head_version, response.pool_version, status.reserved) == (1, 60, 2)


@pytest.mark.parametrize("name", NAMES)
async def test_no_function_gives_labeled_skipped_or_held_items_nor_one_twice(project: Caller, name: str) -> None:
    await project.label({**truth(ids(0, 8)), "i8": None, "i9": None})
    held = await project.picks(10, annotator="ada", acquisition=NAMES[name])
    others = await project.picks(60, annotator="bob", acquisition=NAMES[name])
    assert len(set(held)) == 10
    assert sorted(held + others) == sorted(ids(10, 60))
    assert await project.picks(5, annotator="eve", acquisition=NAMES[name]) == []


async def test_a_seed_gives_the_same_items_and_a_drawn_one_is_named(project: Caller) -> None:
    first = await project.select(5, reservation=lasting(0))
    again = await project.select(5, reservation=lasting(0), seed=first.seed)
    other = await project.select(5, reservation=lasting(0))
    assert picked(again) == picked(first)
    assert other.seed != first.seed
    largest = await project.select(1, seed=2**64 - 1)
    assert largest.seed == 2**64 - 1


async def test_equal_scores_go_to_the_item_added_first(selector: Caller, pools: Pools) -> None:
    pools.make("twins", 0)
    pools.put("twins", [f"t{n}" for n in range(30)], np.ones((30, 16), np.float16))
    await selector.create("p", "twins", ["a", "b"])
    await selector.label({"t5": "a", "t7": "b"}, project="p")
    assert await selector.picks(4, project="p") == ["t0", "t1", "t2", "t3"]


async def test_the_next_select_has_seen_the_label_before_it(project: Caller) -> None:
    await project.label(truth(ids(0, 4)))
    for number in range(4, 20):
        await project.label(truth([f"i{number}"]))
        response = await project.select(1)
        status = await project.status()
        assert response.head_version == status.head_version
        assert status.head_label_version == status.label_version == number - 2


async def test_a_stale_head_is_given_only_to_who_asks_for_it(project: Caller) -> None:
    assert (await project.select(1, allow_stale_head=True)).cold_start
    await project.label(truth(ids(0, 4)))
    assert (await project.select(1)).head_version == 1
    await project.label(truth(ids(4, 6)))
    stale = await project.select(1, allow_stale_head=True)
    assert stale.head_version in (1, 2)
    assert not stale.cold_start
    assert (await project.select(1)).head_version == 2


async def test_a_head_is_fit_once_for_the_same_labels(project: Caller) -> None:
    await project.label(truth(ids(0, 6)))
    responses = await asyncio.gather(*(project.select(2, annotator=str(n)) for n in range(8)))
    assert {response.head_version for response in responses} == {1}
    assert (await project.select(1)).head_version == 1


async def test_more_than_remains_gives_what_remains_and_then_nothing(project: Caller) -> None:
    response = await project.select(1_000)
    assert sorted(picked(response)) == sorted(ids(0, 60))
    assert response.remaining == 0
    await project.label(truth(ids(0, 58)))
    response = await project.select(5)
    assert sorted(picked(response)) == ["i58", "i59"]
    await project.label(truth(ids(58, 60)))
    response = await project.select(5)
    assert (picked(response), response.remaining) == ([], 0)
    assert not response.cold_start


async def test_an_empty_pool_gives_nothing_until_it_grows(selector: Caller, pools: Pools) -> None:
    pools.make("empty", 0)
    await selector.create("p", "empty", ["negative", "positive"])
    response = await selector.select(3, project="p")
    assert (picked(response), response.remaining, response.cold_start) == ([], 0, True)
    pools.grow("empty", 0, 5)
    assert len(await selector.picks(3, project="p")) == 3


async def test_remaining_counts_what_else_this_annotator_could_be_given(project: Caller) -> None:
    await project.label({"i0": "negative", "i1": None})
    first = await project.select(10, annotator="ada")
    assert first.remaining == 48
    second = await project.select(5, annotator="bob")
    assert second.remaining == 58 - 10 - 5
    again = await project.select(10, annotator="ada")
    assert again.remaining == 58 - 5 - 10


async def test_an_annotator_gets_what_they_hold_again_and_others_do_not(project: Caller) -> None:
    await project.label(truth(ids(0, 10)))
    ada = await project.picks(5, annotator="ada")
    bob = await project.picks(5, annotator="bob")
    assert not set(ada) & set(bob)
    assert await project.picks(5, annotator="ada") == ada
    assert (await project.status()).reserved == 10


async def test_a_reservation_ends_when_its_time_is_over(project: Caller) -> None:
    held = await project.picks(60, annotator="ada", reservation=lasting(0.15))
    assert len(held) == 60
    assert await project.picks(60, annotator="bob") == []

    async def until_free() -> list[str]:
        while not (found := await project.picks(60, annotator="bob")):
            pass
        return found

    assert sorted(await asyncio.wait_for(until_free(), 10)) == sorted(held)
    assert (await project.status()).reserved == 60


async def test_asking_again_holds_an_item_for_longer(project: Caller, redis_url: str) -> None:
    await project.select(60, annotator="ada", reservation=lasting(5))
    await project.select(60, annotator="ada", reservation=lasting(600))
    with redis.Redis.from_url(redis_url) as client:
        ends = [until for _, until in client.zrange(Keys("sentiment").reservations, 0, -1, withscores=True)]
        seconds, _ = client.time()
    assert len(ends) == 60
    assert min(ends) > (seconds + 500) * 1_000


async def test_reservations_can_be_switched_off(selector: Caller, pools: Pools) -> None:
    pools.make("reviews", 20)
    await selector.create("sentiment", "reviews", ["negative", "positive"], reservation=lasting(0))
    await selector.label(truth(ids(0, 4)))
    assert await selector.picks(3, annotator="ada") == await selector.picks(3, annotator="bob")
    assert (await selector.status()).reserved == 0
    held = await selector.picks(3, annotator="ada", reservation=lasting(60))
    assert not set(held) & set(await selector.picks(3, annotator="bob"))


async def test_a_label_a_skip_and_a_clear_free_the_reservation(project: Caller) -> None:
    held = await project.picks(60, annotator="ada")
    await project.label({held[0]: "positive", held[1]: None}, annotator="ada")
    await project.clear(held[0], held[1], held[2], annotator="ada")
    assert sorted(await project.picks(60, annotator="bob")) == sorted(held[:3])
    assert (await project.status()).reserved == 60


async def test_a_cleared_or_relabeled_item_counts_as_what_it_is_now(project: Caller) -> None:
    await project.label({"i0": "positive", "i1": "negative", "i2": None})
    await project.clear("i1", "i2")
    assert (await project.select(1)).cold_start
    await project.label({"i0": "negative", "i1": "positive"})
    await project.label({"i3": "positive"})
    first = await project.select(60)
    assert "i2" in picked(first)
    assert not {"i0", "i1", "i3"} & set(picked(first))
    _, probs, _ = await project.predict(item_ids=pb.ItemIds(item_ids=["i0", "i1"]))
    assert probs[0].argmax() == 0
    assert probs[1].argmax() == 1


async def test_a_head_forgets_labels_that_were_taken_back(project: Caller) -> None:
    await project.create("plain", "reviews", ["negative", "positive"])
    await project.label(truth(ids(0, 30)))
    await project.select(1)
    await project.clear(*ids(0, 7))
    await project.label({**dict.fromkeys(ids(7, 12)), "i12": "positive"})
    kept = {**truth(ids(12, 30)), "i12": "positive"}
    await project.label(kept, project="plain")
    _, followed, _ = await project.predict(pool="reviews")
    _, plain, _ = await project.predict("plain", pool="reviews")
    np.testing.assert_allclose(followed, plain, atol=1e-5)


async def test_labels_that_are_added_get_a_column_before_anybody_used_them(project: Caller) -> None:
    await project.label(truth(ids(0, 8)))
    await project.call("UpdateProject", pb.UpdateProjectRequest(project="sentiment", add_labels=["mixed"]))
    response = await project.select(3)
    probs = unpack(response.probabilities)
    assert list(response.labels) == ["negative", "positive", "mixed"]
    assert probs.shape == (3, 3)
    assert (probs[:, 2] == 0).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)
    assert response.head_version == 1
    await project.label({"i10": "mixed", "i11": "mixed"})
    probs = unpack((await project.select(3)).probabilities)
    assert (probs[:, 2] > 0).all()


async def test_new_head_settings_are_used_by_the_next_select(project: Caller) -> None:
    await project.label(truth(ids(0, 20)))
    _, before, _ = await project.predict(pool="reviews")
    logistic = pb.LogisticHead(inverse_regularization=1e-3)
    await project.call("UpdateProject", pb.UpdateProjectRequest(project="sentiment", logistic=logistic))
    response = await project.select(1)
    _, after, _ = await project.predict(pool="reviews")
    assert response.head_version == 2
    assert np.abs(after - 0.5).max() < 0.1 < np.abs(before - 0.5).max()


async def test_the_projects_acquisition_is_used_unless_another_is_named(project: Caller) -> None:
    await project.label(truth(ids(0, 4)))
    assert (await project.select(1)).acquisition == pb.ACQUISITION_MAX_ENTROPY
    assert (await project.select(1, acquisition=pb.ACQUISITION_MARGIN)).acquisition == pb.ACQUISITION_MARGIN
    await project.call(
        "UpdateProject", pb.UpdateProjectRequest(project="sentiment", acquisition=pb.ACQUISITION_VARIATION_RATIO)
    )
    assert (await project.select(1)).acquisition == pb.ACQUISITION_VARIATION_RATIO


async def test_a_pool_that_grows_in_use_is_seen_at_once(project: Caller, pools: Pools) -> None:
    await project.label(truth(ids(0, 10)))
    assert (await project.select(1, reservation=lasting(0))).remaining == 49
    pools.grow("reviews", 60, 200)
    response = await project.select(190, reservation=lasting(0))
    assert sorted(picked(response)) == sorted(ids(10, 200))
    assert (response.pool_version, response.head_version) == (200, 1)
    await project.label(truth(ids(150, 160)))
    assert not set(await project.picks(190)) & set(ids(150, 160))


async def test_a_pool_deleted_and_made_again_is_a_new_pool(project: Caller, pools: Pools) -> None:
    await project.label({**truth(ids(0, 10)), "i11": None})
    held = await project.picks(3, annotator="ada")
    pools.store.delete("reviews")
    with pytest.raises(Refusal) as refused:
        await project.select(1)
    assert refused.value.reason == "POOL_NOT_FOUND"
    pools.make("reviews", 0)
    assert (await project.select(5)).cold_start
    pools.grow("reviews", 4, 20)
    response = await project.select(60, annotator="bob")
    # Labels and reservations are the items', and count again as the items come back.
    assert sorted(picked(response)) == sorted(set(ids(12, 20)) | {"i10"} - set(held) - {"i11"})
    assert not response.cold_start
    pools.grow("reviews", 0, 4)
    assert (await project.select(1)).head_version == response.head_version + 1


async def test_a_pool_made_again_with_another_backbone_is_refused(selector: Caller, pools: Pools) -> None:
    pools.make("reviews", 5, backbone=minilm(), fingerprint="minilm-1")
    await selector.create("sentiment", "reviews", ["negative", "positive"])
    pools.store.delete("reviews")
    pools.make("reviews", 5, backbone=minilm(), fingerprint="minilm-2")
    with pytest.raises(Refusal, match=r"'minilm-2'.*'minilm-1'") as refused:
        await selector.select(1)
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BACKBONE_MISMATCH")


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"k": 0}, "k", "k must be between 1 and 1000, got 0"),
        ({"k": 1_001}, "k", "k must be between 1 and 1000, got 1001"),
        ({"acquisition": 42}, "acquisition", "got 42"),
        ({"annotator": "a" * 257}, "annotator", "annotator must be at most 256 bytes long, got 257"),
        ({"request_id": "ä" * 129}, "request_id", "request_id must be at most 256 bytes long, got 258"),
        ({"reservation": Duration(seconds=90_000)}, "reservation", "between 0 and 24 hours (86400 s), got 90000 s"),
    ],
)
async def test_a_bad_select_is_refused_by_field(
    project: Caller, fields: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(Refusal) as refused:
        await project.select(**{"k": 1, **fields})
    assert (refused.value.code, refused.value.reason, refused.value.fields) == (BAD, "INVALID_FIELD", [field])
    assert message in refused.value.message


async def test_a_deadline_too_short_ends_the_call_and_not_the_selector(project: Caller) -> None:
    await project.label(truth(ids(0, 10)))
    with pytest.raises(Refusal) as refused:
        await project.call("Select", pb.SelectRequest(project="sentiment", k=1), seconds=1e-4)
    assert refused.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(await project.picks(5)) == 5


async def test_timing_says_where_the_time_went(project: Caller) -> None:
    await project.label(truth(ids(0, 10)))
    timing = (await project.select(1)).timing
    assert timing.score_seconds > 0
    assert timing.pick_seconds > 0
    assert timing.fetch_seconds > 0
    assert sum((timing.fit_seconds, timing.score_seconds, timing.pick_seconds, timing.fetch_seconds)) < 10


async def test_many_classes_are_scored_alike(start_selector: StartSelector, pools: Pools) -> None:
    pools.make("many", 90, classes=3)
    labels = [f"label {number}" for number in range(12)]
    async with start_selector() as selector:
        await selector.create("p", "many", labels)
        await selector.label({f"i{n}": labels[n % 12] for n in range(36)}, project="p")
        response = await selector.select(5, project="p")
        probs = unpack(response.probabilities)
        assert probs.shape == (5, 12)
        entropy = -np.sum(probs * np.log(probs), axis=1)
        np.testing.assert_allclose([item.score for item in response.items], entropy, atol=1e-5)
