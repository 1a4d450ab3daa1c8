"""`python -m bench.acquisition`: time, memory and picks of each acquisition function, beside other libraries."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.acquisition import oracle
from bench.acquisition.inputs import Inputs, Rows
from bench.acquisition.making import add_samples, clustered, dirichlet
from bench.acquisition.peers import FUNCTIONS, peers
from bench.acquisition.pool import HeadKind
from bench.acquisition.processes import Library
from bench.acquisition.table import print_table
from services.selector.acquisition import REGISTRY
from services.selector.heads import Ability

_K: Final = 50
_BATCH_BALD_K: Final = 10
_BATCH_BALD_ROWS: Final = 20_000
_WARM_ROWS: Final = 500
_OUR_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True)
class Case:
    """One function over one pool.

    Attributes:
        function: its name.
        head: that it sees.
        k: rows to pick.
    """

    function: str
    head: HeadKind
    k: int

    @property
    def of_samples(self) -> bool:
        """Whether it sees samples of a head."""
        return Ability.SAMPLES in REGISTRY[self.function].needs


class Bench:
    """Asks all libraries about cases.

    Args:
        libraries: the peers.
        seed: of random choices.
    """

    def __init__(self, libraries: Sequence[Library], seed: int) -> None:
        self._peers = libraries
        self._ours = Library("prepal", Path(sys.executable), "bench.acquisition.ours", _OUR_SECONDS, 1 << 40)
        self._seed = seed
        # Seconds a row of what a peer took at the last size, or None where it did not answer.
        self._rates: dict[tuple[str, Case], float | None] = {}

    def run(self, case: Case, inputs: Inputs, warm: Inputs) -> dict[str, Any]:
        """Returns what each library answered, and how it compares with the definition."""
        request: dict[str, Any] = {
            "inputs": inputs.folder,
            "warm": warm.folder,
            "head": case.head,
            "function": case.function,
            "k": case.k,
            "seed": self._seed,
        }
        answers = {"prepal": self._ours.ask(**request)}
        for library in self._peers:
            if case.function in FUNCTIONS[library.name]:
                answers[library.name] = self._of_peer(library, case, len(inputs.classes), request)
        definition = oracle.picks(case.function, inputs, case.k)
        for answer in answers.values():
            _judge(case.function, inputs, definition, answer)
        ours = answers.pop("prepal")
        return {
            "function": case.function,
            "head": case.head,
            "rows": len(inputs.classes),
            "k": case.k,
            "ours": ours,
            "peers": answers,
        }

    def _of_peer(self, library: Library, case: Case, rows: int, request: dict[str, Any]) -> dict[str, Any]:
        key = (library.name, case)
        rate = self._rates.get(key, 0.0)
        if rate is None:
            return {"skipped": "not at the size before"}
        if rate * rows > library.seconds:
            return {"skipped": f"at least {rate * rows:,.0f} s by the size before"}
        answer = library.ask(**request)
        self._rates[key] = answer["seconds"] / rows if "seconds" in answer else None
        return answer


def _judge(function: str, inputs: Inputs, definition: Rows | None, answer: dict[str, Any]) -> None:
    """Puts in place of an answer's picks what they are worth."""
    if "picks" not in answer:
        return
    picks = np.array(answer.pop("picks"), np.int64)
    answer["repeated"] = len(picks) - len(np.unique(picks))
    if definition is not None:
        answer["agrees"] = oracle.agreement(definition, picks)
    if function == "CORESET":
        answer["radius"] = oracle.radius(inputs, picks)
    if function == "BATCH_BALD":
        answer["information"] = oracle.joint_information(inputs.samples[:, picks].astype(np.float64))


def _cases(functions: Sequence[str], rows: int) -> Iterator[Case]:
    for function in functions:
        if function != "BATCH_BALD":
            yield Case(function, HeadKind.LOGISTIC, _K)
            if function == "BALD":
                yield Case(function, HeadKind.MC_DROPOUT, _K)
        elif rows <= _BATCH_BALD_ROWS:
            yield Case(function, HeadKind.LOGISTIC, _BATCH_BALD_K)
            yield Case(function, HeadKind.DIRICHLET, _BATCH_BALD_K)


def _print(rows: int, results: Sequence[dict[str, Any]]) -> None:
    passes = [result["ours"]["pass"] for result in results if "pass" in result["ours"]]
    one_pass = f"{statistics.median(passes) * 1e3:.1f} ms" if passes else "not measured"
    print_table(f"N = {rows:,}, D = 384, C = 4, M = 100, k = 50 (BATCH_BALD 10); one pass {one_pass}", results)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints a table for each size and one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.acquisition", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000, 1_000_000], help="N (%(default)s)")
    parser.add_argument("--functions", nargs="+", default=list(REGISTRY), choices=list(REGISTRY), metavar="NAME")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="ask other libraries too")
    parser.add_argument("--seconds", type=float, default=120, help="that a call of a peer may take (%(default)s)")
    parser.add_argument("--gib", type=int, default=14, help="of memory that a call of a peer may take (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    bench = Bench(peers(options.seconds, options.gib << 30) if options.peers else [], options.seed)
    found: list[dict[str, Any]] = []
    for rows in sorted(options.rows):
        with tempfile.TemporaryDirectory(prefix="prepal-bench-") as name:
            results = list(_size(bench, Path(name), rows, options.functions, options.seed))
        _print(rows, results)
        found += results
    print(json.dumps({"bench": "acquisition", "seed": options.seed, "results": found}))


def _size(bench: Bench, folder: Path, rows: int, functions: Sequence[str], seed: int) -> Iterator[dict[str, Any]]:
    """Yields the results of one size. Pools are made when a case needs them, and so are samples of heads."""
    for case in _cases(functions, rows):
        pool, warm = (
            _inputs(folder / name, case, count, seed) for name, count in (("pool", rows), ("warm", _WARM_ROWS))
        )
        print(f"{case.function} {case.head} {rows:,}", file=sys.stderr)
        yield bench.run(case, pool, warm)


def _inputs(folder: Path, case: Case, rows: int, seed: int) -> Inputs:
    drawn = case.head is HeadKind.DIRICHLET
    inputs = Inputs(folder / ("dirichlet" if drawn else "clustered"), case.head)
    if not inputs.folder.exists():
        (dirichlet if drawn else clustered)(inputs.folder, rows, seed)
    if case.of_samples and not inputs.samples_path.exists():
        add_samples(inputs)
    return inputs


if __name__ == "__main__":
    main()
