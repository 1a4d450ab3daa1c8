"""Pretrained transformers on disk: where they are, what their folders say about themselves, what identifies them."""

from services.backbones.errors import BackboneNotLoadable
from services.backbones.fingerprint import content_digest, fingerprint
from services.backbones.folder import Folder, read_folder, weight_files
from services.backbones.locate import MINILM, locate

__all__ = [
    "MINILM",
    "BackboneNotLoadable",
    "Folder",
    "content_digest",
    "fingerprint",
    "locate",
    "read_folder",
    "weight_files",
]
