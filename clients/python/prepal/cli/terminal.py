"""Asking a person for one key."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Collection
from typing import Any, Final, Protocol, Self

_END: Final = "\x04"
"""Ctrl-D, which a terminal that gives each key at once does not turn into the end of the input."""


class Terminal(Protocol):
    """Where a person reads and answers."""

    def show(self, text: str) -> None:
        """Shows a text."""

    def key(self, prompt: str, keys: Collection[str]) -> str:
        """Returns which of the keys the person chose; raises EOFError when no answer can come."""


class Console:
    """The terminal of this process: a single key press where it is one, else a line for each answer.

    Between entering and leaving it the terminal gives each key at once, unechoed, so that no key is lost that is
    pressed while an answer is being recorded. Ctrl-C stays Ctrl-C.

    Args:
        single: whether every key is one character; else answers are lines.
    """

    def __init__(self, *, single: bool) -> None:
        self._press = single and sys.stdin.isatty()
        self._before: Any = None

    def __enter__(self) -> Self:
        if self._press:
            import termios
            import tty

            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin, termios.TCSADRAIN)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            import termios

            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def show(self, text: str) -> None:
        """Prints a text."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def key(self, prompt: str, keys: Collection[str]) -> str:
        """Returns which of the keys was pressed; asks again for any other."""
        while True:
            self.show(prompt)
            answer = self._pressed() if self._press else self._line()
            if answer in keys:
                return answer
            self.show(f"{answer!r} is none of {', '.join(keys)}\n")

    def _pressed(self) -> str:
        # A Ctrl-C that comes between the prompt and the read is only noticed when the wait for a key ends.
        while not select.select([sys.stdin], [], [], 0.2)[0]:
            pass
        pressed = os.read(sys.stdin.fileno(), 1).decode("ascii", "replace")
        if pressed in ("", _END):
            raise EOFError
        self.show(f"{pressed}\n" if pressed.isprintable() else "\n")
        return pressed

    def _line(self) -> str:
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.strip()
