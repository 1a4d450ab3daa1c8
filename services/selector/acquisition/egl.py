"""EGL: the items whose label would pull hardest at the head's last layer."""

from __future__ import annotations

import numpy as np

from services.selector.acquisition.checked import checked
from services.selector.acquisition.kinds import Floats, RowScores, ScoreFunction, Scores
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import Float32, View
from services.selector.heads import Ability


def egl(probs: Floats, squared_norms: Floats) -> Scores:
    """Returns E_{y~p} ‖∇ℓ(x, y)‖², the expected squared length of the loss's gradient by the last layer.

    Expected gradient length: Settles, Craven & Ray 2007, multiple-instance active learning; squared, as Huang et al.
    2016, active learning for speech recognition, use it. The log loss of a softmax layer with weights and bias has the
    gradient (p - e_y) ⊗ [x; 1], of squared length ‖p - e_y‖² (‖x‖² + 1), and E_{y~p} ‖p - e_y‖² = 1 - Σ p². So

        EGL(x) = (1 - Σ p²) (‖x‖² + 1).

    Where all ‖x‖ are equal it ranks by 1 - Σ p² alone, Gini's impurity. The gradient by a word's embedding (EGL-word:
    Zhang, Lease & Wallace 2017) cannot be had from an item's embedding.

    Args:
        probs: (N, C), finite, rows summing to 1.
        squared_norms: ‖x‖² of what the last layer sees, (N,).

    Returns:
        (N,) float64, 0 to (1 - 1/C) (‖x‖² + 1). Of two classes too it is that of a softmax layer: twice what a layer
        with one output, their log odds, has.

    Raises:
        NotFinite: a row holds NaN or infinity.
    """
    p_nc = checked(probs)
    # Σ p (1 - p), not 1 - Σ p², which rounding makes negative.
    impurity_n = np.add.reduce(p_nc * (1.0 - p_nc), axis=1)
    scores_n: Scores = impurity_n * (squared_norms.astype(np.float64) + 1.0)
    return scores_n


def _prepare(view: View, parameters: Parameters) -> RowScores:  # noqa: ARG001 - it has none
    head = view.head
    linear = head.penultimate(np.zeros((1, head.projection.weights.shape[1]), np.float32)) is None
    # Here, because the pass over the pool cannot start another.
    squared_norms = view.embeddings.squared_norms() if linear else np.empty(0, np.float32)

    def scores(first: int, outputs: Float32) -> Scores:
        seen = head.penultimate(outputs)
        known_n = squared_norms[first : first + len(outputs)]
        return egl(head.probabilities(outputs), known_n if seen is None else np.add.reduce(seen * seen, axis=1))

    return RowScores(head.projection, scores)


EGL = ScoreFunction(name="EGL", needs=Ability.PROBABILITIES, prepare=_prepare)
