"""Colours and symbols distinguish attentions, for colour-blind readers too; texts have contrast."""

from __future__ import annotations

import itertools
import re
from importlib.resources import files

import numpy as np
import pytest
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.studies.figures.themes import DARK, LIGHT, Theme


def test_attentions_that_share_a_colour_differ_in_their_symbol() -> None:
    styles = {(LIGHT.attention_colour(name), LIGHT.attention_symbol(name)) for name in ATTENTIONS}
    assert len(styles) == len(ATTENTIONS)


# Machado, Oliveira and Fernandes (2009), https://doi.org/10.1109/TVCG.2009.113: linear RGB as it is
# seen without one kind of cones.
SIMULATED = {
    "all cones": np.eye(3),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
# Linear RGB to cones, and the cube roots of those to OKLab.
TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
MIN_DISTANCE, MIN_DISTANCE_TRITANOPIA = 0.1, 0.09
"""In OKLab; tritanopia is a thousand times rarer than the other two."""
MIN_CONTRAST_TEXT, MIN_CONTRAST_MARK = 4.5, 2.75
STYLE_SHEETS = ("dashboard/assets/dashboard.css", "outputs/templates/report.css")


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def seen(colour: str, condition: str) -> np.ndarray:
    rgb = np.clip(SIMULATED[condition] @ linear(colour), 0, 1)
    return TO_OKLAB @ np.cbrt(TO_CONES @ rgb)


def contrast(colour: str, background: str) -> float:
    low, high = sorted(linear(c) @ [0.2126, 0.7152, 0.0722] for c in (colour, background))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("condition", SIMULATED)
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_colour_can_be_told_from_the_others(theme: Theme, condition: str) -> None:
    least = MIN_DISTANCE_TRITANOPIA if condition == "tritanopia" else MIN_DISTANCE
    for first, second in itertools.combinations((*theme.palette, theme.muted, theme.text), 2):
        distance = np.linalg.norm(seen(first, condition) - seen(second, condition))
        assert distance >= least, (first, second)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_texts_and_marks_have_enough_contrast(theme: Theme) -> None:
    assert contrast(theme.muted, theme.page) >= MIN_CONTRAST_TEXT
    for background in (theme.page, theme.below, theme.middle, theme.above, theme.empty):
        assert contrast(theme.text, background) >= MIN_CONTRAST_TEXT
    for colour in theme.palette:
        assert contrast(colour, theme.page) >= MIN_CONTRAST_MARK


def six_digits(colour: str) -> str:
    return colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])


@pytest.mark.parametrize("path", STYLE_SHEETS)
def test_texts_of_pages_have_enough_contrast(path: str) -> None:
    text = (files("attentune") / "studies" / path).read_text("utf-8")
    blocks = [dict(re.findall(r"--(\w+): (#\w+)", b)) for b in re.findall(r"{[^{}]*}", text)]
    schemes = [block for block in blocks if "soft" in block]
    assert len(schemes) >= 2
    for scheme in schemes:
        for name in ("text", "soft", "accent", "good", "bad"):
            for background in ("page", "card", "mark"):
                colours = (six_digits(scheme[each]) for each in (name, background))
                assert contrast(*colours) >= MIN_CONTRAST_TEXT, (name, background)
