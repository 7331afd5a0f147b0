"""The text that says where a study keeps its files: a folder, or a URL that fsspec understands."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from ...sanitize import hide_passwords

MAX_URL_CHARACTERS = 1000
ONE_PROCESS_PROTOCOLS = ("memory",)
"""What fsspec keeps in the memory of one process, so that workers do not see it."""
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\x00-\x1f]+", re.ASCII)


def is_url(location: str) -> bool:
    """Whether a location is a URL, and no folder."""
    return "://" in location


def parse_location(text: str) -> str:
    """An absolute folder, or a URL without a slash at its end.

    Args:
        text: as the user wrote it.

    Raises:
        ValueError: it is a URL that cannot be used. The message names no password.
    """
    if not is_url(text):
        return str(Path(text).expanduser().resolve())
    url = text.rstrip("/")
    if not _URL.fullmatch(url) or len(url) > MAX_URL_CHARACTERS or "::" in url:
        raise ValueError("has to be a folder or a URL such as s3://bucket/folder")
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError("has to be a URL without ? and #, because a signature is a password")
    if hide_passwords(url) != url or parts.password is not None:
        raise ValueError(
            "has to be a URL without a password, because it is stored with the study; set the "
            "credentials where the storage's own tools read them: environment variables, or a "
            "file in the home folder"
        )
    if parts.scheme in ("file", "local") and not url.startswith(f"{parts.scheme}:///"):
        raise ValueError("has to be an absolute path after file://, such as file:///shared/studies")
    if parts.scheme in ONE_PROCESS_PROTOCOLS:
        raise ValueError(
            f"cannot be a {parts.scheme}:// URL, which only one process can read; choose a folder "
            "or a URL that all workers can read"
        )
    return url
