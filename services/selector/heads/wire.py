"""A head as bytes: safetensors with a JSON header. Never pickle."""

from __future__ import annotations

import json

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from services.selector.heads.head import Head
from services.selector.heads.logistic import LogisticHead


def head_to_bytes(head: Head) -> tuple[bytes, str]:
    """Returns a head's tensors as safetensors bytes, and the rest as JSON text."""
    if not isinstance(head, LogisticHead):
        raise TypeError(f"head must be a LogisticHead, got {type(head).__name__}")
    tensors = save({"weights": head.weights, "offsets": head.offsets})
    return tensors, json.dumps({"kind": head.kind, "labels": head.labels}, ensure_ascii=False)


def head_from_bytes(tensors: bytes, description: str) -> Head:
    """Returns the head that `head_to_bytes` wrote, bit for bit.

    Raises:
        ValueError: the bytes are no head of a known kind.
    """
    try:
        fields = json.loads(description)
        arrays = load(tensors)
        if fields["kind"] != "LOGISTIC":
            raise ValueError(f"kind must be LOGISTIC, got {fields['kind']!r}")
        head = LogisticHead(tuple(fields["labels"]), arrays["weights"], arrays["offsets"])
    except (KeyError, TypeError, SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"not a stored head: {error!r}") from error
    if head.weights.dtype != np.float32 or len(head.weights) != len(head.offsets):
        raise ValueError(f"not a stored head: weights {head.weights.shape} of {head.weights.dtype}")
    return head
