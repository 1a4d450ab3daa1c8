"""What defines a pool, and its form as JSON in the store."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

MAX_DIMENSION: Final = 16_384
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


class Pooling(StrEnum):
    """How token states become one vector."""

    MEAN = "mean"
    CLS = "cls"
    LAST_TOKEN = "last_token"  # noqa: S105 - a token of text, not a secret


class PairMode(StrEnum):
    """How the two texts of a pair become one embedding (u and v are the texts' own embeddings)."""

    JOINT = "joint"
    COMPARE = "compare"
    FULL = "full"


@dataclass(frozen=True, kw_only=True)
class BackboneDefinition:
    """A pretrained transformer with all that decides its embeddings, every default resolved.

    Attributes:
        model: An alias, a Hugging Face id, or a folder.
        pooling: How token states become one vector.
        max_length: Tokens kept of a text (of a joint pair, of both together).
        normalize: Whether vectors are scaled to unit length.
        pair_mode: How a pair is embedded; None for a pool of single texts.
    """

    model: str
    pooling: Pooling
    max_length: int
    normalize: bool
    pair_mode: PairMode | None


@dataclass(frozen=True, kw_only=True)
class PoolDefinition:
    """What a pool is, decided when it is created and never changed.

    Attributes:
        name: 1 to 128 of a-z A-Z 0-9 . _ -, beginning with a letter or digit.
        backbone: Where the embeddings come from; None when items bring their own.
        fingerprint: What identifies the embeddings; of the same form as a name.
        dimension: D, 1 to 16,384.
        created_at: When the pool was created, with a time zone.
        incarnation: A random id, so that a pool deleted and created again under its name is noticed.

    Raises:
        ValueError: If a field is out of its range.
    """

    name: str
    backbone: BackboneDefinition | None
    fingerprint: str
    dimension: int
    created_at: datetime
    incarnation: str

    def __post_init__(self) -> None:
        check_name("name", self.name)
        check_name("fingerprint", self.fingerprint)
        if not 1 <= self.dimension <= MAX_DIMENSION:
            raise ValueError(f"dimension must be between 1 and {MAX_DIMENSION}, got {self.dimension}")
        if self.created_at.tzinfo is None:
            raise ValueError(f"created_at must have a time zone, got {self.created_at.isoformat()}")


def check_name(field: str, value: str) -> None:
    """Refuses what could name anything but one entry of a folder.

    Raises:
        ValueError: If `value` is not 1 to 128 of a-z A-Z 0-9 . _ -, beginning with a letter or digit.
    """
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"{field} must be 1 to 128 of a-z A-Z 0-9 . _ -, beginning with a letter or digit, got {value[:140]!r}"
        )


def to_json(definition: PoolDefinition) -> str:
    """Returns the definition as JSON text."""
    backbone = definition.backbone
    return json.dumps(
        {
            "name": definition.name,
            "backbone": backbone
            and {
                "model": backbone.model,
                "pooling": backbone.pooling.value,
                "max_length": backbone.max_length,
                "normalize": backbone.normalize,
                "pair_mode": backbone.pair_mode and backbone.pair_mode.value,
            },
            "fingerprint": definition.fingerprint,
            "dimension": definition.dimension,
            "created_at": definition.created_at.isoformat(),
            "incarnation": definition.incarnation,
        }
    )


def from_json(text: str) -> PoolDefinition:
    """Returns the definition that `to_json` wrote.

    Raises:
        ValueError: If the text is not such a definition.
    """
    try:
        fields = json.loads(text)
        backbone = fields["backbone"]
        return PoolDefinition(
            name=fields["name"],
            backbone=backbone
            and BackboneDefinition(
                model=backbone["model"],
                pooling=Pooling(backbone["pooling"]),
                max_length=backbone["max_length"],
                normalize=backbone["normalize"],
                pair_mode=backbone["pair_mode"] and PairMode(backbone["pair_mode"]),
            ),
            fingerprint=fields["fingerprint"],
            dimension=fields["dimension"],
            created_at=datetime.fromisoformat(fields["created_at"]),
            incarnation=fields["incarnation"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the definition of a pool: {error!r}") from error
