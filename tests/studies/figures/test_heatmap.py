"""Heat maps colour only what there is evidence for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attentune.studies.analysis.findings import AttentionTable, Findings, MeanGain
from attentune.studies.figures.heatmap import heatmap_figure


def test_the_heat_map_has_its_middle_at_zero_and_hatches_what_was_not_tried(
    filled: None, findings: Callable[[], Findings]
) -> None:
    table = findings().table
    figure = heatmap_figure(table)
    gains = {where: 100 * cell.mean for where, cell in table.cells.items()}
    [heat] = figure.data
    assert (heat.zmid, heat.zmin) == (0, -heat.zmax)
    rows = dict(zip(heat.y, heat.customdata, strict=True))
    assert rows["se"] == pytest.approx([gains["se", "s1"]] * 4)
    coloured = {value for row in heat.z for value in row if value is not None}
    assert coloured == {0.0}  # one architecture a cell is no evidence
    assert rows["eca"][0] == pytest.approx(gains["eca", "s1"])
    assert list(rows["eca"][1:]) == [None] * 3
    texts = dict(zip(heat.y, heat.text, strict=True))
    assert texts["cbam"][2] == f"<b>{gains['cbam', 's3']:+.1f}</b><br>n=1"
    empty = sum(value is None for row in heat.z for value in row)
    assert len([shape for shape in figure.layout.shapes if shape.type == "path"]) == empty


def test_only_cells_with_evidence_are_coloured() -> None:
    cells = {
        ("se", "s1"): MeanGain(0.02, 0.001, 9),
        ("se", "s2"): MeanGain(0.02, 0.02, 9),
        ("eca", "s1"): MeanGain(0.02, 0.001, 2),
    }
    [heat] = heatmap_figure(AttentionTable(("se", "eca"), ("s1", "s2"), cells)).data
    rows = dict(zip(heat.y, heat.z, strict=True))
    assert list(rows["se"]) == [2.0, 0.0]
    assert list(rows["eca"]) == [0.0, None]
