"""Which column of a table says what: by its name, or as a user says."""

from __future__ import annotations

from pathlib import Path

import pytest
from attentune.errors import DataError, UsageError
from attentune.runners.data.label_table import LabelTable
from attentune.runners.data.table_columns import choose_columns, parse_columns


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
    ],
)
def test_what_is_not_clear_is_asked(header, column, message):
    with pytest.raises(DataError, match=message):
        choose(*header, column=column)


@pytest.mark.parametrize("text", ["label", "colour=x", "=x"])
def test_a_text_that_names_no_column_is_wrong_usage(text):
    with pytest.raises(UsageError, match="write for example label=species"):
        parse_columns((text,))
