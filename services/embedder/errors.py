"""What can go wrong in the embedder, beyond what a pool or a backbone says itself."""

from __future__ import annotations

from services.serving import Violation


class TooLate(Exception):
    """The caller's deadline passed before the texts' turn came."""

    def __init__(self) -> None:
        super().__init__("the deadline passed before the texts could be embedded; allow more time, or send fewer texts")


class EncodingFailed(Exception):
    """The backbone cannot embed one of the texts."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(f"inputs[{index}] cannot be embedded: {why}")
        self.violations = (Violation(f"inputs[{index}]", why),)


class BackboneChanged(Exception):
    """A pool's backbone is not the one that the pool was made with."""

    def __init__(self, model: str, wanted: str, found: str) -> None:
        super().__init__(
            f"backbone {model!r} has the fingerprint {found} now, but the pool was made with {wanted}: its "
            "vectors would not be comparable. Put the backbone's files back as they were, or create a new pool"
        )


class PoolHasNoBackbone(Exception):
    """A text was given where the pool holds the client's own embeddings."""

    def __init__(self, name: str) -> None:
        super().__init__(f"pool {name!r} has no backbone that could embed a text; search it by item_id or by vector")


class ItemNotFound(Exception):
    """An id is not in the pool."""

    def __init__(self, pool: str, item_id: str) -> None:
        super().__init__(f"item {item_id!r} is not in pool {pool!r}; add it with AddItems first")


class ChunkTooLarge(Exception):
    """A chunk of AddItems holds too many items."""

    def __init__(self, items: int, limit: int) -> None:
        message = f"items must be at most {limit:,} in a chunk, got {items:,}; send them as several chunks"
        super().__init__(message)
        self.violations = (Violation("items", message),)


class AnswerTooLarge(Exception):
    """An answer would be larger than a message may be."""


class WorkerDied(Exception):
    """A thread of the embedder ended in the middle of its work."""

    def __init__(self) -> None:
        super().__init__("a worker of the embedder died; send the texts again")
