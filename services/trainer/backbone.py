"""What can be known of a backbone without loading or fetching it."""

from __future__ import annotations

from pathlib import Path

from services.backbones import MINILM, BackboneNotLoadable, locate, read_folder


def limit_here(model: str) -> int | None:
    """Returns the most tokens a backbone takes; None where only the worker, which may have to fetch it, can know it."""
    try:
        if model == MINILM or Path(model).expanduser().is_dir():
            return read_folder(locate(model)).limit
    except (BackboneNotLoadable, OSError, ValueError, RuntimeError):
        return None
    return None
