"""The engine alone on a GPU: a random backbone of BERT-base's shape, tokens a second and share of the peak."""

from __future__ import annotations

import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertModel

from services.embedder.encoding.engine import Padded
from services.embedder.encoding.network import Network
from services.embedder.encoding.options import EncodingOptions
from services.embedder.encoding.torch_engine import TorchEngine
from services.pools import Pooling

_SIZE = 4096
_ROUNDS = 5


def gpu(length: int, budgets: list[int]) -> None:
    """Prints a table and a JSON line; says why when there is no GPU.

    Args:
        length: Tokens of each sequence.
        budgets: Tokens of a batch, each measured.
    """
    if not torch.cuda.is_available():
        print("no GPU that torch can use on this machine: nothing is measured")
        return
    torch.manual_seed(0)
    config = BertConfig()
    network = Network(BertModel(config).eval(), Pooling.MEAN, normalize=True).requires_grad_(False).eval()
    peak = _matrix_peak()
    flops = _flops(config, length)
    workers = EncodingOptions(device="cuda").workers(on_gpu=True)
    name = torch.cuda.get_device_name()
    print(
        f"{name}: BERT-base shape, {length} tokens a sequence, {workers} threads; matrix peak {peak / 1e12:.0f} TFLOP/s"
    )
    print(f"  {'precision':<10} {'budget':>8} {'tokens/s':>12} {'of the peak':>12}")
    results = []
    for precision in ("float32", "bfloat16"):
        for budget in budgets:
            engine = TorchEngine(network, device="cuda", precision=precision, pad_id=0, budget=budget)
            tokens = _tokens_per_second(engine, length, config.vocab_size, workers)
            share = tokens * flops / peak
            print(f"  {precision:<10} {budget:>8,} {tokens:>12,.0f} {share:>11.0%}")
            results.append({"precision": precision, "budget": budget, "tokens_per_second": tokens, "share": share})
    print(json.dumps({"bench": "embedding-gpu", "device": name, "peak_flops": peak, "length": length, "runs": results}))


def _tokens_per_second(engine: TorchEngine, length: int, vocabulary: int, workers: int) -> float:
    rng = np.random.default_rng(0)
    rows = max(1, engine.budget // length)
    batches = []
    for _ in range(8 * workers):
        ids = rng.integers(1000, vocabulary, (rows, length))
        batches.append(Padded(ids, np.ones_like(ids), None))
    speeds = []
    with ThreadPoolExecutor(workers) as threads:
        list(threads.map(engine.embed, batches))
        for _ in range(_ROUNDS):
            begun = time.perf_counter()
            list(threads.map(engine.embed, batches))
            speeds.append(len(batches) * rows * length / (time.perf_counter() - begun))
    return statistics.median(speeds)


def _flops(config: Any, length: int) -> float:
    """Returns the floating-point operations of one token: its matrix products, and its share of attention."""
    hidden, wide = config.hidden_size, config.intermediate_size
    layer = 2 * (4 * hidden * hidden + 2 * hidden * wide) + 4 * length * hidden
    return float(config.num_hidden_layers * layer)


def _matrix_peak() -> float:
    """Returns what a large bfloat16 product reaches here, in operations a second."""
    a, b = (torch.randn(_SIZE, _SIZE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(_ROUNDS):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(20):
            a @ b
        torch.cuda.synchronize()
        best = max(best, 20 * 2 * _SIZE**3 / (time.perf_counter() - begun))
    return best
