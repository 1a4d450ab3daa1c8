"""How much may be in work: taken before the work, given back after it."""

from __future__ import annotations

import asyncio
from collections import deque

from services.serving import Overloaded


class Permits:
    """A number of tokens that may be in work at once. For one event loop.

    What is larger than the whole capacity is let in when nothing else is there, so that nothing waits for ever.

    Args:
        capacity: Tokens, at least 1.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def take_now(self, tokens: int) -> None:
        """Takes permits.

        Raises:
            Overloaded: There are too few left, or others wait for some.
        """
        if self._waiting or not self._fits(tokens):
            raise Overloaded(
                f"texts of up to {self._taken:,} tokens are in work, of {self._capacity:,} that may be; try again "
                "shortly, or send fewer texts at once"
            )
        self._taken += tokens

    async def take(self, tokens: int) -> None:
        """Takes permits, waiting for them; first come, first served."""
        if not self._waiting and self._fits(tokens):
            self._taken += tokens
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((tokens, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(tokens)
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
                self._wake()
            raise

    def give(self, tokens: int) -> None:
        """Gives permits back."""
        self._taken -= tokens
        self._wake()

    def _fits(self, tokens: int) -> bool:
        return not self._taken or self._taken + tokens <= self._capacity

    def _wake(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            tokens, turn = self._waiting.popleft()
            if not turn.done():
                self._taken += tokens
                turn.set_result(None)
