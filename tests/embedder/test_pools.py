"""Pools over gRPC: created, shown, listed, deleted; what is refused and how it is said."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import grpc
import pytest
from prepal.v1 import embedder_pb2 as pb

from tests.embedder.models import as_sentence_encoder
from tests.embedder.serving import PATIENCE, Embedder, refused, refused_stream, serving, texts

pytestmark = pytest.mark.asyncio(loop_scope="module")
INVALID = grpc.StatusCode.INVALID_ARGUMENT


async def test_a_pool_shows_its_backbone_with_every_default_resolved(embedder: Embedder, tiny: pb.Backbone) -> None:
    pool = await embedder.create("resolved", backbone=tiny)
    assert pool.backbone == pb.Backbone(
        model=tiny.model, pooling=pb.POOLING_MEAN, max_length=64, normalize=False, pair_mode=pb.PAIR_MODE_UNSPECIFIED
    )
    assert (pool.dimension, pool.items, len(pool.fingerprint)) == (32, 0, 16)
    assert pool.created_at.seconds > 1_700_000_000
    shown = await embedder.stub.GetPool(pb.GetPoolRequest(name="resolved"), timeout=PATIENCE)
    assert shown.pool == pool


async def test_creating_a_pool_again_returns_it_and_another_of_its_name_is_refused(
    embedder: Embedder, tiny: pb.Backbone
) -> None:
    first = await embedder.create("again", backbone=tiny)
    assert await embedder.create("again", backbone=tiny) == first
    # What is resolved is the same, however it was said.
    assert await embedder.create("again", backbone=pb.Backbone(model=tiny.model, pooling=pb.POOLING_MEAN)) == first
    for other in ({"dimension": 32}, {"backbone": pb.Backbone(model=tiny.model, pooling=pb.POOLING_CLS)}):
        refusal = await refused(embedder.create("again", **other))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "POOL_EXISTS")
        assert "'again'" in refusal.message


async def test_a_pool_of_own_embeddings_has_a_dimension_and_no_backbone(embedder: Embedder) -> None:
    pool = await embedder.create("own", dimension=5)
    assert not pool.HasField("backbone")
    assert pool.dimension == 5
    assert await embedder.create("own", dimension=5) == pool
    other = await embedder.create("own-2", dimension=5)
    assert other.fingerprint != pool.fingerprint


async def test_the_mode_of_pairs_is_chosen_by_the_kind_of_backbone(
    embedder: Embedder, tiny_bert: Path, tmp_path: Path
) -> None:
    auto: dict[str, Any] = {"pair_mode": pb.PAIR_MODE_AUTO}
    plain = await embedder.create("auto-plain", backbone=pb.Backbone(model=str(tiny_bert), **auto))
    assert (plain.backbone.pair_mode, plain.dimension) == (pb.PAIR_MODE_JOINT, 32)
    folder = as_sentence_encoder(tiny_bert, tmp_path / "sentence")
    sentence = await embedder.create("auto-sentence", backbone=pb.Backbone(model=str(folder), **auto))
    assert (sentence.backbone.pair_mode, sentence.dimension) == (pb.PAIR_MODE_FULL, 128)
    assert (sentence.backbone.pooling, sentence.backbone.max_length, sentence.backbone.normalize) == (
        pb.POOLING_CLS, 16, True
    )  # fmt: skip


@pytest.mark.parametrize(
    ("request_fields", "field", "part"),
    [
        ({"name": "", "dimension": 3}, "name", "must be given"),
        ({"name": "../x", "dimension": 3}, "name", "1 to 128"),
        ({"name": "x"}, "backbone", "got neither"),
        ({"name": "x", "dimension": 0}, "dimension", "between 1 and 16384, got 0"),
        ({"name": "x", "dimension": 16385}, "dimension", "got 16385"),
        ({"name": "x", "backbone": pb.Backbone()}, "backbone.model", "must be given"),
        ({"name": "x", "backbone": pb.Backbone(model="a\nb")}, "backbone.model", "control characters"),
        ({"name": "x", "backbone": pb.Backbone(model="m", pooling=99)}, "backbone.pooling", "got 99"),
        ({"name": "x", "backbone": pb.Backbone(model="m", pair_mode=99)}, "backbone.pair_mode", "got 99"),
    ],
)
async def test_a_wrong_definition_is_refused_by_field(
    embedder: Embedder, request_fields: dict[str, Any], field: str, part: str
) -> None:
    refusal = await refused(embedder.stub.CreatePool(pb.CreatePoolRequest(**request_fields), timeout=PATIENCE))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_FIELD", [field])
    assert part in refusal.message


@pytest.mark.parametrize("length", [1, 65])
async def test_a_length_beyond_the_backbones_own_limit_is_refused(
    embedder: Embedder, tiny: pb.Backbone, length: int
) -> None:
    refusal = await refused(embedder.create("x", backbone=pb.Backbone(model=tiny.model, max_length=length)))
    assert (refusal.code, refusal.fields) == (INVALID, ["backbone.max_length"])
    assert f"between 2 and 64 for backbone {tiny.model!r}, got {length}" in refusal.message


async def test_an_unknown_backbone_says_what_was_tried_and_leaves_no_pool(embedder: Embedder) -> None:
    refusal = await refused(embedder.create("nowhere", backbone=pb.Backbone(model="nobody/nothing")))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BACKBONE_NOT_LOADABLE")
    for part in ("'nobody/nothing'", "tried", "folder", "HF_HUB_OFFLINE", "minilm"):
        assert part in refusal.message
    missing = await refused(embedder.stub.GetPool(pb.GetPoolRequest(name="nowhere"), timeout=PATIENCE))
    assert (missing.code, missing.reason) == (grpc.StatusCode.NOT_FOUND, "POOL_NOT_FOUND")


async def test_weights_that_are_not_the_models_are_refused(embedder: Embedder, tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "deeper")
    config = (folder / "config.json").read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
    (folder / "config.json").write_text(config)
    refusal = await refused(embedder.create("deeper", backbone=pb.Backbone(model=str(folder))))
    assert refusal.reason == "BACKBONE_NOT_LOADABLE"
    assert "lack" in refusal.message
    assert "layer.2" in refusal.message


async def test_pools_are_listed_by_name_a_page_at_a_time(embedder: Embedder) -> None:
    for name in ("list-c", "list-a", "list-b"):
        await embedder.create(name, dimension=2)
    names, token = [], ""
    while True:
        page = await embedder.stub.ListPools(pb.ListPoolsRequest(page_size=2, page_token=token), timeout=PATIENCE)
        assert len(page.pools) <= 2
        names += [pool.name for pool in page.pools]
        token = page.next_page_token
        if not token:
            break
    assert names == sorted(names)
    assert [name for name in names if name.startswith("list-")] == ["list-a", "list-b", "list-c"]
    refusal = await refused(embedder.stub.ListPools(pb.ListPoolsRequest(page_size=1001), timeout=PATIENCE))
    assert refusal.fields == ["page_size"]


async def test_deleting_is_safe_to_repeat_and_a_new_pool_of_the_name_is_another(
    embedder: Embedder, tiny: pb.Backbone
) -> None:
    await embedder.create("fleeting", backbone=tiny)
    await embedder.add("fleeting", texts("a fine film"))
    delete = pb.DeletePoolRequest(name="fleeting")
    assert (await embedder.stub.DeletePool(delete, timeout=PATIENCE)).deleted
    assert not (await embedder.stub.DeletePool(delete, timeout=PATIENCE)).deleted
    answers, refusal = await refused_stream(
        embedder.stub.AddItems(iter([pb.AddItemsRequest(pool="fleeting", items=texts("x"))]), timeout=PATIENCE)
    )
    assert not answers
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "POOL_NOT_FOUND")
    again = await embedder.create("fleeting", backbone=tiny)
    assert again.items == 0
    (answer,) = await embedder.add("fleeting", texts("another text"))
    assert (answer.accepted, answer.pool_items) == (1, 1)


async def test_a_backbone_whose_files_changed_does_not_mix_its_vectors_in(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "changing")
    async with serving(tmp_path / "data") as embedder:
        await embedder.create("changing", backbone=pb.Backbone(model=str(folder)))
    config = folder / "config.json"
    config.write_text(config.read_text() + " ")
    async with serving(tmp_path / "data") as embedder:
        requests = iter([pb.AddItemsRequest(pool="changing", items=texts("a fine film"))])
        answers, refusal = await refused_stream(embedder.stub.AddItems(requests, timeout=PATIENCE))
        assert not answers
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BACKBONE_CHANGED")
        assert "create a new pool" in refusal.message
