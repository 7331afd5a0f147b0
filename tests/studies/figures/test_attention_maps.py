"""Figures of attention maps hide nothing: outliers, missing values, and texts from outside."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from attentune.runners.inspection.attention_maps import AttentionMap, AttentionMaps, StageEnergy
from attentune.studies.figures.attention_maps import channels_figure, locations_figure
from attentune.studies.figures.themes import DARK, LIGHT, Theme

EVIL = "<img src=x onerror=alert(1)>"
BARE = "test_resnet"
TEXT = "test_resnet+cbam(r=4,start=identity)@s1-s2.residual"


def example_maps(**fields: Any) -> AttentionMaps:
    """Maps of a network of two stages for three images, with attention in the first stage."""
    rng = np.random.default_rng(0)
    energy = rng.random((3, 4, 4), np.float32)
    channels = np.linspace(0.5, 1.5, 41, dtype=np.float32)
    defaults: dict[str, Any] = {
        "architecture": TEXT,
        "epochs": None,
        "classes": ("cat", "dog"),
        "images": rng.integers(0, 256, (3, 8, 8, 3), np.uint8),
        "indices": np.array([7, 2, 9]),
        "labels": np.array([0, 1, 0]),
        "predicted": np.array([0, 0, 1]),
        "probabilities": np.array([0.9, 0.6, 0.75], np.float32),
        "attentions": (AttentionMap("s1b2.residual", 1, "cbam", channels, 1 + energy),),
        "stages": (StageEnergy(1, energy), StageEnergy(2, 3 * energy[:, :2, :2])),
    }
    return AttentionMaps(**{**defaults, **fields})


def bare_maps(**fields: Any) -> AttentionMaps:
    return example_maps(**{"architecture": BARE, "attentions": (), **fields})


def named(figure: go.Figure, name: str) -> list[Any]:
    return [trace for trace in figure.data if trace.name == name]


themes = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)


@themes
def test_without_anything_to_draw_a_sentence_is_drawn(theme: Theme):
    shut = AttentionMap(
        "s1b1.post", 1, "shuffle", np.array([], np.float32), np.ones((3, 4, 4), np.float32)
    )
    dead = AttentionMap("s1b1.post", 1, "se", np.full(4, np.nan, np.float32), shut.locations)
    for figure in (
        channels_figure(bare_maps(), theme),
        channels_figure(example_maps(attentions=(shut, dead)), theme),
        locations_figure(bare_maps(stages=()), None, theme),
        locations_figure(bare_maps(stages=()), bare_maps(stages=()), theme),
    ):
        assert not figure.data
        assert figure.layout.annotations[0].text


@themes
def test_channel_weights_are_drawn_sorted_with_quartiles_and_a_line_at_one(theme: Theme):
    figure = channels_figure(example_maps(), theme)
    [bar], [ticks], [median] = (named(figure, n) for n in ("middle half", "channels", "median"))
    assert list(bar.base) == pytest.approx([0.75])
    assert list(bar.x) == pytest.approx([0.5])
    assert list(median.x) == pytest.approx([1.0])
    assert list(ticks.x) == pytest.approx(np.linspace(0.5, 1.5, 41))
    assert ticks.text[0] == "s1b2.residual, channel 0: 0.5"
    [line] = figure.layout.shapes
    assert line.x0 == line.x1 == 1
    assert bar.marker.color[0] == theme.attention_colour("cbam")
    assert list(figure.layout.yaxis.ticktext) == ["s1b2.residual cbam"]


def test_many_and_far_channels_keep_the_figure_small_and_honest():
    far = np.append(np.ones(5000, np.float32), np.float32([1000, np.nan]))
    gate = dataclasses.replace(example_maps().attentions[0], channels=far)
    figure = channels_figure(example_maps(attentions=(gate,) * 30))
    [ticks] = named(figure, "channels")
    assert len(ticks.x) <= 4000
    assert max(ticks.x) <= figure.layout.xaxis.range[1] < 2
    assert "s1b2.residual, channel 5000: 1e+03" in ticks.text


@themes
def test_maps_lie_beside_the_image_and_the_baselines_maps(theme: Theme):
    maps, baseline = example_maps(), bare_maps()
    figure = locations_figure(maps, baseline, theme)
    assert sum(isinstance(trace, go.Image) for trace in figure.data) == 3
    names = ["s1b2 cbam", "s1 baseline", "s2 energy", "s2 baseline"]
    for column, name in enumerate(names, 1):
        drawn_maps = named(figure, name)
        assert len(drawn_maps) == 3
        for row, drawn in enumerate(drawn_maps):
            shape = np.shape(drawn.z)
            left, top = drawn.x0 - drawn.dx / 2, drawn.y0 - drawn.dy / 2
            assert (shape[1] * drawn.dx, shape[0] * drawn.dy) == pytest.approx((1, 1))
            assert (left, top) == pytest.approx((column * 1.08, row * 1.08))
    np.testing.assert_array_equal(named(figure, names[0])[1].z, maps.attentions[0].locations[1])
    np.testing.assert_array_equal(named(figure, names[3])[2].z, baseline.stages[1].locations[2])
    titles = [note.text for note in figure.layout.annotations]
    assert "<b>cat</b><br>trial: dog, 75 %<br>baseline: dog, 75 %" in titles
    assert any(title.startswith("<b>s1b2</b><br>cbam<br>") for title in titles)
    scale = named(figure, "s2 energy")[0].colorscale
    assert [colour for _, colour in scale] == [theme.empty, theme.palette[0], theme.text]


def test_the_baselines_maps_are_of_the_same_images_whatever_its_order():
    maps = example_maps()
    turned = {"indices": maps.indices[[2, 0]], "images": maps.images[[2, 0]]}
    for name in ("labels", "predicted", "probabilities"):
        turned[name] = getattr(maps, name)[[2, 0]]
    stages = (StageEnergy(1, maps.stages[0].locations[[2, 0]]),)
    figure = locations_figure(maps, bare_maps(**turned, stages=stages))
    first, last = named(figure, "s1 baseline")
    assert {round(first.y0), round(last.y0)} == {0, 2}
    for drawn in (first, last):
        row = round(drawn.y0 / 1.08 - 0.1)
        np.testing.assert_array_equal(drawn.z, maps.stages[0].locations[row])


def test_at_most_six_images_are_drawn_in_their_own_aspect():
    wide = np.zeros((8, 4, 12, 3), np.uint8)
    many = {"indices": np.arange(8), "labels": np.zeros(8, int), "predicted": np.zeros(8, int)}
    stages = (StageEnergy(1, np.full((8, 1, 3), 0.5, np.float32)),)
    shown = bare_maps(**many, images=wide, probabilities=np.ones(8, np.float32), stages=stages)
    figure = locations_figure(shown)
    assert len(figure.data) == 6 * 2
    drawn = named(figure, "s1 energy")[0]
    assert (3 * drawn.dx, drawn.dy) == pytest.approx((3, 1))
    assert drawn.zmin < drawn.zmax


def test_locations_without_input_stay_empty():
    locations = np.full((3, 2, 2), np.nan, np.float32)
    gate = dataclasses.replace(example_maps().attentions[0], locations=locations)
    [drawn, *_] = named(locations_figure(example_maps(attentions=(gate,))), "s1b2 cbam")
    assert drawn.zmin < drawn.zmax


def test_texts_from_outside_are_shown_as_they_are():
    names = {"classes": (EVIL, EVIL + " and a very long name")}
    gate = dataclasses.replace(example_maps().attentions[0], attention=EVIL, site=EVIL)
    shown = example_maps(**names, attentions=(gate,))
    for figure in (channels_figure(shown), locations_figure(shown, bare_maps(**names))):
        text = figure.to_json().replace("\\u003c", "<").replace("\\u003e", ">")
        assert "<img" not in text
        assert "&lt;img" in text
