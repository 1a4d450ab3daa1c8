"""The connection to Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from services.trainer.errors import StoreUnavailable


def connect(url: str) -> redis.Redis:
    """Returns a thread-safe client of the Redis at `url` that answers with str, and gives up soon while it is away."""
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=2.0,
        socket_timeout=5.0,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 2),
    )


@contextmanager
def reaching() -> Iterator[None]:
    """Turns what a client raises while Redis is away into StoreUnavailable."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        raise StoreUnavailable("Redis, where jobs are kept, cannot be reached; try again shortly") from error
