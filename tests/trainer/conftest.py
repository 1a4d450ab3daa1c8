"""A trainer as it is deployed: a real Redis, a real pool, a selector's gRPC server, a real worker process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
import torch
from prepal.v1 import selector_pb2, selector_pb2_grpc, trainer_pb2, trainer_pb2_grpc

from services.pools import BackboneDefinition, Item, PairMode, PoolDefinition, Pooling, PoolStore
from services.serving import running
from services.trainer.__main__ import TrainerOptions, start
from tests.conftest import RedisServer
from tests.trainer.examples import LABELS, sentences

# The machine is shared by tests and their processes: threads that wait for each other would take seconds.
torch.set_num_threads(1)

ITEMS = 48
SKIPPED = "s0"


class FakeSelector(selector_pb2_grpc.SelectorServiceServicer):
    """The two calls of a selector that the trainer makes, over projects that a test sets."""

    def __init__(self) -> None:
        self.projects: dict[str, tuple[str, Sequence[str], dict[str, str]]] = {}
        self.metadata: list[dict[str, str]] = []
        self.page = 10_000

    def GetProject(self, request: Any, context: grpc.ServicerContext) -> selector_pb2.GetProjectResponse:
        pool, labels, _ = self._project(request.project, context)
        project = selector_pb2.Project(name=request.project, pool=pool, labels=labels)
        return selector_pb2.GetProjectResponse(project=project)

    def ListLabels(self, request: Any, context: grpc.ServicerContext) -> selector_pb2.ListLabelsResponse:
        _, _, labeled = self._project(request.project, context)
        entries = [selector_pb2.Label(item_id=item_id, label=label) for item_id, label in sorted(labeled.items())]
        entries.append(selector_pb2.Label(item_id=SKIPPED, skipped=True))
        start = int(request.page_token or 0)
        end = start + min(self.page, request.page_size)
        return selector_pb2.ListLabelsResponse(
            labels=entries[start:end], next_page_token=str(end) if end < len(entries) else ""
        )

    def _project(self, name: str, context: grpc.ServicerContext) -> tuple[str, Sequence[str], dict[str, str]]:
        self.metadata.append({str(key): str(value) for key, value in context.invocation_metadata()})
        if name not in self.projects:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such project")
        return self.projects[name]


@dataclass
class Surroundings:
    """What a trainer needs: a data folder with pools, a Redis, a selector."""

    data: Path
    redis: RedisServer
    selector: FakeSelector
    address: str
    backbone: Path

    def project(self, *, pool: str = "films", labeled: dict[str, str] | None = None) -> str:
        """Makes a project; by default all items of the pool are labeled rightly."""
        name = f"project-{uuid.uuid4().hex[:8]}"
        if labeled is None:
            labeled = {f"i{place:03d}": label for place, (_, label) in enumerate(sentences(ITEMS))}
        self.selector.projects[name] = (pool, LABELS, labeled)
        return name


def new_pool(data: Path, name: str, backbone: Path | None, items: Sequence[Item], mode: PairMode | None = None) -> None:
    definition = BackboneDefinition(
        model=str(backbone), pooling=Pooling.MEAN, max_length=64, normalize=False, pair_mode=mode
    )
    pool = PoolStore(str(data)).create(
        PoolDefinition(
            name=name,
            backbone=definition if backbone else None,
            fingerprint="f1",
            dimension=2,
            created_at=datetime.now(UTC),
            incarnation=uuid.uuid4().hex,
        )
    )
    pool.append(items, np.ones((len(items), 2), dtype=np.float16))


@pytest.fixture(scope="session")
def surroundings(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Iterator[Surroundings]:
    """A data folder with the pools `films`, `pairs` and `own`, a Redis of its own, and a selector."""
    data = tmp_path_factory.mktemp("data")
    singles = [Item(f"i{place:03d}", text) for place, (text, _) in enumerate(sentences(ITEMS))]
    new_pool(data, "films", tiny_bert, singles)
    new_pool(data, "own", None, singles)
    pairs = [Item(item.item_id, "the film is", item.text) for item in singles]
    new_pool(data, "pairs", tiny_bert, pairs, PairMode.JOINT)
    (data / "redis").mkdir()
    redis_server = RedisServer(data / "redis")
    redis_server.start()
    server = grpc.server(ThreadPoolExecutor(4))
    selector = FakeSelector()
    selector_pb2_grpc.add_SelectorServiceServicer_to_server(selector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield Surroundings(data, redis_server, selector, f"127.0.0.1:{port}", tiny_bert)
    server.stop(0)
    redis_server.close()


class Worker:
    """A worker process."""

    def __init__(self, surroundings: Surroundings) -> None:
        command = [sys.executable, "-m", "services.trainer.worker", "--data", str(surroundings.data), "--nice", "0"]
        command += ["--redis", surroundings.redis.url, "--checkpoint-seconds", "0.2", "--lease-seconds", "6"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        with (surroundings.data / f"worker-{uuid.uuid4().hex[:6]}.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=Path(__file__).parents[2]
            )

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    @property
    def horses(self) -> list[psutil.Process]:
        """The worker's children, each at work on a job."""
        return psutil.Process(self.process.pid).children() if self.runs else []

    def kill(self) -> None:
        """Ends the worker, and only it, as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ends the worker in order; returns its exit status."""
        self.process.terminate()
        return self.process.wait(timeout=60)


class Workers:
    """Two workers over one data folder; one that a test ends is replaced, without waiting for the new one."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._all = [Worker(surroundings), Worker(surroundings)]

    def replenish(self) -> None:
        """Replaces workers that ended."""
        missing = sum(not worker.runs for worker in self._all)
        self._all = [worker for worker in self._all if worker.runs]
        self._all += [Worker(self._surroundings) for _ in range(missing)]

    def at_work(self) -> Worker:
        """Returns the worker whose child works on the only job that runs."""
        # The child of a job that just ended may take a moment to end too.
        wait_until(lambda: sum(bool(worker.horses) for worker in self._all) == 1)
        return next(worker for worker in self._all if worker.horses)

    def all_run(self) -> bool:
        """Whether no worker has ended."""
        return all(worker.runs for worker in self._all)

    def close(self) -> None:
        """Ends all workers."""
        for worker in self._all:
            worker.kill()


@pytest.fixture(scope="session")
def both_workers(surroundings: Surroundings) -> Iterator[Workers]:
    """Two workers for the session."""
    made = Workers(surroundings)
    yield made
    made.close()


@pytest.fixture
def workers(both_workers: Workers) -> Workers:
    """Two workers, whatever the test before did to them."""
    both_workers.replenish()
    return both_workers


@asynccontextmanager
async def serving(
    surroundings: Surroundings, *, redis_url: str = "", selector: str = ""
) -> AsyncIterator[trainer_pb2_grpc.TrainerServiceStub]:
    """Runs the trainer's service and yields a stub of it."""
    options = TrainerOptions(
        data=str(surroundings.data),
        redis=redis_url or surroundings.redis.url,
        queue_redis=redis_url or surroundings.redis.url,
        selector=selector or surroundings.address,
    )
    async with (
        running(await start(options)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield trainer_pb2_grpc.TrainerServiceStub(channel)


@pytest.fixture
async def stub(surroundings: Surroundings) -> AsyncIterator[trainer_pb2_grpc.TrainerServiceStub]:
    """A stub of a running trainer."""
    async with serving(surroundings) as made:
        yield made


def evaluation(count: int = 20, pairs: bool = False) -> list[trainer_pb2.LabeledText]:
    """Texts to evaluate on."""
    made = sentences(count, seed=1)
    if pairs:
        return [trainer_pb2.LabeledText(text="the film is", text_pair=text, label=label) for text, label in made]
    return [trainer_pb2.LabeledText(text=text, label=label) for text, label in made]


def recipe(epochs: int = 2, seed: int = 0, learning_rate: float = 2e-3) -> trainer_pb2.Recipe:
    """A recipe that suits the tiny model."""
    return trainer_pb2.Recipe(epochs=epochs, batch_size=8, learning_rate=learning_rate, seed=seed, max_length=32)


async def until(
    stub: trainer_pb2_grpc.TrainerServiceStub,
    job_id: str,
    reached: Callable[[trainer_pb2.Job], bool],
    *,
    seconds: float = 60,
) -> trainer_pb2.Job:
    """Watches a job until `reached` says so; returns it as it was then."""
    job = trainer_pb2.Job()
    async for response in stub.WatchJob(trainer_pb2.WatchJobRequest(id=job_id), timeout=seconds):
        job = response.job
        if reached(job):
            return job
    raise AssertionError(f"the job ended without that: {job}")


def ended(job: trainer_pb2.Job) -> bool:
    """Whether a job has ended."""
    return job.state in (trainer_pb2.JOB_STATE_SUCCEEDED, trainer_pb2.JOB_STATE_FAILED, trainer_pb2.JOB_STATE_CANCELLED)


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Returns when a condition holds; fails after a time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
