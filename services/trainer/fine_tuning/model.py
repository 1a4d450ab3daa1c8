"""A pretrained encoder with a fresh linear head, and its tokenizer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from services.trainer.errors import ModelNotLoadable

# Bars and lines of its own belong to a terminal; a service's log is JSON.
transformers_logging.disable_progress_bar()
transformers_logging.disable_default_handler()
transformers_logging.enable_propagation()


@dataclass(frozen=True, slots=True)
class Classifier:
    """A model that predicts labels from texts.

    Attributes:
        model: gives logits (N, C), columns in the order of the labels it was made with.
        tokenizer: what turns texts into its tokens.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def seeded(seed: int) -> int:
    """Starts every random generator of this process from `seed` (0 to 2**64 - 1); returns the 32-bit seed they got.

    numpy's old generator takes 32 bits only, so all take the same 32 bits that the whole seed decides.
    """
    small = int(np.random.SeedSequence(seed).generate_state(1)[0])
    random.seed(small)
    np.random.seed(small)  # noqa: NPY002 - the old generator is what libraries draw from
    torch.manual_seed(small)
    torch.use_deterministic_algorithms(True, warn_only=True)
    return small


def new_classifier(backbone: Path, labels: Sequence[str]) -> Classifier:
    """Returns the encoder in `backbone` in float32 with a fresh head for `labels`, drawn from torch's generator.

    A head that the folder may hold is left behind: the folder may be another job's checkpoint, whose head knows other
    labels.

    Raises:
        ModelNotLoadable: the folder holds no encoder that can be fine-tuned, with the remedy.
    """
    names = dict(enumerate(labels))
    try:
        tokenizer = AutoTokenizer.from_pretrained(backbone, local_files_only=True)
        encoder, info = AutoModel.from_pretrained(
            backbone, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
        config = AutoConfig.from_pretrained(
            backbone,
            local_files_only=True,
            num_labels=len(labels),
            id2label=names,
            label2id={label: row for row, label in names.items()},
            problem_type="single_label_classification",
        )
        config.dtype = torch.float32
        model = AutoModelForSequenceClassification.from_config(config)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelNotLoadable(
            f"the backbone in {backbone} cannot be fine-tuned: {reason}; it must be a Hugging Face folder with a "
            "tokenizer and an encoder that transformers can give a sequence classification head"
        ) from error
    # A pooler is often left out of published encoders; anything else missing would be noise in the place of knowledge.
    missing = sorted(name for name in info["missing_keys"] if "pooler" not in name)
    if missing:
        raise ModelNotLoadable(
            f"the backbone in {backbone} lacks {len(missing)} of its weights, such as {missing[0]}; "
            "save the whole encoder again, or name another backbone"
        )
    model.base_model.load_state_dict(encoder.state_dict(), strict=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if model.config.get_text_config().pad_token_id is None:
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return Classifier(model, tokenizer)


def linear_head(model: PreTrainedModel, labels: int) -> dict[str, torch.Tensor]:
    """Returns the model's last linear layer: `weight` (C, H) and, where it has one, `bias` (C,), float32, on a CPU."""
    encoder = {id(module) for module in model.base_model.modules()}
    layers = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == labels and id(module) not in encoder
    ]
    if not layers:
        raise ModelNotLoadable(f"{type(model).__name__} has no linear layer that gives {labels} labels")
    return {name: value.detach().float().cpu().contiguous() for name, value in layers[-1].named_parameters()}
