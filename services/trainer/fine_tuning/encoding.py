"""Texts to tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from services.trainer.text import Text

_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokenized texts, in the order of the texts.

    Attributes:
        rows: for each text what the tokenizer gave, lists of its own length.
    """

    rows: list[dict[str, list[int]]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, shape (N,)."""
        return np.array([len(row["input_ids"]) for row in self.rows], dtype=np.int64)


def encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[Text], max_length: int, between: Callable[[], None]
) -> Encoded:
    """Tokenizes `texts`, keeping `max_length` tokens of each; of a pair the longer text is cut first.

    `max_length` counts the special tokens too; where it leaves no room beside them, one token of text is kept.
    `between` is called now and then, so that a long list can be given up by raising.
    """
    rows: list[dict[str, list[int]]] = [{} for _ in texts]
    for pairs in (False, True):
        chosen = [row for row, text in enumerate(texts) if (text.text_pair is not None) == pairs]
        limit = max(max_length, tokenizer.num_special_tokens_to_add(pair=pairs) + 1)
        for start in range(0, len(chosen), _CHUNK):
            between()
            part = chosen[start : start + _CHUNK]
            whole = tokenizer(
                [texts[row].text for row in part],
                [texts[row].text_pair or "" for row in part] if pairs else None,
                truncation=True,
                max_length=limit,
                padding=False,
                return_overflowing_tokens=False,
                return_length=False,
            )
            for place, row in enumerate(part):
                rows[row] = {name: values[place] for name, values in whole.items()}
    return Encoded(rows)
