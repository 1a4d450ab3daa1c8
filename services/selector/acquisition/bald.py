"""BALD: the items whose class the samples of a head disagree about, each of them sure of its own."""

from __future__ import annotations

import numpy as np

from services.selector.acquisition.kinds import Floats, RowScores, ScoreFunction, Scores
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import View
from services.selector.errors import NotFinite
from services.selector.heads import Ability

# Positive, and its logarithm is finite: a probability of exactly 0 adds 0 · log(tiny) = 0.
_TINY = 1e-300
# Numbers of one sample that are worked on at a time. The four arrays of them stay in a core's own cache.
_BLOCK = 1 << 15


def bald(probs_snc: Floats) -> Scores:
    """Returns I(y; ω) = H(mean_s P_s) - mean_s H(P_s) in nats, what a label would tell about the sample.

    Houlsby, Huszár, Ghahramani & Lengyel 2011, Bayesian active learning for classification and preference learning,
    equation 2; with samples of dropout Gal, Islam & Ghahramani 2017, deep Bayesian active learning with image data.

    In float64: the two entropies of an item about which the samples agree differ by less than float32 can tell.

    Args:
        probs_snc: samples of class probabilities (S, N, C), any float dtype, finite, summing to 1 over C; exact zeros
            are legal. Fastest where N is contiguous in memory, as a transposed (S, C, N).

    Returns:
        (N,) float64, 0 to log C; 0 where S is 1.

    Raises:
        NotFinite: a row holds NaN or infinity.

    Costs one logarithm for each of the S·N·C numbers.
    """
    _, rows, classes = probs_snc.shape
    probs_scn = probs_snc.transpose(0, 2, 1)
    scores: Scores = np.empty(rows)
    block = max(64, _BLOCK // classes)
    # What is not finite is found in the scores.
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for first in range(0, rows, block):
            scores[first : first + block] = _bald(probs_scn[:, :, first : first + block])
    if not np.isfinite(scores).all():
        raise NotFinite("sampled probabilities", int(np.argmin(np.isfinite(scores))))
    # Rounding alone leaves the range.
    np.clip(scores, 0.0, np.log(classes), out=scores)
    return scores


def _bald(probs_scn: Floats) -> Scores:
    samples = len(probs_scn)
    mean_cn, p_log_p_cn = np.zeros(probs_scn.shape[1:]), np.zeros(probs_scn.shape[1:])
    p_cn, log_cn = np.empty_like(mean_cn), np.empty_like(mean_cn)
    for sample_cn in probs_scn:
        np.copyto(p_cn, sample_cn)
        mean_cn += p_cn
        p_log_p_cn += _p_log_p(p_cn, log_cn)
    mean_cn /= samples
    p_log_p_cn /= samples
    # Σ_s p log p / S - m log m is at least 0 for each class, and so is no difference of two large sums.
    p_log_p_cn -= _p_log_p(mean_cn, log_cn)
    score_n: Scores = np.add.reduce(p_log_p_cn, axis=0)
    return score_n


def _p_log_p(p: Scores, out: Scores) -> Scores:
    np.maximum(p, _TINY, out=out)
    np.log(out, out=out)
    out *= p
    return out


def _prepare(view: View, parameters: Parameters) -> RowScores:
    posterior = view.posterior(parameters)
    return RowScores(posterior.projection, lambda first, outputs: bald(posterior.probabilities(outputs)))  # noqa: ARG005


BALD = ScoreFunction(
    name="BALD", needs=Ability.SAMPLES, prepare=_prepare, uses=frozenset({"samples", "posterior", "dropout"})
)
