"""Make text and numbers from outside safe to store, to send and to show.

Text of other programs (messages of exceptions, names of files, facts about a machine) may hold what
a database, a file or a terminal does not take: lone surrogates, which Python makes from names that
are not UTF-8; NUL, which PostgreSQL refuses; escape sequences, which a terminal obeys; marks that
reverse the direction of writing. `clean_text` writes all of these as visible escapes and limits the
length. It is called where text enters.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_MESSAGE_LENGTH = 4_000
MAX_TRACEBACK_LENGTH = 20_000
MAX_COMMAND_LENGTH = 20_000
MAX_FACT_LENGTH = 1_000
MAX_NAME_LENGTH = 200
MAX_QUOTED_LENGTH = 60
"""Lengths in characters."""

_BIDIRECTIONAL = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_INVISIBLE = "\u2028\u2029\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
_UNSAFE = re.compile(
    f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDIRECTIONAL}{_INVISIBLE}\ud800-\udfff]"  # All but \t and \n.
)
_PASSWORD = re.compile(r"(\b[\w+.-]{1,40}://[^\s:/@]{0,200}:)[^\s/]{1,500}@")
_SECRET_PARAMETER = re.compile(
    r"(?i)([?&][\w-]{0,40}(?:sig|signature|token|secret|password|key)[\w-]{0,40}=)[^\s&'\"]{1,2000}"
)
_LINE_BREAK = re.compile(r"\s*[\r\n]+\s*")


def clean_text(
    text: str,
    max_length: int = MAX_MESSAGE_LENGTH,
    *,
    keep_end: bool = False,
    one_line: bool = False,
) -> str:
    r"""The text with visible escapes in place of unsafe characters, and of limited length.

    A byte of a name that is not UTF-8 is shown as that byte: `caf\xe9`. Cleaning a clean text
    changes nothing.

    >>> clean_text("\x1b[31mred\x00")
    '\\x1b[31mred\\x00'

    Args:
        text: from outside.
        max_length: in characters; of a longer text the rest is left out, and the result says so.
        keep_end: keep the end of a longer text, as in a traceback, instead of its beginning.
        one_line: replace line breaks and tabs by spaces, for a name.
    """
    text = str.__str__(text)  # A plain string, because a subclass may not exist in other processes.
    length = len(text)
    if length > max_length:  # One more character than is kept, so that the text is cut below.
        text = text[-max_length - 1 :] if keep_end else text[: max_length + 1]
    if one_line:
        text = _LINE_BREAK.sub(" ", text).replace("\t", " ")
    text = escape_unsafe(text)
    if length <= max_length and len(text) <= max_length:
        return text
    notice = f"[… of {length} characters]"
    kept = max(0, max_length - len(notice) - 1)
    return f"{notice} {text[len(text) - kept :]}" if keep_end else f"{text[:kept]} {notice}"


def escape_unsafe(text: str) -> str:
    """The text with visible escapes in place of unsafe characters; tabs and line breaks stay."""
    return _UNSAFE.sub(_escape, text.replace("\r\n", "\n")) if _UNSAFE.search(text) else text


def clean_error(error: BaseException) -> str:
    """The message of an exception as clean text; its type if it has no message."""
    try:
        message = str(error).strip()
    except Exception:  # The exception is of other code, whose `__str__` may fail too.
        message = ""
    return clean_text(message) or type(error).__name__


def json_text(value: Any, *, indent: int | None = None) -> str:
    """The JSON of a value in ASCII; NaN and infinity, which JSON does not have, become null."""
    text = json.dumps(replace_non_finite(value), indent=indent, allow_nan=False)
    return text.replace("\x7f", "\\u007f")


def replace_non_finite(value: Any) -> Any:
    """A copy of plain values in which None stands in place of NaN and infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: replace_non_finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [replace_non_finite(inner) for inner in value]
    return value


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # A byte that Python read with `surrogateescape`.
        code -= 0xDC00
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def hide_passwords(text: str) -> str:
    """A text with `***` in place of the passwords in its URLs, for what others may read.

    A parameter such as `?sig=` is a password, too.

    >>> hide_passwords("--db postgresql://me:secret@host/studies")
    '--db postgresql://me:***@host/studies'
    """
    return _SECRET_PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))


def quote_value(value: object, max_length: int = MAX_QUOTED_LENGTH) -> str:
    """A value as a sentence repeats it: `'5Q'`, `-1`; the rest of a long one is left out.

    Args:
        value: from outside.
        max_length: in characters.
    """
    try:
        quoted = hide_passwords(repr(value))
    except ValueError:  # Python writes no number of more than 4300 digits.
        return "a number of thousands of digits"
    return quoted if len(quoted) <= max_length else f"{quoted[:max_length]}…"
