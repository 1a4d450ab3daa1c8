"""Tiny random backbones of several families, and what plain transformers makes of a text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoTokenizer,
    GPT2Config,
    GPT2Model,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5Model,
)

LIMIT = 40
SIZE = 32


def bytes_tokenizer(folder: Path, *, special: bool) -> PreTrainedTokenizerFast:
    """A tokenizer of single bytes; with special tokens as RoBERTa has them, or as GPT-2, with no padding token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<s>", "<pad>", "</s>", "<unk>"] if special else ["<|end|>"]
    backend = Tokenizer(models.BPE({token: number for number, token in enumerate([*names, *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if special:
        backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
        settings = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    else:
        settings = {"eos_token": "<|end|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=LIMIT, **settings)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(folder)
    return tokenizer


def roberta(folder: Path) -> Path:
    """Counts positions from its padding id."""
    torch.manual_seed(1)
    size = len(bytes_tokenizer(folder, special=True))
    config = RobertaConfig(
        vocab_size=size, hidden_size=SIZE, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=LIMIT + 2, pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1,
    )  # fmt: skip
    RobertaModel(config).save_pretrained(folder)
    return folder


def gpt2(folder: Path) -> Path:
    """Attends to the left only, and has no padding token."""
    torch.manual_seed(2)
    size = len(bytes_tokenizer(folder, special=False))
    GPT2Model(GPT2Config(vocab_size=size, n_embd=SIZE, n_layer=2, n_head=2, n_positions=LIMIT)).save_pretrained(folder)
    return folder


def t5(folder: Path) -> Path:
    """Has a decoder, which embedding does without."""
    torch.manual_seed(3)
    size = len(bytes_tokenizer(folder, special=True))
    config = T5Config(vocab_size=size, d_model=SIZE, d_kv=16, d_ff=64, num_layers=2, num_heads=2, pad_token_id=1)
    T5Model(config).save_pretrained(folder)
    return folder


def with_poison(bert: Path, folder: Path, word: str) -> Path:
    """A copy of a BERT folder that gives NaN for every text with a word, and for no other."""
    shutil.copytree(bert, folder)
    model = AutoModel.from_pretrained(folder)
    number = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(word)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[number] = torch.nan
    model.save_pretrained(folder)
    return folder


def as_sentence_encoder(plain: Path, folder: Path, *, max_length: int = 16, normalize: bool = True) -> Path:
    """A copy of a folder in the layout of sentence-transformers."""
    shutil.copytree(plain, folder)
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": number, "name": str(number), "path": paths[number], "type": f"sentence_transformers.models.{kind}"}
        for number, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": max_length}))
    return folder


class Plain:
    """What plain transformers makes of one text at a time: no batch, no padding, float32."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model: Any = AutoModel.from_pretrained(folder).eval()
        self._model: Any = model.get_encoder() if model.config.is_encoder_decoder else model

    def embed(
        self, text: str, pair: str | None = None, *, pooling: str, max_length: int, normalize: bool = False
    ) -> npt.NDArray[np.float64]:
        tokens = self._tokenizer(text, pair, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.inference_mode():
            states = self._model(**tokens).last_hidden_state[0].numpy().astype(np.float64)
        vector: npt.NDArray[np.float64] = {
            "mean": lambda: sum(states[row] for row in range(len(states))) / len(states),
            "cls": lambda: states[0],
            "last_token": lambda: states[len(states) - 1],
        }[pooling]()
        return vector / np.sqrt((vector * vector).sum()) if normalize else vector


def cosine(u: npt.NDArray[np.floating], v: npt.NDArray[np.floating]) -> float:
    a, b = u.astype(np.float64), v.astype(np.float64)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
