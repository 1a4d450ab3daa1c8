"""The backbone of a pool, which must be the one that the pool was made with."""

from __future__ import annotations

from services.embedder.encoding.backbone import Backbone
from services.embedder.encoding.backbones import Backbones
from services.embedder.encoding.resolve import Wanted
from services.embedder.errors import BackboneChanged
from services.pools import PoolDefinition


async def backbone_of(backbones: Backbones, definition: PoolDefinition) -> Backbone | None:
    """Returns a pool's backbone, loaded; None for a pool of the client's own embeddings.

    Raises:
        BackboneNotLoadable: It cannot be loaded (any more).
        BackboneChanged: What is there under its name now makes other vectors.
    """
    if definition.backbone is None:
        return None
    wanted = Wanted.as_defined(definition.backbone)
    resolved = await backbones.resolve(wanted)
    if resolved.fingerprint != definition.fingerprint:
        raise BackboneChanged(definition.backbone.model, definition.fingerprint, resolved.fingerprint)
    return await backbones.get(wanted)
