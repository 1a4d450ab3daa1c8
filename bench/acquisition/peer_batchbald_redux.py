"""batchbald_redux. Runs in an environment of its own; see `peer_process`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from batchbald_redux.batchbald import get_bald_batch, get_batchbald_batch

from bench.acquisition.inputs import Inputs
from bench.acquisition.peer_process import Call, Prepare, answer

# As many as ours by default.
_CONFIGURATIONS = 10_000


def _log_probs(inputs: Inputs) -> tuple[Any, Any]:
    """Returns the free rows and their samples, (n, S, C), float64."""
    free = inputs.free
    samples = inputs.samples[:, free].transpose(1, 0, 2).astype(np.float64)
    return free, torch.from_numpy(np.log(samples))


def _bald(inputs: Inputs, k: int, seed: int) -> Call:  # noqa: ARG001 - nothing is drawn
    free, log_probs = _log_probs(inputs)
    return Call("get_bald_batch", lambda: free[get_bald_batch(log_probs, k).indices])


def _batch_bald(inputs: Inputs, k: int, seed: int) -> Call:
    free, log_probs = _log_probs(inputs)
    torch.manual_seed(seed)
    name = f"get_batchbald_batch {_CONFIGURATIONS:,}"
    return Call(name, lambda: free[get_batchbald_batch(log_probs, k, _CONFIGURATIONS, dtype=torch.double).indices])


_PREPARED: dict[str, Prepare] = {"BALD": _bald, "BATCH_BALD": _batch_bald}

if __name__ == "__main__":
    answer(_PREPARED)
