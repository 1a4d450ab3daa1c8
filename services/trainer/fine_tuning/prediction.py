"""A fine-tuned model's logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from services.trainer.fine_tuning.encoding import Encoded
from services.trainer.fine_tuning.model import Classifier

_TOKENS = 4096


def predict(classifier: Classifier, encoded: Encoded, between: Callable[[], None]) -> NDArray[np.float32]:
    """Returns logits (N, C) in the order of `encoded`, in float32 with dropout off: what the saved folder gives too.

    Texts go in order of length, `_TOKENS` tokens at a time. `between` is called before each batch, so that a long list
    can be given up by raising.
    """
    model, tokenizer = classifier.model, classifier.tokenizer
    device = next(model.parameters()).device
    model.eval()
    lengths = encoded.lengths
    order = np.argsort(-lengths, kind="stable")
    logits = np.empty((len(lengths), len(model.config.id2label or ())), dtype=np.float32)
    start = 0
    with torch.inference_mode():
        while start < len(order):
            between()
            rows = order[start : start + max(1, _TOKENS // int(lengths[order[start]]))]
            inputs = tokenizer.pad([encoded.rows[row] for row in rows], return_tensors="pt").to(device)
            logits[rows] = model(**inputs).logits.float().cpu().numpy()
            start += len(rows)
    return logits
