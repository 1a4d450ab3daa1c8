"""One acquisition function of ours, in a process of its own: `python -m bench.acquisition.ours` and a JSON request."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.acquisition.inputs import Inputs, Rows
from bench.acquisition.measured import Measured, measured
from bench.acquisition.pool import Pool, running_products
from services.selector.acquisition import Picks
from services.selector.heads import Head, Projection
from services.selector.scoring import Products, Shelf

_ROUNDS: Final = 5
# No further round is begun after so many seconds of them.
_ENOUGH_SECONDS: Final = 20.0
_KEPT_BYTES: Final = 1 << 30


class Ours:
    """A function over a pool.

    Args:
        inputs: the pool and the head.
        products: what multiplies.
        function: its name.
        k: rows to pick.
        seed: of random choices.
    """

    def __init__(self, inputs: Inputs, products: Products, function: str, k: int, seed: int) -> None:
        self._pool = Pool(inputs, products)
        self._labeled = inputs.labeled
        self._function, self._k, self._seed = function, k, seed

    def first(self, shelf: Shelf) -> Measured[Picks]:
        """Picks with nothing kept, or with what an equal call kept."""
        return measured(lambda: self._picks(shelf, self._pool.head, 1, self._labeled))

    def relabeled(self, shelf: Shelf, picks: Picks) -> Measured[Picks]:
        """Picks again after the picks were labeled and the head was fit anew, which is not measured."""
        labeled = np.union1d(self._labeled, picks.rows)
        head = self._pool.fit(labeled)
        return measured(lambda: self._picks(shelf, head, 2, labeled))

    def one_pass(self) -> float:
        """Returns the seconds in which all rows are read and multiplied with one column."""
        width = self._pool.matrix.dimension
        column = Projection(np.ones((width, 1), np.float32), np.zeros(1, np.float32))
        embeddings = self._pool.view(Shelf(1), None, 0, self._labeled).embeddings
        return measured(lambda: embeddings.each(column, lambda first, outputs: None)).seconds  # noqa: ARG005

    def _picks(self, shelf: Shelf, head: Head, version: int, labeled: Rows) -> Picks:
        view = self._pool.view(shelf, head, version, labeled)
        return self._pool.choose(view, shelf, self._function, self._k, self._seed)


def main() -> None:
    """Prints seconds, bytes and picks as one JSON line."""
    request = json.loads(sys.argv[1])
    inputs, warm = (Inputs(Path(request[name]), request["head"]) for name in ("inputs", "warm"))
    arguments = request["function"], request["k"], request["seed"]
    with running_products() as products:
        Ours(warm, products, *arguments).first(Shelf(_KEPT_BYTES))
        answer = _answer(Ours(inputs, products, *arguments))
    print(json.dumps(answer))


def _answer(ours: Ours) -> dict[str, Any]:
    ours.one_pass()
    shelf = Shelf(_KEPT_BYTES)
    first = ours.first(shelf)
    colds, passes = [first.seconds], [ours.one_pass()]
    # Neighbours in time, so that their ratio compares what ran under the same load.
    while len(colds) < _ROUNDS and sum(colds) < _ENOUGH_SECONDS:
        colds.append(ours.first(Shelf(_KEPT_BYTES)).seconds)
        passes.append(ours.one_pass())
    return {
        "seconds": statistics.median(colds),
        "kept": ours.first(shelf).seconds,
        "relabeled": ours.relabeled(shelf, first.result).seconds,
        "pass": statistics.median(passes),
        "passes": statistics.median(cold / one for cold, one in zip(colds, passes, strict=True)),
        "bytes": first.bytes,
        "picks": first.result.rows.tolist(),
    }


if __name__ == "__main__":
    main()
