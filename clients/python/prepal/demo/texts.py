"""The demonstration's items: docstrings of the installed scientific libraries, labeled by what the library is about."""

from __future__ import annotations

import hashlib
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prepal.demo.docstrings import docstrings, opening, shape
from prepal.simulation.datafile import Row


@dataclass(frozen=True, slots=True)
class Library:
    """An installed library.

    Attributes:
        package: Its folder's name.
        topic: What it is about: the label of its texts.
        names: A regular expression for what else it is called.
    """

    package: str
    topic: str
    names: str = ""


# What the services and the `simulate` extra bring with them.
LIBRARIES = (
    Library("matplotlib", "plotting", r"mpl|pyplot|plt"),
    Library("networkx", "graphs", r"nx"),
    Library("numpy", "numerical computing", r"np|ndarrays?"),
    Library("scipy", "numerical computing"),
    Library("sklearn", "machine learning", r"scikit[- ]?learn"),
    Library("sympy", "symbolic mathematics"),
    Library("torch", "neural networks", r"pytorch|aten"),
    Library("transformers", "neural networks", r"hugging ?face|hf"),
)

# Every library's name is cut out of every text: it would say the topic outright.
GIVEAWAYS = re.compile(
    rf"\b(?:{'|'.join(name for library in LIBRARIES for name in (library.package, library.names) if name)})"
    r"(?:\.(?=\w)|'s\b|\b)",
    re.IGNORECASE,
)

# The same share of every library's files: topics stay as uneven as they are, as in real collections, where a rare
# topic is what random labels miss.
FILE_SHARE = 0.3
TEST_SHARE = 0.2
SKIPPED_FOLDERS = frozenset({"tests", "test", "testing", "_testing", "_vendor", "externals", "extern"})


class TooFewTextsError(Exception):
    """Not enough libraries are installed to tell their topics apart."""


@dataclass(frozen=True, slots=True)
class DemoTexts:
    """The items of the demonstration.

    Attributes:
        train: Items to choose from.
        test: Items to evaluate on; no text of `train` is among them.
    """

    train: list[Row]
    test: list[Row]


def demo_texts(site_packages: Path | None = None, *, share: float = FILE_SHARE) -> DemoTexts:
    """Collects the texts from the installed libraries' source files; imports and downloads nothing.

    The same versions of the libraries give the same items in the same order. Copies of one sentence with other names in
    it count as one text, and a sentence that belongs to two topics is left out. Takes a few seconds.

    Args:
        site_packages: The folder with the libraries; unset means that of this Python.
        share: Share of each library's files that is read, more than 0 and at most 1.

    Raises:
        TooFewTextsError: Texts of fewer than two topics are there.
    """
    folder = site_packages or Path(sysconfig.get_path("purelib"))
    found = [(library, *item) for library in LIBRARIES for item in _texts(folder, library, share)]
    topics: dict[str, set[str]] = {}
    for library, _, text in found:
        topics.setdefault(shape(text), set()).add(library.topic)
    rows: dict[str, Row] = {}
    for library, item_id, text in found:
        if len(topics[shape(text)]) == 1:
            rows.setdefault(shape(text), Row(item_id, text, None, library.topic, 0))
    if len({row.label for row in rows.values()}) < 2:
        raise TooFewTextsError(
            f"the demonstration needs at least two of {', '.join(library.package for library in LIBRARIES)} in "
            f'{folder}; install "prepal-services[cpu]", or bring texts of your own with --train and --test'
        )
    ordered = sorted(rows.values(), key=lambda row: _digest(row.id))
    return DemoTexts(
        train=[row for row in ordered if _draw("test", row.id) >= TEST_SHARE],
        test=[row for row in ordered if _draw("test", row.id) < TEST_SHARE],
    )


def _texts(folder: Path, library: Library, share: float) -> Iterator[tuple[str, str]]:
    """Yields (id, text) from a share of a library's files."""
    ids: set[str] = set()
    for path in _files(folder, library.package, share):
        for docstring in docstrings((folder / path).read_bytes()):
            text = opening(docstring.text, GIVEAWAYS)
            item_id = f"{path}:{docstring.name}"
            # A name may be defined twice in a file; ids end at 256 bytes.
            if text is not None and item_id not in ids and len(item_id.encode()) <= 256:
                ids.add(item_id)
                yield item_id, text


def _files(folder: Path, package: str, share: float) -> list[str]:
    paths = (path.relative_to(folder) for path in (folder / package).rglob("*.py"))
    names = sorted(path.as_posix() for path in paths if SKIPPED_FOLDERS.isdisjoint(path.parts))
    return [name for name in names if _draw("file", name) < share]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _draw(purpose: str, name: str) -> float:
    """Returns a number from 0 to 1 that depends on a name alone, another one for each purpose."""
    return int.from_bytes(_digest(f"{purpose} {name}")[:4]) / 2**32
