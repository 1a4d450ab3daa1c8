"""AddItems over gRPC: what is acknowledged, what is rejected alone, what ends the stream and what it leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from prepal.tensors import pack
from prepal.v1 import embedder_pb2 as pb
from prepal.v1 import tensor_pb2

from tests.embedder.models import Plain, cosine, with_poison
from tests.embedder.serving import PATIENCE, Embedder, refused_stream, serving, texts

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_each_chunk_is_acknowledged_in_order_once_durable(embedder: Embedder, tiny: pb.Backbone) -> None:
    await embedder.create("ordered", backbone=tiny)
    chunks = [texts(*(f"film {start} {row}" for row in range(7)), start=start) for start in range(0, 70, 7)]
    answers = await embedder.add("ordered", *chunks)
    assert [answer.chunk for answer in answers] == list(range(10))
    assert [answer.accepted for answer in answers] == [7] * 10
    assert answers[-1].pool_items == 70
    assert await embedder.items("ordered") == 70


async def test_stored_embeddings_are_the_backbones_as_float16(
    embedder: Embedder, tiny: pb.Backbone, tiny_bert: Path
) -> None:
    await embedder.create("vectors", backbone=tiny)
    words = ["a fine film", "the plot was dull", "good"]
    await embedder.add("vectors", texts(*words))
    request = pb.GetItemsRequest(pool="vectors", item_ids=["i0", "i1", "i2"], include_embeddings=True)
    found = await embedder.stub.GetItems(request, timeout=PATIENCE)
    plain = Plain(tiny_bert)
    for item, text in zip(found.items, words, strict=True):
        assert item.embedding.dtype == tensor_pb2.DATA_TYPE_FLOAT16
        vector = np.frombuffer(item.embedding.data, np.float16)
        assert cosine(vector, plain.embed(text, pooling="mean", max_length=64)) > 0.99999


async def test_sending_again_is_already_there_and_a_changed_text_is_rejected(
    embedder: Embedder, tiny: pb.Backbone
) -> None:
    await embedder.create("repeat", backbone=tiny)
    items = texts("a fine film", "a dull one")
    await embedder.add("repeat", items)
    again, changed = await embedder.add("repeat", items, texts("another text", "a dull one"))
    assert (again.accepted, again.already_there, list(again.rejected)) == (0, 2, [])
    assert (changed.accepted, changed.already_there) == (0, 1)
    (rejected,) = changed.rejected
    assert (rejected.index, rejected.item_id, rejected.reason) == (0, "i0", "TEXT_CHANGED")
    assert "'i0'" in rejected.message
    assert await embedder.items("repeat") == 2


async def test_repeats_inside_a_chunk_and_across_chunks_in_flight_count_once(
    embedder: Embedder, tiny: pb.Backbone
) -> None:
    await embedder.create("inside", backbone=tiny)
    one, other = texts("a fine film")[0], texts("a dull one")[0]
    first, second = await embedder.add("inside", [one, one, other], [one, other, *texts("x", start=1)])
    assert (first.accepted, first.already_there) == (1, 1)
    assert [(r.index, r.reason) for r in first.rejected] == [(2, "TEXT_CHANGED")]
    assert (second.accepted, second.already_there) == (1, 1)
    assert [(r.index, r.reason) for r in second.rejected] == [(1, "TEXT_CHANGED")]
    assert await embedder.items("inside") == 2


async def test_two_streams_racing_for_the_same_ids_agree_on_who_was_first(
    embedder: Embedder, tiny: pb.Backbone
) -> None:
    await embedder.create("race", backbone=tiny)
    mine = [texts(*(f"film {row}" for row in range(start, start + 8)), start=start) for start in range(0, 64, 8)]
    yours = [texts(*(f"plot {row}" for row in range(start, start + 8)), start=start) for start in range(0, 64, 8)]
    answers = await asyncio.gather(embedder.add("race", *mine), embedder.add("race", *yours))
    accepted = [sum(answer.accepted for answer in one) for one in answers]
    changed = [sum(len(answer.rejected) for answer in one) for one in answers]
    assert sum(accepted) == 64
    assert changed == [accepted[1], accepted[0]]
    assert await embedder.items("race") == 64


@pytest.mark.parametrize(
    ("item", "reason", "part"),
    [
        ({"item_id": "", "text": "x"}, "EMPTY_ID", "item_id must be 1 to 256 bytes"),
        ({"item_id": "ä" * 129, "text": "x"}, "INVALID_ID", "at most 256 bytes long, got 258"),
        ({"item_id": "a\x07b", "text": "x"}, "INVALID_ID", "control characters"),
        ({"item_id": "a\x85b", "text": "x"}, "INVALID_ID", "control characters"),
        ({"item_id": "a", "text": ""}, "EMPTY_TEXT", "1 to 100,000 characters"),
        ({"item_id": "a", "text": " \t\n\u00a0"}, "EMPTY_TEXT", "not only white space"),
        ({"item_id": "a", "text": "x" * 100_001}, "TEXT_TOO_LONG", "at most 100,000 characters, got 100,001"),
        ({"item_id": "a", "text": "x", "text_pair": "y"}, "PAIR_NOT_ALLOWED", "single texts"),
        ({"item_id": "a", "text": "x", "metadata": "[1]"}, "INVALID_METADATA", "JSON object, got '[1]'"),
        ({"item_id": "a", "text": "x", "metadata": "{"}, "INVALID_METADATA", "JSON object"),
        ({"item_id": "a", "text": "x", "metadata": json.dumps({"a": "x" * 16384})}, "INVALID_METADATA", "16,384 bytes"),
        ({"item_id": "a", "text": "x", "metadata": "[" * 9999}, "INVALID_METADATA", "JSON object"),
        (
            {"item_id": "a", "text": "x", "embedding": pack(np.zeros(32, np.float32))},
            "EMBEDDING_NOT_ALLOWED",
            "backbone of pool",
        ),
    ],
)
async def test_an_item_that_cannot_be_taken_is_rejected_alone(
    embedder: Embedder, tiny: pb.Backbone, item: dict[str, Any], reason: str, part: str
) -> None:
    await embedder.create("alone", backbone=tiny)
    (answer,) = await embedder.add("alone", [*texts("good"), pb.Item(**item), *texts("bad", start=1)])
    assert answer.accepted + answer.already_there == 2
    (rejected,) = answer.rejected
    assert (rejected.index, rejected.item_id, rejected.reason) == (1, item["item_id"], reason)
    assert part in rejected.message


async def test_what_is_just_within_the_limits_is_taken(embedder: Embedder, tiny: pb.Backbone) -> None:
    await embedder.create("limits", backbone=tiny)
    longest = json.dumps({"a": "x" * (16384 - 9)})
    assert len(longest) == 16384
    items = [
        pb.Item(item_id="ä" * 128, text="x" * 100_000, metadata=longest),
        pb.Item(item_id=" / ?#\u2028🎬", text="🎬\0é", text_pair=""),
    ]
    (answer,) = await embedder.add("limits", items)
    assert (answer.accepted, list(answer.rejected)) == (2, [])
    # The long word is one token of the tokenizer that has no pieces for it.
    request = pb.GetItemsRequest(pool="limits", item_ids=[item.item_id for item in items])
    found = (await embedder.stub.GetItems(request, timeout=PATIENCE)).items
    assert [item.text for item in found] == [item.text for item in items]
    assert found[0].metadata == longest
    assert not found[1].HasField("text_pair")


@pytest.mark.parametrize("mode", [pb.PAIR_MODE_JOINT, pb.PAIR_MODE_COMPARE])
async def test_a_pool_of_pairs_wants_both_texts(embedder: Embedder, tiny: pb.Backbone, mode: pb.PairMode) -> None:
    name = f"pairs-{mode}"
    await embedder.create(name, backbone=pb.Backbone(model=tiny.model, pair_mode=mode))
    items = [
        pb.Item(item_id="a", text="a fine film", text_pair="a dull one"),
        pb.Item(item_id="b", text="a fine film"),
        pb.Item(item_id="c", text="a fine film", text_pair=" "),
        pb.Item(item_id="d", text="a fine film", text_pair="x" * 100_001),
    ]
    (answer,) = await embedder.add(name, items)
    assert answer.accepted == 1
    assert [(r.item_id, r.reason) for r in answer.rejected] == [
        ("b", "PAIR_REQUIRED"), ("c", "EMPTY_TEXT"), ("d", "TEXT_TOO_LONG")
    ]  # fmt: skip
    assert "text_pair" in answer.rejected[1].message


def own(item_id: str, vector: Any, **fields: Any) -> pb.Item:
    array = np.asarray(vector)
    tensor = (
        vector
        if isinstance(vector, tensor_pb2.Tensor)
        else pack(array if array.dtype == np.float16 else array.astype(np.float32))
    )
    return pb.Item(item_id=item_id, text="a text", embedding=tensor, **fields)


FLOAT32 = tensor_pb2.DATA_TYPE_FLOAT32


@pytest.mark.parametrize(
    ("item", "reason", "part"),
    [
        (pb.Item(item_id="a", text="x"), "EMBEDDING_REQUIRED", "3 numbers"),
        (own("a", [1, 2]), "WRONG_DIMENSION", "shape (3,) of pool 'brought', got (2,)"),
        (own("a", [[1, 2, 3]]), "WRONG_DIMENSION", "got (1, 3)"),
        (own("a", [1, np.nan, 3]), "NOT_FINITE", "got nan at position 1"),
        (own("a", [1, 2, -np.inf]), "NOT_FINITE", "got -inf at position 2"),
        (own("a", [1, 70000, 3]), "NOT_FINITE", "between -65,504 and 65,504"),
        (own("a", [1e-9, 0, 0]), "INVALID_EMBEDDING", "vanish"),
        (own("a", tensor_pb2.Tensor(data=b"1234", shape=[1])), "INVALID_EMBEDDING", "dtype"),
        (own("a", tensor_pb2.Tensor(data=b"12345", shape=[3], dtype=FLOAT32)), "INVALID_EMBEDDING", "12 bytes"),
    ],
)
async def test_an_embedding_that_cannot_be_stored_is_rejected_alone(
    embedder: Embedder, item: pb.Item, reason: str, part: str
) -> None:
    await embedder.create("brought", dimension=3)
    (answer,) = await embedder.add("brought", [own("x", [1, 2, 3]), item, own("y", np.array([3, 4, 5], np.float16))])
    assert answer.accepted + answer.already_there == 2
    (rejected,) = answer.rejected
    assert (rejected.index, rejected.reason) == (1, reason)
    assert part in rejected.message


async def test_own_embeddings_come_back_as_they_were_and_pairs_may_have_them(embedder: Embedder) -> None:
    await embedder.create("mine", dimension=3)
    await embedder.add("mine", [own("a", [65504, 0.5, -1], text_pair="second"), own("b", [0, 0, 0])])
    request = pb.GetItemsRequest(pool="mine", item_ids=["b", "nobody", "a"], include_embeddings=True)
    found = await embedder.stub.GetItems(request, timeout=PATIENCE)
    assert list(found.missing_ids) == ["nobody"]
    assert [np.frombuffer(item.embedding.data, np.float16).tolist() for item in found.items] == [
        [0, 0, 0], [65504, 0.5, -1]
    ]  # fmt: skip
    assert found.items[1].text_pair == "second"


async def test_truncated_texts_are_counted(embedder: Embedder, tiny: pb.Backbone) -> None:
    await embedder.create("short", backbone=pb.Backbone(model=tiny.model, max_length=8))
    (answer,) = await embedder.add(
        "short", texts("a fine film", "a fine film is a fine film", "the plot was dull and a b c d")
    )
    assert (answer.accepted, answer.truncated) == (3, 2)


async def test_one_text_that_cannot_be_embedded_is_rejected_alone(
    embedder: Embedder, tiny_bert: Path, tmp_path: Path
) -> None:
    folder = with_poison(tiny_bert, tmp_path / "poison", "dull")
    await embedder.create("poison", backbone=pb.Backbone(model=str(folder)))
    (answer,) = await embedder.add("poison", texts("a fine film", "a dull film", "good", "dull"))
    assert answer.accepted == 2
    assert [(r.item_id, r.reason) for r in answer.rejected] == [("i1", "ENCODING_FAILED"), ("i3", "ENCODING_FAILED")]
    assert "not finite" in answer.rejected[0].message
    # It can be sent again, and another text under its id is a new item.
    (again,) = await embedder.add("poison", texts("a fine film", "a bright film"))
    assert (again.accepted, again.already_there) == (1, 1)


@pytest.mark.parametrize(
    ("last", "reason", "field", "part"),
    [
        (
            pb.AddItemsRequest(items=texts(*["x"] * 2001)),
            "CHUNK_TOO_LARGE",
            "items",
            "at most 2,000 in a chunk, got 2,001",
        ),
        (pb.AddItemsRequest(), "INVALID_FIELD", "items", "1 to 2,000 in a chunk, got 0"),
        (pb.AddItemsRequest(pool="other", items=texts("x")), "INVALID_FIELD", "pool", "must stay 'ended"),
    ],
)
async def test_a_wrong_chunk_ends_the_stream_after_the_chunks_before_it_are_acknowledged(
    embedder: Embedder, tiny: pb.Backbone, last: pb.AddItemsRequest, reason: str, field: str, part: str
) -> None:
    name = f"ended-{reason}-{field}".lower().replace("_", "-")
    await embedder.create(name, backbone=tiny)
    good = [pb.AddItemsRequest(pool=name, items=texts("good")), pb.AddItemsRequest(items=texts("bad", start=1))]
    answers, refusal = await refused_stream(embedder.stub.AddItems(iter([*good, last]), timeout=PATIENCE))
    assert [answer.accepted for answer in answers] == [1, 1]
    assert (refusal.code, refusal.reason, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, reason, [field])
    assert part in refusal.message
    assert await embedder.items(name) == 2


async def test_a_stream_needs_a_pool_that_is_there(embedder: Embedder) -> None:
    for pool, code, reason in (
        ("", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ("nowhere", grpc.StatusCode.NOT_FOUND, "POOL_NOT_FOUND"),
    ):
        requests = iter([pb.AddItemsRequest(pool=pool, items=texts("x"))])
        _, refusal = await refused_stream(embedder.stub.AddItems(requests, timeout=PATIENCE))
        assert (refusal.code, refusal.reason) == (code, reason)


async def test_a_stream_without_chunks_has_no_acknowledgements(embedder: Embedder) -> None:
    assert [answer async for answer in embedder.stub.AddItems(iter([]), timeout=PATIENCE)] == []


async def test_a_cut_stream_keeps_what_was_acknowledged_and_can_be_sent_again(tiny_bert: Path, tmp_path: Path) -> None:
    chunks = [texts(*(f"film {row}" for row in range(start, start + 5)), start=start) for start in range(0, 50, 5)]
    acknowledged = asyncio.Event()

    async def requests() -> AsyncIterator[pb.AddItemsRequest]:
        for number, chunk in enumerate(chunks[:6]):
            yield pb.AddItemsRequest(pool="cut", items=chunk)
            if number == 2:
                await acknowledged.wait()

    async with serving(tmp_path / "data") as embedder:
        await embedder.create("cut", backbone=pb.Backbone(model=str(tiny_bert)))
        call = embedder.stub.AddItems(requests(), timeout=PATIENCE)
        answers = [await call.read() for _ in range(3)]
        acknowledged.set()
        call.cancel()
    assert [answer.accepted for answer in answers] == [5, 5, 5]
    # Another process over the same folder, as after a crash.
    async with serving(tmp_path / "data") as embedder:
        kept = await embedder.items("cut")
        assert 15 <= kept <= 30
        answers = await embedder.add("cut", *chunks)
        assert sum(answer.already_there for answer in answers) == kept
        assert sum(answer.accepted for answer in answers) == 50 - kept
        assert await embedder.items("cut") == 50


async def test_bulk_work_beyond_the_permits_waits_instead_of_failing(tiny_bert: Path, tmp_path: Path) -> None:
    async with serving(tmp_path, bulk_tokens=10) as embedder:
        await embedder.create("slow", backbone=pb.Backbone(model=str(tiny_bert)))
        chunks = [texts(*(f"film {row}" for row in range(start, start + 3)), start=start) for start in range(0, 60, 3)]
        answers = await asyncio.gather(embedder.add("slow", *chunks[:10]), embedder.add("slow", *chunks[10:]))
        assert sum(answer.accepted for one in answers for answer in one) == 60
