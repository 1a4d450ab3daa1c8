"""The docstrings of a Python source file, and the plain sentence that each begins with."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Shorter texts say too little to tell a library by; longer ones hold tables or formulas.
MIN_WORDS, MIN_CHARACTERS, MAX_CHARACTERS = 5, 30, 400


@dataclass(frozen=True, slots=True)
class Docstring:
    """The docstring of one class, function or method.

    Attributes:
        name: Where it stands, as in "Pool.append".
        text: The docstring, indentation removed.
    """

    name: str
    text: str


def docstrings(source: bytes) -> Iterator[Docstring]:
    """Yields the docstrings of a module's classes, functions and methods in the order of the file; imports nothing.

    Args:
        source: A Python file's bytes. One that does not parse has no docstrings.
    """
    try:
        with warnings.catch_warnings():
            # Odd escapes in somebody's source are not this reader's concern.
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    yield from _inside(tree.body, "")


def _inside(body: Sequence[ast.stmt], prefix: str) -> Iterator[Docstring]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = prefix + node.name
            text = ast.get_docstring(node)
            if text:
                yield Docstring(name, text)
            yield from _inside(node.body, name + ".")


_ROLE = re.compile(r":[a-z:]+:`~?([^`<]*?)(?: *<[^`>]*>)?`")
_LINK = re.compile(r"\[`?([^\]`]+)`?\]\([^)]*\)|\[`~?([^\]`]+)`\]|`([^`<]+) <[^`>]+>`_+")
_MARKUP = re.compile(r"[`*|\\]+|\{\{.*?\}\}|https?://\S+|(?<!\S)[.~](?=\w)")
# Where a docstring stops talking: an underlined heading, a directive, an example, or a list of parameters.
_SECTION = re.compile(
    r"^(?:.+\n[ ]*[=\-~]{3,}[ ]*$|\.\. |:param|:return|>>> |[\w*`]+ \(.*\):"
    r"|(?:Args?|Arguments|Parameters|Returns?|Yields|Raises|Examples?|Notes?)\b:?$)",
    re.MULTILINE,
)
_SPACE = re.compile(r"\s+")


def opening(text: str, giveaways: re.Pattern[str]) -> str | None:
    """Returns what a docstring says before its lists and examples, as a plain text, or None when that is too little.

    Args:
        text: The docstring.
        giveaways: What would name the library outright; it is cut out.

    Returns:
        The first sentences, 30 to 400 characters and at least 5 words, mostly of letters, on one line, without markup
        or links.
    """
    text = _SECTION.split(text, maxsplit=1)[0].strip()
    text = _ROLE.sub(r"\1", text)
    text = _LINK.sub(lambda match: next(group for group in match.groups() if group), text)
    text = _MARKUP.sub("", text)
    text = _SPACE.sub(" ", giveaways.sub("", text)).strip()
    if len(text) > MAX_CHARACTERS:
        text = text[: text.rfind(". ", 0, MAX_CHARACTERS) + 1]
    letters = sum(character.isalpha() or character == " " for character in text)
    plain = letters >= 0.8 * len(text) and len(text.split()) >= MIN_WORDS
    return text if plain and len(text) >= MIN_CHARACTERS else None


_NAMES = re.compile(r"\b\w*(?:[a-z][A-Z]|_|\d)\w*\b")


def shape(text: str) -> str:
    """Returns a text without what varies between copies of one sentence: names in code, digits, case, punctuation."""
    return " ".join(re.findall(r"[a-z]+", _NAMES.sub(" ", text).lower()))
