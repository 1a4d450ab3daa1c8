"""Predict over real gRPC, texts by a stand-in embedder that is a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from prepal.tensors import pack
from prepal.v1 import embedder_pb2, embedder_pb2_grpc
from prepal.v1 import selector_pb2 as pb

from tests.selector.conftest import StartSelector
from tests.selector.pools import DIMENSION, Pools, embeddings, ids, minilm, true_label
from tests.selector.selecting import Caller, Refusal, truth

FINGERPRINT = "minilm-1"


class Embedder(embedder_pb2_grpc.EmbedderServiceServicer):
    """Embeds the text "text 7" as item 7 is embedded; answers as `refusal` says when it is set."""

    def __init__(self) -> None:
        self.requests: list[embedder_pb2.EmbedRequest] = []
        self.fingerprint = FINGERPRINT
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.left: float | None = None
        self.waiting = False

    async def Embed(self, request: embedder_pb2.EmbedRequest, context: Any) -> embedder_pb2.EmbedResponse:
        self.requests.append(request)
        self.left = context.time_remaining()
        if self.refusal:
            await context.abort(*self.refusal)
        if self.waiting:
            await asyncio.Event().wait()
        numbers = [int(text.text.split()[1]) for text in request.inputs]
        rows = np.concatenate([embeddings(number, number + 1) for number in numbers]).astype(np.float32)
        return embedder_pb2.EmbedResponse(embeddings=pack(rows), fingerprint=self.fingerprint)


@asynccontextmanager
async def serving(embedder: Embedder) -> AsyncIterator[str]:
    server = grpc.aio.server()
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(embedder, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
async def predicting(start_selector: StartSelector, pools: Pools, embedder: Embedder) -> AsyncIterator[Caller]:
    """A selector with an embedder, and a project of which ten items are labeled."""
    pools.make("reviews", 60, backbone=minilm(), fingerprint=FINGERPRINT)
    async with serving(embedder) as address, start_selector(embedder=address) as caller:
        await caller.create("sentiment", "reviews", ["negative", "positive"])
        await caller.label(truth(ids(0, 10)))
        yield caller


def texts(*numbers: int) -> pb.TextInputs:
    return pb.TextInputs(inputs=[embedder_pb2.TextInput(text=f"text {number}") for number in numbers])


async def test_a_pool_an_item_and_its_text_are_predicted_alike(predicting: Caller, embedder: Embedder) -> None:
    names, of_pool, _ = await predicting.predict(pool="reviews")
    assert names == ids(0, 60)
    assert of_pool.shape == (60, 2)
    np.testing.assert_allclose(of_pool.sum(axis=1), 1, atol=1e-6)
    names, of_items, chunks = await predicting.predict(item_ids=pb.ItemIds(item_ids=["i7", "i3", "i7"]))
    assert names == ["i7", "i3", "i7"]
    np.testing.assert_allclose(of_items, of_pool[[7, 3, 7]], atol=1e-6)
    assert (chunks[0].head_version, list(chunks[0].labels)) == (1, ["negative", "positive"])
    names, of_texts, _ = await predicting.predict(texts=texts(7, 3))
    assert names == []
    np.testing.assert_allclose(of_texts, of_pool[[7, 3]], atol=1e-5)
    backbone = embedder.requests[0].backbone
    assert (backbone.model, backbone.pooling, backbone.max_length, backbone.normalize, backbone.pair_mode) == (
        "minilm",
        embedder_pb2.POOLING_MEAN,
        256,
        True,
        embedder_pb2.PAIR_MODE_UNSPECIFIED,
    )


async def test_predictions_have_seen_the_newest_label(predicting: Caller) -> None:
    for version in range(2, 5):
        await predicting.label(truth([f"i{20 + version}"]))
        _, _, chunks = await predicting.predict(item_ids=pb.ItemIds(item_ids=["i1"]))
        assert chunks[0].head_version == version


async def test_the_head_learns_what_the_labels_say(predicting: Caller) -> None:
    await predicting.label(truth(ids(0, 40)))
    _, probs, _ = await predicting.predict(pool="reviews")
    right = [("negative", "positive")[row.argmax()] == true_label(number) for number, row in enumerate(probs)]
    assert np.mean(right[40:]) > 0.8


async def test_a_large_pool_comes_in_chunks_in_the_order_items_were_added(selector: Caller, pools: Pools) -> None:
    count = 9_000
    pools.make("large", 0)
    vectors = np.random.default_rng(0).standard_normal((count, DIMENSION)).astype(np.float16)
    pools.put("large", ids(0, count), vectors)
    await selector.create("p", "large", ["a", "b"])
    await selector.label({"i0": "a", "i1": "b"}, project="p")
    names, probs, chunks = await selector.predict("p", pool="large")
    assert names == ids(0, count)
    assert len(chunks) == 3
    assert probs.shape == (count, 2)
    assert all(chunk.ByteSize() < 2 << 20 for chunk in chunks)


async def test_another_pool_of_the_same_backbone_can_be_predicted(predicting: Caller, pools: Pools) -> None:
    pools.make("test", 8, backbone=minilm(), fingerprint=FINGERPRINT)
    pools.make("empty", 0, backbone=minilm(), fingerprint=FINGERPRINT)
    names, probs, _ = await predicting.predict(pool="test")
    _, own, _ = await predicting.predict(pool="reviews")
    assert names == ids(0, 8)
    np.testing.assert_allclose(probs, own[:8], atol=1e-6)
    assert (await predicting.predict(pool="empty"))[2] == []


async def refused(calling: Caller, code: grpc.StatusCode, reason: str, message: str, **source: Any) -> Refusal:
    with pytest.raises(Refusal, match=message) as found:
        await calling.predict(**source)
    assert (found.value.code, found.value.reason) == (code, reason)
    return found.value


async def test_what_cannot_be_predicted_is_refused_with_its_reason(predicting: Caller, pools: Pools) -> None:
    bad, missing, unfit = (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
    )
    pools.make("other", 3, backbone=minilm(), fingerprint="bert-1")
    await refused(predicting, unfit, "BACKBONE_MISMATCH", "'bert-1'", pool="other")
    await refused(predicting, missing, "POOL_NOT_FOUND", "pool 'nowhere' does not exist", pool="nowhere")
    await refused(predicting, missing, "PROJECT_NOT_FOUND", "'nobody'", project="nobody", pool="reviews")
    await refused(predicting, bad, "INVALID_FIELD", "got none of them")
    await refused(predicting, bad, "INVALID_FIELD", "pool must be given", pool="")
    await refused(predicting, bad, "INVALID_FIELD", "between 1 and 10000 ids, got 0", item_ids=pb.ItemIds())
    too_many = pb.ItemIds(item_ids=["i1"] * 10_001)
    await refused(predicting, bad, "INVALID_FIELD", "got 10001", item_ids=too_many)
    unknown = pb.ItemIds(item_ids=["i1", "x", "y"])
    named = await refused(
        predicting, bad, "UNKNOWN_ITEMS", "2 items are not in pool 'reviews': 'x', 'y'", item_ids=unknown
    )
    assert named.metadata["item_ids"] == '["x", "y"]'
    await refused(predicting, bad, "INVALID_FIELD", "between 1 and 1024, got 0", texts=pb.TextInputs())
    await refused(predicting, bad, "INVALID_FIELD", "got 1025", texts=texts(*range(1_025)))
    blank = pb.TextInputs(inputs=[embedder_pb2.TextInput(text="text 1"), embedder_pb2.TextInput(text=" \n")])
    await refused(predicting, bad, "INVALID_FIELD", r"texts.inputs\[1\].text must not be empty", texts=blank)
    long = pb.TextInputs(inputs=[embedder_pb2.TextInput(text="x" * 100_001)])
    await refused(predicting, bad, "INVALID_FIELD", "at most 100000 characters long, got 100001", texts=long)


async def test_without_a_head_there_is_nothing_to_predict_with(project: Caller) -> None:
    unfit = grpc.StatusCode.FAILED_PRECONDITION
    await refused(project, unfit, "HEAD_NOT_FIT", "labels of 0 of the 2", pool="reviews")
    await project.label({"i1": "positive", "i3": "positive"})
    await refused(project, unfit, "HEAD_NOT_FIT", "labels of 1 of the 2", item_ids=pb.ItemIds(item_ids=["i1"]))
    await project.label({"i2": "negative"})
    assert len((await project.predict(pool="reviews"))[0]) == 60
    await refused(project, unfit, "POOL_HAS_NO_BACKBONE", "client's own embeddings", texts=texts(1))


@pytest.mark.parametrize(
    ("set_up", "code", "reason", "message"),
    [
        (
            lambda e: setattr(e, "refusal", (grpc.StatusCode.INVALID_ARGUMENT, "inputs[0].text_pair must be given")),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
            r"texts.inputs\[0\].text_pair must be given",
        ),
        (
            lambda e: setattr(e, "refusal", (grpc.StatusCode.FAILED_PRECONDITION, "backbone 'x' cannot be loaded")),
            grpc.StatusCode.FAILED_PRECONDITION,
            "BACKBONE_NOT_LOADABLE",
            "cannot be loaded",
        ),
        (
            lambda e: setattr(e, "refusal", (grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")),
            grpc.StatusCode.UNAVAILABLE,
            "EMBEDDER_UNAVAILABLE",
            "cannot serve at the moment",
        ),
        (
            lambda e: setattr(e, "refusal", (grpc.StatusCode.INTERNAL, "secret")),
            grpc.StatusCode.INTERNAL,
            "INTERNAL",
            "the server failed to answer",
        ),
        (
            lambda e: setattr(e, "fingerprint", "minilm-2"),
            grpc.StatusCode.FAILED_PRECONDITION,
            "BACKBONE_MISMATCH",
            "'minilm-2'",
        ),
    ],
)
async def test_what_the_embedder_answers_is_passed_on(
    predicting: Caller,
    embedder: Embedder,
    set_up: Callable[[Embedder], None],
    code: grpc.StatusCode,
    reason: str,
    message: str,
) -> None:
    set_up(embedder)
    await refused(predicting, code, reason, message, texts=texts(1))


async def test_an_embedder_that_is_not_there_is_said_to_be_unavailable(
    start_selector: StartSelector, predicting: Caller
) -> None:
    async with start_selector() as other:
        found = await refused(
            other, grpc.StatusCode.UNAVAILABLE, "EMBEDDER_UNAVAILABLE", "127.0.0.1:1 cannot serve", texts=texts(1)
        )
    assert found.retry_seconds == 1


async def test_the_callers_deadline_reaches_the_embedder(predicting: Caller, embedder: Embedder) -> None:
    embedder.waiting = True
    with pytest.raises(Refusal) as found:
        await predicting.predict(texts=texts(1), seconds=0.5)
    assert found.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert embedder.left is not None
    assert embedder.left <= 0.5
