"""From labeled texts to a fine-tuned model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from services.backbones import read_folder
from services.trainer.attempt import Learned
from services.trainer.fine_tuning.encoding import encode
from services.trainer.fine_tuning.model import Classifier, new_classifier, seeded
from services.trainer.fine_tuning.prediction import predict
from services.trainer.fine_tuning.saving import save
from services.trainer.fine_tuning.training import train
from services.trainer.inputs import Inputs
from services.trainer.keeper import Keeper
from services.trainer.metrics import Metrics, evaluate
from services.trainer.resume import Resume
from services.trainer.text import Text


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTuning:
    """How models are fine-tuned; called with one job at a time.

    Attributes:
        checkpoint_seconds: how often a checkpoint to go on from is written.
    """

    checkpoint_seconds: float

    def __call__(
        self,
        inputs: Inputs,
        texts: Sequence[Text],
        *,
        backbone: Path,
        folder: Path,
        resume: Resume | None,
        keeper: Keeper,
    ) -> Learned:
        """Fine-tunes the backbone on the labeled texts, and evaluates it once.

        Args:
            inputs: the job's.
            texts: of the labeled items, in their order.
            backbone: a Hugging Face folder.
            folder: where checkpoints to go on from are written.
            resume: where the job goes on; None starts afresh.
            keeper: follows, and says when to stop.

        Raises:
            Stopped: the keeper asked for it.
            Diverged, ModelNotLoadable: as they say.
        """
        definition = inputs.definition
        column = {label: place for place, label in enumerate(definition.labels)}
        # Where the backbone was not known when the job was started, its limit is known only now.
        recipe = replace(definition.recipe, max_length=min(definition.recipe.max_length, read_folder(backbone).limit))
        seed = seeded(recipe.seed)
        classifier = new_classifier(backbone, definition.labels)
        keeper.check()
        seconds = train(
            classifier,
            encode(classifier.tokenizer, texts, recipe.max_length, keeper.check),
            [column[one.label] for one in inputs.labeled],
            recipe=recipe,
            seed=seed,
            folder=folder,
            checkpoint_seconds=self.checkpoint_seconds,
            resume=resume,
            watch=keeper,
        )
        truths = np.array([column[one.label] for one in inputs.evaluation], dtype=np.int64)
        asked = [Text(one.text, one.text_pair) for one in inputs.evaluation]
        metrics = _evaluate(classifier, asked, truths, recipe.max_length, keeper) if asked else None
        return Learned(
            metrics=metrics,
            seconds=seconds,
            recipe=recipe,
            save=lambda place: save(classifier, place, max_length=recipe.max_length),
        )


def _evaluate(
    classifier: Classifier,
    texts: Sequence[Text],
    truths: np.ndarray[tuple[int], np.dtype[np.int64]],
    max_length: int,
    keeper: Keeper,
) -> Metrics:
    encoded = encode(classifier.tokenizer, texts, max_length, keeper.check)
    return evaluate(predict(classifier, encoded, keeper.check), truths)
