"""Colours of the figures, for light and dark pages.

The palette is Okabe and Ito's (Color Universal Design, 2008), which colour-blind readers tell
apart; its dark variant is lighter where the page's contrast asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from ...spaces.attentions.catalogue import ATTENTIONS
from ..analysis.analyse import NONE

MIXED = "mixed"
SYMBOLS = ("circle", "triangle-up", "x", "star", "pentagon", "hexagram")
"""Round the palette, then on; squares and diamonds are the baselines'."""


@dataclass(frozen=True)
class Theme:
    """One look. `palette` goes to the attentions in catalogue order, then round again."""

    name: str
    page: str
    text: str
    faint: str
    grid: str
    empty: str
    shade: str
    accent: str
    palette: tuple[str, ...]
    below: str
    middle: str
    above: str

    def attention(self, name: str) -> str:
        """The colour of an attention; grey for several at once, the text's for none."""
        if name in (MIXED, NONE):
            return self.faint if name == MIXED else self.text
        return self.palette[_place(name) % len(self.palette)]

    def symbol(self, name: str) -> str:
        """The marker of an attention: those that share a colour differ in it."""
        if name in (MIXED, NONE):
            return SYMBOLS[0]
        return SYMBOLS[_place(name) // len(self.palette) % len(SYMBOLS)]


def _place(name: str) -> int:
    # People's own attention has no place in the catalogue, but one of its own.
    return list(ATTENTIONS).index(name) if name in ATTENTIONS else crc32(name.encode())


LIGHT = Theme(
    name="light",
    page="#ffffff",
    text="#1f2933",
    faint="#8a94a0",
    grid="#e6e9ee",
    empty="#eceff3",
    shade="rgba(100, 110, 125, 0.09)",
    accent="#1f2933",
    palette=("#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#56b4e9"),
    below="#e9a15b",
    middle="#f4f5f6",
    above="#6aaade",
)
DARK = Theme(
    name="dark",
    page="#161b22",
    text="#e4e9ef",
    faint="#8b96a3",
    grid="#2a313a",
    empty="#222932",
    shade="rgba(170, 180, 195, 0.09)",
    accent="#e4e9ef",
    palette=("#4ba3dd", "#f0b429", "#f0743a", "#2cc295", "#e39ac2", "#8fd3fa"),
    below="#a5570f",
    middle="#262d36",
    above="#2a6fa8",
)
