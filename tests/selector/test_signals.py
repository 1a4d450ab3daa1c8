"""Stopping signals as GetProject answers them, over real gRPC and Redis."""

from __future__ import annotations

import numpy as np
import pytest
from prepal.tensors import unpack
from prepal.v1 import selector_pb2 as pb
from sklearn.metrics import cohen_kappa_score

from services.selector.stopping import STEP, stop_set
from tests.selector.conftest import StartSelector
from tests.selector.pools import Pools, ids
from tests.selector.selecting import Caller, lasting, truth


async def stopping(selector: Caller) -> pb.Stopping:
    return (await selector.call("GetProject", pb.GetProjectRequest(project="sentiment"))).stopping


async def predicted(selector: Caller, rows: int) -> list[str]:
    """The labels predicted for the stop set of a pool of so many rows."""
    _, probs, chunks = await selector.predict(pool="reviews")
    return [list(chunks[0].labels)[column] for column in probs[stop_set(rows)].argmax(axis=1)]


async def test_a_head_is_compared_with_that_of_twenty_labels_before(selector: Caller, pools: Pools) -> None:
    pools.make("reviews", 1_500)
    await selector.create("sentiment", "reviews", ["negative", "positive"])
    assert not (await stopping(selector)).history
    kept: list[list[str]] = []
    for start in range(0, 3 * STEP, 10):
        await selector.label(truth(ids(start, start + 10)))
        await selector.select(1, reservation=lasting(0))
        kept.append(await predicted(selector, 1_500))
    history = (await stopping(selector)).history
    assert [found.labeled for found in history] == [10, 30, 50]
    assert [found.head_version for found in history] == [1, 3, 5]
    assert not history[0].HasField("agreement")
    for found, before, after in zip(history[1:], kept[0::2], kept[2::2], strict=False):
        assert found.since == found.labeled - STEP
        assert found.agreement == pytest.approx(cohen_kappa_score(before, after))
        assert found.change == pytest.approx(np.mean([a != b for a, b in zip(before, after, strict=True)]))
        assert 0 < found.change < 0.5, "the case this test is about"
    _, probs, _ = await selector.predict(pool="reviews")
    # The last head was not compared, but the one of 50 labels was of about the same probabilities.
    assert history[-1].expected_error == pytest.approx(1 - probs[stop_set(1_500)].max(axis=1).mean(), abs=0.05)
    assert 0 < history[-1].uncertainty < 1


async def test_predictions_that_no_longer_change_have_stabilised(selector: Caller, pools: Pools) -> None:
    pools.make("reviews", 300)
    await selector.create("sentiment", "reviews", ["negative", "positive"])
    seen = []
    for start in range(0, 300, 50):
        await selector.label(truth(ids(start, start + 50)))
        await selector.select(1, reservation=lasting(0))
        seen.append((await stopping(selector)).stabilised)
    agreements = [found.agreement for found in (await stopping(selector)).history if found.HasField("agreement")]
    expected = [False] + [
        end >= 3 and float(np.mean(agreements[end - 3 : end])) >= 0.99 for end in range(1, len(agreements) + 1)
    ]
    assert seen == expected


async def test_a_pool_that_grew_is_compared_on_the_rows_that_both_heads_were_asked(
    selector: Caller, pools: Pools
) -> None:
    pools.make("reviews", 1_200)
    await selector.create("sentiment", "reviews", ["negative", "positive"])
    await selector.label(truth(ids(0, 20)))
    await selector.select(1, reservation=lasting(0))
    before = await predicted(selector, 1_200)
    pools.grow("reviews", 1_200, 3_000)
    await selector.label(truth(ids(20, 60)))
    await selector.select(1, reservation=lasting(0))
    after = await predicted(selector, 1_200)
    found = (await stopping(selector)).history[-1]
    assert found.agreement == pytest.approx(cohen_kappa_score(before, after))


async def test_several_replicas_write_one_history(start_selector: StartSelector, pools: Pools) -> None:
    pools.make("reviews", 200)
    async with start_selector() as first, start_selector() as second:
        await first.create("sentiment", "reviews", ["negative", "positive"])
        for number, start in enumerate(range(0, 6 * STEP, STEP)):
            selector = (first, second)[number % 2]
            await selector.label(truth(ids(start, start + STEP)))
            response = await selector.select(1, reservation=lasting(0))
            assert unpack(response.probabilities).shape == (1, 2)
        both = [(await stopping(selector)).history for selector in (first, second)]
    assert both[0] == both[1]
    assert [found.labeled for found in both[0]] == [STEP * count for count in range(1, 7)]
    assert [found.since for found in both[0]][1:] == [STEP * count for count in range(1, 6)]


async def test_an_svm_has_agreement_and_no_uncertainty_and_a_project_made_anew_has_nothing(
    selector: Caller, pools: Pools
) -> None:
    pools.make("reviews", 200)
    for _ in range(2):
        await selector.create("sentiment", "reviews", ["negative", "positive"], svm=pb.SvmHead())
        assert not (await stopping(selector)).history
        for start in (0, STEP):
            await selector.label(truth(ids(start, start + STEP)))
            await selector.select(1, reservation=lasting(0))
        history = (await stopping(selector)).history
        assert len(history) == 2
        assert history[1].HasField("agreement")
        assert not history[1].HasField("uncertainty")
        assert not history[1].HasField("expected_error")
        await selector.call("DeleteProject", pb.DeleteProjectRequest(project="sentiment"))
