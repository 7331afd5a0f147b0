"""Which column of a table says what: by its name, or as a user says."""

from __future__ import annotations

from pathlib import Path

import pytest
from attentune.errors import DataError, UsageError
from attentune.runners.data.sources.label_table import LabelTable
from attentune.runners.data.sources.table_columns import choose_columns, parse_columns


def choose(*header: str, column: tuple[str, ...] = ()) -> dict[str, str]:
    table = LabelTable(Path("photos.csv"), header, (), ())
    columns = choose_columns(table, parse_columns(column))
    return {role: header[number] for role, number in columns.items()}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (("path", "label"), {"path": "path", "label": "label"}),
        (
            ("", "File Name", "CLASS", "subset", "patient_id", "age"),
            {"path": "File Name", "label": "CLASS", "split": "subset", "group": "patient_id"},
        ),
        (("image_path", "path", "target", "label"), {"path": "path", "label": "label"}),
        (
            ("path", "label", "Sample Weights"),
            {"path": "path", "label": "label", "weight": "Sample Weights"},
        ),
    ],
)
def test_usual_names_are_understood(header, expected):
    assert choose(*header) == expected


def test_a_user_names_columns_or_ignores_them():
    header = ("path", "label", "species", "patient", "weight")
    requested = ("label=Species", "group=", "weight=")
    assert choose(*header, column=requested) == {"path": "path", "label": "species"}


@pytest.mark.parametrize(
    ("header", "column", "message"),
    [
        (("path", "class", "category"), (), "'class', 'category', any of which may be the label"),
        (("path", "Label", "label"), (), "any of which may be the label"),
        (("a.jpg", "cat"), (), "none of which is called 'path'.*first line has to be a header"),
        (("path", "species"), (), "none of which is called 'label'.*--column label=NAME"),
        (("path", "species"), ("label=specie",), "no column 'specie'.*did you mean 'species'"),
        (("path", "x", "x"), ("label=x",), "2 columns 'x'"),
        (("path", "label", "label_2"), (), "'label', 'label_2', any of which may be the label"),
        (("path", "class1", "class2"), (), "'class1', 'class2', any of which may be the label"),
    ],
)
def test_what_is_not_clear_is_asked(header, column, message):
    with pytest.raises(DataError, match=message):
        choose(*header, column=column)


@pytest.mark.parametrize("words", [("0", "1"), ("False", "True")])
def test_a_column_for_each_class_is_no_column_of_labels(words):
    header = ("path", "cat", "dog", "age")
    rows = tuple((f"{n}.png", words[n % 2], words[1 - n % 2], str(n)) for n in range(4))
    table = LabelTable(Path("photos.csv"), header, rows, (2, 3, 4, 5))
    with pytest.raises(DataError, match=r"2 columns of zeros and ones \('cat', 'dog'\).*one class"):
        choose_columns(table, {})
    assert choose_columns(table, {"label": "cat"}) == {"path": 0, "label": 1}


@pytest.mark.parametrize("text", ["label", "colour=x", "=x"])
def test_a_text_that_names_no_column_is_wrong_usage(text):
    with pytest.raises(UsageError, match="write for example label=species"):
        parse_columns((text,))
