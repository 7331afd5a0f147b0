"""The digest of a file of initial weights, by which another file of its name is noticed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ...errors import AttentuneError


def compute_digest(file: Path) -> str:
    """The SHA-256 of a file of weights.

    Raises:
        AttentuneError: there is no such file, or it cannot be read.
    """
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError:
        raise AttentuneError(f"there is no file of weights at {file}") from None
    except OSError as error:
        raise AttentuneError(f"cannot read {file}: {error.strerror or error}") from None


def check_digest(file: Path, digest: str | None) -> None:
    """Raise an AttentuneError if a file is not the one that a study began with.

    Args:
        file: with weights.
        digest: what `compute_digest` returned then; None: any file will do.
    """
    if digest is not None and compute_digest(file) != digest:
        raise AttentuneError(
            f"{file} holds other weights than those that the study began with; put the file back, "
            "or begin another study"
        )
