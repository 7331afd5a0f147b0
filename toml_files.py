"""Read TOML files that users write."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from .errors import UsageError

MAX_TOML_BYTES = 2**20
"""The largest file that is read; what is larger is no file of settings."""


def read_toml(path: Path, error_type: type[UsageError] = UsageError) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        path: of the file.
        error_type: what is raised.

    Raises:
        UsageError: the file cannot be read, is too large, or is not valid TOML in UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TOML_BYTES + 1)
    except OSError as error:
        raise error_type(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:  # The path holds NUL.
        raise error_type(f"cannot read {path}: {error}") from None
    if len(content) > MAX_TOML_BYTES:
        raise error_type(
            f"{path} has more than {MAX_TOML_BYTES:,} bytes; it is no file of settings"
        )
    return parse_toml(content, str(path), error_type)


def parse_toml(
    content: bytes, name: str, error_type: type[UsageError] = UsageError
) -> dict[str, Any]:
    """The values in TOML.

    Args:
        content: in UTF-8, with or without a byte order mark.
        name: of the file, for messages.
        error_type: what is raised.

    Raises:
        UsageError: it is not valid TOML in UTF-8.
    """
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise error_type(
            f"{name} is not in UTF-8 (line {line}); save it in that encoding"
        ) from None
    except (ValueError, RecursionError) as error:  # Also for numbers of thousands of digits.
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise error_type(f"{name} is not valid TOML: {reason}") from None
