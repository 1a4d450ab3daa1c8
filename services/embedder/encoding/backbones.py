"""The backbones that are loaded, a bounded number of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from services.embedder.encoding.backbone import Backbone
from services.embedder.encoding.engine import Engine
from services.embedder.encoding.loading import EngineKey
from services.embedder.encoding.resolve import Resolved, Wanted, resolve
from services.embedder.encoding.tokenizing import Tokenizer
from services.pools import PairMode

LOGGER = logging.getLogger(__name__)
# How long a resolved backbone is taken as it was before its files are looked at again.
_FRESH_SECONDS: Final = 10.0
_REMEMBERED: Final = 256

Load = Callable[[Resolved, EngineKey, Tokenizer], Engine]


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """An engine, loaded or being loaded, and the bytes of its weights."""

    engine: asyncio.Future[Engine]
    size: int


class Backbones:
    """Loads backbones outside the event loop and keeps those used last. For one event loop.

    Backbones that differ only in length or in how pairs are made share an engine.

    Args:
        load: Makes an engine; runs in a thread of ours, one at a time.
        most: Engines kept, at least 1.
        most_bytes: Bytes of weights kept; the engine used last stays whatever its size.
        clock: Seconds that never go back.
    """

    def __init__(self, load: Load, *, most: int, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        if most < 1:
            raise ValueError(f"backbones must be at least 1, got {most}")
        self._load = load
        self._most = most
        self._most_bytes = most_bytes
        self._clock = clock
        self._engines: OrderedDict[EngineKey, _Kept] = OrderedDict()
        self._resolved: OrderedDict[Wanted, tuple[float, Resolved]] = OrderedDict()
        self._tokenizers: OrderedDict[str, Tokenizer] = OrderedDict()
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")

    def close(self) -> None:
        """Ends the thread that loads."""
        self._loader.shutdown(wait=True, cancel_futures=True)

    async def resolve(self, wanted: Wanted) -> Resolved:
        """Returns what a backbone is, without loading it. See `services.embedder.encoding.resolve.resolve`."""
        known = self._resolved.get(wanted)
        now = self._clock()
        if known is not None and now - known[0] < _FRESH_SECONDS:
            return known[1]
        resolved = await asyncio.to_thread(resolve, wanted)
        self._resolved[wanted] = (now, resolved)
        self._resolved.move_to_end(wanted)
        if len(self._resolved) > _REMEMBERED:
            self._resolved.popitem(last=False)
        return resolved

    async def get(self, wanted: Wanted) -> Backbone:
        """Returns a backbone, loaded. Callers at the same time share one loading.

        Raises:
            BackboneNotLoadable: It cannot be found or run, with what was tried.
            InvalidRequest: max_length is not one of this backbone.
        """
        resolved = await self.resolve(wanted)
        tokenizer = await self._tokenizer(resolved)
        definition = resolved.definition
        key = EngineKey(
            content=resolved.content,
            pooling=definition.pooling,
            normalize=definition.normalize,
            types=tokenizer.types,
        )
        kept = self._engines.get(key)
        if kept is None:
            loop = asyncio.get_running_loop()
            loading = loop.run_in_executor(self._loader, self._load, resolved, key, tokenizer)
            kept = self._engines[key] = _Kept(loading, resolved.size)
        self._engines.move_to_end(key)
        try:
            # One caller's cancellation must not end the loading that others wait for.
            engine = await asyncio.shield(kept.engine)
        except Exception:
            if self._engines.get(key) is kept:
                del self._engines[key]
            raise
        self._evict()
        return Backbone(definition=definition, fingerprint=resolved.fingerprint, tokenizer=tokenizer, engine=engine)

    async def _tokenizer(self, resolved: Resolved) -> Tokenizer:
        tokenizer = self._tokenizers.get(resolved.fingerprint)
        if tokenizer is None:
            tokenizer = await asyncio.get_running_loop().run_in_executor(self._loader, _tokenizer, resolved)
            self._tokenizers[resolved.fingerprint] = tokenizer
        self._tokenizers.move_to_end(resolved.fingerprint)
        while len(self._tokenizers) > 4 * self._most:
            self._tokenizers.popitem(last=False)
        return tokenizer

    def _evict(self) -> None:
        """Lets go of the engines used longest ago. Batches that still hold one finish with it."""
        while len(self._engines) > self._most or (
            len(self._engines) > 1 and sum(kept.size for kept in self._engines.values()) > self._most_bytes
        ):
            key, _ = self._engines.popitem(last=False)
            LOGGER.info("let go of a backbone", extra={"content": key.content[:16]})


def _tokenizer(resolved: Resolved) -> Tokenizer:
    return Tokenizer(
        resolved.folder.path,
        max_length=resolved.definition.max_length,
        lower_case=resolved.folder.lower_case,
        pairs=resolved.definition.pair_mode is PairMode.JOINT,
    )
