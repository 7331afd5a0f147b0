"""Tables of labels as people and programs write them."""

from __future__ import annotations

import pytest
from attentune.errors import DataError
from attentune.runners.data.sources.label_table import read_label_table

ROWS = (("a.jpg", "cat"), ("b, c.jpg", "dog"))


def read(tmp_path, content: bytes, name: str = "photos.csv"):
    (tmp_path / name).write_bytes(content)
    return read_label_table(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        b'path,label\na.jpg,cat\n"b, c.jpg",dog\n',
        b"\xef\xbb\xbfpath;label\r\na.jpg;cat\r\n\r\nb, c.jpg;dog\r\n",
        b"path\tlabel\na.jpg\tcat\nb, c.jpg\tdog",
        b"sep=|\npath|label\n a.jpg |cat\nb, c.jpg|dog\n,\n".replace(b",\n", b"|\n"),
        "path;label\na.jpg;cat\nb, c.jpg;dog\n".encode("utf-16"),
    ],
    ids=["commas", "byte order mark, semicolons, blank line", "tabs", "sep", "utf-16"],
)
def test_a_table_is_read_whatever_separates_its_cells(content, tmp_path):
    table = read(tmp_path, content)
    assert table.header == ("path", "label")
    assert table.rows == ROWS
    assert table.lines[0] == 3 if content.startswith(b"sep") else 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"path,label\n", "has no rows below its header"),
        (b"path,label\na.jpg,cat\nb, c.jpg,dog\n", "line 3 has 3 cells, but the header has 2"),
        (b'path,label\na.jpg,"cat\n', "line 2 cannot be read"),
        (b"path,label\ncaf\xe9.jpg,cat\n", "is not text in UTF-8"),
        (b"\x89PNG\0\0", "is not text"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(content, message, tmp_path):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content)
    assert len(str(caught.value).splitlines()) == 1


def test_values_of_a_parquet_file_are_those_of_a_csv_file(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    columns = {"path": ["a", "b", "c"], "n": [1.0, 0.5, None], "ok": [True, None, False]}
    pyarrow.parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "photos.parquet")
    table = read_label_table(tmp_path / "photos.parquet")
    assert table.header == ("path", "n", "ok")
    assert table.rows == (("a", "1", "True"), ("b", "0.5", ""), ("c", "", "False"))
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read(tmp_path, b"PAR1 damaged", "broken.parquet")
