"""From a caller's texts to its embeddings: permits, tokens, batches, vectors."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.embedder.batching import metrics
from services.embedder.batching.batch import Waiting
from services.embedder.batching.permits import Permits
from services.embedder.batching.queue import BatchQueue, Urgency
from services.embedder.batching.submission import Submission
from services.embedder.batching.workers import Workers
from services.embedder.encoding.backbone import Backbone
from services.embedder.encoding.pairs import combined
from services.embedder.encoding.tokenizing import Text, Tokenized
from services.embedder.errors import TooLate, WorkerDied

LOGGER = logging.getLogger(__name__)
# Texts tokenised in one go: some milliseconds, after which a caller that has gone is noticed.
_SLICE = 256
_NO_TOKENS = "the tokenizer makes no token of it"


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """What became of n texts or pairs.

    Attributes:
        vectors: float32, shape (n, D); of a failed one they mean nothing.
        failed: Why some have no vector, by position.
        truncated: Which were longer than what is kept of a text, bool, shape (n,).
    """

    vectors: npt.NDArray[np.float32]
    failed: dict[int, str]
    truncated: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """How much is in work at once.

    Attributes:
        workers: Batches that run at once, at least 1.
        tokenizers: Threads that tokenise, at least 1.
        interactive_tokens: Tokens of people's requests in work, beyond which they are refused. A text counts with the
            most tokens that it can have.
        bulk_tokens: Tokens of bulk work in work, beyond which it waits.
        patience: Seconds after which a bulk batch goes before interactive ones.
    """

    workers: int = 1
    tokenizers: int = 1
    interactive_tokens: int = 524_288
    bulk_tokens: int = 4_194_304
    patience: float = 2.0

    def __post_init__(self) -> None:
        """Raises ValueError that names the option, its limit and its value."""
        for name in ("workers", "tokenizers", "interactive_tokens", "bulk_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}")
        if self.patience < 0:
            raise ValueError(f"patience must be at least 0, got {self.patience:g}")


class Encoder:
    """Embeds texts of many callers in common batches. For one event loop; the work is in threads.

    Args:
        options: How much is in work at once.
    """

    def __init__(self, options: EncoderOptions) -> None:
        self._queue = BatchQueue(options.patience)
        self._workers = Workers(self._queue, options.workers)
        self._tokenizers = ThreadPoolExecutor(options.tokenizers, thread_name_prefix="tokenize")
        self._permits = {
            Urgency.INTERACTIVE: Permits(options.interactive_tokens),
            Urgency.BULK: Permits(options.bulk_tokens),
        }

    def alive(self) -> bool:
        """Tells whether texts can be embedded."""
        return self._workers.alive()

    def close(self) -> None:
        """Ends the threads; who still waits is answered with an error."""
        self._tokenizers.shutdown(cancel_futures=True)
        self._queue.clear(WorkerDied, close=True)
        self._workers.close()

    async def encode(
        self, backbone: Backbone, texts: Sequence[Text], urgency: Urgency, deadline: float | None = None
    ) -> Encoded:
        """Embeds texts, or pairs where the backbone has a pair mode.

        Args:
            backbone: What embeds.
            texts: n texts with their pairs, n at least 0.
            urgency: INTERACTIVE is refused where there is no room; BULK waits.
            deadline: When the caller stops waiting, on the clock of `time.monotonic`; None for never.

        Raises:
            Overloaded: There is no room for an interactive request.
            TooLate: The deadline passed.
            WorkerDied: A thread ended in the middle.
        """
        sequences = backbone.sequences(texts)
        if not sequences:
            empty = np.zeros((0, backbone.dimension), np.float32)
            return Encoded(empty, {}, np.zeros(0, np.bool_))
        most = backbone.definition.max_length
        # No tokenizer makes many more tokens of a text than it has characters, and the special ones.
        tokens = sum(min(most, len(text) + len(pair or "") + 4) for text, pair in sequences)
        permits = self._permits[urgency]
        if urgency is Urgency.INTERACTIVE:
            permits.take_now(tokens)
        else:
            await permits.take(tokens)
        submission = Submission(len(sequences), backbone.engine.dimension, deadline)
        try:
            async with asyncio.timeout(None if deadline is None else max(0.0, deadline - time.monotonic())):
                truncated = await self._submit(backbone, sequences, submission, urgency)
                vectors = await asyncio.wrap_future(submission.future)
        except TimeoutError:
            raise TooLate from None
        finally:
            # Does nothing where all is answered; else workers drop what is left.
            submission.cancel()
            permits.give(tokens)
        per_text = len(sequences) // len(texts)
        return Encoded(
            combined(vectors, backbone.definition.pair_mode),
            {row % len(texts): why for row, why in sorted(submission.failed.items(), reverse=True)},
            np.logical_or.reduce(truncated.reshape(per_text, len(texts))),
        )

    async def _submit(
        self, backbone: Backbone, sequences: Sequence[Text], submission: Submission, urgency: Urgency
    ) -> npt.NDArray[np.bool_]:
        """Tokenises sequences and queues them; returns which were truncated, shape (rows,)."""
        loop = asyncio.get_running_loop()
        slices = [
            loop.run_in_executor(
                self._tokenizers,
                self._tokenize,
                backbone,
                sequences[start : start + _SLICE],
                start,
                submission,
                urgency,
            )
            for start in range(0, len(sequences), _SLICE)
        ]
        return np.concatenate(await asyncio.gather(*slices))

    def _tokenize(
        self, backbone: Backbone, sequences: Sequence[Text], start: int, submission: Submission, urgency: Urgency
    ) -> npt.NDArray[np.bool_]:
        begun = time.perf_counter()
        if why := submission.dropped(time.monotonic()):
            metrics.DROPPED.labels(why).inc(len(sequences))
            return np.zeros(len(sequences), np.bool_)
        tokenized = _tokenized(backbone, sequences)
        metrics.TOKENIZE_SECONDS.inc(time.perf_counter() - begun)
        waiting = []
        for row, one in enumerate(tokenized, start):
            if one.tokens is None:
                submission.fail(row, _NO_TOKENS)
            else:
                waiting.append(Waiting(backbone.engine, one.tokens, submission, row))
        self._queue.put(waiting, urgency, WorkerDied)
        return np.fromiter((one.truncated for one in tokenized), np.bool_, len(tokenized))


def _tokenized(backbone: Backbone, sequences: Sequence[Text]) -> list[Tokenized]:
    """Tokenises sequences; where that fails, each alone, so that only those fail that cannot be tokenised."""
    try:
        return backbone.tokenizer.tokenize(sequences)
    except Exception:
        if len(sequences) == 1:
            LOGGER.exception("a text of %d characters cannot be tokenised", len(sequences[0][0]))
            return [Tokenized(None, truncated=False)]
        return [one for sequence in sequences for one in _tokenized(backbone, [sequence])]
