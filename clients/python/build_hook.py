"""Builds what the SDK ships but git does not keep: the stubs of protos/ and the synchronous client.

`prepal.v1` comes from the .proto files. `prepal/_sync_client.py` comes from `prepal/_async_client.py`: the same calls
without `async` and `await`, so that both clients have one source. Runs as a hatchling hook, and by hand as
`python build_hook.py`.
"""

from __future__ import annotations

import io
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT / "prepal"

# Names of the async client and what they are in the synchronous one.
SYNC_NAMES = {
    "AsyncClient": "Client",
    "AsyncIterator": "Iterator",
    "AsyncIterable": "Iterable",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "StopAsyncIteration": "StopIteration",
    "_async_transport": "_sync_transport",
    "AsyncTransport": "SyncTransport",
    "aclosing": "closing",
}


def build_stubs() -> None:
    """Writes prepal/v1/*_pb2.py, *_pb2.pyi and *_pb2_grpc.py."""
    from grpc_tools import protoc

    protos = next(p for p in (ROOT / "protos", ROOT.parent.parent / "protos") if p.is_dir())
    files = sorted(str(p) for p in (protos / "prepal" / "v1").glob("*.proto"))
    include = Path(protoc.__file__).parent / "_proto"
    out = f"{ROOT}"
    (PACKAGE / "v1").mkdir(exist_ok=True)
    arguments = [f"-I{protos}", f"-I{include}", f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(["protoc", *arguments, *files]) != 0:
        raise RuntimeError("protoc failed; its messages are above")
    (PACKAGE / "v1" / "__init__.py").write_text('"""The gRPC contract: messages and stubs built from protos/prepal/v1."""\n')


def synchronous(source: str) -> str:
    """Returns the async client's source as the synchronous client's."""
    tokens: list[tokenize.TokenInfo] = []
    dropped_at: dict[int, int] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        row, column = token.start
        shift = dropped_at.get(row, 0)
        if token.type == tokenize.NAME and token.string in ("async", "await"):
            width = len(token.string) + 1
            dropped_at[row] = shift + width
            continue
        text = SYNC_NAMES.get(token.string, token.string) if token.type == tokenize.NAME else token.string
        end_row, end_column = token.end
        growth = len(text) - len(token.string)
        end_shift = shift if end_row == row else 0
        tokens.append(
            token._replace(string=text, start=(row, column - shift), end=(end_row, end_column - end_shift + growth))
        )
        if growth:
            dropped_at[row] = shift - growth
    return tokenize.untokenize(tokens)


def build_sync_client() -> None:
    """Writes prepal/_sync_client.py, if the async client is there."""
    source = PACKAGE / "_async_client.py"
    text = synchronous(source.read_text(encoding="utf-8"))
    header = "# Built from _async_client.py by build_hook.py.\n"
    (PACKAGE / "_sync_client.py").write_text(header + text, encoding="utf-8")


def build() -> None:
    """Builds everything."""
    build_stubs()
    build_sync_client()


if __name__ == "__main__":
    build()
    sys.exit(0)

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # Run by hand, without hatchling.
    pass
else:

    class StubBuildHook(BuildHookInterface):  # type: ignore[type-arg]
        """Runs `build` before hatchling collects files."""

        PLUGIN_NAME = "custom"

        def initialize(self, version: str, build_data: dict[str, object]) -> None:
            """Builds for a wheel and an editable install; an sdist carries the sources."""
            if self.target_name == "wheel":
                build()
