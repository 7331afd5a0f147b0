"""Colours of the figures, for light and dark pages.

The palettes are close to Okabe and Ito's (Color Universal Design, 2008), and changed so that
readers without one kind of cones can tell every colour from the others, from grey and from that of
texts. A test simulates that (Machado et al. 2009), and measures the contrast of texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from ...spaces.attentions.catalogue import ATTENTIONS
from ..analysis.analyse import NONE

MIXED = "mixed"
SYMBOLS = ("circle", "triangle-up", "x", "star", "pentagon", "hexagram")
"""Marker symbols of attentions: the next one each time the palette is used again.

Squares and diamonds are left out, because they mark the baselines.
"""


@dataclass(frozen=True)
class Theme:
    """The colours of all figures on one kind of page.

    Attributes:
        name: `light` or `dark`.
        page: the background of the page.
        text: texts and emphasised lines.
        muted: texts and lines in the background.
        grid: lines of the grid.
        empty: cells without a value.
        shade: regions under the data.
        palette: colours of the attentions, in catalogue order, used again after the last.
        below, middle, above: the ends and the middle of a scale around zero.
    """

    name: str
    page: str
    text: str
    muted: str
    grid: str
    empty: str
    shade: str
    palette: tuple[str, ...]
    below: str
    middle: str
    above: str

    def attention_colour(self, name: str) -> str:
        """The colour of an attention; grey for `MIXED`, that of texts for `NONE`."""
        if name in (MIXED, NONE):
            return self.muted if name == MIXED else self.text
        return self.palette[_index(name) % len(self.palette)]

    def attention_symbol(self, name: str) -> str:
        """The marker symbol of an attention; attentions of one colour have different symbols."""
        if name in (MIXED, NONE):
            return SYMBOLS[0]
        return SYMBOLS[_index(name) // len(self.palette) % len(SYMBOLS)]


def _index(name: str) -> int:
    # A plug-in's attention is not in the catalogue, so its index is computed from its name.
    return list(ATTENTIONS).index(name) if name in ATTENTIONS else crc32(name.encode())


LIGHT = Theme(
    name="light",
    page="#ffffff",
    text="#1f2933",
    muted="#626068",
    grid="#e6e9ee",
    empty="#eceff3",
    shade="rgba(100, 110, 125, 0.09)",
    palette=("#3260c0", "#ce8e1b", "#c2560e", "#1b967b", "#f958b5", "#26a3ea"),
    below="#e9a15b",
    middle="#f4f5f6",
    above="#6aaade",
)
DARK = Theme(
    name="dark",
    page="#161b22",
    text="#e4e9ef",
    muted="#848d96",
    grid="#2a313a",
    empty="#222932",
    shade="rgba(170, 180, 195, 0.09)",
    palette=("#487cc8", "#eeb433", "#f07131", "#45c69a", "#b793ee", "#b5c6f6"),
    below="#9c5210",
    middle="#262d36",
    above="#286aa1",
)
