"""One embedder for the tests of a module that do not disturb it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from prepal.v1 import embedder_pb2 as pb

from tests.embedder.serving import Embedder, serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Embedder]:
    async with serving(tmp_path_factory.mktemp("data")) as embedder:
        yield embedder


@pytest.fixture
def tiny(tiny_bert: Path) -> pb.Backbone:
    return pb.Backbone(model=str(tiny_bert))
