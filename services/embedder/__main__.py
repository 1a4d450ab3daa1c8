"""Starts the embedder: `python -m services.embedder --data DIR`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from services.embedder.encoding.options import DEVICES, ENGINES, PRECISIONS, EncodingOptions, usable_threads
from services.embedder.start import EmbedderOptions, start
from services.serving import add_options, options_from, run

PORT = 50051


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the embedder until SIGTERM and returns its exit status."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    # Threads of ours tokenise; more inside each of them would only fight over the cores.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not parsed.data:
        parser.error("--data must be given, or PREPAL_DATA: a folder or the address of an object store")
    try:
        serving = options_from(parsed)
        options = _options(parsed, serving.max_message_bytes)
    except ValueError as error:
        parser.error(str(error))
    return run("embedder", lambda: start(options), serving)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.embedder", description="Embeds texts and keeps pools.")
    parser.add_argument(
        "--data",
        default=os.environ.get("PREPAL_DATA", ""),
        help="folder or object-store address of the pools (PREPAL_DATA)",
    )
    add_options(parser, port=PORT)
    group = parser.add_argument_group("backbones")
    group.add_argument("--engine", choices=ENGINES, default="auto", help="what runs backbones (%(default)s)")
    group.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="numbers of a forward pass (%(default)s)"
    )
    group.add_argument("--device", choices=DEVICES, default="auto", help="where backbones run (%(default)s)")
    group.add_argument(
        "--threads", type=int, default=usable_threads(), help="threads of forward passes on a CPU (%(default)s)"
    )
    group.add_argument(
        "--token-budget", type=int, default=0, help="tokens of a batch; 0 takes what suits the device (%(default)s)"
    )
    group.add_argument(
        "--least-cosine",
        type=float,
        default=0.9999,
        help="similarity to float32 vectors that a faster engine must keep (%(default)s)",
    )
    group.add_argument(
        "--preload", action="append", default=[], metavar="MODEL", help="load this backbone first; repeatable"
    )
    group.add_argument("--backbones", type=int, default=4, help="backbones kept loaded at most (%(default)s)")
    group.add_argument(
        "--backbone-mib", type=int, default=16_384, help="MiB of weights kept loaded at most (%(default)s)"
    )
    group.add_argument("--cache", help="folder for converted backbones (DATA/cache/embedder where DATA is a folder)")
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--interactive-tokens", type=int, default=524_288, help="tokens of Embed and SearchItems in work (%(default)s)"
    )
    limits.add_argument("--bulk-tokens", type=int, default=4_194_304, help="tokens of AddItems in work (%(default)s)")
    limits.add_argument("--search-mib", type=int, default=2048, help="MiB of search indexes kept at most (%(default)s)")
    return parser


def _options(parsed: argparse.Namespace, max_message_bytes: int) -> EmbedderOptions:
    cache = Path(parsed.cache) if parsed.cache else None
    if cache is None and "://" not in parsed.data:
        cache = Path(parsed.data) / "cache" / "embedder"
    return EmbedderOptions(
        data=parsed.data,
        encoding=EncodingOptions(
            engine=parsed.engine,
            precision=parsed.precision,
            device=parsed.device,
            threads=parsed.threads,
            budget=parsed.token_budget,
            least_cosine=parsed.least_cosine,
            cache=cache,
        ),
        preload=tuple(parsed.preload),
        backbones=parsed.backbones,
        backbone_bytes=parsed.backbone_mib << 20,
        interactive_tokens=parsed.interactive_tokens,
        bulk_tokens=parsed.bulk_tokens,
        search_bytes=parsed.search_mib << 20,
        max_answer_bytes=max_message_bytes,
    )


if __name__ == "__main__":
    sys.exit(main())
