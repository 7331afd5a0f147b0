"""An architecture in a narrow table: lines break between its insertions, not inside them."""

from __future__ import annotations

import re

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

_BREAK = re.compile(r"(?<=\s)(?=\S)|(?=\+[a-z])")
"""Before a word, and before an insertion."""


class ArchitectureCell:
    """A text whose lines break before words and before insertions; what is longer is folded."""

    def __init__(self, text: Text) -> None:
        self.text = text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """The width of the longest part, and that of the whole text."""
        longest = max(cell_len(part.plain.rstrip()) for part in self._parts())
        widths = Measurement(longest, self.text.cell_len)
        return widths.with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines."""
        line = Text()
        for part in self._parts():
            if line and line.cell_len + cell_len(part.plain.rstrip()) > options.max_width:
                line.rstrip()
                yield line
                line = Text()
            line.append_text(part)
        yield line

    def _parts(self) -> list[Text]:
        offsets = [match.start() for match in _BREAK.finditer(self.text.plain)]
        return list(self.text.divide([offset for offset in offsets if offset]))
