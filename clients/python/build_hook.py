"""Builds what the SDK ships but git does not keep: the stubs of protos/ and the synchronous client.

`prepal.v1` comes from the .proto files. `prepal/_sync/` comes from `prepal/_async/`: the same calls without `async`
and `await`, so that both clients have one source. Runs as a hatchling hook, and by hand as `python build_hook.py`.
"""

from __future__ import annotations

import ast
import io
import os
import re
import tempfile
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT / "prepal"

# Names of the asynchronous client and what they are in the synchronous one.
SYNC_NAMES = {
    "AsyncClient": "Client",
    "AsyncExchange": "SyncExchange",
    "AsyncGenerator": "Generator",
    "AsyncIterator": "Iterator",
    "AsyncTransport": "SyncTransport",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "_async": "_sync",
    "_async_transport": "_sync_transport",
    "aclosing": "closing",
    "anext": "next",
}

_WORD = re.compile(r"\b\w+\b")
_EXAMPLE = re.compile(r"^\s*(>>>|\.\.\.) ")
_KEYWORD = re.compile(r"\b(?:async|await)\s+")


def build_stubs() -> None:
    """Writes prepal/v1/*_pb2.py and *_pb2.pyi, and *_pb2_grpc.py for servers."""
    from grpc_tools import protoc

    protos = next(p for p in (ROOT / "protos", ROOT.parent.parent / "protos") if p.is_dir())
    files = sorted(str(p) for p in (protos / "prepal" / "v1").glob("*.proto"))
    include = Path(protoc.__file__).parent / "_proto"
    texts = {"__init__.py": '"""The gRPC contract: messages and stubs built from protos/prepal/v1."""\n'}
    with tempfile.TemporaryDirectory() as out:
        kinds = (f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python"))
        if protoc.main(["protoc", f"-I{protos}", f"-I{include}", *kinds, *files]) != 0:
            raise RuntimeError("protoc failed; its messages are above")
        for made in Path(out, "prepal", "v1").iterdir():
            text = made.read_text("utf-8")
            texts[made.name] = _strict(text) if made.suffix == ".pyi" else text
    _fill(PACKAGE / "v1", texts)


def _fill(folder: Path, texts: Mapping[str, str]) -> None:
    """Makes a folder's Python files those of `texts`.

    A file that is right already is not touched, and the others appear whole, so that whoever imports the package
    meanwhile never meets half a module.
    """
    folder.mkdir(exist_ok=True)
    for stale in {path.name for path in folder.glob("*.py*")} - set(texts):
        (folder / stale).unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            aside = path.with_name(f".{name}.{os.getpid()}")
            aside.write_text(text, encoding="utf-8")
            aside.replace(path)


def _strict(stub: str) -> str:
    """Returns a stub whose bare `Mapping` says of what, as mypy's strict mode wants."""
    return re.sub(r"\b_Mapping\]", "_Mapping[str, _Any]]", stub).replace(
        "from typing import ", "from typing import Any as _Any, ", 1
    )


def synchronous(source: str) -> str:
    r"""Returns asynchronous source as synchronous source.

    Drops the keywords `async` and `await`, and replaces the names of `SYNC_NAMES`, in code and in the examples of
    docstrings. Everything else, comments and layout included, stays as it is.

    Raises:
        ValueError: when the result is not Python, or still asynchronous somewhere.

    >>> synchronous("async def ask(client: AsyncClient) -> None:\n    await client.close()\n")
    'def ask(client: Client) -> None:\n    client.close()\n'
    """
    lines = source.splitlines(keepends=True)
    # From the last edit to the first, so that each leaves the positions of those still to do as they are.
    for (row, start), end, text in reversed(list(_edits(source))):
        last_row, last = end
        replaced = lines[row - 1][:start] + text + lines[last_row - 1][last:]
        lines[row - 1 : last_row] = [replaced]
    result = "".join(lines)
    _check(result)
    return result


def _edits(source: str) -> Iterator[tuple[tuple[int, int], tuple[int, int], str]]:
    """Yields what changes: where it begins, where it ends, and the text that takes its place."""
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for token, following in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        if token.type == tokenize.NAME and token.string in ("async", "await"):
            yield token.start, following.start, ""
        elif token.type == tokenize.NAME and token.string in SYNC_NAMES:
            yield token.start, token.end, SYNC_NAMES[token.string]
        elif token.type == tokenize.STRING and ">>>" in token.string:
            yield token.start, token.end, "".join(map(_example, token.string.splitlines(keepends=True)))


def _example(line: str) -> str:
    """Returns a line of a docstring, made synchronous if it is a line of an example."""
    if not _EXAMPLE.match(line):
        return line
    return _WORD.sub(lambda word: SYNC_NAMES.get(word[0], word[0]), _KEYWORD.sub("", line))


def _check(source: str) -> None:
    """Raises ValueError unless the source is Python with nothing asynchronous in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await) or (
            isinstance(node, ast.comprehension) and node.is_async
        ):
            raise ValueError(f"line {getattr(node, 'lineno', '?')} is still asynchronous")
        if isinstance(node, ast.Name | ast.alias) and "async" in (getattr(node, "id", "") or getattr(node, "name", "")):
            raise ValueError(f"line {node.lineno} still names something asynchronous; add it to SYNC_NAMES")


def build_sync_client() -> None:
    """Writes prepal/_sync/ from prepal/_async/."""
    texts = {"__init__.py": '"""The synchronous client, built from `prepal._async` by build_hook.py."""\n'}
    for path in (PACKAGE / "_async").glob("*.py"):
        if path.name not in texts:
            header = f"# Built from prepal/_async/{path.name} by build_hook.py.\n"
            texts[path.name] = header + synchronous(path.read_text("utf-8"))
    _fill(PACKAGE / "_sync", texts)


def build() -> None:
    """Builds everything."""
    build_stubs()
    build_sync_client()
    # What make looks at, even when nothing had to change.
    (PACKAGE / "v1" / "__init__.py").touch()


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # Run by hand, without hatchling.
    pass
else:

    class StubBuildHook(BuildHookInterface):  # type: ignore[type-arg]
        """Runs `build` before hatchling collects files."""

        PLUGIN_NAME = "custom"

        def initialize(self, version: str, build_data: dict[str, object]) -> None:  # noqa: ARG002
            """Builds for a wheel and an editable install; an sdist carries the sources."""
            if self.target_name == "wheel":
                build()


if __name__ == "__main__":
    build()
