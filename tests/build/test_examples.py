"""Text as people keep it: what is read, and which row cannot be."""

from __future__ import annotations

import contextlib
import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonsmith_build.errors import SmithError
from tritonsmith_build.examples import Examples, examples_from_file, label_ids

ANY_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), min_size=1, max_size=60)
WITH_TEXT = LINES.filter(lambda line: line.strip() != "")
FIELDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=60).filter(
    lambda text: text.strip() != ""
)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    """A file with this content, its newlines as they are."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def error_of(file: Path) -> str:
    """What is said about a file that cannot be used."""
    with pytest.raises(SmithError) as caught:
        examples_from_file(file)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "texts", "labels"),
    [
        ("a.txt", "One.\n\n  \nTwo, with space. \n", ("One.", "Two, with space. "), ()),
        ("a.txt", 'label\ttext\n"quoted"', ("label\ttext", '"quoted"'), ()),
        ("a.txt", "One.\r\nTwo.\r\n", ("One.", "Two."), ()),
        ("a.tsv", "text\tlabel\nOne.\tBAD\nTwo.\tGOOD\n", ("One.", "Two."), ("BAD", "GOOD")),
        ("a.tsv", "label\tid\tsentence\n1\t7\tOne.\n", ("One.",), ("1",)),
        ("a.tsv", 'text\tlabel\n"Open, he said.\t1\n', ('"Open, he said.',), ("1",)),
        ("a.tsv", "text\nOne, two.\n", ("One, two.",), ()),
        ("a.csv", 'text,label\n"One, ""two"".",BAD\n', ('One, "two".',), ("BAD",)),
        ("a.csv", 'label,text\nBAD,"Over\ntwo lines."\n', ("Over\ntwo lines.",), ("BAD",)),
        ("a.csv", "text,label\r\nÄöü 日本,GOOD\r\n", ("Äöü 日本",), ("GOOD",)),
    ],
    ids=[
        "txt",
        "txt-is-no-table",
        "txt-crlf",
        "tsv",
        "tsv-sentence",
        "tsv-quote",
        "tsv-no-label",
        "csv",
        "csv-newline",
        "csv-utf8",
    ],
)
def test_texts_and_labels_come_out_as_they_stand(
    tmp_path: Path, name: str, content: str, texts: tuple[str, ...], labels: tuple[str, ...]
) -> None:
    assert examples_from_file(written(tmp_path, name, content)) == Examples(texts, labels)


@ANY_FOLDER
@given(lines=st.lists(WITH_TEXT, min_size=1, max_size=8))
def test_any_lines_of_text_are_read_as_they_are(tmp_path: Path, lines: list[str]) -> None:
    file = written(tmp_path, "any.txt", "\n".join(lines))
    assert examples_from_file(file).texts == tuple(lines)


@ANY_FOLDER
@given(rows=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=8))
def test_whatever_the_csv_module_writes_is_read_back(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows([("text", "label"), *rows])
    examples = examples_from_file(written(tmp_path, "any.csv", stream.getvalue()))
    assert list(zip(examples.texts, examples.labels, strict=True)) == rows


@ANY_FOLDER
@given(
    rows=st.lists(
        st.tuples(WITH_TEXT, WITH_TEXT).map(lambda row: tuple(f.replace("\t", " ") for f in row)), min_size=1, max_size=8
    )
)
def test_a_tab_separated_file_has_no_quoting(tmp_path: Path, rows: list[tuple[str, ...]]) -> None:
    rows = [row for row in rows if all(field.strip() for field in row)] or [("text", "1")]
    file = written(tmp_path, "any.tsv", "text\tlabel\n" + "".join("\t".join(row) + "\n" for row in rows))
    assert list(zip(examples_from_file(file).texts, examples_from_file(file).labels, strict=True)) == rows


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"caf\xe9\n", ": not UTF-8 at byte 3; save the file as UTF-8"),
        ("a.json", "{}", ": cannot read .json; use .tsv, .csv or .txt"),
        ("a", "One.", ": cannot read a file without an ending; use .tsv, .csv or .txt"),
        ("a.txt", " \n\n", ": holds no text; add at least one row"),
        ("a.tsv", "text\tlabel\n", ": holds no text; add at least one row"),
        ("a.tsv", "One.\t1\n", ": its header ['One.', '1'] has no column 'text' or 'sentence'; add a header"),
        ("a.csv", "", ": its header [] has no column 'text' or 'sentence'; add a header"),
        ("a.tsv", "text\tlabel\nOne.\t1\n \t0\n", ":3: an empty field; fill it in or delete the row"),
        ("a.tsv", "text\tlabel\nOne.\t\n", ":2: an empty field; fill it in or delete the row"),
        ("a.csv", "text,label\nOne.\n", ":2: an empty field; fill it in or delete the row"),
    ],
    ids=[
        "latin-1",
        "json",
        "no-ending",
        "blank-txt",
        "header-alone",
        "no-header",
        "empty-csv",
        "blank-text",
        "blank-label",
        "label-missing",
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_row(tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    file = written(tmp_path, name, content)
    assert error_of(file) == f"{file}{said}"


def test_a_missing_file_is_named_with_where_it_is_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "gate.tsv"
    assert error_of(file) == f"{file}: no such file; correct the path, it is taken from the spec's folder"


def test_a_label_may_be_a_name_or_a_position() -> None:
    examples = Examples(("a", "b", "c"), ("GOOD", "0", "1"))
    assert label_ids(examples.labels, ("BAD", "GOOD"), where="gate.tsv") == [1, 0, 1]


def test_a_label_the_model_does_not_have_is_named() -> None:
    with pytest.raises(SmithError) as caught:
        label_ids(("GOOD", "GREAT"), ("BAD", "GOOD"), where="gate.tsv")
    assert str(caught.value) == (
        "gate.tsv: label 'GREAT' is none of the model's ['BAD', 'GOOD']; "
        "write the label's name or its position, or set output.labels in the spec"
    )


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    file = written(tmp_path, "a.csv", "\ufefftext,label\nOne.,GOOD\n")
    assert examples_from_file(file) == Examples(("One.",), ("GOOD",))


def test_the_line_named_is_the_one_an_editor_shows(tmp_path: Path) -> None:
    file = written(tmp_path, "a.tsv", "text\tlabel\n\nOne.\t1\n\t0\n")
    assert error_of(file).startswith(f"{file}:4: ")


def test_a_very_long_text_is_read_or_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "a.csv", "text\n" + "a" * 200_000 + "\n")
    with contextlib.suppress(SmithError):
        assert len(examples_from_file(file).texts[0]) == 200_000
