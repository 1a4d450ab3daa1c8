"""The hyper-parameters of a job."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

MAX_SEED = 2**64 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """AdamW, linear decay of the learning rate, cross-entropy, a linear head.

    Attributes:
        epochs: passes over the labels, 1 to 100.
        batch_size: items a step, 1 to 1,024.
        learning_rate: the peak, more than 0 and at most 1.
        weight_decay: decoupled, 0 to 1; biases and normalisation layers have none.
        warmup_ratio: share of the steps over which the learning rate rises from 0, 0 to 1.
        max_length: tokens kept of a text, 2 to the backbone's own limit.
        seed: what initialisation, dropout and the order of items start from, 0 to 2**64 - 1.
    """

    epochs: int = 3
    batch_size: int = 16
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup_ratio: float = 0.1
    max_length: int = 128
    seed: int = 0

    def problems(self, token_limit: int | None = None) -> list[tuple[str, str]]:
        """Returns (field, sentence) for each value out of its range; empty means that the recipe is sound.

        Args:
            token_limit: the backbone's own limit, None while it is not known.
        """
        found: list[tuple[str, str]] = []

        def want(field: str, good: bool, limits: str, remedy: str = "") -> None:
            if not good:
                sentence = f"recipe.{field} must be {limits}, got {getattr(self, field):g}"
                found.append((f"recipe.{field}", sentence + (f"; {remedy}" if remedy else "")))

        want("epochs", 1 <= self.epochs <= 100, "between 1 and 100")
        want("batch_size", 1 <= self.batch_size <= 1024, "between 1 and 1024")
        want("learning_rate", 0 < self.learning_rate <= 1, "more than 0 and at most 1")
        want("weight_decay", 0 <= self.weight_decay <= 1, "between 0 and 1")
        want("warmup_ratio", 0 <= self.warmup_ratio <= 1, "between 0 and 1")
        want("seed", 0 <= self.seed <= MAX_SEED, "between 0 and 2**64 - 1")
        if token_limit is None:
            want("max_length", self.max_length >= 2, "at least 2")
        else:
            remedy = f"the backbone takes at most {token_limit} tokens"
            want("max_length", 2 <= self.max_length <= token_limit, f"between 2 and {token_limit}", remedy)
        return found

    def to_json(self) -> dict[str, Any]:
        """Returns the recipe as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Recipe:
        """Returns the recipe that `to_json` wrote."""
        return cls(
            epochs=values["epochs"],
            batch_size=values["batch_size"],
            learning_rate=values["learning_rate"],
            weight_decay=values["weight_decay"],
            warmup_ratio=values["warmup_ratio"],
            max_length=values["max_length"],
            seed=values["seed"],
        )
