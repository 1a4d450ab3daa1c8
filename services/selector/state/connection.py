"""The connection to Redis, and its failures as the selector's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - Redis' own
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,  # noqa: A004 - Redis' own
)
from redis.maint_notifications import MaintNotificationsConfig

from services.selector.errors import StoreUnavailable

_CONNECT_SECONDS = 2.0
_ANSWER_SECONDS = 10.0
_MAX_CONNECTIONS = 64
_CANNOT = (
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    TimeoutError,
    OSError,
)
# What Redis answers while it cannot persist, or while a script of somebody else blocks it.
_CANNOT_ANSWERS = ("MISCONF", "BUSY", "NOREPLICAS", "TRYAGAIN")


def connect(url: str) -> Redis:
    """Returns a client that connects when it is used, and again after Redis was gone.

    No command is sent twice: one whose answer was lost may have been done. The caller of the RPC knows whether a
    repetition is safe, and sends a request id where it must be.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        # A call that finds every connection in use waits for one.
        max_connections=_MAX_CONNECTIONS,
        timeout=_ANSWER_SECONDS,
        socket_connect_timeout=_CONNECT_SECONDS,
        socket_timeout=_ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
        # With notifications on, the pool hands out connections that Redis has closed.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return Redis.from_pool(pool)


@contextmanager
def reaching() -> Iterator[None]:
    """Turns failures to reach Redis, or of Redis to write, into StoreUnavailable."""
    try:
        yield
    except _CANNOT as error:
        raise StoreUnavailable(_told(error)) from error
    except ResponseError as error:
        if str(error).startswith(_CANNOT_ANSWERS):
            raise StoreUnavailable(_told(error)) from error
        raise


def _told(error: Exception) -> str:
    return f"the project store (Redis) cannot serve at the moment ({type(error).__name__}); try again shortly"
