"""The examples of the documentation run, in the order of a person's first day, against the real suite."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable
from pathlib import Path

import prepal
import pytest
from prepal import errors, tensors
from prepal.values.item import Item

from tests.up import Up

STORY: list[Callable[..., object]] = [
    prepal.Client.create_pool,
    prepal.Client.add_items,
    prepal.Client.get_items,
    prepal.Client.search_items,
    prepal.Client.embed,
    prepal.Client.create_project,
    prepal.Client.get_project,
    prepal.Client.select,
    prepal.Client.record_labels,
    prepal.Client.list_labels,
    prepal.Client.predict,
    prepal.Client.start_job,
    prepal.Client.watch_job,
    prepal.Client.download_checkpoint,
    prepal.Client.health,
]


def run_examples(documented: object, names: dict[str, object]) -> None:
    """Runs the examples of a docstring, whose names last for the next."""
    source = inspect.getdoc(documented)
    assert source is not None
    example = doctest.DocTestParser().get_doctest(source, {}, getattr(documented, "__qualname__", "module"), None, None)
    assert example.examples, f"{example.name} has no example"
    example.globs = names
    told: list[str] = []
    failed = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=told.append, clear_globs=False)
    assert not failed.failed, "".join(told)


def test_the_examples_of_the_calls_run(suite: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with suite.client() as client:
        names: dict[str, object] = {"client": client, "prepal": prepal, "Item": Item}
        try:
            for call in STORY:
                run_examples(call, names)
            run_examples(errors, names)
        finally:
            client.delete_project("sentiment")
            client.delete_pool("reviews")


@pytest.mark.parametrize("documented", [tensors.pack, prepal.Item])
def test_the_examples_that_need_no_service_run(documented: object) -> None:
    run_examples(documented, {"pack": tensors.pack, "Item": Item})


def test_every_example_of_the_client_is_in_the_story() -> None:
    with_example = {
        name
        for name, member in inspect.getmembers(prepal.Client, inspect.isfunction)
        if not name.startswith("_") and ">>>" in (inspect.getdoc(member) or "")
    }
    assert with_example == {call.__name__ for call in STORY}
