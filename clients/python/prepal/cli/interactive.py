"""Labeling one item after the other, each chosen by a head that has seen the label before."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from prepal._sync.client import Client
from prepal.cli.terminal import Terminal
from prepal.values.label import CLEAR, SKIP, Mark
from prepal.values.selection import SelectedItem

_COMMANDS: Final = {"s": "skip", "u": "undo", "q": "quit"}


@dataclass(slots=True)
class Session:
    """What one person has said, and may take back.

    Attributes:
        client: the services.
        project: the project's name.
        labels: its labels.
        annotator: who labels.
        terminal: where they read and answer.
        said: the items answered and what was said, in order.
    """

    client: Client
    project: str
    labels: Sequence[str]
    annotator: str
    terminal: Terminal
    said: list[tuple[SelectedItem, str | Mark]] = field(default_factory=list)

    def run(self) -> None:
        """Shows item after item until the person quits or nothing is left. Every answer is recorded at once."""
        keys = keys_of(self.labels)
        prompt = _prompt(keys)
        item: SelectedItem | None = None
        while True:
            if item is None:
                selection = self.client.select(self.project, 1, annotator=self.annotator)
                if not selection.items:
                    self.terminal.show("nothing is left to label\n")
                    return
                item = selection.items[0]
            self.terminal.show(_shown(item))
            try:
                key = self.terminal.key(prompt, [*keys, *_COMMANDS])
            except EOFError:
                return
            match key:
                case "q":
                    return
                case "u":
                    item = self._undo(item)
                case "s":
                    self._say(item, SKIP)
                    item = None
                case _:
                    self._say(item, keys[key])
                    item = None

    def tally(self) -> str:
        """Returns how many items were labeled and skipped, as a sentence."""
        skipped = sum(1 for _, what in self.said if what is SKIP)
        return f"{len(self.said) - skipped:,} labeled, {skipped:,} skipped"

    def _say(self, item: SelectedItem, what: str | Mark) -> None:
        self.client.record_labels(self.project, {item.id: what}, annotator=self.annotator)
        self.said.append((item, what))

    def _undo(self, item: SelectedItem) -> SelectedItem:
        """Takes the newest answer back and returns its item; without one, the item that is shown."""
        if not self.said:
            self.terminal.show("there is nothing to undo\n")
            return item
        before, what = self.said[-1]
        self.client.record_labels(self.project, {before.id: CLEAR}, annotator=self.annotator)
        self.said.pop()
        self.terminal.show(f"took back {'skip' if what is SKIP else what}\n")
        return before


def keys_of(labels: Sequence[str]) -> Mapping[str, str]:
    """Returns a key for each label: 1 to 9, then letters that mean nothing else; numbers where those do not suffice."""
    letters = [letter for letter in string.ascii_lowercase if letter not in _COMMANDS]
    single = [*"123456789", *letters]
    keys = single if len(labels) <= len(single) else [str(number) for number in range(1, len(labels) + 1)]
    return dict(zip(keys, labels, strict=False))


def _prompt(keys: Mapping[str, str]) -> str:
    choices = [*keys.items(), *_COMMANDS.items()]
    return "  ".join(f"[{key}] {meaning}" for key, meaning in choices) + " > "


def _shown(item: SelectedItem) -> str:
    texts = [item.text] if item.text_pair is None else [item.text, item.text_pair]
    return "\n" + "\n— — —\n".join(_visible(text) for text in texts) + "\n\n"


def _visible(text: str) -> str:
    """Returns a text without control characters, which a terminal would obey."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
