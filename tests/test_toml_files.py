"""TOML of users: other encodings, sizes and types than expected."""

from __future__ import annotations

from pathlib import Path

import pytest
from attentune.errors import SpaceError, UsageError
from attentune.toml_files import read_toml
from chaos.hostile_texts import forbidden_in
from chaos.odd_settings import BROKEN_TOML

NOT_TOML = {
    label: content
    for label, content in BROKEN_TOML.items()
    if not label.startswith(("a table", "a key", "an unknown"))
}


def test_values_are_read_with_or_without_a_byte_order_mark(tmp_path):
    path = tmp_path / "study.toml"
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + 'name = "größer"\nepochs = 3'.encode())
        assert read_toml(path) == {"name": "größer", "epochs": 3}


@pytest.mark.parametrize("content", NOT_TOML.values(), ids=NOT_TOML)
def test_what_is_no_toml_is_refused_with_the_name_of_the_file(content, tmp_path):
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"study\.toml") as refused:
        read_toml(path)
    assert len(str(refused.value)) < 500
    assert refused.value.exit_code == 2


def test_the_line_of_another_encoding_is_named(tmp_path):
    path = tmp_path / "study.toml"
    path.write_bytes(b"seed = 1\n# gr\xfc\xdfe\n")
    with pytest.raises(UsageError, match=r"is not in UTF-8 \(line 2\)"):
        read_toml(path)


@pytest.mark.parametrize("name", ["absent.toml", ".", "x" * 5000, "a\x00b"])
def test_a_file_that_cannot_be_read_is_refused(name, tmp_path):
    with pytest.raises(SpaceError, match="cannot read"):
        read_toml(tmp_path / name, SpaceError)


def test_an_endless_file_is_refused():
    if not Path("/dev/zero").exists():
        pytest.skip("there is no /dev/zero")
    with pytest.raises(UsageError, match="/dev/zero has more than"):
        read_toml(Path("/dev/zero"))


def test_a_key_cannot_reach_the_terminal_unescaped(tmp_path):
    path = tmp_path / "study.toml"
    path.write_bytes(b'"\\u001b[2J" = 1')
    assert forbidden_in(next(iter(read_toml(path))))  # The command line's console cleans it.
