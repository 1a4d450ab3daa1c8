"""Tokens against plain transformers."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from services.backbones import BackboneNotLoadable
from services.embedder.encoding.tokenizing import Text, Tokenizer
from tests.embedder.models import gpt2, roberta

WORDS = st.lists(st.sampled_from(["a", "fine", "film", "Dull", "été", "日本", "x1", ".", "  "]), min_size=1, max_size=9)
TEXTS = WORDS.map(" ".join)


@pytest.fixture(scope="module")
def plain(minilm_path: Path) -> Any:
    return AutoTokenizer.from_pretrained(minilm_path)


@pytest.fixture(scope="module")
def joint(minilm_path: Path) -> Tokenizer:
    return Tokenizer(minilm_path, max_length=9, pairs=True)


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS)
def test_tokens_of_a_pair_are_those_of_transformers(plain: Any, joint: Tokenizer, text: str, pair: str) -> None:
    (made,) = joint.tokenize([(text, pair)])
    whole, cut = plain(text, pair), plain(text, pair, truncation=True, max_length=9)
    assert made.tokens is not None
    assert made.tokens.types is not None
    assert made.tokens.ids.tolist() == cut["input_ids"]
    assert made.tokens.types.tolist() == cut["token_type_ids"]
    assert made.truncated == (len(whole["input_ids"]) > 9)


@pytest.mark.parametrize("make", [roberta, gpt2])
def test_other_families_are_tokenised_as_transformers_does(make: Any, tmp_path: Path) -> None:
    folder = make(tmp_path)
    expected = AutoTokenizer.from_pretrained(folder)
    texts: list[Text] = [("a fine film", None), ("🎬", None), ("a", None)]
    for (text, _), made in zip(texts, Tokenizer(folder, max_length=8).tokenize(texts), strict=True):
        assert made.tokens is not None
        assert made.tokens.types is None
        assert made.tokens.ids.tolist() == expected(text, truncation=True, max_length=8)["input_ids"]


def test_a_tokenizer_without_padding_pads_with_the_end_of_a_text(tmp_path: Path) -> None:
    tokenizer = Tokenizer(gpt2(tmp_path), max_length=8)
    assert tokenizer.pad_id == 0
    assert tokenizer.tokenize([("", None)])[0].tokens is None


def test_many_threads_get_what_one_gets(minilm_path: Path) -> None:
    tokenizer = Tokenizer(minilm_path, max_length=16)
    texts: list[Text] = [(f"film number {number} was fine", None) for number in range(200)]
    alone = [one.tokens.ids.tolist() for one in tokenizer.tokenize(texts) if one.tokens]
    with ThreadPoolExecutor(4) as threads:
        for many in threads.map(tokenizer.tokenize, [texts] * 8):
            assert [one.tokens.ids.tolist() for one in many if one.tokens] == alone


def test_a_length_that_special_tokens_fill_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(BackboneNotLoadable, match=r"max_length 3.*at least 4"):
        Tokenizer(tiny_bert, max_length=3, pairs=True)
    assert Tokenizer(tiny_bert, max_length=3).tokenize([("good film", None)])[0].truncated


def test_texts_are_lowered_where_the_folder_says_so(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "cased")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_lower_case": False}))
    lowered = Tokenizer(folder, max_length=16, lower_case=True).tokenize([("GOOD", None)])[0].tokens
    plain = Tokenizer(folder, max_length=16).tokenize([("good", None)])[0].tokens
    assert lowered is not None
    assert plain is not None
    assert lowered.ids.tolist() == plain.ids.tolist()


def test_a_folder_without_a_tokenizer_says_so(tiny_bert: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_bert / name, tmp_path / name)
    with pytest.raises(BackboneNotLoadable, match="tokenizer"):
        Tokenizer(tmp_path, max_length=16)
