"""baal. Runs in an environment of its own; see `peer_process`.

It has no head of its own kind here: its heuristics are given probabilities, and only they are measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from baal.active.heuristics import BALD, BatchBALD, Certainty, Entropy, Margin
from baal.active.heuristics.stochastics import PowerSampling
from scipy.special import softmax

from bench.acquisition.inputs import Inputs
from bench.acquisition.peer_process import Call, Prepare, answer

# It keeps draws x S configurations x rows x classes at once: its default, 500, would take 16 GiB at 20,000 rows.
_DRAWS = 20


def _by_probabilities(heuristic: Any) -> Prepare:
    def prepare(inputs: Inputs, k: int, seed: int) -> Call:  # noqa: ARG001 - nothing is drawn
        free = inputs.free
        probs = softmax(inputs.embeddings[free].astype(np.float32) @ inputs.weights.T + inputs.offsets, axis=1)
        return Call(type(heuristic).__name__, lambda: free[heuristic(probs)[:k]])

    return prepare


def _samples(inputs: Inputs) -> tuple[Any, Any]:
    """Returns the free rows and their samples, (n, C, S), float64."""
    free = inputs.free
    return free, np.ascontiguousarray(inputs.samples[:, free].transpose(1, 2, 0).astype(np.float64))


def _bald(inputs: Inputs, k: int, seed: int) -> Call:  # noqa: ARG001 - nothing is drawn
    free, samples = _samples(inputs)
    return Call("BALD", lambda: free[BALD()(samples)[:k]])


def _power_bald(inputs: Inputs, k: int, seed: int) -> Call:
    free, samples = _samples(inputs)
    np.random.seed(seed)  # noqa: NPY002 - what baal draws from
    return Call("PowerSampling(BALD)", lambda: free[PowerSampling(BALD(), k).get_ranks(samples)[0]])


def _batch_bald(inputs: Inputs, k: int, seed: int) -> Call:
    free, samples = _samples(inputs)
    torch.manual_seed(seed)
    heuristic = BatchBALD(k, num_draw=_DRAWS)
    return Call(f"BatchBALD {_DRAWS * samples.shape[2]:,}", lambda: free[heuristic(samples)[:k]])


_PREPARED: dict[str, Prepare] = {
    "MAX_ENTROPY": _by_probabilities(Entropy()),
    "VARIATION_RATIO": _by_probabilities(Certainty()),
    "MARGIN": _by_probabilities(Margin()),
    "BALD": _bald,
    "POWER_BALD": _power_bald,
    "BATCH_BALD": _batch_bald,
}

if __name__ == "__main__":
    answer(_PREPARED)
