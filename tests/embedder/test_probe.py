"""The choice of an engine: by measurement, and never at the cost of the vectors."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from services.backbones import BackboneNotLoadable, content_digest
from services.embedder.encoding import record
from services.embedder.encoding.engine import Engine, Padded, Tokens, pad
from services.embedder.encoding.loading import EngineKey, load_engine
from services.embedder.encoding.options import EncodingOptions
from services.embedder.encoding.probe import Candidate, Probe, choose, least, make_probe
from services.embedder.encoding.tokenizing import Tokenizer
from services.pools import Pooling

BATCHES = [pad([Tokens(np.array(ids, np.int32)) for ids in ([1, 2, 3], [4, 5])], 0)]
PROBE = Probe(BATCHES, BATCHES)


class Twisted:
    """An engine whose vectors are turned by an angle, after a number of waits on a clock that nothing else uses."""

    def __init__(self, angle: float, rounds: int) -> None:
        self.name, self.dimension, self.pad_id, self.budget = "twisted", 2, 0, 32
        self._angle, self._rounds = angle, rounds
        self._never = threading.Event()

    def embed(self, batch: Padded) -> npt.NDArray[np.float32]:
        for _ in range(self._rounds):
            self._never.wait(0.002)
        return np.tile(np.array([np.cos(self._angle), np.sin(self._angle)], np.float32), (len(batch.ids), 1))


def candidate(name: str, angle: float, rounds: int) -> Candidate:
    return Candidate(name, "float32", lambda: Twisted(angle, rounds))


def broken() -> Engine:
    raise NotImplementedError("no such architecture")


REFERENCE = [np.tile(np.array([1, 0], np.float32), (2, 1))]


def test_the_fastest_is_taken() -> None:
    candidates = [candidate("slow", 0, 10), candidate("fast", 0.001, 0), candidate("middle", 0, 4)]
    best = choose(candidates, REFERENCE, PROBE, workers=2, least_cosine=0.9999)
    assert best is not None
    assert best.candidate.engine == "fast"
    assert 0.9999 < best.cosine < 1


def test_a_fast_engine_that_changes_the_vectors_is_not_taken() -> None:
    candidates = [candidate("slow", 0, 4), candidate("wrong", 0.02, 0)]
    best = choose(candidates, REFERENCE, PROBE, workers=1, least_cosine=0.9999)
    assert best is not None
    assert best.candidate.engine == "slow"


@pytest.mark.parametrize(("lost", "taken"), [(0.7e-4, True), (0.9e-4, False)])
def test_the_probe_leaves_room_for_texts_that_lose_more_than_its_own(lost: float, taken: bool) -> None:
    candidates = [candidate("near", float(np.arccos(1 - lost)), 0)]
    best = choose(candidates, REFERENCE, PROBE, workers=1, least_cosine=0.9999)
    assert (best is not None) is taken


def test_a_little_faster_is_not_enough_to_pass_an_earlier_one() -> None:
    best = choose(
        [candidate("first", 0, 20), candidate("second", 0, 19)], REFERENCE, PROBE, workers=1, least_cosine=0.9
    )
    assert best is not None
    assert best.candidate.engine == "first"


def test_the_probe_compares_hundreds_of_fragments_of_every_length(minilm_path: Path) -> None:
    probe = make_probe(Tokenizer(minilm_path, max_length=256), tokens=512)
    lengths = {int(length) for batch in probe.likeness for length in batch.mask.sum(axis=1)}
    assert sum(len(batch.ids) for batch in probe.likeness) > 200
    assert {3, 4, 5, 8, 12} <= lengths
    assert max(lengths) == 256 or max(lengths) > 150
    # The first rows of what is traced differ in length, so that padding is in the graph.
    assert (probe.speed[0].mask[:4] == 0).any()


def test_an_engine_that_cannot_run_is_passed_over_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    candidates = [Candidate("broken", "bfloat16", broken), candidate("works", 0, 0)]
    with caplog.at_level(logging.WARNING):
        best = choose(candidates, REFERENCE, PROBE, workers=1, least_cosine=0.9999)
    assert best is not None
    assert best.candidate.engine == "works"
    assert "broken bfloat16 cannot run this backbone" in caplog.text
    assert choose(candidates[:1], REFERENCE, PROBE, workers=1, least_cosine=0.9999) is None


def test_the_least_cosine_is_over_all_rows_and_no_number_is_none() -> None:
    u = np.array([[1, 0], [1, 1], [0, 0]], np.float32)
    assert least(u, u) == 1
    assert least(u, np.array([[1, 0], [1, 0], [0, 0]], np.float32)) == pytest.approx(0.5**0.5)
    assert least(np.array([[1, np.nan]], np.float32), np.array([[1, 0]], np.float32)) == -1


def key_of(folder: Path) -> EngineKey:
    return EngineKey(content=content_digest(folder), pooling=Pooling.MEAN, normalize=False, types=False)


def test_a_choice_is_kept_and_not_measured_again(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Tokenizer(tiny_bert, max_length=32)
    options = EncodingOptions(device="cpu", threads=1, cache=tmp_path)
    first = load_engine(tiny_bert, key_of(tiny_bert), tokenizer, options)
    (kept,) = tmp_path.rglob("choice-*.json")
    choice = json.loads(kept.read_text())
    assert first.name == f"{choice['engine']} {choice['precision']}"
    assert choice["least_cosine"] >= 0.9999
    assert choice["tokens_per_second"] > 0

    def measured(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("services.embedder.encoding.loading.choose", measured)
    again = load_engine(tiny_bert, key_of(tiny_bert), tokenizer, options)
    assert again.name == first.name
    (batch, _) = make_probe(tokenizer, tokens=64).speed
    np.testing.assert_allclose(again.embed(batch), first.embed(batch), atol=1e-6)
    # What is kept and cannot be read is measured again.
    kept.write_text("{")
    with pytest.raises(AssertionError, match="measured again"):
        load_engine(tiny_bert, key_of(tiny_bert), tokenizer, options)


def test_what_is_measured_belongs_to_one_machine_and_one_set_of_options() -> None:
    assert record.machine(1, 0.9999) == record.machine(1, 0.9999)
    assert record.machine(1, 0.9999) != record.machine(2, 0.9999)


def test_a_demanded_engine_that_is_not_installed_says_so(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(BackboneNotLoadable, match="engine openvino, which is not installed"):
        load_engine(
            tiny_bert,
            key_of(tiny_bert),
            Tokenizer(tiny_bert, max_length=32),
            EncodingOptions(engine="openvino", device="cpu", threads=1),
        )


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"engine": "onnx"}, "engine must be one of auto, torch, openvino, got 'onnx'"),
        ({"precision": "int8"}, "precision must be one of"),
        ({"device": "tpu"}, "device must be one of"),
        ({"threads": 0}, "threads must be between 1 and 1024, got 0"),
        ({"budget": -1}, "token-budget"),
        ({"least_cosine": 1.5}, "least-cosine must be between 0 and 1, got 1.5"),
        ({"engine": "openvino", "device": "cuda"}, "runs on a CPU"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        EncodingOptions(**options)  # type: ignore[arg-type]
