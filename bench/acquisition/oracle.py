"""What the definitions pick, worked out in float64 numpy as they are written down, and how good other picks are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from bench.acquisition.inputs import Inputs, Rows

Float64 = npt.NDArray[np.float64]

_PART_ROWS = 16_384
# Beyond these it would take minutes.
_MOST_KCENTER_ROWS = 100_000
_MOST_JOINT_ROWS = 20_000
_MOST_CONFIGURATIONS = 4_096
# Of CONTRASTIVE; the paper's.
_NEIGHBOURS = 10


def entropy(probs_nc: Float64) -> Float64:
    """Returns -Σ p log p, (N,)."""
    logs = np.log(np.where(probs_nc > 0, probs_nc, 1.0))
    found: Float64 = -(probs_nc * logs).sum(axis=1)
    return found


def variation_ratio(probs_nc: Float64) -> Float64:
    """Returns 1 - max p, (N,)."""
    found: Float64 = 1.0 - probs_nc.max(axis=1)
    return found


def margin(probs_nc: Float64) -> Float64:
    """Returns -(p₁ - p₂), (N,)."""
    ordered = np.sort(probs_nc, axis=1)
    found: Float64 = ordered[:, -2] - ordered[:, -1]
    return found


def bald(probs_snc: Float64) -> Float64:
    """Returns H(mean_s P_s) - mean_s H(P_s), (N,)."""
    expected: Float64 = np.mean([entropy(probs_nc) for probs_nc in probs_snc], axis=0)
    return entropy(probs_snc.mean(axis=0)) - expected


def best(scores: Float64, rows: Rows, k: int) -> Rows:
    """Returns the k rows of the highest scores (N,), ties to the lower row."""
    order = np.lexsort((rows, -scores[rows]))[:k]
    return rows[order]


def k_centers(embeddings: Float64, labeled: Rows, free: Rows, k: int) -> Rows:
    """Returns the k rows that greedily are the farthest from all labeled and chosen ones, ties to the lower row."""
    squares = np.einsum("nd,nd->n", embeddings, embeddings)

    def squared_distances(centers: Float64) -> Float64:
        found: Float64 = squares - 2.0 * (embeddings @ centers.T).T + (centers**2).sum(axis=1)[:, None]
        return found

    nearest = squared_distances(embeddings[labeled]).min(axis=0)
    taken = np.ones(len(embeddings), np.bool_)
    taken[free] = False
    chosen: list[int] = []
    for _ in range(k):
        row = int(np.argmax(np.where(taken, -np.inf, nearest)))
        chosen.append(row)
        taken[row] = True
        nearest = np.minimum(nearest, squared_distances(embeddings[[row]])[0])
    return np.array(chosen, np.int64)


def joint_picks(probs_snc: Float64, rows: Rows, k: int) -> Rows:
    """Returns greedy BatchBALD's picks while every configuration of the earlier ones can be counted."""
    samples, _, classes = probs_snc.shape
    conditional = np.mean([entropy(probs_nc) for probs_nc in probs_snc], axis=0)
    chosen: list[int] = []
    joint_ms = np.ones((1, samples))
    while len(chosen) < k and len(joint_ms) <= _MOST_CONFIGURATIONS:
        gains = np.full(probs_snc.shape[1], -np.inf)
        step = max(1, (1 << 24) // (len(joint_ms) * classes))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            probs_sx = probs_snc[:, part].reshape(samples, -1)
            mass = (joint_ms @ probs_sx / samples).reshape(len(joint_ms), len(part), classes)
            logs = np.log(np.where(mass > 0, mass, 1.0))
            gains[part] = -np.einsum("mnc,mnc->n", mass, logs) - conditional[part]
        gains[chosen] = -np.inf
        chosen.append(int(np.argmax(gains)))
        joint_ms = _extended(joint_ms, probs_snc[:, chosen[-1]])
    return np.array(chosen, np.int64)


def joint_information(probs_snc: Float64) -> float:
    """Returns I(y₁ … y_n; ω) of a few rows, (S, n, C), in nats: exact, so that n is a dozen at most."""
    samples, count, _ = probs_snc.shape
    halves = []
    for part in (range(count // 2), range(count // 2, count)):
        joint_ms = np.ones((1, samples))
        for position in part:
            joint_ms = _extended(joint_ms, probs_snc[:, position])
        halves.append(joint_ms)
    mass = halves[0] @ halves[1].T / samples
    joint = -np.sum(mass * np.log(np.where(mass > 0, mass, 1.0)))
    conditional = sum(float(entropy(probs_snc[:, position]).mean()) for position in range(count))
    return float(joint) - conditional


def radius(inputs: Inputs, picks: Rows) -> float:
    """Returns the largest distance of any row to the nearest labeled or picked one."""
    embeddings = inputs.embeddings
    centers = embeddings[np.concatenate([inputs.labeled, picks])].astype(np.float64)
    farthest = 0.0
    for part in _parts(embeddings):
        squares = np.einsum("nd,nd->n", part, part)[:, None] - 2.0 * part @ centers.T + (centers**2).sum(axis=1)
        farthest = max(farthest, float(squares.min(axis=1).max()))
    return float(np.sqrt(farthest))


def probabilities(inputs: Inputs) -> Float64:
    """Returns the head's probabilities of all rows, (N, C)."""
    weights, offsets = inputs.weights.astype(np.float64), inputs.offsets.astype(np.float64)
    logits = np.concatenate([part @ weights.T + offsets for part in _parts(inputs.embeddings)])
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs: Float64 = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probs


def _egl(inputs: Inputs) -> Float64:
    lengths = np.concatenate([(part**2).sum(axis=1) for part in _parts(inputs.embeddings)])
    found: Float64 = (1.0 - (probabilities(inputs) ** 2).sum(axis=1)) * (lengths + 1.0)
    return found


def _dfal(inputs: Inputs) -> Float64:
    weights, offsets = inputs.weights.astype(np.float64), inputs.offsets.astype(np.float64)
    distances = []
    for part in _parts(inputs.embeddings):
        logits = part @ weights.T + offsets
        top = logits.argmax(axis=1)
        gaps = logits.max(axis=1, keepdims=True) - logits
        lengths = np.linalg.norm(weights[top][:, None] - weights, axis=2)
        gaps[np.arange(len(top)), top] = np.inf
        distances.append(np.min(gaps / np.where(lengths > 0, lengths, 1.0), axis=1))
    return -np.concatenate(distances)


def _contrastive(inputs: Inputs) -> Float64:
    probs = probabilities(inputs)
    log_probs = np.log(np.maximum(probs, np.finfo(np.float32).tiny))
    labeled = inputs.embeddings[inputs.labeled].astype(np.float64)
    q, log_q = probs[inputs.labeled], log_probs[inputs.labeled]
    found, first = [], 0
    for part in _parts(inputs.embeddings):
        nearest = np.argsort((labeled**2).sum(axis=1) - 2.0 * part @ labeled.T, axis=1)[:, :_NEIGHBOURS]
        own = log_probs[first : first + len(part), None]
        found.append(np.einsum("nkc,nkc->n", q[nearest], log_q[nearest] - own) / _NEIGHBOURS)
        first += len(part)
    return np.concatenate(found)


def _bald(inputs: Inputs) -> Float64:
    samples = inputs.samples
    parts = range(0, samples.shape[1], _PART_ROWS)
    return np.concatenate([bald(samples[:, start : start + _PART_ROWS].astype(np.float64)) for start in parts])


def _coreset(inputs: Inputs, k: int) -> Rows | None:
    embeddings = inputs.embeddings
    if len(embeddings) > _MOST_KCENTER_ROWS:
        return None
    return k_centers(embeddings.astype(np.float64), inputs.labeled, inputs.free, k)


def _batch_bald(inputs: Inputs, k: int) -> Rows | None:
    samples = inputs.samples
    if samples.shape[1] > _MOST_JOINT_ROWS:
        return None
    return joint_picks(samples.astype(np.float64), inputs.free, k)


_SCORES: Final[dict[str, Callable[[Inputs], Float64]]] = {
    "MAX_ENTROPY": lambda inputs: entropy(probabilities(inputs)),
    "VARIATION_RATIO": lambda inputs: variation_ratio(probabilities(inputs)),
    "MARGIN": lambda inputs: margin(probabilities(inputs)),
    "EGL": _egl,
    "DFAL": _dfal,
    "BALD": _bald,
    "CONTRASTIVE": _contrastive,
}
_PICKS: Final[dict[str, Callable[[Inputs, int], Rows | None]]] = {"CORESET": _coreset, "BATCH_BALD": _batch_bald}


def picks(function: str, inputs: Inputs, k: int) -> Rows | None:
    """Returns what a function's definition picks, in order.

    Fewer than k where it is BATCH_BALD and no more can be counted; None for a function without a definition here, one
    of random choices, or where it would take minutes.
    """
    if function in _SCORES:
        return best(_SCORES[function](inputs), inputs.free, k)
    return _PICKS[function](inputs, k) if function in _PICKS else None


def agreement(definition: Rows, found: Rows) -> float:
    """Returns the share of the definition's picks that are among as many of those found."""
    return len(np.intersect1d(definition, found[: len(definition)])) / max(1, len(definition))


def _extended(joint_ms: Float64, probs_sc: Float64) -> Float64:
    """Returns the joint of one more row: from (M, S) and (S, C) to (M·C, S)."""
    longer: Float64 = (joint_ms[:, None, :] * probs_sc.T).reshape(-1, joint_ms.shape[1])
    return longer


def _parts(embeddings: npt.NDArray[np.float16]) -> Iterator[Float64]:
    for start in range(0, len(embeddings), _PART_ROWS):
        yield embeddings[start : start + _PART_ROWS].astype(np.float64)
