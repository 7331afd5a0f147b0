"""Standard streams that cannot end a command or a trial by accident.

What a command prints is a view of what it records. Its reader may go away (`| head`), the disk of a
redirected file may be full, an encoding may lack a character, and a service may start it without
any stream. `protect_standard_streams` makes all of this harmless: characters that an encoding lacks
are written in ASCII, and output that cannot be written raises `OutputLostError`, or, within
`continue_without_output`, is said once on stderr and then left out.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

ASCII_FORMS = {
    "…": "...",
    "×": "x",
    "±": "+-",
    "−": "-",
    "–": "-",
    "·": "-",
    "→": "->",
    "←": "<-",
    "↑": "^",
    "≤": "<=",
    "≥": ">=",
    "µ": "u",
    "²": "^2",
    "Σ": "sum",
    "ρ": "rho",
    "✓": "ok",
    "✗": "no",
    "●": "*",
    "○": "o",
    "─": "-",
    "│": "|",
    "├": "|",
    "└": "`",
    "\u00a0": " ",
    "\u202f": " ",
}
"""What is written for a character of ours that an encoding lacks."""
ERROR_HANDLER = "attentune_ascii"
RETRY_SECONDS = 0.01
"""The pause before a stream that is busy is written to again."""


class OutputLostError(Exception):
    """Standard output cannot be written; `reason` is the error of the operating system."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(reason.strerror or str(reason))
        self.reason = reason

    @property
    def has_no_reader(self) -> bool:
        """Whether the reader of a pipe has closed it, which is no failure."""
        return isinstance(self.reason, BrokenPipeError) or (
            sys.platform == "win32" and self.reason.errno == 22  # What a closed pipe raises there.
        )


class _Output(io.RawIOBase):
    """The file of a standard stream. After a failure, what is written to it is dropped.

    Attributes:
        on_loss: called with the first failure; None: it is raised as `OutputLostError`.
        is_lost: whether everything is dropped.
    """

    def __init__(
        self, stream: TextIO, raw: Any, on_loss: Callable[[OSError], None] | None = None
    ) -> None:
        super().__init__()
        self._stream = stream  # It would close the file if nothing referred to it.
        self._raw, self.on_loss, self.is_lost = raw, on_loss, False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def isatty(self) -> bool:
        return bool(self._raw.isatty())

    def write(self, data: Any) -> int:
        while not self.is_lost:
            try:
                count = self._raw.write(data)
            except OSError as error:
                if self.on_loss is None:
                    raise OutputLostError(error) from None
                self.is_lost = True
                self.on_loss(error)
                break
            if count is not None:
                return int(count)
            time.sleep(RETRY_SECONDS)  # A pipe in non-blocking mode is full.
        return len(data)


def protect_standard_streams(*, drop_output: bool = False) -> None:
    """Make the standard streams of this process safe; see the module. Repeating it does nothing.

    Args:
        drop_output: whether output that cannot be written is left out without a word, as errors
            always are.
    """
    _occupy_descriptors()
    codecs.register_error(ERROR_HANDLER, _ascii_form)
    if sys.stdin is None:  # type: ignore[unreachable, unused-ignore]
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - for the whole process.
    sys.stdout = _protected(sys.stdout, _drop if drop_output else None)
    sys.stderr = _protected(sys.stderr, _drop)


@contextlib.contextmanager
def continue_without_output(what: str) -> Iterator[None]:
    """Go on inside the context if standard output cannot be written, and say so once on stderr.

    Args:
        what: the end of the sentence that says what goes on.
    """
    output = _output_of(sys.stdout)
    if output is None:
        yield
        return

    def say(error: OSError) -> None:
        reason = error.strerror or str(error)
        print(f"The output cannot be written any more ({reason}); {what}", file=sys.stderr)

    output.on_loss = say
    try:
        yield
    finally:
        with contextlib.suppress(OutputLostError):
            sys.stdout.flush()  # What is still in the buffer belongs to the context.
        output.on_loss = None


def discard_output() -> None:
    """Drop whatever is still to be written to standard output."""
    if output := _output_of(sys.stdout):
        output.is_lost = True


def _occupy_descriptors() -> None:
    """Open the standard descriptors that are closed.

    Otherwise the next file that is opened, which may be the database, would get the number of
    standard output, and every process that prints would write into it.
    """
    with contextlib.suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(descriptor, True)
        os.close(descriptor)


def _protected(stream: TextIO | None, on_loss: Callable[[OSError], None] | None) -> TextIO:
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(raw, io.RawIOBase):
        return stream  # It is no file: a test or another program has put it there.
    if isinstance(raw, _Output):
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(stream, raw, on_loss)),
        encoding=stream.encoding,
        errors=ERROR_HANDLER,
        newline=None if sys.platform == "win32" else "\n",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _drop(_: OSError) -> None:
    """Say nothing about a loss."""


def _output_of(stream: Any) -> _Output | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Output) else None


def _ascii_form(error: UnicodeError) -> tuple[str | bytes, int]:
    """ASCII in place of what an encoding lacks: a form that reads the same, or an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    forms = (
        ASCII_FORMS.get(character) or character.encode("ascii", "backslashreplace").decode()
        for character in characters
    )
    return "".join(forms), error.end
