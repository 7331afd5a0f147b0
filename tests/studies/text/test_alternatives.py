"""Alternatives in words: the gain of each, its costs, and whether it is better than attention."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attentune.runners.recipe import Recipe
from attentune.runners.results import Costs, Failure
from attentune.spaces.architecture import parse
from attentune.studies.alternatives import Alternative, AlternativesPlan
from attentune.studies.analysis.alternatives import AlternativesSummary, AlternativeSummary
from attentune.studies.analysis.findings import ArchitectureSummary
from attentune.studies.objectives import ACCURACY, OBJECTIVES
from attentune.studies.text.alternatives import (
    alternatives_header,
    alternatives_rows,
    alternatives_sentence,
    plan_sentences,
    remark_sentences,
)

RECIPE = Recipe.of(data="digits", image_size=32, epochs=8)
LARGER = Alternative("backbone", "net34", 32, 1.0, "the next larger", Costs(2000, 9000))
LONGER = Alternative("epochs", "net18", 32, 1.5, "half as many again", Costs(1000, 5000))
IMAGES = Alternative("images", "net18", 40, 1.0, "the next size", Costs(1000, 7500))


def summarize(
    alternative: Alternative, gain: float | None, error: float | None = 0.004
) -> AlternativeSummary:
    complete = gain is not None
    return AlternativeSummary(
        alternative=alternative,
        recipe=alternative.recipe(RECIPE),
        numbers=(2_000_000,) if complete else (),
        seeds=(0,) if complete else (),
        scores=(0.6 + gain,) if gain is not None else (),
        accuracies=(0.6 + gain,) if gain is not None else (),
        running=0,
        failure=None,
        score=0.6 + gain if gain is not None else None,
        gain=gain,
        gain_error=error if complete else None,
        values={"params": alternative.costs.params, "macs": alternative.costs.macs},
        training_ratio=1.5,
        exceeded_limit=None,
    )


def attention(gain: float | None, error: float | None) -> ArchitectureSummary:
    costs = {"params": 1020, "macs": 5000}
    architecture = parse("net18+eca@all.residual")
    return ArchitectureSummary(
        architecture, (1,), (0,), (0.6,), (0.6,), costs, 0.003, gain, error, baseline=False
    )


def alternatives(*summaries: AlternativeSummary) -> AlternativesSummary:
    return AlternativesSummary(summaries, ACCURACY, {}, {"params": 1000, "macs": 5000}, 8)


def test_the_sentence_has_the_gain_and_the_costs_of_each() -> None:
    summary = alternatives(
        summarize(LARGER, 0.051), summarize(LONGER, 0.02), summarize(IMAGES, -0.003)
    )
    assert alternatives_sentence(summary, attention(0.044, 0.004), keeps_bare=False) == (
        "`eca@all.residual` gains +4.4 ± 0.4 points for +2.0 % parameters; instead of attention, "
        "net34 gains "
        "+5.1 ± 0.4 points for +100.0 % parameters and +80.0 % multiply-adds; 12 epochs gain "
        "+2.0 ± 0.4 points for +50.0 % training time; images of 40×40 gain −0.3 ± 0.4 points for "
        "+50.0 % multiply-adds. The best of these, net34, differs from attention by no more than "
        "noise."
    )


@pytest.mark.parametrize(
    ("gain", "error", "verdict"),
    [
        (0.01, 0.004, "The best of these, 12 epochs, is better than attention by more than noise."),
        (0.08, 0.004, "None of these is as good as attention; the difference exceeds the noise."),
        (
            0.035,
            0.004,
            "The best of these, 12 epochs, differs from attention by no more than noise.",
        ),
        (0.01, None, "How much of these differences is noise is not known yet."),
    ],
)
def test_the_verdict_weighs_the_noise(gain: float, error: float | None, verdict: str) -> None:
    summary = alternatives(summarize(LONGER, 0.04))
    sentence = alternatives_sentence(summary, attention(gain, error), keeps_bare=False)
    assert sentence.endswith(verdict)


def test_without_a_better_attention_they_are_compared_with_the_bare_backbone() -> None:
    sentence = alternatives_sentence(alternatives(summarize(LONGER, 0.04)), None)
    assert sentence == (
        "Instead of attention, 12 epochs gain +4.0 ± 0.4 points for +50.0 % training time. "
        "The best of these, 12 epochs, is better than the bare backbone by more than noise."
    )
    assert alternatives_sentence(alternatives(summarize(LONGER, None)), None) == (
        "No alternative to attention is complete yet."
    )


def test_attention_that_does_not_help_is_no_rival() -> None:
    summary = alternatives(summarize(LONGER, 0.04))
    sentence = alternatives_sentence(summary, attention(0.001, 0.004), keeps_bare=True)
    assert sentence.startswith("`eca@all.residual` gains +0.1 ± 0.4 points")
    assert sentence.endswith("12 epochs, is better than the bare backbone by more than noise.")


def test_at_chance_level_nothing_follows() -> None:
    summary = alternatives(summarize(LONGER, 0.04))
    assert "so this does not tell" in alternatives_sentence(summary, None, at_chance=True)


def test_a_table_has_a_row_for_each() -> None:
    costs = [OBJECTIVES["params"]]
    rows = list(
        alternatives_rows(alternatives(summarize(LARGER, 0.051), summarize(LONGER, None)), costs)
    )
    assert [len(row) for row in rows] == [len(alternatives_header(ACCURACY, costs))] * 2
    assert rows[0] == ["#2000000", "65.1 %", "+5.1 ± 0.4", "1", "2.000 k", "× 1.5", "net34"]
    assert rows[1] == ["–", "–", "–", "0", "1.000 k", "× 1.5", "12 epochs"]


def test_failures_limits_and_missing_ones_are_sentences() -> None:
    failed = replace(summarize(LARGER, None), failure=Failure("out_of_memory", "no memory left"))
    above = replace(summarize(LONGER, 0.1), exceeded_limit="macs is 2, above the limit of 1")
    missing = {"images": "it takes no other size"}
    summary = replace(alternatives(failed, above), missing=missing)
    assert list(remark_sentences(summary)) == [
        "net34 failed, out_of_memory: no memory left",
        "12 epochs is trained although it exceeds a limit: macs is 2, above the limit of 1.",
        "There is no alternative with larger images: it takes no other size.",
    ]
    plan = AlternativesPlan((LARGER,), {"images": "it takes no other size"})
    assert list(plan_sentences(plan, RECIPE)) == [
        "alternative: net34 (the next larger)",
        "There is no alternative with larger images: it takes no other size.",
    ]
