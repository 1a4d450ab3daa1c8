"""Real text, embedded once by the real embedder."""

from __future__ import annotations

import csv
import gzip
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
from prepal.v1 import embedder_pb2, embedder_pb2_grpc

from bench.loop.stand import free_port, wait_until
from services.pools import PoolStore

_CHUNK = 1_000


def read(path: Path) -> tuple[list[str], list[str]]:
    """Returns the texts and labels of a gzipped, tab-separated file without quoting."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def embed(texts: list[str]) -> npt.NDArray[np.float16]:
    """Returns the embeddings of texts by an embedder process with `minilm`, float16, shape (N, D)."""
    with tempfile.TemporaryDirectory(prefix="prepal-bench-") as folder:
        port = free_port()
        with Path(os.devnull).open("wb") as nowhere:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.embedder", "--data", folder, "--port", str(port)],
                stdout=nowhere,
                stderr=nowhere,
            )
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
                wait_until(lambda: stub.ListPools(embedder_pb2.ListPoolsRequest()) is not None, "the embedder")
                backbone = embedder_pb2.Backbone(model="minilm")
                stub.CreatePool(embedder_pb2.CreatePoolRequest(name="texts", backbone=backbone), timeout=120)
                for acknowledged in stub.AddItems(iter(_chunks(texts)), timeout=1_800):
                    if acknowledged.rejected:
                        raise ValueError(acknowledged.rejected[0].message)
        finally:
            process.terminate()
            process.wait()
        store = PoolStore(folder)
        snapshot = store.open("texts").snapshot()
        embeddings = snapshot.gather(snapshot.rows_of([str(row) for row in range(len(texts))]))
        store.close()
        return embeddings


def _chunks(texts: list[str]) -> list[embedder_pb2.AddItemsRequest]:
    return [
        embedder_pb2.AddItemsRequest(
            pool="texts",
            items=[
                embedder_pb2.Item(item_id=str(start + number), text=text)
                for number, text in enumerate(texts[start : start + _CHUNK])
            ],
        )
        for start in range(0, len(texts), _CHUNK)
    ]
