"""A backbone with its pooling as one torch module."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModel
from transformers.utils import logging as transformers_logging

from services.backbones import BackboneNotLoadable
from services.embedder.encoding.engine import Padded
from services.embedder.encoding.pooling import POOLINGS
from services.pools import Pooling

# What a backbone without a head may lack: no pooling here asks for it.
_NOT_USED = ("pooler.",)


class Network(torch.nn.Module):
    """Embeds token ids: a transformer, a pooling, and unit length where wanted.

    Args:
        backbone: A transformer that answers `last_hidden_state`.
        pooling: How token states become one vector.
        normalize: Whether vectors are scaled to unit length.
    """

    def __init__(self, backbone: torch.nn.Module, pooling: Pooling, *, normalize: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self._pool = POOLINGS[pooling]
        self._normalize = normalize

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Returns float32 vectors, shape (B, H), of ids and mask of shape (B, T), padded on the right."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        states = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
        # Sums over tokens and squares want more digits than half of a float32 has.
        vectors = self._pool(states.float(), attention_mask)
        return torch.nn.functional.normalize(vectors, dim=1) if self._normalize else vectors


def example(batch: Padded) -> dict[str, torch.Tensor]:
    """Returns a few rows of a batch as inputs of `Network.forward` by name, for tracing."""
    arrays = {"input_ids": batch.ids, "attention_mask": batch.mask, "token_type_ids": batch.types}
    return {name: torch.from_numpy(array[:4]) for name, array in arrays.items() if array is not None}


def load_network(folder: Path, pooling: Pooling, *, normalize: bool) -> Network:
    """Loads a backbone from safetensors in float32, ready for inference. Runs no code from the folder.

    Raises:
        BackboneNotLoadable: The folder holds no transformer that can be used.
    """
    transformers_logging.disable_progress_bar()
    try:
        model, info = AutoModel.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:
        why = str(error).strip().split("\n")[0][:300]
        raise BackboneNotLoadable(
            str(folder), [f"loading it with transformers ({type(error).__name__}: {why})"], "Give a text encoder"
        ) from error
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(_NOT_USED))
    if missing:
        raise BackboneNotLoadable(
            str(folder),
            [f"its weights, which lack {len(missing)} of the model's, {missing[0]} for one"],
            "Save the whole model with save_pretrained",
        )
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    # A cache of keys and values serves generation only.
    model.config.use_cache = False
    return Network(model.eval(), pooling, normalize=normalize).requires_grad_(False).eval()
