"""The pages of the attentions are what the catalogue, the code and the results say now."""

from __future__ import annotations

import re

import pytest
from attentune.benchmarks import attention_pages
from attentune.benchmarks.computation_graph import read_graph
from attentune.benchmarks.graph_drawing import draw_graph
from attentune.benchmarks.tabular_benchmark import TABLES, TabularBenchmark
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.paste_in.attention_code import attention_code

AGAIN = "run python benchmarks/attention_pages.py"


def test_the_overview_is_up_to_date_and_every_attention_has_a_page():
    page = (attention_pages.FOLDER / "index.md").read_text("utf-8")
    assert page == attention_pages.overview(), AGAIN
    assert re.findall(r"\]\((\w+)\.md\)", page) == sorted(
        ATTENTIONS, key=lambda name: list(attention_pages.KINDS).index(ATTENTIONS[name].kind)
    )
    pages = {file.stem for file in attention_pages.FOLDER.glob("*.md")}
    assert pages == {"index", *ATTENTIONS}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_a_page_has_the_formula_and_the_code(name):
    page = (attention_pages.FOLDER / f"{name}.md").read_text("utf-8")
    assert ATTENTIONS[name].formula in page, AGAIN
    assert attention_code(name).rstrip() in page, AGAIN


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTENTIONS)
def test_a_page_and_its_drawing_are_up_to_date(name):
    folder, entry = attention_pages.FOLDER, ATTENTIONS[name]
    assert (folder / f"{name}.md").read_text("utf-8") == attention_pages.page(entry), AGAIN
    drawn = (folder / "images" / f"{name}.svg").read_text("utf-8")
    assert drawn == attention_pages.drawing(entry), AGAIN


def test_a_drawing_has_the_steps_of_the_formula():
    blocks = read_graph("cbam")
    texts = [[step.text for step in block.steps] for block in blocks]
    assert texts[0] == ["x, the map"]
    assert texts[1:3] == [["mean over H×W"], ["max over H×W"]]
    assert texts[3][:4] == ["concatenate", "Linear C → d", "ReLU", "Linear d → C"]
    assert texts[-1] == ["×", "y, the result"]
    assert [block.inputs for block in blocks[1:5]] == [(0,), (0,), (1, 2), (0, 3)]
    shapes = {step.text: step.shape for block in blocks for step in block.steps}
    assert shapes["mean over C"] == "1×H×W"
    assert shapes["y, the result"] == "C×H×W"


def test_no_block_of_a_drawing_covers_another():
    image = draw_graph(read_graph("cbam"), "CBAM")
    number = r'="(-?[\d.]+)"'
    rows = re.findall(rf"<rect x{number} y{number} width{number} height{number} rx=.4", image)
    boxes = [tuple(map(float, row)) for row in rows]
    assert len(boxes) == sum(len(block.steps) for block in read_graph("cbam"))
    for place, (x, y, width, height) in enumerate(boxes):
        for left, top, other_width, _ in boxes[:place]:
            beside = left + other_width <= x or x + width <= left
            assert beside or top + height <= y or y + height <= top


def test_the_gain_in_a_stage_compares_architectures_that_differ_there_only():
    table = TabularBenchmark(TABLES[0])
    accuracy = {text: table.rows[text].accuracy[:, -1].mean() for text in table.ranked}
    texts = [text for text in table.ranked if "se" not in text and "@s1" not in text]
    mean, error = attention_pages.stage_gain(table, "se", 1)
    assert 0 < error < 2
    bare = accuracy["resnet6_050"]
    alone = accuracy["resnet6_050+se(r=4,start=identity)@s1.residual"]
    assert abs(mean - 100 * (alone - bare)) < 5
    assert len(texts) == 16
