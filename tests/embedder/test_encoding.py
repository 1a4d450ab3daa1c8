"""Vectors against plain transformers, one text at a time, in float32."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.embedder.batching.encoder import Encoded, Encoder, EncoderOptions
from services.embedder.batching.queue import Urgency
from services.embedder.encoding.backbones import Backbones
from services.embedder.encoding.loading import load_engine
from services.embedder.encoding.options import EncodingOptions
from services.embedder.encoding.resolve import Wanted
from services.embedder.encoding.tokenizing import Text
from services.pools import PairMode, Pooling
from tests.embedder.models import Plain, as_sentence_encoder, cosine, gpt2, roberta, t5

TEXTS = [
    "a fine film",
    "the plot was dull, and the film is a good deal longer than it was bad",
    "good",
    "was it a fine film or a dull one",
    "bad plot",
    "the the the the",
]
PAIRS: list[Text] = [(text, TEXTS[-1 - row]) for row, text in enumerate(TEXTS)]
SINGLES: list[Text] = [(text, None) for text in TEXTS]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> dict[str, Path]:
    return {
        "bert": tiny_bert,
        "roberta": roberta(tmp_path_factory.mktemp("roberta")),
        "gpt2": gpt2(tmp_path_factory.mktemp("gpt2")),
        "t5": t5(tmp_path_factory.mktemp("t5")),
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted backbones, so that each is converted once."""
    return tmp_path_factory.mktemp("cache")


class Embedding:
    """Backbones and an encoder with one engine and precision."""

    def __init__(self, engine: str, precision: str = "float32", cache: Path | None = None) -> None:
        options = EncodingOptions(engine=engine, precision=precision, device="cpu", threads=2, budget=48, cache=cache)
        self.backbones = Backbones(
            lambda resolved, key, tokenizer: load_engine(resolved.folder.path, key, tokenizer, options),
            most=8,
            most_bytes=1 << 30,
        )
        self.encoder = Encoder(EncoderOptions(workers=2, tokenizers=2))

    async def embed(self, wanted: Wanted, texts: list[Text]) -> Encoded:
        return await self.encoder.encode(await self.backbones.get(wanted), texts, Urgency.BULK)

    def close(self) -> None:
        self.encoder.close()
        self.backbones.close()


@pytest.fixture(params=["torch", "openvino"])
async def embedding(request: pytest.FixtureRequest, cache: Path) -> AsyncIterator[Embedding]:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed on this machine")
    embedding = Embedding(request.param, cache=cache)
    yield embedding
    embedding.close()


@pytest.mark.parametrize(
    ("family", "pooling"),
    [("bert", "mean"), ("roberta", "cls"), ("gpt2", "last_token"), ("t5", "mean")],
)
async def test_vectors_are_those_of_plain_transformers(
    embedding: Embedding, folders: dict[str, Path], family: str, pooling: str
) -> None:
    wanted = Wanted(model=str(folders[family]), pooling=Pooling(pooling), max_length=24)
    encoded = await embedding.embed(wanted, SINGLES)
    plain = Plain(folders[family])
    for row, (text, _) in enumerate(SINGLES):
        expected = plain.embed(text, pooling=pooling, max_length=24)
        assert cosine(encoded.vectors[row], expected) > 0.99999
        np.testing.assert_allclose(encoded.vectors[row], expected, rtol=1e-3, atol=1e-4)
    assert encoded.truncated.tolist() == [len(plain._tokenizer(text)["input_ids"]) > 24 for text, _ in SINGLES]
    assert encoded.truncated.any()
    assert not encoded.truncated.all()


@pytest.mark.parametrize("family", ["bert", "roberta"])
async def test_a_joint_pair_is_one_sequence(embedding: Embedding, folders: dict[str, Path], family: str) -> None:
    wanted = Wanted(model=str(folders[family]), pooling=Pooling.CLS, pair_mode=PairMode.JOINT, max_length=32)
    encoded = await embedding.embed(wanted, PAIRS)
    plain = Plain(folders[family])
    for row, (text, pair) in enumerate(PAIRS):
        expected = plain.embed(text, pair, pooling="cls", max_length=32)
        assert cosine(encoded.vectors[row], expected) > 0.99999


@pytest.mark.parametrize("mode", [PairMode.COMPARE, PairMode.FULL])
async def test_other_pairs_are_made_of_the_two_texts_own_vectors(
    embedding: Embedding, folders: dict[str, Path], mode: PairMode
) -> None:
    wanted = Wanted(model=str(folders["bert"]), pooling=Pooling.MEAN, pair_mode=mode, normalize=True)
    encoded = await embedding.embed(wanted, PAIRS)
    plain = Plain(folders["bert"])
    for row, (text, pair) in enumerate(PAIRS):
        u, v = (
            plain.embed(one, pooling="mean", max_length=64, normalize=True) for one in (text, pair) if one is not None
        )
        parts = [abs(u - v), u * v] if mode is PairMode.COMPARE else [u, v, abs(u - v), u * v]
        np.testing.assert_allclose(encoded.vectors[row], np.concatenate(parts), atol=1e-5)


async def test_normalized_vectors_have_unit_length_and_the_folder_decides_what_is_left_open(
    embedding: Embedding, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = as_sentence_encoder(folders["bert"], tmp_path / "sentence")
    encoded = await embedding.embed(Wanted(model=str(folder)), SINGLES)
    plain = Plain(folder)
    for row, (text, _) in enumerate(SINGLES):
        expected = plain.embed(text, pooling="cls", max_length=16, normalize=True)
        np.testing.assert_allclose(encoded.vectors[row], expected, atol=1e-5)


async def test_bfloat16_stays_near_and_is_float32_outside(folders: dict[str, Path]) -> None:
    embedding, exact = Embedding("torch", "bfloat16"), Embedding("torch")
    wanted = Wanted(model=str(folders["bert"]))
    near, wished = await embedding.embed(wanted, SINGLES), await exact.embed(wanted, SINGLES)
    assert near.vectors.dtype == np.float32
    for u, v in zip(near.vectors, wished.vectors, strict=True):
        assert 0.999 < cosine(u, v) < 1
    embedding.close()
    exact.close()


async def test_batches_padding_and_order_change_nothing(folders: dict[str, Path]) -> None:
    embedding = Embedding("torch")
    wanted = Wanted(model=str(folders["bert"]))
    together = await embedding.embed(wanted, [(f"{text} {number}", None) for number in range(40) for text in TEXTS])
    for row in (0, 17, 239):
        text = f"{TEXTS[row % 6]} {row // 6}"
        alone = await embedding.embed(wanted, [(text, None)])
        np.testing.assert_allclose(together.vectors[row], alone.vectors[0], atol=1e-5)
    embedding.close()


async def test_no_texts_are_no_vectors(folders: dict[str, Path]) -> None:
    embedding = Embedding("torch")
    encoded = await embedding.embed(Wanted(model=str(folders["bert"]), pair_mode=PairMode.FULL), [])
    assert encoded.vectors.shape == (0, 128)
    embedding.close()


async def test_backbones_that_differ_in_length_only_share_an_engine_and_the_oldest_is_let_go(
    folders: dict[str, Path],
) -> None:
    embedding = Embedding("torch")
    wanted = Wanted(model=str(folders["bert"]), pooling=Pooling.MEAN)
    short, long = [await embedding.backbones.get(replace(wanted, max_length=length)) for length in (8, 16)]
    assert short.engine is long.engine
    assert short.fingerprint != long.fingerprint
    bounded = Backbones(embedding.backbones._load, most=1, most_bytes=1 << 30)
    first = await bounded.get(wanted)
    await bounded.get(replace(wanted, normalize=True))
    assert (await bounded.get(wanted)).engine is not first.engine
    bounded.close()
    embedding.close()
