"""`python -m bench.loop`: 39 x (record 50 labels, refit, choose 50) at the PRepAL paper's size, and on SST-2."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from prepal.v1 import selector_pb2

from bench.loop.peer import peer_loop
from bench.loop.real import embed, read
from bench.loop.stand import LABELS, Stand, record, stand, store, structured

_START, _STEP = 50, 50
_SST2 = Path(__file__).resolve().parents[3] / "shared" / "data" / "sst2" / "train.tsv.gz"
_PARTS = ("record", "fit", "score", "pick", "fetch", "rpc")


def loop(running: Stand, truth: Callable[[str], str], labels: Sequence[str], rounds: int) -> dict[str, float]:
    """Runs the loop. Returns seconds by part: `rpc` is what is left of Select's round trip."""
    running.stub.CreateProject(selector_pb2.CreateProjectRequest(name="loop", pool="loop", labels=labels))
    # The pool is read into memory once; that is part of its embedding, not of a round.
    chosen = running.stub.Select(selector_pb2.SelectRequest(project="loop", k=_START, seed=1), timeout=300).items
    spent = dict.fromkeys(_PARTS, 0.0)
    begun = time.perf_counter()
    for _ in range(rounds):
        start = time.perf_counter()
        record(running.stub, "loop", {item.item.item_id: truth(item.item.item_id) for item in chosen})
        recorded = time.perf_counter()
        response = running.stub.Select(selector_pb2.SelectRequest(project="loop", k=_STEP), timeout=60)
        end = time.perf_counter()
        timing = response.timing
        parts = [timing.fit_seconds, timing.score_seconds, timing.pick_seconds, timing.fetch_seconds]
        for part, seconds in zip(_PARTS, [recorded - start, *parts, end - recorded - sum(parts)], strict=True):
            spent[part] += seconds
        chosen = response.items
    return {**spent, "total": time.perf_counter() - begun}


def on_random(items: int, dimension: int, classes: int, rounds: int) -> dict[str, Any]:
    """Runs both loops on random embeddings that overlap as classes do."""
    labels = LABELS[:classes]
    embeddings, numbers = structured(items, dimension, classes, seed=0)
    truth = [labels[number] for number in numbers]
    ours = _ours(embeddings, lambda item_id: truth[int(item_id)], labels, rounds)
    peer = peer_loop(embeddings, truth, start=_START, step=_STEP, rounds=rounds)
    return {"data": "random", "items": items, "dimension": dimension, "classes": classes, "ours": ours, "peer": peer}


def on_sst2(path: Path, rounds: int) -> dict[str, Any]:
    """Runs both loops on real text."""
    texts, truth = read(path)
    embeddings = embed(texts)
    labels = sorted(set(truth))
    ours = _ours(embeddings, lambda item_id: truth[int(item_id)], labels, rounds)
    peer = peer_loop(embeddings, truth, start=_START, step=_STEP, rounds=rounds)
    items, dimension = embeddings.shape
    return {"data": "sst2", "items": items, "dimension": dimension, "classes": 2, "ours": ours, "peer": peer}


def _ours(
    embeddings: npt.NDArray[np.float16], truth: Callable[[str], str], labels: Sequence[str], rounds: int
) -> dict[str, float]:
    with stand(lambda folder: store(folder, "loop", embeddings)) as running:
        return loop(running, truth, labels, rounds)


def _print(result: dict[str, Any], rounds: int) -> None:
    ours, peer = result["ours"], result["peer"]
    print(
        f"{result['data']}: {rounds} x (record {_STEP}, refit, choose {_STEP}), MAX_ENTROPY, "
        f"N = {result['items']:,}, D = {result['dimension']}, C = {result['classes']}"
    )
    print(f"  {'':8} {'prepal, gRPC':>14} {'scikit-learn':>14}   seconds in all")
    for part in (*_PARTS, "total"):
        other = f"{peer[part]:14.2f}" if part in peer else f"{'-':>14}"
        print(f"  {part:8} {ours[part]:14.2f} {other}")


def main() -> None:
    """Runs the benchmark and prints a table and a JSON line for each data set."""
    parser = argparse.ArgumentParser(prog="python -m bench.loop", description=__doc__)
    parser.add_argument("--items", type=int, default=102_671)
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--classes", type=int, default=2, choices=(2, 3, 4))
    parser.add_argument("--rounds", type=int, default=39)
    parser.add_argument("--sst2", type=Path, default=_SST2, help="train.tsv.gz of SST-2; left out where it is not")
    parser.add_argument("--without-sst2", action="store_true", help="leave SST-2 out: embedding it takes a minute")
    options = parser.parse_args()
    results = [on_random(options.items, options.dimension, options.classes, options.rounds)]
    _print(results[0], options.rounds)
    if options.without_sst2 or not options.sst2.is_file():
        print(f"sst2 left out: {'as asked' if options.without_sst2 else f'{options.sst2} is not on this machine'}")
    else:
        results.append(on_sst2(options.sst2, options.rounds))
        _print(results[-1], options.rounds)
    rounded = [
        {**result, **{side: {k: round(v, 3) for k, v in result[side].items()} for side in ("ours", "peer")}}
        for result in results
    ]
    print(json.dumps({"bench": "loop", "rounds": options.rounds, "results": rounded}))


if __name__ == "__main__":
    main()
