"""What a user would write instead: scikit-learn and numpy in a script, everything in memory as float32."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression


def peer_loop(
    embeddings: npt.NDArray[np.float16], truth: Sequence[str], *, start: int, step: int, rounds: int
) -> dict[str, float]:
    """Runs the loop with a cold refit and predict_proba over the pool each round. Returns seconds by part."""
    pool = embeddings.astype(np.float32)
    labels = np.array(truth)
    labeled = np.zeros(len(pool), np.bool_)
    labeled[np.random.default_rng(0).choice(len(pool), start, replace=False)] = True
    fit = score = pick = 0.0
    for _ in range(rounds):
        begun = time.perf_counter()
        head = LogisticRegression(C=10, max_iter=1_000).fit(pool[labeled], labels[labeled])
        fitted = time.perf_counter()
        probs = head.predict_proba(pool)
        entropy = -np.sum(probs * np.log(np.maximum(probs, 1e-12)), axis=1)
        scored = time.perf_counter()
        entropy[labeled] = -np.inf
        labeled[np.argpartition(-entropy, step)[:step]] = True
        fit, score, pick = fit + fitted - begun, score + scored - fitted, pick + time.perf_counter() - scored
    return {"fit": fit, "score": score, "pick": pick, "total": fit + score + pick}
