"""From texts to token ids, many threads at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Encoding
from transformers import AutoTokenizer

from services.backbones import BackboneNotLoadable
from services.embedder.encoding.engine import Tokens

Text = tuple[str, str | None]
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


@dataclass(frozen=True, slots=True, eq=False)
class Tokenized:
    """What became of one text, or of two in one sequence.

    Attributes:
        tokens: The sequence; None when the tokenizer made no token of the text.
        truncated: Whether the text was longer than what is kept.
    """

    tokens: Tokens | None
    truncated: bool


class Tokenizer:
    """A backbone's tokenizer, set to one length. Safe from many threads: nothing in it changes after it was made.

    Args:
        folder: The backbone's folder.
        max_length: Tokens kept of a text, special tokens included; of two texts, of both together.
        lower_case: Whether texts are lowered first.
        pairs: Whether two texts are put into one sequence.

    Attributes:
        pairs: As given.
        types: Whether sequences carry token types.
        pad_id: The id that stands for padding; where the tokenizer has none (GPT-2), that of the end of a text.

    Raises:
        BackboneNotLoadable: The tokenizer cannot be loaded, has no fast version, or leaves no room in `max_length`.
    """

    def __init__(self, folder: Path, *, max_length: int, lower_case: bool = False, pairs: bool = False) -> None:
        if not any(place.is_file() for name in _VOCABULARIES for place in folder.glob(name)):
            # Without one, transformers makes a tokenizer that knows no word and says nothing.
            raise BackboneNotLoadable(
                str(folder), ["its tokenizer, of which it has no file"], "Save the tokenizer beside the weights"
            )
        try:
            loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:
            raise BackboneNotLoadable(
                str(folder), [f"loading its tokenizer ({_brief(error)})"], "Save the tokenizer beside the weights"
            ) from error
        if not loaded.is_fast:
            raise BackboneNotLoadable(
                str(folder),
                [f"its tokenizer {type(loaded).__name__}, which has no fast version"],
                "Save a tokenizer.json beside the weights",
            )
        special = loaded.num_special_tokens_to_add(pair=pairs)
        if max_length <= special:
            raise BackboneNotLoadable(
                str(folder),
                [f"max_length {max_length}, which its {special} special tokens fill"],
                f"Give max_length of at least {special + 1}",
            )
        self._backend = loaded.backend_tokenizer
        self._backend.no_padding()
        self._backend.enable_truncation(
            max_length, stride=0, strategy="longest_first", direction=loaded.truncation_side
        )
        self._lower_case = lower_case
        self.pairs = pairs
        takes_types = "token_type_ids" in loaded.model_input_names
        # The types of a single text are zeros nearly everywhere, and zeros are what a backbone assumes.
        self.types = takes_types and (pairs or any(self._backend.encode("a").type_ids))
        padding = loaded.pad_token_id if loaded.pad_token_id is not None else loaded.eos_token_id
        self.pad_id: int = padding if padding is not None else 0

    def tokenize(self, texts: Sequence[Text]) -> list[Tokenized]:
        """Tokenises texts, each alone or with its pair in one sequence. About 30 microseconds a short text.

        Args:
            texts: (text, pair) where pairs share a sequence, else (text, None).
        """
        if self._lower_case:
            texts = [(text.lower(), pair and pair.lower()) for text, pair in texts]
        inputs = [text if pair is None else (text, pair) for text, pair in texts]
        return [self._tokenized(encoding) for encoding in self._backend.encode_batch_fast(inputs)]

    def _tokenized(self, encoding: Encoding) -> Tokenized:
        truncated = bool(encoding.overflowing)
        ids = np.array(encoding.ids, np.int32)
        if not len(ids):
            return Tokenized(None, truncated)
        return Tokenized(Tokens(ids, np.array(encoding.type_ids, np.int32) if self.types else None), truncated)


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else ''}"
