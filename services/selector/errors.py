"""What can go wrong in a selector, as plain exceptions; `answers` maps them to statuses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

# Status details travel in trailing metadata, of which gRPC clients accept 8 KiB by default. The message is sent twice.
_MESSAGE_BYTES = 1_200
_METADATA_BYTES = 2_400


class ProjectNotFound(Exception):
    """No project of that name exists (any more)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"project {name!r} does not exist; create it with CreateProject")


class ProjectExists(Exception):
    """A project of that name exists with another definition."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"project {name!r} exists already with another definition; change it with UpdateProject, or choose "
            "another name"
        )


class TooManyLabels(Exception):
    """A project would have more labels than it may."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"labels must be at most {limit} in all, got {count}; add fewer")


class UnknownItems(Exception):
    """Ids that are not in the pool. Nothing of the request was done.

    Args:
        pool: the pool's name.
        item_ids: every unknown id, in the order of the request.
    """

    def __init__(self, pool: str, item_ids: Sequence[str]) -> None:
        noun = "item is" if len(item_ids) == 1 else "items are"
        super().__init__(f"{len(item_ids)} {noun} not in pool {pool!r}: {_named(item_ids)}; add them with AddItems")
        self.metadata = _metadata("item_ids", item_ids)


class UnknownLabels(Exception):
    """Labels that the project does not have. Nothing of the request was done.

    Args:
        project: the project's name.
        labels: every unknown label once, in the order of the request.
        known: the project's labels.
    """

    def __init__(self, project: str, labels: Sequence[str], known: Sequence[str]) -> None:
        noun = "label is" if len(labels) == 1 else "labels are"
        super().__init__(
            f"{len(labels)} {noun} not of project {project!r}: {_named(labels)}; it has "
            f"{_named(known, _MESSAGE_BYTES // 4)}; add labels with UpdateProject"
        )
        self.metadata = _metadata("labels", labels)


class RequestIdReused(Exception):
    """A request id came again with another request."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request_id {request_id[:64]!r} was used for another request within the last day; repeat that request "
            "unchanged, or choose a new id"
        )


class HeadNotFit(Exception):
    """No head can be fit: labels of fewer than two classes."""

    def __init__(self, project: str, classes: int) -> None:
        super().__init__(
            f"project {project!r} has labels of {classes} of the 2 or more classes that a head needs; record labels of "
            "another class"
        )


class HeadUnsupported(Exception):
    """A head cannot tell what an acquisition function needs.

    Args:
        acquisition: the function's name.
        kind: the head's.
        missing: what it cannot tell.
        served: the functions that it serves.
        kinds: heads that serve the function.
    """

    def __init__(self, acquisition: str, kind: str, missing: str, served: Sequence[str], kinds: Sequence[str]) -> None:
        super().__init__(
            f"{acquisition} needs {missing}, which a head of kind {kind} does not have; choose one of "
            f"{', '.join(served)}, or change the head with UpdateProject to {' or '.join(kinds)}"
        )


class ParametersUnused(Exception):
    """A request sets parameters that its acquisition function does not read."""

    def __init__(self, acquisition: str, unused: Sequence[str], used: Sequence[str]) -> None:
        super().__init__(
            f"parameters must be such as {acquisition} reads ({', '.join(used)}), got {', '.join(unused)}; leave it out"
        )


class AcquisitionNotInstalled(Exception):
    """A project names an acquisition function of a package that is not installed (any more)."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"acquisition function {name!r} is not installed in the selector; install its package there, or choose "
            "another function"
        )


class BackboneMismatch(Exception):
    """A pool's embeddings are not comparable with those the project's head is fit on."""

    def __init__(self, pool: str, found: str, wanted: str) -> None:
        super().__init__(
            f"pool {pool!r} has embeddings {found!r}, the project's head is fit on {wanted!r}: they are not "
            "comparable; use a pool of the same backbone, or create a project over this pool"
        )


class PoolHasNoBackbone(Exception):
    """Texts cannot be embedded for a pool of the client's own embeddings."""

    def __init__(self, pool: str) -> None:
        super().__init__(
            f"pool {pool!r} holds the client's own embeddings, so its project cannot predict texts; predict item_ids "
            "or a pool"
        )


class StoreUnavailable(Exception):
    """Redis cannot be reached or cannot write at the moment."""


class EmbedderUnavailable(Exception):
    """The embedder cannot be reached or has no room at the moment."""


class EmbedderRefused(Exception):
    """The embedder would not embed the texts: they, or the pool's backbone, are at fault."""


class BackboneNotLoadable(Exception):
    """The embedder cannot load the backbone of the pool."""


class NotFinite(Exception):
    """An input of the maths holds NaN or infinity.

    Args:
        what: what holds it, in the plural.
        row: the first row that does.
    """

    def __init__(self, what: str, row: int) -> None:
        super().__init__(f"{what} must be finite, row {row} is not")
        self.row = row


def _named(names: Sequence[str], limit: int = _MESSAGE_BYTES) -> str:
    """Returns names quoted and joined, as many as fit, and how many more there are."""
    shown: list[str] = []
    size = 0
    for name in names:
        # Beyond ASCII, a byte of a message travels as three.
        quoted = repr(name)
        size += sum(1 if character.isascii() else 12 for character in quoted) + 2
        if size > limit and shown:
            return f"{', '.join(shown)} and {len(names) - len(shown)} more"
        shown.append(quoted)
    return ", ".join(shown)


def _metadata(key: str, names: Sequence[str]) -> Mapping[str, str]:
    """Returns names as a JSON array for machines, as many as fit, and how many there are in all."""
    kept, size = [], 2
    for name in names:
        size += len(json.dumps(name, ensure_ascii=False).encode()) + 2
        if size > _METADATA_BYTES:
            break
        kept.append(name)
    return {key: json.dumps(kept, ensure_ascii=False), "count": str(len(names))}
