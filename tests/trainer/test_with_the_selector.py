"""The trainer and the real selector understand each other."""

from __future__ import annotations

import json

import grpc
from prepal.v1 import selector_pb2, selector_pb2_grpc, trainer_pb2

from services.selector.__main__ import build
from services.serving import running
from tests.trainer.conftest import Surroundings, serving


async def test_a_job_starts_from_what_people_said_to_the_selector(surroundings: Surroundings, redis_url: str) -> None:
    selector = build(
        data=str(surroundings.data),
        redis=redis_url,
        embedder="127.0.0.1:1",
        memory_bytes=1 << 30,
        kept_bytes=1 << 28,
        threads=1,
    )
    async with (
        running(selector) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        serving(surroundings, redis_url=redis_url, selector=f"127.0.0.1:{port}") as trainer,
    ):
        stub = selector_pb2_grpc.SelectorServiceStub(channel)
        labels = ["negative", "positive", "mixed"]
        await stub.CreateProject(selector_pb2.CreateProjectRequest(name="real", pool="films", labels=labels))
        entries = [
            selector_pb2.LabelEntry(item_id="i003", label="positive"),
            selector_pb2.LabelEntry(item_id="i001", label="negative"),
            selector_pb2.LabelEntry(item_id="i002", skip=selector_pb2.Skip()),
            selector_pb2.LabelEntry(item_id="i004", label="negative"),
        ]
        await stub.RecordLabels(selector_pb2.RecordLabelsRequest(project="real", entries=entries))
        cleared = selector_pb2.LabelEntry(item_id="i004", clear=selector_pb2.Clear())
        await stub.RecordLabels(selector_pb2.RecordLabelsRequest(project="real", entries=[cleared]))
        job = (await trainer.StartJob(trainer_pb2.StartJobRequest(project="real"), timeout=20)).job
    assert list(job.labels) == labels
    lines = (surroundings.data / "jobs" / job.id / "labels.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"item_id": "i001", "label": "negative"},
        {"item_id": "i003", "label": "positive"},
    ]
