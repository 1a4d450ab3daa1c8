"""The embedder as a process of its own, over a pool on disk, and what its metrics say of a round."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
from prepal.tensors import unpack
from prepal.v1 import embedder_pb2 as pb
from prepal.v1 import embedder_pb2_grpc

_CHUNK = 1000
_START_SECONDS = 300
_ASKED = 2000
# Seconds of threads, by what they did.
_PARTS = {
    "check": "prepal_embedder_check_seconds_total",
    "tokenise": "prepal_embedder_tokenize_seconds_total",
    "forward": "prepal_embedder_forward_seconds_total",
    "store": "prepal_embedder_commit_seconds_sum",
}
_TOKENS, _PADDING = "prepal_embedder_tokens_total", "prepal_embedder_padding_tokens_total"


@dataclass(frozen=True, slots=True)
class Round:
    """One round of AddItems.

    Attributes:
        seconds: From the first chunk to the last acknowledgement.
        parts: Seconds of threads by what they did; threads run side by side, so the sum may exceed `seconds`.
        padding: Padding as a share of the tokens.
    """

    seconds: float
    parts: dict[str, float]
    padding: float


class Server:
    """A running embedder."""

    def __init__(self, port: int, metrics_port: int) -> None:
        options = [("grpc.max_receive_message_length", 64 << 20)]
        self._stub = embedder_pb2_grpc.EmbedderServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}", options=options))
        self._metrics = f"http://127.0.0.1:{metrics_port}/metrics"

    def create(self, name: str) -> None:
        """Creates a pool of single texts under MiniLM."""
        request = pb.CreatePoolRequest(name=name, backbone=pb.Backbone(model="minilm"))
        self._stub.CreatePool(request, timeout=_START_SECONDS, wait_for_ready=True)

    def add(self, pool: str, texts: Sequence[str]) -> Round:
        """Adds texts, each under its row as id; all are durable when it returns."""
        before = self._read()
        begun = time.perf_counter()
        accepted = sum(answer.accepted for answer in self._stub.AddItems(_chunks(pool, texts), timeout=3600))
        seconds = time.perf_counter() - begun
        if accepted != len(texts):
            raise RuntimeError(f"{len(texts)} texts were sent, but {accepted} accepted")
        after = self._read()
        spent = {name: after[name] - before[name] for name in after}
        parts = {part: spent[name] for part, name in _PARTS.items()}
        return Round(seconds, parts, spent[_PADDING] / max(1.0, spent[_TOKENS]))

    def vectors(self, pool: str, count: int) -> npt.NDArray[np.float32]:
        """Returns what is stored of the first `count` items, shape (count, D)."""
        found = []
        for start in range(0, count, _ASKED):
            ids = [str(row) for row in range(start, min(count, start + _ASKED))]
            request = pb.GetItemsRequest(pool=pool, item_ids=ids, include_embeddings=True)
            items = self._stub.GetItems(request, timeout=_START_SECONDS).items
            found += [unpack(item.embedding) for item in items]
        return np.stack(found).astype(np.float32)

    def _read(self) -> dict[str, float]:
        wanted = {*_PARTS.values(), _TOKENS, _PADDING}
        with urllib.request.urlopen(self._metrics) as page:
            lines = (line.split() for line in page.read().decode().splitlines() if not line.startswith("#"))
            return {line[0]: float(line[1]) for line in lines if line[0] in wanted}


def _chunks(pool: str, texts: Sequence[str]) -> Iterator[pb.AddItemsRequest]:
    for start in range(0, len(texts), _CHUNK):
        items = [pb.Item(item_id=str(row), text=text) for row, text in enumerate(texts[start : start + _CHUNK], start)]
        yield pb.AddItemsRequest(pool=pool, items=items)


@contextmanager
def running_server(data: Path, flags: Sequence[str] = ()) -> Iterator[Server]:
    """Starts an embedder over a folder and yields it."""
    port, metrics_port = _free_port(), _free_port()
    command = [sys.executable, "-m", "services.embedder", "--data", str(data), "--port", str(port)]
    with (data / "embedder.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--metrics-port", str(metrics_port), *flags],
            stdout=log,
            stderr=log,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
    try:
        yield Server(port, metrics_port)
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
