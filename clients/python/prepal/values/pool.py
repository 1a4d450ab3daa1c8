"""Pools, and the backbones that embed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from prepal.v1 import embedder_pb2
from prepal.values.enums import PairMode, Pooling, from_wire, from_wire_or_none, to_wire
from prepal.values.times import time_from

Text = str | tuple[str, str]
"""A text, or a text pair as (text, text_pair)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A pretrained transformer with all that decides its embeddings.

    Attributes:
        model: "minilm", a Hugging Face id, or a folder the server can read.
        pooling: how token states become one vector.
        max_length: tokens kept of a text.
        normalize: whether vectors are scaled to unit length.
        pairs: how a text pair is embedded; None for single texts.
    """

    model: str
    pooling: Pooling
    max_length: int
    normalize: bool
    pairs: PairMode | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A named set of items, embedded once.

    Attributes:
        name: the pool's name.
        backbone: what embeds its items; None for a pool of the client's own embeddings.
        fingerprint: what identifies the embeddings: equal fingerprints mean comparable vectors.
        dimension: D, the length of an embedding.
        items: items in the pool.
        version: grows with every durable change.
        created_at: when it was created.
    """

    name: str
    backbone: Backbone | None
    fingerprint: str
    dimension: int
    items: int
    version: int
    created_at: datetime


def backbone_to_message(
    model: str, *, pooling: str | None, max_length: int | None, normalize: bool | None, pairs: str | None
) -> embedder_pb2.Backbone:
    """Returns a backbone as a message; None is left to the service's default.

    Raises:
        ValueError: for an unknown pooling or pair mode, or a max_length that is no length.
    """
    if max_length is not None and not 0 <= max_length < 2**32:
        raise ValueError(f"max_length must be at least 2, got {max_length}")
    return embedder_pb2.Backbone(
        model=model,
        pooling=to_wire(Pooling, pooling),
        max_length=max_length or 0,
        normalize=normalize,
        pair_mode=to_wire(PairMode, pairs),
    )


def pool_from_message(message: embedder_pb2.Pool) -> Pool:
    """Returns the pool of a message."""
    return Pool(
        name=message.name,
        backbone=_backbone_from_message(message.backbone) if message.HasField("backbone") else None,
        fingerprint=message.fingerprint,
        dimension=message.dimension,
        items=message.items,
        version=message.version,
        created_at=time_from(message.created_at),
    )


def _backbone_from_message(message: embedder_pb2.Backbone) -> Backbone:
    return Backbone(
        model=message.model,
        pooling=from_wire(Pooling, message.pooling),
        max_length=message.max_length,
        normalize=message.normalize,
        pairs=from_wire_or_none(PairMode, message.pair_mode),
    )


def text_to_message(text: Text) -> embedder_pb2.TextInput:
    """Returns a text, or text pair, as a message.

    Raises:
        ValueError: when it is neither.
    """
    if isinstance(text, str):
        return embedder_pb2.TextInput(text=text)
    if isinstance(text, Sequence) and len(text) == 2 and all(isinstance(part, str) for part in text):
        return embedder_pb2.TextInput(text=text[0], text_pair=text[1])
    raise ValueError(f"a text must be a string, or a pair of strings, got {text!r:.80}")
