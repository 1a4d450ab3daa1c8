"""The embedder as a process of its own, with the packaged MiniLM, on real sentences."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from prepal.tensors import unpack
from prepal.v1 import embedder_pb2 as pb

from services.embedder.__main__ import main
from tests.embedder.models import Plain, cosine
from tests.embedder.serving import Embedder

START_SECONDS = 120
ROOT = Path(__file__).parents[2]
SENTENCES = [
    "A quiet film that earns every one of its tears.",
    "dull",
    "The committee could not agree on whether the bridge should be replaced, " * 12,
    "How many moons does Jupiter have?",
    "no movement, no yuks, not much of anything",
    "Two children in yellow raincoats are jumping into a puddle beside a parked bicycle.",
]


class Process:
    """One embedder over a folder."""

    def __init__(self, data: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "services.embedder", "--data", str(data), "--port", str(self.port)]
        with (data / "embedder.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


async def connected(process: Process) -> AsyncIterator[Embedder]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{process.port}") as channel:
        yield Embedder(channel)


async def test_minilm_embeds_as_transformers_does_and_survives_kill_9(tmp_path: Path, minilm_path: Path) -> None:
    process = Process(tmp_path)
    items = [pb.Item(item_id=f"s{row}", text=text) for row, text in enumerate(SENTENCES)]
    try:
        async for embedder in connected(process):
            create = pb.CreatePoolRequest(name="real", backbone=pb.Backbone(model="minilm"))
            pool = (await embedder.stub.CreatePool(create, timeout=START_SECONDS, wait_for_ready=True)).pool
            assert (pool.dimension, pool.backbone.max_length, pool.backbone.normalize) == (384, 256, True)
            (answer,) = await embedder.add("real", items)
            assert (answer.accepted, answer.truncated) == (len(SENTENCES), 0)
    finally:
        process.kill()
    plain = Plain(minilm_path)
    expected = [plain.embed(text, pooling="mean", max_length=256, normalize=True) for text in SENTENCES]
    process = Process(tmp_path)
    try:
        async for embedder in connected(process):
            ids = [item.item_id for item in items]
            request = pb.GetItemsRequest(pool="real", item_ids=ids, include_embeddings=True)
            found = (await embedder.stub.GetItems(request, timeout=START_SECONDS, wait_for_ready=True)).items
            for item, vector in zip(found, expected, strict=True):
                assert cosine(unpack(item.embedding), vector) >= 0.9999
            query = pb.SearchItemsRequest(pool="real", text=pb.TextInput(text="the number of Jupiter's moons"), k=1)
            # The backbone comes from what was converted and measured before the kill.
            nearest = await embedder.stub.SearchItems(query, timeout=START_SECONDS)
            assert nearest.items[0].item.item_id == "s3"
            (answer,) = await embedder.add("real", items)
            assert (answer.accepted, answer.already_there) == (0, len(SENTENCES))
        process.process.terminate()
        assert process.process.wait(START_SECONDS) == 0
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "--data must be given, or PREPAL_DATA"),
        (["--data", "x", "--threads", "0"], "threads must be between 1 and 1024, got 0"),
        (["--data", "x", "--backbones", "0"], "backbones must be at least 1, got 0"),
        (["--data", "x", "--host", "0.0.0.0"], "loopback"),
    ],
)
def test_a_wrong_flag_is_refused_before_anything_starts(
    arguments: list[str], part: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PREPAL_DATA", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert part in capsys.readouterr().err
