"""`python -m bench.sequential`: 1,950 x (record one label, refit, select one), N = 67,349, D = 384."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from prepal.v1 import selector_pb2

from bench.loop.stand import LABELS, Stand, record, stand, store, structured

_START = 50


def sequential(running: Stand, truth: list[str], labels: list[str], rounds: int) -> dict[str, Any]:
    """Labels one item at a time and returns round trips and where they went, in milliseconds."""
    running.stub.CreateProject(selector_pb2.CreateProjectRequest(name="one", pool="sequential", labels=labels))
    first = running.stub.Select(selector_pb2.SelectRequest(project="one", k=_START, seed=1))
    record(running.stub, "one", {chosen.item.item_id: truth[int(chosen.item.item_id)] for chosen in first.items})
    chosen = running.stub.Select(selector_pb2.SelectRequest(project="one", k=1)).items[0].item.item_id
    trips, parts = [], []
    begun = time.perf_counter()
    for _ in range(rounds):
        start = time.perf_counter()
        record(running.stub, "one", {chosen: truth[int(chosen)]})
        recorded = time.perf_counter()
        response = running.stub.Select(selector_pb2.SelectRequest(project="one", k=1), timeout=60)
        end = time.perf_counter()
        timing = response.timing
        spent = [timing.fit_seconds, timing.score_seconds, timing.pick_seconds, timing.fetch_seconds]
        parts.append([recorded - start, *spent, end - recorded - sum(spent)])
        trips.append(end - start)
        chosen = response.items[0].item.item_id
    total = time.perf_counter() - begun
    medians = np.median(parts, axis=0) * 1e3
    return {
        "rounds": rounds,
        "median_ms": round(float(np.median(trips)) * 1e3, 2),
        "p95_ms": round(float(np.percentile(trips, 95)) * 1e3, 2),
        "total_s": round(total, 2),
        "parts_ms": dict(
            zip(("record", "fit", "score", "pick", "fetch", "rpc"), np.round(medians, 2).tolist(), strict=True)
        ),
    }


def again(running: Stand, truth: list[str], labels: list[str], rounds: int) -> dict[str, Any]:
    """Selects without new labels and returns round trips in milliseconds."""
    running.stub.CreateProject(selector_pb2.CreateProjectRequest(name="two", pool="again", labels=labels))
    record(running.stub, "two", {str(row): truth[row] for row in range(200)})
    request = selector_pb2.SelectRequest(project="two", k=10)
    running.stub.Select(request, timeout=60)
    trips = []
    for _ in range(rounds):
        start = time.perf_counter()
        running.stub.Select(request, timeout=60)
        trips.append(time.perf_counter() - start)
    median, p95 = np.median(trips) * 1e3, np.percentile(trips, 95) * 1e3
    return {"median_ms": round(float(median), 2), "p95_ms": round(float(p95), 2), "rounds": rounds}


def main() -> None:
    """Runs the benchmark and prints a table and a JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.sequential", description=__doc__)
    parser.add_argument("--items", type=int, default=67_349)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=1_950)
    parser.add_argument("--again-items", type=int, default=100_000)
    options = parser.parse_args()
    labels = list(LABELS[:2])
    embeddings, classes = structured(options.items, options.dimension, 2, seed=0)
    other, other_classes = structured(options.again_items, options.dimension, 2, seed=1)

    def fill(folder: Path) -> None:
        store(folder, "sequential", embeddings)
        store(folder, "again", other)

    with stand(fill) as running:
        one = sequential(running, [labels[number] for number in classes], labels, options.rounds)
        two = again(running, [labels[number] for number in other_classes], labels, 200)
    print(
        f"sequential, k = 1: {one['rounds']} x (record, refit, select), N = {options.items:,}, D = {options.dimension}"
    )
    print(f"  round trip   median {one['median_ms']:6.1f} ms   p95 {one['p95_ms']:6.1f} ms   total {one['total_s']} s")
    for part, milliseconds in one["parts_ms"].items():
        print(f"    {part:7}    median {milliseconds:6.2f} ms")
    print(f"Select again without new labels, N = {options.again_items:,}, k = 10")
    print(f"  round trip   median {two['median_ms']:6.1f} ms   p95 {two['p95_ms']:6.1f} ms")
    print(json.dumps({"bench": "sequential", "sequential": one, "again": two}))


if __name__ == "__main__":
    main()
