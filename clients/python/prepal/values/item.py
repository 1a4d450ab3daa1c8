"""Items: the texts and text pairs a person may label."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prepal import tensors
from prepal.v1 import embedder_pb2, tensor_pb2


@dataclass(frozen=True, slots=True)
class Item:
    """One text, or text pair, that a person may label.

    Attributes:
        id: the client's own id, 1 to 256 bytes of UTF-8 without control characters; unique in a pool.
        text: 1 to 100,000 characters.
        text_pair: the second text of a pair; required in a pool of pairs, refused in a pool of single texts.
        metadata: anything to get back with the item, at most 16 KiB as JSON.
        embedding: the client's own embedding, shape (D,), finite; required in a pool created with `dimension`, refused
            in others. float16 and float32 are sent as they are, other numbers as float32.

    >>> Item("r1", "a fine film").id
    'r1'
    """

    id: str
    text: str
    text_pair: str | None = None
    metadata: Mapping[str, Any] | None = field(default=None, kw_only=True)
    embedding: ArrayLike | None = field(default=None, kw_only=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedItem:
    """An item that was not taken. `index` is its position in what was added, from 0."""

    index: int
    item_id: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddItemsResult:
    """What became of the items of one call, or of those acknowledged so far.

    Attributes:
        accepted: items that are new and durable.
        already_there: items that were there already, unchanged.
        rejected: items that were not taken, each with its reason.
        truncated: items longer than the backbone's max_length, embedded from their beginning.
        pool_items: items in the pool after the newest acknowledgement; 0 before the first.
    """

    accepted: int = 0
    already_there: int = 0
    rejected: Sequence[RejectedItem] = ()
    truncated: int = 0
    pool_items: int = 0

    @property
    def acknowledged(self) -> int:
        """Items the service has answered for."""
        return self.accepted + self.already_there + len(self.rejected)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundItem:
    """An item near a query. `similarity` is the cosine, -1 to 1."""

    item: Item
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedItems(Sequence[Item]):
    """The items of a `get_items`, in the order asked, and the ids that are not in the pool."""

    items: tuple[Item, ...]
    missing: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]


def item_to_message(item: Item) -> embedder_pb2.Item:
    """Returns the item as a message.

    Raises:
        TypeError: when it is not an `Item`.
        ValueError: when it cannot be sent; the message names the item and the field.
    """
    if not isinstance(item, Item):
        raise TypeError(f"items must be prepal.Item, got {type(item).__name__}: {item!r:.80}")
    try:
        return embedder_pb2.Item(
            item_id=item.id,
            text=item.text,
            text_pair=item.text_pair,
            metadata=_metadata_to_json(item.metadata),
            embedding=None if item.embedding is None else vector_to_message(item.embedding),
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"item {item.id!r:.80} cannot be sent: {error}") from error


def item_from_message(message: embedder_pb2.Item) -> Item:
    """Returns the item of a message."""
    return Item(
        message.item_id,
        message.text,
        message.text_pair if message.HasField("text_pair") else None,
        metadata=metadata_from_json(message.metadata),
        embedding=tensors.unpack(message.embedding) if message.HasField("embedding") else None,
    )


def vector_to_message(vector: ArrayLike) -> tensor_pb2.Tensor:
    """Returns an embedding as a message: float16 as it is, other numbers as float32.

    Raises:
        ValueError: when it is not one vector of real numbers.
    """
    array: NDArray[Any] = np.asarray(vector)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"embedding must be one vector of numbers, shape (D,), got shape {array.shape} of {array.dtype}"
        )
    if array.dtype != np.float16:
        # A number too large for float32 becomes inf, which the service refuses by item.
        with np.errstate(over="ignore"):
            array = array.astype(np.float32, copy=False)
    return tensors.pack(array)


def metadata_from_json(text: str) -> dict[str, Any]:
    """Returns an item's metadata; an empty text is no metadata."""
    if not text:
        return {}
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _metadata_to_json(metadata: Mapping[str, Any] | None) -> str:
    """Returns metadata as a JSON object; none, or an empty one, is the empty text."""
    if not metadata:
        return ""
    return json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
