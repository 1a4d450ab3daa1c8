"""The command line against a scripted server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from prepal.cli.__main__ import main

from tests.sdk.scripted import Scripted


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """A scripted server that the environment names."""
    scripted = Scripted()
    for service in ("EMBEDDER", "SELECTOR", "TRAINER"):
        monkeypatch.setenv(f"PREPAL_{service}", scripted.address)
    yield scripted
    scripted.stop()


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `prepal` with these arguments."""

    def call(*arguments: object) -> Ran:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        out, err = capfd.readouterr()
        return Ran(status, out, err)

    return call
