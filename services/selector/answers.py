"""How the selector's errors are answered."""

from __future__ import annotations

from typing import Final

from grpc import StatusCode

from services import pools
from services.selector import errors
from services.serving import Answer, ErrorTable

ANSWERS: Final[ErrorTable] = {
    errors.ProjectNotFound: Answer(StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND"),
    pools.PoolNotFound: Answer(StatusCode.NOT_FOUND, "POOL_NOT_FOUND"),
    errors.ProjectExists: Answer(StatusCode.ALREADY_EXISTS, "PROJECT_EXISTS"),
    errors.TooManyLabels: Answer(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    errors.UnknownItems: Answer(StatusCode.INVALID_ARGUMENT, "UNKNOWN_ITEMS"),
    errors.UnknownLabels: Answer(StatusCode.INVALID_ARGUMENT, "UNKNOWN_LABELS"),
    errors.RequestIdReused: Answer(StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED"),
    errors.HeadNotFit: Answer(StatusCode.FAILED_PRECONDITION, "HEAD_NOT_FIT"),
    errors.ParametersUnused: Answer(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    errors.AcquisitionNotInstalled: Answer(StatusCode.FAILED_PRECONDITION, "ACQUISITION_NOT_INSTALLED"),
    errors.HeadUnsupported: Answer(StatusCode.FAILED_PRECONDITION, "HEAD_UNSUPPORTED"),
    errors.BackboneMismatch: Answer(StatusCode.FAILED_PRECONDITION, "BACKBONE_MISMATCH"),
    errors.PoolHasNoBackbone: Answer(StatusCode.FAILED_PRECONDITION, "POOL_HAS_NO_BACKBONE"),
    errors.EmbedderRefused: Answer(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    errors.BackboneNotLoadable: Answer(StatusCode.FAILED_PRECONDITION, "BACKBONE_NOT_LOADABLE"),
    errors.EmbedderUnavailable: Answer(StatusCode.UNAVAILABLE, "EMBEDDER_UNAVAILABLE", retry_after=1.0),
    errors.StoreUnavailable: Answer(StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", retry_after=1.0),
    pools.StoreUnavailable: Answer(StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", retry_after=1.0),
}
