"""A selector of its own: process, Redis, data folder; all gone afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prepal.v1 import selector_pb2, selector_pb2_grpc

from services.local.redis import server_command
from services.pools import Item, PoolDefinition, PoolStore

_START_SECONDS = 120.0
_APPEND_ROWS = 20_000
LABELS = ("negative", "positive", "third", "fourth")


@dataclass(frozen=True, slots=True)
class Stand:
    """A running selector.

    Attributes:
        data: its data folder.
        stub: how it is called.
    """

    data: Path
    stub: selector_pb2_grpc.SelectorServiceStub


@contextmanager
def stand(fill: Callable[[Path], None]) -> Iterator[Stand]:
    """Starts Redis and a selector over a temporary folder that `fill` fills with pools first."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prepal-bench-")))
        fill(folder)
        url = f"unix://{folder / 'redis.sock'}"
        _start(stack, server_command(folder, folder / "redis.sock"), {})
        wait_until(lambda: bool(redis.Redis.from_url(url).ping()), "Redis")
        port = free_port()
        command = [sys.executable, "-m", "services.selector", "--data", str(folder), "--redis", url]
        _start(stack, [*command, "--port", str(port)], {"PREPAL_EMBEDDER": "127.0.0.1:1"})
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
        health = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        wait_until(lambda: health.Check(health_pb2.HealthCheckRequest()).status == serving, "the selector")
        yield Stand(folder, selector_pb2_grpc.SelectorServiceStub(channel))


def structured(
    rows: int, dimension: int, classes: int, seed: int
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int64]]:
    """Returns random unit embeddings (N, D) that overlap as classes of real text do, and their classes (N,)."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    centres = generator.standard_normal((classes, dimension), dtype=np.float32) * 1.5 / np.sqrt(dimension)
    embeddings = np.empty((rows, dimension), np.float16)
    for start in range(0, rows, _APPEND_ROWS):
        part = slice(start, start + _APPEND_ROWS)
        vectors = generator.standard_normal((len(labels[part]), dimension), dtype=np.float32) / np.sqrt(dimension)
        vectors += centres[labels[part]]
        embeddings[part] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return embeddings, labels


def store(folder: Path, pool: str, embeddings: npt.NDArray[np.float16]) -> None:
    """Stores a pool of the client's own embeddings; item ids are row numbers."""
    pools = PoolStore(str(folder))
    definition = PoolDefinition(
        name=pool,
        backbone=None,
        fingerprint=f"own-{embeddings.shape[1]}",
        dimension=embeddings.shape[1],
        created_at=datetime.now(UTC),
        incarnation="bench",
    )
    made = pools.create(definition)
    for start in range(0, len(embeddings), _APPEND_ROWS):
        rows = range(start, min(start + _APPEND_ROWS, len(embeddings)))
        items = [Item(str(row), f"the text of item {row}, about as long as a short sentence is") for row in rows]
        made.append(items, embeddings[rows.start : rows.stop])
    pools.close()


def record(stub: selector_pb2_grpc.SelectorServiceStub, project: str, labels: Mapping[str, str]) -> None:
    """Records labels."""
    entries = [selector_pb2.LabelEntry(item_id=item_id, label=label) for item_id, label in labels.items()]
    stub.RecordLabels(selector_pb2.RecordLabelsRequest(project=project, entries=entries), timeout=60)


def _start(stack: ExitStack, command: list[str], environment: dict[str, str]) -> None:
    # One log line an RPC; what goes wrong the caller sees as a status.
    with Path(os.devnull).open("wb") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere, env={**os.environ, **environment})
    stack.callback(process.wait)
    stack.callback(process.terminate)


def wait_until(ready: Callable[[], bool], what: str) -> None:
    """Returns when `ready` is true; a server that cannot be reached yet is not. Raises TimeoutError."""
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            if ready():
                return
        except (grpc.RpcError, redis.RedisError):
            pass
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not start within {_START_SECONDS:g} s")
        time.sleep(0.05)


def free_port() -> int:
    """Returns a port of loopback that nobody has."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
