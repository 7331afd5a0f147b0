"""How a command that continues a study takes its data: `DataOptions`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataOptions:
    """How a command that continues a study takes its data.

    Attributes:
        data: where the same images are now; None: where they were.
        allow_changed_data: go on if they are not what the study was searched on.
    """

    data: str | None = None
    allow_changed_data: bool = False
