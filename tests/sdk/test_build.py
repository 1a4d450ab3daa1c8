"""The synchronous client is built from the asynchronous one, and is what a person would have written."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import prepal
import pytest
from prepal import _methods
from prepal._methods import Method
from prepal.v1 import embedder_pb2, selector_pb2, trainer_pb2
from prepal.values import enums

HOOK = Path(__file__).parents[2] / "clients" / "python" / "build_hook.py"


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_hook", HOOK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("async def f() -> None:\n    await g()\n", "def f() -> None:\n    g()\n"),
        ("x = [y async for y in ys]\n", "x = [y for y in ys]\n"),
        ("return_ = (await f(await g(1)), await h)\n", "return_ = (f(g(1)), h)\n"),
        ("async with f() as x, g():\n    pass\n", "with f() as x, g():\n    pass\n"),
        ("def f(x: AsyncIterator[int]) -> None: ...\n", "def f(x: Iterator[int]) -> None: ...\n"),
        ("# await nothing\nx = 'async await AsyncClient'\n", "# await nothing\nx = 'async await AsyncClient'\n"),
        (
            'def f() -> None:\n    """Awaits.\n\n    >>> await f(AsyncClient())\n    ... async for x in y:\n    """\n',
            'def f() -> None:\n    """Awaits.\n\n    >>> f(Client())\n    ... for x in y:\n    """\n',
        ),
        ("x = await (\n    f()  # why\n)\n", "x = (\n    f()  # why\n)\n"),
        ('await f("""a\nb""", await g())\n', 'f("""a\nb""", g())\n'),
        ("é = 'ü'; await f(é)\n", "é = 'ü'; f(é)\n"),
    ],
)
def test_only_what_is_asynchronous_changes(hook: ModuleType, source: str, expected: str) -> None:
    assert hook.synchronous(source) == expected


def test_a_name_that_stays_asynchronous_is_an_error(hook: ModuleType) -> None:
    with pytest.raises(ValueError, match="line 1 still names something asynchronous; add it to SYNC_NAMES"):
        hook.synchronous("import asyncio\n")


def test_the_synchronous_client_is_up_to_date(hook: ModuleType) -> None:
    package = HOOK.parent / "prepal"
    for path in (package / "_async").glob("*.py"):
        if path.name != "__init__.py":
            built = (package / "_sync" / path.name).read_text("utf-8")
            assert built.endswith(hook.synchronous(path.read_text("utf-8"))), f"run {HOOK}"
    assert {path.name for path in (package / "_sync").glob("*.py")} == {
        path.name for path in (package / "_async").glob("*.py")
    }


def test_the_synchronous_client_is_formatted() -> None:
    folder = HOOK.parent / "prepal" / "_sync"
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "120", "--diff", str(folder)]
    ran = subprocess.run([*command, "--no-respect-gitignore"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def public(kind: type) -> dict[str, str]:
    """A class's public methods and their arguments."""
    return {
        name: ", ".join(str(argument) for argument in list(inspect.signature(member).parameters.values()))
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def test_both_clients_have_the_same_calls() -> None:
    assert public(prepal.Client) == public(prepal.AsyncClient)
    assert not any(inspect.iscoroutinefunction(member) for _, member in inspect.getmembers(prepal.Client))


def test_every_rpc_of_the_contract_can_be_called() -> None:
    called = {method.path: method for method in vars(_methods).values() if isinstance(method, Method)}
    declared = {}
    for module in (embedder_pb2, selector_pb2, trainer_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                declared[f"/{service.full_name}/{method.name}"] = (method.input_type, method.output_type)
    assert {
        path: (method.request.DESCRIPTOR, method.response.DESCRIPTOR) for path, method in called.items()
    } == declared


@pytest.mark.parametrize("kind", list(enums._WIRE), ids=lambda kind: kind.__name__)
def test_every_choice_of_the_contract_has_a_name_and_comes_back(kind: type) -> None:
    _, wire, prefix, zero = enums._WIRE[kind]
    names = {name.removeprefix(prefix).lower() for name, number in wire.items() if number}
    assert {member.value for member in kind} == names | ({zero} if zero else set())
    for member in kind:
        sent = enums.to_wire(kind, member)
        assert enums.from_wire(kind, wire.Value(sent) if sent else 0) is member


def test_the_version_is_the_distributions() -> None:
    import tomllib

    project = tomllib.loads((HOOK.parent / "pyproject.toml").read_text("utf-8"))["project"]
    assert prepal.__version__ == project["version"]


def test_every_public_name_is_documented() -> None:
    for name in prepal.__all__:
        value = getattr(prepal, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name
            assert not value.__doc__.startswith(f"{name}("), f"{name} has only the docstring dataclass made"
