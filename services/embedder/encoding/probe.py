"""Which engine is fastest on this machine, among those that keep the vectors."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.embedder.encoding.engine import Engine, Padded, Tokens, pad
from services.embedder.encoding.tokenizing import Tokenizer

LOGGER = logging.getLogger(__name__)
# To be raised when what is measured or how it is judged changes: choices made before are not used then.
REVISION = 1
_ROUNDS = 2
# Half as slow again in one round is more than noise.
_FAR = 1.5
_CLEARLY = 1.1
_SHARE = 0.8
_FRAGMENT_WORDS = (1, 2, 3, 5, 8)
_ROWS = 64
_SENTENCES = (
    "A quiet film that earns every one of its tears.",
    "Shares fell 3.2% on Tuesday after the company cut its forecast for the year.",
    "How many moons does Jupiter have?",
    "dull",
    "The committee could not agree on whether the bridge, which had stood for ninety years, should be replaced.",
    "Returns the row-wise maximum of a sparse matrix, or raises ValueError when it is empty.",
    "no movement, no yuks, not much of anything",
    "Two children in yellow raincoats are jumping into a puddle beside a parked bicycle.",
    "I have been a customer since 2009 and this is the first time that my order arrived broken; I want my money back.",
    "Ja, das ist in Ordnung. Merci beaucoup! これは試験です。",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that may be used.

    Attributes:
        engine, precision: What it is, for the record that is kept.
        make: Makes it; may raise anything.
    """

    engine: str
    precision: str
    make: Callable[[], Engine]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What a candidate did.

    Attributes:
        candidate: Which one.
        engine: It, ready for use.
        cosine: The least cosine similarity to the reference.
        tokens_per_second: With all workers busy.
    """

    candidate: Candidate
    engine: Engine
    cosine: float
    tokens_per_second: float


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """What candidates embed.

    Attributes:
        likeness: Batches on which vectors are compared: hundreds of fragments, since vectors of very short texts lose
            most, and some long texts.
        speed: Batches that are timed: sentences, and long texts.
    """

    likeness: Sequence[Padded]
    speed: Sequence[Padded]


def make_probe(tokenizer: Tokenizer, *, tokens: int) -> Probe:
    """Returns a probe whose timed batches have some `tokens` tokens each."""
    words = [sentence.split() for sentence in _SENTENCES]
    fragments = {
        " ".join(line[start : start + size])
        for line in words
        for size in _FRAGMENT_WORDS
        for start in range(0, len(line), size)
    }
    long = [" ".join(_SENTENCES[start:] + _SENTENCES[:start]) for start in range(len(_SENTENCES))]
    pieces = sorted(_sequences(tokenizer, sorted(fragments)), key=lambda one: len(one.ids))
    timed = []
    for texts in (_SENTENCES, long):
        sequences = _sequences(tokenizer, texts)
        width = max(len(one.ids) for one in sequences)
        rows = [sequences[row % len(sequences)] for row in range(max(len(sequences), tokens // width))]
        timed.append(pad(rows, tokenizer.pad_id))
    compared = [pad(pieces[start : start + _ROWS], tokenizer.pad_id) for start in range(0, len(pieces), _ROWS)]
    return Probe([*compared, *timed], timed)


def _sequences(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Tokens]:
    made = tokenizer.tokenize([(text, text if tokenizer.pairs else None) for text in texts])
    return [one.tokens for one in made if one.tokens is not None]


def choose(
    candidates: Sequence[Candidate],
    reference: Sequence[npt.NDArray[np.float32]],
    probe: Probe,
    *,
    workers: int,
    least_cosine: float,
) -> Measured | None:
    """Returns the fastest candidate that keeps the vectors, or None when there is none.

    Texts that nobody has seen yet may lose a little more than those of the probe, so a candidate may lose only
    four fifths of what is allowed (MiniLM in bfloat16: 5.8e-5 on the probe, 6.2e-5 on 1,500 texts of SST-2 with
    OpenVINO; 1.5e-4 and 1.9e-4 with torch). A later candidate must be clearly faster than an earlier one: on a busy
    machine a little is noise.

    Args:
        candidates: What may be used, most likely first. One that fails is logged and passed over.
        reference: The vectors of the likeness batches in float32, each (B, H).
        probe: What is embedded.
        workers: Threads that embed at once.
        least_cosine: The least cosine similarity to the reference that a candidate needs, over all rows.
    """
    best: Measured | None = None
    for candidate in candidates:
        name = f"{candidate.engine} {candidate.precision}"
        try:
            engine = candidate.make()
            pairs = zip(probe.likeness, reference, strict=True)
            cosine = min(least(engine.embed(batch), wanted) for batch, wanted in pairs)
        except Exception as error:  # noqa: BLE001 - an engine that cannot run a backbone fails in ways of its own
            LOGGER.warning("%s cannot run this backbone", name, extra={"why": f"{type(error).__name__}: {error}"[:500]})
            continue
        if 1 - cosine > _SHARE * (1 - least_cosine):
            LOGGER.warning("%s changes the vectors of this backbone too much", name, extra={"least_cosine": cosine})
            continue
        speed = _speed(engine, probe.speed, workers, to_beat=best.tokens_per_second if best else 0.0)
        LOGGER.info("measured %s", name, extra={"least_cosine": cosine, "tokens_per_second": round(speed)})
        if best is None or speed > _CLEARLY * best.tokens_per_second:
            best = Measured(candidate, engine, cosine, speed)
    return best


def least(vectors: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> float:
    """Returns the least cosine similarity of rows, -1 where one is not finite; two zero rows count as equal."""
    u, v = vectors.astype(np.float64), reference.astype(np.float64)
    lengths = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    same = (u == v).all(axis=1)
    cosines = np.where(same, 1.0, (u * v).sum(axis=1) / np.where(lengths > 0, lengths, 1.0))
    return float(np.where(np.isfinite(cosines), cosines, -1.0).min())


def _speed(engine: Engine, batches: Sequence[Padded], workers: int, *, to_beat: float) -> float:
    """Returns tokens per second with all workers busy; less exactly where it is far from `to_beat` already."""
    work = [batch for batch in batches for _ in range(workers)]
    tokens = float(sum(batch.mask.sum() for batch in work))
    best = 0.0
    with ThreadPoolExecutor(workers) as threads:
        # Makes each thread's own state, and kernels for new shapes.
        list(threads.map(engine.embed, [batches[0]] * workers))
        for _ in range(_ROUNDS):
            begun = time.perf_counter()
            list(threads.map(engine.embed, work))
            best = max(best, tokens / (time.perf_counter() - begun))
            if best < to_beat / _FAR:
                break
    return best
