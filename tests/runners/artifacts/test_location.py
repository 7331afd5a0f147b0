"""What `--artifacts` may be."""

from __future__ import annotations

import pytest
from attentune.runners.artifacts.location import parse_location


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("s3://bucket/folder/", "s3://bucket/folder"),
        ("gs://bucket", "gs://bucket"),
        ("abfs://container@account.dfs.core.windows.net/x", None),
        ("sftp://me@host/data", None),
        ("file:///shared/x", None),
        ("/shared/../x", "/x"),
    ],
)
def test_folders_and_urls_are_accepted(text, location):
    assert parse_location(text) == (location or text)


def test_a_folder_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_location("here") == str(tmp_path / "here")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s3://key:secret@bucket/x", "without a password"),
        ("https://host/x?sig=secret", r"without \? and #"),
        ("memory://x", "only one process can read"),
        ("file://shared/x", "has to be an absolute path"),
        ("s3://", "has to be a folder or a URL"),
        ("s3://a b", "has to be a folder or a URL"),
        ("simplecache::s3://bucket", "has to be a folder or a URL"),
        ("S3://bucket", "has to be a folder or a URL"),
    ],
)
def test_other_urls_are_refused_without_their_password(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_location(text)
    assert "secret" not in str(caught.value)
