"""Permits: refused at once or waited for, and never lost."""

from __future__ import annotations

import asyncio

import pytest

from services.embedder.batching.permits import Permits
from services.serving import Overloaded


async def test_what_does_not_fit_is_refused_with_what_is_in_work() -> None:
    permits = Permits(10)
    permits.take_now(8)
    with pytest.raises(Overloaded, match=r"8 tokens are in work, of 10"):
        permits.take_now(3)
    permits.take_now(2)
    permits.give(8)
    permits.take_now(8)


async def test_what_is_larger_than_all_there_is_goes_alone() -> None:
    permits = Permits(10)
    permits.take_now(50)
    with pytest.raises(Overloaded):
        permits.take_now(1)
    permits.give(50)
    permits.take_now(1)


async def test_waiting_is_first_come_first_served() -> None:
    permits = Permits(10)
    await permits.take(10)
    large = asyncio.create_task(permits.take(9))
    await asyncio.sleep(0)
    small = asyncio.create_task(permits.take(1))
    await asyncio.sleep(0)
    permits.give(1)
    await asyncio.sleep(0)
    assert not large.done()
    assert not small.done()
    permits.give(9)
    await asyncio.wait_for(asyncio.gather(large, small), 5)


async def test_who_stops_waiting_blocks_nobody() -> None:
    permits = Permits(10)
    await permits.take(5)
    large = asyncio.create_task(permits.take(9))
    await asyncio.sleep(0)
    small = asyncio.create_task(permits.take(5))
    await asyncio.sleep(0)
    large.cancel()
    await asyncio.wait_for(small, 5)


async def test_permits_granted_to_one_who_has_just_gone_come_back() -> None:
    permits = Permits(10)
    await permits.take(10)
    gone = asyncio.create_task(permits.take(10))
    await asyncio.sleep(0)
    permits.give(10)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    permits.take_now(10)


async def test_who_waits_is_not_overtaken_by_who_does_not() -> None:
    permits = Permits(10)
    await permits.take(5)
    large = asyncio.create_task(permits.take(9))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        permits.take_now(1)
    permits.give(5)
    await asyncio.wait_for(large, 5)
