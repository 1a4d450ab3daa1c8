"""How the embedder's errors are answered."""

from __future__ import annotations

import grpc

from services.backbones import BackboneNotLoadable
from services.embedder.errors import (
    AnswerTooLarge,
    BackboneChanged,
    ChunkTooLarge,
    EncodingFailed,
    ItemNotFound,
    PoolHasNoBackbone,
    TooLate,
    WorkerDied,
)
from services.pools import PoolExists, PoolNotFound, StoreUnavailable
from services.serving import Answer, ErrorTable

ERRORS: ErrorTable = {
    AnswerTooLarge: Answer(grpc.StatusCode.INVALID_ARGUMENT, "ANSWER_TOO_LARGE"),
    BackboneChanged: Answer(grpc.StatusCode.FAILED_PRECONDITION, "BACKBONE_CHANGED"),
    BackboneNotLoadable: Answer(grpc.StatusCode.FAILED_PRECONDITION, "BACKBONE_NOT_LOADABLE"),
    ChunkTooLarge: Answer(grpc.StatusCode.INVALID_ARGUMENT, "CHUNK_TOO_LARGE"),
    EncodingFailed: Answer(grpc.StatusCode.INVALID_ARGUMENT, "ENCODING_FAILED"),
    ItemNotFound: Answer(grpc.StatusCode.NOT_FOUND, "ITEM_NOT_FOUND"),
    PoolExists: Answer(grpc.StatusCode.ALREADY_EXISTS, "POOL_EXISTS"),
    PoolHasNoBackbone: Answer(grpc.StatusCode.FAILED_PRECONDITION, "POOL_HAS_NO_BACKBONE"),
    PoolNotFound: Answer(grpc.StatusCode.NOT_FOUND, "POOL_NOT_FOUND"),
    StoreUnavailable: Answer(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", retry_after=1.0),
    TooLate: Answer(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    WorkerDied: Answer(grpc.StatusCode.UNAVAILABLE, "WORKER_DIED", retry_after=0.5),
}
