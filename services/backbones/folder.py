"""What a backbone's folder says about itself, read without loading the backbone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.backbones.errors import BackboneNotLoadable

# Families that count positions from the padding token's id + 1, so that some positions are never used.
_OFFSET_FAMILIES: Final = frozenset(
    {
        "camembert",
        "data2vec-text",
        "ibert",
        "longformer",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
# What a tokenizer without a limit writes is astronomically large.
_NO_LIMIT: Final = 1_000_000
_USUAL_LENGTH: Final = 512
# What a backbone without a limit of its own gets.
_MAX_LENGTH: Final = 8192
_POOLINGS: Final = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last_token",
}
_POOLING_NAMES: Final = {"mean": "mean", "cls": "cls", "lasttoken": "last_token"}
_KNOWN_MODULES: Final = frozenset({"Transformer", "Pooling", "Normalize"})


@dataclass(frozen=True, kw_only=True)
class Folder:
    """What a backbone's folder says.

    Attributes:
        path: The folder.
        sentence_encoder: Whether it has the layout of sentence-transformers.
        pooling: "mean", "cls" or "last_token"; None when the folder names none.
        unsupported: What the folder asks for beyond that (a dense layer, another pooling), in words; empty for nothing.
        normalize: Whether the folder asks for unit vectors.
        lower_case: Whether texts are lowered before tokenising.
        default_length: Tokens kept of a text unless the caller says otherwise.
        limit: Tokens the backbone can take at most.
    """

    path: Path
    sentence_encoder: bool
    pooling: str | None
    unsupported: str
    normalize: bool
    lower_case: bool
    default_length: int
    limit: int


def read_folder(path: Path) -> Folder:
    """Reads what a backbone's folder says about pooling, length and normalisation. Reads a few small JSON files.

    The layout of sentence-transformers (modules.json) is followed where it is there; else texts keep
    min(tokenizer's limit, positions, 512) tokens, no pooling is named and vectors are not normalised.

    Raises:
        BackboneNotLoadable: A file of the folder cannot be read.
    """
    config = _object(path / "config.json")
    tokenizer = _object(path / "tokenizer_config.json")
    limit = _limit(config, tokenizer)
    modules = _modules(path)
    sentence = _object(path / "sentence_bert_config.json")
    pooling, unsupported = _pooling(path, modules)
    wanted = sentence.get("max_seq_length") if modules else None
    default = wanted if isinstance(wanted, int) and wanted > 1 else _USUAL_LENGTH
    return Folder(
        path=path,
        sentence_encoder=bool(modules),
        pooling=pooling,
        unsupported=unsupported,
        normalize="Normalize" in modules,
        lower_case=bool(modules) and bool(sentence.get("do_lower_case", False)),
        default_length=min(default, limit),
        limit=limit,
    )


def weight_files(path: Path) -> list[Path]:
    """Returns the weight files of a folder: model.safetensors, or the parts that its index names.

    Raises:
        ValueError: There are none, or a part is missing; the message is for a person.
    """
    single = path / "model.safetensors"
    if single.is_file():
        return [single]
    index = path / "model.safetensors.index.json"
    if index.is_file():
        parts = sorted(set(_object(index).get("weight_map", {}).values()))
        files = [path / part for part in parts]
        missing = [file.name for file in files if file.parent != path or not file.is_file()]
        if missing or not files:
            raise ValueError(f"it lacks {', '.join(missing) or 'the weights that its index names'}")
        return files
    if any(path.glob("*.bin")) or any(path.glob("*.pt")):
        raise ValueError(
            "its weights are pickles, which run code when they are loaded; convert them once with "
            "transformers' save_pretrained, which writes model.safetensors"
        )
    raise ValueError("it has no model.safetensors")


def _limit(config: dict[str, Any], tokenizer: dict[str, Any]) -> int:
    limits = [_MAX_LENGTH]
    for name in ("max_position_embeddings", "n_positions"):
        positions = config.get(name)
        if isinstance(positions, int) and positions > 0:
            padding = config.get("pad_token_id")
            unused = (padding if isinstance(padding, int) else 1) + 1
            limits.append(positions - unused if config.get("model_type") in _OFFSET_FAMILIES else positions)
    tokens = tokenizer.get("model_max_length")
    if isinstance(tokens, int | float) and 0 < tokens < _NO_LIMIT:
        limits.append(int(tokens))
    return max(2, min(limits))


def _modules(path: Path) -> dict[str, str]:
    """Returns the modules of the sentence-transformers layout: the last part of each type, and its folder."""
    file = path / "modules.json"
    if not file.is_file():
        return {}
    modules = _json(file)
    if not isinstance(modules, list):
        raise BackboneNotLoadable(str(path), [], "Its modules.json is not a list; download the backbone again")
    return {str(one.get("type", "")).rpartition(".")[2]: str(one.get("path", "")) for one in modules}


def _pooling(path: Path, modules: dict[str, str]) -> tuple[str | None, str]:
    """Returns the pooling a folder names, and in words what of it cannot be done here."""
    unknown = sorted(set(modules) - _KNOWN_MODULES)
    unsupported = f"the module {', '.join(unknown)}" if unknown else ""
    if "Pooling" not in modules:
        return None, unsupported
    settings = _object(path / modules["Pooling"] / "config.json")
    named = settings.get("pooling_mode")
    if isinstance(named, str):
        found = {named: True}
        pooling = _POOLING_NAMES.get(named)
    else:
        found = {name: on for name, on in settings.items() if name.startswith("pooling_mode_") and on}
        pooling = _POOLINGS.get(next(iter(found), ""))
    if len(found) != 1 or pooling is None:
        return None, ", ".join(filter(None, [unsupported, f"the pooling {', '.join(sorted(found)) or 'of no name'}"]))
    return pooling, unsupported


def _object(path: Path) -> dict[str, Any]:
    values = _json(path) if path.is_file() else {}
    return values if isinstance(values, dict) else {}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneNotLoadable(
            str(path.parent), [f"reading {path.name} ({error})"], "Download the backbone again"
        ) from error
