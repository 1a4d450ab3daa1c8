"""From a backbone's folder to the engine that runs it here."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from services.backbones import BackboneNotLoadable
from services.embedder.encoding import record
from services.embedder.encoding.engine import Engine
from services.embedder.encoding.network import Network, example, load_network
from services.embedder.encoding.options import EncodingOptions
from services.embedder.encoding.probe import REVISION, Candidate, Probe, choose, make_probe
from services.embedder.encoding.tokenizing import Tokenizer
from services.embedder.encoding.torch_engine import TorchEngine, cuda_available
from services.pools import Pooling

LOGGER = logging.getLogger(__name__)
_PROBE_TOKENS = 512
_SAME_GRAPH = 0.99


@dataclass(frozen=True, kw_only=True)
class EngineKey:
    """What decides an engine: backbones that agree in it share one.

    Attributes:
        content: The digest of the backbone's files.
        pooling: How token states become one vector.
        normalize: Whether vectors have unit length.
        types: Whether sequences carry token types.
    """

    content: str
    pooling: Pooling
    normalize: bool
    types: bool


def uses_gpu(options: EncodingOptions) -> bool:
    """Tells whether backbones run on a GPU here."""
    return options.device == "cuda" or (options.device == "auto" and options.engine != "openvino" and cuda_available())


def load_engine(folder: Path, key: EngineKey, tokenizer: Tokenizer, options: EncodingOptions) -> Engine:
    """Returns the fastest engine on this machine that keeps the backbone's vectors.

    What was found once is kept in the cache: the next load takes a fraction of a second. The first takes seconds, more
    for a large backbone.

    Raises:
        BackboneNotLoadable: The folder holds no transformer that can be used, or not in the way the options demand.
    """
    begun = time.perf_counter()
    engine = _Loader(folder, key, tokenizer, options).load()
    LOGGER.info("loaded %s", folder, extra={"engine": engine.name, "seconds": round(time.perf_counter() - begun, 2)})
    return engine


class _Loader:
    def __init__(self, folder: Path, key: EngineKey, tokenizer: Tokenizer, options: EncodingOptions) -> None:
        self._folder = folder
        self._key = key
        self._tokenizer = tokenizer
        self._options = options
        self._on_gpu = uses_gpu(options)
        self._workers = options.workers(on_gpu=self._on_gpu)
        self._made: Network | None = None
        self._probed: Probe | None = None
        self._kept: Path | None = None
        if options.cache is not None:
            name = f"{key.content[:16]}-{key.pooling.value}{'-unit' * key.normalize}{'-types' * key.types}"
            self._kept = options.cache / name

    def load(self) -> Engine:
        candidates = self._candidates()
        if not candidates:
            raise BackboneNotLoadable(
                str(self._folder), [f"engine {self._options.engine}, which is not installed"], "Use --engine auto"
            )
        if [candidate.engine for candidate in candidates] == ["torch"]:
            return self._only(candidates[0])
        choice = self._kept and self._kept / (
            f"choice-{record.machine(REVISION, self._options.threads, self._options.least_cosine, self._on_gpu)}.json"
        )
        known = record.read(choice) if choice else None
        for candidate in candidates:
            if (candidate.engine, candidate.precision) == known:
                try:
                    return candidate.make()
                except Exception:
                    LOGGER.exception("what was kept does not load; measuring again")
        reference = self._torch("float32", device="cpu")
        wanted = [reference.embed(batch) for batch in self._probe().likeness]
        # Who demands a precision takes what it costs; a converted graph must still be that of the backbone.
        demanded = self._options.precision != "auto"
        best = choose(
            candidates,
            wanted,
            self._probe(),
            workers=self._workers,
            least_cosine=_SAME_GRAPH if demanded else self._options.least_cosine,
        )
        if best is None:
            raise BackboneNotLoadable(
                str(self._folder),
                [f"{candidate.engine} {candidate.precision}" for candidate in candidates],
                "The server's log says why each failed",
            )
        if choice:
            record.write(
                choice,
                engine=best.candidate.engine,
                precision=best.candidate.precision,
                cosine=best.cosine,
                tokens_per_second=best.tokens_per_second,
            )
        return best.engine

    def _only(self, candidate: Candidate) -> Engine:
        """Returns torch as it is demanded, or all there is: there is nothing to measure it against."""
        try:
            return candidate.make()
        except BackboneNotLoadable:
            raise
        except Exception as error:
            LOGGER.exception("%s %s cannot run %s", candidate.engine, candidate.precision, self._folder)
            raise BackboneNotLoadable(
                str(self._folder),
                [f"{candidate.engine} {candidate.precision} ({type(error).__name__}: {str(error)[:200]})"],
                "Use --engine auto --precision auto, or another backbone",
            ) from error

    def _candidates(self) -> list[Candidate]:
        options = self._options
        native = self._on_gpu or record.native_bfloat16()
        chosen = {"auto": ["bfloat16", "float32"] if native else ["float32"]}
        precisions = chosen.get(options.precision, [options.precision])
        found = []
        for precision in precisions:
            if self._on_gpu:
                found.append(Candidate("torch", precision, partial(self._torch, precision, device="cuda")))
                continue
            if options.engine != "torch" and importlib.util.find_spec("openvino"):
                found.append(Candidate("openvino", precision, partial(self._openvino, precision)))
            if options.engine != "openvino":
                found.append(Candidate("torch", precision, partial(self._torch, precision, device="cpu")))
        return found

    def _probe(self) -> Probe:
        self._probed = self._probed or make_probe(self._tokenizer, tokens=_PROBE_TOKENS)
        return self._probed

    def _network(self) -> Network:
        if self._made is None:
            self._made = load_network(self._folder, self._key.pooling, normalize=self._key.normalize)
        return self._made

    def _torch(self, precision: str, *, device: str) -> Engine:
        return TorchEngine(
            self._network(),
            device=device,
            precision=precision,
            pad_id=self._tokenizer.pad_id,
            threads=max(1, self._options.threads // self._workers),
            budget=self._options.budget,
        )

    def _openvino(self, precision: str) -> Engine:
        # Imported where it is chosen: it is not installed on every machine.
        from services.embedder.encoding.openvino_engine import OpenVinoEngine, convert, is_converted

        with ExitStack() as stack:
            if self._kept is None:
                # The engine keeps the weights mapped after their file is gone.
                graph = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prepal-"))) / "graph"
            else:
                graph = self._kept / f"openvino-{record.libraries()}"
            if not is_converted(graph):
                convert(self._network(), example(self._probe().speed[0]), graph)
            return OpenVinoEngine(
                graph,
                precision=precision,
                pad_id=self._tokenizer.pad_id,
                workers=self._workers,
                threads=self._options.threads,
                budget=self._options.budget,
            )
