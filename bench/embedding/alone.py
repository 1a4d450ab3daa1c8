"""The encoder alone: texts to vectors in this process, without gRPC and without a store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.embedder.batching.encoder import Encoder, EncoderOptions
from services.embedder.batching.queue import Urgency
from services.embedder.encoding.backbone import Backbone
from services.embedder.encoding.backbones import Backbones
from services.embedder.encoding.loading import load_engine
from services.embedder.encoding.options import EncodingOptions
from services.embedder.encoding.resolve import Wanted


class Alone:
    """A loaded backbone and an encoder.

    Args:
        model: The backbone.
        cache: Where what was converted and measured is kept.
    """

    def __init__(self, model: str, cache: Path) -> None:
        options = EncodingOptions(device="cpu", cache=cache)
        self._runner = asyncio.Runner()
        self._backbones = Backbones(
            lambda resolved, key, tokenizer: load_engine(resolved.folder.path, key, tokenizer, options),
            most=1,
            most_bytes=1 << 40,
        )
        workers = options.workers(on_gpu=False)
        self._encoder = Encoder(EncoderOptions(workers=workers, tokenizers=min(options.threads, 8)))
        self._backbone: Backbone = self._runner.run(self._backbones.get(Wanted(model=model)))
        self.engine = self._backbone.engine.name

    def encode(self, texts: Sequence[str]) -> tuple[float, npt.NDArray[np.float32]]:
        """Returns the seconds from texts to vectors, and the vectors, shape (n, D)."""
        work = [(text, None) for text in texts]
        begun = time.perf_counter()
        encoded = self._runner.run(self._encoder.encode(self._backbone, work, Urgency.BULK))
        return time.perf_counter() - begun, encoded.vectors

    def close(self) -> None:
        """Ends the threads."""
        self._encoder.close()
        self._backbones.close()
        self._runner.close()
