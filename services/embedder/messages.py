"""Between the contract's messages and the embedder's own values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from google.protobuf.timestamp_pb2 import Timestamp
from prepal.tensors import pack, unpack
from prepal.v1 import embedder_pb2 as pb
from prepal.v1 import tensor_pb2

from services.embedder.adding.adder import Acknowledgement
from services.embedder.adding.intake import text_fault
from services.embedder.encoding.resolve import Wanted
from services.embedder.encoding.tokenizing import Text
from services.pools import BackboneDefinition, Item, PairMode, Pool, Pooling, PoolStats
from services.serving import Checks, shown

MAX_MODEL_BYTES: Final = 1024
_POOLINGS: Final = {
    pb.POOLING_MEAN: Pooling.MEAN,
    pb.POOLING_CLS: Pooling.CLS,
    pb.POOLING_LAST_TOKEN: Pooling.LAST_TOKEN,
}
_PAIR_MODES: Final = {
    pb.PAIR_MODE_JOINT: PairMode.JOINT,
    pb.PAIR_MODE_COMPARE: PairMode.COMPARE,
    pb.PAIR_MODE_FULL: PairMode.FULL,
}


def wanted_backbone(message: pb.Backbone, checks: Checks) -> Wanted:
    """Returns a backbone as the client names it; notes what is wrong with it."""
    if not message.model:
        checks.refuse("backbone.model", 'backbone.model must be given: "minilm", a Hugging Face id, or a folder')
    checks.at_most_bytes("backbone.model", message.model, MAX_MODEL_BYTES)
    if not message.model.isprintable():
        checks.refuse("backbone.model", f"backbone.model must not hold control characters, got {shown(message.model)}")
    if message.pooling not in (pb.POOLING_UNSPECIFIED, *_POOLINGS):
        checks.refuse("backbone.pooling", f"backbone.pooling must be MEAN, CLS or LAST_TOKEN, got {message.pooling}")
    if message.pair_mode not in (pb.PAIR_MODE_UNSPECIFIED, pb.PAIR_MODE_AUTO, *_PAIR_MODES):
        checks.refuse(
            "backbone.pair_mode", f"backbone.pair_mode must be JOINT, COMPARE, FULL or AUTO, got {message.pair_mode}"
        )
    return Wanted(
        model=message.model,
        pooling=_POOLINGS.get(message.pooling),
        max_length=message.max_length,
        normalize=message.normalize if message.HasField("normalize") else None,
        pair_mode=_PAIR_MODES.get(message.pair_mode),
        choose_pair_mode=message.pair_mode == pb.PAIR_MODE_AUTO,
    )


def text_of(field: str, message: pb.TextInput, *, pairs: bool, checks: Checks) -> Text:
    """Returns a text and its pair; notes what is wrong with it.

    Args:
        field: What the request calls it.
        message: It.
        pairs: Whether it must be a pair; else it must not.
        checks: Where faults are noted.
    """
    given = message.HasField("text_pair") and (pairs or message.text_pair != "")
    parts = [("text", message.text), *([("text_pair", message.text_pair)] if given else [])]
    for name, text in parts:
        fault = text_fault(f"{field}.{name}", text)
        if fault:
            checks.refuse(f"{field}.{name}", fault[1])
    if pairs and not given:
        checks.refuse(f"{field}.text_pair", f"{field}.text_pair must be given: the backbone has a pair mode")
    if given and not pairs:
        checks.refuse(
            f"{field}.text_pair", f"{field}.text_pair must not be given: the backbone has no pair mode; give it one"
        )
    return message.text, message.text_pair if given else None


def vector_of(field: str, message: tensor_pb2.Tensor, dimension: int) -> npt.NDArray[np.floating]:
    """Returns a query's vector, shape (D,), finite and not all zero. Raises InvalidRequest."""
    checks = Checks()
    vector: npt.NDArray[np.floating] = np.empty(0)
    try:
        vector = unpack(message)
    except ValueError as error:
        checks.refuse(field, f"{field} cannot be read: {error}")
        checks.done()
    if vector.shape != (dimension,):
        checks.refuse(field, f"{field} must have the shape ({dimension},) of the pool, got {tuple(vector.shape)}")
    elif not np.isfinite(vector).all():
        checks.refuse(field, f"{field} must be finite, got a NaN or an infinity")
    elif not vector.any():
        checks.refuse(field, f"{field} must not be all zero: nothing is similar to it")
    checks.done()
    return vector


def backbone_message(definition: BackboneDefinition) -> pb.Backbone:
    """Returns a backbone with every default resolved."""
    modes = {mode: number for number, mode in _PAIR_MODES.items()}
    poolings = {pooling: number for number, pooling in _POOLINGS.items()}
    return pb.Backbone(
        model=definition.model,
        pooling=poolings[definition.pooling],
        max_length=definition.max_length,
        normalize=definition.normalize,
        pair_mode=modes[definition.pair_mode] if definition.pair_mode else pb.PAIR_MODE_UNSPECIFIED,
    )


def pool_message(pool: Pool, stats: PoolStats) -> pb.Pool:
    """Returns a pool as the contract shows it."""
    definition = pool.definition
    created_at = Timestamp()
    created_at.FromDatetime(definition.created_at)
    return pb.Pool(
        name=definition.name,
        backbone=backbone_message(definition.backbone) if definition.backbone else None,
        fingerprint=definition.fingerprint,
        dimension=definition.dimension,
        items=stats.items,
        version=stats.version,
        created_at=created_at,
    )


def item_message(item: Item, embedding: npt.NDArray[np.float16] | None = None) -> pb.Item:
    """Returns an item, with its embedding where one is given."""
    return pb.Item(
        item_id=item.item_id,
        text=item.text,
        text_pair=item.text_pair,
        metadata=item.metadata,
        embedding=None if embedding is None else pack(embedding),
    )


def acknowledgement_message(chunk: int, answer: Acknowledgement) -> pb.AddItemsResponse:
    """Returns the acknowledgement of a chunk, given its position in the stream."""
    return pb.AddItemsResponse(
        chunk=chunk,
        accepted=answer.accepted,
        already_there=answer.already_there,
        rejected=[
            pb.RejectedItem(index=one.index, item_id=one.item_id, reason=one.reason, message=one.message)
            for one in answer.rejections
        ],
        truncated=answer.truncated,
        pool_items=answer.pool_items,
    )


def found_messages(items: Sequence[Item], similarities: Iterable[float]) -> list[pb.FoundItem]:
    """Returns search results, nearest first."""
    return [
        pb.FoundItem(item=item_message(item), similarity=similarity)
        for item, similarity in zip(items, similarities, strict=True)
    ]
