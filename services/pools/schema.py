"""The columns of a pool's two tables, and the conversions to and from them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.pools.definition import PoolDefinition
from services.pools.item import DIGEST_BYTES, Item, text_digest

ITEMS: Final = "items.lance"
TEXT_COLUMNS: Final = ("text", "text_pair", "metadata")
DEFINITION_KEY: Final = "prepal.pool"

# `digest` spares a reader all texts when it asks which items changed. `commit` is a random number, equal for the items
# and the embeddings of one commit: an embedding left over from a commit that failed half-way, or written by the loser
# of a race for the same id, can never be taken for another item's.
_ITEM_FIELDS: Final = (
    pa.field("item_id", pa.string(), nullable=False),
    pa.field("text", pa.string(), nullable=False),
    pa.field("text_pair", pa.string()),
    pa.field("metadata", pa.string(), nullable=False),
    pa.field("added_at", pa.timestamp("us", tz="UTC"), nullable=False),
    pa.field("digest", pa.binary(DIGEST_BYTES), nullable=False),
    pa.field("commit", pa.int64(), nullable=False),
)


def embeddings_path(definition: PoolDefinition) -> str:
    """Returns where a pool's embeddings are, beside its items."""
    return f"embeddings/{definition.fingerprint}.lance"


def items_schema(definition: str) -> pa.Schema:
    """Returns the schema of items.lance; the pool's definition (JSON) is part of it."""
    return pa.schema(_ITEM_FIELDS, metadata={DEFINITION_KEY: definition})


def embeddings_schema(dimension: int) -> pa.Schema:
    """Returns the schema of embeddings/<fingerprint>.lance."""
    return pa.schema(
        [
            pa.field("item_id", pa.string(), nullable=False),
            pa.field("embedding", pa.list_(pa.float16(), dimension), nullable=False),
            pa.field("commit", pa.int64(), nullable=False),
        ]
    )


def pack_items(items: Sequence[Item]) -> pa.Table:
    """Returns the columns of items that do not depend on the commit.

    Raises:
        ValueError: If a text is no UTF-8.
    """
    now = datetime.now(UTC)
    try:
        digests = [text_digest(item.text, item.text_pair) for item in items]
        return pa.table(
            {
                "item_id": pa.array([item.item_id for item in items], pa.string()),
                "text": pa.array([item.text for item in items], pa.string()),
                "text_pair": pa.array([item.text_pair for item in items], pa.string()),
                "metadata": pa.array([item.metadata for item in items], pa.string()),
                "added_at": pa.array([now] * len(items), pa.timestamp("us", tz="UTC")),
                "digest": pa.array(digests, pa.binary(DIGEST_BYTES)),
            }
        )
    except ValueError as error:
        raise ValueError(f"an item's id, text, text_pair and metadata must be Unicode text: {error}") from error


def unpack_items(item_ids: Sequence[str], texts: pa.Table) -> list[Item]:
    """Returns items from their ids and a table of TEXT_COLUMNS."""
    columns = (texts.column(name).to_pylist() for name in TEXT_COLUMNS)
    return [Item(*fields) for fields in zip(item_ids, *columns, strict=True)]


def pack_embeddings(item_ids: pa.ChunkedArray, embeddings: npt.NDArray[np.float16], commit: int) -> pa.Table:
    """Returns rows for the embeddings' table; `embeddings` has shape (n, D)."""
    count, dimension = embeddings.shape
    values = pa.array(np.ascontiguousarray(embeddings).reshape(-1), pa.float16())
    return pa.table(
        [item_ids, pa.FixedSizeListArray.from_arrays(values, dimension), _repeated(commit, count)],
        schema=embeddings_schema(dimension),
    )


def stamp_items(items: pa.Table, commit: int, schema: pa.Schema) -> pa.Table:
    """Returns packed items with the commit they belong to."""
    return items.append_column("commit", _repeated(commit, items.num_rows)).cast(schema)


def unpack_embeddings(batch: pa.RecordBatch) -> npt.NDArray[np.float16]:
    """Returns a view of a batch's embeddings, shape (n, D)."""
    column = batch.column(batch.schema.get_field_index("embedding"))
    values: npt.NDArray[np.float16] = column.flatten().to_numpy(zero_copy_only=True)
    return values.reshape(len(column), column.type.list_size)


def unpack_digests(column: pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    """Returns digests, shape (n, 16)."""
    parts = [
        np.frombuffer(chunk.buffers()[1], np.uint8)[
            chunk.offset * DIGEST_BYTES : (chunk.offset + len(chunk)) * DIGEST_BYTES
        ]
        for chunk in column.chunks
        if len(chunk)
    ]
    joined = np.concatenate(parts) if parts else np.empty(0, np.uint8)
    return joined.reshape(-1, DIGEST_BYTES)


def _repeated(value: int, count: int) -> pa.Array:
    return pa.array(np.full(count, value, np.int64))
