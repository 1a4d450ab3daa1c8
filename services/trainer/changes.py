"""Tells those who watch a job that it changed."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis.asyncio

from services.trainer.records import CHANGES

LOGGER = logging.getLogger(__name__)
_PAUSE = 0.5


class Changes:
    """One subscription for all who watch, made again when Redis was away.

    Args:
        url: of the Redis.
    """

    def __init__(self, url: str) -> None:
        self._client = redis.asyncio.Redis.from_url(
            url, decode_responses=True, socket_connect_timeout=2.0, health_check_interval=10
        )
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to listen, in the running event loop."""
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Ends the subscription."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._client.aclose()

    @contextmanager
    def watching(self, job_id: str) -> Iterator[asyncio.Event]:
        """Gives an event that is set after each change of the job, and whenever a change may have been missed."""
        event = asyncio.Event()
        self._watchers[job_id].add(event)
        try:
            yield event
        finally:
            self._watchers[job_id].discard(event)
            if not self._watchers[job_id]:
                del self._watchers[job_id]

    async def _listen(self) -> None:
        while True:
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(CHANGES)
                    self._wake_all()
                    while True:
                        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=30.0)
                        if message is not None:
                            self._wake(message["data"])
            except (redis.RedisError, OSError) as error:
                LOGGER.warning("changes of jobs cannot be heard of: %s", error)
                await asyncio.sleep(_PAUSE)

    def _wake(self, job_id: str) -> None:
        for event in self._watchers.get(job_id, ()):
            event.set()

    def _wake_all(self) -> None:
        for events in self._watchers.values():
            for event in events:
                event.set()
