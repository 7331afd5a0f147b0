"""A click selects what a marker, a bar or a cell stands for; a second one removes its filters."""

from __future__ import annotations

import pytest
from attentune.studies.dashboard.address import Address
from attentune.studies.dashboard.selection import selection_of_click


@pytest.mark.parametrize(
    ("figure", "point", "changes"),
    [
        ("pareto", {"customdata": 7, "x": 1, "y": 2}, {"trial": 7}),
        ("stages", {"customdata": 0.3, "x": "s3", "y": "se"},
         {"stage": ("s3",), "attention": ("se",)}),
        ("positions", {"x": "mid", "y": "se"}, {"position": ("mid",), "attention": ("se",)}),
        ("ratios", {"customdata": "attention=se~ratio=4"}, {"attention": ("se",), "ratio": ("4",)}),
        ("importances", {"customdata": "stage=s2"}, {"stage": ("s2",)}),
        ("importances", {"customdata": None}, {}),
        ("main-effects", {"customdata": "study=other~log=1"}, {}),
        ("stages", {"x": 3, "y": None}, {}),
    ],
)  # fmt: skip
def test_a_click_selects_what_a_point_stands_for(figure, point, changes):
    assert selection_of_click(figure, {"points": [point]}, Address()) == changes


def test_a_second_click_on_a_cell_removes_its_filters():
    click = {"points": [{"x": "s3", "y": "se"}]}
    first = Address().with_changes(selection_of_click("stages", click, Address()))
    assert first == Address(stage=("s3",), attention=("se",))
    assert first.with_changes(selection_of_click("stages", click, first)) == Address()


def test_a_click_on_nothing_selects_nothing():
    assert selection_of_click("pareto", {"points": []}, Address()) == {}
