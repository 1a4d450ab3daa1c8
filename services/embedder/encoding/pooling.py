"""How token states become one vector."""

from __future__ import annotations

import torch

from services.pools import Pooling


def mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Returns the mean over the tokens, padding left out: (B, T, H), (B, T) to (B, H)."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def cls(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Returns the first token's state: (B, T, H), (B, T) to (B, H). Padding is on the right."""
    del mask
    return states[:, 0]


def last_token(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Returns the last token's state, padding left out: (B, T, H), (B, T) to (B, H). Padding is on the right."""
    # One product instead of an index keeps the number of rows free in a traced graph.
    last = mask - torch.nn.functional.pad(mask[:, 1:], (0, 1))
    return (states * last.unsqueeze(-1).to(states.dtype)).sum(1)


POOLINGS = {Pooling.MEAN: mean, Pooling.CLS: cls, Pooling.LAST_TOKEN: last_token}
