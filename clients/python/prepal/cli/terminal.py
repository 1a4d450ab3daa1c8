"""Asking a person for one key."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Protocol


class Terminal(Protocol):
    """Where a person reads and answers."""

    def show(self, text: str) -> None:
        """Shows a text."""

    def key(self, prompt: str, keys: Collection[str]) -> str:
        """Returns which of the keys the person chose; raises EOFError when no answer can come."""


class Console:
    """The terminal of this process: a single key press where it is one, else a line for each answer."""

    def show(self, text: str) -> None:
        """Prints a text."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def key(self, prompt: str, keys: Collection[str]) -> str:
        """Returns which of the keys was pressed; asks again for any other."""
        press = sys.stdin.isatty() and all(len(key) == 1 for key in keys)
        while True:
            self.show(prompt)
            answer = self._press() if press else self._line()
            if answer in keys:
                return answer
            self.show(f"{answer!r} is none of {', '.join(keys)}\n")

    def _press(self) -> str:
        with _unbuffered():
            pressed = sys.stdin.read(1)
        if not pressed or pressed == "\x04":
            raise EOFError
        self.show(f"{pressed}\n" if pressed.isprintable() else "\n")
        return pressed

    def _line(self) -> str:
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.strip()


@contextmanager
def _unbuffered() -> Iterator[None]:
    """Makes the terminal give each key at once, unechoed; Ctrl-C stays Ctrl-C."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    # Keys pressed before the prompt was read are answers too; the default would throw them away.
    tty.setcbreak(descriptor, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
