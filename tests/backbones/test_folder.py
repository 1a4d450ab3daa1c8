"""What a folder says about pooling, length and normalisation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from services.backbones import BackboneNotLoadable, content_digest, fingerprint, read_folder


def folder_with(place: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return place


def sentence_folder(place: Path, pooling: dict[str, Any], *, more: tuple[str, ...] = ()) -> Path:
    types = ("Transformer", "Pooling", *more)
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": f"{n}_{kind}"} for n, kind in enumerate(types)]
    return folder_with(
        place,
        {
            "config.json": {"max_position_embeddings": 512},
            "modules.json": modules,
            "1_Pooling/config.json": pooling,
            "sentence_bert_config.json": {"max_seq_length": 128},
        },
    )


def test_minilm_is_a_sentence_encoder_of_256_tokens_mean_and_unit_vectors(minilm_path: Path) -> None:
    found = read_folder(minilm_path)
    assert (found.pooling, found.default_length, found.limit) == ("mean", 256, 512)
    assert found.normalize
    assert found.sentence_encoder
    assert not found.unsupported


def test_a_plain_folder_names_no_pooling_and_keeps_512_tokens(tmp_path: Path) -> None:
    files = {"config.json": {"max_position_embeddings": 2048}, "tokenizer_config.json": {"model_max_length": 1e30}}
    found = read_folder(folder_with(tmp_path, files))
    assert (found.pooling, found.default_length, found.limit) == (None, 512, 2048)
    assert not found.normalize
    assert not found.sentence_encoder


@pytest.mark.parametrize(
    ("config", "tokenizer", "limit"),
    [
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, {}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514}, {}, 512),
        ({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, {}, 512),
        ({"model_type": "gpt2", "n_positions": 1024}, {"model_max_length": 700}, 700),
        ({}, {}, 8192),
    ],
)
def test_the_limit_is_the_positions_or_the_tokenizers(
    tmp_path: Path, config: dict[str, Any], tokenizer: dict[str, Any], limit: int
) -> None:
    found = read_folder(folder_with(tmp_path, {"config.json": config, "tokenizer_config.json": tokenizer}))
    assert found.limit == limit


@pytest.mark.parametrize(
    ("settings", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last_token"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
)
def test_the_pooling_of_the_sentence_layout_is_followed(tmp_path: Path, settings: dict[str, Any], pooling: str) -> None:
    found = read_folder(sentence_folder(tmp_path, settings, more=("Normalize",)))
    assert (found.pooling, found.default_length, found.normalize, found.unsupported) == (pooling, 128, True, "")


def test_what_the_layout_asks_beyond_that_is_named_not_ignored(tmp_path: Path) -> None:
    found = read_folder(sentence_folder(tmp_path / "a", {"pooling_mode_max_tokens": True}))
    assert (found.pooling, found.unsupported) == (None, "the pooling pooling_mode_max_tokens")
    found = read_folder(sentence_folder(tmp_path / "b", {"pooling_mode_mean_tokens": True}, more=("Dense",)))
    assert (found.pooling, found.unsupported) == ("mean", "the module Dense")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackboneNotLoadable, match=r"config\.json"):
        read_folder(folder_with(tmp_path, {"config.json": "{"}))


def test_the_digest_changes_with_every_file_that_decides_embeddings(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "copy")
    first = content_digest(folder)
    assert first == content_digest(tiny_bert)
    (folder / "README.md").write_text("nothing that decides")
    assert content_digest(folder) == first
    seen = {first}
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
        path = folder / name
        path.write_bytes(path.read_bytes() + b" ")
        seen.add(content_digest(folder))
    assert len(seen) == 5


def test_the_fingerprint_tells_every_setting_apart() -> None:
    usual: dict[str, Any] = {"pooling": "mean", "max_length": 256, "normalize": True, "pair_mode": None}
    others: list[dict[str, Any]] = [
        {"pooling": "cls"}, {"max_length": 128}, {"normalize": False}, {"pair_mode": "full"}, {"lower_case": True}
    ]  # fmt: skip
    prints = {fingerprint("a", **{**usual, **other}) for other in [{}, *others]} | {fingerprint("b", **usual)}
    assert len(prints) == 7
    assert all(len(one) == 16 for one in prints)
