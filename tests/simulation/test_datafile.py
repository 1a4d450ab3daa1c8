"""Data files: the same items in every format, and a named place for everything that can be wrong with one."""

from __future__ import annotations

import builtins
import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepal.simulation.datafile import DataFileError, Row, read_items
from pyarrow import parquet

ITEMS = [
    {"id": "r1", "text": 'a "fine" film, they said', "label": "positive"},
    {"id": "r2", "text": "tiède — déjà vu", "label": "negative"},
    {"id": "r3", "text": "an 'odd' one", "label": "negative"},
]


def write_tsv(path: Path, items: list[dict[str, str]]) -> None:
    lines = ["\t".join(items[0]), *("\t".join(item.values()) for item in items)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_csv(path: Path, items: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, items[0])
        writer.writeheader()
        writer.writerows(items)


def write_jsonl(path: Path, items: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


def write_parquet(path: Path, items: list[dict[str, str]]) -> None:
    parquet.write_table(pa.Table.from_pylist(items), path)


WRITERS: dict[str, Callable[[Path, list[dict[str, str]]], None]] = {
    "tsv": write_tsv,
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}


def write(folder: Path, kind: str, items: list[dict[str, str]], *, packed: bool = False) -> Path:
    path = folder / f"items.{kind}"
    WRITERS[kind](path, items)
    if packed:
        path.with_name(f"items.{kind}.gz").write_bytes(gzip.compress(path.read_bytes()))
        return path.with_name(f"items.{kind}.gz")
    return path


def problem_of(path: Path, *, label: bool = True) -> DataFileError:
    with pytest.raises(DataFileError) as caught:
        list(read_items(path, label=label))
    assert str(path) in str(caught.value)
    return caught.value


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_items(tmp_path: Path, kind: str, packed: bool) -> None:
    rows = list(read_items(write(tmp_path, kind, ITEMS, packed=packed), label=True))
    first_line = 1 if kind in ("jsonl", "parquet") else 2
    assert rows == [
        Row(item["id"], item["text"], None, item["label"], first_line + number) for number, item in enumerate(ITEMS)
    ]


@pytest.mark.parametrize("kind", WRITERS)
def test_pairs_and_columns_that_are_not_ours_are_read_and_passed_over(tmp_path: Path, kind: str) -> None:
    items = [{"source": "web", **item, "text_pair": f"second {item['id']}"} for item in ITEMS]
    rows = list(read_items(write(tmp_path, kind, items), label=False))
    assert [row.text_pair for row in rows] == ["second r1", "second r2", "second r3"]
    assert [row.label for row in rows] == [None] * 3


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("column", ["id", "text", "label"])
def test_a_missing_column_is_named_beside_those_that_are_there(tmp_path: Path, kind: str, column: str) -> None:
    items = [{name: value for name, value in item.items() if name != column} for item in ITEMS]
    error = problem_of(write(tmp_path, kind, items))
    assert error.column == column
    assert all(name in str(error) for name in items[0])


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("column", ["id", "text", "label", "text_pair"])
@pytest.mark.parametrize("value", ["", " \v"])
def test_an_empty_field_is_refused_with_its_line_and_column(tmp_path: Path, kind: str, column: str, value: str) -> None:
    items = [{**item, "text_pair": "b"} for item in ITEMS]
    items[1] |= {column: value}
    error = problem_of(write(tmp_path, kind, items))
    assert (error.line, error.column) == (2 if kind in ("jsonl", "parquet") else 3, column)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_repeated_id_names_both_places(tmp_path: Path, kind: str) -> None:
    error = problem_of(write(tmp_path, kind, [*ITEMS, {**ITEMS[0], "text": "another"}]))
    first, unit = (1, "row" if kind == "parquet" else "line") if kind in ("jsonl", "parquet") else (2, "line")
    assert error.line == first + 3
    assert error.column == "id"
    assert f"{unit} {first}" in str(error)
    assert f"{unit} {first + 3}" in str(error)


@pytest.mark.parametrize("kind", ["tsv", "csv"])
def test_a_wrong_number_of_fields_is_refused(tmp_path: Path, kind: str) -> None:
    separator = "\t" if kind == "tsv" else ","
    path = tmp_path / f"items.{kind}"
    path.write_text("id,text,label\na,b,c\nd,e\n".replace(",", separator))
    assert (problem_of(path).line, "2 fields") == (3, str(problem_of(path)).split(": ")[1].split(",")[0])
    path.write_text("id,text,label\na,b,c\nd,e,f,g\n".replace(",", separator))
    assert "4 fields, but the header names 3" in str(problem_of(path))


def test_a_repeated_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,text,text,label\na,b,b,c\n")
    assert problem_of(path).column == "text"


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl"])
def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, ITEMS)
    path.write_bytes(path.read_bytes() + b"r4\xff\n")
    error = problem_of(path)
    assert error.line == (4 if kind == "jsonl" else 5)
    assert "byte 3" in str(error)
    assert "UTF-8" in str(error)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_truncated_gzip_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, ITEMS, packed=True)
    path.write_bytes(path.read_bytes()[:-12])
    assert "gzip" in str(problem_of(path))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_name_in_gz_on_a_file_that_is_not_gzip_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, ITEMS).rename(tmp_path / f"items.{kind}.gz")
    assert "gzip" in str(problem_of(path))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_without_items_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"items.{kind}"
    path.touch()
    problem_of(path)
    if kind in ("tsv", "csv"):
        path.write_text("id,text,label\n".replace(",", "\t" if kind == "tsv" else ","))
        assert "has no items" in str(problem_of(path))


@pytest.mark.parametrize("name", ["items", "items.gz", "items.xlsx", "items.tsv.bz2", "tsv"])
def test_an_unknown_ending_names_those_that_are_known(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("id\ttext\nx\ty\n")
    assert ".tsv, .csv, .jsonl and .parquet" in str(problem_of(tmp_path / name))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "No such file" in str(problem_of(tmp_path / "items.tsv"))


@pytest.mark.parametrize("line", ["{", '["r9"]', '{"id": "r9", "text": 5, "label": "a"}', '{"id": 1.5, "text": "x"}'])
def test_a_json_line_that_is_no_item_is_refused(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, "jsonl", ITEMS)
    path.write_text(path.read_text() + "\n" + line + "\n")
    assert problem_of(path).line == 5


def test_numbers_are_read_as_ids_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"id": 7, "text": "x", "label": 0}\n')
    assert list(read_items(path, label=True)) == [Row("7", "x", None, "0", 1)]
    path.write_text('{"id": 7, "text": "x", "label": true}\n')
    assert problem_of(path).column == "label"


@pytest.mark.parametrize("first_has_pair", [False, True])
def test_a_file_of_singles_and_pairs_is_refused(tmp_path: Path, first_has_pair: bool) -> None:
    single, pair = {"id": "a", "text": "x"}, {"id": "b", "text": "x", "text_pair": "y"}
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(json.dumps(item) for item in ((pair, single) if first_has_pair else (single, pair))))
    error = problem_of(path, label=False)
    assert (error.line, error.column) == (2, "text_pair")


def test_a_csv_record_over_several_lines_is_named_by_its_first(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text('id,text,label\na,"one\ntwo",x\nb,"three\r\nfour",\n')
    error = problem_of(path)
    assert (error.line, error.column) == (4, "label")
    assert next(iter(read_items(path, label=False))).text == "one\ntwo"


@pytest.mark.parametrize("body", ['a,"never closed,x\n', 'a,"closed" late,x\n'])
def test_csv_with_broken_quotes_is_refused(tmp_path: Path, body: str) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,text,label\n" + body + "b,fine,x\n")
    assert problem_of(path).line == 2


def test_a_byte_order_mark_empty_lines_and_carriage_returns_do_no_harm(tmp_path: Path) -> None:
    for kind, separator in (("tsv", "\t"), ("csv", ",")):
        path = tmp_path / f"items.{kind}"
        path.write_bytes(b"\xef\xbb\xbf" + "id,text,label\r\n\r\na,b,c\r\n\r\n".replace(",", separator).encode())
        assert list(read_items(path, label=True)) == [Row("a", "b", None, "c", 3)]


def test_a_broken_parquet_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "parquet", ITEMS)
    path.write_bytes(path.read_bytes()[:-20])
    assert "Parquet" in str(problem_of(path))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "parquet", ITEMS)
    real = builtins.__import__

    def without_pyarrow(name: str, *args: object) -> object:
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    assert 'pip install "prepal[simulate]"' in str(problem_of(path))


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1).filter(str.strip)


@given(items=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=20))
@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, kind: str, items: list[tuple[str, str]]
) -> None:
    rows = [{"id": f"{n}", "text": text, "label": label} for n, (text, label) in enumerate(items)]
    read = read_items(write(tmp_path_factory.mktemp("items"), kind, rows), label=True)
    assert [(row.text, row.label) for row in read] == items
