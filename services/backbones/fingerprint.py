"""What identifies embeddings: the backbone's bytes, and all that decides what is made of them."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Final

from services.backbones.folder import weight_files

_TOKENIZER_FILES: Final = (
    "added_tokens.json",
    "bpe.codes",
    "config.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
_LETTERS: Final = 16


def content_digest(folder: Path) -> str:
    """Returns the SHA-256 of a backbone's weights, configuration and tokenizer, as 64 hexadecimal letters.

    Costs about a second for a gigabyte; the answer is kept while no file changes its size or time.

    Raises:
        ValueError: The folder has no weights that can be used.
        OSError: A file cannot be read.
    """
    named = [folder / name for name in _TOKENIZER_FILES]
    files = [*(file for file in named if file.is_file()), *weight_files(folder)]
    states = [(file, file.stat()) for file in files]
    return _digest(tuple((str(file), state.st_size, state.st_mtime_ns) for file, state in states))


def fingerprint(
    content: str, *, pooling: str, max_length: int, normalize: bool, pair_mode: str | None, lower_case: bool = False
) -> str:
    """Returns 16 hexadecimal letters that are equal exactly where embeddings are comparable.

    Args:
        content: The digest of the backbone's files.
        pooling: How token states become one vector.
        max_length: Tokens kept of a text.
        normalize: Whether vectors have unit length.
        pair_mode: How pairs are embedded; None for single texts.
        lower_case: Whether texts are lowered before tokenising.
    """
    values = [content, pooling, max_length, normalize, pair_mode, lower_case]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:_LETTERS]


@lru_cache(maxsize=64)
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, size, _ in files:
        path = Path(name)
        digest.update(json.dumps([path.name, size]).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
