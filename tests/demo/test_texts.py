"""The demonstration's texts: what is taken from a docstring, what gives a topic away, and that nothing moves."""

from __future__ import annotations

from pathlib import Path

import pytest
from prepal.demo.docstrings import Docstring, docstrings, opening, shape
from prepal.demo.texts import GIVEAWAYS, LIBRARIES, TooFewTextsError, demo_texts

SOURCE = b'''"""Module."""
class Pool:
    """A place for items."""
    def append(self):
        """Adds items."""
        def inner():
            """Does the adding."""
    async def read(self): "Reads."
def silent(): pass
'''


def test_docstrings_come_with_their_place_in_the_order_of_the_file() -> None:
    assert list(docstrings(SOURCE)) == [
        Docstring("Pool", "A place for items."),
        Docstring("Pool.append", "Adds items."),
        Docstring("Pool.append.inner", "Does the adding."),
        Docstring("Pool.read", "Reads."),
    ]


@pytest.mark.parametrize("source", [b"def broken(:", b"\x00", b"\xff\xfe", b"(" * 500])
def test_a_file_that_is_no_python_has_no_docstrings(source: bytes) -> None:
    assert list(docstrings(source)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Return the *shortest* path between :class:`~a.b.Node` pairs.\n\nAll.\n\nParameters\n----------\nx : int",
            "Return the shortest path between a.b.Node pairs. All.",
        ),
        (
            "See `the docs <https://x.org>`_ or [the guide](https://y.org) on ``weights`` of edges.",
            "See the docs or the guide on weights of edges.",
        ),
        (
            "NumPy's arrays become torch.Tensor objects of PyTorch again here.",
            "arrays become Tensor objects of again here.",
        ),
        ("Args:\n    x: an argument that is described at length here", None),
        ("hidden_states (`torch.Tensor` of shape x):\n    Something about the hidden states of it.", None),
        ("Too short a text.", None),
        ("f(x) = 1 + 2 ** 3 / 4 - 5 % 6 + 7 * 8 - 9 // 10 + 11", None),
        ("Waffles. " + "Very long sentences follow one another here. " * 20, None),
    ],
)
def test_an_opening_is_plain_and_names_no_library(text: str, expected: str | None) -> None:
    found = opening(text, GIVEAWAYS)
    if expected is None and found is not None:
        assert text.startswith("Waffles")
        assert len(found) <= 400
        assert found.endswith("here.")
    else:
        assert found == expected


def test_copies_with_other_names_and_numbers_have_one_shape() -> None:
    assert shape("Converts BertConfig to 12 layers.") == shape("converts GPT2Config to 24 layers")
    assert shape("Converts a list.") != shape("Converts a tuple.")


def library(folder: Path, package: str, texts: list[str]) -> None:
    (folder / package / "tests").mkdir(parents=True)
    code = "".join(f'def f{number}():\n    """{text}"""\n' for number, text in enumerate(texts))
    (folder / package / "core.py").write_text(code)
    (folder / package / "tests" / "test_core.py").write_text('def t():\n    """A text that only tests would show."""\n')


def words(topic: str, count: int) -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [f"A {topic} {letters[n % 26]}{letters[n // 26]} thing that does something." for n in range(count)]


def test_texts_are_labeled_by_topic_split_apart_and_never_twice(tmp_path: Path) -> None:
    shared = "This sentence stands in two of the libraries."
    library(
        tmp_path,
        "networkx",
        [*words("path", 100), shared, "Copies are taken once, the 1st.", "Copies are taken once, the 2nd."],
    )
    library(tmp_path, "scipy", [*words("integral", 100), shared])
    texts = demo_texts(tmp_path, share=1.0)
    rows = texts.train + texts.test
    assert {row.label for row in rows} == {"graphs", "numerical computing"}
    assert all(("path" in row.text) == (row.label == "graphs") for row in rows if "thing" in row.text)
    assert not any(row.text == shared or "only tests" in row.text for row in rows)
    assert sum("Copies" in row.text for row in rows) == 1
    assert len({row.id for row in rows}) == len({row.text for row in rows}) == len(rows) == 201
    assert 20 <= len(texts.test) <= 60


def test_the_same_libraries_give_the_same_items_in_the_same_order(tmp_path: Path) -> None:
    for package in ("networkx", "scipy"):
        library(tmp_path / "a", package, words(package[:3], 30))
        library(tmp_path / "b", package, words(package[:3], 30))
    assert demo_texts(tmp_path / "a", share=1.0) == demo_texts(tmp_path / "b", share=1.0)


def test_one_topic_is_too_few(tmp_path: Path) -> None:
    library(tmp_path, "torch", words("layer", 5))
    with pytest.raises(TooFewTextsError, match="at least two of matplotlib"):
        demo_texts(tmp_path, share=1.0)


def test_this_machines_libraries_give_texts_of_every_topic_that_name_none() -> None:
    texts = demo_texts(share=0.03)
    rows = texts.train + texts.test
    assert len(rows) > 500
    assert {row.label for row in rows} == {library.topic for library in LIBRARIES}
    assert not any(GIVEAWAYS.search(row.text) for row in rows)
    assert all(30 <= len(row.text) <= 400 for row in rows)
