"""A backbone, loaded and ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.embedder.encoding.engine import Engine
from services.embedder.encoding.pairs import widened
from services.embedder.encoding.tokenizing import Text, Tokenizer
from services.pools import BackboneDefinition, PairMode


@dataclass(frozen=True, kw_only=True, eq=False)
class Backbone:
    """A backbone, loaded and ready.

    Attributes:
        definition: What it is, every default resolved.
        fingerprint: What identifies its embeddings.
        tokenizer: Makes its tokens.
        engine: Runs it.
    """

    definition: BackboneDefinition
    fingerprint: str
    tokenizer: Tokenizer
    engine: Engine

    @property
    def dimension(self) -> int:
        """D, the length of an item's embedding."""
        return widened(self.engine.dimension, self.definition.pair_mode)

    def sequences(self, texts: Sequence[Text]) -> list[Text]:
        """Returns what is tokenised for n texts or pairs: n sequences, or 2 n where each text of a pair is one.

        Of 2 n, sequences i and n + i are of pair i.
        """
        if self.definition.pair_mode in (PairMode.COMPARE, PairMode.FULL):
            firsts: list[Text] = [(text, None) for text, _ in texts]
            return firsts + [(pair or "", None) for _, pair in texts]
        return list(texts)
