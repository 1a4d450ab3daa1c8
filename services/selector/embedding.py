"""Texts to embeddings, by the embedder service over gRPC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import grpc
import numpy as np
import numpy.typing as npt
from prepal.tensors import unpack
from prepal.v1 import embedder_pb2, embedder_pb2_grpc

from services.pools import BackboneDefinition, PairMode, PoolDefinition, Pooling
from services.selector.errors import BackboneMismatch, BackboneNotLoadable, EmbedderRefused, EmbedderUnavailable

_POOLING: Final[Mapping[Pooling, embedder_pb2.Pooling]] = {
    Pooling.MEAN: embedder_pb2.POOLING_MEAN,
    Pooling.CLS: embedder_pb2.POOLING_CLS,
    Pooling.LAST_TOKEN: embedder_pb2.POOLING_LAST_TOKEN,
}
_PAIR_MODE: Final[Mapping[PairMode | None, embedder_pb2.PairMode]] = {
    None: embedder_pb2.PAIR_MODE_UNSPECIFIED,
    PairMode.JOINT: embedder_pb2.PAIR_MODE_JOINT,
    PairMode.COMPARE: embedder_pb2.PAIR_MODE_COMPARE,
    PairMode.FULL: embedder_pb2.PAIR_MODE_FULL,
}
# What one Embed takes, and its answer's 1,024 x 16,384 float32.
_MAX_MESSAGE_BYTES = 80 * 1024 * 1024


class GrpcEmbedder:
    """A client of the embedder.

    Args:
        address: host:port.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = grpc.aio.insecure_channel(
            address,
            options=(
                ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
                # Proxies of the environment are for the world outside.
                ("grpc.enable_http_proxy", 0),
            ),
        )
        self._stub = embedder_pb2_grpc.EmbedderServiceStub(self._channel)

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()

    async def embed(
        self, definition: PoolDefinition, texts: Sequence[tuple[str, str | None]], seconds: float | None
    ) -> npt.NDArray[np.float32]:
        """Returns embeddings (n, D) of texts, each with its pair or None, under the backbone of a pool that has one.

        Raises:
            EmbedderUnavailable: the embedder cannot be reached, or has no room, or the time is over.
            EmbedderRefused: it will not embed these texts.
            BackboneNotLoadable: it cannot load the backbone.
            BackboneMismatch: its backbone is not the one the pool was embedded with.
        """
        if definition.backbone is None:
            raise ValueError(f"pool {definition.name!r} has no backbone")
        request = embedder_pb2.EmbedRequest(
            backbone=_backbone(definition.backbone),
            inputs=[embedder_pb2.TextInput(text=text, text_pair=pair) for text, pair in texts],
        )
        try:
            response = await self._stub.Embed(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from error
        if response.fingerprint != definition.fingerprint:
            raise BackboneMismatch(definition.name, definition.fingerprint, response.fingerprint)
        embeddings: npt.NDArray[np.float32] = unpack(response.embeddings).astype(np.float32, copy=False)
        return embeddings

    def _translated(self, error: grpc.aio.AioRpcError) -> Exception:
        code, told = error.code(), error.details() or ""
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            return EmbedderRefused(told.replace("inputs", "texts.inputs"))
        if code is grpc.StatusCode.FAILED_PRECONDITION:
            return BackboneNotLoadable(told)
        if code in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.CANCELLED,
        ):
            return EmbedderUnavailable(
                f"the embedder at {self._address} cannot serve at the moment ({code.name}); try again shortly"
            )
        return error


def _backbone(definition: BackboneDefinition) -> embedder_pb2.Backbone:
    return embedder_pb2.Backbone(
        model=definition.model,
        pooling=_POOLING[definition.pooling],
        max_length=definition.max_length,
        normalize=definition.normalize,
        pair_mode=_PAIR_MODE[definition.pair_mode],
    )
