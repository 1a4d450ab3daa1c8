"""Embed over gRPC: vectors, refusals, deadlines, overload."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from prepal.tensors import unpack
from prepal.v1 import embedder_pb2 as pb
from prepal.v1 import tensor_pb2
from prometheus_client import REGISTRY

from services.embedder.encoding.torch_engine import TorchEngine
from tests.embedder.models import Plain, cosine, with_poison
from tests.embedder.serving import PATIENCE, Embedder, refused, serving, texts

pytestmark = pytest.mark.asyncio(loop_scope="module")
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def inputs(*words: str) -> list[pb.TextInput]:
    return [pb.TextInput(text=word) for word in words]


@contextmanager
def held_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Makes every forward pass wait; yields what is set when one has begun, and what lets them go on."""
    entered, release = threading.Event(), threading.Event()
    embed = TorchEngine.embed

    def held(self: TorchEngine, batch: Any) -> Any:
        entered.set()
        assert release.wait(PATIENCE)
        return embed(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(TorchEngine, "embed", held)
        yield entered, release
        release.set()


def total(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_vectors_come_in_order_as_float32_and_nothing_is_stored(
    embedder: Embedder, tiny: pb.Backbone, tiny_bert: Path
) -> None:
    words = ["a fine film", "dull", "the plot was good and the film is a good one"]
    request = pb.EmbedRequest(backbone=tiny, inputs=inputs(*words))
    response = await embedder.stub.Embed(request, timeout=PATIENCE)
    assert response.embeddings.dtype == tensor_pb2.DATA_TYPE_FLOAT32
    vectors = unpack(response.embeddings)
    assert vectors.shape == (3, 32)
    plain = Plain(tiny_bert)
    for vector, text in zip(vectors, words, strict=True):
        assert cosine(vector, plain.embed(text, pooling="mean", max_length=64)) > 0.99999
    pool = await embedder.create("same-print", backbone=tiny)
    assert response.fingerprint == pool.fingerprint
    assert pool.items == 0


async def test_truncated_inputs_are_counted(embedder: Embedder, tiny: pb.Backbone) -> None:
    request = pb.EmbedRequest(
        backbone=pb.Backbone(model=tiny.model, max_length=5), inputs=inputs("a fine film", "a fine film is dull")
    )
    assert (await embedder.stub.Embed(request, timeout=PATIENCE)).truncated == 1


async def test_pairs_are_embedded_by_the_backbones_mode(embedder: Embedder, tiny: pb.Backbone) -> None:
    pair = pb.TextInput(text="a fine film", text_pair="a dull plot")
    for mode, dimension in ((pb.PAIR_MODE_JOINT, 32), (pb.PAIR_MODE_COMPARE, 64), (pb.PAIR_MODE_FULL, 128)):
        request = pb.EmbedRequest(backbone=pb.Backbone(model=tiny.model, pair_mode=mode), inputs=[pair])
        assert unpack((await embedder.stub.Embed(request, timeout=PATIENCE)).embeddings).shape == (1, dimension)


@pytest.mark.parametrize(
    ("sent", "mode", "field", "part"),
    [
        ([], 0, "inputs", "between 1 and 1024, got 0"),
        (inputs(*["x"] * 1025), 0, "inputs", "got 1025"),
        (inputs("x", " "), 0, "inputs[1].text", "not only white space"),
        (inputs("x" * 100_001), 0, "inputs[0].text", "at most 100,000"),
        ([pb.TextInput(text="x", text_pair="y")], 0, "inputs[0].text_pair", "must not be given"),
        (inputs("x"), pb.PAIR_MODE_AUTO, "inputs[0].text_pair", "must be given"),
        ([pb.TextInput(text="x", text_pair="")], pb.PAIR_MODE_FULL, "inputs[0].text_pair", "1 to 100,000"),
    ],
)
async def test_a_wrong_input_is_refused_by_field(
    embedder: Embedder, tiny: pb.Backbone, sent: list[pb.TextInput], mode: pb.PairMode, field: str, part: str
) -> None:
    request = pb.EmbedRequest(backbone=pb.Backbone(model=tiny.model, pair_mode=mode), inputs=sent)
    refusal = await refused(embedder.stub.Embed(request, timeout=PATIENCE))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_FIELD", [field])
    assert part in refusal.message


async def test_a_text_that_cannot_be_embedded_is_named(embedder: Embedder, tiny_bert: Path, tmp_path: Path) -> None:
    folder = with_poison(tiny_bert, tmp_path / "poison", "dull")
    request = pb.EmbedRequest(backbone=pb.Backbone(model=str(folder)), inputs=inputs("good", "dull film", "dull"))
    refusal = await refused(embedder.stub.Embed(request, timeout=PATIENCE))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "ENCODING_FAILED", ["inputs[1]"])


async def test_a_deadline_that_passes_is_dropped_not_computed(
    embedder: Embedder, tiny: pb.Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = pb.EmbedRequest(backbone=tiny, inputs=inputs("a fine film"))
    await embedder.stub.Embed(request, timeout=PATIENCE)
    before = total("prepal_embedder_dropped_texts_total", why="cancelled")
    done = total("prepal_embedder_texts_total")
    with held_engine(monkeypatch) as (entered, release):
        # Both workers are busy with these, so what comes next waits in the queue. One after the other: together they
        # could become one batch, and leave a worker free.
        busy = []
        for word in ("good", "bad"):
            entered.clear()
            asked = embedder.stub.Embed(pb.EmbedRequest(backbone=tiny, inputs=inputs(word)), timeout=PATIENCE)
            busy.append(asyncio.ensure_future(asked))
            assert await asyncio.to_thread(entered.wait, PATIENCE)
        late = pb.EmbedRequest(backbone=tiny, inputs=inputs(*(f"late {number}" for number in range(5))))
        refusal = await refused(embedder.stub.Embed(late, timeout=0.3))
        assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
        release.set()
        await asyncio.gather(*busy)
    await embedder.stub.Embed(request, timeout=PATIENCE)
    assert total("prepal_embedder_dropped_texts_total", why="cancelled") == before + 5
    assert total("prepal_embedder_texts_total") == done + 3


async def test_what_finds_no_room_is_told_to_come_back(
    tiny: pb.Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = pb.EmbedRequest(backbone=tiny, inputs=inputs("a fine film"))
    async with serving(tmp_path, interactive_tokens=20) as embedder:
        await embedder.stub.Embed(request, timeout=PATIENCE)
        with held_engine(monkeypatch) as (entered, release):
            first = asyncio.ensure_future(embedder.stub.Embed(request, timeout=PATIENCE))
            await asyncio.to_thread(entered.wait, PATIENCE)
            refusal = await refused(embedder.stub.Embed(request, timeout=PATIENCE))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert refusal.retry
            assert "of 20 that may be" in refusal.message
            release.set()
            await first
        await embedder.stub.Embed(request, timeout=PATIENCE)


async def test_a_person_does_not_wait_behind_bulk_work(embedder: Embedder, tiny: pb.Backbone) -> None:
    await embedder.create("bulk", backbone=tiny)
    chunks = [texts(*(f"film {start} {row}" for row in range(200)), start=start) for start in range(0, 4000, 200)]
    bulk = asyncio.ensure_future(embedder.add("bulk", *chunks))
    request = pb.EmbedRequest(backbone=tiny, inputs=inputs("a fine film"))
    answered = 0
    while not bulk.done():
        await embedder.stub.Embed(request, timeout=PATIENCE)
        answered += 1
    assert sum(answer.accepted for answer in await bulk) == 4000
    assert answered > 3


async def test_an_unset_backbone_is_refused(embedder: Embedder) -> None:
    refusal = await refused(embedder.stub.Embed(pb.EmbedRequest(inputs=inputs("x")), timeout=PATIENCE))
    assert (refusal.code, refusal.fields) == (INVALID, ["backbone.model"])
    unknown = pb.EmbedRequest(backbone=pb.Backbone(model="nobody/nothing"), inputs=inputs("x"))
    refusal = await refused(embedder.stub.Embed(unknown, timeout=PATIENCE))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BACKBONE_NOT_LOADABLE")
