"""A fine-tuned model as a folder that anybody can load."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from services.trainer.fine_tuning.model import Classifier, linear_head


def save(classifier: Classifier, folder: Path, *, max_length: int) -> None:
    """Writes model.safetensors, config.json with the labels, the tokenizer's files, and head.safetensors.

    The tokenizer keeps `max_length`, so that `tokenizer(text, truncation=True)` gives what the model was trained on.
    """
    model, tokenizer = classifier.model, classifier.tokenizer
    model.save_pretrained(folder)
    tokenizer.model_max_length = max_length
    tokenizer.save_pretrained(folder)
    save_file(linear_head(model, len(model.config.id2label or ())), folder / "head.safetensors")
