"""Heat maps colour only what there is evidence for."""

from __future__ import annotations

from attentune.studies.analysis.attention_effects import Effect, EffectTable
from attentune.studies.figures.heatmap import fade_cells, heatmap_figure
from attentune.studies.objectives import ACCURACY

CELLS = {
    ("se", "s1"): Effect(0.02, 0.01, 0.03, 9),
    ("se", "s2"): Effect(0.03, -0.01, 0.07, 2),
    ("eca", "s1"): Effect(-0.01, -0.015, -0.005, 1),
}
TABLE = EffectTable(("se", "eca"), ("s1", "s2"), CELLS)


def test_only_cells_whose_interval_excludes_zero_are_coloured() -> None:
    [heat] = heatmap_figure(TABLE, ACCURACY).data
    rows = dict(zip(heat.y, heat.z, strict=True))
    assert list(rows["se"]) == [2.0, 0.0]
    assert list(rows["eca"]) == [-1.0, None]


def test_the_heat_map_has_its_middle_at_zero_and_hatches_what_was_not_tried() -> None:
    figure = heatmap_figure(TABLE, ACCURACY)
    [heat] = figure.data
    assert (heat.zmid, heat.zmin, heat.zmax) == (0, -3.0, 3.0)
    texts = dict(zip(heat.y, heat.text, strict=True))
    assert texts["se"][1] == "<b>+3.0</b><br>−1.0 to +7.0<br>n=2"
    assert texts["eca"][1] == ""
    values = dict(zip(heat.y, heat.customdata, strict=True))
    assert list(values["se"]) == [2.0, 3.0]
    assert len([shape for shape in figure.layout.shapes if shape.type == "path"]) == 1


def test_cells_that_are_not_selected_are_faded():
    shapes = len(heatmap_figure(TABLE, ACCURACY).layout.shapes)
    figure = fade_cells(
        heatmap_figure(TABLE, ACCURACY), lambda attention, _: attention == TABLE.attentions[0]
    )
    others = len(TABLE.attentions) - 1
    assert len(figure.layout.shapes) == shapes + others * len(TABLE.columns)
