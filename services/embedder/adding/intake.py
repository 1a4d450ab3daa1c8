"""Which items of a chunk can be taken, and why the others cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from prepal.tensors import unpack
from prepal.v1 import embedder_pb2

from services.pools import Item, PoolDefinition, text_digest
from services.serving import shown

MAX_ID_BYTES: Final = 256
MAX_TEXT: Final = 100_000
MAX_METADATA_BYTES: Final = 16 * 1024
MAX_FLOAT16: Final = 65_504
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Rejection:
    """An item that is not taken: its position in the chunk, its id as sent, a stable reason, and a sentence."""

    index: int
    item_id: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """An item that may be taken.

    Attributes:
        index: Its position in the chunk.
        item: It.
        digest: What tells its text from another.
        embedding: What the client brought, float16, shape (D,), finite; None where a backbone embeds.
    """

    index: int
    item: Item
    digest: bytes
    embedding: npt.NDArray[np.float16] | None


class _Rejected(Exception):
    """An item cannot be taken, for a stable reason."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def check(items: Iterable[embedder_pb2.Item], definition: PoolDefinition) -> tuple[list[Candidate], list[Rejection]]:
    """Checks items one by one against what a pool takes. Costs some 5 microseconds an item.

    Returns:
        What may be taken and what cannot, each in the order of the chunk.
    """
    candidates = []
    rejections = []
    for index, item in enumerate(items):
        try:
            candidates.append(_checked(index, item, definition))
        except _Rejected as rejected:
            rejections.append(Rejection(index, item.item_id, rejected.reason, str(rejected)))
    return candidates, rejections


def text_fault(field: str, text: str) -> tuple[str, str] | None:
    """Returns why a text cannot be taken, as a stable reason and a sentence; None when it can."""
    if not text or text.isspace():
        return "EMPTY_TEXT", f"{field} must have 1 to {MAX_TEXT:,} characters, not only white space, got {shown(text)}"
    if len(text) > MAX_TEXT:
        return "TEXT_TOO_LONG", (
            f"{field} must have at most {MAX_TEXT:,} characters, got {len(text):,}; cut it, or split it into items"
        )
    return None


def _checked(index: int, item: embedder_pb2.Item, definition: PoolDefinition) -> Candidate:
    _check_id(item.item_id)
    _check_text("text", item.text)
    pair = item.text_pair if item.HasField("text_pair") else None
    backbone = definition.backbone
    if backbone is None:
        # Items that bring their own embeddings may be pairs or not.
        if pair is not None:
            _check_text("text_pair", pair)
    elif backbone.pair_mode is None:
        if pair:
            raise _Rejected(
                "PAIR_NOT_ALLOWED",
                f"text_pair must not be given: pool {definition.name!r} holds single texts; create a pool with a pair "
                "mode for pairs",
            )
        pair = None
    else:
        if pair is None:
            raise _Rejected(
                "PAIR_REQUIRED", f"text_pair must be given: pool {definition.name!r} holds pairs; got a single text"
            )
        _check_text("text_pair", pair)
    _check_metadata(item.metadata)
    embedding = _embedding(item, definition)
    return Candidate(index, Item(item.item_id, item.text, pair, item.metadata), text_digest(item.text, pair), embedding)


def _check_id(item_id: str) -> None:
    if not item_id:
        raise _Rejected(
            "EMPTY_ID", f"item_id must be 1 to {MAX_ID_BYTES} bytes long, got an empty one; give each item one"
        )
    if len(item_id) * 4 > MAX_ID_BYTES and (size := len(item_id.encode())) > MAX_ID_BYTES:
        raise _Rejected(
            "INVALID_ID", f"item_id must be at most {MAX_ID_BYTES} bytes long, got {size}: {shown(item_id)}; shorten it"
        )
    if _CONTROL.search(item_id):
        raise _Rejected("INVALID_ID", f"item_id must not hold control characters, got {shown(item_id)}; leave them out")


def _check_text(field: str, text: str) -> None:
    fault = text_fault(field, text)
    if fault:
        raise _Rejected(*fault)


def _check_metadata(metadata: str) -> None:
    if not metadata:
        return
    if len(metadata) * 4 > MAX_METADATA_BYTES and (size := len(metadata.encode())) > MAX_METADATA_BYTES:
        raise _Rejected(
            "INVALID_METADATA", f"metadata must be at most {MAX_METADATA_BYTES:,} bytes long, got {size:,}; shorten it"
        )
    try:
        value = json.loads(metadata)
    except (ValueError, RecursionError) as error:
        raise _Rejected(
            "INVALID_METADATA", f"metadata must be a JSON object, got {shown(metadata)} ({str(error)[:100]})"
        ) from None
    if not isinstance(value, dict):
        raise _Rejected("INVALID_METADATA", f"metadata must be a JSON object, got {shown(metadata)}; wrap it in braces")


def _embedding(item: embedder_pb2.Item, definition: PoolDefinition) -> npt.NDArray[np.float16] | None:
    given = item.HasField("embedding")
    if definition.backbone is not None:
        if given:
            raise _Rejected(
                "EMBEDDING_NOT_ALLOWED",
                f"embedding must not be given: the backbone of pool {definition.name!r} embeds its items; create a "
                "pool with a dimension to bring your own",
            )
        return None
    if not given:
        raise _Rejected(
            "EMBEDDING_REQUIRED",
            f"embedding must be given: pool {definition.name!r} has no backbone; send {definition.dimension:,} numbers "
            "with each item",
        )
    try:
        vector = unpack(item.embedding)
    except ValueError as error:
        raise _Rejected("INVALID_EMBEDDING", f"embedding cannot be read: {error}") from None
    if vector.shape != (definition.dimension,):
        raise _Rejected(
            "WRONG_DIMENSION",
            f"embedding must have the shape ({definition.dimension},) of pool {definition.name!r}, got "
            f"{tuple(vector.shape)}",
        )
    finite = np.isfinite(vector)
    if not finite.all():
        place = int(np.flatnonzero(~finite)[0])
        raise _Rejected("NOT_FINITE", f"embedding must be finite, got {vector[place]} at position {place}")
    return _as_float16(vector)


def _as_float16(vector: npt.NDArray[np.floating]) -> npt.NDArray[np.float16]:
    """Returns a finite vector as it is stored; refuses one that would become infinite, or nothing."""
    with np.errstate(over="ignore"):
        half = vector.astype(np.float16)
    if not np.isfinite(half).all():
        place = int(np.argmax(np.abs(vector)))
        raise _Rejected(
            "NOT_FINITE",
            f"embedding must lie between -{MAX_FLOAT16:,} and {MAX_FLOAT16:,}, since it is stored as float16, got "
            f"{vector[place]:g} at position {place}; scale your vectors, for instance to unit length",
        )
    if vector.any() and not half.any():
        raise _Rejected(
            "INVALID_EMBEDDING",
            f"embedding must not vanish as float16, got {np.abs(vector).max():g} as its largest number; scale your "
            "vectors, for instance to unit length",
        )
    return half
