"""A head as bytes: safetensors with a JSON header. Never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from services.selector.heads.head import Float32, Head
from services.selector.heads.logistic import LogisticHead
from services.selector.heads.mc_dropout import Layer, McDropoutHead
from services.selector.heads.settings import MAX_LAYERS, LogisticSettings, McDropoutSettings, SvmSettings
from services.selector.heads.svm import SvmHead

_LINEAR: Final[Mapping[str, type[LogisticHead | SvmHead]]] = {
    LogisticSettings.kind: LogisticHead,
    SvmSettings.kind: SvmHead,
}


def head_to_bytes(head: Head) -> tuple[bytes, str]:
    """Returns a head's tensors as safetensors bytes, and the rest as JSON text.

    A linear head is "weights" (J, D) and "offsets" (J,); an MC_DROPOUT head "centre" (D,) and
    "weights.0", "offsets.0" and so on.
    """
    fields: dict[str, Any] = {"kind": head.kind, "labels": head.labels}
    if isinstance(head, LogisticHead | SvmHead):
        tensors = {"weights": head.weights, "offsets": head.offsets}
    elif isinstance(head, McDropoutHead):
        tensors = {"centre": head.centre}
        for number, layer in enumerate(head.layers):
            tensors |= {f"weights.{number}": layer.weights, f"offsets.{number}": layer.offsets}
        fields["dropout"] = head.dropout
    else:
        raise TypeError(f"head must be one of {', '.join(_LINEAR)} or {McDropoutSettings.kind}, got {head.kind}")
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return save(contiguous), json.dumps(fields, ensure_ascii=False)


def head_from_bytes(tensors: bytes, description: str) -> Head:
    """Returns the head that `head_to_bytes` wrote, bit for bit.

    Raises:
        ValueError: the bytes are no head of a known kind: not safetensors or JSON, a field or tensor missing, too many,
            of another type or of a shape that does not fit, or a weight that is not finite.
    """
    try:
        fields, arrays = json.loads(description), load(tensors)
        kind, labels = fields["kind"], _labels(fields["labels"])
        if kind in _LINEAR:
            weights, offsets = _layers(arrays, [("weights", "offsets")], len(labels))[0]
            return _LINEAR[kind](labels, weights, offsets)
        if kind == McDropoutSettings.kind:
            centre = arrays.pop("centre")
            names = [(f"weights.{number}", f"offsets.{number}") for number in range(len(arrays) // 2)]
            layers = _layers(arrays, names, len(labels))
            # Refuses a rate and layers that no settings could have.
            McDropoutSettings(hidden=tuple(len(offsets) for _, offsets in layers[:-1]), dropout=fields["dropout"])
            if centre.dtype != np.float32 or centre.shape != layers[0][0].shape[1:] or not np.isfinite(centre).all():
                raise ValueError(f"not a stored head: centre {centre.shape} of {centre.dtype}")
            return McDropoutHead(labels, centre, tuple(Layer(*layer) for layer in layers), fields["dropout"])
    except (KeyError, TypeError, SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"not a stored head: {error!r}") from error
    raise ValueError(f"kind must be one of {', '.join(_LINEAR)} or {McDropoutSettings.kind}, got {kind!r}")


def _labels(labels: object) -> tuple[str, ...]:
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"not a stored head: labels must be a list of strings, got {labels!r}")
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise ValueError(f"not a stored head: labels must be at least two different ones, got {labels}")
    return tuple(labels)


def _layers(
    arrays: Mapping[str, np.ndarray[Any, Any]], names: list[tuple[str, str]], classes: int
) -> list[tuple[Float32, Float32]]:
    """Returns the layers of those names, each fitting the one before it, the last one the classes."""
    if not 1 <= len(names) <= MAX_LAYERS + 1 or len(arrays) != 2 * len(names):
        raise ValueError(f"not a stored head: tensors {', '.join(sorted(arrays))}")
    layers = [(arrays[weights], arrays[offsets]) for weights, offsets in names]
    units = None
    for weights, offsets in layers:
        fits = weights.ndim == 2 and offsets.shape == (len(weights),) and units in (None, weights.shape[1])
        if not fits or weights.size == 0 or {weights.dtype, offsets.dtype} != {np.dtype(np.float32)}:
            raise ValueError(f"not a stored head: weights {weights.shape} of {weights.dtype}, offsets {offsets.shape}")
        if not (np.isfinite(weights).all() and np.isfinite(offsets).all()):
            raise ValueError("not a stored head: its weights must be finite")
        units = len(weights)
    outputs = 1 if classes == 2 else classes
    if units != outputs:
        raise ValueError(f"not a stored head: it must have {outputs} outputs for {classes} labels, got {units}")
    return layers
