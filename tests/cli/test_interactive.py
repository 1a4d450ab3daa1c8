"""Labeling in a terminal: every answer is recorded at once, can be taken back, and nothing is asked twice."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Collection, Iterator
from typing import Any

import prepal
import pytest
from prepal.cli.interactive import Session, keys_of
from prepal.v1 import embedder_pb2, selector_pb2

from tests.cli.conftest import Run
from tests.sdk.scripted import Scripted, gives
from tests.sdk.test_calls import a_project

COMMAND = [sys.executable, "-m", "prepal.cli", "label", "s", "-i"]


class Loop:
    """A project in memory: the next item is the first that nothing is said about."""

    def __init__(self, server: Scripted, texts: dict[str, str]) -> None:
        self.texts = texts
        self.said: dict[str, str] = {}
        server.script("GetProject", gives(selector_pb2.GetProjectResponse(project=a_project())))
        server.script("Select", self._select)
        server.script("RecordLabels", self._record)

    def _select(self, request: Any, context: Any) -> selector_pb2.SelectResponse:
        left = [name for name in self.texts if name not in self.said][: request.k]
        items = [embedder_pb2.Item(item_id=name, text=self.texts[name]) for name in left]
        return selector_pb2.SelectResponse(
            items=[selector_pb2.SelectedItem(item=item) for item in items],
            acquisition=selector_pb2.ACQUISITION_RANDOM,
        )

    def _record(self, request: Any, context: Any) -> selector_pb2.RecordLabelsResponse:
        for entry in request.entries:
            self.said.pop(entry.item_id, None)
            if entry.WhichOneof("action") != "clear":
                self.said[entry.item_id] = entry.label or "(skip)"
        return selector_pb2.RecordLabelsResponse(changed=len(request.entries))


class Typist:
    """A person who presses keys in order and remembers what was shown."""

    def __init__(self, keys: str) -> None:
        self._keys: Iterator[str] = iter(keys)
        self.shown = ""

    def show(self, text: str) -> None:
        self.shown += text

    def key(self, prompt: str, keys: Collection[str]) -> str:
        self.shown += prompt
        key = next(self._keys, None)
        if key is None:
            raise EOFError
        assert key in keys
        return key


@pytest.fixture
def loop(server: Scripted) -> Loop:
    return Loop(server, {"a": "alpha", "b": "beta", "c": "gamma"})


def label(keys: str) -> tuple[Typist, str]:
    typist = Typist(keys)
    with prepal.Client() as client:
        session = Session(client, "s", ["no", "yes"], "ann", typist)
        session.run()
    return typist, session.tally()


def test_each_key_is_recorded_and_the_end_is_told(loop: Loop, server: Scripted) -> None:
    typist, tally = label("12s")
    assert loop.said == {"a": "no", "b": "yes", "c": "(skip)"}
    assert typist.shown.endswith("nothing is left to label\n")
    assert tally == "2 labeled, 1 skipped"
    assert {request.annotator for request in server.requests["Select"]} == {"ann"}
    assert all(len(request.entries) == 1 for request in server.requests["RecordLabels"])


def test_undo_takes_back_the_last_answer_and_shows_its_item_again(loop: Loop) -> None:
    typist, tally = label("1u2q")
    assert loop.said == {"a": "yes"}
    assert typist.shown.count("alpha") == 2
    assert "took back no\n" in typist.shown
    assert tally == "1 labeled, 0 skipped"


def test_undo_reaches_back_further_than_one(loop: Loop) -> None:
    _, tally = label("1suu2q")
    assert loop.said == {"a": "yes"}
    assert tally == "1 labeled, 0 skipped"


def test_undo_with_nothing_said_says_so(loop: Loop) -> None:
    typist, _ = label("u1q")
    assert "there is nothing to undo" in typist.shown
    assert loop.said == {"a": "no"}


def test_quitting_and_the_end_of_input_keep_what_was_said(loop: Loop) -> None:
    label("1q")
    label("2")
    assert loop.said == {"a": "no", "b": "yes"}


def test_a_text_cannot_command_the_terminal(server: Scripted) -> None:
    Loop(server, {"a": "red \x1b[31mtext\x07\nnext line"})
    typist, _ = label("q")
    assert "red [31mtext\nnext line" in typist.shown
    assert "\x1b" not in typist.shown


@pytest.mark.parametrize("count", [2, 9, 10, 32, 33, 1000])
def test_every_label_has_a_key_of_its_own(count: int) -> None:
    labels = [f"label {number}" for number in range(count)]
    keys = keys_of(labels)
    assert list(keys.values()) == labels
    assert not set(keys) & {"s", "u", "q"}
    assert all(len(key) == 1 for key in keys) == (count <= 32)


def test_lines_of_a_pipe_do_as_well(run: Run, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.write(write, b"1\nwhat\n2\n")
    os.close(write)
    with os.fdopen(read) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        ran = run("label", "s", "--interactive", "--annotator", "ann")
    assert ran.status == 0
    assert "'what' is none of 1, 2, s, u, q" in ran.out
    assert ran.out.endswith("2 labeled, 0 skipped\n")
    assert loop.said == {"a": "no", "b": "yes"}


@pytest.mark.parametrize(("last", "status"), [(b"\x03", 130), (b"\x04", 0), (b"q", 0)], ids=["Ctrl-C", "Ctrl-D", "q"])
def test_a_terminal_takes_single_keys(loop: Loop, last: bytes, status: int) -> None:
    terminal, other = pty.openpty()
    # A preexec_fn would run in a fork of this process, where the threads of gRPC break.
    take = f"import fcntl, os, sys; fcntl.ioctl(0, {termios.TIOCSCTTY}, 0); os.execv(sys.executable, {COMMAND!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", take], stdin=other, stdout=other, stderr=other, start_new_session=True
    )
    os.close(other)
    shown = read_until(terminal, b"[q] quit > ")
    assert b"alpha" in shown
    os.write(terminal, b"2")
    assert b"beta" in read_until(terminal, b"[q] quit > ")
    os.write(terminal, last)
    assert b"1 labeled, 0 skipped" in read_until(terminal, b"skipped")
    assert process.wait(timeout=30) == status
    os.close(terminal)
    assert loop.said == {"a": "yes"}


def read_until(descriptor: int, end: bytes) -> bytes:
    shown = b""
    deadline = time.monotonic() + 30
    while not shown.rstrip().endswith(end.rstrip()):
        readable, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
        assert readable, f"the terminal shows only {shown!r}"
        try:
            shown += os.read(descriptor, 4096)
        except OSError as error:
            raise AssertionError(f"the terminal is closed after {shown!r}") from error
    return shown
