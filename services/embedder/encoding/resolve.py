"""From what a client says of a backbone to all that decides its embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.backbones import (
    BackboneNotLoadable,
    Folder,
    content_digest,
    fingerprint,
    locate,
    read_folder,
    weight_files,
)
from services.pools import BackboneDefinition, PairMode, Pooling
from services.serving import InvalidRequest, Violation


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A backbone as a client names it.

    Attributes:
        model: An alias, a Hugging Face id, or a folder.
        pooling: None for the backbone's own.
        max_length: 0 for the backbone's own.
        normalize: None for the backbone's own.
        pair_mode: None for single texts.
        choose_pair_mode: Whether items are pairs and the mode is left to us.
    """

    model: str
    pooling: Pooling | None = None
    max_length: int = 0
    normalize: bool | None = None
    pair_mode: PairMode | None = None
    choose_pair_mode: bool = False

    @classmethod
    def as_defined(cls, definition: BackboneDefinition) -> Wanted:
        """Returns what asks for exactly a definition."""
        return cls(
            model=definition.model,
            pooling=definition.pooling,
            max_length=definition.max_length,
            normalize=definition.normalize,
            pair_mode=definition.pair_mode,
        )


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A backbone on disk with every default decided.

    Attributes:
        definition: What it is.
        fingerprint: What identifies its embeddings.
        content: The digest of its files.
        folder: What its folder says.
        size: Bytes of its weights.
    """

    definition: BackboneDefinition
    fingerprint: str
    content: str
    folder: Folder
    size: int


def resolve(wanted: Wanted, field: str = "backbone") -> Resolved:
    """Finds a backbone and decides what the client left open. Blocks: it may download.

    A folder in the layout of sentence-transformers decides pooling, length and normalisation; any other is pooled by
    the mean and not normalised. A pair is embedded FULL by a sentence encoder and JOINT by others.

    Args:
        wanted: What the client says.
        field: What the request calls it, for messages.

    Raises:
        BackboneNotLoadable: It is not there, or asks for what cannot be done here.
        InvalidRequest: max_length is not one of this backbone.
    """
    path = locate(wanted.model)
    folder = read_folder(path)
    if folder.unsupported and wanted.pooling is None:
        raise BackboneNotLoadable(
            wanted.model,
            [f"its own way of pooling ({folder.unsupported} is not known here)"],
            "Give a pooling to use the transformer without it, or another backbone",
        )
    if wanted.max_length and not 2 <= wanted.max_length <= folder.limit:
        name = f"{field}.max_length"
        message = (
            f"{name} must be between 2 and {folder.limit:,} for backbone {wanted.model!r}, got {wanted.max_length:,}; "
            "leave it out for the backbone's own"
        )
        raise InvalidRequest([Violation(name, message)])
    pair_mode = wanted.pair_mode
    if wanted.choose_pair_mode:
        pair_mode = PairMode.FULL if folder.sentence_encoder else PairMode.JOINT
    definition = BackboneDefinition(
        model=wanted.model,
        pooling=wanted.pooling or Pooling(folder.pooling or Pooling.MEAN),
        max_length=wanted.max_length or folder.default_length,
        normalize=folder.normalize if wanted.normalize is None else wanted.normalize,
        pair_mode=pair_mode,
    )
    content, size = _content(wanted.model, path)
    return Resolved(
        definition=definition,
        fingerprint=fingerprint(
            content,
            pooling=definition.pooling.value,
            max_length=definition.max_length,
            normalize=definition.normalize,
            pair_mode=definition.pair_mode and definition.pair_mode.value,
            lower_case=folder.lower_case,
        ),
        content=content,
        folder=folder,
        size=size,
    )


def _content(model: str, path: Path) -> tuple[str, int]:
    try:
        return content_digest(path), sum(file.stat().st_size for file in weight_files(path))
    except (OSError, ValueError) as error:
        raise BackboneNotLoadable(
            model, [f"reading {path} ({error})"], "Check the folder and its permissions"
        ) from error
