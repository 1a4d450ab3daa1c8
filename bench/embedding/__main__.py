"""`python -m bench.embedding`: AddItems and the encoder alone, beside sentence-transformers."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.embedding.alone import Alone
from bench.embedding.gpu import gpu
from bench.embedding.peer import peer_python, running_peer
from bench.embedding.server import Round, running_server
from bench.embedding.texts import real_texts
from services.backbones import MINILM, locate
from services.embedder.encoding.options import usable_threads

_OURS, _ALONE, _PEER = "AddItems", "encoder alone", "sentence-transformers"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints a table and one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.embedding", description=__doc__)
    parser.add_argument("--texts", type=int, default=3000, help="texts a round (%(default)s)")
    parser.add_argument("--file", type=Path, help="texts of your own: tsv, csv, jsonl or parquet with id and text")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds, of which the median (%(default)s)")
    parser.add_argument(
        "--peer-python",
        help="a Python with sentence-transformers (PREPAL_BENCH_PEER_PYTHON; else one is made in .bench/)",
    )
    parser.add_argument("--gpu", action="store_true", help="only the engine alone on a GPU, with a random BERT-base")
    parser.add_argument("--length", type=int, default=128, help="tokens of a sequence with --gpu (%(default)s)")
    parser.add_argument(
        "--budgets", type=int, nargs="+", default=[8192, 32768, 131072], help="tokens of a batch with --gpu"
    )
    parsed = parser.parse_args(arguments)
    if parsed.gpu:
        gpu(parsed.length, parsed.budgets)
    else:
        cpu(parsed.texts, parsed.rounds, parsed.file, parsed.peer_python)


def cpu(count: int, rounds: int, file: Path | None, python: str | None) -> None:
    """Measures on this machine's processor. Rounds alternate, so that what else the machine does meets all alike."""
    source, texts = real_texts(count, file)
    model = locate(MINILM)
    seconds: dict[str, list[float]] = {_OURS: [], _ALONE: [], _PEER: []}
    added: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="prepal-bench-") as name:
        folder = Path(name)
        alone = Alone(MINILM, folder / "cache" / "embedder")
        with running_peer(peer_python(python), model, folder) as peer, running_server(folder) as server:
            # The first round of each makes kernels, caches and connections; it does not count.
            for number in range(rounds + 1):
                pool = f"round-{number}"
                server.create(pool)
                round_ = server.add(pool, texts)
                taken, vectors = alone.encode(texts)
                peer_taken, reference = peer.encode(texts)
                if number:
                    added.append(round_)
                    for way, spent in ((_OURS, round_.seconds), (_ALONE, taken), (_PEER, peer_taken)):
                        seconds[way].append(spent)
            stored = server.vectors(pool, len(texts))
        alone.close()
    cosines = {_OURS: _cosines(stored, reference), _ALONE: _cosines(vectors, reference)}
    _print(source, len(texts), seconds, cosines, added, alone.engine)


def _cosines(vectors: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Returns the least and the mean cosine similarity of rows."""
    u, v = vectors.astype(np.float64), reference.astype(np.float64)
    cosines = (u * v).sum(axis=1) / (np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1))
    return float(cosines.min()), float(cosines.mean())


def _print(
    source: str,
    count: int,
    seconds: dict[str, list[float]],
    cosines: dict[str, tuple[float, float]],
    added: list[Round],
    engine: str,
) -> None:
    speeds = {way: count / statistics.median(taken) for way, taken in seconds.items()}
    # Neighbours in time, so that a ratio compares what ran under the same load.
    ratios = {
        way: statistics.median(peer / ours for ours, peer in zip(taken, seconds[_PEER], strict=True))
        for way, taken in seconds.items()
    }
    print(f"{count:,} texts of {source}, all-MiniLM-L6-v2, {usable_threads()} threads; ours is {engine}")
    print(f"  {'':<22} {'texts/s':>8} {'times':>6} {'least cosine':>13} {'mean':>9}")
    for way, speed in speeds.items():
        least, mean = (f"{value:.6f}" for value in cosines[way]) if way in cosines else ("", "")
        print(f"  {way:<22} {speed:>8,.0f} {ratios[way]:>6.2f} {least:>13} {mean:>9}")
    parts = {part: statistics.median(one.parts[part] for one in added) for part in added[0].parts}
    whole = statistics.median(seconds[_OURS])
    print(f"  of AddItems' {whole:.2f} s, seconds of threads: ", end="")
    print(", ".join(f"{part} {spent:.2f}" for part, spent in parts.items()), end="")
    print(f"; padding {statistics.median(one.padding for one in added):.1%} of the tokens")
    result: dict[str, Any] = {
        "bench": "embedding",
        "source": source,
        "texts": count,
        "threads": usable_threads(),
        "engine": engine,
        "texts_per_second": {way: round(speed, 1) for way, speed in speeds.items()},
        "ratio": {way: round(ratio, 3) for way, ratio in ratios.items()},
        "cosine": {way: {"least": round(least, 7), "mean": round(mean, 7)} for way, (least, mean) in cosines.items()},
        "thread_seconds": {part: round(spent, 3) for part, spent in parts.items()},
        "padding": round(statistics.median(one.padding for one in added), 4),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
