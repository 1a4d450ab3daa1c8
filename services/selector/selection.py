"""What Select is asked and what it answers, as values."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.pools import Item

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionRequest:
    """What Select is asked, checked.

    Attributes:
        project: the project's name.
        k: items wanted, 1 to 1,000.
        acquisition: name of the acquisition function; None for the project's.
        annotator: who asks.
        reservation_ms: how long to reserve; None for the project's setting, 0 for not at all.
        seed: what random choices start from; None draws one.
        request_id: "" for none.
        digest: of the request without its id.
        allow_stale_head: whether any head there is will do.
        parameters: fields of acquisition `Parameters` that are set.
        max_similarity: cosine from which items count as duplicates; None for no such thing.
    """

    project: str
    k: int
    acquisition: str | None
    annotator: str
    reservation_ms: int | None
    seed: int | None
    request_id: str
    digest: str
    allow_stale_head: bool
    parameters: Mapping[str, Any]
    max_similarity: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Seconds that each part of a Select took."""

    fit: float
    score: float
    pick: float
    fetch: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What Select answers.

    Attributes:
        uid: of the project.
        items: most wanted first.
        scores: of the items, float32, shape (k,).
        probabilities: of the items, float32, shape (k, C), columns in the order of `labels`; None without a head.
        labels: the label set.
        acquisition: name of the function that was used.
        cold_start: whether that is the cold-start one because no head could be fit.
        head_version: of the head that scored, or gave the probabilities; 0 for none.
        pool_version: of the pool.
        seed: what random choices started from.
        remaining: items the annotator could be given beside these.
        timing: where the time went.
    """

    uid: str
    items: Sequence[Item]
    scores: Float32
    probabilities: Float32 | None
    labels: tuple[str, ...]
    acquisition: str
    cold_start: bool
    head_version: int
    pool_version: int
    seed: int
    remaining: int
    timing: Timing


def audit_record(
    request: SelectionRequest, selection: Selection, incarnation: str, parameters: Mapping[str, Any]
) -> dict[str, str]:
    """Returns what the audit trail says beside items, annotator and times: all that choosing depended on.

    Args:
        request: what was asked.
        selection: what was chosen.
        incarnation: of the pool.
        parameters: what the acquisition function read.
    """
    return {
        "k": str(request.k),
        "acquisition": selection.acquisition,
        "cold_start": str(int(selection.cold_start)),
        "seed": str(selection.seed),
        "head_version": str(selection.head_version),
        "pool_version": str(selection.pool_version),
        "pool_incarnation": incarnation,
        "parameters": json.dumps(parameters),
        "max_similarity": "" if request.max_similarity is None else repr(request.max_similarity),
        "request_id": request.request_id,
    }


def decided(selection: Selection) -> dict[str, Any]:
    """Returns as JSON fields what is the same for all candidates of a selection."""
    return {
        "labels": selection.labels,
        "acquisition": selection.acquisition,
        "cold_start": selection.cold_start,
        "head_version": selection.head_version,
        "pool_version": selection.pool_version,
        # A number of 64 bits is none in JSON.
        "seed": str(selection.seed),
        "remaining": selection.remaining,
        "timing": [selection.timing.fit, selection.timing.score, selection.timing.pick],
    }


def decided_of_each(scores: Float32, probabilities: Float32 | None) -> list[list[str]]:
    """Returns as JSON fields what is known of each candidate."""
    if probabilities is None:
        return [[str(score), ""] for score in scores]
    return [
        [str(score), base64.b64encode(row.astype("<f4").tobytes()).decode()]
        for score, row in zip(scores, probabilities, strict=True)
    ]


def restored(uid: str, decision: dict[str, Any], items: Sequence[Item]) -> Selection:
    """Returns the selection that `decided` and `decided_of_each` describe, with its items."""
    rest, each = decision["rest"], decision["each"]
    labels = tuple(rest["labels"])
    has_probabilities = bool(each) and bool(each[0][1])
    rows = [np.frombuffer(base64.b64decode(probs), "<f4") for _, probs in each] if has_probabilities else []
    fit, score, pick = rest["timing"]
    return Selection(
        uid=uid,
        items=items,
        scores=np.array([float(score) for score, _ in each], np.float32),
        probabilities=np.array(rows, np.float32).reshape(len(rows), len(labels)) if has_probabilities else None,
        labels=labels,
        acquisition=rest["acquisition"],
        cold_start=rest["cold_start"],
        head_version=rest["head_version"],
        pool_version=rest["pool_version"],
        seed=int(rest["seed"]),
        remaining=rest["remaining"],
        timing=Timing(fit=fit, score=score, pick=pick, fetch=0.0),
    )
