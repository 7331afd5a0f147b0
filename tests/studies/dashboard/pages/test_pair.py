"""Two architectures side by side: what differs, seed by seed, curves, costs, and images."""

from __future__ import annotations

import pytest
from attentune.studies.dashboard.context import PageContext, StudyStates
from attentune.studies.dashboard.pages import pair
from attentune.studies.figures.themes import LIGHT

TEXTS = (
    "resnet18",
    "resnet18+se(r=16)@s1.residual+eca@s3.post",
    "resnet18+se(r=16)@s1.residual+cbam(r=4)@s3.post",
)


@pytest.fixture
def states(reader, study, add):
    for seed in range(2):
        for index, text in enumerate(TEXTS):
            add(text, 0.5 + 0.1 * index + 0.01 * seed, 1000 + index, seed=seed)
    add(TEXTS[1], None, seed=7)
    return StudyStates(reader, None)


def context(states: StudyStates, query: str = "") -> PageContext:
    return states.context(query, LIGHT.name)


def test_the_best_is_beside_the_bare_backbone_unless_the_address_says_otherwise(states):
    assert pair.chosen_numbers(context(states)) == (2, 0)
    assert pair.chosen_numbers(context(states, "?first=1")) == (1, 0)
    assert pair.chosen_numbers(context(states, "?first=3")) == (3, 2)  # A trial of the bare one.
    assert pair.chosen_numbers(context(states, "?second=2")) == (0, 2)
    assert "Choose two" in str(pair.summary(context(states, "?first=99")))


def test_choices_that_differ_are_marked(states):
    rows = pair.choices(context(states, "?first=1&second=2")).children[1].children
    cells = {row.children[0].children: [cell.children for cell in row.children[1:]] for row in rows}
    assert cells["s1"] == ["se, residual, r=16", "se, residual, r=16", ""]
    assert [mark.children for mark in cells["s3"][:2]] == ["eca, post", "cbam, post, r=4"]
    assert cells["s3"][2].children == "differs"
    assert cells["s2"] == ["–", "–", ""]


def test_results_are_compared_seed_by_seed(states):
    shown = context(states, "?first=2&second=1")
    text = str(pair.seed_table(shown))
    assert "Mean difference over 2 common seeds: +10.0 ± 0.0 points." in text
    lines, first, second = pair.seeds(shown).data
    assert list(first.customdata) == [2, 5]
    assert list(second.customdata) == [1, 4]
    assert len(lines.x) == 6
    assert "+0.10 %" in str(pair.values(shown))
    assert "The first is better than the second by" in str(pair.summary(shown))


def test_all_curves_of_both_are_drawn_and_a_loss_if_one_is_chosen(states):
    second, first = pair.curves(context(states, "?first=2&second=1")).data
    assert set(first.customdata) - {None} == {2, 5}
    losses = pair.curves(context(states, "?first=2&second=1&curve=val_loss"))
    assert losses.layout.yaxis.title.text == "Validation loss"
    assert list(losses.data[0].y[:2]) == [1.1, 1.1]
    assert second.name == "second"
