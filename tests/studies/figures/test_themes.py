"""Colours and symbols distinguish attentions."""

from __future__ import annotations

from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.studies.figures.themes import LIGHT


def test_attentions_that_share_a_colour_differ_in_their_symbol() -> None:
    styles = {(LIGHT.attention_colour(name), LIGHT.attention_symbol(name)) for name in ATTENTIONS}
    assert len(styles) == len(ATTENTIONS)
